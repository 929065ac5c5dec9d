"""Fillers: the values that parameters start from.  Drawn on the host, so devices start alike.

n is the count that xavier and msra divide by: FAN_IN (the default) the elements of one output,
w.size / w.shape[0]; FAN_OUT w.size / w.shape[1]; AVERAGE their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container

import numpy
from numpy.random import Generator

from .errors import MinicaffeError, ParameterError, ShapeError, expect_known
from .proto import FillerParameter, NetParameter

_fillers: dict[str, Callable] = {}


def filler(function: Callable) -> Callable:
    """Register ``function(param, shape, rng, where)`` as the filler of its name."""
    _fillers[function.__name__] = function
    return function


def fill(param, shape: tuple[int, ...], rng: Generator, where: str) -> numpy.ndarray:
    """Values of a FillerParameter for an array of ``shape``, float64.

    Args:
        rng: the generator that belongs to this array alone.
        where: the layer and its parameter, for the errors.

    Errors: ParameterError for an unknown type; ShapeError where it does not fit the shape.
    """
    expect_known(param.type, _fillers, f"{where}: filler",
                 f"a type among {', '.join(sorted(_fillers))}")
    if param.sparse != -1 and param.type != "gaussian":
        raise ParameterError(f"{where}: filler '{param.type}'", "no 'sparse': gaussian only",
                             param.sparse)
    try:
        return numpy.asarray(_fillers[param.type](param, shape, rng, where), float)
    except (ValueError, OverflowError) as error:
        if isinstance(error, MinicaffeError):
            raise
        raise ParameterError(f"{where}: filler '{param.type}'", "numbers it can draw with",
                             " ".join(str(param).split()), str(error)) from error


@filler
def constant(param, shape, rng, where):
    """Every element ``value``."""
    return numpy.full(shape, param.value)


@filler
def uniform(param, shape, rng, where):
    """U(min, max)."""
    return rng.uniform(param.min, param.max, shape)


@filler
def gaussian(param, shape, rng, where):
    """N(mean, std^2); with ``sparse`` each element stays with probability sparse / shape[0]."""
    values = rng.normal(param.mean, param.std, shape)
    if param.sparse != -1:
        if len(shape) < 1 or param.sparse < 0:
            raise ParameterError(f"{where}: filler 'gaussian'", "sparse of 0 or more",
                                 param.sparse)
        values *= rng.random(shape) < min(1.0, param.sparse / shape[0])
    return values


@filler
def positive_unitball(param, shape, rng, where):
    """U(0, 1), then each row (one output) divided by its sum."""
    rows = rng.random(shape).reshape(shape[0] if shape else 1, -1)
    return (rows / rows.sum(axis=1, keepdims=True)).reshape(shape)


@filler
def xavier(param, shape, rng, where):
    """U(-sqrt(3 / n), sqrt(3 / n)).  Source: Glorot and Bengio (2010), with Caffe's n."""
    bound = math.sqrt(3 / _fan(param, shape, where))
    return rng.uniform(-bound, bound, shape)


@filler
def msra(param, shape, rng, where):
    """N(0, 2 / n).  Source: He et al. (2015)."""
    return rng.normal(0, math.sqrt(2 / _fan(param, shape, where)), shape)


@filler
def bilinear(param, shape, rng, where):
    """The kernel of bilinear interpolation, for an upsampling Deconvolution; (O, C, k, k)."""
    if len(shape) != 4 or shape[2] != shape[3]:
        raise ShapeError(f"{where}: filler 'bilinear'", "4 axes, the last two equal", shape)
    k = shape[3]
    factor = math.ceil(k / 2)
    centre = (k - 1) / (2 * factor)
    tent = 1 - numpy.abs(numpy.arange(k) / factor - centre)
    return numpy.broadcast_to(tent[:, None] * tent, shape)


def _fan(param, shape, where) -> float:
    if not shape or 0 in shape:
        raise ShapeError(f"{where}: filler '{param.type}'", "1 or more axes, none empty", shape)
    count = math.prod(shape)
    fan_in, fan_out = count / shape[0], count / shape[1] if len(shape) > 1 else count
    return {0: fan_in, 1: fan_out, 2: (fan_in + fan_out) / 2}[param.variance_norm]


def without_fillers(net: NetParameter, layers: Container[str] | None = None) -> NetParameter:
    """A copy of the net in which the weights of the named layers, or of all, begin as zeros: these
    take neither time nor, until somebody looks, memory."""
    plain = NetParameter()
    plain.CopyFrom(net)
    for layer in plain.layer:
        if layers is not None and layer.name not in layers:
            continue
        for _, message in layer.ListFields():
            for field, value in getattr(message, "ListFields", list)():
                if isinstance(value, FillerParameter):
                    message.ClearField(field.name)
    return plain
