"""``minicaffe show``: what a trained net has learnt to look for, and what it sees in a picture."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import numpy

from ..data.image import import_pillow
from ..errors import ParameterError, nearest
from ..proto.atomic_files import atomic_write
from ..proto.formats import read_weights
from . import trained
from .option_values import check_writable

DESCRIPTION = """\
Draw the filters of a convolution; with a picture, what the net's layers make of it.

Filters over 3 channels are drawn in colours, others as a grey tile for each channel, a row for
each filter. Maps are drawn for the layer that is named, or for each in a strip of its own.
Each tile's smallest number is black, its largest white.
"""

EPILOG = """\
examples:
  COMMAND --weights snapshots/digits_iter_700.caffemodel -o filters.png
  COMMAND --weights snapshots/digits_iter_700.caffemodel --layer conv2 -o filters.png
  COMMAND --weights snapshots/digits_iter_700.caffemodel --picture seven.png -o maps.png
  COMMAND --weights lenet_iter_10000.caffemodel --model lenet_train_test.prototxt \\
      --image-size 1x28x28 --picture seven.png --layer conv1 -o maps.png

A layer that a ReLU in place follows is drawn with it. Exit status: 0 done, 2 a mistake in the
options or files.
"""

FILTERS, CHANNELS, MAPS = 256, 32, 64  # at most drawn
WIDTH = 1000  # pixels of the drawing, as far as its tiles allow
COLOUR_SIDE, GREY_SIDE = 64, 32  # pixels that the tile of a filter is brought near to
MAP_SIDE, ONE_LAYER_SIDE = 64, 128  # and that of a map
BACKGROUND, INK = (28, 44, 74), (222, 228, 240)  # no grey, so that grey tiles stand apart
GAP, MARGIN, LINE = 2, 8, 16


class Strip(NamedTuple):
    """Tiles (n, h, w) or (n, h, w, 3), uint8, under a caption, so many in a row."""

    caption: str
    tiles: numpy.ndarray
    columns: int


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this command."""
    parser.set_defaults(run=run)
    trained.add_options(parser)
    what = parser.add_argument_group("what to draw")
    what.add_argument("--layer", metavar="NAME", help="the layer (default: the first convolution's "
                      "filters; the maps of every layer)")
    what.add_argument("--picture", metavar="FILE", help="draw what the layers make of this picture")
    what.add_argument("-o", "--output", metavar="FILE.png", required=True,
                      help="the picture to write")
    return parser


def run(options: argparse.Namespace) -> int:
    """Draw filters or maps; returns the exit status."""
    if Path(options.output).suffix.lower() != ".png":
        raise ParameterError("--output", "a file name that ends in .png", f"'{options.output}'")
    check_writable("--output", options.output)
    strips = _maps(options) if options.picture else [_filters(options.weights, options.layer)]
    write_png(compose(strips), options.output)
    for strip in strips:
        print(strip.caption)
    print(options.output)
    return 0


# -------------------------------------------------------------------------- what there is to see

def _filters(weights: str, name: str | None) -> Strip:
    """The filters (O, C, h, w) of a convolution, or of the first one.

    Errors: ParameterError for a layer that is none.
    """
    found = {layer.name: layer.blobs[0] for layer in read_weights(weights)
             if layer.type in ("Convolution", "Deconvolution", "")  # HDF5 tells no types
             and layer.blobs and layer.blobs[0] is not None and layer.blobs[0].ndim == 4}
    if name is None and found:
        name = next(iter(found))
    if name not in found:
        hint = nearest(name or "", found) or f"convolutions: {', '.join(found) or 'none'}."
        raise ParameterError(weights, "a convolution" if name is None else
                             "the name of a convolution", f"'{name}'" if name else "none", hint)
    return _filter_strip(name, found[name])


def _filter_strip(name: str, filters: numpy.ndarray) -> Strip:
    """Filters of 1 or 3 channels in a square; of others a row for each, a column a channel."""
    count, channels, height, width = filters.shape
    caption = f"{name}: {count} filters {channels} x {height} x {width}"
    if channels in (1, 3):
        shown, side = filters[:FILTERS].transpose(0, 2, 3, 1)[..., ::-1], COLOUR_SIDE  # to R, G, B
        columns = math.ceil(math.sqrt(1.6 * len(shown)))
        caption += f", the first {FILTERS}" if count > FILTERS else ""
    else:
        shown, side = filters[:CHANNELS, :CHANNELS], GREY_SIDE
        columns = shown.shape[1]
        if count > CHANNELS or channels > CHANNELS:
            caption += f", the first {shown.shape[0]} and of each {columns} channels"
        shown = shown.reshape(-1, height, width, 1)
    return Strip(caption, _enlarged(_tiles(shown), side), columns)


def _maps(options) -> list[Strip]:
    """What the layers make of a picture: a strip for each blob of maps (1, C, h, w).

    Errors: ParameterError for an unknown layer, or one that makes no maps.
    """
    net = trained.from_options(options, keep="all")
    net.forward([net.read(options.picture)])
    return blobs_seen(net.net, options.layer)


def blobs_seen(net, layer: str | None = None) -> list[Strip]:
    """The maps of the first sample of a net that has run: those of a layer, or all that there are.

    Errors: ParameterError for an unknown layer, or one that makes no maps.
    """
    layers = [param for param in net.param.layer if param.type != "Split"]
    names = [param.name for param in layers]
    if layer is not None and layer not in names:
        raise ParameterError("--layer", "the name of a layer", f"'{layer}'",
                             nearest(layer, names) or f"layers: {', '.join(names)}.")
    tops = dict.fromkeys(top for param in layers if layer in (None, param.name)
                         for top in param.top)
    found = {name: net.blobs[name].data[0] for name in tops if len(net.blobs[name].shape) == 4}
    if not found:
        shapes = ", ".join(f"'{name}' {net.blobs[name].shape}" for name in tops)
        raise ParameterError(f"layer '{layer}'", "maps (N, C, H, W) to draw", shapes)
    side = MAP_SIDE if layer is None else ONE_LAYER_SIDE
    return [_strip(name, array, side, name in net.inputs) for name, array in found.items()]


def _strip(name: str, maps: numpy.ndarray, side: int, is_picture: bool) -> Strip:
    """Maps (C, h, w) as tiles; a picture of three channels as one tile in colours."""
    channels, height, width = maps.shape
    caption = f"{name}: {channels} x {height} x {width}"
    if is_picture and channels == 3:
        tiles = _tiles(maps[::-1].transpose(1, 2, 0)[None])
    else:
        tiles = _tiles(maps[:MAPS, :, :, None])
        caption += f", the first {MAPS} maps" if channels > MAPS else ""
    tiles = _enlarged(tiles, side)
    return Strip(caption, tiles, _fitting(len(tiles), tiles.shape[2]))


# ------------------------------------------------------------------------------------ the drawing

def _tiles(arrays: numpy.ndarray) -> numpy.ndarray:
    """Numbers (n, h, w, 1 or 3) as uint8 (n, h, w, 3), each tile from its least to its largest."""
    arrays = numpy.nan_to_num(arrays.astype(numpy.float64))
    low = arrays.min(axis=(1, 2, 3), keepdims=True)
    spread = arrays.max(axis=(1, 2, 3), keepdims=True) - low
    flat = numpy.where(low == 0, 0, 0.5)  # a map of zeros saw nothing; any other number is grey
    shares = numpy.where(spread == 0, flat, (arrays - low) / numpy.where(spread == 0, 1, spread))
    return numpy.broadcast_to((255 * shares).round().astype(numpy.uint8), (*arrays.shape[:3], 3))


def _factors(height: int, width: int, side: int) -> tuple[int, int]:
    """How many times a tile is enlarged, and how many pixels apart those are that are taken."""
    longest = max(height, width)
    return max(1, side // longest), max(1, longest // side)


def _enlarged(tiles: numpy.ndarray, side: int) -> numpy.ndarray:
    """Tiles brought near to a side by whole factors."""
    enlarge, every = _factors(*tiles.shape[1:3], side)
    return tiles[:, ::every, ::every].repeat(enlarge, axis=1).repeat(enlarge, axis=2)


def _fitting(tiles: int, width: int) -> int:
    """How many tiles stand in a row, so that all rows are nearly full."""
    most = max(1, WIDTH // (width + GAP))
    return math.ceil(tiles / math.ceil(tiles / most))


def mosaic(strip: Strip) -> numpy.ndarray:
    """A strip's tiles in rows, a gap apart, (H, W, 3)."""
    n, height, width = strip.tiles.shape[:3]
    dy, dx = height + GAP, width + GAP
    rows = math.ceil(n / strip.columns)
    canvas = numpy.empty((rows * dy - GAP, strip.columns * dx - GAP, 3), numpy.uint8)
    canvas[...] = BACKGROUND
    for k, tile in enumerate(strip.tiles):
        y, x = k // strip.columns * dy, k % strip.columns * dx
        canvas[y:y + height, x:x + width] = tile
    return canvas


def compose(strips: list[Strip]) -> numpy.ndarray:
    """All strips below each other, each under its caption, (H, W, 3) uint8."""
    Image, ImageDraw = _pillow()
    mosaics = [mosaic(strip) for strip in strips]
    width = max(*(part.shape[1] for part in mosaics), 240) + 2 * MARGIN
    height = sum(part.shape[0] + LINE + MARGIN for part in mosaics) + MARGIN
    image = Image.new("RGB", (width, height), BACKGROUND)
    pen, y = ImageDraw.Draw(image), MARGIN
    for strip, part in zip(strips, mosaics):
        pen.text((MARGIN, y), strip.caption, fill=INK)
        image.paste(Image.fromarray(part), (MARGIN, y + LINE))
        y += LINE + part.shape[0] + MARGIN
    return numpy.asarray(image)


def write_png(pixels: numpy.ndarray, path: str | Path) -> None:
    """Write (H, W, 3) as a PNG file, whole or not at all."""
    Image, _ = _pillow()
    with atomic_write(path) as file:
        Image.fromarray(pixels).save(file, format="png")


def _pillow():
    Image = import_pillow()
    from PIL import ImageDraw
    return Image, ImageDraw
