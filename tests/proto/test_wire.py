"""Weight files are read to the bit, of every age, and written whole or not at all."""

import errno
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from minicaffe.errors import FileFormatError, WeightsError
from minicaffe.proto import BlobProto, NetParameter, SolverState
from minicaffe.proto.atomic_files import atomic_write
from minicaffe.proto.scan import header, varint
from minicaffe.proto.wire import (
    SolverStateFile,
    read_blob,
    read_caffemodel,
    read_solverstate,
    write_blob,
    write_caffemodel,
    write_solverstate,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "solvers" / "sgd_fixed"


def saved(tmp_path, message):
    path = tmp_path / "file"
    path.write_bytes(message if isinstance(message, bytes) else message.SerializeToString())
    return path


def error_of(read, path):
    with pytest.raises(FileFormatError) as caught:
        read(path)
    return str(caught.value).removeprefix(str(path))


def unpacked_floats(values):
    """The data field of a BlobProto as files of old hold it: a tag before every float."""
    return b"".join(b"\x2d" + struct.pack("<f", value) for value in values)


def test_real_caffes_weights_are_read():
    layers = {layer.name: layer for layer in read_caffemodel(GOLDEN / "half.caffemodel")}
    expected = np.load(GOLDEN / "weights.npz")
    assert layers["conv"].type == "Convolution"
    assert layers["relu"].blobs == []
    for name in ("conv", "ip"):
        for i, blob in enumerate(layers[name].blobs):
            assert blob.dtype == np.float32
            np.testing.assert_array_equal(blob, expected[f"{name}_{i}_4"])


def test_real_caffes_weights_are_written_to_the_byte_of_their_meaning(tmp_path):
    net = NetParameter.FromString((GOLDEN / "half.caffemodel").read_bytes())
    weights = [layer.blobs for layer in read_caffemodel(GOLDEN / "half.caffemodel")]
    write_caffemodel(tmp_path / "again", net, weights)
    assert NetParameter.FromString((tmp_path / "again").read_bytes()) == net


def test_a_real_solverstate_is_read_and_written(tmp_path):
    state = read_solverstate(GOLDEN / "half.solverstate")
    real = SolverState.FromString((GOLDEN / "half.solverstate").read_bytes())
    assert (state.iter, state.learned_net, state.current_step) == (4, real.learned_net, 0)
    assert (state.random_seed, state.test_tick) == (None, [])
    assert [blob.shape for blob in state.history] == [tuple(b.shape.dim) for b in real.history]
    np.testing.assert_array_equal(state.history[0].ravel(), np.float32(real.history[0].data))
    write_solverstate(tmp_path / "again", state)
    assert SolverState.FromString((tmp_path / "again").read_bytes()) == real


def test_our_own_fields_of_a_solverstate_come_back(tmp_path):
    state = SolverStateFile(3, "n", 2, [np.zeros(2)], random_seed=-5, test_tick=[1, 2**40])
    write_solverstate(tmp_path / "state", state)
    back = read_solverstate(tmp_path / "state")
    assert back._replace(history=()) == state._replace(history=())
    assert back.history[0].dtype == np.float64


@pytest.mark.parametrize("array", [np.float32(3), np.zeros((0, 3), "f4"), np.ones((2, 3), "i4"),
                                   np.arange(6.0).reshape(2, 3), np.ones((2, 3), "f4").T])
def test_arrays_of_any_kind_come_back(tmp_path, array):
    net = NetParameter(name="x" * 200)
    net.layer.add(name="a", loss_weight=[1, 2])
    write_caffemodel(tmp_path / "w", net, [[array, array]])
    for blob in read_caffemodel(tmp_path / "w")[0].blobs:
        np.testing.assert_array_equal(blob, array)
        assert blob.shape == array.shape
        assert blob.dtype == (np.float64 if array.dtype == np.float64 else np.float32)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
def test_unpacked_floats_of_v1_files_are_read(tmp_path, count):
    values = np.arange(count, dtype="f4")
    blob = unpacked_floats(values) + b"\x08\x01\x10\x01\x18\x01\x20" + varint(count)
    body = b"\x22\x01a" + b"\x28\x04" + b"\x3d\0\0\0\0" * 2 + header(6, len(blob)) + blob
    layer, = read_caffemodel(saved(tmp_path, header(2, len(body)) + body))
    assert (layer.name, layer.type) == ("a", "Convolution")
    np.testing.assert_array_equal(layer.blobs[0], values.reshape(1, 1, 1, count))


def test_interrupted_runs_of_floats_are_joined(tmp_path):
    blob = unpacked_floats([1, 2]) + b"\x08\x04" + unpacked_floats([3]) + b"\x2a\x04" + b"\0" * 4
    blob += b"\x10\x01\x18\x01\x20\x01"
    assert read_blob(saved(tmp_path, blob)).ravel().tolist() == [1, 2, 3, 0]


def test_v0_files_are_read(tmp_path):
    net = NetParameter()
    v0 = net.layers.add(top=["c"]).layer
    v0.name, v0.type = "c", "conv"
    v0.blobs.add(num=1, channels=2, height=1, width=1, data=[1, 2])
    layer, = read_caffemodel(saved(tmp_path, net))
    assert (layer.name, layer.type, layer.blobs[0].shape) == ("c", "Convolution", (1, 2, 1, 1))


def test_types_of_forks_are_no_obstacle(tmp_path):
    body = b"\x22\x01a" + b"\x28\x63"
    assert read_caffemodel(saved(tmp_path, header(2, len(body)) + body)) == [("a", "", [])]


@pytest.mark.parametrize("blob", [
    BlobProto(data=[1, 2], diff=[3, 4], shape={"dim": [2]}),
    BlobProto(double_data=[1, 2], double_diff=[3, 4], shape={"dim": [2]}),
    BlobProto(data=[1, 2]),
])
def test_blobs_of_every_kind_are_read(tmp_path, blob):
    array = read_blob(saved(tmp_path, blob))
    assert array.tolist() == [1, 2]
    assert array.dtype == (np.float64 if blob.double_data else np.float32)


def test_old_axes_win_over_a_shape_as_in_caffe(tmp_path):
    blob = BlobProto(data=[1, 2], num=1, channels=2, height=1, width=1, shape={"dim": [2]})
    assert read_blob(saved(tmp_path, blob)).shape == (1, 2, 1, 1)


def test_a_mean_comes_back(tmp_path):
    mean = np.arange(12, dtype="f4").reshape(1, 3, 2, 2)
    write_blob(tmp_path / "mean", mean)
    np.testing.assert_array_equal(read_blob(tmp_path / "mean"), mean)
    assert list(BlobProto.FromString((tmp_path / "mean").read_bytes()).shape.dim) == [1, 3, 2, 2]


def test_arrays_are_the_callers_own():
    blob = next(la for la in read_caffemodel(GOLDEN / "half.caffemodel") if la.blobs).blobs[0]
    assert blob.flags.writeable and blob.flags.aligned and blob.flags.c_contiguous


@pytest.mark.parametrize("cut", range(1, 2600, 97))
def test_a_truncated_file_is_an_error_wherever_it_ends(tmp_path, cut):
    whole = (GOLDEN / "half.caffemodel").read_bytes()
    message = error_of(read_caffemodel, saved(tmp_path, whole[:-cut]))
    assert "the file is truncated" in message and message.startswith(" at byte ")


def test_truncation_names_the_offset_and_the_thing(tmp_path):
    net = NetParameter()
    net.layer.add(name="a").blobs.add(data=[1, 2, 3], shape={"dim": [3]})
    whole = net.SerializeToString()
    assert error_of(read_caffemodel, saved(tmp_path, whole[:-4])) == (
        " at byte 3: expected field 100 of a net, got only 20 of 24 bytes: the file is truncated."
    )
    short = bytearray(whole)
    short[9] = 40  # the length of the array
    assert error_of(read_caffemodel, saved(tmp_path, bytes(short))).startswith(
        " at byte 10: expected field 5 of a blob of layer 'a', got only 17 of 40 bytes"
    )


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", ": expected a caffemodel, got an empty file."),
        (b'name: "net"\n', ": expected a caffemodel, got text. Hint: is it a prototxt?"),
        (b"\x89HDF\r\n\x1a\n", ": expected a caffemodel, got an HDF5 file."),
        (b"\x0a\x01n", ": expected a caffemodel, got a file without layers."),
        (b"\x07\x00", " at byte 0: expected a net, got bytes that are not one (0x7)."),
        (b"\xff" * 12, " at byte 0: expected a net, got an integer of more than 10 bytes."),
        (b"\x15\x00", " at byte 1: expected field 2 of a net, got the end of the data: the file "
                      "is truncated."),
        (SolverState(iter=3), ": expected a caffemodel, got another of Caffe's files. "
                              "Hint: is it a solverstate or an image mean?"),
    ],
)
def test_other_files_are_not_taken_for_a_caffemodel(tmp_path, content, message):
    assert error_of(read_caffemodel, saved(tmp_path, content)) == message


def test_other_files_are_not_taken_for_a_solverstate_or_a_mean(tmp_path):
    message = ": expected {}, got another of Caffe's files. Hint: is it a caffemodel?"
    net = saved(tmp_path, NetParameter(name="n"))
    assert error_of(read_solverstate, net) == message.format("a solverstate")
    assert error_of(read_blob, net) == message.format("a binaryproto")
    state = saved(tmp_path, SolverState(iter=3))
    assert error_of(read_blob, state) == ": expected a binaryproto, got a file without numbers."


def test_a_blob_whose_shape_and_data_differ_is_an_error(tmp_path):
    blob = BlobProto(data=[1, 2], shape={"dim": [3, 1]})
    assert error_of(read_blob, saved(tmp_path, blob)) == (
        " at byte 0: expected a blob of shape (3, 1), got 2 numbers."
    )
    assert error_of(read_blob, saved(tmp_path, b"\x2a\x03abc")) == (
        " at byte 2: expected numbers of 4 bytes, got 3 bytes."
    )
    assert error_of(read_blob, saved(tmp_path, b"\x29" + b"\0" * 8)) == (
        " at byte 1: expected numbers of 4 bytes, got other data."
    )


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_caffemodel(tmp_path / "net.caffemodel")


@pytest.mark.parametrize("name", ["n" * 300, "n/" * 3000, "n\0"])
def test_a_name_that_no_file_can_have_is_a_missing_file(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_caffemodel(tmp_path / name)


@pytest.mark.parametrize("weights", [[], [[], []]])
def test_weights_of_more_or_fewer_layers_than_the_net_has_are_an_error(tmp_path, weights):
    net = NetParameter()
    net.layer.add(name="conv1")
    with pytest.raises(WeightsError) as caught:
        write_caffemodel(tmp_path / "w", net, weights)
    assert str(caught.value) == (
        f"{tmp_path / 'w'}: expected the weights of 1 layers, got those of {len(weights)}."
    )


def test_layers_of_equal_names_keep_each_their_own_weights(tmp_path):
    net = NetParameter()
    for _ in range(3):
        net.layer.add(name="a")
    write_caffemodel(tmp_path / "w", net, [[np.float32(1)], [], [np.float32(2), np.float32(3)]])
    assert [layer.blobs for layer in read_caffemodel(tmp_path / "w")] == [[1], [], [2, 3]]


def test_blobs_in_the_net_itself_are_not_written(tmp_path):
    net = NetParameter(name="n", force_backward=True)
    net.layer.add(name="a").blobs.add(data=[1])
    write_caffemodel(tmp_path / "w", net, [[np.zeros(2, "f4")]])
    back = NetParameter.FromString((tmp_path / "w").read_bytes())
    assert (back.name, back.force_backward, len(back.layer[0].blobs)) == ("n", True, 1)
    assert list(back.layer[0].blobs[0].data) == [0, 0]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [
        ("net.caffemodel", b"old")
    ]


def test_a_full_disk_is_reported_with_the_files_name(tmp_path):
    path = tmp_path / "net.caffemodel"
    with pytest.raises(OSError) as caught, atomic_write(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(caught.value) == f"[Errno 28] No space left on device: '{path}'"
    with pytest.raises(OSError) as caught, atomic_write(path):
        raise OSError("unable to write")
    assert str(caught.value) == f"{path}: unable to write"
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with atomic_write(pipe) as file:
            file.write(b"whole")
        assert os.read(reader, 10) == b"whole"
        with pytest.raises(ZeroDivisionError), atomic_write(pipe):
            raise ZeroDivisionError
    finally:
        os.close(reader)
    assert [entry.is_fifo() for entry in tmp_path.iterdir()] == [True]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_device_is_reported_with_its_name():
    with pytest.raises(OSError) as caught, atomic_write("/dev/full") as file:
        file.write(b"x")
    assert caught.value.filename == "/dev/full"


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="other"), atomic_write(tmp_path / "a"):
        open(tmp_path / "other")


def test_a_link_that_leads_to_itself_is_a_missing_file(tmp_path):
    path = tmp_path / "w.caffemodel"
    path.symlink_to(path.name)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_caffemodel(path)


def test_a_missing_folder_is_reported_with_the_files_name(tmp_path):
    path = tmp_path / "no" / "net.caffemodel"
    with pytest.raises(FileNotFoundError) as caught:
        write_blob(path, np.zeros(1))
    assert caught.value.filename == str(path)
