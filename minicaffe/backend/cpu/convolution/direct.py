"""Convolution from its definition, over two spatial axes, compiled as it stands in the books.

Each is one sum over seven indices: image n, output channel o, output pixel (i, j), input channel
c and tap (p, q).  The input pixel that they meet is (r, s) = (i, j) * stride + (p, q) * dilation
- pad, where it exists.  C and O are those of one group; ``g * C + c`` is the channel of the whole.
"""

from __future__ import annotations

import numpy

from ..runtime.parallel import parallel


@parallel
def forward(part, parts, x, w, b, y, stride, pad, dilation, group):
    """``y[n, o, i, j] = b[o] + sum over c, p, q of w[o, c, p, q] * x[n, c, r, s]``."""
    O, C = w.shape[0] // group, w.shape[1]
    for unit in range(part, x.shape[0] * w.shape[0], parts):
        n, o = unit // w.shape[0], unit % w.shape[0]
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                total = b[o]
                for c in range(C):
                    for p in range(w.shape[2]):
                        for q in range(w.shape[3]):
                            r = i * stride[0] + p * dilation[0] - pad[0]
                            s = j * stride[1] + q * dilation[1] - pad[1]
                            if 0 <= r < x.shape[2] and 0 <= s < x.shape[3]:
                                total += w[o, c, p, q] * x[n, o // O * C + c, r, s]
                y[n, o, i, j] = total


@parallel
def backward_weight(part, parts, x, dy, dw, stride, pad, dilation, group):
    """``dw[o, c, p, q] += sum over n, i, j of dy[n, o, i, j] * x[n, c, r, s]``."""
    O, C = dw.shape[0] // group, dw.shape[1]
    for o in range(part, dw.shape[0], parts):
        for c in range(C):
            for p in range(dw.shape[2]):
                for q in range(dw.shape[3]):
                    total = numpy.float32(0)
                    for n in range(x.shape[0]):
                        for i in range(dy.shape[2]):
                            for j in range(dy.shape[3]):
                                r = i * stride[0] + p * dilation[0] - pad[0]
                                s = j * stride[1] + q * dilation[1] - pad[1]
                                if 0 <= r < x.shape[2] and 0 <= s < x.shape[3]:
                                    total += dy[n, o, i, j] * x[n, o // O * C + c, r, s]
                    dw[o, c, p, q] += total


@parallel
def backward_data(part, parts, dy, w, dx, stride, pad, dilation, group):
    """``dx[n, c, r, s] = sum over o, i, j, p, q of w[o, c, p, q] * dy[n, o, i, j]``."""
    O, C = w.shape[0] // group, w.shape[1]
    for unit in range(part, dx.shape[0] * dx.shape[1], parts):
        n, channel = unit // dx.shape[1], unit % dx.shape[1]
        g, c = channel // C, channel % C
        dx[n, channel] = 0
        for o in range(g * O, (g + 1) * O):
            for i in range(dy.shape[2]):
                for j in range(dy.shape[3]):
                    for p in range(w.shape[2]):
                        for q in range(w.shape[3]):
                            r = i * stride[0] + p * dilation[0] - pad[0]
                            s = j * stride[1] + q * dilation[1] - pad[1]
                            if 0 <= r < dx.shape[2] and 0 <= s < dx.shape[3]:
                                dx[n, channel, r, s] += w[o, c, p, q] * dy[n, o, i, j]
