"""BatchNorm, and what follows it, as one."""

from __future__ import annotations

from ...blob import Blob
from ...elementwise import leaky, multiply
from ...layer import TEST
from ...layers.batch_norm import BatchNorm, normalized, statistics
from ...layers.buffered import with_input
from ...layers.convolution import Convolution
from ...layers.inner_product import InnerProduct
from ...layers.relu import ReLU, leaky_backward
from ...layers.scale import Scale, multiply_add
from ..step import Step
from .group import Group, gradients_pass, types_of


def activated(x, mean, factor, w, b, slope):
    """``leaky(w * xhat + b)``: y."""
    return leaky(multiply_add(normalized(x, mean, factor), w, b), slope)


def effect(mean, variance, weight, eps, w, b, start):
    """What BatchNorm and Scale do to a channel, as one factor and one summand.

    mean, variance, weight: as ``statistics`` takes them.  start: what is added to the channel
    before.
    """
    mean, factor = statistics(mean, variance, weight, eps)
    return w * factor, b + (start - mean) * (w * factor)


def scaled(x, factor, summand, slope):
    """``leaky(factor * x + summand)``: y, with the numbers of ``effect``."""
    return leaky(multiply_add(x, factor, summand), slope)


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
    is that copy, which nobody has to make then.  In TEST, a convolution may take over all of it:
    with ``W * factor`` for its weights it makes y at once, as long as no one asks for gradients.
    """

    @classmethod
    def takes(cls, steps):
        if type(steps[0].layer) in (Convolution, InnerProduct):
            steps = steps[1:]
        types = types_of(steps)
        return (types in ((BatchNorm, Scale, ReLU), (BatchNorm, Scale), (BatchNorm, ReLU))
                and (Scale not in types or _is_of_channels(steps[1].layer))
                and gradients_pass(steps))

    def __init__(self, steps):
        super().__init__(steps)
        layers = {type(step.layer): step.layer for step in steps}
        self.norm, self.scale = layers[BatchNorm], layers.get(Scale)
        self.slope = layers[ReLU].slope if ReLU in layers else 1
        self.maker = steps[0] if steps[0].layer is not self.norm else None
        if self.maker is not None:
            self.bottom = self.top
            self._made, self._made_in = Blob(self.backend, self.norm.dtype), None
        self._scaled = None
        if (self.norm.uses_blobs and self.norm.phase == TEST and self.maker is not None
                and type(self.maker.layer) is Convolution and self.maker.layer.channel == 1):
            self._scaled = ScaledConvolution(self.maker, self.norm)

    def run_forward(self):
        if self._scaled is not None:
            self._scaled.forward(self.top, *self._affine())
        else:
            self._run_layers()

    def _run_layers(self) -> None:
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
                if self._made_in is not self.norm.saved:
                    self._made_in = self.norm.saved
                    x.memory("data").place(self._made_in.reshape(-1))
            self.maker.layer.forward(self.maker.bottom, [x])
        return x

    def _affine(self) -> tuple:
        """w, b and the slope."""
        w, b = (1, 0) if self.scale is None else self.scale.operands(self.bottom)
        return w, b, self.slope

    def save_for_layers(self):
        norm, scale = self.norm, self.scale
        if self._scaled is not None and self._scaled.is_current:
            y = self.top[0].data
            result = y.copy()  # layers behind may have worked on it
            self._run_layers()
            y[...] = result
        if norm.uses_blobs or scale is None or scale.saved is None:
            return
        x = norm.input(self.bottom)
        if x.shape == scale.saved.shape:  # if not, it was given another after that pass
            self.backend.map(normalized, scale.saved, x, norm.mean, norm.factor)

    def backward(self):
        if self._scaled is not None and self.steps[-1].backward_needed:
            self.unfold()
        super().backward()

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
            mean /= max(1, inputs[0].size // max(1, norm.channels))
        return sums


class ScaledConvolution:
    """A convolution that does the work of the BatchNorm in TEST, and of what is behind it, as well.

    ``y = (W * factor) @ col + summand``, then a ReLU; or, where y has fewer elements than W,
    ``y = factor * (W @ col) + summand``.
    """

    def __init__(self, maker: Step, norm: BatchNorm):
        self.bottom, self.layer, self.norm = maker.bottom, maker.layer, norm
        self.factor, self.summand = (norm.buffer((norm.channels,)) for _ in range(2))
        self.weights = norm.buffer(self.layer.weight.shape)
        self._shape: tuple[int, ...] | None = None

    @property
    def is_current(self) -> bool:
        """Whether the bottom has still the shape that it had in the last pass."""
        return self._shape == self.bottom[0].shape

    def forward(self, top: list[Blob], w, b, slope: float) -> None:
        """From Scale's w and b and ReLU's slope."""
        layer, run, y = self.layer, self.norm.backend.map, top[0]
        self._shape = self.bottom[0].shape
        start = 0 if layer.bias is None else layer.bias.data
        run(effect, (self.factor, self.summand), *(blob.data for blob in self.norm.parameters),
            self.norm.param.batch_norm_param.eps, *(_flat(value) for value in (w, b)), start)
        if layer.weight.count < y.count:
            along = -1, *(1,) * (self.weights.ndim - 1)
            run(multiply, self.weights, layer.weight.data, self.factor.reshape(along))
            layer.compute(self.bottom, top, self.weights, self.summand, slope)
        else:
            layer.compute(self.bottom, top, layer.weight.data, None)
            run(scaled, y.data, y.data, *(value.reshape(self.norm.along)
                                          for value in (self.factor, self.summand)), slope)


def _flat(value):
    """An array as a flat one; a number as it is."""
    return value if isinstance(value, int) else value.reshape(-1)


def _is_of_channels(scale: Scale) -> bool:
    """Whether it has one number for each channel, as BatchNorm has."""
    return (scale.param.scale_param.axis, scale.param.scale_param.num_axes) == (1, 1)
