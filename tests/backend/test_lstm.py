"""The steps of an LSTM, compiled, agree with the reference; threads take turns step by step."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pytest

from minicaffe.backend import get_backend
from minicaffe.backend.cpu import lstm
from minicaffe.backend.cpu.runtime import parallel as parallel
from minicaffe.backend.cpu.runtime.workspace import Workspace

from .allocations import allocated

SHAPES = [(1, 1, 1), (3, 2, 3), (4, 33, 70), (2, 9, 300), (3, 8, 64), (20, 5, 45)]  # T, N, H


def passes(forward: Callable, backward: Callable, T: int, N: int, H: int, rows: int,
           dtype=numpy.float32) -> list:
    """What the two passes leave: gates, h, c, tanh(c), y and dz; rows: of the offset."""
    draw = numpy.random.default_rng(0).standard_normal
    z, offset, w, dy = (draw(shape).astype(dtype) for shape in (
        (T, N, 4, H), (rows, 4, H), (4 * H, H), (T, N, H)))
    w /= H ** 0.5
    cont = numpy.array([1, 0, 0.5, 1, 1], dtype)[numpy.arange((T + 1) * N) % 5].reshape(-1, N)
    h, c = (draw((T + 1, N, H)).astype(dtype) for _ in range(2))
    tanh_c, y, dz = numpy.empty_like(dy), numpy.empty_like(dy), numpy.empty_like(z)
    forward(z, offset, w, cont, h, c, tanh_c, y)
    backward(dy, z, w, cont, c, tanh_c, dz)
    return [z, h, c, tanh_c, y, dz]


def of(backend, *shape, dtype=numpy.float32) -> list:
    return passes(backend.lstm_forward, backend.lstm_backward, *shape, dtype=dtype)


def on_threads(threads: int, *shape) -> list:
    workspace = Workspace()
    return passes(lambda *arrays: lstm.forward(workspace, threads, *arrays),
                  lambda *arrays: lstm.backward(workspace, threads, *arrays), *shape)


@pytest.mark.parametrize("shared_offset", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_compiled_steps_agree_with_the_reference_in_double_precision(shape, shared_offset, threads):
    rows = 1 if shared_offset else shape[1]
    expected = of(get_backend("numpy"), *shape, rows, dtype=numpy.float64)
    for got, wanted in zip(on_threads(threads, *shape, rows), expected, strict=True):
        numpy.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * max(1, abs(wanted).max()))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_bits_do_not_depend_on_the_number_of_threads(shape):
    alone = on_threads(1, *shape, 1)
    for threads in (2, 7):
        for got, right in zip(on_threads(threads, *shape, 1), alone, strict=True):
            assert (got == right).all()


def test_double_precision_runs_the_reference():
    for got, right in zip(of(get_backend("cpu"), 3, 2, 5, 1, dtype=numpy.float64),
                          of(get_backend("numpy"), 3, 2, 5, 1, dtype=numpy.float64), strict=True):
        numpy.testing.assert_array_equal(got, right)


def test_large_sums_saturate_the_gates():
    z = numpy.full((1, 2, 4, 3), 200, numpy.float32)
    z[:, 1] = -200
    zeros, one = numpy.zeros((1, 2, 3), numpy.float32), numpy.ones((2, 2), numpy.float32)
    h, c, tanh_c, y = (numpy.zeros((count, 2, 3), numpy.float32) for count in (2, 2, 1, 1))
    get_backend("cpu").lstm_forward(z, zeros[:1, :1].repeat(4, 1), numpy.zeros((12, 3), "f"), one,
                                    h, c, tanh_c, y)
    assert (z[0, 0] == 1).all() and (z[0, 1, :3] == 0).all() and (z[0, 1, 3] == -1).all()
    numpy.testing.assert_allclose(y[0, :, 0], [numpy.tanh(1), 0], rtol=1e-6)


def test_nothing_is_allocated_after_the_first_pass():
    backend, T, N, H = get_backend("cpu"), 5, 8, 64
    z, offset, w, cont = (numpy.zeros(shape, numpy.float32) for shape in (
        (T, N, 4, H), (1, 4, H), (4 * H, H), (T + 1, N)))
    h, c, y, tanh_c = (numpy.zeros((count, N, H), numpy.float32) for count in (T + 1, T + 1, T, T))

    def work():
        backend.lstm_forward(z, offset, w, cont, h, c, tanh_c, y)
        backend.lstm_backward(y, z, w, cont, c, tanh_c, z)

    assert allocated(work) < 8192


def exchange(part, parts, step, values):
    """Each part takes up, and adds one to, what the next one left in the step before."""
    values[(step + 1) * parts + part] = values[step * parts + (part + 1) % parts] + 1


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_a_step_begins_when_all_shares_of_the_last_one_are_done(parts):
    run = parallel.parallel_steps(exchange)
    values = numpy.zeros((101, parts))
    values[0] = numpy.arange(parts)
    run(parts, 100, values.reshape(-1))
    numpy.testing.assert_array_equal(values[100], 100 + (numpy.arange(parts) + 100) % parts)


def test_a_backward_pass_takes_up_nothing_from_the_one_before():
    backend, random = get_backend("cpu"), numpy.random.default_rng(0)
    T, N, H = 3, 6, 20

    def draw(*shape):
        return random.uniform(0.1, 0.9, shape).astype(numpy.float32)

    given = (draw(T, N, H), draw(T, N, 4, H), draw(4 * H, H), numpy.ones((T + 1, N), numpy.float32),
             draw(T + 1, N, H), draw(T, N, H))
    first, second = (numpy.zeros((T, N, 4, H), numpy.float32) for _ in range(2))
    backend.lstm_backward(*given, first)
    backend.lstm_backward(*given, second)
    assert (first == second).all()
