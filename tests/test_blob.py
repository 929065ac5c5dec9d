import numpy
import pytest

from minicaffe.backend import get_backend
from minicaffe.backend.base import Backend
from minicaffe.blob import Blob, HostView, Memory, Moves, NotKept
from minicaffe.errors import KeepError, ShapeError

HOST = Backend()


class Counting(Backend):
    """A device whose arrays are elsewhere, and which counts what is copied there and back."""

    is_host = False

    def __init__(self):
        self.copied = []

    def upload(self, host, array):
        self.copied.append("up")
        array[...] = host

    def download(self, array, host):
        self.copied.append("down")
        host[...] = array


@pytest.fixture
def remote():
    return Counting()


def test_memory_is_allocated_when_first_used():
    blob = Blob(HOST, shape=(2, 3))
    assert blob.memory("data").array is None
    blob.data[...] = 1
    assert blob.memory("data").array is not None
    assert blob.memory("diff").array is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_data_and_diff_begin_as_zeros_of_the_shape(dtype):
    blob = Blob(HOST, dtype, (2, 3))
    for array in (blob.data, blob.diff):
        assert array.shape == (2, 3) and array.dtype == dtype and not array.any()
    assert blob.count == 6


def test_a_blob_without_axes_holds_one_number():
    blob = Blob(HOST)
    assert blob.shape == () and blob.count == 1 and blob.data.shape == ()


def test_a_blob_may_be_empty():
    blob = Blob(HOST, shape=(0, 3))
    assert blob.count == 0 and blob.data.shape == (0, 3)


@pytest.mark.parametrize("device", ["numpy", "strict"])
def test_reshape_keeps_the_numbers_in_order(device):
    blob = Blob(get_backend(device), shape=(2, 3)).host
    blob.data[...] = numpy.arange(6).reshape(2, 3)
    blob.reshape(3, 2)
    assert blob.data.tolist() == [[0, 1], [2, 3], [4, 5]]
    blob.reshape(2)
    assert blob.data.tolist() == [0, 1]
    blob.reshape(6)
    assert blob.data.tolist() == [0, 1, 2, 3, 4, 5]
    blob.reshape(8)
    assert blob.data.tolist() == [0, 1, 2, 3, 4, 5, 0, 0]


def test_reshape_within_the_first_size_allocates_nothing():
    blob = Blob(HOST, shape=(6,))
    blob.data[...] = 1
    flat = blob.memory("data").array
    blob.reshape(2)
    blob.reshape(2, 3)
    assert blob.data.base is flat


def test_reshape_takes_a_tuple_too():
    blob = Blob(HOST)
    blob.reshape((2, 3))
    assert blob.shape == (2, 3)
    blob.reshape_like(Blob(HOST, shape=(4,)))
    assert blob.shape == (4,)


@pytest.mark.parametrize("shape", [(-1,), (2, 2.5)])
def test_reshape_refuses_what_is_no_size(shape):
    with pytest.raises(ShapeError) as error:
        Blob(HOST, shape=(2,), name="ip").reshape(*shape)
    assert str(error.value) == f"blob 'ip': expected axes of 0 or more, got {shape}."


def test_the_old_names_of_the_axes_are_1_where_there_is_none():
    blob = Blob(HOST, shape=(5, 4))
    assert (blob.num, blob.channels, blob.height, blob.width) == (5, 4, 1, 1)
    blob.reshape(2, 3, 4, 5)
    assert (blob.num, blob.channels, blob.height, blob.width) == (2, 3, 4, 5)


def test_the_old_names_of_the_axes_need_4_axes_or_fewer():
    with pytest.raises(ShapeError) as error:
        Blob(HOST, shape=(1, 2, 3, 4, 5), name="video").num  # noqa: B018
    assert str(error.value) == (
        "blob 'video': expected 4 axes or fewer for num, channels, height and width, "
        "got (1, 2, 3, 4, 5). Hint: use shape.")


def test_shared_data_is_one_and_diffs_are_two():
    a, b = Blob(HOST, shape=(2, 3)), Blob(HOST, shape=(6,))
    assert b.data.tolist() == [0] * 6
    b.share(a, "data")
    a.data[...] = 7
    a.diff[...] = 5
    assert b.data.tolist() == [7] * 6 and b.diff.tolist() == [0] * 6


def test_shared_memory_that_grows_stays_shared():
    a, b = Blob(HOST, shape=(2,)), Blob(HOST, shape=(2,))
    b.share(a)
    a.data[...] = 1
    assert b.data.tolist() == [1, 1]
    a.reshape(4)
    a.data[...] = 3
    assert b.data.tolist() == [3, 3]


def test_memory_lives_where_it_is_placed():
    arena, blob = numpy.zeros(10, "float32"), Blob(HOST, shape=(2, 2))
    blob.data[...] = 1
    blob.memory("data").place(arena[3:7])
    blob.data[...] = 2
    assert arena.tolist() == [0, 0, 0, 2, 2, 2, 2, 0, 0, 0]


# ------------------------------------------------------------------------------ host and device

def test_on_a_host_device_the_blob_is_its_own_host_view():
    blob = Blob(HOST, shape=(2,))
    assert blob.host is blob


def test_elsewhere_the_host_view_is_numpy_and_the_blob_is_not():
    blob = Blob(get_backend("strict"), shape=(2,), name="x")
    assert isinstance(blob.host, HostView) and blob.host.host is not blob
    assert isinstance(blob.host.data, numpy.ndarray)
    assert not isinstance(blob.data, numpy.ndarray)
    assert blob.host.shape == (2,) and blob.host.num == 2
    assert repr(blob.host) == repr(blob) == "<Blob 'x' (2,)>"


@pytest.mark.parametrize("part", ["data", "diff"])
def test_each_side_sees_what_the_other_wrote_before(part):
    blob = Blob(get_backend("strict"), shape=(3,))
    getattr(blob.host, part)[...] = 1
    device = getattr(blob, part)
    assert float(device.sum()) == 3
    device[...] = 2
    assert getattr(blob.host, part).tolist() == [2, 2, 2]
    getattr(blob.host, part)[1] = 5
    assert float(getattr(blob, part).sum()) == 9


def test_a_device_alone_copies_nothing(remote):
    blob = Blob(remote, shape=(3,))
    blob.data[...] = 1
    blob.data[...] += blob.diff
    assert remote.copied == []


def test_the_host_fetches_once_and_the_device_takes_it_back_once(remote):
    blob = Blob(remote, shape=(3,))
    blob.host.data[...] = 1
    blob.host.data[...] += 1
    assert remote.copied == ["down"]
    assert blob.data.tolist() == [2, 2, 2]
    assert blob.data.tolist() == [2, 2, 2]
    assert remote.copied == ["down", "up"]


def test_the_host_copy_is_one_array_as_long_as_the_size_stays(remote):
    blob = Blob(remote, shape=(3,))
    mine = blob.host.data
    blob.data[...] = 4
    assert blob.host.data.base is mine.base and mine.tolist() == [4, 4, 4]


def test_a_newer_host_copy_survives_growing_from_either_side(remote):
    for grow_on_host in (True, False):
        blob = Blob(remote, shape=(2,))
        blob.host.data[...] = 3
        blob.reshape(4)
        if grow_on_host:
            assert blob.host.data.tolist() == [3, 3, 0, 0]
        assert blob.data.tolist() == [3, 3, 0, 0]


def test_placing_forgets_the_host_copy(remote):
    memory = Memory(remote, "float32", Moves())
    memory.on_host(2)[...] = 9
    memory.place(numpy.zeros(2, "float32"))
    assert memory.on_device(2).tolist() == [0, 0]
    assert memory.on_host(2).tolist() == [0, 0]


# ------------------------------------------------------------------------------------- clearing

@pytest.mark.parametrize("backend", [HOST, Counting()])
def test_a_cleared_diff_is_zeros_to_whoever_looks(backend):
    for look in (lambda blob: blob.diff, lambda blob: blob.host.diff):
        blob = Blob(backend, shape=(3,))
        blob.host.diff[...] = 5
        blob.clear_diff()
        assert not look(blob).any()


def test_the_first_gradient_after_clearing_is_written_and_the_second_added():
    blob, other = Blob(HOST, shape=(3,)), Blob(HOST, shape=(3,))
    other.share(blob)
    blob.diff[...] = 7
    assert blob.diff_to_add_to()[1]
    blob.clear_diff()
    diff, adds = blob.diff_to_add_to()
    assert not adds and diff is blob.diff and (diff == 7).all()
    assert other.diff_to_add_to()[1]


# ------------------------------------------------------------------------------------ not kept

@pytest.mark.parametrize("part", ["data", "diff"])
def test_what_was_not_kept_has_a_shape_and_no_numbers(part):
    view = NotKept(Blob(HOST, shape=(2, 3), name="conv1"), frozenset([part]))
    assert view.shape == (2, 3) and view.count == 6
    with pytest.raises(KeepError) as error:
        getattr(view, part)
    assert str(error.value) == (
        f"{part} of blob 'conv1': it was not kept: its memory is shared with other blobs. "
        "Hint: make the net with keep=['conv1'], or with keep='all'.")
    assert not getattr(view, "diff" if part == "data" else "data").any()
