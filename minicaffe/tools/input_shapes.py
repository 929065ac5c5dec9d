"""What a layer that brings data tells of its pictures: their shape, their size before a crop."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ParameterError
from ..proto import LayerParameter

Shape = tuple[int, ...]


def sample_shapes(layer: LayerParameter, stored: Sequence[int] | None = None) -> list[Shape]:
    """The shape of a sample of each of the first tops, as far as one can tell; else [].

    Args:
        stored: (C, H, W) of the pictures before they are cropped, for a layer that reads them from
            somewhere; None: as an ImageData says that resizes them.
    """
    if layer.type == "Input":
        return _spread([tuple(shape.dim)[1:] for shape in layer.input_param.shape], layer)
    if layer.type == "DummyData":
        param = layer.dummy_data_param
        return _spread([tuple(shape.dim)[1:] for shape in param.shape]
                       or list(zip(param.channels, param.height, param.width)), layer)
    if layer.type == "MemoryData" and stored is None:
        param = layer.memory_data_param
        return [(param.channels, param.height, param.width), ()][:len(layer.top)]
    if stored is None and layer.type == "ImageData" and stored_size(layer):
        stored = (3 if layer.image_data_param.is_color else 1, *stored_size(layer))
        return [_cropped(layer, stored), ()][:len(layer.top)]
    return [_cropped(layer, stored)] if stored is not None else []


def _spread(shapes: list[Shape], layer: LayerParameter) -> list[Shape]:
    """One shape holds for all tops."""
    return shapes * len(layer.top) if len(shapes) == 1 else shapes


def _cropped(layer: LayerParameter, stored: Sequence[int]) -> Shape:
    crop = layer.transform_param.crop_size
    return (stored[0], crop, crop) if crop else tuple(stored)


def stored_size(layer: LayerParameter) -> tuple[int, ...]:
    """(H, W) of the pictures before they are cropped, where the layer tells; else ()."""
    size = layer.image_data_param.new_height, layer.image_data_param.new_width
    return size if all(size) else ()


def shape_wanted(layer: LayerParameter, top: int = 0) -> ParameterError:
    """The error for a top whose shape nobody tells."""
    return ParameterError(f"{layer.type} '{layer.name}'", f"the shape of '{layer.top[top]}', which "
                          "such a layer does not tell", "none", "give it as channels, height and "
                          "width, such as --image-size 3x224x224.")
