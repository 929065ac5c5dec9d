"""The progress bar of a training: what is to be read on a narrow terminal and on a wide one."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios

import pytest

from minicaffe.tools.progress import Bar, layout

NUMBERS = {"lr": 0.003, "loss": 0.14063, "test_loss": 0.288, "test_accuracy": 0.877,
           "images_per_second": 1630.4}
STATE = {"n": 1200, "total": 3000, "initial": 0, "elapsed": 70, "rate": 16.0}


def drawn(columns, numbers=NUMBERS, **state):
    state = {**STATE, **state}
    return Bar.format_meter(**{**state, "ncols": columns,
                               "bar_format": layout(columns, state, numbers)})


@pytest.mark.parametrize("columns", range(60, 200))
def test_from_60_columns_on_loss_accuracy_images_a_second_and_the_time_left_are_there(columns):
    line = drawn(columns)
    assert line.startswith(" 40% ") and len(line) <= columns
    for text in ("01:52 left", " loss 0.1406", "accuracy 0.8770", "1630 images/s"):
        assert text in line
    bar = re.search(r"\|(.*)\|", line)
    assert bar is None or len(bar[1]) >= 9


@pytest.mark.parametrize("numbers, state, telling", [
    ({"loss": 123.4567, "accuracy": 0.9, "images_per_second": 99999.0}, {"rate": 0.4},
     "1:15:00 left loss 123.5 accuracy 0.9000 99999 images/s"),
    ({"loss": 3.2e-5, "validation_accuracy": 1.0, "images_per_second": 12.0}, {},
     "01:52 left loss 3.2e-05 accuracy 1.0000 12 images/s")])
def test_60_columns_hold_large_and_small_numbers_too(numbers, state, telling):
    assert drawn(60, numbers, **state).rstrip() == f" 40% {telling}"


def test_a_wide_terminal_shows_a_bar_and_all_numbers_a_narrow_one_the_time_first():
    wide = drawn(140)
    assert re.fullmatch(r" 40% \|.{40,}\| 1200/3000 01:52 left loss 0\.1406 accuracy 0\.8770 "
                        r"1630 images/s lr 0\.003 test_loss 0\.2880", wide)
    assert drawn(30).rstrip() == " 40% 01:52 left loss 0.1406"
    assert drawn(10).rstrip().startswith(" 40% ")


def test_before_the_first_numbers_there_is_the_bar():
    line = drawn(80, {}, n=0, rate=None, elapsed=0)
    assert line.startswith("  0% |") and line.endswith("| 0/3000 ?:?? left")


def test_names_with_braces_are_no_formats():
    assert "a{b}loss 0.5000" in drawn(100, {"a{b}loss": 0.5})


@pytest.mark.parametrize("columns", [60, 100])
def test_on_a_terminal_a_training_shows_it(tmp_path, columns):
    command = [sys.executable, "-m", "minicaffe", "train", "--iterations", "60", "--display", "20",
               "--test-interval", "30", "--device", "cpu"]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        os.execvpe(command[0], command, {name: value for name, value in os.environ.items()
                                         if name not in ("COLUMNS", "LINES")})
    said = b""
    try:
        while part := os.read(terminal, 4096):
            said += part
    except OSError:  # the other end is closed
        pass
    assert os.waitpid(child, 0)[1] == 0, said
    last = said.decode().split("\r100%")[-1].split("\r")[0]
    assert re.search(r"00:00 left loss \S+ accuracy \S+ \d+ images/s", last), said
    assert len("100%" + last) <= columns
