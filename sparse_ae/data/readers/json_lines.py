"""JSON with an object for each rating: one to a line, or all in an array, whose elements count as lines."""
import codecs
import json
import re
from functools import partial
from itertools import chain, islice

from sparse_ae.data.names import PAIRS
from sparse_ae.data.readers.layout import named_layout
from sparse_ae.data.readers.lines import CUT_OFF, blocks_of, first_lines, opened
from sparse_ae.data.readers.text import convert, named_error, told

# Objects that are read at a time; the keys of the first ones are looked at.
_OBJECTS = 2 ** 12

_BLANKS = re.compile(r"[ \t\r\n]*")

_EXPECTED = 'expected an object such as {"user": 1, "item": 2, "rating": 3} in each line, or an array of objects'


def blocks(path, options, progress):
    """Yield a Block for some objects at a time, laid out by the keys of the first ones; ValueError, with the line, for
    what can't be read."""
    parts = objects_of(path, progress)
    first = next(parts)
    keys = list(dict.fromkeys(key for each in first[1] for key in each))
    if not keys:
        raise first[2] or ValueError("%s holds no JSON object; %s" % (path, _EXPECTED))
    layout = named_layout(path, options, keys)

    def found():
        for numbers, objects, failure in chain([first], parts):
            yield named_error(path, "line", [objects], numbers, layout, partial(_convert, keys))
            if failure is not None:  # errors in those before it come first
                raise failure

    return told(path, layout, found(), progress)


def objects_of(path, progress=False):
    """Yield the numbers, from 1, and the objects of some lines or elements that aren't empty at a time; and the
    ValueError that ended them, or None."""
    first_lines(path)  # refuses what is no text
    with opened(path) as stream:
        is_array = stream.peek(2 ** 16).lstrip(codecs.BOM_UTF8 + b"\r\n\t ").startswith(b"[")
    decoder, n_read = json.JSONDecoder(object_pairs_hook=_object), _OBJECTS
    found = _elements(path, decoder) if is_array else _by_line(path, decoder, progress)
    while n_read == _OBJECTS:
        numbers, objects, failure, n_read = [], [], None, 0
        try:
            for number, each in islice(found, _OBJECTS):
                n_read += 1
                if not isinstance(each, dict):
                    raise _no_object(path, number, each)
                if each:
                    numbers.append(number)
                    objects.append(each)
        except ValueError as error:
            failure, n_read = error, 0
        yield numbers, objects, failure


def _object(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice: %s" % ", ".join("%.60r" % key for key, _ in pairs[:10]))
    return found


def _no_object(path, number, found, why="", hint=""):
    return ValueError("%s, line %d: found %.60r and no JSON object%s; %s%s"
                      % (path, number, found, why, _EXPECTED, hint))


def _by_line(path, decoder, progress):
    """Yield the number and the object of each line; {} of a blank one."""
    for lines, text in blocks_of(path, 1, progress):
        n_lines = text.count(b"\n") + (not text.endswith(b"\n"))
        for k, line in enumerate(islice(lines.one_by_one(lines.decode(text)), n_lines), 1):
            try:
                found = decoder.decode(line) if not line.isspace() else {}
            except (ValueError, RecursionError) as error:
                cut = k == n_lines and not text.endswith(b"\n")
                raise _no_object(path, lines.number - 1, line.strip(), " (%s)" % error, CUT_OFF * cut) from None
            yield lines.number - 1, found


def _elements(path, decoder):
    """Yield the number and the value of each element of an array."""
    with opened(path) as stream:
        text = stream.read()
    try:
        text = text.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = text.decode("latin-1")
    place, number = _BLANKS.match(text, text.index("[") + 1).end(), 0
    try:
        while number or text[place:place + 1] != "]":
            number += 1
            found, place = decoder.raw_decode(text, place)
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


def _convert(keys, columns, numbers, layout):
    """As `convert`, of objects, the only column."""
    objects, = columns
    return convert([_texts(name, keys[column], objects) for name, column in zip(layout.names, layout.columns)],
                   numbers, layout)


def _texts(name, key, objects):
    """The values of a key as text; the words of a ValueError are about the first of those that it may mean."""
    values = [each.get(key) for each in objects]
    texts = [value if type(value) is str else _text(name, key, value) for value in values]
    if "\0" in "".join(texts):
        raise ValueError("%.60r is %.60r, which has a NUL; expected text" % (key, texts[0]))
    return texts


def _text(name, key, value):
    """A value that is no text as text: "" for null and NaN, and 7 for 7.0 where it is an id."""
    if value is None or value != value:
        return ""
    if type(value) not in (int, float):
        raise ValueError("%.60r is %.60r, which is neither text nor a number" % (key, value))
    if type(value) is float and name in PAIRS:
        if not (value.is_integer() and abs(value) < 2 ** 53):
            raise ValueError("%.60r is %r; expected a whole number or text for an id: correct it" % (key, value))
        value = int(value)
    return str(value)
