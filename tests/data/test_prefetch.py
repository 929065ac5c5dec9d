"""Prefetcher: the batches of the next ticks, on a thread of its own that ends when it should."""

import gc
import multiprocessing
import subprocess
import sys
import threading
import time

import numpy
import pytest

from minicaffe.data.prefetch import Prefetcher


class Worker:
    """Counts what it prepares; ``gate`` holds it up."""

    def __init__(self):
        self.begun, self.spares, self.threads = [], [], set()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, place, tick, spare):
        self.begun.append((place, tick))
        self.spares.append(spare)
        self.threads.add(threading.current_thread())
        self.gate.wait(10)
        if tick == 5:
            raise OSError("sample 17 cannot be read")
        return {"x": numpy.full(2, tick)}

    def wait_for(self, count):
        wait_until(lambda: len(self.begun) >= count)


def wait_until(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never happened")


def value(batch):
    return None if batch is None else int(batch["x"][0])


def idle(ahead):
    return all(future.done() for future in ahead._pending.values())


def test_ticks_in_a_row_are_prepared_ahead_from_the_second_one_on():
    work = Worker()
    ahead = Prefetcher(work)
    assert value(ahead.take("a", 0)) is None and ahead._tasks is None and not work.begun
    assert value(ahead.take("a", 1)) is None
    work.wait_for(2)
    assert work.begun == [("a", 2), ("a", 3)]
    assert value(ahead.take("a", 2)) == 2
    work.wait_for(3)
    assert value(ahead.take("a", 3)) == 3
    assert threading.current_thread() not in work.threads and len(work.threads) == 1


def test_ticks_out_of_order_start_no_thread():
    work = Worker()
    ahead = Prefetcher(work)
    assert [value(ahead.take("a", tick)) for tick in (4, 4, 2, 0, 7)] == [None] * 5
    assert ahead._tasks is None


def test_after_a_jump_it_works_for_the_new_place():
    work = Worker()
    ahead = Prefetcher(work)
    for tick in (0, 1):
        ahead.take("a", tick)
    work.wait_for(2)
    assert value(ahead.take("a", 7)) is None  # another tick, then another seed
    assert value(ahead.take("b", 8)) is None
    assert value(ahead.take("b", 9)) is None
    work.wait_for(4)
    assert work.begun[2:] == [("b", 10), ("b", 11)] and len(ahead._pending) == 2
    assert value(ahead.take("b", 10)) == 10


def test_what_nobody_will_ask_for_any_more_is_not_prepared():
    work = Worker()
    ahead = Prefetcher(work)
    work.gate.clear()
    for tick in (0, 1):
        ahead.take("a", tick)
    work.wait_for(1)  # it is held up in 2; 3 waits
    for tick in (8, 9):
        ahead.take("b", tick)
    work.gate.set()
    work.wait_for(3)
    wait_until(lambda: idle(ahead))
    assert work.begun == [("a", 2), ("b", 10), ("b", 11)]


def test_a_batch_is_done_by_the_caller_if_the_thread_has_not_begun_it():
    work = Worker()
    ahead = Prefetcher(work)
    work.gate.clear()
    for tick in (0, 1):
        ahead.take("a", tick)
    work.wait_for(1)  # it is held up in 2
    assert value(ahead.take("a", 3)) is None
    work.gate.set()
    work.wait_for(2)
    wait_until(lambda: idle(ahead))
    assert ("a", 3) not in work.begun


def test_an_error_comes_up_as_it_is_for_its_tick_alone():
    work = Worker()
    ahead = Prefetcher(work)
    for tick in (2, 3):
        ahead.take("a", tick)
    work.wait_for(2)
    assert value(ahead.take("a", 4)) == 4
    work.wait_for(3)
    with pytest.raises(OSError, match="sample 17 cannot be read"):
        ahead.take("a", 5)
    work.wait_for(4)
    assert value(ahead.take("a", 6)) == 6


def test_memory_is_used_again():
    work = Worker()
    ahead = Prefetcher(work)
    for tick in (0, 1):
        ahead.take("a", tick)
    work.wait_for(2)
    batch = ahead.take("a", 2)
    ahead.give_back(batch)
    work.wait_for(3)
    ahead.take("a", 3)
    work.wait_for(4)
    assert work.spares[:3] == [None] * 3 and work.spares[3] is batch


def test_the_thread_ends_with_the_prefetcher():
    work = Worker()
    ahead = Prefetcher(work)
    for tick in (0, 1):
        ahead.take("a", tick)
    work.wait_for(2)
    thread, = work.threads
    assert thread.daemon
    del ahead
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


SLOW = """
import time
from minicaffe.data.prefetch import Prefetcher
ahead = Prefetcher(lambda place, tick, spare: time.sleep(60))
ahead.take(0, 0), ahead.take(0, 1)
time.sleep(0.05)
%s
"""


@pytest.mark.parametrize("end", ["", "raise KeyboardInterrupt", "import sys; sys.exit(0)"])
def test_a_program_that_ends_does_not_wait(end):
    done = subprocess.run([sys.executable, "-c", SLOW % end], timeout=30, capture_output=True)
    assert (done.returncode != 0) == ("Keyboard" in end)


def _in_child(ahead, answers):
    answers.put([value(ahead.take("a", tick)) for tick in (2, 3)])


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_forked_child_does_not_wait_for_a_thread_it_does_not_have():
    work = Worker()
    ahead = Prefetcher(work)
    for tick in (0, 1):
        ahead.take("a", tick)
    work.wait_for(2)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=_in_child, args=(ahead, answers))
    child.start()
    child.join(20)
    assert child.exitcode == 0 and answers.get() == [None, None]
