"""Updates of the rows in use against the same updates along arrays; what they touch; where there are none."""
from collections import OrderedDict

import numpy as np
import pytest
import scipy.sparse as sp
from alike import assert_all_close
from devices import ON_GPU, memory_of

from sparse_ae.ops import csr_dot, csr_t_dot, sampled_dot, stored_arrays
from sparse_ae.ops.csr import CsrTDot
from sparse_ae.ops.rows import ADAGRAD_ROWS, SGD_ROWS, RowsStep
import lasagne
import theano
import theano.sparse
import theano.tensor as T
from theano.configparser import change_flags
from theano.tensor.subtensor import AdvancedIncSubtensor1

pytestmark = [pytest.mark.skipif(ON_GPU, reason="the rewrite is the CPU's"),
              pytest.mark.usefixtures("float64_by_numpy")]

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

    def values(self):
        return [x.get_value() for x in self.updates]

    def count(self, op):
        return sum(is_of(node.op, op) for node in self.function.maker.fgraph.apply_nodes)


def is_of(op, kind):
    """Whether an Op is of a class, or has the rule of a `RowsStep`."""
    return isinstance(op, RowsStep) and op.rule == kind.rule if isinstance(kind, RowsStep) else isinstance(op, kind)


ALONG_ARRAYS = theano.compile.mode.get_default_mode().excluding("sparse_ae_update_rows")


RATE, SCALE = theano.shared(np.float32(0.1), "rate"), theano.shared(np.float32(0.5), "scale")


def gives(new):
    """An update by its new values."""
    return lambda grads, params: OrderedDict((F, new(F, G)) for F, G in zip(params, grads))


def nearly_adagrad(sums=lambda squares, G: squares + G ** 2, is_kept=True, start=lambda F: F, rate=lambda F: 0.1):
    """As `lasagne.updates.adagrad`, but for the sums of squares, whether these are kept, the old value, or the rate."""
    def update(grads, params):
        found = OrderedDict()
        for F, G in zip(params, grads):
            squares = theano.shared(np.ones_like(F.get_value()), "squares")
            new = sums(squares, G)
            found[F] = start(F) - T.cast(rate(F), F.dtype) * G / T.sqrt(new + T.cast(1e-6, F.dtype))
            found[squares] = new if is_kept else squares + 1
        return found

    return update


def of_lasagne(update, rate=0.1, **settings):
    return lambda grads, params: update(grads, params, rate, **settings)


# An update, settings of a `Problem`, and how many `CsrTDot`, `SGD_ROWS` and `ADAGRAD_ROWS` there are.
sgd, adagrad = of_lasagne(lasagne.updates.sgd), of_lasagne(lasagne.updates.adagrad)
UPDATES = [
    (sgd, {}, (0, 2, 0)), (adagrad, {}, (0, 0, 2)), (sgd, dict(tied=True), (0, 2, 0)),
    (adagrad, dict(tied=True), (0, 0, 1)),  # which adds both gradients up before it squares them
    # Old values that are added more than once, rates that are products and expressions.
    (gives(lambda F, G: F + F - G), {}, (0, 2, 0)), (gives(lambda F, G: F - G + F * 1.0), {}, (0, 2, 0)),
    (gives(lambda F, G: 3 * F - G - F), {}, (2, 0, 0)), (gives(lambda F, G: F - RATE * (SCALE * G)), {}, (0, 2, 0)),
    (of_lasagne(lasagne.updates.sgd, RATE * 2), {}, (0, 2, 0)),
    (of_lasagne(lasagne.updates.adagrad, RATE * 2), {}, (0, 0, 2)),
    # A weight decay moves all rows, without an array of the products; a gradient that is asked for is there.
    (sgd, dict(decay=0.1), (0, 2, 0)), (sgd, dict(n_outputs=2), (1, 1, 0)), (adagrad, dict(n_outputs=2), (1, 0, 1)),
    # What needs the array has it: every row has a gradient, or a norm; rows of 0 / 0.
    (adagrad, dict(decay=0.1), (2, 0, 0)), (of_lasagne(lasagne.updates.momentum), {}, (2, 0, 0)),
    pytest.param(of_lasagne(lasagne.updates.adam), {}, (2, 0, 0), marks=pytest.mark.slow),
    (of_lasagne(lasagne.updates.adagrad, epsilon=0), {}, (2, 0, 0)),
    (sgd, dict(change=lambda grads: lasagne.updates.total_norm_constraint(grads, 1.0)), (2, 0, 0)),
    (nearly_adagrad(), {}, (0, 0, 2)), (nearly_adagrad(is_kept=False), {}, (2, 0, 0)),
    (nearly_adagrad(lambda squares, G: squares + G ** 4), {}, (2, 0, 0)),
    (nearly_adagrad(lambda squares, G: squares + (2 * G) ** 2), {}, (2, 0, 0)),
    (nearly_adagrad(lambda squares, G: 2 * squares + G ** 2), {}, (2, 0, 0)),
    (nearly_adagrad(lambda squares, G: T.add(squares, G ** 2, abs(G))), {}, (2, 0, 0)),
    (nearly_adagrad(start=lambda F: -F), {}, (2, 0, 0)), (nearly_adagrad(rate=lambda F: 0.1 + F ** 2), {}, (2, 0, 0)),
    (gives(lambda F, G: F + 2 * G), {}, (0, 2, 0))]  # uphill


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
@pytest.mark.parametrize("update, settings, counts", UPDATES, ids=range(len(UPDATES)))
def test_equals_the_update_along_arrays(update, settings, counts, dtype):
    found, expected = (Problem(update, dtype, mode=mode, **settings) for mode in (None, ALONG_ARRAYS))
    assert tuple(map(found.count, (CsrTDot, SGD_ROWS, ADAGRAD_ROWS))) == counts
    assert expected.count(CsrTDot) == 2 and expected.count(SGD_ROWS) == expected.count(ADAGRAD_ROWS) == 0
    for seed in range(3):
        assert_all_close(found.function(block(dtype, seed)), expected.function(block(dtype, seed)), **TOLERANCE[dtype])
    for ours, theirs in zip(found.values(), expected.values()):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, theirs, **TOLERANCE[dtype])


@pytest.mark.parametrize("update, op", [(sgd, SGD_ROWS), (adagrad, ADAGRAD_ROWS)])
def test_in_place_and_no_other_row(update, op):
    problem = Problem(update)
    nodes = [node.op for node in problem.function.maker.fgraph.apply_nodes if is_of(node.op, op)]
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


def plain_sum(F):
    return F.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("column", [
    lambda F: (F ** 2).sum(axis=1, keepdims=True), lambda F: (F ** 2).sum(axis=1)[:, None],
    lambda F: T.exp(0.1 * F).sum(axis=1, keepdims=True), lambda F: F ** 3, plain_sum])
@pytest.mark.parametrize("update, op", [(sgd, SGD_ROWS), (adagrad, ADAGRAD_ROWS)])
def test_terms_that_are_made_of_the_rows_are_rows_in_use_too(update, op, column):
    """As the sums of squares of a factorisation machine."""
    values, kinds, x = [], [], theano.sparse.csr_matrix("x", "float64")
    for mode in (None, ALONG_ARRAYS):
        F = theano.shared(np.random.RandomState(0).randn(N_COLUMNS, K), "F")
        data, indices, indptr = stored_arrays(x)
        squares = csr_dot(data ** 2, indices, indptr, column(F))
        loss = T.sum(csr_dot(data, indices, indptr, F) ** 2) - 0.5 * T.sum(squares)
        function = theano.function([x], updates=update([T.grad(loss, F)], [F]), mode=mode)
        nodes = function.maker.fgraph.apply_nodes
        kinds.append([any(is_of(node.op, kind) for node in nodes) for kind in (op, CsrTDot)])
        for seed in range(3):
            function(block("float64", seed))
        values.append(F.get_value())
    np.testing.assert_allclose(*values, rtol=1e-11)
    # The gradient of a plain sum is a column, which stays an array.
    assert kinds == [[True, False], [False, True]] or column is plain_sum and kinds[1] == [False, True]


@pytest.mark.parametrize("update, op", [(sgd, SGD_ROWS), (adagrad, ADAGRAD_ROWS)])
def test_the_old_value_and_the_new_one_may_be_asked_for(update, op):
    x, V = theano.sparse.csr_matrix("x", "float64"), theano.shared(np.ones((N_COLUMNS, K)))
    updates = update([T.grad(T.sum(csr_dot(*stored_arrays(x), V) ** 2), V)], [V])
    function = theano.function([x], [V + 0, updates[V]], updates=updates)
    ops = [node.op for node in function.maker.fgraph.apply_nodes]
    assert [any(is_of(each, kind) for each in ops) for kind in (op, CsrTDot)] == [True, False]
    for seed in range(2):
        before = V.get_value()
        old, new = function(block("float64", seed))
        np.testing.assert_array_equal(old, before)
        np.testing.assert_array_equal(new, V.get_value())
        assert (old != new).any()


# Look-ups, and other layouts and lengths. No more rewrites than that, and no C: compiled in a moment.
PLAINLY = theano.Mode("py", "fast_compile")
REWRITTEN = PLAINLY.including("sparse_ae_update_rows", "sparse_ae_update_inplace")


def by_look_ups(F, i, csr):
    """Costs of F (n, k) that look rows up, some of them several times and from the end."""
    three = lasagne.layers.InputLayer((None, 3), i.reshape((-1, 3)))
    layer = lasagne.layers.EmbeddingLayer(three, N_COLUMNS, K, W=F[5])
    product = csr_dot(*csr, F[3])
    return [T.sum(F[0][i] ** 3), T.sum(T.tanh(F[1][i.reshape((2, -1))])), T.sum(F[2][i] * F[2][i[::-1] - 1]),
            T.sum(product ** 2) + T.sum(F[3][i] ** 2), T.sum(csr_dot(*csr, F[4].T) ** 2) + T.sum(F[4].T[i] ** 3),
            T.sum(lasagne.layers.get_output(layer) ** 3), T.sum(F[6][i] ** 2), T.sum(F[7][i].dot(F[7].T) ** 2)]


@pytest.mark.parametrize("update, op", [(sgd, SGD_ROWS), (adagrad, ADAGRAD_ROWS)])
def test_look_ups_are_rows_in_use(update, op):
    """In place, even where the old value is asked for; with Adagrad not where all rows have a gradient."""
    values, x, i = [], theano.sparse.csr_matrix("x", "float64"), T.ivector("i")
    for mode in (REWRITTEN, PLAINLY):
        rng = np.random.RandomState(0)
        F = [theano.shared(rng.randn(N_COLUMNS, K), "F%d" % j) for j in range(8)]
        F[4].set_value(np.asfortranarray(F[4].get_value().T))
        costs = by_look_ups(F, i, stored_arrays(x))
        updates = update([T.grad(cost, f) for cost, f in zip(costs, F)], F)
        function = theano.function([i, x], costs + [F[6]], updates=updates, mode=mode)
        nodes = function.maker.fgraph.apply_nodes
        moved = [node.op.inplace for node in nodes if is_of(node.op, op)]
        left = sum(isinstance(node.op, (AdvancedIncSubtensor1, CsrTDot)) for node in nodes)
        if mode is REWRITTEN:
            assert (moved, left) == (([True] * 11, 0) if op is SGD_ROWS else ([True] * 7, 1))
        else:
            assert not moved and left == 11
        places = [memory_of(f) for f in F[:7]]
        found = [function(np.int32(indices), block("float64", seed))
                 for seed, indices in enumerate(([0, 3, -2, 3, 3, 5], [1, 1, 1, -7, 0, 1]))]
        assert mode is not REWRITTEN or [memory_of(f) for f in F[:7]] == places
        values.append(sum(found, []) + [f.get_value() for f in updates])
    assert_all_close(*values, rtol=1e-11)


@pytest.mark.parametrize("dtype, wrong", [("int32", 8), ("int32", -9), ("int64", 2 ** 32 + 1), ("uint8", 8)])
def test_an_index_beyond_the_table_is_an_error(dtype, wrong):
    F, i = theano.shared(np.ones((N_COLUMNS, K)), "F"), T.TensorType(dtype, (False,))("i")
    gradient = T.inc_subtensor(T.zeros_like(F)[i], T.ones((2, K)))
    function = theano.function([i], updates=sgd([gradient], [F]), mode=REWRITTEN)
    with pytest.raises(IndexError, match="with 8 items it must lie in 0 ... 7"):
        function(np.array([1, wrong], dtype))
    np.testing.assert_array_equal(F.get_value(), 1)


@pytest.mark.parametrize("gradient", [
    lambda F, i, A: csr_t_dot(T.ones((2,)), i, T.arange(3, dtype="int32"), A, N_COLUMNS + 1),
    lambda F, i, A: T.inc_subtensor(T.zeros_like(F)[i], A[0].dimshuffle("x", 0))], ids=["rows", "one row for many"])
@pytest.mark.parametrize("update", [sgd, adagrad])
def test_what_theano_adds_otherwise_is_left_to_it(update, gradient):
    """A gradient of other length, which it refuses; a row that it adds to many."""
    found = []
    for mode in (REWRITTEN, PLAINLY):
        F, i, A = theano.shared(np.ones((N_COLUMNS, K)), "F"), T.ivector("i"), T.dmatrix("A")
        function = theano.function([i, A], updates=update([gradient(F, i, A)], [F]), mode=mode)
        assert not any(isinstance(node.op, RowsStep) for node in function.maker.fgraph.apply_nodes)
        try:
            function([3, 3], np.ones((2, K)))
        except ValueError as error:
            assert "shapes (8,3) (9,3)" in str(error)
        found.append(F.get_value())
    np.testing.assert_array_equal(*found)
