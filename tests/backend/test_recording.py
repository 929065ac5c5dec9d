"""Recordings: what they call, on how many threads, and what they leave behind."""

from __future__ import annotations

import ctypes
import os

import numpy
import pytest

from minicaffe.backend.cpu import CpuBackend
from minicaffe.backend.cpu.runtime import parallel, recording, threads
from minicaffe.backend.cpu.runtime.recording import Recording
from minicaffe.backend.cpu.runtime.workspace import Workspace

from .processes import printed


def plus_one(x):
    return x + 1


def record(size: int, times: int = 1):
    backend, x = CpuBackend(), numpy.zeros(size, numpy.float32)

    def work():
        for _ in range(times):
            backend.map(plus_one, x, x)

    return Recording(work), x


def test_a_call_is_repeated_on_its_arrays():
    made, x = record(3, times=2)
    assert made.is_complete and (x == 2).all()
    assert made.repeat() and (x == 4).all()


@pytest.mark.parametrize("size, times, count", [
    (1000, 1, 1), (100_000, 2, 1), (100_000, 4, 3), (1_000_000, 1, 3)])
def test_work_that_is_long_all_in_all_is_repeated_on_several_threads(monkeypatch, size, times,
                                                                     count):
    monkeypatch.setattr(threads, "_count", 3)
    made, _ = record(size, times)
    assert made._calls[:, 1].tolist() == [count] * times
    assert bool(made._loop) == (count > 1)


def test_nothing_is_repeated_on_another_number_of_threads(monkeypatch):
    made, x = record(3)
    monkeypatch.setattr(threads, "_count", threads.get_num_threads() + 1)
    assert not made.repeat() and (x == 1).all()


def test_compiled_code_is_called_with_the_lock_held(monkeypatch):
    held = []

    class Lock:
        def __enter__(self):
            held.append(True)

        def __exit__(self, *error):
            held.pop()

    made, _ = record(3)
    monkeypatch.setattr(recording, "lock", Lock())
    monkeypatch.setattr(parallel, "call_all", lambda *arguments: seen.append(list(held)))
    seen = []
    assert made.repeat() and seen == [[True]]
    monkeypatch.setattr("minicaffe.backend.cpu.lock", Lock())
    assert CpuBackend().record(lambda: seen.append(list(held))) and seen[1:] == [[True]]


def test_what_goes_wrong_while_recording_leaves_no_trace(monkeypatch):
    monkeypatch.setattr(threads.work, "brief", 123)
    with pytest.raises(ZeroDivisionError):
        Recording(lambda: 1 / 0)
    assert parallel.journals.current is None and threads.work.brief == 123
    Recording(lambda: None)
    assert parallel.journals.current is None and threads.work.brief == 123


def test_what_is_not_compiled_is_not_repeated():
    backend, x = CpuBackend(), numpy.zeros((1, 2), numpy.float64)
    assert backend.record(lambda: backend.softmax(x, x)) is None
    assert backend.record(lambda: None)()


def test_a_second_thread_does_not_write_into_the_first_ones_journal():
    import threading

    def work():
        thread = threading.Thread(target=lambda: parallel.prevent_recording())
        thread.start(), thread.join()

    assert Recording(work).is_complete


def test_scratch_memory_begins_at_a_cache_line_and_ends_before_another():
    workspace = Workspace()
    for size in (1, 5, 1000, 100_003):
        buffer = workspace.floats("name", size)
        assert buffer.size == size and buffer.ctypes.data % 64 == 0
        behind = (ctypes.c_float * 16).from_address(buffer.ctypes.data + 4 * size)
        base = buffer.base
        end = base.ctypes.data + base.nbytes
        assert buffer.ctypes.data + 4 * size + 64 <= end and list(behind) == [0] * 16
    assert workspace.floats("name", 10) is buffer
    assert workspace.floats("other", 10) is not buffer


def test_threads_that_wait_for_work_soon_sleep_unless_the_user_chose():
    code = "import os, minicaffe.backend.cpu; print(os.environ.get('GOMP_SPINCOUNT'))"
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        assert printed(code) == ["3000"]
    assert printed(code, OMP_WAIT_POLICY="active", GOMP_SPINCOUNT="7") == ["7"]
