"""Data to learn from, each a `Dataset`: a training law or cloud, and held-out points.

The planar laws of `toys` are measures; `toy` makes a data set of one. `digits`, `mnist` and `shapes` need no network,
`mnist_full` downloads the whole of MNIST once, and `points` and `image_folder` read the user's own files.
"""

from ot_gen.data.dataset import Dataset
from ot_gen.data.digits import digits, mnist
from ot_gen.data.download import mnist_full
from ot_gen.data.files import image_folder, points
from ot_gen.data.law import toy
from ot_gen.data.samples import samples
from ot_gen.data.shapes import shapes
from ot_gen.data.toys import (
    checkerboard,
    eight_gaussians,
    parallel_lines,
    pinwheel,
    rings,
    swiss_roll,
    twenty_five_gaussians,
    two_moons,
)

__all__ = [
    "Dataset",
    "checkerboard",
    "digits",
    "eight_gaussians",
    "image_folder",
    "mnist",
    "mnist_full",
    "parallel_lines",
    "pinwheel",
    "points",
    "rings",
    "samples",
    "shapes",
    "swiss_roll",
    "toy",
    "twenty_five_gaussians",
    "two_moons",
]
