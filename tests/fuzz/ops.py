"""Random inputs to all Ops: ``python tests/fuzz/ops.py FIRST_SEED LAST_SEED [float32|float64 ...]``.

Sound blocks and broken ones, of any size down to nothing, in any memory layout, with NaN and infinite values at times.
The C code has to give what the Op's `perform` gives in NumPy, or to refuse what that refuses; and it must leave its
inputs as they were. See `sanitize` for the same under AddressSanitizer.
"""
import faulthandler
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sparse_ae.ops import (  # noqa: E402
    AdagradStep,
    AdamStep,
    SGDStep,
    SparseAdamStep,
    SquaredError,
    csr_dot,
    csr_t_dot,
    sampled_dot,
)
from sparse_ae.ops.everywhere import SquaredOutputs  # noqa: E402
from sparse_ae.ops.rewrites import rewriting_mode  # noqa: E402
from sparse_ae.ops.rows import AdagradRows, AdamRows, SGDRows  # noqa: E402
import theano  # noqa: E402
import theano.tensor as T  # noqa: E402

SECONDS = 60
NONLINEARITIES = "linear", "sigmoid", "tanh", "rectify", "leaky_rectify"


def variables(dtype, **ndims):
    """Symbolic inputs: of indices where the number of dimensions is None."""
    return [T.ivector(name) if ndim is None else T.TensorType(dtype, (False,) * ndim)(name)
            for name, ndim in ndims.items()]


def compiled(inputs, outputs, mutable=0):
    """A function of an Op's outputs, the first inputs of which it may write to; and the Op's node."""
    outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    given = [theano.In(x, mutable=True, borrow=True) if i < mutable else x for i, x in enumerate(inputs)]
    function = theano.function(given, outputs, on_unused_input="ignore", mode="FAST_RUN", allow_input_downcast=False)
    return function, outputs[0].owner, mutable


class Block:
    """A random CSR block with factors; perhaps with something wrong."""

    def __init__(self, rng, dtype):
        self.rng, self.dtype = rng, dtype
        self.n, self.items = rng.randint(0, 9), rng.randint(0, 12)
        self.k = int(rng.choice([1, 1, 2, 3, 5, 8, 13, 16, 17, 31, 32, 33, 64, 100]))
        if rng.rand() < 0.1:
            self.n, self.items, self.k = 60, 40, 130  # enough for two threads
        lengths = rng.randint(0, 8, self.n) if self.items else np.zeros(self.n, int)
        self.indptr = np.concatenate([[0], np.cumsum(lengths)]).astype("int32")
        self.indices = rng.randint(0, max(1, self.items), lengths.sum()).astype("int32")
        self.special = rng.rand() < 0.1
        self.data = self.floats(len(self.indices))
        self.target, self.seen = self.floats(len(self.indices)), self.floats(len(self.indices))
        if rng.rand() < 0.35:
            self.break_something()

    def floats(self, *shape):
        """Numbers in some memory layout."""
        values = (self.rng.randn(*shape) * self.rng.choice([0.1, 1, 3])).astype(self.dtype)
        if self.special and values.size:
            values.flat[self.rng.randint(values.size)] = self.rng.choice([np.nan, np.inf, -np.inf, 1e38, 1e-45])
        kind = self.rng.randint(5)
        if kind == 1:
            return np.asfortranarray(values)
        if kind == 2:
            return values[::-1]
        if kind == 3:
            wide = np.zeros(shape[:-1] + (2 * shape[-1] + 1,), self.dtype)
            wide[..., 1::2] = values
            return wide[..., 1::2]
        return values

    def break_something(self):
        rng, kind = self.rng, self.rng.randint(9)
        if kind <= 2 and len(self.indices):
            self.indices[rng.randint(len(self.indices))] = rng.choice([-1, self.items, 2 ** 31 - 1, -2 ** 31, 1000])
        elif kind <= 4:
            self.indptr[rng.randint(len(self.indptr))] = rng.choice([-1, 1, 2 ** 31 - 1, -2 ** 31, 5])
        elif kind == 5:
            self.indptr = self.indptr[:rng.randint(len(self.indptr) + 1)]
        elif kind == 6:
            self.data = self.data[:rng.randint(len(self.data) + 1)]
        elif kind == 7:
            self.target = self.floats(len(self.indices) + rng.choice([-1, 1]) if len(self.indices) else 1)
        else:
            self.seen = self.floats(len(self.indices) + 1)

    def off(self, size):
        """A size, now and then another one."""
        return size if self.rng.rand() < 0.95 else max(0, size + self.rng.choice([-1, 1, 3]))

    def factors(self):
        return self.floats(self.off(self.items), self.off(self.k))

    def parameters(self, positive=False):
        made = [self.factors(), self.factors(), self.floats(self.off(self.k)), self.floats(self.off(self.items))]
        return [np.abs(x) for x in made] if positive else made

    def block(self):
        return [self.data, self.indices, self.indptr]

    def rates(self):
        return [np.asarray(self.rng.choice([0, 1e-3, 0.1, 0.5]), self.dtype) for _ in range(3)]


class Alike:
    """Two ranks, each with what this one has."""

    def sum(self, array):
        return 2 * array


def ranks_for(g):
    """A third of the fused Ops adds up over ranks."""
    return Alike() if g == "tanh" else None


def ops(dtype):
    """By name: what makes a function of an Op, and what makes its inputs of a `Block`."""
    csr = dict(data=1, indices=None, indptr=None)
    parameters = dict(W=2, V_t=2, mu=1, b=1)
    rates = dict(rate=0, l2_W=0, l2_V=0)
    squares = {"squares_" + name: ndim for name, ndim in parameters.items()}
    found = {
        "csr_dot": (lambda: two(variables(dtype, **csr, F=2), csr_dot), lambda x: x.block() + [x.factors()]),
        "sampled_dot": (lambda: two(variables(dtype, indices=None, indptr=None, A=2, F=2), sampled_dot),
                        lambda x: x.block()[1:] + [x.floats(x.off(x.n), x.off(x.k)), x.factors()]),
        "csr_t_dot": (lambda: two(variables(dtype, **csr, A=2) + [T.lscalar("n")], csr_t_dot),
                      lambda x: x.block() + [x.floats(x.off(x.n), x.k),
                                             np.asarray(x.items if x.rng.rand() < 0.9 else -1, "int64")]),
        "SquaredOutputs": (lambda: two(variables(dtype, h=2, W=2, c=1), SquaredOutputs()),
                           lambda x: [x.floats(x.n, x.k), x.factors(), x.floats(x.off(x.items))]),
    }

    def two(inputs, op):
        return compiled(inputs, op(*inputs))

    for mutable in (0, 1):
        def sgd_rows(mutable=mutable):
            inputs = variables(dtype, F=2, rate=0, **csr, A=2)
            return compiled(inputs, SGDRows()(*inputs), mutable)
        found["SGDRows, mutable %d" % mutable] = sgd_rows, lambda x: (
            [x.factors(), x.rates()[0]] + x.block() + [x.floats(x.off(x.n), x.off(x.k))])

        def adagrad_rows(mutable=mutable):
            inputs = variables(dtype, F=2, squares=2, rate=0, epsilon=0, **csr, A=2)
            return compiled(inputs, AdagradRows()(*inputs), 2 * mutable)
        found["AdagradRows, mutable %d" % mutable] = adagrad_rows, lambda x: (
            [x.factors(), np.abs(x.factors()), x.rates()[0], np.asarray(0.1, dtype)] + x.block()
            + [x.floats(x.off(x.n), x.off(x.k))])

        def adam_rows(mutable=mutable):
            numbers = T.dscalars("step", "beta1", "beta2", "epsilon")
            inputs = variables(dtype, F=2, means=2, squares=2) + numbers + variables(dtype, **csr, A=2)
            return compiled(inputs, AdamRows()(*inputs), 3 * mutable)
        found["AdamRows, mutable %d" % mutable] = adam_rows, lambda x: (
            [x.factors(), x.factors(), np.abs(x.factors())] + [np.asarray(number) for number in (0.1, 0.9, 0.99, 1e-4)]
            + x.block() + [x.floats(x.off(x.n), x.off(x.k))])
    for f in NONLINEARITIES:
        for g in NONLINEARITIES:
            for second in (False, True):
                def error(f=f, g=g, second=second):
                    inputs = variables(dtype, **parameters, **csr, target=1, **(dict(U_t=2, seen=1) if second else {}))
                    return compiled(inputs, SquaredError(f, g, 0.5, 2.0, ranks_for(g))(*inputs))
                found["SquaredError %s %s%s" % (f, g, ", two" * second)] = error, lambda x, second=second: (
                    x.parameters() + x.block() + [x.target] + ([x.factors(), x.seen] if second else []))

                def adagrad(f=f, g=g, second=second):
                    U_t, squares_U_t, seen = ({name: ndim} if second else {} for name, ndim in [
                        ("U_t", 2), ("squares_U_t", 2), ("seen", 1)])
                    inputs = variables(dtype, **parameters, **U_t, **squares, **squares_U_t, **csr, **rates, target=1,
                                       **seen)
                    op = AdagradStep(f, g, 0.5, 2.0, ranks_for(g))
                    return compiled(inputs, op(*inputs), (8 + 2 * second) * (f == g))
                found["AdagradStep %s %s%s" % (f, g, ", two" * second)] = adagrad, lambda x, second=second: (
                    x.parameters() + [x.factors()] * second + x.parameters(True) + [np.abs(x.factors())] * second
                    + x.block() + x.rates() + [x.target] + [x.seen] * second)

                def adam(f=f, g=g, second=second, kind=AdamStep, **settings):
                    own = list(parameters.values()) + [2] * second
                    inputs = [T.TensorType(dtype, (False,) * ndim)() for ndim in own + [n for n in own for _ in "mv"]]
                    inputs += variables(dtype, **csr, **rates, target=1, **(dict(seen=1) if second else {}))
                    op = kind(f, g, 0.5, 2.0, ranks_for(g), **settings)
                    return compiled(inputs, op(*inputs), 3 * len(own) * (f == g))

                def for_adam(x, second=second):
                    own = [x.parameters() + [x.factors()] * second for _ in range(3)]
                    kept = [each for mean, square in zip(*own[1:]) for each in (mean, np.abs(square))]
                    return own[0] + kept + x.block() + x.rates() + [x.target] + [x.seen] * second
                ends = f, g, ", two" * second
                found["AdamStep %s %s%s" % ends] = partial(adam, weighted=f == "tanh"), for_adam
                found["SparseAdamStep %s %s%s" % ends] = partial(adam, kind=SparseAdamStep), for_adam

            def sgd(f=f, g=g):
                inputs = variables(dtype, **parameters) + [T.dvector("state")] + variables(
                    dtype, **csr, **rates, target=1)
                return compiled(inputs, SGDStep(f, g, 0.5, 2.0, ranks_for(g))(*inputs), 5 * (f == g))

            found["SGDStep %s %s" % (f, g)] = sgd, lambda x: (
                x.parameters() + [np.abs(x.rng.rand(4 if x.rng.rand() < 0.95 else 3)) + 0.1] + x.block() + x.rates()
                + [x.target])
    return found


def performed(node, inputs):
    outputs = [[None] for _ in node.outputs]
    node.op.perform(node, inputs, outputs)
    return [output[0] for output in outputs]


def checked(function, node, mutable, inputs, special, dtype):
    """Whether the inputs were taken."""
    copies = [x.copy() for x in inputs]
    own = [x.copy(order="K") if i < mutable else x for i, x in enumerate(inputs)]
    found = wanted = None
    with np.errstate(all="ignore"):
        try:
            wanted = performed(node, [x.copy() for x in inputs])
        except (ValueError, IndexError) as error:
            wanted = error
        try:
            found = function(*own)
        except (ValueError, IndexError) as error:
            found = error
    for i, (x, before) in enumerate(zip(own, copies)):
        assert i < mutable or x.tobytes() == before.tobytes(), "an input was written to"
    if isinstance(wanted, Exception) or isinstance(found, Exception):
        # Where two things are wrong either may be found first.
        assert isinstance(wanted, Exception) and isinstance(found, Exception), "C: %r; NumPy: %r" % (found, wanted)
        return False
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        assert a.shape == np.shape(b) and a.dtype == np.asarray(b).dtype
        if not special and a.size and np.isfinite(b).all():
            scale = max(1.0, float(np.abs(b).max()))
            # Adagrad and Adam divide a gradient by its own size: of a small one the rounding is seen.
            tolerance = {"float32": 5e-3, "float64": 1e-8}[dtype]
            assert np.abs(np.asarray(a, "float64") - b).max() <= tolerance * scale, np.abs(a - b).max() / scale
    return True


def update_pass(dtype):
    """The pass of an adaptive update, compiled from a graph, against NumPy."""
    p, m = (theano.shared(np.zeros((1, 1), dtype)) for _ in range(2))
    g = T.TensorType(dtype, (False, False))()
    two, small = np.asarray(0.9, dtype), np.asarray(0.1, dtype)
    new = two * m + small * g ** 2
    step = theano.function([g], [], updates=[(m, new), (p, p - small * g / T.sqrt(new + small))], mode=rewriting_mode())
    assert any(type(node.op).__name__ == "UpdatePass" for node in step.maker.fgraph.apply_nodes)

    def case(rng):
        block = Block(rng, dtype)
        shape = block.n, block.k
        values = [block.floats(*shape) for _ in range(3)]
        values[1] = np.abs(values[1])
        if rng.rand() < 0.1:
            values[rng.randint(3)] = block.floats(shape[0] + 1, shape[1])
        p.set_value(values[0]), m.set_value(values[1])
        fits = values[0].shape == values[1].shape == values[2].shape
        try:
            step(values[2])
        except ValueError:
            assert not fits
            return False
        assert fits
        with np.errstate(all="ignore"):
            moment = two * values[1] + small * values[2] ** 2
            wanted = values[0] - small * values[2] / np.sqrt(moment + small)
        if not block.special:
            np.testing.assert_allclose(m.get_value(), moment, 1e-4, 1e-5)
            np.testing.assert_allclose(p.get_value(), wanted, 1e-4, 1e-5)
        return True

    return case


def main(first, last, dtypes):
    for dtype in dtypes:
        made, cases, counts = ops(dtype), {}, {True: 0, False: 0}
        names, of_pass = sorted(made), update_pass(dtype)
        for seed in range(first, last):
            rng = np.random.RandomState(seed)
            faulthandler.dump_traceback_later(10 * SECONDS, exit=True)  # it may be the first to compile
            name = "UpdatePass" if seed % 20 == 0 else names[seed % len(names)]
            print("%s, %s, seed %d" % (name, dtype, seed), file=sys.stderr, flush=True)
            if name == "UpdatePass":
                counts[of_pass(rng)] += 1
                continue
            make, inputs = made[name]
            if name not in cases:
                cases[name] = make()
            block = Block(rng, dtype)
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            counts[checked(*cases[name], inputs(block), block.special, dtype)] += 1
        faulthandler.cancel_dump_traceback_later()
        print("%s: %d taken, %d refused" % (dtype, counts[True], counts[False]))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or ["float32", "float64"])
