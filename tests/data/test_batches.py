"""Batches: which samples a pass sees, and what does not fit."""

import gc
import threading

import numpy
import pytest

from minicaffe import TEST, TRAIN, Net
from minicaffe.data import Batches, load_digits
from minicaffe.data.transform import Transform
from minicaffe.errors import ParameterError, ShapeError
from minicaffe.proto import NetParameter, TransformationParameter
from minicaffe.proto.text import parse_text

from .test_prefetch import idle, wait_until
from .test_transform import Lazy

PICTURES = """layer { name: "in" type: "Input" top: "x" top: "y"
  input_param { shape { dim: 4 dim: 3 dim: 5 dim: 5 } shape { dim: 4 } } }"""
NET = """layer { name: "in" type: "Input" top: "x" top: "y"
  input_param { shape { dim: %d dim: 1 } shape { dim: %d } } }"""


def net_of(batch, seed=1, phase=TEST):
    return Net(parse_text(NET % (batch, batch), NetParameter), phase, device="numpy", seed=seed)


def samples(count):
    return {"x": numpy.arange(count).reshape(-1, 1), "y": numpy.arange(count) % 10}


def seen(source, net, ticks):
    rows = []
    for tick in ticks:
        source.fill(net, tick)
        rows.append(net.blobs["x"].data[:, 0].astype(int).tolist())
        assert net.blobs["y"].data.tolist() == [row % 10 for row in rows[-1]]
    return rows


def test_in_phase_test_each_round_in_order_ends_with_what_is_left():
    source, net = Batches(samples(7)), net_of(3)
    assert seen(source, net, range(4)) == [[0, 1, 2], [3, 4, 5], [6], [0, 1, 2]]
    assert source.batches(net) == 3


def test_in_phase_train_the_next_round_goes_on_where_the_batch_ended():
    source, net = Batches(samples(7)), net_of(3, phase=TRAIN)
    assert seen(source, net, range(5)) == [[0, 1, 2], [3, 4, 5], [6, 0, 1], [2, 3, 4], [5, 6, 0]]
    assert source.batches(net) == 3
    assert seen(Batches(samples(3)), net_of(5, phase=TRAIN), [0, 1]) == [[0, 1, 2, 0, 1],
                                                                         [2, 0, 1, 2, 0]]


def test_one_source_feeds_each_net_as_its_phase_wants_it():
    x, y = pictures(6)
    for prefetch in (False, True):
        source = Batches({"x": x, "y": y}, transforms={"x": cropping()}, prefetch=prefetch)
        net, counts, same_as_middle = picture_net(), [], []
        for tick, phase in enumerate([TRAIN] * 4 + [TEST] * 4):
            net.phase = phase
            batch, = batches_of(net, [tick], source=source)
            middle = x[net.blobs["y"].data.astype(int)][:, :, 1:6, 1:6] * 0.5
            counts.append(len(batch))
            same_as_middle.append((batch == middle).all())
        assert counts == [4] * 4 + [4, 2] * 2
        assert same_as_middle == [False] * 4 + [True] * 4


def test_shuffled_every_epoch_sees_every_sample_once_in_a_new_order():
    source, net = Batches(samples(10), shuffle=True), net_of(4)
    rows = sum(seen(source, net, range(5)), [])  # 20 samples: two epochs
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert rows[:10] != rows[10:] and rows[:10] != sorted(rows[:10])


def test_a_pass_depends_on_seed_and_number_alone():
    there = seen(Batches(samples(10), shuffle=True), net_of(4), range(6))
    back = seen(Batches(samples(10), shuffle=True), net_of(4), reversed(range(6)))
    assert there == back[::-1]
    assert there != seen(Batches(samples(10), shuffle=True), net_of(4, seed=2), range(6))


def test_a_batch_may_be_larger_than_the_data():
    source, net = Batches(samples(3), shuffle=True), net_of(8)
    rows = seen(source, net, [0])[0]
    assert sorted(rows[:3]) == [0, 1, 2] and len(rows) == 8
    assert seen(Batches(samples(3)), net_of(8), [0, 1]) == [[0, 1, 2], [0, 1, 2]]


def test_what_does_not_fit_is_told():
    with pytest.raises(ShapeError, match="data: expected arrays of one length, got {'x': 2, 'y'"):
        Batches({"x": numpy.zeros((2, 1)), "y": numpy.zeros(3)})
    with pytest.raises(ParameterError, match="data: expected one sample or more in every array"):
        Batches({"x": numpy.zeros((0, 1))})
    with pytest.raises(ShapeError, match=r"blob 'x' of net 'net': expected samples of shape "
                                         r"\(1,\), got \(2,\)"):
        Batches({"x": numpy.zeros((4, 2)), "y": numpy.zeros(4)}).fill(net_of(2), 0)


@pytest.mark.parametrize("size", [0, -1, 2.5, "8"])
def test_a_batch_has_one_sample_or_more(size):
    with pytest.raises(ParameterError, match=f"data: batch_size: expected a whole number, 1 or more"
                                             f", got {size}"):
        Batches(samples(4), batch_size=size)
    with pytest.raises(ShapeError, match=r"blob 'x' of net 'net': expected a first axis of 1 or "
                                         r"more, the samples of a pass, got \(0, 1\)"):
        Batches(samples(4)).batches(net_of(0))


def test_the_batch_size_may_be_another_than_the_nets():
    assert seen(Batches(samples(7), batch_size=numpy.int64(5)), net_of(3), range(2)) == [
        [0, 1, 2, 3, 4], [5, 6]]


@pytest.mark.parametrize("wrong, told", [
    (5, "data 'y': expected an array of numbers, a row for each sample, got 5"),
    (None, "got None"),
    (["cat", "dog"], "a row for each sample, got strings. Hint: names, y = numpy.unique"),
    (numpy.array(["cat", "dog"], object), "got ndarray .*'cat'.* Hint: names, y = numpy.unique"),
    ([[1], [1, 2]], "data 'y': expected an array of numbers, .* got list .setting an array"),
    (numpy.zeros(2, "complex64"), r"got array\(\[0.\+0.j, 0.\+0.j\]"),
    ([[], []], r"\(0,\)"),
    ([], r"data: expected one sample or more in every array, got {'x': 2, 'y': 0}")])
def test_what_are_no_numbers_is_told(wrong, told):
    with pytest.raises((ParameterError, ShapeError), match=told):
        Batches({"x": numpy.zeros((2, 1)), "y": wrong}).fill(net_of(2), 0)


def test_arrays_without_names_are_told():
    with pytest.raises(ParameterError, match="data: expected a dict of samples by the names of a "
                       "net's inputs, got list. Hint: {'data': x, 'label': y}, for example"):
        Batches([numpy.zeros(2), numpy.zeros(2)])
    with pytest.raises(ParameterError, match="data: expected the inputs of net 'net': x, y, got "
                                             "'xx'"):
        Batches({"xx": numpy.zeros(2)}).fill(net_of(2), 0)


@pytest.mark.parametrize("prefetch", [False, True])
def test_axes_of_one_do_not_matter(prefetch):
    x, y = pictures()
    x = x[:, :1, :5, :5]
    param = parse_text(PICTURES.replace("dim: 3", "dim: 1").replace(
        "{ dim: 4 } }", "{ dim: 4 dim: 1 dim: 1 dim: 1 } }"), NetParameter)
    for samples, labels in ((x[:, 0], y), (x, y[:, None])):
        net = Net(param, TEST, device="numpy")
        source = Batches({"x": samples, "y": labels}, prefetch=prefetch)
        for tick in range(8):
            source.fill(net, tick)
            rows = range(4 * tick, min(4 * tick + 4, 30))
            assert (net.blobs["x"].data == x[rows]).all()
            assert net.blobs["y"].data.shape[1:] == (1, 1, 1)
            assert net.blobs["y"].data.ravel().tolist() == list(rows)


@pytest.mark.parametrize("shape, hint", [
    ((5, 5, 3), r"Hint: x.transpose\(0, 3, 1, 2\) brings the channels to the front"),
    ((75,), r"Hint: x.reshape\(-1, 3, 5, 5\), if the numbers lie in that order"),
    ((5, 3, 5), "Hint: x.reshape"),
    ((3, 5, 6), r"\(3, 5, 6\)\.$")])
def test_samples_of_another_shape_are_told_with_a_way_to_bring_them_to_it(shape, hint):
    with pytest.raises(ShapeError, match=rf"blob 'x' of net 'net': expected samples of shape "
                       rf"\(3, 5, 5\), got .*{hint}"):
        Batches({"x": numpy.zeros((4, *shape)), "y": numpy.zeros(4)}).fill(picture_net(), 0)


def test_a_source_says_in_a_line_what_it_is():
    x, y = pictures()
    source = Batches({"x": x, "y": y}, shuffle=True, transforms={"x": cropping()})
    assert repr(source) == "<Batches: 30 samples, shuffled: x (3, 5, 5), y ()>"
    assert repr(Batches({"y": y})) == "<Batches: 30 samples: y ()>"


def picture_net(phase=TRAIN, **options):
    return Net(parse_text(PICTURES, NetParameter), phase, device="numpy", **{"seed": 1, **options})


def pictures(count=30):
    rng = numpy.random.default_rng(0)
    return rng.integers(0, 256, (count, 3, 8, 8), dtype=numpy.uint8), numpy.arange(count)


def cropping():
    return Transform(TransformationParameter(crop_size=5, mirror=True, scale=0.5))


def batches_of(net, ticks, **options):
    """The pictures that each pass sees; and that the labels are theirs."""
    x, y = pictures()
    options = {"shuffle": True, "transforms": {"x": cropping()}, **options}
    source = options.pop("source", None) or Batches({"x": x, "y": y}, **options)
    seen = []
    for tick in ticks:
        assert source.fill(net, tick) == len(net.blobs["y"].data)
        seen.append(net.blobs["x"].data.copy())
        if source.prefetch:  # so that the next one is the thread's for certain
            wait_until(lambda: idle(source._fed[net].ahead))
    return seen


def same(first, second):
    return all((a == b).all() for a, b in zip(first, second, strict=True))


def test_bytes_stay_bytes_and_everything_else_is_float32():
    x, y = pictures()
    source = Batches({"x": x, "y": y, "z": x.astype("float64"), "list": list(y)})
    assert source.arrays["x"] is x
    assert [source.arrays[name].dtype.name for name in "xyz"] == ["uint8", "float32", "float32"]
    bytes_in_a_list = Batches({"x": list(x)}).arrays["x"]
    assert bytes_in_a_list.dtype == "uint8" and (bytes_in_a_list == x).all()
    net = picture_net()
    Batches({"x": x[:, :, :5, :5], "y": y.astype("uint8")}).fill(net, 1)
    assert (net.blobs["x"].data == x[4:8, :, :5, :5]).all()
    assert net.blobs["y"].data.tolist() == [4, 5, 6, 7] and net.blobs["y"].data.dtype == "float32"


def test_what_is_decoded_later_gives_the_same_batches():
    x, y = pictures()
    lazy = Lazy(x)
    source = Batches({"x": lazy, "y": y}, shuffle=True, transforms={"x": cropping()})
    assert same(batches_of(picture_net(), range(4)),
                batches_of(picture_net(), range(4), source=source))
    assert set(lazy.taken) == {4}
    plain = Batches({"x": Lazy(x[:, :, :5, :5]), "y": y})
    net = picture_net()
    plain.fill(net, 0)
    assert (net.blobs["x"].data == x[:4, :, :5, :5]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_thread_prepares_the_same_batches(dtype):
    ticks = [*range(6), 3, 4, 5, 6, 20, 21, 22, 23]
    alone = batches_of(picture_net(dtype=dtype), ticks, prefetch=False)
    ahead = batches_of(picture_net(dtype=dtype), ticks, prefetch=True)
    assert same(alone, ahead)


def test_crops_and_mirrors_depend_on_seed_pass_and_blob_alone():
    there = batches_of(picture_net(), range(4))
    assert same(there, batches_of(picture_net(), reversed(range(4)))[::-1])
    # of 30 samples passes 0 and 15 see the same four, cut anew
    assert 15 * 4 % len(pictures()[0]) == 0
    in_order = batches_of(picture_net(), [0, 15], shuffle=False)
    assert not same(in_order[:1], in_order[1:])
    assert not same(in_order, batches_of(picture_net(seed=2), [0, 15], shuffle=False))
    x, y = pictures()
    twice = Batches({"x": x, "z": x, "y": y}, transforms={"x": cropping(), "z": cropping()})
    net = Net(parse_text(PICTURES.replace('top: "y"', 'top: "z" top: "y"').replace(
        "shape { dim: 4 }", "shape { dim: 4 dim: 3 dim: 5 dim: 5 } shape { dim: 4 }"),
        NetParameter), TRAIN, device="numpy", seed=1)
    twice.fill(net, 0)
    assert not same([net.blobs["x"].data], [net.blobs["z"].data])


@pytest.mark.parametrize("prefetch", [False, True])
def test_one_source_feeds_two_nets_and_a_net_that_is_given_another_seed(prefetch):
    first, second = picture_net(), picture_net(seed=2)
    x, y = pictures()
    source = Batches({"x": x, "y": y}, shuffle=True, transforms={"x": cropping()},
                     prefetch=prefetch)
    seen = {1: [], 2: []}
    for tick in range(6):
        for net in (first, second):
            seen[net.seed] += batches_of(net, [tick], source=source)
    assert same(seen[1], batches_of(picture_net(), range(6)))
    assert same(seen[2], batches_of(picture_net(seed=2), range(6)))
    first.reseed(2)
    assert same(batches_of(first, range(6, 9), source=source),
                batches_of(picture_net(seed=2), range(6, 9)))


def test_memory_is_used_again_where_it_fits():
    x, y = pictures()
    source = Batches({"x": x, "y": y})
    for dtype in ("float32", "float64"):
        place = source._place(picture_net(TEST, dtype=dtype))
        whole = source._prepare(place, 0, None)
        assert source._prepare(place, 1, whole)["x"] is whole["x"]
        assert (whole["x"] == x[4:8]).all()
        assert len(source._prepare(place, 7, whole)["x"]) == 2
    single = source._place(picture_net())
    assert source._prepare(single, 0, whole)["x"].dtype == "float32"


@pytest.mark.parametrize("gone", ["net", "source"])
def test_the_thread_ends_when_net_or_source_is_gone(gone):
    before = set(threading.enumerate())
    x, y = pictures()
    source = Batches({"x": x, "y": y}, transforms={"x": cropping()}, prefetch=True)
    alive = {"net": picture_net(), "source": source}
    del source
    batches_of(alive["net"], range(4), source=alive["source"])
    thread, = set(threading.enumerate()) - before
    assert thread.name == "minicaffe-data"
    del alive[gone]
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


def test_the_last_batch_of_a_round_is_prepared_too():
    for prefetch in (False, True):
        seen = batches_of(picture_net(TEST), range(20), shuffle=False, prefetch=prefetch)
        assert [len(batch) for batch in seen] == ([4] * 7 + [2]) * 2 + [4] * 4
        assert same(seen[:8], seen[8:16])


def test_what_goes_wrong_on_the_thread_is_told_where_it_is_asked_for():
    class Broken(Lazy):
        def take(self, rows):
            if 13 in rows:
                raise OSError("picture 13 is damaged")
            return super().take(rows)
    x, y = pictures()
    source = Batches({"x": Broken(x), "y": y}, transforms={"x": cropping()})
    net = picture_net()
    for tick in (0, 1, 2):
        source.fill(net, tick)
    with pytest.raises(OSError, match="picture 13 is damaged"):
        source.fill(net, 3)
    with pytest.raises(OSError, match="picture 13 is damaged"):
        source.fill(net, 3)
    assert source.fill(net, 4) == 4


@pytest.mark.parametrize("kind, size, threaded", [
    ("float", 4, False), ("bytes", 4, False), ("transformed", 4, False),
    ("transformed", 5000, True), ("decoded", 4, True)])
def test_a_thread_works_where_preparing_takes_longer_than_handing_over(kind, size, threaded):
    x, y = pictures()
    x = {"float": x.astype("f4"), "decoded": Lazy(x)}.get(kind, x)
    transforms = {"x": cropping()} if kind == "transformed" else {}
    assert Batches({"x": x, "y": y}, transforms=transforms)._worth_a_thread(size) == threaded


def test_transforms_must_fit_the_samples():
    x, y = pictures()
    with pytest.raises(ShapeError, match="crop_size: expected at most 4 for pictures"):
        Batches({"x": x[:, :, :4], "y": y}, transforms={"x": cropping()})
    with pytest.raises(ParameterError, match="data: expected transforms of x, y, got z"):
        Batches({"x": x, "y": y}, transforms={"z": cropping()})
    with pytest.raises(ShapeError, match=r"expected samples of shape \(3, 5, 5\), got \(3, 8, 8\)"):
        Batches({"x": x, "y": y}).fill(picture_net(), 0)


def test_digits_are_split_once_and_for_all():
    digits = load_digits()
    assert digits.x.shape == (1438, 1, 8, 8) and digits.test_x.shape == (359, 1, 8, 8)
    assert digits.x.min() == 0 and digits.x.max() == 255
    assert digits.test_y[:8].astype(int).tolist() == [9, 4, 7, 0, 2, 6, 1, 3]
    assert sorted(set(digits.test_y)) == list(range(10))
    assert repr(digits) == "<Dataset 'digits': 1438 samples (1, 8, 8), 359 to test, 10 classes>"


def test_a_data_set_equals_itself_alone():
    digits = load_digits()
    assert digits == digits and digits != load_digits() and len({digits, load_digits()}) == 2
