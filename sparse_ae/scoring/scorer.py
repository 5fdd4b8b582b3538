"""A trained model's outputs for users and items, by position, whichever are the rows: pairs, grids, the n best.

Outputs are in the ratings' unit. Most aren't clipped: clipped ones would tie at the top of the scale.
"""
import threading

import numpy as np
import scipy.linalg

from sparse_ae.data.side import ITEMS, USERS, Side
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.scoring.ranking import floors, ordered, reaching
from sparse_ae.scoring.rating_matrix import RatingMatrix
from sparse_ae.scoring.scores import BLOCK, TOGETHER, Scores, blocks_of_rows
from sparse_ae.training.targets import AsRated

# A bound on the rounding of a product of matrices, as a share of a user's largest output.
_ROUNDING = 1e-4


class Scorer(Scores):
    """A model, the ratings it encodes, a `RatingMatrix` or CSR of float32 by `rows`, and targets it was trained on."""

    def __init__(self, model, ratings, rows="users", targets=None):
        self.model, self.rows = model, Side(rows)
        super().__init__(ratings if isinstance(ratings, RatingMatrix) else RatingMatrix(ratings, self.rows))
        self.inputs = self.rating_matrix.by(rows)
        self.targets = AsRated(model.rating_scale) if targets is None else targets
        self.dtype, self.outputs = model.dtype, Outputs(model)
        self.targets.check_model(model)
        self.clip = self.targets.clip
        self.forget()

    def predict(self, users, items, unknown, block_size=None):
        """Clipped predictions of pairs, (n,): `unknown` if neither the user nor the item has ratings; if one has, the
        targets' baseline, or `unknown` without a baseline."""
        known = self.rating_matrix.users_rated[users], self.rating_matrix.items_rated[items]
        return predict_known((users, items), known, lambda users, items: self.pairs(users, items, block_size),
                             self.baseline if self.targets.has_baseline else None, unknown, self.clip)

    def baseline(self, users, items):
        """Predictions without the model, float64, in the shape that users and items broadcast to."""
        return self.targets.baseline(*self.rows.rows_columns(users, items))

    def pairs(self, users, items, block_size=None):
        """Outputs of pairs, (n,); `block_size` rows are encoded at a time."""
        return (self.baseline(users, items) + self.pair_outputs(users, items, block_size)).astype(self.dtype)

    def grids(self, items):
        """A function from users to outputs of all pairs with some items, to rounding; products if linear."""
        if not self.is_linear() or not len(items):
            def decoded(users):
                found = np.zeros((len(users), len(items)), self.dtype)
                for scorer, weight in self.used():
                    found += scorer.targets.unit * scorer.product(users, items) * weight
                found += self.baseline(users[:, np.newaxis], items)
                return found

            return decoded
        of_items = self._factors(items, ITEMS)
        gemm, = scipy.linalg.get_blas_funcs(("gemm",), of_items)

        def added_up(users):
            found = np.zeros((len(users), len(items)), self.dtype).T
            for scale, left, right in zip(self._scales(), self._factors(users, USERS) if len(users) else (), of_items):
                found = gemm(scale, right.T, left.T, 1.0, found, trans_a=True, overwrite_c=True)
            return found.T

        return added_up

    def is_linear(self):
        """Whether outputs are products of vectors of users and items."""
        return all(each.outputs.decoder.is_linear for each, _ in self.used())

    def vectors(self, users, items):
        """Arrays (n_users, k) and (n_items, k), whose products are outputs, to rounding; None if they aren't linear."""
        if self.is_linear():
            of_users = [scale * each for scale, each in zip(self._scales(), self._factors(users, USERS))]
            return np.hstack(of_users), np.hstack(self._factors(items, ITEMS))

    def _scales(self):
        """The factors of the products of `_factors`."""
        return [1.0] + [weight * each.targets.unit for each, weight in self.used()]

    def _factors(self, places, side):
        """Factors of users or items, for the baseline and for each scorer, (n, k), whose products are outputs."""
        at, targets, found = (self.rows, self.rows.other).index(side), self.targets, []
        offsets = (targets.row_offsets, targets.column_offsets)[at][places]
        for scorer, weight in self.used():
            found.append(scorer.side_factors(places, side))
            if scorer.rows != side:
                offsets = offsets + weight * scorer.targets.unit * scorer.outputs.decoder.b.get_value()[places]
            elif side == USERS:
                scorer.latest.units = places, found[-1]
        baseline = np.stack(side.users_items(offsets, np.ones(len(places))), axis=1)
        if targets.slopes is not None:
            baseline = np.hstack([baseline, targets.slopes[at][places]])
        return [baseline.astype(self.dtype)] + found

    def used(self):
        """The scorers with a weight, and their weights: a list of pairs."""
        return [(self, 1.0)]

    def pair_outputs(self, users, items, block_size=None):
        """The model's outputs for pairs, without biases, (n,)."""
        rows, cols = self.rows.rows_columns(users, items)
        output = np.empty(len(rows), self.dtype)
        block_size = block_size or max(1, BLOCK // self.model.n_hidden)
        for used, part, indptr in blocks_of_rows(rows, block_size):
            output[part] = self.outputs.pairs(self.hidden(used), cols[part], indptr)
        return self.targets.unit * output

    def product(self, users, items):
        """As `pair_outputs`, in the unit of the targets and to rounding, for all pairs of some users and some items."""
        rows, columns = self.rows.rows_columns(users, items)
        return self.rows.turned(self.outputs.everywhere(self.hidden(rows), columns))

    def chooser(self, users, grid, n, candidates, new):
        """The best of the pairs whose outputs in a grid come near enough to the n-th: each is computed by itself."""
        margin = _ROUNDING * np.maximum(grid.max(axis=1, initial=0), -grid.min(axis=1, initial=0))

        def choose():
            rows, places = reaching(grid, floors(grid, n) - margin)
            found = self.pairs(users[rows], candidates[places])
            return ordered(rows, places, found, len(users), n, self.popularity[candidates])

        return choose

    def hidden(self, rows):
        """Hidden units of some rows, (n, k); those of all items are kept once most are needed."""
        self.expect(len(rows))
        if self._item_units is not None:
            return _some(self._item_units, rows)
        places, units = vars(self.latest).pop("units", ((), None))
        at = np.searchsorted(places[:-1], rows)
        return units[at] if len(places) and np.array_equal(places[at], rows) else self._encode(rows)

    def side_factors(self, places, side):
        """The hidden units of users or items, or their rows of W, (n, k)."""
        if self.rows == side:
            return self.hidden(places)
        return _some(self.outputs.decoder.W.get_value(borrow=True), places)

    def forget(self):
        """Keep no hidden units, neither of all items nor of a thread's latest users, who are asked for again."""
        self._item_units, self.latest = None, threading.local()

    def expect(self, n):
        """Encode all items if more than half of their hidden units will be asked for."""
        n_rows = self.inputs.shape[0]
        if self._item_units is None and self.rows == "items" and 2 * n > n_rows:
            self._item_units = self._encode(np.arange(n_rows))

    def _encode(self, rows):
        h = np.empty((len(rows), self.model.n_hidden), self.dtype)
        for start in range(0, len(rows), TOGETHER):  # a copy of their ratings
            tile = rows[start:start + TOGETHER]
            h[start:start + TOGETHER] = self.outputs.hidden(self.targets.batch(tile, self.inputs[tile]))
        return h


class WeightedScorer(Scorer):
    """The weighted sum of the outputs of scorers with the same baseline, and the baseline."""

    def __init__(self, scorers, weights):
        first = scorers[0]
        super().__init__(first.model, first.rating_matrix, first.rows, first.targets)
        self.scorers, self.weights = list(scorers), list(map(float, weights))

    def used(self):
        return [pair for pair in zip(self.scorers, self.weights) if pair[1]]

    def pair_outputs(self, users, items, block_size=None):
        found = np.zeros(len(users), self.dtype)
        for scorer, weight in self.used():
            found += weight * scorer.pair_outputs(users, items, block_size)
        return found


def predict_known(pairs, known, both, one, neither, clip):
    """Predictions of pairs of positions, (n,) or (): by the function `both` if user and item are `known`, by `one` (if
    not None) if one of them is, else `neither`. `clip` works in place."""
    whole, half = np.logical_and(*known), np.logical_xor(*known)
    outputs = clip(both(*(each[whole] for each in pairs)))
    predicted = np.full(whole.shape, neither, outputs.dtype)
    predicted[whole] = outputs
    if one is not None and half.any():
        predicted[half] = clip(one(*(each[half] for each in pairs)))
    return predicted


def _some(array, rows):
    """Rows of an array, without a copy if they are all."""
    return array if np.array_equal(rows, np.arange(len(array))) else array[rows]
