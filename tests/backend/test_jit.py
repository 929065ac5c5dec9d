"""The cache of compiled code: it is hit, it is never stale, and it is not needed."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numba
import numpy
import pytest

from minicaffe.backend.cpu import elementwise
from minicaffe.backend.cpu.formulas import fingerprint
from minicaffe.backend.cpu.runtime import jit
from minicaffe.elementwise import exp

from .processes import printed, run

SOFTMAX = """
import numpy
from minicaffe.backend import get_backend
backend = get_backend("cpu")
x = numpy.zeros((1, 4, 1), numpy.float32)
backend.softmax(x, x)
print(x.sum())
"""
FORMULA = """
import numpy
from minicaffe.backend import get_backend
from formula import twice
x = numpy.ones(3, numpy.float32)
get_backend("cpu").map(twice, x, x)
print(x[0])
"""


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*.nb*"))


def test_a_second_process_loads_what_the_first_compiled(tmp_path):
    code = SOFTMAX + "print(Counter.count)"
    first = printed(code, count=True, NUMBA_CACHE_DIR=str(tmp_path))
    kept = files(tmp_path)
    second = printed(code, count=True, NUMBA_CACHE_DIR=str(tmp_path))
    assert first[0] == second[0] == "1.0"
    assert int(first[1]) > 0 and int(second[1]) == 0
    assert kept and files(tmp_path) == kept


def test_compiling_is_announced_once_and_loading_is_not(tmp_path):
    code = SOFTMAX + "backend.uniform(numpy.zeros(1, numpy.uint64), x)"
    line = ("minicaffe.cpu INFO compiling kernels that are new here, to be kept: this run starts "
            "some seconds later\n")
    for expected in (line, ""):
        result = run(code, count=True, NUMBA_CACHE_DIR=str(tmp_path))
        assert result.stderr == expected


def test_a_formula_is_kept_too_until_something_that_it_names_changes(tmp_path):
    def outcome(helper, factor):
        (tmp_path / "helper.py").write_text(f"def plus(x):\n    return x + {helper}\n")
        (tmp_path / "formula.py").write_text(
            "from helper import plus\n"
            f"FACTOR = {factor}\ndef twice(x):\n    return FACTOR * plus(x)\n")
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})" + FORMULA
        return printed(code + "print(Counter.count > 0)", count=True,
                       NUMBA_CACHE_DIR=str(tmp_path / "cache"))

    assert outcome(0, 2.0) == ["2.0", "True"]
    assert outcome(0, 2.0) == ["2.0", "False"]
    assert outcome(0, 3.0) == ["3.0", "True"]
    assert outcome(1, 3.0) == ["6.0", "True"]
    assert outcome(0, 2.0) == ["2.0", "False"]


@jit.inner(cache=False)
def _times(a, b):
    return a * b


@jit.compiled(cache=False)
def _many_times(a):
    return _times(a, 2) + _times(3, a) + _times(a, a)


def test_a_function_is_not_compiled_anew_for_each_number_in_a_call():
    assert _many_times(5) == 10 + 15 + 25
    assert len(_times.overloads) == 1


def test_a_function_for_compiled_code_alone_says_so():
    _many_times(5)
    with pytest.raises(TypeError, match="_times is for calls from compiled code: it has no way in"):
        _times(5, 5)


def scaled(factor):
    return lambda x: factor * exp(x)


def test_a_fingerprint_covers_code_and_captured_values():
    assert fingerprint(scaled(2.0)) == fingerprint(scaled(2.0))
    assert fingerprint(scaled(2.0)) != fingerprint(scaled(3.0))
    assert fingerprint(lambda x: x + 1) != fingerprint(lambda x: x - 1)
    assert fingerprint(lambda x: x + 1) != fingerprint(lambda x: x + 2)
    assert fingerprint(scaled(scaled(2.0))) != fingerprint(scaled(scaled(3.0)))
    assert fingerprint(numpy.exp) != fingerprint(numpy.log)
    assert fingerprint(scaled(object())) is None


def test_a_formula_that_is_written_anew_is_compiled_once_for_what_it_captured(monkeypatch):
    compiled = []

    def loop(*key):
        compiled.append(key)
        return lambda *arguments: None

    monkeypatch.setattr(elementwise, "loop", loop)
    calls, x = elementwise.Calls(), numpy.ones(3, numpy.float32)
    for factor in (2.0, 2.0, 3.0, 2.0):
        for formula in (scaled(factor), scaled(scaled(factor))):  # one captures a formula
            calls.map(formula, (x,), (x,))
    assert len(compiled) == 4


def test_a_formula_without_a_file_compiles():
    code = """
import numpy
from minicaffe.backend import get_backend
x = numpy.ones(3, numpy.float32)
get_backend("cpu").map(lambda x: 5 * x, x, x)
print(x[0])
"""
    assert printed(code) == ["5.0"]


def test_a_formula_of_a_module_that_cannot_be_imported_runs_in_every_process(tmp_path):
    code = """
import numpy
from minicaffe.backend import get_backend
x = numpy.ones(3, numpy.float32)
names = {"__name__": "made_on_the_fly"}
exec("def formula(x): return 7 * x", names)
get_backend("cpu").map(names["formula"], x, x)
print(x[0])
"""
    for _ in range(2):  # the second process must not look for the module
        assert printed(code, NUMBA_CACHE_DIR=str(tmp_path)) == ["7.0"]


@pytest.mark.parametrize("changed, differs", [
    ("backend/cpu/matrix/gemm.py", True), ("backend/base.py", True), ("elementwise.py", True),
    ("window.py", False)])
def test_the_folder_of_the_cache_depends_on_the_sources_of_the_kernels(tmp_path, changed, differs):
    copy = tmp_path / "minicaffe"
    shutil.copytree(jit.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = jit.digest(copy, jit.SOURCES)
    os.utime(copy / changed, (0, 0))
    assert jit.digest(copy, jit.SOURCES) == before == jit.digest(jit.PACKAGE, jit.SOURCES)
    with (copy / changed).open("a") as file:
        file.write("# changed\n")
    assert (jit.digest(copy, jit.SOURCES) != before) == differs


def test_the_folder_of_the_cache_depends_on_compiler_and_processor(monkeypatch):
    found = {jit.digest(jit.PACKAGE, jit.SOURCES)}
    for name, value in (("numba.__version__", "0.0"), ("llvmlite.__version__", "0.0"),
                        ("llvmlite.binding.get_host_cpu_name", lambda: "abacus")):
        with monkeypatch.context() as patch:
            patch.setattr(name, value)
            found.add(jit.digest(jit.PACKAGE, jit.SOURCES))
    assert len(found) == 4


def test_damaged_code_is_compiled_again_and_replaced(tmp_path):
    code = """
import numpy
from minicaffe.backend import get_backend
x = numpy.ones(3, numpy.float32)
get_backend("cpu").map(lambda x: 9 * x, x, x)
print(x[0], Counter.count > 0)
"""
    def outcome():
        return printed(code, count=True, NUMBA_CACHE_DIR=str(tmp_path))
    assert outcome() == ["9.0 True"] and outcome() == ["9.0 False"]
    for ending, content in ((".nbc", b""), (".nbi", b"nonsense")):
        files = list(tmp_path.rglob(f"*{ending}"))
        assert files
        for file in files:
            file.write_bytes(content)
        assert outcome() == ["9.0 True"]
        assert outcome() == ["9.0 False"]


def test_a_full_disk_for_the_cache_is_no_more_than_a_note(tmp_path):
    code = """
import numpy, resource
from minicaffe.backend import get_backend
x = numpy.ones(3, numpy.float32)
backend = get_backend("cpu")
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
backend.map(lambda x: 9 * x, x, x)
print(x[0])
"""
    result = run(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert result.returncode == 0 and result.stdout == "9.0\n"
    assert "compiled code cannot be kept: File too large" in result.stderr


def test_an_installed_package_is_the_last_place_for_the_cache():
    package = Path("/venv/lib/site-packages/minicaffe/backend/cpu")
    assert jit.cache_places({"HOME": "/h"}, "linux", package) == [
        Path("/h/.cache/minicaffe"), package / "__pycache__"]


def test_places_for_the_cache_in_order():
    package = Path("package")
    assert jit.cache_places({"HOME": "/h"}, "linux", package) == [
        package / "__pycache__", Path("/h/.cache/minicaffe")]
    assert jit.cache_places({"HOME": "/h"}, "darwin", package)[1:] == [
        Path("/h/Library/Caches/minicaffe")]
    assert jit.cache_places({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "linux", package)[1:] == [
        Path("/x/minicaffe")]
    assert jit.cache_places({"LOCALAPPDATA": "/l"}, "win32", package)[1:] == [
        Path("/l/minicaffe/cache")]
    assert jit.cache_places({}, "linux", package) == [package / "__pycache__"]
    assert jit.cache_places({"HOME": "/h", "NUMBA_CACHE_DIR": "/n"}, "linux", package) == [
        Path("/n/minicaffe")]


def test_the_first_place_that_can_be_written_is_taken(tmp_path):
    file = tmp_path / "file"
    file.write_text("")  # nobody, not even root, can make a folder in a file
    good = tmp_path / "a" / "b"
    assert jit.first_writable([file / "x", good, tmp_path / "c"]) == good
    assert good.is_dir() and not (tmp_path / "c").exists() and list(good.iterdir()) == []
    assert jit.first_writable([file / "x", file]) is None


def test_where_nothing_can_be_written_code_is_compiled_in_memory_with_one_note(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    result = run("import logging; logging.basicConfig(format='%(name)s %(levelname)s %(message)s')"
                 + SOFTMAX, NUMBA_CACHE_DIR=str(file))
    assert result.stdout == "1.0\n", result.stderr
    assert result.stderr == (
        "minicaffe WARNING no folder can be written to keep compiled code in: it is compiled "
        "again in every process. Set NUMBA_CACHE_DIR to a writable folder.\n")


def test_folders_of_other_versions_go_after_a_while(tmp_path):
    ours, old, young, foreign = (tmp_path / name for name in (
        "kernels-ours", "kernels-old", "kernels-young", "foreign"))
    now = time.time()
    for folder, age in ((ours, 100), (old, 100), (young, 1), (foreign, 100)):
        folder.mkdir()
        (folder / "code").write_text("")
        os.utime(folder, (now - age, now - age))
    jit.remove_stale(ours, now - 50)
    assert sorted(tmp_path.iterdir()) == sorted([ours, young, foreign])


def test_the_users_own_setting_of_the_cache_is_left_alone(monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", "theirs")
    made = jit.compiled(test_places_for_the_cache_in_order)
    assert numba.config.CACHE_DIR == "theirs"
    folder = "kernels-" + jit.digest(jit.PACKAGE, jit.SOURCES)
    assert folder in Path(made._cache.cache_path).parts
