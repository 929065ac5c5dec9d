import pytest

from minicaffe.errors import ParameterError, ShapeError
from minicaffe.proto import ConvolutionParameter, PoolingParameter
from minicaffe.window import Window

HERE = "Convolution 'c'"


def window(kernel, stride=1, pad=0, dilation=1, ceil=False, axes=1):
    return Window((kernel,) * axes, (stride,) * axes, (pad,) * axes, (dilation,) * axes, ceil)


def positions_by_walking(size, kernel, stride, pad, dilation):
    """How often a window that starts in the padding before the data fits before its end."""
    extent, start, count = dilation * (kernel - 1) + 1, -pad, 0
    while start + extent <= size + pad:
        start, count = start + stride, count + 1
    return count


@pytest.mark.parametrize("size", [5, 6, 7, 28])
@pytest.mark.parametrize("kernel, stride, pad, dilation", [
    (1, 1, 0, 1), (3, 1, 1, 1), (3, 2, 0, 1), (2, 3, 1, 1), (3, 2, 2, 2), (5, 4, 2, 1)])
def test_rounded_down_the_formula_counts_the_windows_that_fit(size, kernel, stride, pad, dilation):
    expected = positions_by_walking(size, kernel, stride, pad, dilation)
    assert window(kernel, stride, pad, dilation).output_shape((size,), HERE) == (expected,)


@pytest.mark.parametrize("size, kernel, stride, pad, expected", [
    (32, 3, 2, 0, 16),   # CIFAR-10 quick: 15 if rounded down
    (224, 3, 2, 0, 112),
    (5, 2, 2, 0, 3),
    (4, 2, 2, 1, 3),
    (3, 2, 2, 1, 2),     # a third window would start behind the data: dropped
    (5, 1, 3, 0, 3),     # the third starts behind the data: kept, as there is no padding
    (2, 3, 2, 0, 1),     # larger than the input by less than a stride: one clipped window
])
def test_rounded_up_the_last_window_may_be_clipped(size, kernel, stride, pad, expected):
    assert window(kernel, stride, pad, ceil=True).output_shape((size,), HERE) == (expected,)


def test_padding_on_one_axis_drops_windows_behind_the_data_on_both():
    of = Window((1, 1), (3, 3), (0, 0), (1, 1), True)
    assert of.output_shape((5, 5), HERE) == (3, 3)
    of = Window((2, 1), (3, 3), (1, 0), (1, 1), True)
    assert of.output_shape((5, 5), HERE)[1] == 2


def test_a_window_larger_than_the_input_is_an_error():
    with pytest.raises(ShapeError) as error:
        window(5, pad=1, axes=2).output_shape((9, 2), HERE)
    assert str(error.value) == (
        "Convolution 'c': expected an input of at least 3 along spatial axis 1 for kernel (5, 5), "
        "pad (1, 1), dilation (1, 1), got (9, 2). Hint: enlarge the input or the pad, or make the "
        "kernel smaller.")
    with pytest.raises(ShapeError, match="at least 7 along spatial axis 0"):
        window(4, dilation=2).output_shape((6,), HERE)
    with pytest.raises(ShapeError, match="at least 7 along spatial axis 0"):
        window(7, ceil=True).output_shape((6,), HERE)


@pytest.mark.parametrize("expected, of", [
    (True, window(1, axes=2)), (False, window(1, stride=2)), (False, window(1, pad=1)),
    (False, window(3))])
def test_pointwise_is_1x1_at_stride_1_without_padding(expected, of):
    assert of.is_pointwise is expected


# ------------------------------------------------------------------------------ from parameters

def of_convolution(axes=2, **fields):
    return Window.of_convolution(ConvolutionParameter(**fields), axes, HERE)


def of_pooling(spatial=(6, 8), **fields):
    return Window.of_pooling(PoolingParameter(**fields), spatial, "Pooling 'p'")


def test_one_value_serves_every_axis():
    of = of_convolution(3, kernel_size=[5], stride=[2], pad=[1], dilation=[3])
    assert of == Window((5,) * 3, (2,) * 3, (1,) * 3, (3,) * 3)


def test_each_axis_may_have_its_own():
    of = of_convolution(kernel_size=[3, 5], stride=[1, 2], pad=[0, 4], dilation=[2, 1])
    assert of == Window((3, 5), (1, 2), (0, 4), (2, 1))


def test_two_axes_may_be_called_h_and_w():
    of = of_convolution(kernel_h=3, kernel_w=5, stride_h=2, stride_w=4, pad_w=1)
    assert of == Window((3, 5), (2, 4), (0, 1), (1, 1))
    assert of_convolution(kernel_size=[3], hole_h=2, hole_w=3).dilation == (2, 3)
    assert of_convolution(kernel_size=[3], hole_h=2).dilation == (2, 1)
    of = of_pooling(kernel_h=3, kernel_w=5, stride_w=4, pad_h=2)
    assert of == Window((3, 5), (1, 4), (2, 0), (1, 1), True)


@pytest.mark.parametrize("fields, message", [
    ({}, "expected kernel_size, or kernel_h and kernel_w, got neither"),
    ({"kernel_size": [3], "kernel_h": 3}, "expected either kernel_size or kernel_h and kernel_w, "
     "got both"),
    ({"kernel_h": 3}, "expected kernel_h and kernel_w, got kernel_h alone"),
    ({"kernel_size": [0]}, r"expected kernel_size of 1 or more, got \(0, 0\)"),
    ({"kernel_size": [3], "stride": [0]}, r"expected stride of 1 or more, got \(0, 0\)"),
    ({"kernel_size": [3], "dilation": [0]}, r"expected dilation of 1 or more, got \(0, 0\)"),
    ({"kernel_size": [3], "stride": [1, 2, 3]}, r"expected stride once or 2 times \(one for each "
     r"spatial axis\), got 3 times"),
    ({"kernel_size": [3], "dilation": [2], "hole": [2]}, "expected either dilation or, in old "
     "forks, hole, got both"),
    ({"axes": 3, "kernel_size": [3], "pad_h": 1}, "expected pad for 3 spatial axes, got pad_h. "
     "Hint: pad_h and pad_w are for two axes"),
])
def test_what_is_amiss_with_a_convolution_is_said(fields, message):
    with pytest.raises(ParameterError, match=f"Convolution 'c': {message}"):
        of_convolution(**fields)


def test_old_forks_call_dilation_hole():
    assert of_convolution(kernel_size=[3], hole=[2]).dilation == (2, 2)
    assert of_convolution(kernel_size=[3], hole=[1]).dilation == (1, 1)


def test_pooling_rounds_up_unless_told_otherwise():
    assert of_pooling(kernel_size=2).ceil
    assert not of_pooling(kernel_size=2, round_mode=PoolingParameter.FLOOR).ceil
    assert not of_pooling(kernel_size=2, ceil_mode=False).ceil
    assert not of_pooling(kernel_size=2, round_below=True).ceil
    assert of_pooling(kernel_size=2, round_below=False).ceil


def test_global_pooling_covers_the_input():
    assert of_pooling(global_pooling=True) == Window((6, 8), (1, 1), (0, 0), (1, 1), True)


@pytest.mark.parametrize("fields, message", [
    ({}, "expected kernel_size, or kernel_h and kernel_w, or global_pooling: true, got none"),
    ({"kernel_size": 0}, r"expected kernel_size of 1 or more, got \(0, 0\)"),
    ({"kernel_size": 2, "pad": 2}, r"expected a pad smaller than the kernel \(2, 2\), got "
     r"\(2, 2\)"),
    ({"kernel_size": 2, "global_pooling": True}, "expected no kernel size beside global_pooling: "
     "true, got one. Hint: remove it: the window is the whole input"),
    ({"stride": 2, "global_pooling": True}, "expected pad 0 and stride 1 with global_pooling: "
     r"true, got pad \(0, 0\), stride \(2, 2\)"),
])
def test_what_is_amiss_with_a_pooling_is_said(fields, message):
    with pytest.raises(ParameterError, match=f"Pooling 'p': {message}"):
        of_pooling(**fields)
