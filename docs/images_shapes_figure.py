"""The figure of docs/images_networks.md: images of `data=shapes`.

python docs/images_shapes_figure.py      writes docs/images_shapes.png; a second
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from ot_gen import Empirical, data, plot

COLUMNS, ROWS, SCALE = 10, 4, 3


def main() -> None:
    """The first images on a grid, each pixel three wide."""
    shapes = data.shapes(size=COLUMNS * ROWS, test_size=2)
    assert shapes.shape is not None and isinstance(shapes.train, Empirical)
    _, height, width = shapes.shape
    inches = (COLUMNS * (width + 2) - 2) * SCALE / 100, (ROWS * (height + 2) - 2) * SCALE / 100
    figure = Figure(figsize=inches)
    plot.samples(shapes.train.atoms, shape=shapes.shape, columns=COLUMNS, ax=figure.add_axes((0.0, 0.0, 1.0, 1.0)))
    figure.savefig(Path(__file__).with_name("images_shapes.png"), dpi=100, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
