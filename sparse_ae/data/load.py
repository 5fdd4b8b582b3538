"""Ratings from files: SciPy .npz, MatrixMarket, and text with a rating in each line or a user in each row."""
from pathlib import Path
from typing import Optional

from sparse_ae.checks import AnyPath, Column, check_bool, check_choice, check_path, error_at
from sparse_ae.data.layout import find_layout, in_words
from sparse_ae.data.lines import check_file
from sparse_ae.data.matrices import MATRIX_ENDINGS, check_shape, read_mtx, read_npz
from sparse_ae.data.ratings import DUPLICATES, Ratings, build_ratings
from sparse_ae.data.tables import as_ratings, ratings_from_blocks, refuse_list
from sparse_ae.data.text import read_table, whole_table

__all__ = ["load_ratings"]


def load_ratings(path: AnyPath, duplicates: str = "error", missing: Optional[float] = None, progress: bool = True,
                 pairs: bool = False, lists: bool = False, delimiter: Optional[str] = None, user: Column = None,
                 item: Column = None, rating: Column = None, timestamp: Column = None) -> Ratings:
    """Read ratings from a file.

    The name's ending tells the format: `.npz` (`scipy.sparse.save_npz`), `.mtx` (MatrixMarket, coordinate format, real
    or integer, general). Any other file is read as text with one rating per line: user, item, rating and, if there is
    one, a timestamp, separated by tabs, commas, semicolons, `::` or blanks, with or without a header. One that names
    these, as `as_ratings` knows them, may have them in any order and among other columns, which are ignored. Fields may
    be quoted as in CSV, except between `::`; the encoding is UTF-8, else Latin-1. Text and `.mtx` may be compressed
    (`.gz`).

    Ids in text become int64 if all are whole numbers (written plainly: 7, not 007 or 7.0), else they stay strings.
    A matrix has no ids: its rows and columns are numbered from 0.

    With `missing`, text is read as a dense table: a row of numbers for each user, a column for each item, without a
    header, numbered from 0 too. Text with a header that names any of user, item and rating, of three columns, or of
    four with timestamps last, has a rating in each line still.

    Parameters
    ----------
    path : str or path-like
        The file.
    duplicates : {"error", "first", "last", "mean", "sum"}
        The rating of a pair of user and item that comes more than once, as in `ratings_from_triples`. SciPy adds them
        up when it makes CSR or CSC of COO: most `.npz` files hold such sums.
    missing : float, optional
        The number that stands for "not rated", in a dense table, or in lines with a rating each, such as 0 in
        Book-Crossing's; NaN if that, or nothing, does. All others are ratings, 0 included.
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
        their names.

    Returns
    -------
    Ratings
        `timestamps` are int64 if they all are whole numbers, else float64, in the file's unit; dates of ISO 8601, such
        as 2001-01-01 or 2001-01-01 08:30, as seconds since 1970 (UTC, unless they say another offset).

    Raises
    ------
    ValueError
        For a file of MATLAB, with the line that reads it; for one that would unpack to more than `unpacking` allows. As
        all errors here, it names the file and the line or the entry.
    """
    path = Path(check_path(path, "path"))
    name = path.name.lower()
    check_choice(duplicates, "duplicates", DUPLICATES)
    chosen = {"user": user, "item": item, "rating": rating, "timestamp": timestamp}
    pairs, lists = check_bool(pairs, "pairs"), check_bool(lists, "lists")
    check_file(path)
    if name.endswith(MATRIX_ENDINGS):
        of_text = in_words(lists=lists or None, delimiter=delimiter, missing=missing, **chosen)
        if of_text:
            raise ValueError("%s was given for %s; only text has lines and columns: leave it out" % (of_text, path))
        if not name.endswith(".npz"):
            return build_ratings(*read_mtx(path, progress), duplicates=duplicates)
        matrix = read_npz(path)
        check_shape(path, matrix.shape, matrix.nnz)
        try:
            ratings = as_ratings(matrix, duplicates=duplicates)
            refuse_list(ratings.matrix)
        except (TypeError, ValueError) as error:
            raise error_at(path, error) from None
        return ratings
    form = "lists" if lists else "lines" if missing is None else "lines or table"
    layout = find_layout(path, form, pairs, missing, delimiter, chosen)
    if not layout.names:
        return ratings_from_blocks(read_table(path, layout, progress), layout.missing, lambda line, column:
                                   "%s, line %d, column %d" % (path, line, column + 1))
    return build_ratings(*whole_table(path, layout, progress), duplicates=duplicates, counts=pairs)
