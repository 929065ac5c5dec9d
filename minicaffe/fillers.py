"""Fillers: the values that parameters start from.  Drawn on the host, so devices start alike.

n is the count that xavier and msra divide by: FAN_IN (the default) the elements of one output,
w.size / w.shape[0]; FAN_OUT w.size / w.shape[1]; AVERAGE their mean.

A large array is drawn in pieces, each from a stream of random numbers of its own, so that threads
can share them out and the numbers are the same for any number of threads.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Container
from concurrent.futures import ThreadPoolExecutor

import numpy
from numpy.random import Generator

from .allocation import does_not_fit
from .errors import MinicaffeError, ParameterError, ShapeError, expect_known
from .proto import FillerParameter, NetParameter

_PIECE = 1 << 20  # elements
_THREADS = 4  # at most: each holds a piece in float64

_fillers: dict[str, Callable] = {}


def filler(function: Callable) -> Callable:
    """Register ``function(param, out, rng, where)``, which fills ``out``, as the filler of its
    name."""
    _fillers[function.__name__] = function
    return function


def fill(param, shape: tuple[int, ...], rng: Generator, where: str,
         out: numpy.ndarray | None = None) -> numpy.ndarray:
    """Values of a FillerParameter for an array of ``shape``.

    Args:
        rng: the generator that belongs to this array alone; a Philox.
        where: the layer and its parameter, for the errors.
        out: where to put them, C-contiguous; default: a new array, float64.

    Errors: ParameterError for an unknown type; ShapeError where it does not fit the shape.
    """
    expect_known(param.type, _fillers, f"{where}: filler",
                 f"a type among {', '.join(sorted(_fillers))}")
    if param.sparse != -1 and param.type != "gaussian":
        raise ParameterError(f"{where}: filler '{param.type}'", "no 'sparse': gaussian only",
                             param.sparse)
    if out is None:
        try:
            out = numpy.empty(shape)
        except (MemoryError, ValueError, OverflowError) as error:
            raise does_not_fit(where, shape, float) from error
    try:
        _fillers[param.type](param, out, rng, where)
        return out
    except MemoryError as error:
        raise does_not_fit(where, shape, float) from error
    except (ValueError, OverflowError) as error:
        if isinstance(error, MinicaffeError):
            raise
        raise ParameterError(f"{where}: filler '{param.type}'", "numbers it can draw with",
                             " ".join(str(param).split()), str(error)) from error


@filler
def constant(param, out, rng, where):
    """Every element ``value``."""
    out[...] = param.value


@filler
def uniform(param, out, rng, where):
    """U(min, max)."""
    _draw(out, rng, lambda rng, count: rng.uniform(param.min, param.max, count))


@filler
def gaussian(param, out, rng, where):
    """N(mean, std^2); with ``sparse`` each element stays with probability sparse / shape[0]."""
    _draw(out, rng, lambda rng, count: rng.normal(param.mean, param.std, count))
    if param.sparse != -1:
        if out.ndim < 1 or param.sparse < 0:
            raise ParameterError(f"{where}: filler 'gaussian'", "sparse of 0 or more",
                                 param.sparse)
        out *= rng.random(out.shape) < min(1.0, param.sparse / len(out))


@filler
def positive_unitball(param, out, rng, where):
    """U(0, 1), then each row (one output) divided by its sum."""
    rows = rng.random(out.shape).reshape(len(out) if out.ndim else 1, -1)
    out[...] = (rows / rows.sum(axis=1, keepdims=True)).reshape(out.shape)


@filler
def xavier(param, out, rng, where):
    """U(-sqrt(3 / n), sqrt(3 / n)).  Source: Glorot and Bengio (2010), with Caffe's n."""
    bound = math.sqrt(3 / _fan(param, out.shape, where))
    _draw(out, rng, lambda rng, count: rng.uniform(-bound, bound, count))


@filler
def msra(param, out, rng, where):
    """N(0, 2 / n).  Source: He et al. (2015)."""
    deviation = math.sqrt(2 / _fan(param, out.shape, where))
    _draw(out, rng, lambda rng, count: rng.normal(0, deviation, count))


@filler
def bilinear(param, out, rng, where):
    """The kernel of bilinear interpolation, for an upsampling Deconvolution; (O, C, k, k)."""
    if out.ndim != 4 or out.shape[2] != out.shape[3]:
        raise ShapeError(f"{where}: filler 'bilinear'", "4 axes, the last two equal", out.shape)
    k = out.shape[3]
    factor = math.ceil(k / 2)
    centre = (k - 1) / (2 * factor)
    tent = 1 - numpy.abs(numpy.arange(k) / factor - centre)
    out[...] = tent[:, None] * tent


def _draw(out, rng: Generator, draw: Callable[[Generator, int], numpy.ndarray]) -> None:
    """Set ``out`` to numbers that ``draw`` draws, as many as it is asked for.

    The first piece comes from ``rng`` itself, the others from streams that begin 2^128 numbers
    after each other.
    """
    flat = out.reshape(-1)
    if flat.size <= _PIECE:
        flat[...] = draw(rng, flat.size)
        return
    pieces = [flat[at:at + _PIECE] for at in range(0, flat.size, _PIECE)]
    streams = [rng, *(Generator(rng.bit_generator.jumped(k)) for k in range(1, len(pieces)))]

    def draw_piece(piece, stream) -> None:
        piece[...] = draw(stream, piece.size)

    with ThreadPoolExecutor(min(os.cpu_count() or 1, _THREADS)) as threads:
        list(threads.map(draw_piece, pieces, streams))


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
        layer.ClearField("blobs")
        for _, message in layer.ListFields():
            for field, value in getattr(message, "ListFields", list)():
                if isinstance(value, FillerParameter):
                    message.ClearField(field.name)
    return plain
