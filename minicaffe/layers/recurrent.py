"""What recurrent layers share: bottoms and tops, weights, states, and the products of matrices.

What does not wait for another step is one product for all of them: ``W_x @ x`` before the first,
and the gradients of weights and inputs after the last.
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

    What a layer finds and leaves: ``z`` and its gradient ``dz`` (T, N, gates, H); ``offset``
    (N or 1, gates, H), which is W_s @ s + b; ``states``, h first: each (T + 1, N, H), in which t
    holds what step t takes up, and T what the last step left; ``cont`` (T + 1, N), whose last is 1.

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
        self.expect(sizes[0] > 0, "a first bottom of 1 or more numbers a step and sequence", x)
        if self.first_state > 2:
            s = bottom[2].shape
            self.expect(s[:1] == x[1:2], f"a static bottom for {x[1]} sequences", s,
                        "its first axis counts them.")
            sizes.append(math.prod(s[1:]))
            self.expect(sizes[1] > 0, "a static bottom of 1 or more numbers a sequence", s)
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
        self._make_buffers()

    def _make_buffers(self) -> None:
        T, N, H, before = self.T, self.N, self.H, self.states
        z = T, N, self.gates, H
        self.z, self.dz = self.buffer(z), self.backward_buffer(z)
        static = self.first_state > 2
        self.offset = self.buffer((N if static else 1, self.gates, H))  # b + W_s @ s
        self.cont = self.buffer((T + 1, N))
        self.cont[T] = 1
        self.states = [self.buffer((T + 1, N, H)) for _ in range(self.hidden)]
        if before and before[0].shape[1:] == (N, H):  # the sequences go on in longer pieces
            for state, old in zip(self.states, before):
                state[T] = old[-1]

    def multiply_adds(self, bottom, top):
        W_x, _, *W_s, W_h = self.weights
        return self.N * (self.T * (W_x.count + W_h.count) + sum(blob.count for blob in W_s))

    def begin(self, bottom: list[Blob]) -> None:
        """Take up cont, the states that the last pass left, or those of bottoms, and the inputs:
        ``z_t = W_x @ x_t``."""
        W_x, b, *W_s, _ = self.weights
        rows, inputs = W_x.shape
        matmul = self.backend.matmul
        steps, offset = self.T * self.N, self.offset.reshape(len(self.offset), rows)
        matmul(bottom[0].data.reshape(steps, inputs), W_x.data.T, self.z.reshape(steps, rows))
        offset[...] = b.data
        for blob in W_s:
            s = bottom[2].data.reshape(self.N, blob.shape[1])
            matmul(s, blob.data.T, offset, accumulate=True)
        self.cont[:self.T] = bottom[1].data
        for i, state in enumerate(self.states):
            before = bottom[self.first_state + i].data[0] if self.exposed else state[self.T]
            self.xp.multiply(self.cont[0, :, None], before, out=state[0])

    def expose(self, top: list[Blob]) -> None:
        """Write the states that the last step left, if they are asked for."""
        for blob, state in zip(top[1:], self.states):
            blob.data[0] = state[self.T]

    def finish(self, propagate_down: Sequence[bool], bottom: list[Blob]) -> None:
        """The gradients of weights and bottoms, from the dz of all steps."""
        W_x, b, *W_s, W_h = self.weights
        learns, x = self.param_propagate_down, bottom[0]
        steps = self.T * self.N
        dz = self.dz.reshape(steps, b.count)
        if learns[0]:
            self._add_gradient(W_x, dz, x.data)
        if learns[1]:
            self.backend.sums(positive, b.diff.reshape(1, -1), dz, accumulate=True)
        if W_s and (learns[2] or propagate_down[2]):
            self._finish_static(W_s[0], learns[2], propagate_down[2], bottom[2])
        if learns[-1]:
            self._add_gradient(W_h, dz, self.states[0][:self.T])
        if propagate_down[0]:
            self.backend.matmul(dz, W_x.data, x.diff.reshape(steps, W_x.shape[1]))

    def _finish_static(self, W_s: Blob, learns: bool, propagate_down: bool, s: Blob) -> None:
        dz = self.dz.sum(axis=0).reshape(self.N, W_s.shape[0])
        if learns:
            self._add_gradient(W_s, dz, s.data)
        if propagate_down:
            self.backend.matmul(dz, W_s.data, s.diff.reshape(self.N, W_s.shape[1]))

    def _add_gradient(self, W: Blob, dz, inputs) -> None:
        """``dW += dz.T @ inputs``."""
        dW, adds = W.diff_to_add_to()
        self.backend.matmul(dz.T, inputs.reshape(len(dz), W.shape[1]), dW, accumulate=adds)
