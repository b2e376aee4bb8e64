"""Train the digit classifier that ships in the package, on the 8,000 embedded training digits.

    python experiments/digit_classifier/train_digit_classifier.py                 # prints accuracies, writes nothing
    python experiments/digit_classifier/train_digit_classifier.py --output FILE   # ... and writes the weights, fp16

No held-out digit is looked at before the last line: epochs, rates and shifts are those of an earlier network for the
same purpose, trained on other digits.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from ot_gen.data import mnist
from ot_gen.evaluation import DigitClassifier

EPOCHS, BATCH, SHIFT, SEED = 14, 100, 2, 0


def shifted(images: Tensor) -> Tensor:
    """Each image moved by up to two pixels in each direction, zeros moving in."""
    n = len(images)
    padded = pad(images.view(n, 28, 28), (SHIFT,) * 4)
    corner = torch.randint(2 * SHIFT + 1, (2, n, 1))
    rows, columns = corner[0] + torch.arange(28), corner[1] + torch.arange(28)
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]].flatten(1)


def trained_classifier(images: Tensor, labels: Tensor, epochs: int = EPOCHS, seed: int = SEED) -> DigitClassifier:
    """A classifier of digits (n, 784) with classes (n,): on one machine and thread the same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = DigitClassifier()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        steps = epochs * math.ceil(len(images) / BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
        for _ in range(epochs):
            for index in torch.randperm(len(images)).split(BATCH):
                loss = cross_entropy(net(shifted(images[index])), labels[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    net.eval()
    features = net.features(images)
    net.mean.copy_(features.mean(dim=0))
    net.std.copy_(features.std(dim=0))
    return net.requires_grad_(False)


def accuracy(net: DigitClassifier, images: Tensor, labels: Tensor) -> float:
    """The share of the images whose class the network names."""
    return (net.classes(images) == labels).float().mean().item()


def main() -> None:
    """Train, judge, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a .safetensors file")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data = mnist()
    labels, test_labels = data.labels
    began = time.process_time()
    net = trained_classifier(data.train.atoms, labels, seed=arguments.seed)
    print(f"trained on {len(data.train):,} digits in {time.process_time() - began:.0f} CPU s, seed {arguments.seed}")
    stored = {name: value.half().contiguous() for name, value in net.state_dict().items()}
    net.load_state_dict(stored)
    print(f"right on the training digits: {accuracy(net, data.train.atoms, labels):.2%}")
    print(f"right on the {len(data.test):,} held-out digits: {accuracy(net, data.test.atoms, test_labels):.2%}")
    if arguments.output is not None:
        save_file(
            stored, arguments.output, metadata={"seed": str(arguments.seed), "digits": "ot_gen.data.mnist, train"}
        )
        print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
