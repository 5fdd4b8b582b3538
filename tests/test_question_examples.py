"""The examples that answer a question each: what they print is true, judged by plain NumPy on small made-up ratings."""
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from programs import ROOT, load

import sparse_ae
from sparse_ae.recommender import recommender as recommender_module
import theano

QUESTIONS = ("own_data", "fold_in", "resume")


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    """1500 ratings with string ids, of 60 users and 50 items, of which models learn more than biases tell."""
    ratings, _ = sparse_ae.made_up_ratings(60, 50, 1500, n_factors=2, noise=0.2, step=0.5, rng=3)
    path = tmp_path_factory.mktemp("questions") / "mine.csv"
    pairs = ratings.matrix.tocoo()
    path.write_text("".join("u%d,i%d,%g\n" % each for each in zip(pairs.row, pairs.col, pairs.data)))
    return path


@pytest.fixture
def fits(monkeypatch):
    """Recommenders and the matrices that they were fitted to, in order."""
    fits, fit = [], recommender_module.Recommender.fit

    def recording(self, ratings, *args, **kwargs):
        fitted = fit(self, ratings, *args, **kwargs)
        fits.append((fitted, ratings))
        return fitted

    monkeypatch.setattr(recommender_module.Recommender, "fit", recording)
    return fits


def find(out, pattern):
    found = re.findall(pattern, out, re.MULTILINE)
    assert found, "%r is not in\n%s" % (pattern, out)
    return found


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def parameters(model):
    """Those of a model, by name."""
    return {p.name: p.get_value().astype("float64") for p in model.params}


def encode(recommender, model, full, offsets):
    """Hidden units of rows of ratings (n, n_columns), 0 where there is none; `offsets` are the biases', of each."""
    low, high = recommender.rating_scale_
    of_V, of_U = reference.residual_inputs(full, offsets, (high - low) / 4)
    p = parameters(model)
    return sigmoid(of_V @ p["V"].T + of_U @ p["U"].T + p["mu"])


def baseline(recommender):
    """What the biases of a recommender say, of all users and items."""
    mean, of_users, of_items = recommender.biases_[:3]
    return mean + of_users[:, np.newaxis] + of_items


def outputs(recommender, matrix):
    """Of all users and items, not clipped, with f the identity and g a sigmoid: biases and what models say beside."""
    low, high = recommender.rating_scale_
    full, output = matrix.toarray().astype("float64"), baseline(recommender)
    np.testing.assert_allclose(output, biases(matrix), atol=1e-4)
    known = np.outer(np.diff(matrix.indptr) > 0, np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0)
    beside = np.zeros(output.shape)
    for rows, model in recommender.models_.items():
        by_rows = (full, output) if rows == "users" else (full.T, output.T)
        said = encode(recommender, model, *by_rows) @ parameters(model)["W"].T + parameters(model)["b"]
        beside += recommender.weights_[rows] * (high - low) / 4 * (said if rows == "users" else said.T)
    return output + known * beside


def predictions(recommender, matrix):
    """Of all users and items, clipped; where there is no rating in the matrix it is what the biases say."""
    return np.clip(outputs(recommender, matrix), *recommender.rating_scale_)


def biases(matrix):
    """The predictions of all users and items by biases, from the normal equations of the least squares.

    How much is shrunk follows from the variances of what is left over and of the offsets, which the ratings tell.
    """
    pairs, (n_users, n_items) = matrix.tocoo(), matrix.shape
    X = np.zeros((matrix.nnz, n_users + n_items))
    X[np.arange(matrix.nnz), pairs.row] = X[np.arange(matrix.nnz), n_users + pairs.col] = 1
    mean, counts, shrinkage = pairs.data.mean(dtype="float64"), X.sum(axis=0), np.full(n_users + n_items, 5.0)
    for _ in range(100):
        b = np.linalg.solve(X.T @ X + np.diag(shrinkage), X.T @ (pairs.data - mean))
        left = matrix.nnz - np.sum(counts / (counts + shrinkage))
        variance = np.sum((pairs.data - mean - X @ b) ** 2) / left
        spread = b ** 2 + variance / (counts + shrinkage)
        for side in (slice(n_users), slice(n_users, None)):
            shrinkage[side] = variance / spread[side][counts[side] > 0].mean()
    return mean + b[:n_users, np.newaxis] + b[n_users:]


def errors(predicted, test):
    pairs = test.tocoo()
    difference = predicted[pairs.row, pairs.col] - pairs.data
    return np.sqrt(np.mean(difference ** 2)), np.mean(np.abs(difference))


# own_data.py


def test_own_data_in_raw_ids_from_end_to_end(csv, fits, tmp_path, capsys):
    load("own_data").main([str(csv), "--folder", str(tmp_path / "new" / "folder")])
    out = capsys.readouterr().out
    ratings = sparse_ae.load_ratings(csv)
    assert find(out, r"mine.csv: (\d+) ratings from 1 to 5, (\d+) users, (\d+) items") == [("1500", "60", "50")]
    train = fits[0][1].matrix
    test = sp.csr_matrix(ratings.matrix - train)
    test.eliminate_zeros()
    assert test.nnz == 300 and train.nnz == 1200

    recommender = fits[0][0]
    predicted = predictions(recommender, train)
    n_hidden, *weights = find(out, r"^trained on 1200 ratings, (\d+) hidden units; "
                                   r"weights: items as rows (\d\.\d\d), users as rows (\d\.\d\d)$")[0]
    assert list(recommender.models_) == ["items", "users"]
    assert [model.W.get_value().shape[1] for model in recommender.models_.values()] == 2 * [int(n_hidden)]
    assert [float(weight) for weight in weights] == pytest.approx(list(recommender.weights_.values()), abs=0.0051)
    assert min(recommender.weights_.values()) > 0.1
    table = {name: (float(rmse), float(mae)) for name, rmse, mae in find(out, r"^(.+?) +(\d\.\d{4})   (\d\.\d{4})$")}
    assert table["the recommender"] == pytest.approx(errors(predicted, test), abs=6e-5)
    assert table["biases alone"] == pytest.approx(errors(np.clip(biases(train), 1, 5), test), abs=6e-5)

    user, item, given, guess = find(out, r"^(u\d+) gave (i\d+) a (\S+), which was held out; predicted: (\d\.\d\d)$")[0]
    u, i = ratings.users.tolist().index(user), ratings.items.tolist().index(item)
    assert float(given) == test[u, i] and float(guess) == pytest.approx(predicted[u, i], abs=0.0051)
    scores = outputs(recommender, train)[u]
    scores[train[u].indices] = -np.inf
    best = ratings.items[np.argsort(-scores)[:5]].tolist()
    assert re.findall(r"(i\d+) \(\d\.\d\d\)", out) == best
    saved, same = find(out, r"^saved to (.+) \(\d\.\d MB\) and loaded again; the same 300 predictions: (\S+)$")[0]
    assert same == "yes" and Path(saved) == tmp_path / "new" / "folder" / "recommender.npz"
    for rows, model in recommender.models_.items():
        np.testing.assert_array_equal(np.load(saved)[rows + "/W"], model.W.get_value())


@pytest.mark.slow
def test_own_data_says_so_if_what_was_loaded_differs(csv, tmp_path, capsys, monkeypatch):
    read = recommender_module.Recommender.load

    def load_another(path):
        loaded = read(path)
        assert min(loaded.weights_.values()) > 0.1
        loaded.model_.b.set_value(loaded.model_.b.get_value() + np.float32(1e-5))
        return loaded

    monkeypatch.setattr(recommender_module.Recommender, "load", load_another)
    load("own_data").main([str(csv), "--folder", str(tmp_path)])
    assert find(capsys.readouterr().out, r"predictions: (\S+)$") == ["NO"]


@pytest.mark.slow
def test_own_data_makes_ratings_up_that_can_be_learned(tmp_path, capsys):
    load("own_data").main(["--folder", str(tmp_path)])
    out = capsys.readouterr().out
    lines = (tmp_path / "ratings.csv").read_text().splitlines()
    assert lines[0] == "user,item,rating" and re.match(r"reader-\d+,book-\d+,[1-5](\.5)?$", lines[1])
    assert out.startswith("made up:\n    " + "\n    ".join(lines[:4]) + "\n")
    rmse = [float(value) for value in re.findall(r"(\d\.\d{4})   \d\.\d{4}$", out, re.MULTILINE)]
    assert len(rmse) == 2 and 0.5 < rmse[1] < rmse[0] - 0.03  # 0.5: what noise leaves to a perfect model


# fold_in.py


def fold_in(recommender, shown, matrix):
    """Predictions of all items for somebody with the `shown` ratings (n_items,), from the models' definition."""
    low, high = recommender.rating_scale_
    (mean, _, of_items, shrinkage), unit = recommender.biases_, (high - low) / 4
    rated = np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0
    shown = np.where(rated, shown, 0)
    offset = np.sum((shown - mean - of_items)[shown > 0]) / (np.count_nonzero(shown) + shrinkage[0])
    predicted = mean + offset + of_items
    residuals, (rows, model), = (shown - predicted) / unit, *recommender.models_.items()
    W, b = (parameters(model)[name] for name in "Wb")
    if rows == "users":
        said = (encode(recommender, model, shown[np.newaxis], predicted) @ W.T + b)[0]
    else:
        full = matrix.toarray().T.astype("float64")
        hidden = np.column_stack([encode(recommender, model, full, baseline(recommender).T), np.ones(len(shown))])
        known = np.diff(matrix.indptr) > 0
        start, H = np.append(W[known].mean(axis=0), b[known].mean()), hidden[shown > 0]
        wanted = residuals[shown > 0]
        wanted -= wanted.sum() / (len(wanted) + 1)  # the level of one's own, which a decoder isn't taught
        decay = model.decoder().l2  # of few ratings' joined fits another than each training's
        p = np.linalg.solve(H.T @ H + decay * np.eye(len(start)), H.T @ wanted + decay * start)
        said = hidden @ p
    return np.clip(predicted + rated * recommender.weights_[rows] * unit * said, low, high)


@pytest.mark.slow
def test_folded_in_and_trained_with(csv, fits, capsys):
    load("fold_in").main(["--data", str(csv)])
    out = capsys.readouterr().out
    ratings = sparse_ae.load_ratings(csv)
    everybody = fits[1][1].matrix
    test = sp.csr_matrix(ratings.matrix - everybody)
    test.eliminate_zeros()
    strangers = np.flatnonzero(~np.isin(ratings.users, fits[0][1].users))
    asked = test[strangers]
    assert find(out, r"^trained on (\d+) ratings of (\d+) people; (\d+) strangers bring (\d+) ratings, and (\d+) ") == [
        tuple(map(str, (fits[0][1].matrix.nnz, 50, 10, everybody[strangers].nnz, asked.nnz)))]

    table = find(out, r'^rows="(\w+)" +(\d\.\d{4}) +(\d\.\d{4}) +\d+\.\d +(\S+)$')
    assert [row[0] for row in table] == ["users", "items"] == [fits[0][0].rows, fits[2][0].rows]
    for (rows, folded, trained, difference), (apart, others), (together, all_of_them) in zip(table, fits[::2],
                                                                                             fits[1::2]):
        assert apart.weights_[rows] > 0.5 and together.weights_[rows] > 0.5 and not apart.choices_[rows].l2_weighted
        assert not np.isin(ratings.users[strangers], apart.users_).any()
        assert all_of_them.matrix.nnz == others.matrix.nnz + everybody[strangers].nnz
        new, again = (np.array([fold_in(recommender, everybody[who].toarray()[0], matrix) for who in strangers])
                      for recommender, matrix in ((apart, others.matrix), (together, everybody)))
        known = predictions(together, everybody)[strangers]
        assert float(folded) == pytest.approx(errors(new, asked)[0], abs=2e-4)
        assert float(trained) == pytest.approx(errors(known, asked)[0], abs=6e-5)
        change = np.abs(again - known)[asked.toarray() > 0].max()
        assert float(difference) == pytest.approx(change, rel=0.06, abs=1e-6)
    assert float(table[0][3]) < 1e-6 < 1e-3 < float(table[1][3])
    expected = errors(np.clip(biases(everybody), 1, 5)[strangers], asked)[0]
    assert float(find(out, r"^biases alone +(\S+)$")[0]) == pytest.approx(expected, abs=6e-5)

    some, said = find(out, r"^fold_in\((\{.*\})\).recommend\(n=3\) says (.*)$")[0]
    recommender, matrix = fits[2][0], fits[2][1].matrix
    shown = np.zeros(50)
    for item, rating in eval(some).items():
        shown[ratings.items.tolist().index(item)] = rating
    predicted = np.where(shown, -np.inf, fold_in(recommender, shown, matrix))
    assert eval(said) == ratings.items[np.argsort(-predicted, kind="stable")[:3]].tolist()


# resume.py


@pytest.mark.slow
def test_a_killed_training_ends_like_one_that_was_left_alone(csv, capfd, monkeypatch):
    # Where the tests came from, and with what they run.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("THEANO_FLAGS", "%s,floatX=%s" % (os.environ.get("THEANO_FLAGS", ""), theano.config.floatX))
    example, ends = load("resume"), []
    compare = example.compare
    monkeypatch.setattr(example, "compare", lambda *both: ends.extend(both) or compare(*both))
    example.main(["--data", str(csv), "--epochs", "300"])
    out = capfd.readouterr().out

    assert find(out, r"^left alone: epochs (\d+) to (\d+)$") == [("1", "300")]
    first, last, status = map(int, find(out, r"^killed: +epochs (\d+) to (\d+), exit status (-?\d+)$")[0])
    assert first == 1 and 100 <= last < 300 and (status == -9 or os.name == "nt")
    resumed, end = map(int, find(out, r"^run again: +epochs (\d+) to (\d+)$")[0])
    assert last < resumed <= last + 2 and end == 300  # killed before it could tell of an epoch that the file has
    assert find(out, r"^(\w+) +([\dx]+) +the same (\d+) bytes$") == [
        (p.name, "x".join(map(str, p.get_value().shape)), str(p.get_value().nbytes)) for p in ends[0].model_.params]
    for one, other in zip(*(end.model_.params for end in ends)):
        np.testing.assert_array_equal(one.get_value(), other.get_value())
    # The same in this process, with neither checkpoint nor kill.
    whole = sparse_ae.Recommender(rows="items", n_epochs=300, patience=None, progress=False)
    whole.fit(sparse_ae.load_ratings(csv), refit=False)
    said, rmse = find(out, r"^validation RMSE of all 300 epochs: (.*); the last: (\d\.\d{4})$")[0]
    assert said == "the same" and float(rmse) == pytest.approx(whole.history_[-1]["validation_rmse"], abs=6e-5)

    b = ends[1].model_.b
    b.set_value(np.nextafter(b.get_value(), 9))
    ends[1].history_[7]["validation_rmse"] += 1e-9
    compare(*ends)
    out = capfd.readouterr().out
    assert find(out, r"^(\w+) .* DIFFERENT$") == ["b"] and "of all 300 epochs: DIFFERENT" in out


def test_a_training_that_is_over_too_soon_or_fails_is_no_answer():
    example = load("resume")
    with pytest.raises(SystemExit, match="ended with exit status 0 before it was killed; give it more --epochs"):
        example.run([sys.executable, "-c", "print(1)"], kill_after=2)
    with pytest.raises(SystemExit, match="the training ended with exit status 3$"):
        example.run([sys.executable, "-c", "print(1); exit(3)"])


# All


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_docstring_begins_with_the_question(name):
    assert re.match(r"[A-Z].*\?\n\n    python examples/%s.py" % name, load(name).__doc__)
