"""Says whether the library gives what it gave before, bit by bit: for changes that are to change nothing.

    python tests/sameness.py write before.json            # before the change
    python tests/sameness.py compare before.json          # after it: "the same", or which things of which cases aren't
    python tests/sameness.py compare before.json --only "sparse"

A case is a call of the public API on small made-up ratings, and the things that come out of it by name: parameters,
predictions, lists, what the epochs said. A digest of each is what is kept. Bits belong to a machine, its compiler and
the versions of what is installed: both runs have to be of the same, and `compare` says what isn't. Where the API is
renamed, a line of `sameness_cases` is changed, and the digests stay. Ranks have no case: they give what one process
gives, by tests/ranks.py.
"""
import os

# A sum over several threads' parts is rounded otherwise than a whole one. Of a given number of threads bits are always
# the same, but the number of cores isn't. Before NumPy and Theano come.
if __name__ == "__main__":
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse  # noqa: E402
import hashlib  # noqa: E402
import json  # noqa: E402
import numbers  # noqa: E402
import platform  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import scipy  # noqa: E402
import scipy.sparse as sp  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from sameness_cases import CASES  # noqa: E402


def feed(take, value):
    """Gives `take` the bytes of a value, its types and shapes included."""
    if sp.issparse(value):
        value = value.tocsr()
        value = ["csr", list(value.shape), value.data, value.indices.astype("int64"), value.indptr.astype("int64")]
    if isinstance(value, np.ndarray) or (isinstance(value, np.generic) and not isinstance(value, (float, np.integer,
                                                                                                  np.bool_, str))):
        value = np.asarray(value)
        if value.dtype == object:
            value = value.tolist()
        else:
            take(("%s %s" % (value.dtype.str, value.shape)).encode())
            take(np.ascontiguousarray(value).tobytes())
            return
    if hasattr(value, "keys"):
        value = [["key", str(key), value[key]] for key in sorted(value, key=str)]
    if isinstance(value, slice):
        value = ["slice", value.start, value.stop, value.step]
    if isinstance(value, (list, tuple)):
        take(b"[%d]" % len(value))
        for each in value:
            feed(take, each)
    elif value is None or isinstance(value, (bool, np.bool_)):
        take(str(value).encode())
    elif isinstance(value, numbers.Integral):
        take(b"int %d" % value)
    elif isinstance(value, float):
        take(("float " + value.hex()).encode())
    elif isinstance(value, str):
        take(("str " + value).encode())
    elif callable(value):
        take(("function " + getattr(value, "__name__", "")).encode())
    else:
        raise TypeError("%r has no digest" % (value,))


def digest(value):
    """A text: a SHA-256, and what the value is, in words."""
    found = hashlib.sha256()
    feed(found.update, value)
    if isinstance(value, np.ndarray):
        words = "%s %s" % (value.dtype, value.shape)
        if value.dtype.kind == "f":
            words += ", mean size %.9g" % np.abs(value).mean()
    else:
        words = " ".join(repr(value).split())
        words = words if len(words) < 100 else words[:48] + " ... " + words[-48:]
    return "%s %s" % (found.hexdigest()[:32], words)


def run(names, out=sys.stderr):
    """Digests of cases, by their names and things; of one that fails, the error."""
    found = {}
    for name in names:
        start = time.monotonic()
        try:
            found[name] = {thing: digest(value) for thing, value in dict(CASES[name]()).items()}
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


def differences(before, now, names):
    """A line for each thing that isn't what it was."""
    for name in names:
        if name not in before:
            yield "%s: not in the file" % name
            continue
        for thing in list(before[name]) + [thing for thing in now[name] if thing not in before[name]]:
            was, became = before[name].get(thing, "nothing"), now[name].get(thing, "nothing")
            digests = [each.split(" ")[0] for each in (was, became)]
            if digests[0] != digests[1] or thing == "error":
                yield "%s: %s: was %s; is %s" % (name, thing, was, became)


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
        parsed.file.write_text(json.dumps({"environment": environment(), "cases": found}, indent=1) + "\n")
        print("%d cases, %d things, written to %s" % (len(found), sum(map(len, found.values())), parsed.file))
        return 0
    before, here = json.loads(parsed.file.read_text()), environment()
    for name, value in before["environment"].items():
        if here.get(name) != value:
            print("warning: %s was %s and is %s; bits may differ for that alone" % (name, value, here.get(name)))
    found = list(differences(before["cases"], run(names), names))
    print("\n".join(found) if found else "the same")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
