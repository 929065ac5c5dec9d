"""Valid inputs made wrong: bytes, text by its tokens, and what is packed into other formats."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from . import codecs

INTERESTING = (0, 1, 2, 3, 4, 7, 8, 16, 31, 32, 33, 64, 65, 127, 128, 255, 256, 1000, 4096, 65535,
               65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, 2**63,
               2**64 - 1, -1, -2, -128, -2**31, -2**63)
WORDS = ("0", "-1", "1", "1e38", "1e400", "nan", "inf", "-inf", "0x7fffffff", "true", "'", '"', "{",
         "}", "[", "]", "<", ">", ":", ",", ";", "#", "\\", "\n", "..", "/", "-", "\0", "\x1b",
         "\u00e9", "'\\xff'", "'\\777'", "layer", "layers", "input", "input_dim", "input_shape",
         "dim", "type", "name", "bottom", "top", "blobs", "data", "shape", "param", "include",
         "phase", "Python", "null", "{}", "[]", "():", "//")
GROWN = 300_000  # bytes that an input may grow to
_TOKEN = re.compile(r"\s+|[A-Za-z_]\w*|[-+.\w]+|\"[^\"\n]*\"|'[^'\n]*'|.", re.DOTALL)
_PACKED, _TEXT, _LARGE = 0.6, 0.8, 0.01  # how often a change minds the format; how often it is huge


def mutated(data: bytes, rng: Random, others: Sequence[bytes] = ()) -> bytes:
    """The data after a few changes.

    Args:
        others: inputs of the same kind, of which pieces are taken.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4, 8))):
        data = changed(data, rng, others)
    return data


def changed(data: bytes, rng: Random, others: Sequence[bytes] = (), depth: int = 0) -> bytes:
    """The data after one change, perhaps deep within what it packs."""
    codec = codecs.of(data) if depth < 8 and rng.random() < _PACKED else None
    if codec:
        try:
            return codec.pack(_changed_parts(codec.unpack(data), rng, others, depth))
        except Exception:  # what came before has broken the format, or it has no such form
            pass
    if rng.random() < _TEXT:
        try:
            return _changed_text(data.decode(), rng, others)
        except UnicodeDecodeError:
            pass
    return _changed_bytes(data, rng, others)


def _changed_parts(parts: codecs.Parts, rng: Random, others, depth: int) -> codecs.Parts:
    """One part changed, doubled, left out, moved, or many times repeated."""
    parts = [list(part) for part in parts]
    if not parts:
        return [[b"", b""]]
    i, choice = rng.randrange(len(parts)), rng.random()
    if choice < 0.6:
        weights = [1 + len(body) ** 0.5 for _, body in parts]  # most of what there is, is there
        i = i if rng.random() < 0.5 else rng.choices(range(len(parts)), weights)[0]
        parts[i][1] = changed(parts[i][1], rng, others, depth + 1)
    elif choice < 0.7 and parts[i][0]:
        parts[i][0] = changed(parts[i][0], rng, (), 8)
    elif choice < 0.8:
        parts.insert(rng.randrange(len(parts) + 1), list(parts[i]))
    elif choice < 0.88:
        del parts[i]
    elif choice < 0.95:
        j = rng.randrange(len(parts))
        parts[i], parts[j] = parts[j], parts[i]
    else:
        size = 1 + len(parts[i][0]) + len(parts[i][1])
        parts[i:i] = [parts[i]] * _times(size, rng)
    return parts


def _times(size: int, rng: Random) -> int:
    """How often something of this size is repeated; seldom very often."""
    most = GROWN if rng.random() < 10 * _LARGE else 2000
    return min(most // max(1, size) + 1, rng.choice((2, 10, 100, 1000, 100_000)))


# ------------------------------------------------------------------------------------------ bytes

def _changed_bytes(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    return rng.choice(_BYTES)(bytearray(data), rng, others)


def _span(data, rng: Random) -> tuple[int, int]:
    """A piece: often short, at any place."""
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 1, 2, 4, 8, 16, 64, 1000)))


def _flip(data: bytearray, rng: Random, others) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 8)) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _number(data: bytearray, rng: Random, others) -> bytes:
    """An interesting number, as some bytes."""
    width = rng.choice((1, 1, 2, 4, 8))
    value = rng.choice(INTERESTING) + rng.choice((0, 0, 0, 1, -1))
    at = rng.randrange(len(data) + 1)
    made = (value % 256**width).to_bytes(width, rng.choice(("little", "big")))
    return bytes(data[:at] + made + data[at + width:])


def _varint(data: bytearray, rng: Random, others) -> bytes:
    return codecs.varint(rng.choice(INTERESTING)) if len(data) < 11 else _number(data, rng, others)


def _cut(data: bytearray, rng: Random, others) -> bytes:
    return bytes(data[:rng.randrange(len(data) + 1)])


def _without(data: bytearray, rng: Random, others) -> bytes:
    start, stop = _span(data, rng)
    return bytes(data[:start] + data[stop:])


def _doubled(data: bytearray, rng: Random, others) -> bytes:
    start, stop = _span(data, rng)
    times = _times(stop - start, rng) if rng.random() < 0.2 else 2
    return bytes(data[:start] + data[start:stop] * times + data[stop:])


def _moved(data: bytearray, rng: Random, others) -> bytes:
    start, stop = _span(data, rng)
    piece, rest = data[start:stop], data[:start] + data[stop:]
    at = rng.randrange(len(rest) + 1)
    return bytes(rest[:at] + piece + rest[at:])


def _noise(data: bytearray, rng: Random, others) -> bytes:
    start, stop = _span(data, rng)
    return bytes(data[:start] + rng.randbytes(rng.choice((1, 2, 4, 16))) + data[stop:])


def _spliced(data: bytearray, rng: Random, others) -> bytes:
    other = rng.choice(others) if others else data
    start, stop = _span(other, rng)
    at = rng.randrange(len(data) + 1)
    return bytes(data[:at] + other[start:stop] + data[at + rng.choice((0, stop - start)):])


def _empty(data: bytearray, rng: Random, others) -> bytes:
    return rng.choice((b"", b"\0", bytes(len(data)), b"\xff" * len(data), b"\n"))


_BYTES = (_flip, _flip, _flip, _number, _number, _varint, _cut, _without, _doubled, _moved, _noise,
          _spliced, _empty)


# ------------------------------------------------------------------------------------------- text

def _changed_text(text: str, rng: Random, others: Sequence[bytes]) -> bytes:
    tokens = _TOKEN.findall(text)
    start, stop = _span(tokens, rng)
    piece = tokens[start:stop]
    choice = rng.random()
    if choice < 0.3:
        piece = [rng.choice(WORDS)]
    elif choice < 0.45:
        piece = [str(rng.choice(INTERESTING))]
    elif choice < 0.6:
        piece = [rng.choice(tokens or ["x"]) for _ in piece]
    elif choice < 0.7:
        piece = []
    elif choice < 0.8:
        piece = piece * (_times(sum(map(len, piece)), rng) if rng.random() < 0.3 else 2)
    elif choice < 0.88:
        other = _TOKEN.findall(rng.choice(others).decode("utf-8", "replace")) if others else tokens
        first, last = _span(other, rng)
        piece = other[first:last]
    elif choice < 0.94:
        piece = ["".join(piece) * _times(1 + sum(map(len, piece)), rng)]
    else:
        tokens, start, stop = tokens[:start], start, start
    made = "".join(tokens[:start]) + "".join(piece) + "".join(tokens[stop:])
    return made.encode("utf-8", "surrogateescape")
