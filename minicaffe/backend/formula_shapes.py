"""What ``map`` and ``sums`` ask of their arrays, and formulas evaluated on whole ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy

from ..errors import ParameterError, ShapeError


def check_sizes(function: Callable, outs: tuple, inputs: tuple) -> tuple[int, int, int]:
    """What ``map`` asks of its arrays; compiled loops would run past the end of a smaller one.

    Returns: out's elements as (outer, C, inner), of which some inputs have (1, C, 1); (1, 1, size)
    where there are none.
    Errors: ShapeError unless all outputs have one shape, and every input has as many elements as an
    output, one element, or the one broadcast shape.
    """
    shapes, shape, size = {out.shape for out in outs}, outs[0].shape, outs[0].size
    other = {value.shape for value in inputs if getattr(value, "size", 1) not in (1, size)}
    if len(shapes) > 1:
        raise ShapeError(f"formula '{function.__name__}'", "outputs of one shape",
                         " and ".join(map(str, sorted(shapes))))
    views = {split(shape, along) for along in other} or {(1, 1, size)}
    if None in views or len(views) > 1:
        raise ShapeError(f"formula '{function.__name__}'", f"inputs of 1 or {size} elements, or of "
                         f"one shape that repeats along axes of {shape}",
                         " and ".join(map(str, sorted(other))))
    return views.pop()


def check_sums(function: Callable, outs: tuple, inputs: tuple) -> tuple[int, int, int]:
    """What ``sums`` asks of its arrays.

    Returns: the first input's elements as (outer, C, inner), of which each output has (1, C, 1).
    Errors: ShapeError unless the outputs have one shape that repeats along the first input, and
    each other input has the first one's size, one element, or the outputs' shape.
    """
    where, shape, size = f"formula '{function.__name__}'", inputs[0].shape, inputs[0].size
    shapes = {out.shape for out in outs}
    view = split(shape, outs[0].shape)
    if len(shapes) > 1 or view is None:
        raise ShapeError(where, f"outputs of one shape that repeats along axes of {shape}",
                         " and ".join(map(str, sorted(shapes))))
    for value in inputs:
        if getattr(value, "size", 1) not in (1, size) and value.shape != outs[0].shape:
            raise ShapeError(where, f"inputs of 1 or {size} elements, or of the outputs' shape "
                             f"{outs[0].shape}", value.shape)
    return view


def split(shape: tuple[int, ...], along: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(outer, C, inner) such that arrays of ``shape`` and ``along``, seen as (outer, C, inner) and
    (1, C, 1), broadcast as they do themselves; None where there is no such view.
    """
    if math.prod(along) == 1:
        return 1, 1, math.prod(shape)
    axes = [axis for axis, size in enumerate(along) if size != 1]
    first, end = axes[0], axes[-1] + 1
    if len(along) != len(shape) or along[first:end] != shape[first:end]:
        return None
    return math.prod(shape[:first]), math.prod(shape[first:end]), math.prod(shape[end:])


def evaluated(function: Callable, shape: tuple[int, ...], inputs: tuple):
    """The values of a formula, on whole arrays; inputs as ``map`` takes them for out's shape.

    Errors: ParameterError for an ``if`` in the formula.
    """
    size = math.prod(shape)
    arrays = (x if numpy.isscalar(x) or x.size != size else x.reshape(shape) for x in inputs)
    try:
        return function(*arrays)
    except ValueError as error:
        if "truth value" not in str(error):
            raise
        raise ParameterError(f"formula '{function.__name__}'", "no if, and, or, not",
                             "one of them", "where(condition, a, b) of minicaffe.elementwise "
                             "chooses element by element.") from error
