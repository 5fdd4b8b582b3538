"""Progress reports on stderr: a bar on a terminal or in a notebook (with ipywidgets), else a line now and then; none if
stderr is closed, or its reader has gone. Or lines for Python's `logging`. No lock is taken without progress: even a
disabled bar of tqdm's takes one that all forks of a process share."""
import contextlib
import contextvars
import functools
import importlib.util
import logging
import os
import sys
import textwrap
import threading
import time
import warnings
from typing import Any, Callable, TypeVar

from tqdm import tqdm

# Seconds before the first line, and between two.
_FIRST_LINE, _BETWEEN_LINES = 10.0, 30.0

#: Before the name of the metric, the key of validation in an epoch's record.
VALIDATION = "validation_"

_now = time.monotonic

# Whether lines go to the log here: see `reporting`.
_logged = contextvars.ContextVar("logged", default=False)

# Names in lines, and what is shown in place of each: see `showing`.
_shown = contextvars.ContextVar("shown", default=())
_Function = TypeVar("_Function", bound=Callable[..., Any])

# Messages of `announced` that aren't repeated.
_said = set()

# The bars that stand on the terminal. A forked process has none: their lock may be held by a thread that it lacks.
_bars = set()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_bars.clear)


class _Stderr:
    """The current `sys.stderr`; nothing is written, and no error raised, if it is closed or has no reader."""

    def _call(self, name, *arguments):
        with contextlib.suppress(OSError, ValueError):  # a broken pipe, no such descriptor; a closed file
            return getattr(sys.stderr, name, lambda *_: None)(*arguments)

    def write(self, text):
        self._call("write", text)

    def flush(self):
        self._call("flush")

    def isatty(self):
        return bool(self._call("isatty"))

    def __getattr__(self, name):
        return getattr(sys.stderr, name)


#: A file to print reports to.
STDERR = _Stderr()


def say(text):
    """Print a line on stderr, at once, above a bar that stands there; or log it, within `reporting`."""
    for name, shown in _shown.get():
        text = text.replace(name, shown)
    if _logged.get():
        logging.getLogger("sparse_ae").info("%s", text)
    elif _bars:
        tqdm.write(fitting(text, STDERR), file=STDERR)
    else:
        STDERR.write(fitting(text, STDERR) + "\n")
        STDERR.flush()


def fitting(line, stream):
    """A line in rows that fit the terminal that a stream is, without a word cut in two; for other streams the line."""
    columns = _columns(stream)
    return textwrap.fill(line, max(20, columns - 1), subsequent_indent="    ", break_long_words=False,
                         break_on_hyphens=False) if columns else line


def _columns(stream):
    """The width of the terminal that a stream is; 0 for others, and for one without a size, as within `script`."""
    with contextlib.suppress(AttributeError, OSError, TypeError, ValueError):
        size = os.get_terminal_size(stream.fileno())
        return size.columns if size.lines else 0
    return 0


@contextlib.contextmanager
def showing(name, shown):
    """A context in which lines of `say` have `shown` in place of a name that the user hasn't given."""
    before = _shown.set(((name, shown),) + _shown.get())
    try:
        yield
    finally:
        _shown.reset(before)


def reporting(function: _Function) -> _Function:
    """Decorate a function whose first argument, or `recommender`, has `progress`: if that is "logging", the lines of
    `say`, `announced` and `signs_of_life` go to the logger "sparse_ae", at level INFO."""
    @functools.wraps(function)
    def reported(*arguments, **keywords):
        settings = arguments[0] if arguments else keywords.get("recommender")
        before = _logged.set(_logged.get() or getattr(settings, "progress", None) == "logging")
        try:
            return function(*arguments, **keywords)
        finally:
            _logged.reset(before)

    return reported  # type: ignore


@contextlib.contextmanager
def announced(message, wanted=True, after=2.0, once=False):
    """Print a message on stderr if the context lasts longer than `after` seconds; only the first time if `once`."""
    def tell():
        _said.add(message)
        say(message)

    timer = threading.Timer(after, contextvars.copy_context().run, [tell])
    timer.daemon = True
    if wanted and not (once and message in _said):
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def signs_of_life(wanted, last_epoch, n_rows):
    """The progress reports of a training that ends with `last_epoch` at most, of `n_rows` rows; a text as `wanted`
    begins each."""
    if not wanted:
        return _Nothing()
    label = wanted if isinstance(wanted, str) and wanted != "logging" else ""
    if _logged.get():
        return _Lines(label, last_epoch)
    if STDERR.isatty():
        return _Bar(label, _TerminalBar, n_rows)
    notebook_bar = _notebook_bar()
    if notebook_bar is not None:
        return _Bar(label, notebook_bar, n_rows)
    return _Lines(label, last_epoch)


class _TerminalBar(tqdm):
    """A bar of tqdm's, three columns narrower than the terminal: one that wraps, perhaps with a ^C behind it, leaves a
    line behind each time it is drawn."""

    def __init__(self, **arguments):
        # Without dynamic_ncols only sys.stderr itself is asked its width; with it nothing is shown where there is none.
        super().__init__(file=STDERR, dynamic_ncols=bool(_columns(STDERR)), **arguments)
        if not self.disable:  # as by TQDM_DISABLE
            _bars.add(self)

    @property
    def format_dict(self):
        found = super().format_dict
        return dict(found, ncols=found["ncols"] and max(1, found["ncols"] - 3))

    def close(self):
        if self in _bars:
            _bars.discard(self)
            width, alone = self.format_dict["ncols"] or 0, not self.pos
            super().close()
            if alone:  # on the cursor's line
                STDERR.write("\r%s\r" % (" " * (width + 2)))


def _notebook_bar():
    """The class of bars of a notebook; None where there is no notebook, or no ipywidgets to draw them."""
    if importlib.util.find_spec("ipywidgets") is None:  # older tqdm doesn't ask
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tqdm's, on what ipywidgets may lack
        from tqdm.autonotebook import tqdm as found
    return None if found is tqdm else found


class _Nothing:
    """No reports. It is a context of all epochs, `epoch` begins one after the record `last`, `batch` takes its means so
    far, `clear` makes way for other lines, and `end` takes the history."""

    def __enter__(self):
        return self

    def _ignore(self, *arguments):
        pass

    __exit__ = epoch = batch = clear = end = _ignore


class _Bar(_Nothing):
    """One bar, since a notebook keeps an empty line for each that goes."""

    def __init__(self, label, make_bar, n_rows):
        self._label, self._bar = label, None
        self._make = functools.partial(make_bar, total=n_rows, unit="row", leave=False)

    def __exit__(self, *error):
        if self._bar is not None:
            self._bar.close()

    def epoch(self, number, last):
        # What changes comes first, for narrow terminals. The error is all that the bar of one batch of all rows can say
        # while it lasts.
        so_far = "" if last is None else ", " + _named(*validated(last) or _trained(last))
        told = "epoch %d%s" % (number, so_far) + (", " + self._label if self._label else "")
        if self._bar is None:  # bool(bar) is "total > 0", a numpy.bool where the total is NumPy's
            self._bar = self._make(desc=told)
        self._bar.set_description(told, refresh=False)
        self._bar.reset()

    def batch(self, n_rows, loss, rmse):
        self._bar.set_postfix(refresh=False, loss="%.4g" % loss, **{} if rmse is None else {"rmse": figure(rmse)})
        self._bar.update(n_rows)

    def clear(self):
        self._bar.clear()


class _Lines(_Nothing):
    """A line now and then; how long it will still take isn't known, since training may end early."""

    def __init__(self, label, last_epoch):
        self._label, self._last_epoch, self._start = label and label + ", ", last_epoch, _now()
        self._next = self._start + _FIRST_LINE

    def epoch(self, number, last):
        self._number, self._last = number, last

    def batch(self, n_rows, loss, rmse):
        now = _now()
        if now >= self._next:
            self._next = now + _BETWEEN_LINES
            errors = errors_of(self._last or {"train_rmse": rmse, "loss": loss})
            say("%sepoch %d of at most %d: %s so far; %s" % (self._label, self._number, self._last_epoch, errors,
                                                             tqdm.format_interval(now - self._start)))

    def end(self, history):
        took = _now() - self._start
        if took < _FIRST_LINE or not history:
            return
        best = history[-1]["restored"]
        best = len(history) if best is None else best
        told = "epoch %d: %s" % (best, errors_of(history[best - 1])) if best else \
            "none was better than the start, which is restored"
        say("%straining ended after epoch %d, in %s; %s"
            % (self._label, len(history), tqdm.format_interval(took), told))


def validated(record):
    """The name and value of validation's metric in an epoch's record; None without validation."""
    for name, value in record.items():
        if name.startswith(VALIDATION) and value is not None:
            name = name[len(VALIDATION):].replace("blend_", "blend's ")
            return name.replace("rmse", "RMSE").replace("ndcg", "NDCG"), value
    return None


def errors_of(record):
    """An epoch's errors as text."""
    text, found = "training " + _named(*_trained(record)), validated(record)
    return text if found is None else text + ", validation " + _named(*found)


def figure(value):
    """An error or a metric as text: four decimals, or four digits if it is less than 0.01: 0.8701, 3.142e-07."""
    return ("%.4g" if 0 < abs(value) < 0.01 else "%.4f") % value


def _named(name, value):
    return "%s %s" % (name, figure(value))


def _trained(record):
    """The training's error: the loss, where missing entries count and there is no RMSE."""
    return ("loss", record["loss"]) if record["train_rmse"] is None else ("RMSE", record["train_rmse"])
