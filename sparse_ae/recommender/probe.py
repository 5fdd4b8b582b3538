"""Looking before training: whether a side's model is worth its memory and its time, and how much memory that is.

A model of many columns takes minutes, and gigabytes, to show that biases are as good; with few hidden units the same
ratings show it in seconds. So where all the hidden units are many numbers, a few are trained first, for as long as it
takes to see a gain, and `weighing.promises` says whether validation ratings show one.
"""
import os

__all__ = ["is_large", "look_at", "memory_needed", "memory_there"]

# Numbers in W from which a look is worth its time: below, training in full takes seconds.
_LARGE = 2 ** 23

# Hidden units that are looked at, and updates: on real ratings the best epoch came after 190 to 650.
_FEW_HIDDEN, _UPDATES = 16, 400

# What an update keeps for each parameter.
_KEPT = {"adam": 2, "adamax": 2, "adagrad": 1, "adadelta": 2, "rmsprop": 1, "momentum": 1, "nesterov_momentum": 1}


def is_large(n_columns, choice):
    """Tell whether a side is to be looked at first."""
    return n_columns * choice.n_hidden >= _LARGE and choice.n_hidden > 2 * _FEW_HIDDEN


def look_at(choice, n_rows):
    """Return the `defaults.Choice` to look at a side with."""
    per_epoch = 1 if choice.batch_size is None else -(-n_rows // choice.batch_size)
    n_epochs = min(choice.n_epochs, max(2, -(-_UPDATES // per_epoch)))
    return choice._replace(n_hidden=_FEW_HIDDEN, n_epochs=n_epochs)


def memory_needed(n_columns, choice, itemsize=4):
    """Bytes that training takes beside the ratings: two encoders and W, what the update keeps, and the best epoch's."""
    name = choice.update if isinstance(choice.update, str) else getattr(choice.update, "__name__", "")
    return 2 * 3 * (1 + _KEPT.get(name, 1)) * n_columns * choice.n_hidden * itemsize


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
