"""Small valid files of every format that the package reads, made here: mutators start from them."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy

from minicaffe import TRAIN, Net
from minicaffe.proto import NetParameter, hdf5, wire
from minicaffe.proto.text import parse_text

from . import codecs
from .trees import Tree

NET = """name: "small"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 name: 'w' }
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: 0.1 } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 } include { phase: TEST stage: "deploy" not_stage: 'x' } }
"""
OLD_NET = """name: 'old' input: "data" input_dim: 1 input_dim: 1 input_dim: 6 input_dim: 6
force_backward: true
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2
  weight_decay: 1 convolution_param { num_output: 2 kernel_size: 3 } }  # of the year 2014
layers { layer { name: "ip" type: "innerproduct" num_output: 2 weight_filler { type: "gaussian"
  std: 0.01 } blobs_lr: 1. weight_decay: 0 } bottom: "conv" top: "ip" }
"""
OLDEST_NET = """name: "oldest" input: "data" input_dim: 1 input_dim: 1 input_dim: 6 input_dim: 6
layers { layer { name: "pad1" type: "padding" pad: 1 } bottom: "data" top: "pad1" }
layers { layer { name: "conv1" type: "conv" num_output: 2 kernelsize: 3 stride: 1 group: 1 }
  bottom: "pad1" top: "conv1" }
layers { layer { name: "pool1" type: "pool" pool: MAX kernelsize: 2 stride: 2 }
  bottom: "conv1" top: "pool1" }
"""
SOLVER = """net: "net.prototxt" test_iter: 1 test_interval: 5 base_lr: 0.01 momentum: 0.9
weight_decay: 5e-4 lr_policy: "multistep" gamma: .1 stepvalue: 10 stepvalue: 20 display: 1
max_iter: 30 snapshot: 10 snapshot_prefix: "snap" solver_mode: CPU type: "SGD" random_seed: 7
net_param { name: "in" layer { name: "d" type: "Input" top: "d" } } weights: "a.caffemodel"
"""
LABELS = "cat\ndog\nbird\n"
LOG = "".join(json.dumps({"event": event, "iteration": i, "loss": 1 / (i + 1), "lr": 0.1, "net": 0})
              + "\n" for i, event in enumerate(("train", "train", "test", "final")))
PICTURES = {".png": {}, ".jpg": {}, ".bmp": {}, ".gif": {}, ".webp": {}, ".tif": {}, ".ppm": {}}


def small_net() -> Net:
    """The net that the weights among the seeds belong to."""
    net = parse_text(NET, NetParameter)
    net.layer[-1].ClearField("include")
    return Net(net, TRAIN, device="numpy", seed=1)


def seeds() -> list[Tree]:
    """One or more inputs of every format."""
    made = [Tree({"net.prototxt": text.encode()}, "net.prototxt")
            for text in (NET, OLD_NET, OLDEST_NET)]
    made.append(Tree({"solver.prototxt": SOLVER.encode()}, "solver.prototxt"))
    made.append(Tree({"labels.txt": LABELS.encode()}, "labels.txt"))
    made.append(Tree({"train.jsonl": LOG.encode()}, "train.jsonl"))
    made += _weights() + _states() + _means()
    made += [_idx(""), _idx(".gz"), *_idx_files(), *_arrays()]
    made += [_cifar_plain(), _cifar_pickled(), *map(_in_tar, (_cifar_plain(), _cifar_pickled()))]
    return made + _pictures()


def _written(name: str, write: Callable[[Path], object]) -> Tree:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        return Tree({name: path.read_bytes()}, name)


def _weights() -> list[Tree]:
    net = small_net()
    made = [_written("w.caffemodel", net.save)]
    message = parse_text(NET, NetParameter)
    blob = message.layer[1].blobs.add(double_data=[1.5, 2], double_diff=[0])
    blob.shape.dim.extend([1, 2])
    for data in ((1, 2), (3, 4)):
        message.layer[3].blobs.add(data=data, num=1, channels=1, height=1, width=2)
    made.append(Tree({"x.caffemodel": message.SerializeToString()}, "x.caffemodel"))
    old = parse_text(OLD_NET, NetParameter)
    old.layers[0].blobs.add(data=[1, 2, 3, 4], num=1, channels=1, height=2, width=2)
    old.layers[1].layer.blobs.add(data=[1], num=1, channels=1, height=1, width=1)
    made.append(Tree({"v1.caffemodel": old.SerializeToString()}, "v1.caffemodel"))
    if _has("h5py"):
        made.append(_written("w.caffemodel.h5", net.save))
    return made


def _states() -> list[Tree]:
    net = small_net()
    state = wire.SolverStateFile(
        iter=10, learned_net="w.caffemodel", current_step=1, random_seed=7, test_tick=[2],
        history=[p.blob.data for p in net.learnable], notes='{"best": 0.5}')
    made = [_written("s.solverstate", lambda path: wire.write_solverstate(path, state))]
    if _has("h5py"):
        made.append(_written("s.solverstate.h5",
                             lambda path: hdf5.write_solverstate_hdf5(path, state)))
    return made


def _means() -> list[Tree]:
    mean = numpy.linspace(0, 255, 16, dtype=numpy.float32).reshape(1, 4, 4)
    return [_written("mean.binaryproto", lambda path: wire.write_blob(path, mean)),
            _written("mean.npy", lambda path: numpy.save(path, mean)),
            _written("double.npy", lambda path: numpy.save(path, mean.astype(float)))]


# --------------------------------------------------------------------------------------- data sets

def _idx(suffix: str) -> Tree:
    """The four files of a set like MNIST."""
    files = {}
    for part, count in (("train", 3), ("t10k", 2)):
        images = struct.pack(">IIII", 0x803, count, 4, 4) + bytes(range(16 * count))
        labels = struct.pack(">II", 0x801, count) + bytes(range(count))
        for name, data in ((f"{part}-images-idx3-ubyte", images),
                           (f"{part}-labels-idx1-ubyte", labels)):
            files[name + suffix] = gzip.compress(data, mtime=0) if suffix else data
    return Tree(files)


def _idx_files() -> list[Tree]:
    made = []
    for tree in (_idx(""), _idx(".gz")):
        made += [Tree({name: data}, name) for name, data in tree.files.items() if "train" in name]
    return made


def _arrays() -> list[Tree]:
    x, y = numpy.arange(128, dtype=numpy.uint8).reshape(8, 4, 4), numpy.arange(8) % 2
    made = []
    for save in (numpy.savez, numpy.savez_compressed):
        made.append(_written("set.npz", lambda path, save=save: save(
            path, x_train=x, y_train=y, x_test=x[:2], y_test=y[:2], classes=["cat", "dog"])))
    made.append(_written("alone.npz", lambda path: numpy.savez(
        path, x=x[..., None].astype(float), y=y[:, None])))
    return made


_BATCHES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]


def _cifar_plain() -> Tree:
    record = bytes([3]) + bytes(range(256)) * 12
    files = {f"{name}.bin": record for name in _BATCHES}
    return Tree({**files, "batches.meta.txt": b"\n".join(b"class%d" % k for k in range(10))})


def _cifar_pickled() -> Tree:
    data = numpy.arange(3072, dtype=numpy.uint8).reshape(1, 3072)
    files = {}
    for k, name in enumerate(_BATCHES):
        batch = {b"data": data, b"labels": [k], b"batch_label": b"x", b"filenames": [b"a.png"]}
        files[name] = pickle.dumps(batch, protocol=2 + k % 3)
    names = [b"class%d" % k for k in range(10)]
    files["batches.meta"] = pickle.dumps({b"label_names": names, b"num_vis": 3072}, protocol=2)
    return Tree(files)


def _in_tar(tree: Tree) -> Tree:
    kind = "binary" if any(name.endswith(".bin") for name in tree.files) else "python"
    data = codecs._pack_tar([[f"cifar-10/{name}".encode(), data]
                             for name, data in tree.files.items()])
    name = f"cifar-10-{kind}.tar.gz"
    return Tree({name: gzip.compress(data, 6, mtime=0)}, name)


# ---------------------------------------------------------------------------------------- pictures

def _pictures() -> list[Tree]:
    if not _has("PIL"):
        return []
    from PIL import Image

    pixels = numpy.arange(8 * 8 * 3, dtype=numpy.uint8).reshape(8, 8, 3)
    files = {}
    for suffix in PICTURES:
        file = io.BytesIO()
        kind = {".jpg": "JPEG", ".tif": "TIFF", ".ppm": "PPM"}.get(suffix, suffix[1:].upper())
        Image.fromarray(pixels).save(file, kind)
        files[f"picture{suffix}"] = file.getvalue()
    made = [Tree({name: data}, name) for name, data in files.items()]
    images = list(files.values())
    sets = {f"{label}/{k}{suffix}": image for label in ("cat", "dog")
            for k, (suffix, image) in enumerate(zip(PICTURES, images)) if k % 3 < 2}
    made.append(Tree({f"pets/{name}": data for name, data in sets.items()}, "pets"))
    parts = {f"{part}/{label}/1.png": images[0] for part in ("train", "test")
             for label in ("cat", "dog")}
    made.append(Tree(parts))
    for name, members in (("pets.zip", sets), ("parts.zip", parts)):
        made.append(Tree({name: codecs._pack_zip([[n.encode(), d] for n, d in members.items()])},
                         name))
    return made


def _has(package: str) -> bool:
    try:
        __import__(package)
    except ImportError:
        return False
    return True
