"""Memory that training takes, and memory that is free."""
import gc
import os
from pathlib import Path

# Bytes of a training for which it is worth a tenth of a second to collect garbage first.
_MUCH = 2 ** 28

# What an update keeps for each parameter, its gradient included, which Adagrad alone doesn't lay down.
_KEPT = {"adam": 3, "adamax": 3, "adagrad": 1, "adadelta": 3, "rmsprop": 2, "momentum": 2, "nesterov_momentum": 2}


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
