"""New users, folded in from some ratings without training. Equations are in docs/explanation/fold-in.md."""
from functools import partial

import numpy as np

from sparse_ae.ops.compiled import building, compiled
from sparse_ae.runtime.device import kept_on_host
from sparse_ae.scoring.people import stacked, without_each
from sparse_ae.scoring.scores import TOGETHER
import theano
import theano.tensor as T

# The least decay, as a share of the trace, with which equation (3) has seven digits.
_LEAST_DECAY = 1e-9


class FoldIn:
    """Folds new users into a trained model of either side; `mean` is that of the biases."""

    def __init__(self, scorer, objective, mean=0.0):
        self._scorer, self._objective, self._mean = scorer, objective, mean
        self._decoder, self._missing = scorer.outputs.decoder, objective.missing
        self.means = self._cost = None  # made once, for all columns

    def __call__(self, people):
        """Iterate over each user's outputs, functions of positions; ValueError if no solution for a column is known."""
        if self._scorer.rows == "users":
            for h in self._encoded(people):
                yield partial(self._of_row, h[np.newaxis].copy())
            return
        self._scorer.expect(sum(len(each.places) for each in people))
        for person in people:
            yield partial(self._of_column, *self.column(person.places, self._wanted(person)))

    def parts(self, person, items):
        """What a `PersonRatings`' outputs of items fall by without each rating, (n_rated, n_items): equation (2)."""
        outputs, people = self._scorer.outputs, [person]
        if self._scorer.rows == "users":
            found = outputs.everywhere(np.array(list(self._encoded(people + without_each(person)))), items)
        else:
            self._scorer.expect(len(person.places))
            columns = self._without_each(person.places, self._wanted(person))
            found = columns.dot(_with_ones(self._scorer.hidden(items)).T)
            if not self._decoder.is_linear:
                found = outputs.activated(found.astype(self._scorer.dtype))
        return self._scorer.targets.unit * (found[0] - found[1:])

    def _encoded(self, people):
        """Iterate over the hidden units of people as rows, (k,)."""
        for start in range(0, len(people), TOGETHER):
            tile = people[start:start + TOGETHER]
            rows = stacked(tile, self._scorer.model.n_columns)
            offsets = np.array([self._mean + each.offset for each in tile])
            yield from self._scorer.outputs.hidden(self._scorer.targets.block(rows, offsets))

    def _wanted(self, person):
        """The targets of a person's ratings, (n_rated,), with the level."""
        targets = self._scorer.targets
        return (person.ratings - targets.row_offsets[person.places] - person.offset) / targets.unit

    def _of_row(self, h, columns):
        """Outputs of a row with the hidden units h (1, k)."""
        return self._scorer.targets.unit * self._scorer.outputs.pairs(h, columns, np.array([0, len(columns)]))

    def _of_column(self, w, b, rows):
        """Outputs of a column at some rows."""
        h, n = self._scorer.hidden(rows), len(rows)
        outputs = self._scorer.outputs.given_pairs(h, np.full(n, b), w, np.arange(n), np.array([0, n]))
        return self._scorer.targets.unit * outputs

    def column(self, places, wanted, hidden=None):
        """The w (1, k) and b (1,) of a column, from its rows, their targets, (n_rated,), and perhaps hidden units."""
        h = _with_ones(self._scorer.hidden(places) if hidden is None else hidden)
        p = self._solved(h, places, wanted).astype(self._scorer.dtype)
        return p[np.newaxis, :-1], p[-1:]

    def _solved(self, h, places, wanted):
        """The solution of (1), float64 (k + 1,), by hidden units with a 1, (n_rated, k + 1)."""
        if self.means is None:
            self._begin(self._rated()[1])
        ratings, l2 = wanted - self._scorer.targets.level(np.sum(wanted), len(wanted)), self._decay(len(places))
        if self._decoder.is_linear:
            return self._least_squares(h, ratings, l2)
        return self._searched(h, places, ratings, l2)

    def _decay(self, n_rated):
        """The decay of a column with so many ratings."""
        model = self._scorer.model
        return model.decay_of(self._decoder.W) * (n_rated if model.l2_weighted else 1)

    def _without_each(self, places, wanted):
        """Solve (1), and without each rating by (3), (1 + n_rated, k + 1); one by one for other f and without decay."""
        h, n = _with_ones(self._scorer.hidden(places)), len(places)
        p, l2, level = self._solved(h, places, wanted), self._decay(n - 1), self._scorer.targets.level
        v, matrix, right = self._equations(h, wanted - level(np.sum(wanted), n))
        if not self._decoder.is_linear or l2 < _LEAST_DECAY * np.trace(matrix):
            left = np.arange(n) != np.arange(n)[:, np.newaxis]
            return np.array([p] + [self._solved(h[each], places[each], wanted[each]) for each in left])
        others = h.sum(axis=0)
        solved = np.linalg.solve(matrix + l2 * np.eye(len(matrix)), np.column_stack([right, others, h.T])).T
        rise = level(np.sum(wanted), n) - level(np.sum(wanted) - wanted, n - 1)  # of the others' targets, (n,)
        q = solved[0] + np.outer(rise, solved[1]) - (v + rise)[:, np.newaxis] * solved[2:]
        share = 1 - self._missing[0]  # of a rating in the matrix: unrated, it is missing
        own, leverage = (np.einsum("ij,ij->i", h, each) for each in (q, solved[2:]))
        return np.vstack([p, self.means + q + (share * own / (1 - share * leverage))[:, np.newaxis] * solved[2:]])

    def put(self, columns):
        """Set the parameters of some columns of the model to those of `column`, by their ratings."""
        scorer, targets, decoder = self._scorer, self._scorer.targets, self._decoder
        ratings, W, b = scorer.rating_matrix.by(scorer.rows.other), decoder.W.get_value(), decoder.b.get_value()
        self._begin(self._rated()[1] & ~np.isin(np.arange(len(b)), columns))
        rows = np.unique(ratings[columns].indices)
        hidden = scorer.hidden(rows)
        for column in columns:
            rated = slice(*ratings.indptr[column:column + 2])  # SciPy's rows take most of the time
            places, values = ratings.indices[rated], ratings.data[rated]
            wanted = (values - targets.baseline(places, column)) / targets.unit
            W[[column]], b[[column]] = self.column(places, wanted, hidden[np.searchsorted(rows, places)])
        decoder.W.set_value(W)
        decoder.b.set_value(b)
        scorer.forget()

    def _rated(self):
        """Whether the rows, and the columns, have ratings."""
        matrix = self._scorer.rating_matrix
        return self._scorer.rows.rows_columns(matrix.users_rated, matrix.items_rated)

    def _begin(self, known):
        """Compute the part of equation (1) that all columns share, by the `known` ones."""
        if not self._objective.folds_columns:
            raise ValueError("the model was trained with %r, for which no solution for a new column is known; expected "
                             "users as rows, whose ratings go through the encoder" % (self._objective,))
        sums = [p.get_value(borrow=True)[known].sum(axis=0, dtype="float64")
                for p in (self._decoder.W, self._decoder.b)]
        means, (w, m) = np.append(*sums) / np.count_nonzero(known), self._missing
        if w:  # all rows are in the sum
            self._rows = np.flatnonzero(self._rated()[0])
            self._h = h = _with_ones(self._scorer.hidden(self._rows))
            self._gram, self._right = w * h.T.dot(h), w * h.T.dot(m - h.dot(means))
        self.means = means  # last: it tells other threads that all is there

    def _least_squares(self, h, ratings, l2):
        """Solve (1) for a linear f; the means are added to the solution q."""
        if not self._missing[0] and l2 and len(h) < h.shape[1]:  # fewer equations, one for each rating
            return self.means + h.T.dot(np.linalg.solve(h.dot(h.T) + l2 * np.eye(len(h)), ratings - h.dot(self.means)))
        _, matrix, right = self._equations(h, ratings)
        if l2:
            return self.means + np.linalg.solve(matrix + l2 * np.eye(len(matrix)), right)
        return self.means + np.linalg.lstsq(matrix, right, rcond=None)[0]  # the smallest of many solutions

    def _equations(self, h, ratings):
        """The system of (1): a factor v for each rating in its right side, the matrix without decay, the right side."""
        w, m = self._missing
        said = h.dot(self.means)
        v = ratings - said - w * (m - said)
        matrix, right = h.T.dot(h), h.T.dot(v)  # (k + 1, k + 1), (k + 1,)
        return (v, (1 - w) * matrix + self._gram, right + self._right) if w else (v, matrix, right)

    def _searched(self, h, places, ratings, l2):
        """Solve (1) for any f, by L-BFGS."""
        weights, (w, m) = np.ones(len(ratings)), self._missing
        if w:
            at = np.searchsorted(self._rows, places)
            weights, targets = np.full(len(self._rows), w), np.full(len(self._rows), m)  # (n_rated items,)
            weights[at], targets[at] = 1.0, ratings
            h, ratings = self._h, targets
        if self._cost is None:
            self._cost = self._compiled_cost()
        from scipy import optimize  # takes its time
        least = optimize.minimize(lambda p: self._cost(p, h, ratings, weights, l2, self.means), self.means, jac=True,
                                  method="L-BFGS-B", options={"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-7})
        return least.x

    def _compiled_cost(self):
        with building("float64"):
            h, l2, (p, rating, weight, means) = T.matrix("h"), T.scalar("l2"), T.vectors("p", "r", "weight", "means")
            costs = self._objective.entry_cost(self._decoder, T.dot(h, p), rating)
            cost = T.sum(weight * costs) + l2 * T.sum((p - means) ** 2)
            # Two small products: NumPy is as fast, and needs no compilation; the GPU's Ops have no code in Python.
            mode = kept_on_host(theano.Mode(linker="py", optimizer="fast_compile"))
            return compiled([p, h, rating, weight, l2, means], [cost, T.grad(cost, p)], mode=mode,
                            name="column_cost")


def _with_ones(h):
    """Hidden units (n, k) in float64, and a 1 for b: (n, k + 1)."""
    return np.hstack([h.astype("float64"), np.ones((len(h), 1))])
