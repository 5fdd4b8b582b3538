"""Ctrl-C as a wish to stop, for work that must not be torn apart."""
import contextlib
import signal
import threading


@contextlib.contextmanager
def until_sigint(kept):
    """A list that is non-empty once Ctrl-C has ended the context, for work that can be left out if something is `kept`:
    a list of models, for example. If that is empty, a KeyboardInterrupt as always."""
    ended = []
    try:
        yield ended
    except KeyboardInterrupt:
        if not kept:
            raise
        ended.append(True)


@contextlib.contextmanager
def sigint_as_flag():
    """A list that the first Ctrl-C fills, so that the step can finish; a second one raises KeyboardInterrupt."""
    flag, previous = [], signal.getsignal(signal.SIGINT)
    # Only the main thread gets signals, and only it may handle them; a handler that isn't Python's can't be put back;
    # and a shell has its background jobs ignore Ctrl-C.
    if threading.current_thread() is not threading.main_thread() or previous in (None, signal.SIG_IGN):
        yield flag
        return

    def handle(number, frame):
        flag.append(number)
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, handle)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)
