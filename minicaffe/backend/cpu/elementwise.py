"""``map`` and ``sums`` compiled: one loop for each formula and each way in which its inputs come.

A formula is a Python function of single numbers.  numba compiles it, and a loop around it is
written here as text: ``out0[i] = formula(in0[i], in1, out0[i])``.

Arrays are seen as rows of one length, each of which belongs to a channel: an element i of the flat
array lies in row ``i // length``, of the channel ``row % channels``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy

from .formulas import fingerprint, identity, nanoseconds, scalar
from .jit import compiled, from_text
from .shares import shared
from .threads import worth

CHUNK = 4096  # elements: what one thread takes at least

# Indices are unsigned: a signed one may count from an array's end, and loops over such are slow.
_MAP = """
def {name}(part, parts, channels, length, {arguments}):
    {numbers}
    pieces = (length + {chunk} - 1) // {chunk}
    units = out0.size // length * pieces
    for unit in range(units * part // parts, units * (part + 1) // parts):
        channel = unit // pieces % channels
        {channel_numbers}
        start = unit // pieces * length
        first = start + unit % pieces * {chunk}
        start, end = uint64(start), uint64(min(first + {chunk}, start + length))
        for i in range(uint64(first), end):
            {results} = formula({values})
"""

# Each block of places adds up numbers of its own; their number depends on the shape alone.
_SUMS = """
def {name}(part, parts, channels, length, sums, {arguments}):
    {numbers}
    blocks = sums.shape[1]
    pieces = (length + {chunk} - 1) // {chunk}
    places = in0.size // (channels * length) * pieces
    for block in range(blocks * part // parts, blocks * (part + 1) // parts):
        sums[:, block] = 0
        for place in range(places * block // blocks, places * (block + 1) // blocks):
            for channel in range(channels):
                {channel_numbers}
                start = (place // pieces * channels + channel) * length
                first = start + place % pieces * {chunk}
                start, end = uint64(start), uint64(min(first + {chunk}, start + length))
                {before}
                for i in range(uint64(first), end):
                    {results} = formula({values})
                    {add}
                {after}
"""

_VALUES = {  # how a formula's input is read: see _kind
    "array": "in{k}[i]", "one": "one{k}", "number": "in{k}", "channel": "one{k}",
    "column": "in{k}[i - start]"}


def loop(function: Callable, kinds: tuple[str, ...], outs: int):
    """The compiled loop of ``map``.

    Args:
        kinds: one word for each input: see ``_kind``.
        outs: the number of outputs.

    Returns: a function of the number of threads, channels, length, the outputs, and the inputs
    that are no outputs.
    """
    results = [f"out{k}" for k in range(outs)]
    return _made(_MAP, "map", function, kinds, outs, results,
                 results=", ".join(f"{out}[i]" for out in results))


def sums_loop(function: Callable, kinds: tuple[str, ...], outs: int, columns: bool):
    """The compiled loop of ``sums``.

    Args:
        kinds, outs: as ``loop`` takes them.
        columns: whether to sum over the rows, column by column, instead of along each row.

    Returns: a function of the number of threads, channels, length, the partial sums
    (outs, blocks, C) in float64, and the inputs.
    """
    def each(text: str) -> str:
        return "; ".join(text.format(k=k) for k in range(outs))

    if columns:
        steps = {"before": "pass", "add": each("sums[{k}, block, i - start] += value{k}"),
                 "after": "pass"}
    else:
        steps = {"before": each("total{k} = 0.0"), "add": each("total{k} += value{k}"),
                 "after": each("sums[{k}, block, channel] += total{k}")}
    results = ", ".join(f"value{k}" for k in range(outs))
    return _made(_SUMS, "column_sums" if columns else "sums", function, kinds, outs, [],
                 results=results, fastmath={"reassoc"}, **steps)


def _made(text: str, name: str, function: Callable, kinds: tuple[str, ...], outs: int,
          targets: list[str], fastmath=False, **parts: str):
    """The function of one of the texts above, compiled, for threads to share."""
    def read(kind: str, place: str) -> str:
        return "; ".join(f"one{k} = in{k}[{place}]" for k, known in enumerate(kinds)
                         if known == kind) or "pass"

    given = [f"in{k}" for k, kind in enumerate(kinds) if not kind.startswith("out")]
    name = "_".join((name, *kinds, "to", str(outs)))
    source = text.format(
        name=name, chunk=CHUNK, arguments=", ".join(targets + given), numbers=read("one", "0"),
        channel_numbers=read("channel", "channel"),
        values=", ".join(_VALUES.get(kind, kind + "[i]").format(k=k)
                         for k, kind in enumerate(kinds)), **parts)
    names = {"formula": scalar(function), "uint64": numpy.uint64, "__name__": __name__}
    made = from_text(source, name, names, place=loop)
    known = fingerprint(function)
    made.__qualname__ = f"{made.__name__}.{function.__name__.strip('<>')}.{known}"
    return shared(made, cache=known is not None, fastmath=fastmath)


@compiled
def _finish(sums, out, accumulate):
    """``out = `` the sum of the blocks' sums, or add it."""
    for channel in range(out.size):
        total = numpy.float64(out[channel]) if accumulate else 0.0
        for block in range(sums.shape[0]):
            total += sums[block, channel]
        out[channel] = total


class Loops:
    """The loops in use, kept for good: one for each formula and each value of what it captured.

    A formula that is written anew at each call, and captures equal values, is compiled once.
    """

    def __init__(self):
        self._loops: dict[tuple, tuple[Callable, float]] = {}

    def map(self, function: Callable, view: tuple[int, int, int], outs: tuple, inputs: tuple
            ) -> None:
        """Set the flat float32 arrays ``outs`` to the function's values at ``inputs``, whose sizes
        have been checked, and which are seen as ``view``, (outer, C, inner).
        """
        channels, length, of_channel = _rows(view)
        size = outs[0].size
        kinds, given = _kinds(inputs, size, of_channel, outs)
        made, cost = self._of(loop, function, kinds, len(outs))
        made(worth(size * cost), channels, length, *outs, *given)

    def sums(self, function: Callable, workspace, view: tuple[int, int, int], outs: tuple,
             inputs: tuple, accumulate: bool) -> None:
        """Set ``outs`` to the function's values, summed over outer and inner of ``view``."""
        channels, length, of_channel = _rows(view)
        size, columns = inputs[0].size, of_channel == "column"
        kinds, given = _kinds(inputs, size, of_channel)
        made, cost = self._of(sums_loop, function, kinds, len(outs), columns)
        # by the shape alone; for many channels few, or their sums would outgrow the input
        blocks = max(1, min(size // (4 * CHUNK), size // (16 * outs[0].size), 64,
                            view[0] * -(-view[2] // CHUNK)))
        count = len(outs) * blocks * outs[0].size
        sums = workspace.floats("sums", 2 * count)[:2 * count].view(numpy.float64)
        sums = sums.reshape(len(outs), blocks, outs[0].size)
        made(worth(size * cost), channels, length, sums, *given)
        for partial, out in zip(sums, outs):
            _finish(partial, out, accumulate)

    def _of(self, maker: Callable, function: Callable, *form) -> tuple[Callable, float]:
        """The loop that ``maker`` makes, and about how long it takes for one element."""
        key = (maker.__name__, identity(function), *form)
        known = self._loops.get(key)
        if known is None:
            known = self._loops[key] = maker(function, *form), nanoseconds(function)
        return known


def _rows(view: tuple[int, int, int]) -> tuple[int, int, str]:
    """Channels, length of a row, and the kind of an input that has an element for each channel.

    Where only channels follow each other they make up one row, to be run through at full speed.
    """
    _, channels, inner = view
    return (channels, inner, "channel") if inner > 1 else (1, channels, "column")


def _kinds(inputs: tuple, size: int, of_channel: str, outs: tuple = ()
           ) -> tuple[tuple[str, ...], list]:
    """The kind of each input, and those that a loop is given.

    Kinds: ``array``: an element for each of the output; ``channel``: for each channel;
    ``column``: for each element of a row; ``one``: an array of one element; ``number``; ``out0``,
    ``out1``: the output's own array.
    """
    # A loop over two names of one memory could not be vectorised, so it gets one name.
    places = [out.__array_interface__["data"][0] for out in outs]
    kinds, given = [], []
    for value in inputs:
        if not isinstance(value, numpy.ndarray):
            kind, value = "number", numpy.float32(value)
        elif value.size == size:
            place = value.__array_interface__["data"][0]
            kind = f"out{places.index(place)}" if place in places else "array"
        else:
            kind = "one" if value.size == 1 else of_channel
        kinds.append(kind)
        if not kind.startswith("out"):
            given.append(value)
    return tuple(kinds), given
