"""Vectors in LLVM's language: their size on this machine, and what kernels written in it share.

NumPy's arrays know nothing of registers, so some functions of this backend are written in LLVM's
language, from Python, through numba's ``intrinsic``.  LLVM turns vectors of ``LANES`` floats into
whatever the machine has, so that no compiler is needed.  Such functions check no bounds: callers
keep ``LANES`` floats of slack behind every buffer that whole vectors are read from or written to.
"""

from __future__ import annotations

import platform
from contextlib import contextmanager

from llvmlite import ir
from numba.core import cgutils

from ..runtime.numba_internals import target


def tile(features: str, machine: str) -> tuple[int, int, int]:
    """(lanes of a vector, rows of a tile, vectors in a row): as many as the registers hold."""
    if "+avx512f" in features.split(","):
        return 16, 8, 2
    if "+avx" in features.split(","):
        return 8, 6, 2
    return 4, 8 if machine in ("aarch64", "arm64") else 4, 2


LANES, ROWS, _VECTORS = tile(target()[1], platform.machine())
COLUMNS = LANES * _VECTORS
TALL = ROWS * _VECTORS  # rows of a tile that is one vector wide

number, integer, lane = ir.FloatType(), ir.IntType(64), ir.IntType(32)
vector = ir.VectorType(number, LANES)
zeros = ir.Constant(vector, [0.0] * LANES)


@contextmanager
def rolled(builder, count):
    """A loop that LLVM leaves as it is; unrolled, a tile would not fit into the registers."""
    before = builder.block
    head, body, end = (builder.append_basic_block(f"rolled.{name}")
                       for name in ("head", "body", "end"))
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(integer)
    index.add_incoming(integer(0), before)
    builder.cbranch(builder.icmp_signed("<", index, count), body, end)
    builder.position_at_end(body)
    yield index
    index.add_incoming(builder.add(index, integer(1)), builder.block)
    disable = builder.module.add_metadata(["llvm.loop.unroll.disable"])
    loop = builder.module.add_metadata([disable, integer(0)])
    loop.operands = (loop, disable)  # LLVM knows a loop's properties by a node that names itself
    builder.branch(head).set_metadata("llvm.loop", loop)
    builder.position_at_end(end)


def pointer(context, builder, kind, array, at):
    """The address of element ``at`` of a flat array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [at])


def as_vector(builder, pointer):
    return builder.bitcast(pointer, vector.as_pointer())


def broadcast(builder, value):
    """A vector with ``value`` in each lane."""
    empty = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    first = builder.insert_element(empty, value, lane(0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(lane, LANES),
                                                            [0] * LANES))


def first_lanes(builder, count):
    """A mask of the first ``count`` lanes."""
    lanes = ir.Constant(ir.VectorType(lane, LANES), list(range(LANES)))
    return builder.icmp_signed("<", lanes, broadcast(builder, builder.trunc(count, lane)))


def load_some(builder, source, mask, rest=zeros):
    """Load the lanes of a mask, those of ``rest`` for the others, and touch nothing else."""
    return masked(builder, "load", rest.type, [source], mask, [rest])


def store_some(builder, values, target, mask):
    """Store the lanes of a mask and touch nothing else."""
    masked(builder, "store", values.type, [values, target], mask)


def masked(builder, what: str, kind, given, mask, rest=()):
    """Call LLVM's function that does ``what`` for the lanes of a mask.

    Args:
        what: "load", "store", "gather" or "scatter".
        kind: of the vector: of floats or of ints, of 32 bits each.
        given, rest: what stands before, and behind, the alignment and the mask.
    """
    given = [*given, lane(4), mask, *rest]
    letter = "f" if kind.element == number else "i"
    many = f"v{LANES}" if what in ("gather", "scatter") else ""
    result = kind if what in ("load", "gather") else ir.VoidType()
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(result, [value.type for value in given]),
        f"llvm.masked.{what}.v{LANES}{letter}32.{many}p0")
    return builder.call(function, given)


def multiply_add(builder, a, b, c):
    """``a * b + c``; rounded once where the machine has an instruction for it."""
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{LANES}f32")
    return builder.call(function, [a, b, c])


def fetch(builder, place, write: bool = False, level: int = 3):
    """Have the processor bring what is at an address into its caches; with level 2 not the nearest.

    There need not be anything.
    """
    byte = builder.bitcast(place, ir.IntType(8).as_pointer())
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [byte.type, lane, lane, lane]),
        "llvm.prefetch.p0")
    builder.call(function, [byte, lane(int(write)), lane(level), lane(1)])


def turned_square(builder, lines: list) -> list:
    """Exchange blocks off the diagonal, of half the size at each step."""
    half = LANES // 2
    while half:
        upper = [lane if lane & half == 0 else lane - half + LANES for lane in range(LANES)]
        lower = [lane + half if lane & half == 0 else lane + LANES for lane in range(LANES)]
        for i in range(LANES):
            if i & half == 0:
                a, b = lines[i], lines[i + half]
                lines[i], lines[i + half] = (
                    builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(lane, LANES), order))
                    for order in (upper, lower))
        half //= 2
    return lines
