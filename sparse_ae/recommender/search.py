"""Cross-validation and searches for settings, of a `Recommender` or anything with `get_params`, `fit` and `evaluate`.

After Ctrl-C `grid_search` returns the combinations of settings that are complete; without one, and in `cross_validate`,
it is a KeyboardInterrupt.
"""
import copy
import importlib
import itertools
import numbers
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Dict, List, Mapping, Sequence, Union

import numpy as np

from sparse_ae.checks import error_at
from sparse_ae.data.ratings import Ratings
from sparse_ae.data.splits import k_folds
from sparse_ae.data.tables import as_ratings, total_counts
from sparse_ae.evaluation.metrics import Metric
from sparse_ae.evaluation.rankings import check_lengths
from sparse_ae.recommender.defaults import Choice, is_auto
from sparse_ae.recommender.settings import RecommenderSettings

__all__ = ["cross_validate", "grid_search"]


def cross_validate(recommender: Any, ratings: Any, splits: Any = 5,
                   k: Union[int, Sequence[int], None] = None, n_jobs: int = 1, **fit: Any) -> Dict[str, np.ndarray]:
    """Fit and evaluate on each of some splits.

    Parameters
    ----------
    recommender : Recommender
        Its settings are used; it isn't changed.
    ratings : ratings in any form that `Recommender.fit` takes
    splits : int, or list of (train, test, ...)
        The number of folds of `splits.k_folds`, always the same; the result of a function of `splits`; or pairs of
        `Ratings`, or of matrices of the shape of ``tables.as_ratings(ratings).matrix``.
    k : int or list of int, optional
        Also compute ranking metrics at k; by default only if the objective's measure is one, at its k.
    n_jobs : int
        Processes. More than 1 need joblib 1.3, which also takes -1, for all cores.
    **fit
        For `Recommender.fit`, such as ``validation=None``. Validation ratings are taken from the training part only.

    Returns
    -------
    dict of str to numpy.ndarray, shape (n_splits,)
        The metrics of `Recommender.evaluate`, the objective's measure first, and the "seconds" of `fit`.

    Examples
    --------
    >>> import sparse_ae
    >>> ratings, _ = sparse_ae.made_up_ratings(100, 40, n_ratings=2000)
    >>> ease = sparse_ae.Recommender(objective="lists", network="ease", progress=False)
    >>> found = sparse_ae.cross_validate(ease, ratings, splits=3)
    >>> print("NDCG@10 %.2f" % found["ndcg"].mean())
    NDCG@10 0.32
    """
    (metric, read), run = _checked(recommender, "auto"), _runner(n_jobs)
    if k is not None:
        check_lengths(k, ", a list of them, or None for what the objective is measured by")
    tasks = [({}, split, k) for split in _splits(splits, read(ratings))]
    return _columns(list(run(partial(_metrics, recommender, metric, fit), tasks)))


def grid_search(recommender: Any, ratings: Any, grid: Mapping[str, Sequence], splits: Any = 5, n_jobs: int = 1,
                measure: str = "auto", **fit: Any) -> List[Dict[str, Any]]:
    """Try all combinations of some settings.

    Parameters
    ----------
    recommender, ratings, splits, n_jobs, **fit
        As `cross_validate` takes them.
    grid : dict of str to list
        Settings of the recommender, and the values to try. "auto" is chosen anew, without the recommender's `choices`.
    measure : str
        The metric to optimise: "rmse", or a ranking metric such as ``"ndcg@10"``; "auto" is the objective's measure.

    Returns
    -------
    list of dict
        One for each combination, the best first: "params", the mean of the metric by its name, and "per_split", the
        result of `cross_validate`; NaN, and last, if training diverged. After Ctrl-C, those that were tried on all
        splits. ``recommender.set_params(**found[0]["params"])`` sets the best. It is chosen by these figures: judge it
        by ratings in no split.

    Examples
    --------
    >>> import sparse_ae
    >>> ratings, _ = sparse_ae.made_up_ratings(100, 40, n_ratings=2000)
    >>> recommender = sparse_ae.Recommender(objective="lists", progress=False)
    >>> grid = {"network": ["popular", "ease"]}
    >>> found = sparse_ae.grid_search(recommender, ratings, grid, splits=3)
    >>> [each["params"] for each in found]
    [{'network': 'ease'}, {'network': 'popular'}]
    """
    (metric, read), run = _checked(recommender, measure), _runner(n_jobs)
    if not hasattr(grid, "items") or not grid:
        raise ValueError("grid is %r; expected a dict of settings and the values to try, such as {'l2': [20, 50]}"
                         % (grid,))
    for name, values in grid.items():
        if name not in recommender.get_params():
            raise ValueError("grid has %r, which is no setting of %s; expected some of %s"
                             % (name, type(recommender).__name__, ", ".join(recommender.get_params())))
        if isinstance(values, str) or not hasattr(values, "__len__") or not len(values):
            raise ValueError("grid[%r] is %r; expected a list of values to try" % (name, values))
    splits, sign = _splits(splits, read(ratings)), 1 if metric.k is None else -1
    combinations = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    tasks, results, found = [(params, split, metric.k) for params in combinations for split in splits], [], []
    try:
        for each in run(partial(_metrics, recommender, metric, fit), tasks):
            results.append(each)
    except KeyboardInterrupt:
        if len(results) < len(splits):
            raise
    for start, params in zip(range(0, len(results) - len(splits) + 1, len(splits)), combinations):
        per_split = _columns(results[start:start + len(splits)])
        found.append({"params": params, metric.label: float(per_split[metric.name].mean()), "per_split": per_split})
    return sorted(found, key=lambda each: np.nan_to_num(sign * each[metric.label], nan=np.inf))


def _checked(recommender, measure):
    """The `Metric` of a measure, and the function from an argument of `fit` to `Ratings`; counts aren't transformed."""
    methods = "get_params", "fit", "evaluate"
    if isinstance(recommender, type) or not all(hasattr(recommender, name) for name in methods):
        raise TypeError("recommender is %r; expected a Recommender, such as Recommender()" % (recommender,))
    measure = getattr(recommender, "measure", "rmse") if is_auto(measure) else measure
    return Metric.parse(measure, "measure"), total_counts if getattr(recommender, "takes_counts", False) else as_ratings


def _metrics(recommender, metric, fit, params, split, k):
    """The metrics of a recommender with some other settings, and the seconds of its fit; NaN if these diverge."""
    settings, start = dict(recommender.get_params(), **params), time.monotonic()
    if "choices" in settings and any(is_auto(value) for name, value in params.items() if name in Choice._fields):
        settings["choices"] = None
    changed = type(recommender)(**copy.deepcopy(settings))  # fits change a RandomState
    if metric.k is None and isinstance(changed, RecommenderSettings):
        from sparse_ae.training.objectives import check_objective  # needs Theano, as `fit` does
        if not check_objective(changed.objective).has_errors:
            raise ValueError("the measure is 'rmse', and objective=%r predicts scores; expected a ranking metric, "
                             "such as measure='ndcg@10'" % (changed.objective,))
    try:
        fitted = changed.fit(split[0], **fit)
    except ArithmeticError:
        if not params:
            raise
        return {metric.name: np.nan}
    seconds = time.monotonic() - start
    if getattr(fitted, "interrupted_", False):
        raise KeyboardInterrupt  # half-trained models aren't compared
    return dict(fitted.evaluate(split[1], k=k), seconds=seconds)


def _splits(splits, ratings):
    """Training and test `Ratings` of each split."""
    if isinstance(splits, numbers.Integral):
        splits = k_folds(ratings, splits)
    are_several = isinstance(splits, (tuple, list, Iterator))  # a matrix could be iterated over, by its rows
    pairs = [splits] if hasattr(splits, "train") else list(splits) if are_several else []
    if not pairs:
        raise ValueError("splits is %.100r (%s); expected a number of folds, or a list of (train, test)"
                         % (splits, type(splits).__name__))
    checked = []
    for number, split in enumerate(pairs):
        if not isinstance(split, (tuple, list)) or len(split) < 2:
            raise ValueError("split %d is %.100r (%s); expected (train, test), as split_ratings returns them"
                             % (number, split, type(split).__name__))
        try:
            checked.append([each if isinstance(each, Ratings) else ratings.part(each) for each in split[:2]])
        except (TypeError, ValueError) as error:
            raise error_at("split %d" % number, error) from error
    return checked


def _runner(n_jobs):
    """A function that calls another with each tuple of arguments, in `n_jobs` processes, and yields the results."""
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, numbers.Integral) or not 0 < abs(n_jobs) <= 1000:
        raise ValueError("n_jobs is %r; expected a number of processes, or -1 for one for each core" % (n_jobs,))
    if n_jobs == 1:
        return itertools.starmap
    try:
        joblib = importlib.import_module("joblib")
    except ImportError:
        raise ImportError("n_jobs=%r needs joblib, which isn't installed: pip install joblib, or pass n_jobs=1"
                          % (n_jobs,)) from None
    run = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
    return lambda function, tasks: run(joblib.delayed(function)(*task) for task in tasks)


def _columns(results):
    return {name: np.array([result.get(name, np.nan) for result in results]) for name in max(results, key=len)}
