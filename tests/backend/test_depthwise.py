"""Depthwise convolution, compiled: agrees with the reference, for any plane and any window."""

from __future__ import annotations

import platform

import numpy
import pytest

from minicaffe.backend import get_backend
from minicaffe.backend.cpu.convolution import depthwise
from minicaffe.backend.cpu.runtime.numba_internals import target
from minicaffe.backend.cpu.runtime.workspace import Workspace
from minicaffe.errors import ShapeError
from minicaffe.window import Window

from .processes import printed


def case(batch, channels, outputs, size, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    """(batch, channels, outputs of each, size of a plane, window)"""
    return batch, channels, outputs, size, Window(kernel, stride, pad, dilation)


CASES = {
    "padded": case(2, 5, 1, (9, 14), (3, 3), pad=(1, 1)),
    "stride 2": case(3, 4, 1, (14, 15), (3, 3), (2, 2), (1, 1)),
    "stride 2, pad 2, an even width": case(1, 2, 1, (9, 38), (5, 5), (2, 2), (2, 2)),
    "stride 2 without padding": case(2, 2, 1, (8, 67), (2, 2), (2, 2)),
    "stride 3": case(2, 3, 1, (11, 20), (3, 4), (3, 3), (1, 2)),
    "stride larger than the kernel": case(1, 2, 1, (9, 11), (1, 2), (4, 3), (0, 1)),
    "different along the axes": case(2, 3, 1, (7, 40), (5, 2), (1, 2), (3, 0), (2, 3)),
    "dilated": case(1, 3, 1, (12, 18), (3, 3), (2, 1), (2, 2), (2, 2)),
    "several outputs": case(2, 3, 3, (8, 9), (3, 3), (2, 2), (1, 1)),
    "wide": case(1, 2, 2, (5, 150), (3, 3), pad=(1, 1)),
    "one pixel": case(2, 3, 1, (1, 1), (3, 3), pad=(1, 1)),
    "the window is the whole plane": case(2, 3, 2, (4, 5), (4, 5)),
    "one tap": case(2, 2, 1, (6, 5), (1, 1), (2, 1)),
    "more padding than kernel": case(1, 2, 1, (3, 2), (2, 3), (1, 2), (4, 3)),
}


@pytest.fixture(params=CASES)
def arrays(request):
    """x, w, b, dy and the window."""
    return drawn(*CASES[request.param])


def drawn(batch, channels, outputs, size, window):
    draw, O = numpy.random.default_rng(1).standard_normal, channels * outputs
    y_size = window.output_shape(size, "test")
    shapes = (batch, channels, *size), (O, 1, *window.kernel), (O,), (batch, O, *y_size)
    return *(draw(shape).astype(numpy.float32) for shape in shapes), window


def results(threads, workspace, x, w, b, dy, window, slope=None):
    """y, dw, db, dx; the gradients of w and b are added to ones."""
    y, dx = numpy.full_like(dy, numpy.nan), numpy.full_like(x, numpy.nan)
    dw, db = numpy.ones_like(w), numpy.ones_like(b)
    depthwise.forward(workspace, threads, x, w, b, y, window, x.shape[1], slope)
    depthwise.backward_weight(workspace, threads, x, dy, dw, db, window, x.shape[1])
    depthwise.backward_data(workspace, threads, dy, w, dx, window, dx.shape[1])
    return y, dw, db, dx


def expected(x, w, b, dy, window, slope=None):
    """The same from the reference, in float64."""
    x, w, b, dy = (array.astype(float) for array in (x, w, b, dy))
    y, dw, db, dx = dy * 0, w * 0 + 1, b * 0 + 1, x * 0
    reference, group = get_backend("numpy"), x.shape[1]
    reference.conv_forward(x, w, b, y, window, group, slope)
    reference.conv_backward_weight(x, dy, dw, db, window, group)
    reference.conv_backward_data(dy, w, dx, window, group)
    return y, dw, db, dx


def close(actual, wanted):
    for got, right in zip(actual, wanted):
        numpy.testing.assert_allclose(got, right, rtol=0,
                                      atol=1e-5 * max(1, numpy.abs(right).max()))


@pytest.mark.parametrize("slope", [None, 0.0, 0.1])
def test_results_are_those_of_the_reference(arrays, slope):
    close(results(1, Workspace(), *arrays, slope), expected(*arrays, slope))


def test_results_have_the_same_bits_for_any_number_of_threads(arrays):
    alone = results(1, Workspace(), *arrays)
    for threads in (2, 7):
        for got, right in zip(results(threads, Workspace(), *arrays), alone):
            assert (got.view(numpy.int32) == right.view(numpy.int32)).all()


def test_what_scratch_memory_held_before_does_not_matter(arrays):
    workspace = Workspace()
    results(2, workspace, *arrays)
    for buffer in workspace._buffers.values():
        buffer[:] = numpy.nan
    close(results(2, workspace, *arrays), expected(*arrays))


def test_nothing_around_the_results_is_written(arrays):
    x, w, b, dy, window = arrays
    y_room, dx_room = (numpy.full(array.size + 128, 7, numpy.float32) for array in (dy, x))
    y, dx = (room[64:-64].reshape(array.shape) for room, array in ((y_room, dy), (dx_room, x)))
    depthwise.forward(Workspace(), 2, x, w, b, y, window, x.shape[1], None)
    depthwise.backward_data(Workspace(), 2, dy, w, dx, window, dx.shape[1])
    for room in (y_room, dx_room):
        assert (room[:64] == 7).all() and (room[-64:] == 7).all()


def test_nothing_around_the_inputs_changes_the_results(arrays):
    x, w, b, dy, window = arrays
    wrapped = []
    for array in (x, w, b, dy):
        room = numpy.full(array.size + 128, numpy.nan, numpy.float32)
        wrapped.append(room[64:-64].reshape(array.shape))
        wrapped[-1][...] = array
    close(results(1, Workspace(), *wrapped, window), expected(*arrays))


def test_there_need_not_be_a_bias():
    x, w, b, dy, window = drawn(*CASES["several outputs"])
    y, dw = numpy.full_like(dy, numpy.nan), numpy.ones_like(w)
    depthwise.forward(Workspace(), 1, x, w, None, y, window, x.shape[1], None)
    depthwise.backward_weight(Workspace(), 1, x, dy, dw, None, window, x.shape[1])
    close((y, dw), expected(x, w, b * 0, dy, window)[:2])


def test_a_nan_stays_a_nan_in_the_windows_that_it_lies_in():
    x, w, b, dy, window = drawn(*CASES["stride 2"])
    x[1, 2, 4, 6] = numpy.nan
    y = results(1, Workspace(), x, w, b, dy, window, 0.0)[0]
    assert numpy.argwhere(numpy.isnan(y)).tolist() == [[1, 2, 2, 3]]


def test_an_output_that_does_not_fit_is_refused_before_memory_is_overrun():
    x, w, b, dy, window = drawn(*CASES["padded"])
    with pytest.raises(ShapeError, match=r"convolution: expected an output that fits into "
                                         r"\(9, 14\) for Window\(.*\), got \(10, 14\)"):
        depthwise.forward(Workspace(), 1, x, w, b, numpy.zeros((2, 5, 10, 14), numpy.float32),
                          window, 5, None)


@pytest.mark.parametrize("x_shape, w_shape, group, suits", [
    ((2, 6, 8, 8), (6, 1, 3, 3), 6, True),
    ((2, 6, 8, 8), (12, 1, 3, 3), 6, True),
    ((2, 6, 8, 8), (6, 2, 3, 3), 3, False),
    ((2, 1, 8, 8), (6, 1, 3, 3), 1, False),
    ((2, 6, 8, 8, 8), (6, 1, 3, 3, 3), 6, False),
    ((2, 6, 8), (6, 1, 3), 6, False),
])
def test_it_suits_groups_of_one_channel_over_two_axes(x_shape, w_shape, group, suits):
    ones = (1,) * (len(x_shape) - 2)
    window = Window(w_shape[2:], ones, ones, ones)
    assert depthwise.suits(x_shape, w_shape, window, group) is suits


AGREE = """
from tests.backend.test_depthwise import CASES, close, drawn, expected, results
from minicaffe.backend.cpu.vectors.llvm import LANES
from minicaffe.backend.cpu.runtime.workspace import Workspace
for given in CASES.values():
    arrays = drawn(*given)
    close(results(1, Workspace(), *arrays), expected(*arrays))
print(LANES)
"""


@pytest.mark.parametrize("lanes, needed, features", [
    (4, "+sse2", ""), (8, "+fma", "+avx,+avx2,+fma")])
def test_results_are_those_of_the_reference_on_other_vectors(lanes, needed, features):
    if platform.machine().lower() not in ("x86_64", "amd64") or needed not in target()[1]:
        pytest.skip(f"this processor lacks {needed}")
    assert printed(AGREE, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features) == [str(lanes)]
