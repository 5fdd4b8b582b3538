"""Weights of an ensemble's members, found greedily on rankings of validation users: docs/explanation/blend.md."""
from typing import NamedTuple

import numpy as np

from sparse_ae.evaluation.rankings import ListValidation
from sparse_ae.recommender.guard import CHOSEN, CLEARLY_BETTER, standard_score
from sparse_ae.runtime.processors import in_threads
from sparse_ae.scoring.ranking import top_n
from sparse_ae.scoring.ranking_ensemble import STRATA, RankingEnsemble, stratum_of
from sparse_ae.validation import EpochMetric

# The parts of the weight that a move gives to a member, and the standard errors by which rankings must improve.
PARTS, WORTH = (0.05, 0.1, 0.2, 0.35, 0.5), 0.2

# The mean number of ratings below which histories are short; the standard errors by which rankings must be better than
# those of `popular` then, and with longer ones.
_SHORT, _LEAST_BETTER = STRATA[2], (3, 1)

# The least part of the ensemble's metric that an autoencoder has alone after a few epochs, if it is to be trained on.
_ALONE = 0.5

# The number of each member's best items that a user's pool has.
_POOL = 100

# The parts of the weight that go to `popular` for users with few ratings, by so many validation users or more.
MORE_POPULAR, _ENOUGH_USERS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0), 50


class Pool(NamedTuple):
    """For each user of a `ListValidation` the best items of all members, the most popular first: their `places` among
    the candidates, and each member's `scores`, float32 (n_users, n), with the weight 1; -inf for items to leave out."""

    validation: ListValidation
    places: np.ndarray
    scores: list

    def by_user(self, weights, k=None):
        """The metric for each user, (n_users,), of rankings by the weighted sum, perhaps at another k."""
        total = sum(np.float32(weight) * scores for weight, scores in zip(weights, self.scores) if weight)
        best = top_n(total, k or self.validation.k)
        lists = np.where(best >= 0, np.take_along_axis(self.places, np.maximum(best, 0), axis=1), -1)
        return self.validation.by_user(lists)


def pooled(members, ratings, validation):
    """The `Pool` of a `ListValidation`, without the items in `ratings`, (n_users, n_items)."""
    blends = [RankingEnsemble([member], [1.0], ratings) for member in members]
    by_popularity = np.argsort(-validation.popularity, kind="stable")
    ranks = np.argsort(by_popularity)

    def of_block(block):
        terms = [each.unseen(block) for each in blends]
        best = np.concatenate([top_n(term, _POOL, validation.popularity) for term in terms], axis=1)
        best = np.sort(np.append(ranks, -1)[best], axis=1)
        best[:, 1:][best[:, 1:] == best[:, :-1]] = -1
        best = np.append(by_popularity, -1)[np.sort(best, axis=1)]
        scores = [np.take_along_axis(term, np.maximum(best, 0), axis=1) for term in terms]
        return best, [np.where(best < 0, np.float32(-np.inf), of_member) for of_member in scores]

    places, scores = zip(*in_threads(of_block, blends[0].blocks(validation.users)))
    places = np.concatenate(places)
    some = slice(np.argmax((places >= 0).any(axis=0)), None)  # members have many of their best in common
    return Pool(validation, places[:, some], [np.concatenate(of_member)[:, some].copy() for of_member in zip(*scores)])


def ensemble_metric(pool, weights, member, ratings, least):
    """The `EpochMetric` of a `member` in training: the metric of a weighted pool with the member at the best of some
    weights, 0 among them. It is validated after every other epoch; training doesn't end before `least`, but at a
    quarter of that if the member alone is far behind, and from a half on if longer lists are no better with it."""
    before = sum(np.float32(weight) * scores for weight, scores in zip(weights, pool.scores) if weight)
    blend, shape = RankingEnsemble([member], [1.0], ratings), pool.places.shape
    users, items = np.repeat(pool.validation.users, shape[1]), blend.candidates[np.maximum(pool.places, 0)].ravel()

    def value():
        member.scorer.forget()
        both = pool._replace(scores=[before, blend.pairs(users, items).reshape(shape)])
        found[:] = [both] + [float(np.mean(both.by_user((1 - part, part)))) for part in (0,) + PARTS]
        return max(found[1:])

    def ends(epoch):
        both, without = found[:2]
        if least == 1 or epoch < least // 4:
            return False
        if both.by_user((0, 1)).mean() < _ALONE * without:
            return True
        if epoch < least // 2:
            return False
        without, *longer = [both.by_user((1 - part, part), _POOL).mean() for part in (0,) + PARTS]
        return max(longer) <= without

    found = []
    return EpochMetric(value, "blend_" + pool.validation.metric.label, 2, least, ends=ends)


def greedy_weights(pool, first, short, expensive=()):
    """Weights of a pool's members, near `first` unless validation is against it; each member's metric; the ensemble's.
    With short histories they begin at the weights `short`. `expensive` members are autoencoders, whose epoch was chosen
    on the same users: a larger gain is asked of them."""
    by_user, alone = pool.by_user, np.eye(len(pool.scores))
    of_members = [by_user(each) for each in alone]
    values = np.array([each.mean() for each in of_members])
    is_expensive = np.isin(np.arange(len(alone)), list(expensive))
    best = int(np.argmax(np.where(is_expensive, -np.inf, values)))
    first = np.where(values > 0, first, 0.0)
    first = first / first.sum() if first.any() else alone[best]
    start = alone[best] if values[best] > by_user(first).mean() else first
    weights, of_users = _moved(by_user, start, WORTH, is_expensive)
    # Weights found on few users are noisy: halfway back is better for other users, except for expensive members.
    cheap = np.where(is_expensive, 0.0, first)
    if cheap.any():
        of_expensive = np.where(is_expensive, weights, 0.0)
        between = (weights + of_expensive + (1 - of_expensive.sum()) * cheap / cheap.sum()) / 2
        its_users = by_user(between)
        least = max(values[~is_expensive & (first == 0)], default=-np.inf)
        if its_users.mean() >= least and standard_score(of_users - its_users) < CLEARLY_BETTER:
            weights, of_users = between, its_users
    # Ten items tell little of short histories: longer lists tell more, and so do weights that served other such ones.
    is_short = pool.validation.n_rated.mean() < _SHORT
    if standard_score(of_users - of_members[0]) < _LEAST_BETTER[0 if is_short else 1]:
        start = np.array(short) if is_short else alone[0]
        weights, _ = _moved(lambda each: pool.by_user(each, _POOL), start, 1, is_expensive)
        of_users = by_user(weights)
    return weights.tolist(), values.tolist(), float(of_users.mean())


def _moved(by_user, weights, worth, is_expensive):
    """Weights after the moves from `weights` by which the metric gains `worth` standard errors, and the metric's values
    for each user."""
    alone, of_users, left = np.eye(len(weights)), by_user(weights), np.ones(len(weights), bool)
    while True:
        moves = [(k, (1 - part) * weights + part * alone[k]) for k in np.flatnonzero(left) for part in PARTS]
        rests = [(k, weights * (1 - alone[k])) for k in np.flatnonzero(weights) if weights[k] < 1]
        moves += [(k, rest / rest.sum()) for k, rest in rests]
        k, move = max(moves, key=lambda move: by_user(move[1]).mean())
        its_users, is_new = by_user(move), is_expensive[k] and not weights[k]
        if standard_score(its_users - of_users) >= (CHOSEN if is_new else worth):
            weights, of_users = move, its_users
        elif is_new:
            left[k] = False
        else:
            return weights, of_users


def by_strata(pool, weights):
    """Weights for each of `STRATA`, (n_members, n_strata), and the ensemble's metric. Users with few ratings get more
    of the first member, `popular`, where longer lists of enough validation users say so, else as much as the next."""
    popular, strata, known = np.eye(len(weights))[0], stratum_of(pool.validation.n_rated), pool.validation.known
    ways = [(1 - part) * np.array(weights) + part * popular for part in MORE_POPULAR]
    longer, best, chosen = [pool.by_user(each, _POOL) for each in ways], 0, []
    for stratum in reversed(range(len(STRATA))):
        there = strata == stratum
        if np.count_nonzero(there & known) >= _ENOUGH_USERS:
            way = max(range(len(ways)), key=lambda way: longer[way][there].mean())
            if standard_score((longer[way] - longer[best])[there]) >= CHOSEN:
                best = way
        chosen.insert(0, best)
    of_users = {way: pool.by_user(ways[way]) for way in set(chosen)}
    value = np.mean(np.choose(strata, [of_users[way] for way in chosen]))
    return np.transpose([ways[way] for way in chosen]), float(value)
