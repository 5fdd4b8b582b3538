"""The updates of SGD, Adagrad and Adam in NumPy; rules.h has the same in C."""
from typing import Any, Callable, Dict, NamedTuple, Tuple

import numpy as np


class Rule(NamedTuple):
    """An optimiser: its name in rules.h, the arrays of its state for each parameter, its settings by default."""

    name: str
    state: Tuple[str, ...]
    settings: Dict[str, float]
    move: Callable  # (rows, their gradients, (rate, *settings), parameter, *its state): updates both, in these rows

    def __hash__(self):
        return hash(self.name)

    def checked(self, given):
        """The settings, in their order, as floats; TypeError or ValueError for one that the rule can't have."""
        for name, value in given.items():
            if name not in self.settings:
                raise TypeError("%s has no setting %r" % (self.name, name))
            if name == "epsilon" and not 0 < value < np.inf:
                raise ValueError("epsilon is %r; it must be above 0, and finite" % (value,))
            if name != "epsilon" and not 0 <= value < 1:
                raise ValueError("%s is %r; it must be from 0 to below 1" % (name, value))
        return tuple(float(given.get(name, default)) for name, default in self.settings.items())


def _sgd(rows, d, numbers, x):
    x[rows] -= x.dtype.type(numbers[0]) * d


def _adagrad(rows, d, numbers, x, squares):
    rate, epsilon = map(x.dtype.type, numbers)
    squares[rows] += d ** 2
    x[rows] -= rate * d / np.sqrt(squares[rows] + epsilon)


def _adam(rows, d, numbers, x, means, squares):
    rate, beta1, beta2, epsilon = numbers
    rate, beta1, rest1, beta2, rest2, epsilon = map(x.dtype.type, (rate, beta1, 1 - beta1, beta2, 1 - beta2, epsilon))
    means[rows] = beta1 * means[rows] + rest1 * d
    squares[rows] = beta2 * squares[rows] + rest2 * (d * d)
    x[rows] -= rate * means[rows] / (np.sqrt(squares[rows]) + epsilon)


SGD = Rule("Sgd", (), {}, _sgd)
ADAGRAD = Rule("Adagrad", ("sum of squared gradients",), {"epsilon": 1e-6}, _adagrad)
ADAM = Rule("Adam", ("mean of gradients", "mean of squared gradients"),
            {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}, _adam)


class Decayed(NamedTuple):
    """Plain SGD's state, (4,) of float64: W and V are c times the arrays that are stored. Pairs, of W and of V, of
    NumPy or of Theano; fused.h has the same in C."""

    c: Any  # the factors, (2,)
    norms: Any  # the squared norms of c_W W and c_V V, (2,)

    @classmethod
    def of(cls, state):
        """The record of a vector."""
        return cls(state[:2], state[2:])

    def next_factors(self, rate, l2):
        """The factors after a step's weight decay."""
        return self.c * (1 - 2 * rate * l2)

    def after(self, factors, growths):
        """The record with other factors, once the squared norms of the arrays have grown by so much."""
        return Decayed(factors, (self.norms / self.c ** 2 + growths) * factors ** 2)
