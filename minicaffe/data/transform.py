"""From the pictures of a data set to what a net sees: subtract, scale, pad, crop, mirror."""

from __future__ import annotations

import math

import numpy

from ..errors import ParameterError, ShapeError, expect_known
from ..proto import TransformationParameter
from ..proto.text import to_text
from ..proto.wire import read_blob

MEANS = ("image", "channel")
_MEAN_FIELDS = ("mean_file", "mean_value", "subtract_mean")


class Transform:
    """``y = (x - mean) * scale`` of a window of each picture, mirrored or not.

    The window has ``crop_size`` rows and columns: somewhere in the picture where random numbers are
    given, as nets in phase TRAIN are fed, and in the middle where not.  Before it is cut, ``pad``
    zeros are put on each side, after the mean is subtracted: the border is the mean.  With
    ``mirror`` a coin is tossed for each picture, with random numbers alone; Caffe's data layers
    toss it in phase TEST as well, so published nets ask for it in phase TRAIN alone.

    Args:
        param: scale, mirror, crop_size, and one of mean_file (a binaryproto), mean_value (one, or
            one for each channel) and subtract_mean; ours: pad, and subtract_mean, "image" or
            "channel": what ``mean_of`` the training part is, which is given as ``mean``.
        mean: takes the place of the one that ``param`` names.
        where: what errors call it.

    Attributes:
        param: as given.
        mean: float32, of a sample's shape, or (C,) numbers, one for each channel, or (1,); or None.

    Errors: ParameterError for two kinds of mean, or one that nobody computed; those of the file.
    """

    def __init__(self, param: TransformationParameter, mean: numpy.ndarray | None = None,
                 where: str = "transform_param"):
        self.param, self.where = param, where
        _check_mean_fields(param, where)
        if mean is None:
            mean = self._own_mean()
        self.mean = None if mean is None else _mean_array(mean)

    def __repr__(self) -> str:
        told = to_text(self.param).split("\n") + ([] if self.mean is None else
                                                  [f"mean of shape {self.mean.shape}"])
        return f"<Transform {', '.join(filter(None, told)) or 'to nothing else'}>"

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a sample, once transformed.

        Errors: ShapeError for a crop larger than the picture, for a mean of another shape, and for
        what is no picture but is to be padded, cropped or mirrored; ParameterError for as many
        mean_values as are neither one nor one a channel.
        """
        shape, param = tuple(shape), self.param
        self._check_mean(shape)
        if not (param.crop_size or param.pad or param.mirror):
            return shape
        if len(shape) != 3:
            raise ShapeError(self.where, "pictures (C, H, W) to crop, pad or mirror",
                             f"samples of shape {shape}")
        padded = tuple(size + 2 * param.pad for size in shape[1:])
        if param.crop_size > min(padded):
            raise ShapeError(f"{self.where}: crop_size", f"at most {min(padded)} for pictures of "
                             f"shape {shape}" + f" padded by {param.pad}" * bool(param.pad),
                             param.crop_size)
        return shape[0], *((param.crop_size, param.crop_size) if param.crop_size else padded)

    @property
    def random(self) -> bool:
        """Whether it makes use of random numbers, where they are given."""
        return bool(self.param.crop_size or self.param.mirror)

    def __call__(self, samples: numpy.ndarray, out: numpy.ndarray,
                 rng: numpy.random.Generator | None = None) -> None:
        """Write the transformed samples (n, ...) into ``out``, of their ``output_shape``.

        Args:
            rng: draws windows and mirrors; without it windows lie in the middle and nothing is
                mirrored.
        """
        mean = self._mean_like(samples.ndim - 1)
        drawn = rng is not None and self.random
        if out.shape[1:] == samples.shape[1:] and not (drawn or self.param.pad):
            _subtract(samples, mean, out)
        else:
            self._cut(samples, mean, out, rng)
        if self.param.scale != 1:
            numpy.multiply(out, out.dtype.type(self.param.scale), out=out)

    def _cut(self, samples, mean, out, rng) -> None:
        """Each picture on a canvas with zeros around it, and a window of that into ``out``."""
        n, channels, height, width = samples.shape
        pad, (rows, columns) = self.param.pad, out.shape[2:]
        canvas = numpy.zeros((channels, height + 2 * pad, width + 2 * pad), out.dtype)
        picture = canvas[:, pad:pad + height, pad:pad + width]
        free = canvas.shape[1] - rows, canvas.shape[2] - columns
        if rng is not None:
            tops, lefts = (rng.integers(0, most + 1, n).tolist() for most in free)
            flips = (rng.random(n) < 0.5).tolist() if self.param.mirror else [False] * n
        else:
            tops, lefts, flips = [free[0] // 2] * n, [free[1] // 2] * n, [False] * n
        for sample, target, top, left, flip in zip(samples, out, tops, lefts, flips):
            _subtract(sample, mean, picture)
            window = canvas[:, top:top + rows, left:left + columns]
            target[...] = window[:, :, ::-1] if flip else window

    # ----------------------------------------------------------------------------------- the mean

    def _own_mean(self):
        """The mean that the parameters give: of the file, or the values; None without one."""
        if self.param.subtract_mean:
            raise ParameterError(f"{self.where}: subtract_mean", "data to train on, whose mean is "
                                 "to be subtracted", "none")
        if self.param.mean_file:
            mean = read_blob(self.param.mean_file)
            return mean[0] if mean.ndim == 4 and len(mean) == 1 else mean
        return list(self.param.mean_value) or None

    def _check_mean(self, shape: tuple[int, ...]) -> None:
        if self.mean is None or self.mean.shape == shape:
            return
        if self.mean.ndim != 1:
            raise ShapeError(f"{self.where}: mean", f"a mean image of the samples' shape {shape}",
                             self.mean.shape)
        if len(self.mean) not in (1, *shape[:1]):
            raise ParameterError(f"{self.where}: mean_value", "one, or one for each of "
                                 f"{math.prod(shape[:1])} channels", len(self.mean))

    def _mean_like(self, axes: int):
        """The mean as it is subtracted from samples of so many axes; None without one."""
        if self.mean is None or self.mean.ndim == axes:
            return self.mean
        return self.mean.reshape(-1, *(1,) * (axes - 1))


def mean_of(x, kind: str) -> numpy.ndarray:
    """The mean of samples (N, C, ...): of all samples (C, ...), or a number for each channel (C,).

    Args:
        x: an array, or what has ``shape`` and ``take(rows)``.
        kind: "image" or "channel".
    """
    total = numpy.zeros(x.shape[1:], numpy.float64)
    chunk = max(1, 2**22 // max(1, total.size))
    for start in range(0, len(x), chunk):
        samples = take(x, numpy.arange(start, min(start + chunk, len(x))))
        total += samples.sum(axis=0, dtype=numpy.float64)
    mean = total / len(x)
    if kind == "channel":
        mean = mean.mean(axis=tuple(range(1, mean.ndim)))
    return mean.astype(numpy.float32)


def take(x, rows: numpy.ndarray) -> numpy.ndarray:
    """The samples of these rows, of an array or of what only gives some at a time."""
    return x[rows] if isinstance(x, numpy.ndarray) else x.take(rows)


def _check_mean_fields(param: TransformationParameter, where: str) -> None:
    """Errors: ParameterError for several kinds of mean, or an unknown one."""
    given = [name for name in _MEAN_FIELDS if getattr(param, name)]
    if len(given) > 1:
        raise ParameterError(where, f"one of {', '.join(_MEAN_FIELDS)}", " and ".join(given))
    if param.subtract_mean:
        expect_known(param.subtract_mean, MEANS, f"{where}: subtract_mean",
                     " or ".join(f"'{kind}'" for kind in MEANS))


def _mean_array(mean) -> numpy.ndarray:
    """A mean as float32; one that is the same all over each channel becomes (C,)."""
    mean = numpy.atleast_1d(numpy.asarray(mean, numpy.float32))
    return mean[:, 0, 0] if mean.ndim == 3 and mean.shape[1:] == (1, 1) else mean


def _subtract(samples, mean, out) -> None:
    if mean is None:
        out[...] = samples
    else:
        numpy.subtract(samples, mean, out=out)
