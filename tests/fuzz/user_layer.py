"""A layer of type Python, such as users write, for the random nets."""

from __future__ import annotations

from minicaffe import Layer


class Halved(Layer):
    """``y = x / 2``"""

    bottoms = tops = 1

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data / 2

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff / 2
