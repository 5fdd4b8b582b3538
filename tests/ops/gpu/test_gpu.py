"""The sparse Ops on a GPU: what is computed there, from what the host sends; `test_csr` holds the numbers too."""
import pickle

import numpy as np
import programs
import pytest
import scipy.sparse as sp
from alike import assert_all_close
from devices import ON_OPENCL, environment, needs_backend

from sparse_ae.model import AutoEncoder
from sparse_ae.ops import csr_dot, csr_t_dot, dense_rows, sampled_dot
from sparse_ae.recommender.recommender import Recommender
from sparse_ae.trainer import Trainer
from sparse_ae.training.batch import Batch
from sparse_ae.training.steps import TrainingStep
import lasagne
import theano
import theano.tensor as T

pytestmark = needs_backend


def nodes_of(function, name):
    """The nodes of a compiled function whose Op's class is called so."""
    return [node for node in function.maker.fgraph.toposort() if type(node.op).__name__ == name]


def block(n_rows, n_items, density, seed=0):
    rng = np.random.RandomState(seed)
    matrix = sp.random(n_rows, n_items, density, "csr", "float32", random_state=rng)
    matrix.sort_indices()
    return matrix, rng


# Fewer columns than threads side by side and more than a block's; long rows, popular items; none at all. Columns that a
# card loads four at a time, from where it can, and one at a time from where it can't.
@pytest.mark.parametrize("n_rows, n_items, k, density, shift", [
    (40, 70, 1, 0.3, 0), (2, 900, 33, 0.9, 0), (900, 2, 130, 0.9, 0), (30, 50, 300, 0.2, 0), (30, 50, 300, 0.2, 1),
    (30, 50, 300, 0.2, 4), (30, 50, 12, 0.2, 0), (30, 50, 12, 0.2, 3), (3, 5, 4, 0.0, 0)])
def test_products_of_many_shapes(n_rows, n_items, k, density, shift):
    R, rng = block(n_rows, n_items, density)
    A, F = (theano.shared(rng.randn(shift + n * k).astype("float32")) for n in (n_rows, n_items))
    data, (indices, indptr) = T.fvector(), T.ivectors(2)
    products = [csr_dot(data, indices, indptr, F[shift:].reshape((n_items, k))),
                sampled_dot(indices, indptr, A[shift:].reshape((n_rows, k)), F[shift:].reshape((n_items, k))),
                csr_t_dot(data, indices, indptr, A[shift:].reshape((n_rows, k)), n_items),
                dense_rows(data, indices, indptr, n_items)]
    function = theano.function([data, indices, indptr], products)
    for name in ("GpuPartSums", "GpuRowSums", "GpuSampledDot", "GpuCsrTDot", "GpuDenseRows"):
        assert len(nodes_of(function, name)) == 1
    A, F = (x.get_value()[shift:].reshape((n, k)).astype("float64") for x, n in ((A, n_rows), (F, n_items)))
    exact = R.astype("float64")
    rows, cols = np.repeat(np.arange(n_rows), np.diff(R.indptr)), R.indices
    expected = [exact.dot(F), (A[rows] * F[cols]).sum(axis=1), exact.T.dot(A), exact.toarray()]
    assert_all_close(function(R.data, R.indices, R.indptr), expected, rtol=1e-4, atol=1e-4)


def test_products_with_vectors_take_nothing_from_old_memory():
    """NaN that somebody left there is none of theirs."""
    W, c = T.fmatrix(), T.fvector()
    function = theano.function([W, c], [T.dot(W.T, c), T.dot(W, W[0]), T.dot(c, c)])
    for _ in range(20):
        old = [theano.shared(np.full(n, np.nan, "float32")) for n in (1, 9, 31) * 3]
        del old
        for x in function(np.ones((9, 31), "float32"), np.ones(9, "float32")):
            assert np.unique(x).tolist() == [31 if x.shape == (9,) else 9]


@pytest.mark.skipif(not ON_OPENCL, reason="CUDA fills memory without a kernel")
def test_zeros_are_no_program_of_their_own_at_each_call():
    W, c = T.fmatrix(), T.fvector()
    function = theano.function([W, c], T.dot(W.T, c))
    assert len(nodes_of(function, "GpuGemv")) == 1
    assert [node.op.memset_0 for node in nodes_of(function, "GpuAlloc")] == [False]


@pytest.mark.parametrize("build", ["csr_dot(T.fvector(), T.ivector(), T.ivector(), T.fmatrix())",
                                   "building('float32').__enter__()"])
def test_a_gpu_that_comes_into_use_after_the_import_has_its_kernels(build):
    code = ("import sys, sparse_ae.theano_compat, theano.gpuarray, theano.tensor as T\n"
            "from sparse_ae.ops.compiled import building\n"
            "from sparse_ae.ops import csr_dot\n"
            "assert 'sparse_ae.ops.gpu.lifts' not in sys.modules\n"
            "theano.gpuarray.use(%r)\n"
            "%s\n"
            "print('sparse_ae.ops.gpu.lifts' in sys.modules)\n" % (theano.config.device, build))
    assert programs.run("-c", code, **environment("device=cpu"))[0] == "True\n"


def step_of(name, update="adam", n_rows=30, n_items=400, k=20, l2_weighted=False):
    model = AutoEncoder(n_items, k, rating_scale=(0, 1), l2_weighted=l2_weighted, rng=0)
    return TrainingStep(model, name, getattr(lasagne.updates, update), 0.01), block(n_rows, n_items, 0.05)[0]


def sizes_moved(monkeypatch):
    """A list that gets the size of all that functions compiled from now on move between the host and the card."""
    moved = []

    def run_and_note_sizes(i, node, thunk):
        thunk()
        if type(node.op).__name__ in ("GpuFromHost", "HostFromGpu"):
            moved.append(int(np.prod(np.shape(thunk.outputs[0][0]))))

    linker = theano.gof.WrapLinkerMany([theano.gof.OpWiseCLinker(allow_gc=False)], [run_and_note_sizes])
    monkeypatch.setattr("theano.compile.mode.instantiated_default_mode", theano.Mode(linker, "fast_run"))
    return moved


@pytest.mark.parametrize("update, l2_weighted", [("sgd", False), ("adam", False), ("adam", True), ("adagrad", False),
                                                 ("adagrad", True)])
@pytest.mark.parametrize("name", ["dense", "sparse"])
def test_nothing_of_the_parameters_size_is_moved(name, update, l2_weighted, monkeypatch):
    """What passes between the host and the card in a step follows the batch's ratings, not W and V."""
    moved = sizes_moved(monkeypatch)
    step, rows = step_of(name, update, l2_weighted=l2_weighted)
    with step.deferred():
        step(Batch.of(rows))
    assert len(moved) > 3 and max(moved) <= 4 * rows.nnz + 2 * rows.shape[1] < 20 * rows.shape[1]


@pytest.mark.parametrize("formulation, update, l2, n_fetched, n_sent", [
    ("dense", "adam", 0, 1, 0), ("sparse", "sgd", 0, 2, 0), ("sparse", "sgd", 0.001, 3, 1)])
def test_how_often_an_epoch_fetches_a_parameter(formulation, update, l2, n_fetched, n_sent, monkeypatch):
    """Once, to see whether it is finite; plain SGD also W and V for their norms, and to write a decay. The best state
    so far stays on the card. Validation reads W and b besides."""
    fetched, sent, V = [], [], theano.shared(np.ones((20, 400), "float32"), name="V")
    get_value, set_value = type(V).get_value, type(V).set_value

    def noted_get_value(x, borrow=False, return_internal_type=False):
        fetched.extend([x.name] * (not return_internal_type))
        return get_value(x, borrow, return_internal_type)

    def noted_set_value(x, value, borrow=False):
        sent.extend([x.name] * isinstance(value, np.ndarray))
        set_value(x, value, borrow)

    model = AutoEncoder(400, 20, rating_scale=(0, 1), V=V, l2=l2, rng=0)
    trainer = Trainer(model, update, 0.01, 8, formulation, progress=False, rng=0)
    rows = block(30, 400, 0.05)[0]
    trainer.fit(rows, 1)
    monkeypatch.setattr(type(V), "get_value", noted_get_value)
    monkeypatch.setattr(type(V), "set_value", noted_set_value)
    trainer.fit(rows, 3, validation=rows, patience=5)
    assert [fetched.count(name) for name in ("V", "mu")] == [3 * n_fetched, 3]
    assert sorted(sent) == sorted(["W", "V"] * 3 * n_sent)
    for p in model.params:
        p.set_value(np.full_like(get_value(p), np.nan))
    assert trainer.step.ruined() == ["W", "V", "mu", "b"]


@pytest.mark.parametrize("name", ["dense", "sparse"])
def test_the_host_orders_a_batch_once(name):
    step, rows = step_of(name)
    assert len(nodes_of(step.function, "ByRow")) == 1
    assert len(nodes_of(step.function, "ByItem")) == (name == "sparse")


@pytest.mark.parametrize("update, l2_weighted", [("sgd", False), ("adam", False), ("adagrad", True)])
def test_the_same_bits_each_time(update, l2_weighted):
    results = []
    for _ in range(2):
        step, rows = step_of("sparse", update, l2_weighted=l2_weighted)
        costs = [step(Batch.of(rows)) for _ in range(5)]
        results.append([costs] + [p.get_value().tobytes() for p in step.model.params])
    assert results[0] == results[1]


def test_the_check_is_never_left_out():
    """Whatever the kernels get comes from the plan, which comes from the check: no graph has one without the other."""
    step, rows = step_of("sparse")
    for name in ("GpuPartSums", "GpuDecode", "GpuCsrTDot"):
        assert nodes_of(step.function, name)
        for node in nodes_of(step.function, name):
            plans = [x.owner for x in theano.gof.graph.ancestors(node.inputs) if x.owner]
            assert any(type(owner.op).__name__ in ("ByRow", "ByItem") for owner in plans)
    before = [p.get_value() for p in step.model.params]
    with pytest.raises(IndexError, match=r"indices\[0\] is 400; with 400 items it must lie in 0 \.\.\. 399"):
        step(Batch.of(sp.csr_matrix((np.ones(1, "float32"), [400], [0, 1]), shape=(1, 401))))
    for p, value in zip(step.model.params, before):
        np.testing.assert_array_equal(p.get_value(), value)


def test_the_host_gives_the_card_no_float64():
    """Many cards compute with it at a 32nd of the speed or less, and some of OpenCL's not at all."""
    for update, l2_weighted in [("sgd", False), ("adagrad", True)]:
        step, _ = step_of("sparse", update, l2_weighted=l2_weighted)
        on_card = [x for node in step.function.maker.fgraph.apply_nodes for x in node.outputs
                   if isinstance(x.type, type(step.model.W.type))]
        assert on_card and "float64" not in {x.dtype for x in on_card}


ASKED = {"lists of many": lambda r: r.recommend(r.users_[:20], n=2),
         "lists of few": lambda r: r.recommend(r.users_[:3]),
         "a list": lambda r: r.recommend(r.users_[3]),
         "pairs": lambda r: r.predict(r.users_[:20], r.items_[:20]),
         "similar": lambda r: r.similar_items(r.items_[3])}


@pytest.mark.parametrize("rows", ["users", "items"])
def test_predictions_follow_parameters_that_were_changed_there(rows):
    """Each output is the same to the last bit, whether it is asked for by itself or among others."""
    ratings = block(300, 300, 0.03)[0].tocoo()
    recommender = Recommender(n_hidden=40, rows=rows, n_epochs=1, biases="unguarded", progress=False,
                              rating_scale=(0, 1))
    recommender.fit((ratings.row, ratings.col, ratings.data), validation=None)
    model, more = recommender.model_, np.linspace(0.001, 0.002, 300, dtype="float32")
    for p, others in [(model.W, {"similar"} if rows == "items" else set()), (model.b, {"similar"})]:
        before = {name: pickle.dumps(ask(recommender)) for name, ask in ASKED.items()}
        p.set_value((p.get_value().T + more).T)
        changed = {name for name, ask in ASKED.items() if pickle.dumps(ask(recommender)) != before[name]}
        assert changed == set(ASKED) - others
    for user, of_one in zip(recommender.users_[:20], recommender.recommend(recommender.users_[:20], n=2)):
        alone = recommender.recommend(user, n=2)
        for items, scores in (of_one, alone):
            np.testing.assert_array_equal(scores, recommender.predict([user] * 2, items))
