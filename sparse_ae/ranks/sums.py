"""The sum over `ranks.ranks`, as an Op that Theano differentiates: equation (2) of docs/develop/pass.md."""
import theano.tensor as T
from theano import gof


class SumOverRanks(gof.Op):
    """``sum over ranks of a, plus mu``: a (n_rows, k) is a rank's own, mu (k,) the same on all ranks."""

    __props__ = ("ranks",)

    def __init__(self, ranks):
        self.ranks = ranks

    def make_node(self, a, mu):
        return gof.Apply(self, [T.as_tensor_variable(a), T.as_tensor_variable(mu)], [T.matrix(dtype=a.dtype)])

    def perform(self, node, inputs, outputs):
        a, mu = inputs
        outputs[0][0] = self.ranks.sum(a) + mu

    def infer_shape(self, node, shapes):
        return [shapes[0]]

    def grad(self, inputs, output_gradients):
        a, mu = inputs
        gradient, = output_gradients
        whole = self(gradient, T.zeros_like(mu))
        return [T.patternbroadcast(whole, a.broadcastable),
                T.patternbroadcast(whole.sum(axis=0), mu.broadcastable)]
