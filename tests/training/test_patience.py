"""When patience ends, by the errors alone."""
import math

import pytest

from sparse_ae.training.patience import Patience

NAN, START = math.nan, [3.0, 2.0, 1.0]


@pytest.mark.parametrize("arguments, errors, best, over", [
    (dict(epochs=3), START + [1.5, 1.0, 1.25], 3, [6]),  # a tie is no improvement
    (dict(epochs=3), [4.0, 3.0, 2.0, 1.0], 4, []),
    (dict(epochs=2), [2.0, 1.0, 1.5, 1.5, 0.5], 5, [4]),
    (dict(epochs=2, least=4), [1.0, 2.0, 2.0, 2.0], 1, [4]),
    (dict(epochs=2), [NAN, 2.0, 2.5, 2.5], 2, [4]),  # an error that isn't known is above all
    (dict(epochs=2, error=1.0), [2.0, 2.0], 0, [2]),  # the start is the best
    (dict(epochs=2, errors=[3.0, 1.0, 2.0], best=2, error=1.0), [2.0], 2, [4]),  # of a file
    # Below a thousandth nothing is gained where a cut follows.
    (dict(epochs=2), START + [0.9996, 0.9994], 5, []), (dict(epochs=2, has_cut=True), START + [0.9996, 0.9994], 5, [5]),
    # With a cut twice as long until the error has fallen by half a percent.
    (dict(epochs=2, has_cut=True), [2.0, 2.1, 2.1, 2.1, 2.1], 1, [5]),
    (dict(epochs=2, has_cut=True), [2.0, 1.989, 2.1, 2.1], 2, [4]),
    (dict(epochs=2, has_cut=True), [2.0, 1.995, 2.1, 2.1, 2.1, 2.1], 2, [6])])
def test_when_patience_ends(arguments, errors, best, over):
    patience, first = Patience(**arguments), len(arguments.get("errors", ()))
    found = []
    for epoch, error in enumerate(errors, first + 1):
        before = patience.best
        assert patience.record(error) == (patience.best == epoch) and patience.best in (before, epoch)
        found += [epoch] * patience.is_over
    assert (patience.best, found) == (best, over)


def test_after_the_cut_patience_is_two_fifths_as_long():
    patience = Patience(5, has_cut=True, errors=START, best=3, error=1.0)
    for _ in range(5):
        patience.record(1.5)
    assert patience.is_over
    patience.cut(8)
    for epoch, (error, over) in enumerate([(1.5, False), (0.5, False), (0.6, False), (0.6, True)]):
        patience.record(error)
        assert patience.is_over == over, epoch
