"""Threads that share a primitive's work never write the same memory, scratch memory included.

Threads seldom meet in the very moment, so results do not tell.  Here the shares run one by one, and
what each of them writes is seen.  Nor do two primitives write it: each holds the lock.
"""

from __future__ import annotations

import ctypes

import numpy
import pytest

from minicaffe.backend import cpu
from minicaffe.backend.cpu import CpuBackend
from minicaffe.backend.cpu.runtime import parallel, threads
from minicaffe.window import Window

THREADS = 3


def draw(seed: int, *shape) -> numpy.ndarray:
    return numpy.random.default_rng(seed).standard_normal(shape).astype(numpy.float32)


class Lock:
    """In the place of the lock that whoever calls compiled code holds."""

    held = 0

    def __enter__(self):
        self.held += 1

    def __exit__(self, *error):
        self.held -= 1


class Journal(list):
    """Of calls of compiled code, and of what else a primitive notes, while the lock is held."""

    def __init__(self, lock: Lock):
        super().__init__()
        self.lock = lock

    def append(self, call):
        assert self.lock.held
        super().append(call)


def calls(monkeypatch, primitive) -> list[tuple | None]:
    """The calls of compiled code that a primitive makes, as if it were worth three threads; None
    where it notes that it does something else."""
    lock = Lock()
    journal = Journal(lock)
    monkeypatch.setattr(cpu, "lock", lock)
    monkeypatch.setattr(threads, "_count", THREADS)
    monkeypatch.setattr(threads.work, "brief", 0)
    monkeypatch.setattr(parallel.journals, "current", journal)
    primitive(CpuBackend())
    monkeypatch.setattr(parallel.journals, "current", None)
    assert journal
    return journal


def apart(found) -> list[numpy.ndarray]:
    """Those arrays that may be written to, but of several with the same memory the largest."""
    kept = []
    for array in sorted(found, key=lambda array: -array.nbytes):
        if array.flags.writeable and not any(numpy.may_share_memory(array, k) for k in kept):
            kept.append(array)
    return kept


def arrays(arguments) -> list[numpy.ndarray]:
    """All arrays of floats among arguments and in tuples among them."""
    found = []
    for argument in arguments:
        if isinstance(argument, tuple):
            found += arrays(argument)
        elif isinstance(argument, numpy.ndarray) and argument.dtype.kind == "f":
            found.append(argument)
    return found


def written(start, count: int, arguments) -> list[list[numpy.ndarray]]:
    """For each share which numbers of each array it writes, and leave all as it was."""
    memory = numpy.empty(start(0, 0, 0, *arguments), numpy.uint8)
    entry = start(memory.ctypes.data, 0, 0, *arguments)
    share = ctypes.CFUNCTYPE(None, *(ctypes.c_int64,) * 3)(entry)
    known = apart(arrays(arguments))
    before = [array.copy() for array in known]
    random, changes = numpy.random.default_rng(0), []
    noise = [random.uniform(1, 2, array.shape).astype(array.dtype) for array in known]
    for part in range(count):
        for array, some in zip(known, noise):
            array[...] = some
        share(part, count, memory.ctypes.data)
        changes.append([array != some for array, some in zip(known, noise)])
    for array, some in zip(known, before):
        array[...] = some
    return changes


def convolution(algorithm, x_shape, w_shape, window, group):
    def run(backend):
        x, w, b = draw(0, *x_shape), draw(1, *w_shape), draw(2, w_shape[0])
        size = window.output_shape(x_shape[2:], "y")
        y = numpy.zeros((x_shape[0], w_shape[0], *size), numpy.float32)
        backend.conv_forward(x, w, b, y, window, group, algorithm=algorithm)
        backend.conv_backward_weight(x, y, w, b, window, group, algorithm=algorithm)
        backend.conv_backward_data(y, w, x, window, group, algorithm=algorithm)
    return run


def product(height, depth, width, left=False, right=False, out=False):
    def run(backend):
        a, b, c = (draw(k, *(shape[::-1] if turned else shape)) for k, (shape, turned) in enumerate(
            (((height, depth), left), ((depth, width), right), ((height, width), out))))
        backend.matmul(a.T if left else a, b.T if right else b, c.T if out else c)
    return run


def pooling(backend):
    window = Window((3, 3), (2, 2), (1, 1), (1, 1), True)
    x, y = draw(0, 2, 5, 9, 12), draw(1, 2, 5, 5, 7)
    mask = numpy.zeros(y.shape, numpy.int32)
    backend.max_pool_forward(x, y, mask, window)
    backend.max_pool_backward(y, mask, x)
    backend.average_pool_forward(x, y, window)
    backend.average_pool_backward(y, x, window)


def rows(backend):
    x, y = draw(0, 7, 60, 5), draw(1, 7, 60, 5)
    backend.softmax(x, y)
    backend.copy(x.reshape(7, -1), y.reshape(7, -1))
    backend.uniform(numpy.array([1], numpy.uint64), y)
    backend.neighbour_sums(x, y, 3, (1,))
    square = draw(2, 4, 5, 20, 30)
    backend.neighbour_sums(square, square * 0, 3, (2, 3))


def formulas(backend):
    x, y, one = draw(0, 7, 60, 50), draw(1, 7, 60, 50), draw(2, 1, 60, 1)
    backend.map(lambda x, w: x * w, y, x, one)
    backend.sums(lambda x, w: (x * w, x), (one, one * 0), x, one)
    backend.sums(lambda x: x, draw(3, 1, 3000), x.reshape(7, 3000))


def direct(backend):
    window = Window((3, 2), (2, 1), (1, 0), (1, 1))
    x, w, y = draw(0, 4, 6, 9, 8), draw(1, 8, 3, 3, 2), draw(2, 4, 8, 5, 7)
    backend.direct_forward(x, w, None, y, window, 2)
    backend.direct_backward_weight(x, y, w, None, window, 2)
    backend.direct_backward_data(y, w, x, window, 2)


_WINDOW = Window((3, 3), (1, 1), (1, 1), (1, 1))
_STRIDED = Window((3, 3), (2, 2), (1, 1), (1, 1))
PRIMITIVES = {
    **{f"{name} {algorithm}": convolution(algorithm, *shapes)
       for algorithm in ("im2col", "winograd")
       for name, shapes in {
           "convolution": ((5, 8, 13, 17), (40, 8, 3, 3), _WINDOW, 1),
           "grouped": ((4, 8, 9, 10), (12, 4, 3, 3), _WINDOW, 2)}.items()},
    "strided": convolution(None, (5, 8, 13, 17), (40, 8, 3, 3), _STRIDED, 1),
    "depthwise": convolution(None, (5, 12, 13, 17), (12, 1, 3, 3), _WINDOW, 12),
    "depthwise strided": convolution(None, (5, 12, 13, 17), (12, 1, 3, 3), _STRIDED, 12),
    "pointwise": convolution(None, (5, 16, 9, 9), (40, 16, 1, 1),
                             Window((1, 1), (1, 1), (0, 0), (1, 1)), 1),
    "product": product(200, 300, 170), "deep product": product(100, 2000, 90),
    "few rows": product(2, 900, 700, right=True),
    "left matrix turned": product(300, 280, 170, left=True),
    "right matrix turned": product(200, 300, 170, right=True),
    "result turned": product(200, 70, 170, out=True),
    "pooling": pooling, "rows": rows, "formulas": formulas, "direct": direct}


@pytest.mark.parametrize("name", PRIMITIVES)
def test_no_two_threads_write_the_same_memory(monkeypatch, name):
    several = 0
    for start, count, arguments in filter(None, calls(monkeypatch, PRIMITIVES[name])):
        changes = written(start, count, arguments)
        for each in zip(*changes):  # one array, by the shares
            assert sum(part.astype(int) for part in each).max(initial=0) <= 1, start
        several += sum(any(some.any() for some in change) for change in changes) > 1
    assert several  # otherwise there was nothing to see


def test_an_lstm_holds_the_lock_and_notes_that_its_steps_are_not_repeated(monkeypatch):
    def run(backend):
        T, N, H = 3, 2, 5
        z, offset, w, cont, h, c, tanh_c, y = (numpy.zeros(shape, numpy.float32) for shape in (
            (T, N, 4, H), (1, 4, H), (4 * H, H), (T + 1, N), *((T + 1, N, H),) * 2,
            *((T, N, H),) * 2))
        backend.lstm_forward(z, offset, w, cont, h, c, tanh_c, y)
        backend.lstm_backward(y, z, w, cont, c, tanh_c, z)

    assert calls(monkeypatch, run).count(None) == 2
