"""A prototxt of a stranger takes memory and time in proportion to it, and is told in one line."""

import pytest

from minicaffe.errors import FileFormatError, ParseError
from minicaffe.proto import LayerParameter, NetParameter
from minicaffe.proto.text import parse_text, read_text
from minicaffe.proto.upgrade import read_net

from .bounded import assert_bounded
from .test_kinds import OTHERS

MANY = 100_000
FEW_TIMES = ("expected a message that takes a few times the memory of its text, got very many "
             "small fields.")


@pytest.mark.parametrize("text, told", [
    ("," * 30 * MANY, ":1:1: expected the name of a field, got ','."),
    (" " * 100 * MANY, ""),
    ("#\n" * 10 * MANY, ""),
    ('name: "' + "a" * 100 * MANY + '"', ""),
    ('name: "' + "\\n" * 30 * MANY + '\U0001f600"', ""),
    ("name: " + '"" ' * MANY, ""),
    ("layer{}" * 5 * MANY, FEW_TIMES),
    ("layers{}" * 5 * MANY, FEW_TIMES),
    ("layer{" + "blobs{}" * 5 * MANY + "}", FEW_TIMES),
    ("layer{top:[" + '"",' * 8 * MANY + '""]}', FEW_TIMES),
    ("layers{blobs_lr:[" + "1," * MANY + "1]}", "expected at most 1000 parameters, got 100001."),
    ("input: 'a' input_dim: [" + "1," * MANY + "1]", ""),
    ("input: 'a' " * MANY + "input_dim: 1", "at most 1000 inputs, got 100000."),
    ("input: 'a' " * 1000 + "input_dim: 1", "a shape for each of the 1000 inputs (a, a, a,"),
    ("gadget {" + "{" * 100 * MANY, ":1:108: expected blocks at most 100 deep, got more."),
    ("layer { type: 'Own' " + "own: 1 " * MANY + "}", ""),
    ("layer { name: '" + "n" * MANY, " no closing '."),
    ("layer { loss_weight: " + "1" * 20 * MANY + "x }", "111 ... 111"),
    ("a" * 50 * MANY + ": 1", "expected the name of a field, got 'aaa"),
])
def test_texts_that_ask_for_much_take_little_memory(tmp_path, text, told):
    path = tmp_path / "net.prototxt"
    path.write_text(text, "utf-8")
    error = assert_bounded(read_net, path)
    assert told in error and bool(told) == bool(error)


def error_of(text, message=LayerParameter):
    with pytest.raises(ParseError) as caught:
        parse_text(text, message, "n.prototxt")
    return str(caught.value)


@pytest.mark.parametrize("digits", ["1" * 50_000, "0x" + "f" * 50_000, "." + "1" * 50_000])
def test_a_number_of_many_digits_is_a_number(digits):
    parse_text(f"loss_weight: {digits}", LayerParameter)
    shown = error_of(f"loss_weight: {digits}z")
    assert len(shown) < 200 and shown.startswith("n.prototxt:1:14: expected a number for 'loss_")


def test_a_long_text_is_shown_by_its_ends():
    assert error_of("name: " + "a" * 1000) == (
        f"n.prototxt:1:7: expected a string in quotes for 'name', got '{'a' * 65} ... "
        f"{'a' * 33}'. Hint: write \"{'a' * 66} ... {'a' * 34}\""
    )


@pytest.mark.parametrize("text, value", [
    (r'"a\"b"', 'a"b'), (r"'\\'", "\\"), (r'"\\\\" "x"', "\\\\x"), (r'"\x41b\n"', "Ab\n"),
    ("'\"'", '"'), (r'"\303\251"', "é"),
])
def test_escapes_in_strings(text, value):
    assert parse_text(f"name: {text} type: 'x'", LayerParameter).name == value


@pytest.mark.parametrize("text", ['"a\\', '"a\\"', '"a\\\n"', '"a\n"', "'a\""])
def test_a_string_without_its_end_is_told_where_it_begins(text):
    assert error_of(f"name: {text}") == (
        f"n.prototxt:1:7: the string that starts here has no closing {text[0]}."
    )


@pytest.mark.parametrize("text, place, shown", [
    ("name: “a”", "1:7", "“"), ("\n  é: 1", "2:3", "é"), ("\x7f", "1:1", "\\x7f"),
    ("name\xa0: 'a'", "1:5", "\\xa0"),
])
def test_a_character_that_is_none_of_the_syntax_is_told(text, place, shown):
    assert error_of(text) == f"n.prototxt:{place}: unexpected character '{shown}'."


def test_columns_count_characters_of_any_alphabet():
    assert error_of("name: 'äöü' type: 3").startswith("n.prototxt:1:19: ")


@pytest.mark.parametrize("content, told", OTHERS[:-1])
def test_files_of_other_kinds_are_told(tmp_path, content, told):
    path = tmp_path / "net.prototxt"
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        read_text(path, NetParameter)
    assert str(caught.value) == (
        f"{path}: expected a prototxt, which is text (NetParameter), got {told}")
