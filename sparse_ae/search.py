"""Cross-validation and a search over settings, on splits of ratings.

scikit-learn's do the same for pairs of user and item, in its own form. Here a split is what `splits` returns, training
ratings keep the matrix that was split, and each test set has all the measures of `Recommender.evaluate`, those of lists
included, which are no sum over single ratings.

Both work with `Recommender`, and with anything of its kind: settings by ``get_params``, ``fit``, ``evaluate``. They run
in several processes where joblib is installed.
"""
import copy
import importlib
import itertools
import numbers
import time

import numpy as np

from sparse_ae.data.ratings import check_ratings
from sparse_ae.data.splits import k_folds
from sparse_ae.data.tables import as_ratings

__all__ = ["cross_validate", "grid_search"]


def cross_validate(recommender, ratings, splits=5, k=None, n_jobs=1, **fit):
    """Fit and evaluate on each of some splits.

    Parameters
    ----------
    recommender : Recommender
        Its settings are taken, and it stays as it is.
    ratings : ratings in any form that `Recommender.fit` takes
    splits : int, or list of (train, test, ...)
        That many folds of `splits.k_folds`, always the same; or what any of `splits` returns, or pairs of matrices of
        the shape of ``tables.as_ratings(ratings).matrix``.
    k : int, optional
        Measures of ranking too, at k.
    n_jobs : int
        Processes. More than 1 need joblib, which also takes -1, for all cores.
    **fit
        For `Recommender.fit`: ``validation=None`` for one. Validation ratings are cut from the training part only.

    Returns
    -------
    dict of str to numpy.ndarray, shape (n_splits,)
        The measures of `Recommender.evaluate`, and "seconds", of `fit`.

    Raises
    ------
    ImportError
        For more than one process without joblib.
    TypeError, ValueError
        For ratings or splits that can't be used, and what `fit` raises.
    """
    ratings = as_ratings(ratings)
    results = _run([(recommender, {}, ratings, split, k, fit) for split in _splits(splits, ratings)], n_jobs)
    return _columns(results)


def grid_search(recommender, ratings, grid, splits=5, n_jobs=1, **fit):
    """Try all combinations of some settings.

    Parameters
    ----------
    recommender, ratings, splits, n_jobs, **fit
        As `cross_validate` takes them.
    grid : dict of str to list
        Settings of the recommender, and the values to try.

    Returns
    -------
    list of dict
        One for each combination, the one with the least mean RMSE first: "params", "rmse" (the mean), and "per_split",
        what `cross_validate` gives. ``recommender.set_params(**found[0]["params"])`` takes the best. Its RMSE is the
        least of several and so a little too good: report that of ratings that were in no split.

    Raises
    ------
    ImportError, TypeError, ValueError
        As `cross_validate`, and for settings that aren't there.
    """
    for name, values in grid.items():
        if name not in recommender.get_params():
            raise ValueError("grid has %r, which is no setting of %s; expected some of %s"
                             % (name, type(recommender).__name__, ", ".join(recommender.get_params())))
        if isinstance(values, str) or not hasattr(values, "__len__") or not len(values):
            raise ValueError("grid[%r] is %r; expected a list of values to try" % (name, values))
    ratings = as_ratings(ratings)
    splits = _splits(splits, ratings)
    candidates = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    results = _run([(recommender, params, ratings, split, None, fit) for params in candidates for split in splits],
                   n_jobs)
    found = []
    for start, params in zip(range(0, len(results), len(splits)), candidates):
        per_split = _columns(results[start:start + len(splits)])
        found.append({"params": params, "rmse": float(per_split["rmse"].mean()), "per_split": per_split})
    return sorted(found, key=lambda candidate: candidate["rmse"])


def _splits(splits, ratings):
    if isinstance(splits, numbers.Integral):
        return [split[:2] for split in k_folds(ratings, splits)]
    pairs = [splits] if hasattr(splits, "train") else list(splits)
    if not pairs:
        raise ValueError("there are no splits; expected a number of folds, or a list of (train, test)")
    checked = []
    for number, split in enumerate(pairs):
        train, test = (check_ratings(part) for part in split[:2])
        if train.shape != ratings.matrix.shape or test.shape != ratings.matrix.shape:
            raise ValueError("split %d is of %d x %d and %d x %d, the ratings are %d x %d; expected splits of these "
                             "ratings" % ((number,) + train.shape + test.shape + ratings.matrix.shape))
        checked.append((train, test))
    return checked


def _run(tasks, n_jobs):
    if n_jobs == 1:
        return [_fit_and_evaluate(*task) for task in tasks]
    try:
        joblib = importlib.import_module("joblib")
    except ImportError:
        raise ImportError("n_jobs=%r needs joblib, which isn't installed: pip install joblib, or pass n_jobs=1"
                          % (n_jobs,)) from None
    return joblib.Parallel(n_jobs=n_jobs)(joblib.delayed(_fit_and_evaluate)(*task) for task in tasks)


def _fit_and_evaluate(recommender, params, ratings, split, k, fit):
    # Settings are copied: a RandomState among them would otherwise move on from fit to fit.
    settings = copy.deepcopy(dict(recommender.get_params(), **params))
    train, test = (ratings.part(part) for part in split)
    start = time.perf_counter()
    fitted = type(recommender)(**settings).fit(train, **fit)
    seconds = time.perf_counter() - start
    return dict(fitted.evaluate(test, k=k), seconds=seconds)


def _columns(results):
    return {name: np.array([result[name] for result in results]) for name in results[0]}
