"""JSON with an object for each rating, one to a line."""
import json
from itertools import chain, islice

from sparse_ae.data.names import PAIRS
from sparse_ae.data.readers.layout import named_layout
from sparse_ae.data.readers.lines import CUT_OFF, blocks_of, first_lines
from sparse_ae.data.readers.text import convert, named_error, told

_EXPECTED = 'expected an object such as {"user": 1, "item": 2, "rating": 3} in each line'


def blocks(path, options, progress):
    """Yield a Block for some objects at a time, laid out by the keys of the first ones; ValueError, with the line, for
    what can't be read."""
    parts = objects_of(path, progress)
    first = next(parts)
    keys = list(dict.fromkeys(key for each in first[1] for key in each))
    if not keys:
        next(parts, None)  # raises what is wrong with the first line
        raise ValueError("%s holds no JSON object; %s" % (path, _EXPECTED))
    layout = named_layout(path, options, keys)

    def found():
        for numbers, objects in chain([first], parts):
            columns = [[_text(path, number, name, key, each.get(key)) for number, each in zip(numbers, objects)]
                       for name, key in zip(layout.names, (keys[column] for column in layout.columns))]
            yield named_error(path, "line", columns, numbers, layout, convert)

    return told(path, layout, found(), progress)


def objects_of(path, progress=False):
    """Yield the numbers, from 1, and the objects of some lines that aren't empty at a time; then raise the ValueError
    that ended them, if any."""
    if first_lines(path)[1][0].lstrip().startswith("["):
        raise ValueError("%s holds a JSON array; %s: pass the table of pandas.read_json(%r)"
                         % (path, _EXPECTED, str(path)))
    for lines, text in blocks_of(path, 1, progress):
        numbers, objects, failure = [], [], None
        stop, is_cut = lines.number + text.count(b"\n"), not text.endswith(b"\n")
        try:
            for line in islice(lines.one_by_one(lines.decode(text)), stop + is_cut - lines.number):
                number = lines.number - 1
                found = {} if line.isspace() else _parsed(path, number, line, CUT_OFF * (number == stop))
                if found:
                    numbers.append(number)
                    objects.append(found)
        except ValueError as error:
            failure = error
        yield numbers, objects
        if failure is not None:  # errors in those before it come first
            raise failure


def _parsed(path, number, line, hint):
    """The object of a line."""
    try:
        found = json.loads(line)
        if not isinstance(found, dict):
            raise ValueError("but %s" % type(found).__name__)
        return found
    except (ValueError, RecursionError) as error:
        raise ValueError("%s, line %d: found %.60r and no JSON object (%s); %s%s"
                         % (path, number, line.strip(), error, _EXPECTED, hint)) from None


def _text(path, number, name, key, value):
    """A value as text: "" for null and NaN, and 7 for 7.0 where it is an id."""
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
        raise ValueError("%s, line %d: %.60r is %.60r%s" % (path, number, key, value, fault))
    return "" if value is None or value != value else str(value)
