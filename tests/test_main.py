"""The command line: a thin cover over the recommender, errors in one line and with status 2."""
import re
import sys

import numpy as np
import pytest

import sparse_ae
from sparse_ae import __main__ as command_line
from sparse_ae.data.files import load_ratings
from sparse_ae.recommender import Recommender

QUICK = ["--n-hidden", "3", "--n-epochs", "4", "--batch-size", "8", "--weight-scale", "0.1", "--learning-rate", "0.02",
         "--l2", "0.01"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Ratings with ids of text and of numbers, held-out ones, and a model of each."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.RandomState(0)
    cells = rng.permutation(20 * 12)[:160]
    for name, line in (("text", "u%d,i%d,%d\n"), ("numbers", "%d,%d,%d\n")):
        lines = [line % (cell // 12, cell % 12 + 100, 1 + (cell // 12 + cell) % 2 * 4) for cell in cells]
        (folder / (name + ".csv")).write_text("user,item,rating\n" + "".join(lines[:120]))
        (folder / (name + "-held-out.csv")).write_text("".join(lines[120:]) + (line % (99, 100, 5)))
        command_line.main(["fit", str(folder / (name + ".csv")), "-o", str(folder / (name + ".npz"))] + QUICK)
    return folder


def captured(capsys):
    out, err = capsys.readouterr()
    return out, re.sub("Compiling the .*\n", "", err)  # said where the compiler is slow


def run(capsys, *arguments):
    capsys.readouterr()
    command_line.main([str(argument) for argument in arguments])
    out, err = captured(capsys)
    assert err == ""
    return out.splitlines()


def fails(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        command_line.main([str(argument) for argument in arguments])
    out, err = captured(capsys)
    assert exit.value.code == 2 and out == "" and err.count("\n") == 1
    return err


def test_fit_is_the_librarys(files, tmp_path, capsys):
    path = tmp_path / "model"
    lines = run(capsys, "fit", files / "text.csv", "-o", path, "--seed", 3, "--rows", "users", "--f", "sigmoid",
                "--g", "tanh", "--update", "adagrad", "--patience", 2, "--unknown", 2.5, "--rating-scale", 0, 6,
                "--validation", 0.2, *QUICK)
    recommender = Recommender.load(path)
    expected = dict(n_hidden=3, rows="users", f="sigmoid", g="tanh", l2=0.01, weight_scale=0.1, update="adagrad",
                    learning_rate=0.02, batch_size=8, n_epochs=4, patience=2, rating_scale=(0, 6), unknown=2.5, rng=3)
    assert {name: recommender.get_params()[name] for name in expected} == expected
    assert lines[0] == "120 ratings from 0 to 6, 20 users, 12 items" and lines[2] == "saved to %s" % path
    record = recommender.history_[recommender.best_epoch_ - 1]
    assert lines[1] == "epoch %d of %d: training RMSE %.4f, validation RMSE %.4f" % (
        recommender.best_epoch_, len(recommender.history_), record["train_rmse"], record["validation_rmse"])
    again = Recommender(progress=False, **expected).fit(load_ratings(files / "text.csv"), validation=0.2)
    assert again.predict("u3", ["i100", "i101"]).tolist() == recommender.predict("u3", ["i100", "i101"]).tolist()


def test_fit_without_validation_in_one_batch_and_resumed(files, tmp_path, capsys):
    arguments = ["fit", files / "numbers.csv", "-o", tmp_path / "m", "--validation", 0]
    arguments += ["--checkpoint", tmp_path / "c"] + QUICK + ["--batch-size", 0]
    first, again = run(capsys, *arguments), run(capsys, *arguments)
    assert first == again and first[1].startswith("epoch 4 of 4: training RMSE ") and "validation" not in first[1]
    assert Recommender.load(tmp_path / "m").batch_size is None


@pytest.mark.parametrize("name, users, item", [("text", ["u3", "u7"], "i%d"), ("numbers", ["3", "7"], "%d")])
def test_recommend_is_the_librarys(files, capsys, name, users, item):
    recommender = Recommender.load(files / (name + ".npz"))
    ids = users if name == "text" else [int(user) for user in users]
    one = recommender.recommend(ids[0], n=3)
    expected = ["%s\t%.4f" % pair for pair in zip(*one)]
    assert run(capsys, "recommend", files / (name + ".npz"), "--user", users[0], "-n", 3) == expected
    both = run(capsys, "recommend", files / (name + ".npz"), "--user", *users, "-n", 3)
    assert both[:3] == [users[0] + "\t" + line for line in expected] and len(both) == 6
    some = [item % k for k in range(100, 105)]
    found = run(capsys, "recommend", files / (name + ".npz"), "--user", users[0], "--include-seen", "--items", *some)
    assert sorted(line.split("\t")[0] for line in found) == some


@pytest.mark.parametrize("name", ["text", "numbers"])
def test_evaluate_is_the_librarys(files, capsys, name):
    recommender = Recommender.load(files / (name + ".npz"))
    measures = recommender.evaluate(load_ratings(files / (name + "-held-out.csv")), k=4, relevant=3)
    lines = run(capsys, "evaluate", files / (name + ".npz"), files / (name + "-held-out.csv"), "-k", 4, "--relevant", 3)
    assert lines == ["%s: %s" % (key, value if key.startswith("n_") else "%.4f" % value)
                     for key, value in measures.items()]
    assert measures["n_unknown"] == 1 and measures["precision"] > 0
    lines = run(capsys, "evaluate", files / (name + ".npz"), files / (name + "-held-out.csv"), "-k", 0)
    assert [line.split(":")[0] for line in lines] == ["rmse", "mae", "n_ratings", "n_unknown"]


def test_evaluate_numbers_where_ids_are_text(files, tmp_path, capsys):
    (tmp_path / "train.csv").write_text((files / "numbers.csv").read_text() + "ann,100,5\nbob,tea,1\n")
    run(capsys, "fit", tmp_path / "train.csv", "-o", tmp_path / "m", *QUICK)
    lines = run(capsys, "evaluate", tmp_path / "m", files / "numbers-held-out.csv", "-k", 0)
    assert lines[3] == "n_unknown: 1"


@pytest.mark.parametrize("arguments, message", [
    (["fit", "nowhere.csv", "-o", "{tmp}/m"], "there is no file nowhere.csv; check the path"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/no/m"], "there is no folder .*/no to write m to; create it first"),
    (["fit", "{files}/text.csv"], "the following arguments are required: -o/--output .*fit --help says more"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--l2", "much"], "argument --l2: invalid float value: 'much'"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--l2", "-1"], "l2 is -1.0; expected"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--unknown", "zero"], "unknown is 'zero'; expected 'mean', 'error'"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--validation", "2"], "validation is 2.0; expected a fraction"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--rating-scale", "2", "3"],
     r"rating [15] is outside rating_scale=\(2, 3\)"),
    (["recommend", "{files}/text.csv", "--user", "u3"],
     "text.csv can't be read: .*expected a recommender of sparse_ae"),
    (["recommend", "{files}/text.npz", "--user", "u3", "stranger"], "the user 'stranger' had no rating in fit"),
    (["recommend", "{files}/numbers.npz", "--user", "3", "u4"],
     "user 3, u4: the ids of users in this model are numbers, such as 0"),
    (["recommend", "{files}/numbers.npz", "--user", "3", "--items", "tea"],
     "item tea: the ids of items in this model are numbers"),
    (["recommend", "{files}/text.npz", "--user", "u3", "-n", "0"], "n is 0; expected a positive integer"),
    (["evaluate", "{files}/text.npz", "nowhere.csv"], "there is no file nowhere.csv"),
    (["evaluate", "{files}/numbers.npz", "{files}/text.csv"], "users are strings such as 'u0'; expected numbers"),
    (["evaluate", "{files}/text.npz", "{files}/text.csv", "-k", "-3"], "k is -3; expected a positive integer"),
    (["frobnicate"], "invalid choice: 'frobnicate'"),
])
def test_errors_are_one_line(files, tmp_path, capsys, arguments, message):
    err = fails(capsys, *[argument.format(files=files, tmp=tmp_path) for argument in arguments])
    assert re.search("python -m sparse_ae.*: error: .*" + message, err)
    assert not list(tmp_path.iterdir())


def test_a_loss_that_diverges_is_one_line_too(files, tmp_path, capsys):
    err = fails(capsys, "fit", files / "text.csv", "-o", tmp_path / "m", *QUICK, "--update", "sgd",
                "--learning-rate", "1e30", "--l2", 0)
    assert "in epoch " in err and "Lower the learning rate" in err


def test_without_theano(files, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sparse_ae.recommender", None)
    assert "sparse_ae.recommender" in fails(capsys, "recommend", files / "text.npz", "--user", "u3")


def test_the_ratings_are_not_written_over(files, tmp_path, capsys):
    path = tmp_path / "ratings.csv"
    path.write_bytes((files / "text.csv").read_bytes())
    assert "ratings.csv exists and isn't a file of sparse_ae" in fails(capsys, "fit", path, "-o", path)
    assert path.read_bytes() == (files / "text.csv").read_bytes()


def test_weight_decay_of_W_and_of_V(files, tmp_path, capsys):
    run(capsys, "fit", files / "text.csv", "-o", tmp_path / "two.npz", *QUICK, "--l2", "0.5", "0.25")
    model = Recommender.load(tmp_path / "two.npz")
    assert model.l2 == (0.5, 0.25) and (model.model_.l2_W, model.model_.l2_V) == (0.5, 0.25)
    assert "l2 is (1.0, 2.0, 3.0)" in fails(capsys, "fit", files / "text.csv", "-o", tmp_path / "three.npz",
                                            "--l2", "1", "2", "3")


def test_version(capsys):
    with pytest.raises(SystemExit) as exit:
        command_line.main(["--version"])
    assert exit.value.code == 0 and capsys.readouterr().out == "sparse_ae %s\n" % sparse_ae.__version__
