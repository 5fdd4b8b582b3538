"""A step of an optimiser on a mini-batch of rows, which the trainer drives.

`Step` is the protocol, which every driver keeps to: the trainer asks a step, and never which one it is. `TrainingStep`
is the post's compiled `ae_batch` under any update of Lasagne's form; `lbfgs.LBFGS` is another.
"""
import contextlib
import functools
from collections import OrderedDict

import numpy as np

from sparse_ae.ops import item_major
from sparse_ae.ops.compiled import compile_update
from sparse_ae.runtime.device import is_on_host
from sparse_ae.training.formulations import get_formulation
from sparse_ae.training.fused import SGD, NothingPending, find, fused_step
from sparse_ae.training.objectives import Observed
import theano
import theano.tensor as T

__all__ = ["Step", "TrainingStep"]


class Step:
    """One step of an optimiser; called with batches of rows, which aren't checked but for their indices.

    Parameters
    ----------
    model : AutoEncoder
    formulation : {"scan", "dense", "sparse"}
    channels : iterable of {"target", "indicator"}, optional
        What the batches bring beside the ratings; by default what the model's encoders read.
    objective : Objective

    Attributes
    ----------
    model : AutoEncoder
    formulation : Formulation
    decay_share : Theano shared variable
        The part of the weight decay that falls to a mini-batch, 1 at first; it may be set between calls.
    learning_rate : Theano shared variable, or None where the optimiser has none
    function : theano.compile.Function
        The compiled graph that a call runs.
    needs_all_rows : bool
        Whether the optimiser needs the gradient of all ratings at once.
    """

    learning_rate, needs_all_rows = None, False

    def __init__(self, model, formulation, channels=None, objective=Observed()):
        self.model, self.formulation = model, get_formulation(formulation, model, objective)
        self.objective = objective
        self.channels = model.channels if channels is None else tuple(channels)
        self.decay_share = theano.shared(np.asarray(1, model.dtype), name="decay_share")

    def __call__(self, batch):
        """One step on a `Batch` of CSR arrays, of (n_rows, n_items).

        Returns
        -------
        loss, squared_error : float
            The cost of the block, and the part of it that is no weight decay, both before the step.
        """
        raise NotImplementedError

    def deferred(self):
        """A context in which work may be pending from call to call; all is done when it ends."""
        return contextlib.nullcontext(self)

    def set_learning_rate(self, rate):
        """The learning rate of the steps from now on; ValueError for one that can't be taken.

        It isn't called where the optimiser has none.
        """
        raise NotImplementedError

    def get_state(self):
        """Copies of all that a step changes, as arrays by name: the parameters, then what the optimiser keeps.

        Of what is on a GPU the copies are there, too: `np.asarray` fetches one.
        """
        raise NotImplementedError

    def get_parameters(self):
        """As `get_state`, of the parameters alone."""
        return OrderedDict((p.name, copy_of(p)) for p in self.model.params)

    def lay_out(self):
        """Bring V into the memory order that a step works fastest in; somebody may have set it."""
        for each in self.model.parameters:
            if each.item_major:
                item_major(each.variable)

    def check_state(self, state):
        """Validate a loaded state: ValueError unless names, shapes and dtypes are those of `get_state`."""
        raise NotImplementedError

    def set_state(self, state):
        """Takes what `get_state` gave, or `get_parameters`: what the optimiser keeps stays as it is then."""
        raise NotImplementedError

    def ruined(self):
        """The names of the parameters that are no longer finite."""
        with np.errstate(all="ignore"):
            return [p.name for p, total in zip(self.model.params, self._sums()) if not np.isfinite(total)]

    @functools.cached_property
    def _sums(self):
        params = self.model.params
        if all(map(is_on_host, params)):
            return lambda: [p.get_value(borrow=True).sum() for p in params]
        return theano.function([], [T.sum(p) for p in params])

    def graph(self):
        """A symbolic `Batch`, its cost, and the part of the cost that is no weight decay."""
        batch = self.formulation.inputs(self.channels, self.model.dtype)
        squared_error = self.formulation.cost(self.model, batch, self.objective)
        item_counts = self.formulation.item_counts(self.model, batch) if self.model.l2_weighted else None
        return batch, squared_error + self.model.decay(self.decay_share, item_counts), squared_error


class TrainingStep(Step):
    """The compiled `ae_batch` of one formulation, called with batches of rows.

    Parameters
    ----------
    model : AutoEncoder
    formulation : {"scan", "dense", "sparse"}
    update : callable
        Of the signature of `lasagne.updates.sgd`.
    learning_rate : float
    channels : iterable of {"target", "indicator"}, optional
        As `Step` takes it.

    Attributes
    ----------
    kept : list of Theano shared variables
        Those of the optimiser, in the order in which the state has them: "update_0", "update_1", ...
    pending : PendingDecay or NothingPending
        What waits between calls, within `deferred`.

    Raises
    ------
    ValueError
        For an unknown formulation, and for a rate at which plain SGD's weight decay turns a parameter around.

    Notes
    -----
    The sparse formulation under plain SGD works in place on the rows of the columns in the batch, and keeps the weight
    decay of all others as one factor for W and one for V. A call writes that decay into W and V before it returns,
    which costs as much as reading both; within ``with step.deferred():`` it is written once, at the end. Under Adagrad
    it works in place on these rows too, where the decay is `l2_weighted` or 0: no other row has a gradient. Adam is one
    Op on a CPU, `ops.AdamStep`, which passes over all rows; on a GPU, and for other updates, gradients are arrays.
    """

    def __init__(self, model, formulation, update, learning_rate, channels=None, objective=Observed()):
        super().__init__(model, formulation, channels, objective)
        self._update = update
        self.learning_rate = theano.shared(self._checked(learning_rate), name="learning_rate")
        self._deferred = False
        with model.building():
            self.function, self.pending = self._compiled()
        changed = [x.variable for x in self.function.maker.expanded_inputs if x.update is not None]
        # In the same order from whatever graph: single numbers last, which Theano meets here or there.
        self.kept = sorted((x for x in changed if x not in model.params + self.pending.variables),
                           key=lambda x: not x.ndim)

    def _compiled(self):
        fused = find(self._update, self.model, self.objective) if self.formulation.name == "sparse" else None
        if fused is not None:
            batch = self.formulation.inputs(self.channels, self.model.dtype)
            return fused_step(self.model, batch, *fused, self.learning_rate, self.decay_share)
        batch, loss, squared_error = self.graph()
        function = compile_update(self.model, batch.present, loss, squared_error, self._update, self.learning_rate)
        return function, NothingPending()

    def set_learning_rate(self, rate):
        self.learning_rate.set_value(self._checked(rate))

    def _checked(self, rate):
        decay = 2 * rate * max(each.decay for each in self.model.parameters)
        if SGD.settings_of(self._update) is not None and decay >= 1:
            raise ValueError("2 * learning_rate * l2 is %g: one step of weight decay would turn W or V around; it must "
                             "be below 1: lower the learning rate or l2" % decay)
        with np.errstate(over="ignore"):
            value = np.asarray(rate, self.model.dtype)
        if not np.isfinite(value):
            raise ValueError("the learning rate is %g, which is no finite %s; expected far less"
                             % (rate, self.model.dtype))
        return value

    def __call__(self, batch):
        if not self._deferred:
            with self.deferred():
                return self(batch)
        loss, squared_error = self.function(*self.formulation.pack(batch, self.model))
        self.pending.limit()
        return float(loss), float(squared_error)

    @contextlib.contextmanager
    def deferred(self):
        """A context in which the decay of untouched rows may be pending; W and V are exact again when it ends."""
        self.lay_out()
        self.pending.begin()
        self._deferred = True
        try:
            yield self
        finally:
            self._deferred = False
            self.pending.write()

    def get_state(self):
        # What the update keeps is named update_0, update_1, ...
        return OrderedDict((name, copy_of(variable)) for name, variable in self._named_state())

    def check_state(self, state):
        check_arrays(state, {name: variable.get_value(borrow=True) for name, variable in self._named_state()},
                      finite=[p.name for p in self.model.params])

    def set_state(self, state):
        for name, variable in self._named_state():
            if name in state:
                variable.set_value(state[name], borrow=False)

    def _named_state(self):
        return ([(p.name, p) for p in self.model.params]
                + [("update_%d" % i, variable) for i, variable in enumerate(self.kept)])


def copy_of(variable):
    """Copy a shared variable's value, where it is."""
    return variable.get_value(borrow=False, return_internal_type=True)


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
