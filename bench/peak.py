"""The peak of the processor: multiplications and additions of vectors in registers, nothing else.

    python bench/peak.py 2      GFLOP/s on two threads, in float32
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import llvmlite.binding
import numba
import numpy
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8
CHAINS = 12  # independent sums: enough to hide how long one addition takes
OPERATIONS = 2 * LANES * CHAINS  # in one turn


@intrinsic
def multiply_adds(typing_context, turns, factor):
    """``sum = sum * factor + factor`` so many times, in CHAINS vectors; the first one's first."""
    def generate(context, builder, signature, args):
        turns, factor = args
        vector = ir.VectorType(ir.FloatType(), LANES)
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{LANES}f32")
        lanes = ir.Constant(vector, ir.Undefined)
        for lane in range(LANES):
            lanes = builder.insert_element(lanes, factor, ir.IntType(32)(lane))
        sums = [cgutils.alloca_once_value(builder, lanes) for _ in range(CHAINS)]
        with cgutils.for_range(builder, turns):
            for place in sums:
                builder.store(builder.call(fma, [builder.load(place), lanes, lanes]), place)
        total = _sum(builder, [builder.load(place) for place in sums])
        return builder.extract_element(total, ir.IntType(32)(0))

    return types.float32(turns, factor), generate


def _sum(builder, vectors):
    """The sum of vectors."""
    total, *rest = vectors
    for vector in rest:
        total = builder.fadd(total, vector)
    return total


@numba.njit(parallel=True)
def _run(turns, parts, out):
    for part in numba.prange(parts):
        out[16 * part] = multiply_adds(turns, numpy.float32(0.5))  # a line of the cache for each


def peak(threads: int, clock: Callable[[], float] = time.perf_counter,
         seconds: float = 0.5) -> float:
    """GFLOP/s on so many threads by a clock: the best of many short runs."""
    numba.set_num_threads(threads)
    out, turns, best = numpy.zeros(16 * threads, numpy.float32), 500_000, 0.0
    _run(1000, threads, out)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = clock()
        _run(turns, threads, out)
        best = max(best, 1e-9 * threads * turns * OPERATIONS / (clock() - began))
    return best


if __name__ == "__main__":
    print(f"{peak(int(sys.argv[1])):.0f}")
