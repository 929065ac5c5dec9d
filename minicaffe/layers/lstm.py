"""LSTM: long short-term memory, for sequences."""

from __future__ import annotations

from .recurrent import _Recurrent


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
    first step, and none comes from the last states, as in Caffe.  Nor are the last states weights:
    no snapshot holds them, and what is read from one begins with zeros; a training that is resumed
    goes on exactly where every pass begins its sequences anew, with a cont of 0 at its first step.

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
        self.tanh_c = self.buffer((self.T, self.N, self.H))

    def forward(self, bottom, top):
        self.begin(bottom)
        self.backend.lstm_forward(self.z, self.offset, self.weights[-1].data, self.cont,
                                  *self.states, self.tanh_c, top[0].data)
        self.expose(top)

    def backward(self, top, propagate_down, bottom):
        _, c = self.states
        self.backend.lstm_backward(top[0].diff, self.z, self.weights[-1].data, self.cont, c,
                                   self.tanh_c, self.dz)
        self.finish(propagate_down, bottom)
