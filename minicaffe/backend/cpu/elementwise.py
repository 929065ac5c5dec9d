"""``map`` and ``sums`` compiled: one loop for each formula and each way in which its inputs come.

A formula is a Python function of single numbers.  numba compiles it, and a loop around it is
written here as text: ``out0[i] = formula(in0[i], in1, out0[i])``.

Arrays are seen as rows of one length, each of which belongs to a channel: an element i of the flat
array lies in row ``i // length``, of the channel ``row % channels``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy

from ..formula_shapes import check_sizes, check_sums
from .formulas import fingerprint, identity, nanoseconds, scalar
from .runtime.jit import compiled, from_text
from .runtime.parallel import parallel, prevent_recording
from .runtime.threads import threads_for
from .sum_parts import parts_of_sum

CHUNK = 4096  # elements: what one thread takes at least
_REMEMBERED = 4096  # calls

# Indices are unsigned: a signed one may count from an array's end, and loops over such are slow.
_MAP = """
def {name}(part, parts, channels, length, {arguments}):
    {numbers}
    pieces = (length + {chunk} - 1) // {chunk}
    units = out0.size // length * pieces
    begin, end = uint64(units * part // parts), uint64(units * (part + 1) // parts)
    channels, length, pieces = uint64(channels), uint64(length), uint64(pieces)
    for unit in range(begin, end):
        row, piece = unit // pieces, unit % pieces
        channel, start = row % channels, row * length
        {channel_numbers}
        first = start + piece * uint64({chunk})
        for i in range(first, min(first + uint64({chunk}), start + length)):
            {results} = formula({values})
"""

# Each block of places adds up numbers of its own; their number depends on the shape alone.
_SUMS = """
def {name}(part, parts, channels, length, sums, {arguments}):
    {numbers}
    blocks = sums.shape[1]
    pieces = (length + {chunk} - 1) // {chunk}
    places = in0.size // (channels * length) * pieces
    channels, length, pieces = uint64(channels), uint64(length), uint64(pieces)
    for block in range(blocks * part // parts, blocks * (part + 1) // parts):
        sums[:, block] = 0
        begin, end = uint64(places * block // blocks), uint64(places * (block + 1) // blocks)
        for place in range(begin, end):
            outer, piece = place // pieces, place % pieces
            for channel in range(channels):
                {channel_numbers}
                start = (outer * channels + channel) * length
                first = start + piece * uint64({chunk})
                {before}
                for i in range(first, min(first + uint64({chunk}), start + length)):
                    {results} = formula({values})
                    {add}
                {after}
"""

_VALUES = {  # how a formula's input is read: see _kind
    "array": "in{k}[i]", "one": "one{k}", "number": "one{k}", "channel": "one{k}",
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
        # LLVM may reorder a sum over a loop that writes to no array: it then makes one order, and
        # none for each way in which arrays may lie to each other
        steps = {"before": each("total{k} = 0.0"), "add": each("total{k} += value{k}"),
                 "after": each("sums[{k}, block, channel] += total{k}"), "fastmath": {"reassoc"}}
    results = ", ".join(f"value{k}" for k in range(outs))
    return _made(_SUMS, "column_sums" if columns else "sums", function, kinds, outs, [],
                 results=results, **steps)


def _made(text: str, name: str, function: Callable, kinds: tuple[str, ...], outs: int,
          targets: list[str], fastmath: bool | set = False, **parts: str):
    """The function of one of the texts above, compiled, for threads to share."""
    def read(**ways: str) -> str:
        return "; ".join(f"one{k} = " + ways[kind].format(k=k) for k, kind in enumerate(kinds)
                         if kind in ways) or "pass"

    given = [f"in{k}" for k, kind in enumerate(kinds) if not kind.startswith("out")]
    name = "_".join((name, *kinds, "to", str(outs)))
    source = text.format(
        name=name, chunk=CHUNK, arguments=", ".join(targets + given),
        numbers=read(one="in{k}[0]", number="float32(in{k})"),
        channel_numbers=read(channel="in{k}[channel]"),
        values=", ".join(_VALUES.get(kind, kind + "[i]").format(k=k)
                         for k, kind in enumerate(kinds)), **parts)
    names = {"formula": scalar(function), "uint64": numpy.uint64, "float32": numpy.float32,
             "__name__": __name__}
    made = from_text(source, name, names, place=loop)
    known = fingerprint(function)
    made.__qualname__ = f"{made.__name__}.{function.__name__.strip('<>')}.{known}"
    return parallel(made, cache=known is not None, fastmath=fastmath)


@compiled
def _finish(sums, out, accumulate):
    """``out = `` the sum of the blocks' sums, or add it."""
    for channel in range(out.size):
        total = numpy.float64(out[channel]) if accumulate else 0.0
        for block in range(sums.shape[0]):
            total += sums[block, channel]
        out[channel] = total


class _Call(NamedTuple):
    """How to answer calls of one formula with arrays of certain shapes.

    Attributes:
        loop: the compiled loop; its arguments are the number of threads, channels and length, the
            outputs or sums, and the ``given`` inputs.
        nanoseconds: about how long it takes on one thread.
        blocks: the number of partial sums of each channel.
        given: which inputs the loop takes.
    """

    loop: Callable
    nanoseconds: float
    channels: int
    length: int
    blocks: int
    given: tuple[int, ...]


class Calls:
    """Answers calls of ``map`` and ``sums``, and remembers how.

    A compiled loop is kept for good: one for each formula and each value of what it captured.  A
    formula that is written anew at each call, and captures equal values, is compiled once.
    """

    def __init__(self):
        self._loops: dict[tuple, tuple[Callable, float]] = {}
        self._calls: dict[tuple, _Call | None] = {}

    def map(self, function: Callable, outs: tuple, inputs: tuple) -> bool:
        """Set the arrays ``outs`` to the function's values at ``inputs``.

        Returns: False where compiled code does not take such arrays, and nothing was done.
        Errors: as ``Backend.map``.
        """
        call = self._call(loop, function, outs, inputs, _twins(inputs, outs))
        if call is None:
            return False
        call.loop(threads_for(call.nanoseconds), call.channels, call.length,
                  *[out.reshape(-1) for out in outs], *_given(call, inputs))
        return True

    def sums(self, function: Callable, workspace, outs: tuple, inputs: tuple, accumulate: bool
             ) -> bool:
        """Set ``outs`` to the function's values, summed over the axes that outs lack.

        Returns and errors: as ``map``.
        """
        call = self._call(sums_loop, function, outs, inputs, (None,) * len(inputs))
        if call is None:
            return False
        shape = len(outs), call.blocks, outs[0].size
        count = 2 * math.prod(shape)
        sums = workspace.floats("sums", count)[:count].view(numpy.float64).reshape(shape)
        call.loop(threads_for(call.nanoseconds), call.channels, call.length, sums,
                  *_given(call, inputs))
        prevent_recording()
        for partial, out in zip(sums, outs):
            _finish(partial, out.reshape(-1), accumulate)
        return True

    def _call(self, maker: Callable, function: Callable, outs: tuple, inputs: tuple,
              twins: tuple) -> _Call | None:
        """What is known of such a call; None where compiled code does not take its arrays."""
        forms = [(value.shape, value.dtype, value.flags.num)  # all but where it lies
                 if isinstance(value, numpy.ndarray) else None for value in outs + inputs]
        key = maker, identity(function), twins, len(outs), *forms
        try:
            return self._calls[key]
        except KeyError:
            call = self._new_call(maker, function, outs, inputs, twins)
        if len(self._calls) >= _REMEMBERED:  # a net that meets ever new shapes
            self._calls.clear()
        self._calls[key] = call
        return call

    def _new_call(self, maker: Callable, function: Callable, outs: tuple, inputs: tuple,
                  twins: tuple) -> _Call | None:
        if not all(_is_taken(value) for value in (*outs, *inputs)):
            return None
        check = check_sizes if maker is loop else check_sums
        outer, channels, inner = check(function, outs, inputs)
        size = outer * channels * inner
        blocks = parts_of_sum(size, outs[0].size, outer * -(-inner // CHUNK), CHUNK)
        columns = inner == 1
        if columns:  # channels that follow each other make up one row, run through at full speed
            channels, inner = 1, channels
        kinds = tuple(_kind(value, twin, size, columns) for value, twin in zip(inputs, twins))
        given = tuple(k for k, kind in enumerate(kinds) if not kind.startswith("out"))
        form = (kinds, len(outs)) if maker is loop else (kinds, len(outs), columns)
        made, cost = self._loop(maker, function, *form)
        return _Call(made, size * cost, channels, inner, blocks, given)

    def _loop(self, maker: Callable, function: Callable, *form) -> tuple[Callable, float]:
        """The loop that ``maker`` makes, and about how long it takes for one element."""
        key = maker, identity(function), *form
        if key not in self._loops:
            self._loops[key] = maker(function, *form), nanoseconds(function)
        return self._loops[key]


def _twins(inputs: tuple, outs: tuple) -> tuple[int | None, ...]:
    """For each input the number of the output that it is, under another name or the same.

    A loop over two names of one memory could not be vectorised, so it gets one name.
    """
    return tuple([_twin(value, outs) if isinstance(value, numpy.ndarray) else None
                  for value in inputs])


def _twin(value, outs: tuple) -> int | None:
    for k, out in enumerate(outs):
        if value is out:
            return k
    for k, out in enumerate(outs):  # the address alone would do, but takes ten times as long
        if (value.size == out.size and numpy.may_share_memory(value, out)
                and _address(value) == _address(out)):
            return k
    return None


def _address(array) -> int:
    return array.__array_interface__["data"][0]


def _is_taken(value) -> bool:
    """Whether compiled code takes this input or output."""
    return not isinstance(value, numpy.ndarray) or (
        value.dtype == numpy.float32 and value.flags.c_contiguous and value.flags.aligned
        and value.size > 0)


def _kind(value, twin: int | None, size: int, columns: bool) -> str:
    """How a loop reads an input.

    ``array``: it has an element for each of the output; ``channel``: for each channel; ``column``:
    for each element of a row; ``one``: it has one element; ``number``; ``out0``, ``out1``: it is
    the output's own array.
    """
    if not isinstance(value, numpy.ndarray):
        return "number"
    if value.size == size:
        return "array" if twin is None else f"out{twin}"
    if value.size == 1:
        return "one"
    return "column" if columns else "channel"


def _given(call: _Call, inputs: tuple) -> list:
    """The inputs that the loop takes, in the form in which it does."""
    return [inputs[k].reshape(-1) if isinstance(inputs[k], numpy.ndarray) else float(inputs[k])
            for k in call.given]
