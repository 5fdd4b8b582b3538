"""What is done without C, the first time: with the same numbers as Theano's."""
import numpy as np
import pytest

from sparse_ae import theano_compat  # noqa: F401  (before theano)
import theano.tensor as T
from theano.gof.cmodule import GCC_compiler
from theano.sandbox import rng_mrg


def next_state(state, first, second):
    """One state from another by whole numbers of Python's."""
    moved = []
    for part, matrix, modulo in ((state[:3], first, 2147483647), (state[3:], second, 2147462579)):
        moved += [sum(int(a) * int(s) for a, s in zip(row, part)) % modulo for row in matrix]
    return moved


@pytest.mark.parametrize("n_streams", [1, 2, 5, 64, 300])
def test_states_of_random_streams(n_streams):
    streams = rng_mrg.MRG_RandomStreams(77)
    for _ in range(2):
        expected = [streams.rstate.tolist()]
        found = streams.get_substream_rstates(n_streams, "float32")
        assert found.dtype == "int32" and found.shape == (n_streams, 6)
        while len(expected) < n_streams:
            expected.append(next_state(expected[-1], rng_mrg.A1p72, rng_mrg.A2p72))
        assert found.tolist() == expected
        assert streams.rstate.tolist() == next_state(expected[0], rng_mrg.A1p134, rng_mrg.A2p134)
        assert streams.rstate.dtype == "int32"
    before = streams.rstate
    streams.get_substream_rstates(2, "float32", inc_rstate=False)
    assert streams.rstate is before


def test_nothing_is_compiled_to_seed_and_to_turn_a_constant(monkeypatch):
    def compile_str(*arguments, **keywords):
        raise AssertionError("it was compiled")

    monkeypatch.setattr(GCC_compiler, "compile_str", staticmethod(compile_str))
    rng_mrg.MRG_RandomStreams(5).uniform((3, 4))
    node = T.constant(np.arange(6.0).reshape(2, 3)).dimshuffle(1, "x", 0).owner
    found, = T.opt.constant_folding.transform(node)
    np.testing.assert_array_equal(found.data, np.arange(6.0).reshape(2, 3).transpose()[:, None])
