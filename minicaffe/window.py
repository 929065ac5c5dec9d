"""Kernel, stride, pad and dilation of one spatial operation, and the only output-size formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import ParameterError, ShapeError


@dataclass(frozen=True)
class Window:
    """A window that slides over the spatial axes of a blob; one number per axis in each field.

    Axis by axis, with the dilated extent ``e = dilation * (kernel - 1) + 1``::

        output = floor((size + 2 * pad - e) / stride) + 1      (``ceil``: rounded up instead)

    Rounded up, the last window may start behind the data; if there is padding on any axis, such a
    window is dropped, as in Caffe.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil: bool = False

    def output_shape(self, spatial: Sequence[int], where: str) -> tuple[int, ...]:
        """The number of window positions along each axis.

        Args:
            spatial: sizes of the input's spatial axes.
            where: the layer, for the error.

        Errors: ShapeError where the window is larger than the padded input.
        """
        return tuple(self._positions(axis, size, spatial, where)
                     for axis, size in enumerate(spatial))

    def _positions(self, axis: int, size: int, spatial: Sequence[int], where: str) -> int:
        stride, pad = self.stride[axis], self.pad[axis]
        extent = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        room = size + 2 * pad - extent
        positions = (math.ceil(room / stride) if self.ceil else room // stride) + 1
        if positions < 1:
            raise ShapeError(
                where, f"an input of at least {extent - 2 * pad} along spatial axis {axis} for "
                f"kernel {self.kernel}, pad {self.pad}, dilation {self.dilation}", tuple(spatial),
                "enlarge the input or the pad, or make the kernel smaller.")
        if self.ceil and any(self.pad) and (positions - 1) * stride >= size + pad:
            positions -= 1
        return positions

    @property
    def is_pointwise(self) -> bool:
        """True for a 1x1 window at stride 1 without padding: im2col would copy its input."""
        return (all(k == 1 for k in self.kernel) and all(s == 1 for s in self.stride)
                and not any(self.pad))

    @classmethod
    def of_convolution(cls, param, axes: int, where: str) -> Window:
        """The window of a ConvolutionParameter over ``axes`` spatial axes."""
        kernel = _per_axis(param, "kernel_size", "kernel", axes, where)
        if kernel is None:
            raise ParameterError(where, "kernel_size, or kernel_h and kernel_w", "neither")
        stride = _per_axis(param, "stride", "stride", axes, where) or (1,) * axes
        pad = _per_axis(param, "pad", "pad", axes, where) or (0,) * axes
        dilation = _per_axis(param, "dilation", None, axes, where)
        hole = _per_axis(param, "hole", "hole", axes, where)  # as old forks call it
        if dilation and hole:
            raise ParameterError(where, "either dilation or, in old forks, hole", "both")
        dilation = dilation or hole or (1,) * axes
        return cls._checked(kernel, stride, pad, dilation, False, where)

    @classmethod
    def of_pooling(cls, param, spatial: Sequence[int], where: str) -> Window:
        """The window of a PoolingParameter; a global one covers the whole of ``spatial``."""
        axes = len(spatial)
        if param.global_pooling:
            if any(param.HasField(f) for f in ("kernel_size", "kernel_h", "kernel_w")):
                raise ParameterError(where, "no kernel size beside global_pooling: true",
                                     "one", "remove it: the window is the whole input.")
            kernel = tuple(spatial)
        else:
            kernel = _per_axis(param, "kernel_size", "kernel", axes, where)
            if kernel is None:
                raise ParameterError(where, "kernel_size, or kernel_h and kernel_w, or "
                                     "global_pooling: true", "none of them")
        stride = _per_axis(param, "stride", "stride", axes, where) or (1,) * axes
        pad = _per_axis(param, "pad", "pad", axes, where) or (0,) * axes
        if param.global_pooling and (any(pad) or any(s != 1 for s in stride)):
            raise ParameterError(where, "pad 0 and stride 1 with global_pooling: true",
                                 f"pad {pad}, stride {stride}")
        ceil = param.round_mode == 0
        if param.HasField("round_below"):
            ceil = not param.round_below
        if param.HasField("ceil_mode"):
            ceil = param.ceil_mode
        window = cls._checked(kernel, stride, pad, (1,) * axes, ceil, where)
        if any(p >= k for p, k in zip(pad, kernel)):
            raise ParameterError(where, f"a pad smaller than the kernel {kernel}", pad)
        return window

    @classmethod
    def _checked(cls, kernel, stride, pad, dilation, ceil, where) -> Window:
        for name, values in (("kernel_size", kernel), ("stride", stride), ("dilation", dilation)):
            if any(v < 1 for v in values):
                raise ParameterError(where, f"{name} of 1 or more", values)
        return cls(kernel, stride, pad, dilation, ceil)


def _per_axis(param, name: str, twin: str | None, axes: int, where: str):
    """``name`` (one value for all axes, or one each) or its ``_h``, ``_w`` twins, per axis."""
    values = getattr(param, name)
    if isinstance(values, int):  # one field for all axes, as Pooling has it
        given = param.HasField(name)
        values = (values,) if given or param.DESCRIPTOR.fields_by_name[name].default_value else ()
    else:
        values = tuple(values)
        given = bool(values)
    if twin is not None:
        pair = (f"{twin}_h", f"{twin}_w")
        halves = [f for f in pair if param.HasField(f)]
        if halves:
            if given:
                raise ParameterError(where, f"either {name} or {pair[0]} and {pair[1]}", "both")
            if axes != 2:
                raise ParameterError(where, f"{name} for {axes} spatial axes", " and ".join(halves),
                                     f"{pair[0]} and {pair[1]} are for two axes.")
            if name == "kernel_size" and len(halves) == 1:
                raise ParameterError(where, f"{pair[0]} and {pair[1]}", f"{halves[0]} alone")
            default = 1 if name in ("stride", "hole") else 0
            return tuple(getattr(param, f) if param.HasField(f) else default for f in pair)
    if not values:
        return None
    if len(values) not in (1, axes):
        raise ParameterError(where, f"{name} once or {axes} times (one for each spatial axis)",
                             f"{len(values)} times")
    return values * axes if len(values) == 1 else values
