"""The benchmark: that it compares like with like, and counts and prints what is so. Seconds are for nobody to judge."""
import re

import numpy as np
import programs
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

SMALL = ["--shape", "40,30,300", "--k", "4", "--batch", "16", "--rounds", "1"]


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
def test_formulations_race(example, capsys):
    example.main(SMALL + ["--contenders", "dense", "sparse"])
    out = capsys.readouterr().out
    assert "synthetic 40 x 30, 300 ratings" in out
    assert rows(out)["dense"][2] == "1.00" and len(rows(out)["sparse"]) == 3
    assert "share of" not in out


@pytest.mark.parametrize("other", [dict(learning_rate=2e-3), dict(f="tanh")])
def test_who_computes_something_else_is_found_out(example, other):
    start = example.start_values(30, 4, np.random.RandomState(0))
    field = [example.Ours("sparse", start),
             example.Ours("dense", start, example.THE_POST._replace(**other), "another one")]
    with pytest.raises(AssertionError, match="another one against sparse"):
        example.agree(field, small_matrix())


@pytest.mark.parametrize("change, differs", [(dict(), False), (dict(learning_rate=0.02), True)])
def test_errors_of_steps_tell_updates_apart(example, change, differs):
    start = example.start_values(30, 4, np.random.RandomState(0))
    field = [example.Ours("sparse", start, example.ADAM),
             example.Ours("dense", start, example.ADAM._replace(**change), "another one")]
    if differs:
        with pytest.raises(AssertionError, match="another one against sparse"):
            example.agree_in_errors(field, [small_matrix()] * 3)
    else:
        example.agree_in_errors(field, [small_matrix()] * 3)


@pytest.mark.parametrize("kind", ["Dense", "Sparse"])
@pytest.mark.parametrize("recipe", ["THE_POST", "ADAM"])
def test_pytorch_computes_the_same(example, recipe, kind):
    pytest.importorskip("torch")
    recipe = getattr(example, recipe)
    start = example.start_values(30, 4, np.random.RandomState(0))
    field = [example.Ours("sparse", start, recipe)] + example.torch_if_installed(start, recipe, kind)
    example.agree_in_errors(field, [small_matrix()] * 3)


def test_updates_are_compared(example, without_torch, capsys, monkeypatch):
    seconds = iter([2.0, 3.0, 2.5, 5.0])
    monkeypatch.setattr(example, "seconds_per_epoch", lambda contender, *_: (next(seconds), contender.name != "Adam"))
    medians = example.updates(small_matrix(), 4, 16, 1, 1)
    one_pass = medians.pop("Adam's pass alone")
    assert medians == {"SGD": 2, "Adam": 3, "Adagrad": 2.5, "Adagrad, ten times the columns": 5}
    out = capsys.readouterr().out
    assert rows(out)["Adam"] == ["~3.00", "3.00 ... 3.00", "1.50"]
    assert rows(out)["Adagrad"] == ["2.50", "2.50 ... 2.50", "1.25"]
    assert "Adam takes %.2f of SGD's epoch and the pass." % (3 / (2 + one_pass)) in out
    assert "Adagrad takes 1.25 of SGD's epoch, and 2.00 of its own with ten times the columns." in out


def test_ten_times_the_columns_are_of_the_same_ratings(example, without_torch, monkeypatch):
    seen = {}

    def seconds_per_epoch(contender, matrix, *args):
        seen[contender.name] = contender, matrix
        return 1.0, True

    monkeypatch.setattr(example, "seconds_per_epoch", seconds_per_epoch)
    ratings = small_matrix()
    example.updates(ratings, 4, 16, 1, 1)
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
        example.updates(small_matrix(), 4, 2, 3, 10)


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


# Rows 0 and 1 are the first batch, which has three columns in use; row 2 is the second, which has one.
FIVE_RATINGS = sp.csr_matrix(np.array([[1, 2, 0, 0], [0, 3, 0, 4], [0, 0, 5, 0]], "float32"))


@pytest.mark.parametrize("formulation, update, operations, numbers", [
    # 5 products of 2 operations for 7 units. W and V read forth, then of each row used: the parameter in, and out.
    ("sparse", "sgd", 5 * 2 * 7 * 5, 2 * 7 * (4 + 4 * 2)),
    ("sparse", "adagrad", 5 * 2 * 7 * 5, 2 * 7 * (4 + 4 * 4)),
    ("sparse", "adam", 5 * 2 * 7 * 5, 2 * 7 * (4 + 8 * 6)),
    ("dense", "sgd", 5 * 2 * 7 * 12, 2 * 7 * (8 + 8 * 2)),
    ("dense", "adam", 5 * 2 * 7 * 12, 2 * 7 * (8 + 8 * 6)),
])
def test_the_least_work_by_hand(example, formulation, update, operations, numbers):
    assert example.least_work(formulation, update, FIVE_RATINGS, 7, 2) == (operations, 4 * numbers)


def test_the_machine_is_measured_by_the_best_of_the_times(example, monkeypatch):
    clock = iter(np.cumsum([0, 4, 1, 2, 1, 8, 1, 3] * 4))
    monkeypatch.setattr(example.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(example.os, "cpu_count", lambda: 3)
    monkeypatch.delattr(example.os, "sched_getaffinity", raising=False)
    floor = example.measured_floor(n=10, n_bytes=1200)
    assert floor == (2 * 10 ** 3 / 2, 2 * 1200 / 2)


def test_shares(example, capsys):
    floor = example.Floor(operations=4e9, bytes=2e9)
    seconds = {"this": 0.5, "that": 2.0, "not known": 1.0}
    example.print_shares("these", floor, seconds, {"this": (1e9, 5e8), "that": (1e9, 1e7)})
    found = rows(capsys.readouterr().out)
    assert found["this"] == ["50.0%", "50.0%"] and found["that"] == ["12.5%", "0.2%"] and "not known" not in found
    assert found["share of"] == ["4 GFLOP/s, as matrices are multiplied", "2 GB/s, as memory is read and written"]


@pytest.mark.slow
@pytest.mark.parametrize("arguments, shared", [
    (["--contenders", "sparse", "dense", "scan"], ["sparse", "dense"]),
    (["--updates"], ["SGD", "Adam", "Adagrad", "Adagrad, ten times the columns", "Adam's pass alone"]),
    (["--lists"], ["recommend", "NumPy"]),
])
def test_each_part_goes_with_the_floor(example, without_torch, capsys, monkeypatch, arguments, shared):
    monkeypatch.setattr(example, "measured_floor", lambda: example.Floor(1e9, 1e9))
    example.main(SMALL + ["--floor"] + arguments)
    timed, _, shares = capsys.readouterr().out.rpartition("| share of ")
    assert set(shared) <= set(rows(timed)) and set(shared) <= set(rows("| share of " + shares))
    assert "scan" not in shares
    assert all(re.fullmatch(r"[\d.]+%", cell) for name in shared for cell in rows("| share of " + shares)[name])
