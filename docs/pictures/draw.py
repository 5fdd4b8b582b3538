"""Draws pictures of the pages, at the size at which they are shown.

    python docs/pictures/draw.py [--ml-100k ml-100k.zip]

Diagrams are drawn by hand; bars and curves read their figures from the tables of docs/results, which examples write.
With MovieLens 100K the hidden units of `examples/movielens.py` are drawn, too. Needs matplotlib.
"""
import argparse
import sys
from pathlib import Path

from matplotlib import rcParams
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "examples" / "benchmarks"), str(HERE.parents[1] / "examples")]

from common import SECTION  # noqa: E402

BLUE, PALE, GREY, INK, ORANGE = "#1f5fa8", "#cfe0f3", "#9aa3ad", "#1b1f24", "#d9822b"
# Pixels of the pages' column: the pictures are drawn at the size at which they are shown.
WIDTH = 8.0
rcParams.update({"font.size": 11, "svg.hashsalt": "sparse_ae", "text.color": INK, "axes.labelcolor": INK})


def canvas(height):
    """A figure and axes in units of inches, without frames."""
    figure = Figure(figsize=(WIDTH, height))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(0, height))
    ax.axis("off")
    return figure, ax


def save(figure, name):
    figure.savefig(str(HERE / name), metadata={"Date": None}, facecolor="white")


def box(ax, x, y, width, height, text, face=PALE, size=11):
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.08", facecolor=face,
                                edgecolor=BLUE, linewidth=1.2))
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=size, linespacing=1.4)


def arrow(ax, start, end):
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, color=INK, linewidth=1.2))


def matrix(ax, x, y, rows, columns, values, marked=None, cell=0.42):
    """A table with its upper left corner at (x, y); `marked` is the number of the row to show in colour."""
    for r, row in enumerate(rows):
        ax.text(x - 0.1, y - (r + 0.5) * cell, row, ha="right", va="center", fontsize=10)
        for c, _ in enumerate(columns):
            value = values[r][c]
            face = "white" if not value else BLUE if r == marked else PALE
            ax.add_patch(Rectangle((x + c * cell, y - (r + 1) * cell), cell, cell, facecolor=face, edgecolor=GREY,
                                   linewidth=0.8))
            ax.text(x + (c + 0.5) * cell, y - (r + 0.5) * cell, value, ha="center", va="center",
                    color="white" if r == marked else INK)
    for c, column in enumerate(columns):
        ax.text(x + (c + 0.5) * cell, y + 0.08, column, ha="center", va="bottom", fontsize=10)


def draw_rows():
    """Users as rows, and items as rows: the same ratings, seen from two sides."""
    users, items = ["ann", "bob", "cid", "dan"], ["tea", "jam", "ale", "rye", "pie"]
    ratings = [["5", "", "3", "", "4"], ["", "2", "", "4", ""], ["4", "", "", "5", ""], ["", "1", "2", "", "5"]]
    figure, ax = canvas(4.0)
    ax.text(2.0, 3.75, 'rows="users"', ha="center", family="monospace", weight="bold")
    ax.text(6.05, 3.75, 'rows="items"', ha="center", family="monospace", weight="bold")
    matrix(ax, 0.95, 3.3, users, items, ratings, marked=0)
    matrix(ax, 5.2, 3.3, items, users, [list(column) for column in zip(*ratings)], marked=0)
    ax.text(2.0, 1.0, "input: the ratings that ann gave (blue)\noutput: ann's ratings for all items\n"
            "new users: no training needed", ha="center", va="top", linespacing=1.5)
    ax.text(6.0, 1.0, "input: the ratings that tea got (blue)\noutput: tea's ratings by all users\n"
            "often the lower error for ratings", ha="center", va="top", linespacing=1.5)
    ax.plot([4.0, 4.0], [0.2, 3.9], color=GREY, linewidth=0.8)
    save(figure, "rows.svg")


def draw_model():
    """The model with biases: what goes in, what comes out, and how a prediction is added up."""
    figure, ax = canvas(3.6)
    box(ax, 0.15, 2.2, 1.5, 0.9, "residuals of the\nrow's ratings")
    box(ax, 0.15, 0.9, 1.5, 0.9, "which entries\nare rated")
    box(ax, 2.55, 1.5, 1.5, 1.0, "hidden units\n$g(V r + U s + \\mu)$")
    box(ax, 4.75, 1.5, 1.35, 1.0, "output\n$W h + b$")
    box(ax, 6.75, 1.5, 1.1, 1.0, "predicted\nrating", face="white")
    box(ax, 4.75, 0.15, 1.35, 0.75, "mean, user's and\nitem's bias", face="#f7dfc4", size=10)
    arrow(ax, (1.65, 2.65), (2.55, 2.15))
    arrow(ax, (1.65, 1.35), (2.55, 1.85))
    arrow(ax, (4.05, 2.0), (4.75, 2.0))
    arrow(ax, (6.1, 2.0), (6.75, 2.0))
    arrow(ax, (6.1, 0.55), (7.2, 1.5))
    ax.text(2.1, 2.55, "$V$", ha="center")
    ax.text(2.1, 1.35, "$U$", ha="center")
    ax.text(4.4, 2.12, "$W$", ha="center")
    ax.text(6.42, 2.12, "$\\times$ unit", ha="center", fontsize=10)
    ax.text(6.95, 0.8, "+", ha="center", fontsize=14)
    ax.text(4.0, 3.35, "prediction = biases + unit $\\times$ output,   trained on observed entries only",
            ha="center", va="center")
    save(figure, "model.svg")


def draw_flow():
    """From a file of ratings to a file of recommendations."""
    figure, ax = canvas(1.6)
    steps = [("ratings.csv", "user, item, rating\nor orders, clicks"), ("fit", "settings chosen\nby validation"),
             ("model.npz", "arrays and JSON,\nno pickle"), ("recommend", "exact top n\nfor each user"),
             ("lists.csv", "user, item, score")]
    for number, (title, text) in enumerate(steps):
        x = 0.1 + number * 1.6
        box(ax, x, 0.75, 1.35, 0.7, title, face=PALE if title in ("fit", "recommend") else "white")
        ax.text(x + 0.675, 0.6, text, ha="center", va="top", fontsize=9.5, linespacing=1.4)
        if number:
            arrow(ax, (x - 0.25, 1.1), (x, 1.1))
    save(figure, "flow.svg")


def cells(page, table):
    """{row: {column: number}} of a table of docs/results, by the labels before a colon."""
    text = (HERE.parent / "results" / page).read_text(encoding="utf-8")
    lines = dict(SECTION.findall(text))[table].splitlines()
    split = [[cell.strip(" *`") for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].partition(":")[0].strip("` "): dict(zip(split[0][1:], row[1:])) for row in split[2:]}


def bars(ax, title, values, start):
    """Horizontal bars from (label, value), ours in colour, each with its figure."""
    labels = [label for label, _ in values]
    ax.barh(range(len(values)), [value - start for _, value in values], left=start, height=0.65,
            color=[BLUE if label == "sparse_ae" else GREY for label in labels])
    for number, (_, value) in enumerate(values):
        ax.text(value, number, " %.4f" % value, va="center", fontsize=10)
    ax.set_yticks(range(len(values)), labels)
    ax.invert_yaxis()
    ax.set_title(title, fontsize=11, loc="left", pad=8)
    ax.tick_params(length=0)
    ax.set_xlim(start, max(value for _, value in values) + 0.25 * (max(value for _, value in values) - start))
    ax.set_xticks([])
    for side in ("top", "right", "bottom"):
        ax.spines[side].set_visible(False)


def draw_results():
    """The bars of README: error of ratings, and quality of top-10 recommendations."""
    ratings = cells("ratings.md", "anyones_ratings, test RMSE")["MovieLens 1M 90/10"]
    lists = {name: float(row["NDCG@10"].split()[0])
             for name, row in cells("lists.md", "top_n_table, MovieLens 100K, 80/20").items()}
    figure = Figure(figsize=(WIDTH, 2.9), constrained_layout=True)
    left, right = figure.subplots(1, 2)
    columns = {name.partition(":")[0].strip("*` "): value.strip("* ") for name, value in ratings.items()}
    bars(left, "Test RMSE on MovieLens 1M\n(lower is better; bars start at 0.7)", [
        (label, float(columns[column])) for label, column in
        (("biases", "biases"), ("cmfrec, untuned", "cmfrec"), ("Surprise SVD, untuned", "SVD"),
         ("sparse_ae", "Recommender()"))], 0.7)
    bars(right, "NDCG@10 on MovieLens 100K\n(higher is better)", [
        (label, lists[name]) for label, name in
        (("most popular", "most popular"), ("implicit, ALS", "implicit, ALS"), ("EASE", "EASE"),
         ("sparse_ae", "blend"))], 0.0)
    save(figure, "results.svg")


def draw_against_seconds():
    """NDCG@10 against seconds of training for the methods that rank well, each named beside its dot."""
    figures = cells("lists.md", "top_n_table, MovieLens 100K, 80/20")
    figure = Figure(figsize=(WIDTH, 4.2), constrained_layout=True)
    ax = figure.subplots()
    # Names that would cover each other go to the other side, or below.
    places = {"closed form, ease": (6, -12), "closed form, factors": (-8, 4),
              "autoencoder, users": (-8, -4), "autoencoder, items": (-8, -4), "EASE": (-8, 6)}
    for name, row in figures.items():
        value, seconds = float(row["NDCG@10"].split()[0]), float(row["seconds"])
        if value < 0.3:
            continue
        ours, blend = name.startswith(("closed", "autoencoder", "blend")), name == "blend"
        ax.plot(max(seconds, 0.1), value, "*" if blend else "o", color=BLUE if ours else GREY,
                markersize=16 if blend else 7)
        x, y = places.get(name, (8, 2))
        label = "sparse_ae, the ensemble" if blend else name.replace("closed form, ", "")
        ax.annotate(label, (max(seconds, 0.1), value),
                    (x - (14 if blend else 0), y + (10 if blend else 0)), textcoords="offset points", fontsize=10,
                    ha="right" if x < 0 else "left", weight="bold" if blend else "normal")
    ax.set(xscale="log", xlim=(0.06, 120), ylim=(0.295, 0.42), xlabel="seconds of training", ylabel="NDCG@10")
    ax.grid(True, color="0.92")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    save(figure, "against_seconds.svg")


def draw_by_items():
    """Milliseconds of an update of 64 rows, by the number of items, for the three graphs."""
    figures = cells("speed.md", "which_rows, by items")
    figure = Figure(figsize=(WIDTH, 3.4), constrained_layout=True)
    ax = figure.subplots()
    for graph, colour, label in (("scan", ORANGE, "scan: the post's graph"), ("dense", GREY, "dense, masked"),
                                 ("sparse", BLUE, "sparse")):
        values = [(float(items), float(row[graph + ", ms"])) for items, row in figures.items() if row[graph + ", ms"]]
        ax.plot(*zip(*values), "o-", color=colour, markersize=5)
        ax.annotate(label, values[-1], (8, 4), textcoords="offset points", color=colour, fontsize=10.5, weight="bold")
    ax.set(xscale="log", yscale="log", xlim=(800, 4e6), xlabel="items (the same 6,400 ratings)",
           ylabel="milliseconds per update")
    ax.grid(True, color="0.92")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    save(figure, "by_items.svg")


def draw_feature_steps():
    """Milliseconds of a factorisation machine's step, by the number of one-hot features."""
    figures = cells("../tutorial/sparse_input.md", "feature_steps, milliseconds a step")
    figure = Figure(figsize=(WIDTH, 3.6), constrained_layout=True)
    ax = figure.subplots()
    for name, row in sorted(figures.items(), key=lambda each: -float(list(each[1].values())[-1])):
        sizes, milliseconds = zip(*[(int(size.split()[0]), float(cell)) for size, cell in row.items() if cell])
        ax.plot(sizes, milliseconds, "--o" if "PyTorch" in name else "-o", markersize=4, label=name.partition(":")[0])
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9)
    ax.set(xscale="log", yscale="log", xlabel="one-hot features", ylabel="milliseconds a step")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    save(figure, "feature_steps.svg")


def draw_curves():
    """The learning curves of the guide's page on plots, by its code."""
    import sparse_ae
    from sparse_ae.evaluation import plots
    ratings, _ = sparse_ae.made_up_ratings(n_users=300, n_items=100, n_ratings=8000, step=1, rng=0)
    split = sparse_ae.split_ratings(ratings, test_fraction=0.2, rng=0)
    recommender = sparse_ae.Recommender(rng=0, progress=False).fit(split.train, fits=1)
    figure = Figure(figsize=(WIDTH, 4.6), constrained_layout=True)
    plots.learning_curves(recommender.history_, {"biases": recommender.validation_rmse_["biases"]},
                          ax=figure.subplots()).set_title("Synthetic ratings")
    save(figure, "curves.svg")


def draw_units(data):
    """The films at both ends of some hidden units of the post's model, items as rows."""
    import movielens

    from sparse_ae.data.splits import split_ratings
    ratings, titles = movielens.load(str(data))
    result = movielens.train("items as rows", split_ratings(ratings.matrix, test_fraction=0.2, rng=0), (1.0, 5.0))
    figure = Figure(figsize=(WIDTH, 7.5), constrained_layout=True)
    names = [titles[item] for item in ratings.items.tolist()]
    movielens.hidden_units(movielens.item_strengths(result), names, figure.subplots()).set(
        title="Films at both ends of five hidden units", xlabel="activation for the item, less its mean over items")
    save(figure, "units.svg")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ml-100k", type=Path, metavar="PATH", help="draw hidden units, too, from this archive")
    path = parser.parse_args().ml_100k
    for draw in (draw_rows, draw_model, draw_flow, draw_results, draw_against_seconds, draw_by_items,
                 draw_feature_steps, draw_curves):
        draw()
    if path is not None:
        draw_units(path)
