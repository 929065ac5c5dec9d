import math

import numpy
import pytest

from minicaffe import fillers
from minicaffe.errors import ParameterError, ShapeError
from minicaffe.proto import FillerParameter
from minicaffe.randomness import generator

WHERE = "Convolution 'c'"
LARGE = (40, 50, 5, 5)  # fan-in 1250, fan-out 1000


def filled(shape, **fields):
    return fillers.fill(FillerParameter(**fields), shape, generator(3, "test"), WHERE)


def test_the_default_is_zeros():
    assert not filled((2, 3)).any()


def test_constant_is_the_value_everywhere():
    assert filled((2, 3), type="constant", value=2.5).tolist() == [[2.5] * 3] * 2


def test_uniform_stays_within_its_bounds_and_fills_them():
    values = filled(LARGE, type="uniform", min=-2, max=4)
    assert values.min() >= -2 and values.max() < 4
    assert values.min() < -1.99 and values.max() > 3.99
    assert values.mean() == pytest.approx(1, abs=0.05)
    assert values.var() == pytest.approx(6 * 6 / 12, rel=0.05)


def test_uniform_is_from_0_to_1_by_default():
    values = filled(LARGE, type="uniform")
    assert values.min() >= 0 and values.max() < 1 and values.mean() == pytest.approx(0.5, abs=0.01)


def test_gaussian_has_its_mean_and_deviation():
    values = filled(LARGE, type="gaussian", mean=3, std=0.5)
    assert values.mean() == pytest.approx(3, abs=0.01)
    assert values.std() == pytest.approx(0.5, rel=0.02)


def test_a_sparse_gaussian_keeps_the_share_sparse_over_outputs():
    values = filled((100, 300), type="gaussian", std=1, sparse=20)
    assert (values != 0).mean() == pytest.approx(0.2, abs=0.01)
    assert values[values != 0].std() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("sparse, share", [(0, 0), (100, 1), (500, 1)])
def test_sparse_of_none_and_of_all(sparse, share):
    assert (filled((100, 30), type="gaussian", std=1, sparse=sparse) != 0).mean() == share


@pytest.mark.parametrize("kind", [dict(type="uniform"), dict(type="gaussian", std=1)])
def test_a_large_array_is_drawn_in_pieces_from_streams_of_their_own(monkeypatch, kind):
    monkeypatch.setattr(fillers, "_PIECE", 1000)
    values = filled((70, 50), **kind).reshape(-1)
    assert len(numpy.unique(values)) == 3500
    monkeypatch.setattr(fillers.os, "cpu_count", lambda: 1)
    assert filled((3500,), **kind).tolist() == values.tolist()
    assert filled((1000,), **kind).tolist() == values[:1000].tolist()
    second = numpy.random.Generator(generator(3, "test").bit_generator.jumped(1))
    drawn = second.random(1000) if kind["type"] == "uniform" else second.normal(0, 1, 1000)
    assert drawn.tolist() == values[1000:2000].tolist()


def test_an_error_while_pieces_are_drawn_is_told(monkeypatch):
    monkeypatch.setattr(fillers, "_PIECE", 10)
    with pytest.raises(ParameterError, match="filler 'gaussian': expected numbers it can draw"):
        filled((100,), type="gaussian", std=-1)


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 0)])
def test_no_elements_and_no_axes_are_drawn_too(shape):
    assert filled(shape, type="uniform").shape == shape


def test_values_go_where_they_are_wanted():
    out = numpy.zeros((3, 4), numpy.float32)
    parameter = FillerParameter(type="gaussian", std=1)
    assert fillers.fill(parameter, out.shape, generator(3, "test"), WHERE, out=out) is out
    assert out.tolist() == filled((3, 4), type="gaussian", std=1).astype("float32").tolist()


def test_positive_unitball_rows_sum_to_1():
    values = filled((7, 3, 2, 2), type="positive_unitball")
    assert (values >= 0).all() and len(numpy.unique(values)) == values.size
    numpy.testing.assert_allclose(values.reshape(7, -1).sum(axis=1), 1)


@pytest.mark.parametrize("norm, n", [("FAN_IN", 1250), ("FAN_OUT", 1000), ("AVERAGE", 1125)])
def test_xavier_and_msra_divide_by_the_fan_that_is_asked_for(norm, n):
    norm = FillerParameter.VarianceNorm.Value(norm)
    xavier = filled(LARGE, type="xavier", variance_norm=norm)
    bound = math.sqrt(3 / n)
    assert abs(xavier).max() <= bound and abs(xavier).max() > 0.99 * bound
    assert xavier.var() == pytest.approx(1 / n, rel=0.02)
    msra = filled(LARGE, type="msra", variance_norm=norm)
    assert msra.var() == pytest.approx(2 / n, rel=0.02)
    assert msra.mean() == pytest.approx(0, abs=1e-3)
    assert abs(msra).max() > math.sqrt(6 / n)  # no uniform distribution of this variance


def test_the_fan_is_fan_in_by_default_and_one_axis_counts_as_outputs():
    assert abs(filled(LARGE, type="xavier")).max() <= math.sqrt(3 / 1250)
    ones = filled((1000,), type="xavier")  # fan-in 1
    assert 1.7 < abs(ones).max() <= math.sqrt(3)


@pytest.mark.parametrize("k, tent", [
    (1, [1]), (2, [0.5, 0.5]), (3, [0.5, 1, 0.5]), (4, [0.25, 0.75, 0.75, 0.25]),
    (5, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])])
def test_bilinear_is_the_product_of_two_tents(k, tent):
    values = filled((3, 2, k, k), type="bilinear")
    for kernel in values.reshape(6, k, k):
        numpy.testing.assert_allclose(kernel, numpy.outer(tent, tent))


@pytest.mark.parametrize("shape", [(3, 4), (1, 1, 2, 3)])
def test_bilinear_needs_square_kernels(shape):
    with pytest.raises(ShapeError) as error:
        filled(shape, type="bilinear")
    assert str(error.value) == (f"Convolution 'c': filler 'bilinear': expected 4 axes, the last "
                                f"two equal, got {shape}.")


def test_an_unknown_filler_is_named_with_its_neighbour():
    with pytest.raises(ParameterError) as error:
        filled((2,), type="gausian")
    assert str(error.value) == (
        "Convolution 'c': filler: expected a type among bilinear, constant, gaussian, msra, "
        "positive_unitball, uniform, xavier, got 'gausian'. Hint: did you mean 'gaussian'?")


def test_sparse_is_for_gaussian_alone():
    with pytest.raises(ParameterError, match="filler 'xavier': expected no 'sparse': gaussian "
                                             "only, got 2"):
        filled((2, 2), type="xavier", sparse=2)


def test_sparse_is_not_negative():
    with pytest.raises(ParameterError, match="expected sparse of 0 or more, got -2"):
        filled((2, 2), type="gaussian", sparse=-2)


@pytest.mark.parametrize("shape", [(), (0, 3)])
def test_fans_need_elements(shape):
    with pytest.raises(ShapeError, match="filler 'msra': expected 1 or more axes, none empty, got"):
        filled(shape, type="msra")


TEXT = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: [1, 30] }} }} }}
layer {{ name: "{0}" type: "InnerProduct" bottom: "x" top: "a" inner_product_param {{
  num_output: 30 weight_filler {{ type: "gaussian" std: 1 }} bias_filler {{ type: "uniform" }} }} }}
layer {{ name: "other" type: "InnerProduct" bottom: "a" top: "b" inner_product_param {{
  num_output: 30 weight_filler {{ type: "gaussian" std: 1 }} }} }}
"""


def weights_of(make_net, name="first", **options):
    net = make_net(TEXT.format(name), **options)
    return [blob.data.copy() for blobs in net.params.values() for blob in blobs]


@pytest.mark.parametrize("options", [{}, {"device": "cpu"}, {"device": "strict"},
                                     {"dtype": "float64"}])
def test_a_net_of_one_seed_starts_alike_on_every_device(make_net, options):
    for first, second in zip(weights_of(make_net), weights_of(make_net, **options)):
        assert first.tolist() == second.astype("float32").tolist()


def test_another_seed_or_layer_name_gives_other_values(make_net):
    reference = weights_of(make_net)
    for other in (weights_of(make_net, seed=2), weights_of(make_net, "renamed")):
        assert (other[0] != reference[0]).all() and (other[1] != reference[1]).all()
    assert (reference[0] != reference[2]).all()
    # the layer that kept its name and seed kept its values
    assert weights_of(make_net, "renamed")[2].tolist() == reference[2].tolist()
