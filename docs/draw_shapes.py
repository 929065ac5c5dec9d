"""Draw small colour pictures of shapes, a folder for each class: something to train a net on.

    python draw_shapes.py shapes
    python draw_shapes.py others --classes cross,flower,dome --count 20

The pictures are the same wherever the script runs; another --seed gives others.  Needs NumPy and
Pillow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 32  # pixels of a picture
FINE = 4  # points a pixel is measured at, each way: the edges become smooth
NOISE = 24  # standard deviation of the noise, of 255


def polygon(corners: int):
    """The outline of a regular polygon: its distance from the centre at an angle."""
    half = np.pi / corners
    return lambda angle: np.cos(half) / np.cos(angle % (2 * half) - half)


def star(angle: np.ndarray) -> np.ndarray:
    """Five straight-edged points, whose valleys lie at 0.45 of the radius."""
    half = np.pi / 5
    turned = np.abs((angle + half) % (2 * half) - half)  # 0 at a point, pi / 5 in a valley
    return 0.45 * np.sin(half) / (np.sin(turned) * (1 - 0.45 * np.cos(half))
                                  + np.cos(turned) * 0.45 * np.sin(half))


def cross(angle: np.ndarray) -> np.ndarray:
    """Two bars across each other."""
    x, y = np.abs(np.cos(angle)) + 1e-9, np.abs(np.sin(angle)) + 1e-9
    return np.maximum(np.minimum(1 / x, 0.33 / y), np.minimum(0.33 / x, 1 / y))


def dome(angle: np.ndarray) -> np.ndarray:
    """A disc without its lower part."""
    return np.minimum(1, 0.2 / np.maximum(-np.sin(angle), 0.2))


OUTLINES = {"circle": np.ones_like, "triangle": polygon(3), "square": polygon(4),
            "pentagon": polygon(5), "star": star, "cross": cross,
            "flower": lambda angle: 0.7 + 0.3 * np.cos(5 * angle), "dome": dome}
SHAPES = "circle,pentagon,square,star,triangle"


def picture(outline, rng: np.random.Generator) -> np.ndarray:
    """One shape, uint8 (SIDE, SIDE, 3): any colour, size, place and rotation, on any colour."""
    size = rng.uniform(6, 13)
    x, y = rng.uniform(size + 1, SIDE - size - 1, 2)
    rotation = rng.uniform(0, 2 * np.pi)
    ground, colour = two_colours(rng)
    points = (np.arange(SIDE * FINE) + 0.5) / FINE
    across, down = points - x, (points - y)[:, None]
    inside = np.hypot(across, down) <= size * outline(np.arctan2(down, across) + rotation)
    share = inside.reshape(SIDE, FINE, SIDE, FINE).mean(axis=(1, 3))[:, :, None]
    pixels = ground + share * (colour - ground) + rng.normal(0, NOISE, (SIDE, SIDE, 3))
    return pixels.round().clip(0, 255).astype(np.uint8)


def two_colours(rng: np.random.Generator) -> np.ndarray:
    """Two colours (2, 3) that can be told apart."""
    while True:
        colours = rng.uniform(0, 255, (2, 3))
        if np.abs(colours[0] - colours[1]).max() >= 64:
            return colours


def draw(folder: Path, classes: list[str], count: int, seed: int) -> None:
    """Write ``folder/CLASS/0001.png`` and so on: ``count`` pictures of each class."""
    for name in classes:
        rng = np.random.default_rng([seed, list(OUTLINES).index(name)])
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(1, count + 1):
            pixels = picture(OUTLINES[name], rng)
            Image.fromarray(pixels).save(folder / name / f"{number:04}.png")


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the class folders go")
    parser.add_argument("--classes", default=SHAPES, help=f"of {','.join(OUTLINES)} "
                        f"(default: {SHAPES})")
    parser.add_argument("--count", type=int, default=1000,
                        help="pictures a class (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    options = parser.parse_args(arguments)
    classes = options.classes.split(",")
    unknown = [name for name in classes if name not in OUTLINES]
    if unknown:
        parser.error(f"unknown shapes: {', '.join(unknown)}")
    draw(options.folder, classes, options.count, options.seed)
    print(f"{options.count} pictures of each: {', '.join(classes)} in {options.folder}/")


if __name__ == "__main__":
    main()
