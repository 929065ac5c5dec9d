"""Files of pictures, as bytes, in folders and in zips."""

import io
import zipfile

import numpy
from PIL import Image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def png(colour=RED, size=(4, 3), mode="RGB", **options):
    """The bytes of a picture of one colour, ``size`` its (width, height)."""
    return saved(Image.new(mode, size, colour), **options)


def saved(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


NOISE = Image.fromarray(numpy.random.RandomState(0).randint(0, 256, (32, 32, 3)).astype("uint8"))
JPEG, PNG = saved(NOISE, "JPEG"), saved(NOISE)


def coloured(*bgr):
    return numpy.array(bgr, "uint8")[:, None, None]


def write_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write_zip(path, files):
    path = path.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def grey_levels(*names):
    """{name: a picture whose one grey level is the place of its name}"""
    return {name: png(level, mode="L") for level, name in enumerate(names)}


def levels(x):
    return x[:, 0, 0, 0].tolist()
