"""The sum over ranks as an Op: its value and its gradients, by arithmetic, where each rank has the same."""
import numpy as np
import pytest

from sparse_ae.device import kept_on_host
from sparse_ae.ops import SumOverRanks
import theano
import theano.tensor as T


class Alike:
    """Three ranks, each with what this one has."""

    def sum(self, array):
        return 3 * array


def test_value_and_gradients():
    a, mu = T.dmatrix("a"), T.dvector("mu")
    total = SumOverRanks(Alike())(a, mu)
    weights = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    cost = T.sum(total * weights)
    mode = kept_on_host(theano.Mode(linker="py", optimizer="fast_compile"))
    value, of_a, of_mu = theano.function([a, mu], [total] + T.grad(cost, [a, mu]), mode=mode)(
        [[1, 2], [3, 4], [5, 6]], [10, 20])
    assert value.tolist() == [[13, 26], [19, 32], [25, 38]]
    assert of_a.tolist() == (3 * weights).tolist(), "the sum of all losses is 3 of this one"
    assert of_mu.tolist() == [27, 36]


@pytest.mark.parametrize("a, mu", [(T.dvector(), T.dvector()), (T.dmatrix(), T.dmatrix()), (T.dmatrix(), T.fvector())])
def test_other_shapes_and_dtypes_are_refused(a, mu):
    with pytest.raises(TypeError, match="expected a matrix and a vector of one dtype"):
        SumOverRanks(Alike())(a, mu)
