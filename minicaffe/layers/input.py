"""Input: blobs that the user, or a data source, fills."""

from __future__ import annotations

from ..errors import ParameterError
from ..layer import Layer


class Input(Layer):
    """Tops of declared shapes, which nothing but the user writes.

    Top: one or more.  Params: shape, one for each top, or one for all.
    """

    bottoms = 0
    tops = (1, None)

    def setup(self, bottom, top):
        shapes = [tuple(shape.dim) for shape in self.param.input_param.shape]
        if len(shapes) not in (0, 1, len(top)):
            raise ParameterError(self.where, f"one shape, or one for each of {len(top)} tops",
                                 f"{len(shapes)} shapes")
        for i, shape in enumerate(shapes * len(top) if len(shapes) == 1 else shapes):
            top[i].reshape(*shape)
