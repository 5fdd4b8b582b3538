"""Held-out ratings, as a `FitResult` predicts them and lists items for their users."""
from typing import Any, Dict, Optional, Sequence, Union

import numpy as np

from sparse_ae.checks import check_bool
from sparse_ae.data.events import with_ids_like
from sparse_ae.data.ids import distinct
from sparse_ae.data.tables import as_columns, count_columns
from sparse_ae.data.times import span
from sparse_ae.evaluation.metrics import Metric, mae, rmse
from sparse_ae.evaluation.rankings import RelevantItems, are_relevant, check_lengths, check_relevant, relevant_from
from sparse_ae.recommender.defaults import is_auto
from sparse_ae.recommender.fitted_attributes import FittedAttributes
from sparse_ae.runtime.progress import reporting, say


class HeldOut:
    """Ratings by column, their positions `u` and `i`, -1 for unknown ones, `wanted` if relevant, and `predicted`; the
    `lists` of users by `ids` and position (`listed`), perhaps their AUC (`areas`), and their `judge`."""

    def __init__(self, fitted, ratings, y, k, relevant, auc=False, of="all"):
        """Predict the ratings, and recommend k items, one k, several or None, to "all" or "known" users."""
        lengths = check_lengths(k, ", a list of them, 'auto', or None") if k is not None else [1]
        if relevant is not None:
            check_relevant(relevant)
        ratings = with_ids_like(ratings, users=fitted.users, items=fitted.items)
        self.users, self.items, self.values, *times = (count_columns if fitted.is_counts else as_columns)(ratings, y)
        self.span = span(times[0]) if times else None
        self.u, self.i = fitted.pairs(self.users, self.items)
        self.n_unknown = int(np.count_nonzero((self.u < 0) | (self.i < 0)))
        self.n_trained = int(np.count_nonzero(fitted.are_rated(self.u, self.i)))
        ids, self.numbers = distinct(self.users)
        n, of_items = len(self.values), distinct(self.items)[1]
        matrix = fitted.rating_matrix
        self.wanted, judged = np.zeros(n, bool), self.values
        if k is not None:
            if relevant is None:
                relevant = relevant_from(matrix.matrix.data, fitted.rating_scale, fitted.is_counts)
            elif fitted.is_counts:  # each pair's total; values are log2(1 + count)
                pairs = distinct(self.numbers * n + of_items)[1]
                judged = np.bincount(pairs, np.exp2(judged) - 1)[pairs]
            self.wanted = are_relevant(judged, relevant)
        self.k, self.relevant = k, relevant
        position = np.full(len(ids), -1)
        position[self.numbers] = self.u
        self.judge = judge = RelevantItems(
            self.numbers, np.where(self.i < 0, len(fitted.items) + of_items, self.i), self.wanted, position >= 0,
            fitted.scorer.candidates, matrix.counts, of)
        self.ids, self.listed = ids[judge.users], position[judge.users]  # -1 for unknown users
        self.lists = np.full((len(self.ids), min(max(lengths), len(judge.candidates))), -1)  # of longer ones misses
        self.areas, at = judge.areas_of_unknown() if auc else None, np.flatnonzero(judge.known)

        def watch(users, scores):
            self.areas[at[users]] = judge.areas(at[users], scores)

        self.lists[at] = fitted.scorer.best(self.listed[at], self.lists.shape[1], True, judge.candidates,
                                            watch if auc else None)[0]
        self.predicted = fitted.predicted(self.u, self.i) if fitted.objective.has_errors else None

    def metrics(self, measure):
        """The result of `Recommender.evaluate`, whose first metric is the `measure` of an objective."""
        kept = (self.u >= 0) | (self.judge.of == "all")
        n_left_out = int(np.count_nonzero(~kept))
        if n_left_out == len(kept):
            raise ValueError("none of the %d held-out ratings is of a user with a rating in fit, such as user %.60s; "
                             "expected users='all', or other ratings" % (n_left_out, self.users[0]))
        found = {"n_ratings": len(kept) - n_left_out, "n_unknown": self.n_unknown - n_left_out,
                 "n_trained": self.n_trained}
        if self.predicted is not None:
            pairs = self.values[kept], self.predicted[kept]
            found = dict(rmse=rmse(*pairs), mae=mae(*pairs), **found)
        if self.k is None:
            return found
        found.update(self.judge.metrics(self.lists, self.k, areas=self.areas))
        name = measure.partition("@")[0]
        first = next(each for each in (name, measure, "%s@%d" % (name, check_lengths(self.k)[0])) if each in found)
        return {first: found.pop(first), **found}


def length_of(fitted, k):
    """The length of lists, `k`, or the objective's for "auto" and None; None if that is an RMSE's."""
    own = Metric.parse(fitted.objective.measure, "the objective's measure").k
    if is_auto(k):
        return own or 10
    return own if k is None else k


def nothing_known(users, items):
    """The words for held-out ratings, by their ids, if no pair has a known user and a known item."""
    return ("no pair has both a user and an item with ratings in fit, such as user %.60s, item %.60s: check the ids, "
            "and the columns" % (users[0], items[0]))


class Judged(FittedAttributes):
    """Base of `Recommender`."""

    def score(self, ratings: Any, y: Any = None) -> float:
        """Return the objective's `measure` of held-out ratings: higher is better, as in scikit-learn.

        Parameters
        ----------
        ratings, y
            Held-out ratings, in any form that `fit` takes.

        Returns
        -------
        float
            As `evaluate` has it, unknown users and items included: minus the RMSE for ratings, NDCG@10 for "lists" and
            "clicks".
        """
        fitted = self._answering()
        found = HeldOut(fitted, ratings, y, length_of(fitted, None), None).metrics(fitted.objective.measure)
        name, value = next(iter(found.items()))
        return -value if name == "rmse" else value

    @reporting
    def evaluate(self, ratings: Any, y: Any = None, k: Union[int, Sequence[int], str, None] = "auto",
                 relevant: Optional[float] = None, per_user: bool = False, users: str = "all") -> Dict[str, Any]:
        """Evaluate on held-out ratings: errors of predicted ratings, and ranking metrics.

        If fewer than half of the users with held-out ratings can be judged by rankings, a line on stderr says how
        many, and why, unless `progress` is False.

        Parameters
        ----------
        ratings, y
            Held-out ratings, in any form that `fit` takes.
        k : int, list of int, "auto" or None
            Number of recommendations for each user; "auto" is that of the objective's measure, 10 for RMSE. None skips
            ranking, which takes most of the time, if the measure is RMSE. With several each metric of lists has its k
            in its name, such as "ndcg@5".
        relevant : float, optional
            The rating, or the total count, from which a held-out item is relevant; by default three quarters up the
            scale: 4 on 1 to 5, and any count, as in `evaluation.evaluate_lists`.
        per_user : bool
            Return the first seven ranking metrics and "auc" of each user: a dict of arrays, (n_users,), first "user",
            for ``pandas.DataFrame`` or `evaluation.compare_lists`.
        users : "all" or "known"
            With "known" the held-out ratings of users without a rating, or attributes, in `fit` are left out.

        Returns
        -------
        dict
            The objective's measure comes first.

            "rmse", "mae"
                Over all ratings; not with objectives whose predictions are scores.
            "n_ratings", "n_unknown", "n_trained"
                Numbers of ratings: all; those with a user or an item without a rating in `fit`, which count like the
                others; and those of pairs that were rated in `fit`. These are never recommended, so that they count as
                misses: leave them out.
            "precision", "recall", "ndcg", "hit_rate", "map", "mrr", "f1"
                At k, for the list of `recommend`, by the formulas of docs/guide/evaluation.md. Users without a relevant
                item are left out; users without a rating in `fit` have k misses. NaN if no user has a relevant item.
            "coverage", "popularity", "novelty", "gini", "entropy", "user_coverage", "auc", "n_users", ...
                As in `evaluation.evaluate_lists`; the candidates are the items with a rating, or attributes, in `fit`.

        Examples
        --------
        >>> held_out = [("bob", "jam", 4), ("eve", "tea", 4)]
        >>> round(recommender.evaluate(held_out)["rmse"], 1)
        0.6
        >>> found = shop.evaluate([("bob", "jam"), ("dan", "oil")], k=2)
        >>> found["n_users"], found["hit_rate"]
        (2, 0.5)
        """
        fitted = self._answering()
        k = length_of(fitted, k)
        of_lists = "per_user=True" if check_bool(per_user, "per_user") else "relevant" if relevant is not None else None
        if of_lists and k is None:
            raise ValueError("%s and k=None were given; expected a k, since it is lists that are judged" % of_lists)
        held = HeldOut(fitted, ratings, y, k, relevant, True, users)
        if self.progress and 0 < held.n_unknown < len(held.values) and held.predicted is not None:
            say("%d of %d held-out ratings have a user or an item without a rating in fit"
                % (held.n_unknown, len(held.values)))
        said = None if k is None else held.judge.few_judged(held.relevant)
        if self.progress and said:
            say(said)
        return (held.judge.metrics(held.lists, k, users=held.ids, areas=held.areas) if per_user else
                held.metrics(fitted.objective.measure))
