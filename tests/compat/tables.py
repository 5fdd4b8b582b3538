"""What Theano answers, entry by entry, on whatever Python and NumPy run: to be compared with what it answered before.

A table is made of pairs of a key, a text that says what is asked, and a function without arguments that asks it. The
answers are made of what JSON knows. ``python tests/compat/tables.py`` writes them to answers.json.xz: to be run where
Theano is what it always was, with Python 3.11, NumPy 1.26 and a compiler, and only to add to the tables.
"""
import itertools
import json
import lzma
import random
import warnings
from pathlib import Path

import numpy as np

from sparse_ae import theano_compat  # noqa: F401  (before theano)
import theano
import theano.tensor as T
from theano import scalar
from theano.configparser import change_flags
from theano.tensor.nnet import sigm

# How many random graphs are recorded, by the linker that runs them.
GRAPHS = {"py": 600, "c|py": 80}
ANSWERS = Path(__file__).with_name("answers.json.xz")
DTYPES = ("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 "
          "complex128").split()
VALUES = {"b": [True, False], "i": [3, -2, 100], "u": [3, 200, 7], "f": [0.7, -1.3, 0.1], "c": [1 + 2j, -0.5j, 0.3]}

# Numbers as people write them into graphs, many of them at the ends of dtypes or just beyond.
NUMBERS = {
    "0": 0, "1": 1, "-1": -1, "2": 2, "127": 127, "128": 128, "255": 255, "256": 256, "-128": -128, "-129": -129,
    "32767": 32767, "32768": 32768, "40000": 40000, "65536": 65536, "2**31": 2 ** 31, "2**32": 2 ** 32,
    "2**40": 2 ** 40, "2**63-1": 2 ** 63 - 1, "2**63": 2 ** 63, "2**64-1": 2 ** 64 - 1, "-2**63": -2 ** 63,
    "0.5": 0.5, "0.1": 0.1, "1e300": 1e300, "True": True, "1j": 1j,
    "float32(0.1)": np.float32(0.1), "float64(0.1)": np.float64(0.1), "int8(3)": np.int8(3), "uint64(3)": np.uint64(3),
}
LISTS = {
    "[]": [], "[1, 400]": [1, 400], "[0.1]": [0.1], "[1.5]": [1.5], "[2**40]": [2 ** 40], "[2**63]": [2 ** 63],
    "[True]": [True],
}
FILTERED = {
    "0": 0, "1": 1, "300": 300, "-1": -1, "2**40": 2 ** 40, "0.5": 0.5, "0.1": 0.1, "1e300": 1e300, "1.0": 1.0,
    "70000.0": 70000.0, "[1, 300]": [1, 300], "[0.5]": [0.5], "float64(1.5)": np.float64(1.5),
    "int64(300)": np.int64(300), "float32(1)": np.float32(1), "array([1, 300])": np.array([1, 300]),
}


def answer(ask):
    """What was answered, or the name of the error."""
    with np.errstate(all="ignore"):
        try:
            return ask()
        except Exception as error:
            return type(error).__name__


def plain(value, dtype):
    """A value in a dtype as a number, text or list, with some digits more than a comparison asks for.

    Text stands for floats, which JSON may lack (nan, inf), and which compress better without noise.
    """
    with np.errstate(all="ignore"):
        value = np.asarray(value).astype(dtype)
    if value.ndim:
        return [plain(each, dtype) for each in value]
    if value.dtype.kind == "c":
        return [plain(part, part.dtype) for part in (value.real, value.imag)]
    if value.dtype.kind == "f":
        return "%.*g" % ({2: 4, 4: 8, 8: 15}[value.itemsize], value)
    return value.item()


# Scalar Ops


def scalar_ops():
    """Every scalar Op of one or two inputs, by its name."""
    found = dict(vars(scalar.basic), **vars(scalar.basic_scipy))
    found.update(sigmoid=sigm.scalar_sigmoid, softplus=sigm.scalar_softplus)
    ops = {name: op for name, op in found.items() if isinstance(op, scalar.ScalarOp)}
    for name, op in sorted(ops.items()):
        n_inputs = getattr(op, "nin", -1)
        n_inputs = 2 if n_inputs is None or n_inputs < 0 else n_inputs
        if n_inputs <= 2:
            yield name, op, n_inputs


def inputs_of(dtypes, k):
    return [np.dtype(dtype).type(VALUES[np.dtype(dtype).kind][(k + j) % len(VALUES[np.dtype(dtype).kind])])
            for j, dtype in enumerate(dtypes)]


def node_of(op, dtypes):
    return op.make_node(*[scalar.get_scalar_type(dtype)() for dtype in dtypes])


def ops_in_python():
    """The dtypes of an Op's outputs, and apart from them the values that its Python code computes, in those dtypes."""
    for name, op, n_inputs in scalar_ops():
        for dtypes in itertools.product(DTYPES, repeat=n_inputs):
            def dtypes_of_outputs(op=op, dtypes=dtypes):
                return [output.dtype for output in node_of(op, dtypes).outputs]

            def values(op=op, dtypes=dtypes, n=3 if n_inputs == 1 else 2):
                node = node_of(op, dtypes)
                return [answer(lambda k=k: perform(op, node, inputs_of(dtypes, k))) for k in range(n)]

            yield "dtype %s %s" % (name, " ".join(dtypes)), dtypes_of_outputs
            yield "value %s %s" % (name, " ".join(dtypes)), values


def perform(op, node, inputs):
    storage = [[None] for _ in node.outputs]
    op.perform(node, inputs, storage)
    return [[output.dtype, plain(each, output.dtype)] for [each], output in zip(storage, node.outputs)]


def ops_in_c():
    """For inputs of given dtypes, what the Ops compute in C, by their names: one module of C for each set of dtypes.

    Left out is float16, which Theano computes in Python on a CPU.
    """
    dtypes = [dtype for dtype in DTYPES if dtype != "float16"]
    for each in [(dtype,) for dtype in dtypes] + list(itertools.product(dtypes, repeat=2)):
        yield "c %s" % " ".join(each), lambda each=each: computed_in_c(each)


# Five Ops end the process where an argument is none of theirs. Of complex numbers few Ops compile anywhere.
_NOT_IN_C = {"chi2sf", "gammainc", "gammaincc", "gammal", "gammau", "convert_to_float16"}
_COMPLEX_IN_C = {"add", "sub", "mul", "true_div", "neg", "sqr", "abs_", "identity", "second",
                 "convert_to_complex64", "convert_to_complex128"}


def computed_in_c(dtypes):
    inputs = [scalar.get_scalar_type(dtype)("x%d" % k) for k, dtype in enumerate(dtypes)]
    outputs = {}
    for name, op, n_inputs in scalar_ops():
        if n_inputs == len(dtypes) and name not in _NOT_IN_C:
            try:
                node = op.make_node(*inputs)
                op.c_code(node, "n", ["x0", "x1"][:n_inputs], ["y"] * len(node.outputs), {"fail": ""})
            except Exception:  # it has none for these dtypes
                continue
            complexes = any(each.dtype.startswith("complex") for each in inputs + node.outputs)
            if not complexes or name in _COMPLEX_IN_C and all(each.dtype[0] in "cf" for each in inputs):
                outputs.update(("%s %d" % (name, k), output) for k, output in enumerate(node.outputs))
    values = theano.function(inputs, list(outputs.values()), mode=theano.Mode("c", None),
                             on_unused_input="ignore")(*inputs_of(dtypes, 0))
    return {name: [variable.dtype, plain(value, variable.dtype)]
            for (name, variable), value in zip(outputs.items(), values)}


# Numbers in graphs


def arithmetic():
    """The dtype of a variable and a number."""
    for dtype, ndim, number in itertools.product(DTYPES, (0, 1), NUMBERS):
        x = T.TensorType(dtype, (False,) * ndim)("x")
        for name in ("add", "mul", "sub", "div", "floordiv", "mod", "pow"):
            yield ("graph %s ndim %d %s %s" % (dtype, ndim, name, number),
                   lambda x=x, name=name, number=number: getattr(x, "__%s__" % name)(NUMBERS[number]).dtype)


def constants():
    """The dtype and the value that a number, or a list of them, gets."""
    for number, value in dict(NUMBERS, **LISTS).items():
        for make in (T.constant, T.as_tensor_variable, theano.shared, scalar.constant):
            def made(make=make, value=value):
                variable = make(value)
                data = variable.data if hasattr(variable, "data") else variable.get_value()
                return [variable.dtype, plain(data, variable.dtype)]

            yield "constant %s %s %s" % (make.__module__, make.__name__, number), made


def filtered():
    """What a Type makes of a value that a function is called with."""
    for dtype, text in itertools.product(DTYPES, FILTERED):
        for kind in (T.TensorType(dtype, (False,)), T.TensorType(dtype, ()), scalar.get_scalar_type(dtype)):
            for options in ({}, {"allow_downcast": True}, {"strict": True}):
                def converted(kind=kind, text=text, options=options):
                    value = kind.filter(FILTERED[text], **options)
                    return [str(value.dtype), plain(value, value.dtype)]

                yield "filter %s %s %s" % (kind, text, options), converted


def in_python():
    """All that needs no compiler."""
    return itertools.chain(ops_in_python(), arithmetic(), constants(), filtered())


# Random graphs


GRAPH_DTYPES = "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64".split()
GRAPH_NUMBERS = [0, 1, -1, 2, 3, 127, 128, 200, 255, 256, -129, 40000, 70000, 2 ** 31, 2 ** 40, 0.1, 0.5, 1.0, 2.0,
                 -0.3, 1e-3, 1e30, 1e-30, 1e39]
OF_ONE = [
    T.exp, T.log, T.sqrt, T.sqr, T.tanh, T.nnet.sigmoid, T.nnet.softplus, T.neg, T.abs_, T.sgn, T.floor, T.ceil,
    T.trunc, T.round, T.arctan, T.log1p, T.expm1, T.inv, T.angle, T.sin, T.cosh, T.erf,
    lambda e: e.sum(), lambda e: e.mean(), lambda e: e.max(), lambda e: e.min(axis=0), lambda e: T.argmax(e),
    lambda e: e.prod(), lambda e: T.cumsum(e), lambda e: T.cumprod(e), lambda e: e.var(), lambda e: T.std(e),
    lambda e: T.concatenate([e.flatten(), e.flatten()]), lambda e: T.sort(e.flatten()),
    lambda e: e.dimshuffle("x", *range(e.ndim)), lambda e: T.zeros_like(e) + 1,
    lambda e: T.extra_ops.diff(e.flatten()), lambda e: T.set_subtensor(e.flatten()[0], 3),
    lambda e: T.inc_subtensor(e.flatten()[[0, 0]], 2), lambda e: e.norm(2), lambda e: T.nnet.softmax(e.flatten()),
    lambda e: e.astype("int8"), lambda e: e.astype("uint8"), lambda e: e.astype("float32"),
    lambda e: T.arange(300) + e.sum(),
]
ARITHMETIC = [T.add, T.sub, T.mul, T.true_div]
OF_TWO = ARITHMETIC + [
    T.int_div, T.mod, T.maximum, T.minimum, T.eq, T.lt, lambda a, b: T.clip(a, 0, b),
    lambda a, b: T.dot(a.flatten()[:1], T.as_tensor_variable(b).flatten()[:1]), T.arctan2,
    lambda a, b: T.switch(T.lt(a, b), a, b),
]


def random_graphs(numbers, linker):
    """Expressions of two inputs, put together by chance, and their gradients: compiled, with all optimisations.

    But for fusion in Python: there Theano kept more digits of what it fused than the dtypes in the graph have. The same
    number is the same graph everywhere.
    """
    for number in numbers:
        yield "%s %d" % (linker, number), lambda number=number: random_graph(number, linker)


def random_graph(number, linker):
    chance = random.Random(number)

    def pick(choices):
        return choices[int(chance.random() * len(choices))]

    dtypes, ndim = [pick(GRAPH_DTYPES), pick(GRAPH_DTYPES)], pick([0, 1, 1, 2])
    inputs = [T.TensorType(dtype, (False,) * ndim)(name) for dtype, name in zip(dtypes, "xy")]
    counted = np.arange(1, 1 + 2 ** ndim).reshape((2,) * ndim)
    values = [(counted * (3 if np.dtype(dtype).kind != "f" else 0.7)).astype(dtype) for dtype in dtypes]
    expression = inputs[0]
    for _ in range(3):
        kind = chance.random()
        if kind < 0.35:
            expression = pick(OF_ONE)(expression)
        elif kind < 0.75:
            expression = pick(OF_TWO)(expression, pick(GRAPH_NUMBERS))
            if chance.random() < 0.3:
                expression = pick(ARITHMETIC)(pick(GRAPH_NUMBERS), expression)
        else:
            expression = pick(OF_TWO)(expression, inputs[1])
    outputs, floats = [expression], [each for each in inputs if each.dtype.startswith("float")]
    if floats and expression.dtype.startswith("float"):
        outputs.append(theano.grad(expression.sum(), floats[0], disconnected_inputs="ignore"))
    mode = theano.Mode(linker, "fast_run")
    function = theano.function(inputs, outputs, on_unused_input="ignore",
                               mode=mode.excluding("fusion") if linker == "py" else mode)
    precision = least_precise(function.maker.fgraph.variables)
    return [[output.dtype, str(result.dtype), list(result.shape), precision, plain(result.ravel()[:8], result.dtype)]
            for output, result in zip(outputs, function(*values))]


def least_precise(variables):
    """The dtype in which the last bits of a graph's results are lost."""
    return min((each.dtype for each in variables if each.dtype.startswith("float")), default="float64")


def record():
    """All answers, by floatX and by key. Of float32 those that differ from float64's."""
    answers = {}
    for floatX in ("float64", "float32"):
        with change_flags(floatX=floatX):
            asked = list(in_python())
            for linker, n in GRAPHS.items():
                asked += random_graphs(range(n), linker)
            if floatX == "float64":
                asked += ops_in_c()
            answers[floatX] = {key: answer(ask) for key, ask in asked}
    answers["float32"] = {key: value for key, value in answers["float32"].items() if answers["float64"][key] != value}
    return answers


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = json.dumps(record(), separators=(",", ":"), sort_keys=True)
    ANSWERS.write_bytes(lzma.compress(content.encode(), preset=9 | lzma.PRESET_EXTREME))
