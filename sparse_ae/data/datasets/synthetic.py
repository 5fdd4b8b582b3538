"""Synthetic ratings whose right answers are known: docs/guide/data.md has the formulas."""
from typing import Any, NamedTuple, Optional, Tuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import Rng, Scale, check_count, check_number, check_rating_scale, check_rng
from sparse_ae.data.ratings import Ratings
from sparse_ae.data.tables import as_ratings

__all__ = ["made_up_ratings", "rating_chunks", "tastes"]


class Taste(NamedTuple):
    """True preferences: ``users[u] . items[i]``, of float64 arrays (n_users or n_items, n_factors + 2), is added to the
    middle of the `rating_scale`, a pair of floats."""

    users: np.ndarray
    items: np.ndarray
    rating_scale: Tuple[float, float]

    def __call__(self, users: Any, items: Any) -> np.ndarray:
        """The right answer for users and items, arrays of indices (n,): clipped to the scale, without noise."""
        return np.clip(self._raw(users, items), *self.rating_scale)

    def _raw(self, users, items):
        low, high = self.rating_scale
        return (low + high) / 2 + np.einsum("nk,nk->n", self.users[users], self.items[items])


def tastes(n_users, n_items, n_factors=5, rating_scale=(1, 5), rng=0):
    """Draw the true preferences of synthetic ratings, by the formulas of docs/guide/data.md.

    Parameters
    ----------
    n_users, n_items, n_factors : int
    rating_scale : (float, float)
    rng : numpy.random.RandomState or int

    Returns
    -------
    Taste
    """
    for name, size in (("n_users", n_users), ("n_items", n_items), ("n_factors", n_factors)):
        check_count(size, name)
    low, high = check_rating_scale(rating_scale)
    rng = check_rng(rng)
    width = n_factors ** -0.25
    users = np.column_stack([rng.randn(n_users) * 0.4, np.ones(n_users), rng.randn(n_users, n_factors) * width])
    items = np.column_stack([np.ones(n_items), rng.randn(n_items) * 0.6, rng.randn(n_items, n_factors) * width])
    return Taste(users, items * (high - low) / 8, (low, high))


def rating_chunks(taste, n_ratings, noise=0.5, step=None, rng=0, chunk_size=10 ** 6):
    """Draw ratings of true preferences, with noise, in chunks of users.

    Parameters
    ----------
    taste : Taste
    n_ratings : int
        In total, without repeated pairs.
    noise : float
        Standard deviation of the noise, in the unit of the ratings.
    step : float, optional
        Round ratings to the lowest and multiples of this above it: 1 for stars, 0.5 for half stars.
    rng : numpy.random.RandomState or int
    chunk_size : int
        About as many ratings to a chunk.

    Yields
    ------
    users, items : numpy.ndarray of int64, shape (n,)
        Indices in `taste`. Users ascend from chunk to chunk, not within one.
    ratings : numpy.ndarray of float32, shape (n,)
        At most half of all pairs have one.
    """
    rng = check_rng(rng)
    n_users, n_items = len(taste.users), len(taste.items)
    n_ratings = check_count(n_ratings, "n_ratings", most=n_users * n_items // 2)  # half of all pairs
    check_number(noise, "noise", zero=True)
    if step is not None:
        check_number(step, "step", alternative=", or None for no rounding")
    item_odds = _odds(n_items, 0.8)[rng.permutation(n_items)].cumsum()
    item_odds /= item_odds[-1]
    counts = _counts(_odds(n_users, 0.4)[rng.permutation(n_users)], n_ratings, (n_items + 1) // 2)
    starts = np.concatenate([[0], np.cumsum(counts)])
    low, high = taste.rating_scale
    first = 0
    while first < n_users:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + chunk_size, side="right")) - 1)
        users, items = _pairs(counts[first:last], item_odds, rng)
        users += first
        ratings = np.clip(taste._raw(users, items) + noise * rng.randn(len(users)), low, high)
        if step is not None:
            ratings = np.minimum(low + step * np.rint((ratings - low) / step), high)
        if len(users):
            yield users, items, ratings.astype(np.float32)
        first = last


def made_up_ratings(n_users: int = 1000, n_items: int = 500, n_ratings: int = 50000, n_factors: int = 5,
                    noise: float = 0.5, rating_scale: Scale = (1, 5), step: Optional[float] = None,
                    rng: Rng = 0) -> Tuple[Ratings, Taste]:
    """Draw synthetic ratings, with the true preferences.

    Parameters
    ----------
    n_users, n_items, n_ratings, n_factors, noise, rating_scale, step, rng
        As `tastes` and `rating_chunks` take them.

    Returns
    -------
    ratings : Ratings
        Ids are 0, 1, ...; all of them are there, also those without a rating.
    taste : Taste
        ``taste(users, items)`` are the predictions of a perfect model.

    Examples
    --------
    >>> import sparse_ae
    >>> ratings, taste = sparse_ae.made_up_ratings(60, 40, n_ratings=900)
    >>> print(ratings, taste([0, 1], [5, 5]).round(1))
    Ratings(900 ratings, 60 users, 40 items) [4.  2.6]
    """
    rng = check_rng(rng)
    taste = tastes(n_users, n_items, n_factors, rating_scale, rng)
    chunks = zip(*rating_chunks(taste, n_ratings, noise, step, rng))
    users, items, values = map(np.concatenate, chunks)
    return as_ratings(sp.coo_matrix((values, (users, items)), shape=(n_users, n_items))), taste


def _odds(n, power):
    """Popularity by rank, falling as a power of it; some ranks at the top share theirs."""
    odds = (np.arange(n) + 1 + 0.01 * n) ** -power
    return odds / odds.sum()


def _counts(odds, n_ratings, most):
    """The number of ratings of each user: proportional to the odds, at most `most`, `n_ratings` in total."""
    counts = np.minimum((odds * n_ratings).astype(np.int64), most)
    while counts.sum() < n_ratings:  # the rounded-off rest, and the part above `most`, go to users below `most`
        room = np.flatnonzero(counts < most)
        missing = n_ratings - counts.sum()
        counts[room] += np.bincount(np.arange(missing) % len(room), minlength=len(room))
        counts = np.minimum(counts, most)
    return counts


def _pairs(counts, item_odds, rng):
    """Distinct pairs: `counts` (n_users,) items for each user, drawn by popularity."""
    n_items = len(item_odds)
    pairs = np.zeros(0, np.int64)
    missing = counts
    while missing.any():
        users = np.repeat(np.arange(len(counts)), missing)
        items = np.searchsorted(item_odds, rng.rand(len(users)), side="right")
        # Counts are asked for so that NumPy sorts: from 2.3 on it hashes else, which takes 18 times as long here.
        pairs, _ = np.unique(np.concatenate([pairs, users * n_items + items]), return_counts=True)
        missing = counts - np.bincount(pairs // n_items, minlength=len(counts))
    return pairs // n_items, pairs % n_items
