"""Where graphs run is asked of a variable, not of the flag."""
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from devices import ON_GPU

from sparse_ae.ops import item_major
from sparse_ae.ops.rewrites import rewriting_mode
from sparse_ae.runtime import device
import theano


class OnCard:
    """A shared variable on a GPU, as far as these functions look."""

    type = theano.gof.type.Generic()

    class container:
        value = None

    def __init__(self, value):
        self.container.value = Array(value)

    def get_value(self, borrow=False, return_internal_type=False):
        assert borrow and return_internal_type, "the values must stay on the card"
        return self.container.value


class Array:
    """An array of pygpu's, of one order."""

    def __init__(self, value):
        self.value = value

    @property
    def flags(self):
        return {"F_CONTIGUOUS": self.value.flags.f_contiguous}

    def copy(self, order="C"):
        return Array(self.value.copy(order))


@pytest.mark.skipif(ON_GPU, reason="a GPU is in use")
@pytest.mark.parametrize("flag, value", [("device", "cpu"), ("device", "cuda"), ("init_gpu_device", "cuda")])
def test_variables_on_the_cpu_are_on_the_cpu_whatever_the_flags_say(flag, value, monkeypatch):
    flags = types.SimpleNamespace(**dict({"device": "cpu", "init_gpu_device": ""}, **{flag: value}))
    monkeypatch.setattr(device, "theano", types.SimpleNamespace(config=flags, shared=theano.shared))
    assert not device.on_gpu() and device.device_name() is None
    assert "sparse_ae" in rewriting_mode().provided_optimizer.include
    device.warn_of_unused_gpu.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        device.warn_of_unused_gpu()
    said = [str(each.message) for each in caught]
    assert [text.partition(";")[0] for text in said] == ["Theano's device is cuda, which it can't use"] * (
        flag == "device" and value == "cuda")


def test_scan_can_follow_what_is_kept_on_the_host():
    """In a process of its own: once theano.gpuarray has been imported, nothing can go wrong any more."""
    code = ("import sparse_ae.theano_compat, theano, theano.tensor as T\n"
            "from sparse_ae.runtime.device import kept_on_host\n"
            "x = T.vector()\n"
            "theano.function([x], x + 1, mode=kept_on_host(theano.Mode('py', 'fast_compile')))\n"
            "print(theano.scan(lambda each: 2 * each, x)[0].ndim)\n")
    assert subprocess.check_output([sys.executable, "-c", code], cwd=str(Path(__file__).parents[2])).split() == [b"1"]


def test_variables_on_a_gpu_are(monkeypatch):
    monkeypatch.setattr("theano.shared", OnCard)
    assert device.on_gpu()
    assert "sparse_ae" not in rewriting_mode().provided_optimizer.include  # its rewrites are the CPU's


def test_item_major_lays_memory_out_on_the_card():
    V = OnCard(np.arange(6.0).reshape(2, 3))
    item_major(V)
    laid_out = V.container.value
    assert laid_out.value.flags.f_contiguous and laid_out.value.tolist() == [[0, 1, 2], [3, 4, 5]]
    item_major(V)
    assert V.container.value is laid_out
