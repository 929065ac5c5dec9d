import numpy
import pytest

from minicaffe import TEST, Layer
from minicaffe.errors import KeepError

LENET = """
name: "lenet"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [3, 1, 12, 12] } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 3 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param {
  num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" convolution_param {
  num_output: 8 kernel_size: 2 weight_filler { type: "xavier" } bias_filler { value: 0.1 } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "relu3" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""
FAN_OUT = """
name: "fan"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [3, 5] } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 3 } } }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "soft" type: "Softmax" bottom: "b" top: "soft" }
layer { name: "c" type: "InnerProduct" bottom: "a" top: "c" loss_weight: 0.5
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "d" type: "InnerProduct" bottom: "soft" top: "d"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "e" type: "InnerProduct" bottom: "c" top: "e"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "gone" type: "Silence" bottom: "a" }
layer { name: "loss1" type: "SoftmaxWithLoss" bottom: "d" bottom: "label" top: "loss1" }
layer { name: "loss2" type: "SoftmaxWithLoss" bottom: "e" bottom: "label" top: "loss2"
  loss_weight: 0.3 }
"""
NETS = pytest.mark.parametrize("text", [LENET, FAN_OUT], ids=["lenet", "fan-out"])
DEVICES = pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])


def feed(net, seed=0):
    rng = numpy.random.default_rng(seed)
    for name in net.inputs:
        shape = net.blobs[name].shape
        net.blobs[name].data[...] = (rng.integers(0, 4, shape) if name == "label"
                                     else rng.normal(size=shape))


def copies(net, part):
    return {name: getattr(blob, part).copy() for name, blob in net.blobs.items()}


def gradients(net):
    return [p.blob.host.diff.copy() for p in net.learnable]


def arena_bytes(net):
    """The bytes of all arrays in which the net's blobs lie."""
    arrays = {}
    for blob in net.device_blobs.values():
        for part in ("data", "diff"):
            array = blob.memory(part).array
            while array is not None and array.base is not None:
                array = array.base
            if array is not None:
                arrays[id(array)] = array.nbytes
    return sum(arrays.values())


# -------------------------------------------------------------------------------------- fusion

CONV = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 2, 5, 5] } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y" %s
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
"""
RELU = 'layer { name: "relu" type: "ReLU" bottom: "y" top: "%s" %s }'


def fused_layers(net):
    return [step.layer.name for group in net.plan.groups for step in group.steps]


@pytest.mark.parametrize("rest, fused", [
    (RELU % ("y", ""), ["conv", "relu"]),
    (RELU % ("y", "relu_param { negative_slope: 0.1 }"), ["conv", "relu"]),
    (RELU % ("z", ""), []),
    ('layer { name: "relu" type: "Dropout" bottom: "y" top: "y" }', []),
    ('layer { name: "other" type: "Silence" bottom: "x" }' + RELU % ("y", ""), []),
    ('layer { name: "soft" type: "Softmax" bottom: "y" top: "y" }' + RELU % ("y", ""), []),
])
def test_a_relu_in_place_right_behind_goes_into_the_convolution(make_net, rest, fused):
    assert fused_layers(make_net(CONV % "" + rest, device="cpu")) == fused


def test_a_device_without_that_epilogue_fuses_nothing(make_net):
    assert fused_layers(make_net(CONV % "" + RELU % ("y", ""), device="numpy")) == []


def test_a_convolution_of_two_blobs_is_not_fused(make_net):
    text = (CONV % "").replace('bottom: "x" top: "y"',
                               'bottom: "x" bottom: "x" top: "y" top: "w"') + RELU % ("y", "")
    assert fused_layers(make_net(text, device="cpu")) == []


@pytest.mark.parametrize("slope", [0, 0.1])
def test_fused_or_not_all_blobs_are_the_same(make_net, slope):
    text = (CONV % "" + RELU % ("y", f"loss_weight: 1 relu_param {{ negative_slope: {slope} }}"))
    nets = [make_net(text, device="cpu") for _ in range(2)]
    nets[1].before_forward(lambda index: None)
    for net in nets:
        net.params["conv"][1].data[...] = 0.1
        feed(net)
        net.forward()
        net.backward()
    assert [net.plan.groups[0].folded for net in nets] == [True, False]
    for part in ("data", "diff"):
        fused, apart = (copies(net, part) for net in nets)
        for name in fused:
            assert (fused[name] == apart[name]).all(), (name, part)
    assert ((nets[0].blobs["y"].data < 0).any()) == (slope > 0)


# -------------------------------------------------------------------------------- kept and shared

@DEVICES
@NETS
@pytest.mark.parametrize("some", [False, True], ids=["none", "some"])
def test_what_is_kept_changes_no_number(make_net, text, device, some):
    whole = make_net(text, device=device)
    names = list(whole.blobs)
    kept = names[::3] if some else []
    net = make_net(text, device=device, keep=kept)
    for seed in range(3):
        for each in (whole, net):
            feed(each, seed)
            each.clear_param_diffs()
        data = whole.forward()
        for name, array in net.forward().items():
            assert (array == data[name]).all(), name
        whole.backward()
        net.backward()
        for mine, its in zip(gradients(net), gradients(whole), strict=True):
            assert (mine == its).all()
        for name in {*kept, *net.inputs, *net.outputs}:
            assert (net.blobs[name].data == whole.blobs[name].data).all(), name
            assert (net.blobs[name].diff == whole.blobs[name].diff).all(), name
    assert any(gradient.any() for gradient in gradients(net))


@NETS
def test_sharing_takes_less_memory(make_net, text):
    sizes = []
    for keep in ("all", []):
        net = make_net(text, keep=keep)
        feed(net)
        net.forward()
        net.backward()
        sizes.append(arena_bytes(net))
    assert sizes[1] < 0.75 * sizes[0]


def test_forward_passes_alone_need_hardly_more_than_two_layers(make_net):
    net = make_net(LENET, phase=TEST, keep=[])
    feed(net)
    net.forward()
    arrays = {name: blob.count * 4 for name, blob in net.blobs.items()}
    largest_pair = arrays["conv1"] + arrays["pool1"]
    own = sum(arrays[name] for name in ("data", "label", "accuracy", "loss"))
    assert arena_bytes(net) <= largest_pair + own + 2 * 64  # in whole cache lines


@NETS
@DEVICES
def test_what_was_not_kept_is_never_read(make_net, text, device):
    net = make_net(text, device=device, keep=[])
    shared = [name for name in net.blobs if name not in net.inputs + net.outputs]
    hidden = {part: [] for part in ("data", "diff")}

    def look():
        for name in shared:
            for part, names in hidden.items():
                try:
                    getattr(net.blobs[name], part)
                except KeepError as error:
                    names.append(name)
                    assert str(error) == (
                        f"{part} of blob '{name}': it was not kept: its memory is shared with "
                        f"other blobs. Hint: make the net with keep=['{name}'], or with "
                        "keep='all'.")

    look()
    before = {part: list(names) for part, names in hidden.items()}
    for names in hidden.values():
        names.clear()
    feed(net)
    net.forward()
    net.backward()
    look()
    assert hidden == before, "what can be read does not change while the net runs"
    assert {"ip1", "conv1"} <= set(hidden["data"]) or {"b", "soft"} <= set(hidden["data"])
    assert set(hidden["diff"]) >= {"ip1"} or set(hidden["diff"]) >= {"b"}
    # what can be read all the same is what it would be if everything were kept
    whole = make_net(text, device=device)
    feed(whole)
    whole.forward()
    whole.backward()
    for part, names in hidden.items():
        for name in set(net.blobs) - set(names):
            assert (getattr(net.blobs[name], part) == getattr(whole.blobs[name], part)).all(), name


def test_results_that_are_not_kept_are_refused_before_the_pass(make_net):
    net = make_net(LENET, keep=["pool1"])
    feed(net)
    for call in (lambda: net.forward(["conv1"]), lambda: net.forward(end="conv1"),
                 lambda: net.backward(diffs=["conv1"]), lambda: net.backward(end="pool1")):
        with pytest.raises(KeepError) as error:
            call()
        assert str(error.value) == (
            "net 'lenet': results: blob 'conv1' was not kept. Hint: make the net with "
            "keep=['conv1'], or with keep='all'.")
    assert net.tick == 0
    assert list(net.forward(["pool1"])) == ["accuracy", "loss", "pool1"]
    assert list(net.backward(["pool1"])) == ["data", "label", "pool1"]


def test_a_pass_starts_only_from_what_is_kept(make_net):
    whole, net = make_net(LENET), make_net(LENET, keep=["pool1", "conv2"])
    for each in (whole, net):
        feed(each)
        each.forward()
        each.backward()
    assert (net.forward(start="conv2")["loss"] == whole.forward(start="conv2")["loss"]).all()
    with pytest.raises(KeepError) as error:
        net.forward(start="pool1")
    assert str(error.value) == (
        "net 'lenet': start='pool1': blob 'conv1' was not kept. Hint: make the net with "
        "keep=['conv1'], or with keep='all'.")


def test_a_pass_starts_only_if_all_its_later_layers_find_what_they_need(make_net):
    net = make_net(FAN_OUT, keep=["b"])
    feed(net)
    net.forward()
    with pytest.raises(KeepError, match=r"start='soft': blob 'a_relu_0_split_1' was not kept"):
        net.forward(start="soft")


def test_backward_starts_only_from_diffs_that_are_kept(make_net):
    net = make_net(LENET, keep=["pool1"])
    feed(net)
    net.forward()
    net.blobs["pool1"].diff[...] = 1
    with pytest.raises(KeepError, match=r"start='ip1': blob 'ip1' was not kept"):
        net.backward(start="ip1")
    whole = make_net(LENET)
    feed(whole)
    whole.forward()
    whole.blobs["pool1"].diff[...] = 1
    for each in (whole, net):
        each.backward(start="pool1")
    assert (net.params["conv1"][0].diff == whole.params["conv1"][0].diff).all()
    assert net.params["conv1"][0].diff.any()


def test_a_second_backward_pass_needs_a_forward_pass_before_it(make_net):
    net = make_net(LENET, keep=[])
    feed(net)
    net.forward()
    net.backward()
    message = ("net 'lenet': what backward needs was not kept after the last backward pass. Hint: "
               "run forward first, or make it with keep='all'.")
    with pytest.raises(KeepError) as error:
        net.backward()
    assert str(error.value) == message
    for last in ("ip2", net._layer_names[-2]):
        net.run_forward(0, net._layer_names.index(last))
        with pytest.raises(KeepError, match="run forward first"):
            net.backward()
    net.forward()
    net.backward()


def test_a_forward_pass_from_the_middle_is_not_enough_for_a_whole_backward_pass(make_net):
    net = make_net(LENET, keep=["conv2"])
    feed(net)
    net.forward()
    net.backward()
    net.forward(start="pool2")
    with pytest.raises(KeepError, match="run forward first"):
        net.backward()
    net.forward()
    net.forward(start="pool2")
    net.backward()


def test_a_forward_pass_in_two_parts_is_enough_for_a_backward_pass(make_net):
    found = []
    for keep in ("all", ["conv2"]):
        net = make_net(LENET, keep=keep)
        feed(net)
        for _ in range(2):
            net.forward(end="relu2")
            net.forward(start="pool2")
            net.clear_param_diffs()
            net.backward()
        found.append(net.params["conv1"][0].diff.copy())
    assert found[0].any() and (found[0] == found[1]).all()


def test_without_a_forward_pass_there_is_no_backward_pass(make_net):
    with pytest.raises(KeepError, match="run forward first"):
        make_net(LENET, keep=[]).backward()


def test_a_net_for_testing_that_shares_memory_has_no_backward(make_net):
    net = make_net(LENET, phase=TEST, keep=[])
    feed(net)
    net.forward()
    with pytest.raises(KeepError) as error:
        net.backward()
    assert str(error.value) == (
        "net 'lenet': its memory was shared for forward passes alone. Hint: make it with phase "
        "TRAIN, force_backward or keep='all'.")


def test_with_force_backward_a_net_for_testing_has_one(make_net):
    whole, net = (make_net("force_backward: true" + FAN_OUT, phase=TEST, keep=keep)
                  for keep in ("all", []))
    for each in (whole, net):
        feed(each)
        each.forward()
    assert (net.backward()["data"] == whole.backward()["data"]).all()
    assert net.blobs["data"].diff.any()


def test_looking_at_blobs_between_the_passes_does_no_harm(make_net):
    whole, net = make_net(LENET), make_net(LENET, keep=[])
    for each in (whole, net):
        feed(each)
        each.forward()
        each.blobs["loss"].data  # noqa: B018
        each.backward()
    for mine, its in zip(gradients(net), gradients(whole), strict=True):
        assert (mine == its).all()


def test_the_diffs_of_losses_outlive_the_passes(make_net):
    net = make_net(FAN_OUT, keep=[])
    for _ in range(2):
        feed(net)
        net.forward()
        net.backward()
    weights = {name: net.blobs[name].diff.flat[0] for name in net.outputs}
    assert weights == {"c_c_0_split_0": 0.5, "loss1": 1, "loss2": numpy.float32(0.3)}


class WrittenOnce(Layer):
    """Writes its top when it is made and never again."""

    bottoms, tops = 0, 1

    def setup(self, bottom, top):
        top[0].reshape(3, 5)
        top[0].data[...] = 2


@pytest.mark.parametrize("source", [
    'type: "WrittenOnce"',
    'type: "DummyData" dummy_data_param { shape { dim: [3, 5] } data_filler { value: 2 } }'])
def test_what_a_layer_without_bottoms_made_stays(make_net, source):
    text = FAN_OUT.replace('type: "Input" top: "data" input_param { shape { dim: [3, 5] } }',
                           f'{source} top: "data"')
    whole, net = make_net(text), make_net(text, keep=[])
    for _ in range(3):
        for each in (whole, net):
            each.blobs["label"].data[...] = 1
            each.clear_param_diffs()
            each.forward()
            each.backward()
        assert net.blobs["loss1"].data == whole.blobs["loss1"].data
        assert (net.params["a"][0].diff == whole.params["a"][0].diff).all()
    assert net.params["a"][0].diff.any()


@DEVICES
def test_after_a_reshape_memory_is_shared_anew(make_net, device):
    whole, net = (make_net(FAN_OUT, device=device, keep=keep) for keep in ("all", []))
    for size in (3, 8, 2, 5):
        for each in (whole, net):
            each.blobs["data"].reshape(size, 5)
            each.blobs["label"].reshape(size)
            feed(each, size)
            each.clear_param_diffs()
            each.forward()
            each.backward()
        for name in net.outputs:
            assert (net.blobs[name].data == whole.blobs[name].data).all(), name
        for mine, its in zip(gradients(net), gradients(whole), strict=True):
            assert (mine == its).all()


def test_after_a_reshape_no_more_memory_is_held_than_by_a_net_of_that_size(make_net):
    net, fresh = make_net(FAN_OUT, keep=[]), make_net(
        FAN_OUT.replace("dim: [3, 5]", "dim: [200, 5]").replace("dim: 3", "dim: 200"), keep=[])
    feed(net)
    net.forward()
    net.blobs["data"].reshape(200, 5)
    net.blobs["label"].reshape(200)
    for each in (net, fresh):
        feed(each)
        each.forward()
        each.backward()
    assert arena_bytes(net) == arena_bytes(fresh)


class Watching(Layer):
    """Looks at its bottoms, and has no backward."""


@pytest.mark.parametrize("watcher", [
    'type: "Accuracy" bottom: "side" bottom: "label" top: "accuracy"',
    'type: "Watching" bottom: "side"'])
def test_a_diff_that_nobody_writes_stays_0(make_net, watcher):
    text = "force_backward: true" + FAN_OUT + """
        layer { name: "side" type: "InnerProduct" bottom: "data" top: "side"
          inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
        layer { name: "relu_side" type: "ReLU" bottom: "side" top: "side" }
        layer { name: "watcher" WATCHER }
        """.replace("WATCHER", watcher)
    net = make_net(text, keep=[])
    for seed in range(2):
        feed(net, seed)
        net.forward()
        net.backward()
        assert not net.params["side"][0].diff.any()
