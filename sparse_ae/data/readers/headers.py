"""Whether a text file's first line names its columns, and which columns are those of ratings."""
from sparse_ae.checks import near
from sparse_ae.data.ids import MISSING_WORDS
from sparse_ae.data.names import NAMES, doubt_about_counts, find_columns, is_date, said_columns, some_names
from sparse_ae.data.readers.lines import AS_LISTS, AS_PAIRS


def as_number(field):
    """A field's number, or None; a comma may be its decimal point."""
    try:
        return float(field.replace(",", "."))
    except ValueError:
        return None


def is_header(options, names):
    """Whether a first line names the columns: by known words, or since some were chosen by their names."""
    return (any(isinstance(column, str) for column in options.columns.values())
            or all(name in find_columns(names, NAMES) for name in options.needed))


def is_of_values(fields):
    """Whether a first line has values: a rating, perhaps a missing one; or a number, in pairs of two."""
    if len(fields) == 2:
        return any(as_number(field) is not None for field in fields)
    return as_number(fields[2]) is not None or not fields[2] or fields[2] in MISSING_WORDS


def chosen_columns(where, options, names):
    """The places of the columns that were chosen, {name: place}."""
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
    return places


def named_columns(where, options, names, rest=(), header=True):
    """The columns that are read, chosen or by known names, and their places; an error says what to pass."""
    places = chosen_columns(where, options, names)
    others = [place for place in range(len(names)) if place not in places.values()]
    found = find_columns([names[place] for place in others], [name for name in NAMES if name not in places])
    for name, same in found.items() if header else ():
        if len(same) == 1:
            places[name] = others[same[0]]
        elif not (options.pairs and name == "timestamp"):
            raise ValueError("%s: ratings have several columns for the %s: %s; expected one: drop the others, or pass "
                             "%s" % (where, name, some_names(names[others[k]] for k in same),
                                     _to_pass({name: names[others[same[0]]]})))
    lacking = [name for name in options.needed if name not in places]
    if not lacking:
        read = tuple(name for name in NAMES if name in places)
        return read, [places[name] for name in read]
    others = [place for place in range(len(names)) if place not in places.values()]
    if len(others) != len(lacking) and (places or len(others) > len(NAMES)):
        others = []  # the order in which columns come tells nothing
    likely = dict(zip(lacking, others))
    to_pass = [_to_pass({name: names[likely[name]] if name in likely else "COLUMN" for name in lacking}),
               _to_pass(dict(likely, **places))]
    if options.columns:
        to_pass = to_pass[:1] if any(isinstance(column, str) for column in options.columns.values()) else to_pass[1:]
    hint = ("; " + AS_LISTS if any(len(each) != len(names) for each in rest) and not names[0].startswith("#") else
            "; " + AS_PAIRS if lacking == ["rating"] else "")
    raise ValueError("%s: the columns are %s, and no name tells which is the %s; pass %s%s" % (
        where, some_names(names), " and the ".join(lacking),
        ", or if the first line has values, ".join(to_pass[:1 + (not places)]), hint))


def _to_pass(columns):
    """Arguments that choose columns, in Python and on the command line."""
    quoted = ("%s" if " " not in str(column) else "'%s'" for column in columns.values())
    return "%s (%s)" % (", ".join("%s=%.60r" % each for each in columns.items()), " ".join(
        "--%s-column %s" % (name, form % str(column)[:60]) for (name, column), form in zip(columns.items(), quoted)))


def left_open(options, names, read, columns, header=True):
    """Whether times that are none are left out: those of pairs, and dates, but not in a column called timestamp; and
    which columns are read, and which aren't, and which lines are left out, where some are, or ""."""
    loose_times = "rating" not in read or (read[-1] == "timestamp" and "timestamp" not in options.columns
                                           and is_date(names[columns[-1]]))
    note, unread = "", [name for place, name in enumerate(names) if place not in columns]
    if header and unread:
        note = said_columns(read, columns, names) + "; other columns are ignored: " + ", ".join(unread)
        if options.pairs and "rating" not in read:
            note += " (each line counts once; to read a column of counts, choose it by rating=, --rating-column)"
    doubt = doubt_about_counts(names[columns[2]]) if header and read[2:3] == ("rating",) and not options.pairs else ""
    if doubt:
        note = (note or said_columns(read, columns, names)) + doubt
    if options.missing is not None and "rating" in read:
        note += ': each line is read as %s; lines with the rating %g, which means "not rated", are left out' % (
            ", ".join(read), options.missing)
    return loose_times, note
