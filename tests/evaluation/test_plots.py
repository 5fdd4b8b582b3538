"""The picture, judged by what is in the axes: each point by hand."""
import io
import sys

import pytest

from sparse_ae.evaluation import plots

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def closed():
    """Where another test has imported pyplot, it keeps all figures, and warns when they are many."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def epochs(train, validation):
    return [{"epoch": i + 1, "train_rmse": t, "validation_rmse": v} for i, (t, v) in enumerate(zip(train, validation))]


HISTORY = epochs([1.5, 1.0, 0.75], [1.25, 1.125, 1.0])


def lines(ax):
    """Label to (x, y) of each line."""
    return {line.get_label(): tuple(map(list, line.get_data())) for line in ax.get_lines()}


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_figure_of_its_own_or_the_axes_that_are_given():
    """It can be saved; pyplot and the settings stay as they are."""
    from matplotlib.figure import Figure
    before, had_pyplot = dict(matplotlib.rcParams), "matplotlib.pyplot" in sys.modules
    ax, file = plots.learning_curves(HISTORY), io.BytesIO()
    ax.figure.savefig(file, format="png")
    assert file.getvalue()[:8] == b"\x89PNG\r\n\x1a\n" and ax.get_xlabel()
    left, right = Figure().subplots(1, 2)
    assert plots.learning_curves(HISTORY, ax=right) is right and right.has_data() and not left.has_data()
    assert dict(matplotlib.rcParams) == before and had_pyplot == ("matplotlib.pyplot" in sys.modules)


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="need matplotlib, which can't be imported \\(.*\\): pip install matplotlib"):
        plots.learning_curves(HISTORY)


# Learning curves


def test_learning_curves_hold_the_history():
    ax = plots.learning_curves(HISTORY, {"biases": 0.94, "mean": 1.1251})
    drawn = lines(ax)
    assert drawn["held out: 1.000"] == ([1, 2, 3], [1.25, 1.125, 1.0])
    assert drawn["training: 0.750"] == ([1, 2, 3], [1.5, 1.0, 0.75])
    assert drawn["biases: 0.940"][1] == [0.94, 0.94] and drawn["mean: 1.125"][1] == [1.1251, 1.1251]
    assert legend(ax) == ["held out: 1.000", "training: 0.750", "biases: 0.940", "mean: 1.125"]
    assert len({line.get_linestyle() for line in ax.get_lines()}) == 4
    assert ax.get_xlabel() == "epoch" and ax.get_ylabel() == "RMSE (unit of the ratings)"
    ax = plots.learning_curves({"a": HISTORY, "b": epochs([2.0], [None])})
    assert legend(ax) == ["a, held out: 1.000", "a, training: 0.750", "b, training: 2.000"]
    one_epoch = ax.get_lines()[-1]
    assert one_epoch.get_marker() == "o"
    colours = [line.get_color() for line in ax.get_lines()]
    assert colours[0] == colours[1] != colours[2]
    some = plots.learning_curves(epochs([1.0, 0.9, 0.8], [None, 1.5, None]))
    assert lines(some)["held out: 1.500"] == ([2], [1.5])


def test_the_history_of_a_recommender_has_a_line_for_each_training():
    items = [dict(record, rows="items", refit=False) for record in HISTORY]
    users = [dict(record, rows="users", refit=False) for record in HISTORY[:2]]
    again = [dict(record, rows="items", refit=True, validation_rmse=None) for record in HISTORY[:2]]
    ax = plots.learning_curves(items + users + again)
    drawn = lines(ax)
    assert drawn["items as rows, held out: 1.000"] == ([1, 2, 3], [1.25, 1.125, 1.0])
    assert drawn["users as rows, training: 1.000"] == ([1, 2], [1.5, 1.0])
    assert drawn["items as rows, on all ratings, training: 1.000"] == ([1, 2], [1.5, 1.0]) and len(drawn) == 5
    of_decays = plots.learning_curves({0.5: HISTORY + HISTORY[:1]})
    assert legend(of_decays)[2:] == ["0.5 (2), held out: 1.250", "0.5 (2), training: 1.500"]


def test_where_pyplot_is_imported_the_figure_is_its_current_one():
    """Notebooks show it then, and ``pyplot.savefig`` saves it."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    ax = plots.learning_curves(HISTORY)
    assert pyplot.gcf() is ax.figure


# What can't be drawn


@pytest.mark.parametrize("draw, message", [
    (lambda: plots.learning_curves({"a": []}), "the history 'a' has no epoch; expected one of an autoencoder"),
    (lambda: plots.learning_curves({}), "the dict is empty; expected at least one entry"),
])
def test_what_cannot_be_drawn(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
