"""Batches: which samples a pass sees, and what does not fit."""

import numpy
import pytest

from minicaffe import TEST, Net
from minicaffe.data import Batches, load_digits
from minicaffe.errors import ParameterError, ShapeError
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text

NET = """layer { name: "in" type: "Input" top: "x" top: "y"
  input_param { shape { dim: %d dim: 1 } shape { dim: %d } } }"""


def net_of(batch, seed=1):
    return Net(parse_text(NET % (batch, batch), NetParameter), TEST, device="numpy", seed=seed)


def samples(count):
    return {"x": numpy.arange(count).reshape(-1, 1), "y": numpy.arange(count) % 10}


def seen(source, net, ticks):
    rows = []
    for tick in ticks:
        source.fill(net, tick)
        rows.append(net.blobs["x"].data[:, 0].astype(int).tolist())
        assert net.blobs["y"].data.tolist() == [row % 10 for row in rows[-1]]
    return rows


def test_in_order_each_round_ends_with_what_is_left():
    source, net = Batches(samples(7)), net_of(3)
    assert seen(source, net, range(4)) == [[0, 1, 2], [3, 4, 5], [6], [0, 1, 2]]
    assert source.batches(net) == 3


def test_shuffled_every_epoch_sees_every_sample_once_in_a_new_order():
    source, net = Batches(samples(10), shuffle=True), net_of(4)
    rows = sum(seen(source, net, range(5)), [])  # 20 samples: two epochs
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert rows[:10] != rows[10:] and rows[:10] != sorted(rows[:10])


def test_a_pass_depends_on_seed_and_number_alone():
    there = seen(Batches(samples(10), shuffle=True), net_of(4), range(6))
    back = seen(Batches(samples(10), shuffle=True), net_of(4), reversed(range(6)))
    assert there == back[::-1]
    assert there != seen(Batches(samples(10), shuffle=True), net_of(4, seed=2), range(6))


def test_a_batch_may_be_larger_than_the_data():
    source, net = Batches(samples(3), shuffle=True), net_of(8)
    rows = seen(source, net, [0])[0]
    assert sorted(rows[:3]) == [0, 1, 2] and len(rows) == 8
    assert seen(Batches(samples(3)), net_of(8), [0, 1]) == [[0, 1, 2], [0, 1, 2]]


def test_what_does_not_fit_is_told():
    with pytest.raises(ShapeError, match="data: expected arrays of one length, got {'x': 2, 'y'"):
        Batches({"x": numpy.zeros((2, 1)), "y": numpy.zeros(3)})
    with pytest.raises(ParameterError, match="data: expected one sample or more in every array"):
        Batches({"x": numpy.zeros((0, 1))})
    with pytest.raises(ShapeError, match=r"blob 'x' of net 'net': expected samples of shape "
                                         r"\(1,\), got \(2,\)"):
        Batches({"x": numpy.zeros((4, 2)), "y": numpy.zeros(4)}).fill(net_of(2), 0)


def test_digits_are_split_once_and_for_all():
    digits = load_digits()
    assert digits.x.shape == (1438, 1, 8, 8) and digits.test_x.shape == (359, 1, 8, 8)
    assert digits.x.min() == 0 and digits.x.max() == 1
    assert digits.test_y[:8].astype(int).tolist() == [9, 4, 7, 0, 2, 6, 1, 3]
    assert sorted(set(digits.test_y)) == list(range(10))
