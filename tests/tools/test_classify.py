"""``minicaffe classify`` as a user runs it, on tiny nets whose answers are known."""

import json
import os
import sys
from pathlib import Path

import numpy
import pytest

from minicaffe import TEST, Net, cli
from minicaffe.data.transform import Transform
from minicaffe.proto import NetParameter, TransformationParameter
from minicaffe.proto.text import parse_text
from minicaffe.proto.wire import write_blob
from minicaffe.tools.deploy import write_deploy
from minicaffe.tools.trained import stem_of

Image = pytest.importorskip("PIL.Image")

# the score of class k is the sum of channel k (blue, green, red), times a number
NET = """name: "colours"
layer { name: "in" type: "Input" top: "data" top: "label" %s
  input_param { shape { dim: 8 dim: 3 dim: 4 dim: 4 } shape { dim: 8 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
DATA = NET.replace("Input", "Data").replace(
    "input_param { shape { dim: 8 dim: 3 dim: 4 dim: 4 } shape { dim: 8 } }",
    'data_param { source: "x" batch_size: 8 }')
COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


@pytest.fixture
def classify(tmp_path, monkeypatch, capsys):
    """Runs ``minicaffe classify`` in a folder of pictures; returns (status, lines, errors)."""
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (10, 7), colour).save(f"pictures/{name}.png")

    def run(*arguments):
        status = cli.main(["classify", "--device", "numpy", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err.splitlines()
    return run


def save(text=NET % "", stem="mine", factor=0.01, **options):
    """Write the weights of a net, and what train writes beside them; returns the weights' name."""
    net = Net(parse_text(NET % "", NetParameter), TEST, device="numpy")
    weights = net.params["ip"][0].data.reshape(3, 3, -1)
    for k in range(3):
        weights[k, k] = factor
    net.save(f"{stem}_iter_20.caffemodel")
    write_deploy(parse_text(text, NetParameter), stem, **{"classes": tuple(COLOURS), **options})
    return f"{stem}_iter_20.caffemodel"


def probabilities(scores):
    return numpy.exp(scores) / numpy.exp(scores).sum()


# ---------------------------------------------------------------------------------------- pictures

def test_a_path_that_is_no_utf_8_is_printed_with_escapes(classify):
    odd = os.fsdecode(b"fen\xeatre.png")
    Image.new("RGB", (10, 7), COLOURS["red"]).save(odd, "PNG")
    status, lines, errors = classify("--weights", save(), odd, "pictures/green.png", "--top", 1)
    assert status == 0 and not errors
    assert [line.partition(":")[0] for line in lines] == [r"fen\xeatre.png", "pictures/green.png"]
    Path(odd).write_bytes(b"")
    status, lines, errors = classify("--weights", save(), odd, "pictures/green.png")
    assert status == 2 and len(lines) == 1 and r"fen\xeatre.png: expected a picture" in errors[0]


def test_names_of_classes_are_no_great_file(classify):
    Path("names.txt").write_bytes(b"\n" * 10**6)
    status, _, errors = classify("--weights", save(), "pictures", "--labels", "names.txt")
    assert status == 2 and "names.txt: expected a file of at most 66304 bytes" in errors[0]


def test_pictures_get_classes_in_the_order_of_their_probability(classify):
    status, lines, errors = classify("--weights", save(factor=0.0005), "pictures/green.png",
                                     "pictures/red.png")
    p = probabilities(numpy.array([0, 16 * 255 * 0.0005, 0]))
    best, rest = f"{100 * p[1]:.1f} %", f"{100 * p[0]:.1f} %"
    assert status == 0 and errors == []
    assert lines == [f"pictures/green.png: green {best}, blue {rest}, red {rest}",
                     f"pictures/red.png: red {best}, blue {rest}, green {rest}"]


def test_a_folder_stands_for_all_pictures_in_it(classify):
    Path("pictures/deeper").mkdir()
    Path("pictures/red.png").rename("pictures/deeper/red.PNG")
    Path("pictures/notes.txt").write_text("no picture")
    status, lines, _ = classify("--weights", save(), "pictures", "pictures/blue.png", "--top", 1)
    assert status == 0 and lines == ["pictures/blue.png: blue 100.0 %",
                                     "pictures/deeper/red.PNG: red 100.0 %",
                                     "pictures/green.png: green 100.0 %"]


def test_classes_without_a_chance_are_not_told(classify):
    assert classify("--weights", save(), "pictures/red.png")[1] == ["pictures/red.png: red 100.0 %"]


def test_many_pictures_are_classified_in_batches(classify, monkeypatch):
    monkeypatch.setattr("minicaffe.tools.trained.BATCH", 2)
    _, lines, _ = classify("--weights", save(), "pictures", "--top", 1)
    assert [line.split()[1] for line in lines] == ["blue", "green", "red"]


def test_json_tells_each_picture_on_a_line(classify):
    _, lines, _ = classify("--weights", save(factor=0.001), "pictures", "--json", "--top", 2)
    first = json.loads(lines[0])
    p = probabilities(numpy.array([16 * 255 * 0.001, 0, 0]))
    assert first["picture"] == "pictures/blue.png" and len(lines) == 3
    assert [(entry["class"], entry["index"]) for entry in first["classes"]] == [
        ("blue", 0), ("green", 1)]
    assert first["classes"][0]["probability"] == pytest.approx(p[0], rel=1e-5)


def test_a_picture_that_cannot_be_read_does_not_keep_the_others_from_it(classify):
    Path("pictures/bad.png").write_bytes(b"no picture")
    status, lines, errors = classify("--weights", save(), "pictures", "pictures/redd.png")
    assert status == 2 and [line.split()[1] for line in lines] == ["blue", "green", "red"]
    assert errors == [
        "FileFormatError: pictures/bad.png: expected a picture, got something else, or only its "
        "beginning. Hint: save it anew, or remove it.",
        "MissingFileError: pictures/redd.png: no such file. Hint: did you mean 'red.png'?"]


# ----------------------------------------------------------------------------------------- the net

def test_a_net_for_training_is_made_one_for_use(classify):
    weights = save()
    Path("mine_deploy.prototxt").unlink()
    Path("net.prototxt").write_text(NET % "")
    _, lines, _ = classify("--weights", weights, "--model", "net.prototxt", "pictures")
    assert [line.split()[1] for line in lines] == ["blue", "green", "red"]
    Path("mine_labels.txt").unlink()
    _, lines, _ = classify("--weights", weights, "--model", "net.prototxt", "pictures/red.png")
    assert lines == ["pictures/red.png: class 2 100.0 %"]


@pytest.mark.parametrize("size", ["3x4x4", "3,4,4"])
def test_a_net_that_reads_a_database_is_told_the_size(classify, size):
    Path("net.prototxt").write_text(DATA % "")
    arguments = ("--weights", save(), "--model", "net.prototxt", "pictures/red.png")
    assert classify(*arguments, "--image-size", size)[0] == 0
    status, _, errors = classify(*arguments)
    assert status == 2 and "Data 'in': expected the shape of 'data'" in errors[0]


def test_a_mean_picture_tells_the_size_too(classify):
    Path("elsewhere").mkdir()
    weights = save()
    Path("elsewhere/net.prototxt").write_text(
        DATA % 'transform_param { mean_file: "mean.binaryproto" scale: 0.1 }')
    mean = numpy.zeros((1, 3, 4, 4), "float32")
    mean[:, 2] = 300  # redder than any picture
    for place in ("mean.binaryproto", "elsewhere/mean.binaryproto"):
        write_blob(place, mean)
        status, lines, errors = classify("--weights", weights, "--model", "elsewhere/net.prototxt",
                                         "pictures/red.png", "--json")
        assert status == 0, errors
        p = probabilities(numpy.array([0, 0, 16 * (255 - 300) * 0.1 * 0.01]))
        got = {entry["class"]: entry["probability"] for entry in json.loads(lines[0])["classes"]}
        assert got["red"] == pytest.approx(p[2], rel=1e-4)
        Path(place).unlink()
    status, _, errors = classify("--weights", weights, "--model", "elsewhere/net.prototxt",
                                 "pictures/red.png")
    assert status == 2 and errors[0].startswith("MissingFileError: mean.binaryproto: no such file")


@pytest.mark.parametrize("text, options, top", [
    ("transform_param { scale: 0.001 }", (), 16 * 255 * 0.001),
    ("", ("--scale", "0.001"), 16 * 255 * 0.001),
    ("transform_param { mean_value: 250 }", (), 16 * 5.0),
    ("transform_param { mean_value: 1 }", ("--mean", "1,2,250", "--scale", "0.1"), 16 * 0.5)])
def test_pixels_are_transformed_as_the_net_or_the_options_say(classify, text, options, top):
    weights = save((NET % text).replace("SoftmaxWithLoss", "EuclideanLoss"), factor=1)
    _, lines, _ = classify("--weights", weights, "pictures/red.png", *options, "--json")
    best = json.loads(lines[0])["classes"][0]
    assert best["class"] == "red" and best["score"] == pytest.approx(top, rel=1e-5)


def test_of_several_outputs_prob_is_told(classify):
    text = NET % "" + """layer { name: "half" type: "Power" bottom: "ip" top: "half"
      power_param { scale: 0.5 } }
    layer { name: "aside" type: "SoftmaxWithLoss" bottom: "half" bottom: "label" top: "aside"
      loss_weight: 0.1 }"""
    _, lines, _ = classify("--weights", save(text, factor=0.0005), "pictures/red.png", "--top", 1)
    p = probabilities(numpy.array([0, 0, 16 * 255 * 0.0005]))
    assert lines == [f"pictures/red.png: red {100 * p[2]:.1f} %"]


def test_scores_that_are_no_probabilities_are_told_as_they_are(classify):
    weights = save((NET % "").replace("SoftmaxWithLoss", "EuclideanLoss"))
    assert classify("--weights", weights, "pictures/red.png")[1] == [
        "pictures/red.png: red 40.8, blue 0, green 0"]


IN_PLACE = """layer { name: "end" type: "%s" bottom: "ip" top: "ip" }"""


@pytest.mark.parametrize("kind, told", [
    ("ReLU", "red 40.8, blue 0, green 0"), ("Sigmoid", "red 100.0 %, blue 50.0 %, green 50.0 %"),
    ("Softmax", "red 100.0 %"), ("Dropout", "red 40.8, blue 0, green 0"),
    ("Power", "red 40.8, blue 0, green 0")])
@pytest.mark.parametrize("kept", ["as given", "as train writes it"])
def test_what_a_last_layer_in_place_makes_is_told(classify, kind, told, kept):
    net = (NET % "").replace("SoftmaxWithLoss", "EuclideanLoss") + IN_PLACE % kind
    loss = net.index('layer { name: "loss"')
    end = net.index('layer { name: "end"')
    judged = net[:loss] + net[end:] + "\n" + net[loss:end]  # by what is in place
    if kept == "as train writes it":
        weights, model = save(judged), ()
    else:
        Path("net.prototxt").write_text(net[:loss].replace('top: "label"', "").replace(
            "shape { dim: 8 } }", "}") + net[end:])
        weights, model = save(), ("--model", "net.prototxt")
    status, lines, said = classify("--weights", weights, *model, "pictures/red.png")
    assert (status, lines, said) == (0, [f"pictures/red.png: {told}"], [])


def test_layers_that_change_no_number_leave_probabilities_what_they_are(classify):
    Path("net.prototxt").write_text((NET % "").split('layer { name: "loss"')[0] + """
        layer { name: "soft" type: "Softmax" bottom: "ip" top: "soft" }
        layer { name: "flat" type: "Flatten" bottom: "soft" top: "flat" }
        layer { name: "drop" type: "Dropout" bottom: "flat" top: "flat" }""")
    _, lines, _ = classify("--weights", save(), "--model", "net.prototxt", "pictures/red.png")
    assert lines == ["pictures/red.png: red 100.0 %"]


def test_two_outputs_of_which_one_is_made_in_place_are_two(classify):
    Path("net.prototxt").write_text((NET % "").split('layer { name: "loss"')[0]
                                    + IN_PLACE % "ReLU" + """
        layer { name: "half" type: "Power" bottom: "data" top: "half" }""")
    status, lines, said = classify("--weights", save(), "--model", "net.prototxt",
                                   "pictures/red.png")
    assert (status, lines) == (2, [])
    assert "expected one output, or one called 'prob', got half, ip" in said[0]


def test_a_mean_may_be_an_array_of_numpy(classify):
    weights = save(factor=1)
    numpy.save("mean.npy", numpy.full((3, 4, 4), 255.0))
    _, lines, _ = classify("--weights", weights, "pictures/red.png", "--mean", "mean.npy")
    assert lines == ["pictures/red.png: red 100.0 %"]
    numpy.save("mean.npy", numpy.full((4, 4), 255.0))
    _, _, errors = classify("--weights", weights, "pictures/red.png", "--mean", "mean.npy")
    assert errors == ["ShapeError: mean.npy: expected a mean picture (C, H, W), or a number for "
                      "each channel, got (4, 4)."]


def test_a_mean_larger_than_the_input_is_cropped_with_the_picture(classify):
    mean = numpy.zeros((1, 3, 6, 6), "float32")
    mean[:, 0, 1:5, 1:5] = -200  # makes the middle of any picture bluer than red
    write_blob("mean.binaryproto", mean)
    weights = save(factor=0.001)
    _, lines, _ = classify("--weights", weights, "pictures/red.png", "--mean", "mean.binaryproto",
                           "--json")
    got = {entry["class"]: entry["probability"] for entry in json.loads(lines[0])["classes"]}
    p = probabilities(numpy.array([16 * 0.2, 0, 16 * 0.255]))
    assert got["blue"] == pytest.approx(p[0], rel=1e-4)


def test_pictures_are_brought_to_the_size_before_the_crop(classify):
    """A red frame around a blue middle: the crop of a net trained on 8 x 8 sees blue alone."""
    picture = Image.new("RGB", (16, 16), COLOURS["red"])
    picture.paste(COLOURS["blue"], (4, 4, 12, 12))
    picture.save("frame.png")
    param = parse_text("crop_size: 4", TransformationParameter)
    weights = save(factor=1, shape=(3, 8, 8), transform=Transform(param))
    assert classify("--weights", weights, "frame.png")[1] == ["frame.png: blue 100.0 %"]
    Path("net.prototxt").write_text(NET % "")
    assert classify("--weights", weights, "frame.png", "--model", "net.prototxt"
                    )[1] == ["frame.png: red 100.0 %"]


def test_names_of_all_files_begin_with_the_stem_of_the_weights():
    for name in ("s/pets_iter_20.caffemodel", "s/pets.caffemodel", "s/pets_iter_3.caffemodel.h5",
                 "s/pets.h5", "s/pets"):
        assert stem_of(name) == "s/pets"


def test_labels_of_another_file_are_taken(classify):
    Path("names.txt").write_text("Blau\nGrün\nRot\n", encoding="utf-8")
    arguments = ("--weights", save(), "pictures/green.png", "--labels", "names.txt")
    assert classify(*arguments)[1] == ["pictures/green.png: Grün 100.0 %"]


def test_a_net_may_have_more_scores_than_classes_have_names(classify):
    weights = save(classes=("blue", "green"))
    assert classify("--weights", weights, "pictures/red.png")[1] == [
        "pictures/red.png: class 2 100.0 %"]


# ------------------------------------------------------------------------------------------ errors

SOFTMAX = 'layer { name: "%s" type: "Softmax" bottom: "ip" top: "%s" }'
MISTAKEN = {
    "net": NET % "",
    "wide": (NET % "").replace("num_output: 3", "num_output: 4"),
    "other": (NET % "").replace('name: "ip"', 'name: "op"'),
    "more": NET % "" + 'layer { name: "more" type: "InnerProduct" bottom: "ip" top: "more" '
    'inner_product_param { num_output: 2 } }',
    "grey": (NET % "").replace("dim: 3", "dim: 2"),
    "means": NET % 'transform_param { subtract_mean: "channel" }',
    "two": NET % "" + 'layer { name: "e" type: "ReLU" bottom: "label" top: "e" }',
    "outputs": NET.split('layer { name: "loss"')[0] % "" + SOFTMAX % ("p", "p")
    + SOFTMAX % ("other", "other"),
    "maps": NET.split('layer { name: "ip"')[0] % "" + 'layer { name: "pool" type: "Pooling" '
    'bottom: "data" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }',
}


@pytest.mark.parametrize("arguments, message", [
    (["--weights", "mine_iter_2.caffemodel"], "MissingFileError: mine_iter_2.caffemodel: no such "
     "file. Hint: did you mean 'mine_iter_20.caffemodel'?"),
    (["--weights", "other.caffemodel"], "ParameterError: --model: expected the net of these "
     "weights, got none, as there is no 'other_deploy.prototxt'. Hint: give its prototxt"),
    (["--weights", "mine_iter_20.caffemodel", "--model", "nte.prototxt"],
     "MissingFileError: nte.prototxt: no such file. Hint: did you mean 'net.prototxt'?"),
    (["--weights", "mine_iter_20.caffemodel", "--model", "wide.prototxt"],
     "WeightsError: mine_iter_20.caffemodel: expected weights of net 'colours', got parameter 0"),
    (["--weights", "mine_iter_20.caffemodel", "--model", "other.prototxt"],
     "WeightsError: mine_iter_20.caffemodel: expected weights of net 'colours', got those of"),
    (["--weights", "mine_iter_20.caffemodel", "--model", "more.prototxt"],
     "WeightsError: mine_iter_20.caffemodel: expected weights of net 'colours', got none for more"),
    (["--weights", "mine_iter_20.caffemodel", "--model", "grey.prototxt"],
     "NetError: Input 'in': expected pictures (N, C, H, W) of 1 or 3 channels, got the shape "
     "(1, 2, 4, 4)"),
    (["--weights", "mine_iter_20.caffemodel", "--model", "two.prototxt"],
     "NetError: net 'colours': expected one input, for pictures, got data, label"),
    (["--weights", "mine_iter_20.caffemodel", "--model", "means.prototxt"],
     "ParameterError: --mean: expected the mean of what the net was trained on, as its "
     "subtract_mean asks for it, got none. Hint: train writes it"),
    (["--weights", "mine_iter_20.caffemodel", "--model", "outputs.prototxt"],
     "NetError: net 'colours': expected one output, or one called 'prob', got other, p"),
    (["--weights", "mine_iter_20.caffemodel", "--model", "maps.prototxt"],
     "NetError: net 'colours': expected a score for each class of a picture in 'pool', got the "
     "shape (1, 3, 2, 2). Hint: is the picture larger"),
    (["--weights", "mine_iter_20.caffemodel", "--labels", "two.txt"],
     "FileFormatError: two.txt: expected a name on a line for each of 3 classes, got 2 lines"),
    (["--weights", "mine_iter_20.caffemodel", "--image-size", "1x4x4"],
     "ParameterError: --image-size: expected 3 channels, as the net's input has, got 1"),
    (["--weights", "mine_iter_20.caffemodel", "--mean", "1,x"],
     "MissingFileError: 1,x: no such file"),
    (["--weights", "mine_iter_20.caffemodel", "--mean", "1,,2"],
     "ParameterError: --mean: expected a file, or a number for each channel, such as 104,117,123, "
     "got '1,,2'"),
    (["--weights", "mine_iter_20.caffemodel", "--mean", "1,2"],
     "ParameterError: Input 'in': transform_param: mean_value: expected one, or one for each of 3 "
     "channels, got 2"),
    (["--weights", "mine_iter_20.caffemodel", "--top", "0"],
     "ParameterError: --top: expected a whole number of 1 or more, got 0"),
    (["--weights", "mine_iter_20.caffemodel", "empty"],
     "MissingFileError: empty: expected pictures in this folder, got none. Hint: their names end")])
def test_mistakes_are_told_in_one_line(classify, arguments, message):
    Path("empty").mkdir()
    Path("other.caffemodel").write_bytes(Path(save()).read_bytes())
    Path("two.txt").write_text("a\nb\n")
    for name, text in MISTAKEN.items():
        Path(f"{name}.prototxt").write_text(text)
    status, lines, errors = classify(*arguments, *["pictures/red.png"] * ("empty" != arguments[-1]))
    assert status == 2 and lines == [] and len(errors) == 1
    assert errors[0].startswith(message), errors


def test_sizes_that_are_none_are_refused(classify, capsys):
    with pytest.raises(SystemExit) as caught:
        classify("--weights", "x.caffemodel", "a.png", "--image-size", "3x0x4")
    assert caught.value.code == 2
    assert "expected CxHxW, such as 3x224x224, or HxW, got '3x0x4'" in capsys.readouterr().err


def test_without_pillow_it_says_once_what_to_install(classify, monkeypatch):
    weights = save()
    monkeypatch.setitem(sys.modules, "PIL", None)
    status, lines, errors = classify("--weights", weights, "pictures")
    assert (status, lines) == (2, []) and errors == [
        "MissingPackageError: pictures: Pillow is not installed. "
        "Hint: pip install 'minicaffe[images]'"]


def test_the_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        cli.main(["classify", "--help"])
    said = capsys.readouterr().out
    assert "minicaffe classify --weights snapshots/pets_iter_1000.caffemodel picture.png" in said
    for option in ("--model", "--labels", "--mean", "--scale", "--top", "--json", "--image-size"):
        assert option in said
