"""Rewrites for a GPU, on the CPU: they give what the graph gave, by the Ops that they are to put in."""
import re
from pathlib import Path

import numpy as np
import programs
import pytest
import scipy.sparse as sp
from alike import assert_all_close
from devices import environment

from sparse_ae.ops import csr_dot, sampled_dot, squared_outputs
from sparse_ae.ops.csr import CsrTDot
from sparse_ae.ops.everywhere import SquaredOutputs
from sparse_ae.ops.gpu import rewrites
import theano
import theano.tensor as T
from theano.tensor.subtensor import AdvancedIncSubtensor1

RNG = np.random.RandomState(0)


def function(inputs, outputs, rewrite=None):
    """A function of Python code that is optimised by one rewrite alone."""
    return theano.function(inputs, outputs, on_unused_input="ignore", mode=theano.Mode(
        "py", None if rewrite is None else T.opt.in2out(rewrite)))


def ops(function, kind):
    return [node.op for node in function.maker.fgraph.toposort() if isinstance(node.op, kind)]


def test_the_sum_of_a_matrix_is_made_in_two_steps():
    x, y = T.dmatrix(), T.dvector()
    f = function([x, y], [T.sum(x ** 2), T.sum(y), T.sum(x, axis=1)], rewrites.local_sum_in_two_steps)
    assert sorted(str(op.axis) for op in ops(f, T.Sum)) == ["(0,)", "(0,)", "(1,)", "None"]
    values = [RNG.randn(5, 3), RNG.randn(4)]
    assert_all_close(f(*values), [(values[0] ** 2).sum(), values[1].sum(), values[0].sum(axis=1)], rtol=1e-12)


def test_sums_of_numbers_and_of_integers_stay_what_they_are():
    x = T.imatrix()
    f = function([x], T.sum(x), rewrites.local_sum_in_two_steps)
    assert f(np.full((70000, 2), 70000, "int32")) == 2 * 70000 ** 2  # more than an int32


@pytest.mark.parametrize("of_a_block", [True, False])
def test_the_gradient_of_a_lookup_is_added_up_in_a_fixed_order(of_a_block):
    R = sp.csr_matrix(RNG.randint(0, 3, (6, 5)).astype("float64"))
    b, h, W, (indices, indptr) = T.dvector(), T.dmatrix(), T.dmatrix(), T.ivectors(2)
    scores = b[indices] * np.arange(R.nnz)
    if of_a_block:
        scores += sampled_dot(indices, indptr, h, W)
    arguments = [b, h, W, indices, indptr], T.grad(T.sum(scores ** 2), b)
    f, plain = function(*arguments, rewrite=rewrites.local_lookup_gradient), function(*arguments)
    assert bool(ops(f, CsrTDot)) == of_a_block != bool(ops(f, AdvancedIncSubtensor1))
    assert ops(plain, AdvancedIncSubtensor1)
    values = [RNG.randn(5), RNG.randn(6, 2), RNG.randn(5, 2), R.indices, R.indptr]
    np.testing.assert_allclose(f(*values), plain(*values), rtol=1e-12)


def test_a_lookup_that_is_written_to_stays_one():
    b, values, (indices, indptr), F = T.dvector(), T.dvector(), T.ivectors(2), T.dmatrix()
    outputs = [T.set_subtensor(b[indices], values), csr_dot(values, indices, indptr, F)]
    assert ops(function([b, values, indices, indptr, F], outputs, rewrites.local_lookup_gradient),
               AdvancedIncSubtensor1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_squares_of_all_outputs_and_their_gradients(dtype):
    inputs = h, W, c = T.matrices("h", "W") + [T.vector("c")]
    h, W, c = inputs = [x.type.clone(dtype=dtype)(x.name) for x in inputs]
    total = squared_outputs(h, W, c)
    arguments = inputs, [total] + T.grad(total, inputs)
    f, plain = function(*arguments, rewrite=rewrites.local_squared_outputs), function(*arguments)
    assert not ops(f, SquaredOutputs) and ops(plain, SquaredOutputs)
    values = [RNG.randn(*shape).astype(dtype) for shape in [(7, 3), (4, 3), (4,)]]
    for got, wanted in zip(f(*values), plain(*values)):
        assert got.dtype == dtype and got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=1e-4 if dtype == "float32" else 1e-12)


def test_theanos_optimiser_takes_them_where_they_are_registered():
    """All together and Theano's own: what one makes the others leave as it is. In a process of its own."""
    programs.run("-c", """
import sparse_ae.theano_compat, numpy as np, theano, theano.tensor as T
from sparse_ae.ops import csr_dot, sampled_dot, squared_outputs
from sparse_ae.ops.gpu import rewrites
W, b, h = (theano.shared(np.ones(shape)) for shape in [(5, 2), 5, (6, 2)])
indices, indptr = T.ivectors(2)
scores = sampled_dot(indices, indptr, h, W) + b[indices]
cost = T.sum(scores ** 2) + T.sum(W ** 2) + squared_outputs(h, W, b)
def kinds():
    made = theano.function([indices, indptr], [cost] + T.grad(cost, [W, b, h]), mode=theano.Mode("py", "fast_run"))
    values = made(np.array([0, 0, 3, 4], "int32"), np.array([0, 1, 2, 2, 2, 3, 4], "int32"))
    return {type(node.op).__name__ for node in made.maker.fgraph.apply_nodes}, values
before, values = kinds()
rewrites.register()
after, again = kinds()
assert {"SquaredOutputs", "AdvancedIncSubtensor1"} <= before, before
assert not {"SquaredOutputs", "AdvancedIncSubtensor1"} & after and "CsrTDot" in after, after
for x, y in zip(values, again):
    np.testing.assert_allclose(x, y, rtol=1e-12)
""", **environment("device=cpu"))


def test_every_op_of_a_gpu_without_a_card():
    """All Ops of `ops.gpu` are put into graphs, work in place, are pickled, compared, and write their code."""
    program = Path(__file__).parent / "ops_without_card.py"
    said, _ = programs.run(program, **dict(environment("device=cpu,cxx="), PYTHONPATH=programs.WITH_TESTS))
    assert re.match(r"\d\d Ops; not in a graph:$", said.strip())
