"""Old nets and solvers become what Caffe makes of them."""

import pytest

from minicaffe.errors import NetError, ParameterError
from minicaffe.proto import LayerParameter, NetParameter, SolverParameter, V1LayerParameter
from minicaffe.proto.text import parse_text
from minicaffe.proto.upgrade import V1_TYPES, read_net, read_solver, upgrade_net, upgrade_solver


def upgraded(text):
    return upgrade_net(parse_text(text, NetParameter), "n.prototxt")


def layer(text):
    return parse_text(text, LayerParameter)


def error_of(text):
    with pytest.raises(NetError) as caught:
        upgraded(text)
    return str(caught.value)


def test_a_net_of_today_stays_as_it_is():
    net = parse_text('name: "n" state { level: 1 } layer { name: "a" type: "ReLU" }', NetParameter)
    new = upgrade_net(net)
    assert new == net and new is not net


def test_a_v1_layer_keeps_all_it_says():
    net = upgraded("""
        name: "n" force_backward: true
        layers { name: "c" type: CONVOLUTION bottom: "x" top: "c" loss_weight: 2
          include { phase: TRAIN } exclude { min_level: 1 }
          param: "w" param: "b" blob_share_mode: STRICT blob_share_mode: PERMISSIVE
          blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
          convolution_param { num_output: 8 } blobs { num: 1 data: 3 } }""")
    assert not net.layers and (net.name, net.force_backward) == ("n", True)
    assert list(net.layer) == [layer("""
        name: "c" type: "Convolution" bottom: "x" top: "c" loss_weight: 2
        include { phase: TRAIN } exclude { min_level: 1 }
        param { name: "w" share_mode: STRICT lr_mult: 1 decay_mult: 1 }
        param { name: "b" share_mode: PERMISSIVE lr_mult: 2 decay_mult: 0 }
        convolution_param { num_output: 8 } blobs { num: 1 data: 3 }""")]


def test_v1_multipliers_may_be_fewer_than_parameters():
    net = upgraded('layers { type: INNER_PRODUCT blobs_lr: 3 weight_decay: 1 weight_decay: 0 }')
    assert list(net.layer[0].param) == list(
        layer("param { lr_mult: 3 decay_mult: 1 } param { decay_mult: 0 }").param
    )


@pytest.mark.parametrize(
    "old, new",
    [
        ("NONE", ""), ("ABSVAL", "AbsVal"), ("ACCURACY", "Accuracy"), ("ARGMAX", "ArgMax"),
        ("BNLL", "BNLL"), ("CONTRASTIVE_LOSS", "ContrastiveLoss"), ("DUMMY_DATA", "DummyData"),
        ("EUCLIDEAN_LOSS", "EuclideanLoss"), ("HDF5_DATA", "HDF5Data"),
        ("HDF5_OUTPUT", "HDF5Output"), ("IM2COL", "Im2col"), ("IMAGE_DATA", "ImageData"),
        ("INNER_PRODUCT", "InnerProduct"), ("LRN", "LRN"), ("MVN", "MVN"), ("RELU", "ReLU"),
        ("MULTINOMIAL_LOGISTIC_LOSS", "MultinomialLogisticLoss"), ("TANH", "TanH"),
        ("SIGMOID_CROSS_ENTROPY_LOSS", "SigmoidCrossEntropyLoss"), ("EXP", "Exp"),
        ("SOFTMAX_LOSS", "SoftmaxWithLoss"), ("WINDOW_DATA", "WindowData"),
    ],
)
def test_v1_types(old, new):
    assert V1_TYPES[V1LayerParameter.LayerType.Value(old)] == new


def test_old_inputs_become_one_input_layer():
    expected = layer("""name: "input" type: "Input" top: "a" top: "b"
        input_param { shape { dim: 1 dim: 3 dim: 8 dim: 9 } shape { dim: 4 dim: 1 dim: 1 dim: 2 } }
        """)
    dims = "".join(f"input_dim: {n} " for n in (1, 3, 8, 9, 4, 1, 1, 2))
    net = upgraded(f'input: "a" {dims} input: "b" layer {{ name: "r" }}')
    assert list(net.layer) == [expected, layer('name: "r"')]
    assert not (net.input or net.input_dim)
    shapes = "input_shape { dim: [1, 3, 8, 9] } input_shape { dim: [4, 1, 1, 2] }"
    net = upgraded(f'input: "a" input: "b" {shapes} layers {{ name: "r" type: RELU }}')
    assert list(net.layer) == [expected, layer('name: "r" type: "ReLU"')]


def test_an_input_of_two_axes_may_give_two_dims():
    shape = upgraded('input: "a" input_dim: 5 input_dim: 7').layer[0].input_param.shape[0]
    assert list(shape.dim) == [5, 7]


def test_an_input_without_a_shape_is_an_error():
    told = "Hint: give each input an input_shape { dim: ... }, or four input_dim"
    assert error_of('input: "a" input: "b" input_shape { dim: 1 }') == (
        f"n.prototxt: expected a shape for each of the 2 inputs (a, b), got 1. {told}")
    assert error_of('input: "a" layer { bottom: "a" }') == (
        f"n.prototxt: expected a shape for each of the 1 inputs (a), got 0. {told}")


def test_an_input_without_a_shape_that_a_layer_makes_is_dropped():
    data = 'layer { name: "data" type: "Input" top: "a" } layer { bottom: "a" }'
    assert upgraded(f'input: "a" {data}') == upgraded(data)
    assert upgraded(f'input: "unused" {data}') == upgraded(data)
    old = 'layers { type: DATA top: "a" } layers { type: RELU bottom: "a" }'
    assert upgraded(f'input: "a" {old}') == upgraded(old)


def test_shapes_and_dims_beyond_the_inputs_are_dropped():
    right = upgraded('input: "a" input_shape { dim: 1 dim: 2 }')
    assert upgraded('input: "a" input_shape { dim: [1, 2] } input_shape { dim: 9 }') == right
    right = upgraded('input: "a" input_dim: [1, 2, 3, 4]')
    assert upgraded('input: "a" input_dim: [1, 2, 3, 4, 5, 6, 7, 8]') == right
    assert upgraded('input: "a" input_dim: [1, 2, 3, 4, 5]') == right


@pytest.mark.parametrize("text, hint", [
    ('layers { } layers { } layer { name: "p" type: "SoftmaxWithLoss" }',
     "write 'p' as layers { type: SOFTMAX_LOSS }."),
    ('layers { } layer { name: "p" type: "Softmax" }', "write 'p' as layers { type: SOFTMAX }."),
    ('layers { name: "r" type: INNER_PRODUCT } layer { } layer { }',
     "write 'r' as layer { type: \"InnerProduct\" }."),
    ('layers { } layers { } layer { name: "p" type: "Scale" }',
     "write 'layer {' for 'layers {', with types in quotes, in the whole file.")])
def test_two_formats_in_one_net_are_an_error_with_the_way_to_one(text, hint):
    assert error_of(text) == (
        f"n.prototxt: expected either 'layer' or, in old files, 'layers', got both. Hint: {hint}")


def test_transform_fields_of_data_layers_move():
    net = upgraded("""
        layers { type: DATA data_param { source: "d" scale: 0.5 mean_file: "m" crop_size: 3 } }""")
    assert net.layer[0] == layer("""type: "Data" data_param { source: "d" }
        transform_param { scale: 0.5 mean_file: "m" crop_size: 3 }""")
    net = upgraded("""layer { type: "ImageData" image_data_param { mirror: true scale: 2 }
        transform_param { scale: 3 } }""")
    assert net.layer[0] == layer("""type: "ImageData" image_data_param { }
        transform_param { scale: 3 mirror: true }""")


@pytest.mark.parametrize("given", ["", 'param { name: "m" lr_mult: 1 }', "param { } " * 3])
def test_statistics_of_batch_norm_are_not_learnt(given):
    param = upgraded(f'layer {{ type: "BatchNorm" {given} }}').layer[0].param
    assert [(spec.lr_mult, spec.decay_mult) for spec in param] == [(0, 0)] * 3
    assert param[0].name == ("m" if "name" in given else "")


def test_a_v0_net_is_upgraded():
    net = upgraded("""
        layers { layer { name: "d" type: "data" source: "db" batchsize: 9 scale: 0.5
                 meanfile: "m" cropsize: 7 mirror: true rand_skip: 2 } top: "x" top: "y" }
        layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "x" top: "p" }
        layers { layer { name: "c" type: "conv" num_output: 4 kernelsize: 3 stride: 2 group: 2
                 biasterm: false weight_filler { std: 2 } blobs_lr: 1 weight_decay: 0
                 blobs { data: 7 } } bottom: "p" top: "c" }
        layers { layer { name: "q" type: "pool" pool: AVE kernelsize: 3 } bottom: "c" top: "q" }
        layers { layer { name: "n" type: "lrn" local_size: 3 alpha: 2 } bottom: "q" top: "n" }
        layers { layer { name: "e" type: "softmax_loss" } bottom: "n" bottom: "y" }""")
    assert list(net.layer) == [layer(text) for text in (
        """name: "d" type: "Data" top: "x" top: "y" data_param { source: "db" batch_size: 9
           rand_skip: 2 }
           transform_param { scale: 0.5 mean_file: "m" crop_size: 7 mirror: true }""",
        """name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 4
           kernel_size: 3 stride: 2 group: 2 bias_term: false pad: 2 weight_filler { std: 2 } }
           param { lr_mult: 1 decay_mult: 0 } blobs { data: 7 }""",
        """name: "q" type: "Pooling" bottom: "c" top: "q"
           pooling_param { pool: AVE kernel_size: 3 }""",
        """name: "n" type: "LRN" bottom: "q" top: "n" lrn_param { local_size: 3 alpha: 2 }""",
        """name: "e" type: "SoftmaxWithLoss" bottom: "n" bottom: "y" """,
    )]


@pytest.mark.parametrize(
    "text, message",
    [
        ('layers { layer { name: "a" type: "con" } }',
         "n.prototxt: layer 'a': unknown type 'con'. Hint: did you mean 'conv'?"),
        ('layers { layer { name: "a" type: "relu" pad: 1 } }',
         "n.prototxt: layer 'a': a layer of type 'relu' has no field 'pad'."),
        ('layers { layer { name: "p" type: "padding" } top: "p" } '
         'layers { layer { name: "a" type: "relu" } bottom: "p" }',
         "n.prototxt: layer 'a': expected a conv or pool layer after the padding layer 'p', "
         "got 'relu'."),
    ],
)
def test_v0_errors(text, message):
    assert error_of(text) == message


def test_read_net_takes_a_path_or_a_message(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text('layers { name: "a" type: RELU }')
    expected = NetParameter(layer=[layer('name: "a" type: "ReLU"')])
    assert read_net(path) == read_net(str(path)) == expected
    assert read_net(parse_text(path.read_text(), NetParameter)) == expected


@pytest.mark.parametrize(
    "old, new",
    [("SGD", "SGD"), ("NESTEROV", "Nesterov"), ("ADAGRAD", "AdaGrad"), ("RMSPROP", "RMSProp"),
     ("ADADELTA", "AdaDelta"), ("ADAM", "Adam")],
)
def test_solver_types_become_strings(old, new):
    solver = upgrade_solver(parse_text(f"solver_type: {old} base_lr: 1", SolverParameter))
    assert solver == SolverParameter(type=new, base_lr=1)


def test_a_solver_of_two_types_is_an_error():
    with pytest.raises(ParameterError) as caught:
        upgrade_solver(SolverParameter(solver_type=1, type="SGD"), "s.prototxt")
    assert str(caught.value) == (
        "s.prototxt: expected either 'type' or, in old files, 'solver_type', got both."
    )


def test_snapshots_are_called_like_the_solver_if_nothing_else_is_said(tmp_path):
    path = tmp_path / "my_solver.prototxt"
    path.write_text("base_lr: 1")
    assert read_solver(path).snapshot_prefix == str(tmp_path / "my_solver")
    path.write_text(f'snapshot_prefix: "{tmp_path}"')
    assert read_solver(path).snapshot_prefix == str(tmp_path / "my_solver")
    path.write_text('snapshot_prefix: "here/lenet"')
    assert read_solver(path).snapshot_prefix == "here/lenet"


def test_a_padding_ends_where_another_layer_makes_a_blob_of_its_name():
    net = upgraded("""layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "x" top: "p" }
        layers { layer { name: "a" type: "conv" num_output: 1 kernelsize: 3 } bottom: "p" top: "a" }
        layers { layer { name: "p" type: "relu" } bottom: "a" top: "p" }
        layers { layer { name: "b" type: "conv" num_output: 1 kernelsize: 3 } bottom: "p" top: "b" }
        """)
    assert [layer.bottom[0] for layer in net.layer] == ["x", "a", "p"]
    assert [list(net.layer[i].convolution_param.pad) for i in (0, 2)] == [[2], []]


@pytest.mark.parametrize("bottoms, count", [("", 0), ('bottom: "a" bottom: "b" ', 2)])
def test_a_padding_layer_needs_one_bottom(bottoms, count):
    text = (f'layers {{ layer {{ name: "p" type: "padding" }} {bottoms}top: "p" }} '
            'layers { layer { name: "c" type: "conv" } bottom: "p" }')
    assert error_of(text) == f"n.prototxt: padding layer 'p': expected one bottom, got {count}."
