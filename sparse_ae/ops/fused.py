"""The masked autoencoder in one pass over the ratings: its cost with all gradients.

`SquaredError` is the cost and its gradients, for the nonlinearities of the table; `fused_updates` has steps of
optimisers on the same pass. Processes that share out the columns, see `ranks.ranks`, run these Ops together: the pass
is cut in two at the hidden units, where they add up.
"""
import numpy as np

from sparse_ae.ops.nonlinearities import NONLINEARITIES
from sparse_ae.ops.op import (
    C_TYPES,
    CsrOp,
    check_csr,
    csr_matrix,
    float_tensors,
    index_vector,
    sampled_products,
)
import theano.tensor as T
from theano import gof, scalar
from theano.gradient import DisconnectedType

__all__ = ["SquaredError"]

#: Names of the parameters, in the order in which the Ops take them.
NAMES = ["W", "V's transpose", "mu", "b", "U's transpose"]


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
    for name, shape, of_squares in zip(NAMES, shapes, squares):
        if shape != of_squares:
            raise ValueError("the sum of squared gradients of %s is not of its shape" % name)


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
