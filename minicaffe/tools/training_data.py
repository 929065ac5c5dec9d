"""What a training is fed: the data set that the options name, and the net's layers that take it."""

from __future__ import annotations

import logging

import numpy

from ..data import Dataset
from ..data.sets import open_dataset
from ..data_layers import waits_for_data
from ..errors import ParameterError
from ..layer import TRAIN
from ..net.description import filter_net
from ..proto import LayerParameter, NetParameter, NetState
from ..proto.upgrade import upgrade_net
from ..solvers import Solver
from .confusion import scores_blob
from .input_shapes import sample_shapes, stored_size
from .train_options import TrainOptions

_log = logging.getLogger("minicaffe.train")
FEW = 50  # samples, of which each counts for two percentage points of an accuracy


def open_samples(options: TrainOptions, name: str, net: NetParameter) -> Dataset | None:
    """What is trained on; None for a net whose own layers bring the data.

    Args:
        options: of ``minicaffe train``: data, image_size.
        name: the data set that the net is meant for.

    Errors: those of ``open_dataset``; ParameterError for a net that takes no data.
    """
    sources = sources_of(net)
    if not options.data and not any(layer.type == "Input" for layer in sources):
        return None
    if not sources:
        raise ParameterError("--data", "a net with a layer that data can be fed to", "none")
    size = _picture_size(sources[0], options.image_size)
    dataset = open_dataset(options.data, size) if options.data else _meant(name, size)
    if options.image_size and dataset.x.shape[2:] != options.image_size[-2:]:
        raise ParameterError("--image-size", "pictures by class, which can be brought to it",
                             f"{dataset.name} of {dataset.x.shape[1:]}")
    _log.info("%s: %d samples to train on, %d to test, %d classes, of shape %s", dataset.name,
              len(dataset.x), len(dataset.test_x), classes_of(dataset),
              " x ".join(map(str, dataset.x.shape[1:])))
    warn_of_few(len(dataset.test_x), "test")
    return dataset


def _meant(name: str, size: tuple[int, int, int] | None) -> Dataset:
    """The data set that a model is meant for.  Errors: as ``open_dataset``, with what to do."""
    try:
        return open_dataset(name, size)
    except ParameterError as error:
        if error.hint or error.got != f"'{name}'":
            raise
        raise ParameterError(error.where, error.expected, f"{error.got}, which the model is meant "
                             "for", "--data my_pictures/ trains on pictures of your own, in a "
                             "folder for each class.") from error


def sources_of(net: NetParameter) -> list[LayerParameter]:
    """The layers of phase TRAIN that data may be fed to."""
    chosen = filter_net(upgrade_net(net), NetState(phase=TRAIN))
    return [layer for layer in chosen.layer if waits_for_data(layer) and layer.top]


def _picture_size(layer: LayerParameter, wanted: tuple[int, ...] | None
                  ) -> tuple[int, int, int] | None:
    """(C, H, W) that pictures of a folder are brought to; None: they have one size already."""
    shape = next(iter(sample_shapes(layer)), ())
    channels = shape[0] if len(shape) == 3 else 3
    crop = layer.transform_param.crop_size
    if wanted:
        return (channels, *wanted)[-3:]
    if stored_size(layer):
        return channels, *stored_size(layer)
    if crop and not layer.transform_param.pad:  # room to cut it out of: 256 for 224, as is usual
        return channels, crop * 8 // 7, crop * 8 // 7
    return shape if len(shape) == 3 else None


def warn_of_few(samples: int, part: str) -> None:
    """Warn where a part of so many samples is too small for an accuracy to tell much."""
    if samples < FEW:
        _log.warning("the %s part has %d sample%s: each counts for %.3g percentage points of the "
                     "accuracy, so it tells little", part, samples, "s" * (samples != 1),
                     100 / max(1, samples))


def classes_of(dataset: Dataset) -> int:
    """How many classes there are, by their names or by the labels."""
    labels = numpy.concatenate([dataset.y, dataset.test_y])
    return max(len(dataset.classes), int(labels.max(initial=-1)) + 1)


def augment(net: NetParameter, mirror: bool, shift: int, shape: tuple[int, ...]) -> None:
    """Have the pictures of phase TRAIN mirrored, or moved by up to ``shift`` pixels.

    Errors: ParameterError for pictures that are not square, or are cropped already.
    """
    names = {layer.name for layer in sources_of(net)[:1]} if mirror or shift else ()
    for layer in net.layer:
        if layer.name not in names or layer.bottom:
            continue
        param = layer.transform_param
        param.mirror = param.mirror or mirror
        if shift:
            if param.crop_size or len(shape) != 3 or shape[1] != shape[2]:
                raise ParameterError("--shift", "square pictures that the net does not crop",
                                     f"pictures {shape}, crop_size {param.crop_size}")
            param.pad, param.crop_size = shift, shape[1]


def check_fit(solver: Solver, dataset: Dataset) -> None:
    """Errors: ParameterError for a net with fewer scores than there are classes.

    Tells of pictures that go in as they are, and of numbers that are scaled twice: most nets do
    not learn from such.
    """
    judged, wanted = scores_blob(solver.net), classes_of(dataset)
    scores = solver.net.device_blobs[judged[0]].shape if judged else ()
    if len(scores) == 2 and scores[1] < wanted:
        raise ParameterError(f"net '{solver.net.name}'", f"{wanted} scores or more, one for each "
                             f"class of {dataset.name}", f"{scores[1]} in blob '{judged[0]}'",
                             "num_output of the last layer counts the classes.")
    _check_scale(solver, dataset)


def _check_scale(solver: Solver, dataset: Dataset) -> None:
    transforms = solver.net.source.transforms
    scale = next((transform.param.scale for transform in transforms.values()), 1)
    if dataset.x.dtype == numpy.uint8:
        if not transforms:
            _log.warning("net '%s' is fed pictures as they are, 0 to 255; transform_param { scale: "
                         "0.00390625 } in its data layer brings them to 0 .. 1", solver.net.name)
    elif scale < 0.02 and abs(dataset.x[:1000]).max(initial=0) <= 1:
        _log.warning("%s: its samples lie within 0 .. 1 already, and net '%s' scales them by %.3g, "
                     "so it sees next to nothing; give them as uint8, 0 to 255", dataset.name,
                     solver.net.name, scale)
