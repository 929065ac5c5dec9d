"""LSTM: long short-term memory, for sequences."""

from __future__ import annotations

from ..elementwise import tanh
from .recurrent import _Recurrent
from .sigmoid import sigmoid, sigmoid_backward
from .tanh import tanh_backward


def step(i, f, o, g, c, cont):
    """The gates of one step, tanh(c), and what the next step, with its cont, gets of c and h."""
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), tanh(g)
    c = f * c + i * g
    tanh_c = tanh(c)
    return i, f, o, g, tanh_c, cont * c, cont * (o * tanh_c)


def step_backward(i, f, o, g, tanh_c, c, cont, dy, dh, dc):
    """The gradients of z and of c.

    c is what the step took up; cont, dh and dc are the next step's, dh and dc those of what it
    took up.
    """
    dh = dy + cont * dh
    dc = tanh_backward(tanh_c, o * dh) + cont * dc
    return (sigmoid_backward(i, g * dc), sigmoid_backward(f, c * dc),
            sigmoid_backward(o, tanh_c * dh), tanh_backward(g, i * dc), f * dc)


class LSTM(_Recurrent):
    """Sequences go through a memory of H cells, step by step; gates say what it takes and gives.

    ``z = W_x @ x_t + W_s @ s + b + W_h @ (cont_t * h_t-1)``, the rows of i, f, o and g in turn;
    ``i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)``;  ``g = tanh(z_g)``;
    ``c_t = f * cont_t * c_t-1 + i * g``;  ``h_t = o * tanh(c_t)``

    backward, from the last step to the first:
    ``dh_t = dy_t + cont_t+1 * W_h.T @ dz_t+1``;
    ``dc_t = dh_t * o * (1 - tanh(c_t)^2) + cont_t+1 * f_t+1 * dc_t+1``;
    ``dz_i = dc_t * g * i * (1 - i)``;  ``dz_f = dc_t * cont_t * c_t-1 * f * (1 - f)``;
    ``dz_o = dh_t * tanh(c_t) * o * (1 - o)``;  ``dz_g = dc_t * i * (1 - g^2)``;
    ``dW_x += sum over t of dz @ x_t.T``, and so the others;  ``dx_t = W_x.T @ dz``

    The first step takes up the states h and c that the last pass left, zeros at first, or those of
    bottoms.  A cont of 0, where a sequence begins, forgets them.  No gradient goes back beyond the
    first step, and none comes from the last states, as in Caffe.

    Bottom: x (T, N, ...): T steps of N sequences; cont (T, N): 0 where a sequence begins, else 1;
    optionally s (N, ...), the same for all steps; with expose_hidden h_0 and c_0 (1, N, H).
    Top: y = h (T, N, H); with expose_hidden h_T and c_T (1, N, H).
    Params: num_output (H), weight_filler, bias_filler, expose_hidden (false); debug_info, which
    changes nothing.
    Blobs: W_x (4 H, I), b (4 H,), W_s (4 H, I_s) if there is an s, W_h (4 H, H).
    Source: Hochreiter and Schmidhuber (1997); the gate f: Gers, Schmidhuber and Cummins (2000).
    """

    bottoms, tops = (2, 5), (1, 3)
    backward_reads = ("bottom",)
    gates, hidden = 4, 2

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        self.tanh_c = self.buffer((self.T, self.H, self.N))
        self.dc = self.backward_buffer((self.H, self.N))

    def forward(self, bottom, top):
        self.begin(bottom)
        h, c = self.states
        for t in range(self.T):
            gates = tuple(self.weighted(t))
            self.backend.map(step, (*gates, self.tanh_c[t], c[t + 1], h[t + 1]),
                             *gates, c[t], self.cont[t + 1])
        o, y = self.z[:, 2], top[0].data.transpose(0, 2, 1)
        self.xp.multiply(o, self.tanh_c, out=y)
        self.expose(top)

    def backward(self, top, propagate_down, bottom):
        _, c = self.states
        self.begin_back(top)
        self.dc[...] = 0
        for t in reversed(range(self.T)):
            self.backend.map(step_backward, (*self.dz, self.dc), *self.z[t], self.tanh_c[t], c[t],
                             self.cont[t + 1], self.dy[t], self.dh_after(t), self.dc)
            self.go_back(t, propagate_down)
        self.finish(propagate_down, bottom)
