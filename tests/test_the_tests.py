"""The suite itself: its warnings, what it leaves alone, its judge, and the script of sameness."""
import os
import warnings
from pathlib import Path

import alike
import compile_cache
import numpy as np
import pytest
import reference

import theano

ROOT = Path(__file__).resolve().parents[1]


def warn_in(module, category=DeprecationWarning):
    """As if a module had warned; those that are no errors are swallowed."""
    with warnings.catch_warnings(record=True):
        warnings.warn_explicit("old", category, "file.py", 1, module=module)


# Warnings


@pytest.mark.parametrize("module", [
    "sparse_ae", "sparse_ae.data.readers.text", "theano.tensor", "scipy.sparse", "example_movielens", "<string>",
    "subprocess"])
def test_a_warning_is_an_error_where_it_is_ours_or_of_what_we_stand_on(module):
    with pytest.raises(DeprecationWarning, match="old"):
        warn_in(module)


@pytest.mark.parametrize("module", ["pytest_benchmark.logger", "sys", "numpydoc", "theano_lstm", "testing_plugin"])
def test_a_warning_of_others_is_none(module):
    warn_in(module)
    warn_in(module, FutureWarning)


# Theano's cache


def test_processes_that_tests_start_compile_to_the_same_folder():
    assert compile_cache.flag("base_compiledir") == theano.config.base_compiledir
    assert theano.config.compiledir.startswith(os.path.realpath(theano.config.base_compiledir))


# The judge is judged by hand; Theano's gradients judge its own, wherever it judges them


def test_by_hand():
    # One user, one hidden unit, items 0 and 2 rated 1 and 2; identity everywhere:
    # h = 0.5 + 1*1 + 2*2 = 5.5; outputs 2*5.5 + 1 = 12 and -1*5.5 + 0 = -5.5; errors 11 and -7.5.
    W, V = np.array([[2.0], [9.0], [-1.0]]), np.array([[1.0, 9.0, 2.0]])
    mu, b = np.array([0.5]), np.array([1.0, 9.0, 0.0])
    loss, squared_error, (dW, dV, dmu, db) = reference.loss_and_gradients(
        [[(0, 1.0), (2, 2.0)]], W, V, mu, b, f="linear", g="linear", l2_W=0.5, l2_V=0.25)
    assert squared_error == 11 ** 2 + 7.5 ** 2
    assert loss == squared_error + 0.5 * (4 + 81 + 1) + 0.25 * (1 + 81 + 4)
    dh = 22 * 2 + -15 * -1
    np.testing.assert_array_equal(dW, [[22 * 5.5 + 2], [9], [-15 * 5.5 - 1]])
    np.testing.assert_array_equal(dV, [[dh * 1 + 0.5, 4.5, dh * 2 + 1]])
    np.testing.assert_array_equal(dmu, [dh])
    np.testing.assert_array_equal(db, [22, 0, -15])
    # Item 1, with the output 9*5.5 + 9 = 58.5, is missing: held against 1, and half of it counts.
    more = reference.loss_and_gradients([[(0, 1.0), (2, 2.0)]], W, V, mu, b, f="linear", g="linear", w=0.5, m=1.0)[1]
    assert more == squared_error + 0.5 * 57.5 ** 2


# Differences, of the script of sameness


@pytest.mark.parametrize("one, other", [
    (np.zeros(2), np.zeros(2, "float32")), (np.zeros((2, 1)), np.zeros((1, 2))), (0.1, 0.1 + 2e-17), ([1, [2]], [1, 2]),
    ([1], [1, 2]), ({"a": 1}, {"b": 1}), (np.array(["ab", "c"]), np.array(["a", "bc"])), (0.0, -0.0), (1, 1.0),
    (None, "None")])
def test_what_differs(one, other):
    assert alike.differences(one, other) and alike.differences(other, one) and not alike.differences(one, one)


def test_rounding_is_no_difference():
    values = np.array([1.0, np.nan, np.inf, -4.0])
    assert not alike.differences(values, values * (1 + 1e-12), 1e-10) and alike.differences(values, values * 1.1, 1e-10)
    for other in (0.0, np.inf):
        assert alike.differences(values, np.where(np.isnan(values), other, values), 1e-10)
