"""Work that is shared out among threads."""
import os
import threading

import pytest

from sparse_ae.runtime import processors


@pytest.mark.parametrize("said, expected", [
    ("3", 3), (" 2 ", 2), ("0", 1), ("64", 8), ("4,2", 4), (",", 5), ("", 5), (None, 5)])
def test_as_many_threads_as_openmp_is_told(monkeypatch, said, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(processors, "processors", lambda: 5)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert processors.thread_count() == expected


def test_parts_are_worked_on_side_by_side_and_come_in_order(monkeypatch):
    """Each waits for the others of its three: by one thread, or two, none would ever end."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    together = threading.Barrier(3, timeout=60)

    def function(part):
        together.wait()
        return part, threading.get_ident()

    found = list(processors.in_threads(function, list(range(6))))
    assert [part for part, _ in found] == list(range(6))
    assert threading.get_ident() not in [thread for _, thread in found]


def test_a_part_alone_needs_no_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert list(processors.in_threads(lambda part: (part, threading.get_ident()), [7])) == [(7, threading.get_ident())]
    assert list(processors.in_threads(abs, [])) == []


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


def test_no_thread_waits_for_another_part(monkeypatch):
    """Of two side by side the second ends when the third has, which is begun once the first is done."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    others = threading.Semaphore(0)

    def function(part):
        if part == 1:
            assert all(others.acquire(timeout=60) for _ in range(2))
        else:
            others.release()
        return part

    assert list(processors.in_threads(function, range(4))) == list(range(4))


def test_what_a_part_raises_is_raised(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        list(processors.in_threads(lambda part: 1 // part, [1, 0, 1]))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a system that binds processes to processors")
def test_processors_of_this_process():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert processors.processors() == 1
    finally:
        os.sched_setaffinity(0, before)
