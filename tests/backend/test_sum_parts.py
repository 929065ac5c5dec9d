"""How many parts sums have."""

from __future__ import annotations

import pytest

from minicaffe.backend.cpu.sum_parts import parts_of_batch, parts_of_sum, parts_of_tiles


@pytest.mark.parametrize("size, outputs, places, parts", [
    (1000, 1, 1, 1), (4 * 4096 * 3, 1, 100, 3), (4 * 4096 * 3, 1, 2, 2), (10**9, 1, 10**6, 64),
    (10**6, 10**5, 300, 1), (10**6, 16000, 300, 3)])
def test_a_sum_has_parts_for_much_work_few_outputs_and_places_to_be_cut(size, outputs, places,
                                                                        parts):
    assert parts_of_sum(size, outputs, places, 4096) == parts


@pytest.mark.parametrize("batch, units, parts", [(1, 1, 1), (64, 1, 16), (64, 5, 4), (3, 2, 3),
                                                 (64, 100, 1)])
def test_a_batch_is_cut_until_there_are_16_units(batch, units, parts):
    assert parts_of_batch(batch, units) == parts


@pytest.mark.parametrize("units, floats, blocks, parts", [
    (1, 1000, 100, 16), (1, 1000, 7, 4), (3, 1000, 100, 4), (1, 1 << 22, 100, 2), (100, 1, 9, 1),
    (1, 1 << 24, 100, 1)])
def test_tiles_are_cut_into_a_power_of_two_that_has_room(units, floats, blocks, parts):
    assert parts_of_tiles(units, floats, blocks) == parts
