"""The scores that members of a blend give the items that can be on validation users' lists, and weights for them.

A list of ten needs few items: those that one of the members has among its hundred best. Of these the members' scores
are kept, and any weights are judged by a sum of a few small arrays.
"""
from typing import NamedTuple

import numpy as np

from sparse_ae.recommender.guard import standard_score
from sparse_ae.runtime.processors import in_threads
from sparse_ae.scoring.list_blend import ListBlend
from sparse_ae.scoring.ranking import leave_out, top_n

# Parts of the weight that move to a member at once; standard errors by which lists must become better for other
# weights, for a member that costs more, and not to go halfway back; and moves at most.
_PARTS = 0.1, 0.2, 0.35, 0.5
_WORTH, _WORTH_MORE, _CLEARLY, _MOVES = 0.2, 0.5, 2.0, 12

# Members whose lists alone are worth less than this share of the best ones' have no weight.
_NOTHING = 0.01

# A user's items that weights are found on: so many of each member's best.
_POOL = 100


class Pool(NamedTuple):
    """The members' scores of the items that are among the best of one of them.

    Attributes
    ----------
    places : int array, (n_users, n)
        Among the candidates, ascending.
    scores : list of float32 array, (n_users, n)
        Of each member, as `ListBlend.standardised` gives them; -inf for what can't be on a list.
    """

    places: np.ndarray
    scores: list

    def lists(self, weights, n):
        """The n best of each user by the weighted sum: int array, (n_users, n), places, -1 where there are no more."""
        total = sum(np.float32(weight) * scores for weight, scores in zip(weights, self.scores) if weight)
        best = top_n(total, n)
        return np.where(best >= 0, np.take_along_axis(self.places, np.maximum(best, 0), axis=1), -1)


def pooled(members, ratings, users):
    """Make the `Pool` of some users.

    Parameters
    ----------
    members : list
        As `scoring.list_blend` says.
    ratings : csr_matrix, (n_users, n_items)
        What has been seen.
    users : int array
    """
    blend = ListBlend(members, [1.0] * len(members), ratings)

    def of_block(block):
        seen = blend.rated_by(block)
        terms = [blend.standardised(member.of_users(block), seen) for member in members]
        best = []
        for term in terms:
            leave_out(term, blend.candidates, *seen)
            best.append(top_n(term, _POOL))
        best = np.sort(np.concatenate(best, axis=1), axis=1)
        never = (best < 0) | np.column_stack([np.zeros(len(best), bool), best[:, 1:] == best[:, :-1]])
        scores = [np.take_along_axis(term, np.maximum(best, 0), axis=1) for term in terms]
        for of_member in scores:
            of_member[never] = -np.inf
        return best, scores

    places, scores = zip(*in_threads(of_block, blend.blocks(users)))
    return Pool(np.concatenate(places), [np.concatenate(of_member) for of_member in zip(*scores)])


class BlendMeasure:
    """A measure for `Trainer.fit`: of the lists that a blend makes with the model that is being trained.

    The model gets the part of the weight that is best, or none: what it is worth is what it adds, and where that is
    nothing more for `patience` epochs training ends. Histories have it as ``validation_blend_ndcg@10``: it says nothing
    of the model's own lists.

    Parameters
    ----------
    pool : Pool
        Of the members that there are, and of ``lists.users``.
    weights : list of float
        Theirs.
    lists : evaluation.lists.ListValidation
    measure : inputs.Lists
    member : members.AutoencoderMember
        The model, as one more.
    ratings : csr_matrix, (n_users, n_items)
    least : int
        Epochs that it takes at least to become good.

    Attributes
    ----------
    name : str
    every : int
        Epochs from one look at lists to the next.
    """

    every = 2

    def __init__(self, pool, weights, lists, measure, member, ratings, least):
        self.least = least
        self.name, self._measure, self._lists = "blend_" + measure.label, measure.name, lists
        self._places, self._before = pool.places, sum(np.float32(weight) * scores for weight, scores
                                                      in zip(weights, pool.scores) if weight)
        self._member, self._blend = member, ListBlend([member], [1.0], ratings)
        self._without = self._value(self._before)

    def __call__(self):
        self._member.scorer.forget()  # the model has been trained on
        its = self._scores()
        return max([self._without] + [self._value((1 - part) * self._before + part * its) for part in _PARTS])

    def _scores(self):
        def of_block(part):
            block, places = part
            term = self._blend.standardised(self._member.of_users(block), self._blend.rated_by(block))
            return np.take_along_axis(term, np.maximum(places, 0), axis=1)

        blocks = self._blend.blocks
        return np.concatenate(list(in_threads(of_block, list(zip(blocks(self._lists.users), blocks(self._places))))))

    def _value(self, scores):
        lists = Pool(self._places, [scores]).lists([1.0], self._lists.k)
        return self._lists([(lists, None)], self._measure)


def greedy_weights(pool, lists, measure, first, dear=()):
    """Weights of a pool's members, by the lists of validation users.

    Parameters
    ----------
    pool : Pool
        Of ``lists.users``.
    lists : evaluation.lists.ListValidation
    measure : str
        One of `evaluation.lists.MEASURES`.
    first : list of float
        Weights to begin with, and to stay near where nothing speaks for others.
    dear : set of int
        Members that must be worth more.

    Returns
    -------
    weights : list of float
        Their sum is 1.
    values : list of float
        The measure of each member alone.
    value : float
        That of all together.
    """
    def lists_by(weights):
        return [(pool.lists(weights, lists.k), None)]

    def value_of(weights):
        return lists(lists_by(weights), measure)

    def by_user(weights):
        return lists.by_user(lists_by(weights), measure)

    alone = np.eye(len(pool.scores))
    values = [value_of(each) for each in alone]
    cheap = [k for k in range(len(alone)) if k not in dear]
    nothing = np.array(values) < _NOTHING * max(values)
    if nothing.any():
        first = np.where(nothing, 0.0, first)
        first = first / first.sum() if first.any() else alone[cheap[int(np.argmax([values[k] for k in cheap]))]]
    weights, left = np.array(first, np.float64), set(np.flatnonzero(~nothing).tolist())
    best = cheap[int(np.argmax([values[k] for k in cheap]))]
    if values[best] > value_of(weights):
        weights = alone[best]
    of_users = by_user(weights)
    for _ in range(_MOVES):
        moves = [(k, (1 - part) * weights + part * alone[k]) for k in sorted(left) for part in _PARTS]
        for k in np.flatnonzero(weights):
            if weights[k] < 1:
                rest = np.where(np.arange(len(alone)) == k, 0, weights)
                moves.append((k, rest / rest.sum()))
        best, move = moves[int(np.argmax([value_of(each) for _, each in moves]))]
        its_users = by_user(move)
        worth = _WORTH_MORE if best in dear and not weights[best] else _WORTH
        if standard_score(its_users - of_users) >= worth:
            weights, of_users = move, its_users
        elif best in dear and not weights[best]:
            left.remove(best)
        else:
            break
    between = _halfway(weights, first, np.isin(np.arange(len(alone)), list(dear)))
    its_users, least = by_user(between), max([values[k] for k in cheap if not first[k]], default=-np.inf)
    if its_users.mean() >= least and standard_score(of_users - its_users) < _CLEARLY:
        weights, of_users = between, its_users
    return weights.tolist(), values, float(of_users.mean())


def _halfway(weights, first, is_dear):
    """Weights between those that were found and the first ones, which stay the same for dear members.

    Those found on some users are partly theirs alone: halfway they do better by others, unless these users are clearly
    for them, or the lists between would be worse than those of a member without a first weight.
    """
    first, of_dear = np.where(is_dear, 0.0, first), np.where(is_dear, weights, 0.0)
    if not first.any():
        return weights
    return (weights + of_dear + (1 - of_dear.sum()) * first / first.sum()) / 2
