"""The rewrites for a CPU without a BLAS of Theano's own: same numbers, in every memory order; they are in the graph."""
import numpy as np
import pytest
from devices import ON_GPU

from sparse_ae.model import AutoEncoder
from sparse_ae.ops import blas, fast_mode
from sparse_ae.training.formulations import FORMULATIONS
import lasagne
import theano
import theano.tensor as T

pytestmark = pytest.mark.skipif(ON_GPU, reason="the rewrites are the CPU's")


def laid_out(x, order):
    return np.repeat(np.repeat(x, 2, axis=0), 2, axis=1)[::2, ::2] if order == "strided" else np.array(x, order=order)


@pytest.mark.parametrize("z_order", ["C", "F", "strided"])
@pytest.mark.parametrize("x_order", ["C", "F", "strided"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gemm_in_every_memory_order(z_order, x_order, dtype):
    rng = np.random.RandomState(0)
    z, x, y = (laid_out(rng.randn(*shape).astype(dtype), order)
               for shape, order in [((4, 3), z_order), ((4, 5), x_order), ((5, 3), "C")])
    expected = 0.5 * z.astype("float64") - 2 * x.astype("float64").dot(y.astype("float64"))
    output = [None]
    blas.SciPyGemm(inplace=True).perform(None, [z, np.array(-2, dtype), x, y, np.array(0.5, dtype)], [output])
    assert output[0] is z
    np.testing.assert_allclose(z, expected, rtol=1e-5)

    product = [None]
    blas.SciPyDot22().perform(None, [x, y], [product])
    assert product[0].flags.c_contiguous and product[0].dtype == dtype
    np.testing.assert_allclose(product[0], x.astype("float64").dot(y.astype("float64")), rtol=1e-4)


def test_gemm_without_anything_to_add():
    z, output = np.ones((4, 3)), [None]
    blas.SciPyGemm(inplace=True).perform(None, [z, np.array(-2.0), np.ones((4, 0)), np.ones((0, 3)), np.array(0.5)],
                                         [output])
    np.testing.assert_array_equal(z, np.full((4, 3), 0.5))


def test_an_empty_product():
    product = [None]
    blas.SciPyDot22().perform(None, [np.ones((4, 0)), np.ones((0, 3))], [product])
    np.testing.assert_array_equal(product[0], np.zeros((4, 3)))


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"shapes \(4, 5\) and \(4, 3\) don't fit"):
        blas.SciPyDot22().perform(None, [np.ones((4, 5)), np.ones((4, 3))], [[None]])
    with pytest.raises(ValueError, match=r"shapes \(4, 3\) = \(4, 5\) times \(4, 3\) don't fit"):
        arguments = [np.ones((4, 3)), np.array(1.0), np.ones((4, 5)), np.ones((4, 3)), np.array(1.0)]
        blas.SciPyGemm(inplace=True).perform(None, arguments, [[None]])


@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_squared_norm(order):
    x = T.matrix()
    value = laid_out(np.random.RandomState(0).randn(3, 4).astype(theano.config.floatX), order)
    function = theano.function([x], T.sum(x ** 2), mode=fast_mode())
    assert any(isinstance(node.op, blas.SquaredNorm) for node in function.maker.fgraph.toposort())
    np.testing.assert_allclose(function(value), (value.astype("float64") ** 2).sum(), rtol=1e-6)


def test_only_whole_sums_of_squares_are_rewritten():
    x = T.matrix()
    for graph in (T.sum(x ** 2, axis=0), T.sum(x ** 3), T.sum(abs(x))):
        function = theano.function([x], graph, mode=fast_mode())
        assert not any(isinstance(node.op, blas.SquaredNorm) for node in function.maker.fgraph.toposort())


@pytest.mark.skipif(bool(theano.config.blas.ldflags), reason="Theano has a BLAS of its own")
def test_the_dense_graph_updates_W_and_V_in_one_call_each():
    model = AutoEncoder(6, 2, rating_scale=(1, 5), rng=0)
    batch = FORMULATIONS["dense"].inputs((), model.dtype)
    function = model.ae_batch(batch.present, FORMULATIONS["dense"].cost(model, batch), lasagne.updates.sgd, 0.01)
    ops = [type(node.op) for node in function.maker.fgraph.toposort()]
    # The norms of W, V and the error.
    assert ops.count(blas.SciPyGemm) == 2 and ops.count(blas.SciPyDot22) == 3 and ops.count(blas.SquaredNorm) == 3


def test_other_functions_are_left_alone():
    x = T.matrix()
    function = theano.function([x], T.sum(x ** 2))
    assert not any(isinstance(node.op, blas.SquaredNorm) for node in function.maker.fgraph.toposort())
