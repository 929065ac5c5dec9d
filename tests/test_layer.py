"""The base class: what a subclass inherits, and what it does not."""

import minicaffe as caffe
from minicaffe.layer import layer_class
from minicaffe.layers.convolution import Convolution
from minicaffe.layers.relu import ReLU
from minicaffe.proto import LayerParameter


def test_what_a_layer_says_of_a_method_does_not_hold_for_another_in_its_place():
    class OtherForward(Convolution):
        def forward(self, bottom, top):
            super().forward(bottom, top)

    class OtherBackward(ReLU):
        def backward(self, top, propagate_down, bottom):
            super().backward(top, propagate_down, bottom)

    class SaysSo(ReLU):
        backward_reads = ("top",)

        def backward(self, top, propagate_down, bottom):
            super().backward(top, propagate_down, bottom)

    assert Convolution.takes_epilogue and not OtherForward.takes_epilogue
    assert OtherForward.backward_reads == Convolution.backward_reads == ("bottom",)
    assert OtherBackward.backward_reads == ("bottom", "top")
    assert SaysSo.backward_reads == ("top",)


def test_a_convolution_with_another_forward_runs_on_every_device(make_net):
    class Doubled(Convolution):
        def forward(self, bottom, top):
            super().forward(bottom, top)
            top[0].data[...] *= 2

    def result(kind, device):
        net = make_net(f"""layer {{ name: "x" type: "Input" top: "x"
                             input_param {{ shape {{ dim: 1 dim: 1 dim: 3 dim: 3 }} }} }}
          layer {{ name: "c" type: "{kind}" bottom: "x" top: "y"
            convolution_param {{ num_output: 1 kernel_size: 2 weight_filler {{ value: 1 }} }} }}
          layer {{ name: "r" type: "ReLU" bottom: "y" top: "y" }}""", device=device)
        return net.forward(x=[[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]])["y"].ravel().tolist()
    for device in ("numpy", "cpu"):
        assert result("Doubled", device) == [2 * y for y in result("Convolution", device)]


def test_a_type_of_minicaffe_is_not_displaced_by_a_class_of_its_name():
    type("Pooling", (caffe.Layer,), {"__module__": "somebody.elses"})
    assert layer_class(LayerParameter(type="Pooling")).__module__ == "minicaffe.layers.pooling"


def test_a_class_written_again_takes_the_place_of_the_first():
    first, second = (type("MyOwn", (caffe.Layer,), {}) for _ in range(2))
    assert layer_class(LayerParameter(type="MyOwn")) is second is not first


def test_add_blob_adds_to_the_list_it_is_called_on():
    layer = ReLU(LayerParameter(name="r"))
    blobs = layer.blobs
    blobs.add_blob(2, 3)
    assert blobs[0].shape == (2, 3) and len(blobs) == len(layer.blobs) == 1
