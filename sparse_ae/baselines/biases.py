"""Biases: predictions from the mean, the user and the item. Equations (1) to (5) are in docs/explanation/biases.md."""
from typing import NamedTuple, Optional, Tuple

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import MOST, check_number
from sparse_ae.data.entries import PART
from sparse_ae.data.ratings import CheckedMatrix, check_ratings, rating_counts
from sparse_ae.runtime.processors import in_threads

__all__ = ["predict_biases"]

# After five sweeps the held-out RMSE of MovieLens changes by less than 0.0005.
_N_SWEEPS = 20

# Estimates of a shrinkage: the start, the change that ends them, the least; the early estimate, and the last one.
_FIRST_SHRINKAGE, _CONVERGED, _LEAST, _EARLY, _LAST = 5.0, 0.001, 1e-9, 30, 300

# Parts of the ratings that the two are compared on. Of more ratings than so many there is the early one only.
_N_FOLDS, _FEW = 4, 2 ** 20


class Slopes(NamedTuple):
    """The last two terms of equation (5), float64: s_u (n_users, 2), 0 for a user without a training rating; x_i
    (n_items, 2), and x of an `unknown` item, (2,). s_u are ridge regressions, each with its `ridge`, times `weight`."""

    users: np.ndarray
    items: np.ndarray
    unknown: np.ndarray
    ridge: Tuple[float, float]
    weight: float = 1.0

    def at(self, users, items):
        """The slopes' part of predictions for pairs of positions; -1 is an unknown user or item."""
        features = np.where((items >= 0)[..., np.newaxis], self.items[items], self.unknown)
        return np.where(users >= 0, np.sum(self.users[users] * features, axis=-1), 0.0)

    def of_person(self, places, residuals):
        """The slopes of a new user alone, from residuals of the items at some positions."""
        found = np.zeros((1, 2))
        for k, (x, ridge) in enumerate(zip(self.items[places].T, self.ridge)):
            found[0, k] = x.dot(residuals) / (x.dot(x) + ridge)
            residuals = residuals - found[0, k] * x
        return self._replace(users=self.weight * found)


class Biases(NamedTuple):
    """The parameters of equation (1), or (5).

    Attributes
    ----------
    mean : float
        mu, the mean of the training ratings.
    users, items : numpy.ndarray of float64, shapes (n_users,) and (n_items,)
        b_u and b_i; 0 without a training rating.
    shrinkage : (float, float)
        Of users and of items.
    slopes : Slopes or None
    """

    mean: float
    users: np.ndarray
    items: np.ndarray
    shrinkage: Tuple[float, float] = (0.0, 0.0)
    slopes: Optional[Slopes] = None

    def at(self, users, items):
        """Equation (1), or (5), for pairs of positions, float64, (n,); -1 for an unknown user or item."""
        predicted = (self.mean + np.where(users >= 0, self.users[users], 0.0)
                     + np.where(items >= 0, self.items[items], 0.0))
        return predicted if self.slopes is None else predicted + self.slopes.at(users, items)

    def of_person(self, places, ratings):
        """The biases of a new user alone, by equation (3) from ratings of the items at some positions; and the ratings
        less the slopes' part."""
        centred, n, slopes = ratings - self.mean - self.items[places], len(ratings) + self.shrinkage[0], self.slopes
        if slopes is not None:
            slopes = slopes.of_person(places, centred - np.sum(centred) / n)
            ratings = ratings - slopes.at(np.zeros(len(places), int), places)
            centred = ratings - self.mean - self.items[places]
        return self._replace(users=np.array([np.sum(centred) / n]), slopes=slopes), ratings


def fit_biases(train, shrinkage="auto", slopes=False):
    """Fit the mean, the offsets of users and items, and perhaps slopes of users, to training ratings.

    Parameters
    ----------
    train : SciPy sparse matrix, shape (n_users, n_items), or Ratings
        What `sparse_ae.data.check_ratings` takes. On disk it is read a part at a time.
    shrinkage : float, (float, float) or "auto"
        The number of pseudo-ratings of `mean` for each user and each item, 0 or more; a pair is for users and for
        items. "auto" estimates it from the ratings, equation (4) of docs/explanation/biases.md.
    slopes : bool or float
        Whether users have slopes, equation (5) (R. M. Bell, Y. Koren, ICDM 2007, section 3); a number multiplies them.

    Returns
    -------
    Biases
        Its equation (1) is that of Y. Koren, ACM TKDD 4(1), 2010, section 2.1.

    Examples
    --------
    >>> import sparse_ae
    >>> from sparse_ae.baselines import fit_biases
    >>> ratings = sparse_ae.as_ratings([("ann", "tea", 5), ("ann", "jam", 3)])
    >>> biases = fit_biases(ratings, shrinkage=0)
    >>> print(biases.mean, biases.users, biases.items)
    4.0 [0.] [-1.  1.]
    """
    train = check_ratings(train)
    if slopes:
        return beyond_slopes(train, fit_slopes(train, fit_biases(train, shrinkage), slopes), shrinkage)
    automatic = isinstance(shrinkage, str) and shrinkage == "auto"
    if automatic:
        pair = _FIRST_SHRINKAGE, _FIRST_SHRINKAGE
    else:
        pair = shrinkage if isinstance(shrinkage, (tuple, list)) and len(shrinkage) == 2 else (shrinkage, shrinkage)
        way_out = ", such as 5.0, or 'auto'"
        pair = tuple(check_number(each, "shrinkage", zero=True, alternative=way_out) for each in pair)
    mean, counts = float(np.sum(train.data, dtype=np.float64) / train.nnz), rating_counts(train)
    sums, squares = [np.zeros(n) for n in train.shape], 0.0
    for places in _parts(train):
        centred = places[2] - mean
        for of_side, at in zip(sums, places):
            of_side += np.bincount(at, centred, len(of_side))
        squares += float(np.sum(centred ** 2))

    def sweep(users):
        """Equation (3) for items, for each user the sum of its items' offsets, and (3) for users."""
        items = (sums[1] - _product(train, users, True)) / _positive(counts[1] + pair[1])
        of_items = _product(train, items)
        return items, of_items, (sums[0] - of_items) / _positive(counts[0] + pair[0])

    def estimate(offsets, of_items):
        """Equation (4): the shrinkages of users and of items."""
        linear = sum(each.dot(of_side) for each, of_side in zip(offsets, sums))
        own = sum((each ** 2).dot(n) for each, n in zip(offsets, counts))
        left = max(0.0, squares - 2 * linear + own + 2 * offsets[0].dot(of_items))
        spent = sum(float(np.sum(n / _positive(n + shrunk))) for n, shrunk in zip(counts, pair))
        variance, found = left / max(1.0, train.nnz - spent), []
        for each, n, shrunk in zip(offsets, counts, pair):
            spread = np.mean(each[n > 0] ** 2 + variance / _positive(n[n > 0] + shrunk))
            found.append(float(np.clip(variance / spread, _LEAST, MOST)) if spread > 0 else MOST)
        return tuple(found)

    users, estimates = np.zeros(train.shape[0]), [pair]
    for _ in range((_LAST if train.nnz <= _FEW else _EARLY) * automatic):
        _, _, users = sweep(users)
        items, of_items, users = sweep(users)
        pair = estimate((users, items), of_items)
        estimates.append(pair)
        if np.allclose(pair, estimates[-2], rtol=_CONVERGED, atol=0):
            break
    if len(estimates) > _EARLY + 1 and not _has_less_error(train, pair, estimates[_EARLY]):
        pair = estimates[_EARLY]
    for _ in range(_N_SWEEPS):
        items, _, users = sweep(users)
    return Biases(mean, users, items, pair)


def _has_less_error(train, shrinkage, other):
    """Whether a shrinkage has a lower squared error than another on parts of the ratings of a CSR matrix that are held
    out, by a standard error."""
    users, items, ratings = map(np.concatenate, zip(*_parts(train)))
    gains, fold = np.zeros(len(ratings)), (users + items) % _N_FOLDS  # the same of a transposed matrix
    for held in (fold == k for k in range(_N_FOLDS)):
        if held.any() and not held.all():
            rest = CheckedMatrix(sp.csr_matrix((train.data[~held], (users[~held], items[~held])), train.shape))
            errors = [np.clip(fit_biases(rest, pair).at(users[held], items[held]), ratings.min(), ratings.max())
                      - ratings[held] for pair in (shrinkage, other)]
            gains[held] = errors[1] ** 2 - errors[0] ** 2
    return gains.mean() > gains.std() / np.sqrt(len(gains))


def beyond_slopes(train, slopes, shrinkage="auto"):
    """Biases with given slopes: offsets of the ratings of a CSR matrix less the slopes' part."""
    said = np.concatenate([slopes.at(u, i) for u, i, _ in _parts(train)])
    left = sp.csr_matrix(((train.data - said).astype(np.float32), train.indices, train.indptr), train.shape)
    return fit_biases(CheckedMatrix(left), shrinkage)._replace(slopes=slopes)


def _parts(train):
    """Users, items and ratings of a CSR matrix, a part at a time."""
    for start in range(0, train.nnz, PART):
        stop = min(start + PART, train.nnz)
        users = np.searchsorted(train.indptr, np.arange(start, stop), side="right") - 1
        yield users, train.indices[start:stop], train.data[start:stop].astype(np.float64)


def fit_slopes(train, biases, weight=1.0):
    """The `Slopes` of equation (5) for a CSR matrix and its `biases`, times a weight."""
    counts, shrinkage = rating_counts(train)[1], biases.shrinkage[1]

    def terms():
        """For each part users, residuals, and features (2, n), which leave the user's own rating out."""
        for u, i, ratings in _parts(train):
            e, of_items = ratings - biases.mean - biases.users[u] - biases.items[i], biases.items[i]
            without = (of_items * (counts[i] + shrinkage) - e - of_items) / _positive(counts[i] - 1 + shrinkage)
            yield u, e, np.stack([np.log(counts[i]), without])

    sums = sum(np.stack([x.sum(axis=1), (x * x).sum(axis=1)]) for _, _, x in terms()) / train.nnz
    means, spreads = sums[0], np.sqrt(np.maximum(sums[1] - sums[0] ** 2, 0.0))
    spreads[spreads < 1e-9] = np.inf  # a feature that tells nothing
    slopes, ridges = np.zeros((2, len(biases.users))), []
    for k in range(2):
        xx, xe, squares = np.zeros(len(biases.users)), np.zeros(len(biases.users)), 0.0
        for u, e, x in terms():
            x = (x - means[:, np.newaxis]) / spreads[:, np.newaxis]
            e -= slopes[0, u] * x[0]
            xx += np.bincount(u, x[k] * x[k], len(xx))
            xe += np.bincount(u, x[k] * e, len(xx))
            squares += e.dot(e)
        slopes[k], ridge = _ridge(xx, xe, squares, train.nnz)
        ridges.append(ridge)
    features = np.stack([np.log(counts + 1.0), biases.items], axis=1)
    unknown = np.array([np.log(counts[counts > 0].min()), 0.0])
    return Slopes(weight * slopes.T, (features - means) / spreads, (unknown - means) / spreads, tuple(ridges),
                  float(weight))


def _ridge(xx, xe, squares, n):
    """The slopes on one feature, and their ridge: the noise over the variance of slopes, by an EM algorithm."""
    has = xx > 0
    if not has.any() or not squares:
        return np.zeros(len(xx)), MOST
    ridge = _FIRST_SHRINKAGE
    for _ in range(_LAST):
        slopes = xe / (xx + ridge)
        noise = max(0.0, squares - 2 * slopes.dot(xe) + (slopes ** 2).dot(xx)) / n
        spread = np.mean(slopes[has] ** 2 + noise / (xx[has] + ridge))
        ridge = float(np.clip(noise / max(spread, 1e-12), _LEAST, MOST))
    return xe / (xx + ridge), ridge


def _product(train, offsets, turned=False):
    """The product of the pattern of ratings of a CSR matrix, (n_users, n_items) or `turned`, and offsets."""
    def of_part(start):
        stop = min(start + PART, train.nnz)
        indptr = np.clip(train.indptr, start, stop) - start
        part = sp.csr_matrix((np.ones(stop - start), train.indices[start:stop], indptr), train.shape)
        return (part.T if turned else part).dot(offsets)

    return sum(in_threads(of_part, range(0, train.nnz, PART)))


def _positive(weights):
    """Weights to divide by: 0 / 0, without ratings and shrinkage, becomes 0."""
    return np.maximum(weights, np.finfo(float).tiny)


def predict_biases(biases, user_places, item_places):
    """Predict ratings by equation (1), or (5), of docs/explanation/biases.md, without clipping them to a rating scale.

    Parameters
    ----------
    biases : Biases
        What `fit_biases` returned.
    user_places, item_places : array_like of int, shape (n,)
        Positions, not ids: rows and columns of the matrix that the biases were fitted to.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)

    Raises
    ------
    TypeError, ValueError
        If the positions aren't whole numbers, differ in shape, or aren't in that matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from sparse_ae.baselines.biases import Biases, predict_biases
    >>> biases = Biases(3.5, users=np.array([0.5, -0.5]), items=np.array([-1.0, 1.0]))
    >>> predict_biases(biases, [0, 1], [1, 1])
    array([5., 4.])
    """
    user_places, item_places = np.asarray(user_places), np.asarray(item_places)
    if user_places.shape != item_places.shape:
        raise ValueError("user_places are of shape %r and item_places of %r; expected as many of each"
                         % (user_places.shape, item_places.shape))
    if not user_places.size:
        return np.zeros(user_places.shape)
    for name, places, size in (("user", user_places, len(biases.users)), ("item", item_places, len(biases.items))):
        if places.dtype.kind not in "iu":
            raise TypeError("%s_places are of dtype %s; expected integers: positions of %ss in the training ratings, "
                            "not ids" % (name, places.dtype, name))
        if not 0 <= places.min() <= places.max() < size:
            raise ValueError("%s_places are from %d to %d; expected 0 .. %d: positions in the training ratings, not ids"
                             % (name, places.min(), places.max(), size - 1))
    return biases.at(user_places, item_places)
