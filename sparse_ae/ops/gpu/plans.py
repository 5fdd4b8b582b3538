"""Plans that the host makes of a CSR block for the kernels: checks, orders, parts. Each is an Op that gives a vector of
int32, lists one after the other, and sizes from which the kernels know where a list begins."""
import numpy as np
import scipy.sparse as sp

from sparse_ae.ops.op import InNumPy, check_csr
import theano.tensor as T
from theano import gof

# A number of columns above any int32 index: a block with a negative index always fails the check of bounds.
_NONE = np.iinfo(np.int64).max


class _Plan(InNumPy):
    """From a block's index arrays, on the host: a vector of int32 for the kernels, and sizes of int64 for their Ops:
    n_rows, nnz, the least number of columns, and the number of columns with ratings (0 in `ByRow`)."""

    def make_node(self, indices, indptr):
        return gof.Apply(self, [indices, indptr], [T.ivector(), T.lvector()])

    def compute(self, indices, indptr):
        _check_rows(indices, indptr)
        n_items = 0
        if len(indices):
            # The Ops, which know the number of columns, report a negative index, as they do one too large.
            n_items = int(indices.max()) + 1 if indices.min() >= 0 else _NONE
        plan, n_used = self.plan(indices, indptr, n_items if n_items < _NONE else 0)
        return plan, [len(indptr) - 1, len(indices), n_items, n_used]


def _check_rows(indices, indptr):
    """Check the row pointers as `check_csr` does, before arrays of their lengths are made."""
    check_csr(np.zeros(len(indices), "int32"), indptr, len(indptr) - 1, 1)


def _rows(indptr):
    return np.repeat(np.arange(len(indptr) - 1, dtype="int32"), np.diff(indptr))


class ByRow(_Plan):
    """The block itself: indptr, indices, and the row of each rating."""

    def plan(self, indices, indptr, n_items):
        return np.concatenate([indptr, indices, _rows(indptr)]), 0


class ByItem(_Plan):
    """The block's ratings sorted by column, then row: the columns with ratings; the start of each column's ratings, and
    the end of the last one's; each rating's place in the block, and its row."""

    # With more columns for each rating than this, sort the ratings; with fewer, count those of each column.
    WIDE = 16

    def plan(self, indices, indptr, n_items):
        if not n_items:
            return np.zeros(1 + 2 * len(indices), "int32"), 0
        if n_items > self.WIDE * len(indices):
            order = np.argsort(indices, kind="stable").astype("int32")
            items, rows = indices[order], _rows(indptr)[order]
            starts = np.flatnonzero(np.diff(items, prepend=-1)).astype("int32")
            used, starts = items[starts], np.append(starts, len(order))
        else:
            places = np.arange(len(indices), dtype="int32")
            columns = sp.csr_matrix((places, indices, indptr), shape=(len(indptr) - 1, n_items)).tocsc()
            used, order, rows = np.flatnonzero(np.diff(columns.indptr)), columns.data, columns.indices
            starts = np.append(columns.indptr[used], columns.indptr[-1])
        return np.concatenate([used, starts, order, rows]), len(used)


class Parts(_Plan):
    """The block's rows in parts of at most `MOST` ratings: the start of each part's ratings, and the end of the last
    one's; each part's row; each row's first part, and the number of parts. The sizes are this number."""

    MOST = 256  # so that no row waits for a long one

    def compute(self, indices, indptr):
        _check_rows(indices, indptr)  # as a plan does; either may run first
        lengths = np.diff(indptr)
        n_parts = -(-lengths // self.MOST)
        firsts = np.append(0, np.cumsum(n_parts))
        rows = np.repeat(np.arange(len(lengths)), n_parts)
        starts = indptr[rows] + self.MOST * (np.arange(len(rows)) - firsts[rows])
        return np.concatenate([starts, indptr[-1:], rows, firsts]), [len(rows)]
