"""Judge generated digits, (n, 784) in [0, 1], in the features of a small digit classifier and in pixels.

    python benchmarks/digit_judge.py                       # prints floor and ceiling
    python benchmarks/digit_judge.py --samples my.npy      # ... and the row of n >= 2,000 generated digits
    python benchmarks/digit_judge.py --train new.safetensors    # another classifier by the same recipe, under a minute

The embedded MNIST is put in a fixed random order. Digits 0-5,999 of that order train the models and the classifier (two
convolutions, 64 pre-activation features, standardised on those digits); the real side is A, digits 8,000-9,999. The
floor judges B, digits 6,000-7,999, as if they were generated: a perfect model scores it on average. The ceiling judges
uniform noise. The classifier is of the kind that ships in the package, which has seen 8,000 of these digits; this one
has seen the first 6,000 of the order alone. Its weights lie beside this script, with their checksum: a classifier that
is trained again on another machine gives other figures (ceilings from 129 to 139 were seen). Figures of another one say
so. Metrics are those of `ot_gen.evaluation`, without errors; `ot-gen evaluate --samples my.npy data=mnist` gives them
too.

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
import math
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, save_file
from torch import Tensor

import ot_gen
from ot_gen import wasserstein
from ot_gen.evaluation import ClassError, Coverage, DigitClassifier, FrechetDistance, Precision, Recall
from ot_gen.execution import written

sys.path.append(str(Path(__file__).parents[1] / "experiments" / "digit_classifier"))
import train_digit_classifier as recipe
from train_digit_classifier import accuracy

TRAIN, B, A = slice(0, 6000), slice(6000, 8000), slice(8000, 10000)
WEIGHTS = Path(__file__).with_name("digit_judge.safetensors")
SHA256 = "4f41efb6ca880083c875228a6385057e61d02c9964fa2331cc199ef0f624d5f2"
NEIGHBOURS, W2_SIZE, SEED = 5, 2000, 0
COLUMNS = ("FD", "P", "R", "C", "TV", "W2")


@cache
def digits() -> tuple[Tensor, Tensor]:
    """All 10,000 embedded digits in a fixed random order, (10000, 784) in [0, 1], and their labels, (10000,)."""
    with np.load(Path(ot_gen.__file__).parent / "data" / "mnist10k.npz") as arrays:
        images, labels = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])
    # In the file's order two stretches differ more than two samples of one law do (pixel W2 5.94 against 5.79).
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    return images[order].flatten(1).float() / 255, labels[order].long()


def trained_classifier(epochs: int = recipe.EPOCHS, images: int = 6000) -> DigitClassifier:
    """A classifier trained on the first digits, the same at every call."""
    x, labels = (part[TRAIN][:images] for part in digits())
    return recipe.trained_classifier(x, labels, epochs, SEED)


@cache
def classifier() -> DigitClassifier:
    """The judge's classifier, with its frozen weights."""
    content = WEIGHTS.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise SystemExit(f"{WEIGHTS} is not the file that gave the documented figures; restore it")
    net = DigitClassifier()
    net.load_state_dict(load(content))  # stored in half precision, computed with in single
    return net.eval()


def write_classifier(file: Path) -> None:
    """Train a classifier and write its weights."""
    net = trained_classifier()
    with written(file) as temporary:
        save_file({name: value.half() for name, value in net.state_dict().items()}, temporary)
    print(f"{file}: {held_out_accuracy(net):.2%} right on held-out digits")


def held_out_accuracy(net: DigitClassifier) -> float:
    """The share of digits 6,000-9,999 that the classifier names correctly; training has not seen them."""
    x, labels = (part[6000:] for part in digits())
    return accuracy(net, x, labels)


def judge(samples: Tensor | np.ndarray, real: Tensor | None = None) -> dict[str, float]:
    """The six columns of generated digits (n, 784) in [0, 1] against `real`, which is A unless given.

    Raises:
        ValueError: samples that are no finite (n, 784) images in [0, 1], or too few for the neighbours' balls.
    """
    fake = torch.as_tensor(samples).detach().cpu().float()
    if fake.ndim != 2 or fake.shape[1] != 784 or len(fake) < NEIGHBOURS + 3:
        raise ValueError(
            f"judge takes flat digits (n, 784), n >= {NEIGHBOURS + 3}, got {tuple(fake.shape)}; flatten them"
        )
    if not bool(((fake >= -1e-6) & (fake <= 1 + 1e-6)).all()):  # False for NaN too
        raise ValueError(
            f"judge takes pixels in [0, 1], got [{float(fake.min()):g}, {float(fake.max()):g}]; rescale the samples"
        )
    real = digits()[0][A] if real is None else real
    net = classifier()
    x, y = net.features(real), net.features(fake)
    return {
        "FD": FrechetDistance()(y, x),
        "P": Precision(NEIGHBOURS)(y, x),
        "R": Recall(NEIGHBOURS)(y, x),
        "C": Coverage(NEIGHBOURS)(y, x),
        "TV": ClassError()(net.classes(fake), net.classes(real)),
        "W2": math.sqrt(wasserstein(real[:W2_SIZE], fake[:W2_SIZE])),
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
    parser.add_argument("--train", type=Path, metavar="FILE", help="write a classifier trained anew, and judge nothing")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.train:
        write_classifier(arguments.train)
        return
    print(f"classifier: {held_out_accuracy(classifier()):.2%} right on held-out digits")
    rows = {}
    for file in arguments.samples:
        samples = np.load(file, allow_pickle=False)
        rows[file.name] = judge(samples.reshape(len(samples), -1))
    print(table(rows))


if __name__ == "__main__":
    main()
