"""The script of sameness: what is the same it calls the same, and what isn't it names."""
import json

import numpy as np
import pytest
import sameness
import sameness_cases


def test_two_runs_agree_and_a_change_is_named(tmp_path, monkeypatch, capsys):
    path, only = str(tmp_path / "before.json"), ["--only", "splits", "--only", "sparse, sgd"]
    assert sameness.main(["write", path] + only) == 0
    assert sameness.main(["compare", path] + only) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "the same"
    monkeypatch.setitem(sameness.CASES, "sparse, sgd", lambda: sameness_cases.trained(learning_rate=0.01 * (1 + 1e-6)))
    assert sameness.main(["compare", path] + only) == 1
    named = [line.split(": ")[:2] for line in capsys.readouterr().out.splitlines()]
    assert ["sparse, sgd", "W"] in named and ["sparse, sgd", "predictions"] in named
    assert {case for case, _ in named} == {"sparse, sgd"}


def test_what_is_gone_or_fails_is_named(tmp_path, monkeypatch, capsys):
    path = tmp_path / "before.json"
    assert sameness.main(["write", str(path), "--only", "splits"]) == 0
    before = json.loads(path.read_text())
    del before["cases"]["splits"]["k_folds"]
    before["environment"]["numpy"] = "0.1"
    path.write_text(json.dumps(before))
    assert sameness.main(["compare", str(path), "--only", "splits"]) == 1
    out = capsys.readouterr().out
    assert "splits: k_folds: was nothing; is " in out and "warning: numpy was 0.1 and is " in out

    def fails():
        raise ValueError("no such setting")

    monkeypatch.setitem(sameness.CASES, "splits", fails)
    assert sameness.main(["compare", str(path), "--only", "splits"]) == 1
    assert "splits: error: was nothing; is ValueError: no such setting" in capsys.readouterr().out
    assert sameness.main(["write", str(tmp_path / "none"), "--only", "splits"]) == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("one, other", [
    (np.zeros(2), np.zeros(2, "float32")), (np.zeros((2, 1)), np.zeros((1, 2))), (0.1, 0.1 + 2e-17), ([1, [2]], [1, 2]),
    ({"a": 1}, {"b": 1}), (np.array(["ab", "c"]), np.array(["a", "bc"])), (0.0, -0.0), (1, 1.0), (None, "None")])
def test_digests_tell_values_apart(one, other):
    assert sameness.digest(one).split()[0] != sameness.digest(other).split()[0]
    assert sameness.digest(one) == sameness.digest(one)
