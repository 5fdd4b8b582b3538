"""Held-out ratings, as a `FitResult` predicts them and lists items for their users."""
import numpy as np

from sparse_ae.data.ids import distinct
from sparse_ae.data.tables import as_columns, count_columns
from sparse_ae.evaluation.metrics import mae, rmse
from sparse_ae.evaluation.rankings import RelevantItems, are_relevant, check_lengths, check_relevant, relevant_from


class HeldOut:
    """Of each rating, (n,): the ids `users` and `items`, `values`, positions `u` and `i`, -1 for unknown ones, the
    user's number in `numbers`, whether it makes its item relevant in `wanted`, and `predicted`, None if predictions are
    scores. `n_unknown` ratings have an unknown user or item. Of each list, for a user with a relevant item: id and
    position in `ids` and `listed`, `lists`, and perhaps AUC in `areas`. `judge` has the relevant items."""

    def __init__(self, fitted, ratings, y, k, relevant, auc=False):
        """Predict the ratings, and recommend k items to each user: a number, several, or None to recommend nothing."""
        lengths = check_lengths(k, ", a list of them, 'auto', or None") if k is not None else [1]
        if relevant is not None:
            check_relevant(relevant)
        columns_of = count_columns if fitted.is_counts else as_columns
        self.users, self.items, self.values = columns_of(ratings, y)[:3]
        self.u, self.i = fitted.pairs(self.users, self.items)
        self.n_unknown = int(np.count_nonzero((self.u < 0) | (self.i < 0)))
        self.n_trained = int(np.count_nonzero(fitted.are_rated(self.u, self.i)))
        ids, self.numbers = distinct(self.users)
        n, of_items = len(self.values), distinct(self.items)[1]
        self.wanted, judged = np.zeros(n, bool), self.values
        if k is not None:
            if relevant is None:
                relevant = fitted.rating_scale[0] if fitted.is_counts else relevant_from(*fitted.rating_scale)
            elif fitted.is_counts:  # each pair's total; values are log2(1 + count)
                pairs = distinct(self.numbers * n + of_items)[1]
                judged = np.bincount(pairs, np.exp2(judged) - 1)[pairs]
            self.wanted = are_relevant(judged, relevant)
        self.k, self.relevant = k, relevant
        whose, first, who = np.unique(self.numbers[self.wanted], return_index=True, return_inverse=True)
        self.ids, self.listed = ids[whose], self.u[self.wanted][first]  # -1 for unknown users
        n_relevant = np.bincount(distinct(who * n + of_items[self.wanted])[0] // n)
        candidates, (of_users, counts) = fitted.candidates, fitted.rating_matrix.counts
        counts = np.append(counts, np.zeros(len(fitted.items) - len(counts)))
        self.judge = judge = RelevantItems(candidates, who, self.i[self.wanted], n_relevant,
                                           counts[candidates] / np.count_nonzero(of_users))
        self.lists = np.full((len(first), min(max(lengths), len(candidates))), -1)  # the rest of longer ones are misses
        self.areas, at = np.zeros(len(first)) if auc else None, np.flatnonzero(self.listed >= 0)

        def watch(users, scores):
            self.areas[at[users]] = judge.areas(at[users], scores)

        self.lists[at] = fitted.scorer.best(self.listed[at], self.lists.shape[1], True, candidates,
                                            watch if auc else None)[0]
        self.predicted = None
        if fitted.objective.has_errors:
            self.predicted = fitted.predicted(self.u, self.i, fitted.scorer.pairs)

    def metrics(self, measure):
        """The result of `Recommender.evaluate`, whose first metric is the `measure` of an objective."""
        found = {"n_ratings": len(self.values), "n_unknown": self.n_unknown, "n_trained": self.n_trained}
        if self.predicted is not None:
            found = dict(rmse=rmse(self.values, self.predicted), mae=mae(self.values, self.predicted), **found)
        if self.k is None:
            return found
        found.update(self.judge.metrics(self.lists, self.k, areas=self.areas))
        name = measure.partition("@")[0]
        first = next(each for each in (name, measure, "%s@%d" % (name, check_lengths(self.k)[0])) if each in found)
        return {first: found.pop(first), **found}


def nothing_known(users, items):
    """The words for held-out ratings, by their ids, if no pair has a known user and a known item."""
    return ("no pair has both a user and an item with ratings in fit, such as user %.60s, item %.60s: check the ids, "
            "and the columns" % (users[0], items[0]))
