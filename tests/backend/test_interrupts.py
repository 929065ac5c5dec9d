"""Signals wait while numba is at work, and are handled afterwards, each one, whatever comes."""

from __future__ import annotations

import _thread
import os
import signal
import threading

import pytest

from minicaffe.backend import interrupts
from minicaffe.backend.interrupts import signals_held

from .processes import printed

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="other signals than here")


class Stop(BaseException):
    """What a user's own handler raises."""


def stop(number, frame):
    raise Stop(number)


@pytest.fixture(autouse=True)
def handlers():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    before = [signal.getsignal(number) for number in numbers]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, stop)
    yield
    for number, handler in zip(numbers, before):
        signal.signal(number, handler)


@pytest.mark.parametrize("number, error", [
    (signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Stop)])
def test_a_handler_raises_when_the_work_is_done(number, error):
    done = []
    with pytest.raises(error):
        with signals_held():
            os.kill(os.getpid(), number)
            done.append(1)
        done.append(2)
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is stop
    with pytest.raises(error):  # and at once, again
        os.kill(os.getpid(), number)
        done.append(3)
    assert done == [1]


def test_each_signal_is_handled_once_in_order():
    came = []
    signal.signal(signal.SIGUSR1, lambda number, frame: came.append(1))
    signal.signal(signal.SIGUSR2, lambda number, frame: came.append(2))
    with signals_held():
        for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR1):
            os.kill(os.getpid(), number)
        assert came == []
    assert came == [2, 1, 1]


def test_all_are_handled_though_the_first_raises():
    came = []
    signal.signal(signal.SIGUSR1, lambda number, frame: came.append(1))
    with pytest.raises(Stop):
        with signals_held():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                os.kill(os.getpid(), number)
    assert came == [1]


def test_a_second_interrupt_is_the_second_to_a_handler_that_only_notes_the_first():
    def request(number, frame):
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, request)
    with signals_held():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, request)
    with pytest.raises(KeyboardInterrupt):
        with signals_held():
            os.kill(os.getpid(), signal.SIGINT), os.kill(os.getpid(), signal.SIGINT)


def test_an_error_of_the_work_passes_and_the_interrupt_tells_of_it():
    with pytest.raises(ZeroDivisionError):
        with signals_held():
            raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) is stop
    with pytest.raises(KeyboardInterrupt) as interrupt:
        with signals_held():
            os.kill(os.getpid(), signal.SIGINT)
            raise ZeroDivisionError
    assert isinstance(interrupt.value.__context__, ZeroDivisionError)


def test_within_another_hold_the_outer_one_holds_on():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with signals_held():
            with signals_held():
                os.kill(os.getpid(), signal.SIGINT)
            done.append(1)
    assert done == [1]


def test_other_threads_hold_nothing_back():
    inside, over = threading.Event(), threading.Event()

    def work():
        with signals_held():
            inside.set(), over.wait()

    worker = threading.Thread(target=work)
    worker.start()
    inside.wait()
    try:
        with pytest.raises(KeyboardInterrupt):
            _thread.interrupt_main()
        with pytest.raises(KeyboardInterrupt):
            with signals_held():
                _thread.interrupt_main()
    finally:
        over.set(), worker.join()


def test_what_is_ignored_or_left_to_the_system_stays_so():
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    with signals_held():
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is not stop
        os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.parametrize("nth", range(1, 6))
def test_a_signal_that_comes_while_handlers_are_exchanged_leaves_all_as_they_were(
        monkeypatch, nth):
    """Of two handlers the n-th exchange is followed by a signal: 2 to note it, 2 back."""
    exchange, count, done = interrupts._set_handler, 0, []

    def set_handler(number, handler):
        nonlocal count
        exchange(number, handler)
        count += 1
        if count == nth:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(interrupts, "_set_handler", set_handler)
    try:
        with signals_held():
            done.append(1)
        raised = False
    except KeyboardInterrupt:
        raised = True
    assert raised == (nth < 5) and done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is stop


def test_a_handler_that_could_not_be_put_back_is_called_all_the_same(monkeypatch):
    monkeypatch.setattr(interrupts, "_put_back", lambda handlers: None)
    with signals_held():
        pass
    assert signal.getsignal(signal.SIGTERM) is not stop
    with pytest.raises(Stop):
        os.kill(os.getpid(), signal.SIGTERM)


# Alarm sends a signal at the n-th call of a function of numba's.
FIRST_PASSES = """
import os, signal, sys
import numpy
from minicaffe.backend import get_backend
def in_numba(frame): return os.sep + "numba" + os.sep in frame.f_code.co_filename
class Alarm:
    def __init__(self, nth): self.left = nth
    def __call__(self, frame, event, argument):
        if event == "call" and in_numba(frame):
            self.left -= 1
            if self.left == 0: os.kill(os.getpid(), signal.SIGUSR1)
def stop(number, frame):
    global inside
    while frame is not None:
        inside += in_numba(frame)
        frame = frame.f_back
    raise KeyboardInterrupt
signal.signal(signal.SIGUSR1, stop)
x, y = numpy.ones(3, numpy.float32), numpy.zeros(3, numpy.float32)
backend, interrupts, inside = get_backend("cpu"), 0, 0
backend.map(lambda x: x + 1, y, x)  # so that others call as often as this one
alarm = Alarm(0)
sys.setprofile(alarm)
backend.map(lambda x: x + 2, y, x)
sys.setprofile(None)
for n in range(10):
    formula = eval(f"lambda x: x + {n + 3}")
    sys.setprofile(Alarm(1 + n * -alarm.left // 10))
    try: backend.map(formula, y, x)
    except KeyboardInterrupt: interrupts += 1
    sys.setprofile(None)
    backend.map(formula, y, x)
    assert y[0] == n + 4, (n, y)
print(alarm.left < -100, interrupts, inside)
"""


def test_no_interrupt_is_raised_within_numba(tmp_path):
    """Not while it compiles, nor, in the second process, while it loads."""
    assert printed(FIRST_PASSES, NUMBA_CACHE_DIR=str(tmp_path)) == ["True 10 0"]
    assert printed(FIRST_PASSES, NUMBA_CACHE_DIR=str(tmp_path)) == ["True 10 0"]


def test_an_interrupt_while_numba_is_imported_leaves_a_backend():
    assert printed("""
import os, signal, sys
from minicaffe.backend import get_backend
def alarm(frame, event, argument):
    if event == "call" and frame.f_code.co_filename.endswith(os.path.join("numba", "core", "types",
                                                                          "__init__.py")):
        os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.setprofile(alarm)
try: get_backend("cpu")
except KeyboardInterrupt: print("interrupted")
sys.setprofile(None)
import numpy
x = numpy.ones(3, numpy.float32)
get_backend("cpu").map(lambda x: x + 1, x, x)
print(x[0])
""") == ["interrupted", "2.0"]
