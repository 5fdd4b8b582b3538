"""The first tutorial in a notebook, with bars drawn by ipywidgets, run by a kernel of its own."""
import re

import pytest
from programs import module_of
from test_docs import ROOT, check_printed, code_and_output

PAGE, NOTEBOOK = ROOT / "docs/tutorial/csv.md", ROOT / "examples/first_hour.ipynb"


def test_the_notebook_is_the_tutorial():
    made = module_of(ROOT / "docs/notebook.py").notebook(PAGE.read_text(encoding="utf-8"))
    assert NOTEBOOK.read_text(encoding="utf-8") == made, "python docs/notebook.py writes it"


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipywidgets")
    pytest.importorskip("ipykernel")
    made = nbformat.read(str(NOTEBOOK), 4)
    made.cells = [cell for cell in made.cells if cell.cell_type == "code"]
    made.cells.append(nbformat.v4.new_code_cell(
        "from sparse_ae.evaluation import plots\nplots.learning_curves(recommender.history_)"))
    folder = tmp_path_factory.mktemp("notebook")
    nbclient.NotebookClient(made, timeout=900, kernel_name="python3",
                            resources={"metadata": {"path": str(folder)}}).execute()  # an error in a cell is raised
    return made, [said for _, said in code_and_output(PAGE)]


def texts(cell, name):
    return "".join(each.text for each in cell.outputs if each.output_type == "stream" and each.name == name)


@pytest.mark.slow
def test_cells_print_what_the_page_says(notebook):
    made, said = notebook
    assert len(said) >= 6
    for cell, expected in zip(made.cells, said):
        if expected is not None:
            check_printed(texts(cell, "stdout"), expected)


@pytest.mark.slow
def test_nothing_on_stderr_but_lines_of_progress(notebook):
    lines = [line for cell in notebook[0].cells for line in texts(cell, "stderr").splitlines()]
    assert lines and [line for line in lines if not re.match(
        r"(items|users) as rows, . of 2, fit 1 of 4: |to train: |validation RMSE \(|predictions use |Ratings are "
        r"predicted |Compiling |\d+ of \d+ users with held-out ratings ", line)] == []


@pytest.mark.slow
def test_each_training_has_one_bar_whose_last_state_is_its_last_epoch(notebook):
    made, _ = notebook
    models = [each["state"] for each in
              made.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()]
    shown = [each["value"].replace("\u2007", " ") for each in models if each["_model_name"] == "HTMLModel"]
    bars = [re.match(r"epoch (\d+), RMSE \d\.\d{4}, (.*):", text) for text in shown if "epoch" in text]
    expected = ["%s as rows%s, fit %d of 4%s" % (side, step * (not phase), fit, phase)
                for phase in ("", ", on all ratings") for fit in range(1, 5)
                for side, step in (("items", ", 1 of 2"), ("users", ", 2 of 2"))]
    found = [bar.group(2) for bar in bars]
    assert found[:8] == expected[:8]
    assert found == [name for name in expected if name in found], "in order, but for those that no epoch was good for"
    assert len(found) > 12
    assert all(int(bar.group(1)) > 0 for bar in bars)
    counts = [(each["value"], each["max"]) for each in models if each["_model_name"] == "FloatProgressModel"]
    assert counts == [(120, 120) if name.startswith("items") else (300, 300) for name in found]


@pytest.mark.slow
def test_a_figure_is_shown(notebook):
    pytest.importorskip("matplotlib")
    kinds = {kind for output in notebook[0].cells[-1].outputs for kind in output.get("data", {})}
    assert "image/png" in kinds
