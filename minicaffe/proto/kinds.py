"""What a file is, told by how it begins, where it is not what its name says."""

from __future__ import annotations

import os
import re

from ..errors import FileFormatError

HEAD = 64  # bytes that tell all kinds
HDF5 = b"\x89HDF\r\n\x1a\n"

# No file of Caffe's begins so, and no prototxt.
_KINDS = [
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), kind, hint)
    for pattern, kind, hint in (
        (re.escape(HDF5), "an HDF5 file", ""),
        (rb"\x89PNG\r\n", "a picture (PNG)", ""),
        (rb"\xff\xd8\xff", "a picture (JPEG)", ""),
        (rb"GIF8[79]a", "a picture (GIF)", ""),
        (rb"BM.{4}\0{4}.{4}[\x0c\x28\x6c\x7c]\0\0\0", "a picture (BMP)", ""),
        (rb"RIFF.{4}WEBP", "a picture (WebP)", ""),
        (rb"II\*\0|MM\0\*", "a picture (TIFF)", ""),
        (rb"\x93NUMPY", "an array of NumPy (.npy)", ""),
        (rb"PK[\x03\x05]", "a zip archive (.zip, .npz, PyTorch's .pt)", "unpack it first"),
        (rb"\x1f\x8b|BZh[1-9]1AY|\xfd7zXZ|7z\xbc\xaf|Rar!", "an archive", "unpack it first"),
        (rb"\x80[\x02-\x05][\x80-\xff(}\]KXcM]", "a pickle of Python", ""),
        (rb"\x7fELF|%PDF-", "a program or a document", ""),
        (rb"version https://git-lfs", "a pointer of Git LFS", "git lfs pull fetches the file"),
        (rb"\s*<(!doctype|html|\?xml)", "a web page", "the download went wrong"),
        (rb"\xff\xfe|\xfe\xff", "text in UTF-16", "save it as UTF-8"),
    )
]


def refuse_other_kinds(path: str | os.PathLike, head: bytes, expected: str) -> None:
    """Errors: FileFormatError where the first bytes of a file are those of another kind of file.

    Args:
        path: its name, for the error.
        head: its first bytes, HEAD of them or all.
        expected: what it should be, such as "a caffemodel".
    """
    if not head:
        raise FileFormatError(os.fspath(path), expected, "an empty file")
    for pattern, kind, hint in _KINDS:
        if pattern.match(head):
            raise FileFormatError(os.fspath(path), expected, kind, hint)
