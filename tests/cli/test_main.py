"""The command line: a thin cover over the recommender, errors in one line and with status 2."""
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import sparse_ae
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.cli import commands, main as command_line
from sparse_ae.cli.commands import chosen
from sparse_ae.cli.settings import SETTINGS
from sparse_ae.data.load import load_ratings
from sparse_ae.data.splits import split_ratings
from sparse_ae.evaluation.metrics import rmse
from sparse_ae.recommender.lists import BlendMeasure
from sparse_ae.recommender.recommender import Recommender, Shallow

QUICK = ["--n-hidden", "3", "--n-epochs", "4", "--batch-size", "8", "--weight-scale", "0.1", "--learning-rate", "0.02",
         "--l2", "0.01"]

# What the library says on stderr while it works.
SIGNS = ("Compiling the ", "validation RMSE (", "validation: ", "validation ndcg@10: ", "items as rows",
         "users as rows", "candidate ", "fitting ", "biases: ")


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
    """Without the signs of life."""
    out, err = capsys.readouterr()
    return out, "".join(line for line in err.splitlines(True) if not line.startswith(SIGNS))


def run(capsys, *arguments, said=""):
    capsys.readouterr()
    command_line.main([str(argument) for argument in arguments])
    out, err = captured(capsys)
    assert err == said
    return out.splitlines()


# What evaluate says of pairs that were trained on: two counts.
OF_FIT = ("%d of these %d pairs were used in fit: they don't show how well others are predicted, and count as misses, "
          "since rated items are not recommended; leave them out of the file\n")
WITHOUT_LISTS = OF_FIT.replace(", and count as misses, since rated items are not recommended", "")


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
                "--validation", 0.2, "--biases", "unguarded", "--no-refit", "--dtype", "float64",
                "--formulation", "sparse", "--no-progress", *QUICK)
    recommender = Recommender.load(path)
    expected = dict(n_hidden=3, rows="users", network=Shallow("sigmoid", "tanh", 0.1, "float64"), l2=0.01,
                    update="adagrad", learning_rate=0.02, batch_size=8, n_epochs=4, patience=2, rating_scale=(0, 6),
                    unknown=2.5, rng=3,
                    formulation="sparse", biases="unguarded", progress=False, objective="ratings", choices=None)
    assert recommender.get_params() == expected
    again = Recommender(**expected).fit(load_ratings(files / "text.csv"), validation=0.2, refit=False)
    assert again.predict("u3", ["i100", "i101"]).tolist() == recommender.predict("u3", ["i100", "i101"]).tolist()
    best = again.best_epoch_
    record = again.history_[best - 1]
    assert lines == [
        "120 ratings from 0 to 6, 20 users, 12 items",
        "validation RMSE (known users and items): biases %(biases).4f, users %(users).4f" % again.validation_rmse_,
        "users as rows, weight 1.00: epoch %d of %d%s" % (
            best, len(again.history_), ", training RMSE %.4f, validation RMSE %.4f, with unknown users and items" % (
                record["train_rmse"], record["validation_rmse"]) if best else ""),
        "  n_hidden=3, batch_size=8, l2=0.01, update=adagrad, learning_rate=0.02",
        "saved to %s" % path]


def test_fits_that_are_joined(files, tmp_path, capsys):
    run(capsys, "fit", files / "text.csv", "-o", tmp_path / "m", "--fits", 3, "--biases", "unguarded", "--rows",
        "users", "--no-progress", *QUICK)
    assert Recommender.load(tmp_path / "m").model_.n_hidden == 9
    assert "fits is 3; expected 'auto' or 1: " in fails(capsys, "fit", files / "text.csv", "-o", tmp_path / "other",
                                                           "--fits", 3, "--no-refit", *QUICK)


def test_fit_for_lists(files, tmp_path, capsys):
    lines = run(capsys, "fit", files / "text.csv", "-o", tmp_path / "m", "--rows", "users", "--objective", "lists",
                "--biases", "unguarded", "--no-progress", *QUICK)
    recommender = Recommender.load(tmp_path / "m")
    assert (recommender.objective, recommender.missing_rating_) == ("lists", 0.0)
    assert lines[1] == "validation of lists: popular %(popular).4f, users %(users).4f" % recommender.validation_lists_
    assert re.match(r"users as rows, weight 1.00: epoch [1-4] of 4, training loss [0-9.]+, validation NDCG@10 0\.",
                    lines[2])


def test_fit_prints_weights_and_settings_and_says_where_no_model_counts(files, tmp_path, capsys):
    arguments = ["fit", files / "text.csv", "-o", tmp_path / "m", *QUICK]
    lines = run(capsys, *arguments)
    recommender = Recommender.load(tmp_path / "m")
    assert re.match(r"validation RMSE \(known users and items\): biases .*, items .*, users ", lines[1])
    for line, rows in ((lines[2], "items"), (lines[4], "users")):
        assert re.match("%s as rows, weight %.2f: epoch [0-4] of 4" % (rows, recommender.weights_[rows]), line)
    recommender.weights_.update(items=0.0, users=0.0)
    recommender.history_[3]["restored"] = 0
    lines = list(chosen(recommender))
    assert lines[1] == "items as rows, weight 0.00: epoch 0 of 4"
    assert lines[-1] == "no autoencoder is clearly better than biases: predictions use biases only"


def test_validation_that_tells_nothing(tmp_path, capsys):
    """One rating for each user: none of the held-out ones is of a user who is known."""
    (tmp_path / "r.csv").write_text("".join("u%d,i%d,%d\n" % (k, k % 5, 1 + k % 3) for k in range(40)))
    lines = run(capsys, "fit", tmp_path / "r.csv", "-o", tmp_path / "m", "--rows", "users", *QUICK)
    assert lines[-2] == ("no validation rating has both a user and an item with training ratings, so an autoencoder "
                         "can't be validated: predictions use biases only")


def test_fit_validated_on_a_file(files, tmp_path, capsys):
    run(capsys, "fit", files / "text.csv", "-o", tmp_path / "m", "--rows", "users", *QUICK,
        "--validation", files / "text-held-out.csv")
    again = Recommender.load(tmp_path / "m").fit(load_ratings(files / "text.csv"),
                                                 validation=load_ratings(files / "text-held-out.csv"))
    assert again.validation_rmse_ == Recommender.load(tmp_path / "m").validation_rmse_


@pytest.mark.parametrize("none", ["0", "none"])
def test_fit_without_validation_in_one_batch_and_resumed(files, tmp_path, capsys, none):
    arguments = ["fit", files / "numbers.csv", "-o", tmp_path / "m", "--validation", none, "--biases", "no"]
    arguments += ["--checkpoint", tmp_path / "c"] + QUICK + ["--batch-size", 0, "--patience", 0]
    first, again = run(capsys, *arguments), run(capsys, *arguments)
    assert first == again and "validation" not in first[1]
    assert first[1].startswith("items as rows, weight 1.00: epoch 4 of 4, training RMSE ")
    model = Recommender.load(tmp_path / "m")
    assert (model.batch_size, model.patience, model.biases) == (None, None, False)


def test_a_closed_form_alone(files, tmp_path, capsys):
    ratings = load_ratings(files / "text.csv")
    run(capsys, "fit", files / "text.csv", "-o", tmp_path / "m", "--objective", "lists", "--network", "ease")
    again = Recommender(objective="lists", network="ease", progress=False).fit(ratings)
    found = run(capsys, "recommend", tmp_path / "m", "--user", "u3", "-n", 3)
    assert [line.split("\t")[-2] for line in found] == again.recommend("u3", 3).items.tolist()
    said = fails(capsys, "fit", files / "text.csv", "-o", tmp_path / "n", "--objective", "lists", "--network", "ease",
                 "--dtype", "float64")
    assert "--network ease has no --f, --g, --weight-scale, --dtype" in said


def test_the_defaults_that_help_shows_are_the_librarys(capsys):
    shown = dict(Recommender().get_params(), **Shallow()._asdict())
    del shown["choices"]  # which is no word of a command line
    assert {name for group in SETTINGS.values() for name, _, _ in group} == set(shown)
    with pytest.raises(SystemExit) as exit:
        command_line.main(["fit", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert exit.value.code == 0 and "auto: chosen by the number and spread of the ratings" in text
    assert "predictions: --rating-scale LOWEST HIGHEST default: lowest and highest of the ratings" in text
    shown["seed"], scale = shown.pop("rng"), shown.pop("rating_scale")
    assert scale is None
    for name, default in shown.items():
        if name == "progress":
            assert "--no-progress" in text
        else:
            default = "yes" if default is True else default
            assert re.search(r"--%s [^()]*\(default: %s\)" % (name.replace("_", "-"), default), text), name


@pytest.mark.parametrize("command", ["", "info", "compare", "fit", "tune", "recommend", "predict", "evaluate"])
def test_help_fits_80_columns(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit):
        command_line.main(command.split() + ["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("usage: python -m sparse_ae") and max(map(len, lines)) <= 80
    if command in ("compare", "fit", "tune"):  # each group's title has a line of its own
        assert [line[:-1] for line in lines if line[:-1] in SETTINGS] == [
            title for title in SETTINGS]


def test_pairs_that_come_twice_and_tables(files, tmp_path, capsys):
    twice = tmp_path / "twice.csv"
    twice.write_text((files / "text.csv").read_text() + "new,i100,1\nnew,i100,4\n")
    assert "come" in fails(capsys, "fit", twice, "-o", tmp_path / "m", *QUICK)
    arguments = ["fit", twice, "-o", tmp_path / "m", "--rows", "users", "--duplicates", "last", *QUICK]
    assert run(capsys, *arguments)[0] == "121 ratings from 1 to 5, 21 users, 12 items"
    table = tmp_path / "table.txt"
    rng = np.random.RandomState(0)
    values = np.where(rng.rand(20, 12) < 0.6, rng.randint(1, 6, (20, 12)), 99)
    np.savetxt(str(table), values, fmt="%d")
    lines = run(capsys, "fit", table, "-o", tmp_path / "m", "--rows", "users", "--missing", 99, *QUICK)
    assert lines[0] == "%d ratings from 1 to 5, 20 users, 12 items" % np.count_nonzero(values != 99)
    n = np.count_nonzero(values != 99)
    lines = run(capsys, "evaluate", tmp_path / "m", table, "--missing", 99, "-k", 0, said=WITHOUT_LISTS % (n, n))
    assert "n_trained: %d" % n in lines


@pytest.mark.parametrize("name", ["text", "numbers"])
@pytest.mark.parametrize("line, header", [
    ("%s,%s\n", "user,item\n"), ("%s\t%s\n", ""), ("%s::%s::3::7\n", ""), ("%s %s\n", "userId movieId\n"),
    ('"%s" ; "%s"\r\n'.replace(" ; ", ";"), "\n\ufeffuser;item\r\n".replace("\ufeff", ""))])
def test_predict_is_the_librarys(files, tmp_path, capsys, name, line, header):
    recommender = Recommender.load(files / (name + ".npz"))
    users, items = (["u3", "u9", "u3"], ["i100", "i111", "i104"]) if name == "text" else ([3, 9, 3], [100, 111, 104])
    pairs = tmp_path / "pairs.csv"
    pairs.write_bytes((header + "".join(line % pair for pair in zip(users, items)) + "\n").encode())
    expected = ["%s\t%s\t%.4f" % each for each in zip(users, items, recommender.predict(users, items))]
    assert run(capsys, "predict", files / (name + ".npz"), pairs) == expected
    assert run(capsys, "predict", files / (name + ".npz"), pairs, "--header") == ["user\titem\tpredicted"] + expected
    assert run(capsys, "predict", files / (name + ".npz"), pairs, "--csv") == [
        line.replace("\t", ",") for line in ["user\titem\tpredicted"] + expected]
    assert run(capsys, "predict", files / (name + ".npz"), "--user", users[0], "--item", items[0], items[2]) == [
        expected[0], expected[2]]


def test_pairs_are_read_as_ratings_are(tmp_path, capsys):
    """In Latin-1, with an id over two lines, which is quoted again: the same ids, and an error's line by its number."""
    ratings, pairs, model = tmp_path / "ratings.csv", tmp_path / "pairs.csv", tmp_path / "m"
    names = ["zo\xeb", '"a\nb"', "c"]
    ratings.write_bytes("".join("%s,i%d,%d\n" % (name, item, 1 + 4 * (k == item))
                                for k, name in enumerate(names) for item in range(3)).encode("latin-1"))
    run(capsys, "fit", ratings, "-o", model, *QUICK, "--validation", "none", "--rows", "users")
    pairs.write_bytes("".join("%s,i2\n" % name for name in names).encode("latin-1"))
    known = ["zo\xeb", "a\nb", "c"]
    assert Recommender.load(model).users_.tolist() == sorted(known)
    expected = "".join("%s\t%s\t%.4f\n" % each for each in
                       zip(names, ["i2"] * 3, Recommender.load(model).predict(known, ["i2"] * 3)))
    assert "\n".join(run(capsys, "predict", model, pairs)) + "\n" == expected
    pairs.write_bytes(pairs.read_bytes() + b"alone\n")
    assert "pairs.csv, line 5: found one column, 'alone'" in fails(capsys, "predict", model, pairs)


def test_clicks_from_fit_to_evaluate(tmp_path, capsys):
    clicks, model = tmp_path / "clicks.csv", tmp_path / "m"
    clicks.write_text("".join("u%d,i%d\n" % (user, item) for user in range(6) for item in range(4)
                              if (user + item) % 2) + "u0,i1\n")
    run(capsys, "fit", clicks, "-o", model, *QUICK, "--objective", "clicks", "--validation",
        "none", "--rows", "users")
    new = tmp_path / "new.csv"
    new.write_text("u0,i1\nu0,i2\nu1,i1\n")
    assert "n_trained: 1" in run(capsys, "evaluate", model, new, said=OF_FIT % (1, 3))
    new.write_text("u0,i2\nu1,i1\n")
    assert "n_trained: 0" in run(capsys, "evaluate", model, new)
    lines = run(capsys, "evaluate", model, clicks, said=OF_FIT % (12, 12))
    assert "n_trained: 12" in lines and not any(line.startswith(("rmse", "mae")) for line in lines), "scores to rank by"
    assert "seconds is 5.0; expected None: a limit needs objective='lists' or 'clicks'" in fails(
        capsys, "fit", clicks, "-o", model, *QUICK, "--objective", "clicks", "--rows", "users", "--seconds", 5)


def test_an_autoencoder_that_adds_nothing_to_lists(files, tmp_path, capsys, monkeypatch):
    """It is none of the blend's members, and is told with a weight of 0."""
    monkeypatch.setattr(BlendMeasure, "__call__", lambda self: 0.0)
    lines = run(capsys, "fit", files / "text.csv", "-o", tmp_path / "m", "--objective", "lists", *QUICK)
    told = [line for line in lines if " as rows, weight " in line]
    assert [line.split(" of ")[0] for line in told] == ["%s as rows, weight 0.00: epoch 0" % rows
                                                        for rows in ("users", "items")]
    assert lines[-1] == "saved to %s" % (tmp_path / "m")


def test_lists_from_fit_to_evaluate(tmp_path, capsys):
    train, test, model = tmp_path / "train.txt", tmp_path / "test.txt", tmp_path / "model"
    train.write_text("".join("%d %s\n" % (user, " ".join(str(item) for item in range(9) if (user + item) % 3))
                             for user in range(20)) + "20\n")
    test.write_text("".join("%d %d\n" % (user, 9 - user % 3 if user % 3 else 0) for user in range(20)))
    lines = run(capsys, "fit", train, "-o", model, *QUICK, "--lists", "--objective", "clicks",
                "--validation", "none", "--rows", "users")
    assert lines[0] == "120 pairs of 20 users and 9 items"
    lines = run(capsys, "evaluate", model, test, "--lists", "-k", 3)
    assert "n_ratings: 20" in lines and any(line.startswith("ndcg: ") for line in lines)
    assert fails(capsys, "fit", train, "-o", model, "--lists", "--missing", 0).endswith(
        "lists=True was given with missing=0.0; lists have users and items only: leave it out\n")


def test_lines_whose_rating_stands_for_none(tmp_path, capsys):
    path = tmp_path / "books.csv"
    path.write_text("User-ID;ISBN;Book-Rating\n" + "".join(
        "%d;%dX;%d\n" % (user, item, (user * item) % 6) for user in range(9) for item in range(8)))
    n = sum(1 for user in range(9) for item in range(8) if user * item % 6)
    lines = run(capsys, "fit", path, "-o", tmp_path / "m", "--rows", "users", "--missing", 0, "--no-progress",
                *QUICK)
    assert lines[0] == "%d ratings from 1 to 5, 7 users, 6 items" % n


@pytest.mark.parametrize("text, message", [
    ("u1,i100\n\nu2\n", "pairs, line 3: found one column, 'u2'; expected user and item"),
    ("user,item\n", "pairs holds a header and no pairs; expected user and item in each line"),
    ("", "pairs is empty"),
    ("u1,i100\nu2,\n", "pairs, line 2: the item is empty; expected an id"),
    ("u1,i100\nu2,%s\n" % ("i" * 200000), "pairs, line 2: field larger than field limit"),
])
def test_pairs_that_cannot_be_read(files, tmp_path, capsys, text, message):
    (tmp_path / "pairs").write_text(text)
    assert message in fails(capsys, "predict", files / "text.npz", tmp_path / "pairs")
    (tmp_path / "pairs").write_text("3,100\nann,100\n")
    assert "pairs, line 2: user ann: the ids of users in this model are numbers" in fails(
        capsys, "predict", files / "numbers.npz", tmp_path / "pairs")


def test_tune(files, tmp_path, capsys):
    arguments = ["tune", files / "text.csv", "-o", tmp_path / "m", "--seconds", 0, "--rows", "users", *QUICK]
    lines = run(capsys, *arguments)
    assert re.match(r"validation RMSE \d\.\d{4}, \d+\.\d s: the settings as given$", lines[0])
    assert lines[1] == "120 ratings from 1 to 5, 20 users, 12 items" and lines[-1] == "saved to %s" % (tmp_path / "m")
    found = Recommender.load(tmp_path / "m").predict("u3", ["i100", "i105"])
    run(capsys, "fit", *arguments[1:4], *arguments[6:])
    assert Recommender.load(tmp_path / "m").predict("u3", ["i100", "i105"]).tolist() == found.tolist()


def test_compare(files, capsys, monkeypatch):
    monkeypatch.setattr(commands, "_BETWEEN_REPORTS", 0.0)
    command_line.main(["compare", str(files / "text.csv"), "--seed", "1", "--test-fraction", "0.25", "--factors", "3",
                       *QUICK])
    printed = capsys.readouterr()
    assert "factorisation: epoch 1" in printed.err
    assert len(re.findall("(?m)^autoencoder, .*: epoch 1, training RMSE .* s so far", printed.err)) >= 3, printed.err
    lines = printed.out.splitlines()
    assert lines[0] == "120 ratings from 1 to 5, 20 users, 12 items; tested on 30 of them"
    assert lines[1].split() == ["test", "RMSE", "seconds"]
    table = {line[:28].strip(): [float(each) for each in line[28:47].split()] for line in lines[2:]}
    remarks = {line[:28].strip(): line[47:].strip() for line in lines[2:]}
    assert list(table) == ["biases", "factorisation", "autoencoder, items as rows", "autoencoder, users as rows",
                           "autoencoder, both"]
    ratings = load_ratings(files / "text.csv")
    split = split_ratings(ratings, 0.25, 1)
    biases = fit_biases(split.train)
    pairs = split.test.tocoo()
    expected = rmse(pairs.data, np.clip(predict_biases(biases, pairs.row, pairs.col), 1, 5))
    assert table["biases"][0] == pytest.approx(expected, abs=1e-4)
    recommender = Recommender(n_hidden=3, n_epochs=4, batch_size=8, network=Shallow(weight_scale=0.1),
                              learning_rate=0.02, l2=0.01, rows="users", rng=1, progress=False)
    recommender.fit(ratings.part(split.train))
    measures = recommender.evaluate(ratings.part(split.test), k=None)
    assert table["autoencoder, users as rows"][0] == pytest.approx(measures["rmse"], abs=1e-4)
    assert 0 < table["factorisation"][0] < 4
    alone = "biases alone: no autoencoder was clearly better on validation"
    assert remarks["autoencoder, users as rows"] == ("" if recommender.weights_["users"] else alone)
    assert remarks["autoencoder, both"].startswith("what fit takes") and remarks["biases"] == ""
    command_line.main(["compare", str(files / "text.csv"), "--biases", "no", "--no-progress", "--factors", "3", *QUICK])
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == 6 and lines[4].endswith("  what fit takes") and not lines[5].endswith("takes")
    assert printed.err == ""


def test_compare_says_what_fit_takes_and_what_fell_back(tmp_path, capsys, monkeypatch):
    """Ten thousand ratings for each item are too many, as of Jester's jokes; and noise has nothing to learn."""
    rng = np.random.RandomState(0)
    (tmp_path / "r.csv").write_text("".join("%d,%d,%d\n" % (user, item, rng.randint(1, 6))
                                            for user in range(60) for item in range(4)))
    monkeypatch.setattr("sparse_ae.recommender.defaults._MOST_PER_ROW", 40)
    monkeypatch.setattr(commands, "_BETWEEN_REPORTS", 1e6)
    table = run(capsys, "compare", tmp_path / "r.csv", "--factors", 2, *QUICK)
    assert [("what fit takes" in line, "biases alone" in line) for line in table[4:]] == [
        (False, True), (True, True), (False, True)]


def test_compare_needs_a_scale(files, tmp_path, capsys):
    (tmp_path / "alike.csv").write_text("".join("u%d,i%d,3\n" % (k // 5, k % 5) for k in range(25)))
    assert "rating_scale is (3.0, 3.0); expected two finite numbers" in fails(capsys, "compare", tmp_path / "alike.csv")


@pytest.mark.parametrize("name, users, item", [("text", ["u3", "u7"], "i%d"), ("numbers", ["3", "7"], "%d")])
def test_recommend_is_the_librarys(files, capsys, name, users, item):
    recommender = Recommender.load(files / (name + ".npz"))
    ids = users if name == "text" else [int(user) for user in users]
    one = recommender.recommend(ids[0], n=3)
    expected = ["%s\t%.4f" % pair for pair in zip(*one)]
    assert run(capsys, "recommend", files / (name + ".npz"), "--user", users[0], "-n", 3) == expected
    both = run(capsys, "recommend", files / (name + ".npz"), "--user", *users, "-n", 3)
    each = [part for user in users for part in ("--user", user)]
    assert run(capsys, "recommend", files / (name + ".npz"), *each, "-n", 3) == both
    assert both[:3] == [users[0] + "\t" + line for line in expected] and len(both) == 6
    asked = [files / (name + ".npz"), "-n", 3, "--header", "--user"]
    assert run(capsys, "recommend", *asked, *users) == ["user\titem\tscore"] + both
    assert run(capsys, "recommend", *asked, users[0]) == ["item\tscore"] + expected
    everybody = run(capsys, "recommend", files / (name + ".npz"), "--all", "-n", 3)
    assert set(both) < set(everybody) and [line.split("\t")[0] for line in everybody[::3]] == [
        str(user) for user in recommender.users_]
    assert run(capsys, "recommend", files / (name + ".npz"), "--all", "-n", 3, "--csv") == [
        line.replace("\t", ",") for line in ["user\titem\tscore"] + everybody]
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
    assert [line.split(":")[0] for line in lines] == ["rmse", "mae", "n_ratings", "n_unknown", "n_trained"]


def test_evaluate_numbers_where_ids_are_text(files, tmp_path, capsys):
    (tmp_path / "train.csv").write_text((files / "numbers.csv").read_text() + "ann,100,5\nbob,tea,1\n")
    run(capsys, "fit", tmp_path / "train.csv", "-o", tmp_path / "m", *QUICK)
    lines = run(capsys, "evaluate", tmp_path / "m", files / "numbers-held-out.csv", "-k", 0)
    assert lines[3] == "n_unknown: 1"


@pytest.mark.parametrize("arguments, message", [
    (["fit", "nowhere.csv", "-o", "{tmp}/m"], "there is no file nowhere.csv; check the path"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/no/m"], "there is no folder .*/no to write m to; create it first"),
    (["fit", "{files}/text.csv"], "the following arguments are required: -o/--output .*see .*fit --help"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--l2", "much"], "argument --l2: 'much'; expected a number or auto"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--n-hidden", "2.5"],
     "argument --n-hidden: '2.5'; expected a whole number or auto"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--missing", "none"], "invalid float value: 'none'"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--rows", "movies"], "argument --rows: invalid choice: 'movies'"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--l2", "-1"], "l2 is -1.0; expected"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--validation", "2"], "validation is 2.0; expected a number betw"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--validation", "nowhere"], "there is no file nowhere"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--rating-scale", "2", "3"],
     r"rating [15] is outside rating_scale=\(2, 3\)"),
    (["recommend", "{files}/text.csv", "--user", "u3"],
     "text.csv can't be read: .*expected a recommender of sparse_ae"),
    (["recommend", "{files}/text.npz", "--user", "u3", "stranger"], "the user 'stranger' had no rating in fit"),
    (["recommend", "{files}/numbers.npz", "--user", "3", "u4"],
     "user 3, u4: the ids of users in this model are numbers, such as 0"),
    (["predict", "{files}/numbers.npz", "--user", "1_0", "--item", "100"],
     "user 1_0: the ids of users in this model are numbers, such as 0"),
    (["predict", "{files}/numbers.npz", "--user", "3", "--item", "0100", "100"], "item 0100, 100: the ids of items"),
    (["recommend", "{files}/numbers.npz", "--user", "\N{ARABIC-INDIC DIGIT THREE}"], "the ids of users in this model"),
    (["recommend", "{files}/numbers.npz", "--user", "3", "--items", "tea"],
     "item tea: the ids of items in this model are numbers"),
    (["recommend", "{files}/text.npz", "--user", "u3", "--items", "stock.csv"], "none of the items 'stock.csv' had"),
    (["evaluate", "{files}/numbers.npz", "{files}/text.csv"], "users are strings such as 'u0'; expected numbers"),
    (["predict", "{files}/text.npz"], "predict takes a file of pairs, or --user and --item; expected one of the two"),
    (["predict", "{files}/text.npz", "pairs.csv", "--user", "u3"], "predict takes a file of pairs, or --user and"),
    (["predict", "{files}/text.npz", "--user", "u3"], "predict takes a file of pairs, or --user and --item"),
    (["predict", "{files}/numbers.npz", "--user", "u3", "--item", "100"], "user u3: the ids of users in this model"),
    (["tune", "{files}/text.csv", "-o", "{tmp}/m", "--seconds", "-1"], "seconds is -1.0; expected a finite number"),
    (["compare", "{files}/text.csv", "--test-fraction", "1.5"],
     "test_fraction is 1.5; expected a number between 0 and 1"),
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


@pytest.mark.parametrize("error, status, said", [
    (MemoryError(), 2, "error: not enough memory"),
    (RuntimeError("rank 1: the disk is full"), 2, "rank 1: the"),
    (KeyboardInterrupt(), 130, "python -m sparse_ae: interrupted")])
def test_any_end_is_one_line(files, monkeypatch, capsys, error, status, said):
    def fail(path):
        raise error

    monkeypatch.setattr(Recommender, "load", fail)
    with pytest.raises(SystemExit) as exit:
        command_line.main(["recommend", str(files / "text.npz"), "--user", "u3"])
    err = capsys.readouterr().err
    assert exit.value.code == status and said in err and err.count("\n") == 1


def test_ids_that_hold_tabs_and_line_ends(tmp_path, capsys):
    ratings, model = tmp_path / "ratings.csv", tmp_path / "m"
    ratings.write_text("".join('%s,"i\t%d",%d\n' % (user, item, 1 + item % 2 * 4) for user in ("a", '"b ""x"""')
                               for item in range(4)))
    run(capsys, "fit", ratings, "-o", model, *QUICK, "--validation", "none", "--rows", "users")
    lines = run(capsys, "predict", model, "--user", 'b "x"', "--item", "i\t1")
    assert re.fullmatch(r'b "x"\t"i\t1"\t\d\.\d{4}', lines[0])


def test_without_theano(files, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sparse_ae.recommender.recommender", None)
    assert "sparse_ae.recommender.recommender" in fails(capsys, "recommend", files / "text.npz", "--user", "u3")


def test_the_ratings_are_not_written_over(files, tmp_path, capsys):
    path = tmp_path / "ratings.csv"
    path.write_bytes((files / "text.csv").read_bytes())
    assert "ratings.csv exists, and isn't a sound file of sparse_ae" in fails(capsys, "fit", path, "-o", path)
    assert path.read_bytes() == (files / "text.csv").read_bytes()


def test_weight_decay_of_W_and_of_V(files, tmp_path, capsys):
    run(capsys, "fit", files / "text.csv", "-o", tmp_path / "two.npz", *QUICK, "--l2", "0.5", "0.25")
    model = Recommender.load(tmp_path / "two.npz")
    assert model.l2 == (0.5, 0.25) and (model.model_.l2_W, model.model_.l2_V) == (0.5, 0.25)
    assert "l2 is (1.0, 2.0, 3.0)" in fails(capsys, "fit", files / "text.csv", "-o", tmp_path / "three.npz",
                                            "--l2", "1", "2", "3")


def test_a_reader_that_has_had_enough():
    """As head has, after some lines."""
    end, start = os.pipe()
    os.close(end)
    found = subprocess.run([sys.executable, "-m", "sparse_ae"], stdout=start, stderr=subprocess.PIPE)
    os.close(start)
    assert (found.returncode, found.stderr) == (1, b"")


@pytest.mark.parametrize("redirection, said", [
    (">&-", "python -m sparse_ae: error: stdout is closed, where results are printed; open it, or redirect it to "
            "/dev/null\n"), (">&- 2>&-", "")])
def test_nowhere_to_print_to(redirection, said):
    found = subprocess.run('"%s" -m sparse_ae --help %s' % (sys.executable, redirection), shell=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert (found.returncode, found.stdout, found.stderr) == (2, "", said)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full is Linux's")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_stdout(unbuffered):
    found = subprocess.run('"%s" -m sparse_ae > /dev/full' % sys.executable, shell=True, stderr=subprocess.PIPE,
                           universal_newlines=True, env=dict(os.environ, PYTHONUNBUFFERED=unbuffered))
    assert found.returncode == 2 and found.stderr.count("\n") == 1
    assert found.stderr.startswith("python -m sparse_ae: error: [Errno 28]")


def test_small_scales_have_digits(tmp_path, capsys):
    rng = np.random.RandomState(0)
    values = (1 + np.arange(20)[:, np.newaxis] / 10 + rng.rand(20, 8)) * 1e-6
    (tmp_path / "r.csv").write_text("".join("%d,%d,%.9g\n" % (u, i, values[u, i]) for u in range(20) for i in range(8)))
    lines = run(capsys, "fit", tmp_path / "r.csv", "-o", tmp_path / "m", "--rows", "users", *QUICK)
    errors = Recommender.load(tmp_path / "m").validation_rmse_
    assert lines[1].endswith("biases %.4g, users %.4g" % (errors["biases"], errors["users"])) and "e-07" in lines[1]
    for arguments in (("recommend", tmp_path / "m", "--user", 3, "--include-seen"),
                      ("predict", tmp_path / "m", tmp_path / "r.csv")):
        scores = [line.split("\t")[-1] for line in run(capsys, *arguments)]
        assert all(re.fullmatch(r"0\.00000\d{5}", score) for score in scores) and len(set(scores)) > 5
    lines = run(capsys, "evaluate", tmp_path / "m", tmp_path / "r.csv", said=OF_FIT % (160, 160))
    assert re.fullmatch(r"rmse: \d\.\d+e-07", lines[0])


def test_version(capsys):
    with pytest.raises(SystemExit) as exit:
        command_line.main(["--version"])
    assert exit.value.code == 0 and capsys.readouterr().out == "sparse_ae %s\n" % sparse_ae.__version__
