"""Slice: cut a blob into several along one axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..errors import ParameterError
from ..layer import Layer


def named_axis(layer: Layer, param, old_name: str, blob) -> int:
    """The axis, from 0, that a layer's parameters name as ``axis`` or by an older name.

    Errors: ParameterError for both names, ShapeError for an axis out of range.
    """
    if not param.HasField(old_name):
        return layer.axis(param.axis, blob)
    if param.HasField("axis"):
        raise ParameterError(layer.where, f"either axis or {old_name}", "both",
                             f"{old_name} is the older name of axis.")
    return layer.axis(getattr(param, old_name), blob)


def as_rows(array, axis: int):
    """View an array as a matrix: ``axis`` and those behind it are a row."""
    return array.reshape(math.prod(array.shape[:axis]), math.prod(array.shape[axis:]))


def parts_of(array, axis: int, sizes: Sequence[int]) -> Iterator:
    """Views of an array cut along an axis into parts of these sizes, each as ``as_rows``."""
    rows, inner, start = as_rows(array, axis), math.prod(array.shape[axis + 1:]), 0
    for size in sizes:
        yield rows[:, start:start + size * inner]
        start += size * inner


class Slice(Layer):
    """Each top is a part of the bottom along ``axis``.

    ``y_k = x[p_k : p_k+1]``;  ``dx[p_k : p_k+1] = dy_k``

    The slice points p_1, p_2, ... say where the second top begins, the third, ...; without them all
    tops are of one size.

    Bottom: x, any shape with an axis ``axis``.  Top: y_k, x's shape but for that axis.
    Params: axis (1; its older name: slice_dim), slice_point (one less than tops, or none).
    """

    bottoms = 1
    tops = (1, None)
    backward_reads = ()
    only_primitives = True

    def setup(self, bottom, top):
        points = list(self.param.slice_param.slice_point)
        if points and len(points) != len(top) - 1:
            raise ParameterError(self.where, f"{len(top) - 1} slice points for {len(top)} tops, or "
                                 "none", len(points))

    def reshape(self, bottom, top):
        param, shape = self.param.slice_param, bottom[0].shape
        self.cut = named_axis(self, param, "slice_dim", bottom[0])
        self.sizes = self._sizes(list(param.slice_point), shape[self.cut], len(top))
        for y, size in zip(top, self.sizes):
            y.reshape(*shape[:self.cut], size, *shape[self.cut + 1:])

    def _sizes(self, points: list[int], length: int, tops: int) -> list[int]:
        if not points:
            self.expect(length % tops == 0, f"an axis {self.cut} that {tops} tops divide evenly",
                        length, "slice_point says where to cut.")
            return [length // tops] * tops
        ends = [0, *points, length]
        sizes = [end - start for start, end in zip(ends, ends[1:])]
        self.expect(min(sizes) > 0, f"slice points that increase and lie within 1 to {length - 1}",
                    points)
        return sizes

    def forward(self, bottom, top):
        for y, x in zip(top, parts_of(bottom[0].data, self.cut, self.sizes)):
            self.backend.copy(x, as_rows(y.data, self.cut))

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            for y, dx in zip(top, parts_of(bottom[0].diff, self.cut, self.sizes)):
                self.backend.copy(as_rows(y.diff, self.cut), dx)
