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


def increment(ndim, inc_broadcastable, inplace=False, set_instead=False):
    x, inc = (T.TensorType("float64", axes)() for axes in ((False,) * ndim, inc_broadcastable))
    index = T.lvector()
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


@pytest.mark.parametrize("set_instead, ndim, shape", [
    (False, 1, (3,)), (True, 2, (3, 2)), (False, 2, (1, 2)), (True, 2, (2,)), (False, 3, (2, 1)), (True, 3, ())])
def test_increments_are_broadcast(ndim, shape, set_instead):
    rng = np.random.RandomState(0)
    x, inc = rng.rand(*(5, 2, 4)[:ndim]), rng.rand(*shape)
    if ndim == 1:
        x = rng.rand(5)
    function = increment(ndim, tuple(n == 1 for n in np.shape(inc)), set_instead=set_instead)
    for index in ([4, 0, 4], [-5, -1, 2]):
        before = x.copy()
        np.testing.assert_array_equal(function(x, inc, index), expected_of(x, inc, index, set_instead))
        np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("index, shape, error", [
    ([0, 4], (2, 3), IndexError), ([0, -5], (2, 3), IndexError), ([0, 2 ** 40], (2, 3), IndexError),
    ([0, 1, 2], (2, 3), ValueError), ([0, 1], (2, 2), ValueError),
])
def test_wrong_indices_and_increments_change_nothing(index, shape, error):
    x = np.arange(12.0).reshape(4, 3)
    with pytest.raises(error):
        increment(2, (False, False), inplace=True)(x, np.ones(shape), index)
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # of NumPy 1's own C code that isn't ours to say
        np.testing.assert_array_equal(x, np.arange(12.0).reshape(4, 3))


def test_an_array_that_must_not_be_written_to_is_refused():
    x = np.ones((2, 2))
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        increment(2, (False, False), inplace=True)(x, np.ones((1, 2)), [0])
