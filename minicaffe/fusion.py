"""Groups of neighbouring layers that run as one, in fewer passes over their blobs.

The layers behind a group's first work in place on its top.  A group leaves in every blob, and in
every parameter's diff, what its layers would leave there one by one, up to rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .backend.base import leaky
from .blob import Blob
from .layers.batch_norm import BatchNorm, normalized
from .layers.buffered import with_input
from .layers.convolution import Convolution
from .layers.eltwise import FEW, SUM, Eltwise, multiples, weighted_sum
from .layers.inner_product import InnerProduct
from .layers.relu import ReLU, leaky_backward
from .layers.scale import Scale, multiply_add

if TYPE_CHECKING:
    from .plan import Step


class Group:
    """Layers that follow each other and can run as one.

    What a pass of single layers would have saved for backward a group may leave out.  ``unfold``
    makes good for that before one of its layers runs by itself.

    Attributes:
        steps: its layers with their blobs, in order.  first, last: their places in the net.
        index: its place in the net, that of its first layer.
        folded: whether the last forward pass ran it as one.
    """

    def __init__(self, steps: Sequence[Step]):
        self.steps = list(steps)
        self.index = self.first = steps[0].index
        self.last = steps[-1].index
        self.folded = False
        self.backend = steps[0].layer.backend
        self.bottom, self.top = steps[0].bottom, steps[0].top

    @classmethod
    def takes(cls, steps: Sequence[Step]) -> bool:
        """Whether these layers, all but the first in place, make such a group."""
        raise NotImplementedError

    def forward(self) -> None:
        """Run all layers forward."""
        for step in self.steps:
            step.reshape()
        self.folded = True
        self.run_forward()

    def backward(self) -> None:
        """Run all layers backward; as one only after such a forward pass."""
        if self.folded and self.steps[-1].backward_needed:
            self.run_backward()
        else:
            self.run_layers_backward()

    def unfold(self) -> None:
        """Let the layers run by themselves from here on."""
        if self.folded:
            self.folded = False
            self.save_for_layers()

    def run_forward(self) -> None:
        """The forward pass, as one."""
        raise NotImplementedError

    def run_backward(self) -> None:
        """The backward pass after ``run_forward``, as one."""
        self.run_layers_backward()

    def run_layers_backward(self) -> None:
        """The backward passes of the layers, one by one."""
        for step in reversed(self.steps):
            step.backward()

    def save_for_layers(self) -> None:
        """After ``run_forward``: save what the layers' own backward passes need."""


class ConvolutionReLU(Group):
    """A ReLU in the epilogue of a convolution; backward each runs by itself."""

    @classmethod
    def takes(cls, steps):
        return steps[0].layer.takes_epilogue and _types(steps[1:]) == (ReLU,)

    def run_forward(self):
        convolution, relu = (step.layer for step in self.steps)
        convolution.forward(self.bottom, self.top, slope=relu.slope)


class SumReLU(Group):
    """A weighted sum of blobs, and its ReLU.

    ``y = relu(sum over k of c_k * x_k)``
    ``dz = dy if y > 0 else slope * dy``;  ``dx_k = c_k * dz``, and dz takes the place of dy
    """

    def __init__(self, steps):
        super().__init__(steps)
        self.add, self.relu = (step.layer for step in steps)
        self.add.backward_reads = ("top",)  # which ReLU reads, while its diffs are written

    @classmethod
    def takes(cls, steps):
        return (_types(steps) == (Eltwise, ReLU) and steps[0].layer.operation == SUM
                and len(steps[0].bottom) <= FEW and _gradients_pass(steps))

    def run_forward(self):
        self.backend.map(_rectified(weighted_sum(len(self.bottom))), self.top[0].data,
                         self.relu.slope, *self.add.terms(self.bottom))

    def run_backward(self):
        (y,), dy = self.top, self.top[0].diff
        diffs, coeff = self.add.shares(self.steps[0].propagate_down, self.bottom)
        place = y.memory("diff").array  # where one of the others may live, if nobody can look
        if all(x.memory("diff").array is not place for x in self.bottom):
            diffs, coeff = (dy, *diffs), (1, *coeff)
        self.backend.map(_masked(multiples(len(diffs))), diffs if len(diffs) > 1 else diffs[0],
                         y.data, dy, self.relu.slope, *coeff)


# ---------------------------------------------------------------------------------- normalization

def activated(x, mean, factor, w, b, slope):
    """y."""
    return leaky(multiply_add(normalized(x, mean, factor), w, b), slope)


def activated_and_normalized(x, mean, factor, w, b, slope):
    """y and xhat."""
    xhat = normalized(x, mean, factor)
    return leaky(multiply_add(xhat, w, b), slope), xhat


def masked_and_normalized(dy, x, mean, factor, w, b, slope):
    """dz and xhat."""
    xhat = normalized(x, mean, factor)
    return leaky_backward(multiply_add(xhat, w, b), dy, slope), xhat


def gradients(dy, *inputs):
    """What dw and db sum up: ``dz * xhat`` and dz."""
    dz, xhat = masked_and_normalized(dy, *inputs)
    return dz * xhat, dz


def input_gradient(gain, mean_dz_xhat, mean_dz, *inputs):
    """``gain * (dz - mean_dz - xhat * mean_dz_xhat)``: dx."""
    dz, xhat = masked_and_normalized(*inputs)
    return gain * (dz - mean_dz - xhat * mean_dz_xhat)


def input_gradient_and_seam(gain, mean_dz_xhat, mean_dz, dy, x, mean, factor, w, b, slope):
    """dx, and ``w * dz``: what Scale leaves in the blob behind BatchNorm."""
    dz, xhat = masked_and_normalized(dy, x, mean, factor, w, b, slope)
    return gain * (dz - mean_dz - xhat * mean_dz_xhat), w * dz


class Normalization(Group):
    """BatchNorm, and behind it Scale, ReLU or both.  Channel by channel::

        xhat = (x - mean) * factor      with factor = 1 / sqrt(variance + eps)
        z = w * xhat + b
        y = z if z > 0 else slope * z

        dz = dy if z > 0 else slope * dy
        dw += sum of dz * xhat          db += sum of dz
        dx = w * factor * (dz - mean of dz - xhat * mean of dz * xhat)

    Statistics that are not the batch's do not depend on x:  ``dx = w * factor * dz``.
    Without Scale w is 1 and b is 0; without ReLU the slope is 1.

    Backward computes xhat and z again, from BatchNorm's x: in place it has a copy, and Scale needs
    none.  With statistics that are not the batch's there is Scale's copy of xhat instead.
    A convolution or inner product before a BatchNorm in place belongs to the group: what it makes
    is that copy, which nobody has to make then.
    """

    @classmethod
    def takes(cls, steps):
        if type(steps[0].layer) in (Convolution, InnerProduct):
            steps = steps[1:]
        types = _types(steps)
        return (types in ((BatchNorm, Scale, ReLU), (BatchNorm, Scale), (BatchNorm, ReLU))
                and (Scale not in types or _is_of_channels(steps[1].layer))
                and _gradients_pass(steps))

    def __init__(self, steps):
        super().__init__(steps)
        layers = {type(step.layer): step.layer for step in steps}
        self.norm, self.scale = layers[BatchNorm], layers.get(Scale)
        self.slope = layers[ReLU].slope if ReLU in layers else 1
        self.maker = steps[0] if steps[0].layer is not self.norm else None
        if self.maker is not None:
            self.bottom = self.top
            self._made = Blob(self.backend, self.norm.dtype)

    def run_forward(self):
        norm, scale, x, y = self.norm, self.scale, self._make_input(), self.top[0]
        norm.find_statistics(x)
        formula, out = activated, y.data
        if norm.uses_blobs and scale is not None and scale.saved is not None:
            formula, out = activated_and_normalized, (y.data, scale.saved)
        elif norm.saved is not None and x is y:
            formula, out = with_input(activated), (y.data, norm.saved)
        self.backend.map(formula, out, x.data, norm.mean, norm.factor, *self._affine())

    def _make_input(self) -> Blob:
        """x, which the layer before writes into BatchNorm's copy, where there is one."""
        x = self.bottom[0]
        if self.maker is not None:
            if self.norm.saved is not None:
                x = self._made
                x.reshape_like(self.bottom[0])
                x.memory("data").place(self.norm.saved.reshape(-1))
            self.maker.layer.forward(self.maker.bottom, [x])
        return x

    def _affine(self) -> tuple:
        """w, b and the slope."""
        w, b = (1, 0) if self.scale is None else self.scale.operands(self.bottom)
        return w, b, self.slope

    def save_for_layers(self):
        norm, scale = self.norm, self.scale
        if norm.uses_blobs or scale is None or scale.saved is None:
            return
        x = norm.input(self.bottom)
        if x.shape == scale.saved.shape:  # if not, it was given another after that pass
            self.backend.map(normalized, scale.saved, x, norm.mean, norm.factor)

    def run_backward(self):
        norm, (x,), (y,) = self.norm, self.bottom, self.top
        if norm.uses_blobs and self.scale is None:
            return self.run_layers_backward()  # for which forward has saved all
        source = (self.scale.saved, 0, 1) if norm.uses_blobs else (
            norm.input(self.bottom), norm.mean, norm.factor)
        w, b, slope = self._affine()
        inputs = y.diff, *source, w, b, slope
        gain, means = w * norm.factor, self._add_gradients(inputs)
        if x is y:
            self.backend.map(input_gradient, x.diff, gain, *means, *inputs)
        else:
            self.backend.map(input_gradient_and_seam, (x.diff, y.diff), gain, *means, *inputs)
        if self.maker is not None:
            self.maker.backward()

    def _add_gradients(self, inputs: tuple) -> tuple:
        """Add to dw and db.  Returns the means of dz * xhat and of dz, as far as they count."""
        norm, sums = self.norm, (self.norm.first, self.norm.second)
        if norm.uses_blobs and not any(self.scale.param_propagate_down):
            return 0, 0
        self.backend.sums(gradients, sums, *inputs)
        if self.scale is not None:
            self.scale.add_sums(*sums)
        if norm.uses_blobs:
            return 0, 0
        for mean in sums:
            mean /= max(1, inputs[0].size // norm.channels)
        return sums


# ------------------------------------------------------------------------------- which layers fit

KINDS = (Normalization, SumReLU, ConvolutionReLU)


def groups(steps: Sequence[Step]) -> list[Group]:
    """The groups among the layers of a net, each as long as can be; no layer is in two.

    A backend says in ``fuses`` which types of layers it computes within the one before.
    """
    found: list[Group] = []
    for step in steps:
        if not found or step.index > found[-1].last:
            group = _beginning_at(step, steps)
            if group is not None:
                found.append(group)
    return found


def _beginning_at(step: Step, steps: Sequence[Step]) -> Group | None:
    """The longest group that begins with this one of the steps."""
    behind = 0
    for following in steps[step.index + 1:]:
        if (following.layer.type not in step.layer.backend.fuses
                or not following.bottom == step.top == following.top):
            break
        behind += 1
    for length in range(1 + behind, 1, -1):
        members = steps[step.index:step.index + length]
        for kind in KINDS:
            if kind.takes(members):
                return kind(members)
    return None


def _types(steps: Sequence[Step]) -> tuple[type, ...]:
    """The classes of the layers; a class derived from one of ours may compute something else."""
    return tuple(type(step.layer) for step in steps)


def _is_of_channels(scale: Scale) -> bool:
    """Whether it has one number for each channel, as BatchNorm has."""
    return (scale.param.scale_param.axis, scale.param.scale_param.num_axes) == (1, 1)


def _gradients_pass(steps: Sequence[Step]) -> bool:
    """Whether the gradient passes through all layers, or through none."""
    return (all(any(step.propagate_down) for step in steps)
            or not any(step.backward_needed for step in steps))


@functools.cache
def _rectified(formula: Callable) -> Callable:
    """The formula's value, after a ReLU whose slope is the first input."""
    return lambda slope, *inputs: leaky(formula(*inputs), slope)


@functools.cache
def _masked(formula: Callable) -> Callable:
    """The formula of dz and further inputs, with ``dz = dy if y > 0 else slope * dy``."""
    return lambda y, dy, slope, *inputs: formula(leaky_backward(y, dy, slope), *inputs)
