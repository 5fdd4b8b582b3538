"""JSON with an object for each rating: one to a line, or all in an array, whose elements count as lines."""
import json
import re
from itertools import chain, islice

from sparse_ae.data.names import PAIRS
from sparse_ae.data.readers.layout import named_layout
from sparse_ae.data.readers.lines import CUT_OFF, blocks_of, first_lines, text_of
from sparse_ae.data.readers.text import convert, in_parts, told

# Objects that are read at a time; the keys of the first ones are looked at.
_OBJECTS = 2 ** 12

_BLANKS = re.compile(r"[ \t\r\n]*")

_EXPECTED = 'expected an object such as {"user": 1, "item": 2, "rating": 3} in each line, or an array of objects'


def blocks(path, options, progress):
    """Yield a Block for some objects at a time, laid out by the keys of the first ones; errors have the line."""
    parts = objects_of(path, progress)
    first = next(parts, ([], []))
    keys = list(dict.fromkeys(key for each in first[1] for key in each))
    if not keys:
        raise ValueError("%s holds no JSON object; %s" % (path, _EXPECTED))
    layout = named_layout(path, options, keys)
    named = [(name, keys[column]) for name, column in zip(layout.names, layout.columns)]

    def made(columns, numbers, layout):
        """The Block of the objects that are the only column."""
        return convert([[_text(name, key, each.get(key)) for each in columns[0]] for name, key in named],
                       numbers, layout)

    return told(path, layout, (([objects], numbers) for numbers, objects in chain([first], parts)), progress, made=made)


def objects_of(path, progress=False):
    """Yield the numbers, from 1, and the objects of some lines or elements that aren't empty at a time."""
    is_array = first_lines(path)[1][0].lstrip().startswith("[")
    return in_parts(_objects(path, _elements(path) if is_array else _by_line(path, progress)), _OBJECTS)


def _objects(path, found):
    for number, each in found:
        if not isinstance(each, dict):
            raise _no_object(path, number, each)
        if each:
            yield number, each


def _object(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice: %s" % ", ".join("%.60r" % key for key, _ in pairs[:10]))
    return found


def _no_object(path, number, found, why="", hint=""):
    return ValueError("%s, line %d: found %.60r and no JSON object%s; %s%s"
                      % (path, number, found, why, _EXPECTED, hint))


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _by_line(path, progress):
    """Yield the number and the object of each line; {} of a blank one."""
    for lines, text in blocks_of(path, 1, progress):
        stop, is_cut = lines.number + text.count(b"\n"), not text.endswith(b"\n")
        for line in islice(lines.one_by_one(lines.decode(text)), stop + is_cut - lines.number):
            number = lines.number - 1
            try:
                found = _DECODER.decode(line) if not line.isspace() else {}
            except (ValueError, RecursionError) as error:
                raise _no_object(path, number, line.strip(), " (%s)" % error, CUT_OFF * (number == stop)) from None
            yield number, found


def _elements(path):
    """Yield the number and the value of each element of an array."""
    text = text_of(path)
    place, number = _BLANKS.match(text, text.index("[") + 1).end(), 0
    try:
        while number or text[place:place + 1] != "]":
            number += 1
            found, place = _DECODER.raw_decode(text, place)
            yield number, found
            place = _BLANKS.match(text, place).end()
            if text[place:place + 1] != ",":
                break
            place = _BLANKS.match(text, place + 1).end()
        if text[place:place + 1] != "]" or text[place + 1:].strip():
            raise json.JSONDecodeError("Expecting ',' or the end of the array", text, place)
    except (ValueError, RecursionError) as error:
        raise ValueError("%s is no JSON array (%s); write it again%s" % (
            path, error, "" if text.rstrip().endswith("]") else CUT_OFF)) from None


def _text(name, key, value):
    """A value as text: "" for null and NaN, and 7 for 7.0 where it is an id; else ValueError."""
    fault = None
    if type(value) is float and name in PAIRS and value == value:
        if value.is_integer() and abs(value) < 2 ** 53:
            return str(int(value))
        fault = "; expected a whole number or text for an id: correct it"
    elif type(value) is str:
        fault = ", which has a NUL; expected text" if "\0" in value else None
    elif value is not None and type(value) not in (int, float):
        fault = ", which is neither text nor a number"
    if fault:
        raise ValueError("%.60r is %.60r%s" % (key, value, fault))
    return "" if value is None or value != value else str(value)
