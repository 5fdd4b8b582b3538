"""What the benchmarks share: intervals, times, memory, sets of ratings and the arguments that name them."""
import re
import time
from pathlib import Path

import numpy as np
import scipy.stats

import sparse_ae

SETS = {"filmtrust": "FilmTrust", "douban": "Douban", "jester": "Jester", "ml-100k": "MovieLens 100K",
        "ml-1m": "MovieLens 1M"}


def interval(values):
    """A mean and, of several values, half the width of its 95% interval by Student's t, in words."""
    if len(values) == 1:
        return "%.4f" % values[0]
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return "%.4f ± %.4f" % (np.mean(values), half)


def add_sets(parser, *names):
    """Add an argument for each of these sets of ratings, and for a file of the user's own."""
    for name in names:
        parser.add_argument("--" + name, metavar="FILE", help="where %s is" % SETS[name])
    parser.add_argument("--data", metavar="FILE", help="ratings of your own")


def movielens_matrices(args):
    """(label, users x items) of MovieLens 1M and of ratings of one's own, where the arguments name them."""
    if args.ml_1m:
        yield "MovieLens 1M", sparse_ae.movielens("1m", path=args.ml_1m).ratings.matrix
    if args.data:
        yield Path(args.data).name, sparse_ae.load_ratings(args.data).matrix


def random_splits(ratings, test_fraction, seeds):
    """(train, test) for each seed, made when its turn comes."""
    for seed in seeds:
        yield sparse_ae.split_ratings(ratings, test_fraction, seed)[:2]


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
