"""Softmax and random numbers, compiled: rows, or runs of elements, are shared out to threads."""

from __future__ import annotations

import math

import numpy

from .shares import shared


@shared
def softmax(part, parts, x, y):
    """``y[:, c] = exp(x[:, c]) / sum over k of exp(x[:, k])``; x, y: (outer, C, inner)."""
    outer, channels, inner = x.shape
    for row in range(outer * inner * part // parts, outer * inner * (part + 1) // parts):
        n, i = row // inner, row % inner
        largest = x[n, 0, i]
        for c in range(1, channels):
            # written so that a NaN stays: the largest of a row with one is NaN
            largest = largest if largest >= x[n, c, i] or largest != largest else x[n, c, i]
        total = numpy.float32(0)
        for c in range(channels):
            y[n, c, i] = math.exp(x[n, c, i] - largest)
            total += y[n, c, i]
        for c in range(channels):
            y[n, c, i] /= total


@shared
def uniform(part, parts, key, out):
    """Fill the flat ``out`` with numbers in [0, 1): SplitMix64, counted instead of iterated."""
    start = numpy.uint64(key[0])
    for i in range(out.size * part // parts, out.size * (part + 1) // parts):
        z = start + numpy.uint64(i + 1) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
        out[i] = numpy.float32(z >> numpy.uint64(40)) * numpy.float32(2.0**-24)
