"""Readers of files, by the endings of their names; any other file is read as text."""
from sparse_ae.data.columns import python_values
from sparse_ae.data.readers import frames, json_lines, matrices, text
from sparse_ae.data.readers.layout import find_pairs, find_table
from sparse_ae.data.readers.lines import JSON, blocks_of, ending
from sparse_ae.data.readers.options import Options
from sparse_ae.data.readers.sources import check_file

#: Readers by endings: of matrices; and of others, with `blocks(path, options, progress)`, which yields blocks of them.
READERS = dict({".npz": matrices, ".mtx": matrices, ".parquet": frames, ".feather": frames},
               **dict.fromkeys(JSON, json_lines))


def read(path, options, duplicates, progress):
    """`Ratings` of a file of any kind."""
    reader, given = READERS.get(ending(path), text), options._replace(pairs=False).in_words()
    if reader is not matrices:
        found = reader.blocks(path, options, progress)
        return text.build(path, found, options, duplicates, progress, "row" if reader is frames else "line")
    if given:
        raise ValueError("%s was given for %s; only text has lines and columns: leave it out" % (given, path))
    return matrices.read(path, duplicates, progress)


def blocks(path, options, progress):
    """Yield a `text.Block` for each part of a file that needn't be held in memory as a whole."""
    reader = READERS.get(ending(path), text)
    if reader is matrices:
        raise ValueError("%s is a matrix file; expected text with a rating in each line: read it with load_ratings, "
                         "and store what that returns" % path)
    return reader.blocks(path, options, progress)


def pairs(path, progress):
    """Yield a `text.Block` for each part of a file of users and items among any other columns."""
    if ending(path) in READERS:
        return blocks(path, Options(pairs=True), progress)
    return text.read_text(path, find_pairs(path), progress)


def read_table(path):
    """The columns of a file with a row for each item or user, {name: [value, ...]}, the words for a row, and whether
    all values are text."""
    check_file(path)
    reader, place = READERS.get(ending(path), text), "line"
    if reader is frames:
        names, batches = frames.batches_of(path)
        rows = [row for columns in batches(names, python_values) for row in zip(*columns)]
        numbers, place = range(1, len(rows) + 1), "row"
    elif reader is matrices:
        raise ValueError("%s is a matrix file; expected a table: read it, and pass (matrix, ids)" % path)
    elif reader is json_lines:
        numbers, objects = [], []
        for found in json_lines.objects_of(path):
            numbers += found[0]
            objects += found[1]
        names = list(dict.fromkeys(key for each in objects for key in each))
        rows = [[each.get(name) for name in names] for each in objects]
    else:
        layout = find_table(path)
        names, numbers, rows = layout.names, [], []
        for lines, block in blocks_of(path, layout.first_line):
            for number, fields in text.records(lines, block, layout):
                numbers.append(number)
                rows.append(fields)
    if not rows:
        raise ValueError("%s has no row of values; expected one for each id" % path)
    return dict(zip(names, map(list, zip(*rows)))), lambda row: "%s %d" % (place, numbers[row]), reader is text
