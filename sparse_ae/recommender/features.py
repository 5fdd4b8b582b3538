"""How much attributes count: the knobs of `scoring.features`, chosen by items that are held out as a whole."""
import numpy as np
import scipy.sparse as sp

from sparse_ae.data.ratings import CheckedMatrix
from sparse_ae.data.side import ITEMS
from sparse_ae.evaluation.rankings import ListValidation, are_relevant
from sparse_ae.recommender.guard import standard_score
from sparse_ae.recommender.members import ClosedForm
from sparse_ae.runtime.progress import figure
from sparse_ae.scoring.features import FeatureRegression, FeatureScorer, SideFeatures
from sparse_ae.scoring.ranking import best_of, leave_out, top_n
from sparse_ae.scoring.ranking_ensemble import RankingEnsemble

# The decay of (1) without validation, and others to try with it; weights of known items' attributes, the first unless
# another is better by some standard errors; shares of new ones in the places of lists.
_L2, _DECAYS = 30.0, (30.0, 3.0, 10.0, 100.0, 300.0)
_WEIGHTS, _WORTH, _SHARES = (0.1, 0.0, 0.3), 1.0, (0.0, 0.001, 0.002, 0.003, 0.004, 0.005, 0.007, 0.01, 0.02, 0.05, 0.1)

# The share of the metric of known items that new ones may cost.
_LOSS = 0.003

# The share of items that are held out: that of new ones, within these bounds.
_FEWEST, _MOST = 0.05, 0.2

# The most users that are ranked for, and numbers in a matrix of their scores of all items: some are in memory.
_USERS, _SCORES = 1000, 2 ** 26


def choose_features(arguments, data, scorer, budget):
    """`SideFeatures` by side, for a fitted scorer: for lists of an ensemble with validation chosen by it."""
    chosen = {side: SideFeatures(each, _L2) for side, each in arguments.features.items()}
    lists = data.list_validation() if isinstance(scorer, RankingEnsemble) and ITEMS in chosen else None
    if lists is None:
        return chosen
    if budget.free([each.name for each, _ in scorer.used()]) < 0:
        arguments.tell("item_features: no time is left to choose how much they count")
        return chosen
    with arguments.until_ctrl_c([scorer]) as ended:
        found, said = _by_held_out_items(arguments, data, scorer, lists)
    if not ended and found:
        chosen[ITEMS] = found
        arguments.tell("item_features: %s" % said)
    return chosen


def _by_held_out_items(arguments, data, scorer, lists):
    """The `SideFeatures` that rank best, and a line; None if too few items have attributes."""
    attributes, ids = arguments.features[ITEMS], arguments.items
    train, described = data.train.by("users"), attributes.over(ids)[1]
    counts = np.bincount(train.indices, minlength=train.shape[1])
    known = np.flatnonzero(described & (counts > 0))
    share = np.clip(1 - len(known) / len(attributes.ids), _FEWEST, _MOST)
    new = np.random.RandomState(0).permutation(known)[:int(share * len(known))]
    members = [(each, weight) for each, weight in scorer.used() if isinstance(each, ClosedForm)]
    if not len(new) or not members:
        return None, None
    is_new = np.isin(np.arange(train.shape[1]), new)
    held_out, without = data.held_out.by("users").tocoo(), _entries(train.tocoo(), lambda row, col, _: ~is_new[col])
    blend = RankingEnsemble([each.refitted(without) for each, _ in members], [weight for _, weight in members], without)
    users = _some_users(lists, len(counts))
    judged, everything = np.isin(np.arange(train.shape[0]), users), data.arguments.ratings.by("users").tocoo()
    relevant = lists.metric.relevant
    truths = [_entries(matrix, lambda row, col, value, chosen=chosen: (
                  judged[row] & are_relevant(value, relevant) & chosen[col]))
              for matrix, chosen in ((everything, is_new), (held_out, ~is_new))]
    if not all(each.nnz for each in truths):
        return None, None
    of_new, of_known, of_all = (_Judge(train, truth, without, lists.metric, users)
                                for truth in truths + [truths[0] + truths[1]])
    scores = np.concatenate([blend.grid(block) for block in blend.blocks(users)])  # of items that aren't new
    at_new, counts = np.isin(of_all.candidates, new), np.bincount(without.indices, minlength=train.shape[1])

    def said_by(l2):
        return FeatureRegression(attributes, ids, counts, l2, False).of(scores, of_all.candidates)

    found = {l2: of_new(np.where(at_new, said_by(l2), -np.inf)).mean() for l2 in _DECAYS}
    l2 = max(found, key=found.get)
    said = said_by(l2)

    def total(weight, level):
        both = (1 + weight) * said + level
        both[:, ~at_new] = scores + weight * said[:, ~at_new]
        return both

    by_weight = {each: of_known(total(each, -np.inf)) for each in _WEIGHTS}
    first = by_weight[_WEIGHTS[0]]
    weight = max(by_weight, key=lambda each: by_weight[each].mean() if each == _WEIGHTS[0] or standard_score(
        by_weight[each] - first) >= _WORTH else -np.inf)
    of_users, both = by_weight[weight], total(weight, 0.0)
    seen = without[users].tocoo()
    leave_out(both, of_all.candidates, seen.row, seen.col)
    level_of = _levels(both, at_new, lists.k)
    chosen, best = 0.0, -np.inf
    for share in _SHARES:
        both = total(weight, level_of(share))
        if of_known(both).mean() >= (1 - _LOSS) * of_users.mean() and of_all(both).mean() > best:
            chosen, best = share, of_all(both).mean()
    features = SideFeatures(attributes, l2, weight, level_of(chosen))
    features = features._replace(level=_level_of_new(arguments, scorer, features, chosen, len(new), lists))
    return features, (
        "%s of %d items held out, among themselves: %s; of known items %s with weight %g of attributes, %s without; "
        "held-out items have %g%% of the places of lists" % (
            lists.metric.label, len(new), figure(found[l2]), figure(of_users.mean()), weight,
            figure(by_weight[0.0].mean()), 100 * chosen))


def _some_users(lists, n_items):
    return lists.users[::-(-len(lists.users) // max(1, min(_USERS, _SCORES // n_items)))]


def _level_of_new(arguments, scorer, features, share, n_held_out, lists):
    """By how much scores of new items are raised, to have the share that held-out ones have, or less if they are fewer;
    the level of those if there are none."""
    ids = np.append(arguments.items, np.setdiff1d(features.attributes.ids, arguments.items))
    users, extended = _some_users(lists, len(ids)), FeatureScorer(scorer, {ITEMS: features._replace(level=0.0)},
                                                                  (arguments.users, ids))
    new = ~extended.items_rated[extended.candidates]
    n_new = np.count_nonzero(new)
    if not n_new:
        return features.level
    scores = extended.grid(users)
    leave_out(scores, extended.candidates, *scorer.rating_matrix.rated_by(users))
    return _levels(scores, new, lists.k)(share * min(1.0, n_new / n_held_out))


def _levels(scores, new, k):
    """A function from a share in the places of the k best to by how much scores of new items are raised for it."""
    known, new = (best_of(scores[:, columns], k)[1] for columns in (~new, new))
    with np.errstate(invalid="ignore"):  # -inf where there are no more
        # The j-th best new item is among the k best if it beats the known one that is j-th from their end.
        needed = known[:, ::-1] - new
    needed = np.sort(needed[np.isfinite(needed)])
    return lambda share: float(needed[min(int(share * known.size), len(needed) - 1)]) if len(needed) else 0.0


class _Judge:
    """The metric for each user with relevant items in `truth`, by scores of all `candidates` for all `users`."""

    def __init__(self, train, truth, seen, metric, users):
        self._validation = ListValidation(CheckedMatrix(train), CheckedMatrix(truth), metric)
        self.candidates, self._rows = self._validation.candidates, np.searchsorted(users, self._validation.users)
        self._seen = seen[self._validation.users].tocoo()

    def __call__(self, scores):
        found = scores[self._rows]
        leave_out(found, self.candidates, self._seen.row, self._seen.col)
        return self._validation.by_user(top_n(found, min(self._validation.k, found.shape[1])))


def _entries(coo, are_kept):
    """The entries of a COO matrix that a function of rows, columns and values keeps, CSR of the same shape."""
    kept = are_kept(coo.row, coo.col, coo.data)
    return sp.csr_matrix((coo.data[kept], (coo.row[kept], coo.col[kept])), coo.shape)
