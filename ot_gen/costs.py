"""Ground costs c(x, y), x on the model's side and y on the data's.

Each cost has two faces that agree to rounding: `cost(x, y)` on paired points and `cost.matrix(x, y)` on all pairs,
which never forms an (n, m, d) array.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

Side = Callable[[Tensor], tuple[Tensor, Tensor]]


class Bilinear(NamedTuple):
    """A cost written as one matrix product: c(x_i, y_j) = u(x_i)·v(y_j) + r(x_i) + s(y_j).

    Attributes:
        left: x (n, d) -> (u (n, k), r (n,)).
        right: y (m, d) -> (v (m, k), s (m,)), for all atoms or a tile of them.
        nonnegative: whether c >= 0 everywhere.
    """

    left: Side
    right: Side
    nonnegative: bool = True


class Cost(nn.Module, ABC):
    """A ground cost c : X × X -> R.

    `is_metric` says whether c is a distance; only then is every 1-Lipschitz h a feasible potential with h^c = −h.
    """

    is_metric: bool = False

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """c(x_i, y_i) on paired points: (*, d), (*, d) -> (*), with broadcasting."""

    @abstractmethod
    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """C_ij = c(x_i, y_j) on all pairs: (n, d), (m, d) -> (n, m)."""

    def decoded(self, out: Tensor | Distribution, y: Tensor) -> Tensor:
        """c(g(z_i), y_i), (n,), where out is what the generator returned: points (n, d), or laws, of which it draws.

        Raises:
            ValueError: the laws have no differentiable draw.
        """
        if isinstance(out, Tensor):
            return self(out, y)
        if not out.has_rsample:
            raise ValueError(
                f"{self} needs draws that can be differentiated, and {out} has none; use NegativeLogLikelihood"
            )
        return self(out.rsample(), y)

    def bilinear(self, y: Tensor) -> Bilinear | None:
        """The cost as one matrix product, or None where it is none; y (m, d) are typical atoms, of which few are read.

        Example:
            >>> x, y = torch.rand(3, 2), torch.rand(4, 2)
            >>> form = SquaredEuclidean().bilinear(y)
            >>> (u, r), (v, s) = form.left(x), form.right(y)
            >>> torch.allclose(u @ v.T + r[:, None] + s, SquaredEuclidean().matrix(x, y), atol=1e-6)
            True
        """
        return None

    def against(self, y: Tensor) -> Callable[[Tensor], Tensor]:
        """x (n, d) -> C_ij = c(x_i, y_j), (n, m), for atoms that stay: what depends on them alone is computed once.

        Example:
            >>> x, y = torch.rand(3, 2), torch.rand(4, 2)
            >>> torch.equal(Euclidean().against(y)(x), Euclidean().matrix(x, y))
            True
        """
        return lambda x: self.matrix(x, y)


class SquaredEuclidean(Cost):
    """c(x, y) = ‖x − y‖² = Σ_l (x_l − y_l)²: no ½ and no mean over features. W_c is then W₂².

    Example:
        >>> c = SquaredEuclidean()
        >>> float(c(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0])))
        25.0
    """

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
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
        return -(x * y).sum(dim=-1)

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return -x @ y.T

    def bilinear(self, y: Tensor) -> Bilinear:
        def left(x: Tensor) -> tuple[Tensor, Tensor]:
            x = widened(x)
            return -x, x.new_zeros(len(x))

        def right(y: Tensor) -> tuple[Tensor, Tensor]:
            y = widened(y)
            return y, y.new_zeros(len(y))

        return Bilinear(left, right, nonnegative=False)


class Euclidean(Cost):
    """c(x, y) = ‖x − y‖, a distance; W_c is W₁. The gradient at x = y is taken as 0.

    Example:
        >>> c = Euclidean()
        >>> float(c(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0])))
        5.0
    """

    is_metric = True

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.linalg.vector_norm(x - y, dim=-1)

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return self.against(y)(x)

    def against(self, y: Tensor) -> Callable[[Tensor], Tensor]:
        squared = squared_distances_to(y)
        # The floor is inside the root: clamped entries get gradient 0 instead of 0/0.
        return lambda x: squared(x).clamp_min(torch.finfo(y.dtype).tiny).sqrt()


class Lp(Cost):
    """c(x, y) = ‖x − y‖_p = (Σ_l |x_l − y_l|^p)^{1/p}, a distance for every p >= 1; p = inf is the maximum.

    Raises:
        ValueError: p < 1, for which the triangle inequality fails.

    Example:
        >>> float(Lp(1.0)(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0])))
        7.0
    """

    is_metric = True

    def __init__(self, p: float) -> None:
        super().__init__()
        if not p >= 1:
            raise ValueError(f"Lp needs p >= 1 to be a distance, got p = {p}; use p = 1, 2, ..., inf")
        self.p = float(p)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.linalg.vector_norm(x - y, ord=self.p, dim=-1)

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.cdist(x, y, p=self.p, compute_mode="donot_use_mm_for_euclid_dist")

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class FeatureCost(Cost):
    """c(x, y) = c₀(φ(x), φ(y)): a ground cost between features of any module φ.

    φ is a fixed part of the cost: a frozen copy in evaluation mode, through which gradients flow to x. The composition
    is a distance only where φ is injective, so `is_metric` is False unless the caller vouches for it.

    Args:
        features: φ, (n, d) -> (n, p).
        cost: c₀ on features.
        is_metric: True where φ is known to be injective and c₀ is a distance.

    Example:
        >>> c = FeatureCost(nn.Flatten(), SquaredEuclidean())
        >>> c.matrix(torch.zeros(3, 2), torch.ones(4, 2)).shape
        torch.Size([3, 4])
    """

    def __init__(self, features: nn.Module, cost: Cost, is_metric: bool = False) -> None:
        super().__init__()
        if is_metric and not cost.is_metric:
            raise ValueError(f"FeatureCost over {cost} cannot be a distance, since {cost} is none; use Euclidean()")
        self.features = copy.deepcopy(features).requires_grad_(False)
        self.cost = cost
        self.is_metric = is_metric
        self.train(False)

    def train(self, mode: bool = True) -> FeatureCost:
        super().train(mode)
        self.features.eval()
        return self

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        phi_x, phi_y = (self.features(p.reshape(-1, p.shape[-1])).reshape(*p.shape[:-1], -1) for p in (x, y))
        return self.cost(phi_x, phi_y)

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return self.cost.matrix(self.features(x), self.features(y))

    def against(self, y: Tensor) -> Callable[[Tensor], Tensor]:
        inner = self.cost.against(self.features(y))
        return lambda x: inner(self.features(x))

    def bilinear(self, y: Tensor) -> Bilinear | None:
        with torch.no_grad():
            inner = self.cost.bilinear(self.features(y[:: -(-len(y) // 1024)]))
        if inner is None:
            return None
        left, right, nonnegative = inner
        return Bilinear(lambda x: left(self.features(x)), lambda y: right(self.features(y)), nonnegative)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """‖x_i − y_j‖² on all pairs, (n, d), (m, d) -> (n, m), by one matrix product.

    Example:
        >>> squared_distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
        tensor([[25.]])
    """
    return squared_distances_to(y)(x)


def squared_distances_to(y: Tensor) -> Callable[[Tensor], Tensor]:
    """x -> `squared_distances(x, y)`, with the norms of y (m, d) computed once.

    Example:
        >>> squared_distances_to(torch.tensor([[3.0, 4.0]]))(torch.zeros(1, 2))
        tensor([[25.]])
    """
    # Centring keeps the Gram expansion exact for clouds far from the origin.
    centre = y.detach().mean(dim=0)
    y = y - centre
    norms = y.square().sum(dim=1)

    def squared(x: Tensor) -> Tensor:
        x = x - centre
        gram = torch.addmm(norms, x, y.T, alpha=-2.0)
        return gram.add_(x.square().sum(dim=1, keepdim=True)).clamp_min(0)

    return squared


def _squared_norms(points: Tensor) -> Tensor:
    # One read of the points and no copy of them, unlike the sum of their squares.
    norms: Tensor = torch.linalg.vector_norm(points, dim=1)
    return norms.square()


def widened(points: Tensor) -> Tensor:
    """Half precision widened: sums of squares overflow it, and it cannot tell near atoms apart."""
    return points.float() if torch.finfo(points.dtype).bits < 32 else points
