"""How long a test waits for what may hang."""
import os
import signal
import sys
import time

# Seconds. It ends a run that would never end, and judges no speed: beside other programs a test may take twenty times
# as long as alone.
HANGS = 900


def wait_until(condition):
    """Return when a condition holds; AssertionError where it doesn't in the time that says that a test hangs."""
    end = time.monotonic() + HANGS
    while not condition():
        assert time.monotonic() < end, "it hangs"
        time.sleep(0)


def in_child(function):
    """Whether a forked child returns from a function, and with something true; it is killed where it hangs."""
    child = os.fork()
    if not child:
        signal.alarm(HANGS // 2)
        try:
            os._exit(0 if function() else 1)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0
