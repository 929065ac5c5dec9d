"""Passes whose calls are repeated without the layers: the same numbers, whatever happens between.
"""

import copy
import gc
import pickle
import signal
import threading
import weakref

import numpy
import pytest

from minicaffe import TEST, TRAIN, Layer, Net, get_num_threads, set_num_threads
from minicaffe.backend.cpu.runtime.threads import lock
from minicaffe.layer import layer_class
from minicaffe.proto import LayerParameter
from minicaffe.tools import models
from minicaffe.tools.deploy import deploy_net

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [%s] } } }'
LAYER = 'layer {{ name: "{0}" type: "{0}" bottom: "{1}" top: "{2}" {3} }}'
FILLERS = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" }'


def one(type, param="", bottom="x", top="y"):
    return LAYER.format(type, bottom, top, param)


def convolution(kernel_size, num_output=5, param=""):
    return one("Convolution", f"convolution_param {{ kernel_size: {kernel_size} "
               f"num_output: {num_output} {FILLERS} {param} }}")


LAYERS = {
    "AbsVal": one("AbsVal"), "BNLL": one("BNLL"),
    "Clip": one("Clip", "clip_param { min: -1 max: 1 }"),
    "ELU": one("ELU"), "Exp": one("Exp"), "Sigmoid": one("Sigmoid"), "Swish": one("Swish"),
    "TanH": one("TanH"), "Threshold": one("Threshold"), "PReLU": one("PReLU"),
    "Log": one("Log", "log_param { shift: 9 }"), "Flatten": one("Flatten"),
    "Power": one("Power", "power_param { power: 2 scale: 0.5 shift: 1 }"),
    "constant": one("Power", "power_param { power: 0 }"),
    "linear": one("Power", "power_param { scale: 0.5 shift: 1 }"),
    "ReLU": one("ReLU", "relu_param { negative_slope: 0.1 }"),
    "in place": one("Exp") + one("ReLU", "", "y", "y") + one("Dropout", "", "y", "y"),
    "Dropout": one("Dropout"), "Softmax": one("Softmax"), "LRN": one("LRN"),
    "square": one("LRN", "lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }"),
    "largest": one("Pooling", "pooling_param { kernel_size: 3 stride: 2 }"),
    "average": one("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 pool: AVE }"),
    "global": one("Pooling", "pooling_param { global_pooling: true pool: AVE }"),
    "positions": 'layer { name: "p" type: "Pooling" bottom: "x" top: "y" top: "mask" '
                 "pooling_param { kernel_size: 2 } }",
    "Scale": one("Scale", 'scale_param { bias_term: true filler { type: "uniform" } }'),
    "Bias": one("Bias", 'bias_param { filler { type: "uniform" } }'),
    "BatchNorm": one("BatchNorm"),
    "InnerProduct": one("InnerProduct", f"inner_product_param {{ num_output: 7 {FILLERS} }}"),
    "Eltwise": one("Exp", "", "x", "z") + 'layer { name: "sum" type: "Eltwise" bottom: "x" '
               'bottom: "z" top: "y" eltwise_param { coeff: 2 coeff: -1 } }',
    "Concat": one("Exp", "", "x", "z") + 'layer { name: "c" type: "Concat" bottom: "x" '
              'bottom: "z" top: "y" }',
    "Slice": 'layer { name: "s" type: "Slice" bottom: "x" top: "y" top: "z" '
             "slice_param { slice_point: 1 } }",
    "Silence": one("Exp") + 'layer { name: "s" type: "Silence" bottom: "y" }',
    "strided": convolution(3, 5, "stride: 2 pad: 1"), "wide": convolution(5, 50),
    "pointwise": convolution(1), "depthwise": convolution(3, 4, "group: 4 pad: 1"),
    "winograd": convolution(3, 5, "pad: 1 engine: WINOGRAD"),
    "without bias": convolution(3, 5, "pad: 1 engine: WINOGRAD bias_term: false"),
    "direct": convolution(3, 5, "engine: DIRECT"),
}


def change(net, seed):
    """Other inputs and other parameters; those of BatchNorm as they could be."""
    rng = numpy.random.default_rng(seed)
    for name in net.inputs:
        net.blobs[name].data[...] = rng.normal(size=net.blobs[name].shape)
    for name, blobs in net.params.items():
        for blob in blobs:
            blob.data[...] = rng.uniform(0.5, 1.5, blob.shape) if (
                net.layer_dict[name].type == "BatchNorm") else (
                blob.data + 0.01 * rng.normal(size=blob.shape))


def agree(net, other=None, passes=5, error=0):
    """The net gives what one gives that runs its layers one by one."""
    plain = Net(net.param, net.phase, device="cpu", seed=net.seed)
    plain.before_forward(lambda index: None)
    for name in net.inputs:
        plain.blobs[name].reshape(*net.blobs[name].shape)
    for name, blobs in net.params.items():
        for mine, its in zip(plain.params[name], blobs):
            mine.data[...] = its.data
    for seed in range(passes):
        change(net, seed)
        change(plain, seed)
        if other is not None:
            other.forward()  # which uses the same scratch memory
        got, wanted = net.forward(), plain.forward()
        for name in wanted:
            largest = abs(wanted[name]).max()
            assert abs(got[name] - wanted[name]).max() <= error * largest, (name, seed)


def deployed(name, batch, shape):
    """A net of models/ as it is used, for a batch of such samples."""
    net = deploy_net(models.load(name).net(batch_size=batch, shape=shape))
    net.layer[0].input_param.shape[0].dim[:] = [batch, *shape]
    return net


@pytest.fixture(scope="module")
def other():
    """A net whose layers leave something else in the scratch memory."""
    net = Net(deployed("lenet", 3, (1, 28, 28)), TEST, device="cpu")
    change(net, 9)
    return net


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_a_repeated_layer_sees_what_has_changed(make_net, other, name, phase):
    agree(make_net(INPUT % "2, 4, 9, 9" + LAYERS[name], phase=phase, device="cpu"), other)


@pytest.mark.parametrize("keep", ["all", ()])
@pytest.mark.parametrize("name, batch, shape", [
    ("lenet", 2, (1, 28, 28)), ("cifar10_quick", 1, (3, 32, 32)), ("resnet20", 1, (3, 32, 32)),
    ("mobilenet", 1, (3, 64, 64)), ("googlenet", 2, (3, 64, 64))])
def test_a_repeated_net_sees_what_has_changed(other, name, batch, shape, keep):
    net = Net(deployed(name, batch, shape), TEST, device="cpu", keep=keep, seed=1)
    agree(net, other, 4, 1e-5)


@pytest.fixture
def net(make_net):
    """A net of a convolution and a ReLU that has run often enough to be repeated."""
    net = make_net(INPUT % "2, 4, 9, 9" + LAYERS["wide"] + one("ReLU", "", "y", "y"), TEST,
                   device="cpu")
    for seed in range(3):
        change(net, seed)
        net.forward()
    return net


@pytest.fixture
def calls(monkeypatch):
    """How often layers of some types have run."""
    seen = []
    for type in ("Convolution", "Pooling", "InnerProduct"):
        kind = layer_class(LayerParameter(type=type))

        def forward(self, *arguments, run=kind.forward, **options):
            seen.append(self.type)
            return run(self, *arguments, **options)

        monkeypatch.setattr(kind, "forward", forward)
    return seen


def test_from_the_third_pass_on_layers_are_not_asked(calls, make_net):
    net = make_net(INPUT % "2, 4, 9, 9" + LAYERS["wide"], TEST, device="cpu")
    for seen in (1, 2, 2, 2):
        net.forward()
        assert len(calls) == seen


def test_on_the_device_numpy_they_are_asked_each_time(calls, make_net):
    net = make_net(INPUT % "2, 4, 9, 9" + LAYERS["wide"], TEST)
    for seen in (1, 2, 3, 4):
        net.forward()
        assert len(calls) == seen


def test_float64_is_not_repeated(calls, make_net):
    net = make_net(INPUT % "2, 4, 9, 9" + LAYERS["wide"], TEST, device="cpu", dtype="float64")
    for seen in (1, 2, 3, 4):
        net.forward()
        assert len(calls) == seen


def test_a_layer_of_ones_own_runs_each_time(make_net):
    class CountsOfTestRepeating(Layer):
        bottoms = tops = 1

        def reshape(self, bottom, top):
            top[0].reshape_like(bottom[0])

        def forward(self, bottom, top):
            self.count = getattr(self, "count", 0) + 1
            top[0].data[...] = bottom[0].data + self.count

    net = make_net(INPUT % "2, 3" + one("Exp") + one("CountsOfTestRepeating", "", "y", "z")
                   + one("TanH", "", "z", "u"), TEST, device="cpu")
    for count in range(1, 6):
        out = net.forward()["u"]
        numpy.testing.assert_allclose(out, numpy.tanh(1 + count), rtol=1e-6)


def test_a_forward_that_overrides_one_of_ours_is_not_repeated(make_net):
    class ExpOfTestRepeating(layer_class(LayerParameter(type="Exp"))):
        def forward(self, bottom, top):
            super().forward(bottom, top)
            top[0].data[...] += bottom[0].data

    assert not ExpOfTestRepeating.only_primitives
    agree(make_net(INPUT % "2, 3" + one("ExpOfTestRepeating"), TEST, device="cpu"))


def test_a_forward_of_ones_own_is_not_repeated_whatever_its_parent_says(make_net):
    class HalfOfTestRepeating(layer_class(LayerParameter(type="Pooling"))):
        def forward(self, bottom, top):
            super().forward(bottom, top)
            top[0].data[...] *= 0.5

    class ThirdOfTestRepeating(layer_class(LayerParameter(type="PReLU"))):
        def run(self, formula, bottom, top, *inputs):
            super().run(formula, bottom, top, *inputs)
            top[0].data[...] /= 3

    agree(make_net(INPUT % "2, 3, 6, 6" + one("HalfOfTestRepeating", "pooling_param { "
                   "kernel_size: 2 }") + one("ThirdOfTestRepeating", "", "y", "z"), TEST,
                   device="cpu"))


def test_what_a_layer_gets_to_see_of_a_net_is_freed_with_it(make_net):
    for device in ("cpu", "numpy"):
        net = make_net(INPUT % "2, 4, 9, 9" + LAYERS["wide"] + one("ReLU", "", "y", "y"), TEST,
                       device=device)
        for _ in range(4):
            net.forward()
        gone = weakref.ref(net.layers[1])
        gc.disable()
        try:
            del net
            assert gone() is None
        finally:
            gc.enable()


NORMALIZED = one("BatchNorm", "", "y", "y") + one("Scale", "", "y", "y")


@pytest.mark.parametrize("fewer", [False, True])
def test_a_group_falls_apart_after_its_bottom_got_another_shape(make_net, fewer):
    net = make_net(INPUT % "4, 4, 9, 9" + LAYERS["wide"] + NORMALIZED, TEST, device="cpu")
    change(net, 0)
    net.forward()
    net.blobs["x"].reshape(2 if fewer else 32, 4, 9, 9)
    change(net, 1)
    net.forward(end="Convolution")
    agree(net, passes=3, error=1e-5)


def test_a_convolution_along_other_axes_keeps_its_weights(make_net):
    net = make_net(INPUT % "2, 5, 4, 9, 9" + convolution(3, 5, "axis: 2") + NORMALIZED, TEST,
                   device="cpu")
    agree(net, passes=3, error=1e-5)


def test_another_shape_is_followed(net):
    for shape in ((1, 4, 9, 9), (2, 4, 9, 9), (3, 4, 12, 7), (2, 4, 9, 9)):
        net.blobs["x"].reshape(*shape)
        agree(net, passes=4)


def test_arrays_that_move_are_followed(net):
    big = net.blobs["x"].data.size * 4
    net.blobs["x"].reshape(1, 4, 9, big // 36)
    net.blobs["x"].reshape(2, 4, 9, 9)
    agree(net, passes=4)


def test_what_happens_to_another_net_does_not_matter(calls, net, make_net):
    for _ in range(3):
        net.forward()
    other = make_net(INPUT % "2, 3", TEST, device="cpu")
    other.blobs["x"].reshape(9, 9)
    other.forward()
    before = len(calls)
    net.forward()
    assert len(calls) == before


def test_weights_that_move_in_a_net_that_shares_them_are_followed(net, make_net):
    other = make_net(INPUT % "2, 4, 9, 9" + LAYERS["wide"], TEST, device="cpu", seed=3)
    other.share_with(net)
    for _ in range(3):
        other.forward()
    weights = net.layers[1].parameters[0]
    weights.memory("data").place(2 * weights.data.reshape(-1))
    weights.data[...] *= 3
    fresh = make_net(INPUT % "2, 4, 9, 9" + LAYERS["wide"], TEST, device="cpu", seed=3)
    for name, blobs in other.params.items():
        for mine, its in zip(fresh.params[name], blobs):
            mine.data[...] = its.data
    fresh.blobs["x"].data[...] = other.blobs["x"].data = numpy.random.default_rng(5).normal(
        size=(2, 4, 9, 9))
    assert (other.forward()["y"] == fresh.forward()["y"]).all()


def test_parameters_that_are_shared_later_are_followed(net, make_net):
    other = make_net(INPUT % "2, 4, 9, 9" + LAYERS["wide"], TEST, device="cpu", seed=3)
    blob, its = net.layers[1].parameters[0], other.layers[1].parameters[0]
    blob.share(its)
    net.forward()
    its.data[...] = 0
    assert (net.forward()["y"] == numpy.maximum(net.params["Convolution"][1].data, 0)[
        :, None, None]).all()


def test_another_number_of_threads_is_followed(net):
    threads = get_num_threads()
    try:
        for count in (1, threads, 1, threads):
            set_num_threads(count)
            agree(net, passes=3)
    finally:
        set_num_threads(threads)


def test_hooks_and_parts_of_a_pass_still_see_each_layer(net):
    seen = []
    net.before_forward(seen.append)
    net.forward()
    assert seen == [0, 1, 2]
    net.remove_hook(seen.append)
    agree(net, passes=3)
    y = net.forward()["y"].copy()
    net.blobs["y"].data[...] = -1
    net.forward(start="ReLU")
    assert (net.blobs["y"].data == 0).all()
    assert (net.forward()["y"] == y).all()


@pytest.mark.parametrize("text", [
    LAYERS["wide"] + one("BatchNorm", "", "y", "y") + one("Scale", "", "y", "y"),
    LAYERS["largest"] + one("LRN", "", "y", "z"), LAYERS["wide"] + one("ReLU", "", "y", "y"),
    LAYERS["BatchNorm"] + one("PReLU", "", "y", "y")])
def test_backward_after_a_repeated_pass_is_as_after_any_other(make_net, text):
    """In TEST too, where pycaffe's users look at gradients of their inputs."""
    text = "force_backward: true " + INPUT % "2, 4, 9, 9" + text
    results = []
    for hooked in (False, True):
        net = make_net(text, TEST, device="cpu")
        if hooked:
            net.before_forward(lambda index: None)
        for seed in range(4):
            change(net, seed)
            net.forward()
            net.blobs[net.outputs[0]].diff[...] = net.blobs[net.outputs[0]].data + 1
            net.clear_param_diffs()
            net.backward()
        results.append([net.blobs["x"].diff.copy(), *(
            blob.diff.copy() for blobs in net.params.values() for blob in blobs)])
    for repeated, plain in zip(*results):
        assert abs(repeated - plain).max() <= 1e-5 * abs(plain).max()


def test_two_python_threads_each_repeat_their_own(make_net):
    nets = [make_net(INPUT % "2, 4, 9, 9" + LAYERS["wide"] + one(type, "", "y", "z"), TEST,
                     device="cpu") for type in ("ReLU", "TanH")]
    wrong = []

    def work(net):
        try:
            agree(net, passes=30)
        except AssertionError as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(net,)) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_pass_that_fails_is_no_recording(make_net, monkeypatch):
    net = make_net(INPUT % "2, 3" + one("Exp") + one("TanH", "", "y", "z"), TEST, device="cpu")
    net.forward()
    with monkeypatch.context() as patch:
        patch.setattr(net.layers[2], "forward", lambda bottom, top: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            net.forward()
    agree(net)


@pytest.mark.parametrize("keep", ["all", []])
def test_a_net_can_be_pickled(make_net, keep):
    """And so handed to another process; its numbers lie in arrays of its own."""
    net = make_net(INPUT % "2, 4, 9, 9" + LAYERS["wide"] + one("ReLU", "", "y", "y"), TRAIN,
                   device="cpu", keep=keep)
    for seed in range(4):
        change(net, seed)
        net.forward()
    other = pickle.loads(pickle.dumps(net))
    assert other.backend is net.backend
    assert (other.forward()["y"] == net.forward()["y"]).all()
    blob = other.device_blobs["y"]
    assert numpy.shares_memory(blob.data, blob.memory("data").array)
    other.params["Convolution"][0].data[...] = 0
    assert net.params["Convolution"][0].data.any()
    assert not numpy.array_equal(other.forward()["y"], net.forward()["y"])


def test_a_copy_of_a_net_is_repeated_on_arrays_of_its_own(net):
    other = copy.deepcopy(net)
    y = net.forward()["y"].copy()
    for _ in range(4):
        other.blobs["x"].data[...] = 0
        bias = numpy.maximum(other.params["Convolution"][1].data, 0)[:, None, None]
        assert (other.forward()["y"] == bias).all()
        assert (net.blobs["y"].data == y).all()
    agree(net, passes=3)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer")
def test_an_interrupted_pass_leaves_compiled_code_to_other_threads(make_net):
    net = make_net(INPUT % "2, 3" + one("Exp"), TEST, device="cpu")
    done, before = 0, signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        while done < 300:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0002)
                while True:
                    net.forward()
            except KeyboardInterrupt:
                done += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    taken = threading.Event()
    threading.Thread(target=lambda: lock.acquire() and (lock.release(), taken.set()),
                     daemon=True).start()
    assert taken.wait(600)
    agree(net, passes=3)
