"""How long a test waits for what may hang."""
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
