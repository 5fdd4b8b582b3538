"""Named public data sets: fetched, verified, cached, parsed. docs/guide/data.md has their sources and licences."""
import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import AnyPath, check_path
from sparse_ae.data.datasets.titles import read_titles, titles_beside
from sparse_ae.data.load import load_ratings
from sparse_ae.data.ratings import Ratings
from sparse_ae.data.readers.sources import check_file, choose_table, unpacked
from sparse_ae.runtime.progress import say
from sparse_ae.theano_compat import folders

__all__ = ["Dataset", "jester", "movielens", "movielens_100k_folds"]

# Seconds to connect, and between two pieces: a network that drops packets must not hold up the error for minutes.
_TIMEOUTS, _SECONDS_OF_PIP = (5, 30), 120


class Dataset(NamedTuple):
    """A named data set.

    Attributes
    ----------
    name : str
        GroupLens's name of it, such as ``"ml-100k"``.
    ratings : sparse_ae.data.Ratings
        The ratings with their raw user and item ids.
    titles : dict
        Raw item id to title; empty where no titles were found. Items without a rating have titles too.
    """

    name: str
    ratings: Ratings
    titles: Dict[Any, str]

    def __repr__(self):
        matrix = self.ratings.matrix
        return "<%s: %d ratings, %d users, %d items, %d titles>" % ((self.name, matrix.nnz) + matrix.shape
                                                                    + (len(self.titles),))


# A published archive, and what to look for at a path: a file and its folder by name, else by their looks.
_Release = namedtuple("_Release", "label ratings_file folder home url checksum n_ratings", defaults=("", "", 0))

_MOVIELENS_HOME = "https://grouplens.org/datasets/movielens/"

# The md5 that GroupLens publishes with an archive; it has none for latest-small: the sha256 of TensorFlow Datasets.
_RELEASES = {
    name: _Release("MovieLens " + name, ratings_file, "ml-" + name, _MOVIELENS_HOME,  # ml-10m.zip has ml-10M100K
                   "https://files.grouplens.org/datasets/movielens/ml-%s.zip" % name, checksum, n_ratings)
    for name, ratings_file, n_ratings, checksum in (
        ("100k", "u.data", 100000, "md5:0e33842e24a9c977be4e0107933c0723"),
        ("1m", "ratings.dat", 1000209, "md5:c4d9eecfca2ab87c1945afe126590906"),
        ("latest-small", "ratings.csv", 100836,
         "sha256:696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436"),
        ("10m", "ratings.dat", 10000054, "md5:ce571fd55effeba0271552578f2648bd"),
        ("20m", "ratings.csv", 20000263, "md5:cd245b17a1ae2cc31bb14903e1204af3"),
        ("25m", "ratings.csv", 25000095, "md5:6b51fb2759a8657d3bfcbfc42b592ada"),
        ("32m", "ratings.csv", 32000204, "md5:d472be332d4daa821edc399621853b57"))}
_U_DATA_SHA256 = "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490"

# MovieLens 100K where GroupLens can't be reached: the lines of `u.data`, below a header; titles have years beside them.
REQUIREMENT, WHEEL = "recbole==1.2.1", "recbole-1.2.1-py3-none-any.whl"
CHECKSUM = "sha256:9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"


# The page has no checksum; this one is OmniRec's, whose loader keeps it for the Web Archive's copy of the file.
_JESTER = _Release("Jester 2", "jester_ratings.dat", "jester", "https://eigentaste.berkeley.edu/dataset/",
                   "https://eigentaste.berkeley.edu/dataset/archive/jester_dataset_2.zip",
                   "sha256:5c2b9fb8346fc132ac1be6a9264fef9a6d153da68f3201839ac25c19f9a59a09")


def movielens(name: str = "100k", path: Optional[AnyPath] = None) -> Dataset:
    """One of GroupLens's MovieLens data sets: ratings and titles. docs/guide/data.md has its licence, and what to cite.

    Parameters
    ----------
    name : str
        ``"100k"``, ``"1m"``, ``"latest-small"`` (of September 2018), ``"10m"``, ``"20m"``, ``"25m"`` or ``"32m"``.
    path : str or path-like, optional
        What you have on disk; no network is used. An archive (.zip), a folder that holds `u.data`, `ratings.dat` or
        `ratings.csv` (or a single ratings file of another name) itself or one level down, or a ratings file of any
        form that :func:`sparse_ae.data.load.load_ratings` reads. It may be a part of the data set.

    Returns
    -------
    Dataset
        Titles are those of `u.item`, `movies.dat` or `movies.csv` beside the ratings. A matrix file (.npz, .mtx,
        .mtx.gz) numbers its items from 0, so it gets none.

    Notes
    -----
    Downloads are cached in the folder that the environment variable SPARSE_AE_DATA names, or the user's cache folder.
    Where GroupLens can't be reached, "100k" comes from the copy in the wheel of RecBole 1.2.1 on the package index, by
    pip: the same ratings, in the same order, and the same titles.

    Examples
    --------
    >>> import sparse_ae
    >>> data = sparse_ae.movielens("100k")       # doctest: +SKIP
    >>> data, data.titles[50]                    # doctest: +SKIP
    (<ml-100k: 100000 ratings, 943 users, 1682 items, 1682 titles>, 'Star Wars (1977)')
    """
    if not isinstance(name, str) or name not in _RELEASES:
        raise ValueError("unknown MovieLens size %r. Known sizes: %s. Pass your own file or folder as path=."
                         % (name, ", ".join(map(repr, _RELEASES))))
    data = _read(path, _RELEASES[name], "movielens(%r, path=" % name, "ml-" + name)
    for other, release in _RELEASES.items():
        if other != name and len(data.ratings) == release.n_ratings:
            raise ValueError("%s holds %d ratings: that is MovieLens %s, but %r was asked for. "
                             "Call movielens(%r, path=...)." % (path, release.n_ratings, other, name, other))
    return data


def movielens_100k_folds(path=None):
    """The five canonical 80/20 splits of MovieLens 100k, ``u1.base``/``u1.test`` to ``u5.base``/``u5.test``.

    The test set of fold i is the i-th block of 20,000 lines of `u.data`, the training set all other lines, as by
    `mku.sh` in the archive.

    Parameters
    ----------
    path : str or path-like, optional
        As in :func:`movielens`, but it must lead to `u.data` as GroupLens ships it.

    Returns
    -------
    list of (scipy.sparse.csr_matrix, scipy.sparse.csr_matrix)
        Five pairs (train, test), float32, each matrix 943 x 1682 and aligned with ``movielens("100k").ratings``:
        row = user id - 1, column = item id - 1.

    Raises
    ------
    ValueError
        If the file is not `u.data` line for line: other folds would come of another order.
    """
    with _located(path, _RELEASES["100k"], "movielens_100k_folds(path=") as (ratings_file, _):
        lines = ratings_file.read_bytes()
        if lines.startswith(b"user_id:token"):  # RecBole's header
            lines = lines.partition(b"\n")[2]
        digest = hashlib.sha256(lines).hexdigest()
        if digest != _U_DATA_SHA256:
            raise ValueError("%s does not have the lines of MovieLens 100k's u.data in their order: sha256 %s, "
                             "expected %s. Take u.data from a fresh copy of ml-100k.zip: %s"
                             % (ratings_file, digest, _U_DATA_SHA256, _MOVIELENS_HOME))
    users, items, values = np.loadtxt(io.BytesIO(lines), dtype=np.int64, usecols=(0, 1, 2), unpack=True)
    block = np.arange(len(users)) // 20000
    return [tuple(sp.csr_matrix((values[part].astype(np.float32), (users[part] - 1, items[part] - 1)), (943, 1682))
                  for part in (block != i, block == i)) for i in range(5)]


def jester(path: Optional[AnyPath] = None) -> Dataset:
    """Jester's data set 2: 1.7 million ratings of 150 jokes, real numbers from -10 to 10.

    A rating of 0 is a stored entry, not a missing one. Ten of the jokes have no ratings. The tables of data set 1 are
    read by ``as_ratings(numpy.loadtxt("jester-data-1.csv", delimiter=",")[:, 1:], missing=99)``.

    Parameters
    ----------
    path : str or path-like, optional
        What you have on disk; no network is used: `jester_dataset_2.zip`, a folder with `jester_ratings.dat`, or that
        file. It may be a part of the data set.

    Returns
    -------
    Dataset
        A joke's title is its text, where `jester_items.dat` is beside the ratings.

    Raises
    ------
    ValueError
        For ratings outside -10 .. 10.
    """
    data = _read(path, _JESTER, "jester(path=", "jester-2")
    low, high = data.ratings.matrix.data.min(), data.ratings.matrix.data.max()
    if low < -10 or high > 10:
        raise ValueError("%s holds ratings from %g to %g; expected -10 to 10, as in jester_ratings.dat"
                         % (path, low, high))
    return data


# Downloads


def cache_folder():
    """The folder for downloads, which may not exist yet: SPARSE_AE_DATA, else the user's own, else a temporary one."""
    if os.environ.get("SPARSE_AE_DATA"):
        return Path(check_path(os.environ["SPARSE_AE_DATA"], "SPARSE_AE_DATA", "the path of a folder"))
    import pooch
    folder = Path(pooch.os_cache("sparse_ae"))
    return folder if folder.is_dir() or folders.can_be_made(str(folder)) else Path(folders.temporary("sparse_ae"))


def _fetch(release, call):
    """The archive: from the cache, else from the network; otherwise FileNotFoundError, with advice."""
    import pooch
    folder, logger, failures = cache_folder(), pooch.get_logger(), []
    name = release.url.rpartition("/")[2]
    sources = [(release.url, release.checksum, name, pooch.HTTPDownloader(timeout=_TIMEOUTS, chunk_size=1 << 16))]
    if release is _RELEASES["100k"]:
        sources.append((REQUIREMENT, CHECKSUM, WHEEL, _download))
    sources.sort(key=lambda each: not (folder / each[2]).is_file())  # what was fetched before comes first
    level, fetched = logger.level, (folder / sources[0][2]).is_file()
    logger.setLevel("WARNING")  # pooch announces each download
    try:
        for url, checksum, file_name, downloader in sources:
            try:
                path = pooch.retrieve(url, checksum, file_name, folder, downloader=downloader)
            except (OSError, ValueError) as error:
                failures.append("from %s: %s: %s" % (url, type(error).__name__, error))
                continue
            if not fetched and not os.environ.get("SPARSE_AE_DATA") and folder != Path(pooch.os_cache("sparse_ae")):
                say("%s can't be written to: downloads are kept in %s. To keep them elsewhere: SPARSE_AE_DATA=FOLDER"
                    % (pooch.os_cache("sparse_ae"), folder))
            return path
    finally:
        logger.setLevel(level)
    raise FileNotFoundError(
        "%s is not in the cache folder %s and could not be fetched %s. Download %s from %s in another way and call "
        "%s'.../%s'). The environment variable SPARSE_AE_DATA names another cache folder."
        % (release.label, folder, "; nor ".join(failures), name, release.home, call, name))


def _download(requirement, output_file, _):
    """A pooch downloader that asks pip, which knows the user's index, proxy and certificates."""
    with tempfile.TemporaryDirectory(prefix="sparse_ae-") as folder:
        # Wheels only: building a source distribution would run its code.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-input",
                   "--disable-pip-version-check", "--retries=1", "--timeout=15", "--dest", folder, requirement]
        try:
            pip = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 timeout=_SECONDS_OF_PIP)
        except subprocess.TimeoutExpired:
            raise OSError("pip download did not end within %d seconds" % _SECONDS_OF_PIP) from None
        if pip.returncode != 0:
            said = pip.stdout.decode(errors="replace").strip().splitlines() or ["no message"]
            errors = [line for line in said if line.startswith("ERROR")]
            raise OSError("pip download failed: %s" % " ".join(errors or said[-1:]))
        shutil.copyfile(str(Path(folder, WHEEL)), output_file)


# Files at a path


def _read(path, release, call, name):
    """The `Dataset` at a path, or of a release."""
    with _located(path, release, call) as (ratings_file, titles_file):
        ratings = load_ratings(ratings_file)
        return Dataset(name, ratings, {} if titles_file is None else read_titles(titles_file, ratings.items))


@contextlib.contextmanager
def _located(path, release, call):
    """The files of ratings and of titles (or None) at `path`, or of the release; `call` stands in an error."""
    path = Path(check_path(_fetch(release, call) if path is None else path, "path",
                           "the path of a file or a folder"))
    if path.is_dir():
        files = [file for pattern in ("*", "*/*") for file in path.glob(pattern) if file.is_file()]
        ratings, titles = _choose([file.relative_to(path).as_posix() for file in files], release, path)
        yield path / ratings, titles and path / titles
        return
    check_file(path)
    if path.suffix.lower() in (".zip", ".whl"):
        with unpacked(path, lambda names: _choose(names, release, path), release.home) as files:
            yield files
    else:
        titles = titles_beside(path.name, [file.name for file in path.parent.iterdir() if file.is_file()])
        yield path, titles and path.parent / titles


def _choose(entries, release, where):
    """The ratings entry and the titles entry (or None) among the '/'-separated file names of a folder or an archive."""
    chosen = choose_table(entries, where, release.ratings_file, release.folder, release.label)
    folder, slash, name = chosen.rpartition("/")
    titles = titles_beside(name, [entry.rpartition("/")[2] for entry in entries if entry.rpartition("/")[0] == folder])
    return chosen, titles and folder + slash + titles
