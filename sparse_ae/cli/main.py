"""``python -m sparse_ae``: a command is an entry of `settings.COMMANDS` and a function of `commands`. Results go to
stdout, progress to stderr; an error is one line there, with status 2."""
import argparse
import os
import re
import sys

import sparse_ae
from sparse_ae.checks import near
from sparse_ae.cli import commands
from sparse_ae.cli.settings import add_commands

_START = """Start with
  python -m sparse_ae fit ratings.csv -o model.npz
  python -m sparse_ae recommend model.npz --user ID
  python -m sparse_ae evaluate model.npz held-out.csv
and see python -m sparse_ae fit --help. What is installed here:
"""

_REQUIRED = "the following arguments are required: "


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line, without argparse's usage, with what to give."""

    def error(self, message):
        chosen = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
        if chosen:
            message += near(chosen.group(1), re.findall(r"[\w-]+", chosen.group(2)))
        if message.startswith(_REQUIRED):
            texts = {"/".join(each.option_strings) or each.metavar or each.dest: each.help for each in self._actions}
            message = "missing: %s; give files first, then options" % ", ".join(
                "%s (%s)" % (name, texts.get(name, "").partition(";")[0])
                for name in message[len(_REQUIRED):].split(", "))
        self.exit(2, "%s: error: %s (see %s --help)\n" % (self.prog, message, self.prog))


def main(arguments=None):
    """Run a command from a list of str, by default the command line's; without one, ``info``. An error is a line on
    stderr, and a SystemExit with status 2."""
    parser = _Parser(prog="python -m sparse_ae", description="Recommendations from ratings, orders or clicks.")
    if sys.stderr is None:  # closed, as by 2>&-
        sys.stderr = open(os.devnull, "w")
    if sys.stdout is None:
        parser.exit(2, "%s: error: stdout is closed, where results are printed; open it, or redirect it to "
                       "/dev/null\n" % parser.prog)
    parser.add_argument("--version", action="version", version="sparse_ae " + sparse_ae.__version__)
    by_name = add_commands(parser)
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:
        of_command = by_name.get(parsed.command, parser)
        of_command.error("there is no option or argument %s%s" % (
            unknown[0], near(unknown[0].partition("=")[0], re.findall("--[a-z][-a-z0-9]*", of_command.format_help()))
            if unknown[0].startswith("-") else ""))
    try:
        if parsed.command is None:
            print(_START)
        getattr(commands, parsed.command or "info")(parsed)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe, as head does
        _drop_output()
        sys.exit(1)
    except KeyboardInterrupt as end:  # it says what is kept; 130 is a shell's status after Ctrl-C
        parser.exit(130, "%s: %s\n" % (parser.prog, "; ".join(["interrupted"] + list(map(str, end.args)))))
    except (ArithmeticError, ImportError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        try:
            sys.stdout.flush()
        except OSError:  # a full disk: Python would try again at exit, and print two lines of its own
            _drop_output()
        if isinstance(error, UnicodeEncodeError):
            error = ("stdout takes %s only, which has no %.60r; set PYTHONIOENCODING=utf-8, or write to a terminal or "
                     "file in UTF-8" % (error.encoding, error.object[error.start:error.end]))
        parser.exit(2, "%s: error: %s\n" % (parser.prog, " ".join(str(error).split())
                                              or "not enough memory"))


def _drop_output():
    """Discard output that stdout hasn't written yet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
