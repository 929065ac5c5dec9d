"""Pooling agrees with its definition, window by window."""

from itertools import product

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_same, check_layer

from .naive import numbers, refusal

# name: fields, shape of x, kernel, stride, pad, size of y
CASES = {
    "plain": ("kernel_size: 2 stride: 2", (2, 3, 4, 6), (2, 2), (2, 2), (0, 0), (2, 3)),
    "overlapping": ("kernel_size: 3 stride: 2", (2, 2, 7, 5), (3, 3), (2, 2), (0, 0), (3, 2)),
    "rounded up": ("kernel_size: 3 stride: 2", (2, 2, 8, 6), (3, 3), (2, 2), (0, 0), (4, 3)),
    "rounded down": ("kernel_size: 3 stride: 2 round_mode: FLOOR", (2, 2, 8, 6), (3, 3), (2, 2),
                     (0, 0), (3, 2)),
    "pad": ("kernel_size: 3 stride: 2 pad: 1", (2, 2, 7, 6), (3, 3), (2, 2), (1, 1), (4, 4)),
    "pad, last window dropped": ("kernel_size: 2 stride: 3 pad: 1", (1, 2, 6, 5), (2, 2), (3, 3),
                                 (1, 1), (3, 2)),
    "rectangular": ("kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 3 pad_h: 0 pad_w: 1",
                    (1, 2, 5, 7), (3, 2), (1, 3), (0, 1), (3, 3)),
    "stride over kernel": ("kernel_size: 2 stride: 3", (1, 2, 8, 7), (2, 2), (3, 3), (0, 0),
                           (3, 3)),
    "global": ("global_pooling: true", (2, 3, 3, 5), (3, 5), (1, 1), (0, 0), (1, 1)),
}


def windows(case):
    """(output row, output column), rows and columns of each window, padding included."""
    _, (_, _, H, W), kernel, stride, pad, output = case
    for i, j in np.ndindex(*output):
        top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
        yield ((i, j), range(top, min(top + kernel[0], H + pad[0])),
               range(left, min(left + kernel[1], W + pad[1])))


def naive_max(case, x):
    """y and the position of each largest element, of equal ones the first."""
    H, W = x.shape[2:]
    y, mask = np.zeros((2, *x.shape[:2], *case[5]))
    for n, c in np.ndindex(*x.shape[:2]):
        for at, rows, columns in windows(case):
            inside = [(r, q) for r, q in product(rows, columns) if 0 <= r < H and 0 <= q < W]
            best = max(inside, key=lambda place: x[(n, c, *place)])
            y[(n, c, *at)], mask[(n, c, *at)] = x[(n, c, *best)], best[0] * W + best[1]
    return y, mask


def naive_average(case, x):
    """The sum over the window divided by its area, padding included."""
    H, W = x.shape[2:]
    y = np.zeros((*x.shape[:2], *case[5]))
    for n, c in np.ndindex(*x.shape[:2]):
        for at, rows, columns in windows(case):
            total = sum(x[n, c, r, q] for r, q in product(rows, columns)
                        if 0 <= r < H and 0 <= q < W)
            y[(n, c, *at)] = total / (len(rows) * len(columns))
    return y


def layer(method, fields, tops=""):
    return f'type: "Pooling" {tops} pooling_param {{ pool: {method} {fields} }}'


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_max_is_the_largest_of_each_window(case):
    check_layer(layer("MAX", case[0]), {"x": numbers(*case[1])}, lambda x: naive_max(case, x)[0])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_average_is_the_sum_over_the_area(case):
    check_layer(layer("AVE", case[0]), {"x": numbers(*case[1])}, lambda x: naive_average(case, x))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_second_top_is_the_position_of_the_largest(case):
    check_layer(layer("MAX", case[0], 'top: "y" top: "mask"'), {"x": numbers(*case[1])},
                lambda x: list(naive_max(case, x)), ignored_tops=[1])


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_of_equal_elements_the_first_is_the_largest(device):
    net = OneLayerNet(layer("MAX", "kernel_size: 2 stride: 2", 'top: "y" top: "mask"'),
                      {"x": [[[[1, 1, 0, 2], [1, 1, 2, 2]]]]}, device=device)
    y, mask = net.forward()
    assert_same(y, [[[[1, 2]]]], "y")
    assert_same(mask, [[[[0, 3]]]], "mask")
    dx, = net.backward([[[[[5, 7]]]], [[[[0, 0]]]]])
    assert_same(dx, [[[[5, 0, 0, 7], [0, 0, 0, 0]]]], "dx")


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_negative_elements_win_against_the_padding(device):
    net = OneLayerNet(layer("MAX", "kernel_size: 3 stride: 2 pad: 1"),
                      {"x": -1 - np.arange(9.0).reshape(1, 1, 3, 3)}, device=device)
    assert_same(net.forward()[0], [[[[-1, -2], [-4, -5]]]], "y")


def test_ceil_mode_of_the_fork_chooses_the_rounding():
    case = CASES["rounded down"]
    check_layer(layer("MAX", "kernel_size: 3 stride: 2 ceil_mode: false"),
                {"x": numbers(*case[1])}, lambda x: naive_max(case, x)[0])


def test_a_global_window_follows_the_input():
    net = OneLayerNet(layer("AVE", "global_pooling: true"), {"x": np.ones((1, 1, 2, 3))})
    net.reshape({"x": 3 * np.ones((1, 1, 5, 4))})
    assert_same(net.forward()[0], [[[[3]]]], "y")


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_an_empty_batch_passes(device, method):
    net = OneLayerNet(layer(method, "kernel_size: 2"), {"x": np.zeros((0, 2, 3, 3))}, device=device)
    assert net.forward()[0].shape == (0, 2, 2, 2)
    assert net.backward(net.top_weights())[0].shape == (0, 2, 3, 3)


X = {"x": np.zeros((2, 3, 5, 5))}


@pytest.mark.parametrize("text, expected", [
    (layer("STOCHASTIC", "kernel_size: 2"),
     "ParameterError: Pooling 'l': expected pool: MAX or AVE, got STOCHASTIC."),
    (layer("AVE", "kernel_size: 2", 'top: "y" top: "mask"'), "ParameterError: Pooling 'l': "
     "expected one top with pool: AVE, got 2. Hint: only MAX has positions to give."),
    (layer("MAX", ""), "ParameterError: Pooling 'l': expected kernel_size, or kernel_h and "
     "kernel_w, or global_pooling: true, got none of them."),
    (layer("MAX", "kernel_size: 2 pad: 2"),
     "ParameterError: Pooling 'l': expected a pad smaller than the kernel (2, 2), got (2, 2)."),
    (layer("MAX", "kernel_size: 2 global_pooling: true"), "ParameterError: Pooling 'l': expected "
     "no kernel size beside global_pooling: true, got one. Hint: remove it: the window is the "
     "whole input."),
    (layer("MAX", "stride: 2 global_pooling: true"), "ParameterError: Pooling 'l': expected pad 0 "
     "and stride 1 with global_pooling: true, got pad (0, 0), stride (2, 2)."),
    (layer("MAX", "kernel_h: 2"), "ParameterError: Pooling 'l': expected kernel_h and kernel_w, "
     "got kernel_h alone."),
    (layer("MAX", "kernel_size: 2 kernel_h: 2 kernel_w: 2"), "ParameterError: Pooling 'l': "
     "expected either kernel_size or kernel_h and kernel_w, got both."),
    (layer("MAX", "kernel_size: 6"), "ShapeError: Pooling 'l': expected an input of at least 6 "
     "along spatial axis 0 for kernel (6, 6), pad (0, 0), dilation (1, 1), got (5, 5). Hint: "
     "enlarge the input or the pad, or make the kernel smaller."),
])
def test_errors_say_what_was_expected(text, expected):
    assert refusal(text, X) == expected


def test_a_bottom_of_other_than_four_axes_is_refused():
    assert refusal(layer("MAX", "kernel_size: 2"), {"x": np.zeros((2, 3, 5))}) == (
        "ShapeError: Pooling 'l': expected a bottom of 4 axes (N, C, H, W), got (2, 3, 5).")
