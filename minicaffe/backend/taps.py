"""Which pixels of the input each tap of a window meets, without a padded image.

Along one axis tap t of the window at output o meets the input pixel
``i = o * stride + t * dilation - pad``, where there is one: of each tap the outputs that meet a
pixel follow each other.  So time and memory depend on input, output and kernel, whatever the
stride, pad and dilation are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from ..window import Window


class Tap(NamedTuple):
    """A tap of the window; slices for the spatial axes, to be put behind others.

    Attributes:
        index: its number, row by row.
        outputs: those whose window has an input pixel there.  inputs: these pixels.
    """

    index: int
    outputs: tuple
    inputs: tuple


def taps(window: Window, spatial: Sequence[int], output: Sequence[int]) -> Iterator[Tap]:
    """The taps that meet some pixel, in order.

    Args:
        spatial: the sizes of the input's spatial axes.  output: of the output's.
    """
    axes = [list(_along_axis(*sides)) for sides in zip(
        spatial, output, window.kernel, window.stride, window.pad, window.dilation)]
    for chosen in product(*axes):
        index = 0
        for size, (tap, _, _) in zip(window.kernel, chosen):
            index = index * size + tap
        yield Tap(index, (..., *(outputs for _, outputs, _ in chosen)),
                  (..., *(inputs for _, _, inputs in chosen)))


def _along_axis(size: int, output: int, kernel: int, stride: int, pad: int, dilation: int
                ) -> Iterator[tuple[int, slice, slice]]:
    for tap in _candidates(size, output, kernel, stride, pad, dilation):
        before = pad - tap * dilation  # from output 0's pixel to the first one there is
        first = max(0, -(-before // stride))
        last = min(output - 1, (before + size - 1) // stride)
        if first <= last:
            start = first * stride - before
            yield (tap, slice(first, last + 1),
                   slice(start, start + (last - first) * stride + 1, stride))


def _candidates(size: int, output: int, kernel: int, stride: int, pad: int, dilation: int):
    """Taps among which are all that meet a pixel: of a very long kernel not all."""
    if kernel <= size * output:
        return range(kernel)
    return sorted({tap for o in range(output) for tap in range(
        max(0, -(-(pad - o * stride) // dilation)),
        min(kernel, (pad - o * stride + size - 1) // dilation + 1))})
