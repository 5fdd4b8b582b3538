"""The examples that answer a question each: what they print is what the library says of small made-up ratings."""
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from programs import ROOT, load

import sparse_ae
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.recommender import recommender as recommender_module
import theano


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


def errors(predicted, test):
    return sparse_ae.rmse(test.data, predicted), sparse_ae.mae(test.data, predicted)


# own_data.py


def test_own_data_in_raw_ids_from_end_to_end(csv, fits, tmp_path, capsys):
    load("own_data").main([str(csv), "--folder", str(tmp_path / "new" / "folder")])
    out = capsys.readouterr().out
    ratings = sparse_ae.load_ratings(csv)
    assert find(out, r"mine.csv: (\d+) ratings from 1 to 5, (\d+) users, (\d+) items") == [("1500", "60", "50")]
    (recommender, train), = fits
    test = (ratings.matrix - train.matrix).tocoo()
    test.eliminate_zeros()
    assert test.nnz == 300 and train.matrix.nnz == 1200

    n_hidden, *weights = find(out, r"^trained on 1200 ratings, (\d+) hidden units; "
                                   r"weights: items as rows (\d\.\d\d), users as rows (\d\.\d\d)$")[0]
    assert int(n_hidden) == recommender.model_.n_hidden and min(recommender.weights_.values()) > 0.1
    assert [float(weight) for weight in weights] == pytest.approx(list(recommender.weights_.values()), abs=0.0051)
    table = {name: (float(rmse), float(mae)) for name, rmse, mae in find(out, r"^(.+?) +(\d\.\d{4})   (\d\.\d{4})$")}
    predicted = recommender.predict(ratings.users[test.row], ratings.items[test.col])
    assert table["the recommender"] == pytest.approx(errors(predicted, test), abs=6e-5)
    alone = np.clip(predict_biases(fit_biases(train.matrix), test.row, test.col), 1, 5)
    assert table["biases alone"] == pytest.approx(errors(alone, test), abs=6e-5)

    user, item, given, guess = find(out, r"^(u\d+) gave (i\d+) a (\S+), which was held out; predicted: (\d\.\d\d)$")[0]
    place = ratings.users.tolist().index(user), ratings.items.tolist().index(item)
    assert float(given) == test.tocsr()[place]
    assert float(guess) == pytest.approx(recommender.predict(user, item), abs=0.0051)
    assert re.findall(r"(i\d+) \(\d\.\d\d\)", out) == recommender.recommend(user, n=5).items.tolist()
    saved, same = find(out, r"^saved to (.+) \(\d\.\d MB\) and loaded again; the same 300 predictions: (\S+)$")[0]
    assert same == "yes" and Path(saved) == tmp_path / "new" / "folder" / "recommender.npz"


@pytest.mark.slow
def test_own_data_makes_ratings_up_that_can_be_learned(tmp_path, capsys):
    load("own_data").main(["--folder", str(tmp_path)])
    out = capsys.readouterr().out
    lines = (tmp_path / "ratings.csv").read_text().splitlines()
    assert lines[0] == "user,item,rating" and re.match(r"reader-\d+,book-\d+,[1-5](\.5)?$", lines[1])
    assert out.startswith("synthetic:\n    " + "\n    ".join(lines[:4]) + "\n")
    rmse = [float(value) for value in re.findall(r"(\d\.\d{4})   \d\.\d{4}$", out, re.MULTILINE)]
    assert len(rmse) == 2 and 0.5 < rmse[1] < rmse[0] - 0.03  # 0.5: what noise leaves to a perfect model


# fold_in.py


@pytest.mark.slow
def test_folded_in_and_trained_with(csv, fits, capsys):
    load("fold_in").main(["--data", str(csv)])
    out = capsys.readouterr().out
    ratings = sparse_ae.load_ratings(csv)
    everybody = fits[1][1].matrix
    test = ratings.matrix - everybody
    test.eliminate_zeros()
    strangers = np.flatnonzero(~np.isin(ratings.users, fits[0][1].users))
    shown, asked = everybody[strangers], test[strangers].tocoo()
    assert find(out, r"^trained on (\d+) ratings of (\d+) users; (\d+) new users have (\d+) ratings, and (\d+) ") == [
        tuple(map(str, (fits[0][1].matrix.nnz, 50, 10, shown.nnz, asked.nnz)))]

    def folded_in(recommender):
        people = recommender.fold_in([dict(zip(ratings.items[row.indices].tolist(), row.data.tolist()))
                                      for row in shown])
        return np.array([person.predict(ratings.items) for person in people])[asked.row, asked.col]

    table = find(out, r'^rows="(\w+)" +(\d\.\d{4}) +(\d\.\d{4}) +\d+\.\d +(\S+)$')
    assert [row[0] for row in table] == ["users", "items"] == [fits[0][0].rows, fits[2][0].rows]
    for (_, folded, trained, difference), (apart, others), (together, all_of_them) in zip(table, fits[::2],
                                                                                          fits[1::2]):
        assert not np.isin(ratings.users[strangers], apart.users_).any()
        assert all_of_them.matrix.nnz == others.matrix.nnz + shown.nnz
        known = together.predict(ratings.users[strangers][asked.row], ratings.items[asked.col])
        assert float(folded) == pytest.approx(errors(folded_in(apart), asked)[0], abs=6e-5)
        assert float(trained) == pytest.approx(errors(known, asked)[0], abs=6e-5)
        assert float(difference) == pytest.approx(np.abs(folded_in(together) - known).max(), rel=0.06, abs=1e-6)
    assert float(table[0][3]) < 1e-6 < 1e-3 < float(table[1][3])
    some, said = find(out, r"^fold_in\((\{.*\})\).recommend\(n=3\) is (.*)$")[0]
    assert eval(said) == fits[2][0].fold_in(eval(some)).recommend(n=3).items.tolist()


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
