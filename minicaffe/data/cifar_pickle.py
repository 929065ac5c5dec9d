"""The pickled batches of CIFAR, read without Python's pickle, which can run code and crash.

A pickle is a program for a machine with a stack: each opcode, a byte and its argument, puts a
value onto the stack or makes one of those that are there.  This machine knows the opcodes that
dicts of byte strings, numbers, lists and uint8 arrays take, in protocols 2 (of Python 2) to 5, and
it calls nothing: the few functions of NumPy's that a pickle names stand here for the values that
they would make.

Source: the comments of Python's Lib/pickletools.py; PEP 307, PEP 3154, PEP 574.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import numpy

from ..errors import in_line

STEPS = 2**10  # opcodes that any pickle may have, and one more for so many bytes:
BYTES_A_STEP = 2**6  # a true batch has about 700
KEY_BYTES = 2**8  # of a key, a module, the name of a type


class PickleError(Exception):
    """A pickle that is damaged, or something else than a batch."""


def read_pickle(data: bytes) -> object:
    """The value in a pickle: None, a bool, int, float, str or bytes, a tuple, list or dict of such,
    or a uint8 array.  Keys of dicts are str or bytes.

    It takes as much time and memory as the data are long, a few times over.

    Errors: PickleError.
    """
    machine = _Machine(data)
    steps = STEPS + len(data) // BYTES_A_STEP
    try:
        for _ in range(steps):
            code = machine.bytes(1)[0]
            if code == _STOP:
                return _finished(machine.pop())
            if code not in _OPCODES:
                raise PickleError(f"it has the opcode {bytes([code])!r}, which no batch needs")
            _OPCODES[code](machine)
    except (IndexError, KeyError, ValueError) as error:  # of the stack, the memo, UTF-8
        raise PickleError(f"{type(error).__name__}: {in_line(error)}") from error
    raise PickleError(f"it has more than {steps} opcodes")


class _Machine:
    """The data and how far they are read, the stack, the marks in it, and the memo."""

    def __init__(self, data: bytes):
        self.data, self.place = data, 0
        self.stack: list = []
        self.marks: list[int] = []  # how high the stack was
        self.memo: dict[int, object] = {}
        self.copies = 2 * len(data) + STEPS  # bytes that calls may still make of bytes

    def bytes(self, size: int) -> bytes:
        """The next bytes of the data."""
        start, self.place = self.place, self.place + size
        if not start <= self.place <= len(self.data):
            raise PickleError("it ends too early")
        return self.data[start:self.place]

    def number(self, form: str) -> int:
        """The next number, in a format of ``struct``."""
        return struct.unpack(form, self.bytes(struct.calcsize(form)))[0]

    def line(self) -> str:
        """The next bytes up to the end of a line."""
        end = self.data.find(b"\n", self.place, self.place + KEY_BYTES)
        if end < 0:
            raise PickleError("a name without an end")
        return self.bytes(end + 1 - self.place)[:-1].decode()

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        """The last value, of those above the last mark."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise PickleError("it takes more values than there are")
        return self.stack.pop()

    def top(self, kind: type) -> object:
        """The last value, which must be of this kind."""
        self.push(value := self.pop())
        return _expected(value, kind)

    def pop_marked(self) -> list:
        """All values above the last mark, which goes too."""
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values


class _Name:
    """What a pickle calls by its module and name."""

    def __init__(self, module: str, name: str):
        self.make = _FUNCTIONS.get((module, name))
        if self.make is None:
            asked = in_line(f"{module}.{name}")
            raise PickleError(f"it asks for {asked}, which no batch needs")


class _Dtype:
    """A NumPy dtype by its name."""

    def __init__(self, name: str, *_):
        self.name = _text(name)


class _Array:
    """A NumPy array, whose content comes later."""

    def __init__(self, *_):
        self.value: numpy.ndarray | None = None

    def fill(self, shape, dtype, fortran: bool, content) -> None:
        """Errors: PickleError for what is no array of uint8."""
        if not (isinstance(dtype, _Dtype) and isinstance(shape, tuple)
                and all(isinstance(size, int) and 0 <= size < 2**31 for size in shape)
                and isinstance(content, bytes) and len(shape) <= 4):
            raise PickleError("an array without a shape, a type and its bytes")
        if dtype.name not in ("u1", "|u1", "uint8"):
            raise PickleError(f"an array of {in_line(dtype.name, 20)} instead of uint8")
        if math.prod(shape) != len(content):
            raise PickleError(f"{len(content)} bytes for an array of shape {shape}")
        order = "F" if fortran else "C"
        self.value = numpy.frombuffer(content, numpy.uint8).reshape(shape, order=order)


def _from_buffer(content, dtype, shape, order) -> _Array:
    """An array of protocol 5."""
    array = _Array()
    array.fill(shape, dtype, order == "F", content)
    return array


def _encoded(text, encoding) -> bytes:
    """Bytes, which Python 3 writes as text into protocol 2."""
    if _text(encoding) != "latin1":
        raise PickleError(f"bytes in the encoding {in_line(encoding, 20)}")
    return _expected(text, str).encode("latin1")


def _text(value) -> str:
    """A short str, which may have been one of Python 2's."""
    if isinstance(value, str | bytes) and len(value) > KEY_BYTES:
        raise PickleError(f"a name of {len(value)} bytes")
    return value.decode("latin1") if isinstance(value, bytes) else _expected(value, str)


def _no_bytes(*_) -> bytes:
    return b""


_FUNCTIONS: dict[tuple[str, str], Callable] = {
    ("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Dtype, ("_codecs", "encode"): _encoded,
    ("__builtin__", "bytes"): _no_bytes, ("builtins", "bytes"): _no_bytes}
for _package in ("numpy.core", "numpy._core"):  # NumPy 1 and NumPy 2
    _FUNCTIONS[f"{_package}.multiarray", "_reconstruct"] = _Array
    _FUNCTIONS[f"{_package}.numeric", "_frombuffer"] = _from_buffer


def _expected(value, kind: type):
    if not isinstance(value, kind):
        raise PickleError(f"a {type(value).__name__} in the place of a {kind.__name__}")
    return value


def _finished(value):
    """The value as the caller wants it: arrays are those of NumPy."""
    if isinstance(value, dict):
        return {key: _finished_array(item) for key, item in value.items()}
    return _finished_array(value)


def _finished_array(value):
    return value.value if isinstance(value, _Array) else value


# ---------------------------------------------------------------------------------- the opcodes

def _ignored(size: int) -> Callable:
    return lambda machine: machine.bytes(size)


def _constant(make: Callable) -> Callable:
    return lambda machine: machine.push(make())


def _number(form: str) -> Callable:
    return lambda machine: machine.push(machine.number(form))


def _long(machine: _Machine) -> None:
    machine.push(int.from_bytes(machine.bytes(machine.number("B")), "little", signed=True))


def _bytes(form: str) -> Callable:
    return lambda machine: machine.push(machine.bytes(machine.number(form)))


def _unicode(form: str) -> Callable:
    return lambda machine: machine.push(machine.bytes(machine.number(form)).decode())


def _tuple(size: int) -> Callable:
    return lambda machine: machine.push(tuple(machine.pop() for _ in range(size))[::-1])


def _mark(machine: _Machine) -> None:
    machine.marks.append(len(machine.stack))


def _marked_tuple(machine: _Machine) -> None:
    machine.push(tuple(machine.pop_marked()))


def _append(machine: _Machine) -> None:
    value = machine.pop()
    machine.top(list).append(value)


def _appends(machine: _Machine) -> None:
    values = machine.pop_marked()
    machine.top(list).extend(values)


def _set(machine: _Machine, values: list) -> None:
    known = machine.top(dict)
    for key, value in zip(values[::2], values[1::2], strict=True):
        if not isinstance(key, str | bytes) or len(key) > KEY_BYTES:
            raise PickleError(f"a key that is a {type(key).__name__}, or too long")
        known[key] = value


def _setitem(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    _set(machine, [key, value])


def _setitems(machine: _Machine) -> None:
    _set(machine, machine.pop_marked())


def _put(form: str) -> Callable:
    def put(machine: _Machine) -> None:
        machine.memo[machine.number(form)] = machine.top(object)
    return put


def _memoize(machine: _Machine) -> None:
    machine.memo[len(machine.memo)] = machine.top(object)


def _get(form: str) -> Callable:
    return lambda machine: machine.push(machine.memo[machine.number(form)])


def _global(machine: _Machine) -> None:
    machine.push(_Name(machine.line(), machine.line()))


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.push(_Name(_expected(module, str), _expected(name, str)))


def _reduce(machine: _Machine) -> None:
    arguments, name = _expected(machine.pop(), tuple), _expected(machine.pop(), _Name)
    machine.copies -= sum(len(value) for value in arguments if isinstance(value, str | bytes))
    if machine.copies < 0:
        raise PickleError("it copies its bytes too often")
    try:
        machine.push(name.make(*arguments))
    except TypeError as error:  # for the number of arguments
        raise PickleError("a call with other arguments") from error


def _build(machine: _Machine) -> None:
    state = _expected(machine.pop(), tuple)
    if isinstance(machine.top(object), _Dtype):
        return  # all that it says of uint8 is that it has no byte order
    if len(state) != 5:
        raise PickleError("an array with another state")
    machine.top(_Array).fill(*state[1:])


_STOP = ord(".")
_OPCODES: dict[int, Callable[[_Machine], object]] = {
    0x80: _ignored(1),  # the protocol
    0x95: _ignored(8),  # how long the next part is
    ord("N"): _constant(lambda: None),
    0x88: _constant(lambda: True),
    0x89: _constant(lambda: False),
    ord("K"): _number("B"),
    ord("M"): _number("<H"),
    ord("J"): _number("<i"),
    ord("G"): _number(">d"),
    0x8a: _long,
    ord("U"): _bytes("B"),  # strings of Python 2
    ord("T"): _bytes("<i"),
    ord("C"): _bytes("B"),  # bytes of Python 3
    ord("B"): _bytes("<I"),
    0x8e: _bytes("<Q"),
    0x96: _bytes("<Q"),
    0x8c: _unicode("B"),
    ord("X"): _unicode("<I"),
    0x8d: _unicode("<Q"),
    ord("("): _mark,
    ord(")"): _tuple(0),
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    ord("t"): _marked_tuple,
    ord("]"): _constant(list),
    ord("a"): _append,
    ord("e"): _appends,
    ord("}"): _constant(dict),
    ord("s"): _setitem,
    ord("u"): _setitems,
    ord("q"): _put("B"),
    ord("r"): _put("<I"),
    0x94: _memoize,
    ord("h"): _get("B"),
    ord("j"): _get("<I"),
    ord("c"): _global,
    0x93: _stack_global,
    ord("R"): _reduce,
    ord("b"): _build,
}
