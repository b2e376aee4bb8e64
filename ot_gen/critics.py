"""Critics: potentials held by a network, h = h_ξ, with h̃ read off h by the geometry of the cost."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from .costs import Cost
from .lipschitz import Lipschitz
from .measures import Measure
from .potentials import Potential


class Critic(Potential):
    """A neural potential h = h_ξ with h̃ = −h, for a ground cost that is a distance.

    For c a distance and h 1-Lipschitz, h^c = −h (Kantorovich-Rubinstein), so the dual is E h(x) − E h(y). How close
    h_ξ stays to the 1-Lipschitz functions is the mechanism's business: penalties and estimated spectral norms
    certify nothing, so the value is no bound unless `lipschitz.certifies_one`.

    Args:
        net: (n, d) -> (n, 1) or (n,).
        lipschitz: the mechanism, e.g. `GradientPenalty(10.0)`.
        output: a module applied to h, e.g. `nn.Sigmoid()` for h ∈ [0, 1]; None leaves h unbounded.

    Raises:
        ValueError: when bound to a cost that is not a distance.

    Source: Arjovsky, Chintala, Bottou, 2017, https://arxiv.org/abs/1701.07875

    Example:
        >>> from ot_gen.lipschitz import WeightClip
        >>> Critic(nn.Linear(2, 1), WeightClip())(torch.zeros(5, 2)).shape
        torch.Size([5])
    """

    kind = "network"

    def __init__(self, net: nn.Module, lipschitz: Lipschitz, output: nn.Module | None = None) -> None:
        super().__init__()
        self.net = lipschitz.attach(net)
        self.lipschitz = lipschitz
        self.output = output if output is not None else nn.Identity()
        self.bound: Literal["lower"] | None = "lower" if lipschitz.certifies_one and output is None else None

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.output(self.net(x))
        return h.reshape(len(x))

    def conjugate_mean(self, x: Tensor, y: Tensor) -> Tensor:
        return -self(y).mean()

    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        if not cost.is_metric:
            raise ValueError(
                f"a Critic needs a distance as its cost (h^c = −h holds for no other), got {cost}; "
                "use cost=euclidean, or solver=dual/semidiscrete, which takes any cost"
            )
        y = nu.sample(2)
        try:
            with torch.no_grad():
                shape = self.net(y).shape
        except RuntimeError as error:
            raise ValueError(f"the critic does not accept data of dimension {nu.dim} ({error})") from error
        if shape.numel() != 2:
            raise ValueError(f"a critic returns one value a point, got shape {tuple(shape)} for 2 points")

    def penalty(self, x: Tensor, y: Tensor) -> Tensor:
        return self.lipschitz.penalty(self, x, y)

    def project(self) -> None:
        self.lipschitz.project(self.net)
