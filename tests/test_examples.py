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
USERS, ITEMS = "users as rows, the post", "items as rows"


@pytest.fixture
def example(monkeypatch):
    module = programs.load("movielens")
    monkeypatch.setattr(module, "SETTINGS", {title: (dict(of_model, n_hidden=6), of_training, 3) for title, (
        of_model, of_training, _) in module.SETTINGS.items()})
    return module


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


@pytest.fixture
def run(example, tmp_path, capsys, monkeypatch):
    """The example's models of users and of items, and what finds a pattern in what it printed."""
    def run(data):
        models, make = [], example.AutoEncoder
        with monkeypatch.context() as patch:
            patch.setattr(example, "AutoEncoder", lambda *args, **how: models.append(make(*args, **how)) or models[-1])
            example.main(["--data", str(data), "--plot", str(tmp_path / "curves.png")])
        out = capsys.readouterr().out

        def find(pattern):
            found = re.findall(pattern, out, re.MULTILINE)
            assert found, "%r is not in\n%s" % (pattern, out)
            return found

        return models, find
    return run


def dense_predictions(model, train, title):
    """All predictions, users by items, of one of the example's models, by NumPy."""
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    W, V, mu, b = [p.get_value().astype("float64") for p in model.params]
    full = train.toarray().astype("float64")  # 0 where there is no rating adds nothing to V r
    if title == USERS:
        predicted = 1 + 4 * sigmoid(np.tanh(full @ V.T + mu) @ W.T + b)
    else:
        predicted = (sigmoid(full.T @ V.T + mu) @ W.T + b).T
    predicted = np.clip(predicted, 1, 5)
    mean = train.data.mean(dtype="float64")
    predicted[np.diff(train.indptr) == 0] = mean
    predicted[:, np.bincount(train.indices, minlength=train.shape[1]) == 0] = mean
    return predicted


def test_what_it_says_is_so(run, folder, tmp_path):
    pytest.importorskip("matplotlib")
    models, find = run(folder)
    split = split_ratings(load_ratings(folder / "u.data"), 0.2, rng=0)
    n_ratings, test = split.train.nnz + split.test.nnz, split.test.tocoo()
    assert find(r": (\d+) ratings from 1 to 5, (\d+) users, (\d+) items$") == [(str(n_ratings), "40", "90")]
    assert find(r"^(\d+) ratings to train on, (\d+) held out; without a training rating: (\d+) users, (\d+) items") == [
        tuple(str(n) for n in (split.train.nnz, split.test.nnz, len(split.cold_users), len(split.cold_items)))]

    everything = {title: dense_predictions(model, split.train, title) for title, model in zip((USERS, ITEMS), models)}
    expected = {"biases alone": np.clip(predict_biases(fit_biases(split.train), test.row, test.col), 1, 5)}
    expected.update({title: predicted[test.row, test.col] for title, predicted in everything.items()})
    table = {name: (float(rmse), float(mae)) for name, rmse, mae in find(r"^([a-z, ]+?) +(\d\.\d{4})   (\d\.\d{4})$")}
    assert list(table) == list(expected)
    for name, predicted in expected.items():
        off = predicted - test.data
        assert table[name] == pytest.approx((np.sqrt(np.mean(off ** 2)), np.mean(np.abs(off))), abs=6e-5)
    epochs = find(r"^epoch +(\d) of 3: training RMSE \d\.\d{4}, held-out RMSE (\d\.\d{4}), \d+\.\d\d s$")
    assert [epoch for epoch, _ in epochs] == ["1", "2", "3"] * 2
    assert float(epochs[2][1]) == pytest.approx(table[USERS][0], abs=6e-5)
    assert float(epochs[5][1]) == pytest.approx(table[ITEMS][0], abs=6e-5)
    for label, name in (("learning curves", "curves.png"), ("what was learned", "curves-model.png")):
        assert find("^%s: (.*)$" % label) == [str(tmp_path.resolve() / name)]
        assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

    # Recommended are the best of what the user hasn't rated.
    user = int(find(r"^user (\d+); in brackets")[0]) - 101
    predicted, seen, warm = everything[ITEMS][user], split.train[user].indices, np.unique(split.train.indices)
    assert int(find(r"^liked, of (\d+) ratings in training +recommended")[0]) == len(seen) > 10
    right = find(r"  (\d\.\d\d)  Film \xe9 (\d+)(?: \((\d)\))?$")
    items = [int(item) - 501 for _, item, _ in right]
    assert len(set(items)) == 10 and not set(items) & set(seen) and set(items) <= set(warm)
    np.testing.assert_allclose([float(score) for score, _, _ in right], predicted[items], atol=0.0051)
    left_out = np.setdiff1d(np.setdiff1d(warm, seen), items)
    assert len(left_out) and predicted[left_out].max() <= predicted[items].min() + 1e-6
    held_out = {item: "%g" % rating for item, rating in zip(split.test[user].indices, split.test[user].data)}
    assert [given for _, _, given in right] == [held_out.get(item, "") for item in items]
    liked, rated = find(r"^(\d)  Film \xe9 (\d+)"), split.train[user].data
    assert [float(rating) for rating, _ in liked] == [split.train[user, int(item) - 501] for _, item in liked]
    assert [float(rating) for rating, _ in liked] == [x for x in np.sort(rated)[::-1][:10] if x >= rated.mean()]


def test_an_item_without_a_training_rating_is_not_recommended(example, folder, capsys):
    ratings = load_ratings(folder / "u.data").matrix.tolil()
    ratings[:, -1] = 0
    train = ratings.tocsr()
    test = sp.csr_matrix(([5.0], ([0], [N_ITEMS - 1])), shape=train.shape, dtype="float32")

    class LastIsBest:
        def predict_pairs(self, rows, items, users):
            return items / 100

    names = ["item %d" % item for item in range(N_ITEMS)]
    example.recommend(example.Result(LastIsBest(), None, [], None), Split(train, test, [], [N_ITEMS - 1]),
                      np.arange(N_USERS), names)
    recommended = [int(item) for item in re.findall(r"  0\.\d\d  item (\d+)", capsys.readouterr().out)]
    assert len(recommended) == 10 and N_ITEMS - 1 not in recommended


def test_ratings_of_ones_own_and_no_matplotlib(run, monkeypatch, tmp_path):
    users = ["user-%s" % letter for letter in "abcdefghijkl"]
    lines = ["%s,%s,%g\n" % (user, chr(65 + item), 1 + (7 * u + item) % 9 / 2)
             for u, user in enumerate(users) for item in range(24) if (5 * u + item) % 6 == 0]
    (tmp_path / "mine.csv").write_text("".join(lines))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    _, find = run(tmp_path / "mine.csv")
    assert find(r"mine.csv: 48 ratings from 1 to 5, 12 users, 24 items")
    assert find(r"^user user-[a-l]; ") and find(r"^[\d.]+  item [A-X]") and find(r"  \d\.\d\d  item [A-X]")
    assert find(r"^no picture was drawn: plots need matplotlib, .*: pip install matplotlib$")
    assert not (tmp_path / "curves.png").exists()


@pytest.mark.parametrize("arguments, message", [
    (["--data", "nowhere.csv"], "nowhere.csv does not exist"),
    (["--plot", "no/such/folder/x.png"], "there is no folder .*no.such.folder for the picture"),
])
def test_bad_arguments_are_one_line_and_status_2(example, capsys, arguments, message):
    with pytest.raises(SystemExit) as exit:
        example.main(arguments)
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
def test_movielens_100k(run, monkeypatch, shared_data):
    """The run that the README names: items as rows beat the biases clearly; users as rows come close to them."""
    monkeypatch.undo()  # of the small settings
    _, find = run(shared_data / "ml-100k")
    assert find(r"ml-100k: 100000 ratings from 1 to 5, 943 users, 1682 items")
    rmse = {name: float(value) for name, value in find(r"^([a-z, ]+?) +(\d\.\d{4})   \d\.\d{4}$")}
    assert rmse["biases alone"] == pytest.approx(0.9357, abs=0.001)
    assert rmse[USERS] < rmse["biases alone"] + 0.01
    assert rmse[ITEMS] < rmse["biases alone"] - 0.04
    assert find(r"^5  .* \(\d{4}\) ")
