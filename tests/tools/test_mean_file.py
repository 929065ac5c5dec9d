"""The mean picture that ``classify`` subtracts, from files of every kind."""

import io

import numpy
import pytest

from minicaffe.errors import FileFormatError, ShapeError
from minicaffe.proto.wire import write_blob
from minicaffe.tools.trained import _mean_picture

PICTURE = numpy.arange(24, dtype="f8").reshape(3, 2, 4)


def npy(array):
    file = io.BytesIO()
    numpy.save(file, array)
    return file.getvalue()


def header(text, version=b"\1\0"):
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("array", [
    PICTURE, PICTURE[None], numpy.asfortranarray(PICTURE), PICTURE.astype(">f2"),
    PICTURE.astype("u1"), PICTURE[:, 0, 0],
])
def test_a_mean_of_numpy_is_read(tmp_path, array):
    path = tmp_path / "mean.npy"
    path.write_bytes(npy(array))
    mean = _mean_picture(path)
    assert mean.dtype == numpy.float32
    numpy.testing.assert_array_equal(mean, array[0] if array.ndim == 4 else array)


def test_a_mean_of_caffe_is_read(tmp_path):
    write_blob(tmp_path / "mean.binaryproto", PICTURE[None])
    numpy.testing.assert_array_equal(_mean_picture(tmp_path / "mean.binaryproto"), PICTURE)


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }"


@pytest.mark.parametrize("content, told", [
    (b"", "an array as NumPy writes it, got something else."),
    (b"PK\3\4" + bytes(100), "an array as NumPy writes it, got something else."),
    (npy(PICTURE)[:-1], "a damaged one (191 bytes for an array of shape (3, 2, 4))."),
    (npy(PICTURE) + b"\0", "a damaged one (193 bytes for an array of shape (3, 2, 4))."),
    (npy(PICTURE)[:100], "a whole file, got a damaged one ("),
    (header(HUGE), "a damaged one (0 bytes for an array of shape (1099511627776,))."),
    (header("(" * 900), "a whole file, got a damaged one ("),
    (header("{'descr': "), "a whole file, got a damaged one ("),
    (header("{}", b"\x09\0"), "an array as NumPy writes it, got something else."),
    (npy(numpy.array(["text"])), "a mean of numbers, got <U4."),
    (npy(PICTURE + 1j), "a mean of numbers, got complex128."),
    (npy(numpy.array([{}])), "arrays of numbers, got Python objects, which could run code when"),
])
def test_what_is_no_mean_is_told(tmp_path, content, told):
    path = tmp_path / "mean.npy"
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        _mean_picture(path)
    assert str(caught.value).startswith(f"{path}: expected ") and told in str(caught.value)


def test_a_mean_of_another_shape_is_told(tmp_path):
    (tmp_path / "mean.npy").write_bytes(npy(PICTURE[0]))
    with pytest.raises(ShapeError, match=r"a mean picture \(C, H, W\), or a number for each"):
        _mean_picture(tmp_path / "mean.npy")
