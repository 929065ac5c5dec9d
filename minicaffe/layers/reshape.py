"""Reshape: the same elements in another shape."""

from __future__ import annotations

import math

from ..elementwise import positive
from ..errors import ParameterError
from ..layer import Layer


class _Reshaped(Layer):
    """``y = x``, ``dx = dy``, in the shape that ``shape_of`` gives; y shares x's memory."""

    bottoms = tops = 1
    backward_reads = ()

    def shape_of(self, x) -> tuple[int, ...]:
        """The shape of the top for the bottom x; of as many elements."""
        raise NotImplementedError

    def reshape(self, bottom, top):
        top[0].reshape(*self.shape_of(bottom[0]))
        top[0].share(bottom[0], "data")

    def forward(self, bottom, top):
        pass  # the top's data is the bottom's

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            dx, dy = bottom[0].diff, top[0].diff
            self.backend.map(positive, dx, dy.reshape(dx.shape))


class Reshape(_Reshaped):
    """The elements of the bottom, in their order, in another shape.

    ``y = x``;  ``dx = dy``

    The ``num_axes`` axes of x from ``axis`` on become the axes of ``shape``.  There a dim of 0
    stands for the length that x has in its place, and one of -1 for what is left.

    Bottom: x, any shape.  Top: y, of as many elements, sharing x's memory.
    Params: shape, axis (0; negative: counted from the end, at which -1 adds axes), num_axes (-1:
    all from axis on).
    """

    only_primitives = True

    def setup(self, bottom, top):
        self.dims = list(self.param.reshape_param.shape.dim)
        if min(self.dims, default=0) < -1 or self.dims.count(-1) > 1:
            raise ParameterError(self.where, "dims of 0 or more, and at most one of -1", self.dims)
        if self.param.reshape_param.num_axes < -1:
            raise ParameterError(self.where, "num_axes of -1 (all) or more",
                                 self.param.reshape_param.num_axes)

    def shape_of(self, x):
        first, last = self._replaced(x)
        before, behind = x.shape[:first], x.shape[last:]
        dims = [self._copied(x, first + i) if dim == 0 else dim for i, dim in enumerate(self.dims)]
        if -1 in dims:
            dims[dims.index(-1)] = self._inferred(x.shape[first:last], dims)
        shape = (*before, *dims, *behind)
        self.expect(math.prod(shape) == x.count, f"a shape of {x.count} elements for a bottom of "
                    f"{x.shape}", shape)
        return shape

    def _inferred(self, replaced: tuple[int, ...], dims: list[int]) -> int:
        """What is left for a dim of -1.  An axis that is copied is no part of the question, so that
        one of no elements leaves the others their answer."""
        copied = {i for i, dim in enumerate(self.dims) if dim == 0 and i < len(replaced)}
        given = math.prod(dim for i, dim in enumerate(dims) if dim != -1 and i not in copied)
        found = math.prod(dim for i, dim in enumerate(replaced) if i not in copied)
        self.expect(given > 0 and found % given == 0, "dims that divide the "
                    f"{math.prod(replaced)} elements of {replaced}",
                    f"{self.dims}, which give {abs(math.prod(dims))}")
        return found // given

    def _replaced(self, x) -> tuple[int, int]:
        """The first axis of the bottom that is replaced, and the first behind it that is not."""
        param, axes = self.param.reshape_param, len(x.shape)
        self.expect(-axes - 1 <= param.axis <= axes, f"a bottom with a place {param.axis} for axes",
                    x.shape)
        first = param.axis if param.axis >= 0 else axes + 1 + param.axis
        last = axes if param.num_axes == -1 else first + param.num_axes
        self.expect(last <= axes, f"a bottom with {param.num_axes} axes from axis {first} on",
                    x.shape)
        return first, last

    def _copied(self, x, axis: int) -> int:
        self.expect(axis < len(x.shape), f"a bottom with an axis {axis}, which a dim of 0 copies",
                    x.shape)
        return x.shape[axis]
