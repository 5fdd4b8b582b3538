"""Losses over entries against plain loops and by hand."""
import numpy as np
import pytest
import reference
import scipy.sparse as sp

from sparse_ae.training.losses import (
    missing_squared_error,
    multinomial_crossentropy,
    observed_squared_error,
    ordinal_crossentropy,
)
import theano
import theano.sparse
import theano.tensor as T

X = sp.csr_matrix((np.array([3.0, 0, 2, 1]), np.array([1, 3, 0, 1]), np.array([0, 2, 2, 4])), shape=(3, 4))


@pytest.fixture
def x():
    return theano.sparse.csr_matrix("x", "float64")


def test_squared_error_at_entries(x):
    y = T.dvector()
    assert theano.function([y, x], observed_squared_error(y, x))([1.0, 2, 2, 0], X).tolist() == [4, 4, 0, 1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_multinomial_by_loops(dtype):
    x, scores = theano.sparse.csr_matrix("x", dtype), T.matrix(dtype=dtype)
    given = np.random.RandomState(0).randn(3, 4).astype(dtype)
    loss = multinomial_crossentropy(scores, x)
    found, gradient = theano.function([scores, x], [loss, T.grad(loss.sum(), scores)])(given, X.astype(dtype))
    expected, slopes = np.zeros(3), np.zeros((3, 4))
    for i, row in enumerate(reference.pairs(X)):
        total = sum(np.exp(float(s)) for s in given[i])
        for j, r in row:
            expected[i] -= r * np.log(np.exp(float(given[i, j])) / total)
            slopes[i] += [r * (np.exp(float(s)) / total - (j == m)) for m, s in enumerate(given[i])]
    assert found.dtype == gradient.dtype == dtype and found[1] == 0
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-6)


def test_missing_entries_by_loops(x):
    rng = np.random.RandomState(0)
    values = [rng.randn(*shape) for shape in ((3, 2), (4, 2), (4,))]
    h, W, b = variables = [T.dmatrix(), T.dmatrix(), T.dvector()]
    from sparse_ae.layers import ObservedLayer
    from lasagne.layers import InputLayer, get_output
    layer = ObservedLayer(InputLayer((None, 2), h), InputLayer((None, 4), x), W=values[1], b=values[2])
    outputs = theano.clone(get_output(layer), {layer.W: W, layer.b: b})
    loss = missing_squared_error(h, W, b, outputs, 0.5)
    found = theano.function(variables + [x], [loss] + T.grad(loss, variables))(*values, X)

    def total(h, W, b):
        stored = {(i, j) for i, row in enumerate(reference.pairs(X)) for j, _ in row}
        return sum((0.5 - b[j] - sum(h[i, t] * W[j, t] for t in range(2))) ** 2
                   for i in range(3) for j in range(4) if (i, j) not in stored)

    np.testing.assert_allclose(found[0], total(*values), rtol=1e-12)
    for gradient, value in zip(found[1:], values):
        for place in np.ndindex(value.shape):
            before = value[place]
            slope = 0.0
            for step in (1e-6, -1e-6):
                value[place] = before + step
                slope += total(*values) / (2 * step)
            value[place] = before
            assert abs(gradient[place] - slope) < 1e-6


def test_ordinal_by_hand():
    """A score of 0 and thresholds of -log 3, 0, log 3: each of four levels has the probability 1/4."""
    s, c = T.dvector(), T.lvector()
    loss = ordinal_crossentropy(s, c, T.constant(np.log([1 / 3, 1, 3])))
    np.testing.assert_allclose(theano.function([s, c], loss)(np.zeros(4), np.arange(4)), np.log(4))


def test_what_is_refused(x):
    with pytest.raises(ValueError, match="link is 'cauchit'; expected 'logistic' or 'probit'"):
        ordinal_crossentropy(T.vector(), T.lvector(), T.vector(), "cauchit")
    for loss in (observed_squared_error, multinomial_crossentropy):
        with pytest.raises(TypeError, match="expected a sparse variable"):
            loss(T.matrix(), T.matrix())
