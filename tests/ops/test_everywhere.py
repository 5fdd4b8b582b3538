"""The squares of all outputs against plain loops over them, finite differences, and wrong input."""
import numpy as np
import pytest
import reference
from devices import ON_GPU, ON_OPENCL

from sparse_ae.ops import squared_outputs
from sparse_ae.ops.everywhere import SquaredOutputs
from sparse_ae.runtime.device import kept_on_host
import theano
import theano.tensor as T

TOLERANCE = {"float32": dict(rtol=2e-5, atol=2e-5), "float64": dict(rtol=1e-11, atol=1e-11)}
op_of_a_cpu = pytest.mark.skipif(ON_GPU, reason="the Op is a CPU's; a GPU has products of matrices")
_compiled = {}


def function_of(dtype, linker=None):
    if (dtype, linker) not in _compiled:
        h, W, c = T.matrix(dtype=dtype), T.matrix(dtype=dtype), T.vector(dtype=dtype)
        value = squared_outputs(h, W, c)
        mode = None if linker is None else kept_on_host(theano.Mode(linker=linker, optimizer="fast_run"))
        _compiled[dtype, linker] = theano.function([h, W, c], [value] + T.grad(value, [h, W, c]), mode=mode)
    return _compiled[dtype, linker]


def arrays(n_rows, n_items, k, dtype):
    rng = np.random.RandomState(0)
    return [(rng.randn(*shape) / 4).astype(dtype) for shape in [(n_rows, k), (n_items, k), (n_items,)]]


# The C code's tiles are 4 or 8 rows by 8 to 32 numbers; it takes 128 rows at a time.
@pytest.mark.parametrize("linker", [None, "py"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_rows, n_items, k", [
    (1, 1, 1), (3, 5, 2), (9, 7, 15), (8, 4, 16), (5, 130, 7), (129, 3, 8), (2, 9, 31), (4, 3, 32), (3, 2, 33)])
def test_equals_loops(n_rows, n_items, k, dtype, linker):
    inputs = arrays(n_rows, n_items, k, dtype)
    found = function_of(dtype, linker)(*inputs)
    for x, y in zip(found, reference.squared_outputs(*[x.tolist() for x in inputs])):
        assert x.dtype == dtype
        np.testing.assert_allclose(x, np.reshape(y, x.shape), **TOLERANCE[dtype])


def test_by_hand():
    # Outputs 1 * 2 + 3 = 5 and 1 * -1 + 1 = 0.
    value, d_h, d_W, d_c = function_of("float64")([[1.0]], [[2.0], [-1.0]], [3.0, 1.0])
    assert value == 25
    assert (d_h.tolist(), d_W.tolist(), d_c.tolist()) == ([[2 * 5 * 2]], [[10], [0]], [10, 0])


@pytest.mark.parametrize("n_rows, n_items, k", [(0, 4, 3), (4, 0, 3), (0, 0, 3), (4, 5, 0)])
@pytest.mark.parametrize("linker", [None, "py"])
def test_nothing_there(n_rows, n_items, k, linker):
    if ON_OPENCL and linker is None:
        pytest.skip("OpenCL's BLAS, CLBlast, refuses matrices without rows or columns")
    h, W, c = arrays(n_rows, n_items, k, "float64")
    value, d_h, d_W, d_c = function_of("float64", linker)(h, W, c)
    assert abs(value - (n_rows * (c ** 2).sum() if not k else 0)) < 1e-12
    assert (d_h.shape, d_W.shape, d_c.shape) == (h.shape, W.shape, c.shape)
    np.testing.assert_allclose(d_c, 2 * n_rows * c)
    assert not d_h.any() and not d_W.any()


@pytest.mark.parametrize("linker", [None, "py"])
def test_any_memory_layout(linker):
    h, W, c = arrays(6, 5, 3, "float64")
    expected = function_of("float64", linker)(h, W, c)
    for layout in (np.asfortranarray, lambda x: np.repeat(x, 2, axis=0)[::2], lambda x: x[::-1].copy()[::-1]):
        for x, y in zip(function_of("float64", linker)(layout(h), layout(W), layout(c)), expected):
            np.testing.assert_allclose(x, y, rtol=1e-13)


def test_the_same_bits_each_time():
    inputs = arrays(200, 300, 40, "float32")  # enough for several threads
    first = [x.tobytes() for x in function_of("float32")(*inputs)]
    assert all([x.tobytes() for x in function_of("float32")(*inputs)] == first for _ in range(5))


@op_of_a_cpu
def test_outputs_that_the_last_call_has_left():
    """With Theano's `allow_gc` off they come back: the sum, too, which has no axis to compare the length of."""
    h, W, c = T.fmatrix(), T.fmatrix(), T.fvector()
    value, d_h = SquaredOutputs()(h, W, c)[:2]
    mode = theano.compile.mode.get_default_mode().clone(link_kwargs={"allow_gc": False})
    function = theano.function([h, W, c], value * d_h, mode=mode)  # in the place of d_h, and not of the sum
    for n_rows, n_items in ((3, 4), (3, 4), (5, 2), (3, 4)):
        inputs = arrays(n_rows, n_items, 3, "float32")
        expected = function_of("float32")(*inputs)
        np.testing.assert_allclose(function(*inputs), expected[0] * expected[1], rtol=1e-5)


def test_gradients_by_finite_differences():
    theano.gradient.verify_grad(squared_outputs, arrays(3, 4, 2, "float64"), rng=np.random.RandomState(1))


@op_of_a_cpu
def test_the_gradient_is_of_the_same_pass():
    h, W, c = T.fmatrix(), T.fmatrix(), T.fvector()
    value = squared_outputs(h, W, c)
    function = theano.function([h, W, c], [value] + T.grad(value, [h, W, c]))
    assert sum(isinstance(node.op, SquaredOutputs) for node in function.maker.fgraph.toposort()) == 1


@op_of_a_cpu
@pytest.mark.parametrize("linker", [None, "py"])
@pytest.mark.parametrize("h, W, c, message", [
    ((2, 3), (4, 2), 4, "h has 3 columns, W 2; both must have one for each hidden unit"),
    ((2, 3), (4, 3), 5, "c has 5 entries, W 4 rows; expected as many")])
def test_sizes_that_do_not_fit(h, W, c, message, linker):
    with pytest.raises(ValueError, match=message):
        function_of("float64", linker)(np.ones(h), np.ones(W), np.ones(c))


def test_kinds_that_do_not_fit():
    with pytest.raises(TypeError, match="c has 2 dimensions; expected 1"):
        squared_outputs(T.matrix(), T.matrix(), T.matrix())


def test_shapes_are_known_beforehand():
    h, W, c = T.matrix(), T.matrix(), T.vector()
    shapes = theano.function([h, W, c], [x.shape for x in SquaredOutputs()(h, W, c)[1:]], on_unused_input="ignore")
    floatX = theano.config.floatX
    assert not any(isinstance(node.op, SquaredOutputs) for node in shapes.maker.fgraph.toposort())
    assert [x.tolist() for x in shapes(*arrays(2, 3, 4, floatX))] == [[2, 4], [3, 4], [3]]
