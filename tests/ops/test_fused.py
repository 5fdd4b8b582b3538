"""The masked autoencoder in one pass against plain loops and Lasagne's updates, and wrong input."""
import functools

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from devices import ON_GPU
from refusals import refuser

from sparse_ae.ops import AdagradStep, SGDStep, SquaredError
from sparse_ae.runtime.device import kept_on_host
import lasagne
import theano
import theano.tensor as T
from theano.configparser import change_flags

# A GPU's kernel for the second encoder is `csr_dot`'s, to which all is data.
TOO_FEW_SEEN = "%s has %%d entries, indices %%d" % ("(indicator|data)" if ON_GPU else "indicator")
TOLERANCE = {"float32": dict(rtol=2e-5, atol=2e-5), "float64": dict(rtol=1e-11, atol=1e-11)}


@pytest.mark.parametrize("f, g", [("sigmoid", "tanh"), ("linear", "sigmoid"), ("tanh", "linear"),
                                  ("rectify", "very_leaky_rectify"), ("very_leaky_rectify", "rectify")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("linker", [None, "py"])
def test_fused_step_against_loops(f, g, dtype, linker):
    step = sgd_step(f, g, dtype, linker)
    for seed, k in enumerate([1, 7, 40, 150]):
        rng = np.random.RandomState(seed)
        n_items = 6
        rows = [[(int(j), float(rng.randint(1, 6))) for j in rng.permutation(n_items)[:n]] for n in (3, 0, 6, 1)]
        indices, data = (np.array(x) for x in zip(*sum(rows, [])))
        indptr = np.cumsum([0] + [len(row) for row in rows])
        W, V, mu, b = rng.randn(n_items, k) / 2, rng.randn(k, n_items) / 2, rng.randn(k) / 2, rng.randn(n_items) / 2
        factors, l2 = np.array([0.7, 0.4]), (0.3, 0.2)
        norms = [(W ** 2).sum(), (V ** 2).sum()]
        loss, squared_error, expected = reference.sgd(rows, [W, V, mu, b], 0.01, f=f, g=g, low=1.0, span=4.0,
                                                      l2_W=l2[0], l2_V=l2[1])

        stored = [(W / factors[0]).astype(dtype), (V.T / factors[1]).astype(dtype), mu.astype(dtype), b.astype(dtype)]
        new_W, new_V_t, new_mu, new_b, state, *costs = step(*stored + [np.append(factors, norms), data.astype(dtype),
                                                           indices.astype("int32"), indptr.astype("int32"), 0.01, *l2])
        new = [new_W * state[0], new_V_t.T * state[1], new_mu, new_b]
        tolerance = dict(rtol=2e-4, atol=2e-4) if dtype == "float32" else TOLERANCE[dtype]
        for x, y in zip(new, expected):
            np.testing.assert_allclose(x, y, **tolerance)
        np.testing.assert_allclose(costs, [squared_error, loss], rtol=tolerance["rtol"])
        np.testing.assert_allclose(state[:2], factors * (1 - 0.02 * np.array(l2)), rtol=1e-14)
        np.testing.assert_allclose(state[2:], [(expected[0] ** 2).sum(), (expected[1] ** 2).sum()],
                                   rtol=tolerance["rtol"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_work_for_more_than_one_thread(dtype):
    """Blocks large enough to be shared out among threads, against NumPy on dense matrices."""
    rng = np.random.RandomState(0)
    n_rows, n_items, k = 60, 90, 205
    R = sp.random(n_rows, n_items, 0.6, "csr", dtype=dtype, random_state=rng)
    W, V = (rng.randn(n_items, k).astype(dtype) / 10 for _ in range(2))
    dense = R.toarray()
    tolerance = dict(rtol=1e-4, atol=1e-4) if dtype == "float32" else TOLERANCE[dtype]
    mu, b = rng.randn(k).astype(dtype) / 10, rng.randn(n_items).astype(dtype) / 10
    H = np.tanh(dense.dot(V) + mu)
    y = 1 / (1 + np.exp(-(H.dot(W.T) + b)))
    errors = np.where(dense != 0, 1 + 4 * y - dense, 0)
    dS = 2 * errors * 4 * y * (1 - y)
    dA = dS.dot(W) * (1 - H ** 2)
    step = sgd_step("sigmoid", "tanh", dtype)
    state = np.array([1.0, 1.0, (W ** 2).sum(), (V ** 2).sum()])
    got = step(W, V, mu, b, state, R.data, R.indices, R.indptr, 0.01, 0.0, 0.0)
    expected = [W - 0.01 * dS.T.dot(H), V - 0.01 * dense.T.dot(dA), mu - 0.01 * dA.sum(axis=0),
                b - 0.01 * dS.sum(axis=0)]
    for x, y in zip(got, expected):
        np.testing.assert_allclose(x, y, **tolerance)
    np.testing.assert_allclose(got[5], (errors ** 2).sum(), rtol=1e-5)
    again = step(W, V, mu, b, state, R.data, R.indices, R.indptr, 0.01, 0.0, 0.0)
    for x, y in zip(got, again):
        np.testing.assert_array_equal(x, y)


_steps = {}


def sgd_step(f, g, dtype, linker=None, target=False):
    if (f, g, dtype, linker, target) not in _steps:
        inputs = [T.matrix(dtype=dtype), T.matrix(dtype=dtype), T.vector(dtype=dtype), T.vector(dtype=dtype),
                  T.dvector(),
                  T.vector(dtype=dtype), T.ivector(), T.ivector(), T.dscalar(), T.dscalar(), T.dscalar()]
        if target:
            inputs.append(T.vector("target", dtype=dtype))
        _steps[f, g, dtype, linker, target] = theano.function(inputs, SGDStep(f, g, 1.0, 4.0)(*inputs),
                                                              mode=mode_of(linker))
    return _steps[f, g, dtype, linker, target]


def mode_of(linker):
    """None, for the default one, or "py", for the Ops' NumPy; that runs on the CPU, whatever the default is."""
    return None if linker is None else kept_on_host(theano.Mode(linker=linker, optimizer="fast_run"))


@pytest.mark.parametrize("linker", [None, "py"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_step_towards_a_target_against_loops(dtype, linker):
    step = sgd_step("sigmoid", "tanh", dtype, linker, target=True)
    tolerance = dict(rtol=2e-4, atol=2e-4) if dtype == "float32" else TOLERANCE[dtype]
    for k in (1, 40):
        rng = np.random.RandomState(k)
        rows, arrays, parameters = problem(rng, 5000, k, dtype)  # more items than one pass of sorting takes
        targets = [rng.randn(len(row)) + 2 for row in rows]
        loss, squared_error, expected = reference.sgd(rows, parameters, 0.01, low=1.0, span=4.0, l2_W=0, l2_V=0,
                                                      targets=targets)
        start = [np.array(x, dtype, order="C") for x in (parameters[0], parameters[1].T, parameters[2], parameters[3])]
        arguments = start + [np.ones(4)] + arrays + [0.01, 0, 0]
        got = step(*arguments + [np.concatenate(targets).astype(dtype)])
        for x, y in zip([got[0], got[1].T, got[2], got[3]], expected):
            np.testing.assert_allclose(x, y, **tolerance)
        np.testing.assert_allclose(got[5], [squared_error, loss], rtol=tolerance["rtol"])

        # A copy of the ratings, the array itself and no target at all are one thing.
        for x, y, z in zip(step(*arguments + [arrays[0].copy()]), step(*arguments + [arrays[0]]),
                           sgd_step("sigmoid", "tanh", dtype, linker)(*arguments)):
            np.testing.assert_array_equal(x, y)
            np.testing.assert_array_equal(x, z)
        with pytest.raises(ValueError, match="target has 3 entries, indices %d; each rating needs one"
                           % len(arrays[1])):
            step(*arguments + [np.ones(3, dtype)])


def problem(rng, n_items, k, dtype, n_rows=5):
    """Random ratings as lists of pairs and as a CSR block's arrays, the first row empty; and parameters W, V, mu, b."""
    rows = [[(int(j), float(rng.randint(1, 6))) for j in rng.permutation(n_items)[:n]]
            for n in [0] + list(rng.randint(1, min(n_items, 30), n_rows - 1))]
    indices, data = (np.array(x) for x in zip(*sum(rows, [])))
    arrays = [data.astype(dtype), indices.astype("int32"), np.cumsum([0] + [len(row) for row in rows]).astype("int32")]
    return rows, arrays, [rng.randn(n_items, k) / 4, rng.randn(k, n_items) / 4, rng.randn(k) / 4,
                          rng.randn(n_items) / 4]


@pytest.mark.parametrize("linker", [None, "py"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_squared_error_towards_a_target_against_loops(dtype, linker):
    inputs = [T.matrix(dtype=dtype), T.matrix(dtype=dtype), T.vector(dtype=dtype), T.vector(dtype=dtype),
              T.vector(dtype=dtype),
              T.ivector(), T.ivector(), T.vector(dtype=dtype)]
    cost = SquaredError("sigmoid", "tanh", 1.0, 4.0)(*inputs[:7], target=inputs[7])[0]
    function = theano.function(inputs, [cost] + T.grad(cost, inputs[:4]), mode=mode_of(linker))
    for x in (inputs[4], inputs[7]):
        with pytest.raises(theano.gradient.DisconnectedInputError):
            T.grad(cost, x)
    rng = np.random.RandomState(0)
    rows, arrays, parameters = problem(rng, 5, 3, dtype, n_rows=700)  # more rows than are taken at a time in C
    targets = [rng.randn(len(row)) + 2 for row in rows]
    _, squared_error, gradients = reference.loss_and_gradients(rows, *parameters, low=1.0, span=4.0, l2_W=0, l2_V=0,
                                                               targets=targets)
    W, V, mu, b = (np.array(x, dtype) for x in parameters)
    gradients[1] = gradients[1].T
    tolerance = dict(rtol=2e-4, atol=2e-3) if dtype == "float32" else dict(rtol=1e-10, atol=1e-10)
    target = np.concatenate(targets).astype(dtype)
    # Any memory layout of either.
    for data, other in [(arrays[0], target), (np.repeat(arrays[0], 2)[::2], np.repeat(target, 3)[::3])]:
        for x, y in zip(function(W, V.T, mu, b, data, arrays[1], arrays[2], other), [squared_error] + gradients):
            np.testing.assert_allclose(x, y, **tolerance)
    with pytest.raises(ValueError, match="target has 3 entries, indices %d; each rating needs one" % len(target)):
        function(W, V.T, mu, b, arrays[0], arrays[1], arrays[2], np.ones(3, dtype))


@pytest.mark.parametrize("linker", [None, "py"])
@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
@pytest.mark.parametrize("f, g", [("sigmoid", "tanh"), ("linear", "sigmoid")])
def test_squared_error_of_two_encoders_against_loops(f, g, dtype, linker):
    matrix, vector = T.TensorType(dtype, (False, False)), T.TensorType(dtype, (False,))
    W, V_t, U_t, mu, b, data, target, seen = inputs = [matrix() for _ in range(3)] + [vector() for _ in range(5)]
    inputs += [T.ivector(), T.ivector()]
    cost = 2 * SquaredError(f, g, 1.0, 4.0)(W, V_t, mu, b, data, *inputs[8:], target=target, U_t=U_t, indicator=seen)[0]
    function = theano.function(inputs, [cost] + T.grad(cost, [W, V_t, mu, b, U_t]), mode=mode_of(linker))
    for x in (data, target, seen):
        with pytest.raises(theano.gradient.DisconnectedInputError):
            T.grad(cost, x)
    # The second has more rows than are taken at a time in C.
    for n_items, k, n_rows in [(40, 1, 5), (5, 3, 700), (6000, 21, 4)]:
        rng = np.random.RandomState(k)
        rows, (data, indices, indptr), parameters = problem(rng, n_items, k, dtype, n_rows)
        parameters.append(rng.randn(k, n_items) / 4)
        targets, seen = ([rng.randn(len(row)) + 2 for row in rows] for _ in range(2))
        _, squared_error, gradients = reference.loss_and_gradients(rows, *parameters, f=f, g=g, low=1.0, span=4.0,
                                                                   l2_W=0, l2_V=0,
                                                                   targets=targets, seen=seen)
        W, V, mu, b, U = (np.array(x, dtype) for x in parameters)
        gradients[1], gradients[4] = gradients[1].T, gradients[4].T
        tolerance = dict(rtol=4e-4, atol=4e-3) if dtype == "float32" else dict(rtol=1e-10, atol=1e-10)
        targets, seen = (np.concatenate(x).astype(dtype) for x in (targets, seen))
        for same in (seen, np.repeat(seen, 2)[::2]):  # any memory layout, as of U and V
            got = function(W, V.T, U.T, mu, b, data, targets, same, indices, indptr)
            for x, y in zip(got, [squared_error] + gradients):
                np.testing.assert_allclose(x, 2 * y, **tolerance)
    with pytest.raises(ValueError, match=TOO_FEW_SEEN % (3, len(indices))):
        function(W, V.T, U.T, mu, b, data, targets, np.ones(3, dtype), indices, indptr)
    for shape in [(5999, 21), (6000, 20)]:
        with pytest.raises(ValueError, match=r"U's transpose is \(%d, %d\), V's \(6000, 21\); expected the same"
                           % shape):
            function(W, V.T, np.ones(shape, dtype), mu, b, data, targets, seen, indices, indptr)


def test_two_encoders_on_more_than_one_thread():
    """Against NumPy on dense matrices."""
    rng = np.random.RandomState(0)
    n_rows, n_items, k = 60, 90, 505
    R = sp.random(n_rows, n_items, 0.6, "csr", dtype="float64", random_state=rng)
    W, V, U = (rng.randn(n_items, k) / 10 for _ in range(3))
    mu, b, seen = rng.randn(k) / 10, rng.randn(n_items), rng.randn(R.nnz)
    dense, dense_seen = R.toarray(), sp.csr_matrix((seen, R.indices, R.indptr), shape=R.shape).toarray()
    H = np.tanh(dense.dot(V) + dense_seen.dot(U) + mu)
    y = 1 / (1 + np.exp(-(H.dot(W.T) + b)))
    errors = np.where(dense != 0, 1 + 4 * y - dense, 0)
    dS = 2 * errors * 4 * y * (1 - y)
    dA = dS.dot(W) * (1 - H ** 2)
    inputs = [theano.shared(x) for x in (W, V, mu, b, R.data, R.indices, R.indptr)]
    outputs = SquaredError("sigmoid", "tanh", 1.0, 4.0)(*inputs, U_t=theano.shared(U), indicator=theano.shared(seen))
    function = theano.function([], outputs)
    expected = [(errors ** 2).sum(), dS.T.dot(H), dense.T.dot(dA), dA.sum(axis=0), dS.sum(axis=0), dense_seen.T.dot(dA)]
    for x, y, z in zip(function(), expected, function()):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-10)
        np.testing.assert_array_equal(x, z)


def test_a_second_encoder_comes_with_what_it_sees():
    W, x, i = T.matrix(), T.vector(), T.ivector()
    error = SquaredError("linear", "sigmoid")
    assert len(error.make_node(W, W, x, x, x, i, i).inputs) == 8
    for more, message in [(dict(U_t=W), "needs U_t, indicator; indicator is missing"),
                          (dict(indicator=x), "needs U_t, indicator; U_t is missing")]:
        with pytest.raises(TypeError, match=message):
            error(W, W, x, x, x, i, i, **more)
    with pytest.raises(TypeError, match="there are 16 inputs; expected 15, or 18 with a second encoder: the"):
        AdagradStep("linear", "sigmoid")(W, W, x, x, W, W, W, x, x, x, i, i, 0, 0, 0, x)
    with pytest.raises(TypeError, match="indicator has 2 dimensions; expected 1"):
        error(W, W, x, x, x, i, i, U_t=W, indicator=W)


@pytest.mark.parametrize("linker", [None, "py"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_squared_error_against_loops(dtype, linker):
    inputs = [T.matrix(dtype=dtype), T.matrix(dtype=dtype), T.vector(dtype=dtype), T.vector(dtype=dtype),
              T.vector(dtype=dtype),
              T.ivector(), T.ivector()]
    cost = 2 * SquaredError("sigmoid", "tanh", 1.0, 4.0)(*inputs)[0]
    function = theano.function(inputs, [cost] + T.grad(cost, inputs[:4]), mode=mode_of(linker))
    # More rows than are taken at a time in C, and fewer.
    for n_rows, k in [(0, 3), (3, 1), (3, 20), (1100, 2)]:
        rng = np.random.RandomState(n_rows)
        rows = [[(int(j),
                  float(rng.randint(1, 6))) for j in rng.permutation(4)[:rng.randint(0, 4)]] for _ in range(n_rows)]
        entries = sum(rows, [])
        indices, data = np.array([j for j, _ in entries], "int32"), np.array([r for _, r in entries], dtype)
        indptr = np.cumsum([0] + [len(row) for row in rows]).astype("int32")
        W, V, mu, b = rng.randn(4, k) / 4, rng.randn(k, 4) / 4, rng.randn(k) / 4, rng.randn(4) / 4
        _, squared_error, gradients = reference.loss_and_gradients(rows, W, V, mu, b, low=1.0, span=4.0, l2_W=0, l2_V=0)
        got = function(*[np.array(x, dtype, order="K") for x in (W, V.T, mu, b)] + [data, indices, indptr])
        gradients[1] = gradients[1].T
        tolerance = dict(rtol=2e-4, atol=2e-3) if dtype == "float32" else dict(rtol=1e-10, atol=1e-10)
        for x, y in zip(got, [squared_error] + gradients):
            np.testing.assert_allclose(x, 2 * y, **tolerance)


def test_fused_step_refuses_what_it_cannot_take():
    step = sgd_step("sigmoid", "tanh", "float64")
    W = np.arange(15.0).reshape(3, 5) / 10
    arguments = [W, W.copy(), np.ones(5), np.ones(3), np.ones(4), np.arange(1.0, 5.0), np.array([2, 0, 1, 2], "int32"),
                 np.array([0, 1, 1, 4], "int32"), 0.1, 0.1, 0.1]

    def call(position, value):
        return step(*arguments[:position] + [value] + arguments[position + 1:])

    with pytest.raises(IndexError, match=r"indices\[0\] is 3"):
        call(6, np.array([3, 0, 1, 2], "int32"))
    with pytest.raises(ValueError, match="indptr falls"):
        call(7, np.array([0, 3, 2, 4], "int32"))
    for position, value in [(1, np.ones((3, 4))), (1, np.ones((4, 5))), (2, np.ones(4)), (3, np.ones(2))]:
        with pytest.raises(ValueError, match=r"W is \(3, 5\), .* expected \(n_items, k\)"):
            call(position, value)
    with pytest.raises(ValueError, match="state has 3 entries; expected 4"):
        call(4, np.ones(3))
    for value in (5.0, 7.0, np.nan):
        with pytest.raises(ValueError, match="one step of weight decay would turn W or V around"):
            call(9, value)
    with pytest.raises(ValueError,
                       match="nonlinearity 'softmax' has no fused step; expected one of linear, sigmoid, tanh"):
        SGDStep("softmax", "tanh")


@pytest.mark.parametrize("f, g", [("sigmoid", "tanh"), ("tanh", "sigmoid")])
def test_float32_nonlinearities_at_their_extremes(f, g):
    # One item, one hidden unit, no learning: the squared error shows f and g at x.
    values = np.concatenate([np.linspace(-20, 20, 401), [-1e4, -200, -89, 89, 200, 1e4],
                             np.logspace(-12, 0, 25)]).astype("float32")
    step = sgd_step(f, g, "float32")
    one = np.ones((1, 1), "float32")
    for x in values:
        _, _, _, _, _, *costs = step(one, 0 * one, np.array([x]), np.zeros(1, "float32"), np.ones(4),
                                    np.zeros(1, "float32"),
                                    np.int32([0]), np.int32([0, 1]), 0.0, 0.0, 0.0)
        expected = {"sigmoid": lambda x: 1 / (1 + np.exp(-np.clip(x, -700, 700))), "tanh": np.tanh}
        h = expected[g](np.float64(x))
        np.testing.assert_allclose(np.sqrt(costs[0]), abs(1 + 4 * expected[f](h)), rtol=2e-6, atol=1e-6)


class Adagrad:
    """Steps of AdagradStep, of shared variables of its own; beside it `lasagne.updates.adagrad` on a dense graph."""

    def __init__(self, f, g, dtype, linker=None, target=False, two=False):
        self.f, self.g, self.dtype, self.two = f, g, dtype, two
        # W, V's transpose, mu, b, U's transpose, and then the squares of each
        self.shared = [theano.shared(np.zeros((1,) * ndim, dtype)) for ndim in (2, 2, 1, 1, 2)[:4 + two] * 2]
        block = [T.vector(dtype=dtype), T.ivector(), T.ivector()]
        self.rates = [theano.shared(np.float64(x)) for x in (0.05, 0.03, 0.02)]
        inputs = block + [T.vector(dtype=dtype) for _ in range(target + two)]
        more = inputs[3:] if target else [inputs[0]] + inputs[3:]
        *new, squared_error, cost = AdagradStep(f, g, 1.0, 4.0, epsilon=1e-6)(*self.shared + block + self.rates + more)
        self.function = theano.function(inputs, [squared_error, cost], updates=list(zip(self.shared, new)),
                                        mode=mode_of(linker))

    def start(self, *parameters):
        parameters = [np.array(x, self.dtype) for x in parameters]
        for variable, value in zip(self.shared, parameters + [np.zeros_like(x) for x in parameters]):
            variable.set_value(value)

    def values(self):
        return [variable.get_value() for variable in self.shared]

    def judge(self):
        """A step of Lasagne's, of dense rows, mask, targets and what is seen; and what it moves, as in `shared`."""
        with change_flags(floatX="float64"):  # of the numbers in it
            function, moved = dense_adagrad(self.f, self.g, self.two)
        for variable, own in zip(moved, self.shared):
            variable.set_value(own.get_value().astype("float64"))
        return function, moved


@functools.lru_cache(maxsize=None)
def dense_adagrad(f, g, two):
    parameters = [theano.shared(np.zeros((1,) * ndim)) for ndim in (2, 2, 1, 1, 2)[:4 + two]]
    W, V_t, mu, b = parameters[:4]
    rows, mask, targets, seen = T.dmatrices(4)
    functions = {"linear": lambda x: x, "sigmoid": T.nnet.sigmoid, "tanh": T.tanh}
    weighted = T.dot(rows, V_t) + (T.dot(seen, parameters[4]) if two else 0)
    hidden = functions[g](weighted + mu)
    squared_error = T.sum(mask * (1 + 4 * functions[f](T.dot(hidden, W.T) + b) - targets) ** 2)
    n = mask.sum(axis=0)
    cost = squared_error + 0.03 * T.dot(n, (W ** 2).sum(axis=1))
    for encoder in [V_t] + parameters[4:]:
        cost += 0.02 * T.dot(n, (encoder ** 2).sum(axis=1))
    updates = lasagne.updates.adagrad(cost, parameters, 0.05, epsilon=1e-6)
    squares = [variable for variable in updates if variable not in parameters]
    mode = kept_on_host(theano.Mode(linker="py", optimizer="fast_compile"))
    return theano.function([rows, mask, targets, seen], [squared_error, cost], updates=updates, mode=mode,
                           on_unused_input="ignore"), parameters + squares


# A compiled step is used by several tests.
adagrad = functools.lru_cache(maxsize=None)(Adagrad)


@pytest.mark.parametrize("f, g, target, two", [("linear", "sigmoid", False, False), ("sigmoid", "tanh", True, False),
                                               ("linear", "sigmoid", True, True), ("sigmoid", "tanh", False, True)])
@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
@pytest.mark.parametrize("linker", [None, pytest.param("py", marks=pytest.mark.slow)])
def test_adagrad_is_lasagnes_on_a_dense_graph(f, g, target, two, dtype, linker):
    step = adagrad(f, g, dtype, linker, target, two)
    assert all(node.op.inplace for node in step.function.maker.fgraph.apply_nodes if isinstance(node.op, AdagradStep))
    # A first step is d / |d|, nearly: the rounding of a gradient near 0 decides where it goes.
    rtol, atol = (1e-3, 1e-3) if dtype == "float32" else (1e-10, 1e-10)
    # The last is for more than one thread: four blocks of hidden units, the last one no multiple of a vector.
    for n_rows, n_items, k in [(4, 7, 1), (6, 9, 19), (60, 90, 505)]:
        rng = np.random.RandomState(k)
        parameters = [rng.randn(n_items, k) / 8, rng.randn(n_items, k) / 8, rng.randn(k) / 8, rng.randn(n_items) / 8]
        step.start(*parameters + [rng.randn(n_items, k) / 8] * two)
        before = step.values()
        judge, expected = step.judge()
        used = np.zeros(n_items, bool)
        for _ in range(4):
            mask = rng.rand(n_rows, n_items) < 0.4
            mask[:, -2:] = False
            mask[0] = False
            used |= mask.any(axis=0)
            dense = np.where(mask, rng.randint(0, 6, mask.shape), 0).astype(float)  # a stored 0 is a rating
            targets = np.where(mask, rng.randn(*mask.shape), 0).astype(dtype).astype(float) if target else dense
            seen = np.where(mask, rng.rand(*mask.shape), 0).astype(dtype).astype(float)
            indices = np.nonzero(mask)[1].astype("int32")
            indptr = np.append(0, np.cumsum(mask.sum(axis=1))).astype("int32")
            costs = step.function(*[dense[mask].astype(dtype), indices, indptr] + [targets[mask].astype(dtype)] * target
                                  + [seen[mask].astype(dtype)] * two)
            np.testing.assert_allclose(costs, judge(dense, mask, targets, seen), rtol=rtol)
            for x, y in zip(step.values(), (variable.get_value() for variable in expected)):
                np.testing.assert_allclose(x, y, rtol=rtol, atol=atol * max(1, abs(y).max()))
        for x, y in zip(step.values(), before):
            if len(x) == n_items:
                np.testing.assert_array_equal(x[~used], y[~used])


@pytest.mark.parametrize("linker", [None, "py"])
def test_adagrad_without_ratings_moves_nothing(linker):
    step = adagrad("linear", "sigmoid", "float64", linker, False, False)
    step.start(np.ones((3, 2)), np.ones((3, 2)), np.ones(2), np.ones(3))
    before = step.values()
    for indptr in ([0], [0, 0, 0]):
        np.testing.assert_array_equal(step.function(np.zeros(0), np.zeros(0, "int32"), np.array(indptr, "int32")),
                                      [0, 0])
        for x, y in zip(step.values(), before):
            np.testing.assert_array_equal(x, y)


def test_adagrad_is_the_same_each_time():
    rng = np.random.RandomState(0)
    R = sp.random(60, 90, 0.6, "csr", dtype="float32", random_state=rng)
    parameters = [rng.randn(90, 505), rng.randn(90, 505), rng.randn(505), rng.randn(90)]
    step = adagrad("linear", "sigmoid", "float32", None, False, False)
    results = []
    for _ in range(2):
        step.start(*parameters)
        results.append([step.function(R.data, R.indices, R.indptr) for _ in range(3)] + step.values())
    for x, y in zip(*results):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("linker", [None, "py"])
def test_adagrad_refuses_what_it_cannot_take_and_changes_nothing(linker, two):
    step = adagrad("sigmoid", "tanh", "float64", linker, True, two)
    block = [np.arange(1.0, 5.0), np.array([2, 0, 1, 2], "int32"), np.array([0, 1, 1, 4], "int32"),
             np.ones(4)] + [np.ones(4)] * two

    refused = refuser(step, block, two)
    refused(IndexError, r"indices\[3\] is 3", block1=np.array([2, 0, 1, 3], "int32"))
    refused(IndexError, r"indices\[1\] is -1", block1=np.array([2, -1, 1, 2], "int32"))
    refused(ValueError, "indptr falls", block2=np.array([0, 3, 2, 4], "int32"))
    refused(ValueError, "data has 3 entries, indices 4", block0=np.ones(3))
    refused(ValueError, "target has 5 entries, indices 4; each rating needs one", block3=np.ones(5))
    refused(ValueError, r"W is \(3, 5\), .* expected \(n_items, k\)", shared1=np.ones((4, 5)))
    squares = [("W", (3, 4)), ("V's transpose", (2, 5)), ("mu", 4), ("b", 4), ("U's transpose", (3, 4))][:4 + two]
    for position, (name, shape) in enumerate(squares, len(squares)):
        refused(ValueError, "the sum of squared gradients of %s is not of its shape" % name,
                **{"shared%d" % position: np.ones(shape)})
    if two:
        refused(ValueError, r"U's transpose is \(3, 4\), V's \(3, 5\); expected the same", shared4=np.ones((3, 4)))
        refused(ValueError, TOO_FEW_SEEN % (2, 4), block4=np.ones(2))


def test_adagrad_refuses_what_is_no_step():
    for epsilon in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="epsilon is .*; it must be above 0"):
            AdagradStep("linear", "sigmoid", epsilon=epsilon)
    with pytest.raises(ValueError, match="nonlinearity 'softplus' has no fused step"):
        AdagradStep("linear", "softplus")
    W, x, i = T.matrix(), T.vector(), T.ivector()
    with pytest.raises(TypeError, match="learning_rate, l2_W and l2_V must be scalars"):
        AdagradStep("linear", "sigmoid")(W, W, x, x, W, W, x, x, x, i, i, x, 0, 0, x)


def test_adagrad_leaves_the_old_values_to_whoever_needs_them():
    W, V_t = theano.shared(np.ones((3, 2))), theano.shared(np.ones((3, 2)))
    others = [theano.shared(np.ones(n)) for n in (2, 3)] + [theano.shared(np.zeros(s)) for s in ((3, 2), (3, 2), 2, 3)]
    data, indices, indptr = T.dvector(), T.ivector(), T.ivector()
    new = AdagradStep("linear", "sigmoid")(W, V_t, *others + [data, indices, indptr, 0.1, 0.0, 0.0, data])
    growth = T.sum(abs(new[0] - W))
    function = theano.function([data, indices, indptr], [growth], updates=[(W, new[0])], mode=mode_of("py"))
    assert function(np.ones(1), np.int32([1]), np.int32([0, 1]))[0] > 0.1
    np.testing.assert_array_equal(others[2].get_value(), np.zeros((3, 2)))


@pytest.mark.parametrize("make", [SquaredError, SGDStep, AdagradStep])
def test_functions_and_scales_share_the_compiled_code(make):
    """It takes seconds to compile."""
    W, x, i = T.matrix(), T.vector(), T.ivector()
    arguments = {SquaredError: [x, i, i], SGDStep: [T.dvector(), x, i, i, 0, 0, 0],
                 AdagradStep: [W, W, x, x, x, i, i, 0, 0, 0, x]}[make]
    ops = [make("sigmoid", "tanh", 1, 4), make("linear", "sigmoid"), make("tanh", "linear", -0.5, 1e-3)]
    ops += [op.in_place() for op in ops if hasattr(op, "in_place")]
    if make is AdagradStep:
        ops.append(make("sigmoid", "tanh", epsilon=1e-3))
    nodes = [op.make_node(W, W, x, x, *arguments) for op in ops]
    names = [["x%d" % i for i, _ in enumerate(variables)] for variables in (nodes[0].inputs, nodes[0].outputs)]
    assert len({node.op.c_code(node, "node", *names, dict(fail="fail", params="params")) for node in nodes}) == 1
    assert len({node.run_params() for node in nodes}) == len(ops)
