"""The sparse Ops against plain loops, finite differences, and wrong input; and the arrays of sparse variables."""
import hypothesis
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from devices import memory_of
from hypothesis import strategies as st

from sparse_ae.ops import csr, dense_rows, stored_arrays, with_values
from sparse_ae.ops.op import CsrOp
from sparse_ae.runtime.device import kept_on_host
import theano
import theano.sparse
import theano.tensor as T
from theano.gradient import verify_grad

TOLERANCE = {"float32": dict(rtol=2e-5, atol=2e-5), "float64": dict(rtol=1e-11, atol=1e-11)}
NAMES = ["csr_dot", "sampled_dot", "csr_t_dot", "add_csr_t_dot"]


@pytest.fixture(scope="module", params=["float32", "float64"])
def functions(request):
    """The Ops compiled for one dtype, and whether C or Python runs them."""
    return compiled(request.param)


_compiled = {}


def compiled(dtype, linker=None):
    if (dtype, linker) not in _compiled:
        data, (indices, indptr), n_items = T.vector(dtype=dtype), T.ivectors(2), T.lscalar()
        A, F, alpha = T.matrix(dtype=dtype), T.matrix(dtype=dtype), T.scalar(dtype=dtype)
        # On a GPU the Ops that take these Ops' places have code in C alone.
        mode = None if linker is None else kept_on_host(theano.Mode(linker=linker, optimizer="fast_run"))
        graphs = {"csr_dot": ([data, indices, indptr, F], csr.csr_dot(data, indices, indptr, F)),
                  "sampled_dot": ([indices, indptr, A, F], csr.sampled_dot(indices, indptr, A, F)),
                  "csr_t_dot": ([data, indices, indptr, A, n_items], csr.csr_t_dot(data, indices, indptr, A, n_items)),
                  "add_csr_t_dot": ([F, alpha, data, indices, indptr, A],
                                    csr.add_csr_t_dot(F, alpha, data, indices, indptr, A))}
        _compiled[dtype, linker] = dtype, {name: theano.function(inputs, out, mode=mode)
                                           for name, (inputs, out) in graphs.items()}
    return _compiled[dtype, linker]


@st.composite
def blocks(draw):
    """CSR arrays in any order, pairs repeated or not, rows empty or not; and the sizes around them."""
    n_rows, n_items, k = draw(st.integers(0, 5)), draw(st.integers(1, 6)), draw(st.sampled_from([1, 2, 5, 16, 33]))
    rows = [draw(st.lists(st.integers(0, n_items - 1), max_size=8)) for _ in range(n_rows)]
    indices = np.array(sum(rows, []), "int32")
    indptr = np.cumsum([0] + [len(row) for row in rows]).astype("int32")
    rng = np.random.RandomState(draw(st.integers(0, 1000)))
    layout = draw(st.sampled_from(["C", "F", "strided", "reversed"]))
    data = rng.randn(len(indices))
    A, F = (laid_out(rng.randn(n, k), layout) for n in (n_rows, n_items))
    return indices, indptr, data, A, F


def laid_out(x, layout):
    if layout == "strided":
        return np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3]
    return {"C": np.ascontiguousarray, "F": np.asfortranarray, "reversed": lambda x: x[::-1, ::-1]}[layout](x)


def agree(functions, block):
    dtype, compiled = functions
    indices, indptr = block[:2]
    data, A, F = (np.array(x, dtype, order="K") if x.ndim < 2 else x.astype(dtype) for x in block[2:])
    before = [x.copy() for x in (data, A, F)]
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(compiled["csr_dot"](data, indices, indptr, F),
                               reference.csr_dot(data, indices, indptr, F), **tolerance)
    np.testing.assert_allclose(compiled["sampled_dot"](indices, indptr, A, F),
                               reference.sampled_dot(indices, indptr, A, F), **tolerance)
    product = reference.csr_t_dot(data, indices, indptr, A, len(F))
    np.testing.assert_allclose(compiled["csr_t_dot"](data, indices, indptr, A, len(F)), product, **tolerance)
    moved, growth = compiled["add_csr_t_dot"](F, 0.5, data, indices, indptr, A)
    np.testing.assert_allclose(moved, F + 0.5 * product, **tolerance)
    np.testing.assert_allclose(growth, (np.square(F + 0.5 * product) - np.square(F)).sum(), rtol=1e-4, atol=1e-3)
    for x, y in zip((data, A, F), before):
        np.testing.assert_array_equal(x, y)


@hypothesis.settings(max_examples=150, deadline=None, derandomize=True,
                     suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(block=blocks())
def test_random_blocks_agree_with_loops(functions, block):
    agree(functions, block)


@hypothesis.settings(max_examples=50, deadline=None, derandomize=True)
@hypothesis.given(block=blocks())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_perform_agrees_with_loops(dtype, block):
    agree(compiled(dtype, linker="py"), block)


def good():
    indices, indptr = np.array([2, 0, 1, 2], "int32"), np.array([0, 2, 2, 4], "int32")
    rng = np.random.RandomState(0)
    return dict(data=rng.randn(4), indices=indices, indptr=indptr, A=rng.randn(3, 5), F=rng.randn(3, 5), n_items=3,
                alpha=1.0)


ARGUMENTS = {"csr_dot": "data indices indptr F", "sampled_dot": "indices indptr A F",
             "csr_t_dot": "data indices indptr A n_items",
             "add_csr_t_dot": "F alpha data indices indptr A"}

BROKEN = {
    "index too large": (dict(indices=np.array([2, 0, 3, 2], "int32")), NAMES, IndexError,
                        r"indices\[2\] is 3; with 3 items .* 0 \.\.\. 2"),
    "index negative": (dict(indices=np.array([-1, 0, 1, 2], "int32")), NAMES, IndexError, r"indices\[0\] is -1"),
    "index far away": (dict(indices=np.array([2, 0, 1, 2 ** 31 - 1], "int32")), NAMES, IndexError,
                       r"indices\[3\] is 2147483647"),
    "indptr falls": (dict(indptr=np.array([0, 3, 2, 4], "int32")), NAMES, ValueError,
                     "indptr falls from 3 to 2 at row 1"),
    "indptr beyond": (dict(indptr=np.array([0, 2, 2, 5], "int32")), NAMES, ValueError,
                      "indptr runs from 0 to 5.*number of indices, 4"),
    "indptr short": (dict(indptr=np.array([0, 2, 2, 3], "int32")), NAMES, ValueError, "indptr runs from 0 to 3"),
    "indptr not from 0": (dict(indptr=np.array([1, 2, 2, 4], "int32")), NAMES, ValueError, "indptr runs from 1 to 4"),
    "indptr empty": (dict(indptr=np.array([], "int32")), NAMES, ValueError, "indptr has 0 entries"),
    "data short": (dict(data=np.ones(3)), ["csr_dot", "csr_t_dot", "add_csr_t_dot"], ValueError,
                   "data has 3 entries, indices 4"),
    "rows missing": (dict(A=np.ones((2, 5))), NAMES[1:], ValueError, "indptr has 4 entries; 2 rows need 3"),
    "units differ": (dict(A=np.ones((3, 4))), ["sampled_dot"], ValueError, "A has 4 columns, F 5"),
    "no items": (dict(F=np.ones((0, 5)), n_items=0), NAMES, IndexError, r"indices\[0\] is 2; with 0 items"),
    "n_items negative": (dict(n_items=-1), ["csr_t_dot"], ValueError, "n_items is -1"),
}


@pytest.mark.parametrize("linker", [None, "py"])
@pytest.mark.parametrize("what", sorted(BROKEN))
def test_broken_arrays_raise(what, linker):
    changes, names, error, message = BROKEN[what]
    for name in names:
        arguments = dict(good(), **changes)
        before = arguments["F"].copy()
        with pytest.raises(error, match=message):
            compiled("float64", linker)[1][name](*[arguments[x] for x in ARGUMENTS[name].split()])
        np.testing.assert_array_equal(arguments["F"], before)


@pytest.mark.parametrize("arguments, message", [
    ((T.fvector(), T.lvector(), T.ivector(), T.fmatrix()),
     "indices is a 1-d tensor of int64; expected a vector of int32"),
    ((T.fvector(), T.ivector(), T.fvector(), T.fmatrix()), "indptr is a 1-d tensor of float32"),
    ((T.fmatrix(), T.ivector(), T.ivector(), T.fmatrix()), "data has 2 dimensions; expected 1"),
    ((T.fvector(), T.ivector(), T.ivector(), T.zmatrix()), "F is of dtype complex128; expected float32 or float64"),
])
def test_wrong_types_are_refused_when_the_graph_is_built(arguments, message):
    with pytest.raises(TypeError, match=message):
        csr.csr_dot(*arguments)


def test_mixed_dtypes_are_brought_together():
    out = csr.csr_dot(T.fvector(), T.bvector(), T.ivector(), T.dmatrix())
    assert out.dtype == "float64"


def test_gradients_by_finite_differences():
    g = good()
    indices, indptr = g["indices"], g["indptr"]
    rng = np.random.RandomState(1)
    verify_grad(lambda data, F: csr.csr_dot(data, indices, indptr, F), [g["data"], g["F"]], rng=rng)
    verify_grad(lambda A, F: csr.sampled_dot(indices, indptr, A, F), [g["A"], g["F"]], rng=rng)
    verify_grad(lambda data, A: csr.csr_t_dot(data, indices, indptr, A, 3), [g["data"], g["A"]], rng=rng)


def test_directional_derivatives_by_finite_differences():
    """Theano's `Rop`, in all inputs and in one alone."""
    g, rng = good(), np.random.RandomState(3)
    data, A, F = T.dvector(), T.dmatrix(), T.dmatrix()
    values = [g["data"], g["A"], g["F"]]
    for inputs, graph in [([data, F], csr.csr_dot(data, g["indices"], g["indptr"], F)),
                          ([A, F], csr.sampled_dot(g["indices"], g["indptr"], A, F)),
                          ([data, A], csr.csr_t_dot(data, g["indices"], g["indptr"], A, 3))]:
        f = theano.function([data, A, F], graph, on_unused_input="ignore")
        for chosen in (inputs, inputs[:1], inputs[1:]):
            steps = [rng.randn(*x.shape) if variable in chosen else np.zeros_like(x)
                     for variable, x in zip((data, A, F), values)]
            points = [step for variable, step in zip((data, A, F), steps) if variable in chosen]
            rop = theano.function([data, A, F], T.Rop(graph, chosen, points), on_unused_input="ignore")
            differences = [f(*[x + sign * 1e-6 * step for x, step in zip(values, steps)]) for sign in (1, -1)]
            np.testing.assert_allclose(rop(*values), (differences[0] - differences[1]) / 2e-6, rtol=1e-7, atol=1e-8)


def test_second_derivative_by_finite_differences():
    g = good()
    indices, indptr = g["indices"], g["indptr"]

    def gradient(A, F):
        return T.grad(T.sum(T.tanh(csr.sampled_dot(indices, indptr, A, F)) ** 2), F)

    verify_grad(gradient, [g["A"], g["F"]], rng=np.random.RandomState(2))


def test_the_gradient_check_can_fail(monkeypatch):
    g = good()
    right = csr.CsrDot.grad

    def wrong(self, inputs, output_gradients):
        gradients = right(self, inputs, output_gradients)
        return gradients[:3] + [1.01 * gradients[3]]

    monkeypatch.setattr(csr.CsrDot, "grad", wrong)
    with pytest.raises(Exception, match="GradientError"):
        verify_grad(lambda F: csr.csr_dot(g["data"], g["indices"], g["indptr"], F), [g["F"]],
                    rng=np.random.RandomState(1))


def test_shapes_are_known_without_computing():
    data, (indices, indptr), A, F = T.vector(), T.ivectors(2), T.matrix(), T.matrix()
    shapes = theano.function([data, indices, indptr, A, F], [
        csr.csr_dot(data, indices, indptr, F).shape, csr.sampled_dot(indices, indptr, A, F).shape,
        csr.csr_t_dot(data, indices, indptr, A, 7).shape], on_unused_input="ignore")
    assert not any(isinstance(node.op, CsrOp) for node in shapes.maker.fgraph.toposort())
    g = good()
    floatX = theano.config.floatX
    got = shapes(g["data"].astype(floatX), g["indices"], g["indptr"], g["A"].astype(floatX), g["F"].astype(floatX))
    assert [tuple(x) for x in got] == [(3, 5), (4,), (7, 5)]


@pytest.mark.parametrize("indptr, n_items, message", [
    ([0, 1], -1, "n_items is -1; it must not be negative"), ([], 3, "indptr has 0 entries; 0 rows need 1"),
    ([], -1, "indptr has 0 entries; 0 rows need 1"), ([0], -1, "n_items is -1; it must not be negative")])
def test_dense_rows_that_are_none(indptr, n_items, message):
    """The same words on a GPU, where the row pointers are looked at first."""
    data, (indices, row_pointers), n = T.fvector(), T.ivectors(2), T.lscalar()
    function = theano.function([data, indices, row_pointers, n], dense_rows(data, indices, row_pointers, n))
    nnz = len(indptr[1:])
    with pytest.raises(ValueError, match=message):
        function(np.ones(nnz, "float32"), np.zeros(nnz, "int32"), np.array(indptr, "int32"), n_items)


def test_dense_rows_of_float16_are_refused():
    with pytest.raises(TypeError, match="values is of dtype float16; expected float32, float64 or integers"):
        dense_rows(T.vector(dtype="float16"), T.ivector(), T.ivector(), 3)


def test_in_place_only_where_the_old_value_is_not_needed():
    F = theano.shared(np.ones((3, 2)), name="F")
    data, (indices, indptr), A = T.dvector(), T.ivectors(2), T.dmatrix()
    new, _ = csr.add_csr_t_dot(F, 1.0, data, indices, indptr, A)
    arguments = (np.ones(1), np.int32([1]), np.int32([0, 1]), np.full((1, 2), 3.0))

    memory = memory_of(F)
    theano.function([data, indices, indptr, A], updates=[(F, new)])(*arguments)
    assert memory_of(F) == memory
    np.testing.assert_array_equal(F.get_value(), [[1, 1], [4, 4], [1, 1]])

    difference, = theano.function([data, indices, indptr, A], [new - F])(*arguments)
    np.testing.assert_array_equal(difference, [[0, 0], [3, 3], [0, 0]])
    np.testing.assert_array_equal(F.get_value(), [[1, 1], [4, 4], [1, 1]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_work_for_more_than_one_thread(dtype):
    """Blocks large enough to be shared out among threads, against NumPy on dense matrices."""
    rng = np.random.RandomState(0)
    n_rows, n_items, k = 60, 90, 205
    R = sp.random(n_rows, n_items, 0.6, "csr", dtype=dtype, random_state=rng)
    A, F = (rng.randn(n, k).astype(dtype) / 10 for n in (n_rows, n_items))
    dense, rows = R.toarray(), np.repeat(np.arange(n_rows), np.diff(R.indptr))
    tolerance = dict(rtol=1e-4, atol=1e-4) if dtype == "float32" else TOLERANCE[dtype]
    functions = compiled(dtype)[1]
    np.testing.assert_allclose(functions["csr_dot"](R.data, R.indices, R.indptr, F), dense.dot(F), **tolerance)
    np.testing.assert_allclose(functions["sampled_dot"](R.indices, R.indptr, A, F), A.dot(F.T)[rows, R.indices],
                               **tolerance)
    np.testing.assert_allclose(functions["csr_t_dot"](R.data, R.indices, R.indptr, A, n_items), dense.T.dot(A),
                               **tolerance)
    moved, growth = functions["add_csr_t_dot"](F, 0.5, R.data, R.indices, R.indptr, A)
    np.testing.assert_allclose(moved, F + 0.5 * dense.T.dot(A), **tolerance)
    np.testing.assert_allclose(growth, (moved.astype("float64") ** 2).sum() - (F.astype("float64") ** 2).sum(),
                               rtol=1e-3)


# The arrays of sparse variables: what SciPy has, without copies


X = sp.csr_matrix((np.array([5.0, 0, 2, -1]), np.array([1, 3, 0, 1]), np.array([0, 2, 2, 4])), shape=(3, 4))


@pytest.fixture(scope="module")
def function():
    x = theano.sparse.csr_matrix("x", "float64")
    return theano.function([x], stored_arrays(x, 4))


def test_are_scipys(function):
    data, indices, indptr = function(X)
    assert (data.tolist(), indices.tolist(), indptr.tolist()) == ([5, 0, 2, -1], [1, 3, 0, 1], [0, 2, 2, 4])
    assert (indices.dtype, indptr.dtype) == ("int32", "int32")


def test_of_64_bit_indices(function):
    wide = X.copy()
    wide.indices, wide.indptr = wide.indices.astype("int64"), wide.indptr.astype("int64")
    assert [x.dtype.name for x in function(wide)] == ["float64", "int32", "int32"]
    assert wide.indices.dtype == "int64"


def test_of_nothing(function):
    assert [x.tolist() for x in function(sp.csr_matrix((2, 4)))] == [[], [], [0, 0, 0]]
    assert [x.tolist() for x in function(sp.csr_matrix((0, 4)))] == [[], [], [0]]


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


def test_the_input_is_never_written_to():
    x = theano.sparse.csr_matrix("x", "float64")
    given = X.copy()
    theano.function([x], [T.exp(stored_arrays(x)[0]) + 1])(given)
    assert (given != X).nnz == 0


def test_other_values_at_the_same_entries():
    x = theano.sparse.csr_matrix("x", "float64")
    data = T.arange(4)
    y = with_values(x, T.cast(data, "float64"), 4)
    found = theano.function([x], y)(X)
    assert found.toarray().tolist() == [[0, 0, 0, 1], [0] * 4, [2, 3, 0, 0]] and found.nnz == 4
    assert stored_arrays(y)[0].owner.op == T.basic._convert_to_float64
    again = with_values(y, stored_arrays(y)[0] ** 2)
    assert theano.function([x], again)(X).toarray().tolist() == [[0, 0, 0, 1], [0] * 4, [4, 9, 0, 0]]


def test_a_gradient_goes_back_to_the_values():
    x = theano.sparse.csr_matrix("x", "float64")
    gradient = T.grad(T.sum(stored_arrays(x, 4)[0] ** 2), x)
    assert (theano.function([x], gradient)(X) != 2 * X).nnz == 0


@pytest.mark.parametrize("wrong, message", [
    (T.matrix("rows"), r"the input, rows, is of type .*; expected a sparse variable: make it with theano.sparse.csr_m"),
    (theano.sparse.csc_matrix("columns"), r"the sparse input, columns, is in the format 'csc'; expected 'csr'"),
    (X, r"is of type csr_matrix; expected a sparse variable")])
def test_what_is_no_csr_variable(wrong, message):
    for function in (stored_arrays, lambda x: with_values(x, T.vector())):
        with pytest.raises(TypeError, match=message):
            function(wrong)
