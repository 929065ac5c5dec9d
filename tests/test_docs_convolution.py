"""docs/convolution.md says what the code does: its examples, quotations, figures and table."""

import ast
import contextlib
import io
import re
import runpy
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "convolution.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$\n\n```\n(.*?)^```$", TEXT, re.S | re.M)
QUOTED = [(path, name, code) for path, name, blocks in re.findall(
    r"^`(minicaffe/\S+\.py)`: `([\w.]+)`\n\n((?:```py\n.*?^```\n\n?)+)", TEXT, re.S | re.M)
    for code in re.findall(r"```py\n(.*?)```", blocks, re.S)]


@pytest.fixture(scope="module")
def figures():
    return runpy.run_path(str(ROOT / "docs" / "figures.py"))


def source(path, name):
    """The lines of a function, method or class."""
    text = (ROOT / path).read_text()
    found = ast.parse(text)
    for part in name.split("."):
        found = next(node for node in found.body if getattr(node, "name", None) == part)
    return text.splitlines()[found.lineno - 1:found.end_lineno]


def test_every_example_prints_what_stands_below_it():
    assert len(EXAMPLES) == TEXT.count("```python\n")
    session = {"__name__": "example"}
    for code, output in EXAMPLES:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, "convolution.md", "exec"), session)
        assert printed.getvalue() == output, code


def test_every_quotation_has_its_file_and_function():
    assert len(QUOTED) == TEXT.count("```py\n")


@pytest.mark.parametrize("path, name, code", QUOTED)
def test_a_quoted_line_stands_in_the_code(path, name, code):
    lines, count = source(path, name), len(code.splitlines())
    blocks = [textwrap.dedent("\n".join(lines[i:i + count])) for i in range(len(lines))]
    assert code.rstrip("\n") in blocks


def test_places_named_in_the_text_exist():
    for path in re.findall(r"`((?:minicaffe|docs)/[\w/]+\.py)`", TEXT):
        assert (ROOT / path).exists(), path


def test_the_text_shows_every_figure_of_the_script(figures):
    shown = re.findall(r"\]\((figures/.*?)\)", TEXT)
    assert sorted(shown) == sorted(f"figures/{name}.svg" for name in figures["FIGURES"])
    assert sum((ROOT / "docs" / path).stat().st_size for path in shown) < 400_000


def test_the_table_is_the_one_counted(figures):
    assert f"\n\n{figures['table']()}\n\n" in TEXT


def test_the_script_draws_the_figures_that_are_kept(figures, tmp_path):
    pytest.importorskip("matplotlib")
    figures["draw"](tmp_path / "first")
    figures["draw"](tmp_path / "second")

    def texts(path):  # another matplotlib may place them elsewhere, but not change what they say
        return re.findall(r"<!-- (.*?) -->", path.read_text())

    for drawn in (tmp_path / "first").iterdir():
        assert drawn.read_bytes() == (tmp_path / "second" / drawn.name).read_bytes(), drawn.name
        assert texts(drawn), drawn.name
        assert texts(drawn) == texts(ROOT / "docs" / "figures" / drawn.name), drawn.name
