"""Readers of files, by the endings of their names; any other file is read as text."""
from sparse_ae.data.readers import frames, json_lines, matrices, text
from sparse_ae.data.readers.layout import find_pairs
from sparse_ae.data.readers.lines import JSON, ending
from sparse_ae.data.readers.options import Options

#: Readers by endings: of matrices, with `read(path, options, duplicates, progress)`, which returns `Ratings`; and of
#: others, with `blocks(path, options, progress)`, which yields blocks of them.
READERS = dict({".npz": matrices, ".mtx": matrices, ".parquet": frames, ".feather": frames},
               **dict.fromkeys(JSON, json_lines))


def read(path, options, duplicates, progress):
    """`Ratings` of a file of any kind."""
    reader = READERS.get(ending(path), text)
    given = options._replace(pairs=False).in_words()
    if given and not hasattr(reader, "blocks"):
        raise ValueError("%s was given for %s; only text has lines and columns: leave it out" % (given, path))
    if hasattr(reader, "read"):
        return reader.read(path, options, duplicates, progress)
    found = reader.blocks(path, options, progress)
    return text.build(path, found, options, duplicates, progress, "row" if reader is frames else "line")


def blocks(path, options, progress):
    """Yield a `text.Block` for each part of a file that needn't be held in memory as a whole."""
    reader = READERS.get(ending(path), text)
    if not hasattr(reader, "blocks"):
        raise ValueError("%s is a matrix file; expected text with a rating in each line: read it with load_ratings, "
                         "and store what that returns" % path)
    return reader.blocks(path, options, progress)


def pairs(path, progress):
    """Yield a `text.Block` for each part of a file of users and items among any other columns."""
    if ending(path) in READERS:
        return blocks(path, Options(pairs=True), progress)
    return text.read_text(path, find_pairs(path), progress)
