"""examples/movielens.py: what it prints is true, judged by plain NumPy on a small ratings file of known ids."""

import re
import sys

import numpy as np
import programs
import pytest
import scipy.sparse as sp

from sparse_ae import load_ratings, split_ratings
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.data import Split

N_USERS, N_ITEMS = 40, 90


@pytest.fixture(scope="module")
def example():
    return programs.load("movielens")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ratings and titles as MovieLens 100K has them: users 101 ..., items 501 ..., of which the last has one rating."""
    folder = tmp_path_factory.mktemp("small")
    rng = np.random.RandomState(3)
    observed = rng.rand(N_USERS, N_ITEMS) < 0.25
    observed[:, -1] = np.arange(N_USERS) == 4
    taste = np.outer(rng.randn(N_USERS), rng.randn(N_ITEMS)) + rng.randn(N_ITEMS)
    ratings = np.clip(np.rint(3 + taste), 1, 5)
    lines = ["%d\t%d\t%d\t0\n" % (101 + u, 501 + i, ratings[u, i]) for u, i in zip(*observed.nonzero())]
    (folder / "u.data").write_text("".join(lines))
    titles = ["%d|Film \xe9 %d|\n" % (501 + i, 501 + i) for i in range(N_ITEMS)]
    (folder / "u.item").write_bytes("".join(titles).encode("latin-1"))
    return folder


class Run:
    """What a call of `main` printed, and the models that it made."""

    def __init__(self, example, arguments, capsys, monkeypatch):
        self.models = []

        def recording(*args, **kwargs):
            self.models.append(example_model(*args, **kwargs))
            return self.models[-1]

        example_model = example.AutoEncoder
        with monkeypatch.context() as patch:
            patch.setattr(example, "AutoEncoder", recording)
            example.main([str(argument) for argument in arguments])
        self.out = capsys.readouterr().out

    def find(self, pattern):
        found = re.findall(pattern, self.out, re.MULTILINE)
        assert found, "%r is not in\n%s" % (pattern, self.out)
        return found


def dense_predictions(model, train, rows):
    """All predictions, users by items, of the items-as-rows or the users-as-rows model of the example, by NumPy."""
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    W, V, mu, b = [p.get_value().astype("float64") for p in model.params]
    full = train.toarray().astype("float64")  # 0 where there is no rating adds nothing to V r
    if rows == "users":
        predicted = 1 + 4 * sigmoid(np.tanh(full @ V.T + mu) @ W.T + b)
    else:
        predicted = (sigmoid(full.T @ V.T + mu) @ W.T + b).T
    predicted = np.clip(predicted, 1, 5)
    mean = train.data.mean(dtype="float64")
    predicted[np.diff(train.indptr) == 0] = mean
    predicted[:, np.bincount(train.indices, minlength=train.shape[1]) == 0] = mean
    return predicted


def errors(test, predicted):
    test = test.tocoo()
    differences = test.data - predicted[test.row, test.col]
    return np.sqrt(np.mean(differences ** 2)), np.mean(np.abs(differences))


@pytest.fixture(scope="module")
def split(folder):
    return split_ratings(load_ratings(folder / "u.data"), 0.2, rng=7)


@pytest.fixture
def run(example, folder, capsys, monkeypatch, tmp_path):
    def run(*arguments):
        common = ["--data", folder, "--hidden", 6, "--epochs", 3, "--seed", 7, "--plot", tmp_path / "curves.png"]
        return Run(example, common + list(arguments), capsys, monkeypatch)
    return run


def test_the_figures_are_those_of_the_models(run, split, tmp_path):
    pytest.importorskip("matplotlib")
    said = run()
    n_ratings = split.train.nnz + split.test.nnz
    assert said.find(r": (\d+) ratings from 1 to 5, (\d+) users, (\d+) items;") == [(str(n_ratings), "40", "90")]
    assert said.find(r"^split with seed 7: (\d+) ratings to train on, (\d+) held out; without a training rating: "
                     r"(\d+) users, (\d+) items$") == [tuple(str(n) for n in (
                         split.train.nnz, split.test.nnz, len(split.cold_users), len(split.cold_items)))]

    test = split.test.tocoo()
    biases = np.clip(predict_biases(fit_biases(split.train), test.row, test.col), 1, 5) - test.data
    expected = {"biases alone": (np.sqrt(np.mean(biases ** 2)), np.mean(np.abs(biases)))}
    assert said.find(r"^biases alone: held-out RMSE (.*)$") == ["%.4f" % expected["biases alone"][0]]
    users, items = said.models
    expected["users as rows, the post"] = errors(split.test, dense_predictions(users, split.train, "users"))
    expected["items as rows"] = errors(split.test, dense_predictions(items, split.train, "items"))
    table = {name: (float(rmse), float(mae))
             for name, rmse, mae in said.find(r"^([a-z, ]+?) +(\d\.\d{4})   (\d\.\d{4})$")}
    assert list(table) == list(expected)
    for name in expected:
        assert table[name] == pytest.approx(expected[name], abs=6e-5)

    epochs = said.find(r"^epoch +(\d) of 3: training RMSE \d\.\d{4}, held-out RMSE (\d\.\d{4}), \d+\.\d\d s$")
    assert [epoch for epoch, _ in epochs] == ["1", "2", "3"] * 2
    assert float(epochs[2][1]) == pytest.approx(table["users as rows, the post"][0], abs=6e-5)
    assert float(epochs[5][1]) == pytest.approx(table["items as rows"][0], abs=6e-5)

    assert said.find(r"^learning curves: (.*)$") == [str(tmp_path.resolve() / "curves.png")]
    assert said.find(r"^what was learned: (.*)$") == [str(tmp_path.resolve() / "curves-model.png")]
    for name in ("curves.png", "curves-model.png"):
        assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("rows", ["users", "items"])
def test_recommendations_are_the_best_unseen_items(run, split, rows):
    said = run("--rows", rows)
    model, = said.models
    user = int(said.find(r"^user (\d+), by the model with %s as rows" % rows)[0]) - 101
    predicted = dense_predictions(model, split.train, rows)[user]
    seen, warm = split.train[user].indices, np.unique(split.train.indices)
    n_seen, = said.find(r"^liked, of (\d+) ratings in training +recommended")
    assert int(n_seen) == len(seen) > 10

    right = said.find(r"  (\d\.\d\d)  Film \xe9 (\d+)(?: \((\d)\))?$")
    items = [int(item) - 501 for _, item, _ in right]
    assert len(set(items)) == 10 and not set(items) & set(seen) and set(items) <= set(warm)
    np.testing.assert_allclose([float(score) for score, _, _ in right], predicted[items], atol=0.0051)
    left_out = np.setdiff1d(np.setdiff1d(warm, seen), items)
    assert len(left_out) and predicted[left_out].max() <= predicted[items].min() + 1e-6
    held_out = {item: "%g" % rating for item, rating in zip(split.test[user].indices, split.test[user].data)}
    assert [given for _, _, given in right] == [held_out.get(item, "") for item in items]

    liked = said.find(r"^(\d)  Film \xe9 (\d+)")
    assert [float(rating) for rating, _ in liked] == [split.train[user, int(item) - 501] for _, item in liked]
    rated = split.train[user].data
    best = [rating for rating in np.sort(rated)[::-1][:10] if rating >= rated.mean()]
    assert [float(rating) for rating, _ in liked] == best


def test_an_item_without_a_training_rating_is_not_recommended(example, folder, capsys, monkeypatch):
    ratings = load_ratings(folder / "u.data").matrix.tolil()
    ratings[:, -1] = 0
    train = ratings.tocsr()
    test = sp.csr_matrix(([5.0], ([0], [N_ITEMS - 1])), shape=train.shape, dtype="float32")
    monkeypatch.setattr(example, "predict", lambda rows, model, ratings, users, items: items / 100)  # the last the best
    names = ["item %d" % item for item in range(N_ITEMS)]
    result = example.Result("items", None, None, [], None)
    example.recommend(result, Split(train, test, [], [N_ITEMS - 1]), np.arange(N_USERS), names, 0)
    recommended = [int(item) for item in re.findall(r"  0\.\d\d  item (\d+)", capsys.readouterr().out)]
    assert len(recommended) == 10 and N_ITEMS - 1 not in recommended


def test_same_seed_same_output(run):
    first, second, other = run("--rows", "items"), run("--rows", "items"), run("--rows", "items", "--seed", 8)
    without_times = [re.sub(r"[\d.]+ s$|^\d+ seconds", "", each.out, flags=re.MULTILINE)
                     for each in (first, second, other)]
    assert without_times[0] == without_times[1] != without_times[2]


def test_ratings_without_titles_and_ids_that_are_text(run, tmp_path):
    users = ["user-%s" % letter for letter in "abcdefghijkl"]
    lines = ["%s,%s,%g\n" % (user, chr(65 + item), 1 + (7 * u + item) % 9 / 2)
             for u, user in enumerate(users) for item in range(24) if (5 * u + item) % 6 == 0]
    (tmp_path / "mine.csv").write_text("".join(lines))
    said = run("--data", tmp_path / "mine.csv", "--rows", "items")
    assert said.find(r"^mine.csv: 48 ratings from 1 to 5, 12 users, 24 items")
    assert said.find(r"^user user-[a-l], ")
    assert said.find(r"^[\d.]+  item [A-X]") and said.find(r"  \d\.\d\d  item [A-X]")


def test_without_matplotlib_all_else_is_said(run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    said = run("--rows", "items")
    assert said.find(r"^no picture was drawn: pictures need matplotlib, .*: pip install matplotlib$")
    assert said.find(r"^items as rows +\d\.\d{4}") and said.find(r"^\d+ seconds in all$")
    assert not (tmp_path / "curves.png").exists()


@pytest.mark.parametrize("arguments, message", [
    (["--data", "nowhere.csv"], "nowhere.csv does not exist"),
    (["--rows", "movies"], "argument --rows: invalid choice: 'movies'"),
    (["--epochs", "0"], "argument --epochs: '0' is no positive whole number"),
    (["--hidden", "many"], "argument --hidden: 'many' is no positive whole number"),
    (["--seed", "-1"], "rng=-1 is not a valid seed"),
    (["--plot", "no/such/folder/x.png"], "there is no folder .*no.such.folder for the picture"),
])
def test_bad_arguments_are_one_line_and_status_2(example, folder, capsys, arguments, message):
    with pytest.raises(SystemExit) as exit:
        example.main(["--data", str(folder)] + arguments)
    assert exit.value.code == 2
    assert re.search("error: .*" + message, capsys.readouterr().err)


@pytest.mark.parametrize("path, size", [
    ("ml-1m/ratings.dat", "1m"), ("ml-10M100K", "10m"), ("ml-latest-small.zip", "latest-small"), ("mine.csv", "100k")])
def test_a_path_tells_the_size(example, monkeypatch, tmp_path, path, size):
    asked = []

    def movielens(name, path):
        asked.append((name, path))
        raise FileNotFoundError("enough")

    monkeypatch.setattr(example, "movielens", movielens)
    with pytest.raises(FileNotFoundError, match="enough"):
        example.load(str(tmp_path / path))
    assert asked == [(size, str(tmp_path / path))]


@pytest.mark.slow
def test_movielens_100k(example, shared_data, capsys, monkeypatch, tmp_path):
    """The run that the README shows: items as rows beat the biases clearly; users as rows come close to them."""
    said = Run(example, ["--data", shared_data / "ml-100k", "--plot", tmp_path / "curves.png"], capsys, monkeypatch)
    assert said.find(r"ml-100k: 100000 ratings from 1 to 5, 943 users, 1682 items")
    rmse = {name: float(value) for name, value in said.find(r"^([a-z, ]+?) +(\d\.\d{4})   \d\.\d{4}$")}
    assert rmse["biases alone"] == pytest.approx(0.9357, abs=0.001)
    assert rmse["users as rows, the post"] < rmse["biases alone"] + 0.01
    assert rmse["items as rows"] < rmse["biases alone"] - 0.04
    assert said.find(r"^5  .* \(\d{4}\) ")
