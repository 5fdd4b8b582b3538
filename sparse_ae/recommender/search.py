"""Cross-validation and searches over settings, on splits of ratings.

scikit-learn's do the same for pairs of user and item, in its own form. Here a split is what `splits` returns, training
ratings keep the matrix that was split, and each test set has all the measures of `Recommender.evaluate`, those of lists
included, which are no sum over single ratings.

================  ==================================================================================================
`cross_validate`  how good are these settings? Every measure, on every fold
`grid_search`     which of these settings are best? All combinations, on every fold
`tune`            what is there to gain beside the defaults, in five minutes? One validation part, and the best fitted
================  ==================================================================================================

They work with `Recommender`, and with anything of its kind: settings by ``get_params``, ``fit``, ``evaluate``. They run
in several processes where joblib is installed.
"""
import contextlib
import copy
import importlib
import itertools
import numbers
import os
import time
from collections.abc import Iterator
from typing import Dict, List, NamedTuple

import numpy as np

from sparse_ae.checks import check_count, check_fraction, check_number, error_at
from sparse_ae.data.feedback import total_counts
from sparse_ae.data.ratings import check_ratings
from sparse_ae.data.splits import k_folds, split_ratings
from sparse_ae.data.tables import as_ratings
from sparse_ae.data.zeros import tell_of_zeros
from sparse_ae.evaluation.metrics import Measure
from sparse_ae.recommender.defaults import Choice, is_auto, validation_fraction
from sparse_ae.recommender.settings import Shallow, in_words
from sparse_ae.runtime.progress import figure, say

__all__ = ["Tuned", "cross_validate", "grid_search", "tune"]

# What `tune` tries: a setting, and what it becomes. Powers of two: the way back ends exactly where it began.
_MOVES = [
    ("l2", lambda value: value / 2),
    ("l2", lambda value: value * 2),
    ("network", lambda value: Shallow(g="tanh")),
    ("n_hidden", lambda value: 2 * value),
    ("n_hidden", lambda value: max(1, value // 2)),
    ("learning_rate", lambda value: value / 2),
    ("learning_rate", lambda value: value * 2),
]

# The part of the error, or of a measure of lists, that a candidate has to gain: less is luck.
_LUCK = 0.001

# What theano/gpuarray/__init__.py:100 leaves in the environment.
_GPU_IN_USE = "THEANO_GPU_IS_ALREADY_ACTIVE"

_now = time.monotonic


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
    _check_kind(recommender)
    run = _runner(n_jobs)
    if k is not None:
        check_count(k, "k", ", or None for the errors alone")
    ratings = _as_fitted(recommender)(ratings)
    return _columns(run(_fit_and_evaluate, [(recommender, {}, ratings, split, k, fit)
                                            for split in _splits(splits, ratings)]))


def grid_search(recommender, ratings, grid, splits=5, n_jobs=1, measure="auto", **fit):
    """Try all combinations of some settings.

    Parameters
    ----------
    recommender, ratings, splits, n_jobs, **fit
        As `cross_validate` takes them.
    grid : dict of str to list
        Settings of the recommender, and the values to try; they take the place of those in its `choices`, too.
    measure : str
        What is to be best: "rmse", or a ranking metric such as "ndcg@10"; "auto" is what the recommender's own
        validation goes by.

    Returns
    -------
    list of dict
        One for each combination, the best first: "params", the mean of the measure by its name, and "per_split", what
        `cross_validate` gives. ``recommender.set_params(**found[0]["params"])`` takes the best. Its RMSE is the least
        of several and so a little too good: report that of ratings that were in no split.

    Raises
    ------
    ImportError, TypeError, ValueError
        As `cross_validate`, and for settings that aren't there.
    """
    _check_kind(recommender)
    run, measure = _runner(n_jobs), _Criterion(recommender, measure)
    if not hasattr(grid, "items") or not grid:
        raise ValueError("grid is %r; expected a dict of settings and the values to try, such as {'l2': [20, 50]}"
                         % (grid,))
    for name, values in grid.items():
        if name not in recommender.get_params():
            raise ValueError("grid has %r, which is no setting of %s; expected some of %s"
                             % (name, type(recommender).__name__, ", ".join(recommender.get_params())))
        if isinstance(values, str) or not hasattr(values, "__len__") or not len(values):
            raise ValueError("grid[%r] is %r; expected a list of values to try" % (name, values))
    ratings = _as_fitted(recommender)(ratings)
    splits = _splits(splits, ratings)
    candidates = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    results = run(_fit_and_evaluate, [(recommender, params, ratings, split, measure.k, fit)
                                      for params in candidates for split in splits])
    found = []
    for start, params in zip(range(0, len(results), len(splits)), candidates):
        per_split = _columns(results[start:start + len(splits)])
        found.append({"params": params, measure.name: float(per_split[measure.key].mean()), "per_split": per_split})
    return sorted(found, key=measure.error)


class Tuned(NamedTuple):
    """The outcome of `tune`.

    Attributes
    ----------
    recommender : Recommender
        Fitted on all ratings, with the best settings.
    candidates : list of dict
        One for each that was tried, the best first: "params" (what differs from the settings as they were given),
        "rmse" on the validation part, or another measure by its name (infinitely bad where training diverged), and
        "seconds".
    """

    recommender: object
    candidates: List[Dict]


def tune(recommender, ratings, seconds=300, n_jobs=1, rng=0, validation="auto", measure="auto", **fit):
    """Try settings around the given ones for a while, and fit the best on all ratings.

    The first candidate is the recommender as it is, so the result is never worse on validation than that. From the best
    so far one setting is changed at a time: l2 to half and twice, the network's g to tanh, n_hidden to twice and half,
    learning_rate to half and twice; again from each better one, until nothing near it is better, or the time is up.
    Less than a thousandth of the error, or of the measure, is no better. A setting that isn't at its default stays as
    it is: it was chosen. So does one that "auto" makes different for the two sides of a recommender.

    Parameters
    ----------
    recommender : Recommender
        Its settings are taken, and it stays as it is. With its ``progress`` there is a line for each candidate.
    ratings : ratings in any form that `tables.as_ratings` takes
    seconds : float
        How long all may take, about. No candidate is begun when the rest is needed to fit the best on all ratings, for
        which twice a candidate's time is reckoned; what has begun is ended. Beside held-out ratings the best is what
        its candidate has become, and isn't fitted again.
    n_jobs : int
        Candidates at a time, each in a process. More than 1 need joblib, which also takes -1, for all cores.
    rng : int or numpy.random.RandomState
        Cuts off the validation part.
    validation : "auto", float, or ratings
        The part of the ratings that all candidates are judged on, the same for all, as for `Recommender.fit`; or
        held-out ratings.
    measure : str
        What is to be best, as in `grid_search`.
    **fit
        For `Recommender.fit`.

    Returns
    -------
    Tuned
        The RMSE of the best candidate is the least of several, and so a little too good: compare it with the settings
        as given on ratings that `tune` hasn't seen. Its `choices` are those of the first candidate with what was
        changed, so that all candidates are trained by one schedule.

    Raises
    ------
    ImportError
        For more than one process without joblib.
    TypeError, ValueError
        For what can't be used.

    Examples
    --------
    >>> import sparse_ae
    >>> ratings = sparse_ae.load_ratings("ratings.csv")                                  # doctest: +SKIP
    >>> best, candidates = sparse_ae.tune(sparse_ae.Recommender(), ratings, seconds=60)  # doctest: +SKIP
    """
    start = _now()
    _check_kind(recommender)
    check_number(seconds, "seconds", zero=True)
    run, measure = _runner(n_jobs), _Criterion(recommender, measure)
    at_a_time = n_jobs if n_jobs > 0 else _joblib(n_jobs).effective_n_jobs(n_jobs)
    for name in ("checkpoint", "checkpoint_every", "resume"):
        if name in fit:
            raise TypeError("%s=%r was given to tune, whose candidates can't share a checkpoint; leave it out"
                            % (name, fit[name]))
    ratings = _as_fitted(recommender)(ratings)
    train, held_out = _validation_part(ratings, validation, rng, _as_fitted(recommender))
    tell = say if recommender.get_params().get("progress") else lambda text: None
    settings = recommender.get_params()
    if tell is say and settings.get("rating_scale") is None and not getattr(recommender, "takes_counts", False):
        tell_of_zeros(ratings.matrix.data)

    results, keep, best, fitted, choices = [], train is ratings, None, None, None

    def tried(candidates):
        nonlocal best, fitted
        found = run(_fit_candidate, [(recommender, params, choices, train, held_out, measure, fit, keep)
                                     for params in candidates])
        for candidate, _, _, kept in found:
            better = best is not None and measure.is_better(candidate, best)
            results.append(candidate)
            if better or best is None:
                best, fitted = candidate, kept
            tell(_line(len(results), candidate, measure, better))
        return found

    _, start_values, choices, _ = tried([{}])[0]
    while True:
        # The middle one: some candidates have had to wait for the compiler.
        if _now() - start + (1 if keep else 2) * np.median([result["seconds"] for result in results]) >= seconds:
            if len(results) == 1 and seconds:
                tell("nothing else was tried: one try takes %.0f of the %g seconds; more are needed for a search"
                     % (results[0]["seconds"], seconds))
            break
        known = [result["params"] for result in results]
        candidates = list(itertools.islice(_neighbours(best["params"], start_values, known), at_a_time))
        if not candidates:
            break
        tried(candidates)
    if keep:
        tell("the best is %s, as fitted beside the held-out ratings" % _words(best["params"]))
    else:
        tell("fitting %s on all ratings" % _words(best["params"]))
        settings = _changed(recommender, best["params"], choices)
        fitted = type(recommender)(**settings).fit(ratings, validation=validation, **fit)
    return Tuned(fitted, sorted(results, key=lambda each: (each is not best, measure.error(each))))


class _Criterion:
    """The measure to be best: its name, its key in what `evaluate` returns, the length of lists (None for the RMSE)."""

    def __init__(self, recommender, measure):
        if is_auto(measure):
            measure = getattr(recommender, "measure", "rmse")
        measure = Measure.parse(measure, "measure")
        self.name, self.key, self.k = measure.label, measure.name, measure.k

    def error(self, candidate):
        """The lower, the better."""
        return candidate[self.name] if self.k is None else -candidate[self.name]

    def is_better(self, candidate, best):
        """Tell whether one is better than the best so far by more than what is luck anywhere."""
        return self.error(best) - self.error(candidate) > _LUCK * abs(self.error(best))


def _as_fitted(recommender):
    """Return what makes `Ratings` of what `fit` takes, with the numbers as they are."""
    return total_counts if getattr(recommender, "takes_counts", False) else as_ratings


def _validation_part(ratings, validation, rng, as_fitted):
    if is_auto(validation):
        validation = validation_fraction(ratings.matrix.nnz)
    if validation is None or isinstance(validation, numbers.Number):
        fraction = check_fraction(validation, "validation",
                                  ", 'auto', or held-out ratings: what is best shows on these")
        split = split_ratings(ratings, fraction, rng)
        return ratings.part(split.train), ratings.part(split.test)
    try:
        return ratings, as_fitted(validation)
    except (TypeError, ValueError) as error:
        raise error_at("validation", error) from error


def _changed(recommender, params, choices=None):
    """Settings of a candidate: those given, and the `choices` of a fit or among them, but for what `params` change.

    They are copied: a RandomState among them would otherwise move on from fit to fit.
    """
    settings = copy.deepcopy(dict(recommender.get_params(), **params))
    choices = choices or settings.get("choices")
    changed = {name: value for name, value in params.items() if name in Choice._fields and not is_auto(value)}
    if "l2" in changed:
        changed["l2_weighted"] = False  # a number is of all of W and V
    if changed and choices and "choices" in settings:
        settings["choices"] = {side: choice._replace(**changed) for side, choice in choices.items()}
    return settings


def _fit_candidate(recommender, params, choices, train, held_out, measure, fit, keep):
    """A row of the table, settings that can be changed from here, the choices, and what was fitted if it is kept."""
    settings = _changed(recommender, params, choices)
    if "progress" in settings:
        settings["progress"] = False
    start = _now()
    try:
        fitted = type(recommender)(**settings).fit(train, validation=held_out, **fit)
    except ArithmeticError:
        if not params:
            raise
        return {"params": params, measure.name: np.inf if measure.k is None else -np.inf,
                "seconds": _now() - start}, {}, None, None
    value = fitted.evaluate(held_out, k=measure.k)[measure.key]
    seconds, values = _now() - start, _start_values(recommender, fitted)
    if "progress" in settings:
        fitted.progress = recommender.progress
    return ({"params": params, measure.name: value, "seconds": seconds}, values, getattr(fitted, "choices_", None),
            fitted if keep else None)


def _start_values(recommender, fitted):
    """Settings that nobody has set, and the numbers that "auto" has become, where they are the same for all sides."""
    given, defaults = recommender.get_params(), type(recommender)().get_params()
    chosen = list(getattr(fitted, "choices_", {}).values())
    values = {}
    for name in {name: None for name, _ in _MOVES}:
        if name not in given or repr(given[name]) != repr(defaults[name]):
            continue
        if name == "l2" and any(getattr(choice, "l2_weighted", False) for choice in chosen):
            continue  # for each rating by "auto"; a number would be for all of W and V
        found = {getattr(choice, name) for choice in chosen} if is_auto(given[name]) else {given[name]}
        if len(found) == 1:
            values[name], = found
    return values


def _neighbours(params, start_values, known):
    """Settings that differ from `params` in one, and are none of the known."""
    for name, moved in _MOVES:
        if name in start_values:
            value = moved(params.get(name, start_values[name]))
            candidate = {other: params[other] for other in params if other != name}
            if value != start_values[name]:
                candidate[name] = value
            if candidate not in known:
                yield candidate


def _words(params):
    return in_words(params) or "the settings as given"


def _line(number, candidate, measure, best):
    title = "candidate %d: %s" % (number, _words(candidate["params"]))
    if not np.isfinite(candidate[measure.name]):
        return title + ": training diverged"
    return "%s: validation %s %s, in %.1f s%s" % (title, measure.name.replace("rmse", "RMSE"),
                                                  figure(candidate[measure.name]), candidate["seconds"],
                                                  ", the best so far" if best else "")


def _splits(splits, ratings):
    if isinstance(splits, numbers.Integral):
        return [split[:2] for split in k_folds(ratings, splits)]
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
            train, test = map(check_ratings, split[:2])
        except (TypeError, ValueError) as error:
            raise error_at("split %d" % number, error) from error
        if train.shape != ratings.matrix.shape or test.shape != ratings.matrix.shape:
            raise ValueError("split %d is of %d x %d and %d x %d, the ratings are %d x %d; expected splits of these "
                             "ratings" % ((number,) + train.shape + test.shape + ratings.matrix.shape))
        checked.append((train, test))
    return checked


def _check_kind(recommender):
    if isinstance(recommender, type) or not all(hasattr(recommender, name)
                                                for name in ("get_params", "fit", "evaluate")):
        raise TypeError("recommender is %r; expected a Recommender, such as Recommender()" % (recommender,))


def _runner(n_jobs):
    """A function that calls another with each of some arguments, in so many processes."""
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, numbers.Integral) or n_jobs == 0 or (
            abs(n_jobs) > 1000):
        raise ValueError("n_jobs is %r; expected a number of processes, or -1 for one for each core" % (n_jobs,))
    if n_jobs == 1:
        return lambda function, tasks: [function(*task) for task in tasks]
    joblib = _joblib(n_jobs)

    def run(function, tasks):
        with _fresh_processes():
            return joblib.Parallel(n_jobs=n_jobs)(joblib.delayed(function)(*task) for task in tasks)

    return run


@contextlib.contextmanager
def _fresh_processes():
    """Processes that begin within may use the GPU: Theano's mark that it is in use is meant for forks."""
    mark = os.environ.pop(_GPU_IN_USE, None)
    try:
        yield
    finally:
        if mark is not None:
            os.environ[_GPU_IN_USE] = mark


def _joblib(n_jobs):
    try:
        return importlib.import_module("joblib")
    except ImportError:
        raise ImportError("n_jobs=%r needs joblib, which isn't installed: pip install joblib, or pass n_jobs=1"
                          % (n_jobs,)) from None


def _fit_and_evaluate(recommender, params, ratings, split, k, fit):
    settings = _changed(recommender, params)
    train, test = (ratings.part(part) for part in split)
    start = time.perf_counter()
    fitted = type(recommender)(**settings).fit(train, **fit)
    seconds = time.perf_counter() - start
    return dict(fitted.evaluate(test, k=k), seconds=seconds)


def _columns(results):
    return {name: np.array([result[name] for result in results]) for name in results[0]}
