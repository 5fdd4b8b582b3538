"""Ctrl-C as a wish to stop, for work that must not be torn apart."""
import contextlib
import signal
import threading


@contextlib.contextmanager
def sigint_as_flag():
    """A list that the first Ctrl-C makes non-empty, so that no step is torn apart; a second one is as always."""
    flag, previous = [], signal.getsignal(signal.SIGINT)
    # Only the main thread gets signals, and only it may handle them; a handler that isn't Python's can't be put back.
    if threading.current_thread() is not threading.main_thread() or previous is None:
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
