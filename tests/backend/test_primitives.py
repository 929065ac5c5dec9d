"""Every primitive on every backend, against loops that follow the definition."""

from __future__ import annotations

import numpy
import pytest

from minicaffe.backend import get_backend
from minicaffe.elementwise import exp, leaky, maximum, where
from minicaffe.errors import ShapeError
from minicaffe.window import Window

from . import naive
from .allocations import allocated

DTYPES = [numpy.float32, numpy.float64]


@pytest.fixture(params=["numpy", "cpu"])
def backend(request, monkeypatch):
    """Each backend; where it has threads they all work, however little there is to do."""
    if request.param == "cpu":
        get_backend("cpu")
        monkeypatch.setattr("minicaffe.backend.cpu.runtime.threads.work.brief", 0)
    return get_backend(request.param)


def draw(seed: int, *shape, dtype=numpy.float32):
    return numpy.random.default_rng(seed).standard_normal(shape).astype(dtype)


def close(actual, expected, dtype=numpy.float32):
    scale = max(1.0, numpy.abs(expected).max())
    numpy.testing.assert_allclose(actual, expected, rtol=0,
                                  atol=scale * (2e-5 if dtype == numpy.float32 else 1e-12))


# -------------------------------------------------------------------------------- convolution

def case(x, w, stride, pad, dilation=None, group=1):
    """(x shape, w shape, window, group)"""
    dilation = dilation or (1,) * len(stride)
    return x, w, Window(tuple(w[2:]), stride, pad, dilation), group


CONVOLUTIONS = {
    "plain": case((2, 3, 6, 7), (4, 3, 3, 3), (1, 1), (0, 0)),
    "padded and strided": case((3, 2, 8, 7), (5, 2, 3, 3), (2, 2), (1, 1)),
    "rectangular": case((2, 2, 7, 9), (3, 2, 3, 2), (1, 2), (0, 1)),
    "stride larger than the kernel": case((1, 2, 9, 11), (2, 2, 2, 2), (3, 4), (0, 0)),
    "dilated": case((2, 2, 9, 10), (3, 2, 3, 2), (1, 2), (2, 1), (2, 3)),
    "groups": case((2, 6, 5, 5), (4, 3, 3, 3), (1, 1), (1, 1), group=2),
    "depthwise": case((2, 5, 6, 6), (5, 1, 3, 3), (1, 1), (1, 1), group=5),
    "pointwise": case((2, 5, 3, 7), (4, 5, 1, 1), (1, 1), (0, 0)),
    "pointwise with stride": case((2, 3, 6, 5), (4, 3, 1, 1), (2, 2), (0, 0)),
    "the window is the whole input": case((3, 4, 4, 5), (6, 4, 4, 5), (1, 1), (0, 0)),
    "one output row of several panels": case((1, 1, 1, 80), (2, 1, 1, 3), (1, 1), (0, 1)),
    "more outputs than a panel": case((1, 2, 3, 3), (37, 2, 2, 2), (1, 1), (0, 0)),
    "one axis": case((2, 3, 11), (4, 3, 3), (2,), (1,), (2,)),
    "three axes": case((2, 2, 4, 5, 3), (3, 2, 2, 3, 2), (2, 1, 1), (1, 0, 1)),
    "three axes, strided innermost": case((1, 2, 3, 4, 9), (4, 1, 2, 2, 3), (1, 2, 2), (0, 1, 1),
                                          (1, 1, 2), 2),
}


@pytest.fixture(params=CONVOLUTIONS)
def convolution(request):
    return CONVOLUTIONS[request.param]


def arrays(convolution, dtype):
    x_shape, w_shape, window, group = convolution
    x, w, b = draw(0, *x_shape, dtype=dtype), draw(1, *w_shape, dtype=dtype), draw(
        2, w_shape[0], dtype=dtype)
    output = window.output_shape(x_shape[2:], "test")
    return x, w, b, draw(3, x_shape[0], w_shape[0], *output, dtype=dtype), window, group


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("engine", ["conv", "direct"])
def test_convolution_is_the_sum_of_the_definition(backend, convolution, dtype, engine):
    x, w, b, dy, window, group = arrays(convolution, dtype)
    expected_y, expected_dw, expected_db, expected_dx = naive.convolution(
        x, w, b, dy, window, group)
    y, dx = numpy.full_like(dy, numpy.nan), numpy.full_like(x, numpy.nan)
    dw, db = numpy.ones_like(w), numpy.ones_like(b)
    getattr(backend, engine + "_forward")(x, w, b, y, window, group)
    getattr(backend, engine + "_backward_weight")(x, dy, dw, db, window, group)
    getattr(backend, engine + "_backward_data")(dy, w, dx, window, group)
    close(y, expected_y, dtype)
    close(dw - 1, expected_dw, dtype)
    close(db - 1, expected_db, dtype)
    close(dx, expected_dx, dtype)


@pytest.mark.parametrize("engine", ["conv", "direct"])
def test_convolution_without_bias(backend, engine):
    x, w, _, dy, window, group = arrays(CONVOLUTIONS["groups"], numpy.float32)
    expected = naive.convolution(x, w, None, dy, window, group)
    y, dw = numpy.full_like(dy, numpy.nan), numpy.zeros_like(w)
    getattr(backend, engine + "_forward")(x, w, None, y, window, group)
    getattr(backend, engine + "_backward_weight")(x, dy, dw, None, window, group)
    close(y, expected[0])
    close(dw, expected[1])


def test_the_gradient_of_the_bias_alone(backend):
    x, w, b, dy, window, group = arrays(CONVOLUTIONS["plain"], numpy.float32)
    db = numpy.ones_like(b)
    backend.conv_backward_weight(x, dy, None, db, window, group)
    close(db - 1, dy.sum(axis=(0, 2, 3)))


@pytest.mark.parametrize("slope", [0.0, 0.1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_slope_applies_a_relu_to_the_output(backend, slope, dtype):
    x, w, b, dy, window, group = arrays(CONVOLUTIONS["padded and strided"], dtype)
    expected = naive.convolution(x, w, b, dy, window, group)[0]
    y = numpy.full_like(dy, numpy.nan)
    backend.conv_forward(x, w, b, y, window, group, slope)
    close(y, numpy.where(expected > 0, expected, slope * expected), dtype)


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_a_fused_relu_has_the_bits_of_one_of_its_own(backend, slope):
    x = numpy.array([-2, -0.0, 0, numpy.nan, -1e-45, 3] * 7, numpy.float32).reshape(1, 1, 6, 7)
    w, fused, alone = numpy.ones((1, 1, 1, 1), numpy.float32), numpy.zeros_like(x), x.copy()
    window = Window((1, 1), (1, 1), (0, 0), (1, 1))
    backend.conv_forward(x, w, None, fused, window, 1, slope)
    backend.conv_forward(x, w, None, alone, window, 1)
    backend.map(leaky, alone, alone, slope)
    assert (fused.view(numpy.int32) == alone.view(numpy.int32)).all()
    assert not numpy.signbit(fused[fused == 0]).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_relu_leaves_no_minus_sign_at_zero_and_every_nan(backend, dtype):
    x = numpy.array([-2, -0.0, 0, numpy.nan, 3] * 3, dtype)
    y = numpy.full_like(x, -1)
    backend.map(leaky, y, x, 0.0)
    numpy.testing.assert_array_equal(y, numpy.array([0, 0, 0, numpy.nan, 3] * 3))
    assert not numpy.signbit(y[y == 0]).any()


@pytest.mark.parametrize("name", ["plain", "groups", "pointwise"])
def test_columns_are_kept_for_backward_when_asked_for(backend, name):
    x, w, b, dy, window, group = arrays(CONVOLUTIONS[name], numpy.float32)
    expected = naive.convolution(x, w, b, dy, window, group)
    columns = numpy.zeros((len(x), x.shape[1] * w[0, 0].size, dy[0, 0].size), numpy.float32)
    y, dw = numpy.zeros_like(dy), numpy.zeros_like(w)
    backend.conv_forward(x, w, b, y, window, group, columns=columns)
    backend.conv_backward_weight(x, dy, dw, None, window, group, columns)
    close(y, expected[0])
    close(dw, expected[1])


def test_arrays_that_are_not_contiguous(backend):
    x, w, b, dy, window, group = arrays(CONVOLUTIONS["plain"], numpy.float32)
    expected = naive.convolution(x, w, b, dy, window, group)
    wide = numpy.zeros((*x.shape[:-1], 2 * x.shape[-1]), numpy.float32)
    wide[..., ::2] = x
    y, dx = numpy.zeros_like(dy), wide * 0
    backend.conv_forward(wide[..., ::2], w, b, y, window, group)
    backend.conv_backward_data(dy, w, dx[..., ::2], window, group)
    close(y, expected[0])
    close(dx[..., ::2], expected[3])


LARGE = {  # large enough for several threads, several blocks, and a last one that is not full
    "deep": case((3, 45, 9, 11), (41, 45, 3, 3), (1, 1), (1, 1)),
    "wide": case((2, 3, 40, 43), (70, 3, 5, 5), (2, 2), (2, 2)),
    "grouped": case((5, 24, 14, 13), (32, 12, 3, 3), (1, 1), (0, 0), (2, 2), 2),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_convolutions_agree_with_the_reference_in_double_precision(name):
    x, w, b, dy, window, group = arrays(LARGE[name], numpy.float64)
    reference = get_backend("numpy")
    expected = [numpy.zeros_like(a) for a in (dy, w, b, x)]
    actual = [numpy.zeros(a.shape, numpy.float32) for a in expected]
    for device, (y, dw, db, dx), kind in ((reference, expected, numpy.float64),
                                          (get_backend("cpu"), actual, numpy.float32)):
        xk, wk, bk, dyk = (a.astype(kind) for a in (x, w, b, dy))
        device.conv_forward(xk, wk, bk, y, window, group)
        device.conv_backward_weight(xk, dyk, dw, db, window, group)
        device.conv_backward_data(dyk, wk, dx, window, group)
    for got, wanted in zip(actual, expected):
        close(got, wanted)


def test_an_output_that_does_not_fit_is_refused_before_memory_is_overrun():
    x, w, _, dy, window, group = arrays(CONVOLUTIONS["plain"], numpy.float32)
    with pytest.raises(ShapeError, match=r"convolution: expected an output that fits into "
                                         r"\(6, 7\) for Window\(.*\), got \(9, 9\)"):
        get_backend("cpu").conv_forward(x, w, None, numpy.zeros((2, 4, 9, 9), numpy.float32),
                                        window, group)


# ------------------------------------------------------------------------------------- matmul

@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 5), (17, 5, 33), (33, 400, 31), (64, 9, 1),
                                   (1, 70, 100), (130, 771, 70)])
@pytest.mark.parametrize("transposed", ["none", "a", "b", "out", "all"])
def test_matmul(backend, shape, transposed, dtype):
    height, depth, width = shape

    def matrix(name, seed, rows, columns):
        swap = transposed in (name, "all")
        value = draw(seed, columns, rows, dtype=dtype) if swap else draw(seed, rows, columns,
                                                                         dtype=dtype)
        return value.T if swap else value

    a, b = matrix("a", 0, height, depth), matrix("b", 1, depth, width)
    out = matrix("out", 2, height, width)
    before = out.copy()
    product = a.astype(numpy.float64) @ b.astype(numpy.float64)
    backend.matmul(a, b, out, accumulate=True)
    close(out, before + product, dtype)
    backend.matmul(a, b, out)
    close(out, product, dtype)


def test_matmul_of_slices(backend):
    a, b, out = draw(0, 9, 20)[:, 3:14], draw(1, 22, 30)[::2, 1:18], draw(2, 9, 40)
    around = out.copy()
    backend.matmul(a, b, out[:, 5:22])
    close(out[:, 5:22], a.astype(float) @ b.astype(float))
    around[:, 5:22] = out[:, 5:22]
    assert (out == around).all()


def test_matmul_of_nothing(backend):
    out = numpy.ones((2, 3), numpy.float32)
    backend.matmul(numpy.zeros((2, 0), numpy.float32), numpy.zeros((0, 3), numpy.float32), out)
    assert (out == 0).all()


# -------------------------------------------------------------------------------- element-wise

def affine(x, y, one, slope):
    return where(x > y, one * x, slope * y) + 0.5


def momentum(w, dw, history, rate):
    step = 0.9 * history + rate * dw
    return w - step, step


def squash(x):
    return _logistic(x) * 2 - 1


def _logistic(x):
    return 1 / (1 + exp(-x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (3, 5), (41, 1000)])
def test_map_takes_arrays_single_elements_and_numbers(backend, shape, dtype):
    x, y, one = draw(0, *shape, dtype=dtype), draw(1, *shape, dtype=dtype), draw(2, 1, dtype=dtype)
    out = numpy.zeros_like(x)
    backend.map(affine, out, x, y, one, 0.1)
    close(out, numpy.where(x > y, one * x, 0.1 * y) + 0.5, dtype)


@pytest.mark.parametrize("size", [7, 40_000])
def test_map_may_write_to_its_inputs_and_to_several_outputs(backend, size):
    w, dw, history = draw(0, size), draw(1, size), draw(2, size)
    step = 0.9 * history.astype(float) + 0.1 * dw
    expected = w - step
    backend.map(momentum, (w, history), w, dw, history, 0.1)
    close(w, expected)
    close(history, step)


def test_map_compiles_functions_that_the_formula_calls(backend):
    x = draw(0, 50)
    out = numpy.zeros_like(x)
    backend.map(squash, out, x)
    close(out, 2 / (1 + numpy.exp(-x.astype(float))) - 1)


def test_map_reshapes_inputs_of_the_same_size(backend):
    x, out = draw(0, 4, 6), numpy.zeros((2, 12), numpy.float32)
    backend.map(maximum, out, x, 0.0)
    close(out, numpy.maximum(x, 0).reshape(2, 12))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("inputs, got", [
    ([(3,)], "(3,)"), ([(6,), (12,)], "(12,)"), ([(3,), (0,)], "(0,) and (3,)"),
    ([(2, 2)], "(2, 2)"), ([(1, 3), (2, 1)], "(1, 3) and (2, 1)"), ([(3, 1)], "(3, 1)")])
def test_map_refuses_inputs_of_another_size(backend, inputs, got, dtype):
    out = numpy.zeros((2, 3), dtype)
    with pytest.raises(ShapeError) as caught:
        backend.map(summed, out, *(numpy.zeros(shape, dtype) for shape in inputs))
    assert str(caught.value) == ("formula 'summed': expected inputs of 1 or 6 elements, or of one "
                                 f"shape that repeats along axes of (2, 3), got {got}.")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("other", [(4,), (8,), (3, 2)])
def test_map_refuses_outputs_of_several_shapes(backend, other, dtype):
    outs = numpy.zeros((2, 3), dtype), numpy.zeros(other, dtype)
    with pytest.raises(ShapeError) as caught:
        backend.map(lambda x: (x, x), outs, numpy.ones(6, dtype))
    shapes = " and ".join(map(str, sorted([other, (2, 3)])))
    assert str(caught.value) == f"formula '<lambda>': expected outputs of one shape, got {shapes}."
    assert not outs[1].any()


CHANNELS = {  # a shape, and that of what has one element for each channel
    "images": ((3, 4, 5, 7), (1, 4, 1, 1)), "rows": ((5, 9), (1, 9)), "samples": ((5, 9), (5, 1)),
    "two axes": ((2, 3, 4, 5), (1, 3, 4, 1)), "all but the first": ((4, 3, 2), (1, 3, 2)),
    "one channel": ((4, 1, 6), (1, 1, 1)), "a number": ((4, 5), ()), "all": ((3, 4), (3, 4)),
    "long rows": ((1, 3, 50, 190), (1, 3, 1, 1)), "many rows": ((90, 33, 3, 5), (1, 33, 1, 1)),
    "many columns": ((70, 650), (1, 650)), "long": ((41000,), ()),
    "wide": ((3, 5000), (1, 5000)),
}


@pytest.fixture(params=CHANNELS)
def channels(request):
    return CHANNELS[request.param]


@pytest.mark.parametrize("dtype", DTYPES)
def test_map_repeats_what_has_one_element_for_each_channel(backend, channels, dtype):
    shape, along = channels
    x, w, b = draw(0, *shape, dtype=dtype), draw(1, *along, dtype=dtype), draw(
        2, *along, dtype=dtype)
    out = numpy.zeros_like(x)
    backend.map(lambda x, w, b, c: w * x + b * c, out, x, w, b, 2)
    close(out, w.astype(float) * x + 2 * b, dtype)
    backend.map(lambda x, w: (w - x, x), (x, out), x, w)
    close(x, w.astype(float) - out, dtype)


def axes_of(shape, along):
    return tuple(i for i in range(len(shape)) if not along or along[i] != shape[i])


def weighted(x, w, y, number, one):
    return number * x * w, one * y


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_of_formulas_channel_by_channel(backend, channels, dtype):
    shape, along = channels
    x, w, y, one = (draw(i, *size, dtype=dtype) for i, size in enumerate(
        (shape, along, shape, (1,))))
    products = 3 * (x.astype(float) * w).sum(axis=axes_of(shape, along)).reshape(along)
    others = (one[0].astype(float) * y).sum(axis=axes_of(shape, along)).reshape(along)
    first, second = numpy.ones(along, dtype), numpy.ones(along, dtype)
    backend.sums(weighted, (first, second), x, w, y, 3, one, accumulate=True)
    close(first - 1, products, dtype)
    close(second - 1, others, dtype)
    backend.sums(weighted, (first, second), x, w, y, 3, one)
    close(first, products, dtype)
    close(second, others, dtype)


def test_a_sum_of_one_value_takes_one_output(backend):
    x, out = draw(0, 5, 6), numpy.zeros((1, 6), numpy.float32)
    backend.sums(abs, out, x)
    close(out, numpy.abs(x).sum(axis=0, keepdims=True))
    backend.sums(lambda x: 1, out, x)
    assert (out == 5).all()


@pytest.mark.parametrize("shape, along", [((4, 70000), (4, 1)), ((70000, 4), (1, 4)),
                                          ((280000,), ())])
def test_sums_are_exact_to_the_last_bit_or_so(backend, shape, along):
    """In float32 one after the other they would lose three digits."""
    x = (draw(0, *shape) + 1000).astype(numpy.float32)
    out = numpy.zeros(along, numpy.float32)
    backend.sums(lambda x: x, out, x)
    exact = x.sum(axis=axes_of(shape, along), dtype=float).reshape(along)
    numpy.testing.assert_allclose(out, exact, rtol=6e-8)


@pytest.mark.parametrize("shape, along", [((4096,), ()), ((4096, 3), (1, 3))])
def test_what_cancels_leaves_nothing(backend, shape, along):
    x, out = 1000 * draw(0, *shape), numpy.ones(along, numpy.float32)
    x[2048:] = -x[2047::-1]
    backend.sums(lambda x: x, out, x)
    assert abs(out).max() < 1e-6


@pytest.mark.parametrize("shape, along", [
    ((64, 40_000), (1, 40_000)), ((4, 9, 200_000), (4, 1, 1)), ((600_000, 2), (1, 2)),
    ((2, 300_000), (1, 300_000)), ((900_000,), ())])
def test_the_scratch_memory_of_sums_is_a_small_part_of_their_input(shape, along):
    backend = type(get_backend("cpu"))()
    x, out = numpy.ones(shape, numpy.float32), numpy.zeros(along, numpy.float32)
    backend.sums(lambda x: x, out, x)
    assert (out == x.size // out.size).all()
    scratch = backend._workspace.floats("sums", 0).nbytes
    assert scratch <= max(x.nbytes / 8, 8 * out.size) + 64


def test_sums_of_nothing_are_zero(backend):
    out = numpy.ones((1, 3), numpy.float32)
    backend.sums(lambda x: x, out, numpy.zeros((0, 3), numpy.float32), accumulate=True)
    assert (out == 1).all()
    backend.sums(lambda x: x, out, numpy.zeros((0, 3), numpy.float32))
    assert (out == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outs, other, text", [
    ([(3, 1)], (2, 3), "outputs of one shape that repeats along axes of (2, 3), got (3, 1)"),
    ([(1, 3), (3,)], (2, 3), "outputs of one shape that repeats along axes of (2, 3), "
     "got (1, 3) and (3,)"),
    ([(1, 3)], (2, 1), "inputs of 1 or 6 elements, or of the outputs' shape (1, 3), got (2, 1)"),
    ([()], (1, 3), "inputs of 1 or 6 elements, or of the outputs' shape (), got (1, 3)"),
])
def test_sums_refuses_arrays_that_do_not_fit(backend, outs, other, text, dtype):
    outs = tuple(numpy.zeros(shape, dtype) for shape in outs)
    with pytest.raises(ShapeError) as caught:
        backend.sums(lambda x, y: (x + y,) * len(outs), outs, numpy.zeros((2, 3), dtype),
                     numpy.zeros(other, dtype))
    assert str(caught.value) == f"formula '<lambda>': expected {text}."


NEIGHBOURS = {"channels": ((2, 7, 3, 5), 5, (1,)), "few channels": ((2, 2, 3, 4), 7, (1,)),
              "one channel": ((3, 1, 2, 2), 3, (1,)), "itself": ((2, 3, 4, 5), 1, (1,)),
              "squares": ((2, 3, 6, 7), 3, (2, 3)), "large squares": ((1, 2, 4, 9), 7, (2, 3)),
              "larger than the plane": ((2, 3, 1, 2), 7, (2, 3)), "tall": ((2, 1, 5, 1), 3, (2, 3)),
              "many channels": ((3, 40, 13, 17), 5, (1,)), "planes": ((5, 9, 20, 33), 5, (2, 3)),
              "long planes": ((1, 2, 3, 600), 3, (2, 3)), "last": ((4, 6), 3, (1,)),
              "several pieces": ((2, 4, 30, 50), 3, (1,))}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NEIGHBOURS)
def test_neighbour_sums(backend, name, dtype):
    shape, size, axes = NEIGHBOURS[name]
    x, out = draw(0, *shape, dtype=dtype), numpy.zeros(shape, dtype)
    backend.neighbour_sums(x, out, size, axes)
    close(out, naive.neighbour_sums(x, size, axes), dtype)


def summed(*values):
    return sum(values)


def test_map_tells_functions_apart_that_captured_different_numbers(backend):
    def scaled(factor):
        return lambda x: factor * x

    x = draw(0, 10)
    for factor in (2.0, 3.0, -1.0):
        out = numpy.zeros_like(x)
        backend.map(scaled(factor), out, x)
        close(out, factor * x)


def test_map_tells_functions_of_one_line_apart(backend):
    functions = [lambda x: x + 1, lambda x: x - 1]  # one line, one name
    for function, expected in zip(functions, (3, 1)):
        out = numpy.zeros(4, numpy.float32)
        backend.map(function, out, numpy.full(4, 2, numpy.float32))
        assert (out == expected).all()


def test_formulas_are_computed_in_single_precision():
    """In doubles the sum would keep the 1; the whole formula would also run at half speed."""
    out = numpy.zeros(1, numpy.float32)
    get_backend("cpu").map(lambda x: (x + 1) - 100000000.0, out, numpy.float32([1e8]))
    assert out[0] == 0


def test_uniform_numbers_are_the_same_on_every_backend_and_in_every_part(backend):
    key = numpy.array([2**63 + 12345], numpy.uint64)
    long, short = numpy.zeros((7, 5000), numpy.float32), numpy.zeros(11, numpy.float32)
    backend.uniform(key, long)
    backend.uniform(key, short)
    expected = numpy.zeros((7, 5000))
    get_backend("numpy").uniform(key, expected)
    assert (long == expected).all() and (short == expected.reshape(-1)[:11]).all()
    assert 0 <= long.min() < 0.001 and 0.999 < long.max() < 1 and abs(long.mean() - 0.5) < 0.01


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 1), (2, 7, 6), (300, 11, 3)])
def test_softmax(backend, shape, dtype):
    x = 10 * draw(0, *shape, dtype=dtype)
    x[0, 0, 0] = 1000  # would overflow without the maximum
    y = numpy.zeros_like(x)
    backend.softmax(x, y)
    power = numpy.exp(x.astype(float) - x.max(axis=1, keepdims=True))
    close(y, power / power.sum(axis=1, keepdims=True), dtype)


# ------------------------------------------------------------------------------------- pooling

POOLS = {
    "plain": ((2, 3, 6, 8), Window((2, 2), (2, 2), (0, 0), (1, 1), True)),
    "overlapping": ((2, 2, 7, 7), Window((3, 3), (2, 2), (0, 0), (1, 1), True)),
    "rounded up past the data": ((1, 2, 8, 6), Window((3, 3), (2, 2), (0, 0), (1, 1), True)),
    "padded": ((2, 2, 7, 6), Window((3, 3), (2, 2), (1, 1), (1, 1), True)),
    "rectangular": ((1, 3, 9, 5), Window((4, 2), (3, 1), (1, 0), (1, 1), False)),
    "global": ((3, 4, 5, 6), Window((5, 6), (1, 1), (0, 0), (1, 1), True)),
    "stride larger than the kernel": ((1, 2, 9, 8), Window((2, 1), (4, 3), (1, 0), (1, 1), True)),
    "many planes": ((9, 70, 7, 7), Window((3, 3), (2, 2), (1, 1), (1, 1), True)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", POOLS)
def test_max_pooling(backend, name, dtype):
    shape, window = POOLS[name]
    x = numpy.round(2 * draw(0, *shape, dtype=dtype))  # many ties: the first of a window wins
    dy = draw(1, *shape[:2], *window.output_shape(shape[2:], "test"), dtype=dtype)
    expected_y, expected_mask, expected_dx = naive.max_pool(x, dy, window)
    y, dx = numpy.zeros_like(dy), numpy.full_like(x, numpy.nan)
    mask = numpy.zeros(dy.shape, numpy.int32)
    backend.max_pool_forward(x, y, mask, window)
    backend.max_pool_backward(dy, mask, dx)
    assert (y == expected_y).all() and (mask == expected_mask).all()
    close(dx, expected_dx, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", POOLS)
def test_average_pooling(backend, name, dtype):
    shape, window = POOLS[name]
    x = draw(0, *shape, dtype=dtype)
    dy = draw(1, *shape[:2], *window.output_shape(shape[2:], "test"), dtype=dtype)
    expected_y, expected_dx = naive.average_pool(x, dy, window)
    y, dx = numpy.zeros_like(dy), numpy.full_like(x, numpy.nan)
    backend.average_pool_forward(x, y, window)
    backend.average_pool_backward(dy, dx, window)
    close(y, expected_y, dtype)
    close(dx, expected_dx, dtype)


def test_a_window_of_nothing_but_nan_has_no_maximum(backend):
    window = Window((2, 2), (2, 2), (0, 0), (1, 1), True)
    x = numpy.full((1, 1, 2, 2), numpy.nan, numpy.float32)
    y, mask = numpy.zeros((1, 1, 1, 1), numpy.float32), numpy.zeros((1, 1, 1, 1), numpy.int32)
    dx = numpy.ones_like(x)
    backend.max_pool_forward(x, y, mask, window)
    backend.max_pool_backward(numpy.ones_like(y), mask, dx)
    assert mask.item() == -1 and y.item() == -numpy.inf and (dx == 0).all()


# -------------------------------------------------------------------------------------- memory

def test_nothing_is_allocated_after_the_first_call():
    backend = get_backend("cpu")
    x, w, b, dy, window, group = arrays(LARGE["grouped"], numpy.float32)
    y, dw, db, dx = (numpy.zeros_like(a) for a in (dy, w, b, x))
    pool = Window((2, 2), (2, 2), (0, 0), (1, 1), True)
    small = numpy.zeros((*x.shape[:2], 7, 7), numpy.float32)
    mask = numpy.zeros(small.shape, numpy.int32)
    rows, square = x.reshape(len(x), -1), numpy.zeros((len(x), len(x)), numpy.float32)
    key = numpy.zeros(1, numpy.uint64)
    channel = numpy.zeros((1, x.shape[1], 1, 1), numpy.float32)

    def work():
        backend.conv_forward(x, w, b, y, window, group, 0.0)
        backend.conv_backward_weight(x, dy, dw, db, window, group)
        backend.conv_backward_data(dy, w, dx, window, group)
        backend.max_pool_forward(x, small, mask, pool)
        backend.max_pool_backward(small, mask, dx)
        backend.average_pool_forward(x, small, pool)
        backend.average_pool_backward(small, dx, pool)
        backend.matmul(rows, rows.T, square)
        backend.map(affine, dx, x, dx, b[:1], 0.1)
        backend.map(maximum, dx, x, channel)
        backend.sums(maximum, channel, x, channel)
        backend.neighbour_sums(x, dx, 3, (1,))
        backend.neighbour_sums(x, dx, 3, (2, 3))
        backend.softmax(x[0], dx[0])
        backend.uniform(key, dx)

    assert allocated(work) < 8192


# ----------------------------------------------------------------------- sums in several blocks

DEEP = {  # sums of more terms than are added up at a time, each way in which they are
    "panels": (case((2, 60, 9, 9), (50, 60, 3, 3), (1, 1), (1, 1)), "im2col"),
    "vectors in their place": (case((1, 60, 8, 18), (5, 60, 3, 3), (1, 1), (0, 0)), "im2col"),
    "pointwise": (case((2, 700, 5, 9), (20, 700, 1, 1), (1, 1), (0, 0)), "im2col"),
    "many pixels": (case((4, 80, 15, 15), (33, 80, 2, 2), (1, 1), (0, 0)), "im2col"),
    "winograd": (case((2, 200, 9, 9), (40, 200, 3, 3), (1, 1), (1, 1)), "winograd"),
    "by the rule": (case((2, 200, 14, 14), (64, 200, 3, 3), (1, 1), (1, 1)), None),
}


@pytest.mark.parametrize("slope", [0.0, 0.1])
@pytest.mark.parametrize("name", DEEP)
def test_a_relu_follows_the_whole_sum_and_none_of_its_blocks(backend, name, slope):
    convolution, algorithm = DEEP[name]
    x, w, b, y, window, group = arrays(convolution, numpy.float32)
    sums = numpy.zeros(y.shape)
    get_backend("numpy").conv_forward(*(a.astype(float) for a in (x, w, b)), sums, window, group)
    assert (sums < 0).any()
    backend.conv_forward(x, w, b, y, window, group, slope, algorithm=algorithm)
    close(y, numpy.where(sums > 0, sums, slope * sums))
