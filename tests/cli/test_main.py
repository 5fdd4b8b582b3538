"""The command line: a thin cover over the recommender, errors in one line and with status 2."""
import argparse
import os
import re
import runpy
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import MagicMock, Mock

import numpy as np
import pytest

import sparse_ae
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.cli import commands, main as command_line
from sparse_ae.cli.settings import COMMANDS, SETTINGS, add_commands, load, recommender_of, validation_of
from sparse_ae.data.load import load_ratings
from sparse_ae.data.splits import split_ratings
from sparse_ae.evaluation.metrics import rmse
from sparse_ae.recommender.recommender import Recommender

QUICK = ["--n-hidden", "3", "--n-epochs", "4", "--batch-size", "8", "--learning-rate", "0.02", "--l2", "0.01"]

# What the library says on stderr while it works.
SIGNS = ("Compiling the ", "validation RMSE (", "validation: ", "validation ndcg@10: ", "items as rows",
         "users as rows", "biases: ", "to train: ", "to fit: ",
         "predictions use ", "rankings use ", "Ratings are predicted by ", "Items are ranked by ")


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


def fails(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        command_line.main([str(argument) for argument in arguments])
    out, err = captured(capsys)
    assert exit.value.code == 2 and out == "" and err.count("\n") == 1
    return err


# What options say


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_commands(parser)
    return parser.parse_args([str(argument) for argument in arguments])


@pytest.mark.parametrize("options, settings", [
    ([], {}), (["--seed", 3], dict(rng=3)), (["--rows", "users"], dict(rows="users")),
    (["--update", "adagrad", "--learning-rate", 0.02, "--n-epochs", 4], dict(update="adagrad", learning_rate=0.02,
                                                                             n_epochs=4)),
    (["--unknown", 2.5, "--rating-scale", 0, 6], dict(unknown=2.5, rating_scale=(0, 6))),
    (["--unknown", "error"], dict(unknown="error")),
    (["--biases", "no", "--batch-size", 0, "--patience", 0], dict(biases=False, batch_size=None, patience=None)),
    (["--biases", "unguarded", "--no-progress"], dict(biases="unguarded", progress=False)),
    (["--formulation", "sparse", "--n-hidden", 3, "--batch-size", 8], dict(formulation="sparse", n_hidden=3,
                                                                           batch_size=8)),
    (["--l2", 0.5], dict(l2=0.5)), (["--l2", 0.5, 0.25], dict(l2=(0.5, 0.25))), (["--l2", "auto"], {}),
    (["--objective", "lists", "--network", "ease"], dict(objective="lists", network="ease"))])
def test_settings_are_the_librarys(options, settings):
    found = recommender_of(parsed("fit", "r", "-o", "m", *options)).get_params()
    assert found == Recommender(**settings).get_params()


@pytest.mark.parametrize("options, given", [
    ([], dict(validation="auto", checkpoint=None, resume=False, refit=True, seconds=None, fits="auto")),
    (["--validation", "0"], dict(validation=None)), (["--validation", "none"], dict(validation=None)),
    (["--validation", 0.2, "--no-refit", "--fits", 3], dict(validation=0.2, refit=False, fits=3)),
    (["--checkpoint", "c", "--seconds", 5], dict(checkpoint="c", resume=True, seconds=5.0))])
def test_fit_is_the_librarys(files, tmp_path, monkeypatch, options, given):
    fit = Mock(return_value=Mock(interrupted_=False))
    monkeypatch.setattr(Recommender, "fit", fit)
    monkeypatch.setattr(commands, "_say_what_was_chosen", Mock())
    command_line.main(["fit", str(files / "text.csv"), "-o", str(tmp_path / "m")] + list(map(str, options)))
    (ratings,), found = fit.call_args
    assert ratings.matrix.nnz == 120 and {name: found[name] for name in given} == given


@pytest.mark.parametrize("content, options, n", [
    ("User-ID;ISBN;Book-Rating\n1;2X;0\n3;4;5\n", ["--missing", 0], 1),
    ("user,item\nu0,i1\nu0,i1\nu1,i1\n", ["--objective", "clicks"], 2),  # the sum of pairs that come twice
    ("1 2 3\n4 5\n", ["--objective", "clicks", "--lists"], 3)])
def test_ratings_are_read_as_options_say(tmp_path, content, options, n):
    path = tmp_path / "r.csv"
    path.write_text(content)
    given = parsed("fit", path, "-o", "m", "--no-progress", *options)
    given.validation = str(path)
    assert load(given).matrix.nnz == validation_of(given).matrix.nnz == n


@pytest.mark.parametrize("errors, lists, missing, weight, first, last", [
    ({"biases": 1.0, "users": 0.9}, None, None, 1.0,
     ["validation RMSE (known users and items): biases 1.0000, users as rows 0.9000 (chosen by these "
      "figures: judge by others)"],
     "Ratings are predicted by biases and users as rows: RMSE 0.9000 on the held-out ratings that chose them, 1.0000 "
     "by biases alone"),
    ({}, None, None, 0.0, [], "Ratings are predicted by biases alone: no model could be judged"),
    (None, None, None, 1.0, [], "Ratings are predicted by biases and users as rows; no ratings were held out to judge "
                                "them by"),
    (None, {"popular": 0.1, "users": 0.2}, 0.0, 1.0,
     ["validation ndcg@10: popular 0.1000, users as rows 0.2000 (chosen by these figures: judge by others)"],
     "Items are ranked by users as rows: ndcg@10 0.2000 on the held-out ratings that chose it, 0.1000 by popularity "
     "alone"),
    (None, {"popular": 3e-4}, 0.0, 0.0, ["validation ndcg@10: popular 0.0003"],
     "Items are ranked by popularity alone (ndcg@10 0.0003 on held-out ratings): no model is clearly better"),
    ({"biases": 1.0}, None, 0.0, 0.0, ["validation RMSE (known users and items): biases 1.0000"],
     "Items are ranked by popularity alone: no model is clearly better")])
def test_what_was_chosen_is_told(errors, lists, missing, weight, first, last, capsys):
    recommender = MagicMock(validation_rmse_=errors, validation_lists_=lists, missing_rating_=missing,
                            measure="ndcg@10", weights_={"users": weight}, rating_scale_=(1, 5), takes_counts=False)
    recommender.__str__.return_value = "Recommender()\nusers as rows: n_hidden=3"
    commands._say_what_was_chosen(recommender, Mock(**{"matrix.nnz": 3, "matrix.shape": (2, 4)}), "m")
    assert capsys.readouterr().out.splitlines() == [
        "3 ratings from 1 to 5, 2 users, 4 items", *first, "users as rows: n_hidden=3", last, "saved to m"]


def test_the_defaults_that_help_shows_are_the_librarys(capsys):
    shown = Recommender().get_params()
    del shown["choices"]  # which is no word of a command line
    assert {name for group in SETTINGS.values() for name, _, _ in group} == set(shown)
    with pytest.raises(SystemExit) as exit:
        command_line.main(["fit", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert exit.value.code == 0 and "predictions: --rating-scale LOWEST HIGHEST default: lowest and" in text
    page, = re.findall(r"docs/\S+\.md", text)
    assert (Path(__file__).parents[2] / page).is_file()
    shown["seed"], shown["biases"] = shown.pop("rng"), "yes"
    for name in set(shown) - {"rating_scale", "progress"}:
        assert re.search(r"--%s [^()]*\(default: %s\)" % (name.replace("_", "-"), shown[name]), text), name


@pytest.mark.parametrize("command", ["", "info", *COMMANDS])
def test_help_fits_80_columns(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit):
        command_line.main(command.split() + ["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("usage: python -m sparse_ae") and max(map(len, lines)) <= 80
    assert not command or any(line.startswith("example: python -m sparse_ae " + command) for line in lines)
    if command == "fit":  # the options that most people need come first
        first = re.search("(?s)option(?:s|al arguments):(.*)reading files:", " ".join(lines)).group(1)
        assert re.findall(r" (--[a-z-]+)", first.replace("--objective lists", "")) == [
            "--help", "--output", "--user-column", "--item-column", "--rating-column", "--seconds", "--objective"]


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
    assert run(capsys, "predict", files / (name + ".npz"), pairs, "--csv") == [
        line.replace("\t", ",") for line in ["user\titem\tpredicted"] + expected]
    assert run(capsys, "predict", files / (name + ".npz"), "--user", users[0], "--item", items[0], items[2]) == [
        expected[0], expected[2]]


@pytest.mark.parametrize("text, message", [
    ("u1,i100\n\nu2\n", "pairs, line 3: found 1 columns; expected 2, as on the first line"),
    ("user,item\n", "pairs has a header and no pairs"),
    ("item,users,user\ni100,u1,u2\n", "line 1: ratings have several columns for the user: 'users', 'user'"),
    ("", "pairs is empty"),
    ("u1,i100\nu2,\n", "pairs, line 2: the item is empty; expected an id"),
    ('u1,i100\nu2,"%s"x\n' % ("i" * 200000), "pairs, line 2: field larger than field limit"),
])
def test_pairs_that_cannot_be_read(files, tmp_path, capsys, text, message):
    (tmp_path / "pairs").write_text(text)
    assert message in fails(capsys, "predict", files / "text.npz", tmp_path / "pairs")
    (tmp_path / "pairs").write_text("3,100\nann,100\n")
    assert "pairs, line 2: user ann: the ids of users in this model are numbers" in fails(
        capsys, "predict", files / "numbers.npz", tmp_path / "pairs")


UNKNOWN = ("%d of %d pairs have a user or an item without a rating in fit, such as user %s, item %s: check the ids, "
           "and the order of the columns\n")


@pytest.mark.parametrize("text, n, said", [
    ("item,when,user\ni100,web,u3\ni104,app,u9\n", 2, ""),
    ("u,i\nu3,i100\nu9,i104\n", 3, UNKNOWN % (1, 3, "u", "i")),
    ("u3,i100,web\nu9,i104,app\n", 2, ""),
    ("u3,i100,1,2,3,4\nu9,i104,1,2,3,4\n", 2, ""),
    ("u3,i100\nu9,i104\nx,i104\nu3,y\n", 4, UNKNOWN % (2, 4, "x", "i104"))])
def test_pairs_are_read_as_fit_reads_them(files, tmp_path, capsys, text, n, said):
    pairs, recommender = tmp_path / "pairs", Recommender.load(files / "text.npz")
    pairs.write_text(text)
    lines = run(capsys, "predict", files / "text.npz", pairs, said=said)
    assert len(lines) == n
    for user, item in (("u3", "i100"), ("u9", "i104")):
        assert "%s\t%s\t%.4f" % (user, item, recommender.predict(user, item)) in lines
    run(capsys, "predict", files / "text.npz", "--user", "x", "--item", "i100",
        said=UNKNOWN % (1, 1, "x", "i100"))


@pytest.mark.parametrize("name, users, item", [("text", ["u3", "u7"], "i%d"), ("numbers", ["3", "7"], "%d")])
def test_recommend_is_the_librarys(files, capsys, name, users, item):
    recommender = Recommender.load(files / (name + ".npz"))
    ids = users if name == "text" else [int(user) for user in users]
    one = recommender.recommend(ids[0], n=3)
    expected = ["%s\t%.4f" % pair for pair in zip(*one)]
    assert run(capsys, "recommend", files / (name + ".npz"), "--user", users[0], "-n", 3) == expected
    each = [part for user in users for part in ("--user", user)]
    both = run(capsys, "recommend", files / (name + ".npz"), *each, "-n", 3)
    assert both[:3] == [users[0] + "\t" + line for line in expected] and len(both) == 6
    found = run(capsys, "recommend", files / (name + ".npz"), "-n", 3, "--header", "--user", users[0])
    assert found == ["item\tscore"] + expected
    everybody = run(capsys, "recommend", files / (name + ".npz"), "--all", "-n", 3, "--csv")
    assert {line.replace("\t", ",") for line in both} < set(everybody) and everybody[0] == "user,item,score"
    assert [line.split(",")[0] for line in everybody[1::3]] == [str(user) for user in recommender.users_]
    some = [item % k for k in range(100, 105)]
    found = run(capsys, "recommend", files / (name + ".npz"), "--user", users[0], "--include-seen", "--items", *some)
    assert sorted(line.split("\t")[0] for line in found) == some


@pytest.mark.parametrize("name", ["text", "numbers"])
def test_evaluate_is_the_librarys(files, capsys, name):
    recommender = Recommender.load(files / (name + ".npz"))
    measures = recommender.evaluate(load_ratings(files / (name + "-held-out.csv")), k=4, relevant=3)
    said = "1 of %d held-out ratings have a user or an item without a rating in fit\n" % measures["n_ratings"]
    lines = run(capsys, "evaluate", files / (name + ".npz"), files / (name + "-held-out.csv"), "-k", 4, "--relevant", 3,
                said=said)
    assert lines == ["%s: %s" % (key, value if key.startswith("n_") else "%.4f" % value)
                     for key, value in measures.items()]
    assert measures["n_unknown"] == 1 and measures["precision"] > 0
    lines = run(capsys, "evaluate", files / (name + ".npz"), files / (name + "-held-out.csv"), "-k", 0, said=said)
    assert [line.split(":")[0] for line in lines] == ["rmse", "mae", "n_ratings", "n_unknown", "n_trained"]


def test_without_a_command_the_first_ones_are_told(capsys):
    told = run(capsys)
    assert [line.split()[3] for line in told[1:4]] == ["fit", "recommend", "evaluate"]
    assert "sparse_ae: " + sparse_ae.__version__ in told
    for line in told[1:4]:
        assert parsed(*line.split()[3:]).command == line.split()[3]


@pytest.mark.parametrize("name", ["text", "numbers"])
def test_report_is_the_librarys(files, tmp_path, monkeypatch, capsys, name):
    model, held_out, page = files / (name + ".npz"), files / (name + "-held-out.csv"), tmp_path / "r.html"
    (tmp_path / "items.csv").write_text("item;name\n" + "".join("%s%d;Nr. %d\n" % ("i" * (name == "text"), k, k)
                                                               for k in range(100, 112)))
    arguments = ["report", model, "--test", held_out, "-o", page, "--titles", tmp_path / "items.csv", "-k", 4]
    assert run(capsys, *arguments) == ["saved to %s" % page]
    monkeypatch.setattr("sparse_ae.recommender.report._FEWEST", 2)
    run(capsys, *arguments)  # the older one is replaced
    text = page.read_text(encoding="utf-8")
    recommender, ratings = Recommender.load(model), load_ratings(held_out)
    assert text == recommender.report(ratings, {item: "Nr. %s" % str(item)[-3:] for item in recommender.items_}, 4,
                                      "%s.npz, tested on %s-held-out.csv" % (name, name)).html
    found = recommender.evaluate(ratings, k=4)
    assert " 1 of the {:,} ratings are of a person or an item that the model".format(found["n_ratings"]) in text
    assert "off by %.2f on average</b> on a scale from 1 to 5" % found["mae"] in text and "<bdi>Nr. 104</bdi>" in text
    assert text.index("<td>%.3f<small>" % found["mae"]) < text.index("<td>%.3f<small>" % found["rmse"])


@pytest.mark.parametrize("arguments, message", [
    (["fit", "nowhere.csv", "-o", "{tmp}/m"], "there is no file nowhere.csv; check the path"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/no/m"], "there is no folder .*/no to write m to; create it first"),
    (["fit", "{files}/text.csv"], r"missing: -o/--output \(the file to write, such as model.npz\); .*see .*fit --help"),
    (["recommend", "--user", "u3", "{files}/text.npz"],
     r"missing: model \(a file that fit has written\); give files first, then options"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--n-hiden", "4"],
     r"there is no option or argument --n-hiden: did you mean --n-hidden\? .*fit --help"),
    (["compare", "{files}/text.csv", "--objective", "lists"], r"there is no option or argument --objective \(see"),
    (["compare", "{files}/text.csv", "factors.csv"], r"there is no option or argument factors.csv \(see"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--objective", "click"], "invalid choice: .*: did you mean clicks"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--l2", "much"], "l2 is 'much'; expected a number"),
    (["fit", "{files}/text.csv", "-o", "{tmp}/m", "--rows", "movies"], "argument --rows: invalid choice: 'movies'"),
    (["recommend", "{files}/text.csv", "--user", "u3"],
     "text.csv is no file of sparse_ae, or incomplete; expected a recommender"),
    (["recommend", "{files}/numbers.npz", "--user", "3", "u4"],
     "user 3, u4: the ids of users in this model are numbers, such as 0"),
    (["predict", "{files}/numbers.npz", "--user", "3", "--item", "0100", "100"], "item 0100, 100: the ids of items"),
    (["recommend", "{files}/numbers.npz", "--user", "\N{ARABIC-INDIC DIGIT THREE}"], "the ids of users in this model"),
    (["recommend", "{files}/text.npz", "--user", "u3", "--items", "stock.csv"], "none of the items, such as 'st"),
    (["recommend", "{files}/text.npz", "--user", "u3", "--all"], "recommend takes --user ID ... or --all; expected"),
    (["predict", "{files}/text.npz", "pairs.csv", "--user", "u3"], "predict takes a file of pairs, or --user and"),
    (["report", "{files}/text.npz", "-o", "{tmp}/r"], r"missing: --test \(a file of ratings that were not"),
    (["report", "{files}/text.npz", "--test", "{files}/text-held-out.csv", "-o", "{tmp}/r", "-k", "x"], "k is 'x'"),
    (["report", "{files}/text.npz", "--test", "nowhere.csv", "-o", "{tmp}/r"], "there is no file nowhere.csv"),
    (["report", "none.npz", "--test", "none.csv", "-o", "{files}/text.csv"], "text.csv exists, and isn't a report"),
    (["report", "{files}/text.npz", "--test", "{files}/text-held-out.csv", "-o", "{tmp}/r", "--titles",
      "{files}/text.csv"], "text.csv has the columns user, rating beside the ids; expected one with title or name"),
    (["fit", "{files}/text.csv", "-o", "{files}/text.csv"], "text.csv exists, and isn't a sound file of sparse_ae"),
    (["frobnicate"], "invalid choice: 'frobnicate'"),
])
def test_errors_are_one_line(files, tmp_path, capsys, arguments, message):
    err = fails(capsys, *[argument.format(files=files, tmp=tmp_path) for argument in arguments])
    assert re.search("python -m sparse_ae.*: error: .*" + message, err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error, status, said", [
    (MemoryError(), 2, "error: not enough memory"), (ImportError("no theano"), 2, "error: no theano"),
    (ArithmeticError("the loss is inf"), 2, "error: the loss is inf"),
    (UnicodeEncodeError("ascii", "zo\xeb", 2, 3, "ordinal not in range"), 2,
     "stdout takes ascii only, which has no '\xeb'; set PYTHONIOENCODING=utf-8"),
    (KeyboardInterrupt(), 130, "python -m sparse_ae: interrupted")])
def test_any_end_is_one_line(files, monkeypatch, capsys, error, status, said):
    monkeypatch.setattr(Recommender, "load", Mock(side_effect=error))
    with pytest.raises(SystemExit) as exit:
        command_line.main(["recommend", str(files / "text.npz"), "--user", "u3"])
    err = capsys.readouterr().err
    assert exit.value.code == status and said in err and err.count("\n") == 1


def test_ctrl_c_while_theano_tidies_its_cache_at_exit():
    program = ("import atexit, os, runpy, signal, sys; atexit.register(os.kill, os.getpid(), signal.SIGINT); "
               "sys.argv[1:] = ['--version']; runpy.run_module('sparse_ae', run_name='__main__')")
    found = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (found.returncode, found.stderr) == (-signal.SIGINT, b"")


def test_as_a_module_in_a_thread(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sparse_ae", "--version"])
    with ThreadPoolExecutor(1) as pool, pytest.raises(SystemExit):
        pool.submit(runpy.run_module, "sparse_ae", run_name="__main__").result()
    assert capsys.readouterr().out.startswith("sparse_ae ")


def test_what_ctrl_c_leaves_of_a_fit_is_told(files, tmp_path, monkeypatch, capsys):
    """As long as nothing is trained; tests/test_terminal.py has the rest."""
    (tmp_path / "c.npz").write_bytes(b"")
    monkeypatch.setattr(Recommender, "fit", Mock(side_effect=KeyboardInterrupt))
    for options, more in (([], ""), (["--checkpoint", str(tmp_path / "c.npz")],
                                     "; the same command continues from %s" % (tmp_path / "c.npz"))):
        with pytest.raises(SystemExit) as exit:
            command_line.main(["fit", str(files / "text.csv"), "-o", str(tmp_path / "m.npz")] + options)
        assert exit.value.code == 130
        assert capsys.readouterr().err == "python -m sparse_ae: interrupted; no model was saved%s\n" % more
    (tmp_path / "m.interrupted.npz").write_text("notes of my own")
    assert "m.interrupted.npz exists, and isn't a sound file of sparse_ae" in fails(
        capsys, "fit", files / "text.csv", "-o", tmp_path / "m.npz")


def test_a_reader_that_has_had_enough():
    """As head has, after some lines."""
    end, start = os.pipe()
    os.close(end)
    found = subprocess.run([sys.executable, "-m", "sparse_ae"], stdout=start, stderr=subprocess.PIPE)
    os.close(start)
    assert (found.returncode, found.stderr) == (1, b"")


# From a file to a model and back


def test_a_model_that_diverges_leaves_the_others_in_the_table(files, monkeypatch, capsys):
    monkeypatch.setattr(Recommender, "fit", Mock(side_effect=ArithmeticError("the loss is nan")))
    monkeypatch.setattr(commands, "_N_FACTORS", 3)
    lines = run(capsys, "compare", files / "text.csv", "--no-progress")
    assert [line[28:37].strip() == "nan" and line.endswith("  training diverged") for line in lines[2:]] == [
        False, False, True]


def test_clicks_from_fit_to_evaluate(tmp_path, capsys):
    clicks, model, new = tmp_path / "clicks.txt", tmp_path / "m", tmp_path / "new"
    clicks.write_text("".join("%d %s\n" % (user, " ".join(str(item) for item in range(4) if (user + item) % 2))
                              for user in range(6)))
    lines = run(capsys, "fit", clicks, "-o", model, "--lists", "--objective", "clicks", "--network", "ease")
    assert lines[0] == "12 pairs of 6 users and 4 items"
    new.write_text("0 1\n0 2\n1 1\n")
    lines = run(capsys, "evaluate", model, new, "--lists", said=OF_FIT % (1, 3))
    assert "n_trained: 1" in lines and not any(line.startswith(("rmse", "mae")) for line in lines), "scores to rank by"
    assert lines[0].startswith("ndcg: 0.")
    assert run(capsys, "evaluate", model, new, "--lists", "-k", 0, said=OF_FIT % (1, 3)) == lines
    run(capsys, "report", model, "--test", new, "-o", tmp_path / "r.html", "--lists", "-k", 2, said=(
        "1 of 3 pairs were used in fit, and are left out: the report is about items that are new to the user\n"))
    by_hand = Recommender.load(model).report(([0, 1], [2, 1], [1, 1]), k=2, heading="m, tested on new").html
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == by_hand
    counts = [0, 1, 1, 2], [0, 1, 1, 2], [40, 20, 20, 39]  # a pair counts in total
    for relevant, n_users in ((39, 3), (40, 2), (41, 0)):
        assert Recommender.load(model).evaluate(counts, relevant=relevant)["n_users"] == n_users
    new.write_text("user,item,quantity\n0,0,40\n1,1,3\n")
    assert "n_users: 1" in run(capsys, "evaluate", model, new, "--relevant", 40)
    whole, pairs = Recommender.load(model).partial_fit(([0, 1], [0, 1], [40, 3])), np.divmod(np.arange(24), 4)
    assert run(capsys, "update", model, new, "-o", model, said="new ratings: 2, new users: 0, new items: 0\n") == [
        "saved to %s" % model]
    assert Recommender.load(model).predict(*pairs).tolist() == whole.predict(*pairs).tolist()
    new.write_text("user,item,quantity\n0,0,-50\n")
    run(capsys, "update", model, new, "-o", model, "--returns", "drop", said=(
        "new ratings: 1, new users: 0, new items: 0\n"
        "1 pairs of user and item are left out, since their counts add up to 0 or less\n"))
    assert 0 in Recommender.load(model).recommend(0, n=4).items and 0 not in whole.recommend(0, n=4).items


def test_orders_that_were_seen_are_not_added_twice(tmp_path, capsys):
    orders, model = tmp_path / "orders.csv", tmp_path / "m"
    orders.write_text("user,item,date\n" + "".join(
        "%d,%d,2024-05-0%d\n" % (k, k * k % 7, k % 3 + 1) for k in range(20)))
    run(capsys, "fit", orders, "-o", model, "--objective", "clicks", "--network", "ease", "--validation", "none",
        "--no-progress")
    orders.write_text("user,item,date\n1,4,2024-05-03 08:00\n3,5,2024-05-03\n3,5,2024-05-05\n")
    before = model.read_bytes()
    assert ("orders.csv: 1 of 3 orders are of 2024-05-03 or before, the last time that %s has seen, such as user 3, "
            "item 5; leave them out, since counts are added up, or pass --again if they are new\n" % model) in fails(
        capsys, "update", model, orders, "-o", model) and model.read_bytes() == before
    run(capsys, "update", model, orders, "-o", model, "--again")
    assert "3 of 3 orders are of 2024-05-05 or before" in fails(capsys, "update", model, orders, "-o", model)
    orders.write_text("user,item,date\n1,4,2024-05-06\n")
    run(capsys, "update", model, orders, "-o", model)


def test_ids_without_their_zeros_and_quantities_as_items_get_a_hint(tmp_path, capsys):
    orders, model = tmp_path / "orders.csv", tmp_path / "m"
    arguments = ["fit", orders, "-o", model, "--objective", "clicks", "--network", "ease", "--validation", "none"]
    orders.write_text("user,item\n" + "".join("0%d,0%d\n" % (k, k * k % 7) for k in range(20)))
    run(capsys, *arguments, "--no-progress")
    fitted = Recommender.load(model).set_params(progress=True)
    for call, said in ((lambda: fitted.recommend("7"), "user '7' had no rating in fit, where '07' is"),
                       (lambda: fitted.recommend("07", items=["4"]), "such as '4', .*where '04' is k"),
                       (lambda: fitted.explain("07", "4"), "item '4' had no .*, where '04' is known"),
                       (lambda: fitted.recommend(7), "such as 7; expected .*, where '07' is known")):
        with pytest.raises((TypeError, ValueError), match=said):
            call()
    fitted.recommend(["7", "07"])
    assert "1 of 2 users had no rating in fit, such as '7', where '07' is known, and" in capsys.readouterr().err
    assert run(capsys, "recommend", model, "--user", "7", said=(
        "1 of 1 users had no rating in fit, such as '7', where '07' is known, and get the most popular items\n"))
    assert run(capsys, "predict", model, "--user", "007", "--item", "04", said=(
        "1 of 1 pairs have a user or an item without a rating in fit, such as user 007, item 04, where '07' is known: "
        "check the ids, and the order of the columns\n"))
    orders.write_text("user,item\n" + "".join("%d,%s\n" % (k, "-1.0 1.0 2.0".split()[k % 3]) for k in range(20)))
    capsys.readouterr()
    command_line.main(list(map(str, arguments)))
    assert ("the 3 items are numbers such as -1.0: if they are quantities or prices, pass the column of items by item= "
            "of load_ratings (--item-column)\n") in capsys.readouterr().err


def test_ids_of_digits_in_one_file_and_text_in_another(tmp_path, capsys):
    """SKUs of digits and one A7, which orders have and the other files don't; and the other way."""
    skus = [*map(str, range(100, 130)), "A7"]

    def written(name, header, lines):
        (tmp_path / name).write_text(header + "\n" + "".join(lines))
        return tmp_path / name

    def orders(name, skus, first=0):
        return written(name, "user,item", ["%d,%s\n" % (k, sku) for k in range(first, 25) for sku in skus[k % 5::3]])

    def articles(name, skus):
        return written(name, "item,kind", ["%s,%s\n" % (sku, "ab"[k % 2]) for k, sku in enumerate(skus)])

    model, quiet = tmp_path / "m", ["-o", tmp_path / "m", "--network", "ease", "--no-progress", "--objective", "clicks"]
    digits, few = articles("digits.csv", skus[:-1]), orders("few.csv", skus[:5], 20)
    for name, given, more in (("text.csv", skus, digits), ("numbers.csv", skus[:-1], articles("with.csv", skus))):
        lines = run(capsys, "fit", orders(name, given), *quiet, "--item-features", more, "--validation", "none")
        assert any("attributes of items: Attributes(%d ids" % (61 - len(given)) in line for line in lines)
        assert Recommender.load(model).items_.tolist() == skus
        assert run(capsys, "recommend", model, "--user", 3, "--items", 100, "A7")
    command_line.main(["evaluate", str(model), str(few)])
    loaded, held_out = Recommender.load(model), load_ratings(few, pairs=True)
    assert loaded.evaluate(held_out)["n_unknown"] == 0 and loaded.score(held_out) >= 0
    run(capsys, "update", model, few, "-o", model, "--item-features", digits)
    assert Recommender.load(model).items_.tolist() == skus


def test_items_of_a_table_are_known(files, tmp_path, capsys):
    (tmp_path / "items.csv").write_text("item,kind\n" + "".join("%d,%s\n" % (k, "ab"[k % 2]) for k in range(98, 112)))
    arguments = ["fit", files / "numbers.csv", "-o", tmp_path / "m", "--objective", "lists", "--network", "ease"]
    lines = run(capsys, *arguments, "--item-features", tmp_path / "items.csv", "--no-progress")
    assert "attributes of items: Attributes(14 ids, 2 columns: kind=a, kind=b)" in lines
    assert {line.split()[0] for line in run(capsys, "recommend", tmp_path / "m", "--user", 1, "--items", 98, 99)} == {
        "98", "99"}
    assert len(run(capsys, "predict", tmp_path / "m", "--user", 1, "--item", 98)) == 1
    (tmp_path / "more.csv").write_text("item,kind\n200,a\n")
    run(capsys, "update", tmp_path / "m", "--item-features", tmp_path / "more.csv", "-o", tmp_path / "n")
    assert "200" in run(capsys, "recommend", tmp_path / "n", "--user", 1, "--items", 200)[0]
    assert "user_features have none of the 20 users with ratings" in fails(
        capsys, *arguments, "--user-features", tmp_path / "items.csv")
    (tmp_path / "titled.csv").write_text("item,kind,name\n" + "".join("%d,%s,%d\"\n" % (k, "ab"[k % 2], k)
                                                                     for k in range(98, 112)))
    command_line.main([*map(str, arguments), "--item-features", str(tmp_path / "titled.csv")])
    assert "; nothing is read from name, where no two have a word in common\n" in capsys.readouterr().err


def test_ids_of_text_that_look_otherwise(tmp_path, capsys):
    """In Latin-1, over two lines, with tabs: printed in quotes; numbers among texts; and small scales have digits."""
    ratings, pairs, model, held_out = (tmp_path / name for name in ("r.csv", "pairs.csv", "m", "held-out.csv"))
    names, items = ["zo\xeb", '"a\nb"', '"c ""x"""', "7"], ["i0", "i1", '"i\t2"']
    ratings.write_bytes("".join("%s,%s,%g\n" % (name, item, 1e-6 * (1 + 4 * (k == len(item) % 3)))
                                for k, name in enumerate(names) for item in items).encode("latin-1"))
    run(capsys, "fit", ratings, "-o", model, *QUICK, "--validation", "none", "--rows", "users")
    pairs.write_bytes("".join("%s,i1\n" % name for name in names).encode("latin-1"))
    known = ["zo\xeb", "a\nb", 'c "x"', "7"]
    assert Recommender.load(model).users_.tolist() == sorted(known)
    predicted = Recommender.load(model).predict(known, ["i1"] * 4)
    assert "\n".join(run(capsys, "predict", model, pairs)) == "\n".join(
        "%s\ti1\t%.10f" % (name, each) for name, each in zip(names, predicted))
    shown, = run(capsys, "predict", model, "--user", 'c "x"', "--item", "i\t2")
    assert re.fullmatch(r'"c ""x"""\t"i\t2"\t0\.00000\d{5}', shown)
    held_out.write_text("7,9,3e-6\n8,9,1e-6\n")  # all numbers
    said = ("no pair has both a user and an item with ratings in fit, such as user 7, item 9: check the ids, and the "
            "columns\n")
    assert "n_unknown: 2" in run(capsys, "evaluate", model, held_out, "-k", 0, said=said)


def test_compare(files, monkeypatch, capsys):
    monkeypatch.setattr(commands, "_N_FACTORS", 3)
    command_line.main(["compare", str(files / "text.csv"), "--seed", "1", "--test-fraction", "0.25", "--biases", "no",
                       *QUICK])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("120 ratings from 1 to 5, 20 users, 12 items; tested on 30 of them, 0 with a user")
    assert lines[1].split() == ["test", "RMSE", "seconds"]
    table = {line[:28].strip(): [float(each) for each in line[28:47].split()] for line in lines[2:]}
    assert list(table) == ["biases", "factorisation", "autoencoders, as in fit"]
    ratings = load_ratings(files / "text.csv")
    split = split_ratings(ratings, 0.25, 1)
    pairs = split.test.matrix.tocoo()
    expected = rmse(pairs.data, np.clip(predict_biases(fit_biases(split.train), pairs.row, pairs.col), 1, 5))
    assert table["biases"][0] == pytest.approx(expected, abs=1e-4) and 0 < table["factorisation"][0] < 4
    assert [line.endswith("  items as rows") for line in lines[2:]] == [False, False, True]


def test_compare_says_what_was_of_use(tmp_path, capsys, monkeypatch):
    ways = {"biases": lambda: (1.0, ""), "both": lambda: (3e-7, "users as rows")}
    monkeypatch.setattr("sparse_ae.cli.commands._contenders", lambda *arguments: ways)
    (tmp_path / "r.csv").write_text("".join("u%d,i%d,%d\n" % (k // 5, k % 5, k % 3) for k in range(25)))
    lines = run(capsys, "compare", tmp_path / "r.csv", "--no-progress")
    assert [line.split()[:2] for line in lines[2:]] == [["biases", "1.0000"], ["both", "3e-07"]]
    assert lines[3].endswith("  users as rows")
    assert "split_by_time needs timestamps, and these ratings have none" in fails(
        capsys, "compare", tmp_path / "r.csv", "--by-time")
    (tmp_path / "r.csv").write_text("v,i0,2,99\n" + "".join(
        "u%d,i%d,%d,%d\n" % (k // 5, k % 5, k % 3, k * 7 % 25) for k in range(25)))
    monkeypatch.setattr("sparse_ae.cli.commands._contenders", lambda _, train, test, *others: {
        "times": lambda: (1.0, "%d, %s" % (train.timestamps.max(), sorted(test.timestamps.tolist())))})
    lines = run(capsys, "compare", tmp_path / "r.csv", "--no-progress", "--by-time", "--test-fraction", "0.08")
    assert lines[2].endswith("  23, [24, 99]") and lines[0].endswith(
        "tested on 2 of them, 1 with a user or an item without a training rating")
    (tmp_path / "r.csv").write_text("".join("u%d,i%d,3\n" % (k // 5, k % 5) for k in range(25)))
    assert "rating_scale is (3.0, 3.0); expected two finite numbers" in fails(capsys, "compare", tmp_path / "r.csv")


# Streams


@pytest.mark.parametrize("redirection, status, said", [
    (">&-", 2, "python -m sparse_ae: error: stdout is closed, where results are printed; open it, or redirect it to "
               "/dev/null\n"), (">&- 2>&-", 2, ""),
    ("--version", 0, "sparse_ae %s\n" % sparse_ae.__version__),
    pytest.param("> /dev/full", 2, "python -m sparse_ae: error: [Errno 28] No space left on device\n", marks=(
        pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full is Linux's")))])
def test_nowhere_to_print_to(redirection, status, said):
    found = subprocess.run('"%s" -m sparse_ae %s' % (sys.executable, redirection), shell=True, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, universal_newlines=True)
    assert (found.returncode, found.stdout + found.stderr) == (status, said)
