"""What recurrent layers share: bottoms and tops, weights, states, and the products of matrices.

Inside, the sequences are the last axis: ``(T, channels, N)``.  Then one gate of one step is one
block of memory, as ``map`` wants it, and a step's sums are one product, ``W @ [x_t; h_t-1]``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..blob import Blob
from ..elementwise import positive
from ..errors import ParameterError
from .buffered import _Buffered


class _Recurrent(_Buffered):
    """A layer that goes through sequences step by step; a step takes up the states of the last.

    ``z_t = W_x @ x_t + W_s @ s + b + W_h @ (cont_t * h_t-1)`` for each sequence.  A layer computes
    from z_t, and from its other states times cont_t, those of step t.

    What others may read of the passes: ``z`` (T, gates, H, N), ``states``, h first: each
    (T + 1, H, N), in which t holds what step t takes up, and T what the last step left;
    ``cont`` (T + 1, H, N), whose last is 1.

    Class attributes: gates: how many numbers z has for each of h.  hidden: how many states.
    """

    gates = 1
    hidden = 1

    def __init__(self, param, *args, **context):
        super().__init__(param, *args, **context)
        self.exposed = self.hidden if param.recurrent_param.expose_hidden else 0
        self.bottoms, self.tops = (2 + self.exposed, 3 + self.exposed), 1 + self.exposed
        self.first_state = len(param.bottom) - self.exposed
        self.no_gradient = (1, *range(self.first_state, len(param.bottom)))
        self.states: list = []

    def setup(self, bottom, top):
        param = self.param.recurrent_param
        self.H = param.num_output
        if self.H < 1:
            raise ParameterError(self.where, "num_output of 1 or more", self.H)
        rows = self.gates * self.H
        x, *static = self._inputs(bottom)
        self.weights = [self.add_blob((rows, x), param.weight_filler),
                        self.add_blob((rows,), param.bias_filler)]
        self.weights += [self.add_blob((rows, size), param.weight_filler) for size in static]
        self.weights.append(self.add_blob((rows, self.H), param.weight_filler))

    def _inputs(self, bottom: list[Blob]) -> list[int]:
        """How many numbers x has for each step and sequence, and s for each sequence."""
        x = bottom[0].shape
        self.expect(len(x) > 1, "a first bottom of 2 or more axes", x,
                    "the first axis counts the steps, the second the sequences.")
        sizes = [math.prod(x[2:])]
        if self.first_state > 2:
            s = bottom[2].shape
            self.expect(s[:1] == x[1:2], f"a static bottom for {x[1]} sequences", s,
                        "its first axis counts them.")
            sizes.append(math.prod(s[1:]))
        return sizes

    def reshape(self, bottom, top):
        wanted = [blob.shape[1] for blob in self.weights[::2][:self.first_state - 1]]
        sizes = self._inputs(bottom)
        self.expect(sizes == wanted, f"{' and '.join(map(str, wanted))} inputs a step, as when its "
                    "weights were made", " and ".join(map(str, sizes)))
        self.T, self.N = bottom[0].shape[:2]
        self.expect(bottom[1].shape == (self.T, self.N), "a second bottom of shape "
                    f"({self.T}, {self.N})", bottom[1].shape, "0 where a sequence begins, else 1.")
        state = 1, self.N, self.H
        for blob in bottom[self.first_state:]:
            self.expect(blob.shape == state, f"states of shape {state}", blob.shape)
        top[0].reshape(self.T, self.N, self.H)
        for blob in top[1:]:
            blob.reshape(*state)
        self._make_buffers(sizes[0])

    def _make_buffers(self, inputs: int) -> None:
        T, N, H, rows = self.T, self.N, self.H, self.gates * self.H
        before = self.states
        self.W = self.buffer((rows, inputs + H))  # [W_x, W_h]
        self.W_T = self.backward_buffer((inputs + H, rows))  # read row by row it is read faster
        self.offset = self.buffer((rows, N))  # W_s @ s + b
        self.z = self.buffer((T, self.gates, H, N))
        self.cont = self.buffer((T + 1, H, N))
        self.cont[T] = 1
        self.joined = self.buffer((T + 1, inputs + H, N))  # [x_t; h_t-1]
        self.x = self.joined[:T, :inputs]
        self.states = [self.joined[:, inputs:]]
        self.states += [self.buffer((T + 1, H, N)) for _ in range(self.hidden - 1)]
        if before and before[0].shape[1:] == (H, N):  # the sequences go on in longer pieces
            for state, old in zip(self.states, before):
                state[T] = old[-1]
        self.dy = self.backward_buffer((T, H, N))
        self.dz = self.backward_buffer((self.gates, H, N))  # of one step
        self.all_dz = self.backward_buffer((rows, T, N))
        self.djoined = self.backward_buffer((T + 1, inputs + H, N))  # of T: zeros
        self.h_before = self.backward_buffer((T, N, H))
        self.doffset = self.backward_buffer((rows, N))

    def multiply_adds(self, bottom, top):
        W_x, _, *W_s, W_h = self.weights
        return self.N * (self.T * (W_x.count + W_h.count) + sum(blob.count for blob in W_s))

    # ---------------------------------------------------------------------------------- forward

    def begin(self, bottom: list[Blob]) -> None:
        """Take up x, the offset, and the states that the last pass left, or those of bottoms."""
        W_x, b, *W_s, W_h = (blob.data for blob in self.weights)
        inputs = W_x.shape[1]
        self.W[:, :inputs], self.W[:, inputs:] = W_x, W_h
        self.x[...] = bottom[0].data.reshape(self.T, self.N, inputs).transpose(0, 2, 1)
        self.cont[:self.T] = bottom[1].data[:, None]
        self.offset[...] = b[:, None]
        for w in W_s:
            s = bottom[2].data.reshape(self.N, w.shape[1])
            self.backend.matmul(w, s.T, self.offset, accumulate=True)
        self.z.reshape(self.T, *self.offset.shape)[...] = self.offset
        for i, state in enumerate(self.states):
            before = bottom[self.first_state + i].data[0].T if self.exposed else state[self.T]
            self.xp.multiply(self.cont[0], before, out=state[0])

    def weighted(self, t: int):
        """z_t, which needs the states of step t."""
        z = self.z[t]
        self.backend.matmul(self.W, self.joined[t], z.reshape(self.offset.shape), accumulate=True)
        return z

    def expose(self, top: list[Blob]) -> None:
        """Write the states that the last step left, if they are asked for."""
        for blob, state in zip(top[1:], self.states):
            blob.data[0] = state[self.T].T

    # --------------------------------------------------------------------------------- backward

    def begin_back(self, top: list[Blob]) -> None:
        """Take up the gradient of y, and the weights for the way back."""
        self.dy[...] = top[0].diff.transpose(0, 2, 1)
        self.W_T[...] = self.W.T

    def dh_after(self, t: int):
        """The gradient of cont_t+1 * h_t that step t + 1 made; 0 behind the last one."""
        return self.djoined[t + 1, -self.H:]

    def go_back(self, t: int, propagate_down: Sequence[bool]) -> None:
        """Keep what is in ``dz``, the gradient of z_t, and take it through the weights."""
        dz = self.dz.reshape(self.offset.shape)
        self.all_dz[:, t] = dz
        first = 0 if propagate_down[0] else -self.H  # without dx that of h alone
        self.backend.matmul(self.W_T[first:], dz, self.djoined[t, first:])

    def finish(self, propagate_down: Sequence[bool], bottom: list[Blob]) -> None:
        """The gradients of weights and bottoms, from the dz of all steps."""
        dW_x, db, *dW_s, dW_h = (blob.diff for blob in self.weights)
        learns = self.param_propagate_down
        places, matmul = self.T * self.N, self.backend.matmul
        dz = self.all_dz.reshape(len(self.W), places)
        if learns[0]:
            x = bottom[0].data.reshape(places, dW_x.shape[1])
            matmul(dz, x, dW_x, accumulate=True)
        if learns[1]:
            self.backend.sums(positive, db.reshape(-1, 1), dz, accumulate=True)
        if dW_s:
            self._finish_static(dW_s[0], propagate_down, bottom[2])
        if learns[-1]:
            self.h_before[...] = self.states[0][:self.T].transpose(0, 2, 1)
            matmul(dz, self.h_before.reshape(places, self.H), dW_h, accumulate=True)
        if propagate_down[0]:
            dx = self.djoined[:self.T, :-self.H].transpose(0, 2, 1)
            bottom[0].diff.reshape(dx.shape)[...] = dx

    def _finish_static(self, dW_s, propagate_down: Sequence[bool], bottom: Blob) -> None:
        shape = self.N, dW_s.shape[1]
        self.all_dz.sum(axis=1, out=self.doffset)
        if self.param_propagate_down[2]:
            s = bottom.data.reshape(shape)
            self.backend.matmul(self.doffset, s, dW_s, accumulate=True)
        if propagate_down[2]:
            ds = bottom.diff.reshape(shape)
            self.backend.matmul(self.doffset.T, self.weights[2].data, ds)
