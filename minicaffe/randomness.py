"""Random numbers as pure functions of (seed, where they are needed): there is no state to lose."""

from __future__ import annotations

import hashlib
import secrets

import numpy

_seed: int | None = None


def set_random_seed(seed: int) -> None:
    """Seed the nets and solvers that are made from now on and bring no seed of their own."""
    global _seed
    _seed = int(seed)


def default_seed() -> int:
    """The seed of ``set_random_seed``, or else a fresh one."""
    return secrets.randbits(31) if _seed is None else _seed


def key(seed: int, *where: object) -> int:
    """64 bits that depend on the seed and the place: ``key(seed, "drop1", iteration)``."""
    text = "\0".join(str(part) for part in (seed, *where))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(seed: int, *where: object) -> numpy.random.Generator:
    """A NumPy generator, on the host, that belongs to this seed and place alone."""
    return numpy.random.Generator(numpy.random.Philox(key(seed, *where)))
