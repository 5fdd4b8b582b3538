"""Lists in text: each line is a user and the items that the user chose, as in LightGCN's files.

Everything is separated by blanks, or by tabs, commas, semicolons or `::`. A line may have a user alone, who then has
chosen nothing. A user's lines, if there are several, are all of that user.
"""
import numpy as np

from sparse_ae.data.ids import distinct_texts
from sparse_ae.data.layout import find_layout
from sparse_ae.data.lines import DELIMITERS, first_lines, lines_of
from sparse_ae.data.text import Block


def read_lists(path, progress=False):
    """Read a file of lists, a block of lines at a time.

    Parameters
    ----------
    path : pathlib.Path
    progress : bool
        Whether to show a bar on stderr, if that is a terminal and reading takes longer than some seconds.

    Yields
    ------
    Block
        With a rating of 1 for each pair of a user and one of the user's items.

    Raises
    ------
    ValueError
        For a line without a user, or with nothing between two delimiters; if there are users and no items; and for
        what is no text. The message names the file and the line.
    """
    delimiter, first = _layout(path)
    empty = True
    with lines_of(path, first, progress) as lines:
        for text in iter(lines.read_block, b""):
            if not text.strip():  # millions of blank lines, one by one, would take long
                lines.number += text.count(b"\n")
                continue
            block = _parsed(lines, text, delimiter)
            if len(block.lines):
                empty = False
                yield block
    if empty:
        raise ValueError("%s holds users and no items; expected a user and some items in each line: fetch or write it "
                         "again" % path)


def _layout(path):
    """Find what is between two ids, and the line, from 1, that they begin on."""
    before, lines = first_lines(path)
    lines = [line for line in (lines[:-1] if len(lines) > 1 else lines) if line.strip()][:100]
    found = [(sum(len(_ids_of(line, delimiter)) for line in lines), delimiter) for delimiter, _ in DELIMITERS]
    n_fields, delimiter = max(found, key=lambda each: each[0])  # of equals the first
    if n_fields == len(lines):
        raise ValueError("%s, line %d: found no delimiter in %.60r; expected a user and some items, separated by "
                         "blanks, tabs, commas, semicolons or '::'" % (path, before + 1, lines[0].rstrip("\r")))
    for other, name in DELIMITERS[:-1]:
        if other != delimiter and any(other in field for field in _ids_of(lines[0], delimiter)[:2]):
            raise ValueError("%s, line %d: %.60r holds %s, and more of %s; expected one of them alone: replace the "
                             "others" % (path, before + 1, lines[0].rstrip("\r"), name, dict(DELIMITERS)[delimiter]))
    try:
        header = find_layout(path, pairs=True)
    except ValueError:
        header = None
    named = header is not None and header.n_columns == 2 and header.first_line > before + 1
    return delimiter, before + 1 + named


def _ids_of(line, delimiter):
    """The ids of a line; of what isn't there at its end none."""
    fields = [field.strip() for field in line.split(delimiter)]
    while fields and not fields[-1]:
        fields.pop()
    return fields


def _parsed(lines, text, delimiter):
    """The Block, perhaps empty, of whole lines."""
    users, items, lengths, numbers = [], [], [], []
    decoded = lines.decode(text)
    for line in decoded[:-1].split("\n") if decoded.endswith("\n") else decoded.split("\n"):
        fields = line.split() if delimiter is None else _ids_of(line, delimiter)
        if "\0" in line:
            raise ValueError("%s, line %d: there is a NUL byte in it; expected text: write the file again"
                             % (lines.path, lines.number))
        if fields and not all(fields):
            raise ValueError("%s, line %d: there is nothing for %s; expected a user and items: mend or drop it"
                             % (lines.path, lines.number, "the user" if not fields[0] else
                                "item %d" % fields.index("")))
        if len(fields) > 1:
            users.append(fields[0])
            items += fields[1:]
            lengths.append(len(fields) - 1)
            numbers.append(lines.number)
        lines.number += 1
    ids, places = distinct_texts(users)
    return Block((ids, np.repeat(places, lengths).astype(np.intp)), distinct_texts(items),
                 np.ones(len(items), np.float32), None, np.repeat(np.array(numbers, np.int64), lengths))
