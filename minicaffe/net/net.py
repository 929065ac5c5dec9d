"""Net: the layers in order, their blobs by name, and the passes over them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from os import PathLike

import numpy

from .. import randomness
from ..backend import get_backend
from ..blob import Blob
from ..caffe_name import missing
from ..data_layers import Source
from ..errors import ParameterError, ShapeError, expect_known, nearest
from ..layer import TEST, TRAIN
from ..proto import NetParameter, NetState
from .checks import refuse_gradient_to_labels
from .description import describe
from .memory_sharing import MemorySharing
from .plan import Plan
from .weights import WeightFiles
from .wiring import build


class Named(OrderedDict):
    """Things of a net by name; a name that is none gets a suggestion."""

    def __missing__(self, name: str):
        raise KeyError(f"'{name}'; {nearest(str(name), self) or 'known: ' + ', '.join(self)}")


class Net(WeightFiles):
    """A net that runs: ``net.forward()``, ``net.backward()``, ``net.blobs``, ``net.params``.

    Args:
        network_file: a prototxt, or the NetParameter (or NetSpec) itself.
        phase: TRAIN or TEST.
        level, stages: of the NetState, for layers with include and exclude rules.
        weights: a file to copy parameters from.
        keep: 'all', or the names of blobs whose numbers will be read; the others share memory.
            The net's inputs, outputs and losses are always kept.
        device: its name, such as 'cpu'; default: the one of ``set_device``.
        dtype: 'float32', or 'float64', on which gradients are checked.
        seed: of fillers and dropout; default: that of ``set_random_seed``, or else a fresh one.
        allow_python: False to refuse layers of type Python, which import and run code; default:
            ``Net.allow_python``, which is True.

    Attributes, beside pycaffe's:
        graph: its layers and blobs as they are wired.  plan: the steps that its passes run.
        device_blobs: its blobs by name, as arrays of the device.  learnable: its parameters.
        tick: the number of the next pass, which chooses samples and random numbers.

    One thread at a time may run a net.

    Errors: ParseError, NetError, ShapeError, ParameterError for a net that cannot be built.
    """

    allow_python = True

    def __init__(self, network_file: str | PathLike | NetParameter, phase: int | str | PathLike,
                 level: int = 0, stages: Sequence[str] | None = None,
                 weights: str | PathLike | int | None = None, *, keep: str | Sequence[str] = "all",
                 device: str | None = None, dtype: str = "float32", seed: int | None = None,
                 allow_python: bool | None = None):
        if isinstance(phase, str | PathLike):  # pycaffe's older order: Net(file, weights, phase)
            phase, weights = (level if weights is None else weights), phase
            level = 0
        word = weights if str(weights).upper() in ("TRAIN", "TEST") else None
        if phase not in (TRAIN, TEST) or word:
            raise ParameterError("Net", "a phase, caffe.TRAIN or caffe.TEST", repr(word or phase))
        if dtype not in ("float32", "float64", numpy.float32, numpy.float64):
            raise ParameterError("Net: dtype", "'float32' or 'float64'", repr(dtype))
        self.phase = phase
        self.backend = get_backend(device)
        self.dtype = numpy.dtype(dtype)
        self.seed = randomness.default_seed() if seed is None else int(seed)
        self.tick = 0
        self.source: Source | None = None
        self.weights_loaded = False
        self._hooks: dict[str, list[Callable]] = {name: [] for name in (
            "before_forward", "after_forward", "before_backward", "after_backward")}
        self.param = describe(
            network_file, NetState(phase=phase, level=level, stage=stages or []),
            self.allow_python if allow_python is None else allow_python)
        self.graph = build(self.param, phase, self.backend, self.dtype, self.seed)
        self.name = self.graph.name
        self.layers, self.device_blobs = self.graph.layers, self.graph.blobs
        self.inputs, self.outputs = self.graph.inputs, self.graph.outputs
        self.learnable, self.loss_weights = self.graph.learnable, self.graph.loss_weights
        self.plan = Plan(self.graph)
        self._sharing = MemorySharing(self.graph, self.plan, keep)
        self._prepared = [layer for layer in self.layers if layer.prepares]
        if weights is not None:
            self.copy_from(weights)

    def __repr__(self) -> str:
        return (f"<Net '{self.name}': {len(self.layers)} layers, inputs {self.inputs}, "
                f"outputs {self.outputs}, on {self.backend.name}>")

    def __getattr__(self, name: str):
        raise missing("Net", name)

    # ------------------------------------------------------------------------------ what it holds

    @property
    def blobs(self) -> Mapping[str, Blob]:
        """All blobs by name, in order; ``data`` and ``diff`` are NumPy arrays."""
        return Named(self._sharing.views())

    @property
    def _blob_names(self) -> list[str]:
        return list(self.device_blobs)

    @property
    def _layer_names(self) -> list[str]:
        return [layer.name for layer in self.layers]

    @property
    def params(self) -> Mapping[str, list[Blob]]:
        """The parameters of each layer that has some: usually [weights, bias]."""
        return Named((layer.name, layer.blobs) for layer in self.layers if layer.parameters)

    @property
    def layer_dict(self) -> Mapping[str, object]:
        """The layers by name."""
        return Named((layer.name, layer) for layer in self.layers)

    @property
    def top_names(self) -> Mapping[str, list[str]]:
        """The names of each layer's tops."""
        return Named((layer.name, list(layer.param.top)) for layer in self.layers)

    @property
    def bottom_names(self) -> Mapping[str, list[str]]:
        """The names of each layer's bottoms."""
        return Named((layer.name, list(layer.param.bottom)) for layer in self.layers)

    @property
    def blob_loss_weights(self) -> Mapping[str, float]:
        """How much each blob counts in the loss; 0 for most."""
        return Named((name, self.loss_weights.get(name, 0.0)) for name in self.device_blobs)

    # ------------------------------------------------------------------------------------ passes

    def forward(self, blobs: Sequence[str] | None = None, start: str | None = None,
                end: str | None = None, **inputs) -> dict[str, numpy.ndarray]:
        """Run the layers from ``start`` to ``end`` (names; default: all of them).

        Args:
            blobs: names of further blobs to return.
            inputs: arrays to write into the net's input blobs first.

        Returns: {name: data} of the net's outputs, or of the tops of ``end``.
        Errors: ShapeError for an input of another shape; ParameterError for unknown names.
        """
        first = 0 if start is None else self._layer_index(start)
        last = len(self.layers) - 1 if end is None else self._layer_index(end)
        names = list(self.outputs if end is None else self.top_names[end]) + list(blobs or ())
        if blobs or end is not None:  # outputs are always kept
            self._need_readable("data", names)
        self._set("data", inputs, self.inputs, "inputs")
        if self.source is not None and not inputs and first == 0:
            self.source.fill(self, self.tick)
        self.run_forward(first, last)
        return self._read("data", names)

    def backward(self, diffs: Sequence[str] | None = None, start: str | None = None,
                 end: str | None = None, **top_diffs) -> dict[str, numpy.ndarray]:
        """Run the layers' backward passes from ``start`` down to ``end`` (names; default: all).

        Args:
            diffs: names of further blobs whose diffs to return.
            top_diffs: arrays to write into the diffs of the net's outputs first.

        Returns: {name: diff} of the net's inputs, or of the bottoms of ``end``.
        """
        first = len(self.layers) - 1 if start is None else self._layer_index(start)
        last = 0 if end is None else self._layer_index(end)
        names = list(self.inputs if end is None else self.bottom_names[end]) + list(diffs or ())
        self._need_readable("diff", names)
        self._set("diff", top_diffs, self.outputs, "outputs")
        self.run_backward(first, last)
        return self._read("diff", names)

    def forward_pass(self) -> int:
        """One pass over all layers, fed by the net's source if it has one; nothing is returned
        but the number of samples that the source gave (1 without a source)."""
        samples = 1 if self.source is None else self.source.fill(self, self.tick)
        self.run_forward()
        return samples

    def run_forward(self, first: int = 0, last: int | None = None) -> None:
        """The forward passes of layers ``first`` to ``last``, by index; nothing is returned."""
        last = len(self.layers) - 1 if last is None else last
        self._sharing.place()
        self._sharing.check_forward(first, last)
        if first == 0:
            for layer in self._prepared:
                layer.prepare(self.tick)
            self.tick += 1
        before, after = self._hooks["before_forward"], self._hooks["after_forward"]
        # a hook of backward has each layer run by itself on the way forward as well
        for part in self.plan.forward(first, last, fused=not any(self._hooks.values())):
            for hook in before:
                hook(part.index)
            part.forward()
            for hook in after:
                hook(part.index)

    def run_backward(self, first: int | None = None, last: int = 0) -> None:
        """The backward passes of layers ``first`` down to ``last``, by index."""
        first = len(self.layers) - 1 if first is None else first
        if self.phase != TRAIN:
            refuse_gradient_to_labels(self.graph)
        self._sharing.check_backward(first, last)
        before, after = self._hooks["before_backward"], self._hooks["after_backward"]
        for part in self.plan.backward(first, last, fused=not (before or after)):
            for hook in before:
                hook(part.index)
            part.backward()
            for hook in after:
                hook(part.index)

    def loss(self):
        """The sum of all losses after a forward pass, weighted: one number on the device."""
        total = self.backend.xp.zeros((), self.dtype)
        for name, weight in self.loss_weights.items():
            total = total + weight * self.device_blobs[name].data.sum()
        return total

    def reshape(self) -> None:
        """Let every layer size its tops anew, after a blob was given another shape."""
        self.plan.reshape()

    def clear_param_diffs(self) -> None:
        """Set the diff of every parameter to 0."""
        for parameter in self.learnable:
            parameter.blob.diff[...] = 0

    # -------------------------------------------------------------------------------------- hooks

    def before_forward(self, hook: Callable[[int], None]) -> None:
        """Call ``hook(layer_index)`` before each layer's forward pass."""
        self._hooks["before_forward"].append(hook)

    def after_forward(self, hook: Callable[[int], None]) -> None:
        """Call ``hook(layer_index)`` after each layer's forward pass."""
        self._hooks["after_forward"].append(hook)

    def before_backward(self, hook: Callable[[int], None]) -> None:
        """Call ``hook(layer_index)`` before each layer's backward pass."""
        self._hooks["before_backward"].append(hook)

    def after_backward(self, hook: Callable[[int], None]) -> None:
        """Call ``hook(layer_index)`` after each layer's backward pass."""
        self._hooks["after_backward"].append(hook)

    def remove_hook(self, hook: Callable[[int], None]) -> None:
        """Call a hook no more."""
        for hooks in self._hooks.values():
            if hook in hooks:
                hooks.remove(hook)

    def reseed(self, seed: int) -> None:
        """Let dropout, data order and random fillers go by another seed from now on."""
        self.seed = seed
        for layer in self.layers:
            layer.reseed(seed)

    # ------------------------------------------------------------------------------------ helpers

    def _layer_index(self, name: str) -> int:
        expect_known(name, self._layer_names, f"net '{self.name}'", "the name of a layer")
        return self._layer_names.index(name)

    def _set(self, part: str, arrays: Mapping, allowed: Sequence[str], what: str) -> None:
        for name, value in arrays.items():
            expect_known(name, allowed, f"net '{self.name}'",
                         f"{what} among {', '.join(allowed)}")
            target = getattr(self.device_blobs[name].host, part)
            value = numpy.asarray(value)
            if value.shape != target.shape:
                raise ShapeError(f"blob '{name}'", f"an array of shape {target.shape}", value.shape,
                                 f"net.blobs['{name}'].reshape(...) gives it another.")
            target[...] = value

    def _need_readable(self, part: str, names: Sequence[str]) -> None:
        """Before a pass: that its results can be read.  Errors: ParameterError, KeepError."""
        for name in names:
            expect_known(name, self.device_blobs, f"net '{self.name}'", "the name of a blob")
        self._sharing.check_readable(part, names)

    def _read(self, part: str, names: Sequence[str]) -> dict[str, numpy.ndarray]:
        return {name: getattr(self._sharing.view(name), part) for name in names}
