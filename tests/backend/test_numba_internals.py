"""What is relied on of numba is there, in one file, and within the bounds that setup.cfg gives."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import Path

import numba
import numpy
import pytest
from numba import types

from minicaffe.backend.cpu.runtime import numba_internals
from minicaffe.errors import DeviceError

ROOT = Path(__file__).resolve().parents[2]
# What others may import of numba: what its manual tells writers of extensions to use.
OPEN = {"numba", "numba.extending", "numba.core.types", "numba.core.cgutils", "numba.core.ir",
        "numba.core.compiler", "numba.core.compiler_machinery", "numba.core.untyped_passes",
        "llvmlite.ir"}


def minor(version: str) -> tuple[int, int]:
    return tuple(map(int, re.match(r"(\d+)\.(\d+)", version).groups()))


def test_the_bound_for_numba_is_the_next_version_after_the_newest_that_these_tests_ran_with():
    """They run with the newest that the bounds allow, as pip chooses it, or with the oldest."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    (bounds,) = re.findall(r"^numba>=([\d.]+),<([\d.]+)$", setup["options"]["install_requires"],
                           re.MULTILINE)
    oldest, bound = map(minor, bounds)
    here = minor(numba.__version__)
    assert here == oldest or bound == (here[0], here[1] + 1)


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {node.module} if node.module in OPEN else inner
    return {name for name in names if name.startswith(("numba", "llvmlite"))}


def test_one_file_alone_knows_numba_from_within():
    known = ROOT / "minicaffe" / "backend" / "cpu" / "runtime" / "numba_internals.py"
    seen = set()
    for file in (ROOT / "minicaffe").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names, inside = imported(tree), file == known
        seen |= names
        assert inside or names <= OPEN, file
        private = {node.attr for node in ast.walk(tree)
                   if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr)
                   and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))}
        ours = {"_tree", "_at_fork_reinit"}
        if not inside and names:
            assert private <= ours, (file, private)
    assert "numba.extending" in seen


def test_an_attribute_that_numba_would_not_look_up_is_an_error():
    with pytest.raises(DeviceError) as error:
        numba_internals._replace(abs, "_insert", None)
    assert str(error.value) == (
        "device 'cpu': expected a numba that it knows, with its compiler enabled, got numba "
        f"{numba.__version__}, whose builtin_function_or_method has no _insert.")


def test_code_is_written_and_read_under_a_name_for_each_function_and_kind_of_arguments():
    kept = {}

    def made(factor, source="source", **options):
        def scale(x):
            return factor * x

        dispatcher = numba.njit(**options)(scale)
        numba_internals.keep_compiled(dispatcher, source, kept.get, kept.__setitem__)
        return dispatcher

    assert made(2)(3) == 6 and len(kept) == 1
    (name,) = kept
    assert re.fullmatch(r"[A-Za-z0-9_]+_scale-[0-9a-f]{24}", name)
    again = made(2)
    assert again(4) == 8 and len(kept) == 1 and sum(again.stats.cache_hits.values()) == 1
    assert again(4.0) == 8.0 and len(kept) == 2
    assert made(3)(3) == 9 and len(kept) == 3
    assert made(2, "other")(3) == 6 and len(kept) == 4
    assert made(2, fastmath={"nnan", "reassoc"})(3) == 6 and len(kept) == 5
    assert made(2, fastmath={"reassoc", "nnan"})(3) == 6 and len(kept) == 5


def test_code_for_other_arguments_is_not_taken_for_what_was_asked_for():
    kept = {}

    def twice(x):
        return 2 * x

    def made():
        dispatcher = numba.njit(twice)
        numba_internals.keep_compiled(dispatcher, "", kept.get, kept.__setitem__)
        return dispatcher

    made()(1), made()(1.5)
    whole, fraction = kept
    kept[whole] = kept[fraction]
    assert made()(3) == 6 and made()(1.5) == 3.0


def test_code_with_addresses_of_this_process_is_not_written():
    kept, large = {}, numpy.zeros(10**6)

    def first():
        return large[0]

    dispatcher = numba.njit(first)
    numba_internals.keep_compiled(dispatcher, "", kept.get, kept.__setitem__)
    assert dispatcher() == 0
    assert bool(kept) != dispatcher.overloads[()].library.has_dynamic_globals


def test_the_address_of_a_function_is_where_it_can_be_called():
    import ctypes

    @numba.njit
    def plus(a, b):
        return a + b

    place = numba_internals.address(plus, (types.int64, types.int64), for_c=True)
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(place)
    assert call(2, 3) == 5
    assert numba_internals.address(plus, (types.int64, types.int64)) not in (0, place)


def test_compiling_and_finding_types_is_done_within_the_context():
    entered = []

    class Guard:
        def __enter__(self):
            entered.append(1)

        def __exit__(self, *error):
            entered.append(-1)

    dispatcher = numba.njit(lambda x: x)
    numba_internals.compile_within(dispatcher, Guard)
    dispatcher(1)
    assert entered[0] == 1 and sum(entered) == 0
    count = len(entered)
    dispatcher(1)
    assert len(entered) == count
    dispatcher.compile((types.float64,))
    assert len(entered) > count


def test_numba_tells_when_it_compiles():
    told = []
    numba_internals.when_compiling(told.append)
    numba.njit(lambda x: x)(1)
    assert told == [__name__]
