"""What NumPy and SciPy dropped or changed since, and what is done without C: each against NumPy, Theano or loops."""
import warnings

import numpy as np
import pytest
import scipy.signal

from sparse_ae import theano_compat  # noqa: F401  (before theano)
import theano
import theano.tensor as T
from theano.compile.debugmode import DebugMode
from theano.gof.cmodule import GCC_compiler
from theano.printing import hex_digest
from theano.sandbox import rng_mrg
from theano.sandbox.rng_mrg import MRG_RandomStreams
from theano.tensor import fft, fourier
from theano.tensor.nnet import conv as old_conv
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


@pytest.mark.parametrize("options", [{"return_inverse": True}, {"return_inverse": True, "return_index": True},
                                     {"return_inverse": True, "axis": 0}, {"return_counts": True}])
def test_the_inverse_of_unique_is_a_vector(options):
    """tensor/extra_ops.py:1184: in NumPy 2.0 it got a matrix's shape."""
    x, values = T.dmatrix(), np.array([[3.0, 1.0], [3.0, 1.0], [2.0, 1.0]])
    results = theano.function([x], T.extra_ops.Unique(**options)(x), mode=IN_PYTHON)(values)
    if "axis" in options:
        np.testing.assert_array_equal(results[0], [[2, 1], [3, 1]])
        np.testing.assert_array_equal(results[-1], [1, 1, 0])
    else:
        np.testing.assert_array_equal(results[0], [1, 2, 3])
        np.testing.assert_array_equal(results[-1], [3, 1, 2] if "return_counts" in options else [2, 0, 2, 0, 1, 0])


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
    y, boxes = T.tensor3(dtype=dtype), np.random.RandomState(0).rand(2, 4, 6).astype(dtype)
    np.testing.assert_allclose(theano.function([y], fft.irfft(fft.rfft(y)), mode=IN_PYTHON)(boxes), boxes, atol=1e-6)


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
@pytest.mark.parametrize("convolve, border_mode", [(T.nnet.conv2d, "valid"), (T.nnet.conv2d, "full"),
                                                   (old_conv.conv2d, "valid"), (old_conv.conv2d, "full")])
def test_convolutions_run_in_python(convolve, border_mode):
    """tensor/nnet/conv.py:30 and abstract_conv.py:27: private names of scipy.signal's, which SciPy 1.8 moved."""
    rng = np.random.RandomState(0)
    x, w, images, filters = T.dtensor4(), T.dtensor4(), rng.rand(2, 3, 5, 4), rng.rand(2, 3, 3, 2)
    expected = [[sum(scipy.signal.convolve2d(*each, border_mode) for each in zip(image, filter)) for filter in filters]
                for image in images]
    result = theano.function([x, w], convolve(x, w, border_mode=border_mode), mode=IN_PYTHON)(images, filters)
    np.testing.assert_allclose(result, expected, rtol=1e-12)


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


def test_convolutions_of_volumes_run_in_python():
    rng = np.random.RandomState(0)
    x, w = (T.TensorType("float64", (False,) * 5)() for _ in range(2))
    images, filters = rng.rand(1, 2, 3, 3, 3), rng.rand(1, 2, 2, 2, 2)
    result = theano.function([x, w], T.nnet.conv3d(x, w), mode=IN_PYTHON)(images, filters)
    expected = sum(scipy.signal.convolve(*each, "valid") for each in zip(images[0], filters[0]))
    np.testing.assert_allclose(result, expected[None, None], rtol=1e-12)


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
    def compile_str(*arguments, **keywords):
        raise AssertionError("it was compiled")

    monkeypatch.setattr(GCC_compiler, "compile_str", staticmethod(compile_str))
    rng_mrg.MRG_RandomStreams(5).uniform((3, 4))
    node = T.constant(np.arange(6.0).reshape(2, 3)).dimshuffle(1, "x", 0).owner
    found, = T.opt.constant_folding.transform(node)
    np.testing.assert_array_equal(found.data, np.arange(6.0).reshape(2, 3).transpose()[:, None])
