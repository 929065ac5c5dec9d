"""Uniform random numbers, compiled: each depends on the key and its place alone."""

from __future__ import annotations

from numpy import float32, int32, uint64

from .runtime.parallel import parallel


@parallel
def uniform(part, parts, key, out):
    """Fill the flat ``out`` with numbers in [0, 1): SplitMix64, counted instead of iterated."""
    start = uint64(key[0])
    first, end = uint64(out.size * part // parts), uint64(out.size * (part + 1) // parts)
    for i in range(first, end):
        z = start + (i + uint64(1)) * uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
        z = z ^ (z >> uint64(31))
        out[i] = float32(int32(z >> uint64(40))) * float32(2.0**-24)
