"""What every data set is: samples to learn from, samples held out, and the names of the classes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy

from .. import randomness
from ..errors import ParameterError


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Samples and labels: to learn from, and a test part for the end.

    Attributes:
        x: (N, ...) samples, an array or what reads like one by rows (``ImageFolder``);
            pictures are (N, C, H, W), uint8 from 0 to 255, channels in the order B, G, R.
        y: (N,) whole numbers from 0.
        test_x, test_y: the same, of the test part.
        classes: the name of each label; () where nobody gave any.
        name: what the set is called, in messages.
    """

    x: numpy.ndarray
    y: numpy.ndarray
    test_x: numpy.ndarray
    test_y: numpy.ndarray
    classes: tuple[str, ...] = ()
    name: str = "data"

    def __repr__(self) -> str:
        return (f"<Dataset '{self.name}': {len(self.x)} samples {tuple(self.x.shape[1:])}, "
                f"{len(self.test_x)} to test, {len(self.classes) or 'unnamed'} classes>")

    def hold_out(self, share: float, seed: int) -> Dataset:
        """The training part in two: the rest of it, and a random ``share`` as the test part.

        Which samples are held out depends on ``seed`` and on how many there are, on nothing else.

        Errors: ParameterError where one of the two would be empty.
        """
        held = round(len(self.y) * share)
        if not 0 < held < len(self.y):
            raise ParameterError(f"data set '{self.name}'", "a sample or more to learn from and to "
                                 "hold out", f"a share of {share:g} of {len(self.y)}")
        order = randomness.generator(seed, "held out").permutation(len(self.y))
        out, rest = numpy.sort(order[:held]), numpy.sort(order[held:])
        return replace(self, x=self.x[rest], y=self.y[rest], test_x=self.x[out],
                       test_y=self.y[out])
