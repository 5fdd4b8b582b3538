"""What the README shows runs, and prints what it says; where it says that something is, it is."""
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).resolve().parents[1] / "README.md"


def blocks(language=""):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def numbers(line):
    return [float(number) for number in re.findall(r"\d+\.\d+", line)]


@pytest.mark.slow
def test_the_first_blocks_print_what_they_say(shared_data, monkeypatch, capsys):
    import sparse_ae
    from sparse_ae.data.datasets import movielens
    offline, first, lists, _, second = blocks("python")
    said_offline, said = [block for block in blocks() if block.startswith("RMSE ")]
    monkeypatch.setitem(sparse_ae.__dict__, "movielens", lambda name: movielens(name, path=shared_data / "ml-100k"))
    names = {}
    exec(offline, names)
    np.testing.assert_allclose(numbers(capsys.readouterr().out), numbers(said_offline), atol=0.002)
    exec(first, names)
    printed = capsys.readouterr().out
    (errors, films, ids), (said_errors, said_films, said_ids) = printed.splitlines(), said.splitlines()
    # The number of threads and the BLAS move the last digits; words, titles and ids are what they are.
    assert re.sub(r"\d", "0", errors) == re.sub(r"\d", "0", said_errors)
    np.testing.assert_allclose(numbers(errors), numbers(said_errors), atol=0.001)
    titles, scores = films[:films.index("] [") + 1], films[films.index("] [") + 1:]
    said_titles, said_scores = said_films[:said_films.index("] [") + 1], said_films[said_films.index("] [") + 1:]
    assert titles == said_titles
    np.testing.assert_allclose(numbers(scores), numbers(said_scores), atol=0.02)
    assert len(numbers(scores)) == 3
    assert ids == said_ids
    exec(lists, names)
    said_of_lists = re.search(r"NDCG at 10 is (\d\.\d+) then", README.read_text(encoding="utf-8")).group(1)
    np.testing.assert_allclose(numbers(capsys.readouterr().out)[0], float(said_of_lists), atol=0.005)
    exec(second.replace(", 30,", ", 1,"), names)
    assert 0.9 < names["history"][0]["validation_rmse"] < 1.3


def test_the_map_has_every_room():
    """And every module that is in none."""
    package = README.parent / "sparse_ae"
    rooms = {path.parent.name + "/" for path in package.glob("*/__init__.py")}
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    table = README.read_text(encoding="utf-8").partition("| `sparse_ae/` | |\n|---|---|\n")[2].partition("\n\n")[0]
    drawn = [name for line in table.splitlines() for name in re.findall(r"`([^`]+)`", line.split("|")[1])]
    assert sorted(drawn) == sorted(rooms | modules)


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


def test_commands_are_found_in_fences_alone(commands):
    text = """
`pip install '.[a]' && python a.py` runs a.
pip install '.[b]' && python b.py
```
pip install . && python c.py
pip install numpy && python d.py
```
 1. ```console
    $ pip install -q ".[e]" && python -m e -n 2
    e printed this
    ```
"""
    assert commands(text) == ["pip install . && python c.py", 'pip install -q ".[e]" && python -m e -n 2']
