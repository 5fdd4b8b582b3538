"""Attributes in every form are one matrix of columns by hand; bad ones are refused with the column and the line."""
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ae.data.attributes import as_attributes

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
    assert found.of({"genre": "Drama|Comedy", "year": 2005, "city": "x"}).toarray().tolist() == [[1, 2, 0, 0]]
    nothing = {"genre": None, "year": np.nan, "tags": [], "height": 3}
    assert not found.of(nothing).nnz
    with pytest.raises(TypeError, match="features, column 'genre': 5 is int"):
        found.of({"genre": 5})
    for wrong in (1e300, "2005"):
        with pytest.raises(TypeError, match="features, column 'year': .* is (float|str); expected a"):
            found.of({"year": wrong})
    assert found.over(np.array([5, 20, 25, 30]))[1].tolist() == [False, True, False, True]
    np.testing.assert_allclose(found.over(np.array([5, 20, 25, 30]))[0].toarray(), [[0] * 4, ROWS[1], [0] * 4, ROWS[2]])


def test_words_of_each_id_and_a_matrix():
    found = as_attributes({"tea": ["hot", "green"], "jam": "red|hot", "ale": ["red"], "air": None})
    assert found.names == ("hot", "red") and found.ids.tolist() == ["air", "ale", "jam", "tea"]
    assert found.matrix.toarray().tolist() == [[0, 0], [0, 1], [1, 1], [1, 0]]
    assert found.of(["red", "blue"]).toarray().tolist() == [[0, 1]]
    found = as_attributes((sp.coo_matrix([[1.5, 0], [0, 2]]), [7, 3]), "user_features")
    assert found.names == ("0", "1") and found.matrix.toarray().tolist() == [[0, 2], [1.5, 0]]


@pytest.mark.parametrize("features, error, message", [
    (5, TypeError, "item_features are int; expected a table, a path"),
    ({}, TypeError, "item_features are dict; .* without columns"),
    ({"item": [1, 1], "g": ["a", "b"]}, ValueError, "item_features, row 1: the id 1 is in row 0, too"),
    ({"item": [1, 2], "g": ["a"]}, ValueError, "the column 'g' has 1 values and 2 ids"),
    ({"item": [1, 2, 3], "g": [1, 2, "x"]}, TypeError, "row 2, column g: 'x' is str; expected finite numbers in all"),
    ({"item": [1, 2], "y": [1, np.inf]}, TypeError, "row 1, column y: inf is float"),
    ({"item": [1, 2], "y": [{}, "a"]}, TypeError, "row 0, column y: {} is dict; expected a word, a list of words"),
    ({"tea": ["hot", 3.5]}, TypeError, "id 'tea': 3.5 is float"),
    ({"item": [1, "a"], "y": [1, 2]}, TypeError, "entry 1: the id in ids is 'a'"),
    ({"item": [1, 2], "y": ["a", "b"]}, ValueError, "no number that differs and no word that two ids have"),
    ((sp.eye(3), [1, 2]), TypeError, r"expected \(matrix, ids\)"),
    ({"item": [1, 2], "y": 5}, ValueError, "the column 'y' has 1 values and 2 ids"),
    ({"item": [1, 2], "y": np.array(5)}, ValueError, "the column 'y' has 1 values and 2 ids"),
    ({"item": [1, 2], "y": "ab"}, ValueError, "the column 'y' has 1 values and 2 ids"),
    ({"item": [1, 2, 3], "y": [1, 2, 1e300]}, TypeError, "row 2, column y: 1e.300 is float"),
    ((sp.eye(2), [1, 2], None), TypeError, r"expected \(matrix, ids\)"),
    ((sp.eye(2) * 1j, [1, 2]), TypeError, "a sparse matrix of numbers"),
    ((sp.csr_matrix((0, 2)), []), TypeError, r"expected \(matrix, ids\)"),
    ((sp.csr_matrix([[1.0], [np.nan]]), [1, 2]), ValueError, "row 1, column 0: the value is nan"),
])
def test_what_is_refused(features, error, message):
    with pytest.raises(error, match=message):
        as_attributes(features)


@pytest.mark.parametrize("form, indices, index", [("csr", "indices", -1), ("csr", "indices", 10 ** 8),
                                                  ("csc", "indices", 10 ** 8), ("coo", "row", -1),
                                                  ("coo", "col", 10 ** 8), ("csr", "indptr", 10 ** 8)])
def test_wrong_indices_of_a_matrix_are_an_error(form, indices, index):
    matrix = sp.eye(3, format=form)
    getattr(matrix, indices)[-1] = index
    with pytest.raises(ValueError, match="item_features: .*(entry|announces)"):
        as_attributes((matrix, [1, 2, 3]))


@pytest.mark.parametrize("text, message", [
    ("item,g\n1,a\n2,a,b\n", "line 3: found 3 columns; expected 2, as in the first line"),
    ("item\n1\n", "line 1: found no separator in 'item'"),
    ("item,year\n" + "".join("%d,%d\n" % (k, k) for k in range(1, 20)) + "20,x\n",
     "line 21, column year: 'x' isn't a number, and 19 others are"),
    ("item,g\n1,a\n\n1,b\n", "line 4: the id 1 is in line 2, too"),
    ("item,g\n1,a\n,a\n", "line 3: the item is empty"),
    ("1,2\n3,4\n", "line 1: found 1, 2 and 1 lines after it; expected different names of columns"),
    ('item,g\n1,"a\n', "line 2: unexpected end of data; expected fields as in CSV"),
])
def test_what_is_refused_in_files(text, message, tmp_path):
    path = tmp_path / "items.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="items.csv, " + message):
        as_attributes(path)
