"""Progress reports on stderr: a bar on a terminal or in a notebook (with ipywidgets), else a line now and then; or in
`logging`. Without progress there is no bar: even a disabled one takes a lock that all forks of a process share."""
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

# A context of writing to stderr, which may be None or closed, or have lost its reader.
_UNLESS_CLOSED = contextlib.suppress(AttributeError, OSError, ValueError)


def say(text):
    """Print a line on stderr, at once, above a bar that stands there; or log it, within `reporting`."""
    for name, shown in _shown.get():
        text = text.replace(name, shown)
    if _logged.get():
        logging.getLogger("sparse_ae").info("%s", text)
    else:
        text = fitting(text, sys.stderr)
        with _UNLESS_CLOSED:
            tqdm.write(text, file=sys.stderr) if _bars else sys.stderr.write(text + "\n")
            sys.stderr.flush()


def fitting(line, stream):
    """A line in rows that fit the terminal that a stream is, without a word cut in two; for other streams the line."""
    return textwrap.fill(line, max(20, _size(stream)[0] - 1), subsequent_indent="    ", break_long_words=False,
                         break_on_hyphens=False) if is_terminal(stream) else line


def _size(stream):
    """The columns and rows of the terminal that a stream is; of one without a size, as within `script`, 80 and 24."""
    with _UNLESS_CLOSED:
        size = os.get_terminal_size(stream.fileno())
        if all(size):
            return size
    return 80, 24


def is_terminal(stream):
    """Whether a stream is a terminal, and open."""
    with _UNLESS_CLOSED:
        return stream.isatty()
    return False


@contextlib.contextmanager
def showing(name, shown):
    """A context in which lines of `say` have `shown` in place of a name that the user hasn't given."""
    before = _shown.set(((name, shown),) + _shown.get())
    try:
        yield
    finally:
        _shown.reset(before)


def reporting(function: _Function) -> _Function:
    """Decorate a function whose first argument, or `recommender`, has `progress`: "logging" logs all lines."""
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
    """The reports of a training up to `last_epoch`, of `n_rows` rows; `wanted` may be a text before each."""
    if not wanted:
        return _Nothing()
    label = wanted if isinstance(wanted, str) and wanted != "logging" else ""
    if _logged.get():
        return _Lines(label, last_epoch)
    make_bar = tqdm if is_terminal(sys.stderr) else _notebook_bar()
    return _Lines(label, last_epoch) if make_bar is None else _Bar(label, make_bar, n_rows)


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
        self._label, self._bar, self._width = label, None, 0
        self._make = functools.partial(make_bar, total=n_rows, unit="row", leave=False)
        if make_bar is tqdm:
            # Three columns narrower: one that wraps, perhaps with a ^C behind it, leaves a line behind each time it is
            # drawn. With 0 rows, which a terminal without a size has, there would be no bar.
            self._width, rows = _size(sys.stderr)
            self._make.keywords.update(ncols=max(1, self._width - 3), nrows=rows)

    def __exit__(self, *error):
        if self._bar is not None:
            is_alone = self._bar in _bars and not self._bar.pos
            _bars.discard(self._bar)
            self._bar.close()
            with _UNLESS_CLOSED:
                sys.stderr.write("\r%s\r" % (" " * (self._width - 1)) if is_alone else "")  # over a ^C, too

    def epoch(self, number, last):
        # What changes comes first, for narrow terminals. The error is all that the bar of one batch of all rows can say
        # while it lasts.
        so_far = "" if last is None else ", " + _named(*validated(last) or _trained(last))
        told = "epoch %d%s" % (number, so_far) + (", " + self._label if self._label else "")
        if self._bar is None:  # bool(bar) is "total > 0", a numpy.bool where the total is NumPy's
            self._bar = self._make(desc=told)
            if self._width and not self._bar.disable:  # as by TQDM_DISABLE
                _bars.add(self._bar)
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
