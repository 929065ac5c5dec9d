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
def multiply_tile(typing_context, first, count, depth, left, right, ends, tile):
    """Rows of a product, from ``first`` on: ``y[i, j] = start + sum over k < depth of
    A[i, k] * B[k, j]``.

    Up to ROWS rows, ``count``, and two vectors wide, they stay in registers for the whole sum.

    Args:
        left, right, ends, tile: see ``operands``.
    """
    return _tile(ROWS, (ROWS + 1) // 2, 2, first, count, depth, left, right, ends, tile)


@intrinsic
def multiply_tall_tile(typing_context, first, count, depth, left, right, ends, tile):
    """``multiply_tile`` for TALL rows and one vector, the left one."""
    return _tile(TALL, 0, 1, first, count, depth, left, right, ends, tile)


def _tile(rows: int, fewer: int, vectors: int, *given):
    """The code of a tile; where ``fewer`` rows would do, if not 0, it computes no more."""
    def generate(context, builder, signature, args):
        first, count, depth = args[:3]
        left, right, ends, tile = (_parts(context, builder, kind, value)
                                   for kind, value in zip(signature.args[3:], args[3:]))
        from_row = builder.mul(first, tile["stride"])
        n = {"count": count, "depth": depth, "stride": tile["stride"],
             "last": ends["last"], "slope": ends["slope"],
             "is_fresh": builder.icmp_signed(">=", ends["bias_at"], integer(0)),
             "bias": _at(builder, ends["bias"], ends["bias_at"], first),
             "a": _at(builder, left["flat"], left["at"]),
             "row": _at(builder, left["row"], left["first_row"], first),
             "col": _at(builder, left["col"], left["first_col"]),
             "b": [_at(builder, right["flat"], right[name]) for name in ("left", "right")],
             "line": _at(builder, right["line"], right["first_line"]),
             "y": [_at(builder, tile["flat"], tile["at"], from_row, tile[name])
                   for name in ("left", "right")],
             "y_count": [tile[name] for name in ("left_count", "right_count")]}
        if fewer:
            few = builder.icmp_signed("<=", count, integer(fewer))
            with builder.if_else(few) as (then, otherwise):
                with then:
                    _rows_of_tile(builder, fewer, vectors, n)
                with otherwise:
                    _rows_of_tile(builder, rows, vectors, n)
        else:
            _rows_of_tile(builder, rows, vectors, n)
        return context.get_dummy_value()

    return types.void(*given), generate


def _parts(context, builder, kind: types.NamedTuple, value) -> dict:
    """What a NamedTuple holds, by name; of an array, where it begins."""
    parts = zip(kind.fields, kind.types, cgutils.unpack_tuple(builder, value))
    return {name: pointer(context, builder, part, held, integer(0))
            if isinstance(part, types.Array) else held for name, part, held in parts}


def _at(builder, start, *shifts):
    for shift in shifts:
        start = builder.gep(start, [shift])
    return start


def _rows_of_tile(builder, rows: int, vectors: int, n: dict) -> None:
    masks = [first_lanes(builder, count) for count in n["y_count"][:vectors]]
    places = n["y"][:vectors]
    sums = [[cgutils.alloca_once_value(builder, zeros) for _ in range(vectors)]
            for _ in range(rows)]
    with builder.if_else(n["is_fresh"]) as (then, otherwise):
        with then:
            for i in range(rows):
                with builder.if_then(builder.icmp_signed("<", integer(i), n["count"])):
                    start = broadcast(builder, builder.load(
                        builder.gep(n["bias"], [integer(i)]), align=4))
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
    with rolled(builder, n["depth"]) as k:
        shift = builder.load(builder.gep(n["col"], [k]))
        line = builder.load(builder.gep(n["line"], [k]))
        factors = [builder.load(as_vector(builder, builder.gep(at, [line])), align=4)
                   for at in n["b"][:vectors]]
        for i in range(rows):
            value = broadcast(builder, builder.load(builder.gep(a[i], [shift]), align=4))
            for total, factor in zip(sums[i], factors):
                builder.store(multiply_add(builder, value, factor, builder.load(total)), total)
    with builder.if_then(builder.not_(n["is_fresh"])):
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
