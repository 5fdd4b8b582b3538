"""Ratings from files: SciPy .npz, MatrixMarket, and text with a rating in each line."""
from typing import IO, Optional, Union

from sparse_ae.checks import AnyPath, Column
from sparse_ae.data import readers
from sparse_ae.data.events import without_returns
from sparse_ae.data.ratings import Ratings
from sparse_ae.data.readers.options import check_options
from sparse_ae.data.readers.sources import on_disk

__all__ = ["load_ratings"]


def load_ratings(path: Union[AnyPath, IO], duplicates: str = "error", missing: Optional[float] = None,
                 progress: bool = True, pairs: bool = False, lists: bool = False, delimiter: Optional[str] = None,
                 user: Column = None, item: Column = None, rating: Column = None, timestamp: Column = None,
                 returns: str = "error") -> Ratings:
    """Read ratings from a file.

    The name's ending tells the format: `.npz` (`scipy.sparse.save_npz`), `.mtx` (MatrixMarket, coordinate format, real
    or integer, general), `.parquet` and `.feather` (read by pyarrow), `.json` and `.jsonl` (an object in each line, or
    an array of objects), `.zip` (an archive with one such file). Any other file is read as text with one rating per
    line: user, item, rating and, if there is one, a timestamp, separated by tabs, commas, semicolons, `::` or blanks,
    with or without a header. One that names these, as `as_ratings` knows them, may have them in any order and among
    other columns, which are ignored. Fields may be quoted as in CSV, except between `::`; the encoding is UTF-8, else
    Latin-1. Text, JSON and `.mtx` may be packed (`.gz`, `.bz2`, `.xz`).

    Ids in text become int64 if all are whole numbers (written plainly: 7, not 007 or 7.0), else they stay strings.
    A matrix has no ids: its rows and columns are numbered from 0.

    Parameters
    ----------
    path : str, path-like or file
        The file; an open one is copied to a temporary file first, and its name tells the format.
    duplicates : {"error", "first", "last", "mean", "sum"}
        The rating of a pair of user and item that comes more than once, as in `ratings_from_triples`. SciPy adds them
        up when it makes CSR or CSC of COO: most `.npz` files hold such sums.
    missing : float, optional
        The number that stands for "not rated", such as 0 in Book-Crossing's file; NaN if that, or nothing, does. All
        others are ratings, 0 included. A table of users by items is read by ``as_ratings(numpy.loadtxt(path),
        missing=99)``.
    progress : bool
        Whether to show a bar on stderr, if that is a terminal, and which columns are read.
    pairs : bool
        Whether a text file may have two columns, user and item, as for clicks: each line is a rating of 1 then, and
        with ``duplicates="sum"`` repeated pairs are counted. If a header names a column of counts, or of timestamps,
        these are read; timestamps only if all can be.
    lists : bool
        Whether a line of text is a user and any number of items, as in LightGCN's files: each pair of them is a rating
        of 1.
    delimiter : str, optional
        The separator of columns in text: ",", ";", "\\t", "|" or another character, "::", or " " for any blanks. By
        default it is found from the lines; if two ways to read them fit, that is an error.
    user, item, rating, timestamp : str or int, optional
        Columns of text with a rating in each line: names in the first line, or numbers from 0. Others are found by
        their names. A name makes the first line a header; numbers mean that there is none, unless it has known names.
    returns : {"error", "drop", "keep"}
        What becomes of a pair whose counts add up to 0 or less, as returned goods do, with `pairs` or
        ``duplicates="sum"``; a line on stderr says how many are left out. "keep" is for `Recommender.partial_fit`,
        which takes returns off earlier orders.

    Returns
    -------
    Ratings
        `timestamps` are int64 if they all are whole numbers, else float64, in the file's unit; but milli-, micro- and
        nanoseconds since 1970 are read as seconds, and a line on stderr says so. Dates of ISO 8601, such as 2001-01-01
        or 2001-01-01 08:30, are seconds since 1970 (UTC, unless they say another offset).

    Raises
    ------
    ValueError
        For a file of MATLAB, with the line that reads it; for one that would unpack to more than `unpacking` allows. As
        all errors here, it names the file and the line or the entry.

    Examples
    --------
    >>> import io, sparse_ae
    >>> file = io.StringIO("buyer,product,stars\\nann,tea,5\\nbob,jam,3\\n")
    >>> sparse_ae.load_ratings(file, user="buyer", item="product", rating="stars")
    Ratings(2 ratings, 2 users, 2 items)
    """
    options = check_options(duplicates, pairs, lists, missing, delimiter, returns, user=user, item=item, rating=rating,
                            timestamp=timestamp)
    with on_disk(path) as file:
        ratings = readers.read(file, options, duplicates, progress)
        return without_returns(ratings, file, progress) if returns == "drop" else ratings
