"""Objectives: costs, and the entries over which they are summed. One of your own inherits `Objective`.
Equations (1) to (3) are those of docs/explanation/missing.md."""
import copy
import inspect
from functools import partial
from typing import NamedTuple

import numpy as np

from sparse_ae.checks import MOST_RATING, check_bool, check_finite, check_share, near
from sparse_ae.kinds import kind_of, name_of_kind
from sparse_ae.ops.everywhere import squared_outputs
from sparse_ae.training.losses import missing_squared_error
from sparse_ae.training.targets import LENGTH, TYPICAL
import theano.tensor as T

__all__ = ["Missing", "Multinomial", "Objective", "Observed"]

#: The largest w for equation (3), whose target runs away as w comes near 1.
MOST_SHIFTED = 0.9


class AutoSettings(NamedTuple):
    """What "auto" stands for: `updates` without validation; `all_columns`, whether each batch moves every column."""

    l2: float
    learning_rate: float
    updates: int
    all_columns: bool


class Objective:
    """Base class of objectives: implement `cost`, override what else differs.

    Attributes
    ----------
    weight, rating : float
        The weight of a missing entry, 0 for none, and the rating assumed for it: "auto" is chosen by the rating scale.
    counts : bool
        Whether the numbers are counts, which `data.tables` turns into ratings.
    reports_rmse : bool
        Whether the root of the mean cost of an observed entry is an RMSE.
    clips : bool
        Whether outputs are ratings, which predictions clip to their scale; else they are scores.
    measure : str
        The metric of validation: "rmse", or a ranking metric and its length, such as ``"ndcg@10"`` or ``"recall@20"``,
        of all items that validation users have no rating for in training.
    squares_only : bool
        Whether it is only the squared error of observed entries, so that one Op can make the whole step.
    folds_columns : bool
        Whether fold-in may solve for a column without parameters, by `entry_cost`.
    """

    weight, rating, counts, measure, squares_only = 0.0, 0.0, False, "rmse", False
    reports_rmse, clips, folds_columns = True, True, True

    @property
    def has_errors(self):
        """Return whether errors of predictions say something: outputs are ratings, or RMSE is the `measure`."""
        return self.clips or self.measure == "rmse"

    @property
    def missing(self):
        """Return a missing entry's weight and its assumed rating: two floats."""
        return self.weight, 0.0 if self.rating == "auto" else self.rating

    def missing_rating(self, rating_scale):
        """Return the rating assumed for a missing entry, given the scale (None for counts or a single rating value)."""
        if self.rating == "auto":  # as far below the lowest rating as 0 is below MovieLens's
            return 0.0 if rating_scale is None else rating_scale[0] - (rating_scale[1] - rating_scale[0]) / LENGTH
        if abs(self.rating) > MOST_RATING:
            raise ValueError("the objective's rating is %g; expected a number up to %g, below the ratings"
                             % (self.rating, MOST_RATING))
        return self.rating

    def at(self, rating):
        """A copy with this `rating`; itself if that is None, or the objective has none."""
        if rating is None or "rating" not in vars(self):
            return self
        found = copy.copy(self)
        found.rating = float(rating)
        return found

    def cost(self, model, formulation, batch):
        """Build the graph of the cost of a symbolic `Batch` without the weight decay, a scalar.

        ``formulation.entries(model, batch)`` are the model's outputs beside their targets.
        """
        raise NotImplementedError("%s has no method cost(model, formulation, batch): docs/tutorial/extending.md has an "
                                  "example" % type(self).__name__)

    def entry_cost(self, decoder, scores, target):
        """Build the graph of each entry's cost, from scores, ``W h + b``, and targets of their outputs."""
        return (decoder.activation(scores) - target) ** 2

    def refusal(self, model, formulation):
        """Why a formulation, by its name, can't serve a model with this objective, as a message; None if it can."""
        return None

    def check(self, model, ratings, targets):
        """Raise ValueError for ratings, a csr_matrix, that it can't be trained on, or for such targets of them."""

    def begin(self, model, ratings, mean):
        """Have a model begin where ratings in a csr_matrix, of this mean, are likely on the whole; without biases."""
        typical = model.decoder().score_of(self.first_output(mean))
        model.decoder().b.set_value(np.full(model.n_columns, typical, model.dtype))

    def first_output(self, mean):
        """The output that a model without biases begins with, of ratings with this mean."""
        return self.missing[1] if self.weight else mean

    def rule(self, n, variance):
        """The `AutoSettings` for n ratings whose targets have this variance; None where none is known."""
        return None

    def describe(self):
        """Itself in JSON, as `objective_of` takes it: its class's name and its settings."""
        return dict(vars(self), name=name_of_kind(type(self)))

    def __repr__(self):
        defaults = inspect.signature(type(self)).parameters
        changed = ["%s=%r" % (name, value) for name, value in vars(self).items()
                   if name not in defaults or repr(value) != repr(defaults[name].default)]
        return "%s(%s)" % (type(self).__name__, ", ".join(changed))

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self):
        return hash(repr(self))


class Observed(Objective):
    """The post's: the squared error of observed entries; `measure` as `Objective` has it."""

    squares_only = True

    def __init__(self, measure="rmse"):
        self.measure = measure

    def cost(self, model, formulation, batch):
        one_pass = model.one_pass() if formulation.name == "sparse" else None
        if one_pass is None:
            return T.sum(formulation.entries(model, batch).difference ** 2)
        return one_pass.squared_error(batch, batch.wanted)

    def rule(self, n, variance):
        if variance is None:
            return None
        return AutoSettings(l2=50 * variance * (n / TYPICAL) ** (1 / 3), learning_rate=0.001, updates=430,
                            all_columns=False)


class Missing(Objective):
    """Observed entries, and missing ones with a small weight, as if they had been rated low (H. Steck, KDD 2010).

    Parameters
    ----------
    weight : float
        w of equation (1) of docs/explanation/missing.md, from 0 to 1. 0.2 is good on several sets of film ratings, and
        it matters little from 0.1 to 0.4.
    rating : float or "auto"
        m. For `Recommender` it is in the ratings' unit, and "auto" a quarter of the scale below its lowest rating, such
        as 0 on 1 to 5; for counts, and ratings that are all equal, 0. For `Trainer` it is in the unit of the targets,
        and "auto" 0.
    measure, counts
        As `Objective` has them. Pairs of user and item without a number count once.
    """

    reports_rmse, clips = False, False

    def __init__(self, weight=0.2, rating="auto", measure="ndcg@10", counts=False):
        self.weight = check_share(weight, "weight", "; 0 leaves missing entries out")
        self.rating = rating if rating == "auto" else check_finite(
            rating, "rating", "a number, the assumed rating of missing entries, or 'auto'")
        self.measure, self.counts = measure, check_bool(counts, "counts")

    def cost(self, model, formulation, batch):
        w, m = (np.dtype(model.dtype).type(number) for number in self.missing)  # wider ones would widen the graph
        is_sparse = formulation.name == "sparse" and self.weight <= MOST_SHIFTED
        one_pass = model.one_pass() if is_sparse else None
        if one_pass is not None:
            # Equation (3) summed over observed entries, then (2) times w.
            rest, beyond = w.dtype.type(1 - w), batch.wanted - m
            error = rest * one_pass.squared_error(batch, m + beyond / rest) - w / rest * T.sum(beyond ** 2)
            h, decoder = model.encode(batch, deterministic=False), model.decoder()
            return error + w * squared_outputs(h, decoder.W, decoder.b - m)
        output, target, observed, h = formulation.entries(model, batch)
        if observed is not None:
            return T.sum(T.switch(observed, (output - target) ** 2, w * (output - m) ** 2))
        decoder = model.decoder()
        return T.sum((output - target) ** 2) + w * missing_squared_error(h, decoder.W, decoder.b, output, m)

    def refusal(self, model, formulation):
        if formulation == "scan":
            return ("formulation='scan' with %r: the post's graph has only the outputs of observed entries; use "
                    "formulation='sparse' or 'dense'" % self)
        if formulation == "sparse" and not model.decoder().is_linear:
            f = model.decoder().f
            return ("formulation='sparse' with %r and f=%s: the sum over missing entries needs a linear f; use "
                    "f='identity', or formulation='dense', which computes every output"
                    % (self, getattr(f, "__name__", f)))
        return None

    def rule(self, n, variance):
        return AutoSettings(l2=40 * (n / TYPICAL) ** (2 / 3), learning_rate=0.002, updates=450, all_columns=True)


class Multinomial(Objective):
    """A row's entries as counts of a multinomial distribution over all columns, for lists: Mult-DAE's cost.

    ``- sum over O of r log softmax(y)``, of a decoder with a linear f; `measure` and `counts` are as in `Missing`. See
    D. Liang, R. G. Krishnan, M. D. Hoffman, T. Jebara, Variational Autoencoders for Collaborative Filtering, WWW 2018.
    """

    reports_rmse, clips, folds_columns = False, False, False

    def __init__(self, measure="ndcg@10", counts=False):
        self.measure, self.counts = measure, check_bool(counts, "counts")

    def cost(self, model, formulation, batch):
        output, target, observed, _ = formulation.entries(model, batch)
        return -T.sum(T.switch(observed, target, 0) * T.nnet.logsoftmax(output))

    def refusal(self, model, formulation):
        if formulation != "dense":
            return ("formulation=%r with Multinomial(): the sum over all columns needs all outputs; use "
                    "formulation='dense'" % (formulation,))
        if not model.decoder().is_linear:
            return ("Multinomial() with f=%s: the softmax needs scores; use a decoder with f='identity'"
                    % getattr(model.decoder().f, "__name__", model.decoder().f))
        return None

    def first_output(self, mean):
        return 0.0


_NAMED = {"ratings": Observed, "lists": Missing, "clicks": partial(Missing, counts=True)}


def check_objective(objective):
    """Return an `Objective`: itself, or the one named "ratings", "lists" or "clicks"."""
    if isinstance(objective, Objective):
        return objective
    if isinstance(objective, str) and objective in _NAMED:
        return _NAMED[objective]()
    raise ValueError("objective is %r; expected 'ratings', 'lists', 'clicks', or an instance of a subclass of "
                     "sparse_ae.training.objectives.Objective, such as Missing(0.1)%s"
                     % (objective, near(objective, _NAMED)))


def objective_of(description):
    """Make the objective that `Objective.describe` describes; TypeError or ValueError where there is none."""
    settings = dict(description)
    return kind_of(settings, "name", Objective, "objective")(**settings)
