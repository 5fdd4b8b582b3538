"""Programs at a terminal, as a person runs them: how they end, and what the screen shows meanwhile and afterwards.

    python tests/terminal.py COMMAND [ARGUMENT...]

runs a command on a pseudo-terminal of 80 columns, shows what it shows, and ends as it does; with status 1 if a
traceback or a warning was on the terminal.
"""
import errno
import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from typing import NamedTuple

CTRL_C = "\x03"

# A program gets the keys that are typed if the terminal controls its session.
_AT_TERMINAL = ("import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
                "os.execvp(sys.argv[1], sys.argv[1:])")

# What no person should see of a program that works. The names of tests, and pytest's summary, have none of these.
_AMISS = re.compile(r"Traceback \(most recent call last\)|\b\w*Warning\b(?!s)|Exception ignored")


class Shown(NamedTuple):
    """How a program ended, and all that it wrote to the terminal."""

    status: int
    text: str
    columns: int

    @property
    def amiss(self):
        """Tracebacks and warnings, with the text before and after."""
        return [self.text[max(0, found.start() - 200):found.end() + 500] for found in _AMISS.finditer(self.text)]

    @property
    def screen(self):
        """The rows of text that stay."""
        return self._rows(self.columns)

    @property
    def lines(self):
        """The lines that stay, as they are before the terminal wraps them."""
        return self._rows(1000)

    def _rows(self, columns):
        screen, stream = _screen(columns)
        stream.feed(self.text)
        return [_row(screen, y) for y in range(max(screen.buffer, default=0) + 1)]

    @property
    def bars(self):
        """The states of the progress bar, in order, as they stood on the line that is written over."""
        (screen, stream), states = _screen(self.columns), []
        for piece in re.split("(?<=\r)(?!\n)", self.text):
            stream.feed(piece.rstrip("\r"))
            line = _row(screen, screen.cursor.y)
            stream.feed("\r" * piece.endswith("\r"))
            if "epoch" in line and "\n" not in piece:
                states.append(line)
        return states


def _screen(columns):
    import pyte
    screen = pyte.Screen(columns, 1000)
    return screen, pyte.Stream(screen)


def _row(screen, y):
    return "".join(screen.buffer[y][x].data for x in range(screen.columns)).rstrip()


def run(command, columns=80, keys=(), cwd=None, env=None, show=None, seconds=900):
    """Run a command, a list, on a terminal: a `Shown`. `keys` are pairs of a pattern and a text, which is typed once
    the pattern is shown, one after the other. `show` gets what is shown, as bytes. A program without an end is killed
    after some `seconds`: an AssertionError."""
    ours, theirs = os.openpty()
    # One without columns has no rows either: it doesn't know its size, as within `script` and some containers.
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if columns else 0, columns, 0, 0))
    env = dict(os.environ if env is None else env, TERM="xterm-256color")
    for name in ("COLUMNS", "LINES"):  # which say what a terminal does
        env.pop(name, None)
    program = subprocess.Popen([sys.executable, "-c", _AT_TERMINAL] + [str(each) for each in command], stdin=theirs,
                               stdout=theirs, stderr=theirs, cwd=cwd, env=env, start_new_session=True)
    os.close(theirs)
    shown, keys, begin, end = b"", list(keys), 0, time.monotonic() + seconds
    try:
        while True:
            assert time.monotonic() < end, "it hangs: %s" % shown[-1000:].decode(errors="replace")
            ended = program.poll() is not None
            if not select.select([ours], [], [], 0 if ended else 0.1)[0]:
                if ended:
                    break
                continue
            try:
                new = os.read(ours, 65536)
            except OSError as error:  # what Linux says where the other end is closed
                if error.errno != errno.EIO:
                    raise
                break
            if not new:
                break
            shown += new
            if show is not None:
                show(new)
            if keys and re.search(keys[0][0], shown[begin:].decode(errors="replace")):
                begin = len(shown)
                os.write(ours, keys.pop(0)[1].encode())
    finally:
        os.close(ours)
        if program.poll() is None and sys.exc_info()[0]:
            program.kill()
    status = program.wait()
    assert not keys, "%r was never shown: %s" % (keys[0][0], shown.decode(errors="replace"))
    return Shown(status, shown.decode(errors="replace"), columns)


def python(code, **more):
    """`run` a text of Python, as by ``python -c``, with what pytest's own process imports."""
    return run([sys.executable, "-c", code], **more)


def main(command):
    def show(new):
        sys.stdout.buffer.write(new)
        sys.stdout.flush()

    shown = run(command, show=show, seconds=3600)
    if shown.amiss:
        sys.exit("%d warnings or tracebacks were on the terminal" % len(shown.amiss))
    return shown.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
