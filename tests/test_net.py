import numpy
import pytest

from minicaffe import TEST, Layer, Net
from minicaffe import layers as L
from minicaffe.errors import NetError, ParameterError, ShapeError
from minicaffe.spec import NetSpec

SMALL = """
name: "small"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 1, 6, 6] } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param {
  num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { value: 0.1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
DEVICES = pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])


def batch(size=2, seed=0):
    rng = numpy.random.default_rng(seed)
    return {"x": rng.normal(size=(size, 1, 6, 6)), "label": rng.integers(0, 3, size)}


class Recording(Layer):
    """The bottom as it is; records its calls."""

    bottoms = tops = 1

    def setup(self, bottom, top):
        self.calls = []

    def reshape(self, bottom, top):
        self.calls.append("reshape")
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        self.calls.append("forward")
        top[0].data[...] = bottom[0].data

    def backward(self, top, propagate_down, bottom):
        self.calls.append("backward")
        bottom[0].diff[...] = top[0].diff


# --------------------------------------------------------------------------------- how it is made

def test_a_net_is_made_of_a_file_a_message_or_a_spec(tmp_path, parse_net):
    file = tmp_path / "net.prototxt"
    file.write_text(SMALL)
    spec = NetSpec()
    spec.x = L.Input(shape={"dim": [2, 3]})
    spec.ip = L.InnerProduct(spec.x, num_output=2)
    assert Net(str(file), TEST, device="numpy").name == "small"
    assert list(Net(file, TEST, device="numpy").blobs) == [
        "x", "label", "conv", "pool", "ip", "loss"]
    assert Net(parse_net(SMALL), TEST, device="numpy").outputs == ["loss"]
    assert list(Net(spec, TEST, device="numpy").blobs) == ["x", "ip"]


def test_the_description_that_is_given_stays_as_it_is(parse_net):
    param = parse_net(SMALL)
    before = param.SerializeToString()
    Net(param, TEST, device="numpy").forward()
    assert param.SerializeToString() == before


def test_a_net_without_layers_is_refused(tmp_path, make_net):
    with pytest.raises(NetError) as error:
        make_net('name: "empty"')
    assert str(error.value) == "net: expected one layer or more, got none."
    (tmp_path / "empty.prototxt").write_text("")
    with pytest.raises(NetError, match=r"empty.prototxt: expected one layer or more, got none."):
        Net(tmp_path / "empty.prototxt", TEST)


@pytest.mark.parametrize("keep, message", [
    ("conv", "net 'small': expected keep='all' or a list of blob names, got 'conv'."),
    (["con"], "net 'small': keep: expected names of its blobs, got 'con'. Hint: did you mean "
     "'conv'?"),
])
def test_keep_names_blobs(make_net, keep, message):
    with pytest.raises(ParameterError) as error:
        make_net(SMALL, keep=keep)
    assert str(error.value) == message


# -------------------------------------------------------------------------------- forward, backward

@DEVICES
def test_devices_agree_forward_and_backward(make_net, device):
    net, reference = make_net(SMALL, device=device), make_net(SMALL, dtype="float64")
    for each in (net, reference):
        each.forward(**batch())
        each.backward()
    for name in net.blobs:
        for part in ("data", "diff"):
            numpy.testing.assert_allclose(
                getattr(net.blobs[name], part), getattr(reference.blobs[name], part),
                rtol=1e-4, atol=1e-6, err_msg=f"{part} of {name}")
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            numpy.testing.assert_allclose(blob.diff, reference.params[name][i].diff, rtol=1e-4,
                                          atol=1e-6, err_msg=f"{name} {i}")
    assert reference.params["conv"][0].diff.any()


def test_gradients_are_those_of_central_differences(make_net):
    net = make_net(SMALL, dtype="float64")
    net.forward(**batch())
    net.backward()
    for name, blobs in net.params.items():
        for blob in blobs:
            flat, diff = blob.data.reshape(-1), blob.diff.reshape(-1)
            for i in (0, flat.size // 2, flat.size - 1):
                old, ends = flat[i], []
                for step in (1e-5, -1e-5):
                    flat[i] = old + step
                    ends.append(float(net.forward()["loss"]))
                flat[i] = old
                slope = (ends[0] - ends[1]) / 2e-5
                assert diff[i] == pytest.approx(slope, rel=1e-4, abs=1e-8), name


@DEVICES
def test_diffs_of_parameters_add_up_until_they_are_cleared(make_net, device):
    net = make_net(SMALL, device=device)
    for expected in (1, 2):
        net.forward(**batch())
        net.backward()
        if expected == 1:
            once = net.params["conv"][0].diff.copy()
    numpy.testing.assert_allclose(net.params["conv"][0].diff, 2 * once, rtol=1e-5)
    net.clear_param_diffs()
    assert not any(blob.diff.any() for blobs in net.params.values() for blob in blobs)


def test_forward_returns_the_outputs_and_what_is_asked_for(make_net):
    net = make_net(SMALL)
    assert list(net.forward(**batch())) == ["loss"]
    more = net.forward(["conv", "x"])
    assert list(more) == ["loss", "conv", "x"] and more["conv"].shape == (2, 4, 4, 4)
    assert list(net.backward(["ip"])) == ["x", "label", "ip"]


def test_inputs_may_be_given_in_part(make_net):
    net = make_net(SMALL)
    first = net.forward(**batch())["loss"].copy()
    assert net.forward(x=batch()["x"])["loss"] == first
    assert net.forward(x=batch(seed=1)["x"])["loss"] != first


@DEVICES
def test_a_pass_may_begin_and_end_at_a_layer(make_net, device):
    net = make_net(SMALL, device=device)
    whole = net.forward(list(net.blobs), **batch())
    whole = {name: array.copy() for name, array in whole.items()}
    net.blobs["ip"].data[...] = net.blobs["loss"].data[...] = 0
    result = net.forward(end="pool")
    assert list(result) == ["pool"] and (result["pool"] == whole["pool"]).all()
    assert not net.blobs["ip"].data.any() and not net.blobs["loss"].data.any()
    net.blobs["x"].data[...] *= 2
    assert net.forward(start="ip")["loss"] == whole["loss"]
    result = net.backward(start="loss", end="ip")
    assert list(result) == ["pool"] and result["pool"].any()
    assert not net.blobs["conv"].diff.any()
    below = net.backward(start="pool", diffs=["conv"])
    assert below["conv"].any() and net.params["conv"][0].diff.any()


def test_a_pass_in_place_may_end_before_the_layer_in_place(make_net):
    net = make_net(SMALL, device="cpu")
    net.params["conv"][0].data[...] *= -1
    assert (net.forward(end="conv", **batch())["conv"] < 0).any()
    assert (net.forward(end="relu")["conv"] >= 0).all()


@pytest.mark.parametrize("call, kind, message", [
    (lambda net: net.forward(start="cnv"), ParameterError,
     "net 'small': expected the name of a layer, got 'cnv'. Hint: did you mean 'conv'?"),
    (lambda net: net.backward(end="zzz"), ParameterError,
     "net 'small': expected the name of a layer, got 'zzz'."),
    (lambda net: net.forward(["cnv"]), ParameterError,
     "net 'small': expected the name of a blob, got 'cnv'. Hint: did you mean 'conv'?"),
    (lambda net: net.backward(diffs=["cnv"]), ParameterError,
     "net 'small': expected the name of a blob, got 'cnv'. Hint: did you mean 'conv'?"),
    (lambda net: net.forward(labels=1), ParameterError,
     "net 'small': expected inputs among x, label, got 'labels'. Hint: did you mean 'label'?"),
    (lambda net: net.forward(conv=1), ParameterError,
     "net 'small': expected inputs among x, label, got 'conv'."),
    (lambda net: net.backward(ip=1), ParameterError,
     "net 'small': expected outputs among loss, got 'ip'."),
    (lambda net: net.forward(x=numpy.zeros((3, 1, 6, 6))), ShapeError,
     "blob 'x': expected an array of shape (2, 1, 6, 6), got (3, 1, 6, 6). Hint: "
     "net.blobs['x'].reshape(...) gives it another."),
])
def test_what_is_amiss_with_a_call_is_said_before_anything_runs(make_net, call, kind, message):
    net = make_net(SMALL)
    with pytest.raises(kind) as error:
        call(net)
    assert str(error.value) == message
    assert net.tick == 0 and not net.blobs["conv"].data.any()


# ------------------------------------------------------------------------------------------ shapes

@DEVICES
@pytest.mark.parametrize("keep", ["all", []])
@pytest.mark.parametrize("explicitly", [True, False])
def test_another_batch_size_needs_no_other_net(make_net, device, keep, explicitly):
    net = make_net(SMALL, device=device, keep=keep)
    weights = net.params["conv"][0].data.copy()
    for size in (2, 5, 1, 3):
        for name in ("x", "label"):
            net.blobs[name].reshape(size, *net.blobs[name].shape[1:])
        if explicitly:
            net.reshape()
            assert net.blobs["ip"].shape == (size, 3)
        net.clear_param_diffs()
        loss = float(net.forward(**batch(size))["loss"])
        net.backward()
        fresh = make_net(SMALL.replace("dim: [2,", f"dim: [{size},")
                         .replace("shape { dim: 2", f"shape {{ dim: {size}"))
        assert loss == pytest.approx(float(fresh.forward(**batch(size))["loss"]), rel=1e-5)
        fresh.backward()
        assert net.blobs["ip"].shape == (size, 3)
        numpy.testing.assert_allclose(net.params["conv"][0].diff, fresh.params["conv"][0].diff,
                                      rtol=1e-3, atol=1e-6)
    assert (net.params["conv"][0].data == weights).all()


def test_layers_size_their_tops_only_when_a_shape_has_changed(make_net):
    net = make_net('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } } '
                   'layer { name: "r" type: "Recording" bottom: "x" top: "r" }')
    calls = net.layer_dict["r"].calls
    for _ in range(3):
        net.forward()
    assert calls.count("reshape") <= 2
    calls.clear()
    net.blobs["x"].reshape(3)
    net.forward()
    net.forward()
    assert calls == ["reshape", "forward", "forward"]


def test_a_shape_that_does_not_fit_is_refused_by_its_layer(make_net):
    net = make_net(SMALL)
    net.blobs["x"].reshape(2, 1, 8, 8)
    with pytest.raises(ShapeError, match="InnerProduct 'ip': expected 16 inputs a sample, as when"):
        net.forward()
    net.blobs["x"].reshape(2, 2, 6, 6)
    with pytest.raises(ShapeError, match="Convolution 'conv': expected 1 channels, as when"):
        net.forward()


# ------------------------------------------------------------------------------------------- hooks

@pytest.mark.parametrize("device", ["numpy", "cpu"])
def test_hooks_see_every_layer_and_change_no_number(make_net, device):
    hooked, plain = make_net(SMALL, device=device), make_net(SMALL, device=device)
    seen = []
    for name in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(hooked, name)(lambda index, name=name: seen.append((name, index)))
    for net in (hooked, plain):
        net.forward(**batch())
        net.backward()
    layers = range(len(hooked.layers))
    assert seen == ([(f"{when}_forward", i) for i in layers for when in ("before", "after")]
                    + [(f"{when}_backward", i) for i in reversed(layers)
                       for when in ("before", "after")])
    for name in plain.blobs:
        assert (hooked.blobs[name].data == plain.blobs[name].data).all(), name
        assert (hooked.blobs[name].diff == plain.blobs[name].diff).all(), name


def test_a_hook_sees_the_blob_before_the_layer_in_place_has_changed_it(make_net):
    net, seen = make_net(SMALL, device="cpu"), {}
    net.params["conv"][0].data[...] *= -1
    net.after_forward(lambda i: seen.setdefault(net._layer_names[i], net.blobs["conv"].data.copy()))
    net.forward(**batch())
    assert (seen["conv"] < 0).any()
    assert (seen["relu"] == numpy.maximum(seen["conv"], 0)).all()


# ----------------------------------------------------------------------------------- Python layers

def python_net(folder, code, name="mine", cls="Mine", param_str="", more=""):
    (folder / f"{name}.py").write_text("import minicaffe as caffe\n" + code)
    return (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 3] } } }\n'
        f'layer {{ name: "py" type: "Python" bottom: "x" top: "y" {more} '
        f'python_param {{ module: "{name}" layer: "{cls}" param_str: "{param_str}" }} }}')


TIMES = """
class Mine(caffe.Layer):
    def setup(self, bottom, top):
        self.factor = float(self.param_str) if self.param_str else 10
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = self.factor
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top):
        top[0].data[...] = self.blobs[0].data[0] * bottom[0].data
    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] += (top[0].diff * bottom[0].data).sum()
        if propagate_down[0]:
            bottom[0].diff[...] = self.blobs[0].data[0] * top[0].diff
"""


@DEVICES
def test_a_python_layer_computes_with_numpy_on_every_device(folder_on_path, make_net, device):
    text = python_net(folder_on_path, TIMES, f"times_{device}", param_str="4",
                      more="loss_weight: 1 propagate_down: true")
    net = make_net(text, device=device)
    x = numpy.arange(6).reshape(2, 3)
    assert (net.forward(x=x)["y"] == 4 * x).all()
    assert (net.backward()["x"] == 4).all()
    blob = net.params["py"][0]
    assert blob.shape == (1,) and blob.data == 4 and blob.diff == x.sum()
    assert [(p.layer, p.index) for p in net.learnable] == [("py", 0)]


def test_a_python_layer_is_a_link_between_layers_of_the_device(folder_on_path, make_net):
    text = python_net(folder_on_path, TIMES, "times_link") + (
        'layer { name: "ip" type: "InnerProduct" bottom: "y" top: "z" loss_weight: 1 '
        'inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }')
    nets = [make_net("force_backward: true " + text, device=device)
            for device in ("numpy", "strict", "cpu")]
    for net in nets:
        net.forward(x=numpy.arange(6).reshape(2, 3))
        net.backward()
        for name in net.blobs:
            numpy.testing.assert_allclose(net.blobs[name].diff, nets[0].blobs[name].diff, rtol=1e-5)


def test_a_python_layer_may_size_its_top_in_every_pass(folder_on_path, make_net):
    growing = """
class Mine(caffe.Layer):
    def setup(self, bottom, top):
        self.passes = 0
    def reshape(self, bottom, top):
        top[0].reshape(self.passes + 1, 3)
    def forward(self, bottom, top):
        self.passes += 1
        top[0].data[...] = self.passes
"""
    text = python_net(folder_on_path, growing, "growing") + (
        'layer { name: "ip" type: "InnerProduct" bottom: "y" top: "z" loss_weight: 1 '
        'inner_product_param { num_output: 2 weight_filler { value: 1 } } }')
    for keep in ("all", []):
        net = make_net(text, keep=keep)
        for passes in (1, 2, 3):
            net.clear_param_diffs()
            z = net.forward()["z"]
            assert z.tolist() == [[3 * passes] * 2] * passes
            net.blobs["x"].data  # noqa: B018  (looking at blobs between the passes does no harm)
            net.backward()
            assert net.params["ip"][0].diff.tolist() == [[passes * passes] * 3] * 2


def test_a_python_layer_knows_its_phase(folder_on_path, make_net):
    phase = """
class Mine(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape()
    def forward(self, bottom, top):
        top[0].data[()] = self.phase
"""
    text = python_net(folder_on_path, phase, "phases")
    assert make_net(text).forward()["y"] == 0
    assert make_net(text, phase=TEST).forward()["y"] == 1


def test_an_error_in_a_python_layer_comes_through(folder_on_path, make_net):
    broken = "class Mine(caffe.Layer):\n  def setup(self, bottom, top):\n    raise KeyError(7)"
    with pytest.raises(KeyError, match="7"):
        make_net(python_net(folder_on_path, broken, "broken"))


def test_a_python_layer_that_is_not_there_is_named(folder_on_path, make_net):
    text = python_net(folder_on_path, TIMES, "present")
    with pytest.raises(NetError) as error:
        make_net(text.replace('"present"', '"absent"'))
    assert str(error.value) == ("Python 'py': expected a module on Python's path, got 'absent'. "
                                "Hint: start in its folder or add that to PYTHONPATH.")
    with pytest.raises(NetError) as error:
        make_net(text.replace('"Mine"', '"Min"'))
    assert str(error.value) == ("Python 'py': expected a class of 'present' derived from Layer, "
                                "got 'Min'. Hint: did you mean 'Mine'?")


def test_a_python_layer_called_like_one_of_ours_is_the_users(folder_on_path, make_net):
    minus = TIMES.replace("class Mine", "class ReLU").replace("else 10", "else -1")
    conv = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1,1,2,2] } } }
        layer { name: "conv" type: "Convolution" bottom: "x" top: "y" convolution_param {
          num_output: 1 kernel_size: 1 weight_filler { value: 1 } } }"""
    python_net(folder_on_path, minus, "shadow")
    text = conv + ('layer { name: "py" type: "Python" bottom: "y" top: "y" '
                   'python_param { module: "shadow" layer: "ReLU" } }')
    assert (make_net(text, device="cpu").forward(x=numpy.ones((1, 1, 2, 2)))["y"] == -1).all()
