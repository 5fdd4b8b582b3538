"""What the sparse Ops share, types and keys of compiled code; and the arrays of sparse variables."""
import os

import numpy as np
import programs
import pytest
import scipy.sparse as sp
from devices import ON_GPU

from sparse_ae.ops import csr, op, stored_arrays, with_values
from sparse_ae.ops.op import float_tensors, index_vectors
from sparse_ae.ops.rewrites import rewriting_mode
from sparse_ae.ops.updates import Together, UpdatePass
import lasagne
import theano
import theano.sparse
import theano.tensor as T
from theano.gradient import verify_grad


@pytest.mark.parametrize("arguments, message", [
    ((T.vector(dtype="float16"), T.ivector(), T.ivector(), 3), "values is of dtype float16; expected float32, float"),
    ((T.fvector(), T.lvector(), T.ivector(), T.fmatrix()),
     "indices is a 1-d tensor of int64; expected a vector of int32"),
    ((T.fvector(), T.ivector(), T.fvector(), T.fmatrix()), "indptr is a 1-d tensor of float32"),
    ((T.fmatrix(), T.ivector(), T.ivector(), T.fmatrix()), "data has 2 dimensions; expected 1"),
    ((T.fvector(), T.ivector(), T.ivector(), T.zmatrix()), "F is of dtype complex128; expected float32 or float64"),
])
def test_wrong_types_are_refused_when_the_graph_is_built(arguments, message):
    with pytest.raises(TypeError, match=message):
        (csr.dense_rows if arguments[-1] == 3 else csr.csr_dot)(*arguments)


def test_types_of_tensors():
    assert [x.dtype for x in index_vectors(T.bvector(), T.wvector())] == ["int32"] * 2
    assert [x.dtype for x in float_tensors(a=(T.fvector(), 1), b=(T.dmatrix(), 2))] == ["float64"] * 2
    assert [x.dtype for x in float_tensors(a=(T.ivector(), 1))] == ["float64"]


@pytest.mark.skipif(not theano.config.cxx or ON_GPU, reason="there is no compiler, or these aren't a GPU's Ops")
def test_an_op_of_changed_code_is_compiled_anew(monkeypatch):
    """Its version follows its C code, whatever that is made of, and the headers."""
    def versions(changed="", beside="", params_type=csr.CsrDot.params_type):
        class Own(csr.CsrDot):
            def c_code(self, *arguments):
                return super().c_code(*arguments) + changed

            def c_support_code_struct(self, *arguments):
                return super().c_support_code_struct(*arguments) + beside

        Own.params_type = params_type

        product = Own()(T.fvector(), T.ivector(), T.ivector(), T.fmatrix()).owner
        W = theano.shared(np.ones((2, 2)))
        function = theano.function([], T.zeros((1, 1)), updates=lasagne.updates.adam([W ** 3], [W]),
                                   mode=rewriting_mode())
        update, = (node for node in function.maker.fgraph.apply_nodes if isinstance(node.op, UpdatePass))
        return [node.op.c_code_cache_version_apply(node) for node in (product, update)]

    before = versions()
    assert versions() == before and all(before)
    more = theano.gof.ParamsType(op=theano.gof.generic)
    changed = [versions(*arguments)[0] for arguments in (["// changed"], ["", "// changed"], ["", "", more])]
    assert len(set(changed + before[:1])) == 4
    monkeypatch.setattr(Together, "c_code", lambda self, *arguments: "// changed")
    assert versions()[1] != before[1]
    monkeypatch.setattr(op, "C_TABLE", "// changed")
    op._c_code.cache_clear()
    assert all(x[:-1] != y[:-1] for x, y in zip(versions(), before))
    op._c_code.cache_clear()


COUNTS = """
import os, sys
import sparse_ae.theano_compat, theano, theano.tensor as T
from sparse_ae.ops import csr_dot
inputs = [T.fvector(), T.ivector(), T.ivector(), T.fmatrix()]
theano.function(inputs, csr_dot(*inputs))
if not theano.config.cxx or not any("libgomp" in line for line in open("/proc/self/maps")):
    print("none")
sys.stdout.write(str(sorted(name for name in os.environ if name.startswith(("GOMP", "OMP_W")))))
"""


@pytest.mark.parametrize("settings, spins", [({}, "'1000'"), ({"GOMP_SPINCOUNT": "77"}, "'77'"),
                                             ({"OMP_WAIT_POLICY": "PASSIVE"}, "'0'")])
@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="Linux says there what a process has loaded")
def test_threads_wait_for_a_short_time_or_as_the_user_says(settings, spins, monkeypatch):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    said, errors = programs.run("-c", COUNTS, OMP_DISPLAY_ENV="VERBOSE", **settings)
    if said.startswith("none"):
        pytest.skip("GNU's OpenMP isn't loaded")
    assert [line.split("=")[1].strip() for line in errors.splitlines() if "GOMP_SPINCOUNT" in line] == [spins]
    assert said == str(sorted(settings)), "the environment is as it was"


def test_second_derivative_by_finite_differences():
    indices, indptr, rng = np.int32([2, 0, 1, 2]), np.int32([0, 2, 2, 4]), np.random.RandomState(0)

    def gradient(A, F):
        return T.grad(T.sum(T.tanh(csr.sampled_dot(indices, indptr, A, F)) ** 2), F)

    verify_grad(gradient, [rng.randn(3, 5), rng.randn(3, 5)], rng=rng)


# The arrays of sparse variables: what SciPy has, without copies


X = sp.csr_matrix((np.array([5.0, 0, 2, -1]), np.array([1, 3, 0, 1]), np.array([0, 2, 2, 4])), shape=(3, 4))


@pytest.fixture(scope="module")
def function():
    x = theano.sparse.csr_matrix("x", "float64")
    return theano.function([x], stored_arrays(x, 4))


@pytest.mark.parametrize("index_dtype", ["int32", "int64"])
def test_are_scipys(function, index_dtype):
    for given in (X.copy(), sp.csr_matrix((2, 4)), sp.csr_matrix((0, 4))):
        given.indices, given.indptr = given.indices.astype(index_dtype), given.indptr.astype(index_dtype)
        found = function(given)
        assert [x.dtype.name for x in found] == ["float64", "int32", "int32"]
        assert [x.tolist() for x in found] == [x.tolist() for x in (given.data, given.indices, given.indptr)]
        assert given.indices.dtype == index_dtype


def test_another_width(function):
    with pytest.raises(ValueError, match="the sparse input is 3 x 3; expected 4 columns, as many as the graph was"):
        function(X[:, :3])
    x = theano.sparse.csr_matrix("x", "float64")
    assert len(theano.function([x], stored_arrays(x)[0])(X[:, :3])) == 3


def test_more_entries_than_an_int32_counts(function):
    class Huge:
        shape, nnz = (3, 4), 2 ** 31

    op = function.maker.fgraph.toposort()[0].op
    with pytest.raises(ValueError, match="the sparse input stores 2147483648 entries; .*: pass fewer rows at a time"):
        op.perform(None, [Huge], [[None]] * 3)


def test_the_input_is_never_written_to_and_a_gradient_goes_back_to_the_values():
    x, given = theano.sparse.csr_matrix("x", "float64"), X.copy()
    values = stored_arrays(x, 4)[0]
    _, gradient = theano.function([x], [T.exp(values) + 1, T.grad(T.sum(values ** 2), x)])(given)
    assert (given != X).nnz == 0 and (gradient != 2 * X).nnz == 0


def test_other_values_at_the_same_entries():
    x = theano.sparse.csr_matrix("x", "float64")
    data = T.arange(4)
    y = with_values(x, T.cast(data, "float64"), 4)
    found = theano.function([x], y)(X)
    assert found.toarray().tolist() == [[0, 0, 0, 1], [0] * 4, [2, 3, 0, 0]] and found.nnz == 4
    assert stored_arrays(y)[0].owner.op == T.basic._convert_to_float64
    again = with_values(y, stored_arrays(y)[0] ** 2)
    assert theano.function([x], again)(X).toarray().tolist() == [[0, 0, 0, 1], [0] * 4, [4, 9, 0, 0]]


@pytest.mark.parametrize("wrong, message", [
    (T.matrix("rows"), r"the input, rows, is of type .*; expected a sparse variable: make it with theano.sparse.csr_m"),
    (theano.sparse.csc_matrix("columns"), r"the sparse input, columns, is in the format 'csc'; expected 'csr'"),
    (X, r"is of type csr_matrix; expected a sparse variable")])
def test_what_is_no_csr_variable(wrong, message):
    for function in (stored_arrays, lambda x: with_values(x, T.vector())):
        with pytest.raises(TypeError, match=message):
            function(wrong)
