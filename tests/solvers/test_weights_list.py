"""The weights that a solver begins with, from one file or several, for the test nets too."""

import os

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe.errors import ParameterError, WeightsError
from minicaffe.proto import NetParameter, wire
from minicaffe.proto.atomic_files import MissingFileError
from minicaffe.solvers.nets import weight_files

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 1 } } }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a"
  inner_product_param { num_output: 2 bias_term: false } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b"
  inner_product_param { num_output: 1 bias_term: false } }
layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "label" top: "loss"
  include { phase: TRAIN } }
layer { name: "probe" type: "InnerProduct" bottom: "a" top: "probe" include { phase: TEST }
  inner_product_param { num_output: 1 bias_term: false } }
layer { name: "s" type: "Silence" bottom: "b" bottom: "label" include { phase: TEST } }
"""
SHAPES = {"a": (2, 3), "b": (1, 2), "probe": (1, 2), "other": (4,)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """One with the net and a file of weights for each layer: a is 2, b 5, probe 7."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    for name, value in {"a": 2, "b": 5, "probe": 7, "other": 9}.items():
        net = NetParameter()
        net.layer.add(name=name, type="InnerProduct")
        wire.write_caffemodel(tmp_path / f"{name}.caffemodel", net,
                              [[np.full(SHAPES[name], value, np.float32)]])
    return tmp_path


def begun(weights, folder="."):
    """The first weight of each layer of the train net and of the test net."""
    path = os.path.join(folder, "solver.prototxt")
    with open(path, "w") as file:
        file.write(f"""net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 test_iter: 1
            test_interval: 9 {weights}""")
    solver = caffe.get_solver(path)
    return [{name: float(blobs[0].data.ravel()[0]) for name, blobs in net.params.items()}
            for net in (solver.net, *solver.test_nets)]


@pytest.mark.parametrize("weights, right", [
    ('weights: "a.caffemodel, b.caffemodel"', (2, 5, 0)),
    ('weights: " a.caffemodel ,b.caffemodel,probe.caffemodel"', (2, 5, 7)),
    ('weights: "a.caffemodel" weights: "b.caffemodel,probe.caffemodel"', (2, 5, 7)),
    ('weights: "probe.caffemodel"', (0, 0, 7)),  # nothing for the train net
    ('weights: "other.caffemodel,b.caffemodel"', (0, 5, 0))])  # nothing for any net
def test_each_file_gives_each_net_what_it_has(folder, weights, right):
    a, b, probe = right
    assert begun(weights) == [{"a": a, "b": b}, {"a": a, "b": b, "probe": probe}]


def test_they_are_found_beside_the_solver_too(folder, monkeypatch):
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert begun('weights: "a.caffemodel,b.caffemodel"', "..")[0] == {"a": 2, "b": 5}


def test_what_is_amiss_is_told(folder):
    with pytest.raises(WeightsError, match="other.caffemodel: .* got those of another net"):
        begun('weights: "other.caffemodel"')
    with pytest.raises(MissingFileError, match="c.caffemodel: no such file"):
        begun('weights: "a.caffemodel, c.caffemodel"')
    with pytest.raises(ParameterError) as caught:
        begun('weights: "a.caffemodel,"')
    assert str(caught.value) == (
        "weights: expected file names between commas, got 'a.caffemodel,'.")


def test_names_are_split_at_commas_and_trimmed():
    assert weight_files(["a, b ", "c"]) == ["a", "b", "c"]
    assert weight_files([]) == []
