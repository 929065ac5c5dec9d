"""The rules that files of layers keep."""

import ast
from pathlib import Path

import numpy as np
import pytest

import minicaffe
from minicaffe.layer import layer_class
from minicaffe.proto import LayerParameter
from minicaffe.testing import check_layer

FOLDER = Path(minicaffe.__file__).parent / "layers"
FILES = sorted(path for path in FOLDER.glob("*.py") if path.stem != "__init__")
ARRAY_LIBRARIES = {"numpy", "cupy", "numba", "scipy"}
TYPES = [cls for cls in (layer_class(LayerParameter(type=name))
                         for name in minicaffe.layer_type_list())
         if cls.__module__.startswith("minicaffe.layers.")]


def imported(path):
    """The top-level packages that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_host_layers_import_an_array_library(path):
    of_file = [cls for cls in TYPES if cls.__module__ == f"minicaffe.layers.{path.stem}"]
    if not of_file or not all(cls.host for cls in of_file):
        assert not ARRAY_LIBRARIES.intersection(imported(path))


@pytest.mark.parametrize("cls", TYPES, ids=lambda cls: cls.__name__)
def test_every_layer_type_has_a_test_file(cls):
    stem = cls.__module__.rpartition(".")[2]
    assert (Path(__file__).parent / f"test_{stem}.py").is_file()


@pytest.mark.parametrize("cls", TYPES, ids=lambda cls: cls.__name__)
def test_every_docstring_names_its_bottoms_and_tops(cls):
    if cls.__name__ == "Python":
        return  # has those of the user's class
    text = cls.__doc__
    assert "Top" in text
    assert cls.bottoms == 0 or "Bottom:" in text


def test_layers_are_found():
    assert {"Convolution", "Pooling", "Input", "Python"} <= {cls.__name__ for cls in TYPES}


def test_a_layer_needs_nothing_but_its_class():
    class SquareOfTestRules(minicaffe.Layer):
        """``y = x^2``;  ``dx = 2 * x * dy``."""

        bottoms = tops = 1

        def reshape(self, bottom, top):
            top[0].reshape_like(bottom[0])

        def forward(self, bottom, top):
            top[0].data[...] = bottom[0].data ** 2

        def backward(self, top, propagate_down, bottom):
            if propagate_down[0]:
                bottom[0].diff[...] = 2 * bottom[0].data * top[0].diff

    x = np.random.default_rng(0).normal(size=(2, 3))
    check_layer('type: "SquareOfTestRules"', {"x": x}, np.square)
