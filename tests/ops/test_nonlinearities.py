"""Nonlinearities and cumulative link models against Lasagne, differences of probabilities and finite differences."""
import copy

import numpy as np
import pytest
import reference

from sparse_ae.ops.nonlinearities import NONLINEARITIES, find, lasagnes_name
from sparse_ae.ops.ordinal import LINKS, ordinal_crossentropy, thresholds_from_counts
import lasagne
import theano
import theano.tensor as T

pytestmark = pytest.mark.usefixtures("float64_by_numpy")
X = np.linspace(-4, 4, 81)


@pytest.fixture(params=list(NONLINEARITIES))
def record(request):
    return NONLINEARITIES[request.param]


def test_values_are_lasagnes(record):
    expected = record.graph(T.as_tensor_variable(X)).eval()
    np.testing.assert_allclose(record.value(X), expected, rtol=1e-13)


def test_slope_is_the_derivative_from_the_value(record):
    x, h = X[np.abs(X) > 1e-3], 1e-6  # rectifiers bend at 0
    y = record.value(x)
    slope = record.slope(y)
    np.testing.assert_allclose(slope, (record.value(x + h) - record.value(x - h)) / (2 * h), atol=1e-9)
    invertible = slope > 0
    np.testing.assert_allclose(record.inverse(y)[invertible], x[invertible], atol=1e-12)


def test_slope_at_0_is_theanos(record):
    x = T.dvector()
    for at in (np.array([0.0, -0.0]), np.array([-1e-300, -2.0])):
        expected = theano.function([x], T.grad(record.graph(x).sum(), x))(at) if not record.is_linear else np.ones(2)
        np.testing.assert_allclose(record.slope(record.value(at)), expected, rtol=1e-12)


def test_range_is_reached_at_infinity(record):
    far = np.array([-800.0, 800.0])
    ends = np.isfinite(record.range)
    np.testing.assert_allclose(record.value(far)[ends], np.array(record.range)[ends])
    assert (np.abs(record.value(far)[~ends]) > 1).all() and np.isnan(record.value(np.array([np.nan]))).all()


def test_they_are_known_by_identity(record):
    assert find(getattr(lasagne.nonlinearities, record.name)) is record
    assert find(copy.deepcopy(record.graph)) is record and lasagnes_name(record.graph) == record.name
    assert find(T.nnet.softplus) is None is find(lasagne.nonlinearities.LeakyRectify(0.2))
    assert find(lambda x: record.graph(x)) is None


# Cumulative link models, and where differences of probabilities lose all digits


THRESHOLDS = [-1.5, -0.2, 0.1, 2.0]
_compiled = {}


def function_of(link, dtype):
    if (link, dtype) not in _compiled:
        s, t, c = T.vector(dtype=dtype), T.vector(dtype=dtype), T.lvector()
        loss = ordinal_crossentropy(s, c, t, link)
        _compiled[link, dtype] = theano.function([s, c, t], [loss] + T.grad(loss.sum(), [s, t]))
    return _compiled[link, dtype]


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
@pytest.mark.parametrize("link", sorted(LINKS))
def test_by_loops(link, dtype):
    scores = np.repeat([-3.0, -0.4, 0.0, 1.1, 2.5], 5).astype(dtype)
    classes = np.tile(np.arange(5), 5)
    losses = function_of(link, dtype)(scores, classes, np.array(THRESHOLDS, dtype))[0]
    expected = [-np.log(reference.ordinal_probabilities(float(s), THRESHOLDS, link)[c])
                for s, c in zip(scores, classes)]
    assert losses.dtype == dtype
    np.testing.assert_allclose(losses, expected, rtol=2e-5 if dtype == "float32" else 1e-9)
    assert abs(np.exp(-losses).reshape(5, 5).sum(axis=1) - 1).max() < 1e-6


@pytest.mark.parametrize("link", sorted(LINKS))
def test_gradients_by_finite_differences(link):
    classes = np.array([0, 1, 2, 3, 4, 2])
    theano.gradient.verify_grad(lambda s, t: ordinal_crossentropy(s, classes, t, link),
                                [np.array([-1.0, 0.3, 0.2, -0.5, 1.0, 4.0]), np.array(THRESHOLDS)],
                                rng=np.random.RandomState(0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_from_all_thresholds_a_logistic_loss_keeps_its_digits(dtype):
    """At a score s far below, -log P(c) is t_c-1 - s, less the logarithm of what the gap leaves; its slope is -1."""
    scores = np.array([-60, -60, 60, 60], dtype)
    losses, slopes, _ = function_of("logistic", dtype)(scores, [2, 0, 2, 4], np.array(THRESHOLDS, dtype))
    gap = -np.log(1 - np.exp(-0.3))
    np.testing.assert_allclose(losses, [60 - 0.2 + gap, 0, 60 - 0.1 + gap, 0], rtol=1e-6, atol=1e-20)
    np.testing.assert_allclose(slopes, [-1, 0, 1, 0], atol=1e-6)


@pytest.mark.parametrize("link", sorted(LINKS))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_score_gives_a_nan(link, dtype):
    scores = np.repeat([-1e4, -50, 50, 1e4], 5).astype(dtype)
    for values in function_of(link, dtype)(scores, np.tile(np.arange(5), 4), np.array(THRESHOLDS, dtype)):
        assert np.isfinite(values).all()


@pytest.mark.parametrize("link", sorted(LINKS))
def test_thresholds_give_the_levels_shares(link):
    thresholds = thresholds_from_counts([99, 199, 0, 699], link)
    np.testing.assert_allclose(reference.ordinal_probabilities(0.0, thresholds, link), [0.1, 0.2, 0.001, 0.7 - 0.001],
                               rtol=2e-3)
    assert (np.diff(thresholds) > 0).all()
