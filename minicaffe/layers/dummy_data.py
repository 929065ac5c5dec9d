"""DummyData: tops that fillers fill, for tests and timings without data."""

from __future__ import annotations

from .. import fillers, randomness
from ..errors import ParameterError
from ..layer import Layer
from ..proto import FillerParameter


class DummyData(Layer):
    """Tops filled by ``data_filler``: once if it is constant, anew in every pass if not.

    Top: one or more.
    Params: shape (or the old num, channels, height, width) and data_filler (constant 0): of
    each one for every top, or one for all.
    """

    bottoms = 0
    tops = (1, None)
    host = True

    def setup(self, bottom, top):
        param = self.param.dummy_data_param
        shapes = [tuple(shape.dim) for shape in param.shape] or list(
            zip(param.num, param.channels, param.height, param.width))
        self.fillers = self._for_each(list(param.data_filler) or [FillerParameter()], "data_filler",
                                      len(top))
        for y, shape in zip(top, self._for_each(shapes, "shape", len(top))):
            y.reshape(*shape)
        self.tick = 0
        self.filled = [None] * len(top)

    def _for_each(self, values, what: str, tops: int):
        if len(values) not in (1, tops):
            raise ParameterError(self.where, f"one {what}, or one for each of {tops} tops",
                                 len(values))
        return values * tops if len(values) == 1 else values

    def prepare(self, tick):
        self.tick = tick

    def forward(self, bottom, top):
        for i, (y, filler) in enumerate(zip(top, self.fillers)):
            constant = filler.type == "constant"
            if constant and self.filled[i] == y.shape:
                continue
            rng = randomness.generator(self._seed, self.name, i, 0 if constant else self.tick)
            y.data[...] = fillers.fill(filler, y.shape, rng, self.where)
            self.filled[i] = y.shape
