"""Every layer on blobs without elements: empty results and gradients of 0, or an error of its own.

The layers are those of the registry; one that needs parameters to be made has a line below.
"""

from __future__ import annotations

import itertools
import warnings

import numpy
import pytest

from minicaffe.errors import ParameterError, ShapeError
from minicaffe.layer import layer_class, layer_type_list
from minicaffe.proto import LayerParameter

SHAPES = [(0, 3, 4, 4), (2, 0, 4, 4), (2, 4, 0, 4), (2, 4, 3, 0), (0, 4), (2, 0), (0,), (2, 0, 4),
          (0, 0, 0, 0)]
WITHOUT_BOTTOM = {
    "Input": "input_param { shape { dim: 0 dim: 3 } }",
    "DummyData": "dummy_data_param { shape { dim: 3 dim: 0 } data_filler { type: 'gaussian' } }",
}
PARAMETERS = {
    "Convolution": [f"convolution_param {{ num_output: 4 kernel_size: {size} {more} }}"
                    for size, more in (
                        (1, ""), (1, "engine: IM2COL"), (1, "engine: DIRECT"),
                        (1, "engine: TRANSPOSED"), (3, "pad: 1"), (3, "pad: 1 engine: IM2COL"),
                        (3, "pad: 2 engine: WINOGRAD"), (3, "pad: 5 engine: DIRECT stride: 2"),
                        (3, "pad: 5 stride: 2 engine: TRANSPOSED dilation: 2"),
                        (3, "pad: 1 group: 2"), (3, "pad: 1 group: 4"), (3, "axis: 0 pad: 1"))],
    "InnerProduct": [f"inner_product_param {{ num_output: 3 axis: {axis} {more} }}"
                     for axis in (0, 1, -1) for more in ("", "transpose: true",
                                                         "bias_term: false")],
    "Pooling": [f"pooling_param {{ pool: {pool} {more} }}" for pool in ("MAX", "AVE") for more in (
        "kernel_size: 2", "kernel_size: 3 stride: 2 pad: 1", "global_pooling: true",
        "kernel_size: 5 pad: 4")],
    "Softmax": [f"softmax_param {{ axis: {axis} }}" for axis in (0, 1, -1)],
    "Slice": ["slice_param { axis: 0 }", "slice_param { axis: 1 }", "slice_param { axis: -1 }"],
    "Concat": ["concat_param { axis: 0 }", "concat_param { axis: 1 }"],
    "Eltwise": [f"eltwise_param {{ operation: {name} }}" for name in ("SUM", "PROD", "MAX")],
    "LRN": ["", "lrn_param { norm_region: WITHIN_CHANNEL }"],
    "LSTM": ["recurrent_param { num_output: 3 weight_filler { type: 'uniform' } }"],
    "Reshape": ["reshape_param { shape { dim: 0 dim: -1 } }", "reshape_param { shape { dim: 0 } }",
                "reshape_param { shape { dim: -1 } }"],
    "Flatten": ["", "flatten_param { axis: 0 }"],
    "Scale": ["", "scale_param { axis: 0 bias_term: true }", "scale_param { num_axes: -1 }"],
    "Bias": ["", "bias_param { axis: 0 }"],
    "PReLU": ["", "prelu_param { channel_shared: true }"],
    "Accuracy": ["", "accuracy_param { top_k: 2 }", "accuracy_param { axis: 0 }"],
    "SoftmaxWithLoss": [f"loss_param {{ normalization: {name} }} softmax_param {{ axis: {axis} }}"
                        for name in ("FULL", "VALID", "BATCH_SIZE", "NONE") for axis in (0, 1)],
    "SigmoidCrossEntropyLoss": [f"loss_param {{ normalization: {name} }}" for name in (
        "FULL", "VALID", "BATCH_SIZE", "NONE")],
    "BatchNorm": ["", "batch_norm_param { use_global_stats: true }"],
    "Clip": ["clip_param { min: -1 max: 1 }"],
    "Python": None,  # whatever the user's module does
}
DEVICES = [("numpy", "float32", 0), ("cpu", "float32", 0), ("strict", "float64", 0),
           ("cpu", "float64", 1)]  # the last number: the phase, TRAIN or TEST


def examples():
    for name in layer_type_list():
        if not layer_class(LayerParameter(type=name)).__module__.startswith("minicaffe.layers."):
            continue  # some test's own
        for text in PARAMETERS.get(name, [""]) or ():
            yield name, WITHOUT_BOTTOM.get(name, text)


def bottoms_of(name: str):
    """Shapes of all bottoms, for each shape of the first one, that the layer may take."""
    least = layer_class(LayerParameter(type=name)).bottoms
    least, most = (least, least) if isinstance(least, int) else least
    if most == 0 or name in WITHOUT_BOTTOM:
        yield ()
        return
    for count in range(least, max(least, min(most or 2, 2)) + 1):
        for shape in SHAPES:
            others = dict.fromkeys([shape, shape[:1], shape[:1] + shape[2:], shape[1:], shape[:2]])
            yield from ((shape, *rest) for rest in itertools.product(others, repeat=count - 1))


def net_text(name: str, text: str, shapes, tops: int) -> str:
    layers = ["force_backward: true"]
    for i, shape in enumerate(shapes):
        dims = " ".join(f"dim: {dim}" for dim in shape)
        layers.append(f"layer {{ name: 'x{i}' type: 'Input' top: 'x{i}' input_param {{ "
                      f"shape {{ {dims} }} }} }}")
    bottoms = " ".join(f"bottom: 'x{i}'" for i in range(len(shapes)))
    names = " ".join(f"top: 'y{i}'" for i in range(tops))
    layers.append(f"layer {{ name: 'y' type: '{name}' {bottoms} {names} {text} }}")
    return "\n".join(layers)


def tops_of(name: str, bottoms: int) -> int:
    kind = layer_class(LayerParameter(type=name))
    least = kind.tops if isinstance(kind.tops, int) else kind.tops[0]
    return bottoms if kind.tops_like_bottoms else least


def run(net, tops: int) -> None:
    """Two passes, forward and backward, with ones above; checks what comes out."""
    for _ in range(2):
        net.forward()
        losses = net.loss_weights
        net.backward(**{f"y{i}": numpy.ones_like(net.blobs[f"y{i}"].data) for i in range(tops)
                        if f"y{i}" in net.outputs and f"y{i}" not in losses})
    no_result = all(net.blobs[f"y{i}"].count == 0 for i in range(tops))
    for blobs in net.params.values():
        for blob in blobs:
            assert numpy.isfinite(blob.data).all() and numpy.isfinite(blob.diff).all()
            assert not (no_result and tops and blob.diff.any()), "a gradient out of nothing"
    for name, blob in net.blobs.items():
        if name.startswith("x") and blob.count:
            assert numpy.isfinite(blob.diff).all()
            assert not (no_result and tops and blob.diff.any()), "a gradient out of nothing"


@pytest.mark.parametrize("device, dtype, phase", DEVICES)
@pytest.mark.parametrize("name, text", list(examples()))
def test_a_layer_takes_blobs_without_elements(make_net, name, text, device, dtype, phase):
    ran, refused = 0, []
    for shapes in bottoms_of(name):
        tops = tops_of(name, len(shapes))
        where = f"{name} {text} of {shapes}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                net = make_net(net_text(name, text, shapes, tops), phase, device=device,
                               dtype=dtype)
                if phase:
                    net.forward()
                else:
                    run(net, tops)
            ran += 1
        except (ShapeError, ParameterError) as error:
            assert "'y'" in str(error), f"{where}: {error}"
            refused.append(str(error))
        except Exception as error:
            raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error
    assert ran, (f"{name}: none of these shapes was taken; what it needs to be made belongs into "
                 f"PARAMETERS: {refused[:3]}")
