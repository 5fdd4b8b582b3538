"""What a person sees at a terminal: bars, lines, the ends of programs, what Ctrl-C leaves on the disk.

Elsewhere progress is off, or stderr is a pipe. Here programs run on a pseudo-terminal, with progress, and nothing but
what they print is known of them.
"""
import ast
import re
import sys

import pytest
import terminal
from terminal import CTRL_C
from test_docs import NUMBER, ROOT, code_and_output, with_progress

import sparse_ae

pytest.importorskip("pyte")

COMMAND = [sys.executable, "-m", "sparse_ae"]
FIT = ["fit", "r.csv", "-o", "m.npz"]
SLOW = pytest.mark.slow
#: Trainings that end by Ctrl-C alone.
ENDLESS = ["--n-epochs", "1000000", "--patience", "0", "--l2", "1", "--n-hidden", "4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ratings in a file, r.csv, which models have something to learn of, and a saved model, m.npz."""
    folder = tmp_path_factory.mktemp("terminal")
    ratings, _ = sparse_ae.made_up_ratings(100, 60, 2500, n_factors=2, noise=0.2, step=0.5, rng=3)
    pairs = ratings.matrix.tocoo()
    (folder / "r.csv").write_text("".join("u%d,i%d,%g\n" % each for each in zip(pairs.row, pairs.col, pairs.data)))
    sparse_ae.Recommender(rows="users", n_hidden=4, n_epochs=3, rng=0, progress=False).fit(
        sparse_ae.load_ratings(folder / "r.csv")).save(folder / "m.npz")
    return folder


def check(shown, *lines, status=0):
    """It ended so, without a word too many, and the last lines that stay on the screen, which is returned, are these
    patterns."""
    assert shown.status == status and shown.amiss == [], shown.text
    screen = "\n".join(shown.lines).strip("\n")
    assert not re.search(r"epoch \d|\d+%\|", "\n".join(shown.screen)), "a bar has left a line behind: %s" % screen
    assert re.search("(?s)%s$" % r"\n".join(lines), screen), screen
    return screen


def bars(shown):
    """The epochs that the bars tell of, in order; each begins with its epoch, and fits the terminal."""
    states = shown.bars
    found = [re.match(r"epoch (\d+)", bar) for bar in states]
    assert found and all(found) and all(len(bar) < shown.columns for bar in states), states
    return [int(each.group(1)) for each in found]


TRAININGS = """
import sparse_ae
ratings = sparse_ae.load_ratings("r.csv")
trainer = sparse_ae.Trainer(sparse_ae.AutoEncoder(60, 4, rating_scale=(1, 5), rng=0), "adam", rng=0)
print("trained", len(trainer.fit(ratings.matrix, 4, on_epoch=lambda record: print("seen", record["loss"] > 0))))
recommender = sparse_ae.Recommender(rng=0, n_hidden=4, n_epochs=6, **SETTINGS).fit(ratings)
print("fitted", recommender.interrupted_, [record["epoch"] for record in recommender.history_])
"""


@pytest.mark.parametrize("columns, settings", [
    (40, {}), (80, dict(objective="lists")), pytest.param(80, {}, marks=SLOW),
    pytest.param(40, dict(objective="clicks"), marks=SLOW),
    pytest.param(0, dict(fits=2), marks=SLOW)], ids=str)
def test_trainings_have_a_bar_that_leaves_nothing_behind(folder, columns, settings):
    """From NumPy 2.3 on the second epoch of any was a TypeError, since a bar's truth was a numpy.bool."""
    fit = "fits=2" if settings.pop("fits", None) else ""
    code = TRAININGS.replace("SETTINGS", repr(settings)).replace("fit(ratings)\n", "fit(ratings, %s)\n" % fit)
    shown = terminal.python(code, columns=columns, cwd=folder)
    if not columns:  # the terminal doesn't know its size, as within some containers: nothing can be told of its lines
        assert shown.status == 0 and shown.amiss == [] and "epoch 2, RMSE" in shown.text
        return
    check(shown, r"(seen True\n){4}trained 4", ".*", r"fitted False \[.*\]")
    drawn, said = bars(shown), ast.literal_eval(re.search(r"fitted False (\[.*\])", shown.text).group(1))
    assert list(dict.fromkeys(drawn))[:4] == [1, 2, 3, 4], "each epoch of Trainer.fit is drawn"
    assert drawn[-1] == said[-1], "the last state is that of the last epoch"


SMALL = ["--n-hidden", "4", "--n-epochs", "6"]
COMMANDS = {
    "fit": (["r.csv", "-o", "fitted.npz"] + SMALL, [
        "to train: items as rows, users as rows, on 4 random splits; .*", "users as rows, 2 of 2, fit 1 of 4: .*",
        "predictions use .*", "Ratings are predicted by .*",
        "items as rows, weight .*", "users as rows, weight .*", "saved to fitted.npz"]),
    "recommend": (["m.npz", "--user", "u3", "-n", "2", "--header"], [
        r"item +score", r"i\d+ +\d\.\d{4}", r"i\d+ +\d\.\d{4}"]),
    "compare": (["r.csv"] + SMALL, ["biases +0.*", "factorisation +0.*", "autoencoders, as in fit +0.*"])}


@pytest.mark.parametrize("columns", [80, pytest.param(40, marks=SLOW)])
def test_the_commands(folder, columns):
    """In one process, which is quicker."""
    calls = ["main(%r)" % ([command] + arguments) for command, (arguments, _) in COMMANDS.items()]
    code = "from sparse_ae.cli.main import main; " + "; ".join(calls)
    shown = terminal.python(code, columns=columns, cwd=folder)
    screen = check(shown)
    assert not re.search(r"\binf\b", screen) and (columns < 80 or max(map(len, shown.lines)) < columns)
    assert len(re.findall("validation RMSE .known", screen)) == 2, "once for each fit"
    for _, ends in COMMANDS.values():
        assert re.search("(?s)%s" % r"\n".join(ends), screen.replace("\n    ", " ")), "long lines go on below"
    assert max(bars(shown)) == 6


INTERRUPTED = r"python -m sparse_ae: interrupted"
BESIDE = INTERRUPTED + "; the model so far is saved to m.interrupted.npz, and not to m.npz"


@pytest.mark.parametrize("columns, arguments, shows, said", [
    (80, FIT + ENDLESS, "epoch 3", BESIDE),
    (40, FIT + ["--objective", "lists"] + ENDLESS, "epoch 3", BESIDE),
    pytest.param(80, FIT + ["--objective", "clicks"] + ENDLESS, "epoch 3", BESIDE, marks=SLOW),
    pytest.param(40, FIT + ["--rows", "users", "--checkpoint", "c.npz"] + ENDLESS, "epoch 3",
                 BESIDE + "; the same command continues from c.npz", marks=SLOW),
    # Of all ratings, in time: batches of one row take long.
    pytest.param(80, FIT + ["--batch-size", "1"], "(?s)validation RMSE.*epoch 3", BESIDE, marks=SLOW),
    pytest.param(80, FIT + ["--fits", "3", "--n-hidden", "4"],
                 "epoch 3, RMSE 0.[0-9]*, items as rows, 1 of 2, fit 2 of 3", BESIDE, marks=SLOW),
    pytest.param(40, ["compare", "r.csv"] + ENDLESS, "epoch 3", INTERRUPTED, marks=SLOW)],
    ids="ratings lists clicks checkpoint refit fits compare".split())
def test_ctrl_c_is_one_line_and_keeps_the_model_that_is_there(folder, tmp_path, columns, arguments, shows, said):
    before = (folder / "m.npz").read_bytes()
    for name in ("r.csv", "m.npz"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    shown = terminal.run(COMMAND + arguments, columns=columns, keys=[(shows, CTRL_C)], cwd=tmp_path)
    check(shown, r"(\^C)?" + said, status=130)
    typed = shown.text.index("^C")  # which the terminal shows, and which is no word of the program
    # Beside it stand bars, and on stdout the table of a search.
    told = [line for line in re.split("[\r\n]+", shown.text[typed + 2:])
            if re.match(r"\s*(?!epoch|validation RMSE \d)\S", line)]
    assert len(told) == 1, "%r isn't one line" % told
    assert (tmp_path / "m.npz").read_bytes() == before
    kept = {"r.csv", "m.npz"} | set(re.findall(r"\b[mc][.\w]*\.npz", said))
    assert {path.name for path in tmp_path.iterdir()} == kept
    if "m.interrupted.npz" in kept:
        found = sparse_ae.Recommender.load(tmp_path / "m.interrupted.npz")
        assert found.interrupted_ and len(found.recommend("u3", n=2).items) == 2


@pytest.mark.slow
@pytest.mark.parametrize("code, kept", [
    ("trainer.fit(ratings.matrix, 1000000); print(trainer.history[-1]['interrupted'])", "True"),
    ("found = sparse_ae.Recommender(n_hidden=4, n_epochs=1000000, patience=None, rng=0).fit(ratings)\n"
     "print(found.interrupted_, list(found.models_))", r"True \['items'\]")], ids=["Trainer", "Recommender"])
def test_ctrl_c_in_python_keeps_what_is_trained(folder, code, kept):
    before = "\n".join(TRAININGS.splitlines()[:4]) + "\n"
    check(terminal.python(before + code, keys=[("epoch 3", CTRL_C)], cwd=folder), kept)


@pytest.mark.slow
def test_the_code_of_the_readme_with_progress(shared_data, tmp_path):
    code, said = zip(*code_and_output(ROOT / "README.md"))
    code = with_progress("\n".join(code)).replace(
        'movielens("100k")', 'movielens("100k", path=%r)' % str(shared_data / "ml-100k"))
    assert code.count(".fit(") == 2 and len(said) == 3 and all(said) and "progress" not in code
    shown = terminal.python(code, cwd=tmp_path)
    check(shown)
    printed = NUMBER.sub("#", shown.text.replace("\r\n", "\n"))
    assert [text for text in said if NUMBER.sub("#", text) not in printed] == [] and max(bars(shown)) > 10


@pytest.mark.slow
@pytest.mark.parametrize("arguments, ends", [
    (["movielens.py", "--data", "{ml_100k}"], ["items as rows +0.8.*", "learning curves: .*", "what was learned: .*"]),
    (["own_data.py", "r.csv", "--folder", "."], ["saved to .* the same 500 predictions: yes"])],
    ids=["movielens", "own_data"])
def test_examples(folder, shared_data, arguments, ends):
    """Of MovieLens items as rows beat the biases clearly, and users as rows come close to them."""
    pytest.importorskip("matplotlib")
    arguments = [each.format(ml_100k=shared_data / "ml-100k") for each in arguments]
    shown = terminal.run([sys.executable, ROOT / "examples" / arguments[0]] + arguments[1:], cwd=folder)
    screen = check(shown, *ends)
    assert max(bars(shown)) > 10
    wrapped = [line for line in shown.screen if len(line) == 80]
    assert [line for line in wrapped if re.match(r"[1-5]  \w", line)] == [], "a table is wider than the terminal"
    if arguments[0] == "movielens.py":
        biases, users, items = map(float, re.findall(r"(?m)^[a-z, ]+? +(\d\.\d{4})   \d\.\d{4}$", screen))
        assert biases == pytest.approx(0.9357, abs=0.001) and users < biases + 0.01 and items < biases - 0.04
        assert "ml-100k: 100000 ratings from 1 to 5, 943 users, 1682 items" in screen
        assert re.search(r"(?m)^5  .* \(\d{4}\) ", screen)  # a list with titles
