"""The best items in order: by score; of equal ones the most popular, then the first of the candidates."""
from typing import Any, List, NamedTuple, Sequence

import numpy as np

from sparse_ae.data.columns import as_frame

# Entries in a group of `floors`, at most.
_WIDEST = 16


class Recommendations(NamedTuple):
    """Items for one user, the best first.

    Attributes
    ----------
    items : numpy.ndarray of int64 or str, shape (n,)
        Ids.
    scores : numpy.ndarray of float, shape (n,)
        Predicted ratings, in the ratings' unit; of `Recommender.similar_items`, cosines.
    """

    items: np.ndarray
    scores: np.ndarray

    def to_frame(self) -> Any:
        """A pandas DataFrame with the columns item and score, the best first; ImportError without pandas."""
        return as_frame({"item": self.items, "score": self.scores})


class RecommendationLists(Sequence[Recommendations]):
    """Recommendations for several users: ``lists[k]`` are the `Recommendations` for ``users[k]``.

    Attributes
    ----------
    users : numpy.ndarray of int64 or str, shape (n_users,)
        Ids, in the order asked for.
    items : list of numpy.ndarray of int64 or str, length n_users
        The ids of each list, of `lists[k].items`, which may differ in length.
    scores : list of numpy.ndarray of float, length n_users

    Examples
    --------
    >>> import numpy as np
    >>> lists = RecommendationLists(np.array([7, 8]), [Recommendations(np.array(["tea", "jam"]), np.array([4.5, 4.0])),
    ...                                                Recommendations(np.array(["ale"]), np.array([3.5]))])
    >>> [(user, items.tolist()) for user, items in zip(lists.users.tolist(), lists.items)]
    [(7, ['tea', 'jam']), (8, ['ale'])]
    >>> lists[1].scores
    array([3.5])
    >>> lists.to_frame().shape
    (3, 3)
    """

    def __init__(self, users, lists):
        self.users, self._lists = users, lists

    @property
    def items(self) -> List[np.ndarray]:
        return [each.items for each in self._lists]

    @property
    def scores(self) -> List[np.ndarray]:
        return [each.scores for each in self._lists]

    def __len__(self) -> int:
        return len(self._lists)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return RecommendationLists(self.users[at], self._lists[at])
        return self._lists[at]

    def __repr__(self):
        return "RecommendationLists(users=%r, items=%r)" % (self.users, self.items)

    def to_frame(self) -> Any:
        """A pandas DataFrame with the columns user, item and score, user by user; ImportError without pandas."""
        lengths = np.array([len(each.items) for each in self._lists], np.intp)
        items, scores = (np.concatenate(column) if column else np.zeros(0) for column in (self.items, self.scores))
        return as_frame({"user": np.repeat(self.users, lengths), "item": items, "score": scores})


def top_n(scores, n, popularity=None):
    """Positions of the n best of each row of scores, (n_rows, n), -1 for none, without those of -inf. Of equal scores
    the highest `popularity`, (n_candidates,), comes first, then the first. ValueError for NaN."""
    return best_of(scores, n, popularity)[0]


def best_of(scores, n, popularity=None):
    """The positions of `top_n`, and their scores, -inf where there are no more."""
    if popularity is None:
        return _first_best(scores, n)
    best, found = _first_best(scores, n + 1)  # one more tells whether the last is tied
    tied = np.flatnonzero(((found[:, 1:] == found[:, :-1]) & (best[:, 1:] >= 0)).any(axis=1))
    best, found = best[:, :n], found[:, :n]
    if len(tied):
        order = np.argsort(-popularity, kind="stable")
        again, found[tied] = _first_best(scores[tied].take(order, axis=1, mode="clip"), n)
        best[tied] = np.append(order, -1)[again]
    return best, found


def _first_best(scores, n):
    """As `best_of`, with the first of equal ones."""
    lowest = floors(scores, n)
    rows, places = reaching(scores, lowest)
    found = scores[rows, places]
    # Many may equal the lowest: the first n of them are enough.
    tied = found == lowest[rows]
    counts = np.concatenate([[0], np.cumsum(tied)])
    before = counts[np.searchsorted(rows, np.arange(len(scores)))]
    kept = ~tied | (counts[1:] <= before[rows] + n)
    return ordered(rows[kept], places[kept], found[kept], len(scores), n)


def best_with_new(scores, n, popularity, n_new, are_new):
    """As `best_of`, with the last n_new places for those that `are_new`; more of one kind if the other is short."""
    of_kinds = [(columns,) + best_of(scores[:, columns], n, popularity[columns])
                for columns in map(np.flatnonzero, (~are_new, are_new))]
    n_known, n_fresh = (np.count_nonzero(best >= 0, axis=1)[:, np.newaxis] for _, best, _ in of_kinds)
    n_fresh = np.minimum(n_fresh, np.maximum(n_new, n - n_known))
    taken = np.hstack([np.arange(n) < np.minimum(n_known, n - n_fresh), np.arange(n) < n_fresh])
    best = np.hstack([np.append(columns, -1)[best] for columns, best, _ in of_kinds])
    found = np.hstack([of_kind for _, _, of_kind in of_kinds])
    order = np.argsort(~taken, axis=1, kind="stable")[:, :n]
    return tuple(np.take_along_axis(np.where(taken, each, nothing), order, axis=1)
                 for each, nothing in ((best, -1), (found, found.dtype.type(-np.inf))))


def floors(scores, n):
    """For each row a score that n of its entries reach, rarely many more: the n-th of the highest scores of 2 n or more
    groups of entries; -inf if n is the number of entries or more."""
    n_rows, n_candidates = scores.shape
    width = max(1, min(_WIDEST, n_candidates // (2 * n)))
    n_groups = n_candidates // width
    highest = scores[:, :n_groups * width].reshape(n_rows, width, n_groups).max(axis=1)
    rest = scores[:, n_groups * width:]
    if rest.size:
        highest = np.column_stack([highest, rest.max(axis=1)])
    if np.isnan(highest).any():
        raise ValueError("scores are NaN; expected a number for each candidate, -inf for one to leave out")
    if n >= n_candidates:
        return np.full(n_rows, -np.inf, scores.dtype)
    highest.partition(highest.shape[1] - n, axis=1)
    return highest[:, -n]


def reaching(scores, lowest):
    """Rows and positions, row by row, of scores above -inf that reach their row's `lowest`."""
    rows, places = np.divmod(np.flatnonzero(scores >= lowest[:, np.newaxis]), max(1, scores.shape[1]))
    if (lowest == -np.inf).any():
        there = scores[rows, places] > -np.inf
        rows, places = rows[there], places[there]
    return rows, places


def ordered(rows, places, scores, n_rows, n, popularity=None):
    """The n best of each row among the entries of `reaching`, and their scores, as `best_of` returns them."""
    counts = np.bincount(rows, minlength=n_rows)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = n_rows, counts.max(initial=0)
    negative, place = np.full(shape, np.inf, scores.dtype), np.full(shape, -1)
    negative[rows, within], place[rows, within] = -scores, places
    keys = (negative,) if popularity is None else (-popularity[place], negative)
    order = np.lexsort(keys)[:, :n]  # stable: equal ones keep their order
    best, found = np.full((n_rows, n), -1), np.full((n_rows, n), -np.inf, scores.dtype)
    best[:, :order.shape[1]] = np.take_along_axis(place, order, axis=1)
    found[:, :order.shape[1]] = -np.take_along_axis(negative, order, axis=1)
    return best, found


def leave_out(scores, candidates, rows, items):
    """Set scores of pairs of rows and items to -inf, in place; items beside the ascending `candidates` are skipped."""
    if not len(candidates):
        return
    last = candidates[-1]
    table = np.full(last + 2, -1)  # with a place for all that is beyond
    table[candidates] = np.arange(len(candidates))
    at = table[np.minimum(items, last + 1)]
    there = at >= 0
    scores[rows[there], at[there]] = -np.inf


def recommendations(ids, best, scores):
    """The `Recommendations` of a row of `top_n` and its scores, by the candidates' ids."""
    best = best[best >= 0]
    return Recommendations(ids[best], scores[:len(best)].copy())  # a view would keep other users' scores
