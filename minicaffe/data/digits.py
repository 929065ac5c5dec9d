"""The data set inside the package: handwritten digits, 8 x 8 pixels, 1,797 of them.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository (1998), doi 10.24432/C50P49, CC BY 4.0.  These are its test file, which scikit-learn has
too, split once more here.
"""

from __future__ import annotations

from pathlib import Path

import numpy

from .dataset import Dataset


def load_digits() -> Dataset:
    """Pictures (N, 1, 8, 8), 0 .. 255; the last 20 % of a fixed shuffle are the test part."""
    with numpy.load(Path(__file__).with_name("digits.npz")) as stored:
        images, labels = stored["images"], stored["labels"]
    order = numpy.random.RandomState(0).permutation(len(images))  # a stream NumPy never changes
    x = numpy.minimum(images[order, None] * 16.0, 255).astype("uint8")  # stored as 0 .. 16
    y = labels[order].astype("float32")
    split = len(x) - len(x) // 5
    return Dataset(x[:split], y[:split], x[split:], y[split:], tuple("0123456789"), "digits")
