"""Whether a text file's first line names its columns, and which columns are those of ratings."""
from sparse_ae.checks import near
from sparse_ae.data.names import (
    NAMES,
    PAIRS,
    RATINGS,
    TIMED_PAIRS,
    choose_columns,
    doubt_about_counts,
    find_columns,
    is_date,
    is_named,
    said_columns,
    some_names,
    to_choose,
)
from sparse_ae.data.readers.lines import AS_LISTS, AS_PAIRS


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
    """Whether a user's and an item's field on a first line name the columns, since numbers stand below, both words do,
    or the first is a word for users; and whether they may."""
    words = [name.lower() for name in names]
    rest = [[field.strip() for field in each] for each in rest if len(each) == 2]
    again = any(word == other.lower() for each in rest for word, other in zip(words, each))
    if again or not all(words) or any(letter.isdigit() for word in words for letter in word):
        return False, False
    of_numbers = [bool(rest) and all(as_number(each[k]) is not None for each in rest) for k in (0, 1)]
    header = any(of_numbers) or all(map(is_named, names)) or is_named(names[0], ("user",))
    return header, not header


def columns_of_header(where, options, names, rest=()):
    """The columns that are read by a header, and their positions: ratings; or for pairs, any timestamps."""
    table, known = where + ": ratings", find_columns(names, NAMES)
    if options.pairs and "user" in known and "item" in known:  # only what is named so is a count
        read = tuple(name for name in NAMES if name in known and (name != NAMES[3] or len(known[name]) == 1))
        return read, choose_columns(names, 2, read, table, names)
    times = known.get(NAMES[3], []) if options.pairs else []
    try:
        columns = choose_columns(names, 3, NAMES, table, names)
        if columns[2] not in times:
            return NAMES[:len(columns)], columns
    except ValueError as error:
        if not options.pairs:
            hint = ("; " + AS_LISTS if any(len(each) != len(names) for each in rest) else
                    "; " + AS_PAIRS if "rating" not in known else "")
            raise ValueError("%s%s" % (error, hint)) from None
    others = [place for place in range(len(names)) if place not in times]
    if len(others) < 2:
        times, others = [], range(len(names))
    columns = [others[place] for place in choose_columns([names[k] for k in others], 2, PAIRS, table, names)]
    return (TIMED_PAIRS, columns + times) if len(times) == 1 else (PAIRS, columns)


def chosen_columns(where, options, names, rest=(), header=False):
    """The columns that are read where some were chosen, their places, whether the first line is a header (if that isn't
    known), and whether it may be."""
    places = {}
    for name, column in options.columns.items():
        if isinstance(column, str):
            same = [k for k, each in enumerate(names) if each == column.strip()] or [
                k for k, each in enumerate(names) if each.lower() == column.strip().lower()]
        else:
            same = range(len(names))[column:column + 1]
        if len(same) != 1:
            meant = near(str(column), names)
            raise ValueError("%s: %s=%r was given, but %sthe columns are %s; expected %s number counted from 0%s" % (
                where, name, column, "%d columns are called so: " % len(same) if same else "", some_names(names),
                "a" if same else "one of their names, or a", "" if same else meant))
        places[name] = same[0]
    header, doubtful = header or any(isinstance(column, str) for column in options.columns.values()), False
    others = [place for place in range(len(names)) if place not in places.values()]
    found = find_columns([names[place] for place in others], [name for name in NAMES if name not in places])
    every = dict({name: others[same[0]] for name, same in found.items() if len(same) == 1}, **places)
    if not header:
        columns = [every[name] for name in NAMES if name in every]
        fields = [names[place] for place in columns]
        below = [[each[place] for place in columns] for each in rest if len(each) == len(names)]
        if all(name in every for name in RATINGS):
            header = is_header(fields, below)
        elif all(name in every for name in PAIRS):
            header, doubtful = is_header_of_pairs(fields[:2], [each[:2] for each in below])
            header, doubtful = header or doubtful and bool(found), doubtful and not found
    places = every if header else places
    lacking = [name for name in (PAIRS if options.pairs else RATINGS) if name not in places]
    if lacking:
        raise ValueError("%s: the columns are %s, and no name tells which is the %s; %s as well%s"
                         % (where, some_names(names), " and the ".join(lacking), to_choose(lacking, names),
                            "; " + AS_PAIRS if lacking == ["rating"] else ""))
    read = tuple(name for name in NAMES if name in places)
    return read, [places[name] for name in read], header, doubtful


def are_loose(options, names, read, columns):
    """Whether times that are none are left out: those of pairs, and dates. A column called timestamp has to have times.
    """
    return "rating" not in read or (read[-1] == "timestamp" and "timestamp" not in options.columns
                                    and is_date(names[columns[-1]]))


def told(options, names, read, columns, header=True):
    """Which columns are read, and which aren't, where their names don't tell, and which lines are left out; or ""."""
    note, unread = "", [name for place, name in enumerate(names) if place not in columns]
    sure = len(find_columns(names, RATINGS)) == 3 or any(isinstance(each, str) for each in options.columns.values())
    if header and (unread or not sure and len(find_columns(names, read)) < len(read)):
        note = said_columns(read, columns, names)
        note += "; other columns are ignored: " + ", ".join(unread) if unread else ""
        if unread and options.pairs and "rating" not in read:
            note += " (each line counts once; to read a column of counts, choose it by rating=, --rating-column)"
    doubt = doubt_about_counts(names[columns[2]]) if header and read[2:3] == ("rating",) and not options.pairs else ""
    if doubt:
        note = (note or said_columns(read, columns, names)) + doubt
    if options.missing is not None and "rating" in read:
        note += ': each line is read as %s; lines with the rating %g, which means "not rated", are left out' % (
            ", ".join(read), options.missing)
    return note
