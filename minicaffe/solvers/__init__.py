"""Solvers: how parameters move.  One file each; defining a class registers its type."""

from __future__ import annotations

from .sgd import SGDSolver
from .solver import Solver, get_solver

__all__ = ["SGDSolver", "Solver", "get_solver"]
