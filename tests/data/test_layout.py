"""How a file is laid out: headers that are none and pairs that are a header, and ratings that stand for none."""
import numpy as np
import pytest

from sparse_ae.data import lines, text
from sparse_ae.data.layout import find_layout, holds_lines
from sparse_ae.data.load import load_ratings
from sparse_ae.data.stores import store_ratings


def written(folder, content, name="ratings.csv"):
    path = folder / name
    path.write_text(content)
    return path


def triples(ratings):
    coo = ratings.matrix.tocoo()
    return list(zip(ratings.users[coo.row].tolist(), ratings.items[coo.col].tolist(), coo.data.tolist()))


def test_layouts(tmp_path):
    for content, layout in [("1,2,3\n", (1, ",", 3)), ("\n\n1\t2\t3\t4", (3, "\t", 4)), ("a b c\n1 2 3", (2, None, 3)),
                            ('\n"a\nb";c;d\n1;2;3\n', (4, ";", 3)), ("1::2::3::4\r\n", (1, "::", 4))]:
        assert find_layout(written(tmp_path, content))[:3] == layout


# Pairs alone


@pytest.mark.parametrize("header", ["user,item", "User;Movie", "customer\tsong", "visitor song", "UserID::ProductID"])
def test_a_header_of_pairs(tmp_path, header):
    delimiter = next(each for each in ("::", "\t", ",", ";", " ") if each in header)
    content = "\n".join([header] + [delimiter.join(pair) for pair in (("7", "9"), ("8", "9"))])
    assert triples(load_ratings(written(tmp_path, content), pairs=True)) == [(7, 9, 1), (8, 9, 1)]


@pytest.mark.parametrize("header", ["Item;Ratings", "Ratings;User", "product;stars"])
def test_a_header_of_other_columns_is_no_pair(tmp_path, header):
    path = written(tmp_path, header + "\nA7;5\nA8;4\nA9;5\n")
    for read in (lambda: load_ratings(path, pairs=True), lambda: list(text.read_text(path, pairs=True))):
        with pytest.raises(ValueError, match="line 1: ratings have the columns .*none named for the (user|item)"):
            read()


@pytest.mark.parametrize("first, others", [
    ("user,item", "user,tea"),  # somebody, or something, of that name comes again
    ("user,item", "ann,item"),
    ("user1,item7", "user2,item8"), ("ann,tea", "bob,jam"), ("7,tea", "8,jam")])
def test_pairs_that_are_no_header(tmp_path, first, others):
    path = written(tmp_path, "%s\n%s\n" % (first, others))
    assert load_ratings(path, pairs=True).matrix.nnz == 2


def test_words_that_may_be_a_header_are_told_of(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(text, "say", said.append)
    path = written(tmp_path, "listener,artist\nann,tea\nbob,jam\n")
    assert load_ratings(path, pairs=True).matrix.nnz == 3
    assert said == ["%s: 'listener' and 'artist', on its first line, are read as a user and an item; if they name the "
                    "columns, drop that line" % path]
    load_ratings(path, pairs=True, progress=False)
    load_ratings(written(tmp_path, "ann,tea\nbob,tea\n"), pairs=True)
    assert len(said) == 1


# Ratings that stand for none


LINES = ["1,7,0", "1,8,5", "2,7,0.0", "3,8,4", "0,0,3"]
WANT = [(0, 0, 3), (1, 8, 5), (3, 8, 4)]


HEADERS = ["", "user,item,rating\n", '"User-ID","ISBN","Book-Rating"\n']


@pytest.mark.parametrize("size", [9, 2 ** 20])
@pytest.mark.parametrize("before", HEADERS)
def test_lines_whose_rating_stands_for_none(tmp_path, monkeypatch, before, size):
    monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", size)
    path = written(tmp_path, before + "\n".join(LINES) + "\n")
    assert holds_lines(path)
    got = load_ratings(path, missing=0)
    assert triples(got) == WANT and got.users.tolist() == [0, 1, 3]  # nobody has rated 7
    stored = store_ratings(path, tmp_path / "store", rows="users", missing=0)
    assert stored.matrix.nnz == 3 and stored.row_ids.tolist() == [0, 1, 3] and stored.col_ids.tolist() == [0, 8]
    assert triples(load_ratings(path, missing=99)) == sorted(WANT + [(1, 7, 0), (2, 7, 0)])


def test_what_the_careful_way_reads_is_left_out_too(tmp_path):
    content = 'item,rating,user,time\n"te\na",0,1,x\n"te\na",3,2,20\njam,0,,30\njam,nan,3,30\n'
    path = written(tmp_path, content.replace("jam,nan,3,30\n", ""))
    got = load_ratings(path, missing=0)
    assert triples(got) == [(2, "te\na", 3)] and got.timestamps.tolist() == [20]
    with pytest.raises(ValueError, match="line 7: the rating is nan; ratings have to be finite"):
        load_ratings(written(tmp_path, content.replace(",x", ",10")), missing=0)


@pytest.mark.parametrize("none", ["nan", "NaN", "", " "])
def test_lines_without_a_rating(tmp_path, none):
    path = written(tmp_path, "1,7,%s\n1,8,5\n2,7,0\n2,8,%s\n" % (none, none))
    assert triples(load_ratings(path, missing=np.nan)) == [(1, 8, 5), (2, 7, 0)]
    with pytest.raises(ValueError, match="line 1: the rating"):
        load_ratings(path)


def test_lines_with_timestamps(tmp_path):
    path = written(tmp_path, "1,7,0,978300760\n1,8,5,978300761\n")
    got = load_ratings(path, missing=0)
    assert triples(got) == [(1, 8, 5)] and got.timestamps.tolist() == [978300761]
    table = written(tmp_path, "1,7,0,3\n1,8,5,3\n")
    assert load_ratings(table, missing=0).matrix.shape == (2, 4) and not holds_lines(table)
    assert not holds_lines(written(tmp_path, "a,b,c,d\n1,2,3,4\n"))
    assert not holds_lines(written(tmp_path, "1,2,3,4,5\n"))


def test_how_lines_are_read_is_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(text, "say", said.append)
    path = written(tmp_path, "\n".join(LINES))
    load_ratings(path, missing=0)
    assert said == ["%s: read as user, item, rating in each line; those whose rating is 0, which stands for none, are "
                    "left out" % path]


@pytest.mark.parametrize("missing, error, message", [
    ("0", ValueError, "missing is '0'; expected the number that stands for no rating, such as 99, 0 or nan"),
    (True, ValueError, "missing is True"), (np.inf, ValueError, "missing is inf"),
    (3, ValueError, "holds .*no ratings, or none but 3, which stands for no rating")])
def test_what_cannot_stand_for_none(tmp_path, missing, error, message):
    path = written(tmp_path, "1,7,3\n2,8,3\n")
    for read in (lambda: load_ratings(path, missing=missing),
                 lambda: store_ratings(path, tmp_path / "store", missing=missing)):
        with pytest.raises(error, match=message):
            read()
