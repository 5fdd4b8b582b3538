"""The items that can be among a user's n best: estimates by a product of matrices, and a bound on their error.

An output that is the same to the last bit whatever else is asked for is computed by itself (`AutoEncoder.decode`),
which takes several times as long as in a product of matrices. A list needs few outputs, but needs to know which. The
product gives an estimate of all of them, off by rounding only. Items further below the n-th best estimate than twice
the bound on that are none of the n best; the others, hardly more than n, are computed as ever, and ordered by what they
then are.

The bound: a sum of k products p_t q_t in floating point, added up in any order, is off by at most

    k u / (1 - k u)  sum over t of |p_t q_t|  <=  k u / (1 - k u) |p| |q|                            (1)

where u is half the dtype's eps: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1, and
Cauchy and Schwarz. Both ways of computing an output are off by that, by the few operations around the sum, and by
underflow.
"""
import numpy as np

from sparse_ae.scoring.ranking import floors, leave_out, ordered, reaching

# Numbers of W copied at a time.
_BLOCK = 2 ** 22

# From how many users and candidates on a product is worth its preparation, and up to which share of the candidates.
_USERS, _CANDIDATES, _SHARE = 16, 256, 1 / 8

# What stands for the operations around the sum of (1), of both ways together, times eps: more than there are. And what
# stands for the higher powers of k u, up to k u = 0.09.
_AROUND, _POWERS = 64, 1.1


class Shortlist:
    """The n best of some candidates for users, as `Scorer.best` gives them.

    Parameters
    ----------
    scorer : Scorer
        One of which `pays` is true.
    candidates : int array, ascending
    """

    def __init__(self, scorer, candidates):
        self._scorer, self._candidates, self._dtype = scorer, candidates, np.dtype(scorer.dtype)
        self._parts = [_Part(each, weight, candidates) for each, weight in scorer.used()]
        # To each estimate something is added: a number for its item. The size is that of all that adds up to it.
        shift, self._size = np.zeros(len(candidates)), 0.0
        for part in self._parts:
            shift += part.shift
            self._size += np.abs(part.shift).max()
        targets = scorer.targets
        self._of_users, of_items = scorer.rows.users_items(targets.row_offsets, targets.column_offsets)
        of_items = of_items[candidates]
        shift += of_items
        self._size += np.abs(of_items).max()
        with np.errstate(over="ignore"):
            self._shift = shift.astype(self._dtype)

    @staticmethod
    def pays(scorer, n_users, n_candidates, n):
        """Tell whether a product is worth its while, and the bound is known."""
        used = scorer.used()
        return (bool(used) and all(each.outputs.decoder.nonlinearity for each, _ in used)
                and n_users >= _USERS and n_candidates >= _CANDIDATES and n <= _SHARE * n_candidates)

    def best(self, users, n, seen=None):
        """Lists for some users.

        Parameters
        ----------
        users : int array, (n_users,)
        n : int
        seen : (int array, int array), optional
            Pairs to leave out: places among `users`, and items.

        Returns
        -------
        best : int array, (n_users, n)
            As of `ranking.top_n`.
        outputs : array, (n_users, n)
            Theirs; -inf where there is no item.
        None in place of both where the estimates say too little.
        """
        factors = [part.factors(users) for part in self._parts]  # (n_users, k) of each
        estimates, bound = self.estimates(users, factors)  # (n_users, n_candidates), (n_users,)
        if bound is None:
            return None, None
        if seen is not None:
            leave_out(estimates, self._candidates, *seen)
        lowest = (floors(estimates, n) - 2 * bound).astype(self._dtype)
        # Pairs that may be on a list, (n_pairs,): places among users, and among candidates.
        rows, places = reaching(estimates, np.nextafter(lowest, self._dtype.type(-np.inf)))
        if len(rows) > 2 * _SHARE * estimates.size:
            return None, None
        hidden = {part.scorer: part.hidden(users, each) for part, each in zip(self._parts, factors)}
        outputs = self._scorer.pairs(users[rows], self._candidates[places], hidden=hidden)
        best = ordered(rows, outputs, len(users), n)  # (n_users, n), of pairs: -1 is what is appended
        return np.append(places, -1)[best], np.append(outputs, self._dtype.type(-np.inf))[best]

    def estimates(self, users, factors):
        """Outputs, about, but for a number that is the same for all of a user's.

        Parameters
        ----------
        users : int array, (n_users,)
        factors : list
            As `_Part.factors` gives them.

        Returns
        -------
        estimates : array, (n_users, n_candidates)
        bound : float64 array, (n_users,)
            How far off they are at most; None where there are no such numbers or none so large.
        """
        size = np.full(len(users), self._size)
        size += np.abs(self._of_users[users])
        bound, limit = np.zeros(len(users)), np.finfo(self._dtype).max / 16
        found = np.empty((len(users), len(self._candidates)), self._dtype)
        for k, (part, p) in enumerate(zip(self._parts, factors)):
            with np.errstate(over="ignore", invalid="ignore"):
                error, of_part, largest = part.bound(users, p)
            bound += error
            size += of_part
            if not (np.max(largest) < limit and np.max(size) < limit):  # nor is NaN
                return None, None
            if k:
                found += part.estimates(users, p, np.empty_like(found))
            else:
                part.estimates(users, p, found)
        found += self._shift
        return found, bound + _AROUND * np.finfo(self._dtype).eps * size


class _Part:
    """One model's share of the outputs: ``scale f(p q + b) + a constant``, with p of a user and q of an item.

    Attributes
    ----------
    shift : float64 array, (n_candidates,), or float
        What is to be added for each candidate.
    """

    def __init__(self, scorer, weight, candidates):
        model, unit = scorer.model, scorer.targets.unit
        decoder = scorer.outputs.decoder
        self.scorer, self.scale, self._f = scorer, float(weight * unit * decoder.span), decoder.nonlinearity
        self._constant, self._dtype = abs(weight * unit * decoder.low), np.dtype(scorer.dtype)
        self._candidates = candidates
        self._by_users, self._n_hidden = scorer.rows == "users", model.n_hidden
        self._W, self._b = scorer.outputs.W_on_host(), decoder.b.get_value(borrow=True)
        self._q = None if self._by_users else scorer.hidden(candidates)
        step = max(1, _BLOCK // self._n_hidden)
        self._tiles = [slice(start, start + step) for start in range(0, len(candidates), step)]
        if self._by_users and candidates[-1] - candidates[0] == len(candidates) - 1:
            self._q = self._W[candidates[0]:candidates[-1] + 1]
        elif self._by_users and len(self._tiles) == 1:
            self._q = self._W[candidates]
        self._norm = np.max([_norms(self._q_of(tile)).max() for tile in self._tiles])
        self._b_of_items = self._b[candidates] if self._by_users else self._b[:0]
        self.shift = 0.0
        if self._by_users and self._f.is_linear:
            self.shift = self.scale * self._b_of_items.astype(np.float64)

    def _q_of(self, tile):
        return self._W[self._candidates[tile]] if self._q is None else self._q[tile]

    def factors(self, users):
        """p of some users, (n_users, k)."""
        return self.scorer.hidden(users) if self._by_users else self._W[users]

    def hidden(self, users, p):
        """The hidden units that there are, as `Scorer.pairs` takes them."""
        return _Lookup(users, p) if self._by_users else _Lookup(self._candidates, self._q)

    def bound(self, users, p):
        """Bound the error of estimates but for the operations around the sum, and the size of what these are of.

        Returns
        -------
        error, size, largest : float64 arrays, (n_users,)
            `largest` is more than any number on the way.
        """
        info, k = np.finfo(self._dtype), self._n_hidden
        of_items = np.abs(self._b_of_items).max(initial=0)
        b = (of_items if self._by_users else np.abs(self._b[users])).astype(np.float64)
        norms = _norms(p)
        inner = norms * self._norm
        underflow = (2 * k + _AROUND) * info.tiny * (1 + abs(self.scale)) * (1 + norms) * (1 + self._norm)
        error = abs(self.scale) * k * info.eps * _POWERS * inner
        if self._f.is_linear:
            return error + underflow, abs(self.scale) * (inner + b), inner + b
        error = self._f.steepest * (error + abs(self.scale) * _AROUND * info.eps * (inner + b))
        error += abs(self.scale) * self._f.error + underflow
        return error, abs(self.scale) + self._constant + np.zeros(len(users)), inner + b

    def estimates(self, users, p, out):
        """``scale f(p q + b)`` into `out`, (n_users, n_candidates); of a linear f ``scale p q``."""
        linear = self._f.is_linear
        scale = np.asarray(self.scale, self._dtype)
        if linear and scale != 1:
            p = p * scale
        for tile in self._tiles:
            part = out[:, tile]  # (n_users, n_tile), a view
            np.matmul(p, self._q_of(tile).T, out=part)
            if not linear:
                part += self._b_of_items[tile] if self._by_users else self._b[users][:, np.newaxis]
                self._f.ufunc(part, out=part)
                part *= scale
        return out


class _Lookup:
    """Hidden units by rows that may come more than once, in any order."""

    def __init__(self, rows, h):
        self._order, self._h = np.argsort(rows, kind="stable"), h
        self._rows = rows[self._order]

    def __call__(self, rows):
        return self._h[self._order[np.searchsorted(self._rows, rows)]]


def _norms(rows):
    """Upper bounds of the rows' norms, in float64."""
    with np.errstate(over="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    lost = rows.shape[1] * np.finfo(np.float64).tiny  # of squares too small for float64
    return (np.sqrt(squares) + np.sqrt(lost)) * (1 + (rows.shape[1] + 8) * np.finfo(np.float64).eps)
