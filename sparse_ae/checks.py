"""Checks of arguments that many modules take: counts, numbers, rating scales, seeds."""
import contextlib
import difflib
import math
import numbers
import os
import zlib
from typing import Tuple, Union

import numpy as np

#: Types of arguments that many functions take.
AnyPath = Union[str, "os.PathLike[str]"]
Column = Union[str, int, None]
Id = Union[str, int, np.generic]
Rng = Union[int, np.random.RandomState]
Scale = Tuple[float, float]

#: Of columns and of units: the Ops' indices are int32.
MOST_UNITS = 2 ** 31 - 1

#: The square of a larger number is beyond float32; ratings stay below, since larger numbers are computed from them.
MOST, MOST_RATING = 1e18, 1e17


def check_count(value, name, alternative="", most=None):
    """Return a count of at least 1 as an int; `alternative` says what might have come instead."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError("%s is %r; expected a positive integer%s" % (name, value, alternative))
    if most is not None and value > most:
        raise ValueError("%s is %d; expected at most %d" % (name, value, most))
    return int(value)


def check_rng(rng):
    """Return the RandomState that `rng` is, which moves on with every draw, or a new one of the seed that it is."""
    if isinstance(rng, np.random.RandomState):
        return rng
    if not isinstance(rng, numbers.Integral) or isinstance(rng, bool):
        raise TypeError("rng is %r; expected a numpy.random.RandomState or an int seed, such as 0" % (rng,))
    if not 0 <= rng < 2 ** 32:
        raise ValueError("rng=%d is not a valid seed; expected 0 .. 2**32 - 1" % rng)
    return np.random.RandomState(int(rng))


def is_number(value):
    """Tell whether a value is a real, finite number, and no bool."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond float64
        return False


def is_integer(value):
    """Tell whether a value from a file is an int, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def generator_from(kind, keys, position, has_gauss, gauss):
    """The RandomState of a state from a file; NumPy would take any position, and read memory behind the keys."""
    sound = (kind == "MT19937" and isinstance(keys, (list, tuple)) and len(keys) == 624
             and all(isinstance(key, int) and 0 <= key < 2 ** 32 for key in keys)
             and isinstance(position, int) and 0 <= position <= 624 and has_gauss in (0, 1) and is_number(gauss))
    if not sound:
        raise ValueError("its random generator's state is not a valid one")
    rng = np.random.RandomState(0)
    rng.set_state((kind, np.array(keys, np.uint32), int(position), int(has_gauss), float(gauss)))
    return rng


def state_of(rng):
    """The whole state of a RandomState in a few numbers: two that have the same draw the same."""
    _, keys, position, has_gauss, gauss = rng.get_state()
    return [zlib.crc32(keys), position, has_gauss, gauss]


def _real(value, name, is_sound, expected):
    """A number for which `is_sound` as a float, of an array without dimensions, too; ValueError for anything else."""
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value[()]
    if not is_number(value) or not is_sound(value):
        raise ValueError("%s is %r; expected %s" % (name, value, expected))
    return float(value)


def check_number(value, name, zero=False, alternative=""):
    """Return a positive number as a float; `zero` allows 0, and `alternative` names other values, or an example."""
    expected = "a finite number, 0 or more" if zero else "a positive number"
    return _real(value, name, lambda x: x > 0 or zero and x == 0, expected + alternative)


def check_finite(value, name, expected="a number"):
    """Return a finite number as a float."""
    return _real(value, name, lambda x: True, expected)


def check_share(value, name, alternative=""):
    """Return a number from 0 to 1 as a float."""
    return _real(value, name, lambda x: 0 <= x <= 1, "a number from 0 to 1" + alternative)


def check_fraction(value, name, alternative=""):
    """Return a number between 0 and 1, neither included, as a float."""
    return _real(value, name, lambda x: 0 < x < 1, "a number between 0 and 1" + alternative)


def check_bool(value, name, alternative=""):
    """Return a bool; ValueError for anything else."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError("%s is %r; expected True or False%s" % (name, value, alternative))
    return bool(value)


def check_choice(value, name, choices):
    """Return a str that is one of some; ValueError for anything else."""
    if not isinstance(value, str) or value not in choices:
        *others, last = choices
        raise ValueError("%s is %r; expected %s or %r%s"
                         % (name, value, ", ".join(map(repr, others)), last, near(value, choices)))
    return value


def near(value, choices):
    """A question for the end of a message, with the one of some choices that is spelled most like a value; or ""."""
    choices = {str(each).lstrip("-").lower(): each for each in choices}  # dashes would make all options alike
    found = difflib.get_close_matches(str(value).lstrip("-").lower(), choices, 1, 0.65)
    return ": did you mean %s?" % choices[found[0]] if found else ""


def check_dtype(dtype):
    """Return "float32" or "float64"; ValueError for any other dtype."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = None
    if dtype is None or name not in ("float32", "float64"):
        raise ValueError("dtype is %r; expected 'float32' or 'float64'" % (dtype,))
    return name


def check_rating_scale(rating_scale):
    """Return the lowest and the highest rating as floats: finite, at most `MOST_RATING`, the lower first."""
    pair = list(rating_scale) if isinstance(rating_scale, (tuple, list, np.ndarray)) and np.ndim(rating_scale) else []
    if len(pair) != 2:
        raise ValueError("rating_scale is %r; expected (lowest rating, highest rating)" % (rating_scale,))
    if not all(map(is_number, pair)) or not pair[0] < pair[1]:
        raise ValueError("rating_scale is %r; expected two finite numbers, the lower first" % (rating_scale,))
    return check_size_of_ratings(pair, "rating_scale goes from %g to %g")


def check_size_of_ratings(extremes, said):
    """Return the two as floats; ValueError with the format `said` of both, if one is beyond `MOST_RATING`."""
    low, high = map(float, extremes)
    if max(abs(low), abs(high)) > MOST_RATING:
        raise ValueError("%s; expected numbers up to %g: divide all ratings by a constant"
                         % (said % (low, high), MOST_RATING))
    return low, high


def are_on_scale(ratings, rating_scale):
    """Tell which ratings are on a scale: in float32, as ratings are stored, so that 0.1 is on a scale from 0.1."""
    with np.errstate(over="ignore"):
        ratings, (low, high) = np.asarray(ratings, np.float32), np.asarray(rating_scale, np.float32)
    return (low <= ratings) & (ratings <= high)


def check_on_scale(unknown, rating_scale):
    """ValueError for the rating to predict where nothing is known, `unknown`, if it is off the rating scale."""
    if rating_scale is not None and not are_on_scale(unknown, rating_scale):
        raise ValueError("unknown is %g, outside the rating scale, %g to %g; expected a rating to predict for unknown "
                         "users and items" % ((unknown,) + tuple(rating_scale)))


def check_path(path, name, what="the path of a file"):
    """Return a path as a str, with the user's folder for ~/; TypeError for other objects, ValueError for a name that no
    file can have."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise TypeError("%s is %r; expected %s" % (name, path, what))
    if "\0" in os.fspath(path):
        raise ValueError("%s is %r, which has a null byte; expected %s" % (name, path, what))
    return os.path.expanduser(path)  # pathlib's raises for a file that is called ~ratings.csv


def error_at(where, error):
    """The TypeError or ValueError to raise for one of these kinds, whose message says where it came from."""
    return (TypeError if isinstance(error, TypeError) else ValueError)("%s: %s" % (where, error))


@contextlib.contextmanager
def errors_at(where):
    """A context whose TypeError or ValueError says where it came from, as `error_at` does."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise error_at(where, error) from None


def brief(said):
    """A text, or an error's, without its middle if it is long: a file's content may take megabytes."""
    said = str(said)
    return said if len(said) <= 400 else "%s ... %s" % (said[:200], said[-100:])
