import pytest

from minicaffe import TEST, TRAIN
from minicaffe.errors import NetError
from minicaffe.net import description
from minicaffe.proto import NetState

# ------------------------------------------------------------------------------ include, exclude


@pytest.mark.parametrize("rules, state, included", [
    ("", {}, True),
    ("include { phase: TRAIN }", {"phase": TRAIN}, True),
    ("include { phase: TRAIN }", {"phase": TEST}, False),
    ("exclude { phase: TRAIN }", {"phase": TRAIN}, False),
    ("exclude { phase: TRAIN }", {"phase": TEST}, True),
    ("include { phase: TRAIN } include { phase: TEST }", {"phase": TEST}, True),
    ("exclude { phase: TRAIN } exclude { phase: TEST }", {"phase": TEST}, False),
    ("include { min_level: 3 }", {"level": 2}, False),
    ("include { min_level: 3 }", {"level": 3}, True),
    ("include { max_level: -3 }", {"level": -3}, True),
    ("include { max_level: -3 }", {}, False),
    ("include { min_level: 2 max_level: 4 }", {"level": 5}, False),
    ("exclude { min_level: 2 max_level: 4 }", {"level": 3}, False),
    ("include { stage: 'deploy' }", {}, False),
    ("include { stage: 'deploy' }", {"stage": ["deploy", "more"]}, True),
    ("include { stage: 'a' stage: 'b' }", {"stage": ["a"]}, False),
    ("include { stage: 'a' stage: 'b' }", {"stage": ["b", "a"]}, True),
    ("include { stage: 'a' } include { stage: 'b' }", {"stage": ["b"]}, True),
    ("include { not_stage: 'a' }", {"stage": ["a"]}, False),
    ("include { not_stage: 'a' }", {"stage": ["b"]}, True),
    ("include { stage: 'a' not_stage: 'b' }", {"stage": ["a", "b"]}, False),
    ("exclude { not_stage: 'a' }", {}, False),
    ("include { phase: TRAIN stage: 'a' }", {"phase": TEST, "stage": ["a"]}, False),
    ("include {}", {}, True),
    ("exclude {}", {}, False),
])
def test_a_layer_is_in_where_its_rules_hold(parse_net, rules, state, included):
    net = parse_net(f'layer {{ name: "l" type: "Silence" {rules} }}')
    chosen = description.filter_net(net, NetState(**state))
    assert len(chosen.layer) == included
    assert len(net.layer) == 1, "the net itself stays as it is"


def test_a_layer_has_rules_of_one_kind(parse_net):
    net = parse_net('layer { name: "l" type: "Data" include { } exclude { } }')
    with pytest.raises(NetError) as error:
        description.filter_net(net, NetState())
    assert str(error.value) == "Data 'l': expected include rules or exclude rules, got both."


def test_filtering_keeps_the_order_and_all_else(parse_net):
    net = parse_net("""name: "n" force_backward: true
        layer { name: "a" type: "A" } layer { name: "b" type: "B" include { phase: TEST } }
        layer { name: "c" type: "C" lr_mult: 3 }""".replace("lr_mult: 3", "param { lr_mult: 3 }"))
    chosen = description.filter_net(net, NetState(phase=TRAIN))
    assert [layer.name for layer in chosen.layer] == ["a", "c"]
    assert chosen.name == "n" and chosen.force_backward and chosen.layer[1].param[0].lr_mult == 3


def test_every_layer_has_a_type(parse_net):
    with pytest.raises(NetError) as error:
        description.check_types(parse_net('layer { type: "A" } layer { name: "b" }'))
    assert str(error.value) == "layer 1 'b': expected a type, got none."


# ---------------------------------------------------------------------------------------- splits

@pytest.fixture
def split(parse_net):
    """Layers as "name: bottoms -> tops" after splits, from layers in the same form."""
    def run(*lines, losses=None):
        text = []
        for line in lines:
            name, _, rest = line.partition(":")
            bottoms, tops = (part.split() for part in rest.split("->"))
            text.append(f'layer {{ name: "{name}" type: "T" ' + " ".join(
                [f'bottom: "{b}"' for b in bottoms] + [f'top: "{t}"' for t in tops]) + "}")
        net = description.insert_splits(parse_net("\n".join(text)),
                                  lambda layer, j: (losses or {}).get(layer.top[j], 0))
        run.net = net
        return [" ".join([f"{layer.name}:", *layer.bottom, "->", *layer.top])
                for layer in net.layer]
    return run


def test_a_blob_used_once_is_not_split(split):
    lines = ["data: -> x label", "ip: x -> y", "loss: y label -> l"]
    assert split(*lines) == lines


def test_a_blob_used_twice_is_split_under_caffes_names(split):
    assert split("data: -> x label", "ip1: x -> a", "ip2: x -> b", "loss: b label -> l") == [
        "data: -> x label",
        "x_data_0_split: x -> x_data_0_split_0 x_data_0_split_1",
        "ip1: x_data_0_split_0 -> a",
        "ip2: x_data_0_split_1 -> b",
        "loss: b label -> l"]
    assert split.net.layer[1].type == "Split"


def test_a_layer_may_take_one_blob_twice(split):
    assert split("data: -> x", "sum: x x -> s")[2] == (
        "sum: x_data_0_split_0 x_data_0_split_1 -> s")


def test_the_index_of_the_top_is_in_the_name(split):
    assert split("data: -> x label", "loss: x label -> l", "accuracy: x label -> a") == [
        "data: -> x label",
        "x_data_0_split: x -> x_data_0_split_0 x_data_0_split_1",
        "label_data_1_split: label -> label_data_1_split_0 label_data_1_split_1",
        "loss: x_data_0_split_0 label_data_1_split_0 -> l",
        "accuracy: x_data_0_split_1 label_data_1_split_1 -> a"]


def test_what_a_layer_in_place_made_is_split_behind_it(split):
    assert split("data: -> x", "relu: x -> x", "a: x -> y", "b: x -> z") == [
        "data: -> x", "relu: x -> x",
        "x_relu_0_split: x -> x_relu_0_split_0 x_relu_0_split_1",
        "a: x_relu_0_split_0 -> y", "b: x_relu_0_split_1 -> z"]


def test_splitting_twice_changes_nothing_more(parse_net, split):
    once = split("data: -> x", "a: x -> y", "b: x -> z", "c: x -> w")
    assert split(*once) == once


def test_a_layer_in_place_needs_its_bottom_for_itself(split):
    with pytest.raises(NetError) as error:
        split("data: -> x", "before: x -> y", "relu: x -> x")
    assert str(error.value) == ("T 'relu': expected a top of its own, got its bottom 'x', which "
                                "another layer, or the loss, needs as it is.")


def test_a_loss_that_is_consumed_is_the_first_copy(split):
    assert split("data: -> x", "loss: x -> l m", "a: l -> y", losses={"l": 2, "m": 3}) == [
        "data: -> x", "loss: x -> l m",
        "l_loss_0_split: l -> l_loss_0_split_0 l_loss_0_split_1",
        "a: l_loss_0_split_1 -> y"]
    loss, copies = split.net.layer[1:3]
    assert list(copies.loss_weight) == [2, 0] and list(loss.loss_weight) == [0, 3]


def test_several_losses_of_a_layer_that_are_consumed_count_once_each(split):
    split("data: -> x", "loss: x -> l m", "a: l m -> y", "b: l m -> z", losses={"l": 2, "m": 3})
    loss, l_copies, m_copies = split.net.layer[1:4]
    assert list(loss.loss_weight) == [0, 0]
    assert list(l_copies.loss_weight) == [2, 0, 0] and list(m_copies.loss_weight) == [3, 0, 0]


def test_a_layer_in_place_may_not_overwrite_a_loss(split):
    with pytest.raises(NetError, match="got its bottom 'l', which another layer"):
        split("data: -> x", "loss: x -> l", "relu: l -> l", losses={"l": 1})


# --------------------------------------------------------------------------------- wrong graphs

@pytest.mark.parametrize("lines, unknown, hint", [
    (["ip: x -> y"], "x", "there is no blob yet."),
    (["ip: y -> z", "data: -> y"], "y", "there is no blob yet."),
    (["data: -> conv1", "ip: conv_1 -> y"], "conv_1", "did you mean 'conv1'?"),
    (["data: -> x label", "ip: y -> z"], "y", "the blobs so far are x, label."),
])
def test_a_bottom_must_be_made_before(split, lines, unknown, hint):
    with pytest.raises(NetError) as error:
        split(*lines)
    assert str(error.value) == (f"T 'ip': expected a bottom made by a layer before it, got "
                                f"'{unknown}'. Hint: {hint}")


@pytest.mark.parametrize("lines, doubled", [
    (["a: -> x", "b: -> x"], "x"), (["a: -> y", "b: y -> x x"], "x"),
    (["a: -> x y", "b: x y -> y"], "y")])
def test_a_top_is_made_once(split, lines, doubled):
    with pytest.raises(NetError) as error:
        split(*lines)
    maker = "b" if lines[1].endswith("x x") else "a"
    assert str(error.value) == (
        f"T 'b': expected a top of its own, got '{doubled}', which layer '{maker}' makes. "
        "Hint: only a layer in place may name a bottom as its top.")


# ------------------------------------------------------------------------------- losses' tops

def test_a_loss_without_a_top_gets_an_automatic_one(parse_net):
    net = parse_net('layer { name: "data" type: "D" top: "a" } layer { name: "loss" type: "L" } '
                    'layer { name: "a" type: "L" } layer { name: "b" type: "L" top: "c" }')
    description.add_loss_tops(net, lambda layer: 1 - len(layer.top))
    description.add_loss_tops(net, lambda layer: 1 - len(layer.top))
    assert [list(layer.top) for layer in net.layer] == [
        ["a"], ["(automatic)"], ["(automatic)_1"], ["c"]]
