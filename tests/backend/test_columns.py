"""How images become columns and columns images: widths, strides and sizes that differ inside."""

from __future__ import annotations

import numpy
import pytest

from minicaffe.backend import get_backend
from minicaffe.backend.cpu.convolution.panels import turns
from minicaffe.backend.cpu.runtime.jit import compiled
from minicaffe.backend.cpu.vectors.strided_copies import copy_every
from minicaffe.window import Window

from . import naive
from .processes import printed


def draw(seed: int, *shape):
    return numpy.random.default_rng(seed).standard_normal(shape).astype(numpy.float32)


def window(kernel, stride, pad) -> Window:
    return Window(kernel, stride, pad, (1,) * len(kernel))


SHAPES = {  # (x, w, window): a vector of a column matrix comes from so many rows of the image
    "one": ((2, 3, 5, 16), (4, 3, 1, 3), window((1, 3), (1, 1), (0, 1))),
    "one or two": ((2, 3, 6, 24), (9, 3, 2, 3), window((2, 3), (1, 1), (0, 1))),
    "two halves": ((2, 3, 8, 8), (4, 3, 5, 5), window((5, 5), (1, 1), (2, 2))),
    "two or three": ((2, 3, 13, 13), (4, 3, 5, 5), window((5, 5), (1, 1), (2, 2))),
    "three or four": ((1, 2, 7, 7), (4, 2, 5, 5), window((5, 5), (1, 1), (2, 2))),
    "four": ((1, 2, 9, 4), (4, 2, 3, 3), window((3, 3), (1, 1), (1, 1))),
    "many": ((1, 2, 40, 3), (4, 2, 3, 3), window((3, 3), (1, 1), (1, 1))),
    "halves, every second": ((2, 3, 16, 16), (4, 3, 3, 3), window((3, 3), (2, 2), (1, 1))),
    "long rows, every second": ((1, 2, 6, 75), (3, 2, 3, 4), window((3, 4), (2, 2), (1, 1))),
    "long rows, every third": ((1, 2, 5, 110), (3, 2, 2, 4), window((2, 4), (1, 3), (0, 2))),
    "long rows, every fourth": ((1, 2, 5, 150), (3, 2, 2, 6), window((2, 6), (4, 4), (1, 3))),
    "most left out": ((2, 3, 9, 40), (3, 3, 1, 1), window((1, 1), (4, 4), (1, 1))),
    "fewer than the stride": ((1, 2, 2, 2), (3, 2, 2, 2), window((2, 2), (5, 5), (2, 2))),
    "one channel": ((3, 1, 20, 23), (10, 1, 5, 5), window((5, 5), (1, 1), (0, 0))),
    "several blocks": ((1, 3, 33, 40), (5, 3, 5, 5), window((5, 5), (1, 1), (0, 0))),
    "rows of dcol in several parts": ((2, 10, 9, 9), (5, 10, 4, 4), window((4, 4), (2, 2), (1, 1))),
}


@pytest.mark.parametrize("name", SHAPES)
def test_rows_of_the_image_are_put_together(name):
    x_shape, w_shape, around = SHAPES[name]
    x, w, b = draw(0, *x_shape), draw(1, *w_shape), draw(2, w_shape[0])
    dy = draw(3, x_shape[0], w_shape[0], *around.output_shape(x_shape[2:], "test"))
    y, dx, dw, db = (numpy.full_like(dy, numpy.nan), numpy.full_like(x, numpy.nan),
                     numpy.zeros_like(w), numpy.zeros_like(b))
    device = get_backend("cpu")
    device.conv_forward(x, w, b, y, around, 1)
    device.conv_backward_weight(x, dy, dw, db, around, 1)
    device.conv_backward_data(dy, w, dx, around, 1)
    for got, wanted in zip((y, dw, db, dx), naive.convolution(x, w, b, dy, around, 1)):
        numpy.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * abs(wanted).max())


def test_the_gradient_of_few_channels_is_not_a_convolution_of_dy():
    five = window((5, 5), (1, 1), (2, 2))
    assert [turns(five, (32, 32), (32, 32), channels) for channels in (1, 2, 24)] == [
        False, False, True]
    assert not turns(window((5, 5), (1, 1), (0, 0)), (12, 12), (8, 8), 20)
    assert not turns(window((5, 5), (2, 2), (2, 2)), (16, 16), (8, 8), 32)


@compiled(cache=False)
def every(source, step, target, target_at, count):
    copy_every(source, 3, step, target, target_at, count)


@pytest.mark.parametrize("step", [2, 3, 4])
def test_every_so_many_elements_are_copied_and_nothing_else_is_touched(step):
    source = draw(0, 200)
    for count in (1, 5, 16, 17, 40):
        expected = numpy.zeros(50, numpy.float32)
        expected[2:2 + count] = source[3::step][:count]
        target = numpy.zeros_like(expected)
        every(source, step, target, 2, count)
        numpy.testing.assert_array_equal(target, expected)


ONCE = """
import numpy
from minicaffe.backend import get_backend
from minicaffe.backend.cpu.convolution import columns
from minicaffe.backend.cpu.matrix import gemm
from minicaffe.window import Window
draw = lambda *shape: numpy.ones(shape, numpy.float32)
window = Window((3, 3), (2, 2), (1, 1), (1, 1))
x, w, y = draw(2, 3, 9, 9), draw(4, 3, 3, 3), draw(2, 4, 5, 5)
device = get_backend("cpu")
device.conv_forward(x, w, draw(4), y, window, 1)
device.conv_backward_weight(x, y, w, draw(4), window, 1)
device.conv_backward_data(y, w, x, window, 1)
print(*(len(f.signatures) for f in (gemm.multiply, gemm.pack, columns.im2col, columns.col2im,
                                    columns.copy_in, columns.copy_out)))
"""


def test_what_kernels_share_is_compiled_once_for_all_calls(tmp_path):
    assert printed(ONCE, MINICAFFE_THREADS="1", NUMBA_CACHE_DIR=str(tmp_path), NUMBA_OPT="0") == [
        "1 1 1 1 1 1"]
