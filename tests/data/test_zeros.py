"""Zeros that may mean "no rating": told of where they stand out, and not where they are ratings like others."""
import numpy as np
import pytest

from sparse_ae.data import zeros
from sparse_ae.data.zeros import doubt_about_zeros
from sparse_ae.recommender.recommender import Recommender


def ratings(**counts):
    values = [np.full(count, float(name[1:].replace("_", "."))) for name, count in counts.items()]
    return np.random.RandomState(0).permutation(np.concatenate(values)).astype(np.float32)


@pytest.mark.parametrize("found, n_zeros, lowest, highest, why", [
    (ratings(r0=716, r1=2, r5=60, r7=80, r8=100, r10=70), 716, 1, 10, "most are 0"),  # Book-Crossing
    (ratings(r0=32, r1=13000, r2=14000, r3=40000, r4=80000, r5=137000), 32, 1, 5, "0 is hardly ever given"),  # Ciao
    (ratings(r0=1, r0_5=101, r1=50, r5=50), 1, 0.5, 5, "0 is hardly ever given"),
    (ratings(r0=40, r3=50, r4=50, r5=20), 40, 3, 5, "0 lies apart from the others"),
    (ratings(r0=90, r1=10), 90, 1, 1, "most are 0"),
])
def test_told_of(found, n_zeros, lowest, highest, why):
    said = doubt_about_zeros(found)
    assert said.startswith("%d of %d ratings are 0, and the others %g to %g: %s. If a 0 says that there is no rating"
                           % (n_zeros, len(found), lowest, highest, why))
    assert "missing=0 of load_ratings" in said and said.endswith("rating_scale=(0, %g) (--rating-scale 0 %g) says so"
                                                                 % (highest, highest))


@pytest.mark.parametrize("found", [
    ratings(r1=5, r2=5), ratings(r0=5), ratings(r0=10, r1=12, r2=20, r3=15, r4=9, r5=8), ratings(r0=40, r1=60),
    ratings(r0=3, r1=200, r2=300), ratings(r0=3, r10=50, r20=40, r50=20),
    np.concatenate([[0], np.random.RandomState(0).rand(999)]),
    -ratings(r0=716, r1=2, r5=60), np.zeros(0, np.float32)])
def test_not_told_of(found):
    assert doubt_about_zeros(found) is None


def test_of_many_ratings_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(zeros, "_MOST_SEEN", 1000)
    assert "32 of 284032 ratings are 0, and the others 1 to 5: 0 is hardly" in doubt_about_zeros(
        ratings(r0=32, r1=13000, r2=14000, r3=40000, r4=80000, r5=137000))


def test_fit_tells_once_and_only_who_wants_to_know(monkeypatch):
    said = []
    monkeypatch.setattr(zeros, "say", said.append)
    users, items = np.indices((9, 8)).reshape(2, -1)
    values = np.where((users + items) % 3, 0, 3 + (users * items) % 3)
    settings = dict(n_hidden=2, n_epochs=1, rows="users", biases=False)
    Recommender(**settings).fit((users, items, values), validation=None)
    assert len(said) == 1 and "48 of 72 ratings are 0, and the others 3 to 5: most are 0" in said[0]
    for more in (dict(progress=False), dict(rating_scale=(0, 5))):
        Recommender(**dict(settings, **more)).fit((users, items, values), validation=None)
    Recommender(**settings).fit((users, items, np.maximum(values, 1)), validation=None)
    assert len(said) == 1
