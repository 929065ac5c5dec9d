"""Transform: its numbers against the definition, pixel by pixel, and what does not fit."""

import numpy
import pytest

from minicaffe.data.transform import Transform, mean_of
from minicaffe.errors import FileFormatError, ParameterError, ShapeError
from minicaffe.proto import TransformationParameter, wire
from minicaffe.proto.atomic_files import MissingFileError


def transform(mean=None, **fields):
    return Transform(TransformationParameter(**fields), mean)


def pictures(n=5, shape=(3, 6, 7), seed=0):
    return numpy.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=numpy.uint8)


def applied(transform, x, seed=None, dtype="float32"):
    """With random numbers, if a seed says which."""
    out = numpy.full((len(x), *transform.output_shape(x.shape[1:])), numpy.nan, dtype)
    transform(x, out, None if seed is None else numpy.random.default_rng(seed))
    return out


def naive(x, mean, scale, pad, top, left, size, flip):
    """One picture, pixel by pixel: a pixel outside of it is the mean, which is 0."""
    channels, height, width = x.shape
    y = numpy.zeros((channels, size, size))
    for c, i, j in numpy.ndindex(y.shape):
        row = top + i - pad
        column = left + (size - 1 - j if flip else j) - pad
        if 0 <= row < height and 0 <= column < width:
            y[c, i, j] = (float(x[c, row, column]) - mean[c, row, column]) * scale
    return y


def matches(x, y, mean, scale, pad, size, places, flips=(False, True)):
    """The (top, left, flip) of which ``y`` is the window of ``x``."""
    return [(top, left, flip) for top, left in places for flip in flips
            if numpy.allclose(y, naive(x, mean, scale, pad, top, left, size, flip), atol=1e-4)]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("fields, expected", [
    ({}, lambda x: x),
    ({"scale": 0.25}, lambda x: x * 0.25),
    ({"mean_value": [10.0]}, lambda x: x - 10),
    ({"mean_value": [10.0, 20.0, 30.0], "scale": 2.0},
     lambda x: (x - numpy.reshape([10, 20, 30], (3, 1, 1))) * 2),
    ({"crop_size": 4}, lambda x: x[:, :, 1:5, 1:5]),
    ({"crop_size": 5}, lambda x: x[:, :, 0:5, 1:6]),
    ({"crop_size": 6, "mirror": True}, lambda x: x[:, :, :, 0:6]),
    ({"pad": 1}, lambda x: numpy.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))),
])
def test_without_random_numbers_it_is_the_middle_of_the_scaled_difference(fields, expected, dtype):
    x = pictures().astype(dtype)
    numpy.testing.assert_allclose(applied(transform(**fields), x),
                                  expected(x.astype(float)), rtol=1e-6)


@pytest.mark.parametrize("pad, size", [(0, 4), (2, 5), (2, 3), (4, 6)])
def test_with_random_numbers_each_picture_has_a_window_of_its_own_mirrored_or_not(pad, size):
    x, mean = pictures(20), numpy.random.default_rng(2).random((3, 6, 7), "float32") * 100
    fields = dict(pad=pad, crop_size=size, mirror=True, scale=0.5, subtract_mean="image")
    y = applied(transform(mean, **fields), x, seed=1)
    places = list(numpy.ndindex(6 + 2 * pad - size + 1, 7 + 2 * pad - size + 1))
    found = [matches(a, b, mean, 0.5, pad, size, places) for a, b in zip(x, y)]
    assert all(found)
    assert len({flip for [(_, _, flip), *_] in found}) == 2
    assert {0, 6 + 2 * pad - size} <= {top for [(top, _, _), *_] in found}
    assert len({left for [(_, left, _), *_] in found}) > 1


def test_pictures_are_not_mirrored_unless_asked_for():
    x = pictures(20)
    places = list(numpy.ndindex(3, 4))
    assert all(matches(a, b, numpy.zeros((3, 6, 7)), 1, 0, 4, places, flips=[False])
               for a, b in zip(x, applied(transform(crop_size=4), x, seed=1)))


def test_without_a_crop_pictures_are_mirrored_with_random_numbers_alone():
    x = pictures(30)
    y = applied(transform(mirror=True), x, seed=1)
    mirrored = [(b == a[:, :, ::-1]).all() for a, b in zip(x, y)]
    as_it_was = [(b == a).all() for a, b in zip(x, y)]
    assert all(m != s for m, s in zip(mirrored, as_it_was)) and 5 < sum(mirrored) < 25
    assert (applied(transform(mirror=True), x) == x).all()


def test_half_of_the_pictures_are_mirrored_and_every_window_is_as_likely():
    n = 20_000
    x = numpy.tile(numpy.arange(12, dtype="uint8").reshape(1, 1, 3, 4), (n, 1, 1, 1))
    y = applied(transform(crop_size=2, mirror=True), x, seed=1)
    flips = y[:, 0, 0, 0] > y[:, 0, 0, 1]
    corners = numpy.where(flips, y[:, 0, 0, 1], y[:, 0, 0, 0])
    places, counts = numpy.unique(corners, return_counts=True)
    assert places.tolist() == [0, 1, 2, 4, 5, 6]
    for share, probability in ((flips.mean(), 1 / 2), *((count / n, 1 / 6) for count in counts)):
        assert abs(share - probability) < 5 * (probability * (1 - probability) / n) ** 0.5
    for top, left, flip in numpy.ndindex(2, 3, 2):  # one draw does not tell another
        count = numpy.count_nonzero((corners == 4 * top + left) & (flips == flip))
        assert abs(count / n - 1 / 12) < 5 * (11 / 144 / n) ** 0.5


def test_the_same_numbers_are_drawn_again():
    x, t = pictures(20), transform(crop_size=3, mirror=True)
    assert (applied(t, x, seed=1) == applied(t, x, seed=1)).all()
    assert (applied(t, x, seed=1) != applied(t, x, seed=2)).any()


def test_a_mean_file_is_subtracted_whatever_its_axes(tmp_path):
    x, mean = pictures(), numpy.random.default_rng(2).random((3, 6, 7), "float32") * 100
    for k, stored in enumerate((mean, mean[None])):
        path = tmp_path / f"{k}.binaryproto"
        wire.write_blob(path, stored)
        t = transform(mean_file=str(path), crop_size=2)
        assert t.mean.shape == (3, 6, 7)
        numpy.testing.assert_allclose(applied(t, x), (x - mean)[:, :, 2:4, 2:4], rtol=1e-6)


def test_samples_that_are_no_pictures_are_shifted_and_scaled():
    x = numpy.arange(8.0, dtype="float32").reshape(2, 4)
    assert applied(transform(mean_value=[1], scale=2), x).tolist() == ((x - 1) * 2).tolist()
    mean = mean_of(x, "image")
    assert applied(transform(mean, subtract_mean="image"), x).tolist() == (x - mean).tolist()
    assert applied(transform(2.0), x).tolist() == (x - 2).tolist()


def test_it_computes_in_doubles_for_nets_of_doubles():
    x = pictures()
    y = applied(transform(scale=1 / 3), x, dtype="float64")
    numpy.testing.assert_allclose(y, x * numpy.float64(numpy.float32(1 / 3)), rtol=1e-15)


def test_it_says_whether_it_makes_use_of_random_numbers():
    assert transform(crop_size=4).random and transform(mirror=True).random
    assert not transform(scale=2, pad=1).random
    x = pictures()
    assert (applied(transform(scale=2, pad=1), x, seed=1)
            == applied(transform(scale=2, pad=1), x)).all()


def test_it_says_in_a_line_what_it_does():
    assert repr(transform(numpy.ones((3, 1, 1)), scale=0.01, mirror=True, crop_size=4)) == (
        "<Transform scale: 0.01, mirror: true, crop_size: 4, mean of shape (3,)>")
    assert repr(transform()) == "<Transform to nothing else>"


class Lazy:
    """Pictures that are only given some at a time."""

    def __init__(self, x):
        self.x, self.shape, self.dtype, self.taken = x, x.shape, x.dtype, []

    def __len__(self):
        return len(self.x)

    def take(self, rows):
        self.taken.append(len(rows))
        return self.x[rows]


@pytest.mark.parametrize("lazy", [False, True])
def test_means_are_those_of_all_samples(lazy):
    x = pictures(50)
    given = Lazy(x) if lazy else x
    numpy.testing.assert_allclose(mean_of(given, "image"), x.mean(axis=0), rtol=1e-6)
    numpy.testing.assert_allclose(mean_of(given, "channel"), x.mean(axis=(0, 2, 3)), rtol=1e-6)
    assert mean_of(given, "channel").shape == (3,)


def test_means_of_large_sets_are_taken_in_parts():
    x = Lazy(numpy.ones((40, 3, 512, 512), numpy.uint8))
    x.x[39] = 41
    assert (mean_of(x, "image") == 2).all()
    assert max(x.taken) < 40


@pytest.mark.parametrize("fields, kind, message", [
    (dict(crop_size=7), ShapeError, r"transform_param: crop_size: expected at most 6 for pictures "
     r"of shape \(3, 6, 7\), got 7"),
    (dict(crop_size=9, pad=1), ShapeError, r"at most 8 for pictures of shape .* padded by 1, got"),
    (dict(mean_value=[1, 2]), ParameterError, "transform_param: mean_value: expected one, or one "
     "for each of 3 channels, got 2"),
    (dict(mean_value=[1], mean_file="m"), ParameterError, "transform_param: expected one of "
     "mean_file, mean_value, subtract_mean, got mean_file and mean_value"),
    (dict(mean_value=[1], subtract_mean="image"), ParameterError, "mean_value and subtract_mean"),
    (dict(subtract_mean="chanel"), ParameterError, "transform_param: subtract_mean: expected "
     "'image' or 'channel', got 'chanel'. Hint: did you mean 'channel'?"),
    (dict(subtract_mean="image"), ParameterError, "transform_param: subtract_mean: expected data "
     "to train on, whose mean is to be subtracted, got none"),
    (dict(mean_file="nowhere.binaryproto"), MissingFileError, "nowhere.binaryproto: no such file"),
    (dict(mean_file=__file__), FileFormatError, "expected a binaryproto, got text"),
])
def test_what_does_not_fit_is_told(fields, kind, message):
    with pytest.raises(kind, match=message):
        transform(**fields).output_shape((3, 6, 7))


def test_a_mean_of_another_shape_is_told_also_one_of_the_crop():
    for shape in ((3, 7, 6), (1, 6, 7), (3, 4, 4)):
        t = transform(numpy.zeros(shape), crop_size=4)
        with pytest.raises(ShapeError, match=r"transform_param: mean: expected a mean image of "
                                             r"the samples' shape \(3, 6, 7\), got"):
            t.output_shape((3, 6, 7))


@pytest.mark.parametrize("fields", [dict(crop_size=2), dict(pad=2), dict(mirror=True)])
def test_only_pictures_are_cropped_padded_or_mirrored(fields):
    with pytest.raises(ShapeError, match=r"expected pictures \(C, H, W\) to crop, pad or mirror, "
                                         r"got samples of shape \(4,\)"):
        transform(**fields).output_shape((4,))
