"""Where graphs run is asked of a variable, not of the flag; and work that is shared out among threads."""
import contextlib
import re
import threading
import types
import warnings
from concurrent.futures import ThreadPoolExecutor

import programs
import pytest
from devices import ON_GPU, needs_fork
from limits import in_child
from threadpoolctl import threadpool_info, threadpool_limits

from sparse_ae.model import AutoEncoder
from sparse_ae.ops.rewrites import rewriting_mode
from sparse_ae.runtime import device, processors
from sparse_ae.training.formulations import choose_formulation, get_formulation
import theano


@needs_fork
def test_a_child_that_is_forked_while_a_value_is_computed_computes_its_own():
    begun, may_end = threading.Event(), threading.Event()

    class Slow:
        @processors.cached_property
        def value(self):
            begun.set()
            return may_end.wait(60)

    slow = Slow()
    with ThreadPoolExecutor(1) as threads:
        found = threads.submit(lambda: slow.value)
        assert begun.wait(60)
        try:
            assert in_child(lambda: may_end.set() or Slow().value)
        finally:
            may_end.set()
        assert found.result() is True and vars(slow) == {"value": True}


@pytest.mark.skipif(ON_GPU, reason="a GPU is in use")
@pytest.mark.parametrize("flag, value", [("device", "cpu"), ("device", "cuda"), ("init_gpu_device", "cuda")])
def test_variables_on_the_cpu_are_on_the_cpu_whatever_the_flags_say(flag, value, monkeypatch):
    flags = types.SimpleNamespace(**dict({"device": "cpu", "init_gpu_device": ""}, **{flag: value}))
    monkeypatch.setattr(device, "theano", types.SimpleNamespace(config=flags, shared=theano.shared))
    assert not device.on_gpu() and device.device_name() is None
    assert "sparse_ae" in rewriting_mode().provided_optimizer.include
    device.warn_of_unused_gpu.cache_clear()
    model = AutoEncoder(3, 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert choose_formulation(0.05, model) == "sparse"
        for _ in range(2):  # said once for a process
            get_formulation("sparse", model)
    assert len(caught) == (flag == "device" and value == "cuda")
    assert all(re.match("Theano can't use its device, cuda, .* runs on the CPU", str(each.message)) for each in caught)


def test_scan_can_follow_what_is_kept_on_the_host():
    """In a process of its own: once theano.gpuarray has been imported, nothing can go wrong any more."""
    code = ("import sparse_ae.theano_compat, theano, theano.tensor as T\n"
            "from sparse_ae.runtime.device import kept_on_host\n"
            "x = T.vector()\n"
            "theano.function([x], x + 1, mode=kept_on_host(theano.Mode('py', 'fast_compile')))\n"
            "print(theano.scan(lambda each: 2 * each, x)[0].ndim)\n")
    assert programs.run("-c", code)[0] == "1\n"


# Threads


@pytest.mark.parametrize("said, expected", [
    ("3", 3), (" 2 ", 2), ("0", 1), ("64", 8), ("4,2", 4), (",", 5), ("", 5), (None, 5)])
def test_as_many_threads_as_openmp_is_told(monkeypatch, said, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(processors, "processors", lambda: 5)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert processors.thread_count() == expected


def test_parts_are_worked_on_side_by_side_and_come_in_order(monkeypatch):
    """Three wait for one another: by fewer threads none would ever end. A part alone needs no thread."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    together = threading.Barrier(3, timeout=60)

    def function(part):
        together.wait()
        return part, threading.get_ident()

    parts, threads = zip(*processors.in_threads(function, list(range(6))))
    assert parts == tuple(range(6)) and threading.get_ident() not in threads
    assert list(processors.in_threads(lambda part: threading.get_ident(), [7])) == [threading.get_ident()]
    with pytest.raises(ZeroDivisionError):
        list(processors.in_threads(lambda part: 1 // part, [1, 0, 1]))


def test_a_thread_of_several_gets_no_further_ones(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")

    def function(part):
        return {threading.get_ident()} == set(processors.in_threads(lambda _: threading.get_ident(), range(4)))

    assert list(processors.in_threads(function, range(4))) == [True] * 4
    assert not function(0), "the thread that has waited for them gets some again"


def test_no_more_parts_are_in_work_than_there_are_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    begun = []
    found = processors.in_threads(begun.append, list(range(6)))
    for taken in range(3):
        next(found)
        assert set(begun) <= set(range(taken + 3))
    found.close()
    assert set(begun) <= set(range(5))


def of_blas(part=None):
    return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]


@pytest.mark.parametrize("is_kept", [False, True])
def test_any_thread_limits_blas_and_puts_it_back(monkeypatch, is_kept):
    """From threadpoolctl 3.8 on a thread that sets a limit, such as this one, keeps OpenBLAS to itself."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")

    def use(begun, may_end, part_that_fails):
        found = processors.in_threads(lambda part: of_blas() + [1 // (part != part_that_fails)][:0], range(4))
        seen = next(found)
        begun.set()
        may_end.wait(60)
        with contextlib.suppress(ZeroDivisionError):
            next(found)
        return set(seen)

    with threadpool_limits(2, "blas"), ThreadPoolExecutor(2) as threads:
        before = of_blas()
        if not is_kept:
            list(processors.in_threads(of_blas, range(2)))
        events = [(threading.Event(), threading.Event()) for _ in range(2)]
        try:
            uses = []
            for event, part_that_fails in zip(events, (None, 1)):
                uses.append(threads.submit(use, *event, part_that_fails))
                assert event[0].wait(60)
            if is_kept:
                threadpool_limits(1, "blas")
            for (_, may_end), each in zip(events, uses):  # the one that has set the limit ends first
                assert set(of_blas()) == {1}
                may_end.set()
                assert each.result(60) == {1}
            assert of_blas() == before
            with threadpool_limits(1, "blas"):  # which others may set, too
                assert set(of_blas()) == {1}
        finally:
            for _, may_end in events:
                may_end.set()


def test_the_garbage_collector_may_close_a_generator_while_another_begins_or_ends(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    lost = processors.in_threads(of_blas, range(4))
    next(lost)
    with processors._lock:
        assert processors._lock.acquire(blocking=False), "this thread would wait for itself"
        lost.close()
        processors._lock.release()
