"""``minicaffe show``: filters and maps as tiles whose pixels are known, and the command."""

import sys
from pathlib import Path

import numpy
import pytest

from minicaffe import TEST, Net, cli
from minicaffe.errors import ParameterError
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text
from minicaffe.tools.show import Strip, blobs_seen, compose, mosaic

Image = pytest.importorskip("PIL.Image")

NET = """name: "small"
layer { name: "in" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: %d dim: 8 dim: 8 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 6 kernel_size: 2 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv2" top: "ip"
  inner_product_param { num_output: 2 } }
"""
BLUE = [28, 44, 74]  # what is between the tiles


@pytest.fixture
def show(tmp_path, monkeypatch, capsys):
    """Runs ``minicaffe show`` in a folder with a net and its weights."""
    monkeypatch.chdir(tmp_path)
    made(3).save("mine_iter_1.caffemodel")
    Path("mine_deploy.prototxt").write_text(NET % 3)
    Image.new("RGB", (20, 10), (250, 120, 0)).save("orange.png")

    def run(*arguments):
        status = cli.main(["show", "--device", "numpy", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err
    return run


def made(channels):
    return Net(parse_text(NET % channels, NetParameter), TEST, device="numpy", seed=1)


def pixels(path="out.png"):
    with Image.open(path) as image:
        assert image.format == "PNG" and image.mode == "RGB"
        return numpy.asarray(image).astype(int)


def tile(picture, row, column, size, side):
    """The pixels of a tile's elements: one of each block, without the margin and the caption."""
    step = side + 2
    y, x = 24 + row * step, 8 + column * step
    block = side // size
    return picture[y:y + side:block, x:x + side:block]


def spread(values):
    """From the least to the largest: 0 .. 255."""
    return numpy.round(255 * (values - values.min()) / (values.max() - values.min()))


# ------------------------------------------------------------------------------------------ filters

def test_filters_of_three_channels_are_drawn_in_colours(show):
    status, lines, _ = show("--weights", "mine_iter_1.caffemodel", "-o", "out.png")
    assert (status, lines) == (0, ["conv1: 4 filters 3 x 3 x 3", "out.png"])
    weights = made(3).params["conv1"][0].data
    for k in range(4):  # three in a row, 21 times as large
        got = tile(pixels(), k // 3, k % 3, 3, 63)
        numpy.testing.assert_allclose(got, spread(weights[k])[::-1].transpose(1, 2, 0), atol=1)


def test_other_filters_are_a_row_of_grey_tiles(show):
    show("--weights", "mine_iter_1.caffemodel", "-o", "out.png", "--layer", "conv2")
    weights = made(3).params["conv2"][0].data
    for k, c in ((0, 0), (0, 3), (1, 0), (5, 2)):
        got = tile(pixels(), k, c, 2, 32)
        numpy.testing.assert_allclose(got, spread(weights[k, c])[..., None].repeat(3, 2), atol=1)


def test_filters_of_one_channel_stand_in_a_square(show):
    net = made(1)
    net.save("grey.caffemodel")
    show("--weights", "grey.caffemodel", "-o", "out.png")
    got = tile(pixels(), 1, 0, 3, 63)
    assert (got[..., 0] == got[..., 2]).all()
    numpy.testing.assert_allclose(got[..., 0], spread(net.params["conv1"][0].data[3, 0]), atol=1)


def test_of_very_many_filters_some_are_drawn_and_it_says_so(show):
    text = (NET % 3).replace("num_output: 4", "num_output: 40").replace("num_output: 6",
                                                                         "num_output: 50")
    Net(parse_text(text, NetParameter), TEST, device="numpy").save("wide.caffemodel")
    _, lines, _ = show("--weights", "wide.caffemodel", "-o", "out.png", "--layer", "conv2")
    assert lines[0] == "conv2: 50 filters 40 x 2 x 2, the first 32 and of each 32 channels"
    assert pixels().shape == (24 + 32 * 34 - 2 + 8, 8 + 32 * 34 - 2 + 8, 3)


def test_weights_in_hdf5_are_read_too(show):
    pytest.importorskip("h5py")
    made(3).save("mine.caffemodel.h5")
    assert show("--weights", "mine.caffemodel.h5", "-o", "out.png")[1][0].startswith("conv1: 4 fi")


def test_inner_products_of_old_files_are_no_convolutions(show):
    old = NetParameter()
    layer = old.layer.add(name="ip", type="InnerProduct")
    layer.blobs.add(num=1, channels=1, height=2, width=3, data=range(6))
    Path("old.caffemodel").write_bytes(old.SerializeToString())
    status, _, said = show("--weights", "old.caffemodel", "-o", "out.png")
    assert status == 2 and "old.caffemodel: expected a convolution, got none" in said


def test_a_filter_of_one_number_alone_is_neither_black_nor_white(show):
    net = made(1)
    net.params["conv1"][0].data[...] = 7
    net.save("flat.caffemodel")
    show("--weights", "flat.caffemodel", "-o", "out.png")
    assert (tile(pixels(), 0, 0, 3, 63) == 128).all()


# --------------------------------------------------------------------------------------------- maps

def test_the_maps_of_a_layer_are_drawn_for_a_picture(show):
    _, lines, _ = show("--weights", "mine_iter_1.caffemodel", "-o", "out.png", "--picture",
                       "orange.png", "--layer", "pool1")
    assert lines == ["pool1: 4 x 3 x 3", "out.png"]


def test_every_layer_that_makes_maps_has_a_strip(show):
    status, lines, _ = show("--weights", "mine_iter_1.caffemodel", "-o", "out.png", "--picture",
                            "orange.png")
    assert status == 0 and lines[:-1] == ["data: 3 x 8 x 8", "conv1: 4 x 6 x 6",
                                          "pool1: 4 x 3 x 3", "conv2: 6 x 2 x 2"]
    assert (tile(pixels(), 0, 0, 8, 64) == [255, 122, 0]).all()  # the picture, in its colours


@pytest.mark.parametrize("layer", [None, "conv1"])
def test_maps_are_those_of_the_first_sample(layer):
    net = made(3)
    net.blobs["data"].reshape(2, 3, 8, 8)
    net.reshape()
    net.forward(data=numpy.random.default_rng(0).random((2, 3, 8, 8)))
    strip = [strip for strip in blobs_seen(net, layer) if strip.caption.startswith("conv1")][0]
    side = strip.tiles.shape[1] // 6
    assert strip.tiles.shape == ((4, 60, 60, 3) if layer is None else (4, 126, 126, 3))
    maps = net.blobs["conv1"].data[0]
    for k in range(4):
        numpy.testing.assert_allclose(strip.tiles[k, ::side, ::side, 0], spread(maps[k]), atol=1)


def test_large_maps_are_thinned_out_and_many_are_not_all_drawn():
    text = """layer { name: "in" type: "Input" top: "data" top: "more"
      input_param { shape { dim: 1 dim: 1 dim: 200 dim: 100 } shape { dim: 1 dim: 70 dim: 2 dim: 2 }
    } }"""
    net = Net(parse_text(text, NetParameter), TEST, device="numpy")
    net.forward(data=numpy.arange(20000).reshape(1, 1, 200, 100), more=numpy.ones((1, 70, 2, 2)))
    large, many = blobs_seen(net)
    assert large.tiles.shape == (1, 67, 34, 3)
    assert many.tiles.shape == (64, 64, 64, 3) and many.columns == 13  # 5 rows, nearly full
    assert many.caption == "more: 70 x 2 x 2, the first 64 maps"
    assert [strip.tiles.shape[1] for strip in blobs_seen(net, "in")] == [200, 128]


def test_only_the_input_is_drawn_in_colours_and_copies_for_several_readers_are_not_drawn():
    text = (NET % 3).replace("num_output: 4", "num_output: 3") + """
layer { name: "also" type: "Pooling" bottom: "pool1" top: "also" pooling_param { kernel_size: 3 } }
"""
    net = Net(parse_text(text, NetParameter), TEST, device="numpy", seed=1)
    net.forward(data=numpy.random.default_rng(0).random((1, 3, 8, 8)))
    assert [(strip.caption.split(":")[0], len(strip.tiles)) for strip in blobs_seen(net)] == [
        ("data", 1), ("conv1", 3), ("pool1", 3), ("conv2", 6), ("also", 3)]


def test_values_that_are_no_numbers_do_not_hide_the_others():
    net = made(3)
    net.blobs["conv1"].data[0, 0, 0] = numpy.nan
    net.blobs["conv1"].data[0, 0, 1] = 5
    tiles = next(strip.tiles for strip in blobs_seen(net, "conv1"))
    assert tiles[0].min() == 0 and tiles[0].max() == 255


# -------------------------------------------------------------------------------------- the drawing

def test_tiles_stand_a_gap_apart():
    tiles = numpy.arange(3, dtype="uint8")[:, None, None, None] * numpy.ones((1, 2, 4, 3), "uint8")
    picture = mosaic(Strip("", tiles, 2))
    assert picture.shape == (2 + 2 + 2, 4 + 2 + 4, 3)
    assert (picture[:2, :4] == 0).all() and (picture[:2, 6:] == 1).all()
    assert (picture[4:, :4] == 2).all() and (picture[4:, 4:] == BLUE).all()
    assert (picture[2:4] == BLUE).all() and (picture[:, 4:6] == BLUE).all()


def test_each_strip_stands_under_its_caption():
    strips = [Strip("first", numpy.full((1, 10, 300, 3), 1, "uint8"), 1),
              Strip("second", numpy.full((1, 20, 30, 3), 2, "uint8"), 1)]
    picture = compose(strips)
    assert picture.shape == (8 + (16 + 10 + 8) + (16 + 20 + 8), 300 + 16, 3)
    assert (picture[24:34, 8:308] == 1).all() and (picture[58:78, 8:38] == 2).all()
    assert (picture[8:24].max(axis=(0, 2)) > 150).sum() > 5  # letters


# -------------------------------------------------------------------------------------- the command

@pytest.mark.parametrize("arguments, message", [
    (["--weights", "mine.caffemodel"], "MissingFileError: mine.caffemodel: no such file. Hint: did "
     "you mean 'mine_iter_1.caffemodel'?"),
    (["--weights", "mine_iter_1.caffemodel", "--layer", "conv3"], "ParameterError: "
     "mine_iter_1.caffemodel: expected the name of a convolution, got 'conv3'. Hint: did you mean "
     "'conv"),
    (["--weights", "mine_iter_1.caffemodel", "--layer", "ip"], "ParameterError: "
     "mine_iter_1.caffemodel: expected the name of a convolution, got 'ip'. Hint: convolutions: "
     "conv1, conv2."),
    (["--weights", "flat.caffemodel"], "ParameterError: flat.caffemodel: expected a convolution, "
     "got none. Hint: convolutions: none."),
    (["--weights", "mine_iter_1.caffemodel", "--picture", "orange.png", "--layer", "poll1"],
     "ParameterError: --layer: expected the name of a layer, got 'poll1'. Hint: did you mean "
     "'pool1'?"),
    (["--weights", "mine_iter_1.caffemodel", "--picture", "orange.png", "--layer", "ip"],
     "ParameterError: layer 'ip': expected maps (N, C, H, W) to draw, got 'ip' (1, 2)"),
    (["--weights", "mine_iter_1.caffemodel", "--picture", "orage.png"],
     "MissingFileError: orage.png: no such file. Hint: did you mean 'orange.png'?"),
    (["--weights", "flat.caffemodel", "--picture", "orange.png", "--model", "mine_deploy.prototxt"],
     "WeightsError: flat.caffemodel: expected weights of net 'small', got parameter "
     "0 of layer 'ip' is (2, 192) there, (2, 24) here"),
    (["--weights", "mine_iter_1.caffemodel", "-o", "out.jpg"],
     "ParameterError: --output: expected a file name that ends in .png, got 'out.jpg'"),
    (["--weights", "mine_iter_1.caffemodel", "-o", "none/out.png"],
     "ParameterError: --output: expected "
     "a file in a folder that is there, got 'none/out.png', and there is no folder 'none'. ")])
def test_mistakes_are_told_in_one_line(show, arguments, message):
    text = (NET % 3).split('layer { name: "conv1"')[0] + """layer { name: "ip" type: "InnerProduct"
        bottom: "data" top: "ip" inner_product_param { num_output: 2 } }"""
    Net(parse_text(text, NetParameter), TEST, device="numpy").save("flat.caffemodel")
    status, lines, said = show("-o", "out.png", *arguments)
    assert status == 2 and lines == [] and said.startswith(message), said
    assert said.count("\n") == 1 and not Path("out.png").exists()


def test_a_layer_without_maps_cannot_be_drawn():
    net = made(3)
    with pytest.raises(ParameterError, match="layer 'ip': expected maps"):
        blobs_seen(net, "ip")


def test_without_pillow_it_says_what_to_install(show, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert show("--weights", "mine_iter_1.caffemodel", "-o", "out.png") == (
        2, [], "MissingPackageError: pictures: Pillow is not installed. "
        "Hint: pip install 'minicaffe[images]'\n")


def test_the_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        cli.main(["show", "--help"])
    said = capsys.readouterr().out
    assert "minicaffe show --weights snapshots/digits_iter_700.caffemodel -o filters.png" in said
