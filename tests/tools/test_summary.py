"""``minicaffe summary``: numbers that were computed by hand, and the command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe import TEST, TRAIN, Net, cli, fillers
from minicaffe.backend.base import Backend
from minicaffe.fillers import without_fillers
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text
from minicaffe.tools import models
from minicaffe.tools.costs import summarize
from minicaffe.tools.summary import table, totals

SMALL = """name: "small"
layer { name: "in" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 6 kernel_size: 3 group: 2 %s } }
layer { name: "ip" type: "InnerProduct" bottom: "conv2" top: "ip"
  inner_product_param { num_output: 5 } }
"""
LOSS = """layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
DATA = """name: "fed"
layer { name: "d" type: "Data" top: "data" top: "label" data_param { batch_size: 5 } %s }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def made(text, phase=TRAIN, device="numpy", **options):
    return Net(parse_text(text, NetParameter), phase, device=device, **options)


def rows(net):
    return {layer.name: layer for layer in summarize(net).layers}


def taken(net):
    """Bytes of the blobs' arrays, those in an arena as the arena, after a pass both ways."""
    net.run_forward()
    net.run_backward()
    arrays = [blob.memory(part).array for blob in net.device_blobs.values()
              for part in ("data", "diff")]
    whole = [array if array.base is None else array.base for array in arrays if array is not None]
    return sum({id(array): array.nbytes for array in whole}.values())


@pytest.fixture
def summary(tmp_path, monkeypatch, capsys):
    """Runs ``minicaffe summary`` in a folder with a net and its weights."""
    monkeypatch.chdir(tmp_path)
    Path("mine_deploy.prototxt").write_text(SMALL % "")
    Path("data.prototxt").write_text(DATA % "")
    Path("more.prototxt").write_text(SMALL % "" + """layer { name: "more" type: "InnerProduct"
      bottom: "ip" top: "more" inner_product_param { num_output: 1 }
      include { phase: TRAIN } include { stage: "use" } } state { stage: "use" }""")
    made(SMALL % "", TEST).save("mine_iter_1.caffemodel")

    def run(*arguments):
        status = cli.main(["summary", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err
    return run


# ---------------------------------------------------------------------------------------- by hand

def test_lenet_as_computed_by_hand():
    counted = summarize(Net(models.load("lenet").net(), TRAIN, device="numpy"))
    assert counted.parameters == 431_080
    assert counted.multiply_adds == 64 * 2_293_000
    found = {layer.name: (layer.parameters, layer.multiply_adds // 64) for layer in counted.layers
             if layer.parameters}
    assert found == {"conv1": (20 * 25 + 20, 20 * 24 * 24 * 25),
                     "conv2": (50 * 20 * 25 + 50, 50 * 8 * 8 * 20 * 25),
                     "ip1": (500 * 800 + 500, 500 * 800), "ip2": (10 * 500 + 10, 10 * 500)}
    assert [n for _, n in found.values()] == [288_000, 1_600_000, 400_000, 5_000]
    assert all(layer.multiply_adds == 0 for layer in counted.layers if layer.name not in found)
    assert counted.parameter_bytes == 2 * 4 * 431_080 and counted.file_bytes == 4 * 431_080


def test_multiply_adds_of_groups_and_of_several_bottoms():
    net = made(SMALL % "" + """
      layer { name: "two" type: "Convolution" bottom: "conv1" bottom: "conv1" top: "a" top: "b"
        convolution_param { num_output: 7 kernel_size: 5 stride: 2 } }
      layer { name: "rows" type: "InnerProduct" bottom: "data" top: "rows"
        inner_product_param { num_output: 9 axis: 3 } }""")
    found = {name: row.multiply_adds for name, row in rows(net).items()}
    assert found["conv2"] == 2 * 6 * 4 * 4 * (4 // 2 * 9)
    assert found["ip"] == 2 * 5 * (6 * 4 * 4)
    assert found["two"] == 2 * (2 * 7 * 1 * 1) * (4 * 25)
    assert found["rows"] == (2 * 3 * 8) * 9 * 8


def test_memory_of_blobs_is_counted_once_and_diffs_where_backward_needs_them():
    found = rows(made(SMALL % "" + LOSS))
    assert found["in"].blob_bytes == 4 * 2 * 3 * 8 * 8  # nothing below it learns
    assert found["conv1"].blob_bytes == 2 * 4 * 2 * 4 * 6 * 6
    assert found["relu1"].blob_bytes == 0 and found["relu1"].in_place
    assert found["label"].blob_bytes == 4 * 2
    assert rows(made(SMALL % "" + LOSS, TEST))["conv1"].blob_bytes == 4 * 2 * 4 * 6 * 6


def test_the_tops_of_a_split_have_diffs_of_their_own():
    net = made(SMALL % "" + LOSS + """
      layer { name: "sum" type: "Eltwise" bottom: "conv2" bottom: "conv2" top: "sum" }
      layer { name: "end" type: "EuclideanLoss" bottom: "sum" bottom: "sum" top: "end" }""")
    found = rows(net)
    split = found["conv2_conv2_0_split"]
    assert split.blob_bytes == 3 * 4 * 2 * 6 * 4 * 4 and split.bottom * 3 == split.top
    text = table(summarize(net))
    assert "conv2_conv2_0_split" not in text
    last = text.splitlines()[-1].split()
    assert last[:3] == ["(2", "more)", "Split"]  # that of conv2, and that of sum
    assert last[-4:] == ["-", f"{5 * 4 * 2 * 6 * 4 * 4 / 1024:.1f}", "KiB", "-"]
    assert "2x6x4x4 (2) -> 2x6x4x4" in text


@pytest.mark.parametrize("source", ["Input", "DummyData"])
@pytest.mark.parametrize("keep", ["all", []])
def test_the_memory_of_all_blobs_is_what_a_net_takes(keep, source):
    text = (SMALL % "" + LOSS).replace("Input", source)
    text = text.replace("input_param", "dummy_data_param" if source == "DummyData" else
                        "input_param")
    counted = summarize(made(text))
    assert counted.shared_bytes < counted.blob_bytes
    assert taken(made(text, keep=keep)) == (
        counted.blob_bytes if keep == "all" else counted.shared_bytes)


def test_shared_parameters_are_counted_once_but_stored_twice():
    net = made("""layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 }}}
      layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
        inner_product_param { num_output: 3 bias_term: false } }
      layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
        inner_product_param { num_output: 3 bias_term: false } }""", TEST)
    assert [row.parameters for row in rows(net).values()] == [0, 9, 0]
    assert summarize(net).parameter_bytes == 4 * 9 and summarize(net).file_bytes == 2 * 4 * 9


# ------------------------------------------------------------------------- algorithms and fusion

@pytest.fixture
def telling(monkeypatch):
    """The device numpy has a rule that names what it is told."""
    monkeypatch.setattr(Backend, "conv_algorithms", lambda self, x, w, window, group, _: (
        str(x), str(w), f"{window.kernel} by {group}"))


def test_the_device_is_asked_how_it_computes_a_convolution(telling):
    assert rows(made(SMALL % "" + LOSS))["conv2"].algorithms == [
        "(2, 4, 6, 6)", "(6, 2, 3, 3)", "(3, 3) by 2"]


def test_axes_before_the_channels_count_as_images_to_the_device(telling):
    net = made("""layer { name: "in" type: "Input" top: "x"
        input_param { shape { dim: 2 dim: 5 dim: 3 dim: 8 } } }
      layer { name: "c" type: "Convolution" bottom: "x" top: "y"
        convolution_param { num_output: 4 kernel_size: 3 axis: 2 } }""")
    assert rows(net)["c"].algorithms[0] == "(10, 3, 8)"


@pytest.mark.parametrize("engine, names", [
    ("IM2COL", ["im2col", "im2col", "im2col"]), ("DIRECT", ["direct", "direct", "direct"]),
    ("TRANSPOSED", ["im2col", "transposed", "transposed"])])
def test_an_engine_forces_its_own(engine, names):
    net = made(SMALL % f"engine: {engine}" + LOSS)
    assert rows(net)["conv2"].algorithms == names
    assert rows(net)["ip"].algorithms is None


def test_what_is_not_computed_has_no_algorithm():
    text = SMALL % "" + LOSS
    assert rows(made(text))["conv1"].algorithms == ["im2col", "im2col", None]
    assert rows(made(text, TEST))["conv2"].algorithms == ["im2col", None, None]
    frozen = text.replace('top: "conv2"', 'top: "conv2" param { lr_mult: 0 }')
    assert rows(made(frozen))["conv2"].algorithms == ["im2col", None, "im2col"]
    assert "  im2col, -, im2col" in table(summarize(made(frozen)))


def test_layers_that_the_device_fuses_are_shown_within_another():
    fused, apart = made(SMALL % "", device="cpu"), made(SMALL % "")
    assert {name: row.fused_into for name, row in rows(fused).items() if row.fused_into} == {
        "relu1": "conv1"}
    assert rows(apart)["relu1"].fused_into is None
    assert "2x4x6x6 in place" in table(summarize(fused))
    assert "  within conv1" in table(summarize(fused))
    assert "within" not in table(summarize(apart))


# ------------------------------------------------------------------------------------ the command

def test_it_prints_a_table_and_the_totals(summary):
    status, lines, said = summary("--model", "mine_deploy.prototxt", "--device", "numpy")
    assert (status, said) == (0, "")
    assert lines == """\
small in phase TRAIN, a batch of 2, on numpy

layer  type          shapes              parameters  multiply-adds    blobs  weights  y, dW, dx by
in     Input         2x3x8x8                      -              -  1.5 KiB        -
conv1  Convolution   2x3x8x8 -> 2x4x6x6         112          7,776  1.1 KiB    896 B  im2col, -, -
relu1  ReLU          2x4x6x6 in place             -              -        -        -
conv2  Convolution   2x4x6x6 -> 2x6x4x4         114          3,456    768 B    912 B  im2col, -, -
ip     InnerProduct  2x6x4x4 -> 2x5             485            960     40 B  3.8 KiB

parameters: 711; 5.6 KiB of memory with their diffs, about 2.8 KiB in a file
multiply-adds: 12,192 a forward pass; 6,096 a sample
blobs: 3.4 KiB of memory with keep='all', 3.4 KiB with keep=[]""".splitlines()


def test_without_options_it_is_of_the_net_that_train_trains(summary):
    assert summary()[1][0] == "digits in phase TRAIN, a batch of 64, on cpu"


def test_batch_size_and_phase_are_as_asked_for(summary):
    _, lines, _ = summary("--model", "lenet", "--batch-size", 1, "--phase", "TEST")
    assert lines[0] == "LeNet in phase TEST, a batch of 1, on cpu"
    assert "multiply-adds: 2,293,000 a forward pass; 2,293,000 a sample" in lines
    assert any(line.startswith("accuracy") for line in lines)


def test_layers_are_those_of_the_phase_and_of_the_stage_that_the_net_names(summary):
    path = Path("more.prototxt")
    assert "2x5 -> 2x1" in summary("--model", path, "--phase", "test")[1][8]
    path.write_text(path.read_text().replace('state { stage: "use" }', ""))
    assert summary("--model", path, "--phase", "test")[1][8] == ""
    assert "2x5 -> 2x1" in summary("--model", path)[1][8]


def test_weights_tell_their_net_and_the_size_of_their_file(summary):
    status, lines, _ = summary("--weights", "mine_iter_1.caffemodel", "--batch-size", 1)
    assert status == 0 and lines[0] == "small in phase TEST, a batch of 1, on cpu"
    size = Path("mine_iter_1.caffemodel").stat().st_size / 1024
    assert f"parameters: 711; 2.8 KiB of memory, {size:.1f} KiB in mine_iter_1.caffemodel" in lines


def test_json_holds_all_of_it(summary):
    assert summary("--model", "mine_deploy.prototxt", "--json", "out.json")[0] == 0
    told = json.loads(Path("out.json").read_text())
    conv1, relu1 = told["layers"][1:3]
    assert conv1 == {
        "name": "conv1", "type": "Convolution", "bottom": [[2, 3, 8, 8]], "top": [[2, 4, 6, 6]],
        "in_place": False, "parameters": 112, "multiply_adds": 7776, "blob_bytes": 1152,
        "parameter_bytes": 896, "algorithms": conv1["algorithms"], "fused_into": None}
    assert relu1["fused_into"] == "conv1" and relu1["algorithms"] is None
    del told["layers"]
    assert told == {"name": "small", "phase": "train", "device": "cpu", "batch_size": 2,
                    "parameters": 711, "multiply_adds": 12192, "blob_bytes": told["blob_bytes"],
                    "shared_bytes": told["shared_bytes"], "parameter_bytes": 5688,
                    "file_bytes": 2844}


def test_no_weights_are_drawn_and_none_take_memory(summary, monkeypatch):
    def fill(*_):
        raise AssertionError("drawn")
    param = without_fillers(parse_text(SMALL % "", NetParameter))
    monkeypatch.setattr(fillers, "fill", fill)
    assert summary("--model", "mine_deploy.prototxt")[0] == 0
    net = Net(param, TRAIN, device="numpy")
    assert all(blob.memory("data").array is None for layer in net.layers
               for blob in layer.parameters)
    assert (net.params["conv1"][0].data == 0).all()


@pytest.mark.parametrize("more, size, shape", [
    ("", "1x6x7", "5x1x6x7"), ("transform_param { crop_size: 4 }", "3x6x6", "5x3x4x4")])
def test_data_layers_are_given_their_pictures_size(summary, more, size, shape):
    Path("data.prototxt").write_text(DATA % more)
    _, lines, _ = summary("--model", "data.prototxt", "--image-size", size)
    assert f"{shape}, 5" in lines[3] and f"{shape} -> 5x2" in lines[4]


@pytest.mark.parametrize("source, size, shape", [
    ('type: "MemoryData" memory_data_param { batch_size: 5 channels: 2 height: 6 width: 7 }', (),
     "5x2x6x7"),
    ('type: "MemoryData" memory_data_param { batch_size: 5 channels: 2 height: 6 width: 7 }',
     ("--image-size", "1x8x9"), "5x1x8x9"),
    ('type: "ImageData" image_data_param { batch_size: 5 new_height: 6 new_width: 7 }', (),
     "5x3x6x7")])
def test_data_layers_that_tell_their_shape_are_asked_for_it(summary, source, size, shape):
    Path("told.prototxt").write_text(
        f'layer {{ name: "d" top: "data" top: "label" {source} }}\n'
        + "".join(DATA.splitlines()[2:]))
    _, lines, said = summary("--model", "told.prototxt", *size)
    assert f"{shape}, 5" in lines[3], said


def test_of_two_data_layers_the_one_of_the_phase_is_given_it(summary):
    layers = "".join(DATA.splitlines()[1] % f"include {{ phase: {phase} }} transform_param {{ "
                     f"crop_size: {crop} }}" for phase, crop in (("TRAIN", 4), ("TEST", 5)))
    Path("two.prototxt").write_text(layers + "".join(DATA.splitlines()[2:]))
    for phase, shape in (("train", "5x3x4x4"), ("test", "5x3x5x5")):
        _, lines, _ = summary("--model", "two.prototxt", "--image-size", "3x9x9", "--phase", phase)
        assert f"{shape}, 5" in lines[3]


def test_an_input_takes_the_size_that_is_asked_for(summary):
    _, lines, _ = summary("--model", "mine_deploy.prototxt", "--image-size", "1x10x9")
    assert "2x1x10x9 -> 2x4x8x7" in lines[4]


def test_a_first_axis_that_is_time_counts_no_samples():
    counted = summarize(made("""
      layer { name: "in" type: "Input" top: "x" top: "cont"
        input_param { shape { dim: 5 dim: 2 dim: 3 } shape { dim: 5 dim: 2 } } }
      layer { name: "other" type: "ReLU" bottom: "x" top: "other" }
      layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "y"
        recurrent_param { num_output: 4 } }"""))
    assert counted.batch_size is None and "batch" not in table(counted)
    assert "5x2x3 -> 5x2x3" in table(counted)  # not in place
    assert f"multiply-adds: {5 * 2 * 16 * (3 + 4):,} a forward pass\n" in totals(counted)
    of_rows = summarize(Net(models.load("lstm").net(batch_size=7), TEST, device="numpy"))
    assert of_rows.batch_size == 7


@pytest.mark.parametrize("arguments, message", [
    (["--model", "lenett"], "ParameterError: --model: expected one of "),
    (["--model", "mine_deploi.prototxt"], "MissingFileError: mine_deploi.prototxt: no such file. "
     "Hint: did you mean 'mine_deploy.prototxt'?"),
    (["--weights", "mine_iter_2.caffemodel"], "MissingFileError: mine_iter_2.caffemodel: no such "
     "file. Hint: did you mean 'mine_iter_1.caffemodel'?"),
    (["--weights", "mina_iter_1.caffemodel"], "MissingFileError: mina_iter_1.caffemodel: no such "
     "file. Hint: did you mean 'mine_iter_1.caffemodel'?"),
    (["--weights", "mine_iter_1.caffemodel", "--model", "more.prototxt"], "WeightsError: "
     "mine_iter_1.caffemodel: expected weights of net 'small', got none for more. "),
    (["--weights", "data.prototxt"], "ParameterError: --model: expected the net of these weights, "
     "got none"),
    (["--weights", "mine_iter_1.caffemodel", "--model", "lenet"], "WeightsError: "
     "mine_iter_1.caffemodel: expected weights of net 'LeNet', got parameter 0 of layer 'conv1' "),
    (["--model", "data.prototxt"], "ParameterError: Data 'd': expected the shape of 'data', which "
     "such a layer does not tell, got none. Hint: give it as channels, height and width, such as "
     "--image-size 3x224x224."),
    (["--device", "gpu"], "DeviceError: device 'gpu': expected one of "),
    (["--json", "none/out.json"], "ParameterError: --json: expected "
     "a file in a folder that is there, got 'none/out.json', and there is no folder 'none'. ")])
def test_mistakes_are_told_in_one_line(summary, arguments, message):
    status, lines, said = summary(*arguments)
    assert status == 2 and lines == [] and said.startswith(message), said
    assert said.count("\n") == 1


@pytest.mark.parametrize("arguments, message", [
    (["--batch-size", "0"], "--batch-size: expected a whole number of 1 or more, got '0'"),
    (["--image-size", "28x28"], "--image-size: expected CxHxW, such as 3x224x224, got '28x28'"),
    (["--image-size", "0x8x8"], "--image-size: expected CxHxW, such as 3x224x224, got '0x8x8'"),
    (["--phase", "both"], "--phase: invalid choice: 'both'"),
    (["--weigths", "a"], "unknown argument '--weigths'. Hint: did you mean '--weights'?")])
def test_a_wrong_option_is_told(summary, capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        summary(*arguments)
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_a_reader_who_leaves_is_no_error(tmp_path):
    done = subprocess.run([sys.executable, "-c", f"""import sys
from minicaffe import cli
class Gone:
    def write(self, text):
        raise BrokenPipeError
sys.stdout = Gone()
sys.exit(cli.main(["summary", "--device", "numpy", "--json", {str(tmp_path / "a.json")!r}]))"""],
                          capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "a.json").stat().st_size > 500


def test_its_help_waits_for_nothing_heavy():
    heavy = ("numba", "h5py", "tqdm", "matplotlib", "PIL", "minicaffe.solvers")
    code = ("import sys; from minicaffe import cli\n"
            "try: cli.main(['summary', '--help'])\n"
            f"finally: print([name for name in {heavy} if name in sys.modules], file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("usage: minicaffe summary")
    assert "minicaffe summary --model lenet --batch-size 1" in done.stdout
    assert done.stderr.strip() == "[]"
