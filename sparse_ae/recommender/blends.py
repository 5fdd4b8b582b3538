"""Lists by all that helps: closed forms first, then autoencoders, each weighed by the lists of validation users.

What is cheap comes first: the most popular items, EASE, the infinitely wide autoencoder, a low-pass filter
(`closed.CLOSED`). The decay of each is climbed to from a first guess, by doubling and halving, by the measure of lists
on validation users that it makes together with those before it: what is best alone adds less. So is the power of
ratings, by EASE, for all. Then come autoencoders of each side, while there is time.

All are members of a `scoring.list_blend.ListBlend`, whose weights are found greedily. They begin with `closed.FIRST`,
or with the member whose lists are best if that is better, and move as long as the lists of validation users become
better by a fifth of a standard error: a part of the weight to a member, or all of one's to the others. An autoencoder,
which costs more, must be worth a whole one. None is worse than the most popular items on validation users, which are a
member too. What has a weight is fitted again on all ratings.

These steps and thresholds were compared on three splits each of MovieLens 100K and FilmTrust, by ratings that took no
part in fitting: without autoencoders the blend's NDCG at 10 was 2.3% above that of EASE with its best decay, which is a
little too good, since the threshold is the best of some; with others, and without a first guess of weights, it was from
1.4% to 2.4%.
"""
import time
from typing import NamedTuple

import numpy as np

from sparse_ae.checks import check_number
from sparse_ae.recommender.closed import CLOSED, FIRST, ClosedMember, Values
from sparse_ae.recommender.estimator import in_words
from sparse_ae.recommender.fitting import FitResult, fit_side
from sparse_ae.recommender.members import AutoencoderMember
from sparse_ae.recommender.weighing import lists_of, standard_score
from sparse_ae.runtime.progress import figure
from sparse_ae.scoring.list_blend import ListBlend
from sparse_ae.scoring.ranking import leave_out, top_n

__all__ = ["Pool", "check_blend", "fit_blend", "fit_closed", "greedy_weights", "pooled"]

# Parts of the weight that move to a member at once; standard errors by which lists must become better for another
# decay, for other weights, and for an autoencoder.
_PARTS = 0.1, 0.2, 0.35, 0.5
_OTHER_DECAY, _WORTH, _WORTH_MORE = 0.0, 0.2, 1.0

# Decays tried in each direction, and moves of weights, at most.
_STEPS, _MOVES = 5, 12

# A user's items that weights are found on: so many of each member's best.
_POOL = 100

# Of the time that is left, what the trainings with validation may take: those on all ratings take as long.
_SHARE = 0.5


class Deadline:
    """When time is up; None is never."""

    def __init__(self, seconds=None):
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self):
        """Seconds; infinite without an end."""
        return np.inf if self._end is None else self._end - time.monotonic()


def check_blend(settings, given, on_disk, seconds):
    """Tell whether `fit_blend` is wanted: for "lists" and "clicks", and for a closed form that is a network by name.

    With rows="auto", that is: "users", "items" and "both" ask for autoencoders, and for nothing else. On ranks, of
    ratings on disk, with other objectives and without biases there are autoencoders only, too.

    Parameters
    ----------
    settings : Recommender
    given : FitInputs
    on_disk : bool
        Whether the ratings are.
    seconds : float or None

    Raises
    ------
    TypeError, ValueError
        For a closed form that can't serve, and for bad seconds.
    """
    only, objective = settings.closed_form, settings.objective
    if only is not None:
        if given.objective.clips:
            raise ValueError("network is %r and objective %r; expected objective='lists', or 'clicks': it makes lists, "
                             "and predicts no ratings" % (only, objective))
        if given.ranks.size > 1:
            raise ValueError("network is %r on %d ranks; expected one process: closed forms aren't shared out"
                             % (only, given.ranks.size))
    by_name = isinstance(objective, str) and objective in ("lists", "clicks")
    blended = only is not None or (by_name and settings.rows == "auto" and given.ranks.size == 1 and not on_disk
                                   and bool(settings.biases))
    if seconds is not None:
        check_number(seconds, "seconds", alternative=", or None for as long as it takes")
        if not blended:
            raise ValueError("seconds is %r; expected None: it is for objective='lists' or 'clicks' with rows='auto', "
                             "of ratings in the memory of one process" % (seconds,))
    return blended


def fit_blend(settings, given, rng, paths, run, refit, seconds=None):
    """Fit members, weigh them by the lists of validation users, and fit what has a weight on all ratings.

    Parameters
    ----------
    settings : Recommender
    given : FitInputs
        Of one process, with an objective whose outputs are scores.
    rng : numpy.random.RandomState
    paths : list of str or None
        Checkpoints of the autoencoders, as `fitting.fit_residuals` takes them.
    run : dict
        What goes on to `Trainer.fit`: on_epoch, checkpoint_every, resume.
    refit : bool
    seconds : float, optional
        After so many nothing more is begun that can be left out, and trainings end with their epoch.

    Returns
    -------
    fitting.FitResult
    """
    only = settings.closed_form
    deadline, lists, train = Deadline(seconds), given.list_validation(), given.train.by("users")
    members, power = [], None
    for name in CLOSED if only is None else [only]:
        if members and deadline.left <= 0 and name not in ("ease", "popular"):
            break
        note = CLOSED[name].note(train)
        if note is not None:
            given.tell("%s: %s" % (name, note))
        beside = [each for each in members if each.name in FIRST]
        member = fit_closed(name, train, given.missing_rating, _judge(lists, given, train, beside), power=power,
                            counts=given.is_counts, deadline=deadline)
        power = member.values.power if member.l2 is not None else power
        members.append(member)
    trained, dear = [], set()
    if only is None and lists is not None:
        trained = _autoencoders(settings, given, rng, paths, run, lists, deadline)
        members += [AutoencoderMember(each.scorer(given.train, given.baseline(given.train), given),
                                      given.objective_at(0.0), given.missing_rating)
                    for each in trained if not each.error and each.epoch]
        dear = {k for k, each in enumerate(members) if each.name not in CLOSED}
    found = None
    if len(members) == 1:
        weights = [1.0]
        if lists is not None:
            found = {members[0].name: float(_judge(lists, given, train)(members[0]).mean())}
    elif lists is None:
        weights = _first(members)
    else:
        pool = pooled(members, train, lists.users)
        weights, values, value = greedy_weights(pool, lists, given.lists.name, _first(members), dear)
        found = dict(zip([each.name for each in members], values), blend=value)
    given.tell(_verdict(given, members, weights, found))
    history = [record for each in trained for record in each.history]
    if given.everything is not given.train and refit:
        members, more = _again(settings, given, members, weights, trained, rng, paths, run, deadline)
        history += more
    else:
        members = [_of_all(each, given) for each in members]
    choices = {each.side: each.choice for each in trained}
    kept = [(each, weight) for each, weight in zip(members, weights) if weight]
    scorer = ListBlend([each for each, _ in kept], [weight for _, weight in kept], given.everything.by("users"))
    return FitResult(scorer, history, trained[0].epoch if trained else 0, choices, given.objective_at(0.0),
                     validation_lists=found, weights=dict(zip([each.name for each in members], weights)))


def _judge(lists, given, train, beside=()):
    """What a member's lists are worth to each validation user, with those of other members; None without any."""
    if lists is None:
        return None

    def judge(member):
        blend = ListBlend([*beside, member], _first([*beside, member]), train)
        return lists.by_user(lists_of(blend, lists), given.lists.name)

    return judge


def _first(members):
    """The weights of `closed.FIRST`, of those that are there."""
    weights = np.array([FIRST.get(each.name, 0.0) for each in members])
    return (weights / weights.sum() if weights.any() else np.full(len(members), 1.0 / len(members))).tolist()


def _autoencoders(settings, given, rng, paths, run, lists, deadline):
    """Train an autoencoder of each side, while there is time: a list of `fitting.Trained`."""
    sides, trained = given.sides, []
    seeds = rng.randint(2 ** 31 - 1, size=len(sides))
    biases = given.baseline(given.train)
    for k, (side, seed) in enumerate(zip(sides, seeds)):
        if deadline.left <= 0:
            given.tell("%s as rows: no time is left for an autoencoder" % side)
            break
        seconds = None if deadline.left == np.inf else _SHARE * deadline.left / (len(sides) - k)
        trained.append(fit_side(settings, given, side, biases, seed, lists=lists,
                                run=dict(run, checkpoint=paths[k], seconds=seconds)))
        if trained[-1].interrupted:
            break
    return trained


def _again(settings, given, members, weights, trained, rng, paths, run, deadline):
    """Fit what has a weight on all ratings: the members, and the epochs that this took."""
    sides, found, history = given.sides, [], []
    seeds = dict(zip(sides, rng.randint(2 ** 31 - 1, size=len(sides))))
    by_side = {each.side: each for each in trained}
    interrupted = bool(trained) and trained[-1].interrupted
    for member, weight in zip(members, weights):
        if not weight:
            found.append(member)
        elif member.name in CLOSED:
            form, ratings = CLOSED[member.name], given.everything.by("users")
            model = form.solve(form.system(member.values(ratings)), member.l2)
            found.append(ClosedMember(member.name, model, member.values, member.l2, ratings))
        else:
            before = by_side[member.name]
            took = sum(record["seconds"] for record in before.history[:before.epoch])
            if not interrupted and took <= deadline.left:
                path = paths[len(sides) + sides.index(member.name)]
                biases = given.baseline(given.everything)
                again = fit_side(settings, given, member.name, biases, seeds[member.name],
                                 run=dict(run, checkpoint=path), before=before)
                history += again.history
                interrupted = again.interrupted
                if not again.error and not interrupted:
                    before = again
            found.append(_of_all(member, given, before))
    return found, history


def _of_all(member, given, trained=None):
    """A member as it is, to whom all ratings are known."""
    ratings = given.everything.by("users")
    if member.name in CLOSED:
        return ClosedMember(member.name, member.model, member.values, member.l2, ratings)
    scorer = member.scorer
    scorer = given.scorer(scorer.model if trained is None else trained.model, given.everything, member.name,
                          given.baseline(given.everything))
    return AutoencoderMember(scorer, given.objective_at(0.0), given.missing_rating)


def _verdict(given, members, weights, found):
    """What validation says, in a line."""
    def named(member):
        return member.name if member.name in CLOSED else "%s as rows" % member.name

    used = ", ".join("%.2f of %s" % (weight, named(each)) for each, weight in zip(members, weights) if weight)
    settings = "; ".join("%s: %s" % (each.name, in_words(each.chosen)) for each in members
                         if each.name in CLOSED and each.l2 is not None)
    settings = " (%s)" % settings if settings else ""
    if found is None:
        return "without validation lists are %s%s" % (used, settings)
    values = ", ".join("%s %s" % (name + " as rows" if name in ("items", "users") else name, figure(value))
                       for name, value in found.items())
    return "validation %s: %s; lists are %s%s" % (given.lists.label, values, used, settings)


def fit_closed(name, ratings, missing_rating, judge=None, power=None, counts=False, deadline=None):
    """Fit a closed form, with the decay and the power that make the best lists.

    Parameters
    ----------
    name : str
        One of `closed.CLOSED`.
    ratings : csr_matrix, (n_users, n_items)
    missing_rating : float
    judge : callable, optional
        From a member to what the lists that it makes alone are worth to each of some users, a float array; without it
        the first guesses are taken.
    power : int, optional
        Of ratings; chosen, too, when not given, unless all ratings are equal.
    counts : bool
        Whether the ratings are made of counts.
    deadline : Deadline, optional
        After it nothing more is tried.

    Returns
    -------
    closed.ClosedMember
    """
    form, deadline = CLOSED[name], Deadline() if deadline is None else deadline
    # The highest ratings are what lists are judged by; counts have been brought nearer to each other by a logarithm.
    powers = ((1, 0, 2) if counts else (2, 1)) if power is None else (power,)
    if judge is None or form.l2 is None or not np.ptp(ratings.data):
        powers = powers[:1]

    def system_of(power):
        values = Values.of(ratings, missing_rating, power)
        system = form.system(values(ratings))
        return lambda l2: ClosedMember(name, form.solve(system, l2), values, l2, ratings)

    made = system_of(powers[0])
    best = made(form.l2)
    if judge is None or form.l2 is None:
        return best
    best, of_users = _climb(best, made, judge, form.factor, form.most, deadline)
    for power in powers[1:]:
        if deadline.left <= 0:
            break
        other = system_of(power)(best.l2)
        its_users = judge(other)
        if standard_score(its_users - of_users) > _OTHER_DECAY:
            best, of_users = other, its_users
    return best


def _climb(best, made, judge, factor, most, deadline):
    """The member whose l2, up or down from the first one's by a factor, is better than its neighbours."""
    of_users = judge(best)
    for step in (factor, 1 / factor):
        moved = False
        for _ in range(_STEPS):
            if deadline.left <= 0:
                return best, of_users
            if best.l2 * step > most:
                break
            other = made(best.l2 * step)
            its_users = judge(other)
            if standard_score(its_users - of_users) <= _OTHER_DECAY:
                break
            best, of_users, moved = other, its_users, True
        if moved:
            break
    return best, of_users


class Pool(NamedTuple):
    """What members say of the items that are among the best of one of them.

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
    blend, places, scores = ListBlend(members, [1.0] * len(members), ratings), [], [[] for _ in members]
    step = blend.users_together()
    for start in range(0, len(users), step):
        block = users[start:start + step]
        seen = blend.rated_by(block)
        terms = [blend.standardised(member.of_users(block), seen) for member in members]
        best = []
        for term in terms:
            leave_out(term, blend.candidates, *seen)
            best.append(top_n(term, _POOL))
        best = np.sort(np.concatenate(best, axis=1), axis=1)
        never = (best < 0) | np.column_stack([np.zeros(len(best), bool), best[:, 1:] == best[:, :-1]])
        places.append(best)
        for of_member, term in zip(scores, terms):
            found = np.take_along_axis(term, np.maximum(best, 0), axis=1)
            found[never] = -np.inf
            of_member.append(found)
    return Pool(np.concatenate(places), [np.concatenate(each) for each in scores])


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
        Weights to begin with.
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

    alone = np.eye(len(pool.scores))
    values = [value_of(each) for each in alone]
    weights, left = np.array(first, np.float64), set(range(len(alone)))
    cheap = [k for k in range(len(alone)) if k not in dear]
    best = cheap[int(np.argmax([values[k] for k in cheap]))]
    if values[best] > value_of(weights):
        weights = alone[best]
    of_users = lists.by_user(lists_by(weights), measure)
    for _ in range(_MOVES):
        moves = [(k, (1 - part) * weights + part * alone[k]) for k in sorted(left) for part in _PARTS]
        for k in np.flatnonzero(weights):
            if weights[k] < 1:
                rest = np.where(np.arange(len(alone)) == k, 0, weights)
                moves.append((k, rest / rest.sum()))
        best, move = moves[int(np.argmax([value_of(each) for _, each in moves]))]
        its_users = lists.by_user(lists_by(move), measure)
        worth = _WORTH_MORE if best in dear and not weights[best] else _WORTH
        if standard_score(its_users - of_users) >= worth:
            weights, of_users = move, its_users
        elif best in dear and not weights[best]:
            left.remove(best)
        else:
            break
    return weights.tolist(), values, float(of_users.mean())
