"""One function, three graphs: the post's scan, a dense masked graph, and a sparse one.

All three have the parameters, the loss, the gradients and the updates of `model.AutoEncoder`. They differ in what they cost for a batch
of B rows with nnz ratings, and in where they run:

==========  ==========================  =======================================================================
`scan`      O(B n_items k)              the post's graph; takes dense rows in which 0 means missing
`dense`     O(B n_items k), in BLAS     an explicit mask; CPU, and CUDA through Theano's gpuarray backend as it is
`sparse`    O(nnz k)                    the Ops of `ops.py`; CPU
==========  ==========================  =======================================================================

A formulation is pure pieces: symbolic inputs, the squared error as a graph of them, `pack`, which turns a CSR block of rows into the
arrays that the compiled function takes, and `check`, which raises for ratings that it can't take. A stored 0 is an observed rating for
`dense` and `sparse`; `scan` refuses it.
"""
import contextlib
from collections import OrderedDict, namedtuple

from sparse_ae import theano_compat  # noqa: F401  (before theano)
import lasagne
import numpy as np
import scipy.sparse as sp
import theano
import theano.tensor as T

from sparse_ae.data.batches import dense_rows, refuse_stored_zeros
from sparse_ae.ops import SGDStep, SquaredError, add_csr_t_dot, csr_arrays, csr_dot, item_major, sampled_dot

__all__ = ["FORMULATIONS", "Formulation", "TrainingStep", "choose_formulation", "get_formulation"]

# The nonlinearities that the fused Ops know.
_FUSED = {lasagne.nonlinearities.linear: "linear", lasagne.nonlinearities.sigmoid: "sigmoid", lasagne.nonlinearities.tanh: "tanh"}

Formulation = namedtuple("Formulation", "name inputs squared_error pack check")


def _scan_inputs():
    return [T.matrix("rating")]


def _scan_squared_error(model, rating):
    scan_res = model.scan(rating)
    return T.sum((scan_res - rating) ** 2)


def _scan_pack(block):
    return dense_rows(block, dtype=theano.config.floatX),


def _dense_inputs():
    return [T.matrix("rating"), T.matrix("mask")]


def _dense_squared_error(model, rating, mask):
    # Dots with V.T and W.T rather than with transposed ratings: the gradients then come in the memory order of V and W.
    h = model.hidden_activation(T.dot(rating, model.V.T))
    error = model.output_activation(T.dot(h, model.W.T) + model.b) - rating
    # A switch, not a product: 0 times an infinite output is no 0.
    return T.sum(T.switch(mask, error, 0) ** 2)


def _dense_pack(block):
    mask = sp.csr_matrix((np.ones_like(block.data), block.indices, block.indptr), shape=block.shape)
    return tuple(x.toarray().astype(theano.config.floatX, copy=False) for x in (block, mask))


def _sparse_inputs():
    return [T.vector("data"), T.ivector("indices"), T.ivector("indptr")]


def _sparse_squared_error(model, data, indices, indptr):
    if model.f in _FUSED and model.g in _FUSED:
        error = SquaredError(_FUSED[model.f], _FUSED[model.g], *model.output_map())
        return error(model.W, model.V.T, model.mu, model.b, data, indices, indptr)[0]
    h = model.hidden_activation(csr_dot(data, indices, indptr, model.V.T))
    output = model.output_activation(sampled_dot(indices, indptr, h, model.W) + model.b[indices])
    return T.sum((output - data) ** 2)


def _sparse_pack(block):
    return csr_arrays(block, theano.config.floatX)


def _anything(ratings):
    pass


FORMULATIONS = OrderedDict((formulation.name, formulation) for formulation in [
    Formulation("scan", _scan_inputs, _scan_squared_error, _scan_pack, refuse_stored_zeros),
    Formulation("dense", _dense_inputs, _dense_squared_error, _dense_pack, _anything),
    Formulation("sparse", _sparse_inputs, _sparse_squared_error, _sparse_pack, _anything),
])

# The density of ratings from which the dense graph is the faster one on a CPU; examples/benchmark.py --density measures it.
DENSE_FROM = 0.5


def choose_formulation(density):
    """What ``formulation="auto"`` stands for: "dense" on a GPU or for ratings at least `DENSE_FROM` dense, else "sparse".

    Parameters
    ----------
    density : float
        Ratings as a fraction of the matrix.
    """
    return "dense" if _on_gpu() or density >= DENSE_FROM else "sparse"


def get_formulation(name):
    """The formulation of that name; ValueError if there is none, or it doesn't run on Theano's device."""
    if name not in FORMULATIONS:
        raise ValueError("formulation is %r; expected one of %s or 'auto'" % (name, ", ".join(map(repr, FORMULATIONS))))
    if name == "sparse" and _on_gpu():
        raise ValueError("formulation='sparse' runs on the CPU only and Theano's device is %s; use formulation='dense'"
                         % theano.config.device)
    return FORMULATIONS[name]


def _on_gpu():
    return theano.config.device != "cpu" or theano.config.init_gpu_device != ""


class TrainingStep:
    """The compiled `ae_batch` of one formulation, called with CSR blocks of rows.

    Parameters
    ----------
    model : AutoEncoder
    formulation : {"scan", "dense", "sparse"}
    update : callable
        Of the signature of `lasagne.updates.sgd`.
    learning_rate : float

    Attributes
    ----------
    learning_rate, share : Theano shared variables
        `share` is the part of the weight decay that falls to a mini-batch, 1 at first; it may be set between calls.
    state : list of Theano shared variables
        All that a step changes: the parameters, and what the update keeps for itself.

    Raises
    ------
    ValueError
        For an unknown formulation, for the sparse one on a GPU, and for a rate at which plain SGD's weight decay turns a parameter around.

    Notes
    -----
    The sparse formulation under plain SGD works in place on the rows of the items in the batch, and keeps the weight decay of all others
    as one factor for W and one for V. A call writes that decay into W and V before it returns, which costs as much as reading both;
    within ``with step.deferred():`` it is written once, at the end.
    """

    def __init__(self, model, formulation, update, learning_rate):
        self.model, self.formulation, self._update = model, get_formulation(formulation), update
        self.learning_rate = theano.shared(self._checked(learning_rate), name="learning_rate")
        self.share = theano.shared(np.asarray(1, theano.config.floatX), name="share")
        self._pending = None  # of sparse SGD: the factors and squared norms of W and V
        self._deferred = False
        inputs = self.formulation.inputs()
        if formulation == "sparse" and update is lasagne.updates.sgd:
            self._pending = theano.shared(np.ones(4), name="pending")
            self._function = _sparse_sgd(model, inputs, self.learning_rate, self.share, self._pending)
        else:
            self._function = model.ae_batch(inputs, self.formulation.squared_error(model, *inputs), update, self.learning_rate, self.share)
        self.state = [x.variable for x in self._function.maker.expanded_inputs if x.update is not None and x.variable is not self._pending]

    def set_learning_rate(self, rate):
        """The learning rate of the steps from now on; ValueError for one that can't be taken."""
        self.learning_rate.set_value(self._checked(rate))

    def _checked(self, rate):
        decay = 2 * rate * max(self.model.l2_W, self.model.l2_V)
        if self._update is lasagne.updates.sgd and decay >= 1:
            raise ValueError("2 * learning_rate * l2 is %g: one step of weight decay would turn W or V around; it must be below 1: "
                             "lower the learning rate or l2" % decay)
        with np.errstate(over="ignore"):
            value = np.asarray(rate, theano.config.floatX)
        if not np.isfinite(value):
            raise ValueError("the learning rate is %g, which is no finite %s; expected far less" % (rate, theano.config.floatX))
        return value

    def __call__(self, block):
        """One step on a CSR block of rows, (n_rows, n_items).

        Returns
        -------
        loss, squared_error : float
            The cost of the block, and the part of it that is no weight decay, both before the update.
        """
        if not self._deferred:
            with self.deferred():
                return self(block)
        loss, squared_error = self._function(*self.formulation.pack(block))
        if self._pending is not None and self._pending.get_value(borrow=True)[:2].min() < 1e-3:
            self._write_decay()  # steps are scaled by 1 / factor: it must not get too small for the dtype
        return float(loss), float(squared_error)

    @contextlib.contextmanager
    def deferred(self):
        """A context in which the decay of untouched rows may be pending; W and V are exact again when it ends."""
        item_major(self.model.V)  # somebody may have set it
        if self._pending is not None:
            norms = [np.einsum("ij,ij->", x, x, dtype="float64") for x in (p.get_value(borrow=True) for p in self.model.params[:2])]
            self._pending.set_value(np.array([1.0, 1.0] + norms))
        self._deferred = True
        try:
            yield self
        finally:
            self._deferred = False
            if self._pending is not None:
                self._write_decay()

    def get_state(self):
        """Copies of the values of `state`, by name: the parameters, then ``update_0``, ... for what the update keeps."""
        return OrderedDict((name, variable.get_value(borrow=False)) for name, variable in self._named_state())

    def set_state(self, state):
        """Takes what `get_state` gave."""
        for name, variable in self._named_state():
            variable.set_value(state[name], borrow=False)

    def _named_state(self):
        kept = [variable for variable in self.state if variable not in self.model.params]
        return [(p.name, p) for p in self.model.params] + [("update_%d" % i, variable) for i, variable in enumerate(kept)]

    def _write_decay(self):
        pending = self._pending.get_value(borrow=True)
        for i, parameter in enumerate(self.model.params[:2]):
            if pending[i] != 1:
                value = parameter.get_value(borrow=True)
                value *= value.dtype.type(pending[i])
                parameter.set_value(value, borrow=True)
                pending[i] = 1
        self._pending.set_value(pending, borrow=True)


def _sparse_sgd(model, inputs, learning_rate, share, pending):
    """`ae_batch` for sparse rows under plain SGD: the rows in use change in place, the others' decay is left in `pending`."""
    data, indices, indptr = inputs
    W, V, mu, b = model.params
    if model.f in _FUSED and model.g in _FUSED:
        step = SGDStep(_FUSED[model.f], _FUSED[model.g], *model.output_map())
        new_W, new_V_t, new_mu, new_b, new_pending, costs = step(W, V.T, mu, b, pending, data, indices, indptr, learning_rate,
                                                                 model.l2_W * share, model.l2_V * share)
        loss, squared_error = costs[1], costs[0]
    else:
        factor_W, factor_V = (T.cast(pending[i], theano.config.floatX) for i in (0, 1))
        a = csr_dot(factor_V * data, indices, indptr, V.T)
        h = model.hidden_activation(a)
        s = sampled_dot(indices, indptr, factor_W * h, W) + b[indices]
        squared_error = T.sum((model.output_activation(s) - data) ** 2)
        l2 = share.astype("float64") * np.array([model.l2_W, model.l2_V])
        loss = squared_error + T.dot(l2, pending[2:])
        d_s, d_a, d_mu = T.grad(squared_error, [s, a, mu])

        factors = pending[:2] * (1 - 2 * learning_rate.astype("float64") * l2)
        steps = T.cast(-learning_rate / factors, theano.config.floatX)
        new_W, growth_W = add_csr_t_dot(W, steps[0], d_s, indices, indptr, h)
        new_V_t, growth_V = add_csr_t_dot(V.T, steps[1], data, indices, indptr, d_a)
        new_mu = mu - learning_rate * d_mu
        new_b = T.inc_subtensor(b[indices], -learning_rate * d_s)
        squares = (pending[2:] / pending[:2] ** 2 + T.stack([growth_W, growth_V])) * factors ** 2
        new_pending = T.concatenate([factors, squares])
    updates = [(W, new_W), (V, new_V_t.T), (mu, new_mu), (b, new_b), (pending, new_pending)]
    return theano.function(inputs, [loss, squared_error], updates=updates, name="ae_batch")
