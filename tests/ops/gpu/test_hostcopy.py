"""Values on the host: they follow the variable, whatever changes it, and are read from a GPU only if something did."""
import numpy as np
import pytest
from devices import ON_GPU

from sparse_ae.ops.gpu.hostcopy import HostCopy
import theano


def one_by_set_value(variable):
    value = variable.get_value()
    value[2, 1] = np.nextafter(value[2, 1], np.float32(9))
    variable.set_value(value)


def all_by_its_own_kind(variable):
    variable.set_value(variable.get_value(borrow=True, return_internal_type=True) * np.float32(1.5))


def all_by_an_update(variable):
    theano.function([], updates=[(variable, variable * np.float32(0.5))])()


def all_to_nan(variable):
    variable.set_value(np.full((5, 3), np.nan, "float32"))


@pytest.mark.parametrize("change", [one_by_set_value, all_by_its_own_kind, all_by_an_update, all_to_nan])
def test_values_follow_the_variable(change):
    variable = theano.shared(np.random.RandomState(0).randn(5, 3).astype("float32"))
    values = HostCopy(variable)
    before = values().copy()
    np.testing.assert_array_equal(before, variable.get_value())
    change(variable)
    after = values().copy()
    np.testing.assert_array_equal(after, variable.get_value())
    assert not np.array_equal(after, before)
    variable.set_value(before)
    np.testing.assert_array_equal(values(), before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (1500, 301)])  # fewer values than blocks of threads, and more
def test_values_are_read_once_until_the_first_or_the_last_changes(shape, dtype):
    variable = theano.shared(np.ones(shape, dtype))
    values = HostCopy(variable)
    assert values() is values()
    assert ON_GPU or values() is variable.get_value(borrow=True)  # and nothing is kept
    for at in (0, -1):
        value = variable.get_value()
        value[at, at] = np.nextafter(value[at, at], value.dtype.type(9))
        variable.set_value(value)
        np.testing.assert_array_equal(values(), value)
