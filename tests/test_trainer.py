"""The training loop: what it feeds, what it reports, how it stops."""
import functools
import os
import re
import signal
import types

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from alike import assert_all_close
from devices import ON_GPU, is_item_major
from limits import wait_until
from made import checkerboard
from toys import Doubled, Measured, scripted

from sparse_ae import trainer as trainer_module, validation
from sparse_ae.data import Ratings
from sparse_ae.model import AutoEncoder
from sparse_ae.runtime.interrupts import sigint_as_flag
from sparse_ae.trainer import Trainer, TrainingDiverged
from sparse_ae.training import run
from sparse_ae.training.objectives import Missing, Objective
from sparse_ae.training.optimisers import rprop
from sparse_ae.training.steps import TrainingStep
from sparse_ae.training.targets import BeyondBiases
import lasagne
import theano
import theano.tensor as T

TRAIN, TEST = checkerboard(40, 12)
FORMULATION = "sparse"  # its step is one Op, which is built soon; that all are equal is test_formulations.py's to show


def trainer(seed=0, l2=0.001, **kwargs):
    model = AutoEncoder(12, 4, rating_scale=(1, 5), l2=l2, rng=seed)
    settings = dict(learning_rate=0.02, batch_size=16, formulation=FORMULATION, progress=False, rng=seed)
    return Trainer(model, **dict(settings, **kwargs))


def values(trainer):
    return [p.get_value() for p in trainer.model.params]


@pytest.mark.parametrize("update, batch_size", [("sgd", 16), ("rprop", None), ("lbfgs", None)])
def test_learns_what_can_be_known_and_tells_of_it(update, batch_size):
    """And leaves the caller's arrays, and NumPy's generator, alone."""
    parts = TRAIN, TEST
    np.random.seed(0)
    before = [x.copy() for each in parts for x in (each.data, each.indices, each.indptr)] + [np.random.get_state()[1]]
    t, seen = trainer(update=update, batch_size=batch_size), []
    history = t.fit(TRAIN, 60, validation=TEST, on_epoch=seen.append)
    assert history[-1]["validation_rmse"] < 0.3 < 1 < history[0]["validation_rmse"]
    assert history is t.history and seen == history and len(history) == 60
    assert [record["epoch"] for record in history] == list(range(1, 61))
    assert set(history[0]) == {"epoch", "loss", "data_loss", "train_rmse", "validation_rmse", "learning_rate",
                               "seconds", "interrupted", "restored"}
    assert all(record["seconds"] > 0 and record["interrupted"] is False for record in history)
    rate = None if update == "lbfgs" else 0.02
    assert all(record["learning_rate"] == rate and record["restored"] is None for record in history)
    after = [x for each in parts for x in (each.data, each.indices, each.indptr)] + [np.random.get_state()[1]]
    assert all(map(np.array_equal, before, after))


@pytest.mark.parametrize("batch_size", [4, None])
def test_figures_of_epochs_by_hand(batch_size):
    """Defect 7: users in a new order each epoch, or all at once; a loss and its data term, an error in stars; by loops.
    """
    train, test = checkerboard(10, 12)
    t = trainer(batch_size=batch_size, l2=0.1, learning_rate=lambda epoch: 0.02 / epoch, rng=np.random.RandomState(5))
    parameters, rng = [x.astype("float64") for x in values(t)], np.random.RandomState(5)
    for n_epochs in (2, 1):
        t.fit(train, n_epochs, validation=test)
    assert [record["learning_rate"] for record in t.history] == [0.02, 0.01, 0.02 / 3]
    for record in t.history:
        order, losses, squared_errors = rng.permutation(10) if batch_size else np.arange(10), [], []
        for start in range(0, 10, batch_size or 10):
            rows = reference.pairs(train[order[start:start + (batch_size or 10)]])
            loss, squared_error, parameters = reference.sgd(rows, parameters, record["learning_rate"], low=1, span=4,
                                                            l2_W=0.1, l2_V=0.1)
            losses.append(loss)
            squared_errors.append(squared_error)
        assert record["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
        assert record["data_loss"] == pytest.approx(np.mean(squared_errors), rel=1e-5)
        assert record["train_rmse"] == pytest.approx(np.sqrt(sum(squared_errors) / train.nnz), rel=1e-5)
    assert_all_close(values(t), parameters, rtol=1e-4, atol=1e-5)
    assert t.rng.randint(10 ** 9) == rng.randint(10 ** 9), "all at once they are in their own order"
    predicted = t.model.predict_pairs(train, *test.nonzero())
    assert record["validation_rmse"] == pytest.approx(np.sqrt(np.mean((predicted - test.data) ** 2)), rel=1e-6)


def test_when_time_is_up_the_epoch_is_the_last(tmp_path):
    train, test = checkerboard(10, 12)
    t = trainer()
    assert len(t.fit(train, 9, validation=test, patience=3, seconds=1e-9, checkpoint=tmp_path / "checkpoint",
                     checkpoint_every=5)) == 1
    assert (tmp_path / "checkpoint").exists()
    assert len(t.fit(train, 2, seconds=1e9)) == 3


def test_no_epoch_is_begun_for_which_no_time_is_left(monkeypatch):
    """Compiling takes 1 s, an epoch 3, its validation, every other one, 2."""
    now, (train, _) = types.SimpleNamespace(seconds=0.0), checkerboard(10, 12)

    def taking(seconds, function):
        def slow(*args):
            now.seconds += seconds
            return function(*args)

        return slow

    for module in (trainer_module, run):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(perf_counter=lambda: now.seconds))
    monkeypatch.setattr(trainer_module, "minibatches", taking(3, trainer_module.minibatches))
    for limit, n_epochs, end in ((11, 1, 6), (14, 2, 11), (16.5, 3, 14), (18.9, 3, 14), (20, 4, 19)):
        now.seconds, t = 0.0, trainer()
        monkeypatch.setattr(t, "_compile", taking(1, t._compile))
        measure = taking(2, lambda: 0.5)
        measure.name, measure.every = "made_up", 2
        assert len(t.fit(train, 9, measure=measure, seconds=limit)) == n_epochs and now.seconds == end


def test_shares_of_the_weight_decay(monkeypatch):
    """Defect 7: with "epoch" the decays of an epoch add up to one l2, by ratings; the post's is whole in each batch."""
    train, _ = checkerboard(10, 12)
    t, found, expected, call = trainer(batch_size=4), [], [], TrainingStep.__call__

    def noted(step, batch):
        found.append(step.decay_share.get_value())
        expected.append(1 if t.l2_per == "batch" else len(batch.data) / train.nnz)
        return call(step, batch)

    monkeypatch.setattr(TrainingStep, "__call__", noted)
    for t.l2_per, total in (("batch", 3), ("epoch", 1), ("batch", 3)):
        t.fit(train, 1)
        assert found == pytest.approx(expected) and sum(found[-3:]) == pytest.approx(total)


@pytest.mark.parametrize("update, batch_size", [("sgd", 16), ("adam", 16), ("lbfgs", None),
                                                pytest.param(lasagne.updates.rmsprop, 16, marks=pytest.mark.slow),
                                                pytest.param("rprop", None, marks=pytest.mark.slow)])
def test_same_seed_same_bytes_and_two_and_two_make_four(update, batch_size):
    results = []
    for calls in ([4], [4], [2, 2]):
        t = trainer(update=update, batch_size=batch_size)
        for n_epochs in calls:
            t.fit(TRAIN, n_epochs, validation=TEST)
        results.append(([dict(record, seconds=0) for record in t.history],
                        [x.tobytes() for x in values(t)]))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("n_items, update", [(4, "adam"), (4, "momentum"), (4, "adadelta"), (12, "momentum"),
                                             (12, "rprop")])
def test_each_array_that_an_update_keeps_is_laid_out_as_its_parameter(n_items, update):
    """With as many items as hidden units W and V have one shape."""
    t = Trainer(AutoEncoder(n_items, 4, rating_scale=(1, 5), rng=0), update, 0.01, formulation="dense", progress=False,
                batch_size=None if update == "rprop" else 64)
    t.fit(checkerboard(20, n_items)[0], 2)
    laid_out = [is_item_major(x) for x in t.model.params + t.step.kept if x.ndim == 2]
    n_each = len(laid_out) // 2 - 1
    assert n_each > 0 and laid_out == [False, True] + [False] * n_each + [True] * n_each


# Learning rates

def test_a_schedule_that_ends_in_nonsense():
    t = trainer(learning_rate=lambda epoch: 0.01 * (3 - epoch))
    with pytest.raises(ValueError, match=r"learning_rate\(3\) is 0.0; expected a positive number"):
        t.fit(TRAIN, 5)
    assert len(t.history) == 2
    t.learning_rate = 0.01  # the attribute is the user's to change
    assert t.fit(TRAIN, 1)[2]["learning_rate"] == 0.01


@pytest.mark.parametrize("update, l2, last, message", [
    ("sgd", 2.0, 0.25, "2 * learning_rate * l2 is 1: one step of weight decay would turn W or V around"),
    ("adam", 2.0, 1e300, "the learning rate is 1e+300, which isn't a finite float32"),
    ("sgd", 0.0, 1e300, "the learning rate is 1e+300, which isn't a finite float32"),
])
@pytest.mark.parametrize("late", [True, False])
def test_a_rate_that_no_step_can_take(update, l2, last, message, late):
    t = trainer(update=update, l2=l2, learning_rate=(lambda epoch: last if epoch == 2 else 0.001) if late else last)
    with pytest.raises(ValueError, match="^" + re.escape(message) + "[^\\n]*$"):
        t.fit(TRAIN, 3)
    assert len(t.history) == late
    assert all(np.isfinite(x).all() for x in values(t))


# Early stopping

UP_AND_DOWN = [3.0, 2.0, 1.0, 1.5, 1.25, 1.5]


@pytest.mark.parametrize("errors, arguments, restored, n_before_cut", [
    ([1.0, 2.0, 3.0], dict(n_epochs=3), {}, 9),
    ([3.0, 2.0, 1.0, 1.5, 1.0, 1.25], dict(patience=3), {6: 3}, 9),  # a tie is no improvement
    ([3.0, 2.0, 2.5, 2.25], dict(patience=3, n_epochs=4), {4: 2}, 9),
    ([3.0, 2.0, 2.5, 2.25], dict(patience=2, keep_optimiser=False), {4: 2}, 9),
    ([np.nan, 2.0, 2.5], dict(patience=9, n_epochs=3), {3: 2}, 9),
    # Where the rate is cut: longer patience before the error has fallen from 2.0 below 1.99, two fifths after the cut.
    (UP_AND_DOWN + [0.9, 0.8, 0.85, 0.82], dict(patience=3, cut=0.25), {6: 3, 10: 8}, 6),
])
def test_when_training_stops_and_what_is_put_back(errors, arguments, restored, n_before_cut, monkeypatch):
    t, states = trainer(update="adam"), []
    scripted(monkeypatch, *errors)
    history = t.fit(TRAIN, **dict(dict(n_epochs=50), **arguments), validation=TEST,
                    on_epoch=lambda record: states.append(t.step.get_state()))
    assert [record["validation_rmse"] for record in history] == errors
    assert {each["epoch"]: each["restored"] for each in history if each["restored"] is not None} == restored
    rates = [0.02] * min(n_before_cut, len(errors)) + [0.005] * (len(errors) - n_before_cut)
    assert [each["learning_rate"] for each in history] == rates
    best, parameters = states[restored.get(len(errors), len(errors)) - 1], {p.name for p in t.model.params}
    for name, value in t.step.get_state().items():  # of parameters and optimiser
        kept = best if arguments.get("keep_optimiser", True) or name in parameters else states[-1]
        np.testing.assert_array_equal(value, kept[name])


@pytest.mark.parametrize("errors, n_before, arguments", [
    ([3.0, 2.0] + [2.0, 2.5, 2.25, 2.5], 2, dict(patience=3)),
    ([1.0] + [1.0, 2.0, 2.0, 2.0, 2.0], 1, dict(patience=2, cut=0.5))])  # the rate isn't cut for that
def test_a_later_call_never_ends_worse_than_it_began(errors, n_before, arguments, monkeypatch):
    t = trainer()
    scripted(monkeypatch, *errors)
    t.fit(TRAIN, n_before, validation=TEST)
    before = t.step.get_state()
    t.fit(TRAIN, 9, validation=TEST, **arguments)
    assert len(t.history) == len(errors) - 1 and t.history[-1]["restored"] == n_before
    assert_all_close(t.step.get_state().values(), before.values())


# Divergence and Ctrl-C

@pytest.mark.parametrize("update, batch_size, where", [
    ("sgd", 16, "batch 2, with learning_rate=0.02;"), ("adam", 16, "batch 2, with learning_rate=0.02;"),
    ("lbfgs", None, "batch 1;")])
def test_divergence_leaves_the_last_good_parameters(update, batch_size, where, monkeypatch):
    """With patience the best ones: here those of the start."""
    t = trainer(update=update, batch_size=batch_size)
    t.fit(TRAIN, 2)
    good = t.step.get_state()
    call, losses = type(t.step).__call__, iter([1.0, np.nan] if batch_size else [np.nan])
    monkeypatch.setattr(type(t.step), "__call__", lambda *arguments: (next(losses), call(*arguments)[1]))
    with pytest.raises(TrainingDiverged, match="the loss is nan in epoch 3, %s the parameters are set back to the end "
                                               "of epoch 2. Lower the learning rate, or the initial weights" % where):
        t.fit(TRAIN, 2, validation=TEST, patience=9 if update == "adam" else None)
    assert_all_close(t.step.get_state().values(), good.values())
    assert len(t.history) == 2


@pytest.mark.parametrize("n_before, n_epochs, every, least, values, expected, best", [
    (0, 7, 2, 1, [0.1, 0.2, 0.3, 0.25], [0.1, 0.2, 0.2, 0.3, 0.3, 0.25, 0.25], None),
    (2, 3, 2, 1, [0.5, 0.1, 0.2], [0.5, 0.1, 0.1], None),  # asked where there is none before
    (0, 9, 1, 1, [0.3, 0.2, 0.2], [0.3, 0.2, 0.2], 1),
    (0, 9, 1, 5, [0.3, 0.2, 0.2, 0.2, 0.2], [0.3, 0.2, 0.2, 0.2, 0.2], 1),
    (0, 6, 1, 6, [0.3, 0.2, 0.2, 0.2, 0.2, 0.4], [0.3, 0.2, 0.2, 0.2, 0.2, 0.4], None)])
@pytest.mark.parametrize("validated", [True, False])
def test_how_often_a_measure_is_asked_and_when_it_ends_a_training(n_before, n_epochs, every, least, values, expected,
                                                                  best, validated):
    """It needs no validation ratings."""
    t, settings = trainer(update="adam"), {} if every == least == 1 else dict(every=every, least=least)
    if n_before:
        t.fit(TRAIN, n_before)
    t.fit(TRAIN, n_epochs, validation=TEST if validated else None, patience=2 if least > 1 or best else None,
          measure=Measured(values, **settings))
    assert [record["validation_made_up"] for record in t.history[n_before:]] == expected
    assert t.history[-1]["restored"] == best
    assert all(record["validation_rmse"] is None for record in t.history)


@pytest.mark.parametrize("patience, n_epochs", [(2, 4), (None, 6)])
def test_a_measure_may_end_a_training_with_patience(patience, n_epochs):
    """It is asked after the epochs that are validated."""
    t, asked = trainer(update="adam"), []
    measure = Measured([0.1, 0.2, 0.3, 0.4], every=2, ends=lambda epoch: asked.append(epoch) or epoch >= 3)
    t.fit(TRAIN, 6, patience=patience, measure=measure)
    assert len(t.history) == n_epochs and asked == [epoch for epoch in (1, 2, 4, 6) if epoch <= n_epochs]
    t.fit(TRAIN, 1, patience=patience, measure=Measured([0.5, 0.6]))
    assert len(t.history) == n_epochs + 1


@pytest.mark.parametrize("value", [None, np.nan, "0.5"])
def test_a_measure_gives_a_number(value):
    with pytest.raises(ValueError, match="the value of measure is %r; expected a finite number" % value):
        trainer().fit(TRAIN, 3, measure=Measured([value]))


def test_later_targets_may_bring_other_channels():
    t = trainer(update="momentum")
    before = t.fit(TRAIN, 2)[-1]["loss"]
    velocity = t.step.get_state()["update_0"]
    t.fit(TRAIN, 1, targets=Doubled((1, 5)))
    assert t.history[-1]["loss"] > 2 * before and t.step.channels == ("target",)
    assert not np.array_equal(t.step.get_state()["update_0"], velocity)  # and began with it


def test_divergence_in_the_very_last_update():
    """No loss is computed after it: the parameters tell."""
    rate = float(np.finfo("float32").max / 10)
    t = trainer(batch_size=None, l2=0, learning_rate=rate)
    before = values(t)
    with pytest.raises(TrainingDiverged, match="b is not finite after the update in epoch 1, batch 1, with learning"):
        t.fit(TRAIN, 1, validation=TEST)
    assert_all_close(values(t), before)


def test_ctrl_c_ends_the_epoch_and_returns_what_there_is(monkeypatch):
    t = trainer(batch_size=8)
    handler = signal.getsignal(signal.SIGINT)

    def interrupted(*arguments):
        for i, batch in enumerate(minibatches(*arguments)):
            if len(t.history) == 1 and i == 2:
                os.kill(os.getpid(), signal.SIGINT)
                wait_until(lambda: signal.getsignal(signal.SIGINT) is handler)  # Python runs it at its next chance
            yield batch

    minibatches = trainer_module.minibatches
    monkeypatch.setattr(trainer_module, "minibatches", interrupted)
    history = t.fit(TRAIN, 5, validation=TEST)
    assert [record["interrupted"] for record in history] == [False, True]
    assert history[1]["validation_rmse"] > 0 and history[1]["train_rmse"] > 0
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(t.fit(TRAIN, 1)) == 3


@pytest.mark.parametrize("handler", [None, signal.SIG_IGN])
def test_a_handler_that_is_not_pythons_stays(handler, monkeypatch):
    """As where a program in C has Python within it: Python can't say what handles Ctrl-C, nor put it back; and where a
    shell has a job in the background ignore it."""
    monkeypatch.setattr(signal, "getsignal", lambda number: handler)
    monkeypatch.setattr(signal, "signal", lambda *arguments: pytest.fail("it was changed"))
    with sigint_as_flag() as flag:
        assert not flag


def test_ctrl_c_between_epochs(monkeypatch, tmp_path):
    """While the validation ratings are predicted: the epoch is whole, and is the last."""
    t = trainer()
    handler = signal.getsignal(signal.SIGINT)

    def interrupted():
        os.kill(os.getpid(), signal.SIGINT)
        wait_until(lambda: signal.getsignal(signal.SIGINT) is handler)
        return 1.0

    monkeypatch.setattr(validation, "validation_rmse", lambda *_: interrupted)
    monkeypatch.setenv("HOME", str(tmp_path))
    t.fit(TRAIN, 5, validation=TEST, checkpoint="~/run.npz")
    assert [record["interrupted"] for record in t.history] == [True]
    resumed = trainer()
    resumed.fit(TRAIN, 1, validation=TEST, checkpoint=tmp_path / "run.npz", resume=True)
    assert [record["interrupted"] for record in resumed.history] == [False], "in the file it is an epoch like others"


@pytest.mark.parametrize("arguments, message", [
    (dict(update="sdg"), "update is 'sdg'; expected a function like those of lasagne.updates, or one of sgd, "
                          ".*: did you mean sgd?"),
    (dict(update="norm_constraint"), "update is 'norm_constraint'"),
    (dict(learning_rate=0), "learning_rate is 0; expected a positive number"),
    (dict(batch_size=0), "batch_size is 0; expected a positive integer"),
    (dict(batch_size=2.0), "batch_size is 2.0; expected a positive integer, or None for all rows at once"),
    (dict(update="rprop"), "batch_size is 16 with update='rprop', which needs the gradient of all ratings at once; "
                           "expected batch_size=None"),
    (dict(update="lbfgs"), "batch_size is 16 with update='lbfgs'"),
    (dict(update=functools.partial(rprop, increase=1.1)), "batch_size is 16 with update=functools.partial"),
    (dict(unknown="mean"), "unknown is 'mean'; expected a number, or None for the mean rating"),
    (dict(formulation="csr"), "formulation is 'csr'; expected 'auto', 'scan', 'dense' or 'sparse'"),
    (dict(l2_per="year"), "l2_per is 'year'; expected 'batch' or 'epoch'"),
    (dict(objective="list"), "objective is 'list'; expected 'ratings', 'lists', 'clicks', or an instance"),
])
def test_bad_settings(arguments, message):
    """In the constructor, and set later."""
    with pytest.raises(ValueError, match=message):
        trainer(**arguments)
    t = trainer()
    vars(t).update(arguments)
    with pytest.raises(ValueError, match=message):
        t.fit(TRAIN, 1)


@pytest.mark.parametrize("update, n_frozen, message", [
    ("sgd", 4, "all parameters of the model are frozen, by trainable=False: W, V, mu, b; expected at least one"),
    ("lbfgs", 4, "all parameters of the model are frozen"),
    ("sparse_adam", 1, "rows in use; expected, on the CPU, " if ON_GPU
     else "l2_weighted=True of an AutoEncoder needs all of its parameters trainable")])
def test_parameters_that_are_frozen(update, n_frozen, message):
    model = AutoEncoder(12, 3, (1, 5), l2=0.1, l2_weighted=True, rng=0)
    model.parameters[:n_frozen] = [each._replace(trainable=False) for each in model.parameters[:n_frozen]]
    with pytest.raises(ValueError, match=message):
        Trainer(model, update, batch_size=None, progress=False).fit(TRAIN, 1)


@pytest.mark.parametrize("settings, changes", [
    (dict(update="momentum"), dict(update="adagrad")), (dict(update="momentum"), dict(formulation="dense")),
    (dict(objective=Missing(0.1), formulation="dense"), dict(objective=Missing(0.3)))])
def test_settings_that_are_set_later_are_used(settings, changes):
    """As by a new Trainer. Of an objective its own settings may be set."""
    t, other = trainer(**settings), trainer(**settings)
    for each in t, other:
        each.fit(TRAIN, 1)
    again = Trainer(other.model, **dict(dict(learning_rate=0.02, batch_size=16, formulation=FORMULATION,
                                             progress=False, rng=other.rng), **dict(settings, **changes)))
    if "objective" in changes:
        t.objective.weight = 0.3
    else:
        vars(t).update(changes)
    assert t.fit(TRAIN, 1)[-1]["loss"] == again.fit(TRAIN, 1)[-1]["loss"]
    assert_all_close(values(t), values(other))


def test_an_update_that_gives_nothing():
    with pytest.raises(TypeError, match="update gave None; expected a dict of new values by shared variable"):
        trainer(update=lambda loss, params, learning_rate: None).fit(TRAIN, 1)


@pytest.mark.parametrize("arguments, error, message", [
    (dict(n_epochs=0), ValueError, "n_epochs is 0; expected a positive integer"),
    (dict(patience=3), ValueError, "patience is 3 without validation; expected held-out"),
    (dict(validation=TEST, patience=0), ValueError, "patience is 0; expected a positive integer, or None"),
    (dict(checkpoint="x.npz", checkpoint_every=0), ValueError, "checkpoint_every is 0; expected a"),
    (dict(resume=True), ValueError, "resume is True without checkpoint;"),
    (dict(checkpoint="nowhere/x.npz"), FileNotFoundError, "no folder .*nowhere to"),
    (dict(measure="ndcg@10"), TypeError,
     "measure is 'ndcg@10'; expected a function without arguments with an attribute name, or None"),
    (dict(measure=lambda: 0.5), TypeError, "measure is <function"),
    (dict(measure=Measured([], every=0)), ValueError, "every of measure is 0; expected a positive integer"),
    *[(dict(seconds=seconds), ValueError,
       "seconds is %r; expected a finite number, 0 or more, or None for no limit" % seconds)
      for seconds in ("5", np.nan, -1, True)],
    (dict(cut=0.1), ValueError, "cut is 0.1 without patience"),
    (dict(validation=TEST, patience=3, cut=1.5), ValueError, "cut is 1.5; expected a number between"),
    (dict(train=TRAIN.T.tocsr()), ValueError, "ratings have 40 columns; the model has n_items=12"),
    (dict(train=TRAIN * 2), ValueError, "pass rating_scale=\\(2, 10\\)"),
    (dict(validation=TEST[:5]), ValueError, "validation ratings are 5 x 12, training ratings 40 x 12"),
    (dict(train=Ratings(TRAIN, np.arange(40), np.arange(12)),
          validation=Ratings(TEST, np.arange(40), 1 + np.arange(12))),
     ValueError, "validation: .* other users or items than the ratings; expected the same ids.* splits"),
    (dict(train=TRAIN.toarray()), TypeError, "ratings are ndarray, in which"),
    (dict(train=sp.csr_matrix((40, 12), dtype="float32")), ValueError, "no entries"),
    (dict(train=sp.csr_matrix((TRAIN.data - 1, TRAIN.indices, TRAIN.indptr), TRAIN.shape)), ValueError,
     "hold .* stored z"),
])
def test_bad_input_is_refused_before_anything_is_compiled(arguments, error, message, monkeypatch):
    monkeypatch.setattr(trainer_module, "make_step", None)
    scan = "stored" in message  # which takes no zeros
    t = trainer(formulation="scan" if scan else FORMULATION)
    t.model.rating_scale = (0, 5) if scan else (1, 5)
    with pytest.raises(error, match=message):
        t.fit(**dict(dict(train=TRAIN, n_epochs=1), **arguments))


@pytest.mark.parametrize("cost, error, message", [
    (None, NotImplementedError, r"Costly has no method cost\(model, formulation, batch\)"),
    (lambda *_: 3.0, TypeError, r"Costly.cost returned 3.0; expected a Theano scalar, such as .*\.total\(function\)"),
    (lambda self, model, formulation, batch: formulation.entries(model, batch), TypeError, "Costly.cost returned E"),
    (lambda self, model, formulation, batch: model.b, TypeError, "Costly.cost returned b; expected a Theano scalar"),
    (lambda self, model, formulation, batch: formulation.entries(model, batch).output.dimshuffle(1, 0), ValueError,
     "Costly.cost can't be built with formulation='sparse', where outputs are a vector of observed entries .*; if it "
     "needs all outputs, a matrix, use formulation='dense'"),
    (lambda self, model, formulation, batch: self.scale * T.sum(model.b), ValueError,
     r"Costly.cost depends on the shared variable scale, which is none of the model's parameters, .*Parameter in the "
     r".*theano.gradient.disconnected_grad\(scale\)"),
])
def test_an_objective_has_a_scalar_cost(cost, error, message):
    objective = type("Costly", (Objective,), {} if cost is None else {"cost": cost})()
    objective.scale = theano.shared(1.0, name="scale")
    with pytest.raises(error, match=message):
        Trainer(AutoEncoder(12, 2, rating_scale=(1, 5)), objective=objective, formulation="sparse",
                progress=False).fit(TRAIN, 1)


@pytest.mark.parametrize("U, targets, message", [
    (lasagne.init.Normal(0.1), None, "the model reads indicator, which AsRated doesn't bring; expected targets that"),
    (None, BeyondBiases(np.zeros(40), np.zeros(12), (1, 5)), "the model doesn't read indicator, which BeyondBiases br"),
])
def test_a_model_reads_what_its_targets_bring(U, targets, message, monkeypatch):
    monkeypatch.setattr(trainer_module, "make_step", None)  # nothing is compiled
    t = Trainer(AutoEncoder(12, 2, rating_scale=(1, 5), U=U), progress=False)
    with pytest.raises(ValueError, match=message):
        t.fit(TRAIN, 1, targets=targets)
