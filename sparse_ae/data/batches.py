"""Mini-batches: blocks of rows of the ratings."""
import os
from typing import Any, Iterator, Optional, Tuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import Rng, check_count, check_rng
from sparse_ae.data.entries import check_indptr
from sparse_ae.files.unpacking import check_mapped


def minibatches(matrix: Any, batch_size: int, rng: Optional[Rng] = None) -> Iterator[Tuple[np.ndarray, Any]]:
    """Iterate once over the rows that have ratings, in blocks; the arrays of the matrix may be numpy.memmap.

    Parameters
    ----------
    matrix : scipy.sparse.csr_matrix of float32, shape (n_rows, n_cols), or Ratings
        As `check_ratings` returns them (of their places only the rows' ends are checked once more).
    batch_size : int
        Rows per block.
    rng : numpy.random.RandomState or int, optional
        Source of the order of the rows; without it they come in ascending order. Pass one RandomState for all epochs:
        each call draws a new order from it, whereas the same seed gives the same order.

    Returns
    -------
    iterator of (rows, block)
        rows : numpy.ndarray of int64, shape (n,), the row numbers; block : csr_matrix of float32, shape (n, n_cols), a
        copy of these rows. n is `batch_size`, or what is left for the last one.

    Raises
    ------
    TypeError, ValueError
        At the call, also for a matrix on disk whose files have become shorter; at a block, if they were overwritten.
    """
    matrix = getattr(matrix, "matrix", matrix)  # of `Ratings`
    if not isinstance(matrix, sp.csr_matrix) or matrix.dtype != np.float32:
        raise TypeError("the matrix isn't a float32 csr_matrix; pass check_ratings(matrix)")
    check_count(batch_size, "batch_size")
    files = check_mapped(matrix.data, matrix.indices, matrix.indptr)
    check_indptr(matrix, matrix.shape[0])
    rows = np.flatnonzero(np.diff(matrix.indptr))
    if not len(rows):
        raise ValueError("the matrix holds no entries; expected at least one stored rating")
    if rng is not None:
        check_rng(rng).shuffle(rows)
    batches = (rows[first:first + batch_size] for first in range(0, len(rows), batch_size))
    return ((batch, _sound(matrix[batch], files)) for batch in batches)


def _sound(block, files):
    """A block; ValueError if it can't be what was checked when the files that it comes from were opened."""
    if files and not (np.isfinite(block.data).all() and block.indices.min(initial=0) >= 0
                      and block.indices.max(initial=0) < block.shape[1]):
        raise ValueError("%s: files were overwritten while they were read; make the store again"
                         % os.path.dirname(str(files[0])))
    return block


def refuse_stored_zeros(matrix):
    """Raise ValueError if a CSR matrix, or `Ratings`, holds stored zeros (TypeError for others): dense rows can't show
    them."""
    matrix = getattr(matrix, "matrix", matrix)
    if not sp.issparse(matrix) or matrix.format != "csr":
        raise TypeError("the ratings are %s; expected a SciPy CSR matrix, as minibatches and check_ratings return it"
                        % type(matrix).__name__)
    n_zeros = len(matrix.data) - np.count_nonzero(matrix.data)
    if n_zeros:
        raise ValueError("ratings hold %d stored zero%s; a dense row cannot tell them from missing entries. Remove "
                         "them with eliminate_zeros() or use formulation='sparse' or 'dense'."
                         % (n_zeros, "" if n_zeros == 1 else "s"))
