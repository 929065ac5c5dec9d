"""Solvers: how parameters move.  One file each; defining a class registers its type."""

from __future__ import annotations

from .checkpoints import Checkpoints
from .sgd import SGDSolver
from .solver import Solver, get_solver

__all__ = ["Checkpoints", "SGDSolver", "Solver", "get_solver"]
