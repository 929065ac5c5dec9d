"""Which windows compiled code takes: those whose padded image is not much larger than the image.

It copies images into their padding and keeps tables of places there.  The reference needs neither
and takes the rest: huge strides, pads and dilations.
"""

from __future__ import annotations

import functools
import math

from ...window import Window
from .vectors.llvm import LANES

_LARGER = 16  # times the plane, and some
_FLOATS = 1 << 16


@functools.lru_cache(maxsize=1024)
def is_compact(window: Window, spatial: tuple[int, ...], output: tuple[int, ...]) -> bool:
    """Whether what windows and padding reach is small enough to be held in memory."""
    reach = [max(size + 2 * pad, (count + LANES) * stride, dilation * (kernel - 1) + 1)
             for size, count, kernel, stride, pad, dilation in zip(
                 spatial, output, window.kernel, window.stride, window.pad, window.dilation)]
    return math.prod(reach) <= _LARGER * math.prod(spatial) + _FLOATS
