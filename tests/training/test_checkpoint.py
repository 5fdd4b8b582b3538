"""Runs that stop, and go on as if they hadn't, bit for bit; by kill -9 they do in runtime/test_ranks.py."""
import functools
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from alike import assert_all_close
from devices import sparse_adam_needs_cpu
from made import stars
from recommender_contract import Killed
from toys import Measured, scripted

from sparse_ae import trainer as trainer_module
from sparse_ae.data import split_ratings
from sparse_ae.files import storage
from sparse_ae.model import AutoEncoder
from sparse_ae.trainer import Trainer
from sparse_ae.training import checkpoint
from sparse_ae.training.lbfgs import LBFGS
from sparse_ae.training.objectives import Missing
import lasagne

TRAIN, TEST = split_ratings(stars(20, 9, 0.7), 0.3)[:2]


def trainer(seed=0, k=3, f="sigmoid", **kwargs):
    model = AutoEncoder(9, k, rating_scale=(1, 5), f=f, l2=kwargs.pop("l2", 0.01), rng=seed)
    # With most updates one Op, which is built soon.
    settings = dict(learning_rate=0.02, batch_size=8, formulation="sparse", progress=False, rng=seed)
    return Trainer(model, **dict(settings, **kwargs))


def outcome(t):
    """All that a run ends with, in comparable form."""
    state = {name: np.asarray(value) for name, value in t.step.get_state().items()}
    state = {name: (value.dtype, value.shape, value.tobytes("A")) for name, value in state.items()}
    generator = t.rng.get_state()
    return [dict(record, seconds=0) for record in t.history], state, generator[1].tobytes(), generator[2:]


def kill_after(epoch):
    def on_epoch(record):
        if record["epoch"] == epoch:
            raise Killed
    return on_epoch


RUNS = {
    "sgd, dense": dict(formulation="dense"),
    "sgd": dict(l2_per="epoch"),
    "adam, dense": dict(update="adam", formulation="dense"),
    "adam": dict(update="adam"),
    "sparse_adam": dict(update="sparse_adam", l2=0),
    "schedule": dict(update=functools.partial(lasagne.updates.momentum, momentum=0.5),
                     learning_rate=lambda epoch: 0.02 / epoch),
    "rprop": dict(update="rprop", batch_size=None),
    "lbfgs": dict(update=functools.partial(LBFGS, memory=3), batch_size=None),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=sparse_adam_needs_cpu if name == "sparse_adam" else ())
                                  for name in RUNS])
def test_resumed_as_if_never_stopped(name, tmp_path):
    whole = trainer(**RUNS[name])
    whole.fit(TRAIN, 6, validation=TEST)

    killed = trainer(**RUNS[name])
    with pytest.raises(Killed):
        killed.fit(TRAIN, 6, validation=TEST, checkpoint=tmp_path / "run.npz", on_epoch=kill_after(3))
    (tmp_path / ("run.npz.sparse_ae-%s.tmp" % (8 * "01ef"))).write_bytes(b"PK")  # as kill -9 may leave
    # Another seed: all that it decides comes from the file.
    resumed, seen = trainer(seed=1, **RUNS[name]), []
    history = resumed.fit(TRAIN, 6, validation=TEST, checkpoint=tmp_path / "run.npz", resume=True, on_epoch=seen.append)
    assert outcome(resumed) == outcome(whole)
    assert history is resumed.history and [record["epoch"] for record in seen] == [4, 5, 6]
    assert [record["seconds"] for record in history[:3]] == [record["seconds"] for record in killed.history]
    assert os.listdir(str(tmp_path)) == ["run.npz"]


@pytest.mark.parametrize("errors, arguments, restored, stops", [
    ([3.0, 1.0, 2.0, 1.5, 1.25], dict(patience=3), {5: 2}, [1, 3, 5]),
    # Cut after the seventh epoch, from the second on; two fifths of the patience end with the tenth.
    ([3.0, 1.0, 2.0, 1.5, 1.25, 2.0, 2.0, 0.75, 2.0, 2.0], dict(patience=5, cut=0.5), {7: 2, 10: 8}, [2, 7, 8, 9]),
    ([3.0, 1.0, 2.0, 1.5, 1.25, 2.0, 2.0, 0.75, 2.0, 2.0], dict(patience=5, cut=0.5, keep_optimiser=False),
     {7: 2, 10: 8}, [2, 7, 8, 9]),
    # Gained is less than a thousandth from the third epoch to the fifth, wherever the run stopped.
    ([3.0, 2.0, 1.0, 0.9996, 0.9994, 0.9, 0.95], dict(patience=2, cut=0.5), {5: 5, 7: 6}, [3, 5, 6])])
def test_early_stopping_and_a_cut_are_remembered(errors, arguments, restored, stops, tmp_path, monkeypatch):
    """A training that is stopped after an epoch and resumed ends as one that was left alone."""
    whole, arguments = trainer(update="adam"), dict(arguments, validation=TEST)
    scripted(monkeypatch, *errors)
    whole.fit(TRAIN, 50, **arguments)
    assert {each["epoch"]: each["restored"] for each in whole.history if each["restored"] is not None} == restored
    for stop in stops:
        path = tmp_path / str(stop)
        scripted(monkeypatch, *errors)
        with pytest.raises(Killed):
            trainer(update="adam").fit(TRAIN, 50, checkpoint=path, on_epoch=kill_after(stop), **arguments)
        resumed = trainer(update="adam")
        resumed.fit(TRAIN, 50, checkpoint=path, resume=True, **arguments)
        assert outcome(resumed) == outcome(whole), stop
    if 8 in stops:
        with pytest.raises(ValueError, match="learning_rate is 0.02 here in epoch 8 and was 0.01"):
            trainer(update="adam").fit(TRAIN, 50, checkpoint=tmp_path / "8", resume=True, **dict(arguments, cut=None))


def test_every_so_many_epochs_and_the_last(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(checkpoint.CheckpointFile, "write", lambda self, run: saved.append(len(run.history)))
    trainer().fit(TRAIN, 8, checkpoint=tmp_path / "run.npz", checkpoint_every=3)
    assert saved == [3, 6, 8]
    del saved[:]
    scripted(monkeypatch, 1.0, 2.0, 3.0, 4.0)
    trainer().fit(TRAIN, 50, validation=TEST, patience=3, checkpoint=tmp_path / "run.npz", checkpoint_every=100)
    assert saved == [4]


@pytest.mark.parametrize("what, patience, end", [("parameters", None, 3), ("parameters", 4, 3), ("draws", None, 1),
                                                 ("draws", None, 2)])
def test_what_on_epoch_changes_is_in_the_file(what, patience, end, tmp_path):
    def changing(t, end=None):
        def on_epoch(record):
            if what == "parameters":
                t.model.b.set_value(t.model.b.get_value() / 2)
            else:
                t.rng.randn()  # each second draw takes the number that the generator has kept
            if record["epoch"] == end:
                raise Killed
        return on_epoch

    whole, killed, resumed = (trainer(update="adam") for _ in range(3))
    run = dict(validation=TEST, patience=patience)
    whole.fit(TRAIN, 5, on_epoch=changing(whole), **run)
    with pytest.raises(Killed):
        killed.fit(TRAIN, 5, on_epoch=changing(killed, end), checkpoint=tmp_path / "c", **run)
    resumed.fit(TRAIN, 5, on_epoch=changing(resumed), checkpoint=tmp_path / "c", resume=True, **run)
    assert outcome(resumed) == outcome(whole)


def test_an_epoch_that_ctrl_c_cut_short_is_done_again(tmp_path, monkeypatch):
    whole = trainer()
    whole.fit(TRAIN, 4)
    interrupted = trainer()

    def in_the_second_epoch(*arguments):
        for batch in minibatches(*arguments):
            if len(interrupted.history) == 1:
                os.kill(os.getpid(), signal.SIGINT)
                patch.undo()  # once
            yield batch

    minibatches = trainer_module.minibatches
    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "minibatches", in_the_second_epoch)
        interrupted.fit(TRAIN, 4, checkpoint=tmp_path / "run.npz")
    assert [record["interrupted"] for record in interrupted.history] == [False, True]
    resumed = trainer()
    resumed.fit(TRAIN, 4, checkpoint=tmp_path / "run.npz", resume=True)
    assert outcome(resumed) == outcome(whole)


def test_a_finished_run_comes_back_at_once_and_can_be_made_longer(tmp_path, monkeypatch):
    longer = trainer(update="adam")
    scripted(monkeypatch, *[4.0, 3.0, 3.5, 3.25] * 2)
    longer.fit(TRAIN, 4, validation=TEST, patience=9)

    finished = trainer(update="adam")
    finished.fit(TRAIN, 3, validation=TEST, patience=9, checkpoint=tmp_path / "run.npz")
    assert finished.history[-1]["restored"] == 2
    again = trainer(update="adam")
    content = (tmp_path / "run.npz").read_bytes()
    again.fit(TRAIN, 3, validation=TEST, patience=9, checkpoint=tmp_path / "run.npz", resume=True)
    assert outcome(again) == outcome(finished) and (tmp_path / "run.npz").read_bytes() == content

    again = trainer(update="adam")
    again.fit(TRAIN, 4, validation=TEST, patience=9, checkpoint=tmp_path / "run.npz", resume=True)
    assert outcome(again) == outcome(longer)


@pytest.mark.parametrize("first", ["1.npz", None])
def test_two_calls_with_two_files(first, tmp_path):
    """A program of two stages, killed in the second, and run again as it is; the first may be done anew."""
    def program(t, on_epoch=None):
        t.fit(TRAIN, 2, checkpoint=first and tmp_path / first, resume=bool(first))
        t.fit(TRAIN, 3, checkpoint=tmp_path / "2.npz", resume=True, on_epoch=on_epoch)
        return outcome(t)

    whole = trainer()
    whole.fit(TRAIN, 2)
    whole.fit(TRAIN, 3)
    with pytest.raises(Killed):
        program(trainer(), kill_after(4))
    assert program(trainer()) == outcome(whole)

    fresh = trainer()
    fresh.fit(TRAIN, 3, checkpoint=tmp_path / "2.npz", resume=True)
    assert outcome(fresh) == outcome(whole)
    other = trainer(seed=2)
    other.fit(TRAIN, 2)
    with pytest.raises(ValueError, match="2.npz is the checkpoint of a fit that began after 2 epochs, and "
                                         "the 2 of this trainer are others; pass another path"):
        other.fit(TRAIN, 3, checkpoint=tmp_path / "2.npz", resume=True)


# The file

def test_a_run_of_1_0_0_goes_on(tmp_path):
    """Written by 1.0.0 after three epochs; another BLAS may round otherwise."""
    path = tmp_path / "run.npz"
    path.write_bytes(Path(__file__).with_name("checkpoint_of_1_0_0.npz").read_bytes())
    whole, resumed = (trainer(update="momentum", learning_rate=0.002, formulation="dense") for _ in range(2))
    whole.fit(TRAIN, 5, validation=TEST)
    resumed.fit(TRAIN, 5, validation=TEST, checkpoint=path, resume=True)
    assert list(resumed.step.get_state()) == list(whole.step.get_state())
    assert_all_close(resumed.step.get_state().values(), whole.step.get_state().values(), rtol=1e-4, atol=1e-5)
    assert [record["epoch"] for record in resumed.history] == [1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "run.npz"
    trainer().fit(TRAIN, 2, validation=TEST, checkpoint=path)
    return path


class Leaky:
    """A function that is told from others by its class and attributes, in any process."""

    def __init__(self, leakiness):
        self.leakiness = leakiness

    def __call__(self, x):
        return x


def changed(matrix):
    """The same ratings but one."""
    matrix = matrix.copy()
    matrix.data[0] = matrix.data[0] % 5 + 1
    return matrix


@pytest.mark.parametrize("changes, message", [
    (dict(k=4), "n_hidden is 4 here and was 3"),
    (dict(f="tanh"), "f is 'tanh' here and was 'sigmoid'"),
    (dict(f=Leaky(0.2)), r"f is 'test_checkpoint.Leaky\(leakiness=0.2\)' here and was 'sigmoid'"),
    (dict(l2=(0.01, 0.1)), r"l2 is \[0.01, 0.1\] here and was \[0.01, 0.01\]"),
    (dict(update="adam"), "update is 'lasagne.updates.adam' here and was 'lasagne.updates.sgd'"),
    (dict(update=functools.partial(functools.partial(lasagne.updates.adam, beta2=0.9), beta1=0.5)),
     r"update is 'lasagne.updates.adam\(beta1=0.5, beta2=0.9\)' here and was 'lasagne.updates.sgd'"),
    (dict(batch_size=None), "batch_size is None here and was 8"),
    (dict(l2_per="epoch"), "l2_per is 'epoch' here and was 'batch'"),
    (dict(unknown=3), "unknown is 3.0 here and was None"),
    (dict(formulation="scan"), "formulation is 'scan' here and was 'sparse'"),
    (dict(learning_rate=0.03), "learning_rate is 0.03 here in epoch 1 and was 0.02"),
    (dict(learning_rate=lambda epoch: 0.04 / 2 ** epoch), "learning_rate is 0.01 here in epoch 2 and was 0.02"),
    (dict(batch_size=9, l2_per="epoch"), "batch_size is 9 here and was 8; l2_per is 'epoch' here and was 'batch'"),
    (dict(objective=Missing(0.3), formulation="dense"), ".*objective is .*0.3.* here and was .*Observed.*"),
    (dict(measure=Measured([])), "measured is 'validation_made_up' here and was 'validation_rmse'"),
    (dict(train=changed(TRAIN)), "train is '20 x 9, .* checksum .*' here and was '20 x 9, .* checksum .*'"),
    (dict(validation=changed(TEST)), "validation is '20 x 9, .*"),
    (dict(validation=None), "validation is None here and was '20 x 9, .*"),
])
def test_other_settings_and_ratings_are_refused(changes, message, run):
    settings, fit = dict(changes), dict(train=TRAIN, n_epochs=9, validation=TEST, checkpoint=run, resume=True)
    fit.update({name: settings.pop(name) for name in changes if name in ("train", "validation", "measure")})
    with pytest.raises(ValueError, match="run.npz is the checkpoint of another run: %s. Resume with the same "
                                         "settings and ratings, or pass another path" % message):
        trainer(**settings).fit(**fit)


def test_a_file_that_exists_is_never_overwritten_unasked(run):
    content = run.read_bytes()
    with pytest.raises(FileExistsError, match="run.npz exists; pass resume=True to continue from it, or another path"):
        trainer().fit(TRAIN, 9, validation=TEST, checkpoint=run)
    assert run.read_bytes() == content


def test_a_checkpoint_of_several_ranks_is_named(run, tmp_path):
    meta, arrays = storage.read(run, "checkpoint")
    arrays = {name + "/0" * name.startswith("state/update"): value for name, value in arrays.items()}
    storage.write(tmp_path / "run.npz", "checkpoint", dict(meta, settings=dict(meta["settings"], ranks=2)), arrays)
    with pytest.raises(ValueError, match="run.npz is the checkpoint of another run: ranks is 1 here and was 2"):
        trainer().fit(TRAIN, 9, validation=TEST, checkpoint=tmp_path / "run.npz", resume=True)


@pytest.mark.parametrize("value", [None, "1.5", True, float("nan")])
def test_an_epoch_without_the_value_that_stops_training_is_refused(value, run, tmp_path):
    """As of a run without validation, which a measure of the name "rmse" stops now."""
    meta, arrays = storage.read(run, "checkpoint")
    meta["history"][1]["validation_rmse"] = value
    storage.write(tmp_path / "run.npz", "checkpoint", meta, arrays)
    resumed = trainer()
    with pytest.raises(ValueError, match="of another run: validation_rmse was %r in epoch 2. Resume with" % value):
        resumed.fit(TRAIN, 9, validation=TEST, patience=3, checkpoint=tmp_path / "run.npz", resume=True)
    assert not resumed.history


# Files that are sound, and say what no run has written


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Of two runs, by name: the file, its JSON and its arrays."""
    found = {}
    for name in ("adam", "lbfgs"):
        path = tmp_path_factory.mktemp("written") / "run.npz"
        trainer(**RUNS[name]).fit(TRAIN, 4, validation=TEST, patience=1, checkpoint=path)
        found[name] = storage.read(path, "checkpoint")
    return found


def refused(meta, arrays, tmp_path, name="adam", message=""):
    path = tmp_path / "run.npz"
    storage.write(path, "checkpoint", meta, arrays)
    resumed = trainer(seed=3, **RUNS[name])
    before = [x.get_value().tobytes() for x in resumed.model.params] + [resumed.rng.get_state()[1].tobytes()]
    with pytest.raises(ValueError, match="run.npz is damaged, or was changed by hand: .*%s" % message):
        resumed.fit(TRAIN, 6, validation=TEST, patience=1, checkpoint=path, resume=True)
    assert not resumed.history
    assert before == [x.get_value().tobytes() for x in resumed.model.params] + [resumed.rng.get_state()[1].tobytes()]


@pytest.mark.parametrize("change", [
    {"pos": 625}, {"pos": -1}, {"pos": "x"}, {"key": [1, 2]}, {"key": [2 ** 32] * 624}, {"key": [1.5] * 624},
    {"key": 3}])
def test_a_generator_that_never_was_is_refused(change, written, tmp_path):
    """NumPy would draw from what lies behind the keys."""
    meta, arrays = written["adam"]
    refused(dict(meta, rng=dict(meta["rng"], state=dict(meta["rng"]["state"], **change))), arrays, tmp_path,
            message="random generator")


@pytest.mark.parametrize("name, values", [
    ("rng", [None, [], {}, {"bit_generator": "PCG64"}]),
    ("first", [None, -1, 99, True, "1"]),
    ("history", [None, 3, {}, [3], [{}], [{"epoch": 1}]]),
    ("settings", [None, [], "x"]),
    ("best", [3, [], {}, {"epoch": 99, "error": 1.0}, {"epoch": 1, "error": "x"}, {"epoch": None, "error": 1.0}]),
])
def test_each_entry_of_a_checkpoint_is_looked_at(name, values, written, tmp_path):
    meta, arrays = written["adam"]
    for value in values:
        refused(dict(meta, **{name: value}), arrays, tmp_path)
    refused({other: value for other, value in meta.items() if other != name}, arrays, tmp_path, message=name)


@pytest.mark.parametrize("run", ["adam", "lbfgs"])
def test_each_array_of_a_checkpoint_is_looked_at(run, written, tmp_path, monkeypatch):
    meta, arrays = written[run]
    step = trainer(**RUNS[run])
    step.fit(TRAIN, 1)
    for name in arrays:
        array = arrays[name]
        wrong = [{}, {name: array[..., np.newaxis]}, {name: array.astype("complex64")}, {name + "x": array},
                 {name: array, name + "x": array}]
        if not name.partition("/")[2].startswith("update_"):
            wrong.append({name: array * np.nan})
        for change in wrong:
            others = {other: each for other, each in arrays.items() if other != name}
            storage.write(tmp_path / "run.npz", "checkpoint", meta, dict(others, **change))
            with pytest.raises(ValueError, match="run.npz is damaged, or was changed by hand"):
                file = checkpoint.CheckpointFile(tmp_path / "run.npz", meta["settings"])
                saved = file.begin(True, [], lambda epoch: meta["history"][epoch - 1]["learning_rate"], None, None)
                checkpoint.check_states(tmp_path / "run.npz", saved, step.step)
