"""The benchmark: that it compares like with like, and prints what is so. Seconds are for nobody to judge."""
import argparse

import numpy as np
import programs
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

SMALL = argparse.Namespace(k=4, rounds=1, budget=10, contenders=["sparse", "dense"])
TABLE = programs.load("pages").Pages(__file__).table


@pytest.fixture
def example():
    return programs.load("benchmark")


@pytest.fixture
def without_torch(example, monkeypatch):
    """PyTorch takes seconds to import, where it is installed."""
    monkeypatch.setattr(example, "torch_if_installed", lambda *args: [])


def rows(out):
    """{first cell: other cells} of all tables' lines."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    return {first: rest for first, *rest in cells}


def small_matrix(n_rows=40, n_items=30, seed=0):
    return sp.random(n_rows, n_items, 0.3, "csr", "float32", random_state=np.random.RandomState(seed))


@pytest.mark.slow
@pytest.mark.parametrize("arguments, names", [
    (["--contenders", "dense", "sparse"], ["dense", "sparse"]),
    (["--updates"], ["SGD", "Adam", "Adagrad", "Adagrad, ten times the columns", "Adam's pass alone"]),
])
def test_each_table(example, without_torch, capsys, arguments, names):
    example.main(["--shape", "40,30,300", "--k", "4", "--batch", "16", "--rounds", "1"] + arguments)
    out = capsys.readouterr().out
    assert "synthetic 40 x 30, 300 ratings" in out and list(rows(out))[-len(names):] == names
    assert rows(out)[names[0]][2] == "1.00"


@pytest.mark.parametrize("recipe, change, differs", [
    ("THE_POST", {}, False), ("THE_POST", dict(learning_rate=2e-3), True), ("THE_POST", dict(f="tanh"), True),
    ("ADAM", {}, False), ("ADAM", dict(learning_rate=0.02), True)])
def test_who_computes_something_else_is_found_out(example, recipe, change, differs):
    start, recipe = example.start_values(30, 4, np.random.RandomState(0)), getattr(example, recipe)
    field = [example.Ours("sparse", start, recipe), example.Ours("dense", start, recipe._replace(**change), "other")]
    if differs:
        with pytest.raises(AssertionError, match="other against sparse"):
            example.agree(field, [small_matrix()] * 3)
    else:
        example.agree(field, [small_matrix()] * 3)


@pytest.mark.parametrize("kind", ["Dense", "Sparse"])
@pytest.mark.parametrize("recipe", ["THE_POST", "ADAM"])
def test_pytorch_computes_the_same(example, recipe, kind):
    pytest.importorskip("torch")
    recipe = getattr(example, recipe)
    start = example.start_values(30, 4, np.random.RandomState(0))
    field = [example.Ours("sparse", start, recipe)] + example.torch_if_installed(start, recipe, kind)
    example.agree(field, [small_matrix()] * 3)


def test_updates_are_compared_on_the_same_ratings(example, without_torch, capsys, monkeypatch):
    seconds, seen = iter([2.0, 3.0, 2.5, 5.0]), {}

    def seconds_per_epoch(contender, matrix, *args):
        seen[contender.name] = contender, matrix
        return next(seconds), contender.name != "Adam"

    monkeypatch.setattr(example, "seconds_per_epoch", seconds_per_epoch)
    ratings = small_matrix()
    medians = example.updates(ratings, SMALL, 16, TABLE)
    one_pass = medians.pop("Adam's pass alone")
    assert medians == {"SGD": 2, "Adam": 3, "Adagrad": 2.5, "Adagrad, ten times the columns": 5}
    out = capsys.readouterr().out
    assert rows(out)["Adam"] == ["~3.00", "3.00 ... 3.00", "1.50"]
    assert rows(out)["Adagrad"] == ["2.50", "2.50 ... 2.50", "1.25"]
    assert "Adam takes %.2f of SGD's epoch and the pass." % (3 / (2 + one_pass)) in out

    (plain, matrix), (wide, wide_matrix) = seen["Adagrad"], seen["Adagrad, ten times the columns"]
    assert (matrix != ratings.T).nnz == 0 and (wide_matrix[:, ::10] != matrix).nnz == 0
    assert wide_matrix.nnz == matrix.nnz and wide_matrix.shape == (30, 400)
    assert [p.shape for p in wide.parameters()] == [(400, 4), (4, 400), (4,), (400,)]
    assert plain.model.l2_weighted and not seen["Adam"][0].model.l2_weighted
    before = wide.parameters()[0]
    wide.run([wide_matrix[:16]])
    moved = (wide.parameters()[0] != before).any(axis=1)
    assert set(np.flatnonzero(moved)) == set(wide_matrix[:16].indices)


def test_an_update_that_diverges_is_no_figure(example, without_torch, monkeypatch):
    monkeypatch.setattr(example, "SGD", example.SGD._replace(learning_rate=50.0))
    with pytest.raises(AssertionError, match="SGD has diverged"), np.errstate(all="ignore"):
        example.updates(small_matrix(), argparse.Namespace(**dict(vars(SMALL), rounds=3)), 2, TABLE)


def test_the_pass_is_adams(example):
    start = example.start_values(30, 4, np.random.RandomState(0))
    one_pass = example.adams_pass(start)
    one_pass()
    after = {x.name or i: x.get_value() for i, x in enumerate(one_pass.get_shared())}
    # At its first step Adam goes by the rate along the gradient's sign: how large that was, its moments tell.
    for name, before, decay in [("W", start[0], 2e-3), ("V", start[1], 2e-3), ("mu", 0, 0), ("b", 0, 0)]:
        gradient = 1e-3 + decay * before
        m, v = 0.1 * gradient, 0.001 * gradient ** 2
        expected = before - 1e-3 * np.sqrt(1 - 0.999) / (1 - 0.9) * m / (np.sqrt(v) + 1e-8)
        assert_allclose(after[name], np.broadcast_to(expected, after[name].shape), rtol=1e-4, atol=1e-7)
        for moment in (m, v):
            assert any(x.shape == after[name].shape and np.allclose(x, moment, rtol=1e-4, atol=0)
                       for x in after.values())
