"""Parameters of a model: every kind of initialiser, and whose random numbers they are."""
import threading

import numpy as np
import pytest

from sparse_ae import AutoEncoder, parameters
import lasagne
import theano


def test_initialisers_of_every_kind_and_the_rng():
    W = np.arange(16.0).reshape(8, 2)
    shared = theano.shared(np.ones((2, 8), "float32"))
    m = AutoEncoder(8, 2, W=W, V=shared, mu=lambda shape: np.full(shape, 7.0), rng=0)
    assert m.V is shared and m.W.dtype == "float32"
    np.testing.assert_array_equal(m.W.get_value(), W)
    np.testing.assert_array_equal(m.mu.get_value(), [7, 7])
    W[0, 0] = 99
    assert m.W.get_value()[0, 0] == 0

    draws = [AutoEncoder(8, 2, rng=seed).V.get_value() for seed in (3, 3, 4)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.allclose(draws[0], draws[2])
    bound = np.sqrt(6 / (8 + 2))
    assert 0.5 * bound < np.abs(draws[0]).max() <= bound


def test_the_global_generators_are_left_alone():
    np.random.seed(0)
    expected = np.random.rand()
    np.random.seed(0)
    generator = lasagne.random.get_rng()
    AutoEncoder(8, 2, rng=0)
    with pytest.raises(ValueError, match="W has shape"):
        AutoEncoder(8, 2, W=np.ones((2, 8)))
    assert lasagne.random.get_rng() is generator
    assert np.random.rand() == expected


def test_a_thread_puts_back_the_generator_that_was_there_before_all(monkeypatch):
    """One that waits until another has made its model."""
    generator, entered, waits = lasagne.random.get_rng(), threading.Event(), threading.Event()

    def make():
        entered.wait()
        AutoEncoder(8, 2, rng=0)

    other = threading.Thread(target=make)
    other.start()
    with parameters.drawing(1, "float32"):
        building = parameters.building
        monkeypatch.setattr(parameters, "building", lambda dtype: waits.set() or building(dtype))
        entered.set()
        assert waits.wait(60)
    other.join()
    assert lasagne.random.get_rng() is generator
