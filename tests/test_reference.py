"""The judge is judged: by hand arithmetic and by finite differences, and the check can fail."""
import numpy as np
import pytest
import reference
import scipy.sparse as sp


def small():
    rng = np.random.RandomState(0)
    matrix = sp.csr_matrix(np.array([[5.0, 0, 3, 0], [0, 0, 0, 0], [1, 2, 0, 4]]))
    return reference.pairs(matrix), [rng.randn(4, 2), rng.randn(2, 4), rng.randn(2), rng.randn(4)]


def test_by_hand():
    # One user, one hidden unit, items 0 and 2 rated 1 and 2; identity everywhere:
    # h = 0.5 + 1*1 + 2*2 = 5.5; outputs 2*5.5 + 1 = 12 and -1*5.5 + 0 = -5.5; errors 11 and -7.5.
    W, V = np.array([[2.0], [9.0], [-1.0]]), np.array([[1.0, 9.0, 2.0]])
    mu, b = np.array([0.5]), np.array([1.0, 9.0, 0.0])
    loss, squared_error, (dW, dV, dmu, db) = reference.loss_and_gradients(
        [[(0, 1.0), (2, 2.0)]], W, V, mu, b, f="linear", g="linear", l2_W=0.5, l2_V=0.25)
    assert squared_error == 11 ** 2 + 7.5 ** 2
    assert loss == squared_error + 0.5 * (4 + 81 + 1) + 0.25 * (1 + 81 + 4)
    dh = 22 * 2 + -15 * -1
    np.testing.assert_array_equal(dW, [[22 * 5.5 + 2], [9], [-15 * 5.5 - 1]])
    np.testing.assert_array_equal(dV, [[dh * 1 + 0.5, 4.5, dh * 2 + 1]])
    np.testing.assert_array_equal(dmu, [dh])
    np.testing.assert_array_equal(db, [22, 0, -15])


def numeric(rows, parameters, which, **kwargs):
    gradient = np.zeros_like(parameters[which])
    for index in np.ndindex(*gradient.shape):
        losses = []
        for sign in (1, -1):
            moved = [p.copy() for p in parameters]
            moved[which][index] += sign * 1e-5
            losses.append(reference.loss_and_gradients(rows, *moved, **kwargs)[0])
        gradient[index] = (losses[0] - losses[1]) / 2e-5
    return gradient


@pytest.mark.parametrize("f, g", [("sigmoid", "tanh"), ("linear", "sigmoid"), ("tanh", "rectify")])
@pytest.mark.parametrize("which", range(4))
def test_finite_differences(f, g, which):
    rows, parameters = small()
    kwargs = dict(f=f, g=g, low=1, span=4)
    gradient = reference.loss_and_gradients(rows, *parameters, **kwargs)[2][which]
    np.testing.assert_allclose(gradient, numeric(rows, parameters, which, **kwargs), rtol=1e-6, atol=1e-6)


def test_a_wrong_gradient_is_rejected():
    rows, parameters = small()
    for which, gradient in enumerate(reference.loss_and_gradients(rows, *parameters)[2]):
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            np.testing.assert_allclose(gradient * 1.001, numeric(rows, parameters, which), rtol=1e-6, atol=1e-6)
