"""JSON with an object for each rating: one to a line, or all in an array, which is made lines when it is opened."""
import contextlib
import csv
import json
from functools import partial

from sparse_ae.data.readers.layout import named_layout
from sparse_ae.data.readers.lines import first_lines
from sparse_ae.data.readers.text import read_text

# Objects whose keys are looked at.
_MOST_OBJECTS = 1000


def blocks(path, options, progress):
    """Yield a Block for each block of lines, laid out by the keys of the first objects; ValueError, with its line, for
    what can't be read."""
    first_line, lines = first_lines(path)
    keys = {}
    for line in lines[:_MOST_OBJECTS]:
        with contextlib.suppress(csv.Error):  # reading comes to it
            keys.update(object_of(line))
    if not keys:
        raise ValueError("%s, line %d: found %.60r; expected a JSON object, such as {\"user\": 1, \"item\": 2, "
                         "\"rating\": 3}, in each line, or an array of objects" % (path, first_line, lines[0]))
    layout = named_layout(path, options, list(keys))
    read = [list(keys)[column] for column in layout.columns]
    layout = layout._replace(delimiter=partial(_fields, read), columns=tuple(range(len(read))))
    return read_text(path, layout, progress)


def object_of(line):
    """The JSON object in a line, {} in a blank one; csv.Error for anything else."""
    try:
        found = json.loads(line) if line.strip() else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise csv.Error("found %.60r and no JSON object" % line.strip())
    return found


def _fields(keys, line):
    """The values of some keys of the JSON object in a line, as text, "" for null and NaN; csv.Error for others."""
    found = object_of(line)
    values = [found.get(key) for key in keys]
    for key, value in zip(keys, values):
        if isinstance(value, (bool, dict, list)) or isinstance(value, str) and "\0" in value:
            raise csv.Error("%.60r is %.60r, which is neither text nor a number" % (key, value))
    return ["" if value is None or value != value else str(value) for value in values] if found else []
