"""The entries of a sparse matrix, as arrays: checked against its shape, and brought into order, one for each pair."""
import numpy as np
import scipy.sparse as sp

#: Entries looked at at a time: ratings may be on disk, and temporary arrays for all of them would not fit into memory.
PART = 2 ** 22

_WAY_OUT = "build the matrix from (values, (rows, columns)) with scipy.sparse.coo_matrix"


def check_compressed(matrix, shape):
    """How many entries a CSR (CSC: shape reversed) matrix holds; SciPy's C++ code trusts its arrays, right or wrong."""
    n_entries = check_indptr(matrix, shape[0])
    _check_range(matrix.indices[:n_entries], shape[1], "index", _WAY_OUT)
    return n_entries


def check_indptr(matrix, n_major):
    """As `check_compressed`, of the rows' ends alone: what SciPy needs to take some of the rows."""
    indptr, indices = matrix.indptr, matrix.indices
    if (indptr.dtype.kind not in "iu" or indptr.shape != (n_major + 1,) or indptr[0] != 0
            or np.any(indptr[1:] < indptr[:-1])):
        raise ValueError("indptr of the %s matrix isn't %d ascending integers that start at 0: %s"
                         % (matrix.format.upper(), n_major + 1, _WAY_OUT))
    n_entries = int(indptr[-1])
    if n_entries > len(indices) or len(indices) != len(matrix.data):
        raise ValueError("indptr of the %s matrix announces %d entries, but there are %d indices and %d values: %s"
                         % (matrix.format.upper(), n_entries, len(indices), len(matrix.data), _WAY_OUT))
    return n_entries


def _check_range(indices, size, what, way_out):
    """Check indices of any integer dtype."""
    if indices.dtype.kind not in "iu":
        raise ValueError("the %s of the entries is of dtype %s; expected integers: %s" % (what, indices.dtype, way_out))
    if len(indices) and (indices.min() < 0 or indices.max() >= size):
        entry = int(np.argmax((indices < 0) | (indices >= size)))
        raise ValueError("entry %d has the %s %d; expected 0 .. %d: %s"
                         % (entry, what, indices[entry], size - 1, way_out))


def triples(matrix):
    """Values, rows and columns of a sparse matrix."""
    if matrix.format in ("csr", "csc"):
        n_entries = check_compressed(matrix, matrix.shape[::1 if matrix.format == "csr" else -1])
        places = rows_of_entries(matrix.indptr), matrix.indices[:n_entries]
        return (matrix.data[:n_entries],) + places[::1 if matrix.format == "csr" else -1]
    if matrix.format == "coo":
        if not len(matrix.row) == len(matrix.col) == len(matrix.data):
            raise ValueError("the COO matrix has %d rows, %d columns and %d values; expected as many of each: build it "
                             "again" % (len(matrix.row), len(matrix.col), len(matrix.data)))
        for indices, size, what in ((matrix.row, matrix.shape[0], "row"), (matrix.col, matrix.shape[1], "column")):
            _check_range(indices, size, what, "correct the index, or the shape of the matrix")
        return matrix.data, matrix.row, matrix.col
    if matrix.format == "bsr":
        block = matrix.data.shape[1:]
        check_compressed(matrix, (matrix.shape[0] // block[0], matrix.shape[1] // block[1]))
    coo = matrix.tocoo()
    if matrix.format in ("bsr", "dia"):
        stored = coo.data != 0
        return coo.data[stored], coo.row[stored], coo.col[stored]
    return triples(coo)


def rows_of_entries(indptr):
    """The row (column, for CSC) of each entry."""
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))


def numbers_of_pairs(matrix):
    """A number for each entry of a sorted CSR matrix that ascends with its row and column: int64, (n_entries,)."""
    return rows_of_entries(matrix.indptr) * matrix.shape[1] + matrix.indices


def _row_major(rows, cols, n_rows):
    """Entries by row, column: their order (None: as given), columns, indptr, which repeat the next one."""
    same = rows[1:] == rows[:-1]
    if np.all((rows[1:] > rows[:-1]) | (same & (cols[1:] >= cols[:-1]))):
        counts = np.bincount(rows.astype(np.int64, copy=False), minlength=n_rows)
        same &= cols[1:] == cols[:-1]
        return None, cols, np.concatenate([[0], np.cumsum(counts)]), same if same.any() else None
    # SciPy turns rows into columns by a counting sort, which is stable. First of a matrix with a row for each entry,
    # which has it in the column of `cols`; then of one whose values are the numbers of the entries.
    n = len(cols)
    number = np.arange(n + 1, dtype=np.int32 if n < 2 ** 31 - 1 else np.int64)
    by_col = sp.csr_matrix((np.empty(n, np.bool_), cols, number), shape=(n, int(cols.max()) + 1)).tocsc()
    del number
    by_row = sp.csc_matrix((by_col.indices, rows[by_col.indices], by_col.indptr),
                           shape=(n_rows, by_col.shape[1])).tocsr()
    same = by_row.indices[1:] == by_row.indices[:-1]
    starts = by_row.indptr[1:-1]
    same[starts[(starts > 0) & (starts < n)] - 1] = False
    return by_row.data, by_row.indices, by_row.indptr, same if same.any() else None


def in_order(values, places, n_rows, duplicates, repeated, times=None):
    """Values, columns, indptr and times by row, then column; and the same with all entries of repeated pairs, or None.
    `places` are (rows, columns); values and times are copied. `repeated` makes an error of a pair's first and last
    entry, and of their sum if that is beyond float32."""
    order, cols, indptr, same = _row_major(*places, n_rows)

    def given(sorted_place):
        return sorted_place if order is None else order[sorted_place]

    if same is not None and duplicates == "error":
        pairs = np.flatnonzero(same)
        first = pairs[np.argmin(given(pairs + 1))]  # of the first entry whose pair has come before
        raise repeated(given(first), given(first + 1))
    values, times = (each if each is None else each.copy() if order is None else each[order]
                     for each in (values, times))
    if same is None:
        return values, cols, indptr, times, None
    every = values, cols, indptr, times
    firsts, lasts = (np.flatnonzero(each) for each in (np.append(True, ~same), np.append(~same, True)))
    kept = firsts if duplicates == "first" else lasts
    if duplicates in ("mean", "sum"):
        sums = np.add.reduceat(values, firsts, dtype=np.float64)
        if duplicates == "mean":
            sums /= lasts - firsts + 1
        largest = np.argmax(np.abs(sums))
        if abs(sums[largest]) > np.finfo(np.float32).max:
            raise repeated(given(firsts[largest]), given(lasts[largest]), sums[largest])
        values = sums.astype(np.float32)
        # A mean is known with its last rating; of what was counted, the pair is known from the first on.
        when = np.minimum if duplicates == "sum" else np.maximum
        times = None if times is None else when.reduceat(times, firsts)
    else:
        values, times = values[kept], None if times is None else times[kept]
    return values, cols[kept], np.searchsorted(kept, indptr), times, every
