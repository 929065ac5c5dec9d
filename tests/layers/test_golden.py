"""The layers compute what real Caffe computed."""

from pathlib import Path

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text
from minicaffe.testing import assert_close

CASES = sorted((Path(__file__).parents[1] / "golden" / "layers").glob("*.npz"))
LOOSE = ("LRN", "MVN", "LSTM", "RNN", "BatchNorm")  # sums in another order matter more there


def test_there_are_cases():
    assert len(CASES) >= 83


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_numbers_are_those_of_real_caffe(case, device):
    recorded = dict(np.load(case))
    tolerance = 1e-3 if case.stem.split("_")[0] in LOOSE else 2e-4
    phase = caffe.TRAIN if recorded["phase"] == "TRAIN" else caffe.TEST
    net = caffe.Net(parse_text(str(recorded["prototxt"]), NetParameter), phase, device=device)
    params = net.params.get("l", [])

    def parts(prefix):
        return {key.removeprefix(prefix): value for key, value in recorded.items()
                if key.startswith(prefix)}

    def agrees(got, prefix):
        for name, value in parts(prefix).items():
            assert_close(got(name), value, tolerance, f"{case.stem} {prefix}{name}")

    for name, value in parts("in_").items():
        net.blobs[name].data[...] = value
    for i, value in parts("param_").items():
        params[int(i)].data[...] = value
    net.forward()
    agrees(lambda name: net.blobs[name].data, "out_")
    agrees(lambda i: params[int(i)].data, "paramafter_")
    for name, value in parts("topdiff_").items():
        net.blobs[name].diff[...] = value
    net.clear_param_diffs()
    if parts("topdiff_"):
        net.backward()
        agrees(lambda name: net.blobs[name].diff, "indiff_")
        agrees(lambda i: params[int(i)].diff, "paramdiff_")
