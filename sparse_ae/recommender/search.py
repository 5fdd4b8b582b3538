"""Cross-validation and searches for settings, of a `Recommender` or anything with `get_params`, `fit` and `evaluate`.

After Ctrl-C `grid_search` and `tune` return the combinations of settings that are complete; without one, and in
`cross_validate`, it is a KeyboardInterrupt.
"""
import copy
import importlib
import itertools
import numbers
import time
from collections.abc import Iterator
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Union

import numpy as np

from sparse_ae.checks import Rng, check_fraction, check_number, check_rng, error_at
from sparse_ae.data.ratings import Ratings
from sparse_ae.data.splits import k_folds, split_ratings
from sparse_ae.data.tables import as_ratings, total_counts
from sparse_ae.evaluation.metrics import Metric
from sparse_ae.evaluation.rankings import check_lengths
from sparse_ae.recommender.defaults import Choice, is_auto, validation_fraction
from sparse_ae.recommender.settings import RecommenderSettings, Shallow, as_line
from sparse_ae.runtime.interrupts import until_sigint
from sparse_ae.runtime.progress import figure, reporting, say
from sparse_ae.training.run import LEAST_GAIN

__all__ = ["Tuned", "cross_validate", "grid_search", "tune"]

# The moves of `tune`: settings and their changes. Powers of two: a move back gives exactly the old value.
_MOVES = {
    "l2": (lambda value: value / 2, lambda value: value * 2),
    "network": (lambda value: Shallow(g="tanh"),),
    "n_hidden": (lambda value: 2 * value, lambda value: max(1, value // 2)),
    "learning_rate": (lambda value: value / 2, lambda value: value * 2),
}

_now = time.monotonic


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
    evaluator, run = _Evaluator(recommender, "auto", fit), _runner(n_jobs)
    if k is not None:
        check_lengths(k, ", a list of them, or None for what the objective is measured by")
    ratings = evaluator.read(ratings)
    return _columns(list(run(evaluator.metrics, [({}, *split, k) for split in _splits(splits, ratings)])))


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
    evaluator, run = _Evaluator(recommender, measure, fit), _runner(n_jobs)
    if not hasattr(grid, "items") or not grid:
        raise ValueError("grid is %r; expected a dict of settings and the values to try, such as {'l2': [20, 50]}"
                         % (grid,))
    for name, values in grid.items():
        if name not in recommender.get_params():
            raise ValueError("grid has %r, which is no setting of %s; expected some of %s"
                             % (name, type(recommender).__name__, ", ".join(recommender.get_params())))
        if isinstance(values, str) or not hasattr(values, "__len__") or not len(values):
            raise ValueError("grid[%r] is %r; expected a list of values to try" % (name, values))
    splits, metric = _splits(splits, evaluator.read(ratings)), evaluator.metric
    combinations = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    tasks, results, found = [(params, *split, metric.k, True) for params in combinations for split in splits], [], []
    try:
        for each in run(evaluator.metrics, tasks):
            results.append(each)
    except KeyboardInterrupt:
        if len(results) < len(splits):
            raise
    for start, params in zip(range(0, len(results) - len(splits) + 1, len(splits)), combinations):
        per_split = _columns(results[start:start + len(splits)])
        found.append({"params": params, metric.label: float(per_split[metric.name].mean()), "per_split": per_split})
    return sorted(found, key=lambda each: np.nan_to_num(evaluator.error(each), nan=np.inf))


class Tuned(NamedTuple):
    """The result of `tune`.

    Attributes
    ----------
    recommender : Recommender
        Fitted on all ratings, with the best settings. After Ctrl-C with the best so far, without the held-out ratings;
        its `interrupted_` is True.
    candidates : list of dict
        One for each combination of settings, the best first: "params" (differences from the given settings), "rmse" on
        the validation part, or another metric by its name (infinitely bad if training diverged), and "seconds". The
        best, and each one's epochs, are chosen by these figures: judge it by others.
    """

    recommender: Any
    candidates: List[Dict]


@reporting
def tune(recommender: Any, ratings: Any, seconds: float = 300, n_jobs: int = 1, rng: Rng = 0, validation: Any = "auto",
         measure: str = "auto", **fit: Any) -> Tuned:
    """Try settings around the given ones for a while, and fit the best on all ratings.

    The first combination is the recommender as it is. Then one setting of the best so far is changed at a time: l2 to
    half and twice, the network's g to tanh, n_hidden to twice and half, learning_rate to half and twice; until no
    change improves the measure by a thousandth, or the time is up. Settings that aren't at their defaults stay as they
    are, and so do those that "auto" makes different for the two sides of a recommender.

    Parameters
    ----------
    recommender, ratings
        As `cross_validate` takes them. With the recommender's ``progress`` there is a line for each combination.
    seconds : float
        Approximate time of all fits; the last, on all ratings, is expected to take twice as long as others. With
        held-out ratings in `validation` there is no last fit.
    n_jobs : int
        With more than 1, or -1, half and twice are tried at the same time, each in a process; this needs joblib.
    rng : int or numpy.random.RandomState
        Selects the validation part; the last fit, with the same seed, holds out another sample.
    validation : "auto", float, or ratings
        The fraction of the ratings that all are judged on, as for `Recommender.fit`, or held-out ratings.
    measure : str
        The metric to optimise, as in `grid_search`.
    **fit
        For `Recommender.fit`, such as `item_features`.

    Returns
    -------
    Tuned
        The recommender's `choices` are those of the first combination, beside the changed settings: all are trained by
        one schedule.

    Examples
    --------
    >>> import sparse_ae
    >>> ratings = sparse_ae.load_ratings("ratings.csv")                                  # doctest: +SKIP
    >>> best, candidates = sparse_ae.tune(sparse_ae.Recommender(), ratings, seconds=60)  # doctest: +SKIP
    """
    start, evaluator, run = _now(), _Evaluator(recommender, measure, fit), _runner(n_jobs)
    check_number(seconds, "seconds", zero=True)
    for name in ("checkpoint", "resume"):
        if name in fit:
            raise TypeError("%s=%r was given to tune; leave it out, since several trainings can't share a checkpoint"
                            % (name, fit[name]))
    ratings = evaluator.read(ratings)
    train, held_out = _validation_part(ratings, validation, rng, evaluator)
    tell, keep = say if recommender.get_params().get("progress") else lambda text: None, train is ratings
    rows, best = [], []  # of all combinations; of the best so far, with the fitted recommender

    def noted(row, fitted, before=None):
        is_best = before is None or evaluator.is_better(row, before) and evaluator.error(row) < evaluator.error(best[0])
        if is_best:
            best[:] = row, fitted
        rows.append(row)
        label, value = evaluator.metric.label.replace("rmse", "RMSE"), row[evaluator.metric.label]
        result = "validation %s %s, in %.1f s" % (label, figure(value), row["seconds"])
        tell("combination %d: %s: %s%s" % (len(rows), as_line(row["params"]),
                                           "training diverged" if np.isinf(value) else result,
                                           ", the best so far" if is_best and len(rows) > 1 else ""))

    def has_time():
        # The median: some have waited for the compiler.
        return _now() - start + (1 if keep else 2) * np.median([row["seconds"] for row in rows]) < seconds

    def improves(name):
        """Try other values of a setting of the best combination: whether one is better."""
        before, tasks = best[0], []
        others = {other: value for other, value in before["params"].items() if other != name}
        for change in _MOVES[name]:
            value = change(before["params"].get(name, start_values[name]))
            params = others if value == start_values[name] else dict(others, **{name: value})
            if params not in [row["params"] for row in rows]:
                tasks.append((params, train, held_out))
        while tasks and has_time():
            n = 1 if n_jobs == 1 else len(tasks)
            for row_and_fitted in run(evaluator.combination, tasks[:n]):
                noted(*row_and_fitted, before)
            del tasks[:n]
        return best[0] is not before

    with until_sigint(rows) as ended:
        noted(*evaluator.combination({}, train, held_out))
        evaluator.choices, start_values = getattr(best[1], "choices_", None), _start_values(recommender, best[1])
        improved = True
        while improved:
            improved = False
            for name in start_values:
                while improves(name):
                    improved = True
        if len(rows) == 1 and seconds and start_values:
            tell("no other settings were tried: one try takes %.0f of the %g seconds; a search needs more"
                 % (rows[0]["seconds"], seconds))
        best_settings = as_line(best[0]["params"])
        tell("the best is %s, fitted without the held-out ratings" % best_settings if keep else
             "fitting %s on all ratings" % best_settings)
        if not keep:
            best[1] = evaluator.trained(best[0]["params"], ratings, validation=validation)
    row, fitted = best
    if ended:
        vars(getattr(fitted, "fitted_", fitted)).update(interrupted=True)
    return Tuned(fitted, sorted(rows, key=lambda each: (each is not row, evaluator.error(each))))


class _Evaluator:
    """Fits a recommender with changed settings, and evaluates it on held-out ratings. All fits have the same `choices`,
    once these are known, but for the changes."""

    def __init__(self, recommender, measure, fit):
        if isinstance(recommender, type) or not all(hasattr(recommender, name)
                                                    for name in ("get_params", "fit", "evaluate")):
            raise TypeError("recommender is %r; expected a Recommender, such as Recommender()" % (recommender,))
        if is_auto(measure):
            measure = getattr(recommender, "measure", "rmse")
        self.recommender, self.metric, self._fit = recommender, Metric.parse(measure, "measure"), fit
        # From `fit`'s argument to `Ratings`; counts aren't transformed.
        self.read = total_counts if getattr(recommender, "takes_counts", False) else as_ratings
        self.choices = None

    def error(self, row):
        """The lower, the better."""
        return row[self.metric.label] if self.metric.k is None else -row[self.metric.label]

    def is_better(self, new, old):
        """Whether a row is clearly better than another."""
        return (self.error(old) - self.error(new)) / (abs(self.error(old)) or 1.0) > LEAST_GAIN

    def settings(self, params):
        """A copy of the settings (since fits change a RandomState), with `params` changed."""
        settings = dict(self.recommender.get_params(), **params)
        changed = [value for name, value in params.items() if name in Choice._fields]
        if changed and "choices" in settings:
            settings["choices"] = None if any(map(is_auto, changed)) else self.choices or settings["choices"]
        return copy.deepcopy(settings)

    def trained(self, params, train, **fit):
        """The recommender, fitted to the end."""
        recommender = type(self.recommender)(**self.settings(params))
        if self.metric.k is None and isinstance(recommender, RecommenderSettings):
            from sparse_ae.training.objectives import check_objective  # needs Theano, as `fit` does
            if not check_objective(recommender.objective).has_errors:
                raise ValueError("the measure is 'rmse', and objective=%r predicts scores; expected a ranking metric, "
                                 "such as measure='ndcg@10'" % (recommender.objective,))
        fitted = recommender.fit(train, **dict(self._fit, **fit))
        if getattr(fitted, "interrupted_", False):
            raise KeyboardInterrupt  # half-trained models aren't compared
        return fitted

    def metrics(self, params, train, held_out, k, may_diverge=False):
        """The metrics of a fitted recommender, with the seconds of the fit; NaN if training `may_diverge`, and does."""
        start = _now()
        try:
            fitted = self.trained(params, train)
        except ArithmeticError:
            if not may_diverge:
                raise
            return {self.metric.name: np.nan}
        seconds = _now() - start
        return dict(fitted.evaluate(held_out, k=k), seconds=seconds)

    def combination(self, params, train, held_out):
        """A row of the table of `tune`, and the fitted recommender; None if its training diverged."""
        quiet = {"progress": False} if "progress" in self.recommender.get_params() else {}
        start, (name, k, _), fitted = _now(), self.metric, None
        try:
            fitted = self.trained(dict(params, **quiet), train, validation=held_out)
            value = fitted.evaluate(held_out, k=k)[name]
        except ArithmeticError:
            if not params:
                raise
            value = np.inf if k is None else -np.inf
        if quiet and fitted:
            fitted.progress = self.recommender.progress
        return {"params": params, self.metric.label: value, "seconds": _now() - start}, fitted


def _validation_part(ratings, validation, rng, evaluator):
    if is_auto(validation):
        validation = validation_fraction(ratings.matrix.nnz, evaluator.metric.k is not None)
    if validation is None or isinstance(validation, numbers.Number):
        fraction = check_fraction(validation, "validation",
                                  ", 'auto', or held-out ratings, which a search needs")
        # With `rng` itself `fit` would hold out the same ratings, if users are rows.
        return split_ratings(ratings, fraction, check_rng(rng).randint(2 ** 31 - 1))[:2]
    try:
        return ratings, evaluator.read(validation)
    except (TypeError, ValueError) as error:
        raise error_at("validation", error) from error


def _start_values(recommender, fitted):
    """Settings that were not given, and the values of "auto" that are the same for all sides."""
    given, defaults = recommender.get_params(), type(recommender)().get_params()
    chosen = list(getattr(fitted, "choices_", {}).values())
    values = {}
    for name in _MOVES:
        if name not in given or repr(given[name]) != repr(defaults[name]):
            continue
        if name == "l2" and any(getattr(choice, "l2_weighted", False) for choice in chosen):
            continue  # it applies to each rating; a number would apply to all of W and V
        found = {getattr(choice, name) for choice in chosen} if is_auto(given[name]) else {given[name]}
        if len(found) == 1:
            values[name], = found
    return values


def _splits(splits, ratings):
    """Training and test `Ratings` of each split."""
    if isinstance(splits, numbers.Integral):
        splits = k_folds(ratings, splits)
    if not isinstance(splits, (tuple, list, Iterator)):  # a matrix could be iterated over, by its rows
        raise ValueError("splits is %.100r (%s); expected a number of folds, or a list of (train, test)"
                         % (splits, type(splits).__name__))
    pairs = [splits] if hasattr(splits, "train") else list(splits)
    if not pairs:
        raise ValueError("there are no splits; expected a number of folds, or a list of (train, test)")
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
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, numbers.Integral) or n_jobs == 0 or (
            abs(n_jobs) > 1000):
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
