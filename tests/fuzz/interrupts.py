"""Ctrl-C while closed forms are fitted: ``python tests/fuzz/interrupts.py FIRST_SEED LAST_SEED``.

Each seed fits one of them to synthetic ratings again, and a signal comes at a random moment. The fit ends as a whole
one does, or in KeyboardInterrupt; and then what was fitted before answers as it did. Anything else ends this process.
"""
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import sparse_ae  # noqa: E402
from sparse_ae.recommender.members import CLOSED  # noqa: E402


def main(first, last):
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    ratings = sparse_ae.made_up_ratings(150, 90, 3000, rng=0)[0]
    users, fitted, seconds, n_interrupted = ratings.users[:5], {}, {}, 0
    for seed in range(first, last):
        print("seed %d" % seed, file=sys.stderr, flush=True)
        rng = np.random.RandomState(seed)
        name = list(CLOSED)[rng.randint(len(CLOSED))]
        if name not in fitted:
            fitted[name] = sparse_ae.Recommender(objective="lists", network=name, rng=0, progress=False).fit(ratings)
            start = time.perf_counter()  # of a second fit, for which all is loaded
            fitted[name].fit(ratings)
            seconds[name] = time.perf_counter() - start
        before = [(found.items.tolist(), found.scores.tolist()) for found in fitted[name].recommend(users, 3)]
        try:
            signal.setitimer(signal.ITIMER_REAL, max(1e-4, rng.rand() * seconds[name]))
            fitted[name].fit(ratings)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            n_interrupted += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        after = [(found.items.tolist(), found.scores.tolist()) for found in fitted[name].recommend(users, 3)]
        assert before == after, (seed, name)
    print("%d of %d interrupted" % (n_interrupted, last - first))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(int(sys.argv[1]), int(sys.argv[2]))
