"""What the layers' tests share: odd numbers, convolution from its definition, error texts."""

from itertools import product

import numpy as np
import pytest

from minicaffe import TEST, MinicaffeError
from minicaffe.testing import OneLayerNet


def numbers(*shape, seed=0):
    """Normal random numbers that float32 holds exactly."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def refusal(layer, inputs, phase=TEST):
    """The text with which a layer refuses what it is given."""
    with pytest.raises(MinicaffeError) as caught:
        OneLayerNet(layer, inputs, phase=phase).forward()
    return f"{type(caught.value).__name__}: {caught.value}"


def convolve(x, w, b, output, stride, pad, dilation, group):
    """y[n, o, p] = b[o] + sum of w[o, c, k] * x[n, c, p * stride - pad + k * dilation]."""
    y = np.zeros((len(x), len(w), *output))
    inputs, outputs = w.shape[1], len(w) // group
    for n, o, p in product(range(len(x)), range(len(w)), np.ndindex(*output)):
        total = 0.0 if b is None else b[o]
        for c, k in product(range(inputs), np.ndindex(*w.shape[2:])):
            at = tuple(p[a] * stride[a] - pad[a] + k[a] * dilation[a] for a in range(len(p)))
            if all(0 <= i < size for i, size in zip(at, x.shape[2:])):
                total += w[(o, c, *k)] * x[(n, o // outputs * inputs + c, *at)]
        y[(n, o, *p)] = total
    return y


def repeated(operand, axis, shape):
    """What an operand with the axes from ``axis`` on is beside an array of ``shape``."""
    out = np.empty(shape)
    for index in np.ndindex(*shape):
        out[index] = operand[index[axis:axis + np.ndim(operand)]]
    return out
