"""The benchmarks: they compare like with like, and print what is so. Seconds are for nobody to judge."""
import argparse
import re
from unittest.mock import Mock

import numpy as np
import pytest
import scipy.sparse as sp
from devices import networks_need_cpu
from made import low_rank, rounded
from programs import BENCHMARKS, ROOT, load

import sparse_ae
from sparse_ae.scoring.scorer import Scorer

common = load("common")
TABLE = common.Pages(__file__).table


def rows(out):
    """{first cell: other cells} of all tables' lines."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    return {first: rest for first, *rest in cells}


# benchmark.py


@pytest.fixture
def benchmark_example(monkeypatch):
    """Of few ratings; PyTorch takes seconds to import, where it is installed."""
    module = load("benchmark")
    for name, value in dict(K=4, BATCHES=(16,), BATCH_OF_UPDATES=16, MOVIELENS_1M=(40, 30, 300),
                            torch_if_installed=lambda *args: [], movielens=Mock(side_effect=FileNotFoundError)).items():
        monkeypatch.setattr(module, name, value)
    return module


def small_matrix():
    return sp.random(40, 30, 0.3, "csr", "float32", random_state=np.random.RandomState(0))


@pytest.mark.slow
@pytest.mark.parametrize("arguments, names", [
    (["--contenders", "dense", "sparse"], ["dense", "sparse"]),
    (["--updates"], ["SGD", "Adam", "Adagrad", "Adagrad, ten times the columns"]),
])
def test_each_table(benchmark_example, capsys, arguments, names):
    benchmark_example.main(["--rounds", "1"] + arguments)
    out = capsys.readouterr().out
    assert re.search(r"synthetic, of MovieLens 1M's shape: \d+ x \d+, 300 ratings", out)
    assert list(rows(out))[-len(names):] == names and rows(out)[names[0]][2] == "1.00"


@pytest.mark.parametrize("recipe, change, differs", [
    ("THE_POST", {}, False), ("THE_POST", dict(f="tanh"), True), ("ADAM", dict(learning_rate=0.02), True)])
def test_who_computes_something_else_is_found_out(benchmark_example, recipe, change, differs):
    example = benchmark_example
    start, recipe = example.start_values(30, np.random.RandomState(0)), getattr(example, recipe)
    field = [example.Ours("sparse", start, recipe), example.Ours("dense", start, recipe._replace(**change), "other")]
    if differs:
        with pytest.raises(AssertionError, match="other against sparse"):
            example.agree(field, [small_matrix()] * 3)
    else:
        example.agree(field, [small_matrix()] * 3)


def test_updates_are_compared_on_the_same_ratings_and_divergence_is_no_figure(benchmark_example, capsys, monkeypatch):
    example, ratings, seen, seconds = benchmark_example, small_matrix(), {}, iter([2.0, 3.0, 2.5, 5.0] * 2)
    arguments = argparse.Namespace(rounds=1, budget=10)

    def seconds_per_epoch(contender, matrix, *args):
        seen[contender.name] = contender, matrix
        return next(seconds), contender.name != "Adam"

    monkeypatch.setattr(example, "seconds_per_epoch", seconds_per_epoch)
    example.updates(ratings, arguments, TABLE)
    out = capsys.readouterr().out
    assert rows(out)["Adam"] == ["~3.00", "3.00 ... 3.00", "1.50"] and rows(out)["Adagrad"][2] == "1.25"
    (plain, matrix), (_, wide_matrix) = seen["Adagrad"], seen["Adagrad, ten times the columns"]
    assert (matrix != ratings.T).nnz == 0 and (wide_matrix[:, ::10] != matrix).nnz == 0
    assert wide_matrix.nnz == matrix.nnz and plain.model.l2_weighted and not seen["Adam"][0].model.l2_weighted
    plain.model.b.set_value(plain.model.b.get_value() + np.nan)
    with pytest.raises(AssertionError, match="Adagrad has diverged"):
        example.timed("", [(plain, matrix)], 16, arguments, None, TABLE)


# autorec_table.py


def ratings():
    return rounded(low_rank(biases=0))


@pytest.fixture
def autorec(monkeypatch):
    """Settings for small ratings, and folds that need no download."""
    module = load("autorec_table")
    small = dict(n_hidden=3, l2=(0.5, 0.5), hold=2, n_epochs=3, learning_rate=0.01)
    for name in ("ITEMS", "USERS", "ITEMS_100K"):
        monkeypatch.setattr(module, name, getattr(module, name)._replace(**small))
    for pair, (settings, published) in list(module.PAIRS.items()):
        module.PAIRS[pair] = settings._replace(**small), published
    for factors in (module.FACTORS, module.FACTORS_100K):
        factors.update(n_factors=2, n_epochs=3)
    monkeypatch.setattr(module, "SIZES", {k: (module.ITEMS, module.FACTORS) for k in (2, 3, 4)})
    folds = [sparse_ae.split_ratings(ratings(), 0.2, rng=i)[:2] for i in range(5)]
    monkeypatch.setattr(module, "movielens_100k_folds", lambda path: folds)
    return module


def run(example, tmp_path, capsys, *arguments):
    path = tmp_path / "ratings.npz"
    sp.save_npz(str(path), ratings())
    example.main(["--data", str(path)] + list(arguments))
    return re.sub(r" +\|", " |", capsys.readouterr().out)


@pytest.mark.slow
def test_all_tables(autorec, tmp_path, capsys):
    tables = [[line for line in part.splitlines() if line.startswith("|")]
              for part in run(autorec, tmp_path, capsys, "--quick").split("\n### ")[1:]]
    assert [len(table) - 2 for table in tables] == [5, 6, 4, 2, 3]
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


@pytest.mark.parametrize("goals, n", [([], 5 * (2 + 3 + 2 + 1 + 2 + 6) + 5 + 5), (["--to-goals"], 1)])
def test_five_splits_make_an_interval_and_what_tables_share_is_trained_once(autorec, tmp_path, capsys, monkeypatch,
                                                                           goals, n):
    """AutoRec 2 + 3 pairs + 2 sizes, factors 1 + 2 sizes, six recommenders; five folds of either of the first two."""
    judged = []

    def score(train, test, settings, seed, curve=False):
        judged.append((train, test))
        return autorec.Score(0.8 + 0.01 * seed, 1.0, [(1.0, 0.9), (2.04, 0.845), (3.0, 0.84)] if curve else [])

    for name in ("autorec", "factorization", "recommended"):
        monkeypatch.setattr(autorec, name, score)
    out = run(autorec, tmp_path, capsys, *goals)
    assert len(judged) == n and all(train.multiply(test).nnz == 0 for train, test in judged)
    # Mean 0.82, deviation 0.0158; Student's t with 4 degrees of freedom: 2.7764.
    assert out.count("| 0.8200 \u00b1 0.0196 |") == (0 if goals else 3 + 6 + 4 + 2 * 3)
    assert "| 1.0 | 2.0 | never |" in out


@pytest.mark.parametrize("by", ["items", "users"])
def test_test_ratings_change_the_score_and_nothing_else(autorec, by, monkeypatch):
    """Other test ratings at the same places get the same predictions, and so do the same seeds."""
    train, test = sparse_ae.split_ratings(ratings(), 0.2, rng=0)[:2]
    other, seen = test.copy(), []
    other.data = 6 - other.data
    monkeypatch.setattr(autorec, "rmse", lambda observed, guess: seen.append((observed, np.array(guess))) or 0.5)
    settings = autorec.Settings(rows=by, n_hidden=3, l2=(0.5, 0.5), n_epochs=2, hold=1, decay=0.5, learning_rate=0.4)
    for judged in (test, other):
        autorec.autorec(train, judged, settings, seed=0, curve=True)
    assert len(seen) == 6 and [settings.rate(epoch) for epoch in (1, 2, 3)] == [0.4, 0.2, 0.1]
    for (observed, guess), (other_observed, other_guess) in zip(seen[:3], seen[3:]):
        assert (guess == other_guess).all() and (observed == 6 - other_observed).all()


# deep_table.py


@pytest.mark.slow
@networks_need_cpu
def test_its_errors_are_those_of_its_models_and_none_is_chosen_on_test_ratings(tmp_path, capsys, monkeypatch):
    table, runs, path = load("deep_table"), [], tmp_path / "ratings.npz"
    made = table.Run.__init__
    monkeypatch.setattr(table.Run, "__init__", lambda self, *args: runs.append(self) or made(self, *args))
    monkeypatch.setattr(table, "MOST_EPOCHS", 3)
    monkeypatch.setattr(table, "SEEDS", (0,))
    monkeypatch.setattr(table, "VARIANTS", {name: variant for name, variant in table.VARIANTS.items()
                                            if "tied" in name or "themselves" in name})
    sp.save_npz(str(path), ratings())
    table.main(["--data", str(path), "--hidden", "20", "--decays", "1"])
    out = capsys.readouterr().out
    found = {name: list(map(float, errors)) for name, *errors in re.findall(
        r"^\| (ratings themselves|tied) +\| (\d\.\d{4}) +\| (\d\.\d{4}) ", out, re.M)}
    best = min(found, key=lambda name: found[name][1])
    assert len(found) == 2 and "Best on validation: %s, test RMSE %.4f" % (best, found[best][0]) in out
    train, test = (part.T.tocsr() for part in sparse_ae.split_ratings(ratings(), 0.1, rng=0)[:2])
    asked = test.tocoo()
    for (error, _), choosing, judged in zip(found.values(), runs[::2], runs[1::2]):
        seen = choosing._train
        assert not seen.multiply(test).nnz and seen.nnz < train.nnz and (judged._train != train).nnz == 0
        predicted = Scorer(judged.model, train, targets=judged.targets).predict(asked.row, asked.col, train.data.mean())
        assert sparse_ae.rmse(asked.data, predicted) == pytest.approx(error, abs=6e-5)


# large.py


def test_seconds_by_member_add_up(tmp_path):
    matrix = ratings().tocoo()
    np.savetxt(tmp_path / "ratings.csv", np.column_stack([matrix.row, matrix.col, matrix.data]), "%g", ",")
    spent = load("large").main(["--lists", str(tmp_path / "ratings.csv")])
    whole = spent.pop("all")
    assert {"popular", "ease", "local", "factors"} <= set(spent) and 0 < sum(spent.values()) <= whole


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--disk"]])
def test_stages_add_up(capsys, more):
    found = load("large").main(["--ratings", "4000"] + more)
    seconds = {name: float(cells[1]) for name, cells in rows(capsys.readouterr().out).items()
               if len(cells) == 4 and re.match(r"[\d.]+$", cells[1])}
    whole = seconds["fit, all of it"]
    parts = [number for name, number in seconds.items()
             if "training" in name or name in ("validating", "choosing and the rest")]
    # Between the parts there is little work, which takes longer beside other programs.
    assert sum(parts) - 0.1 * len(parts) <= whole <= 1.5 * sum(parts) + 1
    assert {"saving", "loading", "predicting"} <= set(seconds) and ("storing" in seconds) == ("--disk" in more)
    assert found["tastes"] < found["recommender"] < found["biases"] + 0.01


# sparse_input.py


@pytest.mark.slow
def test_sparse_and_dense_rows_train_the_same_network(capsys, monkeypatch):
    pytest.importorskip("sklearn")
    example = load("sparse_input")
    for name, value in dict(N_TEXTS=600, N_WORDS=400, N_HIDDEN=20, N_EPOCHS=3, ROUNDS=1).items():
        monkeypatch.setattr(example, name, value)
    example.main([])
    out = capsys.readouterr().out
    assert re.match(r"600 texts to train on, 150 held out; 400 words, \d+ in a text; 20 classes\n", out)
    sparse, dense, logistic = (float(rows(out)[name][0]) for name in (
        "SparseInputDenseLayer (Adagrad)", "DenseLayer on dense rows (Adagrad)", "scikit-learn, logistic regression"))
    assert sparse == dense > 0.3 and logistic > 0.3  # of 20 classes, by chance 0.05
    assert float(re.findall(r"differ by (\S+) at most", out)[0]) < 1e-4
    assert sum(bool(re.match(r"(sgd|adagrad), \d+$", name)) for name in rows(out)) == 8


# how_soon.py


def test_a_file_has_so_many_ratings_and_all_are_read(tmp_path, capsys):
    example, path, n_lines = load("how_soon"), tmp_path / "ratings.csv", 20001
    example.write_csv(path, n_lines)
    header, *lines = path.read_text().splitlines()
    pairs, values = ({tuple(line.split(",")[:2]) for line in lines}, [float(line.split(",")[2]) for line in lines])
    assert header == "user,item,rating,time" and len(lines) == len(pairs) == n_lines
    assert set(values) <= set(np.arange(2, 11) / 2)
    assert example.reading(path, TABLE, 1) == pytest.approx((n_lines, sum(values)))
    assert re.match(r"\d+ MB|not known", rows(capsys.readouterr().out)["load_ratings"][2])
    with pytest.raises(example.subprocess.CalledProcessError):  # a program that fails is no figure
        example.run("raise SystemExit(3)", tmp_path)


# constants.py


def test_each_constant_is_changed_alone_and_judged_on_other_ratings(tmp_path, capsys, monkeypatch):
    example, seen = load("constants"), []

    def greedy_weights(pool, first, short):
        seen.append((example.weights.WORTH, example.weights.PARTS, tuple(np.round(first, 2))))
        return list(first), None, None

    def score(train, judge, seed, n_hidden=0):
        assert train.nnz and judge.nnz and not train.multiply(judge).nnz and seed in (0, 1)
        return n_hidden + example.side_trainer.LESS_DECAY

    monkeypatch.setattr(example.weights, "greedy_weights", greedy_weights)
    monkeypatch.setattr(example, "score", score)
    found = rows(run(example, tmp_path, capsys, "--seeds", "2"))
    own, each = seen[0], seen[:len(seen) // 2]
    assert len(each) == 1 + 4 + 3 + 1 + 5 and len(set(each)) == len(each) and seen[len(each)] == own
    assert all(sum(x != y for x, y in zip(other, own)) == 1 for other in each[1:]) and each[1][0] == 0.0
    assert found["WORTH = 0.0"] == ["0.0000 \u00b1 0.0000"]  # the same weights
    assert found["LESS_DECAY = 0.1"] == ["-0.2000 \u00b1 0.0000"] and found["-RMSE"] == ["0.3000 \u00b1 0.0000"]
    assert found["n_hidden = 64"] == ["64.0000 \u00b1 0.0000"]
    assert (example.weights.WORTH, example.weights.PARTS, example.side_trainer.LESS_DECAY) == own[:2] + (0.3,)


# new_items.py


@pytest.mark.slow
def test_new_items_are_judged_with_attributes_and_without(tmp_path, capsys, monkeypatch):
    example, pairs = load("new_items"), sparse_ae.made_up_ratings(60, 50, 1500, noise=0.2, rng=3)[0].matrix.tocoo()
    (tmp_path / "u.data").write_text("".join("%d\t%d\t%g\n" % each for each in zip(pairs.row, pairs.col, pairs.data)))
    (tmp_path / "u.item").write_text("".join("%d|Film (1996)|01-Jan-%d||url|%d|%d\n" % (
        k, 1984 + k, k % 2, k % 3 == 0) for k in range(50)))
    assert example.movielens(tmp_path)[1][7] == ["genre 0", "from 1990"]
    plain = example.sparse_ae.Recommender
    monkeypatch.setattr(example.sparse_ae, "Recommender", lambda objective, network, progress: plain(
        objective=objective, progress=progress, network=network, n_epochs="auto" if objective == "lists" else 2))
    example.main([str(tmp_path), "--seeds", "1", "--network", "ease"])
    found = rows(capsys.readouterr().out)
    assert len(found) == 13 and found["new=2: recall@10 of new items"][0] == "0.0000"
    assert float(found["new=2: recall@10 of new items"][1]) > float(found["new=0: recall@10 of new items"][1]) == 0
    assert all(0 < float(each) < 1 for each in found["new items among themselves, NDCG@10"])
    assert all(0.3 < float(each) < 2 for each in found["ratings of new items, RMSE"])


# Tables of figures on pages


PAGES = [ROOT / "README.md"] + sorted((ROOT / "docs").rglob("*.md"))
FIGURE = re.compile(r"\| \**~?\d+\.\d+( ± \d+\.\d+)?\**( MB)? \|")
# A search that is told as a decision.
NO_FIGURES_OF_EXAMPLES = {"docs/develop/decisions.md"}

PAGE = """# Results

<!-- table: race, small, k=5 -->
| k=5 | error | seconds: of training |
|---|---|---|
| ours | 0.9 | 1 |
| **theirs (*): the best of them** | **0.8** | |
| nobody's | | |
<!-- end -->

<!-- table: race, whole -->
| set | error |
|---|---|
| first | 1 |
<!-- end -->
"""


def name(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_each_table_of_figures_is_one_of_an_example_that_writes(page):
    text = page.read_text(encoding="utf-8")
    for found, form in common.SECTION.findall(text):
        source = (BENCHMARKS / (found.partition(", ")[0] + ".py")).read_text(encoding="utf-8")
        assert re.search(r" = arguments\(parser.*, __file__, argv\)", source), found
        header, rule, *rows = form.splitlines()
        assert re.fullmatch(r"\|(-+\|)+", rule) and rows
        assert {line.count("|") for line in rows} == {header.count("|")} == {rule.count("|")}, found
    for mark in ("<!-- table: ", common.END):
        assert ("\n" + text).count("\n" + mark) == len(common.SECTION.findall(text))
    elsewhere = [line for line in common.SECTION.sub("", text).splitlines() if FIGURE.search(line.replace("|", "| |"))]
    assert not elsewhere or name(page) in NO_FIGURES_OF_EXAMPLES


def test_figures_go_where_the_page_shows_them(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    _, written = common.arguments(argparse.ArgumentParser(), "examples/race.py", ["--write", str(page)])
    table = written.table("small, k=5", "", "seconds", "more", "error")
    table.row("theirs", "2.50", "-", "0.7")
    table.row("not shown", "3.50", "-", "0.6")
    now = PAGE.replace("| **theirs (*): the best of them** | **0.8** | |",
                       "| **theirs (*): the best of them** | **0.7** | 2.50 |")
    assert page.read_text(encoding="utf-8") == now
    table.row("ours", "100%", "", "0.5 ± 0.1")
    assert page.read_text(encoding="utf-8") == now.replace("| ours | 0.9 | 1 |", "| ours | 0.5 ± 0.1 | 100% |")
    written.close()
    out, said = capsys.readouterr()
    assert said == "%s: written but for race, whole\n" % page
    assert re.search(r"\| ours +\| 100% +\| +\| 0.5 ± 0.1 \|\n\n.* \d+ CPUs; Python [\d.]+, NumPy \S+; [\d-]+\n$", out)
    for path in (page, page.with_name("none.md")):
        with pytest.raises(SystemExit):
            common.arguments(argparse.ArgumentParser(), "examples/other.py", ["--write", str(path)])
        said = "shows no table of this example; expected a line <!-- table: other, NAME -->"
        assert said in " ".join(capsys.readouterr().err.split())
