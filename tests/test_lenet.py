"""LeNet with the weights that real Caffe trained on MNIST.

tests/golden/lenet: Caffe's own weights after 10,000 iterations, and the first 200 test pictures.
The whole test part is read from the folder that MINICAFFE_DATA names, where that is set.
"""

import gzip
import os
from pathlib import Path

import numpy
import pytest

import minicaffe as caffe
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text

GOLDEN = Path(__file__).parent / "golden" / "lenet"
MNIST = Path(os.environ.get("MINICAFFE_DATA") or GOLDEN) / "mnist"


def lenet(batch, **options):
    text = (GOLDEN / "lenet.prototxt").read_text()
    net = caffe.Net(parse_text(text, NetParameter), caffe.TEST,
                    weights=GOLDEN / "lenet_iter_10000.caffemodel", **options)
    net.blobs["data"].reshape(batch, 1, 28, 28)
    net.blobs["label"].reshape(batch)
    return net


@pytest.mark.parametrize("device", ["numpy", "cpu"])
def test_the_first_pictures_are_told(device):
    with numpy.load(GOLDEN / "mnist200.npz") as stored:
        x, y = stored["images"] / 256, stored["labels"]
    out = lenet(200, device=device).forward(data=x, label=y)
    assert float(out["accuracy"]) == 1
    assert float(out["loss"]) == pytest.approx(0.00500744, rel=1e-5)  # in float64


@pytest.mark.skipif(not MNIST.is_dir(), reason="MINICAFFE_DATA names no folder with mnist/")
def test_all_test_pictures_score_what_real_caffe_scored():
    def read(name, header):
        with gzip.open(MNIST / name) as file:
            return numpy.frombuffer(file.read(), numpy.uint8, offset=header)
    x = read("t10k-images-idx3-ubyte.gz", 16).reshape(100, 100, 1, 28, 28)
    y = read("t10k-labels-idx1-ubyte.gz", 8).reshape(100, 100)
    net = lenet(100)
    outs = [{k: float(v) for k, v in net.forward(data=a / 256, label=b).items()}
            for a, b in zip(x, y)]
    assert numpy.mean([out["accuracy"] for out in outs]) == pytest.approx(0.9911, abs=1e-7)
    assert numpy.mean([out["loss"] for out in outs]) == pytest.approx(0.0293205, abs=1e-6)
