"""Split: one blob for several consumers."""

import numpy as np
import pytest

from minicaffe.testing import OneLayerNet, assert_same, check_layer

from .naive import numbers


@pytest.mark.parametrize("tops", [1, 2, 3, 4, 6])
def test_each_top_is_the_bottom_and_their_diffs_add_up(tops):
    names = " ".join(f'top: "y{k}"' for k in range(tops))
    check_layer(f'type: "Split" {names}', {"x": numbers(2, 3, 4)},
                [numbers(2, 3, 4)] * tops if tops > 1 else numbers(2, 3, 4))


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_tops_take_no_memory_of_their_own(device):
    net = OneLayerNet('type: "Split" top: "a" top: "b"', {"x": np.ones(5)}, device=device)
    net.forward()
    net.net.blobs["x"].data[2] = 7
    assert_same(net.net.blobs["b"].data, [1, 1, 7, 1, 1], "b")
