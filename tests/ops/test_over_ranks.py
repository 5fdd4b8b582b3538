"""The sum over ranks, as an Op and within the fused Ops, where each rank has the same."""
import pickle

import numpy as np
import pytest
import test_op_contract as contract

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


# C gives what NumPy gives here too; that this is what one process gives is tests/ranks.py's to show.


class TestSquaredErrorOverRanks(contract.TestSquaredError):
    op, differentiable = SquaredError("sigmoid", "tanh", 1.0, 4.0, Alike()), ()


class TestSGDStepOverRanks(contract.TestSGDStep):
    op = SGDStep("sigmoid", "tanh", 1.0, 4.0, Alike())


class TestAdagradStepOverRanks(contract.TestAdagradStepOfTwoEncoders):
    op = AdagradStep("sigmoid", "tanh", 1.0, 4.0, Alike()).changed(n=5)


class TestAdamStepOverRanks(contract.TestAdamStep):
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
