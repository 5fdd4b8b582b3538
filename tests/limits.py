"""How long a test waits for what may hang."""

__all__ = ["HANGS"]

# Seconds. It ends a run that would never end, and judges no speed: beside other programs a test may take twenty times
# as long as alone.
HANGS = 900
