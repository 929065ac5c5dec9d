"""What a name that is not known must have meant: one rule for fields, files, options, layers."""

import pytest

from minicaffe.errors import meant_by, nearest, slips_between


@pytest.mark.parametrize("a, b, slips", [
    ("tpye", "type", 1), ("", "abc", 3), ("kernal_size", "kernel_size", 1), ("abc", "abc", 0),
    ("abc", "cba", 2), ("sdt", "std", 1), ("ab", "", 2)])
def test_a_swap_of_neighbours_is_one_slip(a, b, slips):
    assert slips_between(a, b) == slips_between(b, a) == slips


@pytest.mark.parametrize("name, known, meant", [
    ("RELU", ["ELU", "ReLU"], "ReLU"),  # capitals do not count
    ("Max_Iter", ["max_iter"], "max_iter"),
    ("kernel", ["kernel_size"], "kernel_size"),
    ("ker", ["kernel_size"], ""),  # too little of it
    ("net.prototxt", ["net_old.prototxt", "net.caffemodel"], ""),
    ("mine.caffemodel", ["mine.txt", "mine_iter_1.caffemodel"], "mine_iter_1.caffemodel"),
    ("ip", ["op", "ip1"], ""),  # two letters are too few to tell
    ("max", ["mac", "min"], "mac"),
    ("poling", ["pooling", "polynom"], "pooling"),
    ("polign", ["pooling"], ""),  # two slips in six letters
    ("iteratoins", ["iterations"], "iterations"),
    ("iteartoins", ["iterations"], "iterations"),
    ("itaertoisn", ["iterations"], ""),
    ("lr_mult", ["lr_molt", "lr_malt"], "lr_molt"),  # of equals the first
    ("x" * 101, ["x" * 101 + "y"], "x" * 101 + "y"),
    ("x" * 101, ["y" + "x" * 100], ""),  # no time is spent on such names
    ("", ["a"], "")])
def test_what_a_name_must_have_meant(name, known, meant):
    assert meant_by(name, known) == meant
    assert nearest(name, iter(known)) == (f"did you mean '{meant}'?" if meant else "")
