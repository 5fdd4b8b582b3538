"""Layers on sparse input against Lasagne's own on dense rows, plain loops, finite differences, and wrong input."""
from unittest.mock import Mock

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sparse_ae.layers import (
    BatchNormLayer,
    IndicatorLayer,
    ObservedLayer,
    SparseInputDenseLayer,
    SparseInputDropoutLayer,
    SparseInputNormLayer,
)
import lasagne
import theano
import theano.sparse
import theano.tensor as T
from lasagne.layers import DenseLayer, InputLayer, get_output
from lasagne.nonlinearities import sigmoid, tanh
from theano.configparser import change_flags

pytestmark = pytest.mark.usefixtures("float64_by_numpy")
TOLERANCE = {"float32": dict(rtol=2e-5, atol=2e-6), "float64": dict(rtol=1e-12, atol=1e-12)}
N_ROWS, N_COLUMNS = 6, 9
# Where float32 takes long to compile for, and nothing of it but its type.
TYPES = pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"], indirect=True)
SPARSE_TO_SPARSE = [SparseInputDropoutLayer, SparseInputNormLayer, IndicatorLayer]


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    with change_flags(floatX=request.param):
        yield request.param


@pytest.fixture
def double():
    with change_flags(floatX="float64"):
        yield "float64"


@pytest.fixture(autouse=True)
def same_parameters():
    before = lasagne.random.get_rng()
    lasagne.random.set_rng(np.random.RandomState(1))
    yield
    lasagne.random.set_rng(before)


def matrix(dtype="float64", seed=0):
    """6 x 9: row 2 is empty, column 5 too, and the first stored value is a 0."""
    rng = np.random.RandomState(seed)
    stored = rng.rand(N_ROWS, N_COLUMNS) < 0.5
    stored[2] = stored[:, 5] = False
    X = sp.csr_matrix(np.where(stored, rng.randn(N_ROWS, N_COLUMNS), 0).astype(dtype))
    X.data[0] = 0
    return X


def variable(dtype=None, name="x"):
    return theano.sparse.csr_matrix(name, dtype or theano.config.floatX)


def input_layer(x=None):
    return InputLayer((None, N_COLUMNS), variable() if x is None else x)


def value(expression, x, X):
    return theano.function([x], expression)(X)


def given(shape, seed=1):
    """An array of numbers, of Theano's floatX: Lasagne takes what it is given as it is."""
    return np.random.RandomState(seed).randn(*shape).astype(theano.config.floatX)


@pytest.mark.parametrize("make, output_shape, names, trainable, regularizable", [
    (lambda: SparseInputDenseLayer((None, N_COLUMNS), 3, name="x"), (None, 3), ["x.W", "x.b"], "W b", "W"),
    (lambda: SparseInputDenseLayer((4, 5), 2, b=None), (4, 2), ["W"], "W", "W"),
    (lambda: ObservedLayer((None, 4), (None, N_COLUMNS), name="x"), (None,), ["x.W", "x.b"], "W b", "W"),
    (lambda: ObservedLayer((None, 4), (None, N_COLUMNS), b=None), (None,), ["W"], "W", "W"),
    (lambda: BatchNormLayer((None, 3)), (None, 3), ["beta", "gamma", "mean", "inv_std"], "beta gamma", "gamma"),
    (lambda: BatchNormLayer((None, 3), beta=None, gamma=None), (None, 3), ["mean", "inv_std"], "", "")])
def test_parameters_their_tags_and_shapes(make, output_shape, names, trainable, regularizable):
    layer = make()
    assert layer.output_shape == output_shape and [p.name for p in layer.get_params()] == names
    assert layer.get_params(trainable=True) == [getattr(layer, name) for name in trainable.split()]
    assert layer.get_params(regularizable=True) == [getattr(layer, name) for name in regularizable.split()]


# A dense layer


class TestSparseInputDenseLayer:
    def test_no_bias_no_nonlinearity_and_no_rows(self, double):
        layer = SparseInputDenseLayer((None, N_COLUMNS), 3, b=None, nonlinearity=None)
        x = variable()
        function = theano.function([x], layer.get_output_for(x))
        assert_allclose(function(matrix()), matrix().toarray() @ layer.W.get_value())
        assert function(matrix()[:0]).shape == (0, 3)

    def test_is_a_dense_layer_on_dense_rows(self, dtype):
        """Output, gradients and a step: with an empty row, an empty column and a stored 0."""
        x, rows, outputs = variable(), T.matrix("rows"), []
        for layer in (SparseInputDenseLayer(input_layer(x), 4, W=given((N_COLUMNS, 4)), nonlinearity=tanh),
                      DenseLayer(InputLayer((None, N_COLUMNS), rows), 4, W=given((N_COLUMNS, 4)), nonlinearity=tanh)):
            output = get_output(layer)
            gradients = T.grad(T.sum(output ** 3), [layer.W, layer.b])
            input = x if output.owner and rows not in theano.gof.graph.inputs([output]) else rows
            X = matrix(dtype)
            outputs.append(theano.function([input], [output] + gradients)(X if input is x else X.toarray()))
        for ours, theirs in zip(*outputs):
            assert ours.dtype == dtype
            assert_allclose(ours, theirs, **TOLERANCE[dtype])

    @pytest.mark.parametrize("wrong", ["int64", "float32"])
    def test_input_of_another_dtype(self, double, wrong):
        layer = SparseInputDenseLayer((None, N_COLUMNS), 3)
        with pytest.raises(TypeError, match=r"SparseInputDenseLayer is of dtype %s; expected float64.*astype\('float64'"
                           % wrong):
            layer.get_output_for(variable(wrong))


# From sparse to sparse


def stored(layer, x, X, **kwargs):
    """What a layer's output stores, as a SciPy matrix."""
    return value(layer.get_output_for(x, **kwargs), x, X)


class TestSparseInputDropoutLayer:
    @pytest.mark.parametrize("rescale", [True, False])
    def test_values_go_and_entries_stay(self, dtype, rescale):
        x, X = variable(), sp.csr_matrix(np.full((40, 50), 3, dtype))
        found = stored(SparseInputDropoutLayer((None, 50), 0.25, rescale), x, X)
        assert found.dtype == dtype and found.nnz == 2000
        assert_array_equal(found.indices, X.indices)
        assert_array_equal(found.indptr, X.indptr)
        assert_allclose(np.unique(found.data), [0, 4 if rescale else 3], rtol=1e-6)
        assert 400 < (found.data == 0).sum() < 600  # 500 are expected, with a standard deviation of 19
        assert_array_equal(X.data, 3)

    def test_one_number_is_drawn_for_each_entry(self, double):
        mask, x, stream = T.vector("mask"), variable(), Mock()
        stream.binomial.side_effect = lambda size, p, dtype: T.cast(mask, dtype)
        output = SparseInputDropoutLayer((None, N_COLUMNS), 0.5, stream=stream).get_output_for(x)
        stream.binomial.assert_called_once()
        (size,), asked = stream.binomial.call_args
        X = matrix()
        keep = np.arange(X.nnz) % 2
        found, size, p = theano.function([x, mask], [output, size, T.as_tensor_variable(asked["p"])])(X, keep)
        assert size.tolist() == [X.nnz] and p == 0.5 and asked["dtype"] == "float64"
        assert_allclose(found.data, 2 * keep * X.data)

    def test_deterministic_is_the_input_itself(self, double):
        x = variable()
        assert SparseInputDropoutLayer((None, N_COLUMNS), 0.5).get_output_for(x, deterministic=True) is x
        assert SparseInputDropoutLayer((None, N_COLUMNS), 0).get_output_for(x) is x

    def test_a_probability_that_changes_and_nothing_stored(self, double):
        p, x = theano.shared(0.0), variable()
        draw = theano.function([x], SparseInputDropoutLayer((None, N_COLUMNS), p).get_output_for(x))
        assert_allclose(draw(matrix()).data, matrix().data)
        p.set_value(0.999999)
        assert not draw(matrix()).data.any()
        assert draw(sp.csr_matrix((3, N_COLUMNS))).shape == (3, 9)


def test_rows_of_length_one(dtype):
    x, X = variable(), matrix(dtype)
    found = stored(SparseInputNormLayer((None, N_COLUMNS)), x, X)
    lengths = np.sqrt([sum(r ** 2 for _, r in row) or 1 for row in reference.pairs(X)])
    assert found.dtype == dtype and found.nnz == X.nnz
    assert_allclose(found.toarray(), X.toarray() / lengths[:, np.newaxis], **TOLERANCE[dtype])
    X.data[:] = 0  # and no NaN
    assert not stored(SparseInputNormLayer((None, N_COLUMNS)), x, X).data.any()


def test_an_indicator_is_1_where_something_is_stored(dtype):
    for kind in (dtype, "int8"):
        x = variable(kind)
        found = stored(IndicatorLayer((None, N_COLUMNS)), x, matrix().astype(kind))
        assert found.dtype == dtype and found.nnz == matrix().nnz
        assert_array_equal(found.data, 1)


def test_layers_from_sparse_to_sparse_make_no_matrix_between_them(double):
    x = variable()
    layer = SparseInputNormLayer(SparseInputDropoutLayer(IndicatorLayer(input_layer(x))))
    assert layer.output_shape == (None, N_COLUMNS)
    function = theano.function([x], get_output(SparseInputDenseLayer(layer, 3)))
    kinds = {type(node.op) for node in function.maker.fgraph.apply_nodes}
    assert not kinds & {theano.sparse.CSM, theano.sparse.CSMProperties}
    for wrong in (matrix()[:, 1:], sp.hstack([matrix(), matrix()[:, :1]], "csr")):
        with pytest.raises(ValueError, match="the sparse input is 6 x %d; expected 9 columns" % wrong.shape[1]):
            function(wrong)


# Outputs where there is something


class TestObservedLayer:
    def layer(self, x, **kwargs):
        kwargs = dict(dict(W=given((N_COLUMNS, 4)), b=given((N_COLUMNS,)), nonlinearity=sigmoid), **kwargs)
        return ObservedLayer(InputLayer((None, 4)), input_layer(x), **kwargs)

    def test_outputs_are_those_of_a_dense_layer(self, dtype):
        x, pairs, H = variable(), variable("int8", "pairs"), given((N_ROWS, 4)).astype(dtype)
        layer = self.layer(x)
        hidden = layer.input_layers[0].input_var
        function = theano.function([hidden, x, pairs], [get_output(layer), get_output(layer, entries=pairs),
                                                        get_output(layer, entries="all")])
        others = matrix(seed=5).astype("int8")
        observed, at_pairs, everywhere = function(H, matrix(dtype), others)
        W, b = given((N_COLUMNS, 4)), given((N_COLUMNS,))
        expected = 1 / (1 + np.exp(-(H @ W.T + b)))
        for found, X in ((observed, matrix()), (at_pairs, others)):
            rows = np.repeat(np.arange(N_ROWS), np.diff(X.indptr))
            assert found.dtype == dtype
            assert_allclose(found, expected[rows, X.indices], **TOLERANCE[dtype])
        assert_allclose(everywhere, expected, **TOLERANCE[dtype])
        with pytest.raises(ValueError, match="indptr has 7 entries; 5 rows need 6"):
            function(H[:5], matrix(dtype), others)

    def test_entries_that_are_none(self, double):
        layer = self.layer(None)
        with pytest.raises(ValueError, match="entries is 'some'; expected None, 'all' or a Theano CSR variable"):
            get_output(layer, entries="some")
        with pytest.raises(TypeError, match="expected a sparse variable"):
            get_output(layer, entries=T.matrix())


# What no layer can be made of


@pytest.mark.parametrize("make, message", [
    (lambda kind=kind, shape=shape: kind(shape), r"incoming of \w+ has the shape \(.*; expected \(n_rows or None, nu")
    for kind in [lambda shape: SparseInputDenseLayer(shape, 3), BatchNormLayer] + SPARSE_TO_SPARSE
    for shape in [(N_COLUMNS,), (None, None), (2, 3, 4)]
] + [(lambda p=p: SparseInputDropoutLayer((None, 3), p), "p is .*; expected a probability from 0 to below 1")
     for p in (-0.1, 1, 1.5, float("nan"))
] + [(lambda: ObservedLayer((None, 4), (None, 9), num_units=5), "num_units is 5, and observed has 9 columns; expected"),
     (lambda: ObservedLayer((None, 4), (None, None)), "observed of ObservedLayer has the shape"),
     (lambda: ObservedLayer((None,), (None, 9)), "incoming of ObservedLayer has the shape")])
def test_what_no_layer_can_be_made_of(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Batch normalisation


class TestBatchNormLayer:
    X = np.random.RandomState(1).randn(20, 3) * [1, 2, 3] + [0, 5, -4]

    @TYPES
    def test_in_training_and_deterministic(self, dtype):
        x = T.matrix("x")
        layer = BatchNormLayer(InputLayer((None, 3), x), alpha=0.25, beta=given((3,)), gamma=given((3,), 2))
        train = theano.function([x], get_output(layer))
        predict = theano.function([x], get_output(layer, deterministic=True))
        X = self.X.astype(dtype)
        beta, gamma, mean, inv_std = given((3,)), given((3,), 2), np.zeros(3), np.ones(3)
        tolerance = dict(rtol=1e-4, atol=1e-5) if dtype == "float32" else dict(rtol=1e-10)
        for _ in range(3):
            assert_allclose(predict(X), (self.X - mean) * gamma * inv_std + beta, **tolerance)
            assert_allclose(train(X), (self.X - self.X.mean(0)) * gamma / np.sqrt(self.X.var(0) + 1e-4) + beta,
                            **tolerance)
            mean = 0.75 * mean + 0.25 * self.X.mean(0)
            inv_std = 0.75 * inv_std + 0.25 / np.sqrt(self.X.var(0) + 1e-4)
            assert_allclose(layer.mean.get_value(), mean, **tolerance)
            assert_allclose(layer.inv_std.get_value(), inv_std, **tolerance)
        assert predict(X).dtype == train(X).dtype == layer.mean.dtype == dtype
