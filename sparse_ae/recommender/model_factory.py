"""Choices, models and trainers by the settings of a recommender, whatever the ratings are."""
import inspect
import itertools
import os
from typing import Any, Callable, Mapping, NamedTuple, Optional, Tuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import MOST_RATING, check_bool, check_choice, check_finite, check_number
from sparse_ae.contract import Model
from sparse_ae.data.side import ITEMS, USERS
from sparse_ae.evaluation.metrics import Metric
from sparse_ae.model import AutoEncoder
from sparse_ae.ranks.ranks import ALONE, Ranks
from sparse_ae.recommender.defaults import Choice, choose, is_auto, with_given
from sparse_ae.recommender.members import CLOSED
from sparse_ae.recommender.settings import Shallow, check_network
from sparse_ae.runtime.device import on_gpu
from sparse_ae.runtime.interrupts import until_sigint
from sparse_ae.runtime.progress import announced, say
from sparse_ae.trainer import Trainer
from sparse_ae.training.checkpoint import check_unused, describe
from sparse_ae.training.formulations import get_formulation
from sparse_ae.training.objectives import Objective, check_objective
from sparse_ae.training.run import RunArguments
import lasagne

_OF_AUTOENCODERS = ("n_hidden", "rows", "l2", "update", "learning_rate", "batch_size", "n_epochs", "patience",
                    "formulation")

#: The most trainings with less decay.
MORE_TRIES = 2

#: The size of W from which collecting garbage first is worth a tenth of a second, and compiling costs less than memory.
LARGE = 2 ** 21


class Run(NamedTuple):
    """Arguments of trainings of some sides, by default none: a callback, and files to continue from."""

    on_epoch: Optional[Callable] = None
    checkpoint: Any = None
    resume: bool = False
    sides: Tuple[str, ...] = (ITEMS, USERS)

    def path(self, side, stage):
        """The file of a side's training: stage 0 has validation, 1 all ratings, and 2, 3, ... less decay."""
        if self.checkpoint is None or stage == 0 and side == self.sides[0]:
            return self.checkpoint
        return "%s.%d" % (os.fspath(self.checkpoint), 1 + stage * len(self.sides) + self.sides.index(side))


class Bench:
    """A model and its step, None at first; models of its shape are trained in their place, so that one is compiled."""

    def __init__(self, model):
        self.model, self.step = model, None

    @classmethod
    def of(cls, model, benches):
        """The bench for models of this shape, perhaps a new one in the list, with the model's parameters and decays."""
        bench = next((each for each in benches if _shape_of(each.model) == _shape_of(model)), None)
        if bench is None:
            values = {each.name: each.variable.get_value(borrow=True) for each in model.parameters}
            bench = cls(AutoEncoder.from_description(model.describe(), values))
            benches.append(bench)
        else:
            _copy(model, bench.model)
            bench.model.l2_W, bench.model.l2_V = model.l2_W, model.l2_V
            if bench.step is not None and not bench.step.begin_anew():
                bench.step = None
        return bench

    def give(self, step, model):
        """Keep a step, and give a model the trained parameters."""
        self.step = step
        if model is not self.model:
            _copy(self.model, model)


def _shape_of(model):
    """All that steps are compiled of, but for the decays."""
    return dict(model.describe(), l2=None)


def _copy(model, to):
    for source, target in zip(model.parameters, to.parameters):
        target.variable.set_value(source.variable.get_value(borrow=True))


class ModelFactory(NamedTuple):
    """Makes choices, models and trainers by a dict of checked settings, of models that `ranks` train together. Models
    of the same shape are trained in turn on `benches`, or with None each by itself."""

    settings: Mapping
    objective: Objective
    ranks: Ranks = ALONE
    benches: Optional[list] = None

    @classmethod
    def of(cls, settings, ranks=ALONE):
        """Check the settings that need neither ratings nor a model."""
        settings = dict(settings)
        unknown, biases, progress = settings["unknown"], settings["biases"], settings["progress"]
        if not (isinstance(unknown, str) and unknown in ("mean", "error")):
            settings["unknown"] = check_finite(unknown, "unknown", "'mean', 'error', or the rating to predict for "
                                                                   "unknown users and items")
        if progress != "logging":
            check_bool(progress, "progress", ", or 'logging'")
        if not (isinstance(biases, (bool, np.bool_)) or isinstance(biases, str) and biases == "unguarded"):
            raise ValueError("biases is %r; expected True, False, or 'unguarded'" % (biases,))
        factory = cls(settings, check_objective(settings["objective"]), ranks, [])
        rows = check_choice(settings["rows"], "rows", ("auto", "items", "users", "both"))
        check_choices(settings["choices"], rows)
        given = [name for name in _OF_AUTOENCODERS if not factory.is_auto(name)]
        given += ["choices"] if settings["choices"] else []
        if factory.closed_form is not None and given:
            raise ValueError("network is %r, a closed form, and %s=%r; expected no such setting: it is for autoencoders"
                             % (settings["network"], given[0], settings[given[0]]))
        if rows == "both" and not biases:
            raise ValueError("rows is 'both' and biases is %r; expected biases=True: the two models are weighted as "
                             "additions to biases" % (biases,))
        return factory

    def try_out(self, run):
        """Raise the errors of trainings by a `Run` before a file is read; return a model by the settings."""
        any_ratings = sp.csr_matrix(np.ones((1, 1), np.float32))  # the values of "auto" are never wrong
        side = next(iter(self.settings["choices"] or ()), ITEMS)
        choice = self.choice(side, any_ratings, 1.0 if self.residual_mode else None, True)
        rng = np.random.RandomState(0)
        model = self.model(1, choice, rng, (1.0, 5.0))
        self.trainer(model, choice, rng)
        if not self.is_auto("formulation"):
            get_formulation(self.settings["formulation"], model, self.objective)
        RunArguments(choice.n_epochs, run.on_epoch, choice.patience, run.checkpoint, resume=run.resume).check()
        if run.checkpoint is not None:
            for stage, side in itertools.product(range(2 + MORE_TRIES if self.residual_mode else 1), run.sides):
                check_unused(run.path(side, stage), run.resume)
        return model

    def at(self, missing_rating):
        """The same for missing entries that count as `missing_rating`, 0 in the unit of residual mode's targets."""
        return self._replace(objective=self.objective.at(0.0 if self.residual_mode else missing_rating))

    def with_settings(self, **changed):
        """The same with some other settings."""
        return self._replace(settings=dict(self.settings, **changed))

    def is_auto(self, name):
        """Whether a setting of this name is "auto"; False if there is none."""
        return is_auto(self.settings.get(name))

    @property
    def residual_mode(self):
        """Whether models predict what biases leave over."""
        return bool(self.settings["biases"])

    @property
    def guarded(self):
        """Whether models count only if validation ratings show a gain."""
        return self.settings["biases"] != "unguarded"

    @property
    def closed_form(self):
        """The name of the closed form that is the network, or None."""
        network = self.settings["network"]
        return network if isinstance(network, str) and network in CLOSED else None

    @property
    def goes_by_rmse(self):
        """Whether models are validated by RMSE."""
        return self.objective.clips and self.metric.k is None

    @property
    def is_shallow(self):
        """Whether models are the post's."""
        return isinstance(check_network(self.settings["network"]), Shallow)

    @property
    def metric(self):
        """The objective's `Metric`."""
        return Metric.parse(self.objective.measure, "the objective's measure")

    @property
    def tells(self):
        """Whether progress is reported here."""
        return bool(self.settings["progress"]) and self.ranks.first

    def tell(self, line):
        """Print a line on stderr, if progress is reported."""
        if self.tells:
            say(line)

    def announced(self, line):
        """A context in which a line is printed if it takes long, and progress is reported."""
        return announced(line, self.tells)

    def until_ctrl_c(self, kept):
        """`until_sigint` for trainings. Ranks keep nothing: the others wouldn't know."""
        return until_sigint(kept if self.ranks.size == 1 else ())

    def is_chosen(self, side):
        """Whether the `choices` that were given have the models of a side."""
        return side in (self.settings["choices"] or {})

    def choice(self, side, train, variance, validated):
        """The `Choice` for ratings with residuals of a `variance`: "auto" is as in `choices`, or follows from it."""
        if self.is_chosen(side):
            return with_given(self.settings["choices"][side], self.settings, validated)
        return choose(self.settings, train, variance, validated, self.objective)

    def model(self, n_columns, choice, rng, rating_scale):
        """The model before training; in residual mode it has a second encoder."""
        network = check_network(self.settings["network"])
        if not isinstance(network, Shallow):
            self.ranks.check_alone("network=%s" % describe(network), "network='shallow'")
            return _made_by(network, n_columns, choice, rng, rating_scale, self.residual_mode)
        # Weights that are drawn are a few times as large, which files don't take.
        if check_number(network.weight_scale, "weight_scale", alternative=", such as 0.01") > MOST_RATING:
            raise ValueError("weight_scale is %r; expected far less, such as 0.01" % (network.weight_scale,))
        normal = lasagne.init.Normal(network.weight_scale)
        return AutoEncoder(n_columns, choice.n_hidden, rating_scale, f=network.f, g=network.g, l2=choice.l2, W=normal,
                           V=normal, rng=rng, dtype=network.dtype, U=normal if self.residual_mode else None,
                           l2_weighted=choice.l2_weighted, comm=self.ranks)

    def trainer(self, model, choice, rng, label=True):
        """The `Trainer` of a model; its progress reports begin with the label."""
        unknown = self.settings["unknown"]
        return Trainer(model, choice.update, choice.learning_rate, choice.batch_size,
                       formulation=self.settings["formulation"], l2_per="epoch", objective=self.objective, rng=rng,
                       progress=self.settings["progress"] and label,
                       unknown=unknown if isinstance(unknown, float) else None)

    def bench(self, model):
        """The `Bench` to train a model on: one of its own on several ranks, on a GPU, and where it is large."""
        is_shared = (self.benches is not None and type(model) is AutoEncoder and model.ranks.size == 1 and not on_gpu()
                     and model.n_columns * model.n_hidden < LARGE)
        return Bench.of(model, self.benches) if is_shared else Bench(model)


def check_choices(choices, rows="auto"):
    """Check a setting: None, or a dict with a `Choice` for a side, or for both."""
    if choices is None:
        return
    if not isinstance(choices, dict) or not all(isinstance(each, Choice) for each in choices.values()):
        raise TypeError("choices is %r; expected None, or a dict of 'items' and 'users' to Choice, such as choices_"
                        % (choices,))
    sides = (ITEMS, USERS) if rows in ("auto", "both") else (rows,)
    if not set(choices) <= {ITEMS, USERS} or choices and not set(choices) & set(sides):
        raise ValueError("choices has %s, and with rows=%r there are models of %s; expected a Choice for some of these"
                         % (", ".join(map(str, choices)), rows, " and ".join(sides)))


def _made_by(network, n_columns, choice, rng, rating_scale, two_encoders):
    """The model that a callable makes; it must keep the contract, and read the channels of the targets."""
    name, channels = describe(network), ("indicator",) if two_encoders else ()
    if isinstance(choice.l2, (tuple, list)):
        raise ValueError("l2 is %r with network=%s; expected one number for all of its layers" % (choice.l2, name))
    more = dict(dict.fromkeys(channels, True), rating_scale=rating_scale, l2=choice.l2, rng=rng)
    try:
        inspect.signature(network).bind(n_columns, choice.n_hidden, **more)
    except (TypeError, ValueError) as error:  # some of Python's own have no signature
        raise TypeError("network=%s can't be called (%s); expected a function that takes (n_columns, n_hidden, "
                        "rating_scale=, l2=, rng=), and if biases isn't False indicator=" % (name, error)) from error
    model = network(n_columns, choice.n_hidden, **more)
    if not isinstance(model, Model):
        raise TypeError("network=%s returned %r; expected a sparse_ae.contract.Model, such as a "
                        "networks.Network" % (name, model))
    if model.n_columns != n_columns:
        raise ValueError("network=%s returned a model with %d columns for n_columns=%d, its first argument, which "
                         "differs from call to call; expected that number of columns"
                         % (name, model.n_columns, n_columns))
    if tuple(model.channels) != channels:
        raise ValueError("network=%s returned a model with the channels %r; expected %r: InputLayers of these names, "
                         "which are 'indicator', for the pattern of ratings, or none with biases=False"
                         % (name, tuple(model.channels), channels))
    return model
