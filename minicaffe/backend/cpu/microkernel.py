"""The innermost product, on vector registers: all matrix work of this backend ends up here.

NumPy's arrays know nothing of registers, so these few functions are written in LLVM's language,
from Python, through numba's ``intrinsic``.  LLVM turns vectors of ``LANES`` floats into whatever
the machine has, so that no compiler is needed.  They check no bounds: callers keep ``LANES``
floats of slack behind every buffer that whole vectors are read from or written to.
"""

from __future__ import annotations

import platform
from contextlib import contextmanager

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
TALL = ROWS * _VECTORS  # rows of a tile that is one vector wide

_float, _int, _lane = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_vector = ir.VectorType(_float, LANES)
_zeros = ir.Constant(_vector, [0.0] * LANES)


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
            n[name] = _pointer(context, builder, kinds[name], n[name], n[at] if at else _int(0))
        n["bias"] = _pointer(context, builder, kinds["bias"], n["bias"], _int(0))
        if fewer:
            few = builder.icmp_signed("<=", n["count"], _int(fewer))
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
    masks = [_first_lanes(builder, n[count]) for count in ("left_count", "right_count")[:vectors]]
    places = [builder.gep(n["y"], [n[name]]) for name in ("y_left", "y_right")[:vectors]]
    sums = [[cgutils.alloca_once_value(builder, _zeros) for _ in range(vectors)]
            for _ in range(rows)]
    fresh = builder.icmp_signed(">=", n["bias_at"], _int(0))
    with builder.if_else(fresh) as (then, otherwise):
        with then:
            for i in range(rows):
                with builder.if_then(builder.icmp_signed("<", _int(i), n["count"])):
                    start = _broadcast(builder, builder.load(builder.gep(
                        n["bias"], [builder.add(n["bias_at"], _int(i))]), align=4))
                    for total in sums[i]:
                        builder.store(start, total)
        with otherwise:
            for i in range(rows):
                for place, total in zip(places, sums[i]):
                    builder.store(_zeros, total)
                    _fetch(builder, builder.gep(place, [builder.mul(n["stride"], _int(i))]))
    a = [builder.gep(n["a"], [builder.load(builder.gep(n["row"], [_int(i)]))])
         for i in range(rows)]
    b = [builder.gep(n["b"], [n[name]]) for name in ("left", "right")[:vectors]]
    with _rolled(builder, n["depth"]) as k:
        shift = builder.load(builder.gep(n["col"], [k]))
        line = builder.load(builder.gep(n["line"], [k]))
        factors = [builder.load(_as_vector(builder, builder.gep(at, [line])), align=4) for at in b]
        for i in range(rows):
            value = _broadcast(builder, builder.load(builder.gep(a[i], [shift]), align=4))
            for total, factor in zip(sums[i], factors):
                builder.store(_multiply_add(builder, value, factor, builder.load(total)), total)
    with builder.if_then(builder.not_(fresh)):
        for i in range(rows):
            with builder.if_then(builder.icmp_signed("<", _int(i), n["count"])):
                for place, mask, total in zip(places, masks, sums[i]):
                    at = _as_vector(builder, builder.gep(
                        place, [builder.mul(n["stride"], _int(i))]))
                    builder.store(builder.fadd(builder.load(total), _load_some(builder, at, mask)),
                                  total)
    with builder.if_then(builder.icmp_signed("!=", n["last"], _int(0))):
        slope = _broadcast(builder, n["slope"])
        for total in (total for line in sums for total in line):
            value = builder.load(total)
            negative = builder.fadd(builder.fmul(slope, value), _zeros)
            builder.store(builder.select(builder.fcmp_ordered(">", value, _zeros), value, negative),
                          total)
    for i in range(rows):
        with builder.if_then(builder.icmp_signed("<", _int(i), n["count"])):
            for place, mask, total in zip(places, masks, sums[i]):
                at = _as_vector(builder, builder.gep(place, [builder.mul(n["stride"], _int(i))]))
                _store_some(builder, builder.load(total), at, mask)


@intrinsic
def copy_vectors(typing_context, source, source_at, offsets, first, end, target, target_at,
                 stride, count):
    """``target[i * stride:][:count] = source[offsets[first + i]:][:count]``, a vector at most, for
    each i < end - first: a run of some rows of a column matrix.

    A count of LANES or more writes whole vectors.
    """
    def generate(context, builder, signature, args):
        _, source_at, _, first, end, _, target_at, stride, count = args
        source = _pointer(context, builder, signature.args[0], args[0], source_at)
        offsets = _pointer(context, builder, signature.args[2], args[2], first)
        target = _pointer(context, builder, signature.args[5], args[5], target_at)
        mask = _first_lanes(builder, count)
        rows = builder.sub(end, first)
        whole = builder.icmp_signed(">=", count, _int(LANES))
        with builder.if_else(whole) as cases:
            for case, some in zip(cases, (None, mask)):
                with case, cgutils.for_range(builder, rows) as loop:
                    offset = builder.load(builder.gep(offsets, [loop.index]))
                    there = _as_vector(builder, builder.gep(source, [offset]))
                    here = _as_vector(builder, builder.gep(
                        target, [builder.mul(loop.index, stride)]))
                    if some is None:
                        builder.store(builder.load(there, align=4), here, align=4)
                    else:
                        _store_some(builder, _load_some(builder, there, some), here, some)
        return context.get_dummy_value()

    given = [source, source_at, offsets, first, end, target, target_at, stride, count]
    return types.void(*given), generate


@intrinsic
def copy_vector(typing_context, source, source_at, target, target_at, count):
    """``target[:count] = source[:count]``, at most a vector."""
    def generate(context, builder, signature, args):
        source = _as_vector(builder, _pointer(context, builder, signature.args[0],
                                              args[0], args[1]))
        target = _as_vector(builder, _pointer(context, builder, signature.args[2],
                                              args[2], args[3]))
        whole = builder.icmp_signed(">=", args[4], _int(LANES))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                builder.store(builder.load(source, align=4), target, align=4)
            with otherwise:
                mask = _first_lanes(builder, args[4])
                _store_some(builder, _load_some(builder, source, mask), target, mask)
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
        source = _pointer(context, builder, signature.args[0], args[0], source_at)
        target = _pointer(context, builder, signature.args[5], args[5], target_at)
        mask = _first_lanes(builder, columns)
        lines = []
        for i in range(LANES):
            some = builder.select(builder.icmp_signed("<", _int(i), rows), mask,
                                  ir.Constant(mask.type, [0] * LANES))
            place = builder.gep(source, [builder.mul(source_stride, _int(i))])
            lines.append(_load_some(builder, _as_vector(builder, place), some))
        for j, line in enumerate(_transposed(builder, lines)):
            with builder.if_then(builder.icmp_signed("<", _int(j), columns)):
                place = builder.gep(target, [builder.mul(target_stride, _int(j))])
                builder.store(line, _as_vector(builder, place), align=4)
        return context.get_dummy_value()

    given = [source, source_at, source_stride, rows, columns, target, target_at, target_stride]
    return types.void(*given), generate


def _transposed(builder, lines: list) -> list:
    """Exchange blocks off the diagonal, of half the size at each step."""
    half = LANES // 2
    while half:
        upper = [lane if lane & half == 0 else lane - half + LANES for lane in range(LANES)]
        lower = [lane + half if lane & half == 0 else lane + LANES for lane in range(LANES)]
        for i in range(LANES):
            if i & half == 0:
                a, b = lines[i], lines[i + half]
                lines[i], lines[i + half] = (
                    builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_lane, LANES), order))
                    for order in (upper, lower))
        half //= 2
    return lines


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
def add_vector(typing_context, source, source_at, target, target_at, count):
    """``target[:count] += source[:count]`` for a count of at most LANES."""
    def generate(context, builder, signature, args):
        source = _pointer(context, builder, signature.args[0], args[0], args[1])
        target = _as_vector(builder, _pointer(context, builder, signature.args[2],
                                              args[2], args[3]))
        values = builder.select(_first_lanes(builder, args[4]),
                                builder.load(_as_vector(builder, source), align=4), _zeros)
        total = builder.fadd(builder.load(target, align=4), values)
        builder.store(total, target, align=4)
        return context.get_dummy_value()

    return types.void(source, source_at, target, target_at, count), generate


@contextmanager
def _rolled(builder, count):
    """A loop that LLVM leaves as it is; unrolled, a tile would not fit into the registers."""
    before = builder.block
    head, body, end = (builder.append_basic_block(f"rolled.{name}")
                       for name in ("head", "body", "end"))
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(_int)
    index.add_incoming(_int(0), before)
    builder.cbranch(builder.icmp_signed("<", index, count), body, end)
    builder.position_at_end(body)
    yield index
    index.add_incoming(builder.add(index, _int(1)), builder.block)
    disable = builder.module.add_metadata(["llvm.loop.unroll.disable"])
    loop = builder.module.add_metadata([disable, _int(0)])
    loop.operands = (loop, disable)  # LLVM knows a loop's properties by a node that names itself
    builder.branch(head).set_metadata("llvm.loop", loop)
    builder.position_at_end(end)


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


def _load_some(builder, source, mask):
    """Load the lanes of a mask, the others zero, and touch nothing else."""
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_vector, [source.type, _lane, mask.type, _vector]),
        f"llvm.masked.load.v{LANES}f32.p0")
    return builder.call(function, [source, _lane(4), mask, _zeros])


def _store_some(builder, values, target, mask):
    """Store the lanes of a mask and touch nothing else."""
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [_vector, target.type, _lane, mask.type]),
        f"llvm.masked.store.v{LANES}f32.p0")
    builder.call(function, [values, target, _lane(4), mask])


def _multiply_add(builder, a, b, c):
    """``a * b + c``; rounded once where the machine has an instruction for it."""
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_vector, [_vector] * 3), f"llvm.fmuladd.v{LANES}f32")
    return builder.call(function, [a, b, c])


def _fetch(builder, place):
    """Have the processor bring what is at an address into its caches."""
    byte = builder.bitcast(place, ir.IntType(8).as_pointer())
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [byte.type, _lane, _lane, _lane]),
        "llvm.prefetch.p0")
    builder.call(function, [byte, _lane(1), _lane(3), _lane(1)])
