"""Data in the place of a net's own data layers: published nets run on arrays, as they stand."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy

from ..data_layers import Source, batch_size, brings_data, waits_for_data
from ..errors import ParameterError, nearest
from ..layer import TEST, TRAIN
from ..proto import LayerParameter, NetParameter, TransformationParameter
from .batches import Batches, as_samples
from .dataset import Dataset
from .transform import Transform, mean_of

_log = logging.getLogger("minicaffe")


class Feeder:
    """Feeds the nets of a solver: training data to the net that learns, test data to the others.

    Args:
        data, test_data: one of
            arrays, by name in a dict, or in the order of ``input_tops``;
            a ``Batches``, which brings the transforms that the net asks for;
            a ``Dataset``: each net takes its part, unless ``test_data`` says otherwise;
            another source, for nets whose inputs are Input layers; None.
    """

    def __init__(self, data=None, test_data=None):
        if test_data is None and isinstance(data, Dataset):
            test_data = data
        self._data = {TRAIN: data, TEST: test_data}
        self._means = TrainingMeans()

    def feed(self, net: NetParameter, phase: int) -> tuple[NetParameter, object]:
        """The net with Inputs for its data layers, and the source that feeds them, or None.

        The net that learns comes first: the others subtract its means.  It is fed in a new order in
        each epoch.

        Args:
            net: the layers of one phase alone, as ``graph.filter_net`` chooses them.

        Errors: those of ``by_name``, ``as_samples``, ``as_inputs`` and ``transforms``.
        """
        data = self._data[phase]
        if data is None or isinstance(data, Source) and not isinstance(data, Batches):
            return net, data
        if isinstance(data, Dataset):
            data = samples_of(data, net, phase)
        arrays = data.arrays if isinstance(data, Batches) else by_name(net, data)
        _check_layers(net, arrays)
        arrays = as_samples(arrays)
        if phase == TRAIN:
            self._means.arrays = arrays
        if isinstance(data, Batches):
            _check_transforms(net, data)
        else:
            data = Batches(arrays, shuffle=phase == TRAIN,
                           transforms=transforms(net, arrays, self._means))
        shapes = {name: data.sample_shape(name) for name in arrays}
        return as_inputs(net, shapes, data.batch_size), data


class TrainingMeans:
    """The means of ``arrays``, the part that is trained on, each computed when first asked for."""

    def __init__(self, arrays: Mapping[str, object] | None = None):
        self.arrays = {} if arrays is None else arrays
        self._known: dict[tuple[str, str], numpy.ndarray] = {}
        self._replaced: set[str] = set()

    def get(self, name: str, kind: str, where: str) -> numpy.ndarray:
        """``mean_of(arrays[name], kind)``.  Errors: ParameterError without such an array."""
        if name not in self.arrays:
            raise ParameterError(f"{where}: the mean", f"data to train on for '{name}', whose mean "
                                 "is to be subtracted", ", ".join(self.arrays) or "none")
        if (name, kind) not in self._known:
            self._known[name, kind] = mean_of(self.arrays[name], kind)
        return self._known[name, kind]

    def instead_of(self, file: str, name: str, where: str) -> numpy.ndarray:
        """The mean image where its file is missing, which is told once."""
        mean = self.get(name, "image", where)
        if file not in self._replaced:
            _log.warning("%s: there is no mean_file '%s'; the mean image of the training data "
                         "takes its place", where, file)
            self._replaced.add(file)
        return mean


def input_tops(net: NetParameter) -> list[str]:
    """The tops that data may be fed to: of Input and of data layers, in the order of the layers.

    Args:
        net: the layers of one phase alone, as ``graph.filter_net`` chooses them.
    """
    return [top for layer in net.layer if waits_for_data(layer) for top in layer.top]


def samples_of(dataset: Dataset, net: NetParameter, phase: int) -> dict[str, object]:
    """Samples and labels of the part for a phase, by the names of the net's inputs: ``data`` and
    ``label``, or in their order; a net of one input sees no labels.

    Errors: ParameterError for a net with more than two inputs.
    """
    names = list(dict.fromkeys(input_tops(net)))
    if not 1 <= len(names) <= 2:
        raise ParameterError("model", "one or two inputs, the data and its labels",
                             ", ".join(names) or "none")
    if set(names) == {"data", "label"}:
        names = ["data", "label"]
    return dict(zip(names, (dataset.x, dataset.y) if phase == TRAIN else
                    (dataset.test_x, dataset.test_y)))


def by_name(net: NetParameter, data) -> dict[str, object]:
    """Arrays by name: those of a dict, or of a tuple in the order of ``input_tops``.

    Errors: ParameterError where an Input is left without data.
    """
    names = input_tops(net)
    if not isinstance(data, Mapping):
        if not isinstance(data, tuple | list) or len(data) != len(names):
            got = len(data) if isinstance(data, tuple | list) else type(data).__name__
            raise ParameterError("data", f"a tuple with an array for each input of {names}", got)
        data = dict(zip(names, data))
    needed = [top for layer in net.layer if layer.type == "Input" for top in layer.top]
    if not data or not set(needed) <= set(data):
        raise _no_fit(names, data)
    return dict(data)


def _check_layers(net: NetParameter, fed) -> None:
    """Errors: ParameterError for names that no layer makes, and for a layer fed in part."""
    made = {top for layer in net.layer if brings_data(layer) for top in layer.top}
    if not set(fed) <= made:
        raise _no_fit(input_tops(net), fed)
    for layer in net.layer:
        missing = [top for top in layer.top if top not in fed]
        if layer.type != "Input" and brings_data(layer) and 0 < len(missing) < len(layer.top):
            raise ParameterError("data", f"an array for each top of {_where(layer)}, whose place "
                                 f"it takes: {', '.join(layer.top)}", f"none for "
                                 f"{', '.join(missing)}")


def _check_transforms(net: NetParameter, source: Batches) -> None:
    """Errors: ParameterError for ready Batches without a transform that the net asks for."""
    for name, (_, where) in transform_params(net, source.arrays).items():
        if name not in source.transforms:
            raise ParameterError("data", f"Batches with a transform for '{name}', as {where} "
                                 "asks for one", "none", "give the arrays themselves, or "
                                 f"Batches(..., transforms={{'{name}': Transform(...)}}).")


def _no_fit(names: list[str], fed) -> ParameterError:
    unknown = [name for name in fed if name not in names]
    return ParameterError("data", f"an array for each input of {names}", sorted(fed),
                          nearest(unknown[0], names) if unknown else "")


def as_inputs(net: NetParameter, shapes: Mapping[str, tuple[int, ...]],
              size: int | None = None) -> NetParameter:
    """A copy of the net in which each data layer whose tops are all fed is an Input.

    It keeps its name, its tops, its include and exclude rules and its transform_param.  Its batches
    are as large as it says itself.

    Args:
        net: the layers of one phase alone, as ``graph.filter_net`` chooses them.
        shapes: {top: the shape of a sample, once transformed} of what is fed.
        size: the batch size for layers that do not say it.

    Errors: ParameterError for a layer without a batch size.
    """
    fed = NetParameter()
    fed.CopyFrom(net)
    for layer in fed.layer:
        if _is_replaced(layer, shapes):
            samples = batch_size(layer) or size
            if not samples:
                raise ParameterError(_where(layer), "a batch_size, as data takes its place", "none")
            old = LayerParameter()
            old.CopyFrom(layer)
            layer.Clear()
            layer.name, layer.type = old.name, "Input"
            layer.top.extend(old.top)
            for rules in ("include", "exclude"):
                getattr(layer, rules).extend(getattr(old, rules))
            if old.HasField("transform_param"):
                layer.transform_param.CopyFrom(old.transform_param)
            for top in old.top:
                layer.input_param.shape.add(dim=[samples, *shapes[top]])
    return fed


def transforms(net: NetParameter, fed, means: TrainingMeans) -> dict[str, Transform]:
    """How the samples of each fed input are transformed, where its layer asks for it.

    A layer's transform is that of its first top: labels stay as they are.  A mean that is to be
    computed, or whose file is missing, is that of the training part.

    Args:
        net: the layers of one phase alone.  fed: the names that are fed.

    Errors: those of Transform; ParameterError for a mean without training data.
    """
    return {name: _transform(param, name, where, means)
            for name, (param, where) in transform_params(net, fed).items()}


def transform_params(net: NetParameter, fed) -> dict[str, tuple[TransformationParameter, str]]:
    """{first top: (transform_param, the layer as errors call it)} of the layers that data feeds."""
    return {layer.top[0]: (layer.transform_param, _where(layer)) for layer in net.layer
            if brings_data(layer) and layer.top and layer.top[0] in fed
            and layer.transform_param.ListFields()}


def _transform(param, name: str, where: str, means: TrainingMeans) -> Transform:
    mean = None
    if param.subtract_mean:
        mean = means.get(name, param.subtract_mean, where)
    elif param.mean_file and not Path(param.mean_file).exists():
        mean = means.instead_of(param.mean_file, name, where)
    return Transform(param, mean, where)


def _is_replaced(layer, shapes) -> bool:
    return (brings_data(layer) and layer.type != "Input" and len(layer.top) > 0
            and set(layer.top) <= set(shapes))


def _where(layer) -> str:
    return f"{layer.type} '{layer.name}'"
