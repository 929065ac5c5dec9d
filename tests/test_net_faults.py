"""Nets that are unusual, or misused."""

import weakref

import pytest

import minicaffe as caffe
from minicaffe.errors import NetError, ParameterError
from minicaffe.proto.wire import read_caffemodel

X = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'


def test_layers_of_equal_names_start_differently_and_are_saved_each(make_net, tmp_path):
    text = X + """ layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
      layer { name: "ip" type: "InnerProduct" bottom: "y" top: "z"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }"""
    net = make_net(text)
    first, second = (layer.blobs[0].data for layer in net.layers[1:])
    assert (first != second).any()
    net.save(tmp_path / "w.caffemodel")
    stored = [entry for entry in read_caffemodel(tmp_path / "w.caffemodel") if entry.blobs]
    assert (stored[0].blobs[0] == first).all() and (stored[1].blobs[0] == second).all()
    other = make_net(text, seed=5)
    other.copy_from(tmp_path / "w.caffemodel")
    assert (other.layers[1].blobs[0].data == first).all()  # of equal names the first, as Caffe


def test_backward_through_a_layer_without_one_is_refused(make_net):
    class OneWay(caffe.Layer):
        def reshape(self, bottom, top):
            top[0].reshape_like(bottom[0])

    net = make_net(X + """ layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
        inner_product_param { num_output: 3 } }
      layer { name: "one" type: "OneWay" bottom: "y" top: "z" loss_weight: 1 }""")
    net.forward()
    with pytest.raises(NetError, match="OneWay 'one': expected a backward method, as its bottoms' "
                                       "gradients are asked for, got none. Hint: propagate_down"):
        net.backward()


def test_what_is_assigned_to_data_is_copied_into_it(make_net):
    for device in ("numpy", "strict"):
        net = make_net(X, device=device)
        net.blobs["x"].data = [1, 2, 3]
        net.blobs["x"].diff = 3
        assert net.forward()["x"].tolist() == [[1, 2, 3]] * 2
        assert net.blobs["x"].diff.tolist() == [[3, 3, 3]] * 2


def test_a_name_that_is_none_gets_a_suggestion(make_net):
    net = make_net('layer { name: "conv" type: "Input" top: "conv" input_param { shape { } } }')
    with pytest.raises(KeyError, match="'cnv'; did you mean 'conv'"):
        net.blobs["cnv"]
    assert repr(net) == "<Net 'net': 1 layers, inputs ['conv'], outputs ['conv'], on numpy>"


def test_a_net_is_freed_at_once(make_net):
    net = make_net('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }')
    net.forward()
    gone = weakref.ref(net)
    del net
    assert gone() is None


@pytest.mark.parametrize("phase, options, message", [
    ("TEST", {}, "Net: expected a phase, caffe.TRAIN or caffe.TEST, got 'TEST'"),
    (7, {}, "expected a phase, caffe.TRAIN or caffe.TEST, got 7"),
    (caffe.TEST, {"dtype": "int32"}, "dtype: expected 'float32' or 'float64', got 'int32'")])
def test_a_phase_or_dtype_that_is_none_is_told(tmp_path, phase, options, message):
    with pytest.raises(ParameterError, match=message):
        caffe.Net(str(tmp_path / "none.prototxt"), phase, **options)


def test_a_top_that_was_given_a_shape_by_hand_gets_its_own_back(make_net):
    net = make_net(X + """ layer { name: "r" type: "ReLU" bottom: "x" top: "y" }""")
    net.forward()
    net.blobs["y"].reshape(1)
    assert net.forward()["y"].shape == (2, 3)
