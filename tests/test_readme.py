"""What the README shows runs, and prints what it says."""
import importlib.util
import re
from pathlib import Path

import pytest
from printed import run_page

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.mark.slow
def test_its_code_prints_what_it_says(shared_data, monkeypatch):
    import sparse_ae
    from sparse_ae.data.datasets import movielens
    monkeypatch.setitem(sparse_ae.__dict__, "movielens", lambda name: movielens(name, path=shared_data / "ml-100k"))
    run_page(README)


def test_it_is_short():
    assert README.read_text(encoding="utf-8").count("\n") <= 120


@pytest.fixture
def commands():
    """Of .ci/commands.py, by which .ci/run begins with what the README prints."""
    spec = importlib.util.spec_from_file_location("ci_commands", str(README.parent / ".ci" / "commands.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.commands


def test_two_commands_show_that_all_is_well(commands):
    found = commands(README.read_text(encoding="utf-8"))
    assert [re.sub("^.* && ", "", command) for command in found] == [
        "python examples/movielens.py", "python -m pytest -n 2 --dist loadfile"]
    assert [re.search(r"\[(.*)\]", command).group(1) for command in found] == ["examples", "test,examples"]
