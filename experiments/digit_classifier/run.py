"""Train the digit classifier that ships in the package, on the 8,000 embedded training digits, and judge it.

    python experiments/digit_classifier/run.py                   # trains, judges, draws
    python experiments/digit_classifier/run.py --weights FILE    # ... and writes the weights in half precision

No held-out digit is looked at before the network is finished: epochs, rates and shifts are those of an earlier network
for the same purpose, trained on other digits.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from train_digit_classifier import SEED, accuracy, trained_classifier

from ot_gen.data import mnist
from ot_gen.evaluation import DigitClassifier
from ot_gen.evaluation.classifier import WEIGHTS

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).parents[1]))  # for the modules that the experiments share, imported below
from results import conclude, options


def draw(images: Tensor, labels: Tensor, told: Tensor, file: Path) -> None:
    """The digits that the network misnames: what it says, and the label."""
    wrong = torch.nonzero(told != labels).squeeze(1)
    figure, axes = plt.subplots(-(-len(wrong) // 8), 8, figsize=(8, 1.25 * -(-len(wrong) // 8)), squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    for panel, i in zip(axes.flat, wrong.tolist(), strict=False):
        panel.imshow(images[i].view(28, 28), cmap="gray_r", vmin=0, vmax=1)
        panel.set_title(f"says {told[i]}, is {labels[i]}", fontsize=8)
    figure.suptitle(f"The {len(wrong)} of {len(images):,} held-out digits that the classifier misnames")
    figure.tight_layout()
    figure.savefig(file, dpi=90)


def main() -> int:
    """Train, judge, draw, and compare with expected.json."""
    parser = options(__file__, __doc__)
    parser.add_argument("--weights", type=Path, help="a .safetensors file to write the weights to")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, shipped = mnist(), load_file(WEIGHTS)
    labels, held_out = data.labels
    began = time.process_time()
    net: DigitClassifier = trained_classifier(data.train.atoms, labels)
    print(f"trained on {len(data.train):,} digits in {time.process_time() - began:.0f} CPU s, seed {SEED}")
    stored = {name: value.half().contiguous() for name, value in net.state_dict().items()}
    net.load_state_dict(stored)
    found = {
        "right on the held-out digits": accuracy(net, data.test.atoms, held_out),
        "right on the training digits": accuracy(net, data.train.atoms, labels),
        "shipped weights, right on the held-out digits": accuracy(DigitClassifier.shipped(), data.test.atoms, held_out),
        "shipped weights, bytes": float(WEIGHTS.stat().st_size),
        "largest difference from the shipped weights": max(float((stored[n] - shipped[n]).abs().max()) for n in stored),
    }
    if arguments.weights is not None:
        save_file(stored, arguments.weights, metadata={"seed": str(SEED), "digits": "ot_gen.data.mnist, train"})
    draw(data.test.atoms, held_out, net.classes(data.test.atoms), arguments.output / "figure.png")
    return conclude(arguments, found)


if __name__ == "__main__":
    sys.exit(main())
