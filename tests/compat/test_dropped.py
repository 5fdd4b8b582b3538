"""What NumPy and SciPy dropped or changed since, and what is done without C: each against NumPy, Theano or loops."""
import warnings
from unittest.mock import Mock

import numpy as np
import pytest
import scipy.signal

from sparse_ae import theano_compat  # noqa: F401  (before theano)
import theano
import theano.tensor as T
from theano import scalar
from theano.compile.debugmode import DebugMode
from theano.configparser import change_flags
from theano.gof.cmodule import GCC_compiler
from theano.printing import hex_digest
from theano.sandbox import rng_mrg
from theano.sandbox.rng_mrg import MRG_RandomStreams
from theano.sparse.sandbox import sp
from theano.tensor import fft, fourier
from theano.tensor.nnet import conv as old_conv
from theano.tensor.nnet.conv3d2d import DiagonalSubtensor, IncDiagonalSubtensor
from theano.tensor.shared_randomstreams import RandomStreams
from theano.tensor.signal import pool

IN_PYTHON = theano.Mode("py", None)


@pytest.mark.parametrize("shape", [(), (2,)])
def test_debug_mode_runs_what_works_in_place(shape):
    """compile/debugmode.py:2096: itemset, of an array without axes."""
    count = theano.shared(np.full(shape, 2.0))
    # Without a compiler there is only one implementation to check.
    mode = DebugMode(optimizer="fast_run", check_c_code=False, check_preallocated_output=["initial"])
    step = theano.function([], updates=[(count, count * 3)], mode=mode)
    assert any(node.op.destroy_map for node in step.maker.fgraph.apply_nodes if hasattr(node.op, "destroy_map"))
    for expected in (6, 18):
        step()
        np.testing.assert_array_equal(count.get_value(), np.full(shape, expected))


def test_the_digest_of_an_array():
    """printing.py:1268: tostring."""
    assert hex_digest(np.arange(3)) == hex_digest(np.arange(3)) != hex_digest(np.arange(1, 4))


@pytest.mark.parametrize("mode, step", [("valid", (1, 1)), ("full", (2, 1))])
def test_a_sparse_convolution_and_a_sparse_max_pool(mode, step):
    """sparse/sandbox/sp.py:192 and 117: indices that are floats."""
    image, kernel, x = np.arange(24.0).reshape(4, 6) ** 2, np.array([[1.0, 2], [3, 5]]), T.dmatrix()
    convolved, _ = sp.convolve(kernel.reshape(1, 4), (2, 2), 1, x, (4, 6), step, mode=mode)
    pooled, _ = sp.max_pool(x, (4, 6), (2, 2))
    found = theano.function([x], [convolved, pooled], mode=IN_PYTHON)(image.reshape(1, 24))
    across, down = step
    expected = scipy.signal.correlate2d(image, kernel, mode)[::down, ::across]
    np.testing.assert_allclose(found[0], expected.reshape(1, -1))
    np.testing.assert_array_equal(found[1], image.reshape(2, 2, 3, 2).max((1, 3)).reshape(1, -1))


@pytest.mark.parametrize("options, first, last", [
    (dict(return_inverse=True), [1, 2, 3], [2, 0, 2, 0, 1, 0]), (dict(return_counts=True), [1, 2, 3], [3, 1, 2]),
    (dict(return_inverse=True, return_index=True), [1, 2, 3], [2, 0, 2, 0, 1, 0]),
    (dict(return_inverse=True, axis=0), [[2, 1], [3, 1]], [1, 1, 0])])
def test_the_inverse_of_unique_is_a_vector(options, first, last):
    """tensor/extra_ops.py:1184: in NumPy 2.0 it got a matrix's shape."""
    x = T.dmatrix()
    results = theano.function([x], T.extra_ops.Unique(**options)(x), mode=IN_PYTHON)([[3, 1], [3, 1], [2, 1]])
    assert results[0].tolist() == first and results[-1].tolist() == last


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int8"])
def test_a_fourier_transform_is_a_complex128(dtype):
    """tensor/fourier.py:101 and sandbox/fourier.py:92: in NumPy 2.0 that of a float32 got a complex64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has been deprecated for long
        from theano.sandbox import fourier as sandbox_fourier
    x, values = T.TensorType(dtype, (False, False))(), np.array([[1, 2, 4], [0, 1, 0]], dtype)
    for transform in (fourier.fft(x, 3, 1), sandbox_fourier.fft(x, 3, 1)):
        result = theano.function([x], transform, mode=IN_PYTHON)(values)
        assert result.dtype == transform.dtype == "complex128"
        np.testing.assert_allclose(result, np.fft.fft(values.astype(complex)), atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_real_fourier_transform_and_back(dtype):
    """tensor/fft.py:37 and 95 give a shape and no axes, deprecated in NumPy 2.0."""
    x, values = T.TensorType(dtype, (False, False))(), np.array([[1, 2, 4, 0.5], [0, 1, 0, 3]], dtype)
    there = fft.rfft(x)
    back = fft.irfft(there)
    frequencies, result = theano.function([x], [there, back], mode=IN_PYTHON)(values)
    assert frequencies.dtype == result.dtype == dtype
    np.testing.assert_allclose(frequencies[..., 0] + 1j * frequencies[..., 1], np.fft.rfft(values), atol=1e-6)
    np.testing.assert_allclose(result, values, atol=1e-6)


def test_random_numbers_are_the_same_where_the_stream_does_not_go_on():
    """tensor/raw_random.py:258: since NumPy 2.0 a copy of a RandomState has not a state of its own."""
    stream = RandomStreams(0)
    numbers = stream.uniform((3,))
    same = theano.function([], [numbers, numbers + 1], no_default_updates=True, mode=IN_PYTHON)
    first, and_one = same()
    np.testing.assert_array_equal(and_one, first + 1)
    np.testing.assert_array_equal(same()[0], first)
    goes_on = theano.function([], numbers, mode=IN_PYTHON)
    np.testing.assert_array_equal(goes_on(), first)
    assert not np.isin(goes_on(), first).any()
    expected = np.random.RandomState(np.random.RandomState(0).randint(2 ** 30)).uniform(size=3)
    np.testing.assert_array_equal(first, expected)


def mrg31k3p(seed, n):
    """The first numbers of L'Ecuyer and Touzin's generator, in Python's integers."""
    m1, m2 = 2 ** 31 - 1, 2 ** 31 - 21069
    x, y = [seed] * 3, [seed] * 3
    for _ in range(n):
        x = [(2 ** 22 * x[1] + (2 ** 7 + 1) * x[2]) % m1] + x[:2]
        y = [(2 ** 15 * y[0] + (2 ** 15 + 1) * y[2]) % m2] + y[:2]
        yield (x[0] - y[0] + (m1 if x[0] <= y[0] else 0)) / 2 ** 31


@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-15), ("float32", 1e-6)])
def test_mrg_streams_run_in_python(dtype, rtol):
    """sandbox/rng_mrg.py:288: a mask of 32 bits, an OverflowError next to an int32."""
    numbers = MRG_RandomStreams(12345).uniform((30,), nstreams=1, dtype=dtype)
    result = theano.function([], numbers, mode=IN_PYTHON)()
    assert result.dtype == dtype
    np.testing.assert_allclose(result, list(mrg31k3p(12345, 30)), rtol=rtol)


@pytest.mark.filterwarnings("ignore:theano.tensor.nnet.conv.conv2d is deprecated")
@pytest.mark.parametrize("convolve, border_mode, n", [(T.nnet.conv2d, "valid", 2), (T.nnet.conv2d, "full", 2), (
    old_conv.conv2d, "valid", 2), (old_conv.conv2d, "full", 2), (T.nnet.conv3d, "valid", 3)])
def test_convolutions_run_in_python(convolve, border_mode, n):
    """tensor/nnet/conv.py:30 and abstract_conv.py:27: private names of scipy.signal's, which SciPy 1.8 moved."""
    rng, (x, w) = np.random.RandomState(0), [T.TensorType("float64", (False,) * (n + 2))() for _ in range(2)]
    images, filters = rng.rand(*(2, 3, 5, 4, 4)[:n + 2]), rng.rand(*(2, 3, 3, 2, 2)[:n + 2])
    expected = [[sum(scipy.signal.convolve(*each, border_mode) for each in zip(image, filter)) for filter in filters]
                for image in images]
    result = theano.function([x, w], convolve(x, w, border_mode=border_mode), mode=IN_PYTHON)(images, filters)
    np.testing.assert_allclose(result, expected, rtol=1e-11)


@pytest.mark.parametrize("mode, of", [("max", np.max), ("average_inc_pad", np.mean), ("sum", np.sum)])
@pytest.mark.parametrize("pad", [0, 1])
def test_pools_and_their_gradients_run_in_python(mode, of, pad):
    """tensor/signal/pool.py:574 and 1512 index with lists of slices, an error since NumPy 1.23."""
    x, images = T.dtensor4(), np.random.RandomState(0).rand(2, 3, 4, 4)
    pooled = pool.pool_2d(x, (2, 2), ignore_border=True, pad=(pad, pad), mode=mode)
    results = theano.function([x], [pooled, T.grad(pooled.sum(), x)], mode=IN_PYTHON)(images)
    padded = np.pad(images, [(0, 0), (0, 0), (pad, pad), (pad, pad)], mode="constant")
    expected, gradient = np.zeros((2, 3, 2 + pad, 2 + pad)), np.zeros(padded.shape)
    for b, c, i, j in np.ndindex(*expected.shape):
        region = (b, c, slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2))
        expected[b, c, i, j] = of(padded[region])
        gradient[region] = padded[region] == padded[region].max() if mode == "max" else 1 / 4 if "a" in mode else 1
    assert all(type(result) is np.ndarray for result in results)
    np.testing.assert_allclose(results[0], expected, rtol=1e-12)
    np.testing.assert_allclose(results[1], gradient[:, :, pad:4 + pad, pad:4 + pad], rtol=1e-12)


# What is done without C, the first time


def next_state(state, first, second):
    """One state from another by whole numbers of Python's."""
    moved = []
    for part, matrix, modulo in ((state[:3], first, 2147483647), (state[3:], second, 2147462579)):
        moved += [sum(int(a) * int(s) for a, s in zip(row, part)) % modulo for row in matrix]
    return moved


@pytest.mark.parametrize("n_streams", [1, 2, 5, 64, 300])
def test_states_of_random_streams(n_streams):
    streams = rng_mrg.MRG_RandomStreams(77)
    for _ in range(2):
        expected = [streams.rstate.tolist()]
        found = streams.get_substream_rstates(n_streams, "float32")
        assert found.dtype == "int32" and found.shape == (n_streams, 6)
        while len(expected) < n_streams:
            expected.append(next_state(expected[-1], rng_mrg.A1p72, rng_mrg.A2p72))
        assert found.tolist() == expected
        assert streams.rstate.tolist() == next_state(expected[0], rng_mrg.A1p134, rng_mrg.A2p134)
        assert streams.rstate.dtype == "int32"
    before = streams.rstate
    streams.get_substream_rstates(2, "float32", inc_rstate=False)
    assert streams.rstate is before


def test_nothing_is_compiled_to_seed_and_to_turn_a_constant(monkeypatch):
    monkeypatch.setattr(GCC_compiler, "compile_str", Mock(side_effect=AssertionError("it was compiled")))
    rng_mrg.MRG_RandomStreams(5).uniform((3, 4))
    node = T.constant(np.arange(6.0).reshape(2, 3)).dimshuffle(1, "x", 0).owner
    found, = T.opt.constant_folding.transform(node)
    np.testing.assert_array_equal(found.data, np.arange(6.0).reshape(2, 3).transpose()[:, None])


OPTIMISED = theano.Mode("py", "fast_run")


@pytest.fixture(autouse=True)
def float64():
    with change_flags(floatX="float64"):
        yield


# What runs in Python


def test_a_composite_keeps_the_dtypes_of_its_graph():
    """scalar/basic.py:3848: NumPy 2 adds 300 of Python to an int8 as an int8, an OverflowError, floats as float32. In
    Python an Elemwise hands over its numbers."""
    x, z, y = T.TensorType("int16", (False,))("x"), T.TensorType("int16", (False,))("z"), T.dvector("y")
    outputs = T.exp(y.astype("float32") + y) + (x.astype("int8") + z)
    fused = theano.function([x, z, y], outputs, mode=OPTIMISED)
    assert [isinstance(node.op.scalar_op, scalar.Composite) for node in fused.maker.fgraph.apply_nodes] == [True]
    expected = np.exp(float(np.float32(1 / 3)) + 1 / 3) + 44 + 300
    found = fused(np.array([44], "int16"), np.array([300], "int16"), [1 / 3])
    np.testing.assert_allclose(found, [expected], rtol=1e-15)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_negatives_of_unsigned_integers_are_optimised(dtype):
    """tensor/opt.py:5057 and 6074: an OverflowError, that on_opt_error=warn printed, and no optimisation."""
    x = T.TensorType(dtype, (False,))()
    with change_flags(on_opt_error="raise"):
        function = theano.function([x], [-x, (-x) * np.array(3, dtype) * x], mode=OPTIMISED)
    negative, product = function(np.array([1, 2], dtype))
    np.testing.assert_array_equal(negative, -np.array([1, 2], dtype))
    assert product.dtype == dtype
    np.testing.assert_array_equal(product, -np.array([3, 12], dtype))


@pytest.mark.parametrize("dtype, expected", [("uint8", 255), ("uint64", 2 ** 64 - 1), ("int8", -1)])
def test_all_bits_are_set_where_nothing_is_combined_by_and(dtype, expected):
    """tensor/elemwise.py:1353: fill(-1) of an unsigned array is an OverflowError."""
    x = T.TensorType(dtype, (False, False))()
    result = theano.function([x], T.elemwise.CAReduce(scalar.and_, axis=1)(x), mode=OPTIMISED)(np.ones((2, 0), dtype))
    np.testing.assert_array_equal(result, np.array([expected] * 2, dtype))


def test_gradients_of_degrees_and_radians_and_of_what_is_considered_constant():
    """scalar/basic.py:3108 and 3141 give NumPy a Type for a dtype; gradient.py:2024 and 2059 a variable."""
    x = T.dvector()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consider_constant is another's old name
        constants = [theano.gradient.consider_constant(x), theano.gradient.zero_grad(x)]
    for graph, expected in ([(T.deg2rad(x), np.pi / 180), (T.rad2deg(x), 180 / np.pi), (T.exp2(x), 16 * np.log(2))]
                            + [(x * constant, 4.0) for constant in constants]):
        found = theano.function([x], T.grad(graph.sum(), x), mode=OPTIMISED)([4.0])
        np.testing.assert_allclose(found, [expected], rtol=1e-15)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16", "float64"])
def test_quotients_rounded_up(dtype):
    """scalar/basic.py:74, called by T.ceil_intdiv, gives variables for dtypes."""
    x, y = (T.TensorType(dtype, (False,))() for _ in range(2))
    quotients = theano.function([x, y], T.ceil_intdiv(x, y), mode=OPTIMISED)
    result = quotients(np.array([7, 8, 9], dtype), np.array([4, 4, 4], dtype))
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, [2, 2, 3])


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), T.fscalar().type, T.fscalar()])
def test_what_has_a_dtype_is_one(dtype):
    assert theano._asarray(1, dtype).dtype == theano._asarray(np.float64(1), dtype).dtype == "float32"


def test_nothing_here_says_a_word():
    """NumPy 1.24 to 1.26 warned of what NumPy 2 refuses. (In this suite a warning is an error.)"""
    x = T.TensorType("uint8", (False,))()
    theano.function([x], [x + 400, -x, T.exp(x)], mode=OPTIMISED)(np.array([1], "uint8"))
    scalar.exp.impl(np.int8(1))


def test_a_diagonal_view():
    """tensor/nnet/conv3d2d.py:30 sets strides, deprecated in NumPy 2.4."""
    x, values = T.dmatrix(), np.arange(15.0).reshape(5, 3)
    expected = np.array([[values[i + 2 - j, j] for j in range(3)] for i in range(3)])
    np.testing.assert_array_equal(theano.function([x], DiagonalSubtensor()(x, 0, 1), mode=IN_PYTHON)(values), expected)
    added = theano.function([x], IncDiagonalSubtensor()(x, 0, 1, T.ones((3, 3))), mode=IN_PYTHON)(values)
    assert added.sum() == values.sum() + 9 and (added != values).sum() == 9
