"""Nonlinearities against Lasagne and finite differences."""
import copy

import numpy as np
import pytest

from sparse_ae.ops.nonlinearities import NONLINEARITIES, find, lasagnes_name
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
