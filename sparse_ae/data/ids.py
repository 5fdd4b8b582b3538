"""Ids of users and items: labels, all integers or all strings, and the places of their rows and columns."""
import numbers

import numpy as np

__all__ = ["Catalogue", "Codes", "INT64_MAX", "distinct", "one_of", "positions", "sort_ids"]

INT64_MAX = np.iinfo(np.int64).max


def distinct(values, name="ids"):
    """The distinct ids of a column, and where each of its entries is among them.

    Parameters
    ----------
    values : array_like of int or str, shape (n,)
        Floats are taken if they all are whole numbers.
    name : str
        What messages call the column.

    Returns
    -------
    ids : numpy.ndarray of int64 or str
        Ascending.
    places : numpy.ndarray of int, shape (n,)

    Raises
    ------
    TypeError, ValueError
        For what can't be an id: mixed types, fractions, numbers beyond int64.
    """
    vector = np.asarray(values)
    kind = vector.dtype.kind
    # asarray turns [1, "1"] into two equal strings: look at what came.
    if kind == "O" or kind == "U" and not isinstance(values, np.ndarray):
        codes = Codes()
        positions = np.fromiter((codes[value] for value in _checked_ids(name, values)), np.intp, len(vector))
        return sort_ids(list(codes), positions)
    if kind not in "iufU":
        raise TypeError("%s are of dtype %s; ids have to be integers or strings: convert them, for example with "
                        "[str(x) for x in %s]" % (name, vector.dtype, name))
    if kind == "f":
        whole = np.isfinite(vector) & (vector == np.rint(vector)) & (np.abs(vector) <= 2 ** 53)
        if not whole.all():
            entry = int(np.argmin(whole))
            raise ValueError("entry %d: the id in %s is %r; ids have to be integers or strings"
                             % (entry, name, vector[entry].item()))
    if kind == "u" and int(vector.max()) > INT64_MAX:
        raise ValueError("%s hold the id %d, which is too large for int64: pass them as strings" % (name, vector.max()))
    return np.unique(vector if kind == "U" else vector.astype(np.int64), return_inverse=True)


def _checked_ids(name, values):
    """The ids one by one, once it is clear that all are integers or all are strings."""
    kind = None
    for entry, value in enumerate(values):
        fits = isinstance(value, (str, numbers.Integral)) and not isinstance(value, (bool, np.bool_))
        if fits and isinstance(value, str) and value.endswith("\0"):
            raise ValueError("entry %d: the id %r in %s ends in a NUL, which NumPy drops: strip it"
                             % (entry, value, name))
        if not fits or kind not in (None, isinstance(value, str)):
            raise TypeError("entry %d: the id in %s is %r; ids have to be all integers or all strings: convert them, "
                            "for example with str" % (entry, name, value))
        if not isinstance(value, str) and abs(int(value)) > INT64_MAX:
            raise ValueError("entry %d: the id %d in %s is too large for int64: pass the ids as strings"
                             % (entry, value, name))
        kind = isinstance(value, str)
        yield value if kind else int(value)


class Codes(dict):
    """Numbers its keys in the order in which they are first asked for."""

    def __missing__(self, key):
        code = self[key] = len(self)
        return code


def sort_ids(ids, positions):
    """Bring a list of distinct ids, all int or all str, into ascending order, and the positions with them."""
    ids, rank = np.unique(np.array(ids, dtype=str if isinstance(ids[0], str) else np.int64), return_inverse=True)
    return ids, rank[positions]


def positions(ids, known, name):
    """Where each id is among the known ones.

    Parameters
    ----------
    ids : array_like of int or str, shape (n,)
    known : numpy.ndarray of int64 or str
        Distinct, ascending.
    name : str
        What the ids are, for messages: "users" or "items".

    Returns
    -------
    numpy.ndarray of int, (n,)
        -1 for an id that isn't known.

    Raises
    ------
    TypeError, ValueError
        For what can't be an id, and for strings where the known ids are numbers, or the other way round: none of them
        could be known.
    """
    vector = np.asarray(ids)
    if vector.ndim != 1:
        raise ValueError("%s have the shape %r; expected one dimension" % (name, vector.shape))
    if not len(vector):
        return np.zeros(0, np.intp)
    found, inverse = distinct(ids, name)
    if (found.dtype.kind == "U") != (known.dtype.kind == "U"):
        raise TypeError("%s are %s such as %r; expected %s such as %r, as the ids in fit: convert them"
                        % ((name,) + _kind(found) + _kind(known)))
    places = np.minimum(np.searchsorted(known, found), len(known) - 1)
    return np.where(known[places] == found, places, -1)[inverse]


def _kind(ids):
    return "strings" if ids.dtype.kind == "U" else "numbers", ids[0].item()


class Catalogue:
    """The ids of users, or of items, and which of them something is known of.

    Parameters
    ----------
    name : {"user", "item"}
    ids : numpy.ndarray of int64 or str, shape (n,)
        Ascending.
    rated : numpy.ndarray of bool, shape (n,)
        Which of them had a rating in `fit`.
    strict : bool
        Whether asking for others is an error.
    """

    def __init__(self, name, ids, rated, strict):
        self.name, self.ids, self.rated, self.strict = name, ids, rated, strict

    def find(self, ids):
        """Places of one id or several, (n,); -1 for those without a rating in `fit`. Errors as of `positions`."""
        places = positions([ids] if np.ndim(ids) == 0 else ids, self.ids, self.name + "s")
        return np.where(self.rated[places], places, -1)

    def check_known(self, ids, places, done="predicted"):
        """Raise ValueError for ids of which `find` has given the place -1, if that is an error here."""
        if self.strict and (places < 0).any():
            raise ValueError("the %s %r had no rating in fit, and with unknown='error' none is %s; leave it out, or set "
                             "unknown to 'mean' or a number before fit"
                             % (self.name, one_of(ids, int(np.argmax(places < 0))), done))

    def candidates(self, ids=None):
        """Places, ascending, of those of some ids that had a rating in `fit`; of all that had when none are given."""
        if ids is None:
            return np.flatnonzero(self.rated)
        places = self.find(ids)
        self.check_known(ids, places, "passed over")
        places = np.unique(places)
        return places[places >= 0]


def one_of(ids, position):
    """One of some ids, or the only one, for a message."""
    value = ids if np.ndim(ids) == 0 else np.asarray(ids, dtype=object)[position]
    return value.item() if isinstance(value, np.generic) else value
