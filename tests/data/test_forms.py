"""Files as people have them: the first lines of public sets, packed files, JSON, Parquet, archives, and open files."""
import bz2
import gzip
import io
import json
import lzma
import sys
import tracemalloc
from decimal import Decimal

import numpy as np
import pytest
from matrices import assert_same, triples, written, zipped

from sparse_ae.data import readers
from sparse_ae.data.load import load_ratings
from sparse_ae.data.readers import frames, lines, read_table
from sparse_ae.data.stores import store_ratings
from sparse_ae.data.tables import as_ratings
from sparse_ae.files import unpacking

PAIRS = dict(pairs=True, duplicates="sum")
AMAZON = {"reviewerID": "A2SU", "asin": "0000013714", "reviewerName": "J. McDonald", "helpful": [2, 3], "overall": 5.0,
          "reviewText": "I bought this for my husband", "unixReviewTime": 1252800000, "reviewTime": "09 13, 2009"}
AMAZON_2023 = {"rating": 4.0, "title": "Fun", "text": "...", "images": [], "asin": "B00Y", "parent_asin": "B00Q",
               "user_id": "AGKH", "timestamp": 1588687728923, "helpful_vote": 0, "verified_purchase": True}
YELP = {"review_id": "KU_O", "user_id": "mh_-", "business_id": "XQfw", "stars": 3.0, "useful": 0, "funny": 0,
        "text": "If you decide to eat here", "date": "2018-07-07 22:09:11"}

# The first lines of public sets: the rating that is read of the first, and its time.
SETS = {
    "ml-100k/u.data": ("196\t242\t3\t881250949", {}, (196, 242, 3), 881250949),
    "ml-1m/ratings.dat": ("1::1193::5::978300760", {}, (1, 1193, 5), 978300760),
    "ml-25m/ratings.csv": ("userId,movieId,rating,timestamp\n1,296,5.0,1147880044", {}, (1, 296, 5), 1147880044),
    "RecBole's .inter": ("user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949", {},
                         (196, 242, 3), 881250949),
    "Book-Crossing": ('"User-ID";"ISBN";"Book-Rating"\n"276725";"034545104X";"0"', {}, (276725, "034545104X", 0), None),
    "Goodreads": ("user_id,book_id,is_read,rating,is_reviewed\n0,948,1,5,0", {}, (0, 948, 5), None),
    "Anime": ("user_id,anime_id,rating\n1,20,8", {}, (1, 20, 8), None),
    "Last.fm 2K": ("userID\tartistID\tweight\n2\t51\t13883", {}, (2, 51, 13883), None),
    "LastFM-1b": ("user_id\tartist_id\tplaycount\n31435741\t2\t4", {}, (31435741, 2, 4), None),
    "Food.com": ("user_id,recipe_id,date,rating,review\n38094,40893,2003-02-17,4,\"Great, with\nsalad\"", {},
                 (38094, 40893, 4), 1045440000),
    "Amazon 2014": ("A1YS9MDZP93857,0006428320,3.0,1394496000", {}, ("A1YS9MDZP93857", "0006428320", 3), 1394496000),
    "Amazon 2018.json": (json.dumps(AMAZON), {}, ("A2SU", "0000013714", 5), 1252800000),
    "Amazon 2023.csv": ("user_id,parent_asin,rating,timestamp\nAFKZ,B01G,5.0,1466183100000", {}, ("AFKZ", "B01G", 5),
                        1466183100),
    "Amazon 2023.jsonl": (json.dumps(AMAZON_2023), {}, ("AGKH", "B00Y", 4), 1588687728.923),
    "Yelp.json": (json.dumps(YELP), {}, ("mh_-", "XQfw", 3), 1531001351),
    "RetailRocket": ("timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,", PAIRS,
                     (257597, 355908, 1), 1433221332.117),
    "REES46": ("event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
               "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d7", PAIRS,
               (541312140, 44600062, 1), 1569888000),
    "Online Retail": ("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
                      "536365,85123A,HOLDER,6,12/1/2010 8:26,2.55,17850,United Kingdom", PAIRS, (17850, "85123A", 6),
                      None),
    "H&M": ("t_dat,customer_id,article_id,price,sales_channel_id\n2018-09-20,00005,0663713001,0.05,2", PAIRS,
            ("00005", "0663713001", 1), 1537401600),
    "KuaiRec": ("user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n"
                "0,148,4381,6067,2020-07-05 05:27:48.378,20200705,1593898068.378,0.722", PAIRS, (0, 148, 1),
                1593898068.378),
    "Steam": ("user_id,game,purchase,hours\n151603712,Skyrim,1.0,273.0", {}, (151603712, "Skyrim", 273), None),
    "Airbnb": ("listing_id,id,date,reviewer_id,reviewer_name,comments\n2384,25218143,2015-01-09,14385014,Ivan,Nice",
               PAIRS, (14385014, 2384, 1), 1420761600),
    "WooCommerce": ("order_id,customer_email,email,product_id,quantity\n1,ann@x.org,ann@x.org,7,2", PAIRS,
                    ("ann@x.org", 7, 2), None),
}


@pytest.mark.parametrize("name", list(SETS))
def test_first_lines_of_public_sets(tmp_path, name):
    content, given, rating, time = SETS[name]
    path = written(tmp_path, content + "\n", name.rpartition("/")[2])
    found = load_ratings(path, **given)
    assert (found.users.tolist()[0], found.items.tolist()[0], found.matrix.data.tolist()[0]) == rating
    assert found.timestamps is time or found.timestamps.tolist() == [time]


# Ways to have the same

CSV = b"user,item,rating,date\nann,tea,4.5,2024-05-01\nbob,jam,0,2024-05-02 08:30:00 UTC\n"
COLUMNS = {"item": ["tea", "jam"], "stars": [4.5, 0.0], "customer": ["ann", "bob"], "price": [1, 2],
           "time": [1714521600, 1714638600]}
OBJECTS = [dict(zip(COLUMNS, values)) for values in zip(*COLUMNS.values())]
JSON_LINES = "\n".join(map(json.dumps, OBJECTS)).encode()


def test_ids_in_json(tmp_path):
    """pandas writes 7.0 for 7 in a column that had a gap; in Latin-1, as text may be."""
    content = '{"user": 7, "item": "caf\u00e9", "rating": 1}%s\n{"user": 7.0, "item": "b", "rating": 2.5}'
    for text in content % "", "[%s]" % content % ",":
        assert triples(load_ratings(written(tmp_path, text.encode("latin-1"), "r.json"))) == [
            (7, "b", 2.5), (7, "caf\u00e9", 1)]


class Nothing:
    def read(self):
        return None


class Written(io.BytesIO):
    name = "ratings.jsonl"


@pytest.mark.parametrize("name, content", [
    ("r.csv", CSV), ("r.CSV.BZ2", bz2.compress(CSV)), ("r.csv.xz", lzma.compress(CSV)), ("r.gz", gzip.compress(CSV)),
    ("r.jsonl", JSON_LINES), ("r.json", b"\xef\xbb\xbf\n" + JSON_LINES + b"\n\n"), ("r.ndjson", JSON_LINES),
    ("r.json.gz", gzip.compress(JSON_LINES)), ("r.json", json.dumps(OBJECTS, indent=1).encode()),
    ("r.zip", zipped({"data/my.csv": CSV, "data/README.txt": "x", "__MACOSX/my.csv": "x"})),
    ("r.zip", zipped({"train.txt": CSV})), ("r.zip", zipped({"r.json": JSON_LINES})),
    ("open", lambda: io.BytesIO(CSV)), ("open", lambda: io.StringIO(CSV.decode())),
    ("open", lambda: Written(JSON_LINES)), ("r.parquet", None), ("r.feather", None)], ids=range(17))
def test_forms_of_the_same(tmp_path, monkeypatch, name, content):
    want = load_ratings(written(tmp_path, CSV, "want.csv"))
    source = written(tmp_path, b"" if content is None or callable(content) else content, name)
    if content is None:
        table = pytest.importorskip("pyarrow").table(dict(COLUMNS, user=COLUMNS["customer"]))
        write = {"r.parquet": pytest.importorskip("pyarrow.parquet").write_table,
                 "r.feather": pytest.importorskip("pyarrow.feather").write_feather}[name]
        write(table, str(source))
    for size in (7, 2 ** 20):
        monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", size)
        found = load_ratings(content() if callable(content) else source)
        assert_same(found.matrix, want.matrix)
        assert found.users.tolist() == ["ann", "bob"] and found.items.tolist() == ["jam", "tea"]
        assert found.timestamps.tolist() == want.timestamps.tolist() == [1714521600, 1714638600]
        stored = store_ratings(content() if callable(content) else source, tmp_path / str(size), rows="users")
        assert stored.matrix.toarray().tolist() == want.matrix.toarray().tolist()


@pytest.mark.parametrize("name, content, given, message", [
    ("r.jsonl", b'{"user": 1, "item": 2, "rating": 3}\n[1]\n', {}, r"r.jsonl, line 2: found \[1\] and no JSON obje"),
    ("r.jsonl", b"user,item,rating\n1,2,3\n", {}, "r.jsonl, line 1: found 'user,item,rating' and no JSON obj"),
    ("r.jsonl", b'{"user": {"id": 1}, "item": 2, "rating": 3}\n', {}, "line 1: 'user' is {'id': 1}, which is neither"),
    ("r.jsonl", b'{"user": 1, "item": 2, "rating": null}\n', {}, "line 1: the rating is empty; expected a number"),
    ("r.jsonl", b'{"user": 1, "item": 2, "rating": 3}\n\n{"item": 2, "rating": 3}', {}, "line 3: the user is empty"),
    ("r.jsonl", b'{"user": 1, "item": 2}\n', {}, "columns are 'user', 'item', and no name tells which is the r"),
    ("r.jsonl", b'{"user": 1, "item": 2, "rating": 3}\n', dict(delimiter=","), "delimiter=',' was given for .*r.jsonl"),
    ("r.jsonl", b'{"user": 1, "item": 2, "rating": 3}\n{"user": NaN, "item": 2, "rating": 3}', {}, "line 2: the user"),
    ("r.json", b'[{"user": 1, "item": 2, "rating": 3}', {}, r"r.json is no JSON array \(Expecting"),
    ("r.json", b'[{"user": 1, "item": 2, "rating": 3}, 4]', {}, "r.json, line 2: found 4 and no JSON object"),
    ("r.json", b'[{"user": 1, "item": 2, "rating": 3}, {"us', {}, r"r.json is no JSON array .*cut off\?"),
    ("r.json", b'[{"user": 1, "item": 2, "rating": 3}] 4', {}, "r.json is no JSON array .*the end of the array"),
    ("r.json", b'[{"user": 1, "item": 2, "rating": "x"}, 4', {}, "r.json, line 1: the rating 'x' isn't a number"),
    ("r.jsonl", b'{"user": 1, "item": 2, "rating": 3}\n{"us', {}, r"line 2: found '{\"us' .*cut off\?"),
    ("r.jsonl", b'{"user": 1.5, "item": 2, "rating": 3}\n', {}, "line 1: 'user' is 1.5; expected a whole number or"),
    ("r.jsonl", b'{"user": Infinity, "item": 2, "rating": 3}\n', {}, "line 1: 'user' is inf; expected a whole numb"),
    ("r.jsonl", b'{"user": 1, "user": 2, "item": 2, "rating": 3}', {}, "a key is there twice: 'user', 'user', 'item'"),
    ("r.jsonl", b'{"user": 1, "item": 2, "rating": ""}\n{"user": 1.5, "item": 2, "rating": 3}', {}, "line 1: the rat"),
    ("r.csv", b"1,2,3\n4,5", {}, r"line 2: found 2 columns; .*the file still being written, or cut off\?"),
    ("r.csv.bz2", bz2.compress(CSV)[:-9], {}, "r.csv.bz2 can't be read: .*; expected a sound file"),
    ("r.csv.xz", lzma.compress(CSV)[:-9], {}, "r.csv.xz can't be read: .*; expected a sound file"),
    ("r.csv.bz2", CSV, {}, "r.csv.bz2 can't be read: Invalid data stream; expected a"),
    ("r.zip", zipped({"a.csv": CSV, "b.tsv": CSV}), {}, "r.zip holds several files .*: a.csv, b.tsv. .*unpack"),
    ("r.zip", zipped({"a.md": CSV}), {}, "r.zip holds no ratings file"),
    ("r.zip", zipped({"a/my.csv": b"1,2,3\n1,2,x\n"}), {}, "r.zip/a/my.csv, line 2: the rating 'x'"),
    ("r.parquet", b"PAR1 and no more", {}, "r.parquet can't be read: .*expected a sound file of Parquet"),
], ids=range(26))
def test_refused(tmp_path, name, content, given, message):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = written(tmp_path, content, name)
    for read in (load_ratings, lambda path, **given: store_ratings(path, tmp_path / "store", **given)):
        with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
            read(path, **given)
        assert "/sparse_ae-" not in str(caught.value)
    with open(str(path), "rb") as file, pytest.raises((ValueError, FileNotFoundError),
                                                      match=message.replace("r.zip/", "r.zip.")) as caught:
        load_ratings(file, **given)
    assert "/sparse_ae-" not in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_what_was_given_is_what_lines_on_stderr_name(tmp_path, capsys):
    archive = written(tmp_path, zipped({"r.csv": "user,item,count,price\n1,7,2,9\n1,8,-1,9\n"}), "r.zip")
    opened = io.BytesIO(archive.read_bytes())
    opened.name = "r.zip"
    for source in archive, opened:
        load_ratings(source, returns="drop", **PAIRS)
        ignored, dropped = capsys.readouterr().err.splitlines()
        assert "r.zip/r.csv: user: user" in ignored and "r.zip/r.csv: 1 of 2 pairs" in dropped
        assert "/sparse_ae-" not in ignored + dropped


@pytest.mark.parametrize("module", [gzip, bz2, lzma])
def test_files_that_are_unpacked_when_they_are_opened(tmp_path, module):
    path = written(tmp_path, module.compress(CSV), "r.csv" + {gzip: ".gz", bz2: ".bz2", lzma: ".xz"}[module])
    for mode in "rb", "rt":
        with module.open(str(path), mode) as file:
            assert load_ratings(file).users.tolist() == ["ann", "bob"]
    with pytest.raises(TypeError, match=r"path is .*Nothing.*, whose read\(\) returns None; expected the path"):
        load_ratings(Nothing())


LONG = "a" * 2 ** 16


@pytest.mark.parametrize("columns, written_by, fits", [
    (dict(user=[LONG] * 2000, item=range(2000), rating=[1] * 2000), "parquet", True),
    (dict(user=[LONG] * 2000, item=range(2000), rating=[1] * 2000), "feather", False),
    (dict(user=None, item=range(2000), rating=[1] * 2000), "feather", True),
    (dict(user=[1] * 40000, item=[1] * 40000, rating=[1] * 40000), "parquet", False),
    (dict(user=[1] * 40000, item=[1] * 40000, rating=[1] * 40000), "feather", False),
    (dict(item=range(2000), words=[[LONG, "b"]] * 2000), "parquet", True),
    (dict(item=range(2000), words=[[LONG, "b"]] * 2000), "feather", False),
    (dict(item=range(2000), word=None), "feather", True)], ids=range(8))
def test_a_long_text_is_held_once_and_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, columns, written_by,
                                                                          fits):
    pyarrow, path = pytest.importorskip("pyarrow"), tmp_path / ("r." + written_by)
    pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow.feather")
    repeated = pyarrow.DictionaryArray.from_arrays([0] * 2000, [LONG])
    table = pyarrow.table({name: repeated if values is None else values for name, values in columns.items()})
    if written_by == "parquet":
        pyarrow.parquet.write_table(table, str(path))
    else:
        pyarrow.feather.write_feather(table, str(path), compression="zstd")
    monkeypatch.setattr(unpacking, "_ALWAYS", 2 ** 18)
    monkeypatch.setattr(unpacking, "_TIMES", 1)
    tracemalloc.start()
    try:
        if not fits:
            with pytest.raises(ValueError, match="r.%s has .* would take .*SPARSE_AE_UNPACK_LIMIT" % written_by):
                (load_ratings if "user" in columns else read_table)(path)
        elif "user" in columns:
            assert load_ratings(path).users.tolist() == [LONG]
        else:
            assert read_table(path)[0].popitem()[1] == ([[LONG, "b"]] if "words" in columns else [LONG]) * 2000
        assert tracemalloc.get_traced_memory()[1] < 2 ** 26  # a string for each row would take 131 MB
    finally:
        tracemalloc.stop()


def test_columns_of_parquet(tmp_path, monkeypatch, capsys):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "r.parquet"

    def found(given, **columns):
        parquet.write_table(pyarrow.table(columns), str(path))
        ratings = load_ratings(path, **given)
        return triples(ratings), ratings

    who, what, clicks = ["a", "a", "b"], [7, 8, 7], pyarrow.array([2, 0, 1])
    assert found(dict(user="who", item="what", rating=2), who=who, what=what, n=clicks)[0] == [
        ("a", 7, 2), ("a", 8, 0), ("b", 7, 1)]
    assert found(dict(missing=0), user=who, item=what, rating=clicks)[0] == [("a", 7, 2), ("b", 7, 1)]
    assert found(PAIRS, user=pyarrow.array(who).dictionary_encode(), item=what, price=clicks)[0] == [
        ("a", 7, 1), ("a", 8, 1), ("b", 7, 1)]
    assert "each line counts once" in capsys.readouterr().err
    times = pyarrow.array(np.array(["2024-05-01T02", "2024-05-01", "2024-05-02"], "M8[us]"),
                          pyarrow.timestamp("us", "Europe/Berlin"))
    assert found({}, user=who, item=what, rating=clicks, date=times)[1].timestamps.tolist() == np.array(
        ["2024-05-01T02", "2024-05-01", "2024-05-02"], "M8[us]").tolist()
    assert found({}, user=who, item=what, rating=clicks, date=["x", "", "y"])[1].timestamps is None
    assert "r.parquet: timestamps are ignored, since 'x' in row 1 is neither a number" in capsys.readouterr().err
    nat = np.array(["2024-05-01", "2024-05-02", "NaT"], "M8[ms]")
    assert found({}, user=who, item=what, rating=clicks, date=nat)[1].timestamps is None
    for columns, message in ((dict(timestamp=["2024-05-01", "x", "y"]), "r.parquet, row 2: entry 0: the timestamp"),
                             (dict(timestamp=nat), "r.parquet, row 3: entry 0: the timestamp is NaT"),
                             (dict(timestamp=[5, 6, None]), "r.parquet, row 3: entry 0: the timestamp is nan"),
                             (dict(rating=[1, None, 3]), "r.parquet, row 2: the rating is nan"),
                             (dict(user=["a", None, "b"]), "r.parquet, row 2: entry 0: the id in users is None"),
                             (dict(user=[b"\xff", b"\0", b"c"]), r"row 1: .* is b'\\xff'; .*: decode them, for exam"),
                             (dict(item=[Decimal("7.5"), 8, 9]), "row 1: entry 0: the id in items is 7.5; ids have"),
                             (dict(rating=["3", None, "x"]), "row 2: the rating is empty"),
                             (dict(rating=["3", "4", "x"]), "row 3: the rating 'x' isn't a number"),
                             (dict(item=[7, 7, 7]), "r.parquet, row 2: user 'a' has rated item 7 already, .* row 1")):
        with pytest.raises((TypeError, ValueError), match=message):
            found({}, **dict(dict(user=who, item=what, rating=clicks), **columns))
    large = 2 ** 53 + 1
    for columns in (dict(item=[Decimal(large), 8, 9]), dict(user=[b"a", b"a", b"b"]), dict(rating=["2", "0.0", "1"]),
                    dict(rating=[Decimal("2.0"), Decimal(0), Decimal(1)])):
        columns = dict(dict(user=["a", "a", "b"], item=[large, 8, 9], rating=clicks), **columns)
        assert found({}, **columns)[0] == [("a", 8, 0), ("a", large, 2), ("b", 9, 1)]
    monkeypatch.setattr(frames, "_ROWS", 2)
    with pytest.raises(ValueError, match="r.parquet, row 3: user 'a' has rated item 7 already, .* row 1"):
        found({}, user=["a", "a", "a"], item=[7, 8, 7], rating=clicks)
    assert found(dict(user=0, item=1), **{"0": who, "1": what, "rating": clicks})[0] == [
        ("a", 7, 2), ("a", 8, 0), ("b", 7, 1)]
    monkeypatch.setenv("SPARSE_AE_UNPACK_LIMIT", "100")
    with pytest.raises(ValueError, match="r.parquet has .* would take .*SPARSE_AE_UNPACK_LIMIT"):
        load_ratings(path, user=0, item=1)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match="r.parquet is read by pyarrow, which can't be imported .*: pip inst"):
        load_ratings(path)


@pytest.mark.parametrize("name, content", [
    ("p.csv", CSV), ("p.tsv", b"ann\ttea\tx\t1\ty\nbob\tjam\t\t2\tz\n"), ("p.jsonl", JSON_LINES)])
def test_pairs_among_other_columns(tmp_path, name, content):
    block, = readers.pairs(written(tmp_path, content, name), False)
    assert [np.array(ids)[places].tolist() for ids, places in (block.users, block.items)] == [
        ["ann", "bob"], ["tea", "jam"]] and len(block.lines) == 2


# Times and returns


@pytest.mark.parametrize("times, unit, want", [
    ([1433221332117, 1433221332000], "milliseconds", [1433221332.117, 1433221332]),
    ([1433221332117000, 1433221332000000], "microseconds", [1433221332.117, 1433221332]),
    ([1433221332000000000, 1433221333000000000], "nanoseconds", [1433221332, 1433221333]),
    ([1433221332, 1433221333], "", None), ([20191001123000, 20191001123001], "", None), ([1433221332117, 5], "", None)])
def test_units_of_times(tmp_path, capsys, times, unit, want):
    path = written(tmp_path, "user,item,rating,timestamp\n1,2,3,%d\n2,2,3,%d\n" % tuple(times))
    table = {"user": [1, 2], "item": [2, 2], "rating": [3, 3], "timestamp": np.array(times)}
    unsigned = dict(table, timestamp=np.array(times, np.uint64))
    for read in (lambda: load_ratings(path), lambda: as_ratings(table), lambda: as_ratings(unsigned))[:2 + bool(unit)]:
        found = read().timestamps
        assert found.tolist() == (want or times) and (found.dtype == np.int64) == all(
            float(each).is_integer() for each in want or times)
        said = capsys.readouterr().err
        assert said.endswith("timestamps are %s since 1970, and are read as seconds\n" % unit) if unit else not said


def test_returns(tmp_path, capsys):
    path = written(tmp_path, "user,item,quantity,date\n1,7,2,2024-05-01\n1,8,1,2024-05-02\n1,8,-1,2024-05-03\n"
                             "2,9,0,2024-05-04\n1,7,-1,2024-05-05\n")
    with pytest.raises(ValueError, match="user 1 has item 8 0 times in total; .*leave out returns and zeros, by "
                                         "returns='drop' of load_ratings .*table.quantity > 0"):
        load_ratings(path, **PAIRS)
    found = load_ratings(path, returns="drop", **PAIRS)
    assert (found.users.tolist(), found.items.tolist(), found.matrix.data.tolist()) == ([1], [7], [1])
    assert found.timestamps.tolist() == [1714521600]
    assert "2 of 3 pairs of user and item are left out, since their counts add up to 0 or less" in (
        capsys.readouterr().err)
    assert load_ratings(path, returns="keep", **PAIRS).matrix.toarray().tolist() == [[1, 0, 0], [0, 0, 0]]
    path.write_text("user,item,quantity\n1,7,0\n")
    with pytest.raises(ValueError, match="the counts of all 1 pairs of user and item add up to 0 or less"):
        load_ratings(path, returns="drop", **PAIRS)
    for given, message in ((dict(returns="drop"), "returns='drop' was given without pairs=True.*fit --obj"),
                           (dict(returns="keep"), "returns='keep' was given without pairs=True"),
                           (dict(returns="some", pairs=True), "returns is 'some'; expected 'error', 'drop' or 'keep'")):
        with pytest.raises(ValueError, match=message):
            load_ratings(path, **given)
