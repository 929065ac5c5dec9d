"""Python: layers that a user wrote."""

import sys

import numpy as np
import pytest

import minicaffe
from minicaffe import cli
from minicaffe.errors import NetError
from minicaffe.testing import OneLayerNet, check_layer

from .naive import numbers, refusal

MODULE = '''
import numpy as np
import minicaffe as caffe


class TimesLayer(caffe.Layer):
    """y = factor * w * x, where param_str is the factor."""

    def setup(self, bottom, top):
        self.factor = float(self.param_str)
        self.blobs.add_blob(1)
        self.reshapes = 0

    def reshape(self, bottom, top):
        self.reshapes += 1
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        assert type(bottom[0].data) is type(top[0].data) is np.ndarray
        top[0].data[...] = self.factor * self.blobs[0].data[0] * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        dy = top[0].diff
        self.blobs[0].diff[...] += self.factor * (dy * bottom[0].data).sum()
        if propagate_down[0]:
            bottom[0].diff[...] = self.factor * self.blobs[0].data[0] * dy


class NoLayer:
    pass
'''


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    (tmp_path / "my_layers_of_test_python.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


def layer(name="TimesLayer", module="my_layers_of_test_python"):
    return (f'type: "Python" python_param {{ module: "{module}" layer: "{name}" '
            'param_str: "2.5" }')


def test_runs_the_users_class_on_every_device():
    check_layer(layer(), {"x": numbers(2, 3)}, lambda x, w: 2.5 * w[0] * x)


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_reshape_is_called_before_every_pass(device):
    net = OneLayerNet(layer(), {"x": numbers(2, 3)}, device=device)
    before = net.layer.reshapes
    net.forward()
    net.forward()
    assert net.layer.reshapes == before + 2


@pytest.mark.parametrize("text, expected", [
    (layer(module="no_such_module_of_test_python"), "NetError: Python 'l': expected a module on "
     "Python's path, got 'no_such_module_of_test_python'. Hint: start in its folder or add that "
     "to PYTHONPATH."),
    (layer("TimeLayer"), "NetError: Python 'l': expected a class of 'my_layers_of_test_python' "
     "derived from Layer, got 'TimeLayer'. Hint: did you mean 'TimesLayer'?"),
    (layer("NoLayer"), "NetError: Python 'l': expected a class of 'my_layers_of_test_python' "
     "derived from Layer, got 'NoLayer'."),
    (layer("Elsewhere"), "NetError: Python 'l': expected a class of 'my_layers_of_test_python' "
     "derived from Layer, got 'Elsewhere'."),
])
def test_errors_say_what_was_expected(text, expected):
    assert refusal(text, {"x": np.zeros(3)}) == expected


@pytest.mark.parametrize("code, raised", [
    ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    ("1 / 0", "ZeroDivisionError: division by zero"), ("def", "SyntaxError: "),
    ("raise SystemExit(3)", "SystemExit: 3")])
def test_a_module_that_cannot_be_imported_is_told_with_its_error(tmp_path, monkeypatch, code,
                                                                 raised):
    (tmp_path / "broken_module.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_module", raising=False)
    with pytest.raises(NetError) as caught:
        OneLayerNet(layer(module="broken_module"), {"x": np.zeros(3)})
    assert str(caught.value).startswith("Python 'l': expected a module 'broken_module' that can be "
                                        f"imported, got {raised}")
    assert caught.value.__cause__ is not None  # with its traceback


@pytest.mark.parametrize("name", ["", ".x", "no.such.package"])
def test_the_name_of_a_module_is_one(name):
    with pytest.raises(NetError, match="module on Python's path, got "):
        OneLayerNet(layer(module=name), {"x": np.zeros(3)})


def test_nets_of_strangers_can_be_kept_from_running_code(tmp_path, monkeypatch, capsys):
    net = f"""layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 }} }} }}
              layer {{ name: "l" bottom: "x" top: "y" {layer()} }}"""
    (tmp_path / "net.prototxt").write_text(net)
    monkeypatch.setattr(minicaffe.Net, "allow_python", True)  # the command sets it
    expected = ("NetError: Python 'l': expected a net without code of its own, as layers of type "
                "Python are forbidden, got 'my_layers_of_test_python.TimesLayer'. Hint: "
                "allow_python=True, or no --no-python, lets it run.")
    with pytest.raises(NetError) as caught:
        minicaffe.Net(tmp_path / "net.prototxt", minicaffe.TEST, allow_python=False)
    assert f"NetError: {caught.value}" == expected
    minicaffe.Net(tmp_path / "net.prototxt", minicaffe.TEST)
    assert cli.main(["summary", "--model", str(tmp_path / "net.prototxt"), "--no-python"]) == 2
    assert capsys.readouterr().err == expected + "\n"
    assert cli.main(["summary", "--model", str(tmp_path / "net.prototxt")]) == 0


def test_the_class_is_a_layer_type_of_its_own_too():
    refusal(layer("NoLayer"), {"x": np.zeros(3)})  # imports the module, which registers the class
    assert "TimesLayer" in minicaffe.layer_type_list()
