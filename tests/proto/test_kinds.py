"""A file that is not what its name says is told by what it is, or read as what it is."""

import numpy as np
import pytest

from minicaffe.errors import FileFormatError
from minicaffe.proto.formats import read_state, read_weights
from minicaffe.proto.hdf5 import write_solverstate_hdf5, write_weights_hdf5
from minicaffe.proto.wire import SolverStateFile, read_blob, read_caffemodel, read_solverstate

OTHERS = [
    (b"\x89PNG\r\n\x1a\n", "a picture (PNG)."),
    (b"\xff\xd8\xff\xe0\0\x10JFIF", "a picture (JPEG)."),
    (b"GIF89a", "a picture (GIF)."),
    (b"BM" + b"\x46\0\0\0" + b"\0" * 4 + b"\x36\0\0\0" + b"\x28\0\0\0", "a picture (BMP)."),
    (b"RIFF\x10\0\0\0WEBPVP8 ", "a picture (WebP)."),
    (b"II*\0\x08\0\0\0", "a picture (TIFF)."),
    (b"\x93NUMPY\x01\0", "an array of NumPy (.npy)."),
    (b"PK\x03\x04", "a zip archive (.zip, .npz, PyTorch's .pt). Hint: unpack it first"),
    (b"\x1f\x8b\x08", "an archive. Hint: unpack it first"),
    (b"\x80\x04\x95", "a pickle of Python."),
    (b"\x7fELF", "a program or a document."),
    (b"version https://git-lfs.github.com/spec/v1\n",
     "a pointer of Git LFS. Hint: git lfs pull fetches the file"),
    (b"\n<!DOCTYPE html>", "a web page. Hint: the download went wrong"),
    (b"\xff\xfen\0a\0m\0e\0", "text in UTF-16. Hint: save it as UTF-8"),
    (b"", "an empty file."),
]
READERS = [(read_caffemodel, "a caffemodel"), (read_solverstate, "a solverstate"),
           (read_blob, "a binaryproto")]


@pytest.mark.parametrize("content, told", OTHERS)
@pytest.mark.parametrize("read, expected", READERS)
def test_files_of_other_kinds_are_told(tmp_path, read, expected, content, told):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: expected {expected}, got {told}"


def test_hdf5_under_another_name_is_read(tmp_path):
    write_weights_hdf5(tmp_path / "net.caffemodel", {"ip": [np.ones(2)]})
    assert read_weights(tmp_path / "net.caffemodel")[0].name == "ip"
    write_solverstate_hdf5(tmp_path / "net.solverstate", SolverStateFile(7))
    assert read_state(tmp_path / "net.solverstate").iter == 7


def test_another_file_under_the_name_of_hdf5_is_told(tmp_path):
    (tmp_path / "net.h5").write_bytes(b"\x89PNG\r\n\x1a\n")
    for read in (read_weights, read_state):
        with pytest.raises(FileFormatError, match="net.h5: expected an HDF5 file, got "):
            read(tmp_path / "net.h5")
