"""The worked examples of the five texts this project starts from: five ways to one gradient.

A kernel that never builds a column matrix; Caffe's slices of a GEMM; NumPy on channels-last
arrays; the derivation with rotated filters; SINGA's loop over images.  Each is computed here as its
text says and compared with the layer.
"""

from collections import Counter

import numpy as np
import pytest

import minicaffe
from minicaffe.backend import convolution as reference
from minicaffe.layers.convolution import Convolution
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text
from minicaffe.testing import OneLayerNet, assert_close, assert_same

from .naive import numbers

DEVICES = ["numpy", "cpu", "strict"]


def convolution(fields, x, params, device="numpy", dtype="float32"):
    return OneLayerNet(f'type: "Convolution" convolution_param {{ {fields} }}', {"x": x},
                       params=params, device=device, dtype=dtype)


def columns(x, k, pad=0):
    """One image (C, H, W) as (C * k * k, pixels) at stride 1, copied element by element."""
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    C, H, W = padded.shape
    return np.array([[padded[c, r + i, q + j]
                      for r in range(H - k + 1) for q in range(W - k + 1)]
                     for c in range(C) for i in range(k) for j in range(k)])


def image(col, shape, k, pad=0):
    """The transpose of ``columns``: every element is added back to the pixel it was copied from."""
    C, H, W = shape
    out = np.zeros((C, H + 2 * pad, W + 2 * pad))
    rows = iter(col)
    for c in range(C):
        for i in range(k):
            for j in range(k):
                values = iter(next(rows))
                for r in range(H + 2 * pad - k + 1):
                    for q in range(W + 2 * pad - k + 1):
                        out[c, r + i, q + j] += next(values)
    return out[:, pad:pad + H, pad:pad + W]


# ------------------------------------------------------- a kernel without a column matrix

@pytest.mark.parametrize("device", DEVICES)
def test_direct_equals_the_kernel_that_takes_eleven_image_rows_at_a_time(device):
    x, w, dy = numbers(2, 1, 39, 39), numbers(16, 1, 8, 8), numbers(2, 16, 32, 32, seed=1)
    dw = np.zeros((16, 8, 8))
    for n in range(2):
        for top in range(0, 32, 4):
            rows = x[n, 0, top:top + 11]  # 4 output rows meet 4 + 8 - 1 image rows
            for left in (0, 16):
                strip = dy[n, :, top:top + 4, left:left + 16]
                for i, j in np.ndindex(8, 8):  # a thread for each weight, of two filters in turn
                    seen = rows[i:i + 4, left + j:left + j + 16]
                    dw[:, i, j] += (strip * seen).sum(axis=(1, 2))
    net = convolution("num_output: 16 kernel_size: 8 bias_term: false engine: DIRECT", x, [w],
                      device)
    net.forward()
    assert_close(net.backward([dy])[1][:, 0], dw, 1e-5, "dw")


# ------------------------------------------------------------- Caffe's slices of a GEMM

@pytest.mark.parametrize("device", DEVICES)
def test_groups_are_slices_of_the_matrix_product(device):
    x, w, dy = numbers(1, 4, 5, 5), numbers(6, 2, 3, 3), numbers(1, 6, 5, 5, seed=1)
    col = columns(x[0], 3, pad=1)
    matrix, grad, dcol = w.reshape(6, 18), dy.reshape(6, 25), np.empty((36, 25))
    y, dw = np.empty((6, 25)), np.empty((6, 18))
    for g in range(2):
        out, taken = slice(3 * g, 3 * g + 3), slice(18 * g, 18 * g + 18)
        y[out] = matrix[out] @ col[taken]
        dw[out] = grad[out] @ col[taken].T
        dcol[taken] = matrix[out].T @ grad[out]
    net = convolution("num_output: 6 kernel_size: 3 pad: 1 group: 2 bias_term: false", x, [w],
                      device)
    assert_close(net.forward()[0], y.reshape(1, 6, 5, 5), 1e-5, "y")
    dx, got = net.backward([dy])
    assert_close(got, dw.reshape(w.shape), 1e-5, "dw")
    assert_close(dx[0], image(dcol, (4, 5, 5), 3, pad=1), 1e-5, "dx")


@pytest.fixture
def counted(monkeypatch):
    """Calls of im2col and col2im on the device numpy, counted."""
    calls = Counter()

    def count(name, function):
        def call(*args):
            calls[name] += 1
            return function(*args)
        monkeypatch.setattr(reference, name, call)

    count("im2col", reference.im2col)
    count("col2im", reference.col2im)
    return calls


@pytest.mark.parametrize("fields, im2col, col2im", [
    ("kernel_size: 1", 0, 0),
    ("kernel_size: 1 stride: 2", 6, 3),
    ("kernel_size: 1 pad: 1", 6, 3),
    ("kernel_size: 3", 6, 3),
])
def test_a_kernel_of_1x1_at_stride_1_skips_im2col(counted, fields, im2col, col2im):
    net = OneLayerNet(f'type: "Convolution" convolution_param {{ num_output: 2 {fields} }}',
                      {"x": numbers(3, 4, 5, 5)})
    net.forward()
    net.backward(net.top_weights())
    assert counted["im2col"] == im2col  # for y and for dw of three images
    assert counted["col2im"] == col2im  # for dx


def test_backward_uses_columns_that_forward_kept(counted, monkeypatch):
    monkeypatch.setattr(Convolution, "keep_columns", True)
    net = OneLayerNet('type: "Convolution" convolution_param { num_output: 2 kernel_size: 3 }',
                      {"x": numbers(3, 4, 5, 5)})
    net.forward()
    assert counted["im2col"] == 3
    net.backward(net.top_weights())
    assert counted["im2col"] == 3


# ----------------------------------------------------------- NumPy on channels-last arrays

NET = """
force_backward: true
layer { name: "x" type: "Input" top: "x"
        input_param { shape { dim: 8 dim: 16 dim: 32 dim: 48 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y"
        convolution_param { num_output: 32 kernel_size: 3 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
"""


def channels_last(x, weights, bias, dout):
    """y, dx, dweights and dbias of a 3x3 convolution with pad 1 and a ReLU; x (N, H, W, C)."""
    N, H, W, C = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    places = [(n, r, q) for n in range(N) for r in range(H) for q in range(W)]
    matrix = np.array([padded[n, r:r + 3, q:q + 3].ravel() for n, r, q in places])
    filtered = np.maximum(matrix @ weights + bias, 0)
    grad = dout.reshape(len(places), -1).copy()
    grad[filtered <= 0] = 0
    dmatrix, dpadded = grad @ weights.T, np.zeros_like(padded)
    for row, (n, r, q) in zip(dmatrix, places):
        dpadded[n, r:r + 3, q:q + 3] += row.reshape(3, 3, C)
    return filtered.reshape(dout.shape), dpadded[:, 1:-1, 1:-1], matrix.T @ grad, grad.sum(axis=0)


@pytest.mark.parametrize("device", ["numpy", "cpu"])
def test_channels_last_arithmetic_gives_the_same_after_transposing(device):
    x, dout = numbers(8, 32, 48, 16), numbers(8, 32, 48, 32, seed=1)
    weights, bias = 0.01 * numbers(9 * 16, 32, seed=2), 0.01 * numbers(32, seed=3)
    y, dx, dweights, dbias = channels_last(x, weights, bias, dout)

    def channels_first(array):
        return array.transpose(0, 3, 1, 2)

    net = minicaffe.Net(parse_text(NET, NetParameter), minicaffe.TRAIN, device=device)
    w, b = net.params["conv"]
    w.data[...] = weights.reshape(3, 3, 16, 32).transpose(3, 2, 0, 1)
    b.data[...] = bias
    found = net.forward(x=channels_first(x))["y"]
    assert_close(found, channels_first(y), 1e-5, "y")
    net.backward(y=channels_first(dout))
    assert_close(net.blobs["x"].diff, channels_first(dx), 1e-5, "dx")
    assert_close(w.diff, dweights.reshape(3, 3, 16, 32).transpose(3, 2, 0, 1), 1e-5, "dw")
    assert_close(b.diff, dbias, 1e-5, "db")


# ------------------------------------------------------ the derivation with rotated filters

X = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
W = [[1, 2], [3, 4]]
DELTA = [[1, -1], [2, 3]]


@pytest.mark.parametrize("engine", ["TRANSPOSED", "IM2COL", "DIRECT"])
@pytest.mark.parametrize("device", DEVICES)
def test_three_by_three_input_and_two_by_two_filter_worked_by_hand(device, engine):
    net = convolution(f"num_output: 1 kernel_size: 2 engine: {engine}", [[X]], [[[W]], [10]],
                      device)
    assert_same(net.forward()[0], [[[[1 + 4 + 12 + 20 + 10, 2 + 6 + 15 + 24 + 10],
                                     [4 + 10 + 21 + 32 + 10, 5 + 12 + 24 + 36 + 10]]]], "y")
    dx, dw, db = net.backward([[[DELTA]]])
    # delta in a border of zeros, cross-correlated with the filter turned by 180 degrees:
    #    0  0  0  0
    #    0  1 -1  0      with   4 3
    #    0  2  3  0             2 1
    #    0  0  0  0
    assert_same(dx, [[[[1, -1 + 2, -2],
                       [2 + 3, 4 - 3 + 4 + 3, -4 + 6],
                       [6, 8 + 9, 12]]]], "dx")
    # the input cross-correlated with delta
    assert_same(dw, [[[[1 - 2 + 8 + 15, 2 - 3 + 10 + 18],
                       [4 - 5 + 14 + 24, 5 - 6 + 16 + 27]]]], "dw")
    assert_same(db, [1 - 1 + 2 + 3], "db")


@pytest.mark.parametrize("device", DEVICES)
def test_a_stride_is_undone_by_zeros_between_the_elements_of_delta(device):
    x, w, delta = numbers(1, 3, 7, 7), numbers(2, 3, 3, 3), numbers(1, 2, 3, 3, seed=1)
    spread = np.zeros((1, 2, 5, 5), "float32")  # as large as the map of stride 1
    spread[:, :, ::2, ::2] = delta
    found = []
    for stride, diff in ((2, delta), (1, spread)):
        net = convolution(f"num_output: 2 kernel_size: 3 stride: {stride} engine: TRANSPOSED", x,
                          [w, [0, 0]], device)
        net.forward()
        found.append(net.backward([diff]))
    for name, got, expected in zip(("dx", "dw", "db"), *found):
        assert_close(got, expected, 1e-6, name)


@pytest.mark.parametrize("device", DEVICES)
def test_depth_and_several_filters_are_sums_of_single_ones(device):
    x, w, delta = numbers(1, 3, 4, 4), numbers(2, 3, 2, 2), numbers(1, 2, 3, 3, seed=1)
    both = convolution("num_output: 2 kernel_size: 2 engine: TRANSPOSED", x, [w, [0, 0]], device)
    both.forward()
    dx, dw, _ = both.backward([delta])
    for d in range(3):
        total = 0
        for n in range(2):
            one = convolution("num_output: 1 kernel_size: 2 engine: TRANSPOSED", x[:, [d]],
                              [w[[n]][:, [d]], [0]], device)
            one.forward()
            part, weight, _ = one.backward([delta[:, [n]]])
            total = total + part
            assert_close(dw[n, d], weight[0, 0], 1e-5, "dw")
        assert_close(dx[:, [d]], total, 1e-5, "dx")


# ----------------------------------------------------------------- SINGA's loop over images

@pytest.mark.parametrize("device", DEVICES)
def test_backward_is_singas_loop_over_the_images(device):
    x, w, grad = numbers(3, 2, 5, 4), numbers(4, 2, 3, 3), numbers(3, 4, 5, 4, seed=1)
    matrix, dw, dx = w.reshape(4, 18), np.zeros((4, 18)), np.empty(x.shape)
    db = grad.reshape(12, 20).sum(axis=1).reshape(3, 4).sum(axis=0)
    for b in range(3):
        col, grad_b = columns(x[b], 3, pad=1), grad[b].reshape(4, 20)
        dw += grad_b @ col.T
        dx[b] = image(matrix.T @ grad_b, x[b].shape, 3, pad=1)
    net = convolution("num_output: 4 kernel_size: 3 pad: 1", x, [w, np.zeros(4)], device)
    net.forward()
    for name, got, expected in zip(("dx", "dw", "db"), net.backward([grad]),
                                   (dx, dw.reshape(w.shape), db)):
        assert_close(got, expected, 1e-5, name)
