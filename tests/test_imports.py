"""Who imports whom is part of the design: imports run one way, and never in a circle."""

import ast
from pathlib import Path

import minicaffe

PACKAGE = Path(minicaffe.__file__).parent


def modules() -> dict[str, Path]:
    """Every module of the package by its full name."""
    found = {}
    for file in PACKAGE.rglob("*.py"):
        parts = ("minicaffe", *file.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(name: str, file: Path, known) -> set[str]:
    """The modules of the package that one imports, in functions and for type checkers as well."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[:len(package.split(".")) - node.level + 1]
            base = ".".join(base if node.level else []) or ""
            base = ".".join(part for part in (base, node.module) if part)
            names = {f"{base}.{alias.name}" for alias in node.names}
            found.update(names & known or {base})
            if not names <= known:
                found.add(base)
    return {module for module in found if module in known and module != name}


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that reach each other (Tarjan's strongly connected components)."""
    index, low, stack, found = {}, {}, [], []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(arrows[module]):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            members = []
            while not members or members[-1] != module:
                members.append(stack.pop())
            if len(members) > 1:
                found.append(sorted(members))

    for module in sorted(arrows):
        if module not in index:
            visit(module)
    return found


def test_no_module_imports_another_in_a_circle():
    known = modules()
    assert circles({name: imports(name, file, set(known)) for name, file in known.items()}) == []


def test_a_circle_would_be_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
