"""The functions that element-wise mathematics of layers and solvers is written with.

A function such as ``where(x > 0, x, slope * x)`` is a formula of one element.  Because these names
are NumPy's universal functions it can be evaluated on whole arrays as it stands (the reference),
and because every fast backend knows them it can be compiled into one loop (see ``Backend.map``).
"""

from __future__ import annotations

import numpy
from numpy import (  # noqa: F401  (offered to layers, which import no array library themselves)
    abs,
    add,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    multiply,
    positive,  # x itself
    power,
    sign,
    sqrt,
    tanh,
    trunc,
)


def where(condition, a, b):
    """``a`` where the condition holds, else ``b``.

    A function of our own because numba compiles ``numpy.where`` of single numbers into something a
    hundred times slower than a choice; the compiled backend reads it as ``a if .. else b``.
    """
    return numpy.where(condition, a, b)


def leaky(x, slope):
    """``x if x > 0 else slope * x``: a ReLU with a slope on its negative side."""
    return where(x > 0, x, slope * x + 0)  # -0.0 + 0 is 0.0: a slope of 0 leaves no minus sign


def sigmoid(x):
    """``1 / (1 + exp(-x))``, with no exponential of a positive number, which could overflow."""
    small = exp(-abs(x))
    return where(x >= 0, 1, small) / (1 + small)
