"""The training loop: what it feeds, what it reports, how it stops."""
import os
import signal
import time

import numpy as np
import pytest
import reference
import scipy.sparse as sp

from sparse_ae import trainer as trainer_module
from sparse_ae.model import AutoEncoder
from sparse_ae.trainer import Trainer, TrainingDiverged
import lasagne

FORMULATION = "dense"  # runs on every device; that all are equal is test_formulations.py's to show


def checkerboard(n_rows=40, n_items=12, missing=0.3, seed=0):
    """Even rows love even items and odd rows odd ones: 5 and 1. Some are missing; no luck is needed to know them."""
    rng = np.random.RandomState(seed)
    like = np.add.outer(np.arange(n_rows), np.arange(n_items)) % 2 == 0
    full = np.where(like, 5.0, 1.0)
    observed = rng.rand(n_rows, n_items) > missing
    return sp.csr_matrix(full * observed, dtype="float32"), sp.csr_matrix(full * ~observed, dtype="float32")


def trainer(seed=0, l2=0.001, **kwargs):
    model = AutoEncoder(12, 4, rating_scale=(1, 5), l2=l2, rng=seed)
    return Trainer(model, **dict(dict(learning_rate=0.02, batch_size=16, formulation=FORMULATION, progress=False, rng=seed), **kwargs))


@pytest.fixture(scope="module")
def trained():
    train, test = checkerboard()
    t = trainer()
    seen = []
    history = t.fit(train, 60, validation=test, on_epoch=seen.append)
    return t, history, seen, train, test


def test_learns_what_can_be_known(trained):
    _, history, _, _, test = trained
    assert history[0]["validation_rmse"] > 1.5
    assert history[-1]["validation_rmse"] < 0.3 < history[0]["train_rmse"]
    assert test.nnz > 100


def test_history(trained):
    t, history, seen, _, _ = trained
    assert history is t.history and seen == history and len(history) == 60
    assert [record["epoch"] for record in history] == list(range(1, 61))
    assert set(history[0]) == {"epoch", "loss", "data_loss", "train_rmse", "validation_rmse", "seconds", "interrupted"}
    assert all(record["seconds"] > 0 and record["interrupted"] is False for record in history)


def test_figures_of_an_epoch_by_hand():
    """Defect 7: shuffled users, a loss and its data term, an error in stars; judged by loops over the same batches."""
    train, test = checkerboard(n_rows=10)
    t = trainer(batch_size=4, l2=0.1, rng=np.random.RandomState(5))
    parameters = [p.get_value().astype("float64") for p in t.model.params]
    record, = t.fit(train, 1, validation=test)

    order = np.random.RandomState(5).permutation(10)
    losses, squared_errors = [], []
    for start in (0, 4, 8):
        rows = reference.pairs(train[order[start:start + 4]])
        loss, squared_error, parameters = reference.sgd(rows, parameters, 0.02, low=1, span=4, l2_W=0.1, l2_V=0.1)
        losses.append(loss)
        squared_errors.append(squared_error)
    assert record["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert record["data_loss"] == pytest.approx(np.mean(squared_errors), rel=1e-5)
    assert record["train_rmse"] == pytest.approx(np.sqrt(sum(squared_errors) / train.nnz), rel=1e-5)
    predicted = t.model.predict_pairs(train, *test.nonzero())
    assert record["validation_rmse"] == pytest.approx(np.sqrt(np.mean((predicted - test.data) ** 2)), rel=1e-6)


def test_every_row_once_in_a_new_order_each_epoch(monkeypatch):
    train, _ = checkerboard(n_rows=10)
    orders = []

    def recording(matrix, batch_size, rng):
        orders.append([])
        for rows, block in minibatches(matrix, batch_size, rng):
            orders[-1].append(list(rows))
            yield rows, block

    minibatches = trainer_module.minibatches
    monkeypatch.setattr(trainer_module, "minibatches", recording)
    trainer(batch_size=4).fit(train, 2)
    assert [len(batch) for batch in orders[0]] == [4, 4, 2]
    assert sorted(sum(orders[0], [])) == sorted(sum(orders[1], [])) == list(range(10))
    assert orders[0] != orders[1]


def test_weight_decay_per_epoch_does_not_depend_on_the_batches():
    """Defect 7: with "epoch" the decays of an epoch add up to one l2, in one batch or in five; the post's add up to five."""
    shrunk = {}
    for l2_per in ("batch", "epoch"):
        for batch_size in (10, 2):
            train, _ = checkerboard(n_rows=10)
            t = trainer(batch_size=batch_size, l2=0.1, l2_per=l2_per, learning_rate=1e-3)
            free = trainer(batch_size=batch_size, l2=0, learning_rate=1e-3)
            for x in (t, free):
                x.fit(train, 1)
            shrunk[l2_per, batch_size] = np.abs(free.model.W.get_value() - t.model.W.get_value()).sum()
    assert shrunk["epoch", 2] == pytest.approx(shrunk["epoch", 10], rel=0.01)
    assert shrunk["epoch", 10] == pytest.approx(shrunk["batch", 10], rel=1e-5)
    assert shrunk["batch", 2] == pytest.approx(5 * shrunk["batch", 10], rel=0.02)


@pytest.mark.parametrize("update", ["sgd", "adam", lasagne.updates.rmsprop])
def test_same_seed_same_bytes_and_two_and_two_make_four(update):
    train, test = checkerboard()
    results = []
    for calls in ([4], [4], [2, 2]):
        t = trainer(update=update)
        for n_epochs in calls:
            t.fit(train, n_epochs, validation=test)
        results.append(([dict(record, seconds=0) for record in t.history], [p.get_value().tobytes() for p in t.model.params]))
    assert results[0] == results[1] == results[2]


def test_other_seed_other_order():
    train, _ = checkerboard()
    losses = [trainer(rng=seed).fit(train, 1)[0]["loss"] for seed in (0, 1)]
    assert losses[0] != losses[1]


def test_the_callers_arrays_and_generator_are_left_alone():
    train, test = checkerboard()
    before = [x.copy() for x in (train.data, train.indices, train.indptr, test.data)]
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    trainer().fit(train, 1, validation=test)
    for x, y in zip((train.data, train.indices, train.indptr, test.data), before):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize("update", ["sgd", "adam"])
def test_divergence_leaves_the_last_good_parameters(update):
    train, _ = checkerboard()
    t = trainer(update=update)
    t.fit(train, 2)
    good = [x.get_value() for x in t._step.state]
    step = t._step.__call__
    calls = []

    class Exploding:
        def __getattr__(self, name):
            return getattr(t_step, name)

        def __call__(self, block):
            calls.append(1)
            loss, squared_error = step(block)
            return (np.nan if len(calls) == 2 else loss), squared_error

    t_step, t._step = t._step, Exploding()
    with pytest.raises(TrainingDiverged, match="the loss is nan in epoch 3, batch 2, with learning_rate=0.02; the parameters are those of "
                                               "the end of epoch 2. Lower the learning rate"):
        t.fit(train, 2)
    for variable, value in zip(t_step.state, good):
        np.testing.assert_array_equal(variable.get_value(), value)
    assert len(t.history) == 2


def test_a_real_divergence():
    train, _ = checkerboard()
    model = AutoEncoder(12, 4, f="linear", g="linear", rng=0)
    before = [p.get_value() for p in model.params]
    with pytest.raises(TrainingDiverged, match="in epoch 1, batch .* with learning_rate=1"):
        with np.errstate(all="ignore"):
            Trainer(model, learning_rate=1, batch_size=2, formulation=FORMULATION, progress=False).fit(train, 1)
    for p, value in zip(model.params, before):
        np.testing.assert_array_equal(p.get_value(), value)


def test_ctrl_c_ends_the_epoch_and_returns_what_there_is(monkeypatch):
    train, test = checkerboard()
    t = trainer(batch_size=8)
    handler = signal.getsignal(signal.SIGINT)

    def interrupted(matrix, batch_size, rng):
        for i, batch in enumerate(minibatches(matrix, batch_size, rng)):
            if len(t.history) == 1 and i == 2:
                os.kill(os.getpid(), signal.SIGINT)
                while signal.getsignal(signal.SIGINT) is not handler:
                    time.sleep(0)  # Python runs the handler at its next chance
            yield batch

    minibatches = trainer_module.minibatches
    monkeypatch.setattr(trainer_module, "minibatches", interrupted)
    history = t.fit(train, 5, validation=test)
    assert [record["interrupted"] for record in history] == [False, True]
    assert history[1]["validation_rmse"] > 0 and history[1]["train_rmse"] > 0
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(t.fit(train, 1)) == 3


def test_auto_says_what_it_took():
    train, _ = checkerboard()
    t = trainer(formulation="auto")
    t.fit(train, 1)
    assert t.formulation == "dense"


def test_a_long_compilation_is_announced(capsys):
    with trainer_module._announce_if_slow("Compiling ...", wanted=True, after=0) as _:
        deadline = time.monotonic() + 10
        while not (said := capsys.readouterr().err) and time.monotonic() < deadline:
            pass
    assert said == "Compiling ...\n"
    with trainer_module._announce_if_slow("Compiling ...", wanted=True, after=60):
        pass
    with trainer_module._announce_if_slow("Compiling ...", wanted=False, after=0):
        pass
    assert capsys.readouterr().err == ""


def test_nothing_is_printed_where_there_is_no_terminal(capsys):
    train, _ = checkerboard()
    t = trainer(progress=True)
    t.fit(train, 1)
    assert capsys.readouterr() == ("", "") or "Compiling" in capsys.readouterr().err


@pytest.mark.parametrize("arguments, message", [
    (dict(update="sdg"), "update is 'sdg'; expected a function of lasagne.updates or its name: sgd, momentum"),
    (dict(update="norm_constraint"), "update is 'norm_constraint'"),
    (dict(learning_rate=0), "learning_rate is 0; expected a positive number"),
    (dict(learning_rate=float("nan")), "learning_rate is nan"),
    (dict(batch_size=0), "batch_size is 0; expected a positive integer"),
    (dict(batch_size=2.0), "batch_size is 2.0"),
    (dict(formulation="csr"), "formulation is 'csr'; expected one of 'auto', 'scan', 'dense', 'sparse'"),
    (dict(l2_per="year"), "l2_per is 'year'; expected 'batch' or 'epoch'"),
])
def test_bad_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        trainer(**arguments)


@pytest.mark.parametrize("settings, arguments, error, message", [
    ({}, lambda train: (train, 0), ValueError, "n_epochs is 0; expected a positive integer"),
    ({}, lambda train: (train.T.tocsr(), 1), ValueError, "ratings have 40 columns; the model has n_items=12"),
    ({}, lambda train: (train * 2, 1), ValueError, "pass rating_scale=\\(2, 10\\)"),
    ({}, lambda train: (train, 1, train[:5]), ValueError, "validation ratings are 5 x 12, training ratings 40 x 12"),
    ({}, lambda train: (train.toarray(), 1), TypeError, "dense array"),
    ({}, lambda train: (sp.csr_matrix((40, 12), dtype="float32"), 1), ValueError, "no entries"),
    (dict(formulation="scan"), lambda train: (shifted(train), 1), ValueError, "ratings hold .* stored zero"),
])
def test_bad_input_is_refused_before_anything_is_compiled(settings, arguments, error, message, monkeypatch):
    def compile_nothing(*args):
        raise AssertionError("compiled")

    monkeypatch.setattr(trainer_module, "TrainingStep", compile_nothing)
    train, _ = checkerboard()
    t = trainer(**settings)
    t.model.rating_scale = (0, 5) if settings else (1, 5)
    with pytest.raises(error, match=message):
        t.fit(*arguments(train))


def shifted(train):
    """The same with zeros stored: 1 becomes 0, 5 becomes 4."""
    train = train.copy()
    train.data -= 1
    return train
