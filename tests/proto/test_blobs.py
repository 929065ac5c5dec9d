"""Arrays in Caffe's binary files: every way to write the numbers, and every way to damage them."""

import struct

import numpy as np
import pytest

from minicaffe.errors import FileFormatError
from minicaffe.proto import BlobProto
from minicaffe.proto.scan import header, varint
from minicaffe.proto.wire import read_blob, read_caffemodel, read_solverstate

from .bounded import assert_bounded

NUMBERS = [[1.5, -2, 0.25], [65504, 2**-24, 0]]


def saved(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    return path


def error_of(read, path):
    with pytest.raises(FileFormatError) as caught:
        read(path)
    return str(caught.value).removeprefix(str(path))


def raw_blob(kind, content, shape=(2, 3)):
    """A BlobProto as NVIDIA's fork writes it."""
    front = BlobProto(shape={"dim": shape}).SerializeToString()
    return front + b"\x50" + varint(kind) + header(12, len(content)) + content


@pytest.mark.parametrize("kind, dtype", [(0, "<f8"), (1, "<f4"), (2, "<f2")])
def test_raw_numbers_of_nvidias_fork_are_read(tmp_path, kind, dtype):
    content = np.array(NUMBERS, dtype).tobytes()
    array = read_blob(saved(tmp_path, raw_blob(kind, content)))
    assert array.dtype == (np.float64 if kind == 0 else np.float32)
    np.testing.assert_array_equal(array, np.array(NUMBERS))


def test_raw_numbers_are_read_in_the_weights_of_a_layer(tmp_path):
    blob = raw_blob(2, np.array([2, 1], "<f2").tobytes(), (1, 2))
    layer = b"\x0a\x01f" + header(7, len(blob)) + blob
    found, = read_caffemodel(saved(tmp_path, header(100, len(layer)) + layer))
    assert found.name == "f" and found.blobs[0].tolist() == [[2, 1]]


@pytest.mark.parametrize("content, message", [
    (raw_blob(3, b"\0" * 24), " at byte 10: expected numbers that are double (0), float (1) or "
                              "half (2) in raw_data of a blob, got raw_data_type 3."),
    (b"\x62\x02\0\0", " at byte 2: expected numbers that are double (0), float (1) or half (2) "
                      "in raw_data of a blob, got no raw_data_type."),
    (raw_blob(2, b"\0" * 11), " at byte 10: expected numbers of 2 bytes, got 11 bytes."),
    (raw_blob(2, b"\0" * 10), " at byte 0: expected a blob of shape (2, 3), got 5 numbers."),
])
def test_raw_numbers_that_cannot_be_told_are_an_error(tmp_path, content, message):
    assert error_of(read_blob, saved(tmp_path, content)) == message


def test_doubles_win_over_floats_as_in_caffe(tmp_path):
    blob = BlobProto(data=[1, 2, 3], double_data=[4, 5]).SerializeToString()
    assert read_blob(saved(tmp_path, blob)).tolist() == [4, 5]


def test_numbers_in_some_pieces_are_joined_and_in_very_many_refused(tmp_path):
    piece = b"\x2a\x04" + struct.pack("<f", 7)
    array = read_blob(saved(tmp_path, b"\x2a\x00" + 999 * piece))
    assert array.tolist() == [7] * 999 and array.flags.writeable and array.flags.aligned
    assert error_of(read_blob, saved(tmp_path, 1001 * piece)) == (
        " at byte 6002: expected the numbers of a blob in one piece, got very many."
    )


def shaped(*dims):
    """A blob with a shape and no numbers."""
    return BlobProto(shape={"dim": dims}).SerializeToString()


@pytest.mark.parametrize("content, message", [
    (shaped(*[1] * 33), " at byte 4: expected at most 32 integers in the shape of a blob, "
                        "got more."),
    (header(7, 66) + b"\x08\x01" * 33,
     " at byte 2: expected a blob of at most 32 axes, got more."),
    (header(7, 9) + b"\x09" + b"\0" * 8, " at byte 3: expected integers in the shape of a blob, "
                                         "got other data."),
    (shaped(0, 2**62, 2**62), " at byte 0: expected a blob with axes that an array can have, got "
                              "(0, 4611686018427387904, 4611686018427387904)."),
    (shaped(0, *[2**31 - 1] * 3), " at byte 0: expected a blob with axes that an array can have, "
                                  "got (0, 2147483647, 2147483647, 2147483647)."),
    (shaped(0, -1), " at byte 0: expected a blob of shape (0, -1), got 0 numbers."),
])
def test_a_shape_that_no_array_has_is_an_error(tmp_path, content, message):
    assert error_of(read_blob, saved(tmp_path, content)) == message


def test_a_blob_of_32_axes_is_read(tmp_path):
    blob = BlobProto(shape={"dim": [1] * 31 + [2]}, data=[3, 4])
    assert read_blob(saved(tmp_path, blob.SerializeToString())).shape == (1,) * 31 + (2,)


LONG_NAME = header(1, 100_000) + b"\n" * 100_000


@pytest.mark.parametrize("read, content, message", [
    (read_caffemodel, b"\xa2\x06\x00" * 200_000, "100000 layers and blobs, got more."),
    (read_caffemodel, b"\x12\x00" * 200_000, "100000 layers and blobs, got more."),
    (read_caffemodel, header(100, 400_000) + b"\x3a\x00" * 200_000, "100000 blobs of a layer"),
    (read_solverstate, b"\x1a\x00" * 200_000, "100000 blobs of history, got more."),
    (read_solverstate, b"\xa0\x9c\x01\x01" * 1001, ""),
    (read_solverstate, header(3, 900_004) + header(7, 900_000) + b"\x08\x01" * 450_000,
     "a blob of the history of at most 32 axes"),
    (read_caffemodel, header(100, 100_008) + LONG_NAME + b"\x3a\x02\x0a\x01", "\\n\\n ... \\n\\n"),
    (read_blob, b"\x08\x01" * 100_000, "a file without numbers."),
])
def test_many_small_things_take_little_memory(tmp_path, read, content, message):
    assert message in assert_bounded(read, saved(tmp_path, content))
