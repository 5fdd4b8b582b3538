"""A trained model's outputs for users and items, by their places, whichever are the rows: pairs, grids, the n best.

Outputs are in the ratings' unit and not clipped, unless it says so: clipped ones would tie at the top of the scale.
"""
import numpy as np
import scipy.linalg

from sparse_ae.data.side import ITEMS, USERS, Side
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.scoring.ranking import floors, leave_out, ordered, reaching
from sparse_ae.scoring.rating_matrix import RatingMatrix
from sparse_ae.training.targets import AsRated

# Numbers in a block, users who are ranked together at most, and rows encoded at a time.
_BLOCK = 2 ** 22
_TOGETHER = 256
TILE = 512

# Much more than a product of matrices differs from outputs computed by themselves, in parts of a user's largest.
_ROUNDING = 1e-4


class Scorer:
    """A model with the ratings that it encodes: a `RatingMatrix`, or a csr_matrix of float32 (n_rows, n_columns) by
    `rows`. `targets` are those it was trained on, by default ratings."""

    def __init__(self, model, ratings, rows="users", targets=None):
        self.model, self.rows = model, Side(rows)
        self.rating_matrix = ratings if isinstance(ratings, RatingMatrix) else RatingMatrix(ratings, self.rows)
        self.inputs = self.rating_matrix.by(rows)
        self.targets = AsRated(model.rating_scale) if targets is None else targets
        self.dtype, self.outputs = model.dtype, Outputs(model)
        self.targets.check_model(model)
        self.clip = self.targets.clip
        self._item_units = self.latest = None  # the latter: users, and their hidden units, which are asked for again

    def predict(self, users, items, unknown, block_size=None):
        """Predict ratings of pairs, clipped, (n,): `unknown` without ratings of the user or of the item; the targets'
        baseline, if they have one, with ratings of one of the two."""
        return predict_known(users, items, self.rating_matrix.users_rated[users], self.rating_matrix.items_rated[items],
                             lambda users, items: self.pairs(users, items, block_size),
                             self.baseline if self.targets.has_baseline else None, unknown, self.clip)

    def baseline(self, users, items):
        """Predict pairs without the model, float64, (n,) or the shape that the two broadcast to; not clipped."""
        return self.targets.baseline(*self.rows.rows_columns(users, items))

    def pairs(self, users, items, block_size=None):
        """Compute outputs of pairs, (n,), encoding `block_size` rows at a time."""
        return (self.baseline(users, items) + self.pair_outputs(users, items, block_size)).astype(self.dtype)

    def grid(self, users, items):
        """Compute outputs of all pairs of some users and some items, (n_users, n_items): those of `pairs`, rounded."""
        return self.grids(items)(users)

    def grids(self, items):
        """A function from users to their `grid` with these items: if outputs are linear, products of matrices that are
        added up in place, weights and baselines among them."""
        used = self.used()
        if not all(each.outputs.decoder.is_linear for each, _ in used) or not len(items):
            def decoded(users):
                found = self.grid_outputs(users, items)
                found += self.baseline(users[:, np.newaxis], items)
                return found

            return decoded
        of_items = self._factors(items, ITEMS)
        scales = [1.0] + [weight * each.targets.unit for each, weight in used]
        gemm, = scipy.linalg.get_blas_funcs(("gemm",), of_items)

        def added_up(users):
            found = np.zeros((len(users), len(items)), self.dtype).T
            for scale, left, right in zip(scales, self._factors(users, USERS) if len(users) else (), of_items):
                found = gemm(scale, right.T, left.T, 1.0, found, trans_a=True, overwrite_c=True)
            return found.T

        return added_up

    def _factors(self, places, side):
        """Factors of some users or items, whose products are the baseline and each scorer's outputs over its scale: a
        list of arrays, (n, a few) and (n, k)."""
        at, targets, found = (self.rows, self.rows.other).index(side), self.targets, []
        offsets = (targets.row_offsets, targets.column_offsets)[at][places]
        for scorer, weight in self.used():
            if scorer.rows == side:
                found.append(scorer.hidden(places))
                if side == USERS:
                    scorer.latest = places, found[-1]
            else:
                W, b = (each.get_value(borrow=True) for each in scorer.outputs.decoder[:2])
                offsets = offsets + weight * scorer.targets.unit * b[places]
                found.append(_some(W, places))
        baseline = np.stack((offsets, np.ones(len(places)))[::1 if side == USERS else -1], axis=1)
        if targets.slopes is not None:
            baseline = np.hstack([baseline, targets.slopes[at][places]])
        return [baseline.astype(self.dtype)] + found

    def used(self):
        """List the scorers with a weight, and their weights: pairs."""
        return [(self, 1.0)]

    def pair_outputs(self, users, items, block_size=None):
        """Compute the model's outputs for pairs, without biases: (n,), in the ratings' unit."""
        rows, cols = self.rows.rows_columns(users, items)
        output = np.empty(len(rows), self.dtype)
        block_size = block_size or max(1, _BLOCK // self.model.n_hidden)
        for used, part, indptr in blocks_of_rows(rows, block_size):
            output[part] = self.outputs.pairs(self.hidden(used), cols[part], indptr)
        return self.targets.unit * output

    def grid_outputs(self, users, items):
        """As `pair_outputs`, for all pairs of some users and some items, (n_users, n_items), to rounding."""
        found = self.product(users, items)
        found *= self.targets.unit
        return found

    def product(self, users, items):
        """The `grid_outputs` over the unit, by a product of matrices."""
        rows, columns = self.rows.rows_columns(users, items)
        return self.rows.turned(self.outputs.everywhere(self.hidden(rows), columns))

    def best(self, users, n, exclude_seen, candidates):
        """The n best of some candidates, ascending, for each of some users: positions among the candidates, as of
        `top_n`, and clipped predictions, (n_users, n); docs/develop/exact-lists.md tells how."""
        step, grid_of = users_together(len(candidates)), self.grids(candidates)
        best, outputs = np.empty((len(users), n), np.intp), np.empty((len(users), n), self.dtype)
        order = np.argsort(users, kind="stable")  # pairs are computed by ascending rows
        for start in range(0, len(users), step):
            at = order[start:start + step]
            block = users[at]
            grid = grid_of(block)
            margin = _ROUNDING * np.maximum(grid.max(axis=1, initial=0), -grid.min(axis=1, initial=0))
            if exclude_seen:
                leave_out(grid, candidates, *self.rating_matrix.rated_by(block))
            rows, places = reaching(grid, floors(grid, n) - margin)
            found = self.pairs(block[rows], candidates[places])
            best[at], outputs[at] = ordered(rows, places, found, len(block), n)
        return best, self.clip(outputs)

    def best_and_pairs(self, users, n, exclude_seen, candidates, users_and_items):
        """The two arrays of `best`, and the array of `pairs`."""
        pairs = self.pairs(*users_and_items)
        return self.best(users, n, exclude_seen, candidates) + (pairs,)

    def hidden(self, rows):
        """Return hidden units of some of the model's rows, (n, k); all items' are kept, once most were needed."""
        self.expect(len(rows))
        if self._item_units is not None:
            return _some(self._item_units, rows)
        latest, self.latest = self.latest, None
        if latest is not None:
            at = np.searchsorted(latest[0][:-1], rows)
            if np.array_equal(latest[0][at], rows):
                return latest[1][at]
        return self._encode(rows)

    def item_factors(self, items):
        """Return the model's representation of each item, (n, k): its hidden units, or its row of W."""
        if self.rows == "items":
            return self.hidden(items)
        return _some(self.outputs.decoder.W.get_value(borrow=True), items)

    def forget(self):
        """Drop hidden units that were kept: the parameters have changed."""
        self._item_units = self.latest = None

    def expect(self, n):
        """Encode all items ahead if more than half of their hidden units will be asked for, together or one by one."""
        n_rows = self.inputs.shape[0]
        if self._item_units is None and self.rows == "items" and 2 * n > n_rows:
            self._item_units = self._encode(np.arange(n_rows))

    def units(self, rows):
        """As `hidden` without a copy: hidden units, and where those of each row are among them."""
        self.expect(len(rows))
        return (self._encode(rows), np.arange(len(rows))) if self._item_units is None else (self._item_units, rows)

    def _encode(self, rows):
        h = np.empty((len(rows), self.model.n_hidden), self.dtype)
        for start in range(0, len(rows), TILE):  # a block is a copy of its ratings
            tile = rows[start:start + TILE]
            block = self.inputs[tile]
            h[start:start + TILE] = self.outputs.hidden(self.targets.batch(tile, block))
        return h


class WeightedScorer(Scorer):
    """Biases, if there are any, plus weighted outputs of one or two scorers, whose targets are residuals of these."""

    def __init__(self, scorers, weights):
        first = scorers[0]
        super().__init__(first.model, first.rating_matrix, first.rows, first.targets)
        self.scorers, self.weights = list(scorers), list(map(float, weights))

    def used(self):
        return [pair for pair in zip(self.scorers, self.weights) if pair[1]]

    def pair_outputs(self, users, items, block_size=None):
        return self._weighted(lambda scorer: scorer.pair_outputs(users, items, block_size), len(users))

    def grid_outputs(self, users, items):
        return self._weighted(lambda scorer: scorer.grid_outputs(users, items), (len(users), len(items)))

    def _weighted(self, outputs_of, shape):
        output = np.zeros(shape, self.dtype)
        for scorer, weight in self.used():
            its = outputs_of(scorer)
            its *= weight
            output += its
        return output


def predict_known(users, items, user_known, item_known, both, one, neither, clip):
    """Predict pairs of positions, (n,) or (): by `both` if user and item had ratings, by `one` (if not None) with one
    of the two, and else as `neither`. `clip` works in place."""
    known = user_known & item_known
    outputs = clip(both(users[known], items[known]))
    predicted = np.full(known.shape, neither, outputs.dtype)
    predicted[known] = outputs
    half = user_known ^ item_known
    if one is not None and half.any():
        predicted[half] = clip(one(users[half], items[half]))
    return predicted


def _some(array, rows):
    """Rows of an array that aren't changed; itself, without a copy, if they are all."""
    return array if np.array_equal(rows, np.arange(len(array))) else array[rows]


def users_together(n_items):
    """How many users' scores of so many items are computed at a time."""
    return min(_TOGETHER, max(1, _BLOCK // max(1, n_items)))


def blocks_of_rows(rows, block_size):
    """List pairs by rows, `block_size` rows at a time: tuples of a block's rows with pairs, ascending, the positions of
    their pairs in `rows`, and where those of each row begin there, as CSR's indptr."""
    order = np.argsort(rows, kind="stable")
    used, counts = np.unique(rows, return_counts=True)
    stops, blocks = np.concatenate([[0], np.cumsum(counts)]), []
    for start in range(0, len(used), block_size):
        bounds = stops[start:start + block_size + 1]
        blocks.append((used[start:start + block_size], order[bounds[0]:bounds[-1]], bounds - bounds[0]))
    return blocks
