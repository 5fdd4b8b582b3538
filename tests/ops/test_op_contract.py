"""What every Op keeps: C gives what NumPy gives, shapes come before values, gradients are those of differences, wrong
blocks are refused, no input is written to, and a copy from a pickle is equal."""
import pickle

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from alike import assert_all_close
from devices import ON_GPU

from sparse_ae.ops import AdagradStep, AdamStep, SGDStep, SparseAdamStep, SquaredError, csr, everywhere, rows
from sparse_ae.ops.op import CsrOp
from sparse_ae.ops.rules import ADAGRAD, ADAM, SGD
from sparse_ae.ranks.sums import SumOverRanks
from sparse_ae.runtime.device import kept_on_host
import theano
import theano.tensor as T
from theano.gradient import verify_grad

TOLERANCE = {"float32": dict(rtol=2e-4, atol=2e-4), "float64": dict(rtol=1e-10, atol=1e-11)}
LAYOUTS = {"C": np.ascontiguousarray, "Fortran": np.asfortranarray,
           "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2], "reversed": lambda x: x[::-1].copy()[::-1]}
N_ROWS, N_COLUMNS, K = 3, 4, 5
SMALL = np.float32([1e-39])
BROKEN = [  # changes, the error, its words
    (dict(indices=[2, 0, 4, 2]), IndexError, r"indices\[2\] is 4; with 4 items .* 0 \.\.\. 3"),
    (dict(indices=[-1, 0, 1, 2]), IndexError, r"indices\[0\] is -1"),
    (dict(indices=[2, 0, 1, 2 ** 31 - 1]), IndexError, r"indices\[3\] is 2147483647"),
    (dict(indptr=[0, 3, 2, 4]), ValueError, "indptr falls from 3 to 2 at row 1"),
    (dict(indptr=[0, 2, 2, 5]), ValueError, "indptr runs from 0 to 5.*number of indices, 4"),
    (dict(indptr=[0, 2, 2, 3]), ValueError, "indptr runs from 0 to 3"),
    (dict(indptr=[1, 2, 2, 4]), ValueError, "indptr runs from 1 to 4"),
    (dict(indptr=[]), ValueError, r"indptr has 0 entries; \d rows need [14]"),
    (dict(data=np.ones(3)), ValueError, "(data|values) has 3 entries, indices 4"),
    (dict(target=np.ones(3)), ValueError, "target has 3 entries, indices 4"),
    (dict(A=np.ones((2, K))), ValueError, "indptr has 4 entries; 2 rows need 3"),
    (dict(A=np.ones((N_ROWS, 4)), F=np.ones((N_COLUMNS, K))), ValueError, "A has 4 columns, F 5"),
    (dict(h=np.ones((N_ROWS, 4))), ValueError, "h has 4 columns, W 5"),
    (dict(c=np.ones(3)), ValueError, "c has 3 entries, W 4 rows; expected as many"),
    (dict(n_items=-1), ValueError, "n_items is -1; it must not be negative"),
    (dict(V=np.ones((N_COLUMNS, 4))), ValueError, r"W is \(4, 5\), .* expected \(n_items, k\)"),
    (dict(squares_F=np.ones((3, K))), ValueError, "the state of F doesn't have its shape"),
    (dict(squares_mu=np.ones(4)), ValueError, "the state of mu doesn't have its shape"),
    (dict(squares_U=np.ones((4, 4))), ValueError, "the state of U's transpose doesn't have its shape"),
    (dict(U=np.ones((3, K))), ValueError, r"U's transpose is \(3, 5\), V's \(4, 5\); expected the same"),
    (dict(indicator=np.ones(2)), ValueError, "(indicator|data) has 2 entries, indices 4"),
    (dict(state=np.ones(3)), ValueError, "state has 3 entries; expected 4"),
    (dict(l2=5.0, state=np.ones(4)), ValueError, "one step of weight decay would turn W or V around"),
]


def values(dtype="float64", large=0):
    """Of all inputs by name: a block with an empty row, a column without entries, and a pair at one place; or one of
    `large` columns, for several threads, of more rows and hidden units than one pass of the C code takes."""
    rng = np.random.RandomState(0)
    if large:
        block = sp.random(1030, large, 4 / large, "csr", random_state=rng)
        return of_block(rng, dtype, block.indices, block.indptr, large, 505, 0.1)
    return of_block(rng, dtype, np.int32([2, 0, 1, 1]), np.int32([0, 2, 2, 4]), N_COLUMNS, K, 0.5)


def of_block(rng, dtype, indices, indptr, n_columns, k, size):
    """Of all inputs by name: a block and numbers of some size."""
    nnz, of_rows, of_columns = len(indices), (len(indptr) - 1, k), (n_columns, k)
    shapes = dict(data=nnz, target=nnz, indicator=nnz, A=of_rows, F=of_columns, h=of_rows, c=n_columns,
                  W=of_columns, V=of_columns, U=of_columns, mu=k, b=n_columns)
    found = {name: (size * rng.randn(*np.atleast_1d(shape))).astype(dtype) for name, shape in shapes.items()}
    found.update({"%s_%s" % (kind, name): abs(found[name]) + np.asarray(0.1, dtype)
                  for name in ("F", "W", "V", "U", "mu", "b") for kind in ("means", "squares")})
    numbers = dict(step=0.1, l2=0.03, epsilon=1e-4, beta1=0.9, beta2=0.99)
    return dict(found, indices=indices, indptr=indptr, n_items=n_columns, state=np.array([0.9, 0.8, 2.0, 3.0]),
                **{name: np.asarray(value, dtype) for name, value in numbers.items()})


def variable(value):
    value = np.asarray(value)
    return T.TensorType(value.dtype, (False,) * value.ndim)()


def is_subnormal(x):
    """Whether numbers of float32 lie below the normal range: by their bits, for a processor may take them for 0."""
    bits = x.view("int32") & 0x7fffffff if x.dtype == "float32" else np.zeros(1)
    return ((bits > 0) & (bits < 0x800000)).any()


_functions = {}


class OpContract:
    """Inherited by a class for each Op. `names` are those of its inputs in `values`, all of one after the other."""

    op, names, differentiable = None, "", ()
    other = csr.CsrDot()  # an Op that is another
    large = 20  # columns

    def inputs(self, dtype="float64", large=0, **changes):
        known = dict(values(dtype, large), **changes)
        return [np.asarray(known[name], "int32" if name in ("indices", "indptr") else None)
                for name in self.names.split()]

    def function(self, dtype="float64"):
        if (type(self), dtype) not in _functions:
            given = [variable(x) for x in self.inputs(dtype)]
            _functions[type(self), dtype] = theano.function(given, self.op(*given, return_list=True),
                                                            on_unused_input="ignore")
        return _functions[type(self), dtype]

    def twin(self):
        """A function of the twin in place, which may write to the first inputs."""
        if (type(self), "twin") not in _functions:
            given = [variable(x) for x in self.inputs()]
            mutable = [theano.In(x, mutable=i < len(self.op.updated), borrow=True) for i, x in enumerate(given)]
            outputs = [theano.Out(x, borrow=True) for x in self.op(*given, return_list=True)]
            _functions[type(self), "twin"] = theano.function(mutable, outputs, on_unused_input="ignore")
        return _functions[type(self), "twin"]

    def by_numpy(self, inputs):
        node = self.op.make_node(*[variable(x) for x in inputs])
        outputs = [[None] for _ in node.outputs]
        with np.errstate(all="ignore"):
            node.op.perform(node, list(inputs), outputs)
        return [output[0] for output in outputs]

    def agree(self, inputs, dtype):
        before = [x.copy() for x in inputs]
        for x, y in zip(self.function(dtype)(*inputs), self.by_numpy(inputs)):
            assert x.dtype == np.asarray(y).dtype and x.shape == np.shape(y)
            np.testing.assert_allclose(x, y, **TOLERANCE[dtype])
        assert_all_close(inputs, before)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_c_gives_what_numpy_gives_and_writes_to_no_input(self, dtype, layout):
        self.agree([LAYOUTS[layout](x) if x.ndim and x.dtype.kind == "f" else x for x in self.inputs(dtype)], dtype)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_threads_give_what_numpy_gives_and_the_same_bits_each_time(self, dtype):
        inputs = self.inputs(dtype, self.large)
        self.agree(inputs, dtype)
        assert_all_close(self.function(dtype)(*inputs), self.function(dtype)(*inputs))

    @pytest.mark.skipif(ON_GPU or not theano.config.cxx, reason="C sets the processor")
    def test_numbers_below_the_normal_range_are_0_in_all_threads_and_the_callers_are_left_alone(self):
        names = self.names.split()
        small = next(name for name in ("data", "A", "W") if name in names)
        zeros = ["c", "V", "means_V", "means_F"] + ["F"] * ("step" in names)  # lest outputs be larger

        def inputs(large):
            known = values("float32", large)
            return self.inputs("float32", large, **{small: known[small] * np.float32(1e-38)},
                               **{name: 0 * known[name] for name in zeros})

        assert any(map(is_subnormal, self.by_numpy(inputs(0))))
        if isinstance(self.op, CsrOp):
            large = self.large if "indptr" in names else 0
            assert not any(map(is_subnormal, self.function("float32")(*inputs(large))))
        if "indptr" in names:
            with pytest.raises(ValueError):
                self.function("float32")(*self.inputs("float32", indptr=[1, 2, 2, 4]))
        assert is_subnormal(SMALL * 1)

    @pytest.mark.parametrize("indptr", [[0], [0, 0, 0]])
    def test_a_block_of_nothing(self, indptr):
        nothing = dict.fromkeys(("data", "target", "indicator", "indices"), np.zeros(0))
        of_rows = dict.fromkeys(("A", "h"), np.zeros((len(indptr) - 1, K)))
        self.agree(self.inputs(indptr=indptr, **nothing, **of_rows), "float64")

    def test_wrong_input_is_refused_and_nothing_changed(self):
        for changes, error, message in BROKEN:
            if set(changes) <= set(self.names.split()):
                inputs = self.inputs(**changes)
                before = [x.copy() for x in inputs]
                twins = [self.twin()] if getattr(self.op, "updated", None) else []
                for compute in [self.function(), lambda *inputs: self.by_numpy(inputs)] + twins:
                    with pytest.raises(error, match=message):
                        compute(*inputs)
                assert_all_close(inputs, before)

    @pytest.mark.usefixtures("loops_by_numpy")
    def test_shapes_are_known_without_computing(self):
        inputs = self.inputs()
        given = [variable(x) for x in inputs]
        shapes = theano.function(given, [x.shape for x in self.op(*given, return_list=True) if x.ndim],
                                 on_unused_input="ignore")
        assert not any(isinstance(node.op, type(self.op)) for node in shapes.maker.fgraph.toposort())
        assert [tuple(x) for x in shapes(*inputs)] == [x.shape for x in self.function()(*inputs) if x.ndim]

    def graph(self, chosen):
        """The first output as a function of the chosen inputs; and their values."""
        names, inputs = self.names.split(), self.inputs()

        def of(*variables):
            known = dict(zip(chosen, variables))
            return self.op(*[known.get(name, x) for name, x in zip(names, inputs)], return_list=True)[0]

        return of, [inputs[names.index(name)] for name in chosen]

    @pytest.mark.usefixtures("loops_by_numpy")
    def test_gradients_are_those_of_differences(self):
        for chosen in [self.differentiable] if self.differentiable else []:
            of, start = self.graph(chosen)
            verify_grad(of, start, rng=np.random.RandomState(1))

    def test_a_copy_from_a_pickle_is_equal(self):
        copy = pickle.loads(pickle.dumps(self.op))
        assert copy == self.op and hash(copy) == hash(self.op) and copy != self.other
        if getattr(self.op, "updated", None):
            twin = self.op.in_place()
            assert twin != self.op and pickle.loads(pickle.dumps(twin)) == twin
            assert twin.destroy_map == {i: [j] for i, j in self.op.updated.items()} and not self.op.destroy_map

    def test_the_twin_in_place_gives_the_same_where_it_was(self):
        if not getattr(self.op, "updated", None):
            pytest.skip("it updates nothing")
        inputs = self.inputs()
        own = [x.copy() for x in inputs]
        for i, (x, y) in enumerate(zip(self.twin()(*own), self.function()(*inputs))):
            np.testing.assert_array_equal(x, y)
            assert i >= len(self.op.updated) or ON_GPU or np.shares_memory(x, own[i])


class Linear(OpContract):
    """A product, which is linear in each of `differentiable`."""

    @pytest.mark.usefixtures("loops_by_numpy")
    def test_directional_derivatives_are_those_of_differences(self):
        """Theano's `Rop`, in all inputs and in one alone."""
        rng = np.random.RandomState(3)
        for chosen in (self.differentiable, self.differentiable[:1], self.differentiable[1:]):
            of, start = self.graph(chosen)
            given, steps = [variable(x) for x in start], [rng.randn(*x.shape) for x in start]
            function, rop = (theano.function(given, x) for x in (of(*given), T.Rop(of(*given), given, steps)))
            there, back = (function(*[x + sign * 1e-6 * step for x, step in zip(start, steps)]) for sign in (1, -1))
            np.testing.assert_allclose(rop(*start), (there - back) / 2e-6, rtol=1e-7, atol=1e-8)

    def test_it_is_what_loops_give(self):
        np.testing.assert_allclose(self.function()(*self.inputs())[0], self.loops(*self.inputs()), rtol=1e-12)


class TestCsrDot(Linear):
    op, names, differentiable, other = csr.CsrDot(), "data indices indptr F", ("data", "F"), csr.CsrTDot()
    loops = staticmethod(reference.csr_dot)


class TestSampledDot(Linear):
    op, names, differentiable = csr.SampledDot(), "indices indptr A F", ("A", "F")
    loops = staticmethod(reference.sampled_dot)


class TestCsrTDot(Linear):
    op, names, differentiable = csr.CsrTDot(), "data indices indptr A n_items", ("data", "A")
    loops = staticmethod(reference.csr_t_dot)


class TestDenseRows(OpContract):
    op, names = csr.DenseRows(), "data indices indptr n_items"

    def inputs(self, dtype="float64", large=0, **changes):
        once = {} if large else dict(indices=[2, 0, 1, 3])  # no pair at one place
        return super().inputs(dtype, large, **dict(once, **changes))


@pytest.mark.skipif(ON_GPU, reason="on a GPU it is Theano's own Ops, which test_rewrites.py puts in")
class TestSquaredOutputs(OpContract):
    op, names, differentiable = everywhere.SquaredOutputs(), "h W c", ("h", "W", "c")

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_it_is_what_loops_give(self, dtype):
        rng = np.random.RandomState(0)
        # The C code's tiles are 4 or 8 rows by 8 to 32 numbers; it takes 128 rows at a time.
        for n_rows, n_columns, k in [(1, 1, 1), (3, 5, 2), (9, 7, 15), (8, 4, 16), (5, 130, 7), (129, 3, 8), (2, 9, 31),
                                     (4, 3, 32), (3, 2, 33), (0, 4, 3), (4, 0, 3), (4, 5, 0)]:
            inputs = [rng.randn(*shape).astype(dtype) / 4 for shape in [(n_rows, k), (n_columns, k), (n_columns,)]]
            expected = reference.squared_outputs(*[x.astype(float) for x in inputs])
            for x, y in zip(self.function(dtype)(*inputs), expected):
                np.testing.assert_allclose(x, np.reshape(y, x.shape), **TOLERANCE[dtype])

    def test_outputs_that_the_last_call_has_left(self):
        """With Theano's `allow_gc` off they come back: the sum, too, which has no axis to compare the length of."""
        inputs = [variable(x) for x in self.inputs()]
        value, d_h = self.op(*inputs)[:2]
        mode = theano.compile.mode.get_default_mode().clone(link_kwargs={"allow_gc": False})
        function = theano.function(inputs, value * d_h, mode=mode)  # in the place of d_h, and not of the sum
        for n_rows, n_columns in ((3, 4), (3, 4), (5, 2), (3, 4)):
            given = [np.ones(shape) for shape in [(n_rows, K), (n_columns, K), (n_columns,)]]
            expected = self.by_numpy(given)
            np.testing.assert_allclose(function(*given), expected[0] * expected[1], rtol=1e-5)

    def test_its_gradient_is_of_the_same_pass(self):
        inputs = [variable(x) for x in self.inputs()]
        value = everywhere.squared_outputs(*inputs)
        function = theano.function(inputs, [value] + T.grad(value, inputs))
        assert sum(node.op == self.op for node in function.maker.fgraph.apply_nodes) == 1
        with pytest.raises(TypeError, match="c has 2 dimensions; expected 1"):
            everywhere.squared_outputs(T.matrix(), T.matrix(), T.matrix())


class TestSquaredError(OpContract):
    op = SquaredError("sigmoid", "tanh", 1.0, 4.0)
    names, differentiable = "W V mu b data indices indptr target", ("W", "V", "mu", "b")
    other = SquaredError("sigmoid", "linear", 1.0, 4.0)


class TestSquaredErrorOfTwoEncoders(OpContract):
    op = SquaredError("linear", "sigmoid", 1.0, 4.0)
    names, differentiable = "W V mu b data indices indptr target U indicator", ("V", "U", "mu")


class TestSGDStep(OpContract):
    op = SGDStep("sigmoid", "tanh", 1.0, 4.0)
    names = "W V mu b state data indices indptr step l2 l2 target"
    other = SGDStep("sigmoid", "tanh", 1.0, 3.0)


class TestAdagradStep(OpContract):
    op = AdagradStep("sigmoid", "tanh", 1.0, 4.0)
    names = ("W V mu b squares_W squares_V squares_mu squares_b data indices indptr step l2 l2 target")
    other = AdagradStep("sigmoid", "tanh", 1.0, 4.0, epsilon=1e-3)


class TestAdagradStepOfTwoEncoders(OpContract):
    op = AdagradStep("sigmoid", "tanh", 1.0, 4.0).changed(n=5)
    names = ("W V mu b U squares_W squares_V squares_mu squares_b squares_U data indices indptr step l2 l2 target "
             "indicator")


@pytest.mark.parametrize("f, g", [("linear", "sigmoid"), ("tanh", "linear"), ("rectify", "very_leaky_rectify"),
                                  ("very_leaky_rectify", "rectify"), ("leaky_rectify", "leaky_rectify")])
def test_other_nonlinearities_in_c_are_those_in_numpy(f, g):
    for case, op in ((TestSGDStep, SGDStep(f, g, 1.0, 4.0)),
                     (TestAdagradStepOfTwoEncoders, AdagradStep(f, g, 1.0, 4.0).changed(n=5))):
        contract = type("Test", (case,), {"op": op})()
        for dtype in ("float32", "float64"):
            contract.agree(contract.inputs(dtype), dtype)


ADAMS = ("W V mu b means_W squares_W means_V squares_V means_mu squares_mu means_b squares_b data indices indptr step "
         "l2 l2 target")


class TestSparseAdamStep(OpContract):
    op, names = SparseAdamStep("linear", "sigmoid", beta1=0.8), ADAMS
    other = AdamStep("linear", "sigmoid", beta1=0.8)


class TestAdamStep(OpContract):
    op, names, large = AdamStep("linear", "sigmoid"), ADAMS, 600  # for several threads over columns
    other = AdamStep("linear", "sigmoid", weighted=True)


class TestSGDRows(OpContract):
    op, names, other = rows.RowsStep(SGD), "F step data indices indptr A", rows.RowsStep(ADAGRAD)


class TestSGDRowsGrowth(OpContract):
    op, names, other = rows.RowsStep(SGD, growth=True), "F step data indices indptr A", rows.RowsStep(SGD)


class TestAdagradRows(OpContract):
    op, names, other = rows.RowsStep(ADAGRAD), "F squares_F step epsilon data indices indptr A", rows.RowsStep(ADAM)


class TestAdamRows(OpContract):
    op, names = rows.RowsStep(ADAM), "F means_F squares_F step beta1 beta2 epsilon data indices indptr A"


# The sum over ranks, as an Op and within the fused Ops, where each rank has the same


class Alike:
    """Three ranks, each with what this one has."""

    def sum(self, array):
        assert is_subnormal(SMALL * 1), "what Python runs in an Op has the caller's setting"
        return 3 * array


def test_value_and_gradients():
    a, mu = T.dmatrix("a"), T.dvector("mu")
    total = SumOverRanks(Alike())(a, mu)
    weights = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    cost = T.sum(total * weights)
    mode = kept_on_host(theano.Mode(linker="py", optimizer="fast_compile"))
    value, of_a, of_mu = theano.function([a, mu], [total] + T.grad(cost, [a, mu]), mode=mode)(
        [[1, 2], [3, 4], [5, 6]], [10, 20])
    assert value.tolist() == [[13, 26], [19, 32], [25, 38]]
    assert of_a.tolist() == (3 * weights).tolist(), "the sum of all losses is 3 of this one"
    assert of_mu.tolist() == [27, 36]


# C gives what NumPy gives here too; that this is what one process gives is tests/ranks.py's to show.


class TestSquaredErrorOverRanks(TestSquaredError):
    op, differentiable = SquaredError("sigmoid", "tanh", 1.0, 4.0, Alike()), ()


class TestSGDStepOverRanks(TestSGDStep):
    op = SGDStep("sigmoid", "tanh", 1.0, 4.0, Alike())


class TestAdagradStepOverRanks(TestAdagradStepOfTwoEncoders):
    op = AdagradStep("sigmoid", "tanh", 1.0, 4.0, Alike()).changed(n=5)


class TestAdamStepOverRanks(TestAdamStep):
    op = AdamStep("linear", "sigmoid", ranks=Alike())


def test_what_the_ranks_run_into_is_the_steps_error():
    class Failing(Alike):
        def sum(self, array):
            raise OSError("a cable was cut")

    class Other(Alike):
        def sum(self, array):
            return array[:1]

    for ranks, error, message in ((Failing(), OSError, "a cable was cut"),
                                  (Other(), ValueError, "the sum over ranks has another shape than its terms")):
        case = type("Case", (TestSGDStepOverRanks,), {"op": SGDStep("sigmoid", "tanh", 1.0, 4.0, ranks)})()
        for compute in (case.function(), lambda *inputs, case=case: case.by_numpy(inputs)):
            with pytest.raises(error, match=message):
                compute(*case.inputs())


def test_a_key_of_the_compile_cache_holds_no_ranks():
    class Communicator(Alike):
        def __reduce__(self):
            raise TypeError("no communicator can be pickled")

    for Op in (SquaredError, SGDStep, AdagradStep, AdamStep):
        op = Op("linear", "sigmoid", ranks=Communicator())
        read = pickle.loads(pickle.dumps(op))
        assert read == op and hash(read) == hash(op) and read != Op("linear", "sigmoid")
        with pytest.raises(RuntimeError, match="has lost the others: make it again"):
            assert read.total
        alone = pickle.loads(pickle.dumps(Op("linear", "sigmoid")))
        assert alone.total is None and alone == Op("linear", "sigmoid")
        if alone != SquaredError("linear", "sigmoid"):
            assert alone.in_place().total is None
