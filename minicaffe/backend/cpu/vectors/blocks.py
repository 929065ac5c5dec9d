"""Vectors and blocks of them copied, turned and added: what moves numbers to where tiles read them.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from . import llvm
from .llvm import (
    LANES,
    as_vector,
    first_lanes,
    integer,
    load_some,
    pointer,
    store_some,
    turned_square,
    zeros,
)

_LINE = 16  # floats in a cache line


@intrinsic
def copy_vector(typing_context, source, source_at, target, target_at, count):
    """``target[:count] = source[:count]``, at most a vector."""
    def generate(context, builder, signature, args):
        source = as_vector(builder, pointer(context, builder, signature.args[0],
                                              args[0], args[1]))
        target = as_vector(builder, pointer(context, builder, signature.args[2],
                                              args[2], args[3]))
        whole = builder.icmp_signed(">=", args[4], integer(LANES))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                builder.store(builder.load(source, align=4), target, align=4)
            with otherwise:
                mask = first_lanes(builder, args[4])
                store_some(builder, load_some(builder, source, mask), target, mask)
        return context.get_dummy_value()

    return types.void(source, source_at, target, target_at, count), generate


@intrinsic
def transpose_block(typing_context, source, source_at, source_stride, rows, columns,
                    target, target_at, target_stride):
    """``target[j, i] = source[i, j]`` of a block of at most (LANES, LANES).

    Writes whole vectors: LANES numbers of each of ``columns`` rows of the target, those beyond
    ``rows`` zero.
    """
    def generate(context, builder, signature, args):
        _, source_at, source_stride, rows, columns, _, target_at, target_stride = args
        source = pointer(context, builder, signature.args[0], args[0], source_at)
        target = pointer(context, builder, signature.args[5], args[5], target_at)
        mask = first_lanes(builder, columns)
        lines = []
        for i in range(LANES):
            some = builder.select(builder.icmp_signed("<", integer(i), rows), mask,
                                  ir.Constant(mask.type, [0] * LANES))
            place = builder.gep(source, [builder.mul(source_stride, integer(i))])
            lines.append(load_some(builder, as_vector(builder, place), some))
        for j, line in enumerate(turned_square(builder, lines)):
            with builder.if_then(builder.icmp_signed("<", integer(j), columns)):
                place = builder.gep(target, [builder.mul(target_stride, integer(j))])
                builder.store(line, as_vector(builder, place), align=4)
        return context.get_dummy_value()

    given = [source, source_at, source_stride, rows, columns, target, target_at, target_stride]
    return types.void(*given), generate


@intrinsic
def clear_floats(typing_context, target, target_at, count):
    """``target[:count] = 0``."""
    def generate(context, builder, signature, args):
        target = pointer(context, builder, signature.args[0], args[0], args[1])
        cgutils.memset(builder, target, builder.mul(args[2], integer(4)), 0)
        return context.get_dummy_value()

    return types.void(target, target_at, count), generate


@intrinsic
def add_vector(typing_context, source, source_at, target, target_at, count):
    """``target[:count] += source[:count]`` for a count of at most LANES."""
    def generate(context, builder, signature, args):
        source = pointer(context, builder, signature.args[0], args[0], args[1])
        target = as_vector(builder, pointer(context, builder, signature.args[2],
                                              args[2], args[3]))
        values = builder.select(first_lanes(builder, args[4]),
                                builder.load(as_vector(builder, source), align=4), zeros)
        total = builder.fadd(builder.load(target, align=4), values)
        builder.store(total, target, align=4)
        return context.get_dummy_value()

    return types.void(source, source_at, target, target_at, count), generate


@intrinsic
def spread_block(typing_context, source, source_at, stride, rows, columns,
                 target, target_at, places, first):
    """``target[places[first + j] + i] = source[i * stride + j]`` for i, j < LANES.

    What lies behind ``columns`` is not read but written, as zeros, and behind ``rows`` the last row
    is repeated.
    """
    def generate(context, builder, signature, args):
        _, source_at, stride, rows, columns, _, target_at, _, first = args
        source = pointer(context, builder, signature.args[0], args[0], source_at)
        target = pointer(context, builder, signature.args[5], args[5], target_at)
        places = pointer(context, builder, signature.args[7], args[7], first)
        mask, last = first_lanes(builder, columns), builder.sub(rows, integer(1))
        lines = []
        for i in range(LANES):
            row = builder.select(builder.icmp_signed("<", integer(i), last), integer(i), last)
            place = builder.gep(source, [builder.mul(stride, row)])
            lines.append(load_some(builder, as_vector(builder, place), mask))
        for j, line in enumerate(turned_square(builder, lines)):
            place = builder.gep(target, [builder.load(builder.gep(places, [integer(j)]))])
            builder.store(line, as_vector(builder, place), align=4)
        return context.get_dummy_value()

    return types.void(source, source_at, stride, rows, columns, target, target_at, places,
                      first), generate


@intrinsic
def collect_block(typing_context, source, source_at, places, first,
                  target, target_at, stride, rows, columns):
    """``target[i * stride + j] = source[places[first + j] + i]`` for i < rows, j < columns; of both
    at most LANES."""
    def generate(context, builder, signature, args):
        _, source_at, _, first, _, target_at, stride, rows, columns = args
        source = pointer(context, builder, signature.args[0], args[0], source_at)
        places = pointer(context, builder, signature.args[2], args[2], first)
        target = pointer(context, builder, signature.args[4], args[4], target_at)
        mask = first_lanes(builder, columns)
        lines = [builder.load(as_vector(builder, builder.gep(
            source, [builder.load(builder.gep(places, [integer(j)]))])), align=4)
            for j in range(LANES)]
        for i, line in enumerate(turned_square(builder, lines)):
            with builder.if_then(builder.icmp_signed("<", integer(i), rows)):
                place = builder.gep(target, [builder.mul(stride, integer(i))])
                store_some(builder, line, as_vector(builder, place), mask)
        return context.get_dummy_value()

    return types.void(source, source_at, places, first, target, target_at, stride, rows,
                      columns), generate


@intrinsic
def add_lines(typing_context, source, source_at, count, target, target_at):
    """``target[:LANES] += source[i * LANES:][:LANES]`` for i < count, a multiple of 4 or not."""
    def generate(context, builder, signature, args):
        source = pointer(context, builder, signature.args[0], args[0], args[1])
        place = as_vector(builder, pointer(context, builder, signature.args[3], args[3], args[4]))
        sums = [cgutils.alloca_once_value(builder, zeros) for _ in range(4)]
        fours = builder.and_(args[2], integer(-4))
        with cgutils.for_range_slice(builder, integer(0), fours, integer(4)) as (index, _):
            for n, total in enumerate(sums):
                _add_line(builder, source, builder.add(index, integer(n)), total)
        with cgutils.for_range_slice(builder, fours, args[2], integer(1)) as (index, _):
            _add_line(builder, source, index, sums[0])
        a, b, c, d = (builder.load(total) for total in sums)
        total = builder.fadd(builder.fadd(a, b), builder.fadd(c, d))
        builder.store(builder.fadd(builder.load(place, align=4), total), place, align=4)
        return context.get_dummy_value()

    return types.void(source, source_at, count, target, target_at), generate


def _add_line(builder, source, index, total):
    place = as_vector(builder, builder.gep(source, [builder.mul(index, integer(LANES))]))
    builder.store(builder.fadd(builder.load(total), builder.load(place, align=4)), total)


@intrinsic
def fetch(typing_context, source, source_at, count):
    """Have the processor bring ``source[:count]`` into its second cache, beside other work.

    What lies beyond the end of the array does no harm.
    """
    def generate(context, builder, signature, args):
        source = pointer(context, builder, signature.args[0], args[0], args[1])
        with cgutils.for_range_slice(builder, integer(0), args[2], integer(_LINE)) as (index, _):
            llvm.fetch(builder, builder.gep(source, [index]), level=2)
        return context.get_dummy_value()

    return types.void(source, source_at, count), generate
