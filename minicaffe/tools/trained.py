"""A trained net from its files, ready for pictures: what ``classify`` and ``show`` begin with."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy

from ..data.image import read_image
from ..data.npz import read_npy
from ..data.transform import Transform
from ..errors import FileFormatError, NetError, ParameterError, ShapeError
from ..layer import TEST
from ..net import Net
from ..net.description import filter_net
from ..proto import NetParameter, NetState, TransformationParameter
from ..proto.atomic_files import existing_file
from ..proto.upgrade import read_net, upgrade_net
from ..proto.wire import read_blob
from . import models
from .deploy import data_input, deploy_net
from .input_shapes import stored_size
from .option_values import checked, whole

BATCH = 32  # pictures a pass


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which net it is, and how it sees pictures."""
    net = parser.add_argument_group("the net")
    net.add_argument("--weights", metavar="FILE", required=True,
                     help="a .caffemodel or .h5, of minicaffe or of Caffe")
    net.add_argument("--model", metavar="FILE|NAME", help="its prototxt, for use or for training, "
                     "or its name, as \"minicaffe models\" lists them (default: "
                     "NAME_deploy.prototxt beside weights NAME_iter_1000.caffemodel, which train "
                     "writes)")
    seen = parser.add_argument_group("how it sees pictures (default: as its prototxt says)")
    seen.add_argument("--image-size", type=_size, metavar="CxHxW", help="channels, height and "
                      "width, such as 3x224x224, or HxW: pictures are brought to it")
    seen.add_argument("--mean", metavar="FILE|VALUES", help="what is subtracted: a mean picture, "
                      ".binaryproto or .npy, or a number for each channel, such as 104,117,123")
    seen.add_argument("--scale", type=_scale, metavar="X", help="what pixels, 0 to 255, are "
                      "multiplied with")
    net.add_argument("--device", default="cpu", metavar="NAME",
                     help="cpu (compiled by numba) or numpy (the plain reference) (default: cpu)")


def from_options(options: argparse.Namespace, keep: str | Sequence[str] = ()) -> TrainedNet:
    """The net that the options of ``add_options`` say."""
    return TrainedNet(options.weights, options.model, image_size=options.image_size or (),
                      mean=options.mean, scale=options.scale, device=options.device, keep=keep)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(map(whole, re.split("[x,]", text)))


_scale = checked(float, math.isfinite, "a number")
_size = checked(_sizes, lambda sizes: len(sizes) in (2, 3) and all(sizes),
                "CxHxW, such as 3x224x224, or HxW")


def stem_of(weights: str | Path) -> str:
    """What the names of all files of a training begin with.

    ``snapshots/pets`` for ``snapshots/pets_iter_1000.caffemodel``.
    """
    return re.sub(r"(_iter_\d+)?(\.caffemodel)?(\.h5|\.hdf5)?$", "", str(weights))


class TrainedNet:
    """A net with its weights, and how pictures become what it sees.

    Args:
        weights: a .caffemodel or .h5.
        model: a prototxt, or a name of models/; default: the deploy file beside the weights.
        image_size: (C, H, W) or (H, W) that pictures are brought to; default: as the net says.
        mean: what is subtracted, as ``--mean`` takes it; scale: what pixels are multiplied with;
            default: as the net says.
        device: its name.
        keep: as for ``Net``.

    Attributes:
        net: in phase TEST.  input: the name of its data blob.  weights: the path of its weights.
        shape: (C, H, W) of the pictures that it is given, before they are cropped.

    Errors: MissingFileError, ParseError, FileFormatError, WeightsError for the files;
    ParameterError where they do not tell what there is to know.
    """

    def __init__(self, weights: str | Path, model: str | None = None, *,
                 image_size: Sequence[int] = (), mean: str | None = None,
                 scale: float | None = None, device: str = "cpu",
                 keep: str | Sequence[str] = ()):
        self.weights = existing_file(weights)
        source, folder = source_net(weights, model, image_size)
        mean = _mean(mean, source, folder)
        deployed = deploy_net(source, _whole_size(image_size, source, mean))
        layer = data_input(deployed)
        _check_inputs(deployed)
        dims = _dims(layer)
        self.input = layer.top[0]
        self.shape = self._shape(layer, dims, image_size)
        self.transform = self._transform(layer, dims, mean, scale)
        layer.input_param.shape[0].dim[:] = [1, *self.transform.output_shape(self.shape)]
        self.net = Net(deployed, TEST, keep=keep, device=device)
        self.net.copy_from(weights, complete=True)

    @staticmethod
    def _shape(layer, dims, image_size) -> tuple[int, ...]:
        """The size that pictures are brought to."""
        if image_size:
            shape = (dims[0], *image_size[-2:])
            if image_size[:-2] not in ((), dims[:1]):
                raise ParameterError("--image-size", f"{dims[0]} channels, as the net's input has",
                                     image_size[0])
            return shape
        return (dims[0], *(stored_size(layer) or dims[1:]))

    def _transform(self, layer, dims, mean, scale) -> Transform:
        """What is done to pictures of ``self.shape``; where they are larger than a square input
        that nobody moved, the middle is cut out."""
        param = TransformationParameter()
        param.CopyFrom(layer.transform_param)
        if scale is not None:
            param.scale = scale
        grown = mean is not None and mean.shape == self.shape and self.shape != dims
        if grown and not param.crop_size and dims[1] == dims[2]:
            param.crop_size = dims[1]
        return Transform(param, mean, f"Input '{layer.name}': transform_param")

    def read(self, path: str | Path) -> numpy.ndarray:
        """A picture as uint8 (C, H, W).  Errors: those of ``read_image``."""
        return read_image(path, *self.shape)

    def forward(self, pictures: Sequence[numpy.ndarray]) -> None:
        """One pass over pictures, (n, C, H, W)."""
        pictures = numpy.asarray(pictures)
        blob = self.net.device_blobs[self.input]
        blob.reshape(len(pictures), *blob.shape[1:])
        self.net.reshape()
        self.transform(pictures, blob.host.data)
        self.net.run_forward()


# ------------------------------------------------------------------------- what the files tell

def source_net(weights: str | Path | None, model: str | None, sizes: Sequence[int]
               ) -> tuple[NetParameter, Path]:
    """The net as a file or models/ has it, and the folder its other files lie in.

    Args:
        weights, model: as TrainedNet takes them; one of them may be None.
        sizes: (C, H, W) of the pictures, where they are given.

    Errors: ParameterError for weights alone without a deploy file beside them; those of
    ``models.load``.
    """
    if model is None:
        path = Path(f"{stem_of(weights)}_deploy.prototxt")
        if not path.is_file():
            raise ParameterError("--model", "the net of these weights", f"none, as there is no "
                                 f"'{path}'", "give its prototxt, or its name in models/.")
        return read_net(path), path.parent
    fit = {"shape": sizes} if len(sizes) == 3 else {}
    return models.load(model).net(**fit), Path(model).parent


def _mean(given: str | None, source: NetParameter, folder: Path) -> numpy.ndarray | None:
    """The mean as an array, (C, H, W) or (C,), where an option or a file gives one."""
    if given and re.fullmatch(r"[-+.,\deE ]+", given):
        try:
            return numpy.array([float(value) for value in given.split(",")], numpy.float32)
        except ValueError:
            raise ParameterError("--mean", "a file, or a number for each channel, such as "
                                 "104,117,123", f"'{given}'") from None
    if given:
        return _mean_picture(existing_file(given))
    param = _transform_param(source)
    if param.subtract_mean:
        raise ParameterError("--mean", "the mean of what the net was trained on, as its "
                             "subtract_mean asks for it", "none", "train writes it beside the "
                             "weights, with a ..._deploy.prototxt that names it.")
    name = param.mean_file
    if not name:
        return None
    beside = folder / name  # where train writes it; real Caffe looks from the working folder
    return _mean_picture(beside if beside.is_file() else existing_file(name))


def _mean_picture(path: Path) -> numpy.ndarray:
    mean = (read_npy if path.suffix == ".npy" else read_blob)(path)
    if mean.dtype.kind not in "buif":
        raise FileFormatError(str(path), "a mean of numbers", mean.dtype)
    mean = mean[0] if mean.ndim == 4 and len(mean) == 1 else mean
    if mean.ndim not in (1, 3):
        raise ShapeError(str(path), "a mean picture (C, H, W), or a number for each channel",
                         mean.shape)
    return mean.astype(numpy.float32)


def _transform_param(source: NetParameter) -> TransformationParameter:
    """How the net transforms its data in phase TEST."""
    for layer in filter_net(upgrade_net(source), NetState(phase=TEST)).layer:
        if layer.HasField("transform_param"):
            return layer.transform_param
    return TransformationParameter()


def _whole_size(image_size, source: NetParameter, mean) -> tuple[int, ...] | None:
    """(C, H, W) of the pictures, before they are cropped, as far as it is known."""
    if image_size and len(image_size) == 3:
        return image_size
    param = _transform_param(source)
    channels = len(mean) if mean is not None else len(param.mean_value)
    if image_size and channels:
        return channels, *image_size
    return mean.shape if mean is not None and mean.ndim == 3 else None


def _check_inputs(deployed: NetParameter) -> None:
    """Errors: NetError for a net that wants more than a picture."""
    inputs = [top for layer in deployed.layer if layer.type == "Input" for top in layer.top]
    if len(inputs) != 1:
        raise NetError(f"net '{deployed.name or 'net'}'", "one input, for pictures",
                       ", ".join(inputs))


def _dims(layer) -> tuple[int, ...]:
    """(C, H, W) that the net's input has.  Errors: NetError for one that is no picture."""
    dims = tuple(layer.input_param.shape[0].dim)
    if len(dims) != 4 or dims[1] not in (1, 3):
        raise NetError(f"Input '{layer.name}'", "pictures (N, C, H, W) of 1 or 3 channels",
                       f"the shape {dims}")
    return dims[1:]
