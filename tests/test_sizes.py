"""Huge and empty sizes: right numbers where the net is legal, else an error that says where."""

from __future__ import annotations

import numpy
import pytest

from minicaffe import TRAIN
from minicaffe.errors import ParameterError, ShapeError

DEVICES = ["numpy", "cpu"]
HUGE = 4294967295


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def image(seed: int = 0):
    return numpy.random.default_rng(seed).standard_normal((1, 2, 4, 5)).astype(numpy.float32)


def in_window(axis_output, tap, stride, pad, dilation):
    return axis_output * stride + tap * dilation - pad


def convolved(x, w, y_shape, stride, pad, dilation, dy):
    """y, dw and dx from the definition, over the pixels that are there."""
    y, dw, dx = numpy.zeros(y_shape), numpy.zeros(w.shape), numpy.zeros(x.shape)
    _, O, height, width = y_shape
    channels, outputs = w.shape[1], O // (x.shape[1] // w.shape[1])
    for o, i, j, c, p, q in numpy.ndindex(O, height, width, *w.shape[1:]):
        r, s = (in_window(at, tap, *numbers) for at, tap, numbers in zip(
            (i, j), (p, q), zip(stride, pad, dilation)))
        if 0 <= r < x.shape[2] and 0 <= s < x.shape[3]:
            channel = o // outputs * channels + c
            y[0, o, i, j] += w[o, c, p, q] * x[0, channel, r, s]
            dw[o, c, p, q] += dy[0, o, i, j] * x[0, channel, r, s]
            dx[0, channel, r, s] += dy[0, o, i, j] * w[o, c, p, q]
    return y, dw, dx


CONVOLUTIONS = {  # text, stride, pad, dilation
    "a huge stride": ("kernel_size: 3 stride: 100000000", 10**8, 0, 1),
    "the largest stride": (f"kernel_size: 2 stride: {HUGE}", HUGE, 0, 1),
    "a stride of a row": ("kernel_size: 3 stride: 1 stride: 70000", (1, 70000), 0, 1),
    "a huge pad and stride": ("kernel_size: 3 pad: 1000000000 stride: 1000000000", 10**9, 10**9, 1),
    "the largest pad": (f"kernel_size: 3 pad: 2147483648 stride: {HUGE}", HUGE, 2**31, 1),
    "a huge dilation": ("kernel_size: 3 pad: 1000000000 dilation: 1000000000", 1, 10**9, 10**9),
    "all of them": ("kernel_size: 3 pad: 1000000000 dilation: 1000000000 stride: 1500000000",
                    15 * 10**8, 10**9, 10**9),
    "a pad along one axis": ("kernel_h: 3 kernel_w: 1 pad_h: 5000000 pad_w: 0 stride_h: 5000001 "
                             "stride_w: 2", (5000001, 2), (5000000, 0), 1),
}


def pair(number):
    return number if isinstance(number, tuple) else (number, number)


@pytest.mark.parametrize("ways", ["", "engine: IM2COL", "engine: DIRECT", "engine: TRANSPOSED",
                                  "group: 2"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_by_windows_that_are_mostly_padding(make_net, device, name, ways):
    text, *numbers = CONVOLUTIONS[name]
    net = make_net(
        "force_backward: true layer { name: 'x' type: 'Input' top: 'x' input_param { shape { "
        "dim: 1 dim: 2 dim: 4 dim: 5 } } } layer { name: 'y' type: 'Convolution' bottom: 'x' "
        f"top: 'y' convolution_param {{ num_output: 4 {text} {ways} bias_term: false "
        "weight_filler { type: 'gaussian' } } }", device=device)
    x, w = image(), net.params["y"][0]
    net.blobs["x"].data[...] = x
    shape = net.blobs["y"].shape
    dy = numpy.random.default_rng(1).standard_normal(shape).astype(numpy.float32)
    y, dw, dx = convolved(x, w.data, shape, *map(pair, numbers), dy)
    net.forward()
    net.backward(y=dy)
    for got, wanted in ((net.blobs["y"].data, y), (w.diff, dw), (net.blobs["x"].diff, dx)):
        numpy.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


POOLS = {  # text, kernel, stride, pad
    "a huge stride": ("kernel_size: 2 stride: 100000000", 2, 10**8, 0),
    "a huge stride, rounded down": ("kernel_size: 2 stride: 100000000 round_mode: FLOOR", 2, 10**8,
                                    0),
    "the largest stride": (f"kernel_size: 2 stride: {HUGE}", 2, HUGE, 0),
    "a huge stride and pad": ("kernel_size: 3 stride: 70000 pad: 1", 3, 70000, 1),
    "a huge kernel": (f"kernel_size: {HUGE} pad: 2147483648", HUGE, 1, 2**31),
    "a kernel and a stride": (f"kernel_size: {HUGE} stride: 2147483647 pad: 2147483648", HUGE,
                              2**31 - 1, 2**31),
    "a long row": ("kernel_h: 1 kernel_w: 1000001 pad_h: 0 pad_w: 500000", (1, 1000001), 1,
                   (0, 500000)),
}


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("name", POOLS)
def test_pooling_by_windows_that_are_mostly_padding(make_net, device, name, method):
    text, *numbers = POOLS[name]
    net = make_net(
        "force_backward: true layer { name: 'x' type: 'Input' top: 'x' input_param { shape { "
        "dim: 1 dim: 2 dim: 4 dim: 5 } } } layer { name: 'y' type: 'Pooling' bottom: 'x' top: 'y' "
        f"pooling_param {{ pool: {method} {text} }} }}", device=device)
    x = image()
    net.blobs["x"].data[...] = x
    net.forward()
    y = net.blobs["y"]
    dy = numpy.random.default_rng(1).standard_normal(y.shape).astype(numpy.float32)
    net.backward(y=dy)
    kernel, stride, pad = map(pair, numbers)
    expected, dx = numpy.zeros(y.shape), numpy.zeros(x.shape)
    for c, *at in numpy.ndindex(*y.shape[1:]):
        first = [o * s - p for o, s, p in zip(at, stride, pad)]
        last = [f + k for f, k in zip(first, kernel)]
        area = float(numpy.prod([float(min(end, size + p) - begin) for begin, end, size, p in zip(
            first, last, x.shape[2:], pad)]))
        place = (0, c, *(slice(max(f, 0), max(e, 0)) for f, e in zip(first, last)))
        seen = x[place]
        if method == "AVE":
            expected[(0, c, *at)] = seen.sum() / area
            dx[place] += dy[(0, c, *at)] / area
        else:
            expected[(0, c, *at)] = seen.max(initial=-numpy.inf)
            dx[place] += dy[(0, c, *at)] * (seen == seen.max(initial=-numpy.inf))
    numpy.testing.assert_allclose(y.data, expected, rtol=1e-5, atol=1e-6)
    numpy.testing.assert_allclose(net.blobs["x"].diff, dx, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
def test_lrn_over_more_neighbours_than_there_are(make_net, device, region):
    text = ("layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 2 dim: 4 "
            f"dim: 5 }} }} }} layer {{ name: 'y' type: 'LRN' bottom: 'x' top: 'y' lrn_param {{ "
            f"local_size: {HUGE} norm_region: {region} alpha: 1e9 beta: 0.5 }} }}")
    net = make_net(text, device=device)
    x = net.blobs["x"].data[...] = image()
    net.forward()
    axes = (1,) if region == "ACROSS_CHANNELS" else (2, 3)
    size = 1e9 / float(HUGE) ** len(axes) * (x.astype(float)**2).sum(axis=axes, keepdims=True)
    numpy.testing.assert_allclose(net.blobs["y"].data, x / numpy.sqrt(1 + size), rtol=1e-5)


TOO_LARGE = {  # a layer on an input of (1, 2, 4, 5), and the error that it gives
    "InnerProduct": (f"inner_product_param {{ num_output: {HUGE} axis: 0 weight_filler {{ "
                     "type: 'xavier' } }", r"blob 'y\.0': expected a shape that fits into memory, "
                     r"got \(4294967295, 40\), 640 GiB\."),
    "Convolution": (f"convolution_param {{ num_output: 1 kernel_size: {HUGE} pad: 2147483648 }}",
                    r"blob 'y\.0': expected a shape that fits into memory, got "
                    r"\(1, 2, 4294967295, 4294967295\), 1\.374e\+11 GiB\."),
    "Pooling": ("pooling_param { kernel_size: 2147483647 pad: 2147483646 }",
                r"Pooling 'y': a buffer: expected a shape that fits into memory, got "
                r"\(1, 2, 2147483650, 2147483651\), 3\.436e\+10 GiB\."),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_does_not_fit_into_memory_is_named(make_net, device, name):
    text, error = TOO_LARGE[name]
    with pytest.raises(ShapeError, match=f"^{error}"):
        make_net("layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 2 "
                 f"dim: 4 dim: 5 }} }} }} layer {{ name: 'y' type: '{name}' bottom: 'x' top: 'y' "
                 f"{text} }}", device=device).forward()


@pytest.mark.parametrize("dims", [(HUGE, HUGE), (2**62, 3), (2**63 - 1,), (2**63 - 1,) * 9,
                                  (0, 2**63 - 1), (2**62, 0, 3)])
def test_an_input_that_does_not_fit_into_memory_is_named(make_net, device, dims):
    with pytest.raises(ShapeError, match=r"^blob 'x': expected a shape that fits into memory, got"):
        make_net("layer { name: 'x' type: 'Input' top: 'x' input_param { shape { "
                 + " ".join(f"dim: {dim}" for dim in dims) + " } } }", device=device).forward()


def test_an_empty_blob_that_no_array_can_be_is_named_with_the_size_of_its_axes(make_net, device):
    with pytest.raises(ShapeError) as caught:
        net = make_net("layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 0 "
                       f"dim: {2**62} }} }} }}", device=device)
        net.blobs["x"].data[...] = 0
    assert str(caught.value) == ("blob 'x': expected a shape that fits into memory, got "
                                 "(0, 4611686018427387904), 1.718e+10 GiB.")


@pytest.mark.parametrize("keep", ["all", []])
def test_a_blob_inside_the_net_that_does_not_fit_is_named(make_net, device, keep):
    with pytest.raises(ShapeError, match=r"^(blob 'y'|net 'net': the memory that blobs share): "
                                         r"expected a shape that fits into memory, got "):
        make_net("layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 2 "
                 "dim: 1 dim: 1 } } } layer { name: 'y' type: 'Convolution' bottom: 'x' top: 'y' "
                 "convolution_param { num_output: 2 kernel_size: 1 pad: 4000000 } } layer { "
                 "name: 'z' type: 'Power' bottom: 'y' top: 'z' }", device=device,
                 keep=keep).forward()


def test_a_filler_for_what_does_not_fit_is_named(make_net):
    with pytest.raises(ShapeError, match=r"expected a shape that fits into memory, got "
                                         r"\(4294967295, 4294967295\)"):
        make_net("layer { name: 'x' type: 'DummyData' top: 'x' dummy_data_param { shape { "
                 f"dim: {HUGE} dim: {HUGE} }} data_filler {{ type: 'uniform' }} }} }}").forward()


def test_a_layer_that_lacks_memory_to_work_in_is_named(make_net):
    """The reference's column matrix has a row for each weight and a column for each output."""
    net = make_net("layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 1 "
                   "dim: 1 dim: 1 } } } layer { name: 'y' type: 'Convolution' bottom: 'x' top: 'y' "
                   "convolution_param { num_output: 1 kernel_size: 4001 pad: 4000 "
                   "engine: IM2COL } }")
    with pytest.raises(ShapeError) as caught:
        net.forward()
    assert str(caught.value) == (
        "Convolution 'y': expected bottoms that leave it enough memory to work in, got "
        "(1, 1, 1, 1). Hint: smaller ones need less.")


def test_a_blob_has_at_most_32_axes(make_net):
    with pytest.raises(ShapeError, match="^blob 'x': expected at most 32 axes, got 33"):
        make_net("layer { name: 'x' type: 'Input' top: 'x' input_param { shape { "
                 + "dim: 1 " * 33 + "} } }")


def test_huge_numbers_of_other_layers_are_refused_by_name(make_net, device):
    for text in (f"type: 'Slice' top: 'z' slice_param {{ slice_point: {HUGE} }}",
                 "type: 'Reshape' reshape_param { shape { dim: 9223372036854775807 } }",
                 "type: 'Reshape' reshape_param { axis: 2147483647 shape { dim: 1 } }",
                 "type: 'Flatten' flatten_param { axis: 2147483647 }",
                 "type: 'Softmax' softmax_param { axis: -2147483648 }",
                 "type: 'Pooling' pooling_param { kernel_size: 5000 round_mode: FLOOR }",
                 f"type: 'Convolution' convolution_param {{ num_output: {HUGE} kernel_size: 1 }}"):
        with pytest.raises((ShapeError, ParameterError), match="'y|'x'|'z'"):
            make_net("layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 2 "
                     f"dim: 4 dim: 5 }} }} }} layer {{ name: 'y' bottom: 'x' top: 'y' {text} }}",
                     device=device, phase=TRAIN).forward()
