"""What NumPy 2 broke without a word, on NumPy 1 as well; dtypes of constants and arguments are in test_answers.py."""

import warnings

import numpy as np
import pytest

from sparse_ae import theano_compat  # noqa: F401  (before theano)
import theano
import theano.tensor as T
from theano import scalar
from theano.configparser import change_flags

IN_PYTHON = theano.Mode("py", "fast_run")


@pytest.fixture(autouse=True)
def float64():
    with change_flags(floatX="float64"):
        yield


# Constants


def test_a_range_of_integers_is_one_of_integers():
    """misc/safe_asarray.py:33: T.arange(400) became a float64."""
    assert T.arange(400).dtype == "int64"


def test_a_graph_keeps_all_digits_of_its_numbers():
    """scalar/basic.py:217: x * 0.1 of a float64 x was 0.1 rounded to float32."""
    x = T.dvector()
    for mode in (IN_PYTHON, None):
        result, = theano.function([x], x * 0.1, mode=mode)([1.0])
        assert result == 0.1


# Values that a function is called with


# What runs in Python


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float16", "float32", "int64"])
def test_an_angle_is_a_float64(dtype):
    """scalar/basic.py:3665: NumPy 2's angle of an int8 is a float16."""
    x = T.TensorType(dtype, (False,))()
    result = theano.function([x], T.angle(x), mode=IN_PYTHON)(np.array([100, 3], dtype))
    assert result.dtype == "float64" and (result == 0).all()
    if dtype != "uint8":
        result = theano.function([x], T.angle(x), mode=IN_PYTHON)(np.array([-100, -3], dtype))
        # NumPy 1 has the few digits of the short dtypes.
        np.testing.assert_allclose(result, np.pi, rtol=0 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 1e-3)


def test_a_composite_keeps_the_dtypes_of_its_graph():
    """scalar/basic.py:3848: NumPy 2 added 300 to an int8 as an int8, an OverflowError, and floats as float32."""
    a, b = scalar.int8("a"), scalar.float64("b")
    outputs = [scalar.cast(a, "int8") + scalar.constant(300) + scalar.cast(b, "float32") * b]
    composite = scalar.Composite([a, b], outputs)
    composite.init_py_impls()
    assert composite.outputs[0].dtype == "float64"
    assert composite.impl(100, 1 / 3) == pytest.approx(400 + float(np.float32(1 / 3)) / 3, rel=1e-15)
    x, y = T.TensorType("int8", (False,))(), T.dvector()
    outputs = T.exp(y.astype("float32").astype("float64") + 0.1) + x + 300
    fused = theano.function([x, y], outputs, mode=IN_PYTHON)
    assert any(isinstance(node.op.scalar_op, scalar.Composite) for node in fused.maker.fgraph.apply_nodes
               if isinstance(node.op, T.Elemwise))
    expected = np.exp(np.float64(np.float32(1 / 3)) + 0.1) + 400
    np.testing.assert_allclose(fused(np.array([100], "int8"), [1 / 3]), [expected], rtol=1e-15)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_negatives_of_unsigned_integers_are_optimised(dtype):
    """tensor/opt.py:5057 and 6074: an OverflowError, that on_opt_error=warn printed, and no optimisation."""
    x = T.TensorType(dtype, (False,))()
    with change_flags(on_opt_error="raise"):
        function = theano.function([x], [-x, (-x) * np.array(3, dtype) * x], mode=IN_PYTHON)
    negative, product = function(np.array([1, 2], dtype))
    np.testing.assert_array_equal(negative, -np.array([1, 2], dtype))
    assert product.dtype == dtype
    np.testing.assert_array_equal(product, -np.array([3, 12], dtype))


@pytest.mark.parametrize("dtype, expected", [("uint8", 255), ("uint64", 2 ** 64 - 1), ("int8", -1)])
def test_all_bits_are_set_where_nothing_is_combined_by_and(dtype, expected):
    """tensor/elemwise.py:1353: fill(-1) of an unsigned array is an OverflowError."""
    x = T.TensorType(dtype, (False, False))()
    result = theano.function([x], T.elemwise.CAReduce(scalar.and_, axis=1)(x), mode=IN_PYTHON)(np.ones((2, 0), dtype))
    np.testing.assert_array_equal(result, np.array([expected] * 2, dtype))


def test_degrees_and_radians_have_gradients():
    """scalar/basic.py:3108 and 3141 give NumPy a Type for a dtype."""
    x = T.dvector()
    assert theano.function([x], T.grad(T.deg2rad(x).sum(), x), mode=IN_PYTHON)([1.0]) == [np.pi / 180]
    assert theano.function([x], T.grad(T.rad2deg(x).sum(), x), mode=IN_PYTHON)([1.0]) == [180 / np.pi]
    assert theano.function([x], T.grad(T.exp2(x).sum(), x), mode=IN_PYTHON)([1.0]) == pytest.approx(2 * np.log(2))


def test_a_gradient_that_is_considered_constant():
    """gradient.py:2024 and 2059 give a variable for a dtype."""
    x = T.dvector()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consider_constant is another's old name
        constants = [theano.gradient.consider_constant(x), theano.gradient.zero_grad(x)]
    for constant in constants:
        assert theano.function([x], T.grad((x * constant).sum(), x), mode=IN_PYTHON)([3.0]) == [3.0]


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16", "float64"])
def test_quotients_rounded_up(dtype):
    """scalar/basic.py:74, called by T.ceil_intdiv, gives variables for dtypes."""
    x, y = (T.TensorType(dtype, (False,))() for _ in range(2))
    quotients = theano.function([x, y], T.ceil_intdiv(x, y), mode=IN_PYTHON)
    result = quotients(np.array([7, 8, 9], dtype), np.array([4, 4, 4], dtype))
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, [2, 2, 3])


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), T.fscalar().type, T.fscalar()])
def test_what_has_a_dtype_is_one(dtype):
    assert theano._asarray(1, dtype).dtype == theano._asarray(np.float64(1), dtype).dtype == "float32"


def test_nothing_here_says_a_word():
    """NumPy 1.24 to 1.26 warned of what NumPy 2 refuses. (In this suite a warning is an error.)"""
    x = T.TensorType("uint8", (False,))()
    theano.function([x], [x + 400, -x, T.exp(x)], mode=IN_PYTHON)(np.array([1], "uint8"))
    scalar.exp.impl(np.int8(1))
