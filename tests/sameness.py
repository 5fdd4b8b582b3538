"""Says whether the library gives what it gave before, bit by bit: for changes that are to change nothing.

    python tests/sameness.py write before.pickle          # before the change
    python tests/sameness.py compare before.pickle        # after it: "the same", or which things of which cases aren't
    python tests/sameness.py compare before.pickle --only "sparse"

A case is a call of the public API on small made-up ratings, and the things that come out of it by name: parameters,
predictions, lists, what the epochs said; a pickle of all is kept. Bits belong to a machine, its compiler and the
versions of what is installed: both runs have to be of the same, and `compare` says what isn't. Where the API is
renamed, a line of `sameness_cases` is changed. Ranks have no case: they give what one process gives, by tests/ranks.py.
"""
import os

# A sum over several threads' parts is rounded otherwise than a whole one. Of a given number of threads bits are always
# the same, but the number of cores isn't. Before NumPy and Theano come.
if __name__ == "__main__":
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse  # noqa: E402
import pickle  # noqa: E402
import platform  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import scipy  # noqa: E402
from alike import differences  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from sameness_cases import CASES  # noqa: E402


def run(names, out=sys.stderr):
    """What comes out of cases, by their names and things; of one that fails, the error."""
    found = {}
    for name in names:
        start = time.monotonic()
        try:
            found[name] = dict(CASES[name]())
        except Exception as error:
            found[name] = {"error": "%s: %s" % (type(error).__name__, error)}
        print("%5.1f s  %s%s" % (time.monotonic() - start, name, "  FAILED" if "error" in found[name] else ""),
              file=out, flush=True)
    return found


def environment():
    """What bits depend on beside the library."""
    import theano
    config = theano.config
    return {"machine": "%s, %s" % (platform.machine(), platform.processor() or "unknown"),
            "python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__,
            "device": config.device, "floatX": config.floatX, "compiler": "%s %s" % (
                config.cxx and os.path.basename(config.cxx), config.gcc.cxxflags)}


def changes(before, now):
    """A line for each thing of a case that isn't what it was."""
    for name, things in now.items():
        if name not in before:
            yield "%s: not in the file" % name
            continue
        for thing in {**before[name], **things}:
            found = differences(before[name].get(thing, "nothing"), things.get(thing, "nothing"))
            yield from ("%s: %s%s" % (name, thing, each) for each in found[:3])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("write", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="this case, or those whose names begin so; may come several times")
    parsed = parser.parse_args(arguments)
    names = [name for name in CASES if parsed.only is None or name.startswith(tuple(parsed.only))]
    if not names:
        parser.error("no case begins with %s; there are: %s" % (" or ".join(parsed.only), "; ".join(CASES)))
    if parsed.command == "write":
        found = run(names)
        failed = ["%s: %s" % (name, things["error"]) for name, things in found.items() if "error" in things]
        if failed:
            print("\n".join(failed))
            return 1
        parsed.file.write_bytes(pickle.dumps({"environment": environment(), "cases": found}))
        print("%d cases, %d things, written to %s" % (len(found), sum(map(len, found.values())), parsed.file))
        return 0
    before, here = pickle.loads(parsed.file.read_bytes()), environment()
    for name, value in before["environment"].items():
        if here.get(name) != value:
            print("warning: %s was %s and is %s; bits may differ for that alone" % (name, value, here.get(name)))
    found = list(changes(before["cases"], run(names)))
    print("\n".join(found) if found else "the same")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
