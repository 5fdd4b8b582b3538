"""The table of nonlinearities that the one-pass Ops know; to add one, add a row here."""
from typing import Callable, NamedTuple, Tuple

import numpy as np
from scipy.special import expit

import lasagne


class Nonlinearity(NamedTuple):
    """A nonlinearity whose derivative is a function of its value."""

    name: str
    code: int
    graph: Callable
    value: Callable  # of arrays
    slope: Callable  # the derivative, from the value
    inverse: Callable
    range: Tuple[float, float]
    in_c: Tuple[str, str]  # `value` at x and `slope` from y, of numbers of the type real

    @property
    def is_bounded(self):
        """Tell whether its range has two ends."""
        return bool(np.isfinite(self.range).all())

    @property
    def is_linear(self):
        """Tell whether it is the identity."""
        return self.name == "linear"


def _rectifier(name, code, leak, leak_in_c):
    """The row of a rectifier with this slope below 0; at 0 the slope is the mean of both sides, as in Theano."""
    def value(x):  # `rectify` gives -0 below 0, and `slope` reads the sign
        return np.where(x < 0, leak * x if leak else -0.0, x + 0.0).astype(np.result_type(x))

    def slope(y):
        at_0 = (1 + leak) / 2 if leak else np.where(np.signbit(y), 0, 0.5)
        return np.where(y > 0, 1, np.where(y < 0, leak, at_0)).astype(np.result_type(y))

    def inverse(y):
        return np.where(np.less(y, 0), np.divide(y, leak), y) if leak else np.maximum(y, 0)

    at_0 = "((real)0.5 + (real)0.5 * %s)" % leak_in_c if leak else "(signbit(y) ? (real)0 : (real)0.5)"
    below, above = ("%s * (x)" % leak_in_c, "(x)") if leak else ("-(real)0", "(x) + (real)0")
    return Nonlinearity(name, code, getattr(lasagne.nonlinearities, name), value, slope, inverse,
                        range=(-np.inf if leak else 0.0, np.inf),
                        in_c=("((x) < 0 ? %s : %s)" % (below, above),
                              "((y) > 0 ? (real)1 : (y) < 0 ? %s : %s)" % (leak_in_c, at_0)))


#: The nonlinearities, by name.
NONLINEARITIES = {each.name: each for each in [
    Nonlinearity("linear", 0, lasagne.nonlinearities.linear, lambda x: x, np.ones_like, lambda y: y,
                 range=(-np.inf, np.inf), in_c=("(x)", "(real)1")),
    Nonlinearity("sigmoid", 1, lasagne.nonlinearities.sigmoid, expit, lambda y: y * (1 - y),
                 lambda y: np.log(y / (1 - y)), range=(0.0, 1.0),
                 in_c=("((real)1 / ((real)1 + exp(-(x))))", "((y) * ((real)1 - (y)))")),
    Nonlinearity("tanh", 2, lasagne.nonlinearities.tanh, np.tanh, lambda y: 1 - y * y, np.arctanh,
                 range=(-1.0, 1.0), in_c=("tanh(x)", "((real)1 - (y) * (y))")),
    _rectifier("rectify", 3, 0, "(real)0"),
    _rectifier("leaky_rectify", 4, 0.01, "(real)0.01"),
    _rectifier("very_leaky_rectify", 5, 1 / 3, "((real)1 / (real)3)"),
]}

#: The table in C: X is a macro of a code, a value at x, and the slope there from the value y.
C_TABLE = "#define SPARSE_AE_NONLINEARITIES(X) %s\n" % " ".join(
    "X(%d, %s, %s)" % (each.code, *each.in_c) for each in NONLINEARITIES.values())


def find(function):
    """The row of a function of `lasagne.nonlinearities`; None for any other."""
    return NONLINEARITIES.get(lasagnes_name(function))


def lasagnes(name):
    """The function of `lasagne.nonlinearities` with this name; None where there is none."""
    found = getattr(lasagne.nonlinearities, name, None)
    return found if name.islower() and callable(found) else None  # not a class, nor a module


def lasagnes_name(function):
    """The name of a function of `lasagne.nonlinearities`; None for any other."""
    # Objects, such as leaky_rectify, have no __name__, and a copied model has copies of them.
    for name, each in vars(lasagne.nonlinearities).items():
        if lasagnes(name) is not None and (
                each is function or type(each) is type(function) and vars(each) == vars(function) != {}):
            return name
    return None
