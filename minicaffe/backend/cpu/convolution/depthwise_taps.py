"""What depthwise convolution does with vectors: see ``depthwise``.

As in ``microkernel``, bounds are not checked: callers keep ``BLOCK`` floats of slack behind every
buffer.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..vectors.llvm import (
    LANES,
    as_vector,
    broadcast,
    first_lanes,
    integer,
    lane,
    load_some,
    multiply_add,
    pointer,
    store_some,
    zeros,
)

_VECTORS = 4  # summed up side by side: an addition takes as long as four take to start
BLOCK = _VECTORS * LANES


@intrinsic
def weigh_taps(typing_context, image, image_at, tap, first, end, weight, weight_at, order,
               bias, slope, out, out_at):
    """``out[i] = v if v > 0 else slope * v + 0`` for i < BLOCK, as in ``leaky``, where
    ``v = bias + sum over first <= k < end of weight[order[k]] * image[tap[k] + i]``.

    Args: flat arrays, each with the index at which to start; tap and order hold int64.
    """
    def generate(context, builder, signature, args):
        image, image_at, tap, first, end, weight, weight_at, order, bias, slope, out, out_at = args
        kinds = signature.args
        image = pointer(context, builder, kinds[0], image, image_at)
        tap = pointer(context, builder, kinds[2], tap, first)
        weight = pointer(context, builder, kinds[5], weight, weight_at)
        order = pointer(context, builder, kinds[7], order, first)
        out = pointer(context, builder, kinds[10], out, out_at)
        bias, slope = broadcast(builder, bias), broadcast(builder, slope)
        sums = [cgutils.alloca_once_value(builder, bias) for _ in range(_VECTORS)]
        with cgutils.for_range(builder, builder.sub(end, first)) as loop:
            place = builder.load(builder.gep(order, [loop.index]))
            factor = broadcast(builder, builder.load(builder.gep(weight, [place]), align=4))
            shift = builder.load(builder.gep(tap, [loop.index]))
            for total, place in zip(sums, _block(builder, builder.gep(image, [shift]))):
                value = builder.load(place, align=4)
                builder.store(multiply_add(builder, factor, value, builder.load(total)), total)
        for total, place in zip(sums, _block(builder, out)):
            value = builder.load(total)
            negative = builder.fadd(builder.fmul(slope, value), zeros)
            positive = builder.fcmp_ordered(">", value, zeros)
            builder.store(builder.select(positive, value, negative), place, align=4)
        return context.get_dummy_value()

    given = [image, image_at, tap, first, end, weight, weight_at, order, bias, slope, out, out_at]
    return types.void(*given), generate


@intrinsic
def correlate_taps(typing_context, image, image_at, tap, taps, dy, dy_at, sums, sums_at):
    """``sums[k] += sum over i < BLOCK of image[tap[k] + i] * dy[i]`` and ``sums[taps] += dy[i]``.

    sums is (taps + 1, LANES): the lanes of a row have yet to be added up.
    """
    def generate(context, builder, signature, args):
        image, image_at, tap, taps, dy, dy_at, sums, sums_at = args
        kinds = signature.args
        image = pointer(context, builder, kinds[0], image, image_at)
        tap = pointer(context, builder, kinds[2], tap, integer(0))
        sums = pointer(context, builder, kinds[6], sums, sums_at)
        factors = [builder.load(place, align=4) for place in _block(
            builder, pointer(context, builder, kinds[4], dy, dy_at))]
        with cgutils.for_range(builder, taps) as loop:
            shift = builder.load(builder.gep(tap, [loop.index]))
            row = _row(builder, sums, loop.index)
            total = builder.load(row, align=4)
            for factor, place in zip(factors, _block(builder, builder.gep(image, [shift]))):
                total = multiply_add(builder, factor, builder.load(place, align=4), total)
            builder.store(total, row, align=4)
        row = _row(builder, sums, taps)
        total = builder.load(row, align=4)
        for factor in factors:
            total = builder.fadd(total, factor)
        builder.store(total, row, align=4)
        return context.get_dummy_value()

    return types.void(image, image_at, tap, taps, dy, dy_at, sums, sums_at), generate


@intrinsic
def read_some(typing_context, source, source_at, target, target_at, count):
    """``target[:LANES]`` = the first ``count`` elements, then zeros."""
    def generate(context, builder, signature, args):
        source, target = (as_vector(builder, pointer(context, builder, kind, *place))
                          for kind, place in zip(signature.args[:4:2], (args[:2], args[2:4])))
        values = load_some(builder, source, first_lanes(builder, args[4]))
        builder.store(values, target, align=4)
        return context.get_dummy_value()

    return types.void(source, source_at, target, target_at, count), generate


@intrinsic
def write_some(typing_context, source, source_at, target, target_at, count):
    """``target[:count] = source[:count]``; at most LANES elements, but reads that many.

    A masked load would wait until what was just written has left for the cache.
    """
    def generate(context, builder, signature, args):
        source, target = (as_vector(builder, pointer(context, builder, kind, *place))
                          for kind, place in zip(signature.args[:4:2], (args[:2], args[2:4])))
        store_some(builder, builder.load(source, align=4), target,
                    first_lanes(builder, args[4]))
        return context.get_dummy_value()

    return types.void(source, source_at, target, target_at, count), generate


@intrinsic
def split_pairs(typing_context, source, source_at, even_at, odd_at, target, count):
    """The first ``count`` elements, at most 2 LANES: the even ones to one place, the odd ones to
    the other.  Whole vectors are written, with zeros behind those elements."""
    def generate(context, builder, signature, args):
        source, source_at, even_at, odd_at, target, count = args
        source = pointer(context, builder, signature.args[0], source, source_at)
        halves = [load_some(builder, place, mask)
                  for place, mask in _halves(builder, source, count)]
        for phase, at in enumerate((even_at, odd_at)):
            place = pointer(context, builder, signature.args[4], target, at)
            values = builder.shuffle_vector(*halves, _lanes(range(phase, 2 * LANES, 2)))
            builder.store(values, as_vector(builder, place), align=4)
        return context.get_dummy_value()

    return types.void(source, source_at, even_at, odd_at, target, count), generate


@intrinsic
def join_pairs(typing_context, source, even_at, odd_at, target, target_at, count):
    """The reverse: ``target[:count]`` from two places in turn; at most 2 LANES elements."""
    def generate(context, builder, signature, args):
        source, even_at, odd_at, target, target_at, count = args
        phases = [builder.load(as_vector(builder, pointer(
            context, builder, signature.args[0], source, at)), align=4) for at in (even_at, odd_at)]
        target = pointer(context, builder, signature.args[3], target, target_at)
        order = [i // 2 + i % 2 * LANES for i in range(2 * LANES)]
        for (place, mask), lanes in zip(_halves(builder, target, count),
                                        (order[:LANES], order[LANES:])):
            store_some(builder, builder.shuffle_vector(*phases, _lanes(lanes)), place, mask)
        return context.get_dummy_value()

    return types.void(source, even_at, odd_at, target, target_at, count), generate


def _block(builder, pointer):
    """The places of a block's vectors."""
    return [as_vector(builder, builder.gep(pointer, [integer(v * LANES)])) for v in range(_VECTORS)]


def _row(builder, sums, row):
    return as_vector(builder, builder.gep(sums, [builder.mul(row, integer(LANES))]))


def _lanes(numbers):
    return ir.Constant(ir.VectorType(lane, LANES), list(numbers))


def _halves(builder, pointer, count):
    """Two vectors' places, and masks of their first ``count`` lanes."""
    return [(as_vector(builder, builder.gep(pointer, [integer(start)])),
             first_lanes(builder, builder.sub(count, integer(start)))) for start in (0, LANES)]
