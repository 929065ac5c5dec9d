"""Products of matrices by the ways that ``gemm`` has for some shapes and layouts, in float32."""

from __future__ import annotations

import numpy
import pytest

from minicaffe.backend.cpu.matrix import gemm
from minicaffe.backend.cpu.runtime.workspace import Workspace
from minicaffe.backend.cpu.vectors.llvm import COLUMNS, TALL


def draw(seed: int, *shape):
    return numpy.random.default_rng(seed).standard_normal(shape).astype(numpy.float32)


def product(threads: int, a, b, out, accumulate: bool):
    """``gemm.matmul`` into a part of a larger matrix, of which the rest must stay as it is."""
    height, width = out.shape
    around = draw(9, height + 2, width + 3)
    before, inside = around.copy(), (slice(1, 1 + height), slice(2, 2 + width))
    around[inside] = out
    gemm.matmul(Workspace(), threads, a, b, around[inside], accumulate)
    found = around[inside].copy()
    around[inside] = before[inside]
    assert (around == before).all()
    return found


def check(a, b, out):
    """Right, added to what was there or not, and the same bits on three threads."""
    wanted = a.astype(float) @ b.astype(float)
    bound = 1e-6 * (numpy.abs(a).astype(float) @ numpy.abs(b).astype(float) + numpy.abs(out))
    for accumulate in (False, True):
        found = product(1, a, b, out, accumulate)
        assert (numpy.abs(found - wanted - accumulate * out) <= bound).all()
        assert (found == product(3, a, b, out, accumulate)).all()


@pytest.mark.parametrize("rows", [1, 2, 4])
@pytest.mark.parametrize("columns", [1, 3, 35])
@pytest.mark.parametrize("depth", [1, 15, 16, 70])
def test_few_rows_or_columns_along_both_of_which_memory_runs(rows, columns, depth):
    a, b, out = draw(0, rows, depth + 2)[:, 1:-1], draw(1, columns, depth), draw(2, rows, columns)
    check(a, b.T, out)
    check(b, a.T, out.T)


def test_few_rows_of_nan_and_infinity():
    a, b, out = draw(0, 3, 20), draw(1, 6, 20), numpy.full((3, 6), numpy.nan, numpy.float32)
    a[1, 17], b[4, 3] = numpy.inf, numpy.nan
    gemm.matmul(Workspace(), 1, a, b.T, out, False)
    assert numpy.isnan(out[:, 4]).all() and numpy.isinf(numpy.delete(out[1], 4)).all()
    assert numpy.isfinite(numpy.delete(out[[0, 2]], 4, axis=1)).all()


@pytest.mark.parametrize("shape", [
    (40, 3, 70), (7, 20, 33), (33, 256, 40), (50, 257, 300), (300, 600, 130), (530, 40, 64),
    (256, 300, 96)])
def test_a_left_matrix_whose_rows_lie_side_by_side(shape):
    height, depth, width = shape
    check(draw(0, depth, height).T, draw(1, depth, width), draw(2, height, width))
    check(draw(0, depth, height + 3)[:, 1:-2].T, draw(1, depth, width), draw(2, height, width))


def test_results_that_the_caches_do_not_hold():
    check(draw(0, 9, 600).T, draw(1, 9, 501), draw(2, 600, 501))
    check(draw(0, 600, 9), draw(1, 9, 501), draw(2, 600, 501))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("height, depth, width", [
    (224, 300, 10), (700, 300, 10), (60, 256, 100), (40, 33, 64), (500, 700, 300)])
def test_tables_of_rows_reach_as_far_as_tiles_read(monkeypatch, height, depth, width, transposed,
                                                   threads):
    """What a tile reads of a table behind its rows would be taken for places."""
    seen = []
    monkeypatch.setattr(gemm, "_product", lambda *arguments: seen.append(arguments))
    a = draw(1, depth, height).T if transposed else draw(1, height, depth)
    gemm.matmul(Workspace(), threads, a, draw(2, depth, width), draw(3, height, width), False)
    _, cut, _, left, *_ = seen[0]
    assert cut.rows % TALL == cut.step % TALL == 0
    if left.size:
        assert left.row.size == 2 * cut.rows
        assert left.row[:cut.rows].max() + (cut.deep - 1) * COLUMNS < left.size
    else:
        assert left.row.size >= -(-cut.height // TALL) * TALL


@pytest.mark.parametrize("depth", [200, 256, 300, 557])
def test_a_packed_left_matrix_of_several_panels_whose_last_block_is_less_deep(depth):
    random = numpy.random.default_rng(depth)
    a = random.standard_normal((depth, 200)).astype(numpy.float32).T
    b = random.standard_normal((depth, 200)).astype(numpy.float32)
    out = numpy.zeros((200, 200), numpy.float32)
    gemm.matmul(Workspace(), 1, a, b, out, False)
    numpy.testing.assert_allclose(out, a.astype(float) @ b, rtol=0, atol=2e-4)
