"""Costs between the points themselves: powers of distances, and the inner product."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from ot_gen.costs.cost import Bilinear, Cost
from ot_gen.measures import widened, widened_pair


@final
class SquaredEuclidean(Cost):
    """c(x, y) = ‖x − y‖² = Σ_l (x_l − y_l)²: no ½ and no mean over features. W_c is then W₂².

    Example:
        >>> c = SquaredEuclidean()
        >>> float(c(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0])))
        25.0
    """

    degree = 2.0

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = widened_pair(x, y)
        return (x - y).square().sum(dim=-1)

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return squared_distances(x, y)

    def bilinear(self, y: Tensor) -> Bilinear:
        # Centring keeps the expansion of the square exact for clouds far from the origin. It copies the atoms, so it
        # is left out where the cloud surrounds the origin anyway.
        sample = widened(y.detach()[:: -(-len(y) // 1024)])
        centre = sample.mean(dim=0)
        far = bool(centre.square().sum() > 8 * (sample - centre).square().sum(dim=1).mean())

        def centred(points: Tensor) -> Tensor:
            points = widened(points)
            return points - centre if far else points

        def left(x: Tensor) -> tuple[Tensor, Tensor]:
            x = centred(x)
            return -2 * x, _squared_norms(x)

        def right(y: Tensor) -> tuple[Tensor, Tensor]:
            y = centred(y)
            return y, _squared_norms(y)

        return Bilinear(left, right)


@final
class InnerProduct(Cost):
    """c(x, y) = −⟨x, y⟩ = −Σ_l x_l y_l.

    The sign makes it a cost: ‖x − y‖² = ‖x‖² + ‖y‖² + 2 c(x, y), so its optimal couplings are those of
    `SquaredEuclidean`, and W₂²(μ, ν) = E‖x‖² + E‖y‖² + 2 W_c(μ, ν). It takes both signs.

    Source: Brenier, 1991, https://doi.org/10.1002/cpa.3160440402

    Example:
        >>> c = InnerProduct()
        >>> float(c(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])))
        -11.0
    """

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = widened_pair(x, y)
        return -(x * y).sum(dim=-1)

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = widened_pair(x, y)
        return -x @ y.T

    def bilinear(self, y: Tensor) -> Bilinear:
        def left(x: Tensor) -> tuple[Tensor, Tensor]:
            x = widened(x)
            return -x, x.new_zeros(len(x))

        def right(y: Tensor) -> tuple[Tensor, Tensor]:
            y = widened(y)
            return y, y.new_zeros(len(y))

        return Bilinear(left, right, nonnegative=False)


@final
class Euclidean(Cost):
    """c(x, y) = ‖x − y‖, a distance; W_c is W₁. The gradient at x = y is taken as 0.

    Example:
        >>> c = Euclidean()
        >>> float(c(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0])))
        5.0
    """

    is_metric = True
    degree = 1.0

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = widened_pair(x, y)
        return torch.linalg.vector_norm(x - y, dim=-1)

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = widened_pair(x, y)
        return self.against(y)(x)

    def against(self, y: Tensor) -> Callable[[Tensor], Tensor]:
        squared, tiny = squared_distances_to(y), torch.finfo(widened(y[:0]).dtype).tiny
        # The floor is inside the root: clamped entries get gradient 0 instead of 0/0.
        return lambda x: squared(x).clamp_min(tiny).sqrt()


@final
class Lp(Cost):
    """c(x, y) = ‖x − y‖_p = (Σ_l |x_l − y_l|^p)^{1/p}, a distance for every p >= 1; p = inf is the maximum.

    Raises:
        ValueError: p < 1, for which the triangle inequality fails.

    Example:
        >>> float(Lp(1.0)(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0])))
        7.0
    """

    is_metric = True
    degree = 1.0

    def __init__(self, p: float) -> None:
        super().__init__()
        if not p >= 1:
            raise ValueError(f"Lp needs p >= 1 to be a distance, got p = {p}; use p = 1, 2, ..., inf")
        self.p = float(p)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = widened_pair(x, y)
        return torch.linalg.vector_norm(x - y, ord=self.p, dim=-1)

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.cdist(*widened_pair(x, y), p=self.p, compute_mode="donot_use_mm_for_euclid_dist")

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """‖x_i − y_j‖² on all pairs, (n, d), (m, d) -> (n, m), by one matrix product.

    Example:
        >>> squared_distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
        tensor([[25.]])
    """
    x, y = widened_pair(x, y)
    return squared_distances_to(y)(x)


def squared_distances_to(y: Tensor) -> Callable[[Tensor], Tensor]:
    """x -> `squared_distances(x, y)`, with the norms of y (m, d) computed once.

    Example:
        >>> squared_distances_to(torch.tensor([[3.0, 4.0]]))(torch.zeros(1, 2))
        tensor([[25.]])
    """
    # Centring keeps the Gram expansion exact for clouds far from the origin.
    y = widened(y)
    centre = y.detach().mean(dim=0)
    y = y - centre
    norms = y.square().sum(dim=1)

    def squared(x: Tensor) -> Tensor:
        x = widened(x) - centre
        gram = torch.addmm(norms, x, y.T, alpha=-2.0)
        return gram.add_(x.square().sum(dim=1, keepdim=True)).clamp_min(0)

    return squared


def _squared_norms(points: Tensor) -> Tensor:
    # One read of the points and no copy of them, unlike the sum of their squares.
    norms: Tensor = torch.linalg.vector_norm(points, dim=1)
    return norms.square()
