"""The recipe of the digit classifier: `run.py` makes the shipped weights by it, `benchmarks/digit_judge.py` its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

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
