"""The sum over `ranks.ranks`, as an Op that Theano differentiates.

Each rank has a loss of its own, that of its columns; their sum is minimised. At the hidden units all come together,

    a = sum over ranks of a_p  +  mu,    d(sum of losses) / d a_p  =  sum over ranks of d(own loss) / d a       (1)

and mu's gradient is (1) summed over rows: outside the Op it would get the gradient of the own loss alone.
"""
import theano.tensor as T
from theano import gof
from theano.gradient import DisconnectedType


class SumOverRanks(gof.Op):
    """``sum over ranks of a, plus mu``: a (n_rows, k) is a rank's own, mu (k,) is the same on all.

    All ranks have to run it together, in the same order as other sums: `after` is a variable that is computed before.
    """

    __props__ = ("ranks",)

    def __init__(self, ranks):
        self.ranks = ranks

    def make_node(self, a, mu, after=None):
        a, mu = T.as_tensor_variable(a), T.as_tensor_variable(mu)
        if (a.ndim, mu.ndim) != (2, 1) or a.dtype != mu.dtype:
            raise TypeError("a is a %d-d tensor of %s, mu a %d-d one of %s; expected a matrix and a vector of one dtype"
                            % (a.ndim, a.dtype, mu.ndim, mu.dtype))
        return gof.Apply(self, [a, mu] + ([] if after is None else [after]), [T.matrix(dtype=a.dtype)])

    def perform(self, node, inputs, outputs):
        a, mu = inputs[:2]
        outputs[0][0] = self.ranks.sum(a) + mu

    def infer_shape(self, node, shapes):
        return [shapes[0]]

    def grad(self, inputs, output_gradients):
        a, mu, *after = inputs
        gradient, = output_gradients
        whole = self(gradient, T.zeros_like(mu))
        return [T.patternbroadcast(whole, a.broadcastable),
                T.patternbroadcast(whole.sum(axis=0), mu.broadcastable)] + [DisconnectedType()() for _ in after]

    def connection_pattern(self, node):
        return [[i < 2] for i in range(len(node.inputs))]
