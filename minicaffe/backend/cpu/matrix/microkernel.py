"""The innermost product, on vector registers: all matrix work of this backend ends up here."""

from __future__ import annotations

from numba.core import cgutils, types
from numba.extending import intrinsic

from ..vectors.llvm import (
    ROWS,
    TALL,
    as_vector,
    broadcast,
    fetch,
    first_lanes,
    integer,
    load_some,
    multiply_add,
    pointer,
    rolled,
    store_some,
    zeros,
)


@intrinsic
def multiply_tile(typing_context, count, depth, a, a_at, row, row_at, col, col_at,
                  b, left, right, line, line_at, bias, bias_at, last, slope,
                  y, y_at, stride, y_left, left_count, y_right, right_count):
    """A tile of a product: ``y[i, j] = start + sum over k < depth of A[i, k] * B[k, j]``.

    Up to ROWS rows and two vectors wide, it stays in registers for the whole sum.  All operands
    are flat arrays, each with the index at which to start, and tables (int64) of places::

        A[i, k] = a[a_at + row[row_at + i] + col[col_at + k]]                      i < count
        B[k, j] = b[left + line[line_at + k] + j]       and from ``right`` the second vector

    so that matrices with any strides will do, packed ones, and images in which a column of A is a
    pixel and a row a tap.  Row i of the tile begins at ``y_at + i * stride``, and there, with
    left_count and right_count elements, at y_left and y_right.

    bias, bias_at: the start is bias[bias_at + i]; with bias_at < 0 it is what y holds.
    last: whether ``slope`` follows: ``v if v > 0 else slope * v + 0``, as in ``leaky``.
    """
    return _tile(ROWS, (ROWS + 1) // 2, 2, locals())


@intrinsic
def multiply_tall_tile(typing_context, count, depth, a, a_at, row, row_at, col, col_at,
                       b, left, right, line, line_at, bias, bias_at, last, slope,
                       y, y_at, stride, y_left, left_count, y_right, right_count):
    """``multiply_tile`` for TALL rows and one vector, the left one."""
    return _tile(TALL, 0, 1, locals())


_ARGUMENTS = ("count depth a a_at row row_at col col_at b left right line line_at bias bias_at "
              "last slope y y_at stride y_left left_count y_right right_count").split()


def _tile(rows: int, fewer: int, vectors: int, kinds: dict):
    """The code of a tile; where ``fewer`` rows would do, if not 0, it computes no more."""
    given = [kinds[name] for name in _ARGUMENTS]

    def generate(context, builder, signature, args):
        n = dict(zip(_ARGUMENTS, args))
        kinds = dict(zip(_ARGUMENTS, signature.args))
        for name, at in (("a", "a_at"), ("row", "row_at"), ("col", "col_at"), ("b", None),
                         ("line", "line_at"), ("y", "y_at")):
            n[name] = pointer(context, builder, kinds[name], n[name], n[at] if at else integer(0))
        n["bias"] = pointer(context, builder, kinds["bias"], n["bias"], integer(0))
        if fewer:
            few = builder.icmp_signed("<=", n["count"], integer(fewer))
            with builder.if_else(few) as (then, otherwise):
                with then:
                    _rows_of_tile(builder, fewer, vectors, n)
                with otherwise:
                    _rows_of_tile(builder, rows, vectors, n)
        else:
            _rows_of_tile(builder, rows, vectors, n)
        return context.get_dummy_value()

    return types.void(*given), generate


def _rows_of_tile(builder, rows: int, vectors: int, n: dict) -> None:
    masks = [first_lanes(builder, n[count]) for count in ("left_count", "right_count")[:vectors]]
    places = [builder.gep(n["y"], [n[name]]) for name in ("y_left", "y_right")[:vectors]]
    sums = [[cgutils.alloca_once_value(builder, zeros) for _ in range(vectors)]
            for _ in range(rows)]
    fresh = builder.icmp_signed(">=", n["bias_at"], integer(0))
    with builder.if_else(fresh) as (then, otherwise):
        with then:
            for i in range(rows):
                with builder.if_then(builder.icmp_signed("<", integer(i), n["count"])):
                    start = broadcast(builder, builder.load(builder.gep(
                        n["bias"], [builder.add(n["bias_at"], integer(i))]), align=4))
                    for total in sums[i]:
                        builder.store(start, total)
        with otherwise:
            for i in range(rows):
                for place, total in zip(places, sums[i]):
                    builder.store(zeros, total)
                    row = builder.mul(n["stride"], integer(i))
                    fetch(builder, builder.gep(place, [row]), write=True)
    a = [builder.gep(n["a"], [builder.load(builder.gep(n["row"], [integer(i)]))])
         for i in range(rows)]
    b = [builder.gep(n["b"], [n[name]]) for name in ("left", "right")[:vectors]]
    with rolled(builder, n["depth"]) as k:
        shift = builder.load(builder.gep(n["col"], [k]))
        line = builder.load(builder.gep(n["line"], [k]))
        factors = [builder.load(as_vector(builder, builder.gep(at, [line])), align=4) for at in b]
        for i in range(rows):
            value = broadcast(builder, builder.load(builder.gep(a[i], [shift]), align=4))
            for total, factor in zip(sums[i], factors):
                builder.store(multiply_add(builder, value, factor, builder.load(total)), total)
    with builder.if_then(builder.not_(fresh)):
        for i in range(rows):
            with builder.if_then(builder.icmp_signed("<", integer(i), n["count"])):
                for place, mask, total in zip(places, masks, sums[i]):
                    at = as_vector(builder, builder.gep(
                        place, [builder.mul(n["stride"], integer(i))]))
                    builder.store(builder.fadd(builder.load(total), load_some(builder, at, mask)),
                                  total)
    with builder.if_then(builder.icmp_signed("!=", n["last"], integer(0))):
        slope = broadcast(builder, n["slope"])
        for total in (total for line in sums for total in line):
            value = builder.load(total)
            negative = builder.fadd(builder.fmul(slope, value), zeros)
            builder.store(builder.select(builder.fcmp_ordered(">", value, zeros), value, negative),
                          total)
    for i in range(rows):
        with builder.if_then(builder.icmp_signed("<", integer(i), n["count"])):
            for place, mask, total in zip(places, masks, sums[i]):
                at = as_vector(builder, builder.gep(place, [builder.mul(n["stride"], integer(i))]))
                store_some(builder, builder.load(total), at, mask)
