"""Python: layers that a user wrote."""

import numpy as np
import pytest

import minicaffe
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
    (tmp_path / "half_a_module_of_test_python.py").write_text("import nothing_of_this_name")
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


def test_an_import_that_fails_inside_the_module_shows_itself():
    with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
        refusal(layer(module="half_a_module_of_test_python"), {"x": np.zeros(3)})


def test_the_class_is_a_layer_type_of_its_own_too():
    refusal(layer("NoLayer"), {"x": np.zeros(3)})  # imports the module, which registers the class
    assert "TimesLayer" in minicaffe.layer_type_list()
