"""The innermost product, on vector registers: all matrix work of this backend ends up here.

NumPy's arrays know nothing of registers, so these few functions are written in LLVM's language,
from Python, through numba's ``intrinsic``.  LLVM turns vectors of ``LANES`` floats into whatever
the machine has, so that no compiler is needed.  They check no bounds: callers keep ``LANES``
floats of slack behind every buffer that vectors are read from or written to.
"""

from __future__ import annotations

import platform

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .jit import processor


def tile(features: str, machine: str) -> tuple[int, int, int]:
    """(lanes of a vector, rows of a tile, vectors in a row): as many as the registers hold."""
    if "+avx512f" in features.split(","):
        return 16, 8, 2
    if "+avx" in features.split(","):
        return 8, 6, 2
    return 4, 8 if machine in ("aarch64", "arm64") else 4, 2


LANES, ROWS, _VECTORS = tile(processor()[1], platform.machine())
COLUMNS = LANES * _VECTORS

_float, _int, _lane = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_vector = ir.VectorType(_float, LANES)


@intrinsic
def multiply_tile(typing_context, depth, a, a_at, row, row_at, col, col_at, b, b_at, tile, tile_at):
    """``tile[i, j] += sum over k < depth of a[row[i] + col[k]] * b[k, j]``.

    The tile (ROWS, COLUMNS) stays in registers for the whole sum; b is (depth, COLUMNS).  Where an
    element of ``a`` lies is the sum of an entry for its row and one for its column: that covers
    matrices with any strides, and images in which a column is a pixel and a row a tap.

    Args: flat arrays, each with the index at which to start; row and col hold int64.
    """
    def generate(context, builder, signature, args):
        depth, a, a_at, row, row_at, col, col_at, b, b_at, tile, tile_at = args
        kinds = signature.args
        a = _pointer(context, builder, kinds[1], a, a_at)
        row = _pointer(context, builder, kinds[3], row, row_at)
        col = _pointer(context, builder, kinds[5], col, col_at)
        b = _pointer(context, builder, kinds[7], b, b_at)
        tile = _pointer(context, builder, kinds[9], tile, tile_at)
        rows = [builder.gep(a, [builder.load(builder.gep(row, [_int(i)]))]) for i in range(ROWS)]
        places = [[_as_vector(builder, builder.gep(tile, [_int(i * COLUMNS + v * LANES)]))
                   for v in range(_VECTORS)] for i in range(ROWS)]
        sums = [[cgutils.alloca_once_value(builder, builder.load(place, align=4))
                 for place in line] for line in places]
        with cgutils.for_range(builder, depth) as loop:
            shift = builder.load(builder.gep(col, [loop.index]))
            line = builder.gep(b, [builder.mul(loop.index, _int(COLUMNS))])
            factors = [builder.load(_as_vector(builder, builder.gep(line, [_int(v * LANES)])),
                                    align=4) for v in range(_VECTORS)]
            for i in range(ROWS):
                value = _broadcast(builder, builder.load(builder.gep(rows[i], [shift]), align=4))
                for v in range(_VECTORS):
                    total = builder.load(sums[i][v])
                    builder.store(_multiply_add(builder, value, factors[v], total), sums[i][v])
        for i in range(ROWS):
            for v in range(_VECTORS):
                builder.store(builder.load(sums[i][v]), places[i][v], align=4)
        return context.get_dummy_value()

    given = [depth, a, a_at, row, row_at, col, col_at, b, b_at, tile, tile_at]
    return types.void(*given), generate


@intrinsic
def copy_vector(typing_context, source, source_at, target, target_at):
    """``target[:LANES] = source[:LANES]``."""
    def generate(context, builder, signature, args):
        source = _pointer(context, builder, signature.args[0], args[0], args[1])
        target = _pointer(context, builder, signature.args[2], args[2], args[3])
        values = builder.load(_as_vector(builder, source), align=4)
        builder.store(values, _as_vector(builder, target), align=4)
        return context.get_dummy_value()

    return types.void(source, source_at, target, target_at), generate


@intrinsic
def copy_floats(typing_context, source, source_at, target, target_at, count):
    """``target[:count] = source[:count]``."""
    def generate(context, builder, signature, args):
        source = _pointer(context, builder, signature.args[0], args[0], args[1])
        target = _pointer(context, builder, signature.args[2], args[2], args[3])
        cgutils.raw_memcpy(builder, target, source, args[4], 4)
        return context.get_dummy_value()

    return types.void(source, source_at, target, target_at, count), generate


@intrinsic
def clear_floats(typing_context, target, target_at, count):
    """``target[:count] = 0``."""
    def generate(context, builder, signature, args):
        target = _pointer(context, builder, signature.args[0], args[0], args[1])
        cgutils.memset(builder, target, builder.mul(args[2], _int(4)), 0)
        return context.get_dummy_value()

    return types.void(target, target_at, count), generate


@intrinsic
def finish_vector(typing_context, source, source_at, bias, slope, target, target_at, count):
    """``target[:count] = v if v > 0 else slope * v + 0``, ``v = source + bias``, count <= LANES.

    The 0 is that of ``leaky``, whose bits these are.
    """
    def generate(context, builder, signature, args):
        source = _pointer(context, builder, signature.args[0], args[0], args[1])
        target = _as_vector(builder, _pointer(context, builder, signature.args[4],
                                              args[4], args[5]))
        values = builder.fadd(builder.load(_as_vector(builder, source), align=4),
                              _broadcast(builder, args[2]))
        zero = ir.Constant(_vector, [0.0] * LANES)
        negative = builder.fadd(builder.fmul(_broadcast(builder, args[3]), values), zero)
        values = builder.select(builder.fcmp_ordered(">", values, zero), values, negative)
        with builder.if_else(builder.icmp_signed(">=", args[6], _int(LANES))) as (full, rest):
            with full:
                builder.store(values, target, align=4)
            with rest:
                _store_some(builder, values, target, args[6])
        return context.get_dummy_value()

    given = [source, source_at, bias, slope, target, target_at, count]
    return types.void(*given), generate


@intrinsic
def add_vector(typing_context, source, source_at, target, target_at, count):
    """``target[:count] += source[:count]`` for a count of at most LANES."""
    def generate(context, builder, signature, args):
        source = _pointer(context, builder, signature.args[0], args[0], args[1])
        target = _as_vector(builder, _pointer(context, builder, signature.args[2],
                                              args[2], args[3]))
        values = builder.select(_first_lanes(builder, args[4]),
                                builder.load(_as_vector(builder, source), align=4),
                                ir.Constant(_vector, [0.0] * LANES))
        total = builder.fadd(builder.load(target, align=4), values)
        builder.store(total, target, align=4)
        return context.get_dummy_value()

    return types.void(source, source_at, target, target_at, count), generate


def _pointer(context, builder, kind, array, at):
    """The address of element ``at`` of a flat array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [at])


def _as_vector(builder, pointer):
    return builder.bitcast(pointer, _vector.as_pointer())


def _broadcast(builder, value):
    """A vector with ``value`` in each lane."""
    empty = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    first = builder.insert_element(empty, value, _lane(0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(_lane, LANES),
                                                            [0] * LANES))


def _first_lanes(builder, count):
    """A mask of the first ``count`` lanes."""
    lanes = ir.Constant(ir.VectorType(_lane, LANES), list(range(LANES)))
    return builder.icmp_signed("<", lanes, _broadcast(builder, builder.trunc(count, _lane)))


def _store_some(builder, values, target, count):
    """Store the first ``count`` lanes and touch nothing behind them."""
    mask = _first_lanes(builder, count)
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [_vector, target.type, _lane, mask.type]),
        f"llvm.masked.store.v{LANES}f32.p0")
    builder.call(function, [values, target, _lane(4), mask])


def _multiply_add(builder, a, b, c):
    """``a * b + c``; rounded once where the machine has an instruction for it."""
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_vector, [_vector] * 3), f"llvm.fmuladd.v{LANES}f32")
    return builder.call(function, [a, b, c])
