"""The one reader of text: good and bad files, and the same answer from all that stands on it, wherever a block ends."""
import gzip
import os

import numpy as np
import pytest
from matrices import assert_same, triples, written, zipped

from sparse_ae.data.load import load_ratings
from sparse_ae.data.readers import lines, text
from sparse_ae.data.stores import store_ratings

MANY = "".join("%d,%d,%d\n" % (k, k % 3, k % 5) for k in range(30))
MANY_RATED = {(k, k % 3): k % 5 for k in range(30)}
MANY_TEXT = {(str(k), k % 3): k % 5 for k in range(30)}
THREE = {(1, 5): 3, (2, 6): 4.5, (3, 5): 0}

# A name for each row, the file's content, and what comes of it: the ratings, or what the error says.
TABLE = [
    # Ways to write the same
    ("commas", "1,5,3\n2,6,4.5\n3,5,0\n", THREE),
    ("two colons", "1::5::3\n2::6::4.5\n3::5::0\n", THREE),
    ("many blanks", "1   5\t3\n 2 6  4.5 \n3\t\t5 0\n", THREE),
    ("CR LF", "1,5,3\r\n2,6,4.5\r\n3,5,0\r\n", THREE),
    ("no last line end", "1,5,3\n2,6,4.5\n3,5,0", THREE),
    ("a last CR", "1,5,3\n2,6,4.5\n3,5,0\r", THREE),
    ("byte order mark", "\ufeff1,5,3\n2,6,4.5\n3,5,0\n", THREE),
    ("byte order mark and header", "\ufeffuserId,movieId,rating\n1,5,3\n2,6,4.5\n3,5,0\n", THREE),
    ("header", "user,item,rating\n1,5,3\n2,6,4.5\n3,5,0\n", THREE),
    ("header in unknown words", "U;I;R\n1;5;3\n2;6;4.5\n3;5;0\n", "line 1: .*pass user='U', item='I', rating='R'"),
    ("header in another order", "item,rating,user\n5,3,1\n6,4.5,2\n5,0,3\n", THREE),
    ("header of a word beside them", "user,item,rating,part\n1,5,3,train\n2,6,4.5,test\n3,5,0,train\n", THREE),
    ("header of five", "title;user_id;item_id;rating;year\n\"a;b\";1;5;3;2000\nc;2;6;4.5;\n;3;5;0;x\n", THREE),
    ("header of a nameless index", ",user,item,rating\n0,1,5,3\n1,2,6,4.5\n2,3,5,0\n", THREE),
    ("header with blanks in names", "user id,item id,rating,note of it\n1,5,3,y\n2,6,4.5,y\n3,5,0,\n", THREE),
    ("header of a line end beside them", 'user,item,note,rating\n1,5,"a\nb",3\n2,6,,4.5\n3,5,c,0\n', THREE),
    ("timestamps third by header", "user,item,timestamp,rating\n1,5,978300760,3\n2,6,99,4.5\n3,5,1,0\n", THREE),
    ("timestamps last of many", "time,rating,part,item,user\n9,3,a,5,1\n9,4.5,b,6,2\n0.5,0,c,5,3\n", THREE),
    ("quoted header over two lines", '"user\nid",item,rating\n1,5,3\n2,6,4.5\n3,5,0\n', THREE),
    ("quotes", '"1","5","3"\n"2","6","4.5"\n"3","5","0"\n', THREE),
    ("blank lines", "\n\n1,5,3\n\n  \n2,6,4.5\n\r\n3,5,0\n\n\n", THREE),
    ("blanks around", "1, 5, 3\n2 ,6 ,4.5 \n 3, 5,0\n", THREE),
    ("quotes after blanks", '"1", "5", 3\n2, 6, 4.5\n3, "5", 0\n', THREE),
    ("numbers below 0", "1,5,-3.5\n2,6,-1e-1\n", {(1, 5): -3.5, (2, 6): float(np.float32(-0.1))}),
    ("timestamps", "1,5,3,100\n2,6,4.5,99\n3,5,0,101\n", THREE),
    ("timestamps that are dates",
     "1;5;3;2024-05-01\n2;6;4.5;2024-05-01 08:30\n3;5;0;2024-05-01T08:30:00.500Z\n", THREE),
    ("timestamps, some dates", MANY.replace("\n", ",7\n") + "99,5,3,2001-01-01\n", {**MANY_RATED, (99, 5): 3}),
    ("timestamps, floats late", MANY.replace("\n", ",7\n") + "99,5,3,0.25\n", {**MANY_RATED, (99, 5): 3}),
    # Ids
    ("strings", "a,x y,3\nb,z,4\n", {("a", "x y"): 3, ("b", "z"): 4}),
    ("UTF-8, a letter over the end of a block", "12345678,8\xe9,5\n2,z,4\n", {(12345678, "8\xe9"): 5, (2, "z"): 4}),
    ("strings late", MANY + "x,1,5\n", {**MANY_TEXT, ("x", 1): 5}),
    ("leading zeros late", MANY + "007,1,5\n", {**MANY_TEXT, ("007", 1): 5}),
    ("fractions are strings", "1.0,5,3\n2.0,5,4\n", {("1.0", 5): 3, ("2.0", 5): 4}),
    ("negative", "-1,5,3\n-9223372036854775807,5,4\n", {(-1, 5): 3, (-9223372036854775807, 5): 4}),
    ("16 digits", "1234567890123456,5,3\n1,5,4\n", {(1234567890123456, 5): 3, (1, 5): 4}),
    ("20 digits", "99999999999999999999,5,3\n1,5,4\n", {("99999999999999999999", 5): 3, ("1", 5): 4}),
    ("20 digits late", MANY + "9223372036854775808,1,5\n", {**MANY_TEXT, ("9223372036854775808", 1): 5}),
    ("a delimiter within quotes", '"a, b",x,3\n"say ""hi""",y,4\n', {("a, b", "x"): 3, ('say "hi"', "y"): 4}),
    ("a line end within quotes", 'user,item,rating\n"two\nlines",x,3\nb,y,4\n',
     {("two\nlines", "x"): 3, ("b", "y"): 4}),
    ("a line end within the first quotes", '"two\nlines",x,3\nb,"y\r\n\n",4\n',
     {("two\nlines", "x"): 3, ("b", "y"): 4}),
    ("a CR within quotes", '"a\rb",x,3\r\nc,y,4\r\n', {("a\rb", "x"): 3, ("c", "y"): 4}),
    ("quotes between blanks", '"a c" 5 3\nb" 6 4\n"" "6" 4\n'.replace('""', '"d"'),
     {("a c", 5): 3, ('b"', 6): 4, ("d", 6): 4}),
    ("other delimiters inside", "1::a,b::3\n2::a;c::4\n", {(1, "a,b"): 3, (2, "a;c"): 4}),
    ("UTF-8", "user,item,rating\nzo\xeb,\xe9t\xe9,4\n", {("zo\xeb", "\xe9t\xe9"): 4}),
    ("Latin-1", "user,item,rating\nzo\xeb,\xe9t\xe9,4\n".encode("latin-1"), {("zo\xeb", "\xe9t\xe9"): 4}),
    ("Latin-1 after a BOM and a blank line", b"\xef\xbb\xbf\nuser,item,rating\nzo\xeb,a,4\n", {("zo\xeb", "a"): 4}),
    ("UTF-8 early, Latin-1 late", "\u20ac,1,5\n".encode("utf-8") + MANY.encode() + b"\xe9,1,5\n",
     {**MANY_TEXT, ("\xe2\x82\xac", 1): 5, ("\xe9", 1): 5}),
    ("ends within a letter of UTF-8", b"rating,user,item\n4,\xc3\xa9,x\n5,b,y\xc3",
     {("\xc3\xa9", "x"): 4, ("b", "y\xc3"): 5}),
    ("a blank that isn't ASCII", "a\xa0b c 3\n".replace(" ", "\t"), {("a\xa0b", "c"): 3}),
    # Packed
    ("packed.gz", gzip.compress(b"1,5,3\n2,6,4.5\n3,5,0\n"), THREE),
    ("packed in two.gz", gzip.compress(b"1,5,3\n2,6") + gzip.compress(b",4.5\n3,5,0\n"), THREE),
    ("nothing packed.gz", gzip.compress(b""), "has only blank lines"),
    ("packed under another name", gzip.compress(b"1,2,3\n"), "isn't text; .*unpack an archive"),
    ("zip", zipped({"ratings.csv": "1,2,3\n"}), "isn't text; .*unpack an archive"),
    ("r.xlsx", b"PK", r"r.xlsx is a spreadsheet, which isn't read; save it as CSV, .*pandas.read_excel\('.*r.xlsx'\)"),
    ("a server's error", b"\n<!DOCTYPE html><p>No", "is a page of HTML or XML; .* download the file again"),
    ("UTF-16", "1,2,3\n".encode("utf-16"), "isn't text; .*save text as UTF-8"),
    ("NUL early", b"1,2,3\n1\0,3,4\n", "isn't text"),
    ("NUL late", b"1::2::3\n" + b"\n" * 70000 + b"a\0::2::3\n", "line 70002: there is a NUL byte in it"),
    ("NUL late within quotes", b"1,2,3\n" + b"\n" * 70000 + b'"a\nb\0",2,3\n', "line 70003: there is a NUL byte in it"),
    ("NUL late, an error before", b"1,2,3\n" + b"\n" * 70000 + b"1,3,x\na\0,2,3\n", "line 70002: the rating 'x'"),
    # Nothing in it
    ("empty", "", "is empty; expected ratings"),
    ("blank", " \n\n", "has only blank lines"),
    ("header alone", "userId,movieId,rating\n", "has a header and no ratings"),
    # Columns
    ("no delimiter", "nonsense\n", "line 1: found no delimiter in 'nonsense'; expected user, item, rating"),
    ("five columns", "1\t2\t3\t4\t5\n", "line 1: found 5 columns, separated by tabs; .*keep only these"),
    ("too few, then too many", "1,2,3\n1,3\n1,4,5,6\n", "line 2: found 2 columns; expected 3"),
    ("a tab for two colons", "1::2::3\n1\t3::4\n", "line 2: found 2 columns; expected 3"),
    ("fewer than the header", "user,item,rating,time\n1,3,4\n", "line 2: found 3 columns; expected 4"),
    ("header with an unknown word out of order", "movieId,who,stars\n1,2,3\n",
     r"line 1: the columns are 'movieId', 'who', 'stars', .*is the user; pass user='who' \(--user-column who\)$"),
    ("header of five unknown words", "a,b,c,d,e\n1,2,3,4,5\n", "columns are 'a', 'b', 'c', 'd', 'e', and no name"),
    ("header of clicks", "time,customer_id,product\n1,2,3\n",
     r"is the rating; pass rating='COLUMN' .*; if these are pairs of user and item without ratings, pass pairs=True"),
    ("header without a user", "rating,who,stuff,item,place\n1,2,3,4,5\n",
     r"is the user; pass user='COLUMN' \(--user-column COLUMN\)$"),
    ("header with all but a user", "rating,time,item,Custmer mail\n1,2,3,4\n",
     r"the user; pass user='Custmer mail' \(--user-column 'Custmer mail'\)$"),
    ("header with a name twice", "user,userId,item,rating\n1,2,3,4\n",
     "line 1: ratings have several columns for the user: 'user', 'userId'; expected one"),
    ("no rating beside others", "part,item,rating,user\na,2,3,1\nb,3,,1\n", "line 3: the rating is empty; expect"),
    ("a short line beside others", "part,item,rating,user\na,2,3,1\nb,3,1\n", "line 3: found 3 columns; expected 4"),
    # Fields
    ("a blank first rating", "a,b,\nc,d,3\n", "line 1: the rating is empty; expect"),
    ("a word for the first rating", "1,2,five\n", "line 1: .*if the first line has values, user=0, item=1, rating=2"),
    ("a word for a rating", "1,2,3\n\n1,3,x\n", "line 3: the rating 'x' isn't a number; .*correct or drop the line"),
    ("a comma for a point", "1;2;3\n1;3;4,5\n",
     r"line 2: the rating '4,5' isn't a number; .*write 4.5 for 4,5.*pandas.read_csv\(FILE, sep=';', decimal=','\)"),
    ("beyond float32", "1,2,3\n1,3,1e39\n", r"line 2: the rating is 1e\+39"),
    ("an underscore", "1,2,3\n1,3,1_0\n", "line 2: the rating '1_0' isn't a number"),
    ("a CR within a line", "1,2,3\n1,3\r,4\n", "line 2: .*expected lines that end with LF or CR LF"),
    ("no user", "1,2,3\n,3,4\n", "line 2: the user is empty"),
    ("no item", "1,2,3\n1, ,4\n", "line 2: the item is empty"),
    ("a bad timestamp", "1,2,3,4\n1,3,3,now\n", "line 2: the timestamp 'now' is neither a number nor a date"),
    ("no timestamp", "1,2,3,4\n1,3,3,\n", "line 2: the timestamp '' is neither a number nor a date"),
    ("a timestamp of NaN", "1,2,3,4\n1,3,3,nan\n", "line 2: the timestamp is nan"),
    ("the first error counts", MANY + "1,9,x\n" + MANY + "1\n" + MANY + ",1,1\n", "line 31: the rating 'x'"),
    ("an open quote", 'a,2,3\n"b,2,3\nc,2,4\n', "line 2: .*every quote closed, and quotes inside"),
    ("an open quote, an error before", 'a,2,3\na,3,x\n"b,2,3\nc,2,4\n', "line 2: the rating 'x' isn't a number"),
    ("a quote within a field", '"a"b,2,3\nc,2,3\n"d"e,2,3\n', "line 1: found no delimiter"),
    ("a quote within a field further down", 'a,2,3\n"b"c,2,3\n', "line 2: .*quotes inside a quoted field doubled"),
    ("lines that end in CR", "1,2,3\r4,5,6\r7,8,9\r", "line 1: there is a CR within the line; .*LF or CR LF"),
    # Pairs
    ("a pair twice", "user,item,rating\n1,2,3\n5,6,7\n1,2,4\n", "line 4: user 1 has rated item 2 already, in .*line 2"),
    ("the first pair twice", "5,5,3\n1,1,3\n5,5,4\n1,1,4\n", "line 3: user 5 has rated item 5 already, in .*line 1"),
    ("a pair twice after quotes", 'a,2,3\n"x\ny",2,3\na,2,4\n', "line 4: user 'a' has rated item 2 .*line 1"),
    ("a pair twice, apart", MANY + "\n" + "x,1,1\n29,2,1\n", "line 33: user '29' has rated item 2 .*line 30"),
]


# In blocks of 11 bytes each seam is met; in one block the quick ways meet all lines at once.
ROWS = [(11,) + row for row in TABLE] + [(2 ** 20,) + row for row in TABLE[::3]]


@pytest.mark.parametrize("size, name, content, expected", ROWS, ids=["%s, %d" % (row[1], row[0]) for row in ROWS])
def test_the_same_answer_to_the_same_bytes(tmp_path, monkeypatch, size, name, content, expected):
    path = written(tmp_path, content, name)
    monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", size)
    if isinstance(expected, str):
        said = set()
        for read in (load_ratings, lambda path: store_ratings(path, tmp_path / "store", rows="users")):
            with pytest.raises(ValueError, match="(?s)" + expected) as caught:
                read(path)
            said.add((caught.type, str(caught.value)))
        assert {kind for kind, _ in said} == {ValueError} and len(said) == 1 and str(path) in str(caught.value)
        assert list(tmp_path.iterdir()) == [path]
        return
    loaded, stored = load_ratings(path), store_ratings(path, tmp_path / "store", rows="users")
    assert_same(loaded.matrix, stored.matrix)
    for ids, others in ((loaded.users, stored.row_ids), (loaded.items, stored.col_ids)):
        assert ids.dtype == others.dtype and (ids.dtype == np.int64 or ids.dtype.kind == "U")
        assert ids.tolist() == others.tolist()
    found = triples(loaded)
    assert {(user, item): rating for user, item, rating in found} == expected and len(found) == len(expected)
    assert (loaded.timestamps is not None) == name.startswith("timestamps")


@pytest.mark.parametrize("delimiter, quote", [("\t", ""), (",", ""), ("::", ""), (" ", ""), ("\t", '"'), (",", '"')])
def test_plain_lines_are_read_the_quick_way(tmp_path, monkeypatch, delimiter, quote):
    """Not record by record, which takes many times as long."""
    monkeypatch.setattr(text, "records", None)
    line = delimiter.join(quote + field + quote for field in ("37", "99999", "-1.25", "881250949"))
    assert load_ratings(written(tmp_path, line + "\n")).matrix.data.tolist() == [-1.25]


CLICKS = dict(pairs=True, duplicates="sum")


@pytest.mark.parametrize("content, given, times", [
    ("1,1,3,1.5\n2,1,3,2\n", {}, [1.5, 2]), ("1,1,3,2.0\n2,1,3,1e3\n", {}, [2, 1000]),
    ("1,1,3,1970-01-02\n2,1,3,1970-01-01 01:00\n3,1,3,1970-01-01T01:00:07+01:00\n", {}, [86400, 3600, 7]),
    ("1,1,3,1970-01-02\n2,1,3,25.e-1\n", {}, [86400, 2.5]),
    # Of pairs, and of one that comes twice the first
    ("user,item,timestamp\n7,9,3\n7,9,4\n7,8,1\n", CLICKS, [1, 3]),
    ("session,item,time,user,device\na,9,1,7,x\na,9,2,7,x\nb,8,5,7,x\n", CLICKS, [5, 1]),
    ("when,date,user,item\nx,2024-05-01,7,9\ny,1970-01-02 00:00:01,7,8\n", CLICKS, [86401, 1714521600]),
    ("ts,products,user\n2024-05-01 00:01,9,7\n", CLICKS, [1714521660]),
    ("user,item,timestamp\n7,\"9\",0.5\n7,8,2\n", CLICKS, [2, 0.5]),
    ("user,item,timestamp\n\"7\",9,4\n\n7,8,3\n", CLICKS, [3, 4]),
    # Of ratings that aren't missing
    ("1,7,0,978300760\n1,8,5,978300761\n", dict(missing=0), [978300761]),
    ('item,rating,user,time\n"te\na",0,1,x\n"te\na",3,2,20\njam,0,,30\n', dict(missing=0), [20]),
    # Only what is called timestamp or time has to be one
    ("user,item,rating,date,x\n1,2,3,5/1/2024,x\n", {}, None), ("user,item,rating,date,x\n1,2,3,,x\n", {}, None),
    ("user,item,rating,time,date\n1,2,3,978300760,x\n", {}, [978300760])])
def test_times(tmp_path, content, given, times):
    found = load_ratings(written(tmp_path, content), **given).timestamps
    assert found is times or found.tolist() == times
    assert times is None or found.dtype == (np.float64 if any(isinstance(each, float) for each in times) else np.int64)


@pytest.mark.parametrize("n_before, wrong", [(0, ""), (1, "x"), (20000, "5/1/2024"), (20000, "nan")])
def test_timestamps_of_pairs_of_which_one_is_none(tmp_path, monkeypatch, capsys, n_before, wrong):
    """Clicks are of use without them, wherever it stands."""
    monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", 2 ** 14)
    before = "user,item,date\n" + n_before * "7,9,2024-05-01\n"
    (tmp_path / "clicks").write_text(before + "7,8,%s\n7,9,2024-05-02\n" % wrong)
    found = load_ratings(tmp_path / "clicks", **CLICKS)
    assert found.timestamps is None and found.matrix.toarray().tolist() == [[1, n_before + 1]]
    said = "clicks: timestamps are ignored, since %r in line %d is neither" % (wrong, n_before + 2)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("content, given, said", [
    ("1 5 2 1\n4 1 99 3\n", {}, ""), ("1 5 2\n", {}, ""),
    ("user item rating time\n1 5 2 1\n", {}, ""), ("user,item,rating\n1,5,2\n", {}, ""),
    ("part,item,rating,user,weight\ntrain,5,3,1,7\n", {},
     "ratings: user: user, item: item, rating: rating; other columns are ignored: part, weight\n"),
    ("ann,tea\nbob,tea\n", dict(pairs=True, user=0, item=1), ""),
    ("1: 2 3\n4: 5\n", dict(lists=True), "ratings: the ids of users end with a colon, such as '1:'\n"),
    ("1 2|3\n4 5|6\n", dict(lists=True),
     "ratings: each user has one item, such as '2|3'; if this is several items, separate them\n"),
    ("1,7,0\n1,8,5\n", dict(missing=0), 'ratings: each line is read as user, item, rating; lines with the rating 0, '
     'which means "not rated", are left out\n')])
def test_what_is_told_of_a_layout(tmp_path, capsys, content, given, said):
    for progress in (True, False):
        load_ratings(written(tmp_path, content), progress=progress, **given)
        assert capsys.readouterr().err == ("%s%s%s" % (tmp_path, os.sep, said) if said and progress else "")


WORDS = ["7", "007", "U1", "U00000017", " x", "x ", "green tea", "a-very-long-id-of-more-than-eight", "y" * 70, '"q"',
         '"a,b"', 'a"b', '"a', '"d""e"', "\u00e9", "\u00a0z", "", "-7", "1.0", "NA", "8" * 17, "a\rb", "a\0b", "\t"]


@pytest.mark.parametrize("seed", range(60))
def test_blocks_are_read_as_records_are(tmp_path, monkeypatch, seed):
    """Records are read one by one by Python's csv, so that they judge; some files have all kinds of fields."""
    rng = np.random.RandomState(seed)
    words = WORDS[:6 if seed % 3 else None]
    end = ["\n", "\r\n"][seed % 2]
    rows = [[words[k] for k in rng.randint(len(words), size=2)] + [str(rng.randint(1, 6))] for _ in range(40)]
    content = ["", "\ufeff"][seed % 5 == 0] + end.join([",", "::", ";"][seed % 4 % 3].join(row) for row in rows) + end
    path = written(tmp_path, content.encode("latin-1" if seed % 7 == 0 and "\ufeff" not in content else "utf-8"))

    def read():
        try:
            return triples(load_ratings(path, duplicates="sum", progress=False))
        except ValueError as error:
            return str(error)

    quick = read()
    monkeypatch.setattr(text, "_parse_alike", lambda lines, block, layout: None)
    assert quick == read()
