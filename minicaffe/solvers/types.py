"""Solvers by the type that a solver file names."""

from __future__ import annotations

from ..errors import expect_known
from .nets import solver_param

_types: dict[str, type] = {}


class OfType(type):
    """What makes ``Solver(file)`` the solver of the type that the file names; it is read once.

    Every subclass is registered: ``<Type>Solver`` is the solver of that type.
    """

    def __init__(cls, name: str, bases: tuple[type, ...], members: dict[str, object]):
        super().__init__(name, bases, members)
        if not _is_base(cls):
            _types[name.removesuffix("Solver")] = cls

    def __call__(cls, param, **options):
        param = solver_param(param)
        return type.__call__(_named(param.type) if _is_base(cls) else cls, param, **options)


def _is_base(cls: type) -> bool:
    """Whether it is ``Solver`` itself."""
    return cls.__base__ is object


def _named(kind: str) -> type:
    expect_known(kind, _types, "solver: type", f"one of {', '.join(sorted(_types))}")
    return _types[kind]
