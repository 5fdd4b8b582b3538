"""Zeros that may mean "not rated", as in Book-Crossing: only the user can tell, so a message asks."""
import numpy as np

from sparse_ae.runtime.progress import say

# Ratings other than 0 that are looked at, more or less.
_MOST_SEEN = 2 ** 20

# How many times as often the rating next to 0 is given, where 0 hardly belongs to the scale.
_TIMES = 100


def tell_of_zeros(ratings):
    """Say on stderr why zeros may be no ratings, if most are 0, or it is far from the rest or rare."""
    n_zeros = len(ratings) - np.count_nonzero(ratings)
    if not 0 < n_zeros < len(ratings) or ratings.min() < 0:
        return
    seen = ratings[::max(1, len(ratings) // _MOST_SEEN)]
    others, counts = np.unique(seen[seen != 0], return_counts=True)
    if not len(others):
        return
    n_next = counts[0] * (len(ratings) / len(seen))
    why = ("most are 0" if 2 * n_zeros > len(ratings) else
           "0 is far from the others" if len(others) > 2 and others[0] > 1.5 * np.diff(others).max() else
           "0 is very rare" if len(others) > 1 and _TIMES * n_zeros < n_next else None)
    if why is not None:
        say('%d of %d ratings are 0, and the others %g to %g: %s. If 0 means "not rated", pass missing=0 to '
            "load_ratings, store_ratings or as_ratings (--missing 0); if it is a rating, pass rating_scale=(0, %g) "
            "(--rating-scale 0 %g)" % (n_zeros, len(ratings), others[0], others[-1], why, others[-1], others[-1]))
