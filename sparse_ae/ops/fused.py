"""The masked autoencoder in one pass over the ratings: its cost with all gradients, and steps of optimisers.

`SquaredError` is the cost and its gradients, for the usual nonlinearities. `SGDStep` is the update of the sparse
formulation under plain SGD, `AdagradStep` that under Adagrad with a decay for each rating: compiled with optimisations,
as by default, they write to the rows in use and touch no others, where Theano finds that nobody needs the old values.
`AdamStep` is Adam's update, of all rows, in place likewise. Processes that share out the items, see `distributed`, run
these Ops together: the pass is cut in two at the hidden units, where they add up.
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

__all__ = ["AdagradStep", "AdamStep", "SGDStep", "SquaredError", "check_shapes", "next_factors"]


_NAMES = ["W", "V's transpose", "mu", "b", "U's transpose"]


def check_shapes(shapes, squares=()):
    """Refuse parameters whose shapes don't fit each other, or what an optimiser keeps of them.

    Parameters
    ----------
    shapes : sequence of tuples
        Of W, V's transpose, mu and b, and of U's transpose where there is one.
    squares : sequence of tuples
        Of the sums of squared gradients of these, or of the first of these.

    Raises
    ------
    ValueError
    """
    (n_items, k), V_t, mu, b = shapes[:4]
    if k < 1 or V_t != (n_items, k) or mu != (k,) or b != (n_items,):
        raise ValueError("W is %r, V's transpose %r, mu %r, b %r; expected (n_items, k), (n_items, k), (k,), "
                         "(n_items,) with k at least 1" % tuple(shapes[:4]))
    if len(shapes) > 4 and shapes[4] != V_t:
        raise ValueError("U's transpose is %r, V's %r; expected the same" % (shapes[4], V_t))
    for name, shape, of_squares in zip(_NAMES, shapes, squares):
        if shape != of_squares:
            raise ValueError("the sum of squared gradients of %s is not of its shape" % name)


def next_factors(state, learning_rate, l2):
    """What `SGDStep` keeps as factors of W and V after a step; ValueError where there is none to keep.

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


class _FusedOp(CsrOp):
    """The masked autoencoder in one pass: output = low + span f(W g(V r + mu) + b), held against a target.

    The target of a node is the very variable of the ratings where no other is given. The C code then finds one array
    and sorts only that. What a second encoder takes are the last inputs of a node, and there only where one is given.
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
        """What makes of an array of each process the sum of all of them; None for a process alone."""
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
        """The parameters with what `more` names, the block, and the target, as a node takes them.

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

    def pass_through(self, W, V_t, mu, b, data, indices, indptr, target, U_t=None, seen=None, c_W=1, c_V=1):
        """The squared error; the items in use; the gradients for their rows of W, V, U and entries of b, and for mu."""
        check_shapes([x.shape for x in (W, V_t, mu, b) + (() if U_t is None else (U_t,))])
        n_items = len(W)
        check_csr(indices, indptr, len(indptr) - 1, n_items, len(data))
        for name, x in (("target", target), ("seen", seen)):
            if x is not None and len(x) != len(indices):
                raise ValueError("%s has %d entries, indices %d; each rating needs one" % (name, len(x), len(indices)))
        f, g = NONLINEARITIES[self.f], NONLINEARITIES[self.g]
        used, local = np.unique(indices, return_inverse=True)
        R = csr_matrix(data, local.astype("int32"), indptr, len(used))
        weighted = R.dot(V_t[used]) * c_V
        if U_t is not None:
            S = csr_matrix(seen, R.indices, indptr, len(used))
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


class SquaredError(_FusedOp):
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
    ranks : distributed.Ranks, optional
        Of processes that share out the items: each has the squared error of its own, and all run the Op together, with
        as many rows. What goes into the hidden units is summed over them, and so is what comes back.

    Notes
    -----
    Inputs: W (n_items, k), V's transpose (n_items, k), mu (k,), b (n_items,), data, indices and indptr, all of one
    float dtype but for the indices; ``target``, as many as data and in the same order; ``U_t``, U's transpose (n_items,
    k), and ``seen``, s, as many as data: both or neither.

    Outputs: the squared error, and its gradients for the first four, then for U's transpose if it is there;
    `theano.grad` takes them from there. It gives none for data, target and seen, and a second derivative needs
    `csr_dot` and `sampled_dot`.
    """

    __props__ = ("f", "g", "low", "span", "apart")

    def __init__(self, f, g, low=0.0, span=1.0, ranks=None):
        self.set_function(f, g, low, span, ranks)

    def make_node(self, W, V_t, mu, b, data, indices, indptr, target=None, U_t=None, seen=None):
        second = self.second_encoder(U_t=(U_t, 2), seen=(seen, 1))
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


class SGDStep(_FusedOp, UpdateOp):
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
    Inputs: W, V's transpose, mu and b as in `SquaredError`; state (4,) float64, holding c_W, c_V and the squared norms
    of ``c_W W`` and ``c_V V``; data, indices, indptr; learning_rate, l2_W, l2_V; and ``target``, as in `SquaredError`.

    Outputs: the first five, updated, and costs (2,) float64: the squared error and the whole cost, before the update.
    """

    __props__ = ("f", "g", "low", "span", "apart", "inplace")
    params_type = _FusedOp.params_type.extended(inplace=scalar.bool)
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
                         [x.type() for x in parameters + [state]] + [T.dvector()])

    def perform(self, node, inputs, outputs, params=None):
        data, indices, indptr, learning_rate, l2_W, l2_V, target = inputs[5:]
        c_W, c_V = inputs[4][:2]
        squared_error, used, gradients = self.pass_through(*inputs[:4] + [data, indices, indptr, target],
                                                           c_W=c_W, c_V=c_V)
        lr, l2 = float(learning_rate), np.array([l2_W, l2_V], "float64")
        factors = next_factors(inputs[4], lr, l2)
        W, V_t, mu, b, state = updated = self.targets(inputs)
        outputs[5][0] = np.array([squared_error, squared_error + l2.dot(state[2:])])
        for i, M in enumerate((W, V_t)):
            old = M[used]
            new = old - (lr / factors[i] * gradients[i]).astype(M.dtype)
            growth = (new.astype("float64") ** 2).sum() - (old.astype("float64") ** 2).sum()
            state[2 + i] = (state[2 + i] / state[i] ** 2 + growth) * factors[i] ** 2
            state[i] = factors[i]
            M[used] = new
        mu -= mu.dtype.type(lr) * gradients[2]
        b[used] -= b.dtype.type(lr) * gradients[3]
        for output, value in zip(outputs, updated):
            output[0] = value

    def c_code(self, node, name, inputs, outputs, sub):
        return self.c_fused_call("sgd_step_op<%s>", node, name, inputs, outputs, sub, ["inplace"])

    def infer_shape(self, node, shapes):
        return shapes[:5] + [(T.constant(2, dtype="int64"),)]


class AdagradStep(_FusedOp, UpdateOp):
    """One step of Adagrad on the masked autoencoder with a decay for each rating, on the rows in use alone.

    The cost is that of `SquaredError` plus ``sum_j n_j (l2_W |W_j|^2 + l2_V |V_j|^2)``, where item j has n_j ratings in
    the block: each rating pulls at its item's rows once, as in weighted-lambda regularisation. Over an epoch that is
    the decay of a fixed cost, and in a step the rows without ratings have no gradient, so that Adagrad leaves them and
    their sums of squares as they are: what the step costs follows the ratings, and is `lasagne.updates.adagrad` on that
    cost, exactly.

    Parameters
    ----------
    f, g, low, span, ranks : as in `SquaredError`
    epsilon : float
        Added to the sums of squares under the root, as in `lasagne.updates.adagrad`; above 0.
    two_encoders : bool
        Whether the node has a second encoder. Set when it is made.

    Notes
    -----
    Inputs: W, V's transpose, mu and b as in `SquaredError`; for each of the four, in their shapes, the sum of its
    squared gradients; data, indices, indptr; learning_rate, l2_W, l2_V; ``target``, as in `SquaredError`; and for a
    second encoder ``U_t``, ``squares_U_t`` and ``seen``, all or none of them, where U's decay is l2_V.

    Outputs: the first eight, updated; costs (2,) float64: the squared error and the whole cost, before the update; and
    U's transpose and its sum of squared gradients, updated.
    """

    __props__ = ("f", "g", "low", "span", "apart", "epsilon", "inplace", "two_encoders")
    params_type = _FusedOp.params_type.extended(inplace=scalar.bool, epsilon=scalar.float64)

    def __init__(self, f, g, low=0.0, span=1.0, ranks=None, epsilon=1e-6, inplace=False, two_encoders=False):
        self.set_function(f, g, low, span, ranks)
        if not 0 < epsilon < np.inf:
            raise ValueError("epsilon is %r; it must be above 0, and finite" % (epsilon,))
        self.epsilon, self.two_encoders = float(epsilon), bool(two_encoders)
        self.updated = {i: i for i in range(8)}
        if self.two_encoders:
            self.updated.update({9: 15, 10: 16})
        self.set_inplace(inplace)

    def in_place(self):
        return self._with(True, self.two_encoders)

    def _with(self, inplace, two_encoders):
        return type(self)(self.f, self.g, self.low, self.span, self.ranks, self.epsilon, inplace, two_encoders)

    def make_node(self, W, V_t, mu, b, squares_W, squares_V_t, squares_mu, squares_b, data, indices, indptr,
                  learning_rate, l2_W, l2_V, target=None, U_t=None, squares_U_t=None, seen=None):
        second = self.second_encoder(U_t=(U_t, 2), squares_U_t=(squares_U_t, 2), seen=(seen, 1))
        parameters, block, target = self.tensors(
            W, V_t, mu, b, data, indices, indptr, target, squares_W=(squares_W, 2), squares_V_t=(squares_V_t, 2),
            squares_mu=(squares_mu, 1), squares_b=(squares_b, 1), **second)
        parameters, second = parameters[:8], parameters[8:]
        # Which inputs a node of this Op destroys is for the Op to say, not for the node.
        op = self
        if self.two_encoders != bool(second):
            op = self._with(self.inplace, bool(second))
        rates = self.scalars(learning_rate=learning_rate, l2_W=l2_W, l2_V=l2_V)
        return gof.Apply(op, parameters + block + rates + [target] + second,
                         [x.type() for x in parameters] + [T.dvector()] + [x.type() for x in second[:2]])

    def perform(self, node, inputs, outputs, params=None):
        data, indices, indptr, learning_rate, l2_W, l2_V, target = inputs[8:15]
        U_t, squares_U_t, seen = inputs[15:] or [None] * 3
        squared_error, used, gradients = self.pass_through(*inputs[:4] + [data, indices, indptr, target, U_t, seen])
        parameters, all_squares = inputs[:4], inputs[4:8]
        if self.two_encoders:
            parameters, all_squares = parameters + [U_t], all_squares + [squares_U_t]
        check_shapes([x.shape for x in parameters], [x.shape for x in all_squares])
        n_ratings = np.bincount(indices, minlength=len(inputs[0]))[used][:, np.newaxis]
        cost = squared_error
        updated = self.targets(inputs)
        for i, l2 in [(0, l2_W), (1, l2_V)] + [(4, l2_V)] * self.two_encoders:
            rows = parameters[i][used]
            cost += l2 * (n_ratings * rows.astype("float64") ** 2).sum()
            gradients[i] = (gradients[i] + 2 * float(l2) * n_ratings * rows).astype(rows.dtype)
        values, all_squares = updated[:4] + updated[8:9], updated[4:8] + updated[9:]
        for x, squares, gradient, rows in zip(values, all_squares, gradients, (used, used, slice(None), used, used)):
            squares[rows] += gradient ** 2
            x[rows] -= x.dtype.type(learning_rate) * gradient / np.sqrt(squares[rows] + x.dtype.type(self.epsilon))
        outputs[8][0] = np.array([squared_error, cost])
        for i, value in zip(self.updated, updated):
            outputs[i][0] = value

    def c_code(self, node, name, inputs, outputs, sub):
        return self.c_fused_call("adagrad_step_op<%%s, %d>" % self.two_encoders, node, name, inputs, outputs, sub,
                                 ["inplace", "epsilon"])

    def infer_shape(self, node, shapes):
        return shapes[:8] + [(T.constant(2, dtype="int64"),)] + shapes[15:17]


class AdamStep(_FusedOp, UpdateOp):
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

    Notes
    -----
    Inputs: W, V's transpose, mu and b as in `SquaredError`, and U's transpose where there is a second encoder; for each
    of these the mean of its gradients and that of their squares; data, indices, indptr; ``step``, the learning rate
    times ``sqrt(1 - beta2^t) / (1 - beta1^t)`` in step t from 1; l2_W, l2_V; ``target``, or data once more; and with
    U's transpose ``seen``, as in `SquaredError`.

    Outputs: the parameters and the means, updated, in the same order, and two float64 scalars: the squared error and
    the whole cost, before the update.
    """

    __props__ = ("f", "g", "low", "span", "apart", "beta1", "beta2", "epsilon", "weighted", "inplace", "n")
    params_type = _FusedOp.params_type.extended(inplace=scalar.bool, beta1=scalar.float64, beta2=scalar.float64,
                                                epsilon=scalar.float64, weighted=scalar.bool)

    def __init__(self, f, g, low=0.0, span=1.0, ranks=None, beta1=0.9, beta2=0.999, epsilon=1e-8, weighted=False,
                 inplace=False, n=4):
        self.set_function(f, g, low, span, ranks)
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1 and 0 < epsilon < np.inf):
            raise ValueError("beta1 is %r, beta2 %r, epsilon %r; expected the first two from 0 to below 1, the last "
                             "above 0, and finite" % (beta1, beta2, epsilon))
        self.beta1, self.beta2, self.epsilon = float(beta1), float(beta2), float(epsilon)
        self.weighted, self.n = bool(weighted), n  # the number of parameters is set when a node is made
        self.updated = {i: i for i in range(3 * n)}
        self.set_inplace(inplace)

    def _with(self, inplace, n):
        return type(self)(self.f, self.g, self.low, self.span, self.ranks, self.beta1, self.beta2, self.epsilon,
                          self.weighted, inplace, n)

    def in_place(self):
        return self._with(True, self.n)

    def make_node(self, *inputs):
        n = {19: 4, 23: 5}.get(len(inputs))
        if n is None:
            raise TypeError("there are %d inputs; expected 19, or 23 with a second encoder: the parameters, the two "
                            "means of each, data, indices, indptr, step, l2_W, l2_V, target, and seen" % len(inputs))
        ndims = [2, 2, 1, 1, 2][:n]
        kept = {"the mean of %s's %s" % (name, kind): (inputs[n + 2 * i + second], ndim) for i, (name, ndim) in
                enumerate(zip(_NAMES, ndims)) for second, kind in enumerate(["gradient", "squared gradient"])}
        data, indices, indptr, step, l2_W, l2_V, target, *seen = inputs[3 * n:]
        more = dict(U_t=(inputs[4], 2), seen=(seen[0], 1)) if seen else {}
        tensors, block, target = self.tensors(*inputs[:4], data, indices, indptr, None if target is data else target,
                                              **kept, **more)
        second = tensors[4 + 2 * n:]
        updated = tensors[:4] + second[:1] + tensors[4:4 + 2 * n]
        # Which inputs a node of this Op destroys is for the Op to say, not for the node.
        op = self if self.n == n else self._with(self.inplace, n)
        return gof.Apply(op, updated + block + self.scalars(step=step, l2_W=l2_W, l2_V=l2_V) + [target] + second[1:],
                         [x.type() for x in updated] + [T.dscalar(), T.dscalar()])

    def perform(self, node, inputs, outputs, params=None):
        n = self.n
        parameters, means, squares = inputs[:n], inputs[n:3 * n:2], inputs[n + 1:3 * n:2]
        data, indices, indptr, step, l2_W, l2_V, target = inputs[3 * n:3 * n + 7]
        second = [parameters[4], inputs[-1]] if n == 5 else []
        check_shapes([x.shape for x in parameters])
        for name, x, mean, square in zip(_NAMES, parameters, means, squares):
            if not x.shape == mean.shape == square.shape:
                raise ValueError("the means of the gradients of %s, or of their squares, are not of its shape" % name)
        squared_error, used, gradients = self.pass_through(*parameters[:4] + [data, indices, indptr, target] + second)
        pulls = np.bincount(indices, minlength=len(parameters[0])) if self.weighted else np.ones(len(parameters[0]))
        cost, updated = squared_error, self.targets(inputs)
        for i, l2 in enumerate([l2_W, l2_V, 0, 0, l2_V][:n]):
            x, m, v = updated[i], updated[n + 2 * i], updated[n + 2 * i + 1]
            d = np.zeros(x.shape, x.dtype)
            d[slice(None) if i == 2 else used] = gradients[i]
            if x.ndim == 2:
                cost += l2 * (pulls[:, np.newaxis] * x.astype("float64") ** 2).sum()
                d += (2 * float(l2) * pulls[:, np.newaxis] * x).astype(x.dtype)
            beta1, rest1, beta2, rest2, step, epsilon = (
                x.dtype.type(number) for number in (self.beta1, 1 - self.beta1, self.beta2, 1 - self.beta2, step,
                                                    self.epsilon))
            m[...] = beta1 * m + rest1 * d
            v[...] = beta2 * v + rest2 * (d * d)
            x -= step * m / (np.sqrt(v) + epsilon)
        for output, value in zip(outputs[3 * n:], (squared_error, cost)):
            output[0] = np.asarray(value, "float64")
        for i, value in enumerate(updated):
            outputs[i][0] = value

    def c_code(self, node, name, inputs, outputs, sub):
        return self.c_fused_call("adam_step_op<%%s, %d>" % (self.n == 5), node, name, inputs, outputs, sub,
                                 ["inplace", "beta1", "beta2", "epsilon", "weighted"])

    def infer_shape(self, node, shapes):
        return shapes[:3 * self.n] + [(), ()]
