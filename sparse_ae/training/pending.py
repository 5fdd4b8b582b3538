"""Weight decay that plain SGD keeps as a factor of W and of V, and its step for any graph that reads both by products
with sparse rows: docs/explanation/decay.md."""
import numpy as np

from sparse_ae.ops.compiled import updating
from sparse_ae.ops.csr import CsrDot, SampledDot
from sparse_ae.ops.rows import RowsStep, rows_in_use
from sparse_ae.ops.rules import SGD, Decayed
from sparse_ae.runtime.device import on_gpu
import lasagne
import theano
import theano.tensor as T
from theano import gof


class PendingDecay:
    """The weight decay that plain SGD hasn't written into W and V yet, which are stale from `begin` to `write`: a
    variable of a vector as `ops.rules.Decayed` has it."""

    LEAST = 1e-3  # steps are scaled by 1 / factor: it must not get too small for the dtype

    def __init__(self, parameters):
        self._parameters = parameters
        self.variable = theano.shared(np.ones(4), name="pending", target="cpu")

    def begin(self):
        """Let decay wait from now on."""
        values = (p.get_value(borrow=True) for p in self._parameters)
        norms = [np.einsum("ij,ij->", x, x, dtype="float64") for x in values]
        self.variable.set_value(np.concatenate(Decayed([1.0, 1.0], norms)))

    def limit(self):
        """Write it if it has grown large; after each step."""
        if Decayed.of(self.variable.get_value(borrow=True)).c.min() < self.LEAST:
            self.write()

    def write(self):
        """Write it into the parameters."""
        pending = self.variable.get_value(borrow=True)
        c = Decayed.of(pending).c
        for i in np.flatnonzero(c != 1):
            value = self._parameters[i].get_value(borrow=True)
            value *= value.dtype.type(c[i])
            self._parameters[i].set_value(value, borrow=True)
        c[:] = 1  # a view of `pending`
        self.variable.set_value(pending, borrow=True)


def sgd_by_products(model, inputs, data_loss, rate, decay_share):
    """Compile `ae_batch` by plain SGD that writes the rows in use: the function, and its `PendingDecay`; None where no
    decay may wait, or where the data term reads W or V otherwise than by products with sparse rows."""
    matrices = [each for each in model.parameters if each.variable.ndim == 2 and each.trainable]
    decaying = [each for each in model.parameters if each.decay]
    if (on_gpu() or not model.decay_may_wait or len(matrices) != 2 or not decaying
            or any(each not in matrices for each in decaying)):
        return None
    pending = PendingDecay([each.variable for each in matrices])
    before = Decayed.of(pending.variable)
    data_loss = _scaled(data_loss, {each.variable: T.cast(before.c[i], model.dtype) for i, each in enumerate(matrices)})
    if data_loss is None:
        return None
    l2 = decay_share.astype("float64") * np.array([each.decay for each in matrices])
    factors = before.next_factors(rate.astype("float64"), l2)
    steps, growths, updates = T.cast(rate / (before.c * factors), model.dtype), [], []
    for i, each in enumerate(matrices):
        gradient = rows_in_use(T.grad(data_loss, each.variable))
        new, growth = gradient.step(RowsStep(SGD, growth=True), [each.variable], steps[i])
        growths.append(growth)
        updates.append((each.variable, new))
    updates.append((pending.variable, T.concatenate(before.after(factors, T.stack(growths)))))
    others = [each.variable for each in model.parameters if each.trainable and each not in matrices]
    updates += lasagne.updates.sgd(data_loss, others, rate).items()
    return updating(inputs, [data_loss + T.sum(l2 * before.norms), data_loss], updates, name="ae_batch"), pending


def _scaled(graph, factors):
    """A graph with matrices times these factors; None where other than products with sparse rows read them."""
    def factor_of(x):
        while x.owner is not None and isinstance(x.owner.op, T.DimShuffle):
            x = x.owner.inputs[0]
        return factors.get(x)

    made = {}
    for node in gof.graph.io_toposort(gof.graph.inputs([graph]), [graph]):
        found = [factor for factor in map(factor_of, node.inputs) if factor is not None]
        new = node.clone_with_new_inputs([made.get(x, x) for x in node.inputs]).outputs
        if isinstance(node.op, (CsrDot, SampledDot)) and len(found) == 1 and factor_of(node.inputs[-1]) is found[0]:
            new = [new[0] * found[0]]
        elif found and not isinstance(node.op, (T.DimShuffle, theano.compile.ops.Shape)):
            return None
        made.update(zip(node.outputs, new))
    return made[graph]
