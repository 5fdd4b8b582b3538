"""A step of an optimiser on a mini-batch: `Step` is the protocol that every driver keeps, `TrainingStep` the post's
`ae_batch` for any update of Lasagne's form."""
import contextlib
import copy
from collections import OrderedDict, namedtuple

import numpy as np

from sparse_ae.checks import generator_from
from sparse_ae.ops import item_major
from sparse_ae.training.formulations import get_formulation
from sparse_ae.training.objectives import Observed
from sparse_ae.training.one_pass import compile_one_pass, find_op
from sparse_ae.training.pending import sgd_by_products
from sparse_ae.updates import optimiser_of
import lasagne
import theano

__all__ = ["Step", "TrainingStep"]


class CompiledFor(namedtuple("CompiledFor", "model update formulation channels objective decoder parameters "
                                            "l2_weighted")):
    """All that a `Trainer` has a step compiled of, but for the learning rate and the decays."""

    @classmethod
    def of(cls, trainer, formulation, channels):
        """What a trainer needs now, with this formulation and the targets' channels."""
        model, without_decays = trainer.model, [each._replace(decay=0.0) for each in trainer.model.parameters]
        return cls(model, trainer.update, formulation, tuple(channels), copy.copy(trainer.objective), model.decoder(),
                   without_decays, model.l2_weighted)

    def has_state_of(self, other):
        """Whether the optimiser's state is the same."""
        return (self.model, self.update, self.formulation) == (other.model, other.update, other.formulation)


class Step:
    """One step of an optimiser; called with batches of rows, which aren't checked but for their indices.

    Parameters
    ----------
    model : Model
    formulation : {"scan", "dense", "sparse"}
    channels : iterable of {"target", "indicator"}, optional
        The arrays that batches bring beside the ratings; by default those that the model's encoders read.
    objective : Objective

    Attributes
    ----------
    decay_share : Theano shared variable
        The part of the weight decay that falls to a mini-batch, 1 at first; it may be set between calls.
    learning_rate : Theano shared variable, or None where the optimiser has none
    own : Model
        A rank's own columns of the model, with parameters of their own, which are trained; the model itself alone.
    function : theano.compile.Function
        The compiled graph that a call runs.
    needs_all_rows : bool
        Whether the optimiser needs the gradient of all ratings at once.
    kept : sequence of Theano shared variables
        Those of the optimiser, in the order in which the state has them: "update_0", "update_1", ...
    """

    learning_rate, needs_all_rows, kept = None, False, ()
    compiled_for = None  # of a Trainer's step

    def __init__(self, model, formulation, channels=None, objective=Observed()):
        model.check()
        self.model, self.formulation = model, get_formulation(formulation, model, objective)
        self.own, self.objective = model.divided(), objective
        self.channels = model.channels if channels is None else tuple(channels)
        self.decay_share = theano.shared(np.asarray(1, model.dtype), name="decay_share")
        self._decays = _decays_of(model)

    def __call__(self, batch):
        """Take a `Batch` of CSR arrays; return its loss and the data term of it, both before the step, of a rank's
        own columns."""
        raise NotImplementedError

    def is_for(self, needed):
        """Whether it serves a `CompiledFor`, as a program's own step does; it takes the model's decays then."""
        return self.compiled_for is None or self.compiled_for == needed and self.set_decays()

    def set_decays(self):
        """Take the weight decays of the model's parameters; return False where the graph has others as constants."""
        return self._decays == _decays_of(self.model)

    def begin_anew(self):
        """Set the optimiser's state to what it was at first; return False where that isn't known."""
        return False

    def deferred(self):
        """A context in which work may be pending from call to call; all is done when it ends."""
        return contextlib.nullcontext(self)

    def get_state(self):
        """Copy all that a step changes, by name: the parameters, then the optimiser's state; on a GPU there."""
        return OrderedDict((name, copy_of(variable)) for name, variable in self._variables.items())

    def get_parameters(self):
        """As `get_state`, for the parameters only."""
        return OrderedDict((each.name, copy_of(each.variable)) for each in self.model.parameters)

    def lay_out(self):
        """Restore V's column-contiguous layout, which `set_value` may have undone."""
        for each in self.own.parameters:
            if each.item_major:
                item_major(each.variable)

    def check_state(self, state):
        """Validate a loaded state: ValueError unless names, shapes and dtypes are those of `get_state`."""
        check_arrays(state, {name: as_array(variable.get_value(borrow=True))
                             for name, variable in self._variables.items()},
                     finite=[each.name for each in self.model.parameters])
        for name, variable in self._variables.items():
            value_from(state[name], variable)

    def set_state(self, state):
        """Set the state of `get_state`, or of `get_parameters`, which keeps the optimiser's state."""
        for name, variable in self._variables.items():
            if name in state:
                set_value(variable, value_from(state[name], variable))

    @property
    def _variables(self):
        return OrderedDict([(each.name, each.variable) for each in self.model.parameters]
                           + [(self.model.ranks.own_name("update_%d" % i), x) for i, x in enumerate(self.kept)])

    def ruined(self):
        """The names of the parameters that are no longer finite."""
        with np.errstate(all="ignore"):
            return [each.name for each in self.model.parameters
                    if not np.isfinite(each.variable.get_value(borrow=True).sum())]

    def terms(self, batch):
        """Build the data term of a symbolic `Batch`, and with `l2_weighted` each column's number of ratings in it."""
        counts = self.formulation.item_counts(self.own, batch) if self.own.l2_weighted else None
        try:
            cost = self.objective.cost(self.own, self.formulation, batch)
        except (TypeError, ValueError) as error:
            if self.formulation.name != "sparse":
                raise
            raise ValueError("%s.cost can't be built with formulation='sparse', where outputs are a vector of observed "
                             "entries (%s: %s); if it needs all outputs, a matrix, use formulation='dense'"
                             % (type(self.objective).__name__, type(error).__name__, error)) from error
        if not isinstance(cost, theano.Variable) or getattr(cost, "ndim", None) != 0:
            raise TypeError("%s.cost returned %.70r; expected a Theano scalar, such as formulation.entries(model, "
                            "batch).total(function)" % (type(self.objective).__name__, cost))
        known = self.own.params + self.model.params
        learned = [x for x in vars(self.objective).values() if isinstance(x, theano.compile.SharedVariable)
                   and getattr(x, "dtype", "").startswith("float") and x not in known
                   and theano.grad(cost, x, disconnected_inputs="ignore", return_disconnected="None",
                                   add_names=False) is not None]
        if learned:
            raise ValueError("%s.cost depends on the shared variable %s, which is none of the model's parameters, so "
                             "that no update changes it; expected a Parameter in the `parameters` of a model of your "
                             "own, or, if it isn't to be learned, theano.gradient.disconnected_grad(%s) in the cost"
                             % (type(self.objective).__name__, *[learned[0]] * 2))
        return cost, counts


class TrainingStep(Step):
    """The compiled `ae_batch` of one formulation, called with batches of rows.

    Parameters
    ----------
    model, formulation, channels, objective
        As `Step` takes them.
    update : callable
        With the signature of `lasagne.updates.sgd`.
    learning_rate : float
        ValueError for one at which plain SGD's weight decay turns a parameter around.

    Attributes
    ----------
    pending : PendingDecay or None
        The decay that waits between calls, within `deferred`.

    Notes
    -----
    docs/develop/pass.md tells which steps are one Op, and docs/explanation/decay.md which rows they write. Plain SGD's
    decay waits within ``with step.deferred():``, and is written at its end; else at the end of each call.
    """

    def __init__(self, model, formulation, update, learning_rate, channels=None, objective=Observed()):
        super().__init__(model, formulation, channels, objective)
        self._update, self._is_sgd = update, optimiser_of(update) is lasagne.updates.sgd
        self.learning_rate = theano.shared(self._checked(learning_rate), name="learning_rate")
        self._deferred = False
        is_sparse, rates = self.formulation.name == "sparse", (self.learning_rate, self.decay_share)
        with model.building():
            batch, found = self.formulation.inputs(self.channels, model.dtype), None
            one_pass = self.own.one_pass() if is_sparse and objective.squares_only else None
            self._op = one_pass and find_op(update, one_pass)
            if self._op is not None:
                # A GPU's kernels get them from the host.
                self._l2 = [theano.shared(np.asarray(each.decay, model.dtype), target="cpu")
                            for each in (one_pass.W, one_pass.V)]
                found = compile_one_pass(self._op, one_pass, batch, *rates, self._l2)
            if found is None:
                data_loss, counts = self.terms(batch)
                if is_sparse and self._is_sgd:
                    found = sgd_by_products(self.own, batch.present, data_loss, *rates)
            if found is None:
                found = self.own.ae_batch(batch.present, data_loss, update, *rates, counts), None
        self.function, self.pending = found
        # In the same order from whatever graph: single numbers last, which Theano meets here or there.
        others = self.own.params + ([] if self.pending is None else [self.pending.variable])
        self.kept = sorted((x.variable for x in self.function.maker.expanded_inputs
                            if x.update is not None and x.variable not in others),
                           key=lambda x: not getattr(x, "ndim", 1))  # a plain random generator has none

    def set_decays(self):
        if self._op is None or self.own is not self.model:
            return super().set_decays()
        one_pass = self.model.one_pass()
        if one_pass is None or find_op(self._update, one_pass) != self._op:
            return False
        for variable, each in zip(self._l2, (one_pass.W, one_pass.V)):
            variable.set_value(np.asarray(each.decay, self.model.dtype))
        return True

    def begin_anew(self):
        if self._op is None:
            return False
        for each in self.kept:  # the state of an Op
            set_value(each, np.zeros_like(each.get_value(borrow=True)))
        return True

    def set_learning_rate(self, rate):
        """Set the rate; ValueError for one that can't be taken."""
        self.learning_rate.set_value(self._checked(rate))

    def _checked(self, rate):
        decay = 2 * rate * max(each.decay for each in self.model.parameters)
        if self._is_sgd and decay >= 1:
            raise ValueError("2 * learning_rate * l2 is %g: one step of weight decay would turn W or V around; it must "
                             "be below 1: lower the learning rate or l2" % decay)
        with np.errstate(over="ignore"):
            value = np.asarray(rate, self.model.dtype)
        if not np.isfinite(value):
            raise ValueError("the learning rate is %g, which isn't a finite %s; expected far less"
                             % (rate, self.model.dtype))
        return value

    def __call__(self, batch):
        if not self._deferred:
            with self.deferred():
                return self(batch)
        batch = self.model.ranks.own_part(batch)
        loss, data_loss = self.function(*self.formulation.pack(batch, self.own))
        if self.pending is not None:
            self.pending.limit()
        return float(loss), float(data_loss)

    @contextlib.contextmanager
    def deferred(self):
        """A context in which the decay of untouched rows may be pending; W and V are exact again when it ends, and
        whole on all ranks."""
        self.model.ranks.divide(self.model, self.own)
        self.lay_out()
        if self.pending is not None:
            self.pending.begin()
        self._deferred = True
        try:
            yield self
        finally:
            self._deferred = False
            if self.pending is not None:
                self.pending.write()
        self.model.ranks.gather(self.own, self.model)


def has_learning_rate(update):
    """Whether an update takes a learning rate: classes of steps have none."""
    return not isinstance(optimiser_of(update), type)


def make_step(model, formulation, update, learning_rate, channels=None, objective=Observed()):
    """Compile the `Step` of an update; `channels` and `objective` are as `Step` takes them."""
    if has_learning_rate(update):
        return TrainingStep(model, formulation, update, learning_rate, channels, objective)
    return update(model, formulation, channels, objective)


def _decays_of(model):
    return [each.decay for each in model.parameters]


def copy_of(variable):
    """Copy a shared variable's value, where it is; the state of a random generator as an array."""
    return as_array(variable.get_value(borrow=False, return_internal_type=True))


def set_value(variable, value):
    """Copy a value to a shared variable, in the memory order of the old one: on a GPU it would be in C order."""
    old = variable.get_value(borrow=True, return_internal_type=True)
    variable.set_value(value, borrow=False)
    if np.ndim(value) == 2 and old.flags["F_CONTIGUOUS"]:
        item_major(variable)


def as_array(value):
    """The value itself; of a RandomState, its state as 628 uint32."""
    if not isinstance(value, np.random.RandomState):
        return value
    _, keys, position, has_gauss, gauss = value.get_state()
    return np.concatenate([keys, np.array([position, has_gauss], "uint32"), np.array([gauss]).view("uint32")])


def value_from(state, variable):
    """A variable's value from a copy of it, or the RandomState of an array of `as_array`; ValueError for no valid
    state."""
    if not isinstance(variable.get_value(borrow=True), np.random.RandomState):
        return state
    keys, (position, has_gauss), gauss = state[:624].tolist(), state[624:626].tolist(), state[626:].copy()
    return generator_from("MT19937", keys, position, has_gauss, gauss.view("float64")[0])


def check_arrays(state, like, finite):
    """Raise ValueError where arrays by name have other names, shapes or dtypes than `like`, or aren't finite."""
    for name, array in state.items():
        if name not in like:
            raise ValueError("it holds an array %r" % name)
        shape, dtype = like[name].shape, like[name].dtype
        if array.shape != shape or array.dtype != dtype:
            raise ValueError("%s is of shape %r and dtype %s; expected %r and %s"
                             % (name, array.shape, array.dtype, shape, dtype))
        if name in finite and not np.isfinite(array).all():
            raise ValueError("%s holds NaN or infinite values" % name)
    for name in like:
        if name not in state:
            raise ValueError("there is no array %r" % name)
