"""Graphs that are compiled once: a graph equal to one that has been compiled gets the same function.

It is compiled for stand-ins of the shared variables; a call puts a model's arrays in their places, and takes them back.
"""
import copy
from collections import OrderedDict

import numpy as np

from sparse_ae.runtime.device import on_gpu
import theano
from theano import configparser, gof
from theano.tensor.sharedvar import ScalarSharedVariable, TensorSharedVariable

# So many functions are kept, the last ones used. Our Ops keep memory in the size of the parameters and of the largest
# inputs from call to call: with more numbers in either than this a function goes with its model.
_KEPT, _MOST = 32, 2**18

_functions = OrderedDict()  # key -> the function, the stand-ins


class SharedFunction(theano.compile.Function):
    """A function of Theano's on the arrays of one model; `standing_in` pairs its shared variables with the model's."""

    def __init__(self, key, function, standing_in, lock):
        vars(self).update(vars(function))
        self._key, self._function, self._standing_in, self._lock = key, function, standing_in, lock
        ours = dict(standing_in)
        self.updated = [ours[x] for x in updated_by(function)]
        written = set(self.updated)
        cells = [(mine, theirs.container.storage, mine.container.storage) for theirs, mine in standing_in]
        # A count is written in place before an Op can refuse its inputs: a call gets a copy.
        self._read = [(cell, value, mine in written and not getattr(mine, "ndim", 0)) for mine, cell, value in cells]
        self._written = [(cell, value) for mine, cell, value in cells if mine in written]

    def __call__(self, *values, **keywords):
        if _numbers([*values, *keywords.values()]) > _MOST:
            _functions.pop(self._key, None)
        with self._lock:
            for cell, value, is_count in self._read:
                cell[0] = value[0].copy() if is_count else value[0]
            try:
                results = super().__call__(*values, **keywords)
                for cell, value in self._written:
                    value[0] = cell[0]
                return results
            finally:
                for cell, _, _ in self._read:
                    cell[0] = None

    def get_shared(self):
        return [mine for _, mine in self._standing_in]

    def copy(self, *args, **keywords):
        """Refused: it would be a function of the stand-ins."""
        raise NotImplementedError("copy of %s: equivalent graphs share one function, which can't be copied for other "
                                  "variables; compile the graph again, with these" % self.name)

    def __copy__(self):
        return SharedFunction(self._key, self._function, self._standing_in, self._lock)

    def __deepcopy__(self, memo):
        pairs = [(theirs, copy.deepcopy(mine, memo)) for theirs, mine in self._standing_in]
        return SharedFunction(self._key, self._function, pairs, self._lock)

    def __reduce_ex__(self, protocol):
        raise TypeError("a compiled function can't be pickled: pickle its model, and compile again")


def function_once(inputs, outputs, updates, mode, lock, **keywords):
    """Compile a function as `theano.function` does, or find the one of an equal graph, which runs within `lock`."""
    is_one = isinstance(outputs, gof.Variable)
    listed = [outputs] if is_one else list(outputs)
    key, shared = _key(inputs, listed, updates, mode)
    if key is None or _numbers([x.get_value(borrow=True) for x in shared]) > _MOST:
        return theano.function(inputs, outputs, updates=updates, mode=mode, **keywords)
    key += (is_one,) + tuple(sorted(keywords.items()))
    function, stand_ins = _functions.pop(key, (None, None))
    if function is None:
        stand_ins = [_stand_in(x) for x in shared]
        memo = gof.graph.clone_get_equiv(inputs, listed + [new for _, new in updates], copy_inputs=False,
                                         copy_orphans=False, memo=dict(zip(shared, stand_ins)))
        listed = [memo[x] for x in listed]
        function = theano.function(inputs, listed[0] if is_one else listed, mode=mode,
                                   updates=[(memo[old], memo[new]) for old, new in updates], **keywords)
    _functions[key] = function, stand_ins
    while len(_functions) > _KEPT:
        _functions.popitem(last=False)
    return SharedFunction(key, function, list(zip(stand_ins, shared)), lock)


def _numbers(values):
    return sum(getattr(x, "size", 1) for x in values)


def updated_by(function):
    """The shared variables that a function changes, in its order."""
    if hasattr(function, "updated"):
        return function.updated
    return [x.variable for x in function.maker.expanded_inputs if x.update is not None]


def _stand_in(variable):
    shape = [int(axis) for axis in variable.broadcastable]
    return type(variable)(name=variable.name, type=variable.type, value=np.zeros(shape, variable.dtype), strict=True)


def _key(inputs, outputs, updates, mode):
    """A graph's key, and its shared variables; None for a graph that needs its own function."""
    # A graph of ranks that wait for each other, on a GPU, with other than arrays, or with Ops without a hash.
    if on_gpu():
        return None, None
    news = outputs + [new for _, new in updates]
    numbers, shared, leaves = {x: i for i, x in enumerate(inputs)}, [], []

    def number(x):
        if x not in numbers:
            numbers[x] = len(numbers)
            if isinstance(x, gof.Constant):
                leaves.append((x.type, np.shape(x.data), x.data.tobytes()) if isinstance(x.data, np.ndarray)
                              else x.signature())
            elif isinstance(x, (TensorSharedVariable, ScalarSharedVariable)) and not hasattr(x, "default_update"):
                shared.append(x)
                leaves.append((type(x), x.type, x.name))
            else:
                raise TypeError("neither an input nor an array")
        return numbers[x]

    try:
        nodes = []
        for node in gof.graph.io_toposort(inputs, news):
            if _meets(node.op):
                return None, None
            nodes.append((node.op, tuple(map(number, node.inputs)), tuple(x.type for x in node.outputs)))
            for x in node.outputs:
                numbers[x] = len(numbers)
        ends = tuple(map(number, news)), tuple(number(old) for old, _ in updates)
        key = (tuple((x.type, x.name) for x in inputs), tuple(nodes), tuple(leaves), ends, len(outputs),
               _settings(mode))
        hash(key)
    except TypeError:
        return None, None
    return key, shared


def _meets(op):
    inner = getattr(op, "outputs", ())  # of a scan
    return getattr(op, "ranks", None) is not None or any(
        _meets(node.op) for node in gof.graph.io_toposort(getattr(op, "inputs", ()), inner))


def _settings(mode):
    """The settings of a compilation: the mode, and all of Theano's flags."""
    mode = theano.compile.mode.get_mode(mode)
    flags = tuple((x.fullname, x.__get__(theano.config, None)) for x in configparser._config_var_list)
    return type(mode), type(mode.linker), str(mode.provided_optimizer), flags
