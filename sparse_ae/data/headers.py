"""Whether a text file's first line names its columns, and which columns are those of ratings."""
import numbers

from sparse_ae.data.lines import AS_LISTS, AS_PAIRS
from sparse_ae.data.tables import COLUMN_WORDS, choose_columns, find_columns, is_named, some_names

#: The columns of ratings, in the order in which they come without a header.
NAMES = tuple(COLUMN_WORDS)

#: The columns that are read without timestamps, without ratings, or without both.
RATINGS, TIMED_PAIRS, PAIRS = NAMES[:3], NAMES[:2] + NAMES[3:], NAMES[:2]


def check_columns(chosen):
    """The columns that were given by name or number, {name: column}."""
    for name, column in chosen.items():
        number = isinstance(column, numbers.Integral) and not isinstance(column, bool) and column >= 0
        if not (column is None or number or isinstance(column, str) and column.strip()):
            raise ValueError("%s is %.60r; expected the name of a column, or its number, counted from 0"
                             % (name, column))
    chosen = {name: column for name, column in chosen.items() if column is not None}
    if len(set(chosen.values())) < len(chosen):
        raise ValueError("the chosen columns are %s; expected different ones"
                         % ", ".join("%s=%r" % each for each in chosen.items()))
    return chosen


def as_number(field):
    """A field's number, or None; a comma may be its decimal point."""
    try:
        return float(field.replace(",", "."))
    except ValueError:
        return None


def is_header(names, rest):
    """Whether a first line of three or more names the columns: no number, a rating, and no id that comes again."""
    if any(name and as_number(name) is not None for name in names) or names[2].lower() in (
            "", "na", "n/a", "none", "null", "?"):
        return False
    return not any(len(each) == len(names) and each[place].strip() == names[place]
                   for each in rest for place in (0, 1))


def is_header_of_pairs(names, rest):
    """Whether a first line of two fields names the columns, since both words do or numbers stand below; and may."""
    words = [name.lower() for name in names]
    rest = [[field.strip() for field in each] for each in rest if len(each) == 2]
    again = any(word == other.lower() for each in rest for word, other in zip(words, each))
    if again or not all(words) or any(letter.isdigit() for word in words for letter in word):
        return False, False
    of_numbers = [bool(rest) and all(as_number(each[k]) is not None for each in rest) for k in (0, 1)]
    header = any(of_numbers) or all(is_named(word) for word in words)
    return header, not header


def columns_of_header(head, names, rest):
    """The columns that are read by a header, and their positions: ratings; or for pairs, any timestamps."""
    table = head.where + ": ratings"
    times = find_columns(names, NAMES[3:]).get(NAMES[3], []) if head.pairs else []
    try:
        columns = choose_columns(names, 3, NAMES, table)
        if columns[2] not in times:
            return NAMES[:len(columns)], columns
    except ValueError as error:
        if not head.pairs:
            hint = ""
            if any(len(each) != len(names) for each in rest):
                hint = "; " + AS_LISTS
            elif "rating" not in find_columns(names, NAMES):
                hint = "; " + AS_PAIRS
            raise ValueError("%s%s, or name the columns by user=, item= and rating= (--user-column ...)"
                             % (error, hint)) from None
    others = [place for place in range(len(names)) if place not in times]
    if len(others) < 2:
        times, others = [], range(len(names))
    columns = [others[place] for place in choose_columns([names[place] for place in others], 2, PAIRS, table)]
    return (TIMED_PAIRS, columns + times) if len(times) == 1 else (PAIRS, columns)


def chosen_columns(head, names, rest):
    """The columns that are read where some were chosen, their places, and whether the first line is a header."""
    places = {}
    for name, column in head.chosen.items():
        if isinstance(column, str):
            same = [k for k, each in enumerate(names) if each == column.strip()] or [
                k for k, each in enumerate(names) if each.lower() == column.strip().lower()]
        else:
            same = range(len(names))[column:column + 1]
        if len(same) != 1:
            raise ValueError("%s: %s=%r was given, but the columns are %s; expected one of their names, or a number "
                             "counted from 0" % (head.where, name, column, some_names(names)))
        places[name] = same[0]
    header = any(isinstance(column, str) for column in head.chosen.values())
    others = [place for place in range(len(names)) if place not in places.values()]
    found = find_columns([names[place] for place in others], [name for name in NAMES if name not in places])
    if not header:
        chosen = [names[place] for place in places.values()]
        words = not any(letter.isdigit() for name in chosen for letter in name) and not any(
            len(each) == len(names) and each[place].strip() == names[place]
            for each in rest for place in places.values())
        header = all(chosen) and not any(as_number(each) is not None for each in chosen) and (
            "rating" in places or bool(found) or words and any(map(is_named, chosen)))
    if header:
        places.update({name: others[same[0]] for name, same in found.items() if len(same) == 1})
    lacking = [name for name in (PAIRS if head.pairs else RATINGS) if name not in places]
    if lacking:
        raise ValueError("%s: the columns are %s, and no name tells which is the %s; pass %s= as well%s"
                         % (head.where, some_names(names), " and the ".join(lacking), "= and ".join(lacking),
                            "; " + AS_PAIRS if lacking == ["rating"] else ""))
    read = tuple(name for name in NAMES if name in places)
    return read, [places[name] for name in read], header
