"""The table of nonlinearities: each row against Lasagne's function and finite differences."""
import numpy as np
import pytest

from sparse_ae.ops.nonlinearities import C_ENUM, NONLINEARITIES, find
import lasagne
import theano.tensor as T

X = np.linspace(-4, 4, 81)


@pytest.fixture(params=list(NONLINEARITIES))
def record(request):
    return NONLINEARITIES[request.param]


def test_values_are_lasagnes(record):
    expected = record.graph(T.as_tensor_variable(X)).eval()
    np.testing.assert_allclose(record.value(X), expected, rtol=1e-13)
    np.testing.assert_allclose(X if record.is_linear else record.ufunc(X, out=np.empty_like(X)), expected, rtol=1e-13)


def test_slope_is_the_derivative_from_the_value(record):
    y, h = record.value(X), 1e-6
    slope = record.slope(y)
    np.testing.assert_allclose(slope, (record.value(X + h) - record.value(X - h)) / (2 * h), atol=1e-9)
    assert slope.max() == pytest.approx(record.steepest)
    np.testing.assert_allclose(record.inverse(y), X, atol=1e-12)


def test_range_is_reached_at_infinity(record):
    far = np.array([-800.0, 800.0])
    np.testing.assert_allclose(record.value(far), record.range if record.is_bounded else far)


def test_they_are_known_by_identity(record):
    assert find(getattr(lasagne.nonlinearities, record.name)) is record
    assert find(lasagne.nonlinearities.rectify) is None
    assert find(lambda x: record.graph(x)) is None


def test_no_two_have_one_number_in_c():
    assert len({each.code for each in NONLINEARITIES.values()}) == len(NONLINEARITIES)
    assert C_ENUM == "namespace sparse_ae { enum Nonlinearity { LINEAR = 0, SIGMOID = 1, TANH = 2 }; }\n"
