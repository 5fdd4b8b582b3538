"""Counts as they were at a time: the lines of orders, clicks or plays that `Ratings` were added up from."""
import numpy as np

from sparse_ae.data.entries import numbers_of_pairs, rows_of_entries
from sparse_ae.data.ids import texts_like
from sparse_ae.data.ratings import (
    Ratings,
    are_among,
    build_ratings,
    canonical_csr,
    named_columns,
    part_of,
    rating_counts,
    ratings_from_triples,
)
from sparse_ae.data.times import span
from sparse_ae.runtime.progress import say


def before_and_after(whole, before, after):
    """`Ratings` of the events of one period, and of those pairs of a later one that weren't known before: masks of
    events, (n,), which are the ratings themselves where each pair came once."""
    if whole.events is None:
        return part_of(whole, before), part_of(whole, after)
    only_positive = whole.matrix.data.min() > 0  # as without returns, where a sum of 0 or less is no pair
    known = _added_up(whole.events, before, only_positive)
    numbers = numbers_of_pairs(whole.events.matrix)
    return known, _added_up(whole.events, after & ~are_among(numbers, numbers_of_pairs(known.matrix)), only_positive)


def _added_up(events, wanted, only_positive):
    """`Ratings` of the sums of the wanted events."""
    part = part_of(events, wanted)
    users, items = (events.users, rows_of_entries(part.matrix.indptr)), (events.items, part.matrix.indices)
    made = build_ratings(users, items, part.matrix.data, part.timestamps, lambda entry: "", "sum")
    kept = made.matrix.data > 0
    if only_positive and not kept.all():
        return part_of(made._replace(events=None), kept)._replace(events=part)
    return made


def without_returns(counts, where, progress):
    """`Ratings` without pairs whose count isn't above 0, and without users and items that have no other."""
    kept = counts.matrix.data > 0
    if kept.all():
        return counts
    if progress:
        say("%s: %d of %d pairs of user and item are left out, since their counts add up to 0 or less"
            % (where, np.count_nonzero(~kept), len(kept)))
    if not kept.any():
        raise ValueError("%s: the counts of all %d pairs of user and item add up to 0 or less; expected at least one "
                         "above 0" % (where, len(kept)))
    events = None if counts.timestamps is None else counts if counts.events is None else counts.events
    return trimmed(part_of(counts._replace(events=None), kept))._replace(events=events)


def trimmed(ratings):
    """`Ratings` without users and items that have no entry."""
    matrix = ratings.matrix
    users, items = map(np.flatnonzero, rating_counts(matrix))
    of_kept = canonical_csr(matrix.data, np.searchsorted(items, matrix.indices),
                            np.append(matrix.indptr[users], matrix.nnz), (len(users), len(items)))
    of_kept.has_canonical_format = matrix.has_canonical_format
    return Ratings(of_kept, ratings.users[users], ratings.items[items], ratings.timestamps,
                   None if ratings.events is None else trimmed(ratings.events))


def with_ids_like(ratings, **known):
    """`Ratings` with ids that are text where the known "users" or "items" are; anything else unchanged."""
    if not isinstance(ratings, Ratings):
        return ratings
    lines = ratings.events or ratings
    texts = {side: texts_like(getattr(lines, side), ids) for side, ids in known.items()}
    if all(texts[side] is getattr(lines, side) for side in texts):
        return ratings
    made = ratings_from_triples(*named_columns(lines._replace(**texts)).values(), duplicates="sum")
    return without_returns(made, "", False) if ratings.matrix.data.min() > 0 else made


def span_of(ratings, before=None):
    """The `span` of the times of `Ratings` and their events, and of those before, perhaps None."""
    spans = [each for each in (span((ratings.events or ratings).timestamps), before) if each is not None]
    return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None
