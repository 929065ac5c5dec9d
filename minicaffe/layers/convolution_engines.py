"""The ways to compute one convolution.  All give the same numbers, up to rounding.

An engine has the three products: forward (y), backward_weight (dW, db), backward_data (dx); its
``algorithms`` names how each is computed.
Shapes: x (N, C, *spatial), w (O, C / group, *kernel), b (O,) or None, y (N, O, *output).
"""

from __future__ import annotations

import math

from ..elementwise import leaky
from ..window import Window

MOST_ZEROS = 1 << 16  # in a channel


class Chosen:
    """The one that the device's rule chooses by the shape; on the reference im2col."""

    uses_columns = True  # backward can use those of forward
    algorithm: str | None = None  # as the primitives take it

    def __init__(self, backend, window: Window, group: int):
        self.backend, self.window, self.group = backend, window, group

    def forward(self, x, w, b, y, slope=None, **columns):
        self.backend.conv_forward(x, w, b, y, self.window, self.group, slope,
                                  algorithm=self.algorithm, **columns)

    def backward_weight(self, x, dy, dw, db, **columns):
        self.backend.conv_backward_weight(x, dy, dw, db, self.window, self.group,
                                          algorithm=self.algorithm, **columns)

    def backward_data(self, dy, w, dx):
        self.backend.conv_backward_data(dy, w, dx, self.window, self.group,
                                        algorithm=self.algorithm)

    def algorithms(self, x_shape, w_shape) -> tuple[str, str, str]:
        return self.backend.conv_algorithms(x_shape, w_shape, self.window, self.group,
                                            self.algorithm)


class Im2col(Chosen):
    """Columns of windows and one matrix product."""

    algorithm = "im2col"


class Winograd(Chosen):
    """Fewer multiplications, for 3x3 kernels at stride 1: see ``backend/winograd.py``."""

    uses_columns = False
    algorithm = "winograd"


class Direct(Chosen):
    """The sums of the definition, one multiplication after the other; no column matrix."""

    uses_columns = False

    def forward(self, x, w, b, y, slope=None):
        self.backend.direct_forward(x, w, b, y, self.window, self.group)
        if slope is not None:
            self.backend.map(leaky, y, y, slope)

    def backward_weight(self, x, dy, dw, db):
        self.backend.direct_backward_weight(x, dy, dw, db, self.window, self.group)

    def backward_data(self, dy, w, dx):
        self.backend.direct_backward_data(dy, w, dx, self.window, self.group)

    def algorithms(self, x_shape, w_shape):
        return "direct", "direct", "direct"


class Transposed(Chosen):
    """The gradients as convolutions: of dy with the rotated filters, of x with dy.

    Stride 1, one channel, one filter: the input pixel a met weight w[i] in output pixel a - i, so
    ``dx[a] = sum over i of w[i] * dy[a - i]``: dy, in a border of kernel - 1 zeros, correlated
    with w rotated by 180 degrees.  A stride s left out s - 1 of s output pixels: zeros inserted
    into dy bring it back to stride 1.  Several filters: their sum.
    Where a dilation would ask for MOST_ZEROS around few pixels, dx is computed as by the rule.
    Likewise ``dw[i] = sum over p of dy[p] * x[p * s + i]`` is x cross-correlated with dy.
    """

    uses_columns = False

    def backward_data(self, dy, w, dx):
        xp, window, group = self.backend.xp, self.window, self.group
        room = tuple(size + d * (k - 1) for size, d, k in zip(
            dx.shape[2:], window.dilation, window.kernel))
        if math.prod(room) > MOST_ZEROS + 16 * math.prod(dx.shape[2:]):
            return super().backward_data(dy, w, dx)
        spread = xp.zeros(dy.shape[:2] + room, dy.dtype)
        from_dy, into = self._spread_positions(dy.shape[2:], spread.shape[2:])
        spread[(..., *into)] = dy[(..., *from_dy)]
        ones, zeros = (1,) * len(window.kernel), (0,) * len(window.kernel)
        self.backend.conv_forward(spread, self._rotated(w), None, dx,
                                  Window(window.kernel, ones, zeros, window.dilation), group)

    def _spread_positions(self, output, spread):
        """Slices of dy, and where they go: output pixel p to extent - 1 - pad + p * stride."""
        window, taken, put = self.window, [], []
        for axis, count in enumerate(output):
            s = window.stride[axis]
            start = window.dilation[axis] * (window.kernel[axis] - 1) - window.pad[axis]
            # where the padding is wider than the window, outer output pixels saw nothing but it
            first = -(start // s) if start < 0 else 0
            last = min(count, (spread[axis] - 1 - start) // s + 1)
            taken.append(slice(first, last))
            put.append(slice(start + first * s, start + (last - 1) * s + 1, s))
        return taken, put

    def _rotated(self, w):
        """w (O, C / group, *kernel) -> (C, O / group, *kernel), each kernel turned around."""
        O, C = w.shape[0] // self.group, w.shape[1]
        turned = w[(slice(None), slice(None), *(slice(None, None, -1) for _ in w.shape[2:]))]
        groups = turned.reshape(self.group, O, C, *w.shape[2:]).swapaxes(1, 2)
        return self.backend.xp.ascontiguousarray(groups.reshape(self.group * C, O, *w.shape[2:]))

    def backward_weight(self, x, dy, dw, db):
        super().backward_weight(x, dy, None, db)
        if dw is None:
            return
        xp, window = self.backend.xp, self.window
        C, O = x.shape[1] // self.group, dy.shape[1] // self.group
        # dy as filters at distances of the stride: the same as dy with zeros inserted
        across = Window(dy.shape[2:], window.dilation, window.pad, window.stride)
        size = x.shape[2:] if across.is_pointwise else window.kernel  # it may see more than taps
        met, kernel = xp.zeros((C, O, *size), x.dtype), tuple(slice(k) for k in window.kernel)
        for g in range(self.group):
            images = xp.ascontiguousarray(x[:, g * C:(g + 1) * C].swapaxes(0, 1))
            filters = xp.ascontiguousarray(dy[:, g * O:(g + 1) * O].swapaxes(0, 1))
            self.backend.conv_forward(images, filters, None, met, across, 1)
            dw[g * O:(g + 1) * O] += met.swapaxes(0, 1)[(..., *kernel)]

    def algorithms(self, x_shape, w_shape):
        return super().algorithms(x_shape, w_shape)[0], "transposed", "transposed"


ENGINES = {"IM2COL": Im2col, "DIRECT": Direct, "TRANSPOSED": Transposed, "WINOGRAD": Winograd,
           **dict.fromkeys(("DEFAULT", "CAFFE", "CUDNN"), Chosen)}
