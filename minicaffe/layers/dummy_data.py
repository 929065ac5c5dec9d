"""DummyData: tops that fillers fill, for tests and timings without data."""

from __future__ import annotations

from .. import fillers, randomness
from ..errors import ParameterError
from ..layer import Layer
from ..proto import FillerParameter


class DummyData(Layer):
    """Tops filled by ``data_filler``: once if it is constant, anew in every pass if not.

    What is constant is there before the first pass, and may be written over.

    Top: one or more.
    Params: shape (or the old num, channels, height, width) and data_filler (constant 0): of
    each one for every top, or one for all.
    """

    bottoms = 0
    tops = (1, None)
    host = True
    reshapes_always = True  # having no bottom, it would not hear of another shape otherwise

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

    def reshape(self, bottom, top):
        for i, y in enumerate(top):
            if self.fillers[i].type == "constant" and self.filled[i] != y.shape:
                self._fill(i, y, 0)
                self.filled[i] = y.shape

    def forward(self, bottom, top):
        for i, y in enumerate(top):
            if self.fillers[i].type != "constant":
                self._fill(i, y, self.tick)

    def _fill(self, i: int, y, tick: int) -> None:
        rng = randomness.generator(self._seed, *self.stream, i, tick)
        y.data[...] = fillers.fill(self.fillers[i], y.shape, rng, self.where)
