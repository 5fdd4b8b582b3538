"""How a file is laid out: headers that are none and pairs that are a header, and ratings that stand for none."""
import argparse
import gzip
import io

import numpy as np
import pytest
from matrices import Terminal, triples, written

from sparse_ae.cli import settings
from sparse_ae.data.datasets import movielens
from sparse_ae.data.load import load_ratings
from sparse_ae.data.readers import lines
from sparse_ae.data.readers.text import parse_numbers
from sparse_ae.data.stores import store_ratings
from sparse_ae.data.times import as_times

# Ratings that stand for none

LINES = ["1,7,0", "1,8,5", "2,7,0.0", "3,8,4", "0,0,3"]
WANT = [(0, 0, 3), (1, 8, 5), (3, 8, 4)]


# The delimiter and the columns


TOLD = r"if each line is a user and the user's items, pass lists=True \(--lists\)"


@pytest.mark.parametrize("content, given, message", [
    ("3,5;99;4,5\n99;2,5;1,5\n", {}, "by commas, '3', '5;99;4', '5'; or by semicolons, '3,5', '99', '4,5'"),
    ("1,5;2;3,5;1\n2,0;2;4,5;2\n", dict(missing=0), "line 1: the rating '3,5' isn't a number; .*write 4.5"),
    ("7,9,web,mobile,2024-05-01 08:30\n", dict(pairs=True), "line 1: found 5 columns, separated by commas.*" + TOLD),
    ("Ann Lee,Toy Story 5\n", {}, "line 1: found 2 columns, separated by commas"),
    ("1,5\t2,5\n", dict(pairs=True), "there are two ways to read it"),
    ("7;A,B\n8;C,D\n", dict(pairs=True), "each line has both semicolons and commas, which may be the"),
    ('ann,tea,"4,5"\nbob,jam,1\n', {}, "line 1: the rating '4,5' isn't a number; .*write 4.5 for 4,5"),
    ("user,item\r1,2\r3,4\r", dict(lists=True), "line 1: there is a CR within the line"),
    ("1 2\n3 4\r5 6\n", dict(lists=True), "line 2: there is a CR within the line"),
    ("7 1,2,3\n8 4,5\n", dict(lists=True), "line 1: by commas the user is '7 1'; expected one delimiter"),
    ("1;2;3\n", dict(delimiter=","), "line 1: found no delimiter ',' in '1;2;3'"),
    ("1|2|3\n", {}, r"line 1: found no delimiter in .*pass another delimiter by delimiter= \(--delimiter\)"),
    ("1,2,3\n", dict(delimiter="a"), "delimiter is 'a'; expected one character such as"),
    ("1,2,3\n", dict(pairs="False"), "pairs is 'False'; expected True or False"),
    ("1,2,3\n", dict(missing=10 ** 400), "missing is 1000.*; expected the number that means"),
    ("1,2,3\n", dict(missing="0"), "missing is '0'; expected the number that means \"not rated\", such as 99, 0 or"),
    ("1,7,3\n2,8,3\n", dict(missing=3), "has .*no ratings other than 3, which means"),
    ('item,rating,user,time\n"te\na",3,2,20\njam,nan,3,30\n', dict(missing=0), "line 4: the rating is nan; expected a"),
    ("a,b,c,d\n1,2,3,4\n", dict(user="x"), "line 1: user='x' was given, but the columns are 'a', 'b', 'c', 'd'"),
    ("KUNDE,sku,n\n1,2,3\n", dict(user="kudne"), "user='kudne' .* counted from 0: did you mean KUNDE"),
    ("a,b,c\n1,2,3\n", dict(user="a", item="a"), "the chosen columns are user='a', item='a'; expected different"),
    ("1,2,3\n", dict(user=0, item=1, rating=7), "rating=7 was given, but the columns are '1', '2', '3'; .*counted"),
    ("who,what,n\na,b,1\n", dict(user="who", item="what"),
     r"no name tells which is the rating; pass rating='n' \(--rating-column n\); if .*pairs=True"),
    ("1,2,3\n", dict(user=0, item=1), r"is the rating; pass rating=2, user=0, item=1 \("),
    ("u,i,r\nann,tea,4\n", {}, r"'u', 'i', 'r', and no .*; pass user='u', item='i', rating='r' \(--user-column u "
     r"--item-column i --rating-column r\), or if the first line has values, user=0, item=1, rating=2 \(--user-col"),
    ("user,item,helpful\n1,2,3\n", {}, "no name tells which is the rating; pass rating='helpful'"),
    ("day,who,what,n,x\na,b,c,1,2\n", {}, "; pass user='COLUMN', item='COLUMN', rating='COLUMN' "),
    ("who,what,n\nann,tea,3\n", dict(user=0, item=1, rating=2), "line 1: the rating 'n' isn't .*its name if the first"),
    ("ann,tea,NA\nbob,jam,3\n", {}, "line 1: the rating 'NA' isn't a number"),
    ("1,2,3\n", dict(user=0, lists=True), "lists=True was given with user=0; lists have users and items"),
    ("a,a,c\n1,2,3\n", dict(user="a"), "user='a' was given, but 2 columns are called so: .*; expected a number"),
    ("ann,tea,NA\nbob,jam,3\n", dict(user=0, item=1, rating=2), "line 1: the rating 'NA' isn't a number"),
    ("1,2,978300760\n1,3,978300761\n", {}, "the third column may be ratings or timestamps, .*rating=2 .*timestamp=2"),
    ("1,2,978300760\n1,3,978300761\n", dict(missing=99), "line 1: the third column may be ratings or timestamps"),
    ("1,2,978300760\n1,2,978300761\n", dict(pairs=True, duplicates="sum"), "may be ratings or timestamps"),
    ("# made by hand\n1,2,3\n3,4,5\n", {}, "lines that begin with # aren't skipped"),
    ("# handmade\n1,2,3\n3,4,5\n", {}, "line 1: found .*lines that begin with # aren't skipped"),
    ('"user" , "item","rating"\n1,2,3\n', {}, "line 1: found no delimiter in .*quotes may hide it"),
    ('"a 5 3\nb" 6 4\n', {}, "line 1: found no delimiter in .*quotes may hide it"),
    ('a 5 3\n"b 6 4\n', {}, "line 2: a quote isn't closed before a blank"),
    # Ids that are missing, among whole numbers
    ("7,1,5\nNA,1,3\nNA,2,4\n8,2,1\n", {}, "line 2: the id is 'NA', and the others are whole numbers; .*by dropna"),
    ("007,1,5\n8,N/A,3\n8,\\N,3\n", {}, "line 2: the id is 'N/A', and the others"),
    # Pairs
    ("Item;Ratings\nA7;5\nA8;4\n", dict(pairs=True), "which is the user; pass user='COLUMN'"),
    ("day,who,sku,order_date\nx,y,A7,2024-05-31\n", dict(pairs=True),
     "columns are 'day', 'who', 'sku', 'order_date', and no name tells which is the user"),
    ("7,9\n7\n", dict(pairs=True), "line 2: found 1 columns; expected 2, as on the first line.*" + TOLD),
    ("ann,tea,2024-05-01\nann,jam,2024-05-02\n", dict(pairs=True),
     "if the first line has values, user=0, item=1 .--user-column 0 --item-column 1."),
    ("ann,tea\nbob,jam\n", dict(pairs=True), "if the first line has values, user=0, item=1 .--user-column 0 --it"),
    ("7,9,2024-05-01\n7,8,2024-05-02\n", {}, "or if the first line has values, user=0, item=1, rating=2"),
    ("ann,tea\nann,tea\n", dict(pairs=True, user=0, item=1),
     "line 2: user 'ann' has rated item 'tea' already, .*\"sum\" for counts"),
    ("7,9\n8,9\n", {}, "found 2 columns.*pass pairs=True .fit --objective clicks."),
    # Lists
    ("1\n2\n3\n", dict(lists=True), "80%d.csv, line 1: found no delimiter in '1'; expected a user and some items"),
    ("1,2,,3\n", dict(lists=True), "80%d.csv, line 1: item 2 is empty; expected a user and items"),
    ("1,2\n,3,4\n", dict(lists=True), "80%d.csv, line 2: the user is empty"),
    ("1\t2,3\n4\t5,6,7\n", dict(lists=True), r"two ways to read it: .*by commas, '4\\t5', '6', '7': .*delimiter=','"),
    ("1,2\n3 4 5\n6 7 8\n9 10 11\n", dict(lists=True), "there are two ways to read it"),  # one by the first line
    ("1 2\n3 \0 4\n" + "9 9\n" * 2 ** 15, dict(lists=True), "isn't text"),
    ("1 2 3\n4 5 6 5\n1 3\n", dict(lists=True), "line 2: user 4 has rated item 5 already, in .*80%d.csv, line 2"),
    # What may be lists, or a table of users by items
    ("0 1 2 3 4 5\n1 2 3\n", {}, TOLD), ("0 1 2 3 4 5\n1 2 3 4 5 6\n", {},
     r"as_ratings\(numpy.loadtxt\(\S*80%d.csv'\), missing=99\).*" + TOLD),
    ("0 1 2 3 4 5\n1 2 3\n", dict(missing=99), TOLD), ("ann,tea,jam,ale,oil\nbob,tea\neve,jam\n", {}, TOLD),
    ("1,2,3,a,99\n", {}, "found 5 columns, .*keep only these, or " + TOLD + ", or choose columns by user="),
    ("1,2,3,4,99\n99,2,,4,5\n", dict(missing=0), r"found 5 columns, .*csv', delimiter=','\), missing=0\).*" + TOLD),
])
def test_what_can_be_read_in_two_ways_or_in_none(tmp_path, monkeypatch, content, given, message):
    path = written(tmp_path, content, "80%d.csv")
    for size in (7, 2 ** 20):
        monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", size)
        with pytest.raises(ValueError, match=message) as said:
            load_ratings(path, **given)
        assert TOLD in message or TOLD.replace("\\", "") not in str(said.value)
        if "pairs" not in given:
            with pytest.raises(ValueError, match=message):
                store_ratings(path, tmp_path / "store", **given)
    assert [each.name for each in tmp_path.iterdir()] == ["80%d.csv"]


COUNTED = dict(pairs=True, duplicates="sum")

# 0 and 10 have chosen nothing, 8 has two lines.
LISTS = ["0", "7 1 2 3", "8 10", "10", "9 2 7 1 30", "8 2"]
LISTED = [(user, item, 1) for user, items in ((7, (1, 2, 3)), (8, (2, 10)), (9, (1, 2, 7, 30))) for item in items]


@pytest.mark.parametrize("content, given, want", [
    ("3,5;99;4,5\n99;2,5;1,5\n", dict(delimiter=","), [("3", "5;99;4", 5), ("99;2", "5;1", 5)]),
    ("sep=;\n\nuser;item;rating\n7;9;3\n", {}, [(7, 9, 3)]), ("sep=,\r\n7,a;b,3\r\n", {}, [(7, "a;b", 3)]),
    ("NA,1,5\nann,1,4\n", {}, [("NA", 1, 5), ("ann", 1, 4)]),
    # Pairs, with headers and without
    ("user,item\n7,9\n8,9\n", dict(pairs=True), [(7, 9, 1), (8, 9, 1)]),
    ("user,item\nuser,tea\n", dict(pairs=True), [("user", "tea", 1)]),
    ('"User-ID","ISBN"\nann,lamp\n', dict(pairs=True), [("ann", "lamp", 1)]),
    ("ann,tea\nbob,jam\n", dict(pairs=True, user=0, item=1), [("ann", "tea", 1), ("bob", "jam", 1)]),
    ("7,9\n7,9\n8,9\n7,10\n", COUNTED, [(7, 9, 2), (7, 10, 1), (8, 9, 1)]),
    ("user_id;movie\nann;\"a;b\"\n", COUNTED, [("ann", "a;b", 1)]), ("1 2\n\n1 2\n", COUNTED, [(1, 2, 2)]),
    ("user,item,rating\n7,9,3\n7,9,4\n", COUNTED, [(7, 9, 7)]),  # counted already
    ("user,item,date\n7,9,5/1/2024\n7,9,2024-05-02\n", COUNTED, [(7, 9, 2)]),  # no timestamps
    ("user,date\n7,9\n", dict(COUNTED, item="date"), [(7, 9, 1)]),
    ("user,item,time,plays\n7,9,5,3\n", COUNTED, [(7, 9, 3)]),
    ("user,item,time,date\n7,9,5,x\n", COUNTED, [(7, 9, 1)]), ("user,item,update\n7,9,5\n", COUNTED, [(7, 9, 1)]),
    ("customer_id,sku,order_id,price\n7,9,901,3.5\n7,9,902,4\n", COUNTED, [(7, 9, 2)]),
    ("user,item,plays,date\n7,9,5,3\n", COUNTED, [(7, 9, 5)]),
    ("uid,iid,time\n7,9,5\n", dict(COUNTED, user="uid", item="iid"), [(7, 9, 1)]),
    # Ratings that stand for none
    ("\n".join(LINES), dict(missing=0), WANT), ("user,item,rating\n" + "\n".join(LINES), dict(missing=0), WANT),
    ('"User-ID","ISBN","Book-Rating"\n' + "\n".join(LINES) + "\n", dict(missing=0), WANT),
    ("\n".join(LINES), dict(missing=99), sorted(WANT + [(1, 7, 0), (2, 7, 0)])),
    ("1,7,nan\n1,8,5\n2,7,0\n2,8,NaN\n", dict(missing=np.nan), [(1, 8, 5), (2, 7, 0)]),
    ("1,7,\n1,8,5\n2,7,0\n2,8, \n", dict(missing=np.nan), [(1, 8, 5), (2, 7, 0)]),
    ("1|2|3\n4|5|6\n", dict(delimiter="|"), [(1, 2, 3), (4, 5, 6)]),
    ("1\x012\x013\n4\x015\x016\n", dict(delimiter="\x01"), [(1, 2, 3), (4, 5, 6)]),
    ("Ann Lee,Toy Story\nBob Ray,Heat 2\n", dict(pairs=True, user=0, item=1), [("Ann Lee", "Toy Story", 1),
                                                                              ("Bob Ray", "Heat 2", 1)]),
    ("1,2,5,2024-05-01\n", dict(missing=0), [(1, 2, 5)]),
    ("n,who,x,what\n5,a,0,b\n3,c,0,d\n", dict(user="who", item="WHAT", rating="n"), [("a", "b", 5), ("c", "d", 3)]),
    ("5,a,0,b\n3,c,0,d\n", dict(user=1, item=3, rating=0), [("a", "b", 5), ("c", "d", 3)]),
    ("user_id,movie,rating\n7,9,3\n", dict(user=0, item=1), [(7, 9, 3)]),  # known names
    ("user,item,rating,mine\n1,2,3,4\n", dict(rating="mine"), [(1, 2, 4)]),
    ("ann,book-1\nbob,book-2\n", dict(user=0, item=1, pairs=True), [("ann", "book-1", 1), ("bob", "book-2", 1)]),
    ("a user,thing\nbob,jam\n", dict(user=0, item=1, pairs=True), [("a user", "thing", 1), ("bob", "jam", 1)]),
    ("who,what,when\nann,tea,978300760\n", dict(user=0, item=1, timestamp=2, pairs=True), [("ann", "tea", 1),
                                                                                          ("who", "what", 1)]),
    ("1,2,978300760\n", dict(user=0, item=1, rating=2), [(1, 2, 978300736)]),
    ("1,2,978300760\n", dict(user=0, item=1, timestamp=2, pairs=True), [(1, 2, 1)]),
    # Quotes between blanks, as R writes them; but for one at the end
    ('"user id" "item" "rating"\n"Ann Lee" "i1" 3\n"Ann ""B""" "i2" 4\n', {}, [('Ann "B"', "i2", 4),
                                                                                ("Ann Lee", "i1", 3)]),
    ('"a" 5" 3\n"b"  i" 4\n', {}, [("a", '5"', 3), ("b", 'i"', 4)]),
    ("ann\tgreen tea\tjam\nbob\tjam\n", dict(lists=True), [("ann", "green tea", 1), ("ann", "jam", 1),
                                                          ("bob", "jam", 1)]),
    ('"ann","green, tea",jam\n"bob",jam\n', dict(lists=True), [("ann", "green, tea", 1), ("ann", "jam", 1),
                                                              ("bob", "jam", 1)]),
    ("uid items\n1 2 3\n4 5\n", dict(lists=True), [(1, 2, 1), (1, 3, 1), (4, 5, 1)]),
    ("user,items\nann,tea,jam\n", dict(lists=True), [("ann", "jam", 1), ("ann", "tea", 1)]),
    ("\ufeff\nann,green tea,jam,,\nbob,jam\n", dict(lists=True), [("ann", "green tea", 1), ("ann", "jam", 1),
                                                                  ("bob", "jam", 1)]),
    ("1 2 3\n4 5 6 5\n1 3\n", dict(lists=True, duplicates="sum"), [(1, 2, 1), (1, 3, 2), (4, 5, 2), (4, 6, 1)]),
    ("1,2,3,4\n", {}, [(1, 2, 3)]), ("1,2,3,4\n", dict(missing=99), [(1, 2, 3)]),
] + [(end.join(row.replace(" ", delimiter) for row in LISTS) + end, dict(lists=True), LISTED)
     for delimiter in (" ", "\t", ",", ";", "::", ", ") for end in ("\n", "\r\n", " \n", "\n\n")
])
def test_what_can_be_read_in_one_way(tmp_path, monkeypatch, content, given, want):
    path = written(tmp_path, content)
    for size in (7, 2 ** 20):
        monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", size)
        assert triples(load_ratings(path, **given)) == want
        stored = store_ratings(path, tmp_path / str(size), rows="users", **given)
        assert stored.matrix.nnz == len(want) and stored.row_ids.tolist() == sorted({each[0] for each in want})


def test_home_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path, "1,2,3\n")
    assert triples(load_ratings("~/ratings")) == [(1, 2, 3)]
    assert store_ratings("~/ratings", "~/store").folder == tmp_path / "store"


@pytest.mark.parametrize("name", ["~ratings.csv", "~$r.csv"])
def test_a_name_that_begins_as_a_home_does(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "1,2,3\n", name)
    assert triples(load_ratings(name)) == triples(movielens(path=name).ratings)
    assert store_ratings(name, "~" + name).matrix.nnz == 1


def test_names_of_columns_in_latin_1(tmp_path):
    for name, encoding in (("K\xe4ufer", "latin-1"), ("Preis in \u20ac", "cp1252"), ("K\xe4ufer", "utf-8-sig")):
        path = written(tmp_path, ("%s;Artikel;Note\n\xc4nne;St\xfcck;3\n" % name).encode(encoding))
        assert triples(load_ratings(path, user=name, item="Artikel", rating="Note")) == [("\xc4nne", "St\xfcck", 3)]
        with pytest.raises(ValueError, match="pass user='%s', item='Artikel', rating='Note'" % name):
            load_ratings(path)


def test_options_of_the_command_line(tmp_path):
    parser = argparse.ArgumentParser()
    settings.add_commands(parser)
    path = written(tmp_path, "n\twho\twhat\n5\ta b\tx;y\n")
    for options in (["--delimiter", "tab"], ["--delimiter", "\\t", "--rating-column", "n"]):
        options += ["--user-column", "1", "--item-column", "what"] + ["--rating-column", "0"] * (len(options) == 2)
        assert triples(settings.load(parser.parse_args(["compare", str(path)] + options))) == [("a b", "x;y", 5)]


# Lines, the same ones however they are asked for, and how far reading has come


def test_a_line_that_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", 64)
    monkeypatch.setattr(lines, "LONGEST_LINE", 640)
    path = written(tmp_path, "1,2,3\n2,2,3\n3,%s,3\n" % ("x" * 1000))
    for read in (load_ratings, lambda path: store_ratings(path, tmp_path / "store")):
        with pytest.raises(ValueError, match="ratings: a line near line 2 has more than 0 MB"):
            read(path)


@pytest.mark.parametrize("name", ["ratings.csv", "ratings.csv.gz"])
def test_progress_is_shown_on_a_terminal_where_reading_takes_long(tmp_path, monkeypatch, name):
    content = "".join("%d,%d,%d\n" % (k, k % 3, k % 5) for k in range(30)).encode()
    path = written(tmp_path, gzip.compress(content) if name.endswith(".gz") else content, name)
    monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", 16)

    def shown(read, stream=None, **settings):
        terminal = stream or Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        read(path, **settings)
        return terminal.getvalue()

    assert shown(load_ratings) == ""
    monkeypatch.setattr(lines, "_SECONDS_WITHOUT_PROGRESS", 0)
    assert "reading " + name in shown(load_ratings)
    assert "reading " + name in shown(lambda path: store_ratings(path, tmp_path / "store"))
    assert shown(load_ratings, progress=False) == "" and shown(load_ratings, io.StringIO()) == ""


@pytest.mark.parametrize("date, seconds", [
    ("1970-01-01T01", 3600), ("1970-01-01 01:02:03", 3723), ("1970-01-01t00:00:00z", 0), ("1970-01-01T23:59Z", 86340),
    ("1970-01-01T00:00:00.5Z", 0.5), ("1970-01-01T00:00:07.123456789+00:00", 7.123456789),
    ("1969-12-31T23:59:59.25", -0.75), ("1970-01-01T05:30:00+0530", 0), ("1970-01-01T05+05", 0),
    ("1970-01-01T00:00:00-00:30", 1800), ("1970-01-01T00:00:01.5-12:00", 43201.5), ("2000-02-29", 951782400),
    ("1970-01-01 00:01:00 UTC", 60)])
def test_every_python_reads_the_same_dates(date, seconds):
    assert as_times([date, " 5 "]).tolist() == [seconds, 5]


@pytest.mark.parametrize("date", [
    "1970-02-30", "1970-1-1", "19700101T00", "1970-W01-4", "1970-01-01T", "1970-01-01T24:00", "1970-01-01T00:00:00.",
    "1970-01-01T00:60", "1970-01-01Z", "1970-01-01+01:00", "1970-01-01T00:00+24:00", "1970-01-01T00:00+1",
    "1970-01-01 UTC", "1970-01-01 00:00UTC", "0000-01-01", "\u0661970-01-01"])
def test_what_is_no_date_is_none_on_any_python(date):
    with pytest.raises(ValueError):
        as_times([date])


# Numbers: those that float gives, or none


def parsed(fields, plain=False):
    letters = np.frombuffer(",".join(fields + [""]).encode("ascii"), np.uint8)
    stops = np.flatnonzero(letters == ord(","))
    return parse_numbers(letters, np.concatenate([[0], stops[:-1] + 1]), stops, plain)


def test_numbers_are_those_of_python():
    rng = np.random.RandomState(0)
    fields = ["%.*f" % (rng.randint(1, 9), number) for number in 10 ** 4 * rng.randn(2000)]
    fields += ["0.5123456789", "4000000000"]  # more than 32 bits
    fields += ["0", "-0", "-0.0", "5.", ".5", "-.5", "007.50", "0.1", "123456789012345", "0.12345678901234", "-9.99"]
    for some in (fields, fields[-11:], ["4", "3"], ["-1", "12"], ["3.5", "4.0"]):
        assert parsed(some).tobytes() == np.array(list(map(float, some))).tobytes()  # of -0 too
    whole = ["0", "7", "123456789012345", "4000000000", "10"]
    assert parsed(whole, True).dtype == np.int64 and parsed(whole, True).tolist() == list(map(int, whole))


def test_what_is_no_plain_number_is_left_to_others():
    no_numbers = ["", "-", ".", "-.", "1.2.3", "1-", "--1", "1e3", "+1", " 1", "1 ", "1_0", "nan", "x",
                  "1234567890123456", "12345678901234567", "1/2", "1:2"]
    for plain, fields in ((False, no_numbers), (True, no_numbers + ["-5", "2.", "07", "00"])):
        for each in fields:
            assert parsed([each, "3"], plain) is None and parsed(["3", "1", each], plain) is None
