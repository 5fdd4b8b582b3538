"""The squares of all outputs against plain loops over them, finite differences, and wrong input."""
import numpy as np
import pytest
import reference
from devices import ON_GPU, ON_OPENCL

from sparse_ae.ops import squared_outputs
from sparse_ae.ops.everywhere import SquaredOutputs
import theano
import theano.tensor as T

TOLERANCE = {"float32": dict(rtol=2e-5, atol=2e-5), "float64": dict(rtol=1e-11, atol=1e-11)}
op_of_a_cpu = pytest.mark.skipif(ON_GPU, reason="the Op is a CPU's; a GPU has products of matrices")
_compiled = {}


def function_of(dtype):
    if dtype not in _compiled:
        h, W, c = T.matrix(dtype=dtype), T.matrix(dtype=dtype), T.vector(dtype=dtype)
        value = squared_outputs(h, W, c)
        _compiled[dtype] = theano.function([h, W, c], [value] + T.grad(value, [h, W, c]))
    return _compiled[dtype]


def arrays(n_rows, n_items, k, dtype):
    rng = np.random.RandomState(0)
    return [(rng.randn(*shape) / 4).astype(dtype) for shape in [(n_rows, k), (n_items, k), (n_items,)]]


# The C code's tiles are 4 or 8 rows by 8 to 32 numbers; it takes 128 rows at a time.
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_rows, n_items, k", [
    (1, 1, 1), (3, 5, 2), (9, 7, 15), (8, 4, 16), (5, 130, 7), (129, 3, 8), (2, 9, 31), (4, 3, 32), (3, 2, 33)])
def test_equals_loops(n_rows, n_items, k, dtype):
    inputs = arrays(n_rows, n_items, k, dtype)
    found = function_of(dtype)(*inputs)
    for x, y in zip(found, reference.squared_outputs(*[x.tolist() for x in inputs])):
        assert x.dtype == dtype
        np.testing.assert_allclose(x, np.reshape(y, x.shape), **TOLERANCE[dtype])


def test_by_hand():
    # Outputs 1 * 2 + 3 = 5 and 1 * -1 + 1 = 0.
    value, d_h, d_W, d_c = function_of("float64")([[1.0]], [[2.0], [-1.0]], [3.0, 1.0])
    assert value == 25
    assert (d_h.tolist(), d_W.tolist(), d_c.tolist()) == ([[2 * 5 * 2]], [[10], [0]], [10, 0])


@pytest.mark.parametrize("n_rows, n_items, k", [(0, 4, 3), (4, 0, 3), (0, 0, 3), (4, 5, 0)])
def test_nothing_there(n_rows, n_items, k):
    if ON_OPENCL:
        pytest.skip("OpenCL's BLAS, CLBlast, refuses matrices without rows or columns")
    h, W, c = arrays(n_rows, n_items, k, "float64")
    value, d_h, d_W, d_c = function_of("float64")(h, W, c)
    assert abs(value - (n_rows * (c ** 2).sum() if not k else 0)) < 1e-12
    assert (d_h.shape, d_W.shape, d_c.shape) == (h.shape, W.shape, c.shape)
    np.testing.assert_allclose(d_c, 2 * n_rows * c)
    assert not d_h.any() and not d_W.any()


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


@op_of_a_cpu
def test_the_gradient_is_of_the_same_pass():
    h, W, c = T.fmatrix(), T.fmatrix(), T.fvector()
    value = squared_outputs(h, W, c)
    function = theano.function([h, W, c], [value] + T.grad(value, [h, W, c]))
    assert sum(isinstance(node.op, SquaredOutputs) for node in function.maker.fgraph.toposort()) == 1


def test_kinds_that_do_not_fit():
    with pytest.raises(TypeError, match="c has 2 dimensions; expected 1"):
        squared_outputs(T.matrix(), T.matrix(), T.matrix())
