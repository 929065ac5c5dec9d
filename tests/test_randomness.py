import itertools

import numpy
import pytest

from minicaffe import TRAIN, Net, randomness, set_random_seed

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 4] } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 8 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "y" top: "z" }
"""


@pytest.fixture
def forgotten_seed():
    before = randomness._seed
    randomness._seed = None
    yield
    randomness._seed = before


def test_a_key_depends_on_the_seed_and_on_every_part_of_the_place():
    keys = [randomness.key(*where) for where in (
        (1,), (2,), (1, "drop"), (1, "drop", 0), (1, "drop", 1), (1, "drop1"), (1, "dro", "p"))]
    assert len(set(keys)) == len(keys)
    assert all(0 <= key < 2**64 for key in keys)


def test_a_key_is_the_same_on_every_machine():
    assert randomness.key(1, "drop1", 7) == 17893199931242980884


def test_a_generator_belongs_to_its_place():
    first = randomness.generator(1, "ip", 0).random(5)
    randomness.generator(1, "ip", 1).random(100)
    assert (randomness.generator(1, "ip", 0).random(5) == first).all()
    assert (randomness.generator(1, "ip", 1).random(5) != first).all()


def test_nets_take_the_seed_that_was_set(parse_net, forgotten_seed):
    set_random_seed(7)
    nets = [Net(parse_net(NET), TRAIN, device="numpy", **seed) for seed in ({}, {}, {"seed": 8})]
    weights = [net.params["ip"][0].data for net in nets]
    assert nets[0].seed == 7
    assert (weights[0] == weights[1]).all() and (weights[0] != weights[2]).any()


def test_without_a_seed_nets_differ(parse_net, forgotten_seed):
    nets = [Net(parse_net(NET), TRAIN, device="numpy") for _ in range(2)]
    assert (nets[0].params["ip"][0].data != nets[1].params["ip"][0].data).any()


def test_no_parameter_begins_as_another_one_does(make_net):
    layer = """
    layer { name: "%s" type: "InnerProduct" bottom: "x" top: "%s" inner_product_param {
      num_output: 8 weight_filler { type: "uniform" } bias_filler { type: "uniform" } } }"""
    net = make_net('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 4] } }'
                   " }" + layer % ("a", "y") + layer % ("b", "z") + layer % ("a", "u"))
    parameters = [blob.data.ravel() for found in net.layers for blob in found.blobs]
    assert len(parameters) == 6
    for first, second in itertools.combinations(parameters, 2):
        assert (first[:8] != second[:8]).all()


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_dropout_changes_from_pass_to_pass_and_repeats_with_the_pass(make_net, device):
    def masks(net):
        net.params["ip"][1].data[...] = 5
        return [net.forward()["z"] != 0 for _ in range(3)]

    first, again = (masks(make_net(NET, device=device)) for _ in range(2))
    assert (numpy.array(first) == numpy.array(again)).all()
    assert (first[0] != first[1]).any() and (first[1] != first[2]).any()
    assert (first[0] == masks(make_net(NET, device="numpy"))[0]).all()


def test_a_pass_that_starts_in_the_middle_keeps_the_mask(make_net):
    net = make_net(NET)
    net.params["ip"][1].data[...] = 5
    first = net.forward()["z"].copy()
    net.blobs["z"].data[...] = 0
    assert (net.forward(start="drop")["z"] == first).all()
