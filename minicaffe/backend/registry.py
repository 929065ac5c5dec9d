"""The devices that are known by name, and their backends, each made when first used."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import DeviceError, nearest

_makers: dict[str, Callable] = {}
_made: dict[str, object] = {}
_current = "cpu"


def register_backend(name: str, maker: Callable) -> None:
    """Make a device known by name; ``maker`` is called when it is first used."""
    _makers[name] = maker


def get_backend(name: str | None = None):
    """The backend of a device, or of the current one.

    Errors: DeviceError for an unknown name, or where a part that the device needs is missing.
    """
    name = _current if name is None else name
    if name not in _makers:
        raise DeviceError(f"device '{name}'", f"one of {', '.join(sorted(_makers))}", repr(name),
                          nearest(str(name), _makers))
    if name not in _made:
        _made[name] = _makers[name]()
    return _made[name]


def choose(name: str) -> None:
    """Let a device be the current one.  Errors: as ``get_backend``."""
    global _current
    get_backend(name)
    _current = name
