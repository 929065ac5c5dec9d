"""The tile of other processors than this one: the kernels with vectors of 4 and 8 floats."""

from __future__ import annotations

import platform

import pytest

from minicaffe.backend.cpu.runtime.numba_internals import target
from minicaffe.backend.cpu.vectors.llvm import tile

from .processes import printed

AGREE = """
import numpy
from minicaffe.backend import get_backend
from minicaffe.backend.cpu.vectors import llvm
from minicaffe.window import Window
backend, reference = get_backend("cpu"), get_backend("numpy")
draw = lambda seed, *shape: numpy.random.default_rng(seed).standard_normal(shape)
x, w, b, dy = draw(0, 3, 10, 9, 14), draw(1, 14, 5, 3, 3), draw(2, 14), draw(3, 3, 14, 5, 7)
window, results = Window((3, 3), (2, 2), (1, 1), (1, 1)), []
for device, kind in ((backend, numpy.float32), (reference, float)):
    xk, wk, bk, dyk = (a.astype(kind) for a in (x, w, b, dy))
    y, dw, db, dx, out = dyk * 0, wk * 0, bk * 0, xk * 0, numpy.zeros((35, 50), kind)
    device.conv_forward(xk, wk, bk, y, window, 2, 0.1)
    device.conv_backward_weight(xk, dyk, dw, db, window, 2)
    device.conv_backward_data(dyk, wk, dx, window, 2)
    device.matmul(dyk.reshape(35, -1), xk.reshape(-1)[:42 * 50].reshape(42, 50), out)
    results.append((y, dw, db, dx, out))
print(llvm.LANES, max(abs(a - b).max() / abs(b).max() for a, b in zip(*results)) < 1e-5)
"""


def test_the_tile_fills_the_registers():
    assert tile("+avx,+avx512f", "x86_64") == (16, 8, 2)
    assert tile("+avx,-avx512f", "x86_64") == (8, 6, 2)
    assert tile("", "x86_64") == (4, 4, 2)
    assert tile("+neon", "arm64") == tile("", "aarch64") == (4, 8, 2)


@pytest.mark.parametrize("lanes, needed, features", [
    (4, "+sse2", ""), (8, "+fma", "+avx,+avx2,+fma")])
def test_kernels_agree_with_the_reference_on_other_vectors(lanes, needed, features):
    if platform.machine().lower() not in ("x86_64", "amd64") or needed not in target()[1]:
        pytest.skip(f"this processor lacks {needed}")
    assert printed(AGREE, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features,
                   MINICAFFE_THREADS="1") == [f"{lanes} True"]
