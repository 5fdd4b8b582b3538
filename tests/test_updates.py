"""Adam on the rows in use against its definition, by loops; what it touches; and as a name of the trainer's."""

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from alike import assert_all_close
from devices import sparse_adam_needs_cpu

from sparse_ae import AutoEncoder
from sparse_ae.ops import SparseAdamStep, csr_dot, sampled_dot, stored_arrays
from sparse_ae.ops.rows import RowsStep
from sparse_ae.training.batch import Batch
from sparse_ae.training.objectives import Missing, Observed
from sparse_ae.training.steps import TrainingStep
from sparse_ae.updates import sparse_adam
import theano
import theano.sparse
import theano.tensor as T
from theano.configparser import change_flags

pytestmark = pytest.mark.usefixtures("float64_by_numpy")
N_COLUMNS, K, UNUSED = 8, 3, [2, 7]
SETTINGS = dict(learning_rate=0.05, beta1=0.8, beta2=0.95, epsilon=1e-6)


def block(dtype, seed):
    """5 x 8 with an empty row, and a stored 0 whose column has no other entry in its first block."""
    rng = np.random.RandomState(seed)
    stored = rng.rand(5, N_COLUMNS) < 0.5
    stored[1] = stored[:, UNUSED] = stored[:, 3] = False
    stored[0, 3] = True
    dense = np.where(stored, rng.randn(5, N_COLUMNS), 0)
    dense[0, 3] = 0
    indptr = np.append(0, stored.sum(axis=1).cumsum())
    return sp.csr_matrix((dense[stored].astype(dtype), np.nonzero(stored)[1], indptr), dense.shape)


class Steps:
    """Steps of a cost that reads F (n, k), V (k, n), b (n,) and c (k,), the last in a dense layer."""

    def __init__(self, dtype, mode, change):
        rng = np.random.RandomState(0)
        self.start = [rng.randn(N_COLUMNS, K), rng.randn(K, N_COLUMNS), rng.randn(N_COLUMNS), rng.randn(K)]
        with change_flags(floatX=dtype):
            F, V, b, c = self.params = [theano.shared(x.astype(dtype), name) for x, name in zip(self.start, "FVbc")]
            x = theano.sparse.csr_matrix("x", dtype)
            data, indices, indptr = stored_arrays(x)
            h = T.tanh(csr_dot(data, indices, indptr, F) + csr_dot(data ** 2, indices, indptr, V.T) + c)
            errors = sampled_dot(indices, indptr, h, F) + b[indices] - data
            # F stands in it a third time, summed over its units.
            self.cost = T.sum(errors ** 2) + T.sum(csr_dot(data, indices, indptr, (F ** 2).sum(axis=1, keepdims=True)))
            grads = [change(gradient) for gradient in T.grad(self.cost, self.params)]
            self.gradients = theano.function([x], grads, mode=theano.Mode("py", "fast_compile"))
            updates = sparse_adam(grads, self.params, **SETTINGS)
            self.kept = [each for each in updates if each not in self.params]
            self.function = theano.function([x], self.cost, updates=updates, mode=mode)


@sparse_adam_needs_cpu
@pytest.mark.parametrize("dtype, mode, change", [
    ("float64", None, lambda g: g), ("float32", None, lambda g: -g / 2),
    ("float64", theano.Mode("py", "fast_run"), lambda g: 0.5 * g),
    ("float64", theano.Mode("py", "fast_compile"), lambda g: g - 3 * g)])
def test_by_loops(dtype, mode, change):
    steps = Steps(dtype, mode, change)
    ops = [node.op for node in steps.function.maker.fgraph.apply_nodes if isinstance(node.op, RowsStep)]
    assert mode is not None or [op.inplace for op in ops] == [True] * 3
    expected, state = steps.start, None
    for seed in range(4):
        X = block(dtype, seed)
        for variable, value in zip(steps.params, expected):  # gradients at the same place
            variable.set_value(value.astype(dtype))
        gradients = [x.astype("float64") for x in steps.gradients(X)]
        column = np.isin(np.arange(N_COLUMNS), X.indices)
        assert column[3] and not column[UNUSED].any()
        used = [np.tile(column[:, np.newaxis], K), np.tile(column, (K, 1)), column, np.ones(K, bool)]
        values = [x.get_value().astype("float64") for x in steps.params]
        expected, state = reference.sparse_adam(values, gradients, used, state=state, **SETTINGS)
        steps.function(X)
        for variable, value in zip(steps.params, expected):
            assert variable.dtype == dtype
            np.testing.assert_allclose(variable.get_value(), value, **(
                dict(rtol=1e-10) if dtype == "float64" else dict(rtol=1e-4, atol=1e-4)))


MORE = "gradient of F to rows in use: it has more in it.*weight decay.*clip.*norms.*tied weights.*lasagne.updates.adam"


@sparse_adam_needs_cpu
@pytest.mark.parametrize("gradient, message", [
    (lambda F, x: T.grad(T.sum(csr_dot(*x, F) ** 2) + 0.1 * T.sum(F ** 2), F), MORE),
    (lambda F, x: T.grad(T.sum(T.dot(csr_dot(*x, F), F.T)), F), MORE),
    (lambda F, x: T.clip(T.grad(T.sum(csr_dot(*x, F) ** 2), F), -1, 1), MORE),
    (lambda F, x: T.grad(T.sum(F ** 2), F),
     "no gradient of F is limited to rows in use; expected, on the CPU, weights on sparse input among the parameters")])
def test_gradients_for_all_rows_are_refused(gradient, message):
    F, x = theano.shared(np.ones((3, 2)), "F"), theano.sparse.csr_matrix("x", "float64")
    with pytest.raises(ValueError, match=message):
        sparse_adam([gradient(F, stored_arrays(x))], [F])


@sparse_adam_needs_cpu
def test_rows_of_more_dimensions_are_refused():
    F, i = theano.shared(np.ones((3, 2, 2)), "F"), T.ivector("i")
    with pytest.raises(ValueError, match="gradient of F to rows in use: it has 3 dimensions"):
        sparse_adam(T.sum(F[i] ** 2), [F])


# The trainer's


def model(**settings):
    return AutoEncoder(9, 4, **dict(dict(f="linear", g="sigmoid", rating_scale=(1, 5), l2=0, rng=1, dtype="float64"),
                                    **settings))


@sparse_adam_needs_cpu
def test_what_no_pass_serves_is_a_graph_of_rows_in_use():
    """Of a nonlinearity of one's own: with b's entries and V's columns in use alone, too."""
    X, found = sp.random(6, 9, 0.3, "csr", random_state=0), []
    X.data = np.arange(1.0, 1 + X.nnz) % 5
    for f in ("linear", lambda x: x + 0 * abs(x)):
        autoencoder = model(f=f)
        step = TrainingStep(autoencoder, "sparse", sparse_adam, 0.05)
        for _ in range(3):
            step(Batch.of(X))
        found.append([x.get_value() for x in autoencoder.params])
        kinds = [type(node.op) for node in step.function.maker.fgraph.apply_nodes]
        assert (SparseAdamStep in kinds) == (f == "linear") and kinds.count(RowsStep) == (0 if f == "linear" else 3)
    assert_all_close(*found, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("settings, formulation, update, objective, message", [
    (dict(l2=0.1), "sparse", sparse_adam, Observed(), "rows in use.*use lasagne.updates.adam"),
    ({}, "dense", sparse_adam, Observed(), "rows in use.*use lasagne.updates.adam"),
    ({}, "sparse", sparse_adam, Missing(0.1), "rows in use.*use lasagne.updates.adam"),
    ({}, "sparse", lambda *arguments: sparse_adam(*arguments), Observed(), "functools.partial")])
def test_what_moves_all_rows_is_refused_by_the_trainers_step(settings, formulation, update, objective, message):
    with pytest.raises(ValueError, match=message):
        TrainingStep(model(**settings), formulation, update, 0.05, objective=objective)
