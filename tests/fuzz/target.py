"""What the harness attacks: one reader, or all that runs a net."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from .outcome import Outcome


class Target:
    """Makes inputs and tries them; the number of an input and the seed say all about it.

    Attributes:
        name: what tables call it.
        scratch: a folder for its files, of the process that tries.
    """

    name: str
    scratch: Path

    @property
    def options(self) -> str:
        """What the command is given to try one input of this target."""
        return f"--target {self.name} --inputs 1"

    def warm(self) -> None:
        """Have what is made but once made, before memory is measured."""

    def make(self, rng: Random) -> Any:
        """An input."""
        raise NotImplementedError

    def attempt(self, item: Any) -> Outcome:
        """What becomes of an input, in this process."""
        raise NotImplementedError

    def smaller(self, item: Any) -> Iterator[Any]:
        """Smaller inputs, those that are smallest first."""
        return iter(())

    def fault(self, item: Any, outcome: Outcome) -> str:
        """What tells a failure, once its input is small, from others."""
        return outcome.place

    def size(self, item: Any) -> int:
        """How large an input is; minimising makes this less."""
        raise NotImplementedError

    def save(self, item: Any, folder: Path) -> None:
        """Write an input into an empty folder."""
        raise NotImplementedError


def rng_of(target: Target, seed: int, index: int) -> Random:
    """The random numbers of one input."""
    return Random(f"{seed}/{target.name}/{index}")
