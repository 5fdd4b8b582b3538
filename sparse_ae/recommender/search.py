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
import copy
import importlib
import itertools
import numbers
import time
from collections.abc import Iterator
from typing import Dict, List, NamedTuple

import numpy as np

from sparse_ae.checks import check_count, check_fraction, check_number, error_at
from sparse_ae.data.feedback import total_counts
from sparse_ae.data.ratings import check_ratings
from sparse_ae.data.splits import k_folds, split_ratings
from sparse_ae.data.tables import as_ratings
from sparse_ae.evaluation.metrics import Measure
from sparse_ae.recommender.climb import climb
from sparse_ae.recommender.defaults import Choice, is_auto, validation_fraction
from sparse_ae.recommender.settings import Shallow, in_words
from sparse_ae.runtime.progress import figure, say

__all__ = ["Tuned", "cross_validate", "grid_search", "tune"]

# What `tune` tries: settings, and what each becomes. Powers of two: the way back ends exactly where it began.
_MOVES = {
    "l2": (lambda value: value / 2, lambda value: value * 2),
    "network": (lambda value: Shallow(g="tanh"),),
    "n_hidden": (lambda value: 2 * value, lambda value: max(1, value // 2)),
    "learning_rate": (lambda value: value / 2, lambda value: value * 2),
}

# The share of the error or ranking metric that a candidate must gain: less is chance. And steps of one setting.
_LUCK, _STEPS = 0.001, 20

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
        check_count(k, "k", ", or None for errors only")
    ratings = _as_fitted(recommender)(ratings)
    return _columns(run(_measures, [(recommender, {}, ratings, split, k, fit) for split in _splits(splits, ratings)]))


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
    run, measure = _runner(n_jobs), _measure_of(recommender, measure)
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
    results = run(_measures, [(recommender, params, ratings, split, measure.k, fit)
                              for params in candidates for split in splits])
    found = []
    for start, params in zip(range(0, len(results), len(splits)), candidates):
        per_split = _columns(results[start:start + len(splits)])
        found.append({"params": params, measure.label: float(per_split[measure.name].mean()), "per_split": per_split})
    return sorted(found, key=lambda each: _error(measure, each))


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
        More than 1, or -1, tries half and twice at a time, each in a process; this needs joblib.
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
    run, measure, at_a_time = _runner(n_jobs), _measure_of(recommender, measure), 1 if n_jobs == 1 else 2
    for name in ("checkpoint", "checkpoint_every", "resume"):
        if name in fit:
            raise TypeError("%s=%r was given to tune; leave it out, since candidates can't share a checkpoint"
                            % (name, fit[name]))
    ratings = _as_fitted(recommender)(ratings)
    train, held_out = _validation_part(ratings, validation, rng, _as_fitted(recommender))
    rows = []
    tell, keep = say if recommender.get_params().get("progress") else lambda text: None, train is ratings

    def noted(tried):
        best = min(rows, key=lambda row: _error(measure, row)) if rows else None
        rows.append(tried.row)
        tell(_line(len(rows), tried.row, measure, best is not None and _gain(measure, tried.row, best) > _LUCK))
        return tried

    first = noted(_candidate(recommender, {}, None, train, held_out, measure, fit, True))
    start_values, choices = _start_values(recommender, first.fitted), getattr(first.fitted, "choices_", None)

    def has_time():
        # The middle one: some candidates have had to wait for the compiler.
        return _now() - start + (1 if keep else 2) * np.median([row["seconds"] for row in rows]) < seconds

    def changed(name):
        def move(best):
            candidates, before = [], {other: value for other, value in best.row["params"].items() if other != name}
            for change in _MOVES[name]:
                value = change(best.row["params"].get(name, start_values[name]))
                params = before if value == start_values[name] else dict(before, **{name: value})
                if params not in [row["params"] for row in rows]:
                    candidates.append(params)
            tried = []
            while candidates and has_time():
                tasks = [(recommender, params, choices, train, held_out, measure, fit, keep)
                         for params in candidates[:at_a_time]]
                tried += [noted(each) for each in run(_candidate, tasks)]
                del candidates[:at_a_time]
            return min(tried, key=lambda each: _error(measure, each.row)) if tried else None
        return move

    best, before = first, None
    while best is not before:
        before = best
        for name in start_values:
            best, _ = climb(best, [changed(name)], lambda tried: tried.row,
                            lambda new, old: _gain(measure, new, old), _LUCK, _STEPS)
    if len(rows) == 1 and seconds and start_values:
        tell("no other settings were tried: one try takes %.0f of the %g seconds; a search needs more"
             % (rows[0]["seconds"], seconds))
    fitted = best.fitted
    if keep:
        tell("the best is %s, fitted without the held-out ratings" % _words(best.row["params"]))
    else:
        tell("fitting %s on all ratings" % _words(best.row["params"]))
        fitted = type(recommender)(**_changed(recommender, best.row["params"], choices)).fit(
            ratings, validation=validation, **fit)
    return Tuned(fitted, sorted(rows, key=lambda row: (row is not best.row, _error(measure, row))))


class _Tried(NamedTuple):
    """A row of the table, and what was fitted, if it is kept."""

    row: Dict
    fitted: object


def _measure_of(recommender, measure):
    return Measure.parse(getattr(recommender, "measure", "rmse") if is_auto(measure) else measure, "measure")


def _error(measure, row):
    """The lower, the better."""
    return row[measure.label] if measure.k is None else -row[measure.label]


def _gain(measure, new, old):
    """The share of the error, or of the measure, by which one row is better than another."""
    return (_error(measure, old) - _error(measure, new)) / (abs(_error(measure, old)) or 1.0)


def _as_fitted(recommender):
    """Return a function from `fit`'s argument to `Ratings` with the numbers as they are."""
    return total_counts if getattr(recommender, "takes_counts", False) else as_ratings


def _validation_part(ratings, validation, rng, as_fitted):
    if is_auto(validation):
        validation = validation_fraction(ratings.matrix.nnz)
    if validation is None or isinstance(validation, numbers.Number):
        fraction = check_fraction(validation, "validation",
                                  ", 'auto', or held-out ratings, which a search needs")
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


def _fitted(recommender, params, choices, train, held_out, k, fit):
    """What settings make of ratings, the seconds that it took, and the measures on held-out ones."""
    start = _now()
    fitted = type(recommender)(**_changed(recommender, params, choices)).fit(train, **fit)
    seconds = _now() - start
    return fitted, dict(fitted.evaluate(held_out, k=k), seconds=seconds)


def _measures(recommender, params, ratings, split, k, fit):
    return _fitted(recommender, params, None, *map(ratings.part, split), k, fit)[1]


def _candidate(recommender, params, choices, train, held_out, measure, fit, keep):
    """Fit and judge one candidate of `tune`: a `_Tried`."""
    start, quiet = _now(), {"progress": False} if "progress" in recommender.get_params() else {}
    try:
        fitted, found = _fitted(recommender, dict(params, **quiet), choices, train, held_out, measure.k,
                                dict(fit, validation=held_out))
    except ArithmeticError:
        if not params:
            raise
        worst = np.inf if measure.k is None else -np.inf
        return _Tried({"params": params, measure.label: worst, "seconds": _now() - start}, None)
    if quiet:
        fitted.progress = recommender.progress
    return _Tried({"params": params, measure.label: found[measure.name], "seconds": _now() - start},
                  fitted if keep else None)


def _start_values(recommender, fitted):
    """Settings that were not given, and the values of "auto" that are the same for all sides."""
    given, defaults = recommender.get_params(), type(recommender)().get_params()
    chosen = list(getattr(fitted, "choices_", {}).values())
    values = {}
    for name in _MOVES:
        if name not in given or repr(given[name]) != repr(defaults[name]):
            continue
        if name == "l2" and any(getattr(choice, "l2_weighted", False) for choice in chosen):
            continue  # for each rating by "auto"; a number would be for all of W and V
        found = {getattr(choice, name) for choice in chosen} if is_auto(given[name]) else {given[name]}
        if len(found) == 1:
            values[name], = found
    return values


def _words(params):
    return in_words(params) or "the settings as given"


def _line(number, candidate, measure, best):
    title = "candidate %d: %s" % (number, _words(candidate["params"]))
    if not np.isfinite(candidate[measure.label]):
        return title + ": training diverged"
    return "%s: validation %s %s, in %.1f s%s" % (title, measure.label.replace("rmse", "RMSE"),
                                                  figure(candidate[measure.label]), candidate["seconds"],
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
    try:
        joblib = importlib.import_module("joblib")
    except ImportError:
        raise ImportError("n_jobs=%r needs joblib, which isn't installed: pip install joblib, or pass n_jobs=1"
                          % (n_jobs,)) from None
    return lambda function, tasks: joblib.Parallel(n_jobs=n_jobs)(joblib.delayed(function)(*task) for task in tasks)


def _columns(results):
    return {name: np.array([result[name] for result in results]) for name in results[0]}
