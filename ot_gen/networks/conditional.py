"""Networks that know the class of their points: maps of labelled rows (x, k)."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from ot_gen.arguments import Count, checked
from ot_gen.display import Network
from ot_gen.execution.row_maps import WEIGHTED
from ot_gen.measures import unlabelled


@final
@checked
class Conditional(Network):
    """A network with a bias of its own for each class in each layer: rows (x, k), (n, d + 1) -> net(x; k).

        h_l = W_l h_{l−1} + b_l + e_{l,k},      l over the linear and the convolutional layers

    In the first layer this is the same as one-hot columns beside x. Any network of such layers will do; its input and
    its output keep their sizes. The derivative with respect to the column of classes is 0, so a gradient penalty and a
    Lipschitz constant are those in x.

    Args:
        net: of points x (n, d); it is trained, and shared with the caller.
        classes: K.

    Raises:
        ValueError: the network has no such layer, or is told a class already; or, when it is called, a class that is
            not one of 0, ..., K − 1.

    Source: Mirza, Osindero, 2014, https://arxiv.org/abs/1411.1784; Perez et al., 2018, https://arxiv.org/abs/1709.07871

    Example:
        >>> net = Conditional(nn.Linear(2, 3), classes=10)
        >>> net(torch.tensor([[0.5, 0.5, 7.0]])).shape
        torch.Size([1, 3])
    """

    by_rows = True

    def __init__(self, net: nn.Module, classes: Count) -> None:
        super().__init__()
        if any(isinstance(part, Conditional) for part in net.modules()):
            raise ValueError(
                f"this {type(net).__name__} is told the class already, by a Conditional; give the network of points "
                "without it"
            )
        layers = [part for part in net.modules() if isinstance(part, WEIGHTED)]
        if not layers:
            raise ValueError(
                f"{type(net).__name__} has no linear and no convolutional layer to which a class could be told; give a "
                "network that takes rows (x, k) itself"
            )
        self.net = net
        self.classes = classes
        # They start as N(0, 1), as large as what layers return: classes use different units from the first step on.
        # With that of torch's own biases, about 1/√width, 1,200 steps of WGAN-GP brought digits to a class accuracy of
        # .69 for .88 here.
        self.biases = nn.ModuleList([nn.Embedding(classes, _channels(layer)) for layer in layers])
        vars(self)["_layers"] = layers  # parts of the net already

    def forward(self, rows: Tensor) -> Any:
        x, labels = unlabelled(rows)
        check_classes(rows[:, -1], self.classes)
        hooks = [
            layer.register_forward_hook(_Shift(bias, labels))
            for layer, bias in zip(vars(self)["_layers"], self.biases, strict=True)
        ]
        try:
            return self.net(x)
        finally:
            for hook in hooks:
                hook.remove()

    def extra_repr(self) -> str:
        return f"classes={self.classes}"


@final
class _Shift:
    """Adds the bias of each row's class to what a layer returns."""

    def __init__(self, bias: nn.Module, labels: Tensor) -> None:
        self.bias = bias
        self.labels = labels

    def __call__(self, layer: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
        shift: Tensor = self.bias(self.labels)
        return out + shift.view(*shift.shape, *(1,) * (out.ndim - 2)).to(out.dtype)


def _channels(layer: nn.Module) -> int:
    if isinstance(layer, nn.Linear):
        return layer.out_features
    channels: int = layer.out_channels  # type: ignore[assignment]  # a convolution, of the five kinds in WEIGHTED
    return channels


def check_classes(labels: Tensor, classes: int) -> None:
    """Raise a `ValueError` unless labels are 0, ..., K − 1, to the rounding of a point between two of one class.

    Example:
        >>> check_classes(torch.tensor([0, 9]), 10)
    """
    if len(labels) == 0:
        return
    labels = labels.detach()
    whole = labels.round()
    rounding = min(0.1, 16 * classes * torch.finfo(labels.dtype).eps) if labels.is_floating_point() else 0.0
    inside = 0 <= float(whole.min()) <= float(whole.max()) < classes
    if not inside or not float((labels - whole).abs().max()) <= rounding:
        raise ValueError(
            f"there are classes 0 to {classes - 1}, got numbers from {float(labels.min()):g} to "
            f"{float(labels.max()):g}; the last column of labelled rows is the class, a whole number"
        )


@final
@checked
class LabelledVelocity(Network):
    """A velocity of labelled rows, (t, (x, k)) -> (v(t, x, k), 0): points move, and classes stay.

    Args:
        velocity: v(t, x, label), such as `DenseVelocity(d, classes=K)`.

    Example:
        >>> from ot_gen import DenseVelocity
        >>> v = LabelledVelocity(DenseVelocity(2, width=8, classes=3))
        >>> v(torch.zeros(1), torch.tensor([[0.5, 0.5, 2.0]]))[:, -1]
        tensor([0.], grad_fn=<SelectBackward0>)
    """

    keeps_label = True

    def __init__(self, velocity: nn.Module) -> None:
        super().__init__()
        self.velocity = velocity

    def forward(self, t: Tensor, rows: Tensor) -> Tensor:
        x, labels = unlabelled(rows)
        v: Tensor = self.velocity(t, x, labels)
        return torch.cat([v, torch.zeros_like(v[:, :1])], dim=1)
