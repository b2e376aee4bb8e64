"""The small digit classifier that ships with the package: a feature space and class names for generated digits."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import final

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ot_gen.arguments import Labels, checked
from ot_gen.display import Network
from ot_gen.measures import check_cloud
from ot_gen.measures.points import check_defined

FEATURES, CLASSES, PIXELS = 64, 10, 784
WEIGHTS = Path(__file__).with_name("digit_classifier.safetensors")
CHUNK = 1000  # images at a time
KNOWN = 0.8  # the share of digits that are known from which the classifier judges; of MNIST it is .98


@final
@checked
class DigitClassifier(Network):
    """Two convolutions, 64 standardised features, ten classes, on digits (n, 784) with pixels in [0, 1].

    The features are taken before the last ReLU and standardised to mean 0 and variance 1 on the training digits. Pixels
    outside [0, 1] are clipped, as in a stored image.

    `DigitClassifier.shipped()` holds the weights of the package. They were trained on the 8,000 training digits of
    `ot_gen.data.mnist()`, and classify 98 % or more of its 2,000 held-out digits correctly. The script and the exact
    figure are in experiments/digit_classifier. A new instance holds random weights.

    Source of the layers: LeCun et al., 1998, https://doi.org/10.1109/5.726791

    Example:
        >>> from ot_gen.data import mnist
        >>> held_out, classifier = mnist().test.atoms[:5], DigitClassifier.shipped()
        >>> classifier.features(held_out).shape, classifier.classes(held_out).shape
        (torch.Size([5, 64]), torch.Size([5]))
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)),
            *(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, FEATURES)),  # before the ReLU: a third of them would be 0 behind it
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(FEATURES, CLASSES))
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("std", torch.ones(FEATURES))

    @classmethod
    def shipped(cls) -> DigitClassifier:
        """With the weights that ship in the package, in evaluation mode and without gradients; each is the caller's."""
        return deepcopy(_shipped())

    def forward(self, images: Tensor) -> Tensor:
        """Class scores, (n, 784) -> (n, 10), differentiable."""
        scores: Tensor = self.head(self.body(images))
        check_defined(scores, "a score", images)
        return scores

    @torch.no_grad()
    @checked
    def features(self, images: Tensor) -> Tensor:
        """Standardised features, (n, 784) -> (n, 64) on the CPU.

        Raises:
            ValueError: no finite images of 784 pixels.
        """
        parts = (part.to(self.mean.device) for part in _parts(images))
        return torch.cat([((self.body(part) - self.mean) / self.std).cpu() for part in parts])

    @torch.no_grad()
    @checked
    def classes(self, images: Tensor) -> Tensor:
        """The likeliest digit of each image, (n, 784) -> (n,) int64 on the CPU.

        Raises:
            ValueError: no finite images of 784 pixels.
        """
        return torch.cat([self(part.to(self.mean.device)).argmax(dim=1).cpu() for part in _parts(images)])


@checked
def digit_features(images: Tensor) -> Tensor:
    """`DigitClassifier.features` of the shipped classifier, (n, 784) -> (n, 64).

    Example:
        >>> digit_features(torch.zeros(2, 784)).shape
        torch.Size([2, 64])
    """
    return _shipped().features(images)


@checked
def digit_classes(images: Tensor) -> Tensor:
    """`DigitClassifier.classes` of the shipped classifier, (n, 784) -> (n,).

    Example:
        >>> digit_classes(torch.zeros(2, 784)).dtype
        torch.int64
    """
    return _shipped().classes(images)


@checked
def doubt_of_digits(images: Tensor, labels: Labels | None = None) -> str:
    """Why the shipped classifier is no judge of these images; empty where they are digits that it knows.

    They are where it takes most of the labelled images for their digit. It was trained on `ot_gen.data.mnist()`.

    Args:
        images: (n, d).
        labels: the digits, (n,), or None where they are not known.

    Example:
        >>> from ot_gen.data import mnist
        >>> held_out = mnist()
        >>> doubt_of_digits(held_out.test.atoms[:100], held_out.test_labels[:100])
        ''
        >>> doubt_of_digits(torch.zeros(100, 784))[:23]
        'they have no labels, so'
    """
    if images.shape[1] != PIXELS:
        return f"the digit classifier takes images of 28 x 28 pixels, and these have {images.shape[1]} numbers"
    if labels is None:
        return "they have no labels, so nothing tells that the digit classifier knows them"
    right = int((digit_classes(images) == labels.cpu()).sum())
    if right >= KNOWN * len(images):
        return ""
    return f"the digit classifier takes {right} of {len(images)} held-out images for what their labels say"


@cache
def _shipped() -> DigitClassifier:
    classifier = DigitClassifier()
    classifier.load_state_dict(load_file(WEIGHTS))  # stored in half precision, computed with in single
    return classifier.eval().requires_grad_(False)


def _parts(images: Tensor) -> tuple[Tensor, ...]:
    check_cloud(images, "images")
    if images.shape[1] != PIXELS:
        raise ValueError(
            f"the digit classifier takes images of 28 x 28 = {PIXELS} pixels, got rows of {images.shape[1]}; resize "
            "the images, or use metrics of points, which need no classifier"
        )
    return images.detach().cpu().float().clamp(0, 1).split(CHUNK)
