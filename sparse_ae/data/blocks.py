"""Ratings of a file a block at a time, and all blocks of a file in one."""
import bisect
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

from sparse_ae.checks import error_at
from sparse_ae.data.ids import Numbering


class Block(NamedTuple):
    """Some of a file's ratings, in its order: finite, with finite timestamps or None, and the line of each, from 1.

    Of users, and of items, there are the distinct ids, int64 or, if one of them isn't a plain whole number, a list of
    str; and where each entry's id is among them, (n,).
    """

    users: Tuple[Sequence, np.ndarray]
    items: Tuple[Sequence, np.ndarray]
    ratings: np.ndarray
    timestamps: Optional[np.ndarray]
    lines: Sequence


def whole_table(path, blocks):
    """The arguments of `build_ratings` for all blocks of a file, one or more."""
    users, items, parts, lines, starts = Numbering(), Numbering(), [], [], [0]
    for block in blocks:
        parts.append((users.number(*block.users), items.number(*block.items), block.ratings, block.timestamps))
        lines.append(block.lines)
        starts.append(starts[-1] + len(block.lines))

    def where(entry):
        number = bisect.bisect_right(starts, entry) - 1
        return "%s, line %d" % (path, lines[number][entry - starts[number]])

    rows, cols, values, timestamps = zip(*parts)
    del parts
    try:
        (user_ids, user_places), (item_ids, item_places) = users.ascending(), items.ascending()
    except ValueError as error:  # an id that is too long
        raise error_at(path, error) from None
    return [(user_ids, user_places[np.concatenate(rows)]), (item_ids, item_places[np.concatenate(cols)]),
            np.concatenate(values), None if any(each is None for each in timestamps) else np.concatenate(timestamps),
            where]
