"""Copies of matrices whose rows lie apart, compiled: threads share out pieces of rows."""

from __future__ import annotations

from numpy import uint64

from .matrix.gemm import flat
from .runtime.parallel import parallel

_PIECE = 512  # elements of a row that one thread copies at a time


def copy(threads: int, x, out) -> None:
    """``out = x``: matrices of one shape; a row's elements lie side by side."""
    _copy(threads, *flat(x)[:2], *flat(out)[:2], *x.shape)


@parallel
def _copy(part, parts, x, x_stride, out, out_stride, count, length):
    pieces = (length + _PIECE - 1) // _PIECE
    units = count * pieces
    for unit in range(units * part // parts, units * (part + 1) // parts):
        row, first = unit // pieces, unit % pieces * _PIECE
        source, target = uint64(row * x_stride + first), uint64(row * out_stride + first)
        for i in range(uint64(min(_PIECE, length - first))):
            out[target + i] = x[source + i]
