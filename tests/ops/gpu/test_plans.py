"""What the host tells the GPU of a block, list by list, against plain loops."""
import numpy as np
import pytest

from sparse_ae.ops.gpu.plans import ByItem, ByRow, Parts
import theano.tensor as T


def run(op, *arrays):
    """What the Op makes of int32 arrays: two arrays."""
    outputs = [[None], [None]]
    op.perform(op.make_node(*T.ivectors(2)), [np.array(x, "int32") for x in arrays], outputs)
    (plan,), (sizes,) = outputs
    assert plan.dtype == "int32" and sizes.dtype == "int64"
    return plan.tolist(), sizes.tolist()


# Three rows, the second one empty; item 1 has no rating, item 3 two.
INDICES, INDPTR = [3, 0, 3, 2], [0, 2, 2, 4]
MOST = Parts.MOST  # ratings in a part


@pytest.mark.parametrize("op, indices, indptr, plan, sizes", [
    (ByRow(), INDICES, INDPTR, INDPTR + INDICES + [0, 0, 2, 2], [3, 4, 4, 0]),
    (ByRow(), [], [0, 0], [0, 0], [1, 0, 0, 0]), (ByItem(), [], [0, 0], [0], [1, 0, 0, 0]),
    (Parts(), [], [0, 0, 0], [0, 0, 0, 0], [0]),
    (ByItem(), [3, 2 ** 31 - 1, 3, 2], INDPTR,  # the last index of all
     [2, 3, 2 ** 31 - 1] + [0, 1, 3, 4] + [3, 0, 2, 1] + [2, 0, 2, 0], [3, 4, 2 ** 31, 3]),
    # Where parts start, their rows, and the first part of each row.
    (Parts(), np.zeros(3 * MOST + 2), [0, MOST, MOST, 3 * MOST + 1, 3 * MOST + 2],
     [0, MOST, 2 * MOST, 3 * MOST, 3 * MOST + 1, 3 * MOST + 2] + [0, 2, 2, 2, 3] + [0, 1, 1, 4, 5], [5])])
def test_by_hand(op, indices, indptr, plan, sizes):
    assert run(op, indices, indptr) == (plan, sizes)


@pytest.mark.parametrize("n_items", [9, 10 ** 9])  # so many that nothing may be made for each
def test_by_item_of_random_blocks(n_items):
    rng = np.random.RandomState(0)
    for _ in range(50):
        lengths = rng.randint(0, 6, rng.randint(1, 8))
        indptr = np.append(0, np.cumsum(lengths))
        indices = rng.randint(0, 9, indptr[-1]) * (n_items // 9)
        rows = [row for row, length in enumerate(lengths) for _ in range(length)]
        places = sorted(range(len(indices)), key=lambda p: (indices[p], rows[p], p))
        plan, sizes = run(ByItem(), indices, indptr)
        used = sorted(set(indices.tolist()))
        assert sizes == [len(lengths), len(indices), max(used, default=-1) + 1, len(used)]
        n = len(used)
        assert plan[:n] == used
        assert plan[n:2 * n + 1] == [sum(i < item for i in indices) for item in used] + [len(indices)]
        order = plan[2 * n + 1:2 * n + 1 + len(indices)]
        assert [indices[p] for p in order] == [indices[p] for p in places]
        assert plan[2 * n + 1 + len(indices):] == [rows[p] for p in order] == [rows[p] for p in places]


@pytest.mark.parametrize("op", [ByRow(), ByItem(), Parts()])
@pytest.mark.parametrize("indptr, message", [
    ([0, 2147483647] * 400 + [4], "indptr falls from 2147483647 to 0 at row 1"),
    ([0, 2147483647], "indptr runs from 0 to 2147483647; it must run from 0 to the number of indices, 4"),
    ([], "indptr has 0 entries")])
def test_wrong_row_pointers_raise(op, indptr, message):
    """Before what is as long as they say is made: 25 GiB, of the first of them."""
    with pytest.raises(ValueError, match=message):
        run(op, INDICES, indptr)


@pytest.mark.parametrize("op", [ByRow(), ByItem()])
def test_a_negative_index_asks_for_more_items_than_there_can_be(op):
    """So every Op reports it, with the number of items that it knows."""
    plan, sizes = run(op, [3, -1, 3, 2], INDPTR)
    assert sizes[2] > 2 ** 31 and sizes[3] == 0
