"""Attributes in every form are one matrix of columns by hand; bad ones are refused with the column and the line."""
import datetime
import gzip
import json
import re
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ae.data.attributes import as_attributes, unknown_line

TABLE = {"movieId": [30, 10, 20], "genre": ["Drama|War", "Drama", None], "year": [1990.0, 2000.0, np.nan],
         "tags": [["new", "odd"], ["new"], []], "ok": [True, False, True]}
TEXT = "movieId,genre,year,tags,ok\n30,Drama|War,1990,new|odd,True\n10,Drama,2000,new,False\n\n20,,,,True\n"
NAMES = ("genre=Drama", "year", "tags=new", "ok=True")
ROWS = [[1, 1, 1, 0], [0, 0, 0, 1], [1, -1, 1, 1]]  # of 10, 20, 30: words of one id say nothing of others


def forms(tmp_path):
    yield TABLE
    for name, delimiter in (("a.csv", ","), ("a.txt", "::"), ("a.tsv", "\t")):
        (tmp_path / name).write_text(TEXT.replace(",", delimiter))
        yield tmp_path / name
    titles = iter(["title", '"caf\xe9; "', "B", "C"])  # each of one film
    quoted = "".join("%s;%s\n" % (line.replace(",", ";"), next(titles)) for line in TEXT.split("\n") if line)
    (tmp_path / "latin.csv").write_text(quoted, encoding="latin-1")
    yield str(tmp_path / "latin.csv")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TEXT.encode("utf-8-sig")))
    rows = [dict(zip(TABLE, row)) for row in zip(*TABLE.values())]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    (tmp_path / "a.json").write_text(json.dumps(rows))
    yield from (tmp_path / "a.csv.gz", tmp_path / "a.jsonl", tmp_path / "a.json")
    if sys.modules.get("pyarrow"):
        table = sys.modules["pyarrow"].table(TABLE)
        pytest.importorskip("pyarrow.parquet").write_table(table, str(tmp_path / "a.parquet"))
        yield from (table, tmp_path / "a.parquet")
    for library in filter(sys.modules.get, ("pandas", "polars")):
        yield sys.modules[library].DataFrame(TABLE, **{"strict": False} if library == "polars" else {})


def test_a_table_is_one_hot_columns_and_standardised_numbers(tmp_path):
    pytest.importorskip("pandas")
    for form in forms(tmp_path):
        found = as_attributes(form)
        assert found.names == NAMES and found.ids.tolist() == [10, 20, 30]
        np.testing.assert_allclose(found.matrix.toarray(), ROWS)
    assert as_attributes(found) is found
    assert repr(found) == "Attributes(3 ids, 4 columns: genre=Drama, year, tags=new, ok=True)"
    # One more has the same columns; what the others lack says nothing.
    unknown = set()
    assert found.of({"genre": "Drama|Comedy", "year": 2005, "city": "x"}, unknown).toarray().tolist() == [[1, 2, 0, 0]]
    assert unknown == {"genre=Comedy", "the column city"}
    assert unknown_line("f", unknown) == "f: nothing is known of genre=Comedy, the column city"
    nothing = {"genre": None, "year": np.nan, "tags": [], "ok": "NA", "height": 3}
    assert not found.of(nothing, unknown).nnz
    with pytest.raises(TypeError, match="features, column genre: 5 is int"):
        found.of({"genre": 5}, unknown)
    for wrong in (1e300, "2005"):
        with pytest.raises(TypeError, match="features, column year: .* is (float|str); expected a"):
            found.of({"year": wrong}, unknown)
    for wrong, message in (({"Genre": "Drama", "year": 3}, "features: nothing is known of the column 'Genre'; expected "
                            "columns or words of fit, such as genre, year, tags, ok: did you mean genre?"),
                           ({"city": "x", "height": 3}, "nothing is known of the column 'city'; expected columns"),
                           (["Drama"], "nothing is known of a list of words; expected columns or words of fit")):
        with pytest.raises(ValueError, match=re.escape(message)):
            found.of(wrong, unknown)
    more = found.with_more({"movieId": [50], "genre": ["Drama|Odd"], "size": ["L"]}, "item_features", unknown)
    assert {"genre=Odd", "the column size"} <= unknown and more.matrix.toarray()[3].tolist() == [1, 0, 0, 0]
    with pytest.raises(ValueError, match="item_features: nothing is known of the column 'Kind'"):
        found.with_more({"movieId": [50], "Kind": ["Drama"], "cost": [3]}, "item_features", unknown)
    assert found.over(np.array([5, 20, 25, 30]))[1].tolist() == [False, True, False, True]
    np.testing.assert_allclose(found.over(np.array([5, 20, 25, 30]))[0].toarray(), [[0] * 4, ROWS[1], [0] * 4, ROWS[2]])


@pytest.mark.parametrize("text, names, rows, unread", [
    ("sku;price;day\n1;3.50;2000-01-01\n2;1299.00;\\N\n3;8;2000-01-02T12:00Z\n4;N/A;?\n5;NULL;null\n6;nan;None\n",
     ["price", "day"], [[3.5, 10957 / 365.2425], [1299, None], [8, 10958.5 / 365.2425]] + 3 * [[None, None]], ()),
    ('title,id,price\n"A, B",1,1299\nC,2,950.5\n,3, NA \n', ["price"], [[1299], [950.5], [None]], ("title",)),
    ("sku,kind\n1,Home > Kitchen > Knives\n2,Home > Kitchen\n3,Home>Bath|Home > Bath|NA\n4,NA\n5,NA|?\n",
     ["kind=Home", "kind=Home > Kitchen"], [[1, 1], [1, 1], [1, 0], [0, 0], [0, 0]], ()),
    ("1|Toy Story (1995)|01-Jan-1995||0\n2|GoldenEye (1995)|01-Jan-1995||1\n3|X||new|1\n",
     ["2=01-Jan-1995", "4"], [[1, 0], [1, 1], [0, 1]], ("1", "3")),
    ("a1,tea,hot\na2,tea,hot\na3,jam,hot\n", ["1=tea", "2=hot"], [[1, 1], [1, 1], [0, 1]], ()),
])
def test_numbers_dates_and_files_without_names(text, names, rows, unread, tmp_path):
    (tmp_path / "items.csv").write_text(text)
    found = as_attributes(tmp_path / "items.csv")
    rows = np.array(rows, float)
    centre = [0 if "=" in name else np.nanmean(column) for name, column in zip(names, rows.T)]
    scale = [1 if "=" in name else np.nanstd(column) for name, column in zip(names, rows.T)]
    assert found.names == tuple(names) and found.unread == unread
    np.testing.assert_allclose(found.matrix.toarray(), np.nan_to_num((rows - centre) / scale), atol=1e-4)


def test_dates_and_codes_of_tables():
    days = [datetime.date(2000, 1, 1), None, datetime.datetime(2000, 1, 3)]
    for each in (days, ["2000-01-01", "", "2000-01-03"], np.array(days, "datetime64[ns]")):
        found = as_attributes({"item": [1, 2, 3], "day": each, "zip": ["02134", "02134", "98107"],
                               "title": ["1,984", "1,984", "Dune"]})
        assert found.names == ("day", "zip=02134", "title=1,984")
        np.testing.assert_allclose(found.matrix.toarray(), [[-1, 1, 1], [0, 1, 1], [1, 0, 0]], atol=1e-6)
        for day in (datetime.date(2000, 1, 3), "2000-01-03"):
            np.testing.assert_allclose(found.of({"day": day}, set()).toarray(), [[1, 0, 0]], atol=1e-6)


def test_words_of_each_id_and_a_matrix():
    found = as_attributes({"tea": ["hot", "green"], "jam": "red|hot", "ale": ["red"], "air": None})
    assert found.names == ("hot", "red") and found.ids.tolist() == ["air", "ale", "jam", "tea"]
    assert found.matrix.toarray().tolist() == [[0, 0], [0, 1], [1, 1], [1, 0]]
    unknown = set()
    assert found.of(["red", "blue"], unknown).toarray().tolist() == [[0, 1]] and unknown == {"blue"}
    with pytest.raises(ValueError, match="nothing is known of the column 'Segment'; .* of fit, such as hot, red$"):
        found.of({"Segment": "hot"}, unknown)
    found = as_attributes((sp.coo_matrix([[1.5, 0], [0, 2]]), [7, 3]), "user_features")
    assert found.names == ("0", "1") and found.matrix.toarray().tolist() == [[0, 2], [1.5, 0]]


@pytest.mark.parametrize("features, error, message", [
    (5, TypeError, "item_features are int; expected a table, a path"),
    ({}, TypeError, "item_features are an empty dict; expected a table"),
    ({"item": [1, 1], "g": ["a", "b"]}, ValueError, "item_features, row 1: the id 1 is in row 0, too"),
    ({"item": [1, 2], "g": ["a"]}, ValueError, "the column 'g' has 1 values and 2 ids"),
    ({"item": [1, 2, 3], "g": [1, 2, "x"]}, TypeError, "row 2, column g: 'x' is str; expected finite numbers in all"),
    ({"item": [1, 2], "y": [1, np.inf]}, TypeError, "row 1, column y: inf is float"),
    ({"item": [1, 2], "y": [{}, "a"]}, TypeError, "row 0, column y: {} is dict; expected a word, a list of words"),
    ({"tea": ["hot", 3.5]}, TypeError, "id 'tea': 3.5 is float"),
    ({"item": [1, "a"], "y": [1, 2]}, TypeError, "entry 1: the id in ids is 'a'"),
    ({"item": [1, 2], "y": ["a", "b"]}, ValueError, "no number that differs and no word that two ids have"),
    ((sp.eye(3), [1, 2]), TypeError, r"expected \(matrix, ids\)"),
    (np.array([(1, 2.0)], [("item", int), ("y", float)]), ValueError, "no number that differs"),
    ({"item": [1, 2], "y": 5}, ValueError, "the column 'y' has 1 values and 2 ids"),
    ({"item": [1, 2], "y": np.array(5)}, ValueError, "the column 'y' has 1 values and 2 ids"),
    ({"item": [1, 2], "y": "ab"}, ValueError, "the column 'y' has 1 values and 2 ids"),
    ({"item": [1, 2, 3], "y": [1, 2, 1e300]}, TypeError, "row 2, column y: 1e.300 is float"),
    ({"item": [1, 2], "g": ["x", "x"], "g=x": [1, 2]}, ValueError, "words and numbers in columns of one name, .*'g=x'"),
    ((sp.eye(2), [1, 2], None), TypeError, r"expected \(matrix, ids\)"),
    ((sp.eye(2) * 1j, [1, 2]), TypeError, "a sparse matrix of numbers"),
    ((sp.eye(2), [1, 2], ["a", "a"]), ValueError, "item_features have the columns 'a', 'a'; expected different names"),
    ((sp.csr_matrix((0, 2)), []), TypeError, r"expected \(matrix, ids\)"),
    ((sp.csr_matrix([[1.0], [np.nan]]), [1, 2]), ValueError, "row 1, column 0: the value is nan"),
])
def test_what_is_refused(features, error, message):
    with pytest.raises(error, match=message):
        as_attributes(features)


def test_a_file_of_digits_gives_ids_as_text_where_fit_had_words(tmp_path):
    (tmp_path / "items.csv").write_text("item,colour\nA1,red\n17,red\nB2,blue\nC3,blue\n")
    (tmp_path / "more.csv").write_text("item,colour\n9,red\n17,blue\n")
    found = as_attributes(tmp_path / "items.csv").with_more(tmp_path / "more.csv", "item_features", set())
    assert found.ids.tolist() == ["17", "9", "A1", "B2", "C3"]
    assert found.matrix.toarray()[:2].tolist() == [[1, 0], [0, 1]]  # blue, red


def test_more_numbers_are_scaled_as_those_of_the_fit():
    fit, more = as_attributes({"item": [1, 2, 3], "year": [1990, 2000, 2010]}), {"item": [7, 8], "year": [2020, 2040]}
    for form in (more, as_attributes(more), (sp.csr_matrix([[2020], [2040]]), [7, 8], ["year"])):
        found = fit.with_more(form, "item_features", set()).matrix.toarray()
        np.testing.assert_allclose(found[3:, 0], [20 / fit.scale[0], 40 / fit.scale[0]])


@pytest.mark.parametrize("form, indices, index", [("csr", "indices", -1), ("csr", "indices", 10 ** 8),
                                                  ("csc", "indices", 10 ** 8), ("coo", "row", -1),
                                                  ("coo", "col", 10 ** 8), ("csr", "indptr", 10 ** 8)])
def test_wrong_indices_of_a_matrix_are_an_error(form, indices, index):
    matrix = sp.eye(3, format=form)
    getattr(matrix, indices)[-1] = index
    with pytest.raises(ValueError, match="item_features: .*(entry|announces)"):
        as_attributes((matrix, [1, 2, 3]))


@pytest.mark.parametrize("text, message", [
    ("item,g\n1,a\n2,a,b\n", "line 3: found 3 columns; expected 2, as on the first line"),
    ("item\n1\n", "line 1: found no delimiter in 'item'; expected columns such as"),
    ("item,year\n" + "".join("%d,%d\n" % (k, k) for k in range(1, 20)) + "20,x\n",
     "line 21, column year: 'x' isn't a number, and 19 others are"),
    ("item,g\n1,a\n\n1,b\n", "line 4: the id 1 is in line 2, too"),
    ("item,g\n1,a\n,a\n", "line 3: the item is empty"),
    ('item,g\n1,"a\n', "line 2: unexpected end of data; expected lines that end"),
    ("item,2020\n1,5\n", "line 1: its fields 'item', '2020' may be names of columns, or the first values"),
    ("item,g,\n1,a,\n", "line 1: the columns are called 'item', 'g', ''; expected different names"),
    ("1|Doe, J|M\n2|Roe, J|F\n", "line 1: there are two ways to read it: by commas, '1.Doe', 'J.M'; or by '.', '1'"),
    ("item;p\n1;1,299\n2;3,5\n3;2,500\n4;x,y\n5;x z\n", "no number that differs"),
    ('item,p\n1,"1,299"\n2,7\n', "line 2, column p: '1,299' has a comma; expected numbers such as 1299.5: pass the"),
    ("item;p\n1;NA\n2;7\n3;3,50\n", "line 4, column p: '3,50' has a comma; expected numbers"),
    ("item,d\n" + "".join("%d,2020-01-%02d\n" % (k, k) for k in range(1, 20)) + "20,soon\n",
     "line 21, column d: 'soon' isn't a date, and 19 others are"),
    ("item,g\n", "has no row of values; expected one for each id"),
])
def test_what_is_refused_in_files(text, message, tmp_path):
    path = tmp_path / "items.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="items.csv.*" + message):
        as_attributes(path)
