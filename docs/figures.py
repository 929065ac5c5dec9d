"""Draws the figures of convolution.md, and counts for its table, with the project's own code.

    pip install '.[plot]'
    python docs/figures.py           writes docs/figures/*.svg and prints the table

Every number in a figure is one that minicaffe computed.  Files come out the same each time.
"""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np

from minicaffe.backend import convolution
from minicaffe.backend.base import Backend
from minicaffe.backend.taps import taps
from minicaffe.layers.convolution_engines import ENGINES
from minicaffe.window import Window

FOLDER = Path(__file__).parent / "figures"
BLUE, ORANGE, GREEN, PINK = PIXELS = "#b5d8f0", "#fbd9a0", "#b8e2c4", "#f1c1da"
PLAIN, GREY, INK, LINE = "#ffffff", "#ececec", "#1f2328", "#8c959f"

X = np.arange(1.0, 10).reshape(1, 3, 3)
W = np.array([[[[1.0, 2], [3, 4]]]])
DY = np.array([[[1.0, -1], [2, 3]]])


def window(kernel, stride=1, pad=0, dilation=1) -> Window:
    """A window over two axes, the same along both."""
    return Window(*((value, value) for value in (kernel, stride, pad, dilation)))


def columns(x, win: Window):
    """The column matrix of one image x (C, H, W)."""
    output = win.output_shape(x.shape[1:], "figure")
    col = np.empty((x.shape[0] * win.kernel[0] * win.kernel[1], output[0] * output[1]))
    convolution.im2col(x, win, output, col)
    return col


def convolved(x, w, win: Window, bias=None):
    """y (O, h, w) of one image."""
    y = np.empty((1, len(w), *win.output_shape(x.shape[1:], "figure")))
    convolution.forward(Backend(), x[None], w, bias, y, win, 1)
    return y[0]


# ------------------------------------------------------------------------------------- drawing

def canvas(width: float, height: float, unit: float):
    """An axis on which one cell is ``unit`` inches wide; its rows count downwards."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(width * unit, height * unit), facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.axis("off")
    return ax


def box(ax, left, top, width, height, colour="none", line=LINE, thick=0.7):
    """One rectangle."""
    ax.fill([left, left + width, left + width, left], [top, top, top + height, top + height],
            facecolor=colour, edgecolor=line, linewidth=thick, clip_on=False)


def label(ax, left, top, text, size=9, align="center", weight="normal", colour=INK):
    """A line of text, its middle at height ``top``."""
    ax.text(left, top, text, fontsize=size, ha=align, va="center_baseline", weight=weight,
            color=colour)


def cells(ax, values, left, top, colours=PLAIN, title="", size=9):
    """A matrix of numbers; colours: one for all, or a matrix of them."""
    values = np.atleast_2d(values)
    colours = np.broadcast_to(colours, values.shape)
    for i, j in np.ndindex(values.shape):
        box(ax, left + j, top + i, 1, 1, colours[i, j])
        text = f"{values[i, j]:g}".replace("-", "\N{MINUS SIGN}")
        label(ax, left + j + 0.5, top + i + 0.52, text, size)
    label(ax, left + values.shape[1] / 2, top - 0.55, title, size + 1, weight="bold")


def frame(ax, left, top, width, height):
    """A thick line around some cells."""
    box(ax, left, top, width, height, line=INK, thick=2)


def tinted(shape, where, colour, other=PLAIN):
    """A matrix of colours: ``colour`` at the slices ``where``."""
    colours = np.full(shape, other)
    colours[where] = colour
    return colours


def formula(weights, values) -> str:
    """``1·1 + 2·2 = 5``."""
    terms = [f"{w:g}·{v:g}" if v >= 0 else f"{w:g}·(\N{MINUS SIGN}{-v:g})"
             for w, v in zip(np.ravel(weights), np.ravel(values))]
    return " + ".join(terms) + f" = {np.sum(np.multiply(weights, values)):g}"


# ------------------------------------------------------------------------------------- figures

def four_windows():
    """The 3x3 input under each of the four places of a 2x2 filter."""
    win, ax = window(2), canvas(27, 6, 0.34)
    y, col = convolved(X, W, win)[0], columns(X, win)
    cells(ax, W[0, 0], 0.5, 1.7, title="w")
    for p, (i, j) in enumerate(product(range(2), range(2))):
        left = 4.2 + 5 * p
        cells(ax, X[0], left, 1.2, tinted((3, 3), (slice(i, i + 2), slice(j, j + 2)), PIXELS[p]),
              f"x under y[{i}, {j}]")
        label(ax, left + 1.5, 5.1, formula(W, col[:, p].reshape(W.shape)), 7.5)
    cells(ax, y, 24.5, 1.7, np.reshape(PIXELS, (2, 2)), "y")
    return ax


def column_matrix():
    """Two channels, their column matrix, and the product with two filters."""
    win, ax = window(2), canvas(25, 14, 0.34)
    x = np.stack([X[0], X[0] + 10])
    w = np.array([[[[1, 2], [3, 4]], [[0, 1], [1, 0]]], [[[1, 0], [0, -1]], [[1, -1], [0, 0]]]])
    col, y = columns(x, win), convolved(x, w, win)
    for c, top in ((0, 1.2), (1, 5.7)):
        cells(ax, x[c], 1, top, tinted((3, 3), (slice(0, 2), slice(1, 3)), ORANGE),
              f"x, channel {c}")
        label(ax, 4.7, top + 1, "window of pixel (0, 1)", 8, "left", colour="#7a4b00")
    for row, (c, i, j) in enumerate(np.ndindex(2, 2, 2)):
        label(ax, 19.7, 1.7 + row, f"c {c}, tap ({i}, {j})", 8, "left")
    cells(ax, col, 15, 1.2, PIXELS, "col = im2col(x)")
    cells(ax, w.reshape(2, 8), 5.5, 10.9, title="W, a row for each filter")
    cells(ax, y.reshape(2, 4), 15, 10.9, PIXELS, "y = W @ col")
    for p, (i, j) in enumerate(np.ndindex(2, 2)):
        label(ax, 15.5 + p, 13.4, f"({i}, {j})", 7.5)
    label(ax, 19.7, 13.4, "the output pixel", 8, "left")
    return ax


def windows_of_each_pixel():
    """col2im of ones: in how many windows each pixel of a 6x6 image lies."""
    wins = [("kernel 3", window(3)), ("kernel 3, stride 2", window(3, 2)),
            ("kernel 3, pad 1", window(3, 1, 1)), ("kernel 3, dilation 2", window(3, 1, 0, 2)),
            ("kernel 2, stride 2", window(2, 2))]
    ax = canvas(36.2, 9, 0.255)
    for n, (name, win) in enumerate(wins):
        output, dx = win.output_shape((6, 6), "figure"), np.empty((1, 6, 6))
        taps = win.kernel[0] * win.kernel[1]
        convolution.col2im(np.ones((taps, output[0] * output[1])), win, output, dx)
        cells(ax, dx[0], 0.6 + 7.25 * n, 1.3, shades(dx[0]), name, 7.5)
        label(ax, 3.6 + 7.25 * n, 8, f"{output[0]} x {output[1]} windows", 8)
    return ax


def shades(counts):
    """The more, the darker; grey for none."""
    deep = np.array([0x4f, 0xa3, 0xd9])

    def shade(count):
        red, green, blue = np.round(255 - (255 - deep) * count / 9).astype(int)
        return f"#{red:02x}{green:02x}{blue:02x}" if count else GREY
    return np.array([shade(count) for count in counts.flat]).reshape(counts.shape)


def as_one_matrix():
    """The whole convolution as a matrix, and its transpose, which is the backward pass."""
    win, ax = window(2), canvas(27, 11.5, 0.34)
    units = np.eye(9).reshape(9, 1, 3, 3)
    matrix = np.stack([convolved(unit, W, win).ravel() for unit in units], axis=1)
    colours = np.where(matrix != 0, np.reshape(PIXELS, (4, 1)), PLAIN)
    cells(ax, matrix, 0.8, 1.4, colours, "M:  y = M x")
    for a in range(9):
        label(ax, 1.3 + a, 5.9, f"x[{a // 3},{a % 3}]", 6.5)
    for p, (i, j) in enumerate(np.ndindex(2, 2)):
        label(ax, 10, 1.9 + p, f"y[{i},{j}]", 7.5, "left")
    cells(ax, matrix.T, 14.5, 1.4, colours.T, "M.T")
    cells(ax, DY.reshape(4, 1), 20, 3.9, np.reshape(PIXELS, (4, 1)), "dy")
    cells(ax, matrix.T @ DY.reshape(4, 1), 22.7, 1.4, title="dx")
    label(ax, 19.25, 5.9, "@", 11)
    label(ax, 21.85, 5.9, "=", 11)
    frame(ax, 14.5, 5.4, 4, 1)
    frame(ax, 22.7, 5.4, 1, 1)
    label(ax, 24, 5.6, "the filter,", 8, "left")
    label(ax, 24, 6.3, "read backwards", 8, "left")
    return ax


class Seen(Backend):
    """The device numpy; remembers what the engine TRANSPOSED hands to conv_forward."""

    def conv_forward(self, x, w, b, y, window, group, slope=None, columns=None):
        """As the base class does it; ``given`` then holds the image and the filters."""
        self.given = x[0, 0], w[0, 0]
        super().conv_forward(x, w, b, y, window, group, slope, columns)


def rotated_filter():
    """dy in its border, or with zeros inserted, under the filter turned around."""
    ax = canvas(35.6, 9.6, 0.26)
    wide = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    for left, w, win, size, at in ((0.6, W, window(2), 3, 1), (15.6, wide, window(3, 2), 5, 2)):
        k, backend, dx = win.kernel[0], Seen(), np.empty((1, 1, size, size))
        ENGINES["TRANSPOSED"](backend, win, 1).backward_data(DY[None], w, dx)
        spread, turned = backend.given
        colours = np.where(spread != 0, BLUE, GREY)
        cells(ax, spread, left, 1.3, colours, "dy, stride 1" if k == 2 else "dy, stride 2", 8)
        frame(ax, left + at, 1.3 + at, k, k)
        middle = left + len(spread) + 1.3
        cells(ax, turned, middle, 1.3 + at, ORANGE, "rot180(w)", 8)
        right = middle + k + 1.5
        cells(ax, dx[0, 0], right, 1.8, tinted((size, size), (at, at), GREEN), "dx", 8)
        frame(ax, right + at, 1.8 + at, 1, 1)
        under = spread[at:at + k, at:at + k]
        used = under != 0
        label(ax, left, 8.9, f"dx[{at},{at}] = " + formula(turned[used], under[used]), 8, "left")
    return ax


def rows_at_a_time():
    """One step of the kernel without a column matrix: what two of its 1024 weights read."""
    ax = canvas(90, 52, 0.082)
    win, top, left = window(8), 8, 16
    places = [tap.inputs[1:] for tap in taps(win, (39, 39), (32, 32))]
    box(ax, 2, 7, 39, 39, PLAIN)
    box(ax, 2, 7 + top, 39, 11, GREY)
    label(ax, 21.5, 4, "x, 39 x 39: rows 8 to 18 are at hand", 9, weight="bold")
    box(ax, 54, 7, 32, 32, PLAIN)
    box(ax, 54 + left, 7 + top, 16, 4, GREEN, INK, 1.2)
    label(ax, 70, 4, "dy of a filter, 32 x 32: one strip", 9, weight="bold")
    for tap, colour, name in ((0, BLUE, "w[0, 0]"), (63, ORANGE, "w[7, 7]")):
        rows, cols = places[tap]
        box(ax, 2 + cols.start + left, 7 + rows.start + top, 16, 4, colour, INK, 1.2)
        label(ax, 10 + cols.start + left, 9.1 + rows.start + top, name, 9)
    label(ax, 78, 9.1 + top, "4 x 16 pixels", 9)
    label(ax, 2, 49.5, "Each weight multiplies its 4 x 16 pixels of x with the strip of dy and adds"
          " the 64 products to its sum.", 9, "left")
    return ax


FIGURES = {"windows": four_windows, "im2col": column_matrix, "counts": windows_of_each_pixel,
           "matrix": as_one_matrix, "rotated": rotated_filter, "direct": rows_at_a_time}


# --------------------------------------------------------------------------------- the table

class CountedArrays:
    """NumPy, which notes its largest new array and counts the multiplications of einsum."""

    products = largest = 0

    def __getattr__(self, name):
        function = getattr(np, name)
        if name not in ("zeros", "empty", "ascontiguousarray", "einsum"):
            return function

        def call(*args, **options):
            made = function(*args, **options)
            self.largest = max(self.largest, made.size)
            if name == "einsum":
                self.products += made.size * summed(*args)
            return made
        return call


def summed(sums: str, *arrays) -> int:
    """How many products einsum adds up for one element."""
    inputs, output = sums.replace("...", "").split("->")
    sizes = {letter: size for letters, array in zip(inputs.split(","), arrays)
             for letter, size in zip(letters, array.shape)}
    return math.prod(size for letter, size in sizes.items() if letter not in output)


class Counted(Backend):
    """The device numpy, which counts the multiplications of matrix products and omits them."""

    def __init__(self):
        self.xp = CountedArrays()

    def matmul(self, a, b, out, accumulate=False):
        """Count those of ``a @ b``."""
        self.xp.products += a.shape[0] * a.shape[1] * b.shape[1]


EXAMPLES = {"3x3, pad 1, 16 x 32 x 48 to 32": ((16, 32, 48), 32, window(3, 1, 1)),
            "11x11, stride 4, 3 x 63 x 63 to 16": ((3, 63, 63), 16, window(11, 4)),
            "8x8, 1 x 39 x 39 to 16": ((1, 39, 39), 16, window(8)),
            "1x1, 64 x 28 x 28 to 64": ((64, 28, 28), 64, window(1))}


def costs(shape, outputs: int, win: Window, engine: str) -> tuple[int, int, int, int]:
    """Multiplications for y, dw and dx of one image, and the size of the largest array made."""
    backend = Counted()
    x = np.zeros((1, *shape), "float32")
    y = np.zeros((1, outputs, *win.output_shape(shape[1:], "table")), "float32")
    w, b = np.zeros((outputs, shape[0], *win.kernel), "float32"), np.zeros(outputs, "float32")
    runs, counts = ENGINES[engine](backend, win, 1), [0]
    for run, arrays in ((runs.forward, (x, w, b, y)), (runs.backward_weight, (x, y, w, b)),
                        (runs.backward_data, (y, w, x))):
        run(*arrays)
        counts.append(backend.xp.products)
    return *np.diff(counts).tolist(), backend.xp.largest


def table() -> str:
    """The engines' costs in Markdown."""
    lines = ["| example | engine | y | dw | dx | largest array |", "|---|---|--:|--:|--:|--:|"]
    for name, example in EXAMPLES.items():
        for engine in ("IM2COL", "DIRECT", "TRANSPOSED"):
            *products, largest = costs(*example, engine)
            millions = " | ".join(f"{count / 1e6:.2f}" for count in products)
            lines.append(f"| {name} | `{engine}` | {millions} | {largest:,} |")
    return "\n".join(lines)


def draw(folder: Path) -> None:
    """Write every figure into ``folder``."""
    import matplotlib
    folder.mkdir(exist_ok=True)
    for name, figure in FIGURES.items():
        with matplotlib.rc_context({"svg.hashsalt": name, "font.family": "DejaVu Sans"}):
            figure().figure.savefig(folder / f"{name}.svg",
                                    metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    draw(FOLDER)
    print(table())
