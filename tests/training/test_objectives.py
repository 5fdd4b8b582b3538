"""Objectives, losses and targets, against plain loops and by hand."""
import json

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from devices import DTYPE, ON_GPU
from made import many_stars, stars
from toys import softplus

from sparse_ae.model import AutoEncoder
from sparse_ae.training.batch import CHANNELS, Batch
from sparse_ae.training.formulations import FORMULATIONS, choose_formulation
from sparse_ae.training.losses import multinomial_crossentropy
from sparse_ae.training.objectives import Missing, Multinomial, Observed, objective_of
from sparse_ae.training.steps import TrainingStep
from sparse_ae.training.targets import BeyondBiases
import lasagne
import theano
import theano.sparse
import theano.tensor as T

TOLERANCE = {"float64": dict(rtol=1e-10, atol=1e-10), "float32": dict(rtol=1e-4, atol=1e-4)}
N_ITEMS, K = 6, 3
DECAY = dict(l2_W=0.05, l2_V=0.1)

# (formulation, missing_weight, f, g, whether there is a target of its own and a second encoder). The sparse one shifts
# the target up to a weight of 0.9, fused or, for a g that isn't, in pieces; beyond that it takes the second way.
CASES = [("dense", 0.3, "sigmoid", "tanh", False), ("dense", 1.0, "linear", "sigmoid", True),
         ("sparse", 0.3, "linear", "tanh", False), ("sparse", 0.9, "linear", "sigmoid", True),
         ("sparse", 0.95, "linear", "sigmoid", True), ("sparse", 0.3, "linear", "softplus", False)]
# What is judged is our graphs: Theano's own loops in C are not.
pytestmark = pytest.mark.usefixtures("loops_by_numpy")


def block():
    """Five rows; row 3 has no rating, and neither has item 4."""
    return stars(5, N_ITEMS, without_rows=[3], without_columns=[4])


def extras(two):
    """The target and what is seen, beside a block's entries."""
    rng = np.random.RandomState(1)
    n = block().nnz
    return (rng.randn(n), 1 + rng.rand(n)) if two else (None, None)


def missing(w):
    return Missing(w, 0.5)


def model(f="linear", g="sigmoid", two=False, dtype=DTYPE, rating_scale=(1, 5)):
    wide = lasagne.init.Normal(0.5)
    return AutoEncoder(N_ITEMS, K, rating_scale=rating_scale, f=f, g={"softplus": softplus}.get(g, g), l2=(0.05, 0.1),
                       W=wide, V=wide, mu=wide, b=wide, U=wide if two else None, rng=1, dtype=dtype)


def expected_of(w, f, g, two, parameters):
    def rows_of(values):
        return None if values is None else [
            values[block().indptr[i]:block().indptr[i + 1]].tolist() for i in range(block().shape[0])]

    targets, seen = map(rows_of, extras(two))
    low, span = (1.0, 4.0) if f == "sigmoid" else (0.0, 1.0)
    return reference.loss_and_gradients(reference.pairs(block()), *parameters, f=f, g=g, low=low, span=span,
                                        targets=targets, seen=seen, w=w, m=0.5, **DECAY)


@pytest.mark.parametrize("name, w, f, g, two", CASES)
def test_loss_and_gradients(name, w, f, g, two):
    m = model(f, g, two)
    formulation = FORMULATIONS[name]
    batch = formulation.inputs(CHANNELS if two else (), DTYPE)
    squared_error = missing(w).cost(m, formulation, batch)
    loss = m.loss(squared_error)
    function = theano.function(batch.present, [loss, squared_error] + T.grad(loss, m.params))
    expected = expected_of(w, f, g, two, [p.get_value().astype("float64") for p in m.params])
    got = function(*formulation.pack(Batch.of(block(), *extras(two)), m))
    np.testing.assert_allclose(got[:2], expected[:2], **TOLERANCE[DTYPE])
    for x, y in zip(got[2:], expected[2]):
        assert x.dtype == DTYPE
        np.testing.assert_allclose(x, y, **TOLERANCE[DTYPE])


@pytest.mark.parametrize("update", ["sgd", "adagrad"])
def test_updates_that_pass_over_rows_without_ratings_do_not(update):
    # With w = 0 both leave them alone in the sparse graph, or scale them. Here each row has a gradient.
    m = model()
    step = TrainingStep(m, "sparse", getattr(lasagne.updates, update), 0.01, objective=missing(0.3))
    before = [p.get_value().astype("float64") for p in m.params]
    loss, squared_error, gradients = expected_of(0.3, "linear", "sigmoid", False, before)
    np.testing.assert_allclose(step(Batch.of(block())), [loss, squared_error], **TOLERANCE[DTYPE])
    for p, old, d in zip(m.params, before, gradients):
        move = d if update == "sgd" else d / np.sqrt(d ** 2 + 1e-6)
        np.testing.assert_allclose(p.get_value(), old - 0.01 * move, **TOLERANCE[DTYPE])
    assert (m.W.get_value()[4] != before[0][4]).all()


def largest_array(name):
    """The most numbers that any array of the gradient's computation holds, of 40 rows of 50 items."""
    m = AutoEncoder(50, 3, rating_scale=(1, 5), f="linear", g="sigmoid", rng=0)
    rows = sp.random(40, 50, density=0.05, random_state=0, format="csr", dtype="float32")
    formulation, sizes = FORMULATIONS[name], []
    batch = formulation.inputs((), m.dtype)

    def run_and_note_sizes(i, node, thunk):
        thunk()
        sizes.extend(np.size(cell[0]) for cell in thunk.outputs)

    linker = theano.gof.WrapLinkerMany([theano.gof.PerformLinker()], [run_and_note_sizes])
    gradients = T.grad(m.loss(Missing(0.1).cost(m, formulation, batch)), m.params)
    function = theano.function(batch.present, gradients, mode=theano.Mode(linker, "fast_run"))
    function(*formulation.pack(Batch.of(rows), m))
    return max(sizes)


@pytest.mark.skipif(ON_GPU, reason="looks into Python's arrays")
def test_nothing_of_size_rows_by_items_is_made():
    assert largest_array("sparse") < 40 * 50 <= largest_array("dense")


@pytest.mark.parametrize("g", ["sigmoid", "softplus"])
def test_float32_stays_float32(g):
    """A wider constant among the weights had the passes over the ratings run in float64, twice as slow."""
    m = model(g=g, dtype="float32")
    formulation = FORMULATIONS["sparse"]
    batch = formulation.inputs((), "float32")
    with m.building():
        loss = m.loss(missing(0.3).cost(m, formulation, batch))
        gradients = T.grad(loss, m.params)
    wide = [x for x in theano.gof.graph.ancestors([loss] + gradients) if x.dtype == "float64" and x.ndim]
    assert not wide and loss.dtype == "float32"


def test_a_bounded_output_needs_the_dense_graph():
    bounded = model(f="sigmoid")
    assert choose_formulation(0.01, bounded, missing(0.3)) == "dense"
    assert choose_formulation(0.01, model(), missing(0.3)) == choose_formulation(0.01, bounded) == "sparse"
    with pytest.raises(ValueError, match="formulation='sparse' with Missing.* and f=sigmoid: .* "
                                         "use f='identity', or formulation='dense'"):
        TrainingStep(bounded, "sparse", lasagne.updates.sgd, 0.01, objective=missing(0.3))


def test_the_posts_graph_is_for_observed_entries():
    with pytest.raises(ValueError, match="formulation='scan' with Missing\\(weight=0.3, rating=0.5\\): the post"):
        TrainingStep(model(), "scan", lasagne.updates.sgd, 0.01, objective=missing(0.3))
    with pytest.raises(ValueError, match="formulation='scan' is .*, and the model reads indicator beside the ratings"):
        TrainingStep(model(two=True), "scan", lasagne.updates.sgd, 0.01)


@pytest.mark.parametrize("objective", [Observed(), Missing(0.2, -1.0), Multinomial("recall@5")])
def test_an_objective_is_what_its_description_says(objective):
    assert objective_of(json.loads(json.dumps(objective.describe()))) == objective
    with pytest.raises(ValueError, match="the objective is 'Lost', a class that isn't imported"):
        objective_of({"name": "Lost"})
    with pytest.raises(ValueError, match="Ordinal, an output of ordered levels, is gone in version 2.0; predict with"):
        objective_of({"name": "Ordinal"})


@pytest.mark.parametrize("objective, first", [(Observed(), 3.6), (Missing(0.2, rating=1.5), 1.5), (Missing(), 0.0),
                                              (Missing(0.0, rating=1.5), 3.6), (Multinomial(), 0.0)])
def test_outputs_begin_at_the_mean_or_at_missing_entries(objective, first):
    model = AutoEncoder(N_ITEMS, K, f="linear", dtype=DTYPE)
    objective.begin(model, None, 3.6)
    np.testing.assert_allclose(model.b.get_value(), np.full(N_ITEMS, first), rtol=1e-6)


# Losses over entries


X = sp.csr_matrix((np.array([3.0, 0, 2, 1]), np.array([1, 3, 0, 1]), np.array([0, 2, 2, 4])), shape=(3, 4))


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


# Targets: the equations by loops, what a rating is, and that the scale doesn't matter


def targets_of(matrix, seed=0, scale=(0, 5)):
    rng = np.random.RandomState(seed)
    return BeyondBiases(3 + rng.randn(matrix.shape[0]), rng.randn(matrix.shape[1]), scale)


@pytest.mark.parametrize("scale, unit, has_levels", [
    ((1, 5), 1.0, False), ((-10, 10), 5.0, False), ((0, 100), 25.0, False), ((0, 5), 1.25, False), ((0, 5), 1.25, True)
])
def test_equations_by_loops(scale, unit, has_levels):
    """With levels, by equation (5), the decoder is to give what they leave over; what the encoder sees is as before."""
    matrix, rng = many_stars(), np.random.RandomState(1)
    targets = targets_of(matrix, scale=scale)
    levels = offsets = targets.row_offsets, targets.column_offsets
    if has_levels:
        levels = 3 + rng.randn(matrix.shape[0]), rng.randn(matrix.shape[1])
        targets = BeyondBiases(*offsets, scale, levels=levels)
    assert targets.unit == unit and [x.tolist() for x in (targets.row_offsets, targets.column_offsets)] == [
        x.tolist() for x in offsets]
    rows = np.array([3, 0, 7, 12])  # rows 0 and 7 have no rating
    batch = targets.batch(rows, matrix[rows])
    assert batch.data.dtype == batch.target.dtype == batch.indicator.dtype == np.float32
    assert batch.indptr.tolist() == matrix[rows].indptr.tolist()
    k = 0
    for row in rows:
        count = matrix.indptr[row + 1] - matrix.indptr[row]
        for p in range(matrix.indptr[row], matrix.indptr[row + 1]):
            col = matrix.indices[p]
            residual, target = ((matrix.data[p] - of_rows[row] - of_columns[col]) / unit
                                for of_rows, of_columns in (offsets, levels))
            factor = (50 / count) ** 0.25
            assert batch.target[k] == pytest.approx(target, rel=1e-5, abs=1e-6)
            assert batch.data[k] == pytest.approx(residual * factor, rel=1e-5, abs=1e-6)
            assert batch.indices[k] == col and batch.indicator[k] == pytest.approx(3 * factor, rel=1e-6)
            k += 1
    assert k == len(batch.target) == len(batch.indicator) == len(batch.data) > 0


def test_a_residual_of_zero_is_a_rating():
    matrix = sp.csr_matrix((np.array([3, 4, 0], np.float32), [0, 1, 1], [0, 2, 3]), shape=(2, 3))
    batch = BeyondBiases([3.0, 0.0], [0.0, 1.0, 0.0], (0, 4)).batch(np.arange(2), matrix)
    assert batch.target.tolist() == [0, 0, -1] and len(batch.data) == 3 and (batch.indicator > 0).all()
    assert batch.indices.tolist() == [0, 1, 1] and batch.indptr.tolist() == [0, 2, 3]


def test_variance(monkeypatch):
    matrix = many_stars()
    targets = targets_of(matrix)
    target = targets.batch(np.arange(matrix.shape[0]), matrix).target.astype("float64")
    assert targets.variance(matrix) == pytest.approx(np.mean(target ** 2), rel=1e-12)
    monkeypatch.setattr("sparse_ae.training.targets._CHUNK", 10)
    assert targets.variance(matrix) == pytest.approx(np.mean(target ** 2), rel=1e-12)
