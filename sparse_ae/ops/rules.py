"""What an optimiser does with a parameter, in NumPy; rules.h has the same in C."""
from typing import Callable, Dict, NamedTuple, Tuple

import numpy as np


class Rule(NamedTuple):
    """An optimiser: its name in rules.h, its state for each parameter, its settings with their defaults."""

    name: str
    kept: Tuple[str, ...]
    settings: Dict[str, float]
    move: Callable  # updates rows, given their gradients, the step and the settings, of a parameter and its state

    def checked(self, given):
        """The settings, in their order, as floats; ValueError for one that makes no step."""
        for name in given:
            if name not in self.settings:
                raise TypeError("%s has no setting %r" % (self.name, name))
        for name, value in given.items():
            if name == "epsilon" and not 0 < value < np.inf:
                raise ValueError("epsilon is %r; it must be above 0, and finite" % (value,))
            if name != "epsilon" and not 0 <= value < 1:
                raise ValueError("%s is %r; it must be from 0 to below 1" % (name, value))
        return tuple(float(given.get(name, default)) for name, default in self.settings.items())


def _sgd(rows, d, numbers, x):
    x[rows] -= x.dtype.type(numbers[0]) * d


def _adagrad(rows, d, numbers, x, squares):
    step, epsilon = map(x.dtype.type, numbers)
    squares[rows] += d ** 2
    x[rows] -= step * d / np.sqrt(squares[rows] + epsilon)


def _adam(rows, d, numbers, x, means, squares):
    step, beta1, beta2, epsilon = numbers
    step, beta1, rest1, beta2, rest2, epsilon = map(x.dtype.type, (step, beta1, 1 - beta1, beta2, 1 - beta2, epsilon))
    means[rows] = beta1 * means[rows] + rest1 * d
    squares[rows] = beta2 * squares[rows] + rest2 * (d * d)
    x[rows] -= step * means[rows] / (np.sqrt(squares[rows]) + epsilon)


SGD = Rule("Sgd", (), {}, _sgd)
ADAGRAD = Rule("Adagrad", ("sum of squared gradients",), {"epsilon": 1e-6}, _adagrad)
ADAM = Rule("Adam", ("mean of gradients", "mean of squared gradients"),
            {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}, _adam)
