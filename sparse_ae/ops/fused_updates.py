"""Steps of optimisers on the masked autoencoder, each in one pass over the ratings.

`SGDStep` is the update of the sparse formulation under plain SGD, `AdagradStep` that under Adagrad with a decay for
each rating: compiled with optimisations, as by default, they write to the rows in use and touch no others, where Theano
finds that nobody needs the old values. `AdamStep` is Adam's update, of all rows, in place likewise.

The inputs of all three come in one order: the parameters W (n_items, k), V's transpose (n_items, k), mu (k,), b
(n_items,) and, with a second encoder, U's transpose (n_items, k); what the optimiser keeps; data, indices and indptr of
a CSR block; the rate, l2_W and l2_V; the target, or data once more; and the second encoder's input. So do their
outputs: the parameters and what is kept, updated, and two float64 scalars, the squared error and the whole cost, before
the update.
"""
import numpy as np

from sparse_ae.ops.fused import NAMES, FusedOp, check_shapes
from sparse_ae.ops.op import UpdateOp
import theano.tensor as T
from theano import gof, scalar

__all__ = ["AdagradStep", "AdamStep", "SGDStep"]


def next_factors(state, learning_rate, l2):
    """Compute the factors of W and V that `SGDStep` keeps after a step; ValueError where there are none.

    Parameters
    ----------
    state : array, (4,) of float64
    learning_rate : float
    l2 : sequence of 2 floats

    Returns
    -------
    array, (2,) of float64
    """
    if len(state) != 4:
        raise ValueError("state has %d entries; expected 4" % len(state))
    factors = state[:2] * (1 - 2 * float(learning_rate) * np.array(l2, "float64"))
    if not (factors > 0).all():
        raise ValueError("2 * learning_rate * l2 is not below 1: one step of weight decay would turn W or V around; "
                         "lower the learning rate or l2")
    return factors


def _put(outputs, updated, squared_error, cost):
    """Give the outputs of a step their values."""
    for output, value in zip(outputs, updated + [np.asarray(x, "float64") for x in (squared_error, cost)]):
        output[0] = value


class SGDStep(FusedOp, UpdateOp):
    """One step of SGD on the masked autoencoder with L2 on all of W and V, in one pass over the ratings.

    The cost is that of `SquaredError` plus ``l2_W |W|^2 + l2_V |V|^2``.

    The weight decay of the rows that no rating touches is kept as a factor: the W and V of the cost are ``c_W W`` and
    ``c_V V``. A step multiplies the factors by ``1 - 2 learning_rate l2`` and moves the rows in use by their gradient
    over the factor. This is exact: L. Bottou, Stochastic Gradient Descent Tricks, 2012, section 5.1. Whoever calls it
    multiplies a factor in before it gets small.

    Parameters
    ----------
    f, g, low, span, ranks : as in `SquaredError`

    Notes
    -----
    Kept is a state (4,) float64: c_W, c_V and the squared norms of ``c_W W`` and ``c_V V``. The rate is the learning
    rate. There is no second encoder.
    """

    __props__ = ("f", "g", "low", "span", "apart", "inplace")
    params_type = FusedOp.params_type.extended(inplace=scalar.bool)
    updated = {i: i for i in range(5)}

    def __init__(self, f, g, low=0.0, span=1.0, ranks=None, inplace=False):
        self.set_function(f, g, low, span, ranks)
        self.set_inplace(inplace)

    def in_place(self):
        return type(self)(self.f, self.g, self.low, self.span, self.ranks, inplace=True)

    def make_node(self, W, V_t, mu, b, state, data, indices, indptr, learning_rate, l2_W, l2_V, target=None):
        parameters, block, target = self.tensors(W, V_t, mu, b, data, indices, indptr, target)
        state = T.as_tensor_variable(state)
        if state.ndim != 1 or state.dtype != "float64":
            raise TypeError("state is a %d-d tensor of %s; expected a vector of float64" % (state.ndim, state.dtype))
        rates = self.scalars(learning_rate=learning_rate, l2_W=l2_W, l2_V=l2_V)
        return gof.Apply(self, parameters + [state] + block + rates + [target],
                         [x.type() for x in parameters + [state]] + [T.dscalar(), T.dscalar()])

    def perform(self, node, inputs, outputs, params=None):
        data, indices, indptr, learning_rate, l2_W, l2_V, target = inputs[5:]
        c_W, c_V = inputs[4][:2]
        squared_error, used, gradients = self.pass_through(*inputs[:4] + [data, indices, indptr, target],
                                                           c_W=c_W, c_V=c_V)
        lr, l2 = float(learning_rate), np.array([l2_W, l2_V], "float64")
        factors = next_factors(inputs[4], lr, l2)
        W, V_t, mu, b, state = updated = self.targets(inputs)
        cost = squared_error + l2.dot(state[2:])
        for i, M in enumerate((W, V_t)):
            old = M[used]
            new = old - (lr / factors[i] * gradients[i]).astype(M.dtype)
            growth = (new.astype("float64") ** 2).sum() - (old.astype("float64") ** 2).sum()
            state[2 + i] = (state[2 + i] / state[i] ** 2 + growth) * factors[i] ** 2
            state[i] = factors[i]
            M[used] = new
        mu -= mu.dtype.type(lr) * gradients[2]
        b[used] -= b.dtype.type(lr) * gradients[3]
        _put(outputs, updated, squared_error, cost)

    def c_code(self, node, name, inputs, outputs, sub):
        return self.c_fused_call("sgd_step_op<%s>", node, name, inputs, outputs, sub, ["inplace"])

    def infer_shape(self, node, shapes):
        return shapes[:5] + [(), ()]


class _StepOfAll(FusedOp, UpdateOp):
    """A step that keeps arrays of each parameter's shape. A node's inputs say whether there is a second encoder."""

    kept = ()  # what each of these is, of a parameter
    misfit = ""  # what is said of one whose shape is another
    rate = "learning_rate"

    def set_updated(self, n, inplace):
        """`n`, the number of parameters, is set when a node is made."""
        self.n = n
        self.updated = {i: i for i in range(n * (1 + len(self.kept)))}
        self.set_inplace(inplace)

    def in_place(self):
        return self.with_n(self.n, True)

    def make_node(self, *inputs):
        counts = {7 + 4 * (1 + len(self.kept)): 4, 8 + 5 * (1 + len(self.kept)): 5}
        if len(inputs) not in counts:
            raise TypeError("there are %d inputs; expected %d, or %d with a second encoder: the parameters, the %s of "
                            "each, data, indices, indptr, %s, l2_W, l2_V, target, and indicator"
                            % (len(inputs), *counts, " and the ".join(self.kept), self.rate))
        n = counts[len(inputs)]
        n_updated = n * (1 + len(self.kept))
        names = ["the %s of %s" % (kind, name) for name in NAMES[:n] for kind in self.kept]
        ndims = [ndim for ndim in [2, 2, 1, 1, 2][:n] for _ in self.kept]
        kept = dict(zip(names, zip(inputs[n:n_updated], ndims)))
        data, indices, indptr, rate, l2_W, l2_V, target, *indicator = inputs[n_updated:]
        second = dict(U_t=(inputs[4], 2), indicator=(indicator[0], 1)) if indicator else {}
        tensors, block, target = self.tensors(*inputs[:4], data, indices, indptr, None if target is data else target,
                                              **kept, **second)
        second = tensors[4 + len(kept):]
        updated = tensors[:4] + second[:1] + tensors[4:4 + len(kept)]
        # Which inputs a node of this Op destroys is for the Op to say, not for the node.
        op = self if self.n == n else self.with_n(n, self.inplace)
        rates = self.scalars(**{self.rate: rate, "l2_W": l2_W, "l2_V": l2_V})
        return gof.Apply(op, updated + block + rates + [target] + second[1:],
                         [x.type() for x in updated] + [T.dscalar(), T.dscalar()])

    def passed_through(self, inputs):
        """Run `pass_through`; give the parameters, the block's indices, the rates, and its results."""
        n, n_updated = self.n, len(self.updated)
        parameters, kept = inputs[:n], list(zip(*[iter(inputs[n:n_updated])] * len(self.kept)))
        check_shapes([x.shape for x in parameters])
        for name, x, arrays in zip(NAMES, parameters, kept):
            if any(array.shape != x.shape for array in arrays):
                raise ValueError(self.misfit % name)
        data, indices, indptr, rate, l2_W, l2_V, target = inputs[n_updated:n_updated + 7]
        second = [parameters[4], inputs[-1]] if n == 5 else []
        result = self.pass_through(*parameters[:4] + [data, indices, indptr, target] + second)
        return (parameters, indices, (rate, l2_W, l2_V)) + result

    def infer_shape(self, node, shapes):
        return shapes[:len(self.updated)] + [(), ()]


class AdagradStep(_StepOfAll):
    """One step of Adagrad on the masked autoencoder with a decay for each rating, on the rows in use alone.

    The cost is that of `SquaredError` plus ``sum_j n_j (l2_W |W_j|^2 + l2_V |V_j|^2)``, for n_j ratings of column j in
    the block: each rating pulls at its column's rows once, as in weighted-lambda regularisation. Over an epoch that is
    the decay of a fixed cost, and in a step the rows without ratings have no gradient, so that Adagrad leaves them and
    their sums of squares as they are: what the step costs follows the ratings, and is `lasagne.updates.adagrad` on that
    cost, exactly.

    Parameters
    ----------
    f, g, low, span, ranks : as in `SquaredError`
    epsilon : float
        Added to the sums of squares under the root, as in `lasagne.updates.adagrad`; above 0.
    n : int
        How many parameters a node has. Set when it is made.

    Notes
    -----
    Kept of each parameter is the sum of its squared gradients; the rate is the learning rate. U's decay is l2_V.
    """

    __props__ = ("f", "g", "low", "span", "apart", "epsilon", "inplace", "n")
    params_type = FusedOp.params_type.extended(inplace=scalar.bool, epsilon=scalar.float64)
    kept = ("sum of squared gradients",)
    misfit = "the sum of squared gradients of %s is not of its shape"

    def __init__(self, f, g, low=0.0, span=1.0, ranks=None, epsilon=1e-6, inplace=False, n=4):
        self.set_function(f, g, low, span, ranks)
        if not 0 < epsilon < np.inf:
            raise ValueError("epsilon is %r; it must be above 0, and finite" % (epsilon,))
        self.epsilon = float(epsilon)
        self.set_updated(n, inplace)

    def with_n(self, n, inplace):
        return type(self)(self.f, self.g, self.low, self.span, self.ranks, self.epsilon, inplace, n)

    def perform(self, node, inputs, outputs, params=None):
        n = self.n
        parameters, indices, (rate, l2_W, l2_V), squared_error, used, gradients = self.passed_through(inputs)
        n_ratings = np.bincount(indices, minlength=len(inputs[0]))[used][:, np.newaxis]
        cost, updated = squared_error, self.targets(inputs)
        for i, l2 in [(0, l2_W), (1, l2_V), (4, l2_V)][:n - 2]:
            rows = parameters[i][used]
            cost += l2 * (n_ratings * rows.astype("float64") ** 2).sum()
            gradients[i] = (gradients[i] + 2 * float(l2) * n_ratings * rows).astype(rows.dtype)
        for x, squares, gradient, rows in zip(updated, updated[n:], gradients, (used, used, slice(None), used, used)):
            squares[rows] += gradient ** 2
            x[rows] -= x.dtype.type(rate) * gradient / np.sqrt(squares[rows] + x.dtype.type(self.epsilon))
        _put(outputs, updated, squared_error, cost)

    def c_code(self, node, name, inputs, outputs, sub):
        return self.c_fused_call("adagrad_step_op<%%s, %d>" % (self.n == 5), node, name, inputs, outputs, sub,
                                 ["inplace", "epsilon"])


class AdamStep(_StepOfAll):
    """One step of Adam on the masked autoencoder with L2, on all rows.

    Gradients are written once, those of the rows in use, to memory for as many rows that is kept between calls; then W,
    V and what Adam keeps of them pass by once.

    The cost is that of `SquaredError` plus ``l2_W |W|^2 + l2_V |V|^2``, or, with a decay for each rating, that of
    `AdagradStep`. Adam moves rows without ratings too: its means of their gradients fade, and the decay pulls at them.
    The step is `lasagne.updates.adam`'s: D. Kingma, J. Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, end
    of section 2.

    Parameters
    ----------
    f, g, low, span, ranks : as in `SquaredError`
    beta1, beta2 : float
        How much of the means of gradients and of their squares is kept in a step; from 0 to below 1.
    epsilon : float
        Added to the root of the mean of squares; above 0.
    weighted : bool
        Whether the decay is for each rating, l2_V being U's too.
    n : int
        As in `AdagradStep`.

    Notes
    -----
    Kept of each parameter are the mean of its gradients and that of their squares, one behind the other; the rate is
    the learning rate times ``sqrt(1 - beta2^t) / (1 - beta1^t)`` in step t from 1.
    """

    __props__ = ("f", "g", "low", "span", "apart", "beta1", "beta2", "epsilon", "weighted", "inplace", "n")
    params_type = FusedOp.params_type.extended(inplace=scalar.bool, beta1=scalar.float64, beta2=scalar.float64,
                                               epsilon=scalar.float64, weighted=scalar.bool)
    kept, rate = ("mean of gradients", "mean of squared gradients"), "step"
    misfit = "the means of the gradients of %s, or of their squares, are not of its shape"

    def __init__(self, f, g, low=0.0, span=1.0, ranks=None, beta1=0.9, beta2=0.999, epsilon=1e-8, weighted=False,
                 inplace=False, n=4):
        self.set_function(f, g, low, span, ranks)
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1 and 0 < epsilon < np.inf):
            raise ValueError("beta1 is %r, beta2 %r, epsilon %r; expected the first two from 0 to below 1, the last "
                             "above 0, and finite" % (beta1, beta2, epsilon))
        self.beta1, self.beta2, self.epsilon = float(beta1), float(beta2), float(epsilon)
        self.weighted = bool(weighted)
        self.set_updated(n, inplace)

    def with_n(self, n, inplace):
        return type(self)(self.f, self.g, self.low, self.span, self.ranks, self.beta1, self.beta2, self.epsilon,
                          self.weighted, inplace, n)

    def perform(self, node, inputs, outputs, params=None):
        n = self.n
        parameters, indices, (step, l2_W, l2_V), squared_error, used, gradients = self.passed_through(inputs)
        pulls = np.bincount(indices, minlength=len(parameters[0])) if self.weighted else np.ones(len(parameters[0]))
        cost, updated = squared_error, self.targets(inputs)
        for i, l2 in enumerate([l2_W, l2_V, 0, 0, l2_V][:n]):
            x, m, v = updated[i], updated[n + 2 * i], updated[n + 2 * i + 1]
            d = np.zeros(x.shape, x.dtype)
            d[slice(None) if i == 2 else used] = gradients[i]
            if x.ndim == 2:
                cost += l2 * (pulls[:, np.newaxis] * x.astype("float64") ** 2).sum()
                d += (2 * float(l2) * pulls[:, np.newaxis] * x).astype(x.dtype)
            beta1, rest1, beta2, rest2, rate, epsilon = (
                x.dtype.type(number) for number in (self.beta1, 1 - self.beta1, self.beta2, 1 - self.beta2, step,
                                                    self.epsilon))
            m[...] = beta1 * m + rest1 * d
            v[...] = beta2 * v + rest2 * (d * d)
            x -= rate * m / (np.sqrt(v) + epsilon)
        _put(outputs, updated, squared_error, cost)

    def c_code(self, node, name, inputs, outputs, sub):
        return self.c_fused_call("adam_step_op<%%s, %d>" % (self.n == 5), node, name, inputs, outputs, sub,
                                 ["inplace", "beta1", "beta2", "epsilon", "weighted"])
