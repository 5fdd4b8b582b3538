"""The example that tells how soon there is a result: what it reads and what it runs is what it says."""
import os
import re

import numpy as np
import programs
import pytest


@pytest.fixture
def example():
    return programs.load("how_soon")


@pytest.mark.parametrize("n_lines", [1, 20001])
def test_a_file_has_so_many_ratings_and_all_are_read(example, tmp_path, n_lines, capsys):
    example.write_csv(tmp_path / "ratings.csv", n_lines)
    header, *lines = (tmp_path / "ratings.csv").read_text().splitlines()
    fields = [line.split(",") for line in lines]
    assert header == "user,item,rating,time" and len(lines) == n_lines
    assert len({(user, item) for user, item, _, _ in fields}) == n_lines
    assert {float(rating) for _, _, rating, _ in fields} <= set(np.arange(2, 11) / 2)
    users = [int(user) for user, _, _, _ in fields]
    assert n_lines == 1 or users != sorted(users)
    if n_lines > 1:
        n, total, _, _ = example.reading(tmp_path / "ratings.csv", 2, example.pages.Pages(__file__).table)
        assert (n, total) == (n_lines, sum(float(rating) for _, _, rating, _ in fields))
        printed = capsys.readouterr().out
        assert re.search(r"^\| load_ratings +\| [\d.]+ +\| [\d.]+ ... [\d.]+ +\| (\d+ MB|not known)", printed, re.M)


def test_a_first_run_finds_nothing_compiled(example, tmp_path, monkeypatch, capsys):
    """Of a program that tells by its numbers what it finds: how many files there are, and a flag that was set."""
    monkeypatch.setenv("THEANO_FLAGS", "cmodule.warn_no_version=True,base_compiledir=/nowhere")
    monkeypatch.setattr(example, "FIRST_RUN", """
import os, pathlib, sys, time
import scipy.sparse
from sparse_ae import theano_compat
import theano
folder = pathlib.Path(theano.config.base_compiledir)
files = list(folder.rglob("marker"))
(folder / "marker").write_text("")
assert theano.config.cmodule.warn_no_version and scipy.sparse.load_npz(sys.argv[1]).nnz == 100000
assert str(folder.parent) == os.path.dirname(sys.argv[1])
now = time.time()
print("a line before")
print(now + 1000 * len(files), now + 1000 * len(files) + 100)
""")
    results = example.first_run(str(tmp_path), example.pages.Pages(__file__).table)
    (epoch, prediction), (next_epoch, next_prediction) = results["nothing"], results["everything"]
    assert 0 < epoch < 1000 < next_epoch
    assert prediction - epoch == pytest.approx(100) and next_prediction - next_epoch == pytest.approx(100)
    assert re.search(r"\| nothing +\| %.1f +\| %.1f +\|" % (epoch, prediction), capsys.readouterr().out)


def test_a_program_that_fails_is_no_figure(example, tmp_path):
    with pytest.raises(example.subprocess.CalledProcessError):
        example.run("raise SystemExit(3)", tmp_path)


@pytest.mark.parametrize("arguments", [["--lines", "0"], ["--rounds", "0"]])
def test_no_lines_and_no_rounds_are_refused(example, capsys, arguments):
    with pytest.raises(SystemExit) as exit:
        example.main(arguments)
    assert exit.value.code == 2 and "expected 1 or more" in capsys.readouterr().err


@pytest.mark.slow
def test_the_first_run_itself(example, tmp_path):
    results = example.first_run(str(tmp_path), example.pages.Pages(__file__).table)
    assert list(results) == ["nothing", "everything"]
    assert all(0 < epoch < prediction for epoch, prediction in results.values())
    assert any(name.endswith(".so") for _, _, names in os.walk(str(tmp_path / "compiled")) for name in names)
