"""The figure of docs/images_networks.md: images of `data=shapes`.

python docs/images_shapes_figure.py      writes docs/images_shapes.png; a second
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from ot_gen import Empirical, data

COLUMNS, ROWS, GAP, SCALE = 10, 4, 1, 3


def main() -> None:
    """The first images on a grid, each pixel three wide."""
    shapes = data.shapes(size=COLUMNS * ROWS, test_size=2)
    assert shapes.shape is not None and isinstance(shapes.train, Empirical)
    images = shapes.train.atoms
    tiles = torch.nn.functional.pad(images.reshape(ROWS, COLUMNS, *shapes.shape), (GAP,) * 4, value=1.0)
    grid = tiles.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    picture = Image.fromarray((255 * grid).round().byte().numpy())
    size = (SCALE * picture.width, SCALE * picture.height)
    picture.resize(size, Image.Resampling.NEAREST).save(Path(__file__).with_name("images_shapes.png"), optimize=True)


if __name__ == "__main__":
    main()
