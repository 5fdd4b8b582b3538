"""Named data sets, without a network: small archives in GroupLens's layouts, and downloads that are faked or fail."""
import errno
import gzip
import hashlib
import subprocess
import zipfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pooch
import pytest
import requests
import scipy.sparse as sp
from matrices import as_bytes, zipped

from sparse_ae.data.datasets import jester, movielens, movielens_100k_folds, published
from sparse_ae.data.datasets.published import cache_folder

TRIPLES = [(1, 10, 5.0, 881250949), (1, 30, 3.0, 891717742), (7, 10, 1.0, 878887116), (9, 20, 4.0, 880606923)]
# Item 40 has a title and no rating.
TITLES = {10: "Caf\xe9 Society (1995)", 20: "Heat (1995)", 30: "Speed (1994)", 40: "Unrated (1996)"}
CSV_TITLES = {**TITLES, 20: 'Seven (a.k.a. "Se7en"), The (1995)', 30: "American President, The (1995)"}

HTTP_DOWNLOADER = pooch.HTTPDownloader


def lines(rows):
    return "".join(row + "\n" for row in rows)


def joined(separator, header=None):
    rows = [separator.join(str(int(x) if x == int(x) else x) for x in triple) for triple in TRIPLES]
    return lines(([header] if header else []) + rows).encode()


def dat_titles(encoding):
    return lines("%d::%s::Drama|Crime" % item for item in TITLES.items()).encode(encoding)


CSV_ROWS = ['%d,"%s",Drama' % (item, title.replace('"', '""')) for item, title in CSV_TITLES.items()]
U_ITEM = lines("%d|%s |01-Jan-1995||http://x|0|1" % item for item in TITLES.items()).encode("latin-1")

# {path in the archive: content} as GroupLens ships it, the ratings first; and the titles.
PUBLISHED = {
    "100k": ({"ml-100k/u.data": joined("\t"), "ml-100k/u.item": U_ITEM, "ml-100k/u.user": b"1|24|M|technician|85711\n",
              "ml-100k/u1.base": joined("\t"), "ml-100k/README": b"x"}, TITLES),
    "1m": ({"ml-1m/ratings.dat": joined("::"), "ml-1m/movies.dat": dat_titles("latin-1"),
            "ml-1m/users.dat": b"1::F::1::10::48067\n", "ml-1m/README": b"x"}, TITLES),
    "10m": ({"ml-10M100K/ratings.dat": joined("::"), "ml-10M100K/movies.dat": dat_titles("utf-8"),
             "ml-10M100K/tags.dat": b"15::4973::excellent!::1215184630\n"}, TITLES),
    "25m": ({"ml-25m/ratings.csv": joined(",", "userId,movieId,rating,timestamp"),
             "ml-25m/movies.csv": lines(["movieId,title,genres"] + CSV_ROWS).encode("utf-8"),
             "ml-25m/tags.csv": b"userId,movieId,tag,timestamp\n1,10,good,1\n",
             "ml-25m/links.csv": b"movieId,imdbId,tmdbId\n10,1,2\n", "ml-25m/README.txt": b"Summary\n"}, CSV_TITLES)}


def write_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zipped(files))
    return path


def in_form(form, root, name, files):
    """Files as an archive, as a folder, or the first of them by itself."""
    if form == "archive":
        return write_zip(root / (name + ".zip"), files)
    for file_name, content in files.items():
        (root / "folder" / file_name).parent.mkdir(parents=True, exist_ok=True)
        (root / "folder" / file_name).write_bytes(content)
    return root / "folder" if form == "folder" else root / "folder" / next(iter(files))


def archive_of(root, name):
    files, titles = PUBLISHED[name]
    return write_zip(root / ("ml-%s.zip" % name), dict(files, **{"__MACOSX/x/._ratings.csv": b"\0"})), titles


def checksum(path):
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def serve(monkeypatch, path):
    """Make `path` what GroupLens delivers; returns the list of addresses asked for."""
    asked = []

    def download(url, output_file, _):
        asked.append(url)
        Path(str(output_file)).write_bytes(path.read_bytes())

    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: download)
    return asked


def serve_wheel(monkeypatch, path):
    """Make `path` what pip delivers, and what is expected; returns the list of commands run."""
    commands = []

    def run(command, **_):
        commands.append(command)
        Path(command[command.index("--dest") + 1], published.WHEEL).write_bytes(path.read_bytes())
        return subprocess.CompletedProcess(command, 0, stdout=b"")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(published, "CHECKSUM", checksum(path))
    return commands


def wheel_of(path, u_data, item=b"item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"):
    folder = "recbole/dataset_example/ml-100k/"
    header = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    return write_zip(path, {folder + "ml-100k.inter": header + u_data, folder + "ml-100k.item": item,
                            folder + "ml-100k.user": b"user_id:token\tage:token\n1\t24\n",
                            "recbole/properties/dataset/ml-100k.yaml": b"x: 1\n"})


def expect(monkeypatch, name, path):
    monkeypatch.setitem(published._RELEASES, name, published._RELEASES[name]._replace(checksum=checksum(path)))


def check(dataset, titles):
    np.testing.assert_array_equal(dataset.ratings.matrix.toarray(), [[5, 0, 3], [1, 0, 0], [0, 4, 0]])
    assert dataset.ratings.matrix.dtype == np.float32
    assert list(dataset.ratings.users) == [1, 7, 9]
    assert list(dataset.ratings.items) == [10, 20, 30]
    assert dataset.titles == titles


@pytest.fixture(autouse=True)
def no_network(request, monkeypatch, tmp_path):
    """An empty cache folder, and downloads that fail at once unless a test serves something."""
    monkeypatch.setenv("SPARSE_AE_DATA", str(tmp_path / "cache"))
    if request.node.get_closest_marker("network"):
        return

    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: Mock(side_effect=requests.ConnectionError("no route")))
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(
        command, 1, stdout=b"Looking\nERROR: No matching distribution\n"))


def cached():
    return sorted(path.name for path in cache_folder().glob("*"))


# What the user has on disk

@pytest.mark.parametrize("form", ["archive", "folder", "file"])
@pytest.mark.parametrize("name", ["100k", "10m", "25m"])  # 1m has 10m's layout in Latin-1, all others 25m's
def test_every_layout_loads_from_a_path(tmp_path, name, form):
    files, titles = PUBLISHED[name]
    path = in_form(form, tmp_path, name, files)
    for each in (path, path / next(iter(files)).partition("/")[0])[:1 + (form == "folder")]:
        dataset = movielens(name, path=str(each))
        check(dataset, titles)
    assert repr(dataset) == "<ml-%s: 4 ratings, 3 users, 3 items, 4 titles>" % name
    assert list(dataset.ratings.timestamps) == [t for _, _, _, t in TRIPLES]
    assert not cache_folder().exists()


MATRIX = sp.csc_matrix([[5.0, 0, 3], [1, 0, 0], [0, 4, 0]])
MTX = b"%%MatrixMarket matrix coordinate real general\n3 3 4\n1 1 5\n1 3 3\n2 1 1\n3 2 4\n"
BOTH = ["folder", "archive"]
NPZ = as_bytes(lambda file: sp.save_npz(file, MATRIX))


@pytest.mark.parametrize("forms, name, files, titles", [
    (BOTH, "1m", dict(PUBLISHED["1m"][0], **{"ml-10m/ratings.dat": b"3::4::2.5::1\n"}), TITLES),  # of the asked size
    (BOTH, "1m", {"ratings.dat": joined("::"), "old/ratings.dat": b"3::4::2.5::1\n"}, {}),  # the highest
    (BOTH, "1m", {"mine.csv": joined(","), "__MACOSX/mine.csv": b"\0", ".mine.csv": b"\0"}, {}),
    (["file"], "100k", {"u1.base": joined("\t"), "u.item": U_ITEM}, TITLES),
    (["file"], "100k", {"u1.base": joined("\t")}, {}),
    # Items of a matrix are positions, and not GroupLens's ids.
    (BOTH + ["file"], "1m", {"movielens.npz": NPZ, "movies.dat": dat_titles("latin-1"), "users.dat": b"x"}, {}),
    (BOTH, "100k", {"r.mtx.gz": gzip.compress(MTX), "u.item": U_ITEM}, {}),
])
def test_what_is_taken_of_several_files(tmp_path, forms, name, files, titles):
    for form in forms:
        found = movielens(name, path=in_form(form, tmp_path, "mine", files))
        assert found.ratings.matrix.toarray().tolist() == MATRIX.toarray().tolist() and found.titles == titles


@pytest.mark.parametrize("name, ratings, titles, expected", [
    ("25m", b"user,item,rating\nann,tt01,4\nbob,tt02,2\n", b"movieId,title,genres\ntt01,One,x\ntt02,Two,x\n",
     {"tt01": "One", "tt02": "Two"}),  # ids of text
    ("100k", b"1\t1\t3\t1\r\n1\t2\t4\t1\r\n", b"1|A\x85B\x1cC (1990)|x\r\n2|\xe9 (1991)|x\r\n",
     {1: "A\x85B\x1cC (1990)", 2: "\xe9 (1991)"})])  # characters that look like line ends
def test_titles(tmp_path, name, ratings, titles, expected):
    of_ratings, of_titles = {"25m": ("ratings.csv", "movies.csv"), "100k": ("u.data", "u.item")}[name]
    files = {of_ratings: ratings, of_titles: titles}
    assert movielens(name, path=in_form("folder", tmp_path, "mine", files)).titles == expected


# What GroupLens delivers

def test_downloads_are_verified_cached_and_quiet(tmp_path, monkeypatch, capfd):
    good, titles = archive_of(tmp_path / "server", "1m")
    expect(monkeypatch, "1m", good)
    truncated = tmp_path / "truncated.zip"
    truncated.write_bytes(good.read_bytes()[:-20])
    serve(monkeypatch, truncated)
    with pytest.raises(FileNotFoundError, match=r"(?s)MovieLens 1m is not in the cache folder .*cache and could not be "
                                                r"fetched from https://files.*/movielens/ml-1m.zip: "
                                                r"ValueError: SHA256 hash of downloaded file .* does not match"):
        movielens("1m")
    assert cached() == []
    asked, level = serve(monkeypatch, good), pooch.get_logger().level
    for _ in range(2):
        check(movielens("1m"), titles)
    assert asked == ["https://files.grouplens.org/datasets/movielens/ml-1m.zip"] and cached() == ["ml-1m.zip"]
    assert pooch.get_logger().level == level and capfd.readouterr() == ("", "")
    (cache_folder() / "ml-1m.zip").write_bytes(good.read_bytes()[:100])  # damaged since
    check(movielens("1m"), titles)
    assert len(asked) == 2 and checksum(cache_folder() / "ml-1m.zip") == checksum(good)


def test_cache_folders(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    monkeypatch.setenv("SPARSE_AE_DATA", "~/ratings")
    assert cache_folder() == Path.home() / "ratings"
    monkeypatch.setenv("SPARSE_AE_DATA", "")
    assert cache_folder() == tmp_path / "sparse_ae"
    good, titles = archive_of(tmp_path / "server", "1m")
    expect(monkeypatch, "1m", good)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPARSE_AE_DATA", str(tmp_path / "file" / "cache"))
    with pytest.raises(FileNotFoundError, match="(?s)SPARSE_AE_DATA"):
        movielens("1m")
    monkeypatch.delenv("SPARSE_AE_DATA")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "file" / name)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    serve(monkeypatch, good)
    for said in ("%s can't be written to: downloads are kept in %s. To keep them elsewhere: SPARSE_AE_DATA=FOLDER\n"
                 % (tmp_path / "file" / "sparse_ae", cache_folder()), ""):
        check(movielens("1m"), titles)
        assert capsys.readouterr() == ("", said) and cache_folder().parent == tmp_path


def test_http_has_short_time_limits(monkeypatch):
    get = Mock(side_effect=requests.ConnectTimeout("timed out"))
    monkeypatch.setattr(pooch, "HTTPDownloader", HTTP_DOWNLOADER)
    monkeypatch.setattr(requests, "get", get)
    with pytest.raises(FileNotFoundError, match="ConnectTimeout: timed out"):
        movielens("20m")
    assert [call[1]["timeout"] for call in get.call_args_list] == [(5, 30)]


# When it can't be had

def test_without_grouplens_100k_comes_from_the_package_index(tmp_path, monkeypatch, capfd):
    item = ("item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
            "10\tCaf\xe9 Society\t1995\tDrama\n20\tHeat\t1995\tCrime\n30\tSpeed\t1994\tx\n"
            "40\tunkonwn\tunkonwn\tunkonwn\n50\tNo Year\t\tx\n")
    wheel = wheel_of(tmp_path / "index" / "recbole.whl", joined("\t"), item.encode("utf-8"))
    commands, titles = serve_wheel(monkeypatch, wheel), {**TITLES, 40: "unknown", 50: "No Year"}
    for _ in range(2):
        check(movielens("100k"), titles)
    assert len(commands) == 1 and commands[0][1:4] == ["-m", "pip", "download"] and commands[0][-1] == "recbole==1.2.1"
    assert {"--no-deps", "--only-binary=:all:"} <= set(commands[0]) and cached() == [published.WHEEL]
    check(movielens("100k", path=wheel), titles)
    assert capfd.readouterr() == ("", "")
    for line in ("20", "20\tHeat", "20\tHeat\t1995\tCrime\tmore"):
        broken = wheel_of(tmp_path / "broken.whl", joined("\t"), (item.partition("\n")[0] + "\n%s\n" % line).encode())
        with pytest.raises(ValueError, match=r"broken\.whl/.*ml-100k\.item.* found [125] columns"):
            movielens("100k", path=broken)


def test_what_the_package_index_may_fail_by(tmp_path, monkeypatch):
    wheel = wheel_of(tmp_path / "recbole.whl", joined("\t"))
    serve_wheel(monkeypatch, wheel)
    monkeypatch.setattr(published, "CHECKSUM", "sha256:" + 64 * "0")
    with pytest.raises(FileNotFoundError, match="nor from recbole==1.2.1: ValueError: SHA256 hash of downloaded file"):
        movielens("100k")
    monkeypatch.setattr(subprocess, "run", Mock(side_effect=subprocess.TimeoutExpired("pip", 120)))
    with pytest.raises(FileNotFoundError, match="OSError: pip download did not end within 120 seconds"):
        movielens("100k")
    assert cached() == []


OF_BOOLS = as_bytes(lambda file: sp.save_npz(file, sp.eye(3).tocsr().astype(bool)))


# Files, archives among them as dictionaries; what is read, with the folder of the files; and the error.
REFUSED = [
    ({}, lambda path: movielens(["a"]), ValueError,
     r"unknown MovieLens size \['a'\]. Known sizes: '100k', '1m', 'latest-small', .*'32m'. Pass your own file or"),
    ({}, lambda path: movielens("1m", path=path / "nowhere.zip"), FileNotFoundError,
     r"there is no file .*nowhere\.zip; check the path"),
    ({}, lambda path: movielens("100k", path=path), FileNotFoundError,
     r"holds no ratings file: expected u\.data, or one file ending in \.csv, .* It holds: nothing\."),
    ({"movies.dat": b"x", "README": b"x"}, lambda path: movielens("1m", path=path), FileNotFoundError,
     r"expected ratings\.dat, .* It holds: README, movies\.dat\."),
    ({"a.csv": b"x", "b.npz": b"x"}, lambda path: movielens("100k", path=path), ValueError,
     r"several files that may be the ratings of MovieLens 100k: a\.csv, b\.npz\. Pass one of them as path"),
    ({"u.data": joined("\t")}, movielens_100k_folds, ValueError,
     r"u\.data does not have the lines of .*: sha256 .*Take u\.data from a fresh copy of ml-100k\.zip"),
    ({"m.zip": {"ml-1m/ratings.dat": joined("::") + b"9::30::many::1\n"}}, lambda path: movielens("1m", path / "m.zip"),
     ValueError, r"^\S*m\.zip/ml-1m/ratings\.dat, line 5: "),
    ({"m.zip": {"ml-1m/r.npz": OF_BOOLS}}, lambda path: movielens("1m", path / "m.zip"), TypeError,
     r"m\.zip/ml-1m/r\.npz: ratings are of dtype bool"),
    ({}, lambda path: jester(), FileNotFoundError,
     r"(?s)Jester 2 is not in the cache folder .* could not be fetched from https://eigentaste.*no route.*Download "
     r"jester_dataset_2.zip from https://eigentaste.*call jester\(path='.../jester_dataset_2.zip'\)"),
    ({"jester-data-1.csv": b"74,5,99\n80,5,0.5\n"}, jester, ValueError,
     "holds ratings from 0.5 to 99; expected -10 to 10, as in jester_ratings.dat"),
    ({"jester_items.dat": b"Two fish in a tank\n", "jester_ratings.dat": b"7\t\t5\t\t1\n"}, jester, ValueError,
     r"jester_items.dat: expected an item id and a title"),
    ({"no.zip": b"1,2,3\n"}, lambda path: jester(path / "no.zip"), ValueError,
     "no.zip can't be read: .*; expected a sound zip archive: download it again https://eigentaste")]


@pytest.mark.parametrize("files, read, error, message", REFUSED)
def test_refused(tmp_path, files, read, error, message):
    for name, content in files.items():
        if isinstance(content, dict):
            write_zip(tmp_path / name, content)
        else:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        read(tmp_path)
    assert "sparse_ae-" not in str(caught.value)  # the folder that an archive is unpacked in


def test_the_ratings_of_another_size(tmp_path, monkeypatch):
    folder = in_form("folder", tmp_path, "1m", PUBLISHED["1m"][0]) / "ml-1m"
    monkeypatch.setitem(published._RELEASES, "1m", published._RELEASES["1m"]._replace(n_ratings=4))
    movielens("1m", path=folder)
    with pytest.raises(ValueError, match=r"ml-1m holds 4 ratings: that is MovieLens 1m, but '100k' was asked for\. "
                                         r"Call movielens\('1m', path=\.\.\.\)"):
        movielens(path=folder)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), MemoryError("no room")])
def test_a_full_disk_or_memory_is_no_fault_of_an_archive(tmp_path, monkeypatch, error):
    archive, _ = archive_of(tmp_path, "1m")
    monkeypatch.setattr(zipfile.ZipFile, "extract", Mock(side_effect=error))
    with pytest.raises(type(error), match="No space left on device|no room"):
        movielens("1m", archive)


# Folds

def test_the_folds_are_grouplens_own(shared_data):
    folder = shared_data / "ml-100k"
    for i, fold in enumerate(movielens_100k_folds(folder), 1):
        for matrix, kind in zip(fold, ("base", "test")):
            assert matrix.shape == (943, 1682) and matrix.dtype == np.float32 and matrix.has_sorted_indices
            entries = matrix.tocoo()
            ours = np.stack([entries.row + 1, entries.col + 1, entries.data], axis=1).astype(int)
            np.testing.assert_array_equal(ours, np.loadtxt(str(folder / ("u%d.%s" % (i, kind))), dtype=int)[:, :3])
    dataset = movielens("100k", path=folder)
    assert dataset.titles[543] == "Mis\xe9rables, Les (1995)" and set(dataset.titles) == set(dataset.ratings.items)
    assert i == 5 and (sum(fold) != dataset.ratings.matrix).nnz == 0


def test_folds_by_hand(tmp_path, monkeypatch):
    pairs = np.random.RandomState(0).permutation(943 * 1682)[:100000]
    u_data = lines("%d\t%d\t%d\t1" % (pair // 1682 + 1, pair % 1682 + 1, pair % 5 + 1) for pair in pairs).encode()
    monkeypatch.setattr(published, "_U_DATA_SHA256", hashlib.sha256(u_data).hexdigest())
    wheel = wheel_of(tmp_path / "index" / "recbole.whl", u_data)
    for path in (write_zip(tmp_path / "ml-100k.zip", {"ml-100k/u.data": u_data}), wheel):
        train, test = movielens_100k_folds(path)[3]
        third = pairs[60000:80000]
        expected = sp.csr_matrix((third % 5 + 1, (third // 1682, third % 1682)), shape=(943, 1682))
        assert (test != expected).nnz == 0 and train.nnz == 80000 and train.multiply(test).nnz == 0


@pytest.mark.network
def test_the_real_100k():
    dataset = movielens("100k")
    assert dataset.ratings.matrix.shape == (943, 1682) and dataset.ratings.matrix.nnz == 100000
    assert dataset.titles[1] == "Toy Story (1995)" and dataset.titles[267] == "unknown" and len(dataset.titles) == 1682
    train, test = movielens_100k_folds()[0]
    assert train.nnz == 80000 and test.nnz == 20000
    assert len(cached()) == 1


# Jester

JESTER = b"7\t\t5\t\t-9.281\n7\t\t13\t\t0.000\n9\t\t5\t\t10\n"
JOKES = (b"5:\n<p>\nTwo fish &amp; a tank. <br />\n\"How do you <i>drive</i> this?\" </p>\n\n\n13:\nNone.\n\n"
         b"1:\nNobody rated &quot;this&quot;\n")


@pytest.mark.parametrize("form", ["archive", "folder", "file"])
def test_jester(tmp_path, form):
    dataset = jester(in_form(form, tmp_path, "jester", {"jester_ratings.dat": JESTER, "jester_items.dat": JOKES}))
    assert dataset.name == "jester-2" and dataset.titles == {
        5: 'Two fish & a tank. "How do you drive this?"', 13: "None.", 1: 'Nobody rated "this"'}
    assert dataset.ratings.users.tolist() == [7, 9] and dataset.ratings.items.tolist() == [5, 13]
    coo = dataset.ratings.matrix.tocoo()
    assert list(zip(coo.row, coo.col, coo.data)) == [(0, 0, np.float32(-9.281)), (0, 1, 0), (1, 0, 10)]


@pytest.mark.network
def test_the_real_jester(monkeypatch):
    monkeypatch.delenv("SPARSE_AE_DATA")
    dataset = jester()
    assert dataset.ratings.matrix.nnz > 1.7e6 and dataset.ratings.matrix.shape == (59132, 140)
    assert len(dataset.titles) == 150


@pytest.mark.parametrize("name, delimiter", [("u.data", b"\t"), ("ratings.dat", b"::")])
@pytest.mark.parametrize("form", ["archive", "file"])
def test_small_timestamps_of_movielens_are_no_table(tmp_path, capsys, name, delimiter, form):
    path = in_form(form, tmp_path, "mine", {name: b"1 10 5 0\n1 30 3 0\n".replace(b" ", delimiter)})
    assert movielens("1m", path).ratings.timestamps.tolist() == [0, 0]
    assert not capsys.readouterr().err
