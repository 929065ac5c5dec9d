"""Pooling, compiled, agrees with the reference for all widths and strides, and stays in bounds."""

from __future__ import annotations

import platform

import numpy
import pytest

from minicaffe.backend import get_backend
from minicaffe.backend.cpu.runtime.numba_internals import target
from minicaffe.window import Window

from .processes import printed


@pytest.fixture(autouse=True)
def all_threads(monkeypatch):
    """All threads work, however little there is to do."""
    get_backend("cpu")
    monkeypatch.setattr("minicaffe.backend.cpu.runtime.threads.work.brief", 0)


def window(kernel, stride, pad=(0, 0), ceil=True):
    return Window(kernel, stride, pad, (1, 1), ceil)


def numbers(seed, *shape):
    """Whole numbers: many are equal, and their sums are exact in any order."""
    drawn = numpy.random.default_rng(seed).integers(-3, 4, shape)
    return drawn.astype(numpy.float32)


def between(array):
    """Memory with a copy of the array inside it, right beside NaN or -9; and the copy."""
    outside = numpy.nan if array.dtype == numpy.float32 else -9
    memory = numpy.full(array.size + 64, outside, array.dtype)
    memory[32:-32] = array.reshape(-1)
    return memory, memory[32:-32].reshape(array.shape)


def all_four(device, x, dy, win):
    """y, mask, dx of max pooling, y, dx of average pooling."""
    backend = get_backend(device)
    results = largest, mask, chosen, average, shared = [
        numpy.full(a.shape, 7, kind) for a, kind in (
            (dy, "f"), (dy, "i"), (x, "f"), (dy, "f"), (x, "f"))]
    backend.max_pool_forward(x, largest, mask, win)
    backend.max_pool_backward(dy, mask, chosen)
    backend.average_pool_forward(x, average, win)
    backend.average_pool_backward(dy, shared, win)
    return results


WINDOWS = {
    "2x2": window((2, 2), (2, 2)),
    "overlapping": window((3, 3), (2, 2)),
    "padded": window((3, 3), (1, 1), (1, 1)),
    "stride 3": window((5, 4), (3, 3), (2, 3)),
    "stride over kernel": window((1, 1), (2, 2), ceil=False),
    "strides differ": window((2, 5), (1, 4), (1, 0), False),
    "wide": window((4, 18), (3, 1), (3, 17)),
}


@pytest.mark.parametrize("width", [1, 7, 8, 15, 16, 17, 32, 35])
@pytest.mark.parametrize("win", WINDOWS.values(), ids=WINDOWS)
def test_planes_of_any_width_agree_with_the_reference(win, width):
    size = (21, max(width, win.kernel[1] - 2 * win.pad[1]))
    x = numbers(0, 3, 1, *size)
    dy = numbers(1, 3, 1, *win.output_shape(size, "test"))
    for actual, expected in zip(all_four("cpu", x, dy, win), all_four("numpy", x, dy, win)):
        numpy.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 4), (7, 7), (9, 30)])
def test_a_window_over_the_whole_plane_agrees_with_the_reference(size):
    x, dy, win = numbers(0, 5, 3, *size), numbers(1, 5, 3, 1, 1), window(size, (1, 1))
    for actual, expected in zip(all_four("cpu", x, dy, win), all_four("numpy", x, dy, win)):
        numpy.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


def test_a_window_of_the_planes_size_with_padding_is_not_the_whole_plane():
    x, win = numbers(0, 1, 2, 4, 4), window((4, 4), (3, 3), (2, 2))
    dy = numbers(1, 1, 2, 2, 2)
    for actual, expected in zip(all_four("cpu", x, dy, win), all_four("numpy", x, dy, win)):
        numpy.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("win", [*WINDOWS.values(), window((21, 19), (1, 1))],
                         ids=[*WINDOWS, "whole"])
def test_nothing_beside_the_arrays_is_used_or_written(win):
    backend, x = get_backend("cpu"), numbers(0, 2, 1, 21, 19)
    dy = numbers(1, 2, 1, *win.output_shape(x.shape[2:], "test"))
    expected = all_four("numpy", x, dy, win)
    arrays = [between(a) for a in (x, dy, *(numpy.full_like(a, 7) for a in expected))]
    memories, (x, dy, largest, mask, chosen, average, shared) = zip(*arrays)
    before = [memory.copy() for memory in memories]
    backend.max_pool_forward(x, largest, mask, win)
    backend.max_pool_backward(dy, mask, chosen)
    backend.average_pool_forward(x, average, win)
    backend.average_pool_backward(dy, shared, win)
    for actual, wanted in zip((largest, mask, chosen, average, shared), expected):
        numpy.testing.assert_allclose(actual, wanted, rtol=1e-6, atol=1e-6)
    for memory, old in zip(memories, before):
        numpy.testing.assert_array_equal(memory[:32], old[:32])
        numpy.testing.assert_array_equal(memory[-32:], old[-32:])


def largest_of(x, win):
    """(y, mask) of one plane."""
    x = numpy.array(x, numpy.float32)[None, None]
    y = numpy.zeros((1, 1, *win.output_shape(x.shape[2:], "test")), numpy.float32)
    mask = numpy.zeros(y.shape, numpy.int32)
    get_backend("cpu").max_pool_forward(x, y, mask, win)
    return y[0, 0], mask[0, 0]


def test_of_equal_elements_the_upper_wins_against_the_one_further_left():
    y, mask = largest_of([[0, 0, 5], [5, 5, 0], [5, 0, 0]], window((3, 3), (1, 1)))
    assert (y.item(), mask.item()) == (5, 2)


def test_of_two_zeros_the_first_wins_whatever_its_sign():
    y, mask = largest_of([[-1, -0.0], [0.0, -1]], window((2, 2), (1, 1)))
    assert mask.item() == 1 and numpy.signbit(y).item()


def test_nan_never_wins():
    nan = numpy.nan
    y, mask = largest_of([[nan, 1, nan, nan], [nan, nan, 2, nan]], window((2, 2), (1, 1)))
    assert y.tolist() == [[1, 2, 2]] and mask.tolist() == [[1, 6, 6]]


def test_a_window_in_the_padding_alone_has_no_maximum():
    y, mask = largest_of(numpy.ones((2, 2)), window((1, 1), (1, 1), (1, 1), False))
    assert mask.tolist() == [[-1, -1, -1, -1], [-1, 0, 1, -1], [-1, 2, 3, -1], [-1, -1, -1, -1]]
    assert ((y == -numpy.inf) == (mask == -1)).all()


def test_a_gradient_without_a_maximum_goes_nowhere():
    dy, mask = numpy.ones((1, 64, 1, 1), numpy.float32), numpy.zeros((1, 64, 1, 1), numpy.int32)
    dx = numpy.zeros((1, 64, 2, 2), numpy.float32)
    mask[0, 1::2] = -1
    get_backend("cpu").max_pool_backward(dy, mask, dx)
    assert dx.sum() == 32 and (dx[0, ::2, 0, 0] == 1).all()


@pytest.mark.parametrize("whole", [False, True])
def test_a_nan_or_infinity_stays_in_the_averages_of_its_windows(whole):
    win = window((3, 5) if whole else (1, 2), (1, 1))
    x = numpy.ones((1, 3, 3, 5), numpy.float32)
    x[0, 1, 1, 3] = numpy.nan
    dy = numpy.ones((1, 3, *win.output_shape((3, 5), "test")), numpy.float32)
    y, dx = numpy.zeros_like(dy), numpy.zeros_like(x)
    dy[0, 1, -1, -1] = numpy.inf
    get_backend("cpu").average_pool_forward(x, y, win)
    get_backend("cpu").average_pool_backward(dy, dx, win)
    assert numpy.isnan(y).sum() == (1 if whole else 2) and (y[:, [0, 2]] == 1).all()
    assert numpy.isinf(dx).sum() == (15 if whole else 2) and numpy.isfinite(dx[:, [0, 2]]).all()


AGREE = """
import numpy
from minicaffe.backend.cpu.vectors.llvm import LANES
from tests.backend.test_pooling import WINDOWS, all_four, numbers
wrong = 0
for win in WINDOWS.values():
    x = numbers(0, 1, 2, 11, 13)
    dy = numbers(1, 1, 2, *win.output_shape((11, 13), "test"))
    for actual, expected in zip(all_four("cpu", x, dy, win), all_four("numpy", x, dy, win)):
        wrong += not numpy.allclose(actual, expected, 1e-6, 1e-6)
print(LANES, wrong)
"""


@pytest.mark.parametrize("lanes, needed, features", [
    (4, "+sse2", ""), (8, "+fma", "+avx,+avx2,+fma")])
def test_pooling_agrees_on_other_vectors(lanes, needed, features):
    if platform.machine().lower() not in ("x86_64", "amd64") or needed not in target()[1]:
        pytest.skip(f"this processor lacks {needed}")
    assert printed(AGREE, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features,
                   MINICAFFE_THREADS="1") == [f"{lanes} 0"]


def test_what_was_computed_before_leaves_no_trace():
    win, x, dy = window((5, 4), (3, 3), (2, 3)), numbers(0, 1, 2, 11, 13), numbers(1, 1, 2, 5, 7)
    dy = numpy.resize(dy, (1, 2, *win.output_shape(x.shape[2:], "pooling")))
    fresh = all_four("cpu", x, dy, win)
    for value in (numpy.nan, numpy.inf, -numpy.inf):
        all_four("cpu", numpy.full_like(x, value), numpy.full_like(dy, value), win)
        for again, first in zip(all_four("cpu", x, dy, win), fresh):
            assert (again == first).all()
