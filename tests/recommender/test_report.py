"""The page of a report: its figures are those of `evaluate`, ids can't do harm, and a file is written whole or not."""
import html
import os
import random
import re
from xml.etree import ElementTree

import numpy as np
import pytest

import sparse_ae
from sparse_ae.data.datasets.titles import load_titles
from sparse_ae.evaluation.rankings import compare_lists
from sparse_ae.evaluation.report import Report
from sparse_ae.recommender.report import of_people

HOSTILE = ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "a&amp;b", "x" * 3000, "two\nlines",
           "\u202edrow", "\u05e9\u05dc\u05d5\u05dd", "\U0001f34e", "nul\0l", "\x1b[31m", "</title></style>",
           "<!-- c -->", " "]
if np.lib.NumpyVersion(np.__version__) >= "1.19.0":  # those before can't read what they have stored
    HOSTILE.append("\ud800")


def words(element):
    return " ".join("".join(element.itertext()).split())


class Page:
    """The tags of a page, its texts, and the cells of its rows; each tag is closed."""

    def __init__(self, page):
        page = re.sub("(?s)<!DOCTYPE html>|<style>.*?</style>", "", page)
        page = re.sub("<((?:meta|img) [^>]*)>", r"<\1/>", page)
        root = ElementTree.fromstring(re.sub(r"<(?!/?(?:b|bdi|span)\b)", "\n<", page).strip())
        self.tags = [(each.tag, each.attrib) for each in root.iter()]
        self.text, self.rows = words(root), [list(map(words, row)) for row in root.iter("tr")]

    def row(self, first):
        return next(row for row in self.rows if row[0] == first)


def clicks(ids):
    """Pairs with counts to train on and to test on: items of the first of `ids` are popular."""
    draw = random.Random(1)
    items, users = ids + ["i%d" % k for k in range(20)], ["u%d" % k for k in range(70)] + ["u" + each for each in ids]
    pairs = sorted({(user, items[int(len(items) * draw.random() ** 2)]) for user in users for _ in range(14)})
    draw.shuffle(pairs)
    triples = [(user, item, draw.choice([1, 1, 2, 30])) for user, item in pairs]
    return [tuple(map(list, zip(*part))) for part in (triples[150:], triples[:150] + [("new", "i1", 2), triples[200]])]


@pytest.fixture(scope="module")
def fitted():
    """A model of clicks without a graph to compile, and held-out ones with a new user and a pair of the fit."""
    train, test = clicks([])
    shop = sparse_ae.Recommender(objective="clicks", network="filter", progress=False)
    return shop.fit(train), train, test


def test_figures_are_those_of_evaluate(fitted):
    shop, train, test = fitted
    report, found = shop.report(test, k=4).html, shop.evaluate(test, k=4)
    page = Page(report)
    of_users = {"this model": shop.evaluate(test, k=4, per_user=True)}
    known = np.isin(test[0], shop.users_)
    for label, form in ("the most popular items", "popular"), ("EASE (a linear model)", "ease"):
        other = sparse_ae.Recommender(objective="clicks", network=form, progress=False).fit(train, validation=None)
        of_users[label] = other.evaluate(test, k=4, per_user=True)
    for label, judged in of_users.items():
        zero = dict(judged, **{name: np.zeros(len(judged["user"])) for name in judged if name != "user"})
        intervals = compare_lists(judged, zero)
        assert page.row(label)[1:] == [
            "%.1f%% %.1f%%\N{EN DASH}%.1f%%" % tuple(100 * each for each in intervals["hit_rate"]),
            "%.1f%% %.1f%%\N{EN DASH}%.1f%%" % tuple(100 * each for each in intervals["recall"]),
            "%.3f %.3f\N{EN DASH}%.3f" % intervals["ndcg"]]
    assert page.row("this model")[3].startswith("%.3f " % found["ndcg"])
    difference = compare_lists(of_users["this model"], of_users["the most popular items"])["hit_rate"]
    n = found["n_users"]
    shares = [np.mean(judged["hit_rate"]) for judged in of_users.values()]
    assert ("Of {0} people who chose something, {1[0]:.0f} chose an item that would have been on their list of 4; "
            "{1[1]:.0f} with the most popular items; {1[2]:.0f} with EASE").format(n, n * np.array(shares)) in page.text
    by, low, high = (abs(n * each) for each in difference)
    assert "Compared with the most popular items: " + (
        "{0:.0f} more of {n} people have a hit ({1:.0f} to {2:.0f})." if difference[1] > 0 else
        "{0:.0f} fewer of {n} people have a hit ({2:.0f} to {1:.0f})." if difference[2] < 0 else
        "no difference that can be seen ({1:.0f} fewer to {2:.0f} more of {n} people have a hit).").format(
        by, low, high, n=n) in page.text
    svg = re.search("(?s)<svg.*</svg>", report).group()
    bars = np.array(re.findall('<rect [^>]*width="([0-9.]+)"', svg), float)
    assert bars / bars[0] == pytest.approx(np.array(shares) / shares[0], abs=0.01) and svg.count("<line ") == 3
    assert "All %d people in the test are judged. The model doesn't know 1 of them" % n in page.text
    n_items = round(found["coverage"] * len(shop.items_))
    assert "show %d of %d items" % (n_items, len(shop.items_)) in page.text
    assert page.row("people whom the model doesn't know")[1].startswith("1: ") and not known.all()
    assert page.row("pairs that the model was trained on")[1].startswith("%d: " % found["n_trained"])
    assert page.row("trained on")[1].startswith("%d pairs of 70 people and 20 items, no dates" % len(train[0]))
    assert page.row("versions")[1].startswith("sparse_ae %s, " % sparse_ae.__version__)


@pytest.mark.parametrize("days, said, tested", [
    ([1, 30], " between 1 and 30 November 2025, ", "from 1 to 30 November 2025"),
    ([7, 7], " on 7 November 2025, ", "on 7 November 2025"),
    ([30, 62], " between 30 November 2025 and 1 January 2026, ", "from 30 November 2025 to 1 January 2026"),
    ([-40, 3], " something new, ", "from 21 September to 3 November 2025"), (None, " something new, ", "no dates")])
def test_periods_are_those_of_training_and_test(days, said, tested, tmp_path):
    """Of sums the training lasts to the last event; a model of a file knows it, too."""
    first = np.datetime64("2025-10-31T12:00")
    before = first - np.timedelta64(30, "D")
    trained = [("a", "tea", 1, before), ("a", "tea", 1, first), ("b", "tea", 1, before), ("b", "jam", 1, before)]
    times = {} if days is None else {"timestamps": first + np.timedelta64(1, "D") * np.array(days)}
    train = sparse_ae.data.ratings_from_triples(*map(np.array, zip(*trained)), duplicates="sum")
    shop = sparse_ae.Recommender(objective="clicks", network="popular", progress=False).fit(train, validation=None)
    shop.save(tmp_path / "m.npz")
    test = sparse_ae.data.ratings_from_triples(["a", "c"], ["jam", "tea"], [1, 1], **times)
    page = Page(sparse_ae.Recommender.load(tmp_path / "m.npz").report(test).html)
    assert "Of 2 people who chose" in page.text and said in page.text
    assert page.row("pairs")[1].endswith(", " + tested)
    assert page.row("trained on")[1].endswith(", from 1 to 31 October 2025")


def test_people_have_what_they_had_get_and_took(fitted):
    shop, train, test = fitted
    page = shop.report(test, k=4).html
    people = re.findall('<div class="person"><h3><bdi>(.*?)</bdi></h3>(.*?)</div></div></div>', page)
    assert len(people) == 10 and "new" not in dict(people)
    for user, card in people:
        had, gets, took = (re.findall("<li.*?<bdi>(.*?)</bdi>", part) for part in card.split("<h4>")[1:])
        assert gets == shop.recommend(user, n=4).items.tolist()
        mine = [item for each, item in zip(*test[:2]) if each == user]
        assert set(took) <= set(mine) and len(took) == min(5, len(mine))
        hits = set(re.findall('<li class="hit">\u2713 <bdi>(.*?)</bdi>', card))
        assert hits == set(gets) & set(mine)
        assert set(had) <= {item for each, item in zip(*train[:2]) if each == user}


def test_ids_do_no_harm():
    train, test = clicks(HOSTILE)
    shop = sparse_ae.Recommender(objective="clicks", network="popular", progress=False).fit(train)
    report = shop.report(test, titles={"i1": "<b>bold</b>", "i2": ""}, heading="<i>m</i>.npz")
    page = Page(report.html)
    assert not {name for name, _ in page.tags} - set("html head meta title style body h1 h2 h3 h4 p b div span bdi "
                                                     "small table thead tbody tr th td ul ol li figure figcaption "
                                                     "svg text rect line".split())
    assert all(set(attributes) <= {"class", "scope", "lang", "name", "content", "charset", "http-equiv"}
               for name, attributes in page.tags if name not in ("svg", "text", "rect", "line"))
    assert not re.search(r"https?:|url\(|@import|[\0-\x08\x0b-\x1f\ud800-\udfff]", report.html)
    assert "<i>m</i>.npz, 2" in page.text and "<script>alert(1)</script>" in page.text and "a&amp;b" in page.text
    assert "x" * 79 + "\N{HORIZONTAL ELLIPSIS}" in page.text and "x" * 80 not in page.text
    srcdoc, = re.findall('^<iframe [^<>]* srcdoc="([^<>"]*)" [^<>]*></iframe>$', report._repr_html_())
    assert html.unescape(srcdoc) == report.html
    # EASE is there beside it, and the most popular items aren't compared with themselves.
    assert page.row("this model") and page.row("EASE (a linear model)")
    assert not [row for row in page.rows if row[0] == "the most popular items"]


@pytest.mark.parametrize("shares, n, words", [
    ([0.354, 0.503], 864, ("100", ["35", "50"])), ([0.5, 0.04], 30, ("30", ["15", "1"])),
    ([0.004, 0.0], 9000, ("9,000", ["36", "0"]))])
def test_shares_in_words(shares, n, words):
    assert of_people(np.array(shares), n) == words


def test_what_cannot_be_reported(fitted):
    shop, _, test = fitted
    with pytest.raises(TypeError, match="titles are list; expected a dict"):
        shop.report(test, titles=["Tea"])
    with pytest.raises(ValueError, match="no pair has both a user and an item with ratings in fit, such as user x"):
        shop.report([("x", "i1", 1), ("u1", "y", 1)])
    with pytest.raises(ValueError, match=r"k is \[5, 10\]; expected a positive integer or 'auto'"):
        shop.report(test, k=[5, 10])
    stars = sparse_ae.Recommender(objective="lists", network="popular", progress=False).fit(
        [("a", "x", 5), ("a", "y", 1), ("b", "x", 2)], validation=None)
    with pytest.raises(ValueError, match="none of the 1 held-out ratings is 4 or higher, which makes an item relevant"):
        stars.report([("b", "y", 1)])


def test_a_report_is_written_whole_and_over_reports_only(fitted, tmp_path, monkeypatch):
    report, path = fitted[0].report(fitted[2]), tmp_path / "r.html"
    Report(report.html + "older").save(path)
    report.save(str(path))
    assert path.read_text(encoding="utf-8") == report.html and os.listdir(str(tmp_path)) == ["r.html"]
    (tmp_path / "mine.html").write_text("<!DOCTYPE html>\n<p>notes")
    with pytest.raises(FileExistsError, match="mine.html exists, and isn't a report of sparse_ae"):
        report.save(tmp_path / "mine.html")
    monkeypatch.setattr(os, "fsync", lambda file: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Report("half").save(path)
    assert path.read_text(encoding="utf-8") == report.html and len(os.listdir(str(tmp_path))) == 2


def test_few_people_compare_nothing(fitted):
    shop, _, test = fitted
    few = tuple(each[:5] for each in test)
    page = Page(shop.report(few, k=1).html)
    n, firsts = len(set(few[0])), [row[0] for row in page.rows]
    assert "Not compared with the most popular items: too few people (%d)" % n in page.text
    assert "\N{EN DASH}" not in page.text and "There are no intervals" in page.text
    start, end = (firsts.index(each) for each in ("recommended most often",
                                                  "on none of the lists, the most popular first"))
    assert 1 < end - start <= 1 + n and all(float(row[1][:-1]) for row in page.rows[start + 1:end])  # all are on a list


@pytest.mark.parametrize("name, text, found", [
    ("items.csv", "sku;price;Artikelname\n007;1,5;Tee\n8;2;\"Jam; red\"\n", {"007": "Tee", "8": "Jam; red"}),
    ("items.csv", "id,said\n1,x\n", {"1": "x"}),
    ("movies.csv", "movieId,title,genres\n1,Toy Story,a|b\n", {"1": "Toy Story"}),
    ("u.item", "1|Toy Story|1995\n", {"1": "Toy Story"})])
def test_titles_of_a_file(tmp_path, name, text, found):
    (tmp_path / name).write_text(text)
    titles = load_titles(tmp_path / name)
    assert titles == found


def test_titles_need_a_column(tmp_path):
    (tmp_path / "items.csv").write_text("item,a,b\n1,x,y\n")
    with pytest.raises(ValueError, match="has the columns a, b beside the ids; expected one with title or name"):
        load_titles(tmp_path / "items.csv")
