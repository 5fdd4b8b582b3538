"""Streams that are closed, or that nobody reads: ``python tests/fuzz/streams.py FIRST_SEED LAST_SEED``.

Each seed trains, reads a file, or says a line while stderr and stdout fail in some way, at once or after some writes.
It has to end as it does with sound streams, and nothing may come on stdout; anything else ends this process.
"""
import errno
import functools
import io
import sys

import numpy as np
import scipy.sparse as sp
from driver import drive

from sparse_ae.data import lines
from sparse_ae.data.load import load_ratings
from sparse_ae.model import AutoEncoder
from sparse_ae.runtime import progress
from sparse_ae.trainer import Trainer


class Failing(io.StringIO):
    """A stream that raises an error from some write or flush on, and may say that it is a terminal."""

    def __init__(self, n_good, error, terminal):
        super().__init__()
        self.n_good, self.error, self.terminal = n_good, error, terminal

    def isatty(self):
        return self.terminal

    def write(self, text):
        return self._or_error() or super().write(text)

    def flush(self):
        self._or_error()

    def _or_error(self):
        self.n_good -= 1
        if self.n_good < 0:
            raise self.error


def stream(rng):
    kind = rng.randint(6)
    if kind == 0:
        return None
    if kind == 1:
        closed = io.StringIO()
        closed.close()
        return closed
    error = [BrokenPipeError(errno.EPIPE, "Broken pipe"), OSError(errno.EBADF, "Bad file descriptor"),
             OSError(errno.EIO, "Input/output error"), ValueError("I/O operation on closed file")][rng.randint(4)]
    return Failing(rng.choice([0, 0, 1, 2, 5, 100]), error, bool(rng.randint(2)))


def made():
    """Functions of a folder, whose answers stay the same."""
    rng = np.random.RandomState(0)
    matrix = sp.csr_matrix((rng.randint(1, 6, (9, 7)) * (rng.rand(9, 7) < 0.5)).astype("float32"))
    trainer = Trainer(AutoEncoder(7, 2, rating_scale=(1, 5), rng=0), "sgd", 0.01, batch_size=4, formulation="dense",
                      progress=True)
    start = [each.get_value() for each in trainer.model.params]

    def fit(folder):
        trainer.history, trainer.rng = [], np.random.RandomState(1)
        for each, value in zip(trainer.model.params, start):
            each.set_value(value)
        trainer.fit(matrix, 3)
        return [record["loss"] for record in trainer.history]

    def say(folder):
        with progress.announced("a line", after=0.0):
            progress.say("another")

    def load(folder):
        (folder / "ratings.csv").write_text("".join("%d,%d,3\n" % (k, k % 5) for k in range(50)))
        return load_ratings(folder / "ratings.csv").matrix.toarray().tolist()

    return fit, say, load


def case(work, rng, folder):
    function = work[rng.randint(len(work))]
    expected, before = function(folder), (sys.stderr, sys.stdout)
    out = io.StringIO()
    sys.stderr, sys.stdout = stream(rng), out
    try:
        found = function(folder)
    finally:
        sys.stderr, sys.stdout = before
    assert found == expected and out.getvalue() == "", (found, out.getvalue())
    return "in silence"


if __name__ == "__main__":
    progress._FIRST_LINE = progress._BETWEEN_LINES = lines._SECONDS_WITHOUT_PROGRESS = 0.0
    drive(functools.partial(case, made()), "in silence")
