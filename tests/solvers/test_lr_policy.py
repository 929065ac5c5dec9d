"""Learning-rate policies against their formulas, written out."""

import math

import pytest

from minicaffe.errors import ParameterError
from minicaffe.proto import SolverParameter
from minicaffe.solvers.lr_policy import check_policy, current_step, learning_rate


def solver(**fields):
    return SolverParameter(base_lr=0.5, max_iter=10, **fields)


@pytest.mark.parametrize("fields, expected", [
    (dict(lr_policy="fixed"), lambda i: 0.5),
    (dict(lr_policy="step", gamma=0.25, stepsize=3),
     lambda i: 0.5 * 0.25 ** [0, 0, 0, 1, 1, 1, 2, 2, 2, 3][i]),
    (dict(lr_policy="exp", gamma=0.5), lambda i: 0.5 * 0.5 ** i),
    (dict(lr_policy="inv", gamma=0.5, power=2), lambda i: 0.5 / (1 + 0.5 * i) ** 2),
    (dict(lr_policy="multistep", gamma=0.5, stepvalue=[2, 5]),
     lambda i: [0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125, 0.125, 0.125, 0.125][i]),
    (dict(lr_policy="poly", power=2), lambda i: 0.5 * (1 - i / 10) ** 2),
    (dict(lr_policy="sigmoid", gamma=-0.5, stepsize=4),
     lambda i: 0.5 / (1 + math.exp(0.5 * (i - 4)))),
], ids=lambda value: value["lr_policy"] if isinstance(value, dict) else "")
def test_policy_is_its_formula(fields, expected):
    param = solver(**fields)
    check_policy(param)
    for i in range(10):
        assert learning_rate(param, i) == pytest.approx(expected(i), rel=1e-6)


def test_current_step_counts_the_steps_behind():
    multistep = solver(lr_policy="multistep", gamma=0.5, stepvalue=[2, 5])
    assert [current_step(multistep, i) for i in (0, 1, 2, 4, 5, 9)] == [0, 0, 1, 1, 2, 2]
    step = solver(lr_policy="step", gamma=0.5, stepsize=3)
    assert [current_step(step, i) for i in (0, 2, 3, 9)] == [0, 0, 1, 3]
    assert current_step(solver(lr_policy="fixed"), 9) == 0


def test_an_unknown_policy_gets_a_suggestion():
    with pytest.raises(ParameterError, match=r"lr_policy: expected one of .*, got 'multi_step'. "
                                             r"Hint: did you mean 'multistep'\?"):
        check_policy(solver(lr_policy="multi_step"))


def test_a_missing_parameter_is_named():
    with pytest.raises(ParameterError, match="expected gamma for lr_policy 'exp', got none"):
        check_policy(solver(lr_policy="exp"))
    with pytest.raises(ParameterError, match="stepsize: expected 1 or more, got 0"):
        check_policy(solver(lr_policy="step", gamma=0.1, stepsize=0))


@pytest.mark.parametrize("fields, iteration, expected", [
    (dict(lr_policy="sigmoid", gamma=0.1, stepsize=10000), 0, 0.0),
    (dict(lr_policy="exp", gamma=1.1), 10000, math.inf),
    (dict(lr_policy="inv", gamma=-0.1, power=0.75), 100, math.nan),
    (dict(lr_policy="poly", power=1), 20, 0.0)])
def test_what_is_too_large_or_undefined_is_so_in_doubles(fields, iteration, expected):
    assert learning_rate(solver(**fields), iteration) == pytest.approx(expected, nan_ok=True)


def test_poly_needs_a_last_iteration():
    param = solver(lr_policy="poly", power=1)
    param.max_iter = 0
    with pytest.raises(ParameterError, match="max_iter: expected 1 or more for lr_policy 'poly'"):
        check_policy(param)
