"""The how-tos of examples/: each runs on a small file of ratings, and prints the library's own figures."""
import os
import re
import socket
import sys
import threading
from html import unescape
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np
import pytest
import reference
from devices import networks_need_cpu, sparse_adam_needs_cpu
from programs import ROOT, load

import sparse_ae
from sparse_ae.baselines.biases import fit_biases, predict_biases
from sparse_ae.scoring.predict import predict_pairs
import theano
import theano.sparse


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    """1500 ratings with string ids, of 60 users and 50 items, of which models learn more than biases tell."""
    ratings, _ = sparse_ae.made_up_ratings(60, 50, 1500, n_factors=2, noise=0.2, step=0.5, rng=3)
    path = tmp_path_factory.mktemp("examples") / "mine.csv"
    pairs = ratings.matrix.tocoo()
    path.write_text("".join("u%d,i%d,%g\n" % each for each in zip(pairs.row, pairs.col, pairs.data)))
    return path


def find(out, pattern):
    found = re.findall(pattern, out, re.MULTILINE)
    assert found, "%r is not in\n%s" % (pattern, out)
    return found


def errors(predicted, test):
    return sparse_ae.rmse(test.data, predicted), sparse_ae.mae(test.data, predicted)


def small(monkeypatch, name, **values):
    """An example with other constants."""
    module = load(name)
    for each, value in values.items():
        monkeypatch.setattr(module, each, value)
    return module


# movielens.py


@pytest.fixture
def movielens(monkeypatch):
    return small(monkeypatch, "movielens", SETTINGS={title: (dict(of_model, n_hidden=6), of_training, 3) for title, (
        of_model, of_training, _) in load("movielens").SETTINGS.items()})


def test_movielens_compares_and_recommends(movielens, csv, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    results, train = {}, movielens.train
    monkeypatch.setattr(movielens, "train", lambda title, *args: results.setdefault(title, train(title, *args)))
    movielens.main(["--data", str(csv), "--plot", str(tmp_path / "curves.png")])
    out, ratings = capsys.readouterr().out, sparse_ae.load_ratings(csv)
    split = sparse_ae.split_ratings(ratings.matrix, 0.2, rng=0)
    test = split.test.tocoo()
    by_users, by_items = results.values()
    expected = {"biases alone": np.clip(predict_biases(fit_biases(split.train), test.row, test.col), 1, 5),
                "users as rows, the post": by_users.model.predict_pairs(split.train, test.row, test.col),
                "items as rows": by_items.model.predict_pairs(split.train.T.tocsr(), test.col, test.row)}
    table = find(out, r"^([a-z, ]+?) +(\d\.\d{4})   (\d\.\d{4})$")
    assert [name for name, *_ in table] == list(expected)
    for name, *found in table:
        assert list(map(float, found)) == pytest.approx(errors(expected[name], test), abs=6e-5)
    for label, name in (("learning curves", "curves.png"), ("what was learned", "curves-model.png")):
        assert find(out, "^%s: (.*)$" % label) == [str(tmp_path.resolve() / name)]
        assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    user, = (ratings.users.tolist().index(each) for each in find(out, r"^user (u\d+); in brackets"))
    listed = [ratings.items.tolist().index(item) for item in find(out, r"  \d\.\d\d  item (i\d+)")]
    assert len(set(listed)) == 10 and not set(listed) & set(split.train[user].indices)


def test_without_matplotlib_there_is_no_picture(movielens, csv, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    movielens.main(["--data", str(csv), "--plot", str(tmp_path / "curves.png")])
    assert find(capsys.readouterr().out, r"^no picture was drawn: plots need matplotlib, .*: pip install matplotlib$")


def test_bad_arguments_are_one_line_and_status_2(movielens, capsys):
    with pytest.raises(SystemExit) as exit:
        movielens.main(["--data", "nowhere.csv"])
    assert exit.value.code == 2 and "error: there is no file nowhere.csv; check the path" in capsys.readouterr().err


# post.py


@pytest.mark.slow
def test_the_listing_and_the_three_graphs_have_the_same_losses(csv, capsys, monkeypatch):
    example = small(monkeypatch, "post", K=3, N_EPOCHS=2, BATCH_SIZE=4)
    example.main(["--data", str(csv)])
    out = capsys.readouterr().out
    losses = [list(map(float, each.split())) for each in find(out, r"^epoch \d +(.*)$")]
    assert len(losses) == 2 and losses[0][0] > losses[1][0]
    for each in losses:
        assert len(each) == 4 and max(each) - min(each) <= 0.0011  # a digit of what is printed
    train = sparse_ae.split_ratings(sparse_ae.load_ratings(csv).matrix, 0.2, rng=0).train
    rated, = map(int, find(out, r"^items rated in that mini-batch: (\d+) of 50$"))
    _, block = next(sparse_ae.data.minibatches(train, 4, np.random.RandomState(0)))
    assert rated == len(set(block.indices.tolist())) < 50
    for rows in find(out, r"^(?:rows of W|columns of V) a step writes +(.*)$"):
        assert list(map(int, rows.split())) == [50, 50, 50, rated]


# own_data.py


def test_own_data_from_end_to_end(csv, tmp_path, capsys):
    load("own_data").main([str(csv), "--folder", str(tmp_path / "new" / "folder")])
    out = capsys.readouterr().out
    (_, *alone), (_, *of_both) = find(out, r"^(.+?) +(\d\.\d{4})   (\d\.\d{4})$")
    split = sparse_ae.split_ratings(sparse_ae.load_ratings(csv), 0.2, rng=0)
    test = split.test.matrix.tocoo()
    predicted = np.clip(predict_biases(fit_biases(split.train), test.row, test.col), 1, 5)
    assert list(map(float, alone)) == pytest.approx(errors(predicted, test), abs=6e-5) and of_both < alone
    assert len(set(re.findall(r"(i\d+) \(\d\.\d\d\)", out))) == 5
    assert find(out, r"loaded again; the same 300 predictions: yes$")


# fold_in.py


@pytest.mark.slow
def test_folded_in_and_trained_with(csv, capsys):
    load("fold_in").main(["--data", str(csv)])
    out = capsys.readouterr().out
    assert find(out, r"^trained on \d+ ratings of 50 users; 10 new users have \d+ ratings, and \d+ ")
    (users, *of_users), (items, *of_items) = find(out, r'^rows="(\w+)" +(\d\.\d{4}) +(\d\.\d{4}) +\d+\.\d +(\S+)$')
    assert users == "users" and items == "items" and float(of_users[2]) < 1e-6 < 1e-3 < float(of_items[2])
    assert max(map(float, of_users[:2] + of_items[:2])) < float(find(out, r"^biases only +(\d\.\d{4})$")[0])


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
    assert find(out, r"^left alone: epochs 1 to 300$")
    last, status = map(int, find(out, r"^killed: +epochs 1 to (\d+), exit status (-?\d+)$")[0])
    assert 100 <= last < 300 and (status == -9 or os.name == "nt")
    resumed, end = map(int, find(out, r"^run again: +epochs (\d+) to (\d+)$")[0])
    assert last <= resumed <= last + 2 and end == 300  # killed before the file, or the program, tells of an epoch
    assert find(out, r"^validation RMSE of all 300 epochs: the same") and "DIFFERENT" not in out
    b = ends[1].model_.b
    b.set_value(np.nextafter(b.get_value(), 9))
    ends[1].history_[7]["validation_rmse"] += 1e-9
    compare(*ends)
    out = capfd.readouterr().out
    assert find(out, r"^(\w+) .* DIFFERENT$") == ["b"] and "of all 300 epochs: DIFFERENT" in out


# custom_network.py


@networks_need_cpu
def test_its_error_is_that_of_the_network_with_the_better_decay(csv, capsys, monkeypatch):
    example, models = small(monkeypatch, "custom_network", N_HIDDEN=6, N_EPOCHS=3, DECAYS=(1, 50)), []
    make = example.my_network
    monkeypatch.setattr(example, "my_network", lambda *args: models.append(make(*args)) or models[-1])
    example.main(["--data", str(csv)])
    out = capsys.readouterr().out
    first, second, *_ = map(float, find(out, r"l2 \S+ +validation RMSE (\d\.\d{4})"))
    split = sparse_ae.split_ratings(sparse_ae.load_ratings(csv).matrix.T.tocsr(), 0.1, rng=0)
    test = split.test.tocoo()
    error = sparse_ae.rmse(test.data, predict_pairs(models[int(second < first)], split.train, test.row, test.col))
    _, mine, _ = find(out, r"held-out RMSE (\d\.\d{4})(?: with l2 \d+)?$")
    assert float(mine) == pytest.approx(error, abs=6e-5) and first != second


# million_features.py


def test_the_factorisation_machine_by_loops():
    million = load("million_features")
    X, y = million.made_up_clicks(6, 200, np.random.RandomState(0))
    assert X.shape == (6, 200) and (np.diff(X.indptr) == 20).all() and set(y) <= {0, 1}
    x = theano.sparse.csr_matrix("x", "float32")
    logits, params = million.factorisation_machine(x, 200, np.random.RandomState(1))
    rng = np.random.RandomState(2)
    for param in params:
        param.set_value(rng.randn(*param.get_value().shape).astype("float32"))
    w0, w, V = (param.get_value() for param in params)
    expected = []
    for row in X.toarray():
        used = np.flatnonzero(row)
        expected.append(w0[0, 0] + row.dot(w[:, 0])
                        + sum(row[i] * row[j] * V[i].dot(V[j]) for i in used for j in used if i < j))
    np.testing.assert_allclose(theano.function([x], logits)(X), expected, rtol=1e-4)


@sparse_adam_needs_cpu
def test_both_networks_learn(capsys):
    pytest.importorskip("sklearn")
    load("million_features").main(400, 9600)
    said = dict(find(capsys.readouterr().out, r"^(\S.*?) +(\d\.\d{4}) +\d\.\d{4}$"))
    assert list(said) == ["SGDClassifier", "factorisation machine", "wide and deep"]
    assert max(float(said[name]) for name in list(said)[1:]) < 0.66  # of a coin: 0.69


# bigger_than_memory.py


def test_from_text_to_predictions(tmp_path, capsys, monkeypatch):
    bigger = small(monkeypatch, "bigger_than_memory", PER_USER=27, N_ITEMS=60, N_HIDDEN=8)
    bigger.main(["--ratings", "4e3", "--epochs", "40", "--folder", str(tmp_path / "big")])
    out = capsys.readouterr().out
    assert len(find(out, r"^.+ s   peak .+ MB own .+ MB files$")) == 4
    model, mean = find(out, r"^RMSE from the right answers: ([\d.]+) \(the mean rating: ([\d.]+)\)$")[0]
    assert float(model) < float(mean)
    stored = sparse_ae.open_ratings(tmp_path / "big" / "store")
    assert stored.rows == "users" and stored.matrix.nnz == 4000
    with pytest.raises(OSError):
        bigger.main(["--ratings", "4e3", "--folder", str(tmp_path / "big")])


# nightly.py


def write_orders(path, days, broken=False):
    """Write a night's orders, by two kinds of customers; return the lines (customer, article, day). In a broken export
    customers stand beside orders of the other kind, except on the last day, and an article is missing."""
    rng = np.random.RandomState(0)
    lines = [(c ^ (broken and day < days), 2 * rng.randint(20) + (c + (rng.rand() < 0.1)) % 2, day)
             for day in range(1, days + 1) for c in rng.permutation(40)[:30]]
    lines = [line for line in lines if line[1] or not broken]
    path.write_text("customer,sku,quantity,date\n" + "".join(
        "%d,%d,%d,2024-05-%02d\n" % (c, article, 1 + c % 5, day) for c, article, day in lines))
    return lines


def by_first_purchases(model, lines, last):
    """(number of customers, NDCG@10) for the last day of these orders, of what a customer hadn't bought before."""
    known, wanted = {(c, article) for c, article, day in lines if day < last}, {}
    for c, article, day in lines:
        if day == last and (c, article) not in known:
            wanted.setdefault(c, set()).add(article)
    lists = [model.recommend(c, n=10).items.tolist() for c in wanted]
    return len(wanted), reference.list_measures(lists, wanted.values(), 10, dict.fromkeys(range(40), 1))["ndcg"]


def test_a_night_replaces_the_model_unless_it_is_worse(tmp_path, monkeypatch, caplog):
    nightly = small(monkeypatch, "nightly", SETTINGS=dict(objective="clicks", network="ease", progress=False))
    path, orders, evaluate, judged = tmp_path / "shop.npz", tmp_path / "orders.csv", sparse_ae.Recommender.evaluate, []
    monkeypatch.setattr(sparse_ae.Recommender, "evaluate", lambda model, *arguments, **more: judged.append(model)
                        or evaluate(model, *arguments, **more))

    def night():
        """The exit status; whether the model is still yesterday's; the log."""
        before = path.read_bytes() if path.exists() else None
        caplog.clear()
        status = nightly.main([str(orders), str(path)])
        return status, path.exists() and path.read_bytes() == before, caplog.text

    def compared(log):
        customers, yesterday = find(log, r"last day, (\d+) customers: .*, yesterday's model ([\d.]+)$")[0]
        return int(customers), pytest.approx(float(yesterday), abs=6e-4)

    caplog.set_level("INFO")
    write_orders(orders, 5)
    assert night()[:2] == (0, False)
    old = sparse_ae.Recommender.load(path)
    lines = write_orders(orders, 6)
    with orders.open("a") as file:  # bought and sent back on one day: no purchase
        file.write("0,99,1,2024-05-06\n0,99,-1,2024-05-06\n")
    status, same, log = night()
    assert status == 0 and not same and by_first_purchases(old, lines, 6) == compared(log)
    assert len(judged) == 2  # each model once
    pairs = [len({line[:2] for line in lines if line[2] <= day}) for day in (5, 6)]
    assert [int(n) for n in find(log, r"fitted with (\d+) pairs")] == pairs, "what is bought again was bought before"
    new = sparse_ae.Recommender.load(path)
    assert all(article not in new.recommend(c, n=40).items for c, article, day in lines if day == 6)

    assert night()[:2] == (0, True) and "stays: it knows all purchases" in caplog.text

    lines = write_orders(orders, 7, broken=True)
    monkeypatch.setattr(nightly, "FEWEST", 41)
    bytes_before = path.read_bytes()
    assert night()[:2] == (0, False)  # too few customers
    path.write_bytes(bytes_before)
    monkeypatch.setattr(nightly, "FEWEST", 20)
    status, same, log = night()
    assert status == 3 and same and "the new model is worse" in log
    assert by_first_purchases(new, lines, 7) == compared(log)
    with open(str(path) + ".lock", "w") as lock:
        nightly.fcntl.flock(lock, nightly.fcntl.LOCK_EX)
        assert night()[:2] == (4, True)
    orders.write_text("customer,sku\n1,2\n")
    status, same, log = night()
    assert status == 2 and same and "orders.csv has no dates" in log


def test_a_night_writes_lists_with_new_articles(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    nightly = small(monkeypatch, "nightly", SETTINGS=dict(objective="clicks", network="ease", progress=False))
    orders, articles, lists = (str(tmp_path / name) for name in ("orders.csv", "articles.csv", "lists.csv"))
    write_orders(tmp_path / "orders.csv", 3)
    (tmp_path / "articles.csv").write_text("sku,kind\n" + "".join("%d,%s\n" % (k, "ab"[k % 2]) for k in range(46)))
    known, arguments = ["--item-features", articles], [orders, str(tmp_path / "shop.npz"), "--new", "2"]
    assert nightly.main(arguments + known + ["--lists", lists]) == 0
    found = pandas.read_csv(lists).groupby("user").item.apply(list)
    model = sparse_ae.Recommender.load(tmp_path / "shop.npz")
    assert found.index.tolist() == model.users_.tolist() and not (tmp_path / "lists.csv.part").exists()
    for items in found:
        assert np.isin(items, model.items_[~model.items_rated_]).tolist() == [False] * 8 + [True] * 2
    for given in known, ["--lists", lists]:
        with pytest.raises(SystemExit):
            nightly.main(arguments + given)


# try_model.py


@pytest.fixture
def tried(tmp_path):
    """The page's server, for articles of two kinds; a10 is new, titles have marks of HTML."""
    orders = [("c%d" % c, "a%d" % a) for c in range(30) for a in range(10) if a % 2 == c % 2 and (a + c) % 7 < 5]
    model = sparse_ae.Recommender(objective="clicks", network="ease", progress=False)
    model.fit(orders, item_features={"a%d" % a: ["bj"[a % 2]] for a in range(11)}).save(tmp_path / "shop.npz")
    (tmp_path / "titles.csv").write_text("id,title\n" + "".join(
        "a%d,%s %d\n" % (a, ["<b>Tea", "Jam"][a % 2], a) for a in range(11)))
    server = load("try_model").make_server(str(tmp_path / "shop.npz"), str(tmp_path / "titles.csv"), 0)
    server.RequestHandlerClass.log_message, server.model = lambda *args: None, model
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_page_recommends_what_the_model_does_with_reasons(tried):
    def get(**fields):
        with urlopen("http://127.0.0.1:%d/?%s" % (tried.server_port, urlencode(fields, doseq=True))) as answer:
            return answer.read().decode()

    assert re.search(r"<small>[\d.]+</small>", get())  # without ratings there are no reasons

    text = get(q='"><b>', **{"rate a4": "2", "rate a6": "1"})
    assert 'value="&quot;&gt;&lt;b&gt;"' in text and "<b>" not in text and "<script" not in text
    person = tried.model.fold_in({"a4": 2, "a6": 1})
    best, listed = person.recommend(n=10), text.partition("<ol>")[2]
    assert re.findall(r'name="rate (a\d+)"', listed) == best.items.tolist() and len(best.items) == 9
    why = find(unescape(listed), r"<small>(.*?)</small>")
    for item, score, shown in zip(best.items, best.scores, why):
        expected = ["%s %+.2f" % (each.replace("a", "<b>Tea "), part) for each, part in zip(*person.explain(item)[:2])]
        assert shown == "%.2f: %s" % (score, ", ".join(expected)) and ("b +" in shown) == (item == "a10")
    assert "Most popular" in get() and "nothing else" in get(q="coffee")
    with pytest.raises(HTTPError, match="400") as wrong:
        get(**{"rate a4": "-1"})
    wrong.value.close()


def test_the_page_is_for_this_machine_and_for_browsers_that_go(tried, monkeypatch):
    def answer(request, stays=True):
        near, far = socket.socketpair()
        with near, far:
            near.sendall(request)
            if not stays:
                near.close()
            tried.RequestHandlerClass(far, ("127.0.0.1", 0), tried)
            return near.recv(99) if stays else b""

    for host, status in (b"localhost:8000", b"200"), (b"127.0.0.1:1", b"200"), (b"evil.org:1", b"403"), (b"", b"403"):
        assert answer(b"GET / HTTP/1.0\r\nHost: %s\r\n\r\n" % host).split()[1] == status
    answer(b"GET / HTTP/1.0\r\nHost: localhost:1\r\n\r\n", stays=False)  # no BrokenPipeError
    monkeypatch.setattr(tried.RequestHandlerClass, "timeout", tried.RequestHandlerClass.timeout / 1000)
    near, far = socket.socketpair()
    with near, far:
        tried.RequestHandlerClass(far, ("127.0.0.1", 0), tried)  # ends
