"""Closed-form models as names, numbers and arrays for files, and back."""
import operator

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines.ease import ItemWeights, SomeItemWeights
from sparse_ae.baselines.factors import ItemFactors
from sparse_ae.baselines.filters import LowPass
from sparse_ae.baselines.lists import Popularity
from sparse_ae.checks import MOST, is_number

_KINDS = {kind.__name__: kind for kind in (Popularity, ItemWeights, SomeItemWeights, LowPass, ItemFactors)}


def taken_apart(model):
    """A closed-form model's kind and numbers, in JSON, and its arrays by name."""
    parts = model._asdict()
    description, arrays = {"kind": type(model).__name__, "numbers": {}, "shapes": {}}, {}
    for name, value in parts.items():
        if sp.issparse(value):
            description["shapes"][name] = list(map(int, value.shape))
            arrays.update({"%s.%s" % (name, part): getattr(value, part) for part in ("data", "indices", "indptr")})
        elif isinstance(value, np.ndarray):
            arrays[name] = _halved(value) if name == "weights" else value
        else:
            description["numbers"][name] = value
    return description, arrays


def put_together(description, arrays, n_items):
    """Rebuild a model of so many items; KeyError, TypeError or ValueError if `taken_apart` didn't return these."""
    kind = _KINDS[description["kind"]]

    def found(name):
        if name in description["numbers"]:
            number = description["numbers"][name]
            if not is_number(number) or number < 0:
                raise ValueError("a closed form's %s is %r" % (name, number))
            return number
        if name in description["shapes"]:
            parts = [check_values(arrays["%s.%s" % (name, part)]) for part in ("data", "indices", "indptr")]
            matrix = sp.csr_matrix(tuple(parts), shape=tuple(map(operator.index, description["shapes"][name])))
            matrix.check_format(full_check=True)
            return matrix
        array = arrays[name]
        return check_values(array.astype(np.float32) if array.dtype == np.float16 else array)

    model = kind(**{name: found(name) for name in kind._fields})
    try:
        scores = model.scores(sp.csr_matrix(np.ones((1, n_items), np.float32)))  # fails if arrays don't match
    except np.linalg.LinAlgError as error:
        raise ValueError(str(error)) from error
    columns = getattr(model, "columns", np.zeros(1))
    if scores.shape != (1, n_items) or not np.isfinite(scores).all() or columns[0] < 0 or (np.diff(columns) <= 0).any():
        raise ValueError("the arrays of a closed form of kind %s aren't those of %d items" % (kind.__name__, n_items))
    return model


def _halved(array):
    """An array as float16 where that has all its numbers; else itself."""
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if (half == array).all() else array


def check_values(array):
    """An array of a file; ValueError for NaN and numbers that are far too large."""
    if array.dtype.kind not in "fi" or array.dtype.kind == "f" and not (np.abs(array) <= MOST).all():
        raise ValueError("a closed form has NaN, infinite or far too large values")
    return array
