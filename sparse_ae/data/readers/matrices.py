"""Files of `scipy.sparse.save_npz` and of MatrixMarket, coordinate format: SciPy 1.17's reader of these ends the
process for a NUL byte, and for some files that are cut off."""
import re
import zipfile

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import errors_at
from sparse_ae.data.ratings import build_ratings, index_dtype
from sparse_ae.data.readers.layout import Layout
from sparse_ae.data.readers.lines import LONGEST_LINE, ending, opened
from sparse_ae.data.readers.text import columns_of, read_text
from sparse_ae.data.tables import as_ratings, refuse_list
from sparse_ae.files.unpacking import check_archive, check_size, one_error, read_header

# Lines of comments at the top of a MatrixMarket file.
_MOST_COMMENTS = 10000

_MTX_HINT = "write it with scipy.io.mmwrite(path, matrix, symmetry='general')"


def read(path, duplicates, progress):
    """`Ratings` of a matrix of users by items; ValueError, with the line or the entry, for what isn't one."""
    if ending(path) == ".npz":
        matrix = _matrix(path)
        check_shape(path, matrix.shape, matrix.nnz)
        with errors_at(path):
            ratings = as_ratings(matrix, duplicates=duplicates)
            refuse_list(ratings.matrix)
        return ratings
    n_rows, n_cols, n_entries, line = _size(path)
    check_shape(path, (n_rows, n_cols), n_entries)
    layout = Layout(first_line=line + 1, delimiter=None, n_columns=3, columns=(0, 1, 2))
    rows, cols, values, _, where = columns_of(path, read_text(path, layout, progress))
    if len(values) != n_entries:
        raise ValueError("%s has %d entries, and line %d announces %d; the file is truncated or damaged: fetch or "
                         "write it again" % (path, len(values), line, n_entries))
    return build_ratings(_positions(rows, n_rows, "row", where), _positions(cols, n_cols, "column", where),
                         values, None, where, duplicates)


def _matrix(path):
    """The matrix of a file of `scipy.sparse.save_npz`; it isn't checked."""
    with one_error(path, "a sparse matrix in a file of scipy.sparse.save_npz; a saved model is read by Recommender.load"
                   ):
        with zipfile.ZipFile(str(path)) as archive:
            check_archive(path, archive)
            for entry in archive.infolist():
                with archive.open(entry) as stream:
                    read_header(stream, entry.file_size)  # SciPy takes as much memory as it says
        matrix = sp.load_npz(str(path))
        if len(matrix.shape) != 2:
            raise ValueError("the shape is %r" % (matrix.shape,))
        return matrix


def check_shape(path, shape, n_entries):
    """ValueError for a shape that takes too much memory: rows and columns have ids, and rows pointers."""
    n_rows, n_cols = map(int, shape)
    places = np.dtype(index_dtype((n_rows, n_cols), n_entries)).itemsize * (n_rows + 1)
    check_size(path, 8 * (n_rows + n_cols) + places, "its shape, %d x %d," % (n_rows, n_cols))


def _size(path):
    """Rows, columns, entries, and the number of their line, of MatrixMarket."""
    with opened(path) as stream:
        banner = stream.readline(LONGEST_LINE).decode("latin-1").lower().split()
        n_lines, size = 1, ""
        for line in iter(lambda: stream.readline(LONGEST_LINE), b""):
            n_lines += 1
            size = line.decode("latin-1").strip()
            if size and not size.startswith("%") or n_lines > _MOST_COMMENTS:
                break
    if banner not in (["%%matrixmarket", "matrix", "coordinate", kind, "general"] for kind in ("real", "integer")):
        raise ValueError("%s, line 1: found %.60r; expected '%%%%MatrixMarket matrix coordinate real general', or "
                         "'integer' for 'real': %s" % (path, " ".join(banner), _MTX_HINT))
    if not re.fullmatch(r"[0-9]{1,18}\s+[0-9]{1,18}\s+[0-9]{1,18}", size):
        raise ValueError("%s, line %d: %.60r isn't the size of the matrix; expected the numbers of rows, columns and "
                         "entries, after at most %d lines: %s" % (path, n_lines, size, _MOST_COMMENTS, _MTX_HINT))
    n_rows, n_cols, n_entries = map(int, size.split())
    if n_entries == 0:
        raise ValueError("%s, line %d: the matrix holds no entries; expected at least one rating" % (path, n_lines))
    return n_rows, n_cols, n_entries, n_lines


def _positions(column, size, what, where):
    """(0 .. size - 1, positions counted from 0) of a column of numbers counted from 1."""
    ids, codes = column
    if ids.dtype.kind == "U":  # at least one isn't a plain whole number; 0 replaces those
        ids = np.array([int(text) if re.fullmatch("[0-9]{1,18}", text) else 0 for text in ids])
    fits = (ids >= 1) & (ids <= size)
    if not fits.all():
        entry = int(np.argmin(fits[codes]))
        raise ValueError("%s: the %s is %s; expected a whole number, 1 .. %d: correct it, or the size at the top"
                         % (where(entry), what, str(column[0][codes[entry]])[:60], size))
    return np.arange(size, dtype=np.int64), ids[codes] - 1
