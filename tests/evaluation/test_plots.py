"""The pictures, judged by what is in the axes: each point by hand."""

import io
import sys

import numpy as np
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
DRAWINGS = {
    "learning_curves": lambda ax=None: plots.learning_curves(HISTORY, {"biases": 0.94}, ax=ax),
    "calibration": lambda ax=None: plots.calibration([1, 2, 5, 4], [2.0, 2.5, 4.0, 4.5], n_bins=2, ax=ax),
}


def lines(ax):
    """Label to (x, y) of each line."""
    return {line.get_label(): tuple(map(list, line.get_data())) for line in ax.get_lines()}


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_a_figure_of_its_own_or_the_axes_that_are_given(draw):
    """It can be saved; pyplot and the settings stay as they are."""
    from matplotlib.figure import Figure
    before, had_pyplot = dict(matplotlib.rcParams), "matplotlib.pyplot" in sys.modules
    ax, file = draw(), io.BytesIO()
    ax.figure.savefig(file, format="png")
    assert file.getvalue()[:8] == b"\x89PNG\r\n\x1a\n" and ax.get_xlabel()
    left, right = Figure().subplots(1, 2)
    assert draw(right) is right and right.has_data() and not left.has_data()
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


# Calibration


def test_calibration_by_hand():
    """Sorted by prediction: (1, 2, 3 | 4, 5), rated (2, 1, 3 | 5, 3)."""
    predicted, observed = np.array([5.0, 1, 4, 2, 3]), np.array([3.0, 2, 5, 1, 3])
    before = predicted.copy(), observed.copy()
    ax = plots.calibration(observed, predicted, n_bins=2)
    (points, _, (bars,)), = ax.containers
    np.testing.assert_allclose(points.get_xydata(), [[2, 2], [4.5, 4]])
    errors = 2 * np.sqrt([2 / 3, 1]) / np.sqrt([3, 2])
    np.testing.assert_allclose([segment[:, 1] for segment in bars.get_segments()],
                               np.array([[2], [4]]) + np.outer(errors, [-1, 1]))
    x, y = lines(ax)["perfect calibration"]
    assert x == y and tuple(x) == ax.get_xlim() == ax.get_ylim()
    assert legend(ax) == ["perfect calibration"]
    np.testing.assert_array_equal((predicted, observed), before)
    few = plots.calibration([1.0, 2.0], [1.5, 1.5])  # no more bins than ratings
    np.testing.assert_allclose(few.containers[0][0].get_xydata(), [[1.5, 1], [1.5, 2]])


# What can't be drawn


@pytest.mark.parametrize("draw, message", [
    (lambda: plots.learning_curves({"a": []}), "the history 'a' has no epoch; expected one of an autoencoder"),
    (lambda: plots.learning_curves({}), "the dict is empty; expected at least one entry"),
    (lambda: plots.calibration([1, 2], [1.0]), "\\(2,\\) ratings and \\(1,\\) predictions"),
    (lambda: plots.calibration([1.0], [1.0], n_bins=0), "n_bins is 0; expected a positive integer"),
])
def test_what_cannot_be_drawn(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
