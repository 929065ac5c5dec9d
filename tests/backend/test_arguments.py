"""No function of the package takes more arguments than a reader can hold."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import minicaffe

MOST = 12
PACKAGE = Path(minicaffe.__file__).parent


def too_long(source: str) -> list[tuple[str, int]]:
    """(name, number of arguments) of the functions with too many; innermost kernels may have them.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        given = node.args
        count = sum(map(len, (given.posonlyargs, given.args, given.kwonlyargs)))
        is_kernel = any(isinstance(mark, ast.Name) and mark.id == "intrinsic"
                        for mark in getattr(node, "decorator_list", ()))
        if count > MOST and not is_kernel:
            found.append((getattr(node, "name", "lambda"), count))
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")),
                         ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_take_few_arguments(path):
    assert too_long(path.read_text(encoding="utf-8")) == []


def test_a_long_function_is_found_and_an_innermost_kernel_is_not():
    names = ", ".join(f"a{i}" for i in range(MOST))
    assert too_long(f"def few({names}): pass") == []
    many = f"def many({names}, *, other): pass"
    assert too_long(f"class A:\n    {many}") == [("many", MOST + 1)]
    assert too_long(f"@inner\n{many}") == [("many", MOST + 1)]
    assert too_long(f"@intrinsic\n{many}") == []
