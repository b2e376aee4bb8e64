"""Small problems with classes."""

import torch

from ot_gen import MLP, Empirical, Labelled, LabelledData, Pushforward, labelled, standard_gaussian, with_classes

CLASSES = 3


def data(n=60, dim=2, classes=CLASSES, gap=4.0):
    """Classes of unequal shares, each around a place of its own."""
    labels = torch.cat([torch.arange(classes).repeat(2), torch.randint(classes, (n - 2 * classes,))])
    return LabelledData(Empirical(torch.randn(n, dim) + gap * labels[:, None]), labels)


def model(nu):
    net = MLP(2, nu.dim - 1, (16,))
    return Pushforward(with_classes(net, nu.classes), Labelled(standard_gaussian(2), nu.shares))


def rows(n, dim=2, classes=CLASSES):
    return labelled(torch.randn(n, dim), torch.randint(classes, (n,)))
