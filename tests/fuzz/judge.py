"""One net on all devices: the same bits for any threads and keep, the same numbers everywhere.

The judge of ``cpu`` is ``numpy`` in float64.  Rounding in float32 moves a result by some 1e-7 of
its size, and by more where a net magnifies small differences: how much, two things tell: how far
``numpy`` itself is off in float32, and how far float64 moves where inputs and parameters are moved
by a millionth.  ``cpu`` may be off by LOOSE times that, which a wrong formula exceeds.

The judge of ``numpy`` is central differences of the loss in float64, along random directions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy

from minicaffe import TRAIN, Net, set_num_threads
from minicaffe.errors import MinicaffeError
from minicaffe.layer import layer_class

from .outcome import MISMATCH, NAN, REFUSED, Outcome, of_error

LOOSE, RELATIVE, MOVE = 30.0, 2e-5, 1e-6
PASSES = 4  # of one shape: the third and later ones may be repeated without the layers
LARGE = 2**21  # elements of a net that is built but not run
STEP, SLOPE = 1e-5, 1e-4  # of central differences: along a direction, and what they may be off by

Numbers = dict[str, numpy.ndarray]


class Run(NamedTuple):
    """What a net gave: its numbers, or the error that it was refused with."""

    numbers: Numbers
    refused: MinicaffeError | None = None


def judged(case) -> Outcome:
    """The outcome of a case."""
    with numpy.errstate(all="ignore"):
        reference = run(case, "numpy")
        set_num_threads(1)
        kept = run(case, "cpu")
        set_num_threads(2)
        shared = run(case, "cpu", keep=[])
        for name, got in (("cpu", kept), ("keep=[]", shared)):
            if (got.refused is None) != (reference.refused is None):
                error = got.refused or reference.refused
                return Outcome(MISMATCH, f"{name}: refused on one device",
                               of_error(error, MISMATCH).text)
        found = _same_bits(kept.numbers, shared.numbers) or _close(case, kept, reference)
        if found is None and case.precise and reference.refused is None:
            found = _precise(case)
    return found or Outcome(REFUSED if reference.refused else "fine")


def run(case, device: str, dtype: str = "float32", keep="all", moved: int = 0) -> Run:
    """Run a case's passes; a net that refuses half-way gives the numbers until then.

    Args:
        moved: a seed, to move inputs and parameters by about MOVE of their size; 0 for not at all.
    """
    numbers: Numbers = {}
    try:
        net = Net(case.net, case.phase, device=device, dtype=dtype, seed=case.seed, keep=keep)
        if sum(blob.count for blob in net.device_blobs.values()) > LARGE or any(
                parameter.blob.count > LARGE for parameter in net.learnable):
            return Run({})
        if moved:
            for k, parameter in enumerate(net.learnable):
                data = parameter.blob.host.data
                data[...] = _moved(data, f"{moved} {k}")
        old = {name: net.device_blobs[name].shape for name in net.inputs}
        for k in range(PASSES):
            one_pass(net, case, k, moved, numbers)
        if case.batch is not None:
            _reshape(net, {name: (case.batch, *shape[1:]) for name, shape in old.items()})
            for k in range(PASSES, PASSES + 3):
                one_pass(net, case, k, moved, numbers)
            _reshape(net, old)
            one_pass(net, case, PASSES + 3, moved, numbers)
    except MinicaffeError as error:
        return Run(numbers, error)
    return Run(numbers)


def _reshape(net: Net, shapes) -> None:
    for name, shape in shapes.items():
        net.device_blobs[name].reshape(*shape)
    net.reshape()


def one_pass(net: Net, case, k: int, moved: int, numbers: Numbers) -> None:
    """Feed a net, run both passes, and add the outputs, the loss and the gradients to numbers."""
    feed(net, case, k, moved)
    net.tick = k
    net.clear_param_diffs()
    for name, array in net.forward().items():
        numbers[f"{k} output {name}"] = array.copy()
    numbers[f"{k} loss"] = numpy.array(net.loss())
    if net.phase == TRAIN:
        net.backward()
        for parameter in net.learnable:
            if parameter.lr_mult:
                numbers[f"{k} gradient {parameter.layer} {parameter.index}"] = \
                    parameter.blob.host.diff.copy()


def feed(net: Net, case, k: int, moved: int = 0) -> None:
    """Fill the inputs of pass ``k``: labels with whole numbers, others with any."""
    labels = {layer.bottom[j] for layer in net.param.layer
              for j in layer_class(layer).no_gradient if j < len(layer.bottom)}
    sources = {top: layer.bottom[0] for layer in net.param.layer if layer.type == "Split"
               for top in layer.top}
    labels |= {sources[name] for name in labels & set(sources)}
    for name in net.inputs:
        blob = net.device_blobs[name].host
        rng = numpy.random.default_rng([case.seed, k, *name.encode()])
        if name in labels:
            blob.data[...] = rng.integers(0, case.labels, blob.shape)
        else:
            values = rng.normal(0, 1, blob.shape)
            blob.data[...] = _moved(values, f"{moved} {name} {k}") if moved else values


def _moved(values: numpy.ndarray, what: str) -> numpy.ndarray:
    rng = numpy.random.default_rng(list(what.encode()))
    return values * (1 + MOVE * rng.choice((-1, 1), values.shape))


# ---------------------------------------------------------------------------------- comparisons

def _same_bits(one: Numbers, other: Numbers) -> Outcome | None:
    for name in sorted(set(one) | set(other)):
        if name not in one or name not in other:
            return Outcome(MISMATCH, "threads and keep: refused at another place", name)
        a, b = one[name], other[name]
        if a.shape != b.shape or not numpy.array_equal(a, b, equal_nan=True):
            return Outcome(MISMATCH, f"threads and keep: {name.split()[1]}", _told(name, b, a))
    return None


def _close(case, got: Run, reference: Run) -> Outcome | None:
    precise = moved = None
    for name, want in reference.numbers.items():
        if name not in got.numbers:
            return Outcome(MISMATCH, "cpu: refused at another place", name)
        have = got.numbers[name]
        if have.shape != want.shape:
            return Outcome(MISMATCH, "cpu: shape", _told(name, have, want))
        if numpy.isfinite(want).all() and _off(have, want) <= RELATIVE * _largest(want):
            continue
        if not numpy.isfinite(want).all() and not numpy.isfinite(have).all():
            return None  # what is behind has no meaning
        if precise is None:
            precise = run(case, "numpy", "float64").numbers
            moved = [run(case, "numpy", "float64", moved=k).numbers for k in (1, 2, 3)]
        exact = precise[name]
        allowed = RELATIVE * _largest(exact) + LOOSE * max(
            _off(want, exact), *(_off(other[name], exact) for other in moved))
        if numpy.isfinite(exact).all() and not _off(have, exact) <= allowed:
            kind = NAN if not numpy.isfinite(have).all() else MISMATCH
            return Outcome(kind, f"cpu and numpy: {name.split()[1]}", _told(name, have, exact))
    return None


def _off(a: numpy.ndarray, b: numpy.ndarray) -> float:
    return float(numpy.abs(a.astype(float) - b).max(initial=0))


def _largest(a: numpy.ndarray) -> float:
    return float(numpy.abs(a).max(initial=1e-3))


def _told(name: str, got: numpy.ndarray, want: numpy.ndarray) -> str:
    return f"{name}: got {got.ravel()[:8]} {got.shape}, expected {want.ravel()[:8]} {want.shape}"


# ------------------------------------------------------------------------------ central differences

def _precise(case) -> Outcome | None:
    """cpu against numpy in float64, and the gradient against central differences of the loss."""
    one, other = run(case, "numpy", "float64"), run(case, "cpu", "float64")
    for name, want in one.numbers.items():
        have = other.numbers.get(name)
        if have is None or have.shape != want.shape or numpy.isfinite(want).all() and not (
                _off(have, want) <= 1e-7 * _largest(want)):
            return Outcome(MISMATCH, f"float64: {name.split()[1]}", name)
    return gradient(case) if case.phase == TRAIN else None


def gradient(case) -> Outcome | None:
    """The gradient of a net's parameters and inputs against central differences."""
    with _warnings() as warned:
        net = Net(case.net, case.phase, device="numpy", dtype="float64", seed=case.seed)
    if warned or any(layer.propagate_down for layer in net.param.layer):
        return None  # the net's writer was told, or asked for another gradient
    numbers: Numbers = {}
    one_pass(net, case, 0, 0, numbers)
    places = [(parameter.blob.host, f"{parameter.layer} {parameter.index}")
              for parameter in net.learnable if parameter.lr_mult]
    for blob, name in places:
        found = _slope(net, case, blob, name)
        if found:
            return found
    return None


def _slope(net: Net, case, blob, name: str) -> Outcome | None:
    """One parameter's gradient along a direction against the loss's slope there."""
    if not blob.count:
        return None
    rng = numpy.random.default_rng(list(name.encode()))
    way = rng.choice((-1.0, 1.0), blob.shape) * rng.uniform(0.5, 1, blob.shape)
    way /= numpy.sqrt((way * way).sum())
    start, diff = blob.data.copy(), blob.diff.copy()
    middle = _loss(net, case)
    slopes, bends = [], []
    for step in (STEP, 4 * STEP):
        ends = []
        for sign in (1, -1):
            blob.data[...] = start + sign * step * way
            ends.append(_loss(net, case))
        slopes.append((ends[0] - ends[1]) / (2 * step))
        bends.append(abs(ends[0] - 2 * middle + ends[1]) / step)
    blob.data[...] = start
    got, size = float((diff * way).sum()), float(numpy.abs(diff).max(initial=0))
    noise = 1e-11 * abs(middle) / STEP
    allowed = SLOPE * (abs(slopes[0]) + size + 1e-3) + noise
    if not numpy.isfinite([middle, got, *slopes]).all():
        return None
    if abs(slopes[0] - slopes[1]) > allowed / 4 or bends[0] > allowed / 4:
        return None  # a corner, or too much of a curve
    if abs(got - slopes[0]) <= allowed:
        return None
    return Outcome(MISMATCH, "central differences",
                   f"{name}: gradient {got:.8g}, slopes {slopes}, allowed {allowed:.2g}")


def _loss(net: Net, case) -> float:
    feed(net, case, 0)  # anew, as a layer in place may have written over an input
    net.tick = 0
    net.run_forward()
    return float(net.loss())


@contextmanager
def _warnings() -> Iterator[list]:
    """The warnings that are logged meanwhile."""
    warned: list = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = warned.append
    log = logging.getLogger("minicaffe")
    log.addHandler(handler)
    try:
        yield warned
    finally:
        log.removeHandler(handler)
