"""Settings that fit the data: what "auto" stands for in `Recommender`.

With n ratings to train on, of residual variance s^2 (in the unit of `targets`, a quarter of the scale), in rows that
have ratings:

===============  =====================================  ==============================================================
`n_hidden`       100 sqrt(n / 50,000), a multiple of    more ratings tell more apart, but not more than there are rows
                 16 from 96 to 512; above 96 at most    or columns. Twice as many may gain 0.002 of RMSE, or lose 0.005
                 the rows and columns with ratings,     where there are few tastes: of 100,000 ratings or fewer they
                 and 2^25 numbers in W; twice as many   are tried. A parameter and its update are kept as five
                 of few ratings, unless validation is   numbers, of three matrices: 2 GB
                 against it by 0.3% of its MSE
`batch_size`     an epoch is 12 mini-batches, with      6 to 24 are alike; so the cost of an adaptive update, which
                 Adam 8 of more than 200,000 ratings;   moves all columns, stays in proportion to the ratings. Where
                 of more than a million (n /            they are many, it is small beside that of all of them
                 10^6)^(1/2) as many
`l2`             50 s^2 (n / 50,000)^(1/3)              a decay balances the error that is left over, hence s^2; and
                                                        grows more slowly than the ratings that pull against it. Where
                                                        much of s^2 is taste, no noise, outputs are too small: by more
                                                        than a tenth, on validation ratings, or none at all, they are
                                                        learned again with a third of it, and perhaps a ninth; if too
                                                        large, with three times as much. Beyond a million ratings this
                                                        is found out with 64 hidden units, and how many are worth it:
                                                        twice as many, until validation is no better by 0.1% of its MSE
`update`,        Adam, 0.001, and 0.0015 of more than   the larger rate does as much in fewer updates; of few ratings
`learning_rate`  200,000 ratings; Adagrad, 0.03, where  it costs up to 0.0007 of RMSE. Where columns have few each,
                 columns have fewer than 3 ratings on   Adam's moves of all of them cost more than all else; Adagrad
                 average                                moves those in use only, if the decay is for each rating: so it
                                                        is then with l2="auto"
`patience`       80 updates, at Adam's larger rate 53,  the error often rises at first, and stands still, before it
                 at least 5 epochs, that gain a         falls: until it has, patience is twice as long. By 100 updates
                 thousandth; then two fifths of it at   one of 20 trainings was given up too early, from 125 to 200 it
                 0.15 times the rate. Where a rate is   made no difference. The smaller rate, from the best epoch on,
                 given, 200, and any gain counts        brings up to 0.001 within a few epochs
`n_epochs`       3,000 updates; without validation 430  the best epoch came after 190 to 650 updates on real ratings
                 at 0.001
`validation`     5,000 ratings, from 10% to 25%, but    fewer can't tell a gain from luck; the ratings aren't lost,
                 200,000 at most                        for all are trained on in the end, where they are 2% or more
fits             200,000 / n of them, from 1 to 4,      the mean of several, each with other validation ratings, errs
                 with `n_hidden` units each, trained    less by 0.0005 to 0.001, and half as far apart from seed to
                 on all ratings for 12% longer at the   seed; where ratings are few it costs seconds. See `joining`
                 first rate than was best
===============  =====================================  ==============================================================

They were chosen on validation ratings of FilmTrust, Douban, MovieLens 100K and 1M, Jester, long-tailed samples of
MovieLens and made-up ratings of many kinds, from 2,000 to 900,000. On the real ones all stand at flat optima. With
``biases=False``, where there are no residuals, "auto" is what was best on MovieLens.

Where missing entries count, all columns have a gradient from every row, and the table has other lines:

===============  =====================================  ==============================================================
`l2`             40 (n / 50,000)^(2/3)                  the target is of the same size on any data (see `targets`)
`update`         Adam, 0.002                            there is no column that a mini-batch doesn't move; half the
                                                        rate takes twice the epochs to the same lists
`n_epochs`       3,000 updates; without validation 450  the best epoch came after 300 to 600
===============  =====================================  ==============================================================

These were chosen by NDCG at 10 on validation ratings of FilmTrust, Douban, MovieLens 100K and 1M; l2 half or twice as
large costs up to 1%.
"""
import math
from typing import NamedTuple, Optional, Tuple, Union

import numpy as np

from sparse_ae.data.ratings import occurring
from sparse_ae.data.side import ITEMS, USERS
from sparse_ae.ranks.ranks import ALONE

__all__ = ["Choice"]

_TYPICAL = 50000.0
_UPDATES_PER_EPOCH, _OF_RATINGS, _UPDATES_AT_MOST = 12, 10 ** 6, 3000
_LARGER_STEPS, _MANY_RATINGS = 1.5, 200000
_PATIENCE, _BEFORE_RATE_FALLS, _LEAST_PATIENCE = 200, 80, 5
_LEAST_HIDDEN, _MOST_HIDDEN, _MOST_NUMBERS, _MOST_PER_ROW = 96, 512, 2 ** 25, 10000
_RATINGS_OF_FITS, _MOST_FITS = 200000, 4
_VALIDATION, _LEAST_FRACTION, _MOST_FRACTION, _MOST_VALIDATION = 5000, 0.1, 0.25, 200000

#: The share of the learning rate that is left, once validation stands still.
LATE_RATE = 0.15

#: Held-out ratings that are a smaller part than this aren't worth another training on all.
WORTH_A_REFIT = 0.02

# Multiplications of a training, updates after which lists stand still, and the fewest hidden units that are of use.
_MOST_WORK, _UPDATES_OF_LISTS, _LEAST_HIDDEN_OF_LISTS = 2 ** 40, 600, 64

# Without biases: MovieLens's.
_PLAIN = dict(n_hidden=500, batch_size=256, l2=50.0, update="adam", learning_rate=0.001, n_epochs=300)
_PLAIN_LEAST_PATIENCE = 10


class Choice(NamedTuple):
    """Settings of one side, as `Recommender` names them, none of them "auto"."""

    n_hidden: int
    batch_size: Optional[int]
    l2: Union[float, Tuple[float, float]]
    update: object
    learning_rate: object
    n_epochs: int
    patience: Optional[int]
    l2_weighted: bool

    def updates_per_epoch(self, n_rows):
        """Count the mini-batches of an epoch of so many rows with ratings."""
        return 1 if self.batch_size is None else -(-n_rows // self.batch_size)


def choose(settings, train, variance, validated, objective, ranks=ALONE):
    """Put numbers for "auto" in settings.

    Parameters
    ----------
    settings : dict
        Those of `Recommender` that `Choice` has.
    train : csr_matrix, (n_rows, n_columns)
    variance : float or None
        Of the residuals, in their unit; None without biases.
    validated : bool
        Whether training stops early.
    objective : Objective
    ranks : Ranks
        Among which the columns are shared out: `train` has a rank's own.

    Returns
    -------
    Choice
    """
    occurs = np.count_nonzero(occurring(train.indices, train.shape[1]))
    n, n_columns, n_occurring = map(int, ranks.sum(np.array([train.nnz, train.shape[1], occurs])))
    n_rows = max(1, int(np.count_nonzero(ranks.sum(np.diff(train.indptr)))))
    known = objective.rule(n, variance)
    pace = 1.0  # how many of the usual updates one does the work of
    if known is None:
        rule = dict(_PLAIN)
    else:
        uses_adagrad = n < 3 * n_columns and not known.all_columns
        if n > _MANY_RATINGS and not (uses_adagrad or known.all_columns) and _leaves_steps(settings):
            pace = _LARGER_STEPS
        n_hidden = 16 * round(100 * np.sqrt(n / _TYPICAL) / 16)
        rule = dict(n_hidden=int(np.clip(n_hidden, _LEAST_HIDDEN, most_hidden(n_rows, n_occurring, n_columns))),
                    batch_size=-(-n_rows // _updates_per_epoch(n, pace)), l2=known.l2,
                    learning_rate=pace * known.learning_rate, update="adagrad" if uses_adagrad else "adam")
    if settings["update"] in ("rprop", "lbfgs") or getattr(settings["update"], "needs_all_rows", False):
        rule["batch_size"] = None
    chosen = {name: rule.get(name) if is_auto(settings[name]) else settings[name]
              for name in ("n_hidden", "batch_size", "l2", "update")}
    adagrad = isinstance(chosen["update"], str) and chosen["update"] == "adagrad"
    # A decay that is given means what it says: all of W and V; a network's is always of all.
    weighted = known is not None and not known.all_columns and is_auto(settings["l2"]) and adagrad
    weighted = weighted and not callable(settings.get("network"))
    if weighted:
        chosen["l2"] /= n / n_columns
    size = n_rows if chosen["batch_size"] is None else chosen["batch_size"]
    per_epoch = -(-n_rows // size) if isinstance(size, (int, np.integer)) and size > 0 else 1
    rate, n_epochs, patience = settings["learning_rate"], settings["n_epochs"], settings["patience"]
    if is_auto(rate):
        rate = 0.03 if variance is not None and adagrad else rule["learning_rate"]
    if is_auto(n_epochs):
        updates = _UPDATES_AT_MOST if validated or known is None else math.ceil(known.updates / pace)
        n_epochs = rule.get("n_epochs") or -(-updates // per_epoch)
    if not validated:
        patience = None
    elif is_auto(patience):
        least = _PLAIN_LEAST_PATIENCE if variance is None else _LEAST_PATIENCE
        early = variance is not None and falls(settings["learning_rate"], objective)
        updates = _BEFORE_RATE_FALLS / pace if early else _PATIENCE
        patience = max(least, math.ceil(updates / per_epoch))
    return Choice(learning_rate=rate, n_epochs=n_epochs, patience=patience, l2_weighted=weighted, **chosen)


def most_hidden(n_rows, n_occurring, n_columns):
    """Return how many hidden units there are to be at most, of so many rows and columns with ratings, and columns."""
    rank = min(n_rows, n_occurring)
    return max(_LEAST_HIDDEN, min(_MOST_HIDDEN, rank // 16 * 16, _MOST_NUMBERS // n_columns // 16 * 16))


def _leaves_steps(settings):
    """Tell whether all that steps depend on is to be chosen, for a model of which it is known how large they may be."""
    return all(map(is_auto, map(settings.get, ("update", "learning_rate", "batch_size")))) and not callable(
        settings.get("network"))


def falls(learning_rate, objective):
    """Tell whether the rate of a model beside biases is cut once validation stands still.

    It is where the setting is "auto" and RMSEs of ratings count; by lists it hasn't been judged.
    """
    return is_auto(learning_rate) and objective.clips and objective.measure == "rmse"


def _updates_per_epoch(n, pace):
    return int(_UPDATES_PER_EPOCH / pace * max(1.0, np.sqrt(n / _OF_RATINGS)))


def useful_sides(sides, ratings):
    """Choose those that promise something among the models that ``rows="auto"`` would train.

    Parameters
    ----------
    sides : tuple of {"items", "users"}
    ratings : csr_matrix, (n_users, n_items)

    Returns
    -------
    tuple
        Without the side whose rows have more than 10,000 ratings on average, if the other's have fewer: so many drive
        the hidden units into saturation, and there are few rows to learn from. The 100 jokes of Jester are such.
    """
    n_users, n_items = ratings.shape
    if ratings.nnz / min(n_users, n_items) <= _MOST_PER_ROW:
        return sides
    return (USERS if n_users > n_items else ITEMS,)


def validation_fraction(n_ratings):
    """Choose what part of n ratings to hold out; None stands for any number of them, without biases."""
    if n_ratings is None:
        return _LEAST_FRACTION
    return float(min(np.clip(_VALIDATION / n_ratings, _LEAST_FRACTION, _MOST_FRACTION), _MOST_VALIDATION / n_ratings))


def is_worth_a_refit(fraction):
    """Tell whether to train again on all ratings, where a fraction of them was held out."""
    return fraction >= WORTH_A_REFIT


def fits_to_join(n_ratings):
    """Choose how many fits to n ratings are to be joined."""
    return int(np.clip(_RATINGS_OF_FITS // n_ratings, 1, _MOST_FITS))


def is_auto(value):
    """Tell whether a setting is left to be chosen."""
    return isinstance(value, str) and value == "auto"


def multiplications(choice, n_rows, n_columns, nnz):
    """Count the multiplications of an epoch where missing entries count (`ops.everywhere`): a float.

    An update takes 3 (n_columns + batch_size) k^2 + 8 (the batch's ratings) k: the first grows with the catalogue.
    """
    k = float(choice.n_hidden)
    return 3 * (n_columns * choice.updates_per_epoch(n_rows) + n_rows) * k ** 2 + 8 * nnz * k


def bounded(settings, choice, train):
    """Fit a `Choice` into the work that an autoencoder of lists may be; None where not even 64 hidden units fit.

    Fewer hidden units, then fewer epochs, where the settings leave them to be chosen. Work is counted, not timed, so
    that the same seed gives the same model on any machine: 2^40 multiplications take about twenty seconds on two cores.
    """
    if callable(settings.network):  # nobody knows what it takes
        return choice
    n_rows, n_columns = max(1, int(np.count_nonzero(np.diff(train.indptr)))), train.shape[1]
    per_epoch = choice.updates_per_epoch(n_rows)

    def epochs_of(choice):
        return int(_MOST_WORK // multiplications(choice, n_rows, n_columns, train.nnz))

    if is_auto(settings.n_hidden):
        wanted = min(choice.n_epochs, -(-_UPDATES_OF_LISTS // per_epoch))
        least = min(_LEAST_HIDDEN_OF_LISTS, choice.n_hidden)
        while epochs_of(choice) < wanted and choice.n_hidden - 16 >= least:
            choice = choice._replace(n_hidden=choice.n_hidden - 16)
        if epochs_of(choice) < wanted:
            return None
    if is_auto(settings.n_epochs):
        choice = choice._replace(n_epochs=max(1, min(choice.n_epochs, epochs_of(choice))))
    return choice
