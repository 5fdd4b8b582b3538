"""Processors, work that is divided among threads on them, and values that threads compute once."""
import contextlib
import importlib
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

# At most: each has arrays of its own in work, up to 100 MB, and the memory that all read from is one.
_MOST = 8

_here = threading.local()  # `is_one_of_several`, in a thread of `in_threads`

# Of the contexts that are open: the first limits BLAS for all. The lock is its thread's own to take again, since the
# garbage collector may close a generator at any time.
_lock, _limits = threading.RLock(), []


class cached_property:
    """As that of functools, which has a lock before Python 3.12, that a forked child may find taken for ever."""

    def __init__(self, function):
        self._function, self.__doc__ = function, function.__doc__

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        return vars(instance).setdefault(self._function.__name__, self._function(instance))


def processors():
    """Count the processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count():
    """How many threads to work with: the first number of ``OMP_NUM_THREADS``, else one per processor; 8 at most."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(_MOST, max(1, int(wanted)) if wanted.isdecimal() else processors())


def in_threads(function, parts):
    """Yield a function's results for a sequence of parts, in their order, computed in threads; in a thread, in turn."""
    n = min(thread_count(), len(parts))
    if n < 2 or getattr(_here, "is_one_of_several", False):
        yield from map(function, parts)
        return
    one_of_several = dict(initializer=setattr, initargs=(_here, "is_one_of_several", True))
    with blas_on_one_thread(), ThreadPoolExecutor(n, **one_of_several) as threads:
        # The next is begun before a result is given away, so that no thread waits for the others, nor for the caller.
        # All would do the same at the same time, and queue up where they need the interpreter.
        begun = deque(threads.submit(function, part) for part in parts[:n])
        for part in parts[n:]:
            found = begun.popleft().result()
            begun.append(threads.submit(function, part))
            yield found
        while begun:
            yield begun.popleft().result()


@contextlib.contextmanager
def blas_on_one_thread():
    """A context whose products are the same beside other threads, and aren't divided again among those that wait."""
    from threadpoolctl import threadpool_limits  # it looks at all libraries that are loaded
    with _lock:
        _limits.append(None if _limits else _from_any_thread(lambda: threadpool_limits(1, "blas")))
    try:
        yield
    finally:
        with _lock:
            limits = _limits.pop()
            if limits is not None:  # the last to end puts back what the first has found
                _from_any_thread(limits.restore_original_limits)


def _from_any_thread(change):
    """Change BLAS's limits: from threadpoolctl 3.8 on others than the first thread's are ignored without a word."""
    openblas = getattr(importlib.import_module("threadpoolctl"), "OpenBLASController", None)
    release = getattr(openblas, "clear_controlling_thread", lambda force: None)
    release(force=True)
    try:
        return change()
    finally:
        release(force=True)


def work_in_threads(work, parts):
    """As `in_threads`, for a function without a result, which fills a part of an array, for example."""
    for _ in in_threads(work, parts):
        pass
