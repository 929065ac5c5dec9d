"""One picture: decoded, turned upright, and brought to the colours and the size that are asked."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import suppress

import numpy

from ..errors import FileFormatError, MinicaffeError, MissingPackageError, ParameterError, in_line
from ..proto.atomic_files import existing_file
from .reading import read_file

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm",
            ".pbm")
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # for others it may run programs
FILE_BYTES = 2**28  # of one picture's file
PIXELS = 2**26  # of one picture: 67 million; a file of a few bytes can claim billions
SCANS = 2**8  # of a progressive JPEG, each of which goes over all pixels
MEMORY = 3 * 2**24  # bytes that any picture may take while it is made ready, and
MEMORY_A_BYTE = 2**10  # as many more for each byte of its file
_REMOVE = "save it anew, or remove it."
_TRANSPARENT = ("RGBA", "RGBa", "LA", "La", "PA")
_ORIENTATION = 0x0112  # the number of this EXIF field
_GREY = ("1", "L", "LA", "La")


def read_image(path: str | os.PathLike, channels: int, height: int, width: int) -> numpy.ndarray:
    """The picture of a file as uint8 (C, H, W): 1 channel is grey, 3 are B, G, R.

    See ``decode`` for how it is brought to that size.

    Errors: MissingFileError, UnreadableFileError; FileFormatError for what is no picture;
    ParameterError for a size that no picture can have; MissingPackageError without Pillow.
    """
    check_size((channels, height, width))
    path = existing_file(path)
    data = read_file(path, FILE_BYTES, "a picture's file", "remove it.")
    return numpy.ascontiguousarray(decode(data, str(path), (channels, height, width)))


def check_size(size: tuple[int, int, int]) -> None:
    """Errors: ParameterError unless (C, H, W) is a size that pictures can be brought to."""
    channels, height, width = size
    if channels not in (1, 3):
        raise ParameterError("pictures", "1 channel (grey) or 3 (blue, green, red)", channels)
    if height < 1 or width < 1 or height * width > PIXELS:
        raise ParameterError("pictures", f"a height and a width of 1 or more, and at most {PIXELS} "
                             "pixels", f"{height} x {width}")


def decode(data: bytes, where: str, size: tuple[int, int, int] | None = None,
           allow: Callable[[int], None] | None = None) -> numpy.ndarray:
    """The picture in the bytes of a file as uint8 (C, H, W), channels in the order B, G, R.

    It is turned as its EXIF orientation says; what is transparent is laid on white; 16 bits
    become 8; of several frames the first is taken.  For another size it is cut to the new aspect
    ratio, evenly on both sides, and scaled, each new pixel a weighted mean of all the old ones
    around it (bilinear, antialiased).  Without ``size`` it keeps its own: 1 channel if grey,
    else 3.

    Args:
        allow: is called with the number of its pixels before these are decoded, and may raise.

    Errors: FileFormatError, naming ``where``, for anything else than a whole picture of FORMATS, of
    at most PIXELS pixels and not too many for so small a file; MissingPackageError without Pillow.
    """
    pillow = import_pillow()
    if not data:
        raise FileFormatError(where, "a picture", "an empty file", _REMOVE)
    try:
        with pillow.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_work(image, data, where)
            if allow:
                allow(image.width * image.height)
            if size:  # a JPEG is decoded at a half, a quarter or an eighth where that is enough
                image.draft(None, (2 * max(size[1:]),) * 2)
            image.load()  # here, for a second call after a failure would not fail again
            return _array(pillow, image, where, size)
    except MinicaffeError:
        raise
    except pillow.UnidentifiedImageError:
        raise FileFormatError(where, "a picture", "something else, or only its beginning",
                              _REMOVE) from None
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        raise FileFormatError(where, f"a picture of at most {PIXELS} pixels", error,
                              "make it smaller.") from None
    except Exception as error:  # decoders raise whatever a broken file leads them to
        raise FileFormatError(where, "a whole picture", f"a damaged one ({in_line(error)})",
                              _REMOVE) from error


def _check_work(image, data: bytes, where: str) -> None:
    """Errors: FileFormatError for more memory or time than a picture in so small a file needs."""
    pixels, told = image.width * image.height, f"{image.width} x {image.height}"
    if pixels > PIXELS:
        raise FileFormatError(where, f"a picture of at most {PIXELS} pixels", told,
                              "make it smaller.")
    most = (MEMORY + MEMORY_A_BYTE * len(data)) // _bytes_a_pixel(image)
    if pixels > most:
        raise FileFormatError(where, f"a picture of at most {most} pixels in a file of {len(data)} "
                              "bytes", told, "make it smaller.")
    if image.format == "JPEG" and data.count(b"\xff\xda") > SCANS:
        raise FileFormatError(where, f"a JPEG of at most {SCANS} scans", "more", _REMOVE)


def _bytes_a_pixel(image) -> int:
    """The memory that the steps of ``_array`` take together, for each pixel."""
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        return 20
    return {"1": 3, "L": 3}.get(image.mode, 16 if image.mode.startswith(("I", "F")) else 10)


def import_pillow():
    """Pillow's module Image.  Errors: MissingPackageError where it is not installed."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingPackageError("pictures", "Pillow is not installed",
                                  hint="pip install 'minicaffe[images]'") from None
    return Image


def _array(pillow, image, where: str, size: tuple[int, int, int] | None) -> numpy.ndarray:
    grey = image.mode in _GREY or image.mode.startswith("I")
    mode = ("L" if grey else "RGB") if size is None else "L" if size[0] == 1 else "RGB"
    with suppress(Exception):  # broken EXIF data: the pixels may be well
        if image.getexif().get(_ORIENTATION, 1) != 1:
            from PIL import ImageOps
            image = ImageOps.exif_transpose(image)
    image = _opaque(pillow, _eight_bits(pillow, image, where))
    if image.mode != mode and image.mode != "L":  # three alike channels can wait
        image = image.convert(mode)
    if size and image.size != (size[2], size[1]):
        # not ImageOps.fit, which lets what lies beyond the cut count for the pixels along it
        image = image.crop(_centre(*image.size, size[2] / size[1]))
        image = image.resize((size[2], size[1]), pillow.Resampling.BILINEAR)
    if image.mode != mode:
        image = image.convert(mode)
    pixels = numpy.asarray(image)
    return pixels[None] if mode == "L" else pixels[:, :, ::-1].transpose(2, 0, 1)


def _eight_bits(pillow, image, where: str):
    """Grey values of 16 bits as 8; every other picture as it is."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = numpy.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise FileFormatError(where, "a picture of 8 or 16 bits a channel", "one of 32", _REMOVE)
    return pillow.fromarray(((values.astype(numpy.uint32) + 128) // 257).astype(numpy.uint8))


def _opaque(pillow, image):
    """A transparent picture laid on white; every other as it is."""
    if image.mode not in _TRANSPARENT and "transparency" not in image.info:
        return image
    image = image.convert("RGBA")
    return pillow.alpha_composite(pillow.new("RGBA", image.size, "white"), image).convert("RGB")


def _centre(width: int, height: int, ratio: float) -> tuple[int, int, int, int]:
    """The largest box of ``ratio`` = its width / its height in the middle of a picture."""
    wide = min(width, max(1, round(height * ratio)))
    high = min(height, max(1, round(width / ratio)))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high
