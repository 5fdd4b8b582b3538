"""A plot of trainings, drawn with matplotlib; ImportError without it (``pip install matplotlib``).

It draws into the axes `ax`, or into a new figure, and returns the axes:
``learning_curves(trainer.history).figure.savefig("curves.png")``. In a notebook, and where pyplot has been imported,
the figure is pyplot's current one: a notebook shows it, and ``pyplot.savefig`` saves it. Elsewhere it has no window.
"""
import sys

from sparse_ae.runtime.progress import validated

__all__ = ["learning_curves"]

# Okabe and Ito's colours, which stay apart for the colour-blind and in print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_GREY = "#666666"


def learning_curves(histories, baselines=None, ax=None):
    """Draw the RMSE of each epoch, in training and in validation, or validation's metric.

    Parameters
    ----------
    histories : list of dict, or dict of str to list of dict
        A `Trainer.history`, or `Recommender.history_`, with a line for each of its trainings; several by name to
        compare them.
    baselines : dict of str to float, optional
        RMSE of other models on the same validation ratings, each a horizontal line.
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> from sparse_ae.evaluation.plots import learning_curves
    >>> history = [{"epoch": 1, "train_rmse": 1.1, "validation_rmse": 1.2},
    ...            {"epoch": 2, "train_rmse": 0.8, "validation_rmse": 0.9}]
    >>> ax = learning_curves({"k=50": history}, baselines={"biases": 0.95})
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['k=50, held out: 0.900', 'k=50, training: 0.800', 'biases: 0.950']
    """
    groups = histories if isinstance(histories, dict) else {"": histories}
    if not groups:
        raise ValueError("the dict is empty; expected at least one entry")
    histories = {name: history for group, records in groups.items()
                 for name, history in _trainings(str(group), records).items()}
    ax, metrics = _axes(ax), set()
    for i, (name, history) in enumerate(histories.items()):
        held_out = [(record["epoch"],) + validated(record) for record in history if validated(record)]
        curves = [("held out", "-", held_out)] if held_out else []
        # If missing entries count there is only the loss, on another scale.
        said, of_epoch = ("loss", "loss") if history[-1]["train_rmse"] is None else ("RMSE", "train_rmse")
        if said == "RMSE" or not held_out:
            curves.append(("training", "--", [(record["epoch"], said, record[of_epoch]) for record in history]))
        for kind, style, points in curves:
            epochs, names, values = zip(*points)
            metrics.update(names)
            ax.plot(epochs, values, style, color=_COLOURS[i % len(_COLOURS)], marker="o" if len(points) == 1 else "",
                    label="%s%s: %.3f" % (name and name + ", ", kind, values[-1]))
    for (name, value), style in zip((baselines or {}).items(), ("-.", ":") * len(baselines or {})):
        ax.axhline(value, color=_GREY, linewidth=1.5, linestyle=style, label="%s: %.3f" % (name, value), zorder=1)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_ylabel("RMSE (unit of the ratings)" if metrics == {"RMSE"} else " and ".join(sorted(metrics)))
    ax.legend(frameon=False)
    return ax


def _axes(ax):
    """`ax`, or the axes of a new figure, with a grid."""
    if ax is None:
        try:
            from matplotlib.figure import Figure as make
            # pyplot is only used where it can open no window that isn't wanted.
            if "matplotlib.pyplot" in sys.modules or "ipykernel" in sys.modules:
                from matplotlib.pyplot import figure as make
        except ImportError as error:
            raise ImportError("plots need matplotlib, which can't be imported (%s): pip install matplotlib"
                              % error) from error
        ax = make(figsize=(8, 5), dpi=120, constrained_layout=True).add_subplot(1, 1, 1)
    ax.set_xlabel("epoch")
    ax.grid(True, color="#E5E5E5", linewidth=0.8)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax


def _trainings(name, records):
    """The histories of the trainings that one of a `Recommender` has, each from its first epoch on, by name."""
    if not len(records):
        raise ValueError("the history %r has no epoch; expected one of an autoencoder that was trained" % name)
    starts = [i for i in range(len(records)) if not i or records[i]["epoch"] <= records[i - 1]["epoch"]]
    found = {}
    for start, end in zip(starts, starts[1:] + [len(records)]):
        first = records[start]
        side = "%s as rows" % first["rows"] if "rows" in first else ""
        label = ", ".join(part for part in (name, side, "on all ratings" * first.get("refit", 0)) if part)
        again = sum(each == label or each.startswith(label + " (") for each in found)
        found["%s (%d)" % (label, again + 1) if again else label] = records[start:end]
    return found
