"""``import caffe`` in a process where minicaffe runs."""

import subprocess
import sys

import pytest

import minicaffe


def run(code: str, folder) -> str:
    """What a fresh Python prints that runs the code in a folder."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("install", ["minicaffe.install_as_caffe()",
                                     "import sys; sys.modules['caffe'] = minicaffe"])
def test_caffe_is_minicaffe_and_its_modules_are_the_same(tmp_path, install):
    assert run(f"""
import minicaffe
{install}
import caffe, caffe.proto.caffe_pb2, caffe.layers as L
from caffe import params as P
from caffe.proto import caffe_pb2
import minicaffe.proto.caffe_pb2, minicaffe.net.net, caffe.net.net
assert caffe is minicaffe and caffe_pb2 is minicaffe.proto.caffe_pb2
assert caffe.net.net is minicaffe.net.net
assert minicaffe.proto.caffe_pb2.__spec__.name == "minicaffe.proto.caffe_pb2"
net = caffe_pb2.NetParameter()
net.layer.add(name="x", type="Input", top=["x"]).input_param.shape.add(dim=[1, 2])
print(caffe.Net(net, caffe.TEST).inputs, L.ReLU and P.Pooling.MAX)
""", tmp_path) == "['x'] 0\n"


def test_a_python_layers_module_may_import_caffe(tmp_path):
    (tmp_path / "layers_of_mine.py").write_text("""
import caffe
from caffe.proto import caffe_pb2
class Twice(caffe.Layer):
    def setup(self, bottom, top): assert caffe_pb2.NetParameter
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top): top[0].data[...] = 2 * bottom[0].data
    def backward(self, top, propagate_down, bottom): pass
""")
    (tmp_path / "net.prototxt").write_text("""
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
layer { name: "y" type: "Python" bottom: "x" top: "y"
        python_param { module: "layers_of_mine" layer: "Twice" } }""")
    assert run("""
import minicaffe
print(minicaffe.Net("net.prototxt", minicaffe.TEST).forward(x=[1, 2])["y"])
""", tmp_path) == "[2. 4.]\n"


def test_a_caffe_that_is_there_already_stays(tmp_path):
    (tmp_path / "caffe.py").write_text("real = True")
    assert run("import caffe, minicaffe; import caffe as again; print(again.real)",
               tmp_path) == "True\n"


@pytest.mark.parametrize("name", ["io", "Classifier", "classifier", "net_spec", "pycaffe",
                                  "init_log", "AdamSolver", "NCCL"])
def test_what_pycaffe_has_and_minicaffe_lacks_is_told_with_what_does_the_same(name):
    with pytest.raises(AttributeError, match=f"module 'minicaffe' has no attribute '{name}': "
                       "pycaffe's, which this version lacks. Hint: "):
        getattr(minicaffe, name)
    with pytest.raises(AttributeError, match="^module 'minicaffe' has no attribute 'nonsense'$"):
        minicaffe.nonsense  # noqa: B018


def test_so_are_methods_of_nets_and_modules(tmp_path):
    net = minicaffe.Net(minicaffe.to_proto(minicaffe.layers.DummyData(
        shape=dict(dim=2))), minicaffe.TEST)
    with pytest.raises(AttributeError, match="^Net has no attribute 'forward_all': pycaffe's, "
                       "which this version lacks. Hint: call forward"):
        net.forward_all()
    assert not hasattr(net, "nonsense")
    assert run("""
import minicaffe
minicaffe.install_as_caffe()
try:
    import caffe.io
except ModuleNotFoundError as error:
    print(error)
""", tmp_path) == ("module 'minicaffe' has no attribute 'io': pycaffe's, which this version lacks. "
                   "Hint: minicaffe.data.image reads pictures, `minicaffe classify` feeds them to "
                   "a net.\n")
