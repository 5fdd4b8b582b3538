"""Checks of arguments that many modules take: counts, seeds."""
import numbers

import numpy as np

__all__ = ["check_count", "check_rng"]


def check_count(value, name, alternative=""):
    """Return a count of at least 1 as an int.

    Parameters
    ----------
    value : int
    name : str
        What the message calls it.
    alternative : str
        What the message says might have come instead.

    Raises
    ------
    ValueError
        If the value is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError("%s is %r; expected a positive integer%s" % (name, value, alternative))
    return int(value)


def check_rng(rng):
    """Return the RandomState that `rng` is or is the seed of.

    Parameters
    ----------
    rng : numpy.random.RandomState or int
        A RandomState is returned as it is and moves on with every draw; an int starts a new one.

    Returns
    -------
    numpy.random.RandomState

    Raises
    ------
    TypeError, ValueError
        If rng is anything else, or a seed outside 0 .. 2**32 - 1.
    """
    if isinstance(rng, np.random.RandomState):
        return rng
    if not isinstance(rng, numbers.Integral) or isinstance(rng, bool):
        raise TypeError("rng is %r; expected a numpy.random.RandomState or an int seed, such as 0" % (rng,))
    if not 0 <= rng < 2 ** 32:
        raise ValueError("rng=%d is no seed; expected 0 .. 2**32 - 1" % rng)
    return np.random.RandomState(int(rng))
