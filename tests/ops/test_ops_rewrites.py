"""The rewrites for a CPU: same numbers, in every memory order; where they apply, and that no other graph is touched."""
import numpy as np
import programs
import pytest
import scipy.sparse as sp
from alike import assert_all_close
from devices import ON_GPU
from matrices import laid_out

from sparse_ae.model import AutoEncoder
from sparse_ae.ops import csr_dot, fast_mode, rewrites, stored_arrays
from sparse_ae.ops.rewrites import rewriting_mode
from sparse_ae.ops.updates import UpdatePass
from sparse_ae.training.formulations import FORMULATIONS
from sparse_ae.training.objectives import Observed
import lasagne
import theano
import theano.sparse
import theano.tensor as T

pytestmark = pytest.mark.skipif(ON_GPU, reason="the rewrites are the CPU's")

AS_THEANO = theano.compile.mode.get_default_mode().excluding("sparse_ae_default")


def ops(function):
    return [node.op for node in function.maker.fgraph.toposort()]


# Where they apply


def adams_step(mode):
    """A linear model of sparse rows under Adam with weight decay; and its weights."""
    w, x = theano.shared(np.ones((4, 3)), "w"), theano.sparse.csr_matrix("x", "float64")
    loss = T.sum(csr_dot(*stored_arrays(x), w) ** 2) + 0.1 * T.sum(w ** 2)
    return theano.function([x], loss, updates=lasagne.updates.adam(loss, [w], 0.1), mode=mode), w


def test_a_function_with_an_op_of_ours_has_them_in_the_default_mode():
    block, found = sp.csr_matrix(np.arange(8.0).reshape(2, 4)), []
    for mode in (None, fast_mode(), rewriting_mode(), AS_THEANO):
        function, w = adams_step(mode)
        kinds = [type(op) for op in ops(function)]
        has_them = mode is not AS_THEANO
        assert (rewrites.SquaredNorm in kinds) == has_them
        assert (UpdatePass in kinds) == (has_them and bool(theano.config.cxx))
        found.append([function(block) for _ in range(3)] + [w.get_value()])
        if has_them:
            assert kinds == [type(op) for op in ops(adams_step(None)[0])]
            assert_all_close(found[0], found[-1])
    assert_all_close(found[0], found[-1], rtol=1e-12)


GRAPHS = """
import sparse_ae.theano_compat, numpy as np, theano, theano.sparse, theano.tensor as T, lasagne

def graphs():
    x, y = T.dmatrices(2)
    s = theano.sparse.csr_matrix("s", "float64")
    w = theano.shared(np.ones((3, 3)), "w")
    loss = T.sum((T.nnet.sigmoid(T.dot(x, w)) - y) ** 2) + T.sum(w ** 2)
    for inputs, outputs, updates in [([x, y], loss, lasagne.updates.adam(loss, [w], .1)),
                                     ([x, y], loss, lasagne.updates.adagrad(loss, [w], .1)),
                                     ([x, y], [T.dot(x, y).T, x.shape, x[0, 0] * 2 + y[1, 1], T.sum(x ** 2)], []),
                                     ([x], theano.scan(lambda row: T.dot(row, w), x)[0], []),
                                     ([s], theano.sparse.structured_dot(s, w), [])]:
        function = theano.function(inputs, outputs, updates=updates, mode=theano.Mode("py", "fast_run"))
        yield theano.printing.debugprint(function, file="str", ids="int")

before = list(graphs())
import sparse_ae.ops
assert list(graphs()) == before and "Elemwise" in before[0]
"""


def test_theanos_own_graphs_are_what_they_are_without_the_package():
    programs.run("-c", GRAPHS)


@pytest.mark.skipif(not theano.config.cxx, reason="there is no compiler")
def test_a_function_that_is_all_in_c_has_none(monkeypatch):
    monkeypatch.setattr(theano.compile.mode, "get_default_mode", lambda: theano.Mode("c", "fast_run"))
    x = T.scalar("x", "float32")
    for mode in (rewriting_mode(), fast_mode()):
        assert theano.function([x], 2 * x, mode=mode)(3) == 6
    data, (indices, indptr), F = T.dvector(), T.ivectors(2), T.dmatrix()
    function = theano.function([data, indices, indptr, F], csr_dot(data, indices, indptr, F.T) * data[0])
    assert function([2.0], [1], [0, 1], np.ones((3, 2))).tolist() == [[4, 4, 4]]


# BLAS


def product(op, *inputs):
    output = [None]
    op.perform(None, list(inputs), [output])
    return output[0]


@pytest.mark.parametrize("z_order", ["C", "F", "strided"])
@pytest.mark.parametrize("x_order", ["C", "F", "strided"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gemm_in_every_memory_order(z_order, x_order, dtype):
    rng = np.random.RandomState(0)
    z, x, y = (laid_out(rng.randn(*shape).astype(dtype), order)
               for shape, order in [((4, 3), z_order), ((4, 5), x_order), ((5, 3), "C")])
    expected = 0.5 * z.astype("float64") - 2 * x.astype("float64").dot(y.astype("float64"))
    assert product(rewrites.SciPyGemm(inplace=True), z, np.array(-2, dtype), x, y, np.array(0.5, dtype)) is z
    np.testing.assert_allclose(z, expected, rtol=1e-5)
    # What can't be written to, as of a file that is mapped to memory, stays as it is.
    z.flags.writeable, one = False, np.array(1, dtype)
    moved = product(rewrites.SciPyGemm(inplace=True), z, one, x, y, one)
    np.testing.assert_allclose(moved, expected + x.astype("float64").dot(y.astype("float64")), rtol=1e-4)
    np.testing.assert_allclose(z, expected, rtol=1e-5)
    found = product(rewrites.SciPyDot22(), x, y)
    assert found.flags.c_contiguous and found.dtype == dtype
    np.testing.assert_allclose(found, x.astype("float64").dot(y.astype("float64")), rtol=1e-4)


def test_products_of_nothing_and_shapes_that_do_not_fit():
    gemm, dot = rewrites.SciPyGemm(inplace=True), rewrites.SciPyDot22()
    one, nothing, below = np.ones((4, 3)), np.ones((4, 0)), np.ones((0, 3))
    np.testing.assert_array_equal(product(gemm, one.copy(), np.array(-2.0), nothing, below, np.array(0.5)), one / 2)
    np.testing.assert_array_equal(product(dot, nothing, below), np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"shapes \(4, 5\) and \(4, 3\) don't fit"):
        product(dot, np.ones((4, 5)), one)
    with pytest.raises(ValueError, match=r"shapes \(4, 3\) = \(4, 5\) times \(4, 3\) don't fit"):
        product(gemm, one, np.array(1.0), np.ones((4, 5)), one, np.array(1.0))


def test_whole_sums_of_squares_are_rewritten_and_no_others():
    x, value = T.matrix(), np.random.RandomState(0).randn(3, 4).astype(theano.config.floatX)
    for graph, orders in ((T.sum(x ** 2), ["C", "F", "strided"]), (T.sum(x ** 2, axis=0), []), (T.sum(x ** 3), []),
                          (T.sum(abs(x)), [])):
        function = theano.function([x], graph, mode=rewriting_mode())
        assert any(isinstance(op, rewrites.SquaredNorm) for op in ops(function)) == bool(orders)
        for order in orders:
            np.testing.assert_allclose(function(laid_out(value, order)), np.sum(value.astype(float) ** 2), rtol=1e-6)
    assert rewrites.SquaredNorm() == rewrites.SquaredNorm()  # so that Theano merges them, and finds their code


def test_sums_of_squares_are_as_exact_as_theanos():
    """Float32 is added up in float64, but where another dtype is asked for; that, and other dtypes, are Theano's."""
    x, others = T.fvector(), [T.vector(dtype=dtype) for dtype in ("float16", "int32")]
    graphs = [T.sum(x ** 2, **settings) for settings in (
        {}, dict(acc_dtype="float64"), dict(acc_dtype="float32"), dict(dtype="float64"))]
    function = theano.function([x, *others], graphs + [T.sum(y ** 2) for y in others],
                               mode=theano.Mode("py", "fast_run").including(rewrites.TAG))
    assert [type(op) for op in ops(function)].count(rewrites.SquaredNorm) == 1  # of the first two
    small = [np.arange(4, dtype=y.dtype) for y in others]
    value = np.full(2 ** 20 + 1, 0.1, "float32")  # which rounding in float32 pulls to one side
    found = function(value, *small)
    by_blas = np.lib.NumpyVersion(np.__version__) >= "1.22.0"  # older ones multiply single rows one number at a time
    np.testing.assert_allclose(found[:2], len(value) * float(value[0]) ** 2, rtol=1e-7 if by_blas else 1e-6)
    assert [each.dtype for each in found[:4]] == ["float32"] * 3 + ["float64"] and found[4:] == [14, 14]
    assert function([], *small)[0] == 0


@pytest.mark.skipif(bool(theano.config.blas.ldflags), reason="Theano has a BLAS of its own")
def test_the_dense_graph_updates_W_and_V_in_one_call_each():
    model = AutoEncoder(6, 2, rating_scale=(1, 5), rng=0)
    batch = FORMULATIONS["dense"].inputs((), model.dtype)
    squared_error = Observed().cost(model, FORMULATIONS["dense"], batch)
    function = model.ae_batch(batch.present, squared_error, lasagne.updates.sgd, 0.01)
    kinds = [type(op) for op in ops(function)]
    # The norms of W, V and the error.
    assert list(map(kinds.count, (rewrites.SciPyGemm, rewrites.SciPyDot22, rewrites.SquaredNorm))) == [2, 3, 3]
