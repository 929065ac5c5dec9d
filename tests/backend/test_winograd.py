"""Winograd's method, compiled, against the reference in double precision."""

from __future__ import annotations

import random
import sys
from fractions import Fraction

import numpy
import pytest

from minicaffe.backend import get_backend
from minicaffe.elementwise import leaky
from minicaffe.errors import ShapeError
from minicaffe.window import Window

from . import processes

get_backend("cpu")
tiles = pytest.importorskip("minicaffe.backend.cpu.convolution.winograd.tiles")
transforms = pytest.importorskip("minicaffe.backend.cpu.convolution.winograd.transforms")
winograd = pytest.importorskip("minicaffe.backend.cpu.convolution.winograd.forward")
gradient = pytest.importorskip("minicaffe.backend.cpu.convolution.winograd.gradient")
workspace = pytest.importorskip("minicaffe.backend.cpu.runtime.workspace")

EDGES = sorted(transforms.POINTS)


def window(*pad):
    return Window((3, 3), (1, 1), pad or (1, 1), (1, 1))


def draw(seed: int, *shape):
    return numpy.random.default_rng(seed).standard_normal(shape).astype(numpy.float32)


class Case:
    """The arrays of one convolution, what is to come out in float64, and what does."""

    def __init__(self, images=2, channels=5, height=9, width=7, outputs=6, pad=(1, 1), group=1):
        self.window, self.group = window(*pad), group
        self.x = draw(0, images, group * channels, height, width)
        self.w, self.b = draw(1, outputs, channels, 3, 3), draw(2, outputs)
        size = self.window.output_shape((height, width), "test")
        self.dy = draw(3, images, outputs, *size)

    def expected(self):
        """y, dw, db, dx in float64; dw and db without what was there."""
        x, w, b, dy = (a.astype(float) for a in (self.x, self.w, self.b, self.dy))
        y, dw, db, dx = (numpy.zeros_like(a) for a in (dy, w, b, x))
        reference = get_backend("numpy")
        reference.conv_forward(x, w, b, y, self.window, self.group)
        reference.conv_backward_weight(x, dy, dw, db, self.window, self.group)
        reference.conv_backward_data(dy, w, dx, self.window, self.group)
        return y, dw, db, dx

    def actual(self, edge: int, threads: int = 1, memory=None):
        memory = memory or workspace.Workspace()
        y, dx = numpy.full_like(self.dy, numpy.nan), numpy.full_like(self.x, numpy.nan)
        dw, db = numpy.ones_like(self.w), numpy.ones_like(self.b)
        winograd.forward(memory, threads, self.x, self.w, self.b, y, self.window, self.group, None,
                         edge)
        gradient.backward_weight(memory, threads, self.x, self.dy, dw, db, self.window, self.group,
                                 edge)
        winograd.backward_data(memory, threads, self.dy, self.w, dx, self.window, self.group, edge)
        return y, dw, db, dx


def check(case: Case, edge: int, **options):
    y, dw, db, dx = case.actual(edge, **options)
    for actual, expected in zip((y, dw - 1, db - 1, dx), case.expected()):
        scale = max(1, abs(expected).max())
        numpy.testing.assert_allclose(actual, expected, rtol=0, atol=3e-6 * scale)


CASES = {
    "one channel": Case(channels=1, outputs=1),
    "as many channels as lanes": Case(channels=16, outputs=16),
    "as many channels as lanes, more outputs": Case(channels=16, outputs=40),
    "more channels than lanes": Case(channels=19, outputs=37),
    "more channels than are added up at a time": Case(1, 150, 4, 5, 33),
    "no padding": Case(pad=(0, 0)),
    "padding of two": Case(pad=(2, 2)),
    "padding that differs": Case(pad=(0, 2)),
    "groups": Case(channels=3, outputs=6, group=3),
    "one output pixel": Case(height=3, width=3, pad=(0, 0)),
    "one input pixel": Case(height=1, width=1, pad=(1, 1)),
    "whole tiles": Case(height=12, width=12),
    "a wide image": Case(1, 3, 3, 70, 4),
    "a high image": Case(1, 3, 70, 3, 4),
    "many images": Case(29, 2, 5, 4, 3),
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", CASES)
def test_all_products(name, edge):
    check(CASES[name], edge)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("images, size", [(7, 8), (2, 21)])
def test_blocks_begin_and_end_anywhere(monkeypatch, edge, images, size):
    monkeypatch.setattr(tiles, "BLOCK", 10)
    monkeypatch.setattr(gradient, "BLOCK", 10)
    monkeypatch.setattr(gradient, "_DEEP", 16)
    monkeypatch.setattr(winograd, "_PRODUCTS", 1)
    check(Case(images, 20, size, size, 70), edge, threads=3)


@pytest.mark.parametrize("name", ["many images", "more channels than lanes", "groups"])
def test_results_have_the_same_bits_for_any_number_of_threads(monkeypatch, name):
    monkeypatch.setattr(tiles, "_FEW", 1)
    monkeypatch.setattr(gradient, "BLOCK", 8)
    alone = CASES[name].actual(3)
    for threads in (2, 3, 7):
        for one, several in zip(alone, CASES[name].actual(3, threads)):
            assert (one == several).all()


@pytest.mark.parametrize("edge", EDGES)
def test_what_was_computed_before_leaves_no_trace(edge):
    memory = workspace.Workspace()
    spoilt = Case(3, 40, 11, 13, 50, pad=(0, 1))
    spoilt.x[...], spoilt.dy[...], spoilt.w[...] = numpy.nan, numpy.nan, numpy.nan
    spoilt.actual(edge, threads=2, memory=memory)
    for name in ("more channels than lanes", "padding of two", "groups"):
        fresh = CASES[name].actual(edge)
        for again, first in zip(CASES[name].actual(edge, memory=memory), fresh):
            assert (again == first).all()


def test_nothing_else_is_written_or_has_a_say():
    case = Case(2, 17, 7, 5, 18)
    expected = case.actual(3)
    surrounded = [numpy.full(a.size + 200, numpy.nan, numpy.float32)
                  for a in (case.x, case.w, case.b, case.dy, case.dy, case.w, case.b, case.x)]
    views = [memory[100:-100].reshape(a.shape) for memory, a in zip(
        surrounded, (case.x, case.w, case.b, case.dy, case.dy, case.w, case.b, case.x))]
    for view, value in zip(views[:4], (case.x, case.w, case.b, case.dy)):
        view[...] = value
    x, w, b, dy, y, dw, db, dx = views
    dw[...], db[...] = 1, 1
    memory = workspace.Workspace()
    winograd.forward(memory, 1, x, w, b, y, case.window, 1, None, 3)
    gradient.backward_weight(memory, 1, x, dy, dw, db, case.window, 1, 3)
    winograd.backward_data(memory, 1, dy, w, dx, case.window, 1, 3)
    for actual, wanted in zip((y, dw, db, dx), expected):
        assert (actual == wanted).all()
    for memory in surrounded:
        assert numpy.isnan(memory[:100]).all() and numpy.isnan(memory[-100:]).all()


_GUARDED = """
import ctypes, mmap, numpy
from minicaffe.backend import get_backend
from minicaffe.window import Window
get_backend("cpu")
from minicaffe.backend.cpu.convolution.winograd import forward as winograd
from minicaffe.backend.cpu.convolution.winograd import gradient as winograd_gradient
from minicaffe.backend.cpu.runtime.workspace import Workspace

def at_the_end(*shape):
    size = 4 * int(numpy.prod(shape))
    pages = -(-size // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    end = pages * mmap.PAGESIZE
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + end), mmap.PAGESIZE, 0) == 0
    kept.append(memory)
    return numpy.frombuffer(memory, numpy.float32, size // 4, end - size).reshape(shape)

kept, window = [], Window((3, 3), (1, 1), (1, 1), (1, 1))
for channels, outputs, size in (3, 5, 7), (17, 33, 6):
    x, w, b, y = (at_the_end(*shape) for shape in (
        (2, channels, size, size), (outputs, channels, 3, 3), (outputs,), (2, outputs, size, size)))
    winograd.forward(Workspace(), 1, x, w, b, y, window, 1, None, 3)
    winograd_gradient.backward_weight(Workspace(), 1, x, y, w, b, window, 1, 3)
    winograd.backward_data(Workspace(), 1, y, w, x, window, 1, 3)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system to guard memory")
def test_no_memory_behind_the_arrays_is_touched():
    assert processes.run(_GUARDED).returncode == 0


def test_without_bias():
    case = Case()
    y, dw = numpy.zeros_like(case.dy), numpy.zeros_like(case.w)
    memory = workspace.Workspace()
    winograd.forward(memory, 1, case.x, case.w, case.b, y, case.window, 1, None, 3)
    with_bias = y.copy()
    winograd.forward(memory, 1, case.x, case.w, None, y, case.window, 1, None, 3)
    numpy.testing.assert_allclose(with_bias - y, case.b.reshape(-1, 1, 1) + 0 * y, atol=1e-5)
    gradient.backward_weight(memory, 1, case.x, case.dy, dw, None, case.window, 1, 3)
    numpy.testing.assert_array_equal(dw + 1, case.actual(3)[1])


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_a_slope_applies_a_relu(slope):
    case = Case()
    y, expected = numpy.zeros_like(case.dy), case.actual(3)[0]
    winograd.forward(workspace.Workspace(), 1, case.x, case.w, case.b, y, case.window, 1, slope, 3)
    get_backend("numpy").map(leaky, expected, expected, slope)
    numpy.testing.assert_allclose(y, expected, atol=1e-7)
    assert (y <= 0).any() and not numpy.signbit(y[y == 0]).any()


@pytest.mark.parametrize("channels, edge, forward, weight", [
    (16, 2, 2.5e-7, 6e-7), (64, 2, 4e-7, 6e-7), (256, 2, 5e-7, 6e-7),
    (16, 3, 4e-7, 8e-7), (64, 3, 5e-7, 8e-7), (256, 3, 5e-7, 8e-7)])
def test_errors_do_not_grow_with_channels_or_images(channels, edge, forward, weight):
    case = Case(2, channels, 16, 16, 8)
    y, dw, *_ = case.expected()
    actual_y, actual_dw, *_ = case.actual(edge)
    assert _relative(actual_y, y) < forward
    actual_dw -= 1
    assert _relative(actual_dw, dw) < weight


def _relative(actual, expected) -> float:
    return numpy.linalg.norm(actual - expected) / numpy.linalg.norm(expected)


@pytest.mark.parametrize("product", ["forward", "backward_data", "backward_weight"])
def test_an_output_of_another_shape_is_refused_before_memory_is_overrun(product):
    case, memory = Case(), workspace.Workspace()
    other = numpy.zeros((2, 6, 10, 7), numpy.float32)
    with pytest.raises(ShapeError) as caught:
        if product == "forward":
            winograd.forward(memory, 1, case.x, case.w, case.b, other, case.window, 1, None, 3)
        elif product == "backward_data":
            winograd.backward_data(memory, 1, other, case.w, case.x, case.window, 1, 3)
        else:
            gradient.backward_weight(memory, 1, case.x, other, case.w, case.b, case.window, 1, 3)
    sizes = ((9, 7), (10, 7)) if product != "backward_data" else ((10, 7), (9, 7))
    assert str(caught.value) == (f"convolution: expected an output that fits into {sizes[0]} for "
                                 f"{case.window}, got {sizes[1]}.")


# ---------------------------------------------------------------------------------- the transforms

@pytest.mark.parametrize("edge", EDGES)
def test_the_transforms_are_exact(edge):
    evaluate, filters, patches = transforms.matrices(transforms.POINTS[edge])
    draws = random.Random(0)
    patch = [Fraction(draws.randint(-9, 9)) for _ in range(edge + 2)]
    taps = [Fraction(draws.randint(-9, 9)) for _ in range(3)]

    def times(matrix, vector):
        return [sum(a * b for a, b in zip(row, vector)) for row in matrix]

    products = [a * b for a, b in zip(times(filters, taps), times(patches, patch))]
    assert times(evaluate, products) == [sum(patch[i + k] * taps[k] for k in range(3))
                                         for i in range(edge)]


@pytest.mark.parametrize("edge", EDGES)
def test_only_the_transform_of_filters_has_rounded_factors(edge):
    """It is done once for many patches; the other two would lose digits of every pixel."""
    evaluate, _, patches = transforms.matrices(transforms.POINTS[edge])
    for factor in (factor for matrix in (evaluate, patches) for row in matrix for factor in row):
        assert Fraction(float(numpy.float32(float(factor)))) == factor


# ---------------------------------------------------------------------------------------- the rule

RULE = {  # x shape, w shape, window, group: edges for y or dx, and for dw
    "large": ((8, 64, 112, 112), (128, 64, 3, 3), window(), 1, 3, 3),
    "deep": ((16, 128, 14, 14), (256, 128, 3, 3), window(), 1, 3, 3),
    "groups": ((32, 384, 13, 13), (384, 192, 3, 3), window(), 2, 3, 3),
    "few channels": ((128, 16, 32, 32), (16, 16, 3, 3), window(), 1, 3, 3),
    "small images, many of them": ((128, 64, 8, 8), (64, 64, 3, 3), window(), 1, 3, 3),
    "small images, one of them": ((1, 64, 8, 8), (64, 64, 3, 3), window(), 1, 0, 0),
    "colours": ((128, 3, 32, 32), (16, 3, 3, 3), window(), 1, 0, 0),
    "depthwise": ((8, 64, 56, 56), (64, 1, 3, 3), window(), 64, 0, 0),
    "other kernels": ((8, 64, 56, 56), (64, 64, 5, 5), Window((5, 5), (1, 1), (1, 1), (1, 1)), 1,
                      0, 0),
    "strides": ((8, 64, 56, 56), (64, 64, 3, 3), Window((3, 3), (2, 2), (1, 1), (1, 1)), 1, 0, 0),
    "dilation": ((8, 64, 56, 56), (64, 64, 3, 3), Window((3, 3), (1, 1), (1, 1), (2, 2)), 1, 0, 0),
    "too much padding": ((8, 64, 56, 56), (64, 64, 3, 3), window(3, 3), 1, 0, 0),
    "three axes": ((8, 64, 9, 9, 9), (64, 64, 3, 3, 3),
                   Window((3,) * 3, (1,) * 3, (1,) * 3, (1,) * 3), 1, 0, 0),
}


@pytest.mark.parametrize("name", RULE)
def test_the_rule(name):
    *convolution, forward, weight = RULE[name]
    assert winograd.suits(*convolution) == forward
    assert winograd.suits(*convolution, gradient=True) == weight
