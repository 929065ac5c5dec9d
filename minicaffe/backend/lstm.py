"""LSTM in plain array code: the formulas of one cell's step, and the two passes; the reference.

Arrays are laid out as the blobs are: step by step, sequence by sequence.
"""

from __future__ import annotations

from ..elementwise import sigmoid, tanh

GATES = 4  # i, f, o, g


def step(i, f, o, g, c, cont):
    """The gates of one step, tanh(c), h, and what the next step, with its cont, gets of c and h."""
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), tanh(g)
    c = f * c + i * g
    tanh_c = tanh(c)
    h = o * tanh_c
    return i, f, o, g, tanh_c, h, cont * c, cont * h


def step_backward(i, f, o, g, tanh_c, c, cont, dy, dh, dc):
    """The gradients of z and of c.

    c is what the step took up; cont, dh and dc are the next step's, dh and dc those of what it
    took up.
    """
    dh = dy + cont * dh
    dc = (1 - tanh_c) * (1 + tanh_c) * o * dh + cont * dc  # right near tanh_c = 1 too
    return (g * dc * i * (1 - i), c * dc * f * (1 - f), tanh_c * dh * o * (1 - o),
            i * dc * (1 - g) * (1 + g), f * dc)


def forward(backend, z, offset, w, cont, h, c, tanh_c, y) -> None:
    """From the first step to the last."""
    for t, z_t in enumerate(z):
        backend.matmul(h[t], w.T, z_t.reshape(len(h[t]), len(w)), accumulate=True)
        z_t += offset
        gates = _gates(z_t)
        backend.map(step, (*gates, tanh_c[t], y[t], c[t + 1], h[t + 1]),
                    *gates, c[t], cont[t + 1][:, None])


def backward(backend, dy, z, w, cont, c, tanh_c, dz) -> None:
    """From the last step to the first."""
    dh, dc = (backend.zeros(dy.shape[1:], dy.dtype) for _ in range(2))
    for t in reversed(range(len(z))):
        backend.map(step_backward, (*_gates(dz[t]), dc), *_gates(z[t]), tanh_c[t], c[t],
                    cont[t + 1][:, None], dy[t], dh, dc)
        backend.matmul(dz[t].reshape(len(dh), len(w)), w, dh)


def _gates(z) -> tuple:
    """Those of one step, (N, H) each."""
    return tuple(z[:, gate] for gate in range(GATES))
