"""Learning-rate policies: the rate of an iteration, from a SolverParameter's fields."""

from __future__ import annotations

from collections.abc import Callable

import numpy

from ..errors import ParameterError, expect_known

_policies: dict[str, tuple[Callable, tuple[str, ...]]] = {}


def _policy(*needs: str):
    def register(function: Callable) -> Callable:
        _policies[function.__name__] = function, needs
        return function
    return register


def check_policy(param) -> None:
    """Errors: ParameterError for an unknown policy, or one whose parameters are missing."""
    expect_known(param.lr_policy, _policies, "solver: lr_policy", f"one of {', '.join(_policies)}")
    for name in (*_policies[param.lr_policy][1], "base_lr"):
        if not param.HasField(name):
            raise ParameterError("solver", f"{name} for lr_policy '{param.lr_policy}'", "none")
    if param.lr_policy in ("step", "sigmoid") and param.stepsize < 1:
        raise ParameterError("solver: stepsize", "1 or more", param.stepsize)
    if param.lr_policy == "poly" and param.max_iter < 1:
        raise ParameterError("solver: max_iter", "1 or more for lr_policy 'poly'", param.max_iter)


def learning_rate(param, iteration: int) -> float:
    """The rate of an iteration (0 is the first).

    Computed in doubles as C does: what is too large is infinite, which the loss then shows.
    """
    with numpy.errstate(all="ignore"):
        return float(param.base_lr * _policies[param.lr_policy][0](param, numpy.float64(iteration)))


def current_step(param, iteration: int) -> int:
    """How many steps of the policies step and multistep lie behind an iteration."""
    if param.lr_policy == "step":
        return iteration // param.stepsize
    if param.lr_policy == "multistep":
        return _passed(param, iteration)
    return 0


def _passed(param, iteration: int) -> int:
    """Steps taken: each asks for the one before, so that unordered values wait their turn."""
    steps = 0
    while steps < len(param.stepvalue) and iteration >= param.stepvalue[steps]:
        steps += 1
    return steps


@_policy()
def fixed(param, i):
    """1"""
    return 1.0


@_policy("gamma", "stepsize")
def step(param, i):
    """gamma ^ floor(i / stepsize)"""
    return numpy.float64(param.gamma) ** (i // param.stepsize)


@_policy("gamma")
def exp(param, i):
    """gamma ^ i"""
    return numpy.float64(param.gamma) ** i


@_policy("gamma", "power")
def inv(param, i):
    """(1 + gamma * i) ^ -power"""
    return (1 + param.gamma * i) ** -param.power


@_policy("gamma")
def multistep(param, i):
    """gamma ^ (number of stepvalues behind i)"""
    return param.gamma ** _passed(param, i)


@_policy("power", "max_iter")
def poly(param, i):
    """(1 - i / max_iter) ^ power"""
    return (1 - min(1.0, i / param.max_iter)) ** param.power


@_policy("gamma", "stepsize")
def sigmoid(param, i):
    """1 / (1 + exp(-gamma * (i - stepsize)))"""
    return 1 / (1 + numpy.exp(-param.gamma * (i - param.stepsize)))
