"""Streams that are closed, or that nobody reads: ``python tests/fuzz/streams.py FIRST_SEED LAST_SEED``.

Each seed trains, reads a file, or says a line while stderr and stdout fail in some way, at once or after some writes.
It has to end as it does with sound streams, and nothing may come on stdout; anything else ends this process.
"""
import errno
import io
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from sparse_ae.data import lines  # noqa: E402
from sparse_ae.data.load import load_ratings  # noqa: E402
from sparse_ae.model import AutoEncoder  # noqa: E402
from sparse_ae.runtime import progress  # noqa: E402
from sparse_ae.trainer import Trainer  # noqa: E402


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


def main(first, last):
    rng = np.random.RandomState(0)
    matrix = sp.csr_matrix((rng.randint(1, 6, (9, 7)) * (rng.rand(9, 7) < 0.5)).astype("float32"))
    trainer = Trainer(AutoEncoder(7, 2, rating_scale=(1, 5), rng=0), "sgd", 0.01, batch_size=4, formulation="dense",
                      progress=True)
    start = [each.get_value() for each in trainer.model.params]
    progress._FIRST_LINE = progress._BETWEEN_LINES = lines._SECONDS_WITHOUT_PROGRESS = 0.0

    def fit():
        trainer.history, trainer.rng = [], np.random.RandomState(1)
        for each, value in zip(trainer.model.params, start):
            each.set_value(value)
        trainer.fit(matrix, 3)
        return [record["loss"] for record in trainer.history]

    def say():
        with progress.announced("a line", after=0.0):
            progress.say("another")
        return None

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ratings.csv")
        path.write_text("".join("%d,%d,3\n" % (k, k % 5) for k in range(50)))
        work = [fit, say, lambda: load_ratings(path).matrix.toarray().tolist()]
        expected, n_failed, sound = [each() for each in work], 0, sys.stderr
        for seed in range(first, last):
            print("seed %d" % seed, file=sound, flush=True)
            rng = np.random.RandomState(seed)
            k = rng.randint(len(work))
            before, sys.stderr, sys.stdout = (sys.stderr, sys.stdout), stream(rng), io.StringIO()
            out = sys.stdout
            try:
                found = work[k]()
            finally:
                sys.stderr, sys.stdout = before
            assert found == expected[k] and out.getvalue() == "", (seed, found, out.getvalue())
            n_failed += 1
    print("%d in silence" % n_failed)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(int(sys.argv[1]), int(sys.argv[2]))
