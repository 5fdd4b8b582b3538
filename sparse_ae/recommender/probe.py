"""Looking before training: whether a side's model is worth its memory and its time, and by which decay.

A model of many columns takes minutes, and gigabytes, to show that biases are as good; with few hidden units the same
ratings show it in seconds. So where all the hidden units are many numbers, a few are trained first, for as long as it
takes to see a gain, and `guard.promises` says whether validation ratings show one. The last look is with less decay
than the rule's, by which items as rows learned nothing of 19 million made-up ratings that were mostly taste.

So it is with a decay that is far too strong, or too weak: of 1.9 million made-up ratings it took 206 of a fit's 361
seconds to see this with all the hidden units. Where ratings are many, decays are tried with few, and then twice as many
hidden units as long as these are better: for tastes of ten factors 64 are enough, and 512 would overfit them.
"""
import gc
import os
from pathlib import Path

import numpy as np

from sparse_ae.data.side import Side
from sparse_ae.recommender.defaults import most_hidden
from sparse_ae.recommender.guard import promises, stretch_on_validation
from sparse_ae.recommender.sides import n_columns_of

#: Trainings with another decay, at most.
MORE_TRIES = 2

# Outputs that least squares would stretch by more are too small, for so strong a decay shrinks them, and those that it
# would shrink are too large: a third of the decay then, or three times as much, and once more if that was better.
_TOO_SMALL, _TOO_LARGE, _LESS_DECAY = 1.1, 0.7, 0.3

# Numbers in W from which a look is worth its time: below, training in full takes seconds.
_LARGE = 2 ** 23

# Bytes of a training for which it is worth a tenth of a second to look for what nobody needs any more.
_MUCH = 2 ** 28

# Hidden units that are looked at, and updates: on real ratings the best epoch came after 190 to 650. What can be
# learned mostly shows long before, and isn't looked at any longer.
_FEW_HIDDEN, _UPDATES = 16, (100, 400)

# Ratings from which decays are tried with few hidden units first, which are so many, for so many updates at most: on
# real ratings the best epoch came after 190 to 650.
_MANY_RATINGS, _TO_SEEK_BY, _UPDATES_TO_SEEK = 10 ** 6, 64, 650

# The part of the squared error by which it must fall with twice as many, or else so few are trained in full.
_WORTH_TWICE = 0.001

# What an update keeps for each parameter, its gradient included, which Adagrad alone doesn't lay down.
_KEPT = {"adam": 3, "adamax": 3, "adagrad": 1, "adadelta": 3, "rmsprop": 2, "momentum": 2, "nesterov_momentum": 2}


def look(given, side, biases, choice, train, free, itemsize):
    """Train small models of one side, if a whole one is large, until one shows a gain.

    Parameters
    ----------
    given : FitInputs
    side : {"items", "users"}
    biases : Biases
    choice : defaults.Choice
        Of the whole model.
    train : callable
        From ``choice=`` and ``label=`` to a `ratings.Trained`.
    free : sequence of str
        Settings that may be other than those of `choice`: "l2", "n_hidden".
    itemsize : int
        Bytes of a number.

    Returns
    -------
    ended : Trained or None
        The last, where none did, or where somebody wants to stop.
    choice : defaults.Choice
        That to go on with: with the decay that showed a gain.
    """
    n_columns = n_columns_of(given.train, side)
    needed, there = memory_needed(n_columns, choice, itemsize), memory_there()
    if given.guarded and is_large(n_columns, choice):
        for small in looks(choice, _n_rows(given, side), _LESS_DECAY if "l2" in free else None):
            found = train(choice=small, label="%s as rows, a first look" % side)
            if found.interrupted:
                return found._replace(epoch=0), choice
            if promises(given, found, biases):
                choice = choice._replace(l2=small.l2)
                break
        else:
            given.tell("%s as rows: with %d hidden units validation ratings show no gain over biases; the %d that were "
                       "chosen, and %.1f GB for them, are left out"
                       % (side, small.n_hidden, choice.n_hidden, needed / 1e9))
            return found._replace(epoch=0), choice
    if there is not None and needed > there:
        given.tell("%s as rows: training takes about %.1f GB, of %.1f GB of memory that are free; a smaller n_hidden "
                   "than %d, or the other rows alone, takes less" % (side, needed / 1e9, there / 1e9, choice.n_hidden))
    return None, choice


def seek(given, side, biases, choice, train, free):
    """Find a decay, and how many hidden units are worth their time, by few of them where training takes long.

    Parameters and returns are those of `look`, but that `ended` is what was best by then.
    """
    if not takes_long(given.train.by(side).nnz, choice):
        return None, choice

    def tried(choice):
        return train(choice=choice, label="%s as rows, %d hidden units first" % (side, choice.n_hidden))

    found = better_decay(given, tried(with_few_hidden(choice, _n_rows(given, side))), biases, [tried] * MORE_TRIES)
    if found.interrupted:
        return found, choice
    if "n_hidden" in free:
        found, is_enough = more_hidden(given, found, biases, tried, choice.n_hidden, _WORTH_TWICE)
        if found.interrupted:
            return found, choice
        if is_enough:
            choice = choice._replace(n_hidden=found.choice.n_hidden)
    if choice.patience is not None:
        choice = choice._replace(patience=max(choice.patience, 1 + stood_still(found.history)))
    return None, choice._replace(l2=found.choice.l2)


def better_decay(given, best, biases, tries):
    """Train with another decay, as long as validation ratings say so and it helps.

    The rule for ``l2="auto"`` takes what biases leave over for noise. The more of it is taste, the more does so strong
    a decay shrink the outputs, and least squares would stretch them again. Where no epoch was better than biases alone
    it may be so strong that nothing is left.

    Parameters
    ----------
    given : FitInputs
    best : Trained
        By the rule.
    biases : Biases
    tries : list of callable
        Each trains a model by a `choice`, as `look` has it.

    Returns
    -------
    Trained
    """
    if best.error or best.interrupted:
        return best
    stretch, error = stretch_on_validation(given, best, biases)
    factor = _LESS_DECAY if stretch > 1 else 1 / _LESS_DECAY
    for train in tries:
        if _TOO_LARGE <= stretch <= _TOO_SMALL or (stretch > 1) != (factor < 1):
            break
        choice = best.choice._replace(l2=factor * best.choice.l2)
        given.tell("%s as rows: %s; again with l2=%.4g" % (best.side, _in_words(stretch), choice.l2))
        again = train(choice=choice)
        if again.interrupted:
            return best._replace(history=best.history + again.history)
        if again.error:
            break
        stretch, its_error = stretch_on_validation(given, again, biases)
        if its_error >= error:
            break
        best, error = again, its_error
    return best


def more_hidden(given, best, biases, train, most, worth):
    """Train with twice as many hidden units, and again, as long as validation ratings say that these are worth it.

    Parameters
    ----------
    given : FitInputs
    best : Trained
    biases : Biases
    train : callable
        As `better_decay` has it.
    most : int
        As many hidden units, at most.
    worth : float
        The part of the squared error by which it must fall with twice as many; below 0, by which it may rise.

    Returns
    -------
    best : Trained
    is_enough : bool
        Whether more have been tried, and weren't worth it.
    """
    _, error = stretch_on_validation(given, best, biases)
    while 2 * best.choice.n_hidden <= most:
        twice = train(choice=best.choice._replace(n_hidden=2 * best.choice.n_hidden))
        if twice.interrupted:
            return best._replace(history=best.history + twice.history), False
        _, its_error = (None, np.inf) if twice.error else stretch_on_validation(given, twice, biases)
        if its_error >= (1 - worth) * error:
            given.tell("%s as rows: %d hidden units are no better than %d"
                       % (best.side, twice.choice.n_hidden, best.choice.n_hidden))
            return best, True
        best, error = twice, its_error
    return best, False


def _in_words(stretch):
    if np.isinf(stretch):
        return "next to nothing is learned"
    if not stretch:
        return "what is learned is of the wrong sign on validation ratings"
    return "outputs are too %s by a factor of %.2f" % (("small", stretch) if stretch > 1 else ("large", 1 / stretch))


def stood_still(history):
    """Count the epochs from the start, or from a better one, to the next better one, at most."""
    best, since, most = np.inf, 0, 0
    for record in history:
        if record["validation_rmse"] < best:
            best, since, most = record["validation_rmse"], record["epoch"], max(most, record["epoch"] - since)
    return most


def most_hidden_of(given, side):
    """Return how many hidden units a model of one side may have."""
    return most_hidden(_n_rows(given, side), _n_rows(given, Side(side).other), n_columns_of(given.train, side))


def _n_rows(given, side):
    return np.count_nonzero(np.diff(given.train.by(side).indptr))


def is_large(n_columns, choice):
    """Tell whether a side is to be looked at first."""
    return n_columns * choice.n_hidden >= _LARGE and choice.n_hidden > 2 * _FEW_HIDDEN


def looks(choice, n_rows, less_decay=None):
    """Return the `defaults.Choice` of each look at a side, until one shows a gain.

    Parameters
    ----------
    choice : defaults.Choice
    n_rows : int
        With ratings.
    less_decay : float, optional
        The part of the decay that the last look is with, where it may be another than that of `choice`.
    """
    few = choice._replace(n_hidden=_FEW_HIDDEN)
    found = [few._replace(n_epochs=n) for n in sorted({_epochs(choice, n_rows, each) for each in _UPDATES})]
    if less_decay is not None:
        found.append(_to_the_end(few, n_rows)._replace(l2=less_decay * few.l2))
    return found


def takes_long(n_ratings, choice):
    """Tell whether decays are to be tried with few hidden units first."""
    return n_ratings >= _MANY_RATINGS and choice.n_hidden >= 2 * _TO_SEEK_BY


def with_few_hidden(choice, n_rows):
    """Return the `defaults.Choice` that decays are tried by."""
    return _to_the_end(choice, n_rows)._replace(n_hidden=_TO_SEEK_BY)


def _to_the_end(choice, n_rows):
    """Of as many updates as are to show a gain, none of them spared: errors may stand still for most of them."""
    n_epochs = _epochs(choice, n_rows, _UPDATES_TO_SEEK)
    return choice._replace(n_epochs=n_epochs, patience=n_epochs)


def _epochs(choice, n_rows, n_updates):
    """So many as make so many updates, two at least, but no more than are chosen."""
    return min(choice.n_epochs, max(2, -(-n_updates // choice.updates_per_epoch(n_rows))))


def memory_needed(n_columns, choice, itemsize=4):
    """Bytes that training takes beside the ratings: two encoders and W, the best epoch's, and what the update keeps."""
    name = choice.update if isinstance(choice.update, str) else getattr(choice.update, "__name__", "")
    return 3 * (2 + _KEPT.get(name, 2)) * n_columns * choice.n_hidden * itemsize


def make_room(n_columns, choice):
    """Give back what the training before has left, if a training takes much memory.

    Theano's functions are cycles of references, with all that an update keeps: Python finds them when it has made many
    more objects, and until then two trainings' are there.
    """
    if memory_needed(n_columns, choice) > _MUCH:
        gc.collect()


def memory_there():
    """Bytes of memory that are free for use, by the system and a container's limit; None where the system is silent."""
    free = [each for each in (_memory_of_system(), memory_of_container()) if each is not None]
    return min(free) if free else None


def memory_of_container(folder="/sys/fs/cgroup"):
    for limit, used in (("memory.max", "memory.current"),
                        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        try:
            numbers = [int(Path(folder, name).read_text()) for name in (limit, used)]
        except (OSError, ValueError):  # no such group, or no limit: "max"
            continue
        return max(0, numbers[0] - numbers[1])
    return None


def _memory_of_system():
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
