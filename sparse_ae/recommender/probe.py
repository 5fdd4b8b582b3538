"""Looking before training: whether a side's model is worth its memory and its time, and how much memory that is.

A model of many columns takes minutes, and gigabytes, to show that biases are as good; with few hidden units the same
ratings show it in seconds. So where all the hidden units are many numbers, a few are trained first, for as long as it
takes to see a gain, and `weighing.promises` says whether validation ratings show one. The last look is with less decay
than the rule's, by which items as rows learned nothing of 19 million made-up ratings that were mostly taste.

So it is with a decay that is far too strong, or too weak: of 1.9 million made-up ratings it took 206 of a fit's 361
seconds to see this with all the hidden units. Where ratings are many, decays are tried with few.
"""
import gc
import os

__all__ = ["is_large", "looks", "make_room", "memory_needed", "memory_there", "takes_long", "with_few_hidden"]

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

# What an update keeps for each parameter, its gradient included, which Adagrad alone doesn't lay down.
_KEPT = {"adam": 3, "adamax": 3, "adagrad": 1, "adadelta": 3, "rmsprop": 2, "momentum": 2, "nesterov_momentum": 2}


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
        found.append(few._replace(n_epochs=_epochs(choice, n_rows, _UPDATES_TO_SEEK), l2=less_decay * few.l2))
    return found


def takes_long(n_ratings, choice):
    """Tell whether decays are to be tried with few hidden units first."""
    return n_ratings >= _MANY_RATINGS and choice.n_hidden >= 2 * _TO_SEEK_BY


def with_few_hidden(choice, n_rows):
    """Return the `defaults.Choice` that decays are tried by."""
    return choice._replace(n_hidden=_TO_SEEK_BY, n_epochs=_epochs(choice, n_rows, _UPDATES_TO_SEEK))


def _epochs(choice, n_rows, n_updates):
    """So many as make so many updates, two at least, but no more than are chosen."""
    return min(choice.n_epochs, max(2, -(-n_updates // choice.updates_per_epoch(n_rows))))


def memory_needed(n_columns, choice, itemsize=4):
    """Bytes that training takes beside the ratings: two encoders and W, the best epoch's, and what the update keeps."""
    name = choice.update if isinstance(choice.update, str) else getattr(choice.update, "__name__", "")
    return 3 * (2 + _KEPT.get(name, 2)) * n_columns * choice.n_hidden * itemsize


def make_room(n_columns, choice, itemsize=4):
    """Give back what the training before has left, if a training takes much memory.

    Theano's functions are cycles of references, with all that an update keeps: Python finds them when it has made many
    more objects, and until then two trainings' are there.
    """
    if memory_needed(n_columns, choice, itemsize) > _MUCH:
        gc.collect()


def memory_there():
    """Bytes of memory that are free for use, as the system tells it; None where it doesn't."""
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
