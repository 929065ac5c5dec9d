"""Every primitive gives the same bits wherever its arrays lie, near to each other or far apart.

The primitives are those of ``Backend``: one without an example here fails.
"""

from __future__ import annotations

import inspect

import numpy
import pytest

from minicaffe.backend import get_backend
from minicaffe.backend.base import Backend
from minicaffe.elementwise import exp, maximum
from minicaffe.window import Window

FLOAT = numpy.float32
PLACES = 12  # ways in which the arrays of an example are laid out
NO_NUMBERS = {"zeros", "conv_algorithms", "record"}  # they write to no array of the caller's


def draw(seed: int, *shape):
    return numpy.random.default_rng(seed).standard_normal(shape).astype(FLOAT)


def squared(x):
    return x * x


def weighted(x, w, y):
    return exp(x) * w, y * w


def step(x, y):
    return x - exp(y), x * y


def array_examples():
    for shape in ((3, 5), (7, 41), (2, 600)):
        yield "copy", (draw(0, *shape), draw(1, *shape)), {}
        yield "upload", (draw(0, *shape), draw(1, *shape)), {}
        yield "download", (draw(0, *shape), draw(1, *shape)), {}
        yield "uniform", (numpy.array([77], numpy.uint64), draw(1, *shape)), {}
        yield "map", (squared, draw(0, *shape), draw(1, *shape)), {}
        outs = draw(0, *shape), draw(1, *shape)
        yield "map", (step, outs, draw(2, *shape), draw(3, *shape)), {}
    for shape, along in (((3, 4, 5, 7), (1, 4, 1, 1)), ((5, 9), (1, 9)), ((41, 1000), ()),
                         ((6, 37), (6, 1)), ((300, 70), (1, 70))):
        x, w, y = draw(0, *shape), draw(1, *along), draw(2, *shape)
        outs = draw(3, *along), draw(4, *along)
        yield "map", (maximum, y, x, w), {}
        yield "sums", (weighted, outs, x, w, y), {}
        yield "sums", (squared, outs[0], x), {"accumulate": True}
    for shape, size, axes in (((2, 7, 3, 5), 5, (1,)), ((2, 3, 6, 17), 3, (2, 3)),
                              ((4, 40), 3, (1,))):
        yield "neighbour_sums", (draw(0, *shape), draw(1, *shape), size, axes), {}


def matrix_examples():
    for height, depth, width in ((1, 70, 100), (3, 40, 5), (17, 5, 33), (33, 300, 31)):
        for accumulate in (False, True):
            a, b, out = draw(0, height, depth), draw(1, depth, width), draw(2, height, width)
            yield "matmul", (a, b, out, accumulate), {}
            yield "matmul", (a.T.copy().T, b.T.copy().T, out, accumulate), {}
    for shape in [(4, classes, 1) for classes in (2, 5, 10, 15, 16, 31, 33, 40, 100, 1000)] + [
            (2, 7, 6), (3, 11, 40), (2, 3, 600)]:
        yield "softmax", (3 * draw(0, *shape), draw(1, *shape)), {}


def lstm_examples():
    for T, N, H in ((3, 2, 5), (2, 6, 21), (3, 5, 40)):
        z, w, cont = draw(0, T, N, 4, H), draw(1, 4 * H, H), draw(2, T + 1, N)
        h, c, tanh_c, y = (draw(3, T + 1, N, H), draw(4, T + 1, N, H), draw(5, T, N, H),
                           draw(6, T, N, H))
        for offset in (draw(7, 1, 4, H), draw(7, N, 4, H)):
            yield "lstm_forward", (z, offset, w, cont, h, c, tanh_c, y), {}
        yield "lstm_backward", (y, z, w, cont, c, tanh_c, draw(8, T, N, 4, H)), {}


CONVOLUTIONS = [  # x, w, stride, pad, dilation, group
    ((2, 3, 6, 7), (4, 3, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ((3, 2, 8, 7), (5, 2, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((2, 6, 9, 10), (4, 3, 3, 2), (1, 3), (2, 1), (2, 3), 2),
    ((2, 5, 6, 6), (5, 1, 3, 3), (1, 1), (1, 1), (1, 1), 5),
    ((2, 3, 9, 9), (6, 1, 3, 3), (2, 2), (1, 1), (1, 1), 3),
    ((2, 5, 3, 7), (4, 5, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((3, 33, 9, 11), (41, 33, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 11), (4, 3, 3), (2,), (1,), (2,), 1),
]


def convolution_examples():
    for x_shape, w_shape, stride, pad, dilation, group in CONVOLUTIONS:
        window = Window(w_shape[2:], stride, pad, dilation)
        output = window.output_shape(x_shape[2:], "test")
        x, w, b, y = (draw(0, *x_shape), draw(1, *w_shape), draw(2, w_shape[0]),
                      draw(3, x_shape[0], w_shape[0], *output))
        ways = [None, "im2col"]
        if w_shape[2:] == (3, 3) and stride == (1, 1) == dilation:
            ways.append("winograd")
        for algorithm in ways:
            more = {"algorithm": algorithm}
            yield "conv_forward", (x, w, b, y, window, group, 0.1), more
            yield "conv_forward", (x, w, None, y, window, group), more
            yield "conv_backward_weight", (x, y, w, b, window, group), more
            yield "conv_backward_data", (y, w, x, window, group), more
        yield "direct_forward", (x, w, b, y, window, group), {}
        yield "direct_backward_weight", (x, y, w, b, window, group), {}
        yield "direct_backward_data", (y, w, x, window, group), {}


def pooling_examples():
    for shape, window in (
            ((2, 3, 6, 8), Window((2, 2), (2, 2), (0, 0), (1, 1), True)),
            ((2, 2, 7, 19), Window((3, 3), (2, 2), (1, 1), (1, 1), True)),
            ((1, 2, 9, 18), Window((4, 2), (1, 3), (1, 0), (1, 1), False)),
            ((3, 4, 5, 6), Window((5, 6), (1, 1), (0, 0), (1, 1), True))):
        x = numpy.round(2 * draw(0, *shape))
        output = window.output_shape(shape[2:], "test")
        y, mask = draw(1, *shape[:2], *output), numpy.zeros((*shape[:2], *output), numpy.int32)
        get_backend("numpy").max_pool_forward(x, y, mask, window)
        yield "max_pool_forward", (x, y, mask * 0, window), {}
        yield "max_pool_backward", (y, mask, x), {}
        yield "average_pool_forward", (x, y, window), {}
        yield "average_pool_backward", (y, x, window), {}


EXAMPLES = [*array_examples(), *matrix_examples(), *lstm_examples(), *convolution_examples(),
            *pooling_examples()]
PRIMITIVES = sorted(name for name, value in vars(Backend).items()
                    if inspect.isfunction(value) and not name.startswith("_"))


@pytest.fixture(params=["numpy", "cpu"])
def backend(request, monkeypatch):
    """Each backend; where it has threads they all work, however little there is to do."""
    if request.param == "cpu":
        monkeypatch.setattr("minicaffe.backend.cpu.runtime.threads.work.brief", 0)
    return get_backend(request.param)


def flattened(arguments) -> list[numpy.ndarray]:
    """The arrays among the arguments, those in tuples too."""
    found = []
    for value in arguments:
        if isinstance(value, numpy.ndarray):
            found.append(value)
        elif isinstance(value, tuple) and not isinstance(value, Window):
            found += flattened(value)
    return found


def put_in(arguments, arrays: list) -> tuple:
    """The arguments with these arrays, which are taken off the list, in place of theirs."""
    return tuple(arrays.pop(0) if isinstance(value, numpy.ndarray)
                 else put_in(value, arrays) if isinstance(value, tuple) and flattened(value)
                 else value for value in arguments)


def laid_out(arrays, order, offset: int, gaps) -> list[numpy.ndarray]:
    """Copies of the arrays in one piece of memory: in an order, gaps of so many bytes between."""
    room = sum(array.nbytes for array in arrays) + sum(gaps) + offset + 64 + 8 * len(arrays)
    memory = numpy.zeros(room, numpy.uint8)
    at, placed = -memory.ctypes.data % 64 + offset, [None] * len(arrays)
    for i, gap in zip(order, gaps):
        array = arrays[i]
        at += -at % array.itemsize
        view = numpy.ndarray(array.shape, array.dtype, memory, at, strides=array.strides)
        view[...] = array
        placed[i] = view
        at += array.nbytes + gap
    return placed


def bits(backend, name, arguments, options, arrays) -> list[bytes]:
    getattr(backend, name)(*put_in(arguments, list(arrays)), **options)
    return [array.tobytes() for array in arrays]


@pytest.mark.parametrize("name", PRIMITIVES)
def test_a_primitive_gives_the_same_bits_wherever_its_arrays_lie(backend, name):
    examples = [example[1:] for example in EXAMPLES if example[0] == name]
    assert examples or name in NO_NUMBERS, (
        f"{name}: expected an example in {__name__}, got none")
    random = numpy.random.default_rng(0)
    for arguments, options in examples:
        arrays = flattened(arguments)
        expected = bits(backend, name, arguments, options,
                        laid_out(arrays, range(len(arrays)), 0, [1 << 14] * len(arrays)))
        for place in range(PLACES):
            order = random.permutation(len(arrays)) if place > 5 else range(len(arrays))
            offset = 4 * int(random.integers(17))
            gaps = [4 * place] * len(arrays) if place < 17 else 4 * random.integers(33, size=9)
            got = bits(backend, name, arguments, options, laid_out(arrays, order, offset, gaps))
            assert got == expected, (
                f"{name} of {[array.shape for array in arrays]}, {options}: other bits in the "
                f"order {list(order)}, {offset} bytes from a cache line, {list(gaps)} bytes apart")


@pytest.mark.parametrize("shape", [(4, 15, 1), (3, 1000, 1), (2, 3, 600)])
def test_softmax_gives_the_same_bits_in_place(backend, shape):
    x = 3 * draw(0, *shape)
    y = numpy.zeros_like(x)
    backend.softmax(x, y)
    backend.softmax(x, x)
    assert x.tobytes() == y.tobytes()


@pytest.mark.parametrize("size", [5, 40, 5000])
def test_map_gives_the_same_bits_in_place(backend, size):
    x, y = draw(0, size), draw(1, size)
    first, second = numpy.zeros_like(x), numpy.zeros_like(x)
    backend.map(step, (first, second), x, y)
    backend.map(step, (x, y), x, y)
    assert (x.tobytes(), y.tobytes()) == (first.tobytes(), second.tobytes())
