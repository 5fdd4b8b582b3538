"""Ratings from files: SciPy .npz, MatrixMarket, MATLAB, and text with a rating in each line or a user in each row."""
import bisect
import re
import zipfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import check_bool, check_path, error_at
from sparse_ae.data import matlab, matlab73
from sparse_ae.data.dense import check_missing, ratings_from_blocks, ratings_from_table, read_table
from sparse_ae.data.ids import Numbering
from sparse_ae.data.layout import Layout, holds_lines
from sparse_ae.data.lines import LONGEST_LINE, check_file, opened
from sparse_ae.data.lists import read_lists
from sparse_ae.data.ratings import Ratings, build_ratings, check_duplicates, check_ratings
from sparse_ae.data.text import read_blocks, read_text
from sparse_ae.files.unpacking import check_archive, check_size, is_of_the_machine, read_array, unpack_limit

__all__ = ["load_ratings"]

#: The names of files that hold a matrix end so; all others are read as text.
MATRIX_ENDINGS = (".npz", ".mat", ".mtx", ".mtx.gz")

# Lines of comments at the top of a MatrixMarket file.
_MOST_COMMENTS = 10000

_MAT_WAY_OUT = "save the ratings alone, with save('-v7', file, 'name') in MATLAB or scipy.io.savemat"


def load_ratings(path, variable=None, duplicates="error", missing=None, progress=True, pairs=False, lists=False):
    """Read ratings from a file.

    The name's ending tells the format: `.npz` (`scipy.sparse.save_npz`), `.mtx` (MatrixMarket, coordinate format, real
    or integer, general), `.mat` (MATLAB; version 7.3 where h5py is installed). Any other file is read as text with one
    rating per line: user, item, rating and, if there is one, a timestamp, separated by tabs, commas, semicolons, `::`
    or blanks, with or without a header. One that names these, as `as_ratings` knows them, may have them in any order
    and among other columns, which count for nothing. Fields may be quoted as in CSV, save between `::` or blanks;
    blanks around a field and blank lines count for nothing; the encoding is UTF-8, else Latin-1. Text and `.mtx` may
    be compressed (`.gz`).

    Ids in text that all are whole numbers (written plainly: 7, not 007 or 7.0) become int64, else they stay strings;
    being labels, they may be negative. An array of strings takes as much for each as for the longest: where one is so
    long that all would take beyond what `unpacking` allows, it is refused. A matrix has no ids: its rows and columns
    are numbered from 0.

    With `missing`, text is read as a dense table: a row of numbers for each user, a column for each item, without a
    header, separated in any of these ways. Its rows and columns are numbered from 0 too. Text with a header that
    names any of user, item and rating, of three columns, or of four of which the last is timestamps, has a rating in
    each line still.

    With `lists`, each line of text is a user and the items that the user chose, separated in any of these ways, as in
    LightGCN's files.

    Parameters
    ----------
    path : str or path-like
        The file.
    variable : str, optional
        The name of the sparse variable of a `.mat` file that holds several; or, with `missing`, of a dense array, as
        GC-MC's files have them: ``variable="M", missing=0``.
    duplicates : {"error", "first", "last", "mean", "sum"}
        What becomes of a pair of user and item that comes more than once: it is refused, its first or last rating in
        the order of the file counts (whatever the timestamps say), or the mean or the sum of its ratings. A timestamp
        is that of the rating kept; beside a mean or a sum, the latest. In `.npz` and `.mat` files it is too late for
        most: SciPy adds up such entries, without a word, when it makes CSR or CSC of COO, and they can't be told from
        ratings any more.
    missing : float, optional
        The number that stands for "not rated", in a dense table or array, or in lines with a rating each, such as 0 in
        Book-Crossing's; NaN if that, or nothing, does. All others are ratings, 0 included.
    progress : bool
        Whether to show a bar on stderr, if that is a terminal and reading text takes longer than some seconds; and to
        say there which columns are read, where the header leaves that open.
    pairs : bool
        Whether a file of text may have two columns, user and item, as of clicks: each line is a rating of 1 then, and
        with ``duplicates="sum"`` a pair counts as often as it came. A first line that names both columns is a header,
        see `layout.find_layout`; if it names a third timestamp, time or date, these are read, unless one can't be.
    lists : bool
        Whether a line of text is a user and any number of items: each pair of them is a rating of 1.

    Returns
    -------
    Ratings
        `timestamps` are int64 if they all are whole numbers, else float64, in the file's unit; dates of ISO 8601, such
        as 2001-01-01 or 2001-01-01 08:30, as seconds since 1970 (UTC, unless they say another offset).

    Raises
    ------
    OSError
        If there is no such file, or it can't be opened.
    TypeError, ValueError
        If the file isn't what its name says, or holds no ratings, or one that can't be used, or would unpack to more
        than `unpacking` allows. The message names the file and the line or the entry.
    """
    path = Path(check_path(path, "path"))
    name = path.name.lower()
    check_duplicates(duplicates)
    check_file(path)
    if variable is not None and not name.endswith(".mat"):
        raise ValueError("variable=%r was given for %s; only a .mat file has variables: leave it out"
                         % (variable, path))
    if check_bool(lists, "lists"):
        _check_lists(path, missing, pairs)
        return build_ratings(*_whole_table(path, read_lists(path, progress)), duplicates=duplicates)
    if missing is not None and name.endswith(MATRIX_ENDINGS) and not name.endswith(".mat"):
        raise ValueError("missing=%r was given for %s; only text and the dense arrays of a .mat file have a number for "
                         "no rating: leave it out" % (missing, path))
    if name.endswith(".npz"):
        return _number_ids(path, _read_npz(path), duplicates)
    if name.endswith(".mat"):
        matrix = _read_mat(path, variable, missing)
        if missing is None:
            return _number_ids(path, matrix, duplicates)
        return _of_array(path, matrix, missing)
    if name.endswith(MATRIX_ENDINGS):
        return _read_mtx(path, duplicates, progress)
    if missing is not None and not holds_lines(path):
        return ratings_from_blocks(read_table(path, progress), missing, "%s, line %%d, column %%d"
                                   % str(path).replace("%", "%%"))
    missing = None if missing is None else check_missing(missing)
    return build_ratings(*_whole_table(path, read_text(path, progress, pairs, missing)), duplicates=duplicates)


def _of_array(path, array, missing):
    try:
        return ratings_from_table(array, missing)
    except (TypeError, ValueError) as error:
        raise error_at(path, error) from None


def _check_lists(path, missing, pairs):
    if path.name.lower().endswith(MATRIX_ENDINGS):
        raise ValueError("lists=True was given for %s; only text has lines: leave it out" % path)
    if missing is not None or pairs:
        raise ValueError("lists=True was given with %s; lists have users and items, and nothing else: leave it out"
                         % ("pairs=%r" % (pairs,) if missing is None else "missing=%r" % (missing,)))


def sparse_variables(path):
    """The names of the sparse variables of a `.mat` file of any version; raises what its readers do.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    list of str
    """
    names = _sparse_names(path)
    return matlab73.sparse_names(path) if names is None else names


def _number_ids(path, matrix, duplicates):
    """Ratings of a matrix without ids."""
    _check_shape(path, matrix.shape)
    try:
        matrix = check_ratings(matrix, duplicates)
    except (TypeError, ValueError) as error:
        raise error_at(path, error) from None
    return Ratings(matrix, np.arange(matrix.shape[0], dtype=np.int64), np.arange(matrix.shape[1], dtype=np.int64))


def _check_shape(path, shape):
    """A small file can announce a shape for which there is no memory: each row and column takes an id, and a place."""
    check_size(path, 16 * sum(map(int, shape)), "its shape, %d x %d," % tuple(shape))


def _read_npz(path):
    unpack_limit(path)  # a value that is none is no fault of the file
    try:
        with zipfile.ZipFile(str(path)) as archive:
            check_archive(path, archive)
            arrays = {}
            for entry in archive.infolist():
                with archive.open(entry) as stream:
                    arrays[entry.filename] = read_array(stream, entry.file_size)
        return _matrix_of({name[:-len(".npy")]: array for name, array in arrays.items() if name.endswith(".npy")})
    except Exception as error:  # the zip, .npy and SciPy layers each raise their own on a foreign or damaged file
        if is_of_the_machine(error):
            raise
        raise ValueError("%s can't be read as a sparse matrix (%s: %s); expected a file that scipy.sparse.save_npz has "
                         "written" % (path, type(error).__name__, error)) from error


def _matrix_of(arrays):
    """Make of a file's arrays what `scipy.sparse.load_npz` does, in SciPy's own formats."""
    kind, shape = arrays["format"].item(), tuple(map(int, arrays["shape"]))
    kind = kind.decode("ascii") if isinstance(kind, bytes) else kind
    if len(shape) != 2 or min(shape) < 0:
        raise ValueError("the shape is %r" % (shape,))
    if kind in ("csr", "csc", "bsr"):
        made_from = arrays["data"], arrays["indices"], arrays["indptr"]
    elif kind == "coo":
        made_from = arrays["data"], (arrays["row"], arrays["col"])
    elif kind == "dia":
        made_from = arrays["data"], arrays["offsets"]
    else:
        raise ValueError("the format is %r; expected csr, csc, coo, bsr or dia" % (kind,))
    return getattr(sp, kind + "_matrix")(made_from, shape=shape)


def _read_mat(path, variable, missing):
    """A sparse matrix; or, if it is said what stands for no rating, a dense array."""
    unpack_limit(path)  # a value that is none is no fault of the file
    try:
        reader, names = matlab, _sparse_names(path)
        if names is None:
            reader, names = matlab73, matlab73.sparse_names(path)
        if missing is None and _is_wanted(variable, names):
            return reader.read_sparse(path, variable or names[0])
        arrays = reader.dense_shapes(path)
        if missing is not None and _is_wanted(variable, list(arrays)) and not (names and variable is None):
            return reader.read_dense(path, variable or list(arrays)[0])
    except ImportError as error:
        raise ValueError("%s is a MATLAB 7.3 file, which SciPy can't read and h5py can: pip install h5py, or %s"
                         % (path, _MAT_WAY_OUT)) from error
    except Exception as error:  # of HDF5, of SciPy's reader of old files, and of arrays that don't fit
        if is_of_the_machine(error):
            raise
        raise ValueError("%s can't be read as a MATLAB file (%s: %s): %s"
                         % (path, type(error).__name__, error, _MAT_WAY_OUT)) from error
    if missing is None:
        raise _no_sparse_variable(path, variable, names, arrays)
    raise _no_array(path, variable, names, arrays, missing)


def _sparse_names(path):
    """None of a file of version 7.3."""
    try:
        return matlab.sparse_names(path)
    except NotImplementedError:
        return None


def _is_wanted(variable, names):
    """Tell whether it is clear which of some variables holds the ratings."""
    return variable in names or variable is None and len(names) == 1


def _no_sparse_variable(path, variable, names, arrays):
    dense = ""
    if arrays:
        largest = max(arrays, key=lambda name: arrays[name][0] * arrays[name][1])
        dense = ("; its dense arrays are %s: pass the one with the ratings, and the number that stands for no rating "
                 "there, such as variable=%r, missing=0 (--variable %s --missing 0)"
                 % (_with_shapes(arrays), variable if variable in arrays else largest,
                    variable if variable in arrays else largest))
    if variable is not None:
        return ValueError("%s has no sparse variable %r; its sparse variables are %s%s%s"
                          % (path, variable, ", ".join(map(repr, names)) or "none",
                             ": pass one of them as variable=" if names else "", dense))
    if names:
        return ValueError("%s holds %d sparse variables: %s; pass the one with the ratings as variable="
                          % (path, len(names), ", ".join(map(repr, names))))
    return ValueError("%s holds no sparse variable%s" % (path, dense or "; expected the ratings as one: "
                                                         + _MAT_WAY_OUT))


def _no_array(path, variable, names, arrays, missing):
    if variable in names or variable is None and names:
        return ValueError("missing=%r was given for %s, which has the sparse variable %r; only a dense array has a "
                          "number for no rating: leave it out, or name a dense array as variable="
                          % (missing, path, variable or names[0]))
    said = "its dense arrays are %s" % _with_shapes(arrays) if arrays else "it has no dense array of numbers"
    return ValueError("%s: missing=%r is for a dense array, and %s; pass the name of the one with the ratings as "
                      "variable=" % (path, missing, said))


def _with_shapes(arrays):
    some = ["%r (%d x %d)" % ((name,) + tuple(shape)) for name, shape in arrays.items()]
    return ", ".join(some[:10]) + (" and %d more" % (len(some) - 10) if len(some) > 10 else "")


def _read_mtx(path, duplicates, progress):
    """Read MatrixMarket here, not with scipy.io.mmread, which can't name a line and is slow before SciPy 1.12."""
    with opened(path) as stream:
        banner = stream.readline(LONGEST_LINE).decode("latin-1").lower().split()
        n_lines, size = 1, ""
        for line in iter(lambda: stream.readline(LONGEST_LINE), b""):
            n_lines += 1
            size = line.decode("latin-1").strip()
            if size and not size.startswith("%") or n_lines > _MOST_COMMENTS:
                break
    way_out = "write it with scipy.io.mmwrite(path, matrix, symmetry='general')"
    if len(banner) != 5 or banner[:2] != ["%%matrixmarket", "matrix"]:
        raise ValueError("%s, line 1: %r doesn't begin a MatrixMarket matrix; expected '%%%%MatrixMarket matrix "
                         "coordinate real general': %s" % (path, " ".join(banner)[:60], way_out))
    if banner[2] != "coordinate" or banner[3] not in ("real", "integer") or banner[4] != "general":
        raise ValueError("%s, line 1: the matrix is '%s'; ratings have to be 'coordinate', 'real' or 'integer', and "
                         "'general': %s" % (path, " ".join(banner[2:]), way_out))
    if n_lines > _MOST_COMMENTS and (not size or size.startswith("%")):
        raise ValueError("%s: the size of the matrix isn't among the first %d lines; expected its rows, columns and "
                         "number of entries after the comments: %s" % (path, n_lines, way_out))
    if not re.fullmatch(r"[0-9]{1,18}\s+[0-9]{1,18}\s+[0-9]{1,18}", size):
        raise ValueError("%s, line %d: %r isn't the size of a matrix; expected its rows, columns and number of "
                         "entries: %s" % (path, n_lines, size[:60], way_out))
    n_rows, n_cols, n_entries = map(int, size.split())
    if n_entries == 0:
        raise ValueError("%s, line %d: the matrix holds no entries; expected at least one rating" % (path, n_lines))
    _check_shape(path, (n_rows, n_cols))
    layout = Layout(first_line=n_lines + 1, delimiter=None, n_columns=3, columns=(0, 1, 2))
    rows, cols, values, _, where = _whole_table(path, read_blocks(path, layout, progress))
    if len(values) != n_entries:
        raise ValueError("%s holds %d entries, line %d announces %d; the file is cut short or damaged: fetch or write "
                         "it again" % (path, len(values), n_lines, n_entries))
    rows, cols = _mtx_positions(rows, n_rows, "row", where), _mtx_positions(cols, n_cols, "column", where)
    return build_ratings(rows, cols, values, None, where, duplicates)


def _mtx_positions(column, size, what, where):
    """(0 .. size - 1, positions counted from 0) of a column of numbers counted from 1."""
    ids, codes = column
    if ids.dtype.kind == "U":  # at least one isn't written as a plain whole number; 0 stands for what is no number
        ids = np.array([int(text) if re.fullmatch("[0-9]{1,18}", text) else 0 for text in ids])
    fits = (ids >= 1) & (ids <= size)
    if not fits.all():
        entry = int(np.argmin(fits[codes]))
        raise ValueError("%s: the %s is %s; expected a whole number, 1 .. %d: mend it, or the size at the top"
                         % (where(entry), what, column[0][codes[entry]], size))
    return np.arange(size, dtype=np.int64), ids[codes] - 1


def _whole_table(path, blocks):
    """All blocks of a file in one: the arguments of `build_ratings`."""
    users, items, parts, lines, starts = Numbering(), Numbering(), [], [], [0]
    for block in blocks:
        parts.append((users.number(*block.users), items.number(*block.items), block.ratings, block.timestamps))
        lines.append(block.lines)
        starts.append(starts[-1] + len(block.lines))

    def where(entry):
        number = bisect.bisect_right(starts, entry) - 1
        return "%s, line %d" % (path, lines[number][entry - starts[number]])

    if not parts:
        return [(np.zeros(0, np.int64), np.zeros(0, np.intp))] * 2 + [np.zeros(0, np.float32), None, where]
    rows, cols, values, timestamps = zip(*parts)
    del parts
    try:
        (user_ids, user_places), (item_ids, item_places) = users.ascending(), items.ascending()
    except ValueError as error:  # an id that is too long
        raise error_at(path, error) from None
    return [(user_ids, user_places[np.concatenate(rows)]), (item_ids, item_places[np.concatenate(cols)]),
            np.concatenate(values), None if any(each is None for each in timestamps) else np.concatenate(timestamps),
            where]
