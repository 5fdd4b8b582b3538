"""Ids of users and items: labels, all integers or all strings, and the positions of their rows and columns."""
import contextlib
import numbers
import re
from collections import defaultdict
from itertools import count

import numpy as np

from sparse_ae.data.columns import as_array
from sparse_ae.files.unpacking import limit_of
from sparse_ae.runtime.progress import say

#: Words for a missing value, as R, pandas, SQL and Python write them; a field may be empty as well.
MISSING_WORDS = frozenset(("NA", "N/A", "NULL", "null", "nan", "NaN", "None", "\\N", "?", "<NA>"))

_INT64_MAX = np.iinfo(np.int64).max

# How a quantity is written, and the most that are different.
_QUANTITY, _MOST_QUANTITIES = re.compile(r"-?\d+(\.\d+)?"), 100


def distinct(values, name="ids"):
    """The distinct ids of a column, ascending, int64 or str, and where each entry is among them; errors for no ids."""
    vector = as_array(values)
    if vector.dtype.kind not in "iufUO":
        raise TypeError("%s are of dtype %s; ids have to be integers or strings: convert them, for example with "
                        "[str(x) for x in %s]" % (name, vector.dtype, name))
    if vector.dtype.kind == "f":
        whole = np.isfinite(vector) & (vector == np.rint(vector)) & (np.abs(vector, dtype=np.float64) < 2 ** 53)
        if not whole.all():
            entry = int(np.argmin(whole))
            raise ValueError("entry %d: the id in %s is %.60r; ids have to be integers or strings%s"
                             % (entry, name, vector[entry].item(), _remedy(vector[entry].item(), "")))
    if vector.dtype.kind in "if" or vector.dtype.kind == "u" and int(vector.max(initial=0)) <= _INT64_MAX:
        return _distinct_integers(vector.astype(np.int64))
    codes = _codes()
    places = np.fromiter((codes[value] for value in _checked_ids(name, vector.tolist())), np.intp, len(vector))
    ids, rank = _ascending(list(codes))
    return ids, rank[places]


def _distinct_integers(values):
    """As `numpy.unique(values, return_inverse=True)` of int64, without sorting where the numbers lie close together."""
    if len(values) < 2:
        return values, np.zeros(len(values), np.intp)
    lowest, highest = int(values.min()), int(values.max())
    if highest - lowest > 16 * len(values):
        return np.unique(values, return_inverse=True)
    shifted = values - lowest
    found = np.zeros(highest - lowest + 1, dtype=bool)
    found[shifted] = True
    ids = np.flatnonzero(found)
    rank = np.empty(len(found), np.intp)
    rank[ids] = np.arange(len(ids))
    return ids + lowest, rank[shifted]


def ids_of_texts(texts):
    """An array of ids: of text, objects, or int64 if that keeps all as written."""
    with contextlib.suppress(ValueError):
        integers = list(map(int, texts))
        if list(map(str, integers)) == texts and max(map(abs, integers), default=0) <= _INT64_MAX:
            return np.array(integers, dtype=np.int64)
    return np.array(texts, dtype=object)


def _codes(known=()):
    """A dict that numbers its keys in the order in which they are first asked for, behind the `known` ones."""
    return defaultdict(count(len(known)).__next__, known)


def _ascending(ids, path=None):
    """Distinct ids, all int or all str, as an ascending array, and where each is in it; ValueError for a long one."""
    text = bool(ids) and isinstance(ids[0], str)
    longest = max(ids, key=len) if text else ""
    size, limit = 4 * len(longest) * len(ids), limit_of(sum(map(len, ids)) if text else 0)
    if size > limit:
        raise ValueError("%sone of %d ids has %d characters, %.40r..., and an array of all ids would take %d bytes; "
                         "expected at most %d: shorten the id, or use numbers as ids"
                         % ("" if path is None else "%s: " % path, len(ids), len(longest), longest, size, limit))
    return np.unique(np.array(ids, dtype=str if text else np.int64), return_inverse=True)


def _checked_ids(name, values):
    """The ids one by one, once it is clear that all are integers or all are strings."""
    kind = None
    for entry, value in enumerate(values):
        fits = isinstance(value, (str, numbers.Integral)) and not isinstance(value, (bool, np.bool_))
        if fits and isinstance(value, str) and value.endswith("\0"):
            raise ValueError("entry %d: the id %.60r in %s ends with a NUL, which NumPy drops: strip it"
                             % (entry, value, name))
        if not fits or kind not in (None, isinstance(value, str)):
            raise TypeError("entry %d: the id in %s is %.60r; ids have to be all integers or all strings%s"
                            % (entry, name, value, _remedy(value, ": convert them, for example with str")))
        if not isinstance(value, str) and abs(int(value)) > _INT64_MAX:
            raise ValueError("entry %d: the id %d in %s is too large for int64: pass the ids as strings"
                             % (entry, value, name))
        kind = isinstance(value, str)
        yield value if kind else int(value)


def _remedy(value, other):
    """What to do about a value that is no id: str would make one of all that are missing, and "b'7'" of bytes."""
    if isinstance(value, bytes):
        return ": decode them, for example with .decode() or .hex()"
    missing = not isinstance(value, str) and str(value) in ("None", "nan", "<NA>", "NaT")
    return ": fill it in, or leave such rows out, in pandas by dropna" if missing else other


class Numbering:
    """Numbers ids in order of appearance, a block at a time; once one isn't an integer, all are strings."""

    def __init__(self, path=None):
        self._numbers, self._text, self._path = _codes(), False, path

    def __len__(self):
        return len(self._numbers)

    def number(self, ids, places):
        """The numbers, int32, of a block's ids at some positions; new ids get new numbers."""
        are_numbers = ids.dtype == np.int64
        if not (are_numbers or self._text):
            self._numbers, self._text = _codes({str(each): number for each, number in self._numbers.items()}), True
        ids = map(str, ids.tolist()) if are_numbers and self._text else ids.tolist()
        return np.array([self._numbers[each] for each in ids], np.int32)[places]

    def ascending(self, entries, where):
        """The ids in ascending order, and the position of each number's id, int32. ValueError for a missing one among
        whole numbers, with its place: `entries` are the numbers of all blocks, and `where` puts a position into words.
        """
        missing = self._text and MISSING_WORDS.intersection(self._numbers)
        if missing and all(each in missing or each.lstrip("-").isdigit() for each in self._numbers):
            entry = int(np.argmax(np.isin(entries, [self._numbers[each] for each in missing])))
            raise ValueError("%s: the id is %r, and the others are whole numbers; expected an id: leave out such "
                             "lines, in pandas by dropna, or write a number for it"
                             % (where(entry), list(self._numbers)[entries[entry]]))
        ids, places = _ascending(list(self._numbers), self._path)
        return ids, places.astype(np.int32)


def positions(ids, known, name):
    """The position of an id, (), or of several, (n,), among the known, ascending ones; -1 for an unknown one."""
    single = is_single(ids, name)
    if single:
        ids = [ids] if isinstance(ids, str) else np.asarray(ids).reshape(1)
    ids = as_array(ids)
    if ids.ndim != 1:
        raise ValueError("%s have the shape %r; expected one dimension" % (name, ids.shape))
    if not len(ids):
        return np.zeros(0, np.intp)
    found, inverse = distinct(ids, name)
    if (found.dtype.kind == "U") != (known.dtype.kind == "U"):
        raise TypeError("%s are %s such as %.60r; expected %s such as %.60r, as the ids in fit%s: convert them"
                        % ((name,) + _kind(found) + _kind(known) + (with_other_zeros(found[0], known),)))
    places = np.minimum(np.searchsorted(known, found), len(known) - 1)
    places = np.where(known[places] == found, places, -1)[inverse]
    return places.reshape(()) if single else places


def positions_as_written(ids, known, name):
    """As `positions` of several ids, where one of the two may have numbers and the other text: digits are the same."""
    if (ids.dtype.kind == "U") == (known.dtype.kind == "U"):
        return positions(ids, known, name)
    texts = known.astype(str)
    order = np.argsort(texts)
    places = positions(ids.astype(str), texts[order], name)
    return np.where(places >= 0, order[places], -1)


def texts_like(ids, known):
    """Ids as text where the known ones are: a file whose ids are all digits has numbers."""
    return ids.astype(str) if known.dtype.kind == "U" and ids.dtype.kind != "U" else ids


def with_other_zeros(one, known):
    """A hint, for a message, at the known id that differs by zeros in front, as spreadsheets drop them; or ""."""
    if known.dtype.kind != "U" or str(one) in known:
        return ""
    same = np.flatnonzero(np.char.lstrip(known, "0") == str(one).lstrip("0"))
    return ", where %.60r is known" % known[same[0]].item() if len(same) else ""


def tell_of_quantities(ids, name):
    """Say on stderr that ids are few numbers, some below 0 or with decimals, as quantities are."""
    texts = ids[:_MOST_QUANTITIES + 1].astype(str).tolist()
    odd = [text for text in texts if not text.isdigit()]
    if odd and len(texts) <= _MOST_QUANTITIES and all(map(_QUANTITY.fullmatch, texts)):
        say("the %d %ss are numbers such as %s: if they are quantities or prices, pass the column of %ss by %s= of "
            "load_ratings (--%s-column)" % (len(texts), name, odd[0], name, name, name))


def _kind(ids):
    return "strings" if ids.dtype.kind == "U" else "numbers", ids[0].item()


class Catalogue:
    """The ids of users or items, ascending, then those of `n_more` with attributes only, ascending; and which have a
    rating in `fit`, or attributes: others are an error to a `strict` one."""

    def __init__(self, name, ids, rated, strict, n_more=0):
        self.name, self.ids, self.rated, self.strict = name, ids, rated, strict
        self.of_fit, self._more = ids[:len(ids) - n_more], ids[len(ids) - n_more:]

    def find(self, ids):
        """Places of one id, (), or several, (n,); -1 where there is no rating in `fit`. Errors as of `positions`."""
        places = positions(ids, self.of_fit, self.name + "s")
        places = np.where(self.rated[places], places, -1)
        if not len(self._more):
            return places
        others = positions(ids, self._more, self.name + "s")
        return np.where(others < 0, places, others + len(self.of_fit))

    def check_known(self, ids, places, done="predicted"):
        """Raise ValueError for ids at position -1, which `find` gives to unknown ones, if that is an error here."""
        if self.strict and (places < 0).any():
            raise ValueError("%s, and with unknown='error' it can't be %s; leave it out, or set unknown to 'mean' or a "
                             "number before fit" % (self.without_rating(ids, places), done))

    def without_rating(self, ids, places):
        """The words for the first of some ids, or one, at position -1."""
        one = one_of(ids, int(np.argmax(np.asarray(places) < 0)))
        return "the %s %.60r had no rating in fit%s" % (self.name, one, with_other_zeros(one, self.ids))

    def candidates(self, ids=None, exclude=None):
        """Places, ascending, of those of some ids that had a rating in `fit`, or of all that had, without those to
        exclude; ValueError if there are ids and none is known. Unknown ones to exclude are ignored."""
        places = np.flatnonzero(self.rated)
        if ids is not None:
            places = self.find(ids)
            self.check_known(ids, places, "ignored")
            if places.size and (places < 0).all() and not np.isin(as_array(ids), self.ids).any():
                raise ValueError("none of the %ss, such as %.60r, had a rating in fit%s; expected ids such as %.60r"
                                 % (self.name, one_of(ids, 0), with_other_zeros(one_of(ids, 0), self.ids),
                                    self.ids[0].item()))
            places = np.unique(places[places >= 0])
        return places if exclude is None else np.setdiff1d(places, self.find(exclude))


def check_ids(ids, name):
    """Return ids that came from a file: ValueError unless they are integers or strings, each one once, ascending."""
    if ids.ndim != 1 or ids.dtype != np.int64 and ids.dtype.kind != "U":
        raise ValueError("%s are of shape %r and dtype %s" % (name, ids.shape, ids.dtype))
    if len(ids) > 1 and not (ids[1:] > ids[:-1]).all():
        raise ValueError("%s aren't in ascending order" % name)
    return ids


def is_single(ids, name):
    """Tell one id from several; ValueError or TypeError, with the argument's name, for anything else."""
    if isinstance(ids, (str, numbers.Number)):
        return True
    array = as_array(ids)
    if array.dtype == object and not array.ndim and not isinstance(array.item(), (str, numbers.Number)):  # None, a set
        raise TypeError("%s is %.60r; expected an id, or a list of ids" % (name, ids))
    return not array.ndim


def one_of(ids, position):
    """One of some ids, or the only one, for a message."""
    value = ids if not isinstance(ids, (list, tuple)) and np.ndim(ids) == 0 else np.asarray(ids, dtype=object)[position]
    return value.item() if isinstance(value, np.generic) else value
