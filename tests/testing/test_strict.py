"""The strict device refuses what CuPy refuses."""

import numpy as np
import pytest

import minicaffe
from minicaffe.backend import get_backend
from minicaffe.testing import StrictArray

strict = get_backend("strict")
xp = strict.xp


def on_device(values, dtype="float32"):
    array = strict.zeros(np.shape(values), dtype)
    strict.upload(np.asarray(values), array)
    return array


def on_host(array):
    host = np.empty(array.shape, array.dtype)
    strict.download(array, host)
    return host.tolist()


@pytest.mark.parametrize("mix", [
    lambda a, plain: a + plain,
    lambda a, plain: plain + a,
    lambda a, plain: a @ plain,
    lambda a, plain: a == plain,
    lambda a, plain: np.maximum(a, plain),
    lambda a, plain: np.where(a > 0, a, plain),
    lambda a, plain: xp.where(plain > 0, a, a),
    lambda a, plain: xp.exp(plain),
    lambda a, plain: xp.exp(a, out=plain),
    lambda a, plain: xp.concatenate([a, plain]),
    lambda a, plain: xp.add.at(a, plain.astype(int), 1),
    lambda a, plain: a[plain.astype(int)],
    lambda a, plain: a.dot(plain),
    lambda a, plain: a.__setitem__(..., plain),
    lambda a, plain: a.__iadd__(plain),
])
def test_plain_arrays_are_refused(mix):
    with pytest.raises(TypeError, match=r"a NumPy array of shape \(2,\) met an array of the "
                                        "device; Backend.upload copies it there"):
        mix(on_device([1, 2]), np.array([1.0, 2.0]))


@pytest.mark.parametrize("convert", [
    np.asarray, np.array, lambda a: np.zeros(2).__setitem__(..., a), lambda a: list(np.array([a])),
])
def test_arrays_do_not_become_plain_without_a_word(convert):
    with pytest.raises(TypeError, match="an array of the device was turned into a NumPy array; "
                                        "Backend.download copies it to the host"):
        convert(on_device([1, 2]))


def test_numbers_mix():
    a = on_device([1, 2])
    assert on_host(2 * a + np.float32(1)) == [3, 5]
    assert on_host(a + np.array(1)) == [2, 3]
    assert on_host(np.float64(2) * a) == [2, 4]


def test_results_stay_on_the_device():
    a = on_device([[1, 2], [3, 4]])
    for result in (a.T, a[0], a[0, 0], a.sum(), a.max(axis=1), a.reshape(4), xp.zeros(3), xp.exp(a),
                   np.exp(a), a > 2, a.astype("int32"), xp.arange(3), *a, xp.add.reduce(a)):
        assert isinstance(result, StrictArray)
    assert a.sum().shape == ()


def test_writing_in_place_writes_the_array_itself():
    a = on_device([1, 2, 3])
    view = a[1:]
    view += 1
    view *= on_device([10, 10])
    xp.add(a, 1, out=a)
    a[0] = 7
    assert on_host(a) == [7, 31, 41]
    xp.add.at(a, on_device([0, 0], "int64"), 1)
    assert on_host(a) == [9, 31, 41]


def test_single_elements_become_numbers_when_asked():
    a = on_device([2])
    assert float(a) == int(a) == a.item() == 2 and bool(a) and a.tolist() == [2] and len(a) == 1
    assert repr(a) == "Strictarray([2.], dtype=float32)"


def test_types_and_constants_are_those_of_numpy():
    assert xp.float32 is np.float32 and xp.inf == np.inf and xp.newaxis is None
    assert not hasattr(xp, "no_such_function") and not hasattr(on_device([1]), "no_such_method")


def test_an_explicit_upload_is_no_mixing():
    assert isinstance(xp.asarray(np.ones(3)), StrictArray)


def test_blobs_keep_a_separate_copy_for_the_host():
    blob = minicaffe.blob.Blob(strict, "float32", (2,))
    blob.host.data[...] = 5
    assert on_host(blob.data) == [5, 5]
    copy = blob.host.data
    blob.data[...] = 6
    assert copy.tolist() == [5, 5] and blob.host.data.tolist() == [6, 6]
