"""Plans that the host makes of a CSR block for the kernels of a GPU: checks, orders, parts. Each is an Op that gives a
vector of int32: lists behind lists, and sizes, which tell the kernels where in it these begin."""
import numpy as np
import scipy.sparse as sp

from sparse_ae.ops.op import check_csr
import theano.tensor as T
from theano import gof

# Sentinel: a number of columns larger than any int32 index, so that a negative index always fails the bound check.
_NONE = np.iinfo(np.int64).max


class _Plan(gof.Op):
    """From a block's index arrays, on the host: a vector of int32 for the kernels, and sizes for their Ops, int64:
    n_rows, nnz, how many items there must be at least, and how many have ratings (0: not asked)."""

    __props__ = ()

    def make_node(self, indices, indptr):
        return gof.Apply(self, [indices, indptr], [T.ivector(), T.lvector()])

    def perform(self, node, inputs, outputs):
        indices, indptr = inputs
        _check_rows(indices, indptr)
        n_items = 0
        if len(indices):
            # A negative index is left for the Ops to report, as one too large is: they know how many items there are.
            n_items = int(indices.max()) + 1 if indices.min() >= 0 else _NONE
        plan, n_used = self.plan(indices, indptr, n_items if n_items < _NONE else 0)
        outputs[0][0] = plan
        outputs[1][0] = np.array([len(indptr) - 1, len(indices), n_items, n_used], "int64")


def _check_rows(indices, indptr):
    """As `check_csr`, for the row pointers only, before arrays of the lengths that they announce are made."""
    if len(indptr) < 1:
        check_csr(indices, indptr, 0, 0)
    check_csr(np.zeros(len(indices), "int32"), indptr, len(indptr) - 1, 1)


def _rows(indptr):
    return np.repeat(np.arange(len(indptr) - 1, dtype="int32"), np.diff(indptr))


class ByRow(_Plan):
    """The block itself: indptr, indices, and the row of each rating."""

    def plan(self, indices, indptr, n_items):
        return np.concatenate([indptr, indices, _rows(indptr)]), 0


class ByItem(_Plan):
    """The block's ratings in the order of their columns, then rows: the columns that have ratings; where each one's
    ratings begin, and where the last one's end; where each rating is among the block's, and its row."""

    # Columns for each rating from which these are sorted; below, they are counted one by one.
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
        return np.concatenate([used, starts, order, rows]).astype("int32", copy=False), len(used)


class Parts(gof.Op):
    """The block's rows in parts of at most `MOST` ratings: where each part's ratings begin, and where the last one's
    end; each part's row; each row's first part, and the number of parts. As sizes, this number."""

    __props__ = ()
    MOST = 256  # a long row doesn't keep all others waiting

    def make_node(self, indices, indptr):
        return gof.Apply(self, [indices, indptr], [T.ivector(), T.lvector()])

    def perform(self, node, inputs, outputs):
        indices, indptr = inputs
        _check_rows(indices, indptr)  # whichever comes first, this or a plan
        lengths = np.diff(indptr)
        n_parts = -(-lengths // self.MOST)
        firsts = np.append(0, np.cumsum(n_parts))
        rows = np.repeat(np.arange(len(lengths)), n_parts)
        starts = indptr[rows] + self.MOST * (np.arange(len(rows)) - firsts[rows])
        outputs[0][0] = np.concatenate([starts, indptr[-1:], rows, firsts]).astype("int32", copy=False)
        outputs[1][0] = np.array([len(rows)], "int64")
