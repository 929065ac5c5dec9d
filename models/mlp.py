"""A multilayer perceptron: three inner products with ReLUs between, 784 -> 512 -> 256 -> 10.

The plainest net there is: it does not know that neighbouring pixels belong together, and still
reads 98 of 100 handwritten digits.  On a picture of 28 x 28 pixels:

    data (64, 1, 28, 28) -> ip1 (512) -> relu -> ip2 (256) -> relu -> ip3 (10) -> loss

An inner product computes ``y = x @ W.T + b`` on each picture as one long row of numbers.  Compare
models/lenet.py: fewer weights, more right.
"""

from __future__ import annotations

from minicaffe import TEST, NetSpec
from minicaffe import layers as L
from minicaffe.proto import NetParameter, SolverParameter

DATA = "mnist"  # what it is trained on unless --data says otherwise


def net(batch_size: int = 64, classes: int = 10, shape: tuple = (1, 28, 28)) -> NetParameter:
    """The net, with its loss, and in phase TEST its accuracy."""
    n = NetSpec("MLP")
    n.data = L.Input(shape=dict(dim=[batch_size, *shape]), transform_param=dict(scale=1 / 256))
    n.label = L.Input(shape=dict(dim=[batch_size]))
    n.ip1 = inner_product(n.data, 512)
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.ip2 = inner_product(n.relu1, 256)
    n.relu2 = L.ReLU(n.ip2, in_place=True)
    n.ip3 = inner_product(n.relu2, classes)
    n.loss = L.SoftmaxWithLoss(n.ip3, n.label)
    n.accuracy = L.Accuracy(n.ip3, n.label, include=dict(phase=TEST))
    return n.to_proto()


def inner_product(bottom, num_output: int):
    """``y = x @ W.T + b``; msra draws W so that a ReLU behind it keeps the size of the numbers."""
    return L.InnerProduct(bottom, num_output=num_output, weight_filler=dict(type="msra"),
                          param=[dict(lr_mult=1), dict(lr_mult=2, decay_mult=0)])


def solver() -> SolverParameter:
    """SGD with momentum, 10,000 iterations of 64: nearly 11 epochs of MNIST."""
    return SolverParameter(base_lr=0.02, lr_policy="poly", power=1, momentum=0.9,
                           weight_decay=0.0005, max_iter=10000, display=100, average_loss=100,
                           test_interval=1000)
