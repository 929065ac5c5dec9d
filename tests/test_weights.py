from pathlib import Path

import numpy
import pytest

from minicaffe import TEST, Net
from minicaffe.errors import FileFormatError, WeightsError
from minicaffe.proto import NetParameter, wire

GOLDEN = Path(__file__).parent / "golden" / "solvers" / "sgd_fixed"
NET = """
name: "mine"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 3] } } }
layer { name: "ip1" type: "InnerProduct" bottom: "x" top: "ip1"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 1 }
                        bias_filler { type: "gaussian" std: 1 } } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 5 bias_term: false
                        weight_filler { type: "gaussian" std: 1 } } }
"""


def golden(weights=None, **options):
    return Net(GOLDEN / "net.prototxt", TEST, weights=weights, seed=1,
               **{"device": "numpy", **options})


def parameters(net):
    return {f"{name} {i}": blob.data.copy()
            for name, blobs in net.params.items() for i, blob in enumerate(blobs)}


def same(first, second):
    return (list(first) == list(second)
            and all((first[name] == second[name]).all() for name in first))


def stored(path, **layers):
    """A caffemodel of these arrays, by layer."""
    net = NetParameter()
    for name in layers:
        net.layer.add(name=name, type="InnerProduct")
    wire.write_caffemodel(path, net, list(layers.values()))
    return path


# -------------------------------------------------------------------------- files of real Caffe

@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_weights_that_real_caffe_wrote_are_read(device):
    net = golden(GOLDEN / "half.caffemodel", device=device)
    expected = numpy.load(GOLDEN / "weights.npz")
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            assert (blob.data == expected[f"{name}_{i}_4"]).all(), name
    assert net.weights_loaded and not golden().weights_loaded


def test_with_them_the_loss_is_that_of_real_caffe():
    net = golden(GOLDEN / "start.caffemodel")
    data = numpy.load(GOLDEN / "data.npz")
    got = net.forward(x=data["x"][0, 0], label=data["label"][0, 0])["loss"]
    assert got == pytest.approx(float(numpy.load(GOLDEN / "weights.npz")["loss_1"]), rel=1e-5)


def test_solver_states_are_no_weights():
    with pytest.raises(FileFormatError, match="half.solverstate"):
        golden(GOLDEN / "half.solverstate")


# ------------------------------------------------------------------------------------ round trips

@pytest.mark.parametrize("name", ["w.caffemodel", "w.caffemodel.h5", "w.hdf5"])
@pytest.mark.parametrize("device, dtype", [
    ("numpy", "float32"), ("numpy", "float64"), ("strict", "float32")])
def test_what_is_saved_comes_back_bit_for_bit(make_net, tmp_path, name, device, dtype):
    if name != "w.caffemodel":
        pytest.importorskip("h5py")
    net = make_net(NET, device=device, dtype=dtype)
    net.save(tmp_path / name)
    other = make_net(NET, seed=2, device=device, dtype=dtype)
    assert not same(parameters(net), parameters(other))
    other.copy_from(str(tmp_path / name))
    assert same(parameters(net), parameters(other))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_saved_net_describes_its_layers(make_net, tmp_path):
    make_net(NET).save(tmp_path / "w.caffemodel")
    saved = NetParameter.FromString((tmp_path / "w.caffemodel").read_bytes())
    assert [layer.type for layer in saved.layer] == ["Input", "InnerProduct", "InnerProduct"]
    assert [len(layer.blobs) for layer in saved.layer] == [0, 2, 1]
    assert saved.layer[1].inner_product_param.num_output == 4 and saved.name == "mine"


def test_hdf5_has_names_of_its_own(make_net, tmp_path):
    pytest.importorskip("h5py")
    net, other = make_net(NET), make_net(NET, seed=2)
    net.save_hdf5(tmp_path / "w.h5")
    other.load_hdf5(tmp_path / "w.h5")
    assert same(parameters(net), parameters(other))
    with pytest.raises(FileFormatError) as error:
        other.load_hdf5(GOLDEN / "half.caffemodel")
    assert str(error.value) == (f"{GOLDEN}/half.caffemodel: expected a name that ends in .h5 or "
                                f".hdf5, got {GOLDEN}/half.caffemodel.")


def test_shared_parameters_are_saved_and_read_as_one(make_net, tmp_path):
    text = NET.replace('name: "ip1" type', 'param { name: "w" } name: "ip1" type') + (
        'layer { name: "twin" type: "InnerProduct" bottom: "x" top: "t" param { name: "w" } '
        "inner_product_param { num_output: 4 } }")
    net, other = make_net(text), make_net(text, seed=2)
    net.save(tmp_path / "w.caffemodel")
    other.copy_from(tmp_path / "w.caffemodel")
    assert same(parameters(net), parameters(other))
    assert len(other.learnable) == 4


# ---------------------------------------------------------------------------------- other nets

def test_layers_of_other_names_keep_their_values(make_net, tmp_path):
    net = make_net(NET)
    before = parameters(net)
    ours = numpy.ones((4, 3)), numpy.full(4, 2)
    net.copy_from(stored(tmp_path / "w.caffemodel", ip1=ours, fc8=[numpy.ones(7)]))
    after = parameters(net)
    assert (after["ip1 0"] == 1).all() and (after["ip1 1"] == 2).all()
    assert (after["ip2 0"] == before["ip2 0"]).all()


def test_a_foreign_net_is_refused_with_all_names(make_net, tmp_path):
    net = make_net(NET)
    path = stored(tmp_path / "w.caffemodel", fc6=[numpy.ones(2)], fc7=[numpy.ones(2)])
    with pytest.raises(WeightsError) as error:
        net.copy_from(path)
    assert str(error.value) == (
        f"{path}: expected weights of net 'mine', got those of another net. Hint: layers that "
        "matched by name: none; only in the net: ip1, ip2; only in the file: fc6, fc7. Give a "
        "layer another name to start it afresh.")


def test_every_parameter_of_another_shape_is_named_and_nothing_is_copied(make_net, tmp_path):
    net = make_net(NET)
    before = parameters(net)
    path = stored(tmp_path / "w.caffemodel", ip1=[numpy.ones((4, 3)), numpy.ones(5)],
                  ip2=[numpy.ones((4, 5))], fc8=[numpy.ones(1)])
    with pytest.raises(WeightsError) as error:
        net.copy_from(path)
    assert str(error.value) == (
        f"{path}: expected weights of net 'mine', got parameter 1 of layer 'ip1' is (5,) there, "
        "(4,) here; parameter 0 of layer 'ip2' is (4, 5) there, (5, 4) here. Hint: layers that "
        "matched by name: ip1, ip2; only in the net: none; only in the file: fc8. Give a layer "
        "another name to start it afresh.")
    assert same(parameters(net), before) and not net.weights_loaded


def test_another_number_of_parameters_is_refused(make_net, tmp_path):
    path = stored(tmp_path / "w.caffemodel", ip1=[numpy.ones((4, 3))])
    with pytest.raises(WeightsError, match="got layer 'ip1' has 1 parameters there, 2 here. Hint"):
        make_net(NET).copy_from(path)


def test_a_net_without_parameters_takes_nothing(make_net, tmp_path):
    make_net(NET.split("layer { name: \"ip1\"")[0]).copy_from(
        stored(tmp_path / "w.caffemodel", ip1=[numpy.ones(1)]))


@pytest.mark.parametrize("ip1, ip2", [
    ([(1, 1, 4, 3), (1, 1, 1, 4)], (1, 1, 5, 4)), ([(4, 3), (4,)], (1, 1, 5, 4))])
def test_old_files_have_four_axes(make_net, tmp_path, ip1, ip2):
    rng = numpy.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in (*ip1, ip2)]
    net = make_net(NET, dtype="float64")
    net.copy_from(stored(tmp_path / "w.caffemodel", ip1=arrays[:2], ip2=arrays[2:]))
    for got, expected in zip(parameters(net).values(), arrays, strict=True):
        assert (got.ravel() == expected.ravel()).all()


@pytest.mark.parametrize("shape", [(4, 3, 1, 1), (1, 4, 3), (1, 1, 3, 4), (12,)])
def test_other_shapes_of_the_same_count_do_not_fit(make_net, tmp_path, shape):
    path = stored(tmp_path / "w.caffemodel", ip1=[numpy.ones(shape), numpy.ones(4)])
    with pytest.raises(WeightsError, match=r"0 of layer 'ip1' is .* there, \(4, 3\) here"):
        make_net(NET).copy_from(path)


# -------------------------------------------------------------------------------- damaged files

@pytest.mark.parametrize("left", [0.3, 0.7, 0.99])
def test_a_truncated_file_changes_nothing(tmp_path, left):
    whole = (GOLDEN / "half.caffemodel").read_bytes()
    path = tmp_path / "cut.caffemodel"
    path.write_bytes(whole[:int(left * len(whole))])
    net = golden()
    before = parameters(net)
    with pytest.raises(FileFormatError, match="cut.caffemodel"):
        net.copy_from(path)
    assert same(parameters(net), before)


def test_a_file_that_is_not_there_is_named_with_its_neighbour(tmp_path):
    (tmp_path / "lenet.caffemodel").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="did you mean 'lenet.caffemodel'"):
        golden(tmp_path / "lenet.cafemodel")


# -------------------------------------------------------------------------------------- sharing

@pytest.mark.parametrize("device", ["numpy", "strict"])
def test_nets_that_share_have_one_data_and_two_diffs(make_net, device):
    train, test = make_net(NET, device=device), make_net(NET, phase=TEST, seed=2, device=device)
    test.share_with(train)
    assert same(parameters(train), parameters(test))
    train.params["ip1"][0].data[...] = 3
    train.params["ip1"][0].diff[...] = 4
    assert (test.params["ip1"][0].data == 3).all() and not test.params["ip1"][0].diff.any()
    x = numpy.ones((2, 3))
    assert (train.forward(x=x)["ip2"] == test.forward(x=x)["ip2"]).all()


def test_sharing_leaves_other_layers_alone_and_refuses_other_shapes(make_net):
    net = make_net(NET)
    other = make_net(NET.replace('name: "ip2"', 'name: "fc"'), seed=2)
    before = parameters(other)
    other.share_with(net)
    assert (parameters(other)["fc 0"] == before["fc 0"]).all()
    with pytest.raises(WeightsError) as error:
        make_net(NET.replace("num_output: 4", "num_output: 6")).share_with(net)
    assert str(error.value) == ("InnerProduct 'ip1': to share: expected a parameter ((6, 3), "
                                "'float32', 'numpy'), got ((4, 3), 'float32', 'numpy').")
    with pytest.raises(WeightsError) as error:
        make_net(NET.replace("bias_term: false", "")).share_with(net)
    assert str(error.value) == "InnerProduct 'ip2': to share: expected 2 parameters, got 1."


@pytest.mark.parametrize("complete", [False, True])
def test_complete_refuses_a_file_that_lacks_one_layer_of_several(make_net, tmp_path, complete):
    path = stored(tmp_path / "part", ip1=[numpy.ones((4, 3)), numpy.ones(4)])
    net = make_net(NET)
    before = parameters(net)
    if complete:
        with pytest.raises(WeightsError, match="got none for ip2. Hint: layers that matched by "
                                               "name: ip1; only in the net: ip2"):
            net.copy_from(path, complete=True)
        assert same(before, parameters(net))
    else:
        net.copy_from(path)
        assert (net.params["ip1"][0].data == 1).all()
        assert (net.params["ip2"][0].data == before["ip2 0"]).all()
