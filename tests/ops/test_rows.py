"""Updates of the rows in use against the same updates along arrays; what they touch; where there are none."""
from collections import OrderedDict

import numpy as np
import pytest
import scipy.sparse as sp
from devices import ON_GPU, memory_of

from sparse_ae.ops import csr_dot, sampled_dot, stored_arrays
from sparse_ae.ops.csr import CsrTDot
from sparse_ae.ops.rows import AdagradRows, SGDRows
import lasagne
import theano
import theano.sparse
import theano.tensor as T
from theano.configparser import change_flags

pytestmark = pytest.mark.skipif(ON_GPU, reason="the rewrite is the CPU's")

N_ROWS, N_COLUMNS, K = 5, 8, 3
TOLERANCE = {"float32": dict(rtol=2e-5, atol=2e-6), "float64": dict(rtol=1e-12, atol=1e-12)}


def block(dtype, seed=0):
    """5 x 8 with an empty row, two empty columns, a stored 0, and a pair of entries at one place."""
    rng = np.random.RandomState(seed)
    stored = rng.rand(N_ROWS, N_COLUMNS) < 0.7
    stored[1] = stored[:, 2] = stored[:, 7] = False
    X = sp.csr_matrix(np.where(stored, rng.randn(N_ROWS, N_COLUMNS), 0).astype(dtype))
    X.data[0] = 0
    X.indices[1] = X.indices[0]
    return X


UNUSED = [2, 7]


class Problem:
    """Steps of an update of an encoder V and a decoder W, which may be one, and what the compiled function has."""

    def __init__(self, update, dtype="float64", tied=False, decay=None, mode=None, change=None, n_outputs=1):
        rng = np.random.RandomState(1)
        with change_flags(floatX=dtype):
            V = theano.shared(rng.randn(N_COLUMNS, K).astype(dtype), "V")
            W = V if tied else theano.shared(rng.randn(N_COLUMNS, K).astype(dtype), "W")
            self.params = [V] if tied else [V, W]
            x = theano.sparse.csr_matrix("x", dtype)
            data, indices, indptr = stored_arrays(x)
            errors = sampled_dot(indices, indptr, T.tanh(csr_dot(data, indices, indptr, V)), W) - data
            loss = T.mean(errors ** 2)
            if decay:
                loss += decay * sum(T.sum(p ** 2) for p in self.params)
            grads = T.grad(loss, self.params)
            self.updates = update(change(grads) if change else grads, self.params)
            outputs = [loss, grads[0]][:n_outputs]
            self.function = theano.function([x], outputs, updates=self.updates, mode=mode)
        self.dtype = dtype

    def values(self):
        return [x.get_value() for x in self.updates]

    def run(self, steps=3):
        for i in range(steps):
            self.function(block(self.dtype, seed=i))
        return self.values()

    def count(self, op):
        return sum(isinstance(node.op, op) for node in self.function.maker.fgraph.apply_nodes)


def sgd(grads, params):
    return lasagne.updates.sgd(grads, params, 0.1)


def shared_rate(update):
    rate = theano.shared(np.asarray(0.1))
    return lambda grads, params: update(grads, params, rate * 2)


def adagrad(grads, params):
    return lasagne.updates.adagrad(grads, params, 0.1)


ALONG_ARRAYS = theano.compile.mode.get_default_mode().excluding("sparse_ae_update_rows")


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("update, op, n", [(sgd, SGDRows, 2), (adagrad, AdagradRows, 2)])
def test_equals_the_update_along_arrays(update, op, n, tied, dtype):
    expected = Problem(update, dtype, tied, mode=ALONG_ARRAYS)
    assert expected.count(CsrTDot) == 2 and expected.count(op) == 0
    found = Problem(update, dtype, tied)
    # A tied Adagrad adds both gradients up before it squares them: one step.
    assert found.count(CsrTDot) == 0 and found.count(op) == (1 if tied and op is AdagradRows else 2)
    for ours, theirs in zip(found.run(), expected.run()):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, theirs, **TOLERANCE[dtype])


RATE, SCALE = theano.shared(0.1, "rate"), theano.shared(0.5, "scale")


@pytest.mark.parametrize("new", [lambda F, G: F + F - G, lambda F, G: F - G + F * 1.0, lambda F, G: 3 * F - G - F,
                                 lambda F, G: F - RATE * (SCALE * G)])
def test_the_old_value_may_be_added_more_than_once_and_rates_may_be_products(new):
    def update(grads, params):
        return OrderedDict((F, new(F, G)) for F, G in zip(params, grads))

    for ours, theirs in zip(Problem(update).run(), Problem(update, mode=ALONG_ARRAYS).run()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("update", [lasagne.updates.sgd, lasagne.updates.adagrad])
def test_with_a_rate_that_is_an_expression(update):
    found, expected = Problem(shared_rate(update)), Problem(shared_rate(update), mode=ALONG_ARRAYS)
    assert found.count(CsrTDot) == 0
    for ours, theirs in zip(found.run(), expected.run()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("update, op", [(sgd, SGDRows), (adagrad, AdagradRows)])
def test_in_place_and_no_other_row(update, op):
    problem = Problem(update)
    nodes = [node.op for node in problem.function.maker.fgraph.apply_nodes if isinstance(node.op, op)]
    assert len(nodes) == 2 and all(node.inplace for node in nodes)
    matrices = [x for x in problem.updates if x.ndim == 2]
    for x in matrices:  # whatever reads or writes there leaves its mark
        value = x.get_value()
        value[UNUSED] = np.nan
        x.set_value(value)
    places = [memory_of(x) for x in matrices]
    before = [x.get_value() for x in matrices]
    problem.function(block("float64"))
    assert [memory_of(x) for x in matrices] == places
    used = [i for i in range(N_COLUMNS) if i not in UNUSED]
    for x, old in zip(matrices, before):
        new = x.get_value()
        assert np.isfinite(new[used]).all() and (new[used] != old[used]).any() and np.isnan(new[UNUSED]).all()


@pytest.mark.parametrize("column", [
    lambda F: (F ** 2).sum(axis=1, keepdims=True), lambda F: (F ** 2).sum(axis=1)[:, None],
    lambda F: T.exp(0.1 * F).sum(axis=1, keepdims=True), lambda F: F ** 3])
@pytest.mark.parametrize("update, op", [(sgd, SGDRows), (adagrad, AdagradRows)])
def test_terms_that_are_made_of_the_rows_are_rows_in_use_too(update, op, column):
    """As the sums of squares of a factorisation machine."""
    values, x = [], theano.sparse.csr_matrix("x", "float64")
    for mode in (None, ALONG_ARRAYS):
        F = theano.shared(np.random.RandomState(0).randn(N_COLUMNS, K), "F")
        data, indices, indptr = stored_arrays(x)
        squares = csr_dot(data ** 2, indices, indptr, column(F))
        loss = T.sum(csr_dot(data, indices, indptr, F) ** 2) - 0.5 * T.sum(squares)
        function = theano.function([x], updates=update([T.grad(loss, F)], [F]), mode=mode)
        kinds = [type(node.op) for node in function.maker.fgraph.apply_nodes]
        assert (op in kinds, CsrTDot in kinds) == ((True, False) if mode is None else (False, True))
        for seed in range(3):
            function(block("float64", seed))
        values.append(F.get_value())
    np.testing.assert_allclose(*values, rtol=1e-11)


def test_sgd_with_a_weight_decay_moves_all_rows_without_an_array_of_the_products():
    found, expected = Problem(sgd, decay=0.1), Problem(sgd, decay=0.1, mode=ALONG_ARRAYS)
    assert found.count(CsrTDot) == 0 and found.count(SGDRows) == 2
    for ours, theirs in zip(found.run(), expected.run()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("arguments", [
    dict(update=adagrad, decay=0.1),  # every row has a gradient
    dict(update=lambda grads, params: lasagne.updates.momentum(grads, params, 0.1)),
    pytest.param(dict(update=lambda grads, params: lasagne.updates.adam(grads, params, 0.1)), marks=pytest.mark.slow),
    dict(update=lambda grads, params: lasagne.updates.adagrad(grads, params, 0.1, epsilon=0)),  # rows of 0 / 0
    dict(update=sgd, change=lambda grads: lasagne.updates.total_norm_constraint(grads, 1.0)),
], ids=["decay", "momentum", "adam", "epsilon", "norm"])
def test_updates_that_need_the_array_have_it(arguments):
    problem = Problem(**arguments)
    assert problem.count(CsrTDot) == 2 and problem.count(AdagradRows) == problem.count(SGDRows) == 0


@pytest.mark.parametrize("update", [sgd, adagrad])
def test_a_gradient_that_is_asked_for_is_there(update):
    found = Problem(update, n_outputs=2)
    assert found.count(CsrTDot) == 1
    gradient = found.function(block("float64"))[1]
    expected = Problem(update, n_outputs=2, mode=ALONG_ARRAYS)
    np.testing.assert_allclose(gradient, expected.function(block("float64"))[1], rtol=1e-12)
    for ours, theirs in zip(found.values(), expected.values()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_an_old_value_that_is_asked_for_is_the_old_one():
    x = theano.sparse.csr_matrix("x", "float64")
    V = theano.shared(np.ones((N_COLUMNS, K)))
    loss = T.sum(csr_dot(*stored_arrays(x), V) ** 2)
    for update in (sgd, adagrad):
        V.set_value(np.ones((N_COLUMNS, K)))
        old = theano.function([x], V + 0, updates=update([T.grad(loss, V)], [V]))(block("float64"))
        np.testing.assert_array_equal(old, 1)
        assert (V.get_value() != 1).any()
