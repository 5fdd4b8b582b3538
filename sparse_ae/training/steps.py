"""A step of an optimiser on a mini-batch: `Step` is the protocol that every driver keeps, `TrainingStep` the post's
`ae_batch` for any update of Lasagne's form; for those of `ONE_PASS`, on sparse rows, one Op does the same."""
import contextlib
import functools
from collections import OrderedDict
from typing import Callable, NamedTuple

import numpy as np

from sparse_ae.checks import generator_from
from sparse_ae.ops import AdagradStep, AdamStep, SGDStep, SparseAdamStep, item_major
from sparse_ae.ops.compiled import updating
from sparse_ae.ops.once import updated_by
from sparse_ae.runtime.device import on_gpu
from sparse_ae.training.formulations import get_formulation
from sparse_ae.training.objectives import Observed
from sparse_ae.training.pending import PendingDecay, sgd_by_products
from sparse_ae.updates import sparse_adam
import lasagne
import theano
import theano.tensor as T

__all__ = ["Step", "TrainingStep"]


class OnePassUpdate(NamedTuple):
    """An update that one Op does for those `OnePass` that it `serves`."""

    function: Callable
    op: Callable
    serves: Callable

    @property
    def kept(self):
        """The number of arrays that the Op keeps for each parameter."""
        return len(self.op.rule.state)

    def settings_of(self, update):
        """The settings of an update that is this one, partial or not; None for another, or arguments no Op takes."""
        rule, given = self.op.rule, {}
        if isinstance(update, functools.partial) and not update.args:
            update, given = update.func, update.keywords
        if update is not self.function:
            return None
        try:
            return dict(zip(rule.settings, rule.checked(given)))
        except (TypeError, ValueError):  # Lasagne's graph takes more: expressions, an infinite epsilon
            return None


def _moves_rows_in_use(one):
    return one.l2_weighted or not any(each.decay for each in one.parameters)


#: Plain SGD with one decay for all rows, which waits for rows without a rating.
SGD = OnePassUpdate(lasagne.updates.sgd, SGDStep, lambda one: len(one.parameters) == 4 and not one.l2_weighted)
#: The updates that one Op does. Adagrad and sparse Adam move only the rows in use: exact without decay, or per rating.
ONE_PASS = [
    SGD,
    OnePassUpdate(lasagne.updates.adagrad, AdagradStep, _moves_rows_in_use),
    OnePassUpdate(sparse_adam, SparseAdamStep, lambda one: _moves_rows_in_use(one) and not on_gpu()),
    OnePassUpdate(lasagne.updates.adam, AdamStep, lambda one: not on_gpu()),
]


def find_one_pass(update, model, objective):
    """The row of `ONE_PASS` for an update, its settings, and the model's `OnePass`; None where there is no such Op."""
    one_pass = model.one_pass() if objective.squares_only else None
    for row in ONE_PASS if one_pass is not None else []:
        settings = row.settings_of(update)
        if settings is not None and row.serves(one_pass):
            return row, settings, one_pass
    return None


def one_pass_step(batch, row, settings, one_pass, rate, decay_share):
    """Compile `ae_batch` for sparse rows by one Op; return it, and a `PendingDecay` or None."""
    parameters, further = one_pass.parameters, []
    pending = None if row.kept else PendingDecay([each.variable for each in parameters[:2]])
    changed = [(each.variable, each.item_major) for each in parameters]
    changed += [(_zeros_like(*each), each[1]) for each in changed for _ in range(row.kept)]
    changed += [] if pending is None else [(pending.variable, False)]
    variables = [variable for variable, _ in changed]

    def transposed(arrays):
        """V, U and their running averages as transposes, as the Ops take them."""
        return [x.T if is_encoder else x for x, (_, is_encoder) in zip(arrays, changed)]

    if "beta1" in settings:
        t_before = theano.shared(np.asarray(0, rate.dtype))
        t = t_before + 1
        rate, further = rate * T.sqrt(1 - settings["beta2"] ** t) / (1 - settings["beta1"] ** t), [(t_before, t)]
    if row.op is AdamStep:
        settings = dict(settings, weighted=one_pass.l2_weighted)
    l2_W, l2_V = (each.decay * (1 if one_pass.l2_weighted else decay_share) for each in parameters[:2])
    channels = [x for x in (batch.wanted, batch.indicator) if x is not None]
    *new, squared_error, loss = row.op(*one_pass.op_settings, **settings)(
        *transposed(variables), *batch[:3], rate, l2_W, l2_V, *channels)
    # A parameter without broadcastable axes has none in its update, whatever the shape.
    updates = [(x, T.patternbroadcast(value, x.broadcastable)) for x, value in zip(variables, transposed(new))]
    return updating(batch.present, [loss, squared_error], updates + further, name="ae_batch"), pending


def _zeros_like(parameter, is_encoder):
    """A variable for an update's running average of a parameter, in its memory order."""
    value = np.zeros_like(parameter.get_value(borrow=True))
    variable = theano.shared(value, broadcastable=parameter.broadcastable)
    if is_encoder:
        item_major(variable)
    return variable


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
    made_of = None  # all that a Trainer had it compiled of

    def __init__(self, model, formulation, channels=None, objective=Observed()):
        names = [each.name for each in model.parameters]
        if len(set(names)) < len(names):
            raise ValueError("the model's parameters are named %s; expected a name for each, by which states and files "
                             "have them" % ", ".join(map(str, names)))
        self.model, self.formulation = model, get_formulation(formulation, model, objective)
        self.own, self.objective = model.divided(), objective
        self.channels = model.channels if channels is None else tuple(channels)
        self.decay_share = theano.shared(np.asarray(1, model.dtype), name="decay_share")

    def __call__(self, batch):
        """Take a `Batch` of CSR arrays; return the cost and the part that is no weight decay, both before the step,
        of a rank's own columns."""
        raise NotImplementedError

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
                variable.set_value(value_from(state[name], variable), borrow=False)

    @property
    def _variables(self):
        return OrderedDict([(each.name, each.variable) for each in self.model.parameters]
                           + [(self.model.ranks.own_name("update_%d" % i), x) for i, x in enumerate(self.kept)])

    def ruined(self):
        """The names of the parameters that are no longer finite."""
        with np.errstate(all="ignore"):
            return [each.name for each in self.model.parameters
                    if not np.isfinite(each.variable.get_value(borrow=True).sum())]

    def graph(self):
        """A symbolic `Batch`, the data term of its cost, and with `l2_weighted` each column's number of ratings."""
        batch = self.formulation.inputs(self.channels, self.model.dtype)
        squared_error = self.objective.cost(self.own, self.formulation, batch)
        return batch, squared_error, self.formulation.item_counts(self.own, batch) if self.own.l2_weighted else None


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
    On sparse rows plain SGD works in place on the rows in use, and keeps the decay of all others as one factor for W
    and one for V: a call writes it into both, within ``with step.deferred():`` it is written once, at the end. Adagrad
    and sparse Adam work in place, too, where the decay is `l2_weighted` or 0. Adam is one Op, which passes over all
    rows; for other updates gradients are arrays.
    """

    def __init__(self, model, formulation, update, learning_rate, channels=None, objective=Observed()):
        super().__init__(model, formulation, channels, objective)
        self._update = update
        self.learning_rate = theano.shared(self._checked(learning_rate), name="learning_rate")
        self._deferred, self.pending = False, None
        found = find_one_pass(update, self.own, objective) if self.formulation.name == "sparse" else None
        with model.building():
            if found is not None:
                batch = self.formulation.inputs(self.channels, model.dtype)
                self.function, self.pending = one_pass_step(batch, *found, self.learning_rate, self.decay_share)
            else:
                batch, squared_error, counts = self.graph()
                if SGD.settings_of(update) is not None and self.formulation.name == "sparse":
                    self.function, self.pending = sgd_by_products(self.own, batch.present, squared_error,
                                                                  self.learning_rate, self.decay_share)
                if self.pending is None:
                    self.function = self.own.ae_batch(batch.present, squared_error, update, self.learning_rate,
                                                      self.decay_share, counts)
        # In the same order from whatever graph: single numbers last, which Theano meets here or there.
        pending = [] if self.pending is None else [self.pending.variable]
        self.kept = sorted((x for x in updated_by(self.function) if x not in self.own.params + pending),
                           key=lambda x: not getattr(x, "ndim", 1))  # a plain random generator has none

    def set_learning_rate(self, rate):
        """Set the rate; ValueError for one that can't be taken."""
        self.learning_rate.set_value(self._checked(rate))

    def _checked(self, rate):
        decay = 2 * rate * max(each.decay for each in self.model.parameters)
        if SGD.settings_of(self._update) is not None and decay >= 1:
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
        loss, squared_error = self.function(*self.formulation.pack(batch, self.own))
        if self.pending is not None:
            self.pending.limit()
        return float(loss), float(squared_error)

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


def copy_of(variable):
    """Copy a shared variable's value, where it is; the state of a random generator as an array."""
    return as_array(variable.get_value(borrow=False, return_internal_type=True))


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
