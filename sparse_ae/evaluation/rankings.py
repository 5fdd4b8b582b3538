"""Evaluation of rankings on held-out ratings, by one protocol for all models: docs/guide/evaluation.md."""
import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import MOST, check_bool, check_choice, check_count, check_finite, check_fraction, check_rng
from sparse_ae.data.entries import PART
from sparse_ae.data.ids import positions
from sparse_ae.data.ratings import Ratings, check_ratings, rating_counts
from sparse_ae.evaluation.metrics import BY_USER, Metric, area, mean, of_catalogue
from sparse_ae.runtime.processors import cached_property
from sparse_ae.runtime.progress import say
from sparse_ae.scoring.ranking import leave_out, top_n
from sparse_ae.scoring.scores import BLOCK


def evaluate_lists(scores, train, held_out, k=10, relevant=None, per_user=False, users="all"):
    """Evaluate the rankings of scores, by the metrics and the protocol of docs/guide/evaluation.md.

    All items with a training rating are ranked, without those that the user has rated in training. Held-out items with
    a high rating, or any count, are relevant; all others count as misses. Users without a relevant item are left out.
    If fewer than half of the users with held-out ratings can be judged, a line on stderr says how many, and why.

    Parameters
    ----------
    scores : callable
        Takes users, an int array of shape (n,), rows of `train` with a rating; returns an array of float, shape
        (n, n_items): the higher, the better; -inf leaves an item out.
    train, held_out : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        What `sparse_ae.data.check_ratings` takes. Of two `Ratings` the ids count. A held-out item without a training
        rating is a miss, and so are all of a user without one.
    k : int or list of int
        Number of recommendations for each user. With several each metric has its k in its name, such as "ndcg@5".
    relevant : float, optional
        The rating from which a held-out item is relevant; by default three quarters of the way from the lowest to the
        highest training rating: 4 on 1 to 5. Of counts all held-out items are relevant: of those that were added up
        (`Ratings.events`), and of training ratings that look like counts, whole numbers from 1 on, with a mean in the
        lowest quarter of their range.
    per_user : bool
        Return the first seven metrics and "auc" of each user, for `compare_lists`, or ``pandas.DataFrame``: a dict of
        arrays, (n_users,), first "user", ids of the users if `train` is `Ratings`, else rows.
    users : "all" or "known"
        Users without a training rating have k misses, as they have in `Recommender.evaluate`; `scores` isn't asked for
        them. With "known" they are left out.

    Returns
    -------
    dict
        "precision", "recall", "ndcg", "hit_rate", "map", "mrr", "f1"
            At k, means over the users with a relevant item.
        "coverage", "popularity", "novelty", "gini", "entropy", "user_coverage"
            Of the lists together; docs/guide/evaluation.md has the formulas.
        "auc"
            The mean area under the ROC curve, over all candidates; NaN if scores of some are -inf, as of those that
            aren't on lists. To users without a training rating all candidates are equal.
        "n_users", "n_users_unknown", "n_users_left_out"
            Numbers of users: those who are judged; how many of these have no training rating; and the others with
            held-out ratings.

    Examples
    --------
    >>> import sparse_ae
    >>> from sparse_ae.baselines.lists import fit_popular
    >>> from sparse_ae.evaluation import evaluate_lists
    >>> ratings, _ = sparse_ae.made_up_ratings(n_users=60, n_items=40, n_ratings=900)
    >>> train, test = sparse_ae.split_ratings(ratings)[:2]
    >>> popular = fit_popular(train)
    >>> found = evaluate_lists(
    ...     lambda users: popular.scores(train.matrix[users]), train, test, k=5)
    >>> found["n_users"], round(found["ndcg"], 2)
    (13, 0.18)
    """
    rated = check_ratings(train)  # what comes after its rows and columns is new in held_out
    n_items = rated.shape[1]
    if relevant is None and any(getattr(each, "events", None) is not None for each in (train, held_out)):
        relevant = 0.0  # sums are counts
    if isinstance(train, Ratings) and isinstance(held_out, Ratings):
        train, held_out = _with_the_same_ids(train, held_out)
    validation = ListValidation(train, held_out, Metric("ndcg", max(check_lengths(k)), relevant), of=users)
    said = validation.few_judged(validation.relevant)
    if said:
        say(said)
    ids = validation.users if check_bool(per_user, "per_user") else None
    ids = train.users[ids] if per_user and isinstance(train, Ratings) else ids
    step = max(1, BLOCK // n_items)
    areas, known = validation.areas_of_unknown(), np.flatnonzero(validation.known)
    lists = np.full((len(areas), min(validation.k, len(validation.candidates))), -1)
    for start in range(0, len(known), step):
        at = known[start:start + step]
        users = validation.users[at]
        found, shape = np.asarray(scores(users)), (len(users), n_items)
        if found.shape != shape or found.dtype.kind not in "iuf":
            raise ValueError("scores of %d users are an array of %s of shape %r; expected numbers, %r"
                             % (len(users), found.dtype, found.shape, shape))
        found = found[:, validation.candidates].astype(np.result_type(found, np.float32), copy=False)
        seen = rated[users].tocoo()
        leave_out(found, validation.candidates, seen.row, seen.col)
        lists[at] = top_n(found, lists.shape[1], validation.popularity)
        more_left_out = np.count_nonzero(found == -np.inf, axis=1) > np.diff(rated.indptr)[users]
        areas[at] = np.where(more_left_out, np.nan, validation.areas(at, found))
    return validation.metrics(lists, k, ids, areas)


def _with_the_same_ids(train, held_out):
    """Both as `Ratings` of the ids of `train` and, after these, of the others of `held_out`."""
    if train.matrix.shape == held_out.matrix.shape and all(map(np.array_equal, list(train)[1:3], list(held_out)[1:3])):
        return train, held_out
    matrix, coo, places, ids = sp.csr_matrix(check_ratings(train)), check_ratings(held_out).tocoo(), [], []
    for name in "users", "items":
        known, given = getattr(train, name), getattr(held_out, name)
        found = positions(given, known, "held-out " + name)
        new = found < 0
        if new.all():
            raise ValueError("none of the held-out %s, such as %.60s, is one of the training ratings, such as %.60s; "
                             "check the ids, and the columns" % (name, given[0], known[0]))
        found[new] = len(known) + np.arange(np.count_nonzero(new))
        places.append(found)
        ids.append(np.append(known, given[new]))
    matrix.resize(*map(len, ids))
    placed = sp.csr_matrix((coo.data, (places[0][coo.row], places[1][coo.col])), shape=matrix.shape)
    return Ratings(matrix, *ids), Ratings(placed, *ids)


def compare_lists(a, b, confidence=0.95, rng=0):
    """Compare two rankings for the same users: differences of their metrics, with intervals by a paired bootstrap.

    Parameters
    ----------
    a, b : dict
        Results of `evaluate_lists` or `Recommender.evaluate` with ``per_user=True``, on the same held-out ratings.
    confidence : float
        Of the intervals, between 0 and 1.
    rng : numpy.random.RandomState or int

    Returns
    -------
    dict of str to (float, float, float)
        For each metric the mean of a minus b, and the ends of its interval: percentiles of 2000 samples of the users.

    Examples
    --------
    >>> import numpy as np
    >>> from sparse_ae.evaluation import compare_lists
    >>> a = {"user": np.arange(4), "ndcg": np.array([0.9, 0.4, 0.7, 0.8])}
    >>> b = {"user": np.arange(4), "ndcg": np.array([0.7, 0.4, 0.5, 0.8])}
    >>> [round(each, 2) for each in compare_lists(a, b)["ndcg"]]
    [0.1, 0.0, 0.2]
    """
    confidence, rng = check_fraction(confidence, "confidence", ", such as 0.95"), check_rng(rng)
    if not all(map(_is_per_user, (a, b))) or list(a) != list(b):
        raise ValueError("a is %.70r and b is %.70r; expected two results with per_user=True and the same k" % (a, b))
    order, other = (np.argsort(each["user"]) for each in (a, b))
    if not np.array_equal(a["user"][order], b["user"][other]) or not len(order):
        raise ValueError("the users of the first ranking, %d, aren't those of the second, %d; expected results on the "
                         "same held-out ratings, of a user at least" % (len(order), len(other)))
    names = [name for name in a if name != "user"]
    differences = np.column_stack([a[name][order] - b[name][other] for name in names])
    ends = np.percentile(resampled(differences, rng), [50 - 50 * confidence, 50 + 50 * confidence], axis=0)
    return dict(zip(names, map(tuple, np.vstack([differences.mean(axis=0), ends]).T.tolist())))


def _is_per_user(result):
    """Whether it is a dict of arrays of one length, with numbers but for the users."""
    shape = np.shape(result["user"]) if isinstance(result, dict) and "user" in result else ()
    return len(shape) == 1 and all(isinstance(each, np.ndarray) and each.shape == shape
                                   and (name == "user" or each.dtype.kind in "fiu") for name, each in result.items())


def resampled(values, rng):
    """The means of 2000 samples of the rows of `values`, (n, m), with replacement: (2000, m)."""
    n = len(values)
    return np.array([np.bincount(rng.randint(n, size=n), minlength=n).dot(values) / n for _ in range(2000)])


class RelevantItems:
    """Who is judged by which items: `users` with a relevant item, those `known` in training, `items[j]` relevant for
    `users[whose[j]]`, who has `n_relevant`. Lists, int (n_lists, k), are positions among the `candidates`."""

    def __init__(self, users, items, wanted, known, candidates, counts, of="all", most_users=None):
        """By held-out ratings: numbers of users and items, and whether relevant. `known` and `counts` in training go by
        these. `of` is "all" users, or those "known"; at most `most_users` of them are drawn at random."""
        everybody, size = np.unique(users), 1 + int(items.max(initial=0))
        if check_choice(of, "users", ("all", "known")) == "known":
            wanted = wanted & known[users]
        of_pairs, items = np.divmod(np.unique(users[wanted].astype(np.int64) * size + items[wanted]), size)
        self.users, whose, n_relevant = np.unique(of_pairs, return_inverse=True, return_counts=True)
        n_unknown = np.count_nonzero(~known[everybody if of == "known" else self.users])
        self.known, self.n_left_out, self.n_unknown = known[self.users], len(everybody) - len(self.users), n_unknown
        self.of = of
        if most_users is not None and most_users < len(self.users):
            drawn = np.sort(np.random.RandomState(0).permutation(len(self.users))[:most_users])
            kept = np.isin(whose, drawn)
            items, whose = items[kept], np.searchsorted(drawn, whose[kept])
            self.users, self.known, n_relevant = self.users[drawn], self.known[drawn], n_relevant[drawn]
        self.whose, self.items, self.n_relevant, self.candidates = whose, items, n_relevant, candidates
        of_users, of_items = counts
        of_items = np.append(of_items, np.zeros(max(0, 1 + candidates.max(initial=-1) - len(of_items)), np.int64))
        self.popularity = of_items[candidates] / np.count_nonzero(of_users)

    def few_judged(self, relevant):
        """A line on how many users are judged, and why, if fewer than half of those held out; else None."""
        n, n_listed = len(self.users) + self.n_left_out, np.count_nonzero(self.known)
        if 2 * n_listed >= n:
            return None
        n_without, left_out, reasons = n - n_listed - self.n_unknown, "are left out", []
        if n_without:
            reasons.append("%d have no held-out rating of %g or higher, by which an item is relevant, and %s"
                           % (n_without, relevant, left_out))
        if self.n_unknown:
            reasons.append("%d have no training rating, and %s" % (
                self.n_unknown, left_out if self.of == "known" else "count as misses; users='known' leaves them out"))
        return "%d of %d users with held-out ratings have a list that is judged: %s" % (n_listed, n, "; ".join(reasons))

    def metrics(self, lists, k, users=None, areas=None):
        """The result of `evaluate_lists`, NaN without lists, with `areas` as AUC; by user if their ids are given."""
        hits, found = self.hits(lists), {}
        for length in check_lengths(k):
            metrics = {name: of_user(hits[:, :length], self.n_relevant, length) for name, of_user in BY_USER.items()}
            if users is None:
                metrics = {name: mean(of_users) for name, of_users in metrics.items()}
                metrics.update(of_catalogue(lists[:, :length], self.popularity))
            found.update(metrics if np.ndim(k) == 0 else {"%s@%d" % (name, length): metrics[name] for name in metrics})
        if areas is not None:
            found["auc"] = mean(areas) if users is None else areas
        if users is not None:
            return dict(user=users, **found)
        return dict(found, n_users=len(lists), n_users_unknown=int(np.count_nonzero(~self.known)),
                    n_users_left_out=self.n_left_out)

    def hits(self, lists):
        """Whether each recommended item is relevant, bool, (n_lists, k); lists of unknown users are misses."""
        numbers, listed = self._relevant[0], np.arange(len(lists))[:, np.newaxis] * len(self.candidates) + lists
        found = np.append(numbers, -1)[np.searchsorted(numbers, listed)]  # -1 beyond the last
        return (found == listed) & (lists >= 0) & self.known[:, np.newaxis]

    def areas_of_unknown(self):
        """The areas under the ROC curves, (n_lists,), if all candidates are equal, as they are for unknown users."""
        n = np.diff(self._relevant[1])
        return np.where(n < len(self.candidates), n / (2 * self.n_relevant), 1.0)

    def areas(self, lists, scores):
        """The areas under the ROC curves of the users of some lists, by scores of the candidates, (n, n_candidates)."""
        numbers, starts = self._relevant
        return [area(row, numbers[starts[at]:starts[at + 1]] - at * len(row), self.n_relevant[at])
                for at, row in zip(lists, np.ascontiguousarray(scores))]  # rows by columns take fifteen times as long

    @cached_property
    def _relevant(self):
        """Numbers of the candidates relevant for each list, list by list from place 0 on, ascending; and where those of
        each list begin and end."""
        n, there = len(self.candidates), np.isin(self.items, self.candidates)
        numbers = np.sort(self.whose[there] * n + np.searchsorted(self.candidates, self.items[there]))
        return numbers, np.searchsorted(numbers, np.arange(len(self.n_relevant) + 1) * n)


class ListValidation(RelevantItems):
    """Held-out ratings that judge rankings several times; users are rows, candidates columns with training ratings."""

    def __init__(self, train, held_out, metric=Metric("ndcg", 10), most_users=None, of="all"):
        train, held_out = check_ratings(train), check_ratings(held_out)
        if train.shape != held_out.shape:
            raise ValueError("the training ratings are %d x %d and the held-out ratings %d x %d; expected the same "
                             "users and items" % (train.shape + held_out.shape))
        self.metric, self.k = metric, check_count(metric.k, "k", most=MOST)
        self.relevant = relevant_from(train.data) if metric.relevant is None else check_relevant(metric.relevant)
        pairs, counts = held_out.tocoo(), rating_counts(train)
        super().__init__(pairs.row, pairs.col, are_relevant(pairs.data, self.relevant), counts[0] > 0,
                         np.flatnonzero(counts[1]), counts, of, most_users)
        self.n_rated = counts[0][self.users]
        if not len(self.users):
            who = " of users with training ratings" if of == "known" else ""
            raise ValueError("none of the %d held-out ratings%s is %g or higher, which makes an item relevant; hold "
                             "out others, lower `relevant`, or choose an objective with measure='rmse'"
                             % (held_out.nnz, who, self.relevant))

    def lists_of(self, scorer):
        """The rankings by a `scoring.scorer.Scorer`."""
        return scorer.best(self.users, self.k, True, self.candidates)[0]

    def by_user(self, lists):
        """The metric for each of `users`, float (n,), from their lists, which may be longer than `k`."""
        return BY_USER[self.metric.name](self.hits(lists), self.n_relevant, max(self.k, lists.shape[1]))


def check_lengths(k, alternative=", or a list of them"):
    """The lengths of lists, a list of int, of one or several; ValueError for others."""
    try:
        several = np.ndim(k) > 0
    except ValueError:  # lists within a list, of different lengths
        several = True
    lengths = [check_count(each, "k", alternative, most=MOST) for each in (k if several else [k])]
    if not 0 < len(lengths) == len(set(lengths)):
        raise ValueError("k is %r; expected at least one length of lists, and each once" % (k,))
    return lengths


def check_relevant(relevant):
    """`relevant` as a float; ValueError if it isn't a number."""
    return check_finite(relevant, "relevant", "the rating from which an item is relevant, such as 4")


def are_relevant(values, relevant):
    """Whether each rating is `relevant` or higher, in float32, the dtype of `Ratings`."""
    return np.asarray(values, np.float32) >= np.float32(relevant)


def relevant_from(values, scale=None, are_counts=False):
    """The rating from which an item is relevant by default: three quarters up the scale; 0, which is all, of counts."""
    if are_counts or _look_like_counts(values):
        return 0.0
    low, high = scale or (float(values.min()), float(values.max()))
    return low + 0.75 * (high - low)


def _look_like_counts(values):
    """Whether ratings, perhaps on disk, are whole numbers from 1 on, with a mean in their range's lowest quarter."""
    least, most = float(values.min()), float(values.max())
    if least < 1 or least == most:
        return False
    total = 0.0
    for start in range(0, len(values), PART):
        part = np.asarray(values[start:start + PART])
        if np.any(part != np.rint(part)):
            return False
        total += part.sum(dtype=np.float64)
    return total / len(values) < least + (most - least) / 4
