"""A deep autoencoder on MNIST: a digit through a waist of 30 numbers and back, with tied weights.

    data (100, 1, 28, 28) -> 1000 -> 500 -> 250 -> 30 -> 250 -> 500 -> 1000 -> 784
                             encode1   2      3     4  decode4   3      2      1

No labels: what should come out is what went in.  Each decoder runs its encoder backwards with the
same weights, ``y = sigmoid(x @ W.T + b)`` one way and ``y = sigmoid(x @ W + c)`` the other: two
layers that name a parameter alike share it, and their gradients for it add up.

Source: Hinton and Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks (2006).
Sizes, fillers and settings are those of Caffe's MNIST autoencoder (BVLC/caffe, examples/mnist),
which does not share its weights.
"""

from __future__ import annotations

from minicaffe import NetSpec
from minicaffe import layers as L
from minicaffe.proto import NetParameter, SolverParameter

DATA = "mnist"
SIZES = (1000, 500, 250, 30)


def net(batch_size: int = 100, shape: tuple = (1, 28, 28)) -> NetParameter:
    """The net, with the cross entropy as its loss, and the squared error to look at."""
    n = NetSpec("MNISTAutoencoder")
    n.data = L.Input(shape=dict(dim=[batch_size, *shape]), transform_param=dict(scale=1 / 255))
    n.flatdata = L.Flatten(n.data)
    top = n.flatdata
    for i, size in enumerate(SIZES, start=1):
        top = n[f"encode{i}"] = inner_product(top, size, share=f"weights{i}")
        if i < len(SIZES):  # the waist itself takes any number
            top = n[f"encode{i}neuron"] = L.Sigmoid(top)
    pixels = shape[0] * shape[1] * shape[2]
    for i, size in reversed(list(enumerate((pixels, *SIZES[:-1]), start=1))):
        top = n[f"decode{i}"] = inner_product(top, size, share=f"weights{i}", transpose=True)
        if i > 1:
            top = n[f"decode{i}neuron"] = L.Sigmoid(top)
    n.cross_entropy_loss = L.SigmoidCrossEntropyLoss(top, n.flatdata, loss_weight=1)
    n.decode1neuron = L.Sigmoid(top)
    n.l2_error = L.EuclideanLoss(n.decode1neuron, n.flatdata, loss_weight=0)
    return n.to_proto()


def inner_product(bottom, num_output: int, share: str, transpose: bool = False):
    """Weights of the name ``share``; 15 of them not 0 for each output to begin with, on average."""
    return L.InnerProduct(bottom, num_output=num_output, transpose=transpose,
                          weight_filler=dict(type="gaussian", std=1, sparse=15),
                          param=[dict(name=share), dict(decay_mult=0)])


def solver() -> SolverParameter:
    """The published settings: the rate falls to a 10th every 10,000 iterations."""
    return SolverParameter(base_lr=0.01, lr_policy="step", stepsize=10000, gamma=0.1, momentum=0.9,
                           weight_decay=0.0005, max_iter=65000, display=100, average_loss=100,
                           test_interval=500, snapshot=10000)
