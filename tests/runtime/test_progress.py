"""What a training shows of itself: on a terminal, in a notebook, in a pipe; the time is made up."""
import io
import sys
import threading
import types

import pytest
from limits import HANGS, in_child, wait_until
from matrices import Terminal

from sparse_ae.runtime import progress
from sparse_ae.runtime.progress import announced, errors_of, figure, reporting, say, signs_of_life


class Bar:
    """In place of tqdm's."""

    made, disable, format_interval = [], True, progress.tqdm.format_interval

    def __init__(self, **arguments):
        self.arguments, self.descriptions, self.counts, self.closed = arguments, [], [], False
        self.made.append(self)

    def set_description(self, desc, refresh):
        self.descriptions.append(desc)

    def reset(self):
        self.counts.append("reset")

    def set_postfix(self, refresh, **figures):
        self.figures = figures

    def update(self, n):
        self.counts.append(n)

    def close(self):
        self.closed = True


@pytest.fixture
def bars(monkeypatch):
    monkeypatch.setattr(Bar, "made", [])
    return Bar.made


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when they are told to."""
    now = types.SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(progress, "_now", lambda: now.seconds)
    return now


@pytest.fixture
def notebook(monkeypatch):
    """Where tqdm finds a notebook, and there is ipywidgets."""
    monkeypatch.setitem(sys.modules, "ipywidgets", types.SimpleNamespace(__spec__=True))
    monkeypatch.setitem(sys.modules, "tqdm.autonotebook", types.SimpleNamespace(tqdm=Bar))


def record(epoch, validation=None, restored=None):
    return {"epoch": epoch, "loss": 2.0, "train_rmse": 1 / epoch, "validation_rmse": validation, "restored": restored}


def train(signs, n_epochs=2, n_batches=2, validation=None, clock=None, seconds=0.0):
    """Epochs of batches of 5 rows, and seconds to each."""
    history = []
    for epoch in range(1, n_epochs + 1):
        signs.epoch(epoch, history[-1] if history else None)
        for _ in range(n_batches):
            if clock is not None:
                clock.seconds += seconds
            signs.batch(5, 2.0, 0.5)
        history.append(record(epoch, validation))
    return history


@pytest.mark.parametrize("where", ["terminal", "notebook"])
@pytest.mark.parametrize("validation, so_far", [(None, "1.0000"), (0.75, "0.7500")])
def test_a_bar_begins_anew_with_each_epoch(monkeypatch, bars, validation, so_far, where, request):
    if where == "notebook":
        request.getfixturevalue("notebook")
    else:  # tqdm takes what the bars are given
        monkeypatch.setattr(sys, "stderr", Terminal())
        with signs_of_life(True, 2, 10) as signs:
            signs.end(train(signs, validation=validation))
        assert "epoch 1:" in sys.stderr.getvalue() and "epoch 2, RMSE %s:" % so_far in sys.stderr.getvalue()
        monkeypatch.setattr(progress, "tqdm", Bar)
    monkeypatch.setattr(sys, "stderr", io.StringIO() if where == "notebook" else Terminal())
    with signs_of_life(True, 2, 10) as signs:
        history = train(signs, validation=validation)
        bar, = bars
        assert bar.descriptions == ["epoch 1", "epoch 2, RMSE %s" % so_far] and not bar.closed
        assert (bar.counts, bar.arguments["total"]) == (["reset", 5, 5] * 2, 10)
        assert bar.figures == {"loss": "2", "rmse": "0.5000"}
        signs.end(history)
    assert bar.closed
    with pytest.raises(KeyboardInterrupt):
        with signs_of_life(True, 2, 10) as signs:
            signs.epoch(1, None)
            raise KeyboardInterrupt
    assert bars[1].closed
    with signs_of_life(True, 2, 10) as signs:
        signs.end([])
    assert len(bars) == 2 and sys.stderr.getvalue() == ""


def test_in_a_pipe_there_is_a_line_now_and_then(clock, capsys):
    signs = signs_of_life(True, 100, 10)
    history = train(signs, 40, validation=0.875, clock=clock, seconds=1.5)
    history[-1]["restored"] = 20
    signs.end(history)
    assert capsys.readouterr().err.splitlines() == [
        "epoch 4 of at most 100: training RMSE 0.3333, validation RMSE 0.8750 so far; 00:10",
        "epoch 14 of at most 100: training RMSE 0.0769, validation RMSE 0.8750 so far; 00:40",
        "epoch 24 of at most 100: training RMSE 0.0435, validation RMSE 0.8750 so far; 01:10",
        "epoch 34 of at most 100: training RMSE 0.0303, validation RMSE 0.8750 so far; 01:40",
        "training ended after epoch 40, in 02:00; epoch 20: training RMSE 0.0500, validation RMSE 0.8750"]


@pytest.mark.parametrize("label", [True, "items as rows, on all ratings"])
def test_lines_of_the_first_epoch_of_a_later_call_and_of_nothing_better(clock, capsys, label, monkeypatch, bars):
    before = "" if label is True else label + ", "
    signs = signs_of_life(label, 14, 10)
    signs.epoch(5, None)
    clock.seconds += 8000
    signs.batch(10, 2.0, 0.5)
    signs.end([record(5, 1.0, restored=0)])
    assert capsys.readouterr().err.splitlines() == [
        before + "epoch 5 of at most 14: training RMSE 0.5000 so far; 2:13:20",
        before + "training ended after epoch 1, in 2:13:20; none was better than the start, which is restored"]
    monkeypatch.setattr(progress, "tqdm", Bar)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with signs_of_life(label, 2, 10) as signs:
        train(signs)
    assert bars[0].descriptions[0] == "epoch 1" + ("" if label is True else ", " + label)


def test_lines_go_to_the_log_where_that_is_asked_for(clock, caplog, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())

    @reporting
    def fit(recommender, label):
        say("begun")
        with announced("Compiling ...", after=0):  # in another thread
            wait_until(lambda: "Compiling ...\n" in sys.stderr.getvalue() or "Compiling ..." in caplog.messages)
        with signs_of_life(label, 9, 10) as signs:
            signs.end(train(signs, 9, clock=clock, seconds=1.5))

    caplog.set_level("INFO", "sparse_ae")
    fit(label="logging", recommender=types.SimpleNamespace(progress="logging"))
    assert [(each.name, each.levelname) for each in caplog.records] == [("sparse_ae", "INFO")] * 4
    assert caplog.messages == ["begun", "Compiling ...", "epoch 4 of at most 9: training RMSE 0.3333 so far; 00:10",
                               "training ended after epoch 9, in 00:27; epoch 9: training RMSE 0.1111"]
    assert sys.stderr.getvalue() == ""
    caplog.clear()
    fit(types.SimpleNamespace(progress=True), True)
    assert "begun\n" in sys.stderr.getvalue() and not caplog.records


def test_what_is_soon_over_says_nothing(clock, capsys):
    signs = signs_of_life(True, 2, 10)
    signs.end(train(signs, clock=clock, seconds=1))
    assert capsys.readouterr() == ("", "")


def test_without_progress_no_lock_is_taken(monkeypatch, clock, capsys, notebook):
    # tqdm's lock is shared by the forks of a process; one that is killed with it would stop the others for ever.
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(progress, "tqdm", lambda *args, **kwargs: pytest.fail("a bar was made"))
        monkeypatch.setattr(progress, "_notebook_bar", lambda: pytest.fail("a bar was looked for"))
        signs = signs_of_life(False, 2, 10)
        signs.end(train(signs, clock=clock, seconds=100))
        assert stream.getvalue() == ""


class Broken(io.StringIO):
    """A stream whose reader is gone."""

    def __init__(self, error, terminal):
        super().__init__()
        self.error, self.isatty = error, lambda: terminal

    def write(self, text):
        raise self.error


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [
    None, closed(), Broken(OSError(5, "Input/output error"), True), Broken(OSError(9, "Bad file descriptor"), False),
    Broken(BrokenPipeError(32, "Broken pipe"), False)])
def test_training_goes_on_in_silence_where_nothing_can_be_written(monkeypatch, capsys, clock, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    with signs_of_life(True, 100, 10) as signs:
        signs.end(train(signs, 3, clock=clock, seconds=100))
        say("a line")
    with announced("Compiling ...", after=0):
        pass
    assert capsys.readouterr().out == ""


def test_what_takes_long_is_announced(monkeypatch, capsys):
    said = threading.Event()
    stream = io.StringIO()
    stream.flush = said.set
    monkeypatch.setattr(sys, "stderr", stream)
    with announced("Compiling ...", after=0):
        assert said.wait(HANGS)
    with announced("Compiling ...", after=HANGS):
        pass
    with announced("Compiling ...", wanted=False, after=0):
        pass
    assert stream.getvalue() == "Compiling ...\n"
    for message, once in (("Compiling ...", False), ("Compiling on ...", True)):
        said.clear()
        with announced(message, after=0, once=once):
            assert said.wait(HANGS)
    before = threading.enumerate()  # one that has said its line may take a moment to end
    for once in (True, False):  # a loaded machine takes as long again
        with announced("Compiling on ...", after=HANGS, once=once):
            timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
            assert bool(set(timers).difference(before)) == (not once)
    assert stream.getvalue() == "Compiling ...\nCompiling ...\nCompiling on ...\n"


@pytest.mark.parametrize("value, expected", [
    (0.87012, "0.8701"), (12345.6, "12345.6000"), (0.0, "0.0000"), (0.01, "0.0100"), (0.00999, "0.00999"),
    (3.14159e-7, "3.142e-07"), (-2e-5, "-2e-05"), (float("inf"), "inf")])
def test_figures_have_digits_on_any_scale(value, expected):
    assert figure(value) == expected
    record = {"train_rmse": value, "validation_ndcg@10": value}
    assert errors_of(record) == "training RMSE %s, validation NDCG@10 %s" % (expected, expected)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_has_no_bars_of_its_parent(monkeypatch):
    """Their lock may be held by a thread that it lacks: a line above them would wait for ever."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    held, done = threading.Event(), threading.Event()

    def draw():
        with progress.tqdm.get_lock():
            held.set()
            done.wait(HANGS)

    with signs_of_life(True, 2, 10) as signs:
        signs.epoch(1, None)
        thread = threading.Thread(target=draw)
        thread.start()
        assert held.wait(HANGS)
        try:
            assert in_child(lambda: [say("a line")])
        finally:
            done.set()
            thread.join()
