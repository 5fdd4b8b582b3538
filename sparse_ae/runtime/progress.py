"""Progress reports on stderr: a bar on a terminal or in a notebook, else a line now and then.

==================  ================================================================================================
where stderr is     a training shows
==================  ================================================================================================
a terminal          a bar for each epoch, which goes when the epoch is over
in a notebook       one bar for all epochs, a notebook's, where ipywidgets can draw it; else lines as below
a pipe or a file    a line after some seconds, then every half minute, and one at the end; none where it ends sooner
==================  ================================================================================================

Who asks for no progress gets nothing, and no lock is taken for it: even a disabled bar of tqdm's takes a lock that all
forks of a process share. If one of them is killed while it holds the lock, the others wait for ever.
"""
import contextlib
import importlib
import importlib.util
import sys
import threading
import time
import warnings

from tqdm import tqdm

# Seconds before the first line, and between two.
_FIRST_LINE, _BETWEEN_LINES = 10.0, 30.0

_now = time.monotonic

# What `announced` has said and needs not say again.
_said = set()


@contextlib.contextmanager
def announced(message, wanted=True, after=2.0, once=False):
    """Print a message on stderr if what is done meanwhile takes long.

    Parameters
    ----------
    message : str
    wanted : bool
        Whether to print anything at all.
    after : float
        Seconds from which it takes long.
    once : bool
        Whether to print it only the first time in a process.
    """
    def tell():
        _said.add(message)
        say(message)

    timer = threading.Timer(after, tell)
    timer.daemon = True
    if wanted and not (once and message in _said):
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def signs_of_life(wanted, n_epochs, n_rows):
    """Make the progress reports of a training, as its surroundings allow.

    Parameters
    ----------
    wanted : bool or str
        Whether to show anything at all; a text says what is trained, before all that is shown.
    n_epochs : int
        That are still to come, at most.
    n_rows : int
        In each of them.

    Returns
    -------
    signs
        With the methods ``epoch(number, last)``, a context manager for each epoch, where `last` is the record of the
        epoch before or None; ``batch(n_rows, loss, rmse)`` after each mini-batch in it, with the means of the epoch
        so far, of which the RMSE may be None; and ``end(history)``.
    """
    if not wanted:
        return _Nothing()
    label = wanted + ", " if isinstance(wanted, str) else ""
    if getattr(sys.stderr, "isatty", lambda: False)():
        return _Bars(label, n_rows)
    notebook_bar = _notebook_bar()
    if notebook_bar is not None:
        return _NotebookBar(label, notebook_bar, n_epochs, n_rows)
    return _Lines(label, n_epochs, n_rows)


def validated(record):
    """Find validation's measure in an epoch's record: its name and its value; None without validation."""
    for name, value in record.items():
        if name.startswith("validation_") and value is not None:
            name = name[len("validation_"):].replace("blend_", "blend's ")
            return name.replace("rmse", "RMSE").replace("ndcg", "NDCG"), value
    return None


def _notebook_bar():
    """The class of bars of a notebook; None where there is no notebook, or no ipywidgets to draw them."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if "IPKernelApp" not in getattr(shell, "config", {}) or importlib.util.find_spec("ipywidgets") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tqdm's, on what ipywidgets may lack
        return importlib.import_module("tqdm.auto").tqdm


class _Nothing:
    """No sign."""

    def epoch(self, number, last):
        return contextlib.nullcontext()

    def batch(self, n_rows, loss, rmse):
        pass

    def end(self, history):
        pass


class _Bars(_Nothing):
    """A bar for each epoch."""

    def __init__(self, label, n_rows):
        self._label, self._n_rows = label, n_rows

    @contextlib.contextmanager
    def epoch(self, number, last):
        # disable=None: stderr may be another by now.
        with tqdm(total=self._n_rows, desc=self._label + _title(number, last), unit="row", leave=False,
                  disable=None) as self._bar:
            yield

    def batch(self, n_rows, loss, rmse):
        if not self._bar.disable:
            self._bar.set_postfix(refresh=False, **_postfix(loss, rmse))
            self._bar.update(n_rows)


class _NotebookBar(_Nothing):
    """One bar for all epochs: a notebook keeps an empty line for each bar that goes."""

    def __init__(self, label, make_bar, n_epochs, n_rows):
        self._label, self._make_bar, self._total, self._bar = label, make_bar, n_epochs * n_rows, None

    @contextlib.contextmanager
    def epoch(self, number, last):
        if self._bar is None:
            self._bar = self._make_bar(total=self._total, unit="row", leave=False)
        self._bar.set_description(self._label + _title(number, last), refresh=False)
        try:
            yield
        except BaseException:
            self._bar.close()
            raise

    def batch(self, n_rows, loss, rmse):
        self._bar.set_postfix(refresh=False, **_postfix(loss, rmse))
        self._bar.update(n_rows)

    def end(self, history):
        if self._bar is not None:
            self._bar.close()


def _postfix(loss, rmse):
    shown = {"loss": "%.4g" % loss}
    return shown if rmse is None else dict(shown, rmse=figure(rmse))


def _title(number, last):
    if last is None:
        return "epoch %d" % number
    # All that the bar of one batch of all rows can say while it lasts.
    return "epoch %d, %s so far" % (number, _in_words(*validated(last) or _trained(last)))


class _Lines(_Nothing):
    """A line now and then."""

    def __init__(self, label, n_epochs, n_rows):
        self._label, self._n_epochs, self._n_rows, self._done = label, n_epochs, n_rows, 0
        self._start = _now()
        self._next, self._first, self._last = self._start + _FIRST_LINE, None, None

    def epoch(self, number, last):
        if self._first is None:
            self._first = number
        self._number, self._last = number, last
        return contextlib.nullcontext()

    def batch(self, n_rows, loss, rmse):
        self._done += n_rows
        now = _now()
        if now < self._next:
            return
        self._next = now + _BETWEEN_LINES
        left = (now - self._start) * (self._n_epochs * self._n_rows / self._done - 1)
        so_far = {"train_rmse": rmse, "loss": loss}
        errors = errors_of(so_far if self._last is None else self._last)
        say("%sepoch %d of at most %d: %s so far; %s, at most %s left"
             % (self._label, self._number, self._first + self._n_epochs - 1, errors, _duration(now - self._start),
                _duration(left)))

    def end(self, history):
        took = _now() - self._start
        if took < _FIRST_LINE or not history:
            return
        best = history[-1]["restored"]
        text = "%straining ended after epoch %d, in %s" % (self._label, len(history), _duration(took))
        if best == 0:
            text += "; none was better than what it began with, which is put back"
        else:
            best = best or len(history)
            text += "; epoch %d: %s" % (best, errors_of(history[best - 1]))
        say(text)


def errors_of(record):
    """An epoch's errors, in words."""
    text, found = "training " + _in_words(*_trained(record)), validated(record)
    return text if found is None else text + ", validation " + _in_words(*found)


def _in_words(name, value):
    return "%s %s" % (name, figure(value))


def figure(value):
    """An error or a measure in words: four decimals, and of what is less than 0.01, four digits: 0.8701, 3.142e-07."""
    return ("%.4g" if 0 < abs(value) < 0.01 else "%.4f") % value


def _trained(record):
    """The training's error: the loss, where missing entries count and there is no RMSE."""
    return ("loss", record["loss"]) if record["train_rmse"] is None else ("RMSE", record["train_rmse"])


def _duration(seconds):
    seconds = int(round(seconds))
    if seconds < 100:
        return "%d s" % seconds
    minutes = int(round(seconds / 60))
    return "%d min" % minutes if minutes < 100 else "%.1f h" % (minutes / 60)


def say(text):
    """Print a line on stderr, at once."""
    print(text, file=sys.stderr, flush=True)
