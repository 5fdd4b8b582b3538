"""The sum over ranks, as an Op and within the fused Ops, where each rank has the same."""
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ae.ops import AdagradStep, AdamStep, SGDStep, SquaredError
from sparse_ae.ranks.sums import SumOverRanks
from sparse_ae.runtime.device import kept_on_host
import theano
import theano.tensor as T


class Alike:
    """Three ranks, each with what this one has."""

    def sum(self, array):
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


# The Op, the number of arrays of its own, of each parameter's shape, and the numbers that it takes after the block.
STEPS = {"squared_error": (SquaredError, 0, ()), "sgd": (SGDStep, 0, (0.01, 0.03, 0.02)),
         "adagrad": (AdagradStep, 1, (0.01, 0.03, 0.02)), "adam": (AdamStep, 2, (0.01, 0.03, 0.02))}


def outputs_of(name, ranks, parameters, R, linker, target):
    """What the Op makes of its parameters and a block: a list of arrays, the costs among them."""
    Op, n_kept, numbers = STEPS[name]
    kept = [np.full_like(x, 0.3) for x in parameters for _ in range(n_kept)]
    if name == "sgd":
        kept = [np.append([0.8, 0.9], [(x.astype(float) ** 2).sum() for x in parameters[:2]])]
    variables = [T.TensorType(x.dtype, (False,) * x.ndim)()
                 for x in parameters + kept + [R.data, R.indices, R.indptr, target]]
    *first, wanted = variables
    mode = kept_on_host(theano.Mode(linker="py", optimizer="fast_run")) if linker else None
    function = theano.function(variables, Op("sigmoid", "tanh", 1.0, 4.0, ranks)(*first, *numbers, wanted), mode=mode)
    return function(*parameters, *kept, R.data, R.indices, R.indptr, target)


@pytest.mark.parametrize("linker", [None, "py"])
@pytest.mark.parametrize("name", list(STEPS))
def test_a_fused_step_over_ranks_is_that_of_one_process(name, linker):
    # 530 rows are more than a chunk of SquaredError's; 205 hidden units are shared out among threads, in the end some
    # that fill no vector.
    rng = np.random.RandomState(0)
    n_items = 20
    R = sp.random(530, n_items, 0.3, "csr", random_state=rng)
    W, V_t, mu, b = (rng.randn(*shape) / 10 for shape in [(n_items, 205), (n_items, 205), (205,), (n_items,)])
    target = rng.rand(R.nnz)
    whole = sp.hstack([R] * 3, "csr")
    whole_target = sp.hstack([sp.csr_matrix((target, R.indices, R.indptr), R.shape)] * 3, "csr").data
    expected = outputs_of(name, None, [np.concatenate([W] * 3), np.concatenate([V_t] * 3), mu, np.tile(b, 3)], whole,
                          linker, whole_target)
    found = outputs_of(name, Alike(), [W, V_t, mu, b], R, linker, target)
    if name == "sgd":
        expected[4][:2] *= 3  # factors of the weight decay, no sums
    for x, y in zip(found, expected):
        if y.shape[:1] == (3 * n_items,):
            y = y[:n_items]
        elif y.shape != mu.shape:
            y = y / 3  # squared errors and norms: a rank's own
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)
    assert len(found) == len(expected)


@pytest.mark.parametrize("linker", [None, "py"])
def test_what_the_ranks_run_into_is_the_steps_error(linker):
    class Failing(Alike):
        def sum(self, array):
            raise OSError("a cable was cut")

    class Other(Alike):
        def sum(self, array):
            return array[:1]

    block = sp.csr_matrix(np.eye(3))
    parameters = [np.ones((3, 2)), np.ones((3, 2)), np.ones(2), np.ones(3)]
    with pytest.raises(OSError, match="a cable was cut"):
        outputs_of("sgd", Failing(), parameters, block, linker, block.data)
    with pytest.raises(ValueError, match="the sum over ranks has another shape than its terms"):
        outputs_of("sgd", Other(), parameters, block, linker, block.data)


def test_a_key_of_the_compile_cache_holds_no_ranks():
    class Communicator(Alike):
        def __reduce__(self):
            raise TypeError("no communicator can be pickled")

    for Op, *_ in STEPS.values():
        op = Op("linear", "sigmoid", ranks=Communicator())
        read = pickle.loads(pickle.dumps(op))
        assert read == op and hash(read) == hash(op) and read != Op("linear", "sigmoid")
        with pytest.raises(RuntimeError, match="has lost the others: make it again"):
            assert read.total
        alone = pickle.loads(pickle.dumps(Op("linear", "sigmoid")))
        assert alone.total is None and alone == Op("linear", "sigmoid")
        if alone != SquaredError("linear", "sigmoid"):
            assert alone.in_place().total is None
