"""Silence: swallows blobs."""

from minicaffe.testing import OneLayerNet, check_layer

from .naive import numbers, refusal


def test_the_gradient_of_what_is_swallowed_is_0():
    check_layer('type: "Silence"', {"a": numbers(2, 3), "b": numbers(4)})


def test_swallowed_blobs_are_no_outputs():
    assert OneLayerNet('type: "Silence"', {"a": numbers(2, 3)}).net.forward() == {}


def test_it_has_no_tops():
    assert refusal('type: "Silence" top: "y"', {"a": numbers(2, 3)}) == (
        "NetError: Silence 'l': expected 0 tops, got 1 (y).")
