"""Which layers bring data, how large their batches are, and what a source is."""

import numpy
import pytest

from minicaffe.data import Batches
from minicaffe.data.batches import RowReader
from minicaffe.data.image_folder import ImageFolder
from minicaffe.data_layers import Source, batch_size, brings_data, waits_for_data
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text


def layer(text):
    return parse_text(f"layer {{ name: 'l' {text} }}", NetParameter).layer[0]


@pytest.mark.parametrize("text, brings, waits", [
    ("type: 'Data' top: 'data'", True, True), ("type: 'Input' top: 'data'", True, True),
    ("type: 'Python' top: 'data'", True, True), ("type: 'DummyData' top: 'data'", True, False),
    ("type: 'Parameter' top: 'p'", False, False),
    ("type: 'ReLU' bottom: 'data' top: 'data'", False, False)])
def test_what_a_layer_without_bottoms_brings(text, brings, waits):
    assert (brings_data(layer(text)), waits_for_data(layer(text))) == (brings, waits)


@pytest.mark.parametrize("text, size", [
    ("type: 'Data' data_param { batch_size: 7 }", 7),
    ("type: 'HDF5Data' hdf5_data_param { batch_size: 8 }", 8),
    ("type: 'DummyData' dummy_data_param { shape { dim: 9 dim: 2 } }", 9),
    ("type: 'Python' python_param { param_str: \"{'batch_size': 10}\" }", 10),
    ("type: 'Python' python_param { param_str: 'batch_size: 11' }", 11),
    ("type: 'Python' python_param { param_str: 'size=3' }", 0),
    ("type: 'Python' python_param { param_str: 'batch_size = " + "9" * 5000 + "' }", 999999999),
    ("type: 'Input'", 0)])
def test_the_batch_size_is_found_wherever_a_layer_says_it(text, size):
    assert batch_size(layer(text)) == size


def test_what_feeds_a_net_and_what_gives_rows_is_told_by_what_it_can_do():
    batches = Batches({"data": numpy.zeros((4, 2))})
    assert isinstance(batches, Source) and not isinstance({"data": 1}, Source)
    pictures = ImageFolder(None, ["1.png"], (3, 4, 4))
    assert isinstance(pictures, RowReader) and not isinstance([1, 2], RowReader)
