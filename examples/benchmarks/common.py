"""What the benchmarks share: arguments and sets of ratings, figures, and tables that are printed and go to pages.

    python which_rows.py --write docs/results/speed.md docs/tutorial/post.md

Between ``<!-- table: EXAMPLE, NAME -->`` and ``<!-- end -->`` a page has a table with the rows and columns that it
wants. A run of that example with ``--write PAGE`` puts its figures there, each row as soon as it is printed. Rows and
columns are found by their labels; bold type, ``(*)`` and what a label says after a colon are the page's own. Cells that
a run has no figures for stay as they were.
"""
import argparse
import importlib
import os
import platform
import re
import sys
import time
from pathlib import Path

import numpy as np
import scipy.stats

import sparse_ae

SETS = {"filmtrust": "FilmTrust", "douban": "Douban", "jester": "Jester", "ml-100k": "MovieLens 100K",
        "ml-1m": "MovieLens 1M"}
END = "<!-- end -->"
SECTION = re.compile(r"^<!-- table: (.*?) -->\n(.*?)^<!-- end -->$", re.DOTALL | re.MULTILINE)


def parser_of(doc, *sets):
    """A parser for the example of a docstring, with an argument for each of these sets of ratings and for one's own."""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    for name in sets:
        parser.add_argument("--" + name, metavar="FILE", help="where %s is" % SETS[name])
    if sets:
        parser.add_argument("--data", metavar="FILE", help="ratings of your own")
    return parser


def arguments(parser, file, argv):
    """The arguments of the example of a ``__file__``, ``--write`` among them, and the `Pages` that these name."""
    def page(text):
        path, example = Path(text), Path(file).stem
        if not path.exists() or not _names(path, example):
            raise argparse.ArgumentTypeError(
                "%s shows no table of this example; expected a line <!-- table: %s, NAME -->, and after the table a "
                "line %s" % (path, example, END))
        return path

    parser.add_argument("--write", metavar="PAGE", nargs="+", default=(), type=page,
                        help="pages to write the figures to, where they show a table of this example")
    args = parser.parse_args(argv)
    return args, Pages(file, args.write)


def movielens_matrices(args, *sizes):
    """(label, users x items) of these sizes of MovieLens and of ratings of one's own, where the arguments name them."""
    for size in sizes:
        if vars(args)["ml_" + size]:
            yield SETS["ml-" + size], sparse_ae.movielens(size, path=vars(args)["ml_" + size]).ratings.matrix
    if args.data:
        yield Path(args.data).name, sparse_ae.load_ratings(args.data).matrix


def random_splits(ratings, test_fraction, seeds):
    """(train, test), matrices, for each seed, made when its turn comes."""
    for seed in seeds:
        yield sparse_ae.split_ratings(sparse_ae.data.check_ratings(ratings), test_fraction, seed)[:2]


def optional(name):
    """A module that a table can do without; None where it isn't installed, which is said."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print("left out, since it isn't installed: %s" % error.name)


def interval(values):
    """A mean and, of several values, half the width of its 95% interval by Student's t, in words."""
    if len(values) == 1:
        return "%.4f" % values[0]
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return "%.4f ± %.4f" % (np.mean(values), half)


def three_digits(number):
    """A positive number in words, to three digits that count: 0.128, 10.3, 677."""
    return "%.*f" % (max(0, 2 - int(np.floor(np.log10(number)))), number)


def median_times(steps, batches):
    """{name: median milliseconds} of some functions, called with each batch in turns; each returns a loss."""
    times = {name: [] for name in steps}
    for batch in batches:
        for name, step in steps.items():
            start = time.perf_counter()
            loss = step(*batch)
            times[name].append(1000 * (time.perf_counter() - start))
            if not np.isfinite(loss):
                raise AssertionError("%s has diverged: its steps say nothing" % name)
    return {name: float(np.median(values)) for name, values in times.items()}


def peak():
    """The most memory that this process had, in MB; NaN where Linux's /proc doesn't tell."""
    status = Path("/proc/self/status")
    found = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), re.MULTILINE) if status.exists() else None
    return int(found[1]) / 1024 if found else float("nan")


class Pages:
    """The pages that a run of the example of a `__file__` is to write to; with none, tables are only printed."""

    def __init__(self, file, paths=()):
        self.example, self.paths, self._written = Path(file).stem, paths, []

    def table(self, name, *columns):
        """Begin a table: print its head. The first of the columns is the labels'."""
        self._written.append("%s, %s" % (self.example, name))
        return Table(self._written[-1], columns, self.paths)

    def close(self, *more):
        """Tell the machine, which the pages' text should tell too, and which of their tables had no figures."""
        name, cpus = platform.machine(), Path("/proc/cpuinfo")
        if cpus.exists():
            name = dict(re.findall(r"^(model name)\s*: (.*)$", cpus.read_text(), re.MULTILINE)).get("model name", name)
        more = "; ".join([time.strftime("%Y-%m-%d"), *more])
        print("\n%s, %d CPUs; Python %s, NumPy %s; %s"
              % (name, os.cpu_count(), platform.python_version(), np.__version__, more))
        for path in self.paths:
            left = [name for name in _names(path, self.example) if name not in self._written]
            print("%s: written%s" % (path, " but for %s" % "; ".join(left) if left else ""), file=sys.stderr)


class Table:
    """A table that is printed row by row, and written to each page that shows one of its name."""

    def __init__(self, name, columns, paths=()):
        self.name, self.columns, self.rows = name, columns, []
        self._forms = {path: form for path in paths for found, form in SECTION.findall(_read(path)) if found == name}
        print("\n### %s\n" % name.partition(", ")[2])
        self._print(columns)
        print("|%s" % ("---|" * len(columns)), flush=True)

    def row(self, label, *cells):
        """Print a row, and write it."""
        self.rows.append([str(cell) for cell in (label,) + cells])
        self._print(self.rows[-1])
        for path, form in self._forms.items():
            section = "<!-- table: %s -->\n%%s%s" % (self.name.replace("%", "%%"), END)
            text = _read(path)
            now = next(found for name, found in SECTION.findall(text) if name == self.name)
            path.write_text(text.replace(section % now, section % filled(form, self.columns, self.rows)),
                            encoding="utf-8")

    def _print(self, cells):
        padded = [cell.ljust(min(len(column), 24)) for cell, column in zip(cells, self.columns)]
        print("| %s |" % " | ".join([cells[0].ljust(24)] + padded[1:]), flush=True)


def filled(form, columns, rows):
    """A page's table with the figures of `rows`, which begin with labels, where it shows them."""
    lines = form.splitlines()
    known = {_plain(row[0]): dict(zip(map(_plain, columns), row)) for row in rows}
    header = [_plain(cell) for cell in _cells(lines[0])]
    for number, line in enumerate(lines[2:], 2):
        label, *cells = _cells(line)
        figures = known.get(_plain(label), {})
        for k, (column, before) in enumerate(zip(header[1:], cells)):
            cell = figures.get(column, before)
            is_bold = before.startswith("**") and cell and column in figures
            cells[k] = "**%s**" % cell if is_bold else cell
        lines[number] = re.sub(" +", " ", "| %s |" % " | ".join([label] + cells))
    return "\n".join(lines) + "\n"


def _read(path):
    return path.read_text(encoding="utf-8")


def _names(path, example):
    return [name for name, _ in SECTION.findall(_read(path)) if name.partition(", ")[0] == example]


def _cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _plain(label):
    return re.sub(r"\(\*\)|[*`]", "", label.partition(":")[0]).strip()
