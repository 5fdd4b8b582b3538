"""A training step as one Op, for a model and an optimiser that have one: docs/develop/pass.md has a picture."""
from typing import Any, NamedTuple, Optional

import numpy as np

from sparse_ae.ops import AdagradStep, AdamStep, SGDStep, SparseAdamStep, SquaredError, item_major
from sparse_ae.ops.compiled import updating
from sparse_ae.ops.rules import ADAM
from sparse_ae.parameters import Parameter
from sparse_ae.runtime.device import on_gpu
from sparse_ae.training.pending import PendingDecay
from sparse_ae.updates import optimiser_of, sparse_adam
import lasagne
import theano
import theano.tensor as T


class OnePass(NamedTuple):
    """A model with the outputs ``low + span f(W g(V r + U s + mu) + b)``, as the Ops of `ops.fused` need it: names of f
    and g, ranks that divide its columns or None, and its parameters."""

    f: str
    g: str
    low: float
    span: float
    ranks: Any
    W: Parameter
    V: Parameter
    mu: Parameter
    b: Parameter
    U: Optional[Parameter] = None
    l2_weighted: bool = False

    @property
    def settings(self):
        """The first arguments of the Ops."""
        return self.f, self.g, self.low, self.span, self.ranks

    @property
    def parameters(self):
        """The parameters, in the order of the Ops' inputs."""
        return [self.W, self.V, self.mu, self.b] + self.encoders[1:]

    @property
    def encoders(self):
        return [self.V] if self.U is None else [self.V, self.U]

    def squared_error(self, batch, target):
        """Build the graph of the squared error of a `Batch` of CSR, for targets (nnz,)."""
        W, V_t, mu, b, *U_t = map(_by_columns, self.parameters)
        return SquaredError(*self.settings)(W, V_t, mu, b, batch.data, batch.indices, batch.indptr, target, *U_t,
                                            indicator=batch.indicator)[0]


def _by_columns(parameter):
    """A parameter as the Ops take it: V and U as transposes."""
    return parameter.variable.T if parameter.item_major else parameter.variable


def _leaves_unused_rows(one_pass):
    """Whether rows without ratings have no gradient, the decay included."""
    return one_pass.l2_weighted or not any(each.decay for each in one_pass.parameters)


#: Optimisers, their Ops, and which models these train. Plain SGD has one decay for all rows, which waits for those
#: without ratings. Adagrad and sparse Adam move the rows in use only: exact without decay, or with one per rating.
_OPS = [
    (lasagne.updates.sgd, SGDStep, lambda one_pass: one_pass.U is None and not one_pass.l2_weighted),
    (lasagne.updates.adagrad, AdagradStep, _leaves_unused_rows),
    (sparse_adam, SparseAdamStep, lambda one_pass: _leaves_unused_rows(one_pass) and not on_gpu()),
    (lasagne.updates.adam, AdamStep, lambda one_pass: not on_gpu()),
]


def find_op(update, one_pass):
    """Make the Op of an update, partial or not, that trains the model of a `OnePass`; None where there is none."""
    encoder = one_pass.U or one_pass.V
    if encoder.decay != one_pass.V.decay or one_pass.mu.decay or one_pass.b.decay:
        return None
    for function, op, trains in _OPS:
        if optimiser_of(update) is function and trains(one_pass):
            try:
                settings = dict(zip(op.rule.settings, op.rule.checked(getattr(update, "keywords", {}))))
            except (TypeError, ValueError):  # Lasagne's graph takes more: expressions, an infinite epsilon
                return None
            weighted = {"weighted": one_pass.l2_weighted} if op is AdamStep else {}
            return op(*one_pass.settings, **settings, **weighted)
    return None


def compile_one_pass(op, one_pass, batch, rate, decay_share, l2):
    """Compile `ae_batch` for sparse rows as an Op of `find_op`: the function, and its `PendingDecay` or None. `l2` are
    the decays of W and V, numbers or shared variables."""
    # The Op's state is laid out as the parameters are.
    n_kept, further = len(op.rule.state), []
    changed = one_pass.parameters + [each._replace(variable=_zeros_like(each)) for each in one_pass.parameters
                                     for _ in range(n_kept)]
    pending = None if n_kept else PendingDecay([one_pass.W.variable, one_pass.V.variable])
    if pending is not None:
        changed.append(Parameter(pending.variable, pending.variable.name))
    if op.rule is ADAM:
        beta1, beta2, _ = op.settings
        t_before = theano.shared(np.asarray(0, rate.dtype))
        t = t_before + 1
        rate, further = rate * T.sqrt(1 - beta2 ** t) / (1 - beta1 ** t), [(t_before, t)]
    l2_W, l2_V = (each * (1 if one_pass.l2_weighted else decay_share) for each in l2)
    channels = [x for x in (batch.wanted, batch.indicator) if x is not None]
    *new, squared_error, loss = op(*map(_by_columns, changed), batch.data, batch.indices, batch.indptr, rate, l2_W,
                                   l2_V, *channels)
    # A parameter without broadcastable axes has none in its update, whatever the shape.
    updates = [(each.variable, T.patternbroadcast(x.T if each.item_major else x, each.variable.broadcastable))
               for each, x in zip(changed, new)]
    return updating(batch.present, [loss, squared_error], updates + further, name="ae_batch"), pending


def _zeros_like(parameter):
    """A variable for the state of a parameter, in its memory order."""
    value = np.zeros_like(parameter.variable.get_value(borrow=True))
    variable = theano.shared(value, broadcastable=parameter.variable.broadcastable)
    if parameter.item_major:
        item_major(variable)
    return variable
