"""Ids: the distinct ones of a column, as integers if nothing is lost by that, and numbered as they come."""
import numpy as np
import pytest

from sparse_ae.data import ids as module
from sparse_ae.data.ids import Numbering, distinct_integers, distinct_texts


@pytest.mark.parametrize("values", [
    [], [7], [5, 3, 5, 3, 9], [-4, 10 ** 15, -4, 0], [2 ** 63 - 1, -2 ** 63], list(range(50, 0, -1)) * 2,
    np.random.RandomState(0).randint(-10 ** 6, 10 ** 6, 999), np.random.RandomState(0).randint(0, 90, 999)])
def test_distinct_integers_are_those_of_unique(values):
    values = np.array(values, np.int64)
    ids, places = distinct_integers(values)
    expected = np.unique(values, return_inverse=True)
    assert ids.dtype == np.int64 and ids.tolist() == expected[0].tolist() and places.tolist() == expected[1].tolist()


@pytest.mark.parametrize("texts", [
    ["7", "007"], ["1.0"], ["+1"], ["-0"], ["1_0"], ["9223372036854775808"], ["-9223372036854775808"], ["\u0663"],
    ["a", "1"], ["9" * 5000]])
def test_texts_that_stay_texts(texts):
    ids, places = distinct_texts(texts + texts[:1])
    assert ids == texts and places.tolist() == list(range(len(texts))) + [0]


def test_texts_that_are_whole_numbers():
    ids, places = distinct_texts(["9223372036854775807", "-9223372036854775807", "0", "-5", "0"])
    assert ids.dtype == np.int64 and ids.tolist() == [2 ** 63 - 1, -2 ** 63 + 1, 0, -5]
    assert places.tolist() == [0, 1, 2, 3, 2]


@pytest.mark.parametrize("small", [0, 50, 10 ** 6])
def test_numbers_do_not_depend_on_how_large_ids_are(monkeypatch, small):
    monkeypatch.setattr(module, "_SMALL_ID", small)
    rng, numbering, known = np.random.RandomState(0), Numbering(), {}
    for highest in (30, 49, 50, 200, 10 ** 5):
        ids = rng.permutation(highest)[:30] - (highest == 200)
        expected = [known.setdefault(each, len(known)) for each in ids.tolist()]
        assert numbering.number(ids, np.arange(30)).tolist() == expected
    assert numbering.number(np.zeros(0, np.int64), np.zeros(0, np.intp)).dtype == np.int32
    ids, places = numbering.ascending()
    assert ids.tolist() == sorted(known) and ids[places].tolist() == list(known)


def test_numbering():
    numbering = Numbering()
    assert numbering.number(np.array([30, 4]), np.array([1, 0, 1])).tolist() == [1, 0, 1]
    ids, places = numbering.ascending()
    assert ids.tolist() == [4, 30] and places.tolist() == [1, 0] and len(numbering) == 2
    assert numbering.number(["x", "30"], np.array([0, 1])).tolist() == [2, 0]
    assert numbering.number(np.array([4, 5]), np.array([0, 1])).tolist() == [1, 3]
    ids, places = numbering.ascending()
    assert ids.tolist() == ["30", "4", "5", "x"] and places.tolist() == [0, 1, 3, 2]
