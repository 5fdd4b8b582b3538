"""Random inputs to all Ops: ``python tests/fuzz/ops.py FIRST_SEED LAST_SEED [float32|float64 ...]``.

Sound blocks and broken ones, of any size down to nothing, in any memory layout, with NaN and infinite values at times.
The C code has to give what the Op's `perform` gives in NumPy, or to refuse what that refuses; and it must leave its
inputs as they were. The Ops are those of tests/ops/test_op_contract.py, and, of more than a hundred seeds, the same
with other nonlinearities, over ranks, and with two encoders. See `sanitize` for the same under AddressSanitizer.
"""
import functools
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")
import numpy as np  # noqa: E402
from driver import drive, say  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ops"))
import test_op_contract as contract  # noqa: E402

from sparse_ae.ops import AdamStep  # noqa: E402
from sparse_ae.ops.fused import FusedOp  # noqa: E402
from sparse_ae.ops.rewrites import rewriting_mode  # noqa: E402
import theano  # noqa: E402
import theano.tensor as T  # noqa: E402

NONLINEARITIES = "linear", "sigmoid", "tanh", "rectify", "leaky_rectify"


class TestAdamStepOfTwoEncoders(contract.TestAdamStep):
    names = contract.ADAMS.replace("W V mu b ", "W V mu b U ").replace(
        "squares_b ", "squares_b means_U squares_U ") + " indicator"


OPS = [each for name, each in sorted({**vars(contract), **globals()}.items()) if getattr(each, "op", None)
       and "OverRanks" not in name] + [None]


@functools.lru_cache(maxsize=None)
def compiled(k, dtype, f=None, g=None, over_ranks=False, weighted=False, in_place=False):
    """A function of an Op, its node, and how many of its inputs it may write to."""
    if OPS[k] is None:
        node = update_pass(dtype)
        given = node.inputs
    else:
        op, given = OPS[k].op, [contract.variable(x) for x in OPS[k]().inputs(dtype)]
        if f is not None and isinstance(op, FusedOp):
            more = dict(weighted=weighted) if type(op) is AdamStep else {}
            op = type(op)(f, g, 0.5, 2.0, contract.Alike() if over_ranks else None, **more)
        node = op(*given, return_list=True)[0].owner
    mutable = len(getattr(node.op, "updated", ())) if in_place else 0
    inputs = [theano.In(x, mutable=True, borrow=True) if i < mutable else x for i, x in enumerate(given)]
    return theano.function(inputs, node.outputs, on_unused_input="ignore", mode="FAST_RUN",
                           allow_input_downcast=False), node, mutable


def update_pass(dtype):
    """The pass of an adaptive update of a graph, as a node of its own."""
    p, m = (theano.shared(np.zeros((1, 1), dtype)) for _ in range(2))
    g = T.TensorType(dtype, (False, False))()
    new = np.asarray(0.9, dtype) * m + np.asarray(0.1, dtype) * g ** 2
    step = theano.function([g], [], updates=[(m, new), (p, p - g / T.sqrt(new + 1))], mode=rewriting_mode())
    node = next(node for node in step.maker.fgraph.apply_nodes if type(node.op).__name__ == "UpdatePass")
    inputs = [x.type() for x in node.inputs]
    return type(node.op)(node.op.scalar_op, node.op.pairs)(*inputs, return_list=True)[0].owner


def drawn(rng, dtype):
    """(a random CSR block, factors and numbers by the names of the contract, perhaps with something wrong; whether
    there are NaN, infinite or huge ones among them)."""
    n, n_columns, k = rng.randint(0, 9), rng.randint(0, 12), int(rng.choice([1, 1, 2, 3, 5, 8, 13, 16, 17, 31, 32, 33,
                                                                            64, 100]))
    if rng.rand() < 0.1:
        n, n_columns, k = 60, 40, 130  # enough for two threads
    lengths = rng.randint(0, 8, n) if n_columns else np.zeros(n, int)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype("int32")
    indices = rng.randint(0, max(1, n_columns), lengths.sum()).astype("int32")
    found = contract.of_block(rng, dtype, indices, indptr, n_columns, k, rng.choice([0.1, 1, 3]))
    found.update(step=np.asarray(rng.choice([0, 1e-3, 0.1, 0.5]), dtype), pass_=np.abs(found["A"]),
                 l2=np.asarray(rng.choice([0, 1e-3, 0.1, 0.5]), dtype))
    is_special, is_broken = rng.rand() < 0.1, rng.rand() < 0.35
    of_entries = is_broken and rng.rand() < 0.6
    if of_entries:
        changed, values = ((indices, [-1, n_columns, 2 ** 31 - 1, -2 ** 31, 1000]) if rng.rand() < 0.5
                           else (indptr, [-1, 1, 2 ** 31 - 1, -2 ** 31, 5]))
        changed[rng.randint(len(changed) + 1):][:1] = rng.choice(values)
    elif is_broken:
        found.update(n_items=rng.choice([n_columns, -1]), indptr=indptr[:rng.choice([n, n + 1])])
    for name, x in found.items():
        if np.ndim(x) and x.dtype.kind == "f":
            if is_broken and not of_entries:  # now and then another size
                x = np.resize(x, [max(0, size + rng.choice([-1, 1, 3]) * (rng.rand() < 0.3)) for size in x.shape])
            if is_special and x.size and name != "state":
                x.flat[rng.randint(x.size)] = rng.choice([np.nan, np.inf, -np.inf, 1e38, 1e-45])
            found[name] = list(contract.LAYOUTS.values())[rng.randint(4)](x)
    return found, is_special


def checked(function, node, mutable, inputs, special, dtype):
    """Whether the inputs were taken."""
    own = [x.copy(order="K") if i < mutable else x for i, x in enumerate(inputs)]
    copies = [x.copy() for x in inputs]

    def performed(*inputs):
        outputs = [[None] for _ in node.outputs]
        node.op.perform(node, inputs, outputs)
        return [output[0] for output in outputs]

    found = []
    with np.errstate(all="ignore"):
        for compute, given in (performed, [x.copy() for x in inputs]), (function, own):
            try:
                found.append(compute(*given))
            except (ValueError, IndexError) as error:
                found.append(error)
    for i, (x, before) in enumerate(zip(own, copies)):
        assert i < mutable or x.tobytes() == before.tobytes(), "an input was written to"
    refused = [isinstance(each, Exception) for each in found]
    assert len(set(refused)) == 1, "NumPy: %r; C: %r" % tuple(found)  # of two faults either may be found first
    if refused[0]:
        return "refused"
    for a, b in zip(found[1], found[0]):
        assert a.shape == np.shape(b) and a.dtype == np.asarray(b).dtype
        if not special and a.size and np.isfinite(b).all():
            # Adagrad and Adam divide a gradient by its own size: of a small one the rounding is seen.
            tolerance = {"float32": 5e-3, "float64": 1e-8}[dtype] * max(1.0, float(np.abs(b).max()))
            assert np.abs(np.asarray(a, "float64") - b).max() <= tolerance
    return "taken"


def case(rng, folder):
    k, dtype = rng.randint(len(OPS)), DTYPES[rng.randint(len(DTYPES))]
    settings = dict(in_place=bool(rng.randint(2)))
    if MANY:
        f, g = (str(rng.choice(NONLINEARITIES)) for _ in "fg")
        settings.update(f=f, g=g, over_ranks=g == "tanh", weighted=f == "tanh")
    say("%s, %s, %r" % (OPS[k], dtype, settings))
    (found, is_special), function = drawn(rng, dtype), compiled(k, dtype, **settings)
    inputs = [np.asarray(found[name]) for name in OPS[k].names.split()] if OPS[k] else [
        found["step"].reshape(1, 1) if any(x.broadcastable) else found["pass_"] for x in function[1].inputs]
    name = OPS[k].__name__ if OPS[k] else "UpdatePass"
    return name, checked(*function, inputs, is_special, dtype)


if __name__ == "__main__":
    DTYPES, MANY = sys.argv[3:] or ["float32", "float64"], int(sys.argv[2]) > 100
    drive(case, "taken", "refused", seconds=600)  # the first of a kind is compiled
