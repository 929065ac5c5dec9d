"""The large nets of models/ and the recurrent one: as large as published, and fed as users do.

Most are built without fillers, so that no memory is spent on their weights.
"""

import argparse
import math

import numpy
import pytest

from minicaffe import TEST, TRAIN, Net, cli
from minicaffe.data import Transform
from minicaffe.errors import ParameterError
from minicaffe.proto import SolverParameter
from minicaffe.solvers import Solver
from minicaffe.tools import models, train_options, training
from minicaffe.tools.deploy import deploy_net

# parameters that are learned (GoogLeNet: in phase TRAIN, in TEST), million products a picture, side
PUBLISHED = {"alexnet": ((60_965_224, 60_965_224), 724, 227),
             "squeezenet": ((1_235_496, 1_235_496), 388, 227),
             "mobilenet": ((4_231_976, 4_231_976), 569, 224),
             "googlenet": ((13_378_280, 6_998_552), 1583, 224),
             "vgg11": ((132_863_336, 132_863_336), 7609, 224)}
# pictures an iteration, base_lr, weight_decay, max_iter
SETTINGS = {"alexnet": (256, 0.01, 0.0005, 450_000), "squeezenet": (512, 0.04, 0.0002, 170_000),
            "googlenet": (32, 0.01, 0.0002, 2_400_000), "vgg11": (256, 0.01, 0.0005, 370_000)}


def net_of(name, phase=TRAIN, fillers=False, **fit):
    """A net of models/ on the reference device; without fillers its weights take no memory."""
    param = models.load(name).net(**{"batch_size": 2, **fit})
    for layer in param.layer:
        if not fillers:
            for own in (layer.convolution_param, layer.inner_product_param):
                own.ClearField("weight_filler")
                own.ClearField("bias_filler")
    return Net(param, phase, device="numpy", seed=1)


def shapes(net, *names):
    return [net.device_blobs[name].shape[1:] for name in names]


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_as_many_parameters_are_learned_as_published(name, phase):
    net = net_of(name, phase)
    learned = [blob.shape for layer in net.layers if layer.type != "BatchNorm"
               for blob in layer.parameters]
    assert sum(map(math.prod, learned)) == PUBLISHED[name][0][phase]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_picture_takes_as_many_products_as_published(name):
    net = net_of(name, TEST)
    products = sum(math.prod(layer.parameters[0].shape) * math.prod(shape[2:])
                   for layer in net.layers if layer.type in ("Convolution", "InnerProduct")
                   for shape in [net.device_blobs[layer.param.top[0]].shape])
    assert round(products / 1e6) == PUBLISHED[name][1]


@pytest.mark.parametrize("name, wanted", {
    "alexnet": {"norm1": (96, 55, 55), "pool1": (96, 27, 27), "pool2": (256, 13, 13),
                "conv4": (384, 13, 13), "pool5": (256, 6, 6), "fc7": (4096,), "fc8": (1000,)},
    "squeezenet": {"conv1": (64, 113, 113), "pool1": (64, 56, 56), "fire3/concat": (128, 56, 56),
                   "fire5/squeeze1x1": (32, 28, 28), "pool5": (256, 14, 14),
                   "fire9/concat": (512, 14, 14), "pool10": (1000, 1, 1)},
    "mobilenet": {"conv1": (32, 112, 112), "conv2_2/sep": (128, 56, 56),
                  "conv4_1/dw": (256, 28, 28), "conv5_5/sep": (512, 14, 14),
                  "conv6/sep": (1024, 7, 7), "fc7": (1000, 1, 1)},
    "googlenet": {"conv2/norm2": (192, 56, 56), "inception_3b/output": (480, 28, 28),
                  "inception_4e/output": (832, 14, 14), "inception_5b/output": (1024, 7, 7),
                  "loss1/conv": (128, 4, 4), "loss3/classifier": (1000,)},
    "vgg11": {"conv1_1": (64, 224, 224), "conv3_2": (256, 56, 56), "pool5": (512, 7, 7),
              "fc6": (4096,), "fc8": (1000,)},
}.items())
def test_blobs_have_the_published_shapes(name, wanted):
    assert shapes(net_of(name), *wanted) == list(wanted.values())


def test_groups_and_depthwise_convolutions_see_a_part_of_the_channels():
    weights = {layer.name: layer.parameters[0].shape
               for name in ("alexnet", "mobilenet") for layer in net_of(name).layers
               if layer.parameters}
    assert weights["conv2"] == (256, 48, 5, 5) and weights["conv5"] == (256, 192, 3, 3)
    assert weights["conv5_6/dw"] == (512, 1, 3, 3) and weights["conv5_6/sep"] == (1024, 512, 1, 1)


def test_googlenet_has_two_losses_more_while_it_learns():
    assert net_of("googlenet").loss_weights == pytest.approx(
        {"loss1/loss": 0.3, "loss2/loss": 0.3, "loss": 1})
    test = net_of("googlenet", TEST)
    assert not any(layer.name.startswith(("loss1/", "loss2/")) for layer in test.layers)


@pytest.mark.parametrize("name", [*PUBLISHED, "lstm"])
def test_nothing_else_comes_out_than_accuracy_and_loss(name):
    assert net_of(name, TEST).outputs == ["accuracy", "loss"]


@pytest.mark.parametrize("name", SETTINGS)
def test_it_is_trained_with_the_published_settings(name):
    net, param = models.load(name).net(), models.load(name).solver()
    pictures = net.layer[0].input_param.shape[0].dim[0] * param.iter_size
    assert (pictures, param.base_lr, param.weight_decay, param.max_iter) == pytest.approx(
        SETTINGS[name])
    assert param.momentum == pytest.approx(0.9)


@pytest.mark.parametrize("name", PUBLISHED)
def test_large_pictures_are_cropped_and_small_ones_taken_whole(name):
    side = PUBLISHED[name][2]
    for shape, wanted in (((3, 256, 300), (3, side, side)), ((3, side, side), (3, side, side)),
                          ((3, 128, 400), (3, 128, 400)), ((1, 96, 96), (1, 96, 96))):
        data = models.load(name).net(shape=shape).layer[0]
        assert tuple(data.input_param.shape[0].dim[1:]) == wanted
        assert Transform(data.transform_param).output_shape(shape) == wanted


@pytest.mark.parametrize("name", [*PUBLISHED, "lstm"])
def test_it_is_deployed_with_one_output(name):
    deployed = deploy_net(models.load(name).net(classes=5))
    assert [layer.top[0] for layer in deployed.layer if layer.type == "Softmax"] == ["prob"]
    assert len(deployed.layer[0].top) == 1 and deployed.layer[-1].type == "Softmax"


# ----------------------------------------------------------------------------- trained by a user

@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Pictures of three classes and of several sizes, in a folder; the tests run beside it."""
    image = pytest.importorskip("PIL.Image")
    monkeypatch.chdir(tmp_path)
    rng = numpy.random.default_rng(0)
    for k, name in enumerate(("blue", "green", "red")):
        (tmp_path / "my_pictures" / name).mkdir(parents=True)
        for i in range(5):
            pixels = rng.integers(0, 120, (30 + 4 * i, 50, 3), dtype=numpy.uint8)
            pixels[:, :, 2 - k] += 100
            image.fromarray(pixels).save(tmp_path / "my_pictures" / name / f"{i}.png")
    return "my_pictures"


@pytest.mark.parametrize("name, side, stored", [("squeezenet", 227, 259), ("mobilenet", 224, 256)])
def test_pictures_of_a_folder_are_brought_to_a_size_and_cropped(pictures, name, side, stored):
    options = train_options.add_options(argparse.ArgumentParser()).parse_args(
        ["--model", name, "--data", pictures, "--batch-size", "3", "--device", "numpy"])
    made = training.prepare(train_options.TrainOptions.of(options))
    net = made.solver.net
    assert made.dataset.x.shape == (12, 3, stored, stored)
    assert net.source.fill(net, 0) == 3
    data, scale = net.blobs["data"].data, 0.017 if name == "mobilenet" else 1
    assert data.shape == (3, 3, side, side)
    assert -124 * scale <= data.min() < 0 < data.max() <= 255 * scale  # less the mean colour
    scores = "pool10" if name == "squeezenet" else "fc7"
    assert net.device_blobs[scores].shape[:2] == (3, 3)


def test_squeezenet_is_trained_on_small_pictures_of_a_folder(pictures, capsys):
    status = cli.train(["--model", "squeezenet", "--data", pictures, "--image-size", "32",
                        "--batch-size", "2", "--iterations", "2", "--device", "numpy"])
    assert status == 0 and capsys.readouterr().out.splitlines()[-1].startswith("test accuracy = ")


def test_squeezenet_begins_with_every_class_open():
    net = net_of("squeezenet", fillers=True, classes=4, shape=(3, 40, 40))
    net.blobs["data"].data[...] = numpy.random.default_rng(0).normal(0, 50, (2, 3, 40, 40))
    net.forward()
    assert net.blobs["pool10"].data.min() > 0


def test_imagenet_is_not_downloaded(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINICAFFE_DATA", raising=False)
    assert cli.train(["--model", "alexnet"]) == 2
    said = capsys.readouterr().err
    assert "or the path of one, got 'imagenet', which the model is meant for. Hint: --data " \
        "my_pictures/ trains on pictures of your own, in a folder for each class." in said
    assert cli.train(["--model", "alexnet", "--data", "imagenett"]) == 2
    assert "meant for" not in capsys.readouterr().err
    monkeypatch.setenv("MINICAFFE_DATA", "nowhere")
    assert cli.train(["--model", "alexnet"]) == 2
    assert capsys.readouterr().err == (
        "ParameterError: MINICAFFE_DATA: expected a folder, got 'nowhere'.\n")


# ---------------------------------------------------------------------------- the recurrent net

@pytest.mark.parametrize("samples", [4, 3])  # 3: the last batch of a test
def test_lstm_reads_the_rows_in_turn_and_begins_anew_with_each_sample(samples):
    net = net_of("lstm", TEST, batch_size=4, classes=3, shape=(2, 5, 7), units=6, fillers=True)
    x = numpy.random.default_rng(0).random((samples, 2, 5, 7)).astype("float32")
    net.blobs["data"].reshape(*x.shape)
    net.blobs["label"].reshape(samples)
    net.blobs["data"].data[...] = x
    net.forward()
    rows = x.transpose(2, 0, 1, 3).reshape(5, samples, 14)
    assert (net.blobs["rows"].data == rows).all()
    assert (net.blobs["cont"].data == [[0] * samples, *[[1] * samples] * 4]).all()
    assert (net.blobs["last"].data == net.blobs["lstm"].data[-1]).all()
    assert net.blobs["ip"].data.shape == (samples, 3) and net.outputs == ["accuracy", "loss"]
    scores = net.blobs["ip"].data.copy()
    net.forward()  # from a memory that the pass before has left
    assert (net.blobs["ip"].data == scores).all()


def test_lstm_takes_as_many_steps_and_units_as_wanted():
    net = net_of("lstm", batch_size=8, classes=10, shape=(1, 50, 128), units=256)
    assert net.device_blobs["rows"].shape == (50, 8, 128)
    assert net.device_blobs["lstm"].shape == (50, 8, 256)


def test_lstm_refuses_samples_of_one_row():
    with pytest.raises(ParameterError) as caught:
        models.load("lstm").net(shape=(3, 1, 28))
    assert str(caught.value) == ("models/lstm.py: expected samples of 2 or more rows, one for each "
                                 "step, got the shape (3, 1, 28).")


def test_lstm_learns_to_tell_what_it_saw_at_first():
    x = numpy.random.default_rng(0).integers(0, 2, (64, 1, 6, 4)).astype("float32") * 256
    y = x[:, 0, 0, 0] > 0  # the first number of the first of 6 rows
    model = models.load("lstm")
    param = SolverParameter(base_lr=0.2, lr_policy="fixed", momentum=0.9, random_seed=1,
                            test_interval=100, clip_gradients=model.solver().clip_gradients)
    param.net_param.CopyFrom(model.net(batch_size=16, classes=2, shape=(1, 6, 4), units=16))
    solver = Solver(param, data=(x, y), test_data=(x, y), device="numpy")
    assert solver.test()["accuracy"] < 0.8
    solver.step(90)
    assert solver.test()["accuracy"] == 1
