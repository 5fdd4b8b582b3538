"""What NumPy 2's headers no longer have, in C: each against NumPy."""

import numpy as np
import pytest
from alike import assert_all_close

from sparse_ae import theano_compat  # noqa: F401  (before theano)
import theano
import theano.tensor as T
from theano.tensor.subtensor import AdvancedIncSubtensor1

pytestmark = pytest.mark.skipif(not theano.config.cxx, reason="nothing is compiled without a compiler")
IN_C = theano.Mode("c", None)


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="NumPy 1 has the directory it always had")
def test_numpy_2_has_a_folder_of_its_own_for_compiled_code():
    assert theano.config.compiledir.rstrip("/").endswith("-numpy2")


def test_all_axes_in_one():
    """tensor/basic.py:1349 and 1556, extra_ops.py:328: NPY_MAXDIMS stood for them."""
    x = T.dtensor3()
    values = np.random.RandomState(0).rand(2, 3, 4)
    outputs = [T.argmax(x), T.argmax(x, axis=1), T.max_and_argmax(x)[0], T.max_and_argmax(x)[1],
               T.cumsum(x), T.cumprod(x), T.cumsum(x, axis=1)]
    results = theano.function([x], outputs, mode=IN_C)(values)
    expected = [values.argmax(), values.argmax(1), values.max(), values.argmax(), values.cumsum(), values.cumprod(),
                values.cumsum(1)]
    assert_all_close(results, expected, rtol=1e-14)


def test_rows_that_are_taken():
    """tensor/subtensor.py:1808."""
    x, index = T.dmatrix(), T.lvector()
    values = np.arange(12.0).reshape(4, 3)
    function = theano.function([x, index], x[index], mode=IN_C)
    np.testing.assert_array_equal(function(values, [3, 0, -1, 3]), values[[3, 0, -1, 3]])
    with pytest.raises(IndexError):
        function(values, [4])


# AdvancedIncSubtensor1: tensor/inc_code.py


def increment(dtype, ndim, inc_broadcastable, inplace=False, set_instead=False, index_dtype="int64", inc_dtype=None):
    x = T.TensorType(dtype, (False,) * ndim)("x")
    inc = T.TensorType(inc_dtype or dtype, inc_broadcastable)("inc")
    index = T.TensorType(index_dtype, (False,))("index")
    op = AdvancedIncSubtensor1(inplace=inplace, set_instead_of_inc=set_instead)
    inputs = [theano.In(x, mutable=inplace), inc, index]
    return theano.function(inputs, op(x, inc, index), mode=IN_C, accept_inplace=True)


def expected_of(x, inc, index, set_instead=False):
    """By loops over rows."""
    result = x.copy()
    inc = np.broadcast_to(inc, (len(index),) + x.shape[1:])
    for row, i in zip(inc, index):
        result[i] = row if set_instead else result[i] + row
    return result


def slow(*cases):
    """Each is C code of its own, which takes a second to compile."""
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


@pytest.mark.parametrize("dtype, settings", [(dtype, {}) for dtype in ("int8", "uint64", "float32", "complex128")] + [
    ("float64", dict(index_dtype=index_dtype, inc_dtype="int8")) for index_dtype in ("int8", "int64")
] + slow(*[(dtype, {}) for dtype in "int16 int32 int64 uint8 uint16 uint32 float64 complex64".split()],
         *[("float64", dict(index_dtype=index_dtype, inc_dtype="int8")) for index_dtype in ("int32", "uint8")]))
def test_rows_are_incremented_in_every_dtype(dtype, settings):
    x = (np.arange(12).reshape(4, 3) + (1j if dtype[0] == "c" else 0)).astype(dtype)
    inc = (np.arange(15).reshape(5, 3) * (1 - 2j if dtype[0] == "c" else 9)).astype(settings.get("inc_dtype", dtype))
    function = increment(dtype, 2, (False, False), **settings)
    for index in ([3, 0, 2, 3, 1], [3, 0, -1, 3, 1])[:1 + (settings.get("index_dtype", "i")[0] == "i")]:
        index = np.array(index, settings.get("index_dtype", "int64"))
        np.testing.assert_array_equal(function(x, inc, index), expected_of(x, inc, index))
    if dtype == "float32":  # no rows, and empty ones
        np.testing.assert_array_equal(function(x, inc[:0], []), x)
        assert function(np.ones((2, 0), dtype), np.ones((1, 0), dtype), [1]).shape == (2, 0)


@pytest.mark.parametrize("set_instead, ndim, shape", [
    (False, 1, (3,)), (True, 2, (3, 2)), (False, 2, (1, 2)), (True, 2, (2,)), (False, 3, (2, 1)), (True, 3, ())] + slow(
    (False, 1, (1,)), (False, 2, (3, 1)), (False, 2, (1, 1)), (False, 2, ()), (False, 3, (3, 2, 4)),
    (False, 3, (3, 1, 4)), (True, 1, (3,)), (True, 3, (3, 1, 4))))
def test_increments_are_broadcast(ndim, shape, set_instead):
    rng = np.random.RandomState(0)
    x, inc = rng.rand(*(5, 2, 4)[:ndim]), rng.rand(*shape)
    if ndim == 1:
        x = rng.rand(5)
    function = increment("float64", ndim, tuple(n == 1 for n in np.shape(inc)), set_instead=set_instead)
    for index in ([4, 0, 4], [-5, -1, 2]):
        before = x.copy()
        np.testing.assert_array_equal(function(x, inc, index), expected_of(x, inc, index, set_instead))
        np.testing.assert_array_equal(x, before)


def test_rows_of_any_memory_order_are_incremented_in_place():
    rng = np.random.RandomState(0)
    function = increment("float64", 2, (False, False), inplace=True)
    for x in (rng.rand(4, 6), rng.rand(6, 4).T, rng.rand(8, 12)[::2, ::-2]):
        for inc in (rng.rand(3, 6), rng.rand(6, 3).T, rng.rand(3, 12)[:, ::2]):
            expected = expected_of(x, inc, [1, 3, 1])
            result = function(x, inc, [1, 3, 1])
            assert np.shares_memory(result, x)
            np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("index, shape, error", [
    ([0, 4], (2, 3), IndexError), ([0, -5], (2, 3), IndexError), ([0, 2 ** 40], (2, 3), IndexError),
    ([0, 1, 2], (2, 3), ValueError), ([0, 1], (2, 2), ValueError),
])
def test_wrong_indices_and_increments_change_nothing(index, shape, error):
    x = np.arange(12.0).reshape(4, 3)
    with pytest.raises(error):
        increment("float64", 2, (False, False), inplace=True)(x, np.ones(shape), index)
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # of NumPy 1's own C code that isn't ours to say
        np.testing.assert_array_equal(x, np.arange(12.0).reshape(4, 3))


def test_an_array_that_must_not_be_written_to_is_refused():
    x = np.ones((2, 2))
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        increment("float64", 2, (False, False), inplace=True)(x, np.ones((1, 2)), [0])
