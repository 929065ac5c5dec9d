"""What layers share that apply one number to each channel, in place or not."""

from __future__ import annotations

from collections.abc import Callable

from ..blob import Blob
from ..errors import ParameterError
from ..proto import FillerParameter
from .buffered import _SavesInput


def constant(value: float) -> FillerParameter:
    """The filler that fills with one value."""
    return FillerParameter(type="constant", value=value)


def along(axis: int, shape: tuple[int, ...], of: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` padded with 1s to the rank of ``of``, so that it broadcasts from ``axis`` on."""
    return (1,) * axis + shape + (1,) * (len(of) - axis - len(shape))


class _Broadcast(_SavesInput):
    """A layer with an operand that repeats along axes of x: a parameter or the second bottom.

    Params: axis and num_axes say which axes of x the operand has; a second bottom has axes of its
    own, from ``axis`` on.
    Errors: ParameterError for a num_axes below -1; ShapeError where the operand does not fit x.
    """

    bottoms = (1, 2)
    tops = 1

    def setup_operand(self, bottom: list[Blob], param, default: float) -> tuple[int, ...]:
        """Make the parameter, if there is one bottom alone.  Returns the operand's shape."""
        self.first = param.axis
        if len(bottom) > 1:
            return bottom[1].shape
        if param.num_axes < -1:
            raise ParameterError(self.where, "num_axes of 0 or more, or -1 for all", param.num_axes)
        x = bottom[0].shape
        start = self._start(bottom[0], param.num_axes)
        end = len(x) if param.num_axes == -1 else start + param.num_axes
        self.expect(end <= len(x), f"a bottom with {end} axes or more, for axis {param.axis} and "
                    f"num_axes {param.num_axes}", x)
        self.add_blob(x[start:end], param.filler if param.HasField("filler") else constant(default))
        return x[start:end]

    def _start(self, x: Blob, axes: int) -> int:
        """The first axis of x that the operand has; for one number (no axes) any will do."""
        return self.axis(self.first, x) if axes else 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        x, shape = bottom[0].shape, self._operand(bottom).shape
        start = self._start(bottom[0], len(shape))
        self.expect(x[start:start + len(shape)] == shape, f"a bottom with the axes {shape} from "
                    f"axis {start} on", x)
        self.along = along(start, shape, x)

    def _operand(self, bottom: list[Blob]) -> Blob:
        return bottom[1] if len(bottom) > 1 else self.parameters[0]

    def operand(self, bottom: list[Blob]):
        """The operand's values, with the axes of x."""
        return self._operand(bottom).data.reshape(self.along)

    def add_gradient(self, formula: Callable, propagate_down: list[bool], bottom: list[Blob],
                     *inputs) -> None:
        """Where the operand has a gradient: formula(*inputs), summed over the axes it lacks."""
        is_bottom = len(bottom) > 1
        if propagate_down[1] if is_bottom else self.param_propagate_down[0]:
            self.backend.sums(formula, self._operand(bottom).diff.reshape(self.along), *inputs,
                              accumulate=not is_bottom)
