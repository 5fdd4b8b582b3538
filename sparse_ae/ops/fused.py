"""The masked autoencoder in one pass over the ratings: its cost with all gradients, and steps of optimisers.

`SquaredError` is the cost and its gradients, for the nonlinearities of the table. `SGDStep`, `AdagradStep` and
`SparseAdamStep` move the rows in use and touch no others, `AdamStep` moves all rows; compiled with optimisations, as by
default, they work in place where Theano finds that nobody needs the old values. Processes that share out the columns,
see `ranks`, run these Ops together: the pass is cut in two at the hidden units, where they add up.

The inputs of a step come in one order: the parameters W (n_items, k), V's transpose (n_items, k), mu (k,), b (n_items,)
and, with a second encoder, U's transpose (n_items, k); what the optimiser keeps; data, indices and indptr of a CSR
block; the rate, l2_W and l2_V; the target, or data once more; and the second encoder's input. So do its outputs: the
parameters and what is kept, updated, and two float64 scalars, the squared error and the whole cost, before the update.
"""
import numpy as np

from sparse_ae.ops.nonlinearities import NONLINEARITIES
from sparse_ae.ops.op import (
    C_TYPES,
    CsrOp,
    UpdateOp,
    check_csr,
    csr_matrix,
    float_tensors,
    index_vector,
    sampled_products,
)
import theano.tensor as T
from theano import gof, scalar
from theano.gradient import DisconnectedType

__all__ = ["AdagradStep", "AdamStep", "SGDStep", "SparseAdamStep", "SquaredError"]

#: Names of the parameters, in the order in which the Ops take them.
NAMES = ["W", "V's transpose", "mu", "b", "U's transpose"]


def check_shapes(shapes, squares=()):
    """Raise ValueError for shapes of parameters that don't fit each other, or those of the squares kept of them."""
    (n_items, k), V_t, mu, b = shapes[:4]
    if k < 1 or V_t != (n_items, k) or mu != (k,) or b != (n_items,):
        raise ValueError("W is %r, V's transpose %r, mu %r, b %r; expected (n_items, k), (n_items, k), (k,), "
                         "(n_items,) with k at least 1" % tuple(shapes[:4]))
    if len(shapes) > 4 and shapes[4] != V_t:
        raise ValueError("U's transpose is %r, V's %r; expected the same" % (shapes[4], V_t))
    for name, shape, of_squares in zip(NAMES, shapes, squares):
        if shape != of_squares:
            raise ValueError(AdagradStep.misfit % name)


class FusedOp(CsrOp):
    """The masked autoencoder in one pass: output = low + span f(W g(V r + mu) + b), held against a target.

    The target of a node is the very variable of the ratings where no other is given. The C code then finds one array
    and sorts only that. The last inputs of a node are a second encoder's, and there only where one is given.
    """

    headers = ("nonlinearities.h", "blocks.h", "pass.h", "fused.h")
    # What the C code is told at run time. In the code itself, each set of values would need compiling, for seconds.
    params_type = gof.ParamsType(f=scalar.int32, g=scalar.int32, low=scalar.float64, span=scalar.float64,
                                 total=gof.generic)
    ranks = None

    def set_function(self, f, g, low, span, ranks):
        for name in (f, g):
            if name not in NONLINEARITIES:
                raise ValueError("nonlinearity %r has no fused step; expected one of %s"
                                 % (name, ", ".join(sorted(NONLINEARITIES))))
        self.f, self.g, self.low, self.span = f, g, float(low), float(span)
        self.ranks, self.apart = ranks, ranks is not None

    @property
    def total(self):
        """A function from an array of each process to the sum of all of them; None for a process alone."""
        if self.apart and self.ranks is None:
            raise RuntimeError("%s was one of several processes' that share out the items, and knows of the others no "
                               "more: make it anew" % self)
        return self.ranks.sum if self.apart else None

    # Theano has Ops in the keys of what it has compiled, in memory and on disk: there it is the same for all ranks, and
    # for the next program's.
    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "ranks"}

    def __deepcopy__(self, memo):
        return self

    @staticmethod
    def tensors(W, V_t, mu, b, data, indices, indptr, target, **more):
        """Give the parameters with what `more` names, the block, and the target, as a node takes them.

        `more` is as for `float_tensors`.
        """
        own = target is not None
        data, target, *parameters = float_tensors(data=(data, 1), target=(target if own else data, 1), W=(W, 2),
                                                  V_t=(V_t, 2), mu=(mu, 1), b=(b, 1), **more)
        block = [data, index_vector(indices, "indices"), index_vector(indptr, "indptr")]
        return parameters, block, target if own else data

    @staticmethod
    def second_encoder(**more):
        """`more` as `tensors` takes it, or nothing where all of it is None; TypeError where only some is."""
        missing = [name for name, (x, _) in more.items() if x is None]
        if missing and len(missing) < len(more):
            raise TypeError("a second encoder needs %s; %s is missing" % (", ".join(more), ", ".join(missing)))
        return {} if missing else more

    def pass_through(self, W, V_t, mu, b, data, indices, indptr, target, U_t=None, indicator=None, c_W=1, c_V=1):
        """Compute the squared error; the columns in use; the gradients of their rows of W, V, U and b, and of mu."""
        check_shapes([x.shape for x in (W, V_t, mu, b) + (() if U_t is None else (U_t,))])
        n_items = len(W)
        check_csr(indices, indptr, len(indptr) - 1, n_items, len(data))
        for name, x in (("target", target), ("indicator", indicator)):
            if x is not None and len(x) != len(indices):
                raise ValueError("%s has %d entries, indices %d; each rating needs one" % (name, len(x), len(indices)))
        f, g = NONLINEARITIES[self.f], NONLINEARITIES[self.g]
        used, local = np.unique(indices, return_inverse=True)
        R = csr_matrix(data, local.astype("int32"), indptr, len(used))
        weighted = R.dot(V_t[used]) * c_V
        if U_t is not None:
            S = csr_matrix(indicator, R.indices, indptr, len(used))
            weighted += S.dot(U_t[used])
        H = g.value((self._summed(weighted.astype(W.dtype)) + mu).astype(W.dtype))
        y = f.value((sampled_products(local, indptr, H, W[used]) * c_W + b[indices]).astype(W.dtype))
        e = self.low + self.span * y - target
        dS = csr_matrix((2 * e * self.span * f.slope(y)).astype(W.dtype), R.indices, indptr, len(used))
        dA = (self._summed((dS.dot(W[used]) * c_W).astype(W.dtype)) * g.slope(H)).astype(W.dtype)
        gradients = [dS.T.dot(H), R.T.dot(dA), dA.sum(axis=0), np.asarray(dS.sum(axis=0)).ravel()]
        if U_t is not None:
            gradients.append(S.T.dot(dA))
        return (e.astype("float64") ** 2).sum(), used, gradients

    def _summed(self, x):
        total = x if self.total is None else self.total(x)
        if total.shape != x.shape:
            raise ValueError("the sum over ranks has another shape than what was summed")
        return total

    @staticmethod
    def scalars(**rates):
        tensors = [T.as_tensor_variable(x) for x in rates.values()]
        if any(x.ndim for x in tensors):
            *names, last = rates
            raise TypeError("%s and %s must be scalars" % (", ".join(names), last))
        return tensors

    def get_params(self, node):
        f, g = NONLINEARITIES[self.f], NONLINEARITIES[self.g]
        return self.params_type.get_params(self, f=f.code, g=g.code)

    # The buffers live as long as the compiled function does: fresh ones would cost a page fault for every 4 KB.
    def c_support_code_struct(self, node, name):
        return "sparse_ae::Workspace workspace_%s;" % name

    def c_fused_call(self, function, node, name, inputs, outputs, sub, more=""):
        return """
        {
            PyArrayObject *in[] = {%(inputs)s}, **out[] = {%(outputs)s};
            const sparse_ae::Function function = {%(params)s->f, %(params)s->g, %(params)s->low, %(params)s->span,
                                                  %(params)s->total};
            if (sparse_ae::%(function)s(in, out, %(more)sfunction, workspace_%(name)s)) { %(fail)s }
        }""" % dict(function=function % C_TYPES[node.inputs[0].dtype], inputs=", ".join(inputs), name=name,
                    outputs=", ".join("&" + out for out in outputs), params=sub["params"], fail=sub["fail"],
                    more="".join("%s->%s, " % (sub["params"], field) for field in more))


class SquaredError(FusedOp):
    """The squared error of the masked autoencoder at the ratings of a CSR block, with its gradients from the same pass.

    ``sum (low + span f(W g(V r + mu) + b) - t)^2`` over the stored ratings r, with the target t that goes with each:
    the ratings themselves, if no other is given. With a second encoder U the hidden units are ``g(V r + U s + mu)``,
    where s stands beside r.

    Parameters
    ----------
    f, g : {"linear", "sigmoid", "tanh"}
        Output and hidden nonlinearity.
    low, span : float
        Map f's value to the ratings' scale.
    ranks : ranks.ranks.Ranks, optional
        Of processes that share out the columns: each has its own squared error, and all run the Op together, with
        as many rows. The sums into the hidden units are added up over them, and so are those that come back.

    Notes
    -----
    Inputs: W (n_items, k), V's transpose (n_items, k), mu (k,), b (n_items,), data, indices and indptr, all of one
    float dtype but for the indices; ``target``, as many as data and in the same order; ``U_t``, U's transpose (n_items,
    k), and ``indicator``, s, as many as data: both or neither.

    Outputs: the squared error, and its gradients for the first four, then for U's transpose if it is there;
    `theano.grad` takes them from there. It gives none for data, target and indicator, and a second derivative needs
    `csr_dot` and `sampled_dot`.
    """

    __props__ = ("f", "g", "low", "span", "apart")

    def __init__(self, f, g, low=0.0, span=1.0, ranks=None):
        self.set_function(f, g, low, span, ranks)

    def make_node(self, W, V_t, mu, b, data, indices, indptr, target=None, U_t=None, indicator=None):
        second = self.second_encoder(U_t=(U_t, 2), indicator=(indicator, 1))
        parameters, block, target = self.tensors(W, V_t, mu, b, data, indices, indptr, target, **second)
        parameters, second = parameters[:4], parameters[4:]
        return gof.Apply(self, parameters + block + [target] + second,
                         [T.scalar(dtype=target.dtype)] + [x.type() for x in parameters + second[:1]])

    def perform(self, node, inputs, outputs, params=None):
        squared_error, used, gradients = self.pass_through(*inputs)
        outputs[0][0] = np.asarray(squared_error, inputs[0].dtype)
        for i, gradient, output in zip(self._differentiable(inputs), gradients, outputs[1:]):
            output[0] = np.zeros_like(inputs[i], order="C")
            output[0][slice(None) if i == 2 else used] = gradient

    @staticmethod
    def _differentiable(inputs):
        """The positions of the inputs that there are gradients for, in the outputs' order."""
        return [0, 1, 2, 3] + ([8] if len(inputs) > 8 else [])

    def c_code(self, node, name, inputs, outputs, sub):
        return self.c_fused_call("squared_error_op<%%s, %d>" % (len(inputs) > 8), node, name, inputs, outputs, sub)

    def infer_shape(self, node, shapes):
        return [()] + [shapes[i] for i in self._differentiable(node.inputs)]

    def connection_pattern(self, node):
        differentiable = self._differentiable(node.inputs)
        return [[i in differentiable] + [False] * len(differentiable) for i in range(len(node.inputs))]

    def grad(self, inputs, output_gradients):
        gradients = dict(zip(self._differentiable(inputs), self(*inputs)[1:]))
        return [output_gradients[0] * gradients[i] if i in gradients else DisconnectedType()()
                for i in range(len(inputs))]


def next_factors(state, learning_rate, l2):
    """The factors of W and V that `SGDStep` keeps after a step, (2,) of float64; ValueError where there are none."""
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
    over the factor. This is exact: L. Bottou, Stochastic Gradient Descent Tricks, 2012, section 5.1. The caller
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
        return _changed(self, inplace=True)

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
    """A step that keeps arrays of each parameter's shape; `n`, its number of parameters, is set by its first node."""

    kept = ()  # what each of these is
    misfit = ""  # what is said of one whose shape is another
    rate = "learning_rate"

    def set_step(self, inplace, n):
        self.n = n
        self.updated = {i: i for i in range(n * (1 + len(self.kept)))}
        self.set_inplace(inplace)

    def in_place(self):
        return _changed(self, inplace=True)

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
        op = self if self.n == n else _changed(self, n=n)
        rates = self.scalars(**{self.rate: rate, "l2_W": l2_W, "l2_V": l2_V})
        return gof.Apply(op, updated + block + rates + [target] + second[1:],
                         [x.type() for x in updated] + [T.dscalar(), T.dscalar()])

    def decay_pulls(self, indices, n_items):
        """How often the decay pulls at each row: once for each rating."""
        return np.bincount(indices, minlength=n_items)

    def perform(self, node, inputs, outputs, params=None):
        n, n_updated = self.n, len(self.updated)
        parameters, kept = inputs[:n], list(zip(*[iter(inputs[n:n_updated])] * len(self.kept)))
        check_shapes([x.shape for x in parameters])
        for name, x, arrays in zip(NAMES, parameters, kept):
            if any(array.shape != x.shape for array in arrays):
                raise ValueError(self.misfit % name)
        data, indices, indptr, rate, l2_W, l2_V, target = inputs[n_updated:n_updated + 7]
        second = [parameters[4], inputs[-1]] if n == 5 else []
        squared_error, used, gradients = self.pass_through(*parameters[:4] + [data, indices, indptr, target] + second)
        pulls = self.decay_pulls(indices, len(parameters[0]))[:, np.newaxis]
        cost, updated = squared_error, self.targets(inputs)
        kept = list(zip(*[iter(updated[n:])] * len(self.kept)))
        for i, l2 in enumerate([l2_W, l2_V, 0, 0, l2_V][:n]):
            x, of_used = updated[i], slice(None) if i == 2 else used
            rows, d = self.rows_of(x, of_used, gradients[i])
            if x.ndim == 2:
                cost += l2 * (pulls[rows] * x[rows].astype("float64") ** 2).sum()
                d = (d + 2 * float(l2) * pulls[rows] * x[rows]).astype(x.dtype)
            self.move(rows, d, x.dtype.type(rate), x, *kept[i])
        _put(outputs, updated, squared_error, cost)

    @staticmethod
    def rows_of(x, used, gradient):
        """The rows that the step moves, and their gradients, from those that have some."""
        return used, gradient

    def move(self, rows, d, rate, x, *kept):
        """Move rows of x and of what is kept of it along their gradients d."""
        raise NotImplementedError

    def c_code(self, node, name, inputs, outputs, sub):
        return self.c_fused_call("%s<%%s, %d>" % (self.function, self.n == 5), node, name, inputs, outputs, sub,
                                 self.told)

    def infer_shape(self, node, shapes):
        return shapes[:len(self.updated)] + [(), ()]


def _changed(op, n=None, inplace=None):
    """A copy of a step with another `n` or `inplace`."""
    new = object.__new__(type(op))
    new.__dict__.update(op.__dict__)
    inplace = op.inplace if inplace is None else inplace
    if n is None:
        new.set_inplace(inplace)
    else:
        new.set_step(inplace, n)
    return new


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
    function, told = "adagrad_step_op", ["inplace", "epsilon"]

    def __init__(self, f, g, low=0.0, span=1.0, ranks=None, epsilon=1e-6, inplace=False, n=4):
        self.set_function(f, g, low, span, ranks)
        if not 0 < epsilon < np.inf:
            raise ValueError("epsilon is %r; it must be above 0, and finite" % (epsilon,))
        self.epsilon = float(epsilon)
        self.set_step(inplace, n)

    def move(self, rows, d, rate, x, squares):
        squares[rows] += d ** 2
        x[rows] -= rate * d / np.sqrt(squares[rows] + x.dtype.type(self.epsilon))


class SparseAdamStep(_StepOfAll):
    """One step of `sparse_ae.updates.sparse_adam` on the masked autoencoder, on the rows in use alone.

    The cost is that of `AdagradStep`, with a decay for each rating. It is another optimiser than Adam, whose rows
    without ratings move on.

    Parameters
    ----------
    f, g, low, span, ranks : as in `SquaredError`
    beta1, beta2, epsilon : as in `AdamStep`
    n : int
        As in `AdagradStep`.

    Notes
    -----
    What is kept, and the rate, are as in `AdamStep`.
    """

    __props__ = ("f", "g", "low", "span", "apart", "beta1", "beta2", "epsilon", "inplace", "n")
    params_type = FusedOp.params_type.extended(inplace=scalar.bool, beta1=scalar.float64, beta2=scalar.float64,
                                               epsilon=scalar.float64)
    kept, rate = ("mean of gradients", "mean of squared gradients"), "step"
    misfit = "the means of the gradients of %s, or of their squares, are not of its shape"
    function, told = "sparse_adam_step_op", ["inplace", "beta1", "beta2", "epsilon"]

    def __init__(self, f, g, low=0.0, span=1.0, ranks=None, beta1=0.9, beta2=0.999, epsilon=1e-8, inplace=False, n=4):
        self.set_function(f, g, low, span, ranks)
        self.set_settings(beta1, beta2, epsilon)
        self.set_step(inplace, n)

    def set_settings(self, beta1, beta2, epsilon):
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1 and 0 < epsilon < np.inf):
            raise ValueError("beta1 is %r, beta2 %r, epsilon %r; expected the first two from 0 to below 1, the last "
                             "above 0, and finite" % (beta1, beta2, epsilon))
        self.beta1, self.beta2, self.epsilon = float(beta1), float(beta2), float(epsilon)

    def move(self, rows, d, rate, x, m, v):
        beta1, rest1, beta2, rest2, epsilon = (x.dtype.type(number) for number in (
            self.beta1, 1 - self.beta1, self.beta2, 1 - self.beta2, self.epsilon))
        m[rows] = beta1 * m[rows] + rest1 * d
        v[rows] = beta2 * v[rows] + rest2 * (d * d)
        x[rows] -= rate * m[rows] / (np.sqrt(v[rows]) + epsilon)


class AdamStep(SparseAdamStep):
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
    params_type = SparseAdamStep.params_type.extended(weighted=scalar.bool)
    function, told = "adam_step_op", SparseAdamStep.told + ["weighted"]

    def __init__(self, f, g, low=0.0, span=1.0, ranks=None, beta1=0.9, beta2=0.999, epsilon=1e-8, weighted=False,
                 inplace=False, n=4):
        self.set_function(f, g, low, span, ranks)
        self.set_settings(beta1, beta2, epsilon)
        self.weighted = bool(weighted)
        self.set_step(inplace, n)

    def decay_pulls(self, indices, n_items):
        return super().decay_pulls(indices, n_items) if self.weighted else np.ones(n_items)

    @staticmethod
    def rows_of(x, used, gradient):
        d = np.zeros(x.shape, x.dtype)
        d[used] = gradient
        return slice(None), d
