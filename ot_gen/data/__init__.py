"""Data to learn from, each a `Dataset`: a training law or cloud, and held-out points.

The planar laws of `toys` are measures; `toy` makes a data set of one. `digits`, `mnist` and `shapes` need no network,
`mnist_full`, `fashion_mnist` and `cifar10` download their official files once. `points`, `images`, `image_folder` and
`celeba` read the user's own files, and `from_torch` the data sets of PyTorch.
"""

from ot_gen.data.cifar import cifar10
from ot_gen.data.dataset import Dataset
from ot_gen.data.digits import digits, mnist
from ot_gen.data.download import fashion_mnist, mnist_full
from ot_gen.data.files import points
from ot_gen.data.law import toy
from ot_gen.data.pictures import celeba, image_folder, images
from ot_gen.data.samples import samples
from ot_gen.data.shapes import shapes
from ot_gen.data.torch_data import from_torch
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
    "celeba",
    "checkerboard",
    "cifar10",
    "digits",
    "eight_gaussians",
    "fashion_mnist",
    "from_torch",
    "image_folder",
    "images",
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
