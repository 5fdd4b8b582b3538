"""Numbers and times, in text and as objects of Python."""
import contextlib
import datetime
import numbers
import re

import numpy as np

from sparse_ae.data.columns import as_vector
from sparse_ae.runtime.progress import say

# By hand: until Python 3.11 `datetime.fromisoformat` reads no Z, and only fractions of 3 or 6 digits.
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ]([01]\d|2[0-3])(?::([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?)?"
                   r"(?:[Zz]| UTC|([+-])([01]\d|2[0-3]):?([0-5]\d)?)?)?", re.ASCII)
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
           "December")  # strftime's are those of the locale
_SECONDS_IN_A_YEAR = 86400 * 365.2425


def as_floats(fields):
    """Fields of text as numbers, float64, (n,); ValueError if one is none."""
    if "_" in "".join(fields):  # float() allows it between digits; no file means that
        raise ValueError
    return np.array(list(map(float, fields)))


def as_times(fields):
    """Fields as float64, (n,): numbers, or dates of ISO 8601 as seconds since 1970 (UTC); ValueError for other text."""
    try:
        return as_floats(fields)
    except ValueError:
        return np.array([_time(field.strip()) for field in fields])


def _time(field):
    found = _DATE.fullmatch(field)
    with contextlib.suppress(ValueError):
        if found is None:
            return as_floats([field])[0]
        date, hour, minute, second, sign, hours_ahead, minutes_ahead = found.groups("0")
        days = datetime.date.fromisoformat(date).toordinal() - _EPOCH  # ValueError for the 30th of February
        minutes = 60 * (int(hour) - int(sign + hours_ahead)) + int(minute) - int(sign + minutes_ahead)
        return 86400 * days + 60 * minutes + float(second)
    raise ValueError("the timestamp %.60r is neither a number nor a date; expected one such as 978300760 or 2001-01-01 "
                     "08:30: correct it, or leave the column out" % field)


def year_of(date):
    """The year, with decimals, of a date of ISO 8601, or of Python; None for others."""
    with contextlib.suppress(ValueError):
        if isinstance(date, datetime.date):
            return 1970 + _in_utc(date).astype("datetime64[s]").astype(float) / _SECONDS_IN_A_YEAR
        if isinstance(date, str) and _DATE.fullmatch(date.strip()):
            return 1970 + _time(date.strip()) / _SECONDS_IN_A_YEAR


def whole(times):
    """Times as int64, if all are whole numbers that float64 can represent; else unchanged."""
    fit = times.dtype == np.float64 and np.all((times == np.rint(times)) & (np.abs(times) <= 2 ** 53))
    return times.astype(np.int64) if fit else times


def _in_utc(time):
    """A date or datetime as a datetime64; a Timestamp of pandas is one, with nanoseconds."""
    if hasattr(time, "to_datetime64"):
        return time.to_datetime64()
    if getattr(time, "tzinfo", None) is not None:
        time = time.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return np.datetime64(time)


def span(times):
    """The first and the last of some times, (n,): two floats, dates as seconds since 1970; None without times."""
    if times is None or not len(times) or times.dtype.kind not in "iufM":
        return None
    times = times.astype("datetime64[s]") if times.dtype.kind == "M" else times
    return tuple(float(each.astype(np.float64)) for each in (times.min(), times.max()))


def dates_of(span):
    """The dates, in UTC, of a first and a last time in seconds: a pair such as ("1", "30 November 2025"), equal
    ones for a day. None without times, and for numbers of another kind: they aren't between 1973 and 2103."""
    if span is None or not 1e8 <= span[0] <= span[1] < 4.2e9:
        return None
    first, last = (datetime.date.fromordinal(_EPOCH + int(each // 86400)) for each in span)
    words = ["%d %s %d" % (each.day, _MONTHS[each.month - 1], each.year) for each in (first, last)]
    if first != last and first.year == last.year:
        words[0] = words[0].rpartition(" ")[0] if first.month != last.month else str(first.day)
    return tuple(words)


def in_seconds(times, where, progress):
    """Times, (n,), as seconds since 1970 where they count milli-, micro- or nanoseconds: numbers that lie between 1973
    and 2103 so, and thousands of years off as anything else. With `progress` say so."""
    if times is not None and times.dtype.kind in "iuf" and len(times):
        for unit, per_second in (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9)):
            if 1e8 <= times.min() / per_second and times.max() / per_second < 4.2e9:
                if progress:
                    say("%s: timestamps are %s since 1970, and are read as seconds" % (where, unit))
                return whole(times / per_second)
    return times


def as_date(time):
    """A time as text: a date if it is likely to be in seconds since 1970."""
    if not 1e8 <= time < 4.2e9:
        return "%.10g" % time
    return str(np.datetime64(int(time), "s")).replace("T00:00:00", "").replace("T", " ")


def check_timestamps(timestamps):
    """The times of ratings as an array, (n,): finite numbers or datetime64; dates of ISO 8601 as in files."""
    column = as_vector("timestamps", timestamps)
    if column.dtype.kind in "OU" and all(isinstance(each, str) for each in column):
        with contextlib.suppress(ValueError):
            column = whole(as_times(column.tolist()))
    if column.dtype.kind == "O" and all(isinstance(each, datetime.date) for each in column):
        column = np.array(list(map(_in_utc, column)))  # pandas has these for times with a zone
    if column.dtype.kind not in "iufM":
        entry, value = next(((k, each) for k, each in enumerate(column) if isinstance(each, (bool, np.bool_))
                             or not isinstance(each, (numbers.Real, np.datetime64))), (0, column[0]))
        raise TypeError("entry %d: the timestamp is %.60r; expected numbers or datetime64: convert the column with "
                        "pandas.to_datetime(column), or leave it out"
                        % (entry, value.item() if isinstance(value, np.generic) else value))
    finite = np.isfinite(column)
    if not finite.all():
        entry = int(np.argmin(finite))
        raise ValueError("entry %d: the timestamp is %s; expected a finite number: correct it, or leave the timestamps "
                         "out" % (entry, column[entry]))
    return column
