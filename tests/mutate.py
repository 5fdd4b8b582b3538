"""How many small faults the tests find: ``python tests/mutate.py [--n 120] [--seed 0] [--room data] [--own]``.

Makes one fault at a time in a copy of the checkout: another sign, bound or comparison, or a statement less. Lines are
drawn from all of `sparse_ae/` alike, docstrings left out. The tests of the fault's room run first, those named after
its module before the rest, then all others unless by ``--own``; a fault is found by the first test that fails, or that
doesn't end in time. Prints each fault as a line, and the share found at the end. It takes hours, and is no part of CI.
"""
import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
OTHER = dict([pair[::order] for pair in [(ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Add, ast.Sub),
                                         (ast.Mult, ast.Div), (ast.And, ast.Or)] for order in (1, -1)])
DELETED = (ast.Assign, ast.AugAssign, ast.Raise, ast.Expr)
# Rooms whose tests aren't those of their name alone; a room is a folder or a module of the top level.
ELSEWHERE = {"__init__": ["test_package.py"], "__main__": ["test_package.py", "cli"],
             "contract": ["test_protocol.py", "training/test_contract.py", "test_networks.py"],
             "kinds": ["test_networks.py", "recommender/test_saved.py"],
             "moved": ["test_package.py"],
             "networks": ["test_networks.py", "recommender/test_network_models.py"], "ops": ["ops", "test_updates.py"],
             "ranks": ["runtime/test_ranks.py"], "runtime": ["runtime", "test_trainer.py"],
             "theano_compat": ["test_theano_compat.py", "test_theano_cache.py", "compat"],
             "training": ["training", "test_trainer.py", "test_networks.py"], "validation": ["test_trainer.py"]}
SECONDS = 3600  # a run of tests that takes longer hangs


def faults(text):
    """Faults of a module: (first line, last line, the line in their place). By Python 3.9 or later."""
    lines, tree = text.splitlines(), ast.parse(text)
    for node in ast.walk(tree):
        other = copy.copy(node)
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OTHER:
            other.ops = [OTHER[type(node.ops[0])]()]
        elif isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in OTHER:
            other.op = OTHER[type(node.op)]()
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            other.value += 1
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
            continue
        elif isinstance(node, DELETED):
            other = ast.Pass()
        else:
            continue
        new = "(%s)" % ast.unparse(other) if isinstance(node, (ast.BinOp, ast.BoolOp)) else ast.unparse(other)
        first, last = lines[node.lineno - 1], lines[node.end_lineno - 1]
        yield node.lineno, node.end_lineno, first[:node.col_offset] + new + last[node.end_col_offset:]


def drawn(folder, room, n, seed):
    """Some faults: (path, fault), one for each of the lines that are drawn."""
    by_line = {}
    for path in sorted((folder / "sparse_ae").rglob("*.py")):
        if room in (None, room_of(path.relative_to(folder))):
            text = path.read_text(encoding="utf8")
            for fault in faults(text) if text.isascii() else ():
                by_line.setdefault((path, fault[0]), []).append(fault)
    rng = random.Random(seed)
    places = rng.sample(sorted(by_line), min(n, len(by_line)))
    return [(path, rng.choice(by_line[path, line])) for path, line in places]


def room_of(path):
    return path.parts[1].replace(".py", "")


def tests_of(folder, room, module=None):
    """The tests of a room, those first that are named after a module of it: files and folders."""
    names = ELSEWHERE.get(room, [room, "test_%s.py" % room])
    found = [each for each in (folder / "tests" / name for name in names) if each.exists()]
    of_module = [path for each in found if each.is_dir() for path in sorted(each.rglob("test_%s.py" % module))]
    return of_module + found


def finds(folder, tests, more=()):
    """Whether a test fails, or doesn't end. Of no tests none does."""
    if not tests:
        return False
    environment = dict(os.environ, PYTHONPATH=str(folder))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:randomly", *more, *map(str, tests)]
    try:
        status = subprocess.run(command, cwd=str(folder), env=environment, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, timeout=SECONDS).returncode
    except subprocess.TimeoutExpired:
        return True
    return status not in (0, 5)  # 5: there is no such test


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=120, help="faults (default: 120)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--room", help="of this room or module of sparse_ae alone")
    parser.add_argument("--own", action="store_true", help="run the room's own tests alone")
    parser.add_argument("--checkout", type=Path, default=CHECKOUT)
    arguments = parser.parse_args(argv)
    found, rooms = [], set()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder) / "checkout"
        shutil.copytree(str(arguments.checkout), str(folder), ignore=shutil.ignore_patterns(".git", ".pytest_cache"))
        for path, (first, last, new) in drawn(folder, arguments.room, arguments.n, arguments.seed):
            room = room_of(path.relative_to(folder))
            if room not in rooms and finds(folder, tests_of(folder, room)):
                sys.exit("the tests of %s fail without a fault: nothing can be said of those that fail with one" % room)
            rooms.add(room)
            sound = path.read_text(encoding="utf8")
            lines = sound.splitlines()
            path.write_text("\n".join(lines[:first - 1] + [new] + lines[last:]) + "\n", encoding="utf8")
            own = tests_of(folder, room, path.stem)
            by = "own" if finds(folder, own) else None
            if by is None and not arguments.own:
                by = "rest" if finds(folder, ["tests"], ["--ignore=%s" % each for each in own]) else None
            path.write_text(sound, encoding="utf8")
            found.append(by)
            print("%-6s %s:%d: %s  ->  %s" % (by or "LOST", path.relative_to(folder), first, lines[first - 1].strip(),
                                              new.strip()), flush=True)
    print("%d faults: %d found by the room's own tests, %d by others, %d lost"
          % (len(found), found.count("own"), found.count("rest"), found.count(None)))


if __name__ == "__main__":
    main()
