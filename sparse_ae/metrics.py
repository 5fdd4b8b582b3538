"""How far predictions are from ratings, in the ratings' own scale.

Over n predicted ratings, r observed and p predicted:

    RMSE = sqrt(sum((r - p)**2) / n)        MAE = sum(|r - p|) / n

Both are computed from sums over entries and a count. Means of blocks would weigh an entry by the size of its block.
"""
import numpy as np

__all__ = ["ErrorSums", "rmse", "mae"]


class ErrorSums:
    """Squared and absolute errors, summed in float64 over as many blocks as come.

    Attributes
    ----------
    count : int
        The number of ratings so far.
    squared, absolute : float
        Sums of (observed - predicted)**2 and of abs(observed - predicted).
    """

    def __init__(self):
        self.count = 0
        self.squared = 0.0
        self.absolute = 0.0

    def add(self, observed, predicted):
        """Add a block, which may be empty; returns self.

        Parameters
        ----------
        observed, predicted : array_like of float, of the same shape

        Raises
        ------
        ValueError
            If the shapes differ, or a value is missing (NaN, masked) or infinite; the sums then stay as they were.
        TypeError
            If the values aren't real numbers.
        """
        observed, predicted = _floats("ratings", observed), _floats("predictions", predicted)
        if observed.shape != predicted.shape:
            raise ValueError("%r ratings and %r predictions; expected arrays of one shape: predict each of the ratings"
                             % (observed.shape, predicted.shape))
        errors = observed - predicted
        self.count += errors.size
        self.squared += float(np.sum(errors ** 2))
        self.absolute += float(np.sum(np.abs(errors)))
        return self

    def rmse(self):
        """Root of the mean squared error; ValueError if nothing was added."""
        return float(np.sqrt(self.squared / self._counted()))

    def mae(self):
        """Mean absolute error; ValueError if nothing was added."""
        return self.absolute / self._counted()

    def _counted(self):
        if not self.count:
            raise ValueError("there are no ratings to compare with; expected at least one: the error of nothing is "
                             "undefined")
        return self.count


def rmse(observed, predicted):
    """Root mean squared error, sqrt(sum((observed - predicted)**2) / n), in float64.

    Parameters
    ----------
    observed, predicted : array_like of float, of the same shape
        The n ratings and what was predicted for them.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As `ErrorSums.add`, and if there are no ratings.
    """
    return ErrorSums().add(observed, predicted).rmse()


def mae(observed, predicted):
    """Mean absolute error, sum(|observed - predicted|) / n, in float64.

    Parameters
    ----------
    observed, predicted : array_like of float, of the same shape
        The n ratings and what was predicted for them.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As `ErrorSums.add`, and if there are no ratings.
    """
    return ErrorSums().add(observed, predicted).mae()


def _floats(name, values):
    """The values as float64, all of them there."""
    if np.ma.is_masked(values):
        raise ValueError("%s hold masked values; expected one for every rating: fill them in, for example with the "
                         "mean rating" % name)
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iuf":
        raise TypeError("%s are %s of dtype %s; expected an array of real numbers (of a sparse matrix, its .data)"
                        % (name, type(values).__name__, array.dtype))
    array = array.astype(np.float64, copy=False)
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError("%d of %d %s are missing or infinite, the first (%s) at position %d; expected a finite number "
                         "for every rating: fill them in, for example with the mean rating"
                         % (array.size - finite.sum(), array.size, name, array.flat[np.argmin(finite)],
                            np.argmin(finite)))
    return array
