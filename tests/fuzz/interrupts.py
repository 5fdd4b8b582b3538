"""Ctrl-C while closed forms are fitted: ``python tests/fuzz/interrupts.py FIRST_SEED LAST_SEED``.

Each seed fits one of them to synthetic ratings again, and a signal comes at a random moment. The fit ends as a whole
one does, or in KeyboardInterrupt; and then what was fitted before answers as it did. Anything else ends this process.
"""
import functools
import signal
import time

from driver import drive

import sparse_ae
from sparse_ae.recommender.members import CLOSED

RATINGS = sparse_ae.made_up_ratings(150, 90, 3000, rng=0)[0]


def lists(recommender):
    return [(found.items.tolist(), found.scores.tolist()) for found in recommender.recommend(RATINGS.users[:5], 3)]


@functools.lru_cache(maxsize=None)
def fitted(name):
    """A recommender, and the seconds of a second fit, for which all is loaded."""
    recommender = sparse_ae.Recommender(objective="lists", network=name, rng=0, progress=False).fit(RATINGS)
    start = time.perf_counter()
    recommender.fit(RATINGS)
    return recommender, time.perf_counter() - start


def case(rng, folder):
    recommender, seconds = fitted(list(CLOSED)[rng.randint(len(CLOSED))])
    before, word = lists(recommender), "whole"
    try:
        signal.setitimer(signal.ITIMER_REAL, max(1e-4, rng.rand() * seconds))
        recommender.fit(RATINGS)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        word = "interrupted"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert lists(recommender) == before
    return word


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    drive(case, "interrupted", "whole")
