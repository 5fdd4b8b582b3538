"""Settings chosen from the data: the rules of "auto" in `Recommender`, as in docs/explanation/auto.md."""
from typing import NamedTuple, Optional, Tuple, Union

import numpy as np

from sparse_ae.data.ratings import rating_counts
from sparse_ae.data.side import ITEMS, USERS
from sparse_ae.training.patience import SHORTER
from sparse_ae.training.targets import TYPICAL

__all__ = ["Choice"]

_UPDATES_PER_EPOCH, _OF_RATINGS, _UPDATES_AT_MOST = 12, 10 ** 6, 3000
_PATIENCE, _LEAST_PATIENCE = 200, 5
_MOST_HIDDEN, _MOST_NUMBERS, _MOST_PER_ROW = 320, 2 ** 24, 10000
_VALIDATION, _ENOUGH, _FRACTIONS = 5000, 10000, (0.1, 0.25)

# If W would have more numbers than these: the most hidden units for each rating of a column, on average, and the fewest
# in all. More take memory and time, and learn no more from so few ratings.
_MANY_NUMBERS, _UNITS_PER_RATING, _LEAST_OF_MANY = 2 ** 23, 8, 32

#: The fewest hidden units otherwise; a decay is searched for with so many.
LEAST_HIDDEN = 96

# The factor of the learning rate, once validation stops improving.
_LATE_RATE = 0.15

#: The least share of held-out ratings for which models are trained again on all ratings.
WORTH_A_REFIT = 0.0125

# For rankings: multiplications in a training, about ten seconds on two cores with users as rows, and the fewest hidden
# units. Items as rows help if there are few users, which takes less.
_MOST_WORK, _LEAST_HIDDEN_OF_LISTS = {USERS: 2 ** 39, ITEMS: 2 ** 35}, 64

# Without biases: the values for MovieLens.
PLAIN_L2 = 50.0
_PLAIN = dict(n_hidden=500, batch_size=256, l2=PLAIN_L2, update="adam", learning_rate=0.001, n_epochs=300)


class Choice(NamedTuple):
    """Settings of one side, as `Recommender` names them, none of them "auto".

    Attributes
    ----------
    n_hidden, batch_size, l2, update, learning_rate, n_epochs, patience
        As `Recommender` has them.
    l2_weighted : bool
        Whether the decay is for each rating.
    cut : float or None
        The factor of the learning rate once validation stops improving; None to stop then.
    """

    n_hidden: int
    batch_size: Optional[int]
    l2: Union[float, Tuple[float, float]]
    update: object
    learning_rate: object
    n_epochs: int
    patience: Optional[int]
    l2_weighted: bool
    cut: Optional[float] = None


def choose(settings, train, variance, validated, objective):
    """Replace "auto" in settings by numbers: a `Choice`. `variance` is that of residuals, None without biases."""
    from sparse_ae.training.optimisers import needs_all_rows  # needs Theano
    n, n_columns = int(train.nnz), train.shape[1]
    n_rows, n_occurring = (max(1, int(np.count_nonzero(counts))) for counts in rating_counts(train))
    known, rule, given = objective.rule(n, variance), _PLAIN, _given(settings)
    if known is not None:
        uses_adagrad = n < 3 * n_columns and not known.all_columns
        most = max(LEAST_HIDDEN, min(_MOST_HIDDEN, min(n_rows, n_occurring) // 16 * 16,
                                     _MOST_NUMBERS // n_columns // 16 * 16))
        n_hidden = int(np.clip(16 * round(100 * np.sqrt(n / TYPICAL) / 16), LEAST_HIDDEN, most))
        if n_hidden * n_columns > _MANY_NUMBERS and not known.all_columns:
            n_hidden = int(np.clip(_UNITS_PER_RATING * n // n_columns // 16 * 16, _LEAST_OF_MANY, n_hidden))
        rule = dict(n_hidden=n_hidden,
                    batch_size=-(-n_rows // int(_UPDATES_PER_EPOCH * max(1.0, np.sqrt(n / _OF_RATINGS)))), l2=known.l2,
                    learning_rate=known.learning_rate, update="adagrad" if uses_adagrad else "adam")
    if needs_all_rows(settings["update"]):
        rule = dict(rule, batch_size=None)
    chosen = dict(rule, **given)
    adagrad = isinstance(chosen["update"], str) and chosen["update"] == "adagrad"
    # A given decay, and any of another network, applies to all of W and V.
    weighted = (known is not None and not known.all_columns and "l2" not in given and adagrad
                and not callable(settings.get("network")))
    if weighted:
        chosen["l2"] /= n / n_columns
    size = n_rows if chosen["batch_size"] is None else chosen["batch_size"]
    per_epoch = -(-n_rows // int(size)) if isinstance(size, (int, np.integer)) and size > 0 else 1
    # The rate is lowered once, if it is "auto" and validation is by RMSE in residual mode.
    early = variance is not None and "learning_rate" not in given and objective.clips and objective.measure == "rmse"
    if variance is not None and "learning_rate" not in given and adagrad:
        chosen["learning_rate"] = 0.03
    if "n_epochs" not in chosen:
        chosen["n_epochs"] = -(-(_UPDATES_AT_MOST if validated else known.updates) // per_epoch)
    if "patience" not in chosen:
        chosen["patience"] = max(_LEAST_PATIENCE, int(-(-_PATIENCE * (SHORTER if early else 1) // per_epoch)))
    return with_given(Choice(l2_weighted=weighted, cut=_LATE_RATE if early else None, **chosen), settings, validated)


def with_given(choice, settings, validated):
    """Replace fields of a `Choice` by settings that aren't "auto"."""
    given = _given(settings)
    if "l2" in given:
        given["l2_weighted"] = False  # a given decay applies to all of W and V
    if not validated:
        given["patience"] = None
    choice = choice._replace(**given)
    return choice if choice.patience is not None else choice._replace(cut=None)


def _given(settings):
    """The settings of a `Choice` that aren't "auto", by name: a dict."""
    return {name: settings[name] for name in Choice._fields if not is_auto(settings.get(name, "auto"))}


def useful_sides(sides, ratings):
    """The sides that ``rows="auto"`` trains, none with 10,000 ratings in a row on average: its units saturate."""
    n_users, n_items = ratings.shape
    if ratings.nnz / min(n_users, n_items) <= _MOST_PER_ROW:
        return sides
    return (USERS if n_users > n_items else ITEMS,)


def skips_refit(n_ratings):
    """Whether 10,000 held-out ratings are less than 1.25% of n: then the model isn't trained again on all ratings."""
    return _ENOUGH / n_ratings < WORTH_A_REFIT


def validation_fraction(n_ratings, for_lists=True):
    """The fraction of n ratings to hold out: 10,000 of many; of few, and for rankings, more."""
    if not for_lists and skips_refit(n_ratings):
        return _ENOUGH / n_ratings
    return float(np.clip(_VALIDATION / n_ratings, *_FRACTIONS))


def is_auto(value):
    """Whether a setting is "auto"."""
    return isinstance(value, str) and value == "auto"


def bounded(factory, choice, train, rows):
    """Limit the work of a training for rankings by fewer hidden units, then epochs, if these are "auto": a `Choice`, or
    None if that isn't enough. Work is counted, not timed: the same seed gives the same model on any machine."""
    if not factory.is_shallow:  # its work is unknown
        return choice
    n_rows, n_columns = max(1, int(np.count_nonzero(np.diff(train.indptr)))), train.shape[1]
    per_epoch = 1 if choice.batch_size is None else -(-n_rows // choice.batch_size)

    def epochs_of(k):
        # An update takes 3 (n_columns + batch_size) k^2 + 8 (the batch's ratings) k: see `ops.everywhere`.
        return int(_MOST_WORK[rows] // (3.0 * (n_columns * per_epoch + n_rows) * k ** 2 + 8 * train.nnz * k))

    if factory.is_auto("n_hidden"):
        wanted = min(choice.n_epochs, -(-3 * _PATIENCE // per_epoch))
        fitting = [k for k in range(choice.n_hidden, min(_LEAST_HIDDEN_OF_LISTS, choice.n_hidden) - 1, -16)
                   if epochs_of(k) >= wanted]
        if not fitting:
            return None
        choice = choice._replace(n_hidden=fitting[0])
    if factory.is_auto("n_epochs"):
        choice = choice._replace(n_epochs=max(1, min(choice.n_epochs, epochs_of(choice.n_hidden))))
    return choice
