"""Judge generated digits, (n, 784) in [0, 1], in the features of a small digit classifier and in pixels.

    python benchmarks/digit_judge.py                       # trains the classifier once and prints floor and ceiling
    python benchmarks/digit_judge.py --samples my.npy      # ... and the row of n >= 2,000 generated digits

The embedded MNIST is put in a fixed random order. Digits 0-5,999 of that order train the models and the classifier (two
convolutions, 64 pre-activation features, standardised on those digits); the real side is A, digits 8,000-9,999. The
floor judges B, digits 6,000-7,999, as if they were generated: a perfect model scores it on average. The ceiling judges
uniform noise. The classifier is trained once (under a minute) and kept in the user's cache folder of ot_gen.

    FD   Fréchet distance ‖m − m'‖² + tr(S + S' − 2(SS')^½) of the features (Heusel et al., 2017,
         https://arxiv.org/abs/1706.08500)
    P    precision, the share of generated digits inside the k-th neighbour's ball of a real one, k = 5
    R    recall, the share of real digits inside such a ball of a generated one (Kynkäänniemi et al., 2019,
         https://arxiv.org/abs/1904.06991)
    C    coverage, the share of real digits in whose ball a generated one lies (Naeem et al., 2020,
         https://arxiv.org/abs/2002.09797)
    TV   class histogram error ½ Σ_c |p_c − p'_c| of the classes that the classifier sees
    W2   exact W₂ in pixels, 2,000 against 2,000

No column stands alone: W2 rewards blur and falls below its floor, P alone rewards the mean digit, FD forgives memorised
digits, and TV looks at the classes only.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import math
import os
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pooch
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

import ot_gen
from ot_gen import wasserstein

TRAIN, B, A = slice(0, 6000), slice(6000, 8000), slice(8000, 10000)
FEATURES, NEIGHBOURS, W2_SIZE = 64, 5, 2000
EPOCHS, BATCH, SHIFT, SEED = 14, 100, 2, 0
COLUMNS = ("FD", "P", "R", "C", "TV", "W2")


@cache
def digits() -> tuple[Tensor, Tensor]:
    """All 10,000 embedded digits in a fixed random order, (10000, 784) in [0, 1], and their labels, (10000,)."""
    with np.load(Path(ot_gen.__file__).parent / "data" / "mnist10k.npz") as arrays:
        images, labels = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])
    # In the file's order two stretches differ more than two samples of one law do (pixel W2 5.94 against 5.79).
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    return images[order].flatten(1).float() / 255, labels[order].long()


class Classifier(nn.Module):
    """Two convolutions, 64 standardised features, ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)),
            *(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, FEATURES)),  # before the ReLU: a third of them would be 0 behind it
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(FEATURES, 10))
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("std", torch.ones(FEATURES))

    def forward(self, images: Tensor) -> Tensor:
        """Class scores, (n, 784) -> (n, 10)."""
        return self.head(self.body(images))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Standardised features, (n, 784) -> (n, 64)."""
        return torch.cat([(self.body(part) - self.mean) / self.std for part in images.split(1000)])

    @torch.no_grad()
    def classes(self, images: Tensor) -> Tensor:
        """The most likely class of each image, (n,) int64."""
        return torch.cat([self(part).argmax(1) for part in images.split(1000)])


def shifted(images: Tensor) -> Tensor:
    """Each image moved by up to two pixels in each direction, zeros moving in."""
    n = len(images)
    padded = pad(images.view(n, 28, 28), (SHIFT,) * 4)
    corner = torch.randint(2 * SHIFT + 1, (2, n, 1))
    rows, columns = corner[0] + torch.arange(28), corner[1] + torch.arange(28)
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]].flatten(1)


def trained_classifier(epochs: int = EPOCHS, images: int = 6000) -> Classifier:
    """A classifier trained on the first digits, the same at every call."""
    x, labels = (part[TRAIN][:images] for part in digits())
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        net = Classifier()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        steps = epochs * math.ceil(len(x) / BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
        for _ in range(epochs):
            for index in torch.randperm(len(x)).split(BATCH):
                loss = cross_entropy(net(shifted(x[index])), labels[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    net.eval()
    features = net.features(x)
    net.mean.copy_(features.mean(0))
    net.std.copy_(features.std(0))
    return net


def weights_file() -> Path:
    """Where the classifier is kept, under a name that its recipe decides: an edited recipe trains anew."""
    recipe = "".join(map(inspect.getsource, (digits, Classifier, shifted, trained_classifier)))
    recipe += repr((FEATURES, EPOCHS, BATCH, SHIFT, SEED))
    return (
        Path(pooch.os_cache("ot_gen")) / f"digit_judge_{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.safetensors"
    )


@cache
def classifier() -> Classifier:
    """The judge's classifier, from the cache folder or trained now (and then its accuracy is printed)."""
    weights = weights_file()
    if not weights.is_file():
        began = time.process_time()
        net = trained_classifier()
        print(f"digit classifier trained in {time.process_time() - began:.0f} CPU s: {accuracy(net):.2%} right on A, B")
        weights.parent.mkdir(parents=True, exist_ok=True)
        partial = weights.with_suffix(f".{os.getpid()}")
        save_file(net.state_dict(), partial)
        partial.replace(weights)
    net = Classifier()
    net.load_state_dict(load_file(weights))
    return net.eval()


def accuracy(net: Classifier) -> float:
    """The share of digits 6,000-9,999 that the classifier names correctly; training has not seen them."""
    x, labels = (part[6000:] for part in digits())
    return (net.classes(x) == labels).float().mean().item()


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """‖m − m'‖² + tr(S + S' − 2(SS')^½), the squared W₂ of the Gaussians with the moments of x (n, k) and y (m, k)."""
    x, y = x.double(), y.double()
    S, T = torch.cov(x.T), torch.cov(y.T)
    values, vectors = torch.linalg.eigh(S)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ T @ root).clamp_min(0).sqrt().sum()
    return float((x.mean(0) - y.mean(0)).square().sum() + S.trace() + T.trace() - 2 * cross)


def radii(x: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """The distance of each point of x (n, d) to its k-th nearest other point, (n,)."""
    return torch.cdist(x, x).kthvalue(k + 1, dim=1).values  # the nearest is the point itself


def coverage(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> float:
    """The share of real points in whose k-th neighbour's ball at least one generated point lies."""
    return (torch.cdist(real, fake).amin(1) <= radii(real, k)).float().mean().item()


def precision(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> float:
    """The share of generated points that lie in the k-th neighbour's ball of at least one real point."""
    return (torch.cdist(fake, real) <= radii(real, k)).any(1).float().mean().item()


def recall(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> float:
    """`precision` with the sides exchanged."""
    return precision(fake, real, k)


def class_histogram_error(real: Tensor, fake: Tensor) -> float:
    """½ Σ_c |p_c − p'_c| of two label vectors, (n,) and (m,), in [0, 1]."""
    p, q = (torch.bincount(labels, minlength=10) / len(labels) for labels in (real, fake))
    return 0.5 * (p - q).abs().sum().item()


def pixel_w2(real: Tensor, fake: Tensor) -> float:
    """Exact W₂ (the root) between the first 2,000 of each."""
    return math.sqrt(wasserstein(real[:W2_SIZE], fake[:W2_SIZE]))


def judge(samples: Tensor | np.ndarray, real: Tensor | None = None) -> dict[str, float]:
    """The six columns of generated digits (n, 784) in [0, 1] against `real`, which is A unless given.

    Raises:
        ValueError: samples that are no finite (n, 784) images in [0, 1], or too few for the neighbours' balls.
    """
    fake = torch.as_tensor(samples).detach().cpu().float()
    if fake.ndim != 2 or fake.shape[1] != 784 or len(fake) <= NEIGHBOURS:
        raise ValueError(f"judge takes flat digits (n, 784), n > {NEIGHBOURS}, got {tuple(fake.shape)}; flatten them")
    if not bool(((fake >= -1e-6) & (fake <= 1 + 1e-6)).all()):  # False for NaN too
        raise ValueError(
            f"judge takes pixels in [0, 1], got [{float(fake.min()):g}, {float(fake.max()):g}]; rescale the samples"
        )
    real = digits()[0][A] if real is None else real
    net = classifier()
    x, y = net.features(real), net.features(fake)
    return {
        "FD": frechet_distance(x, y),
        "P": precision(x, y),
        "R": recall(x, y),
        "C": coverage(x, y),
        "TV": class_histogram_error(net.classes(real), net.classes(fake)),
        "W2": pixel_w2(real, fake),
    }


@cache
def floor() -> Mapping[str, float]:
    """Real against real: B judged as if it were generated."""
    return judge(digits()[0][B])


@cache
def ceiling() -> Mapping[str, float]:
    """Uniform noise, judged."""
    return judge(torch.rand(W2_SIZE, 784, generator=torch.Generator().manual_seed(SEED)))


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """The rows, after those of the floor and of the ceiling."""
    rows = {"floor: real vs real": floor(), "ceiling: noise": ceiling(), **rows}
    width = max(map(len, rows))
    lines = [" " * width + "".join(f"{name:>8s}" for name in COLUMNS)]
    lines += [f"{name:{width}s}" + "".join(f"{row[c]:8.3g}" for c in COLUMNS) for name, row in rows.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, nargs="*", default=[], help=".npy files of images (n, 784) in [0, 1]")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"classifier: {accuracy(classifier()):.2%} right on held-out digits")
    rows = {}
    for file in arguments.samples:
        samples = np.load(file, allow_pickle=False)
        rows[file.name] = judge(samples.reshape(len(samples), -1))
    print(table(rows))


if __name__ == "__main__":
    main()
