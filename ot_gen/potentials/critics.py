"""Critics: potentials held by a network, h = h_ξ, with h̃ read off h by the geometry of the cost."""

from __future__ import annotations

from functools import partial
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.optim import Adam

from ot_gen.arguments import Count, Index, checked
from ot_gen.costs import Cost, Euclidean, squared_distances
from ot_gen.execution import OptimizerFactory
from ot_gen.measures import Measure, probe
from ot_gen.measures.points import check_defined
from ot_gen.networks import Lipschitz, is_contraction
from ot_gen.potentials.potential import Potential, check_problem


@final
@checked
class Critic(Potential):
    """A neural potential h = h_ξ with h̃ = −h, for a ground cost that is a distance.

    For c a distance and h 1-Lipschitz, h^c = −h (Kantorovich-Rubinstein), so the dual is E h(x) − E h(y). The mechanism
    determines how close h_ξ stays to the 1-Lipschitz functions. Penalties and estimated spectral norms certify
    nothing. So the value is no bound unless `lipschitz.certifies_one` and the output is 1-Lipschitz too.

    Args:
        net: (n, d) -> (n, 1) or (n,), trained and shared with the caller. A mechanism that rewrites layers
            (`SpectralNorm`, `Orthogonal`) trains a copy, the critic's `net`, and leaves the caller's as it is.
        lipschitz: the mechanism, e.g. `GradientPenalty(10.0)`.
        output: a module applied to h, e.g. `nn.Sigmoid()` for h ∈ [0, 1]. That is ¼-Lipschitz, so a lower bound stays
            one. None leaves h unbounded.

    Raises:
        ValueError: when bound to a cost that is not a distance.

    Source: Arjovsky, Chintala, Bottou, 2017, https://arxiv.org/abs/1701.07875

    Example:
        >>> from ot_gen import WeightClip
        >>> Critic(nn.Linear(2, 1), WeightClip())(torch.zeros(5, 2)).shape
        torch.Size([5])
    """

    kind = "network"

    def __init__(self, net: nn.Module, lipschitz: Lipschitz, output: nn.Module | None = None) -> None:
        super().__init__()
        self.net = lipschitz.attach(net)
        self.lipschitz = lipschitz
        self.output = output if output is not None else nn.Identity()
        certain = lipschitz.certifies_one and is_contraction(self.output)
        self.bound: Literal["lower"] | None = "lower" if certain else None

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return _one_value(self.output(self.net(x)), x)

    def conjugate_mean(self, x: Tensor, y: Tensor) -> Tensor:
        return -self(y).mean()

    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        check_problem(mu, nu)
        if not cost.is_metric:
            raise ValueError(
                f"a Critic needs a distance as its cost (h^c = −h holds for no other), got {cost}; "
                "use Euclidean(), or a DiscretePotential, which takes any cost"
            )
        _check_net(self.net, nu)
        self.dim = nu.dim

    def penalty(self, x: Tensor, y: Tensor) -> Tensor:
        return self.lipschitz.penalty(self, x, y)

    def project(self) -> None:
        self.lipschitz.project(self.net)


@final
@checked
class AnchorCritic(Potential):
    """Minima and maxima of cones: feasible for every parameter value, so its value always bounds W_c from below.

        h(x) = λ min_m [c(x, A_m) − ψ_m] − (1 − λ) min_m [c(x, A'_m) − ψ'_m]            h̃ = −h

    Each bracket is a c-transform, hence 1-Lipschitz for a distance c, and so are negatives and convex combinations.
    Where one law is spread around the other, the potential of W_c is a minimum or a maximum of cones, depending on the
    order. Anchors A, A', offsets ψ, ψ' and λ ∈ [0, 1] are learned. With flat_dim = k > 0 and the Euclidean cost,
    anchors grow into flats: c(x, A_m)² = ‖x − a_m‖² − ‖U_mᵀ(x − a_m)‖² with U_m (d, k), ‖U_m‖ <= 1. This is the
    distance to a point where U_m = 0, and to a k-dimensional flat where U_m is orthonormal. The rounding of a matrix
    product affects only the argmin among nearly equal cones; the cone itself is evaluated directly.

    For a cost that is no distance, h is the first bracket alone, a c-concave function. h^c is taken over the batch as
    in `BatchCritic`, so there is no bound. The optimizer that it asks for is Adam at a rate in units of the data's
    spread. Bound again in the same dimension it keeps its anchors, as a warm start.

    Args:
        anchors: the number of anchors in each bracket, >= 1.
        flat_dim: k, the dimension to which anchors may grow, at most d − 1; 0 leaves them points.

    Raises:
        ValueError: anchors < 1 or flat_dim < 0, flat_dim > 0 for a cost that is not Euclidean, or a cost that is not
            defined on the whole of R^d.

    Source: Villani, Optimal Transport: Old and New, 2009, chapter 5, https://doi.org/10.1007/978-3-540-71050-9

    Example:
        >>> from ot_gen import standard_gaussian
        >>> h = AnchorCritic(anchors=16)
        >>> h.bind(standard_gaussian(2), standard_gaussian(2), Euclidean())
        >>> x, y = torch.randn(2, 100, 2)
        >>> bool(((h(x) - h(y)).abs() <= Euclidean()(x, y) + 1e-5).all())
        True
    """

    by_rows = True

    kind = "network"

    scale: Tensor

    def __init__(self, anchors: Count = 128, flat_dim: Index = 8) -> None:
        super().__init__()
        self.count = anchors
        self.flat_dim = flat_dim
        self.bound: Literal["lower"] | None = "lower"
        self.anchors = nn.Parameter(torch.empty(0))
        self.offsets = nn.Parameter(torch.empty(0))
        self.directions = nn.Parameter(torch.empty(0))
        self.balance = nn.Parameter(torch.empty(0))
        self.register_buffer("scale", torch.ones(()))
        self._cost: Cost | None = None

    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        check_problem(mu, nu)
        if self.flat_dim and not isinstance(cost, Euclidean):
            raise ValueError(f"flats need the Euclidean distance as cost, got {cost}; use flat_dim=0 or Euclidean()")
        y = nu.sample(2)
        try:
            cost(y, y.abs().max() + 1 + y)  # anchors move freely
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"anchors move freely, but the cost {cost} does not accept points outside of the data's range "
                f"({error}); use a BatchCritic or another cost"
            ) from error
        self.dim = nu.dim
        vars(self)["_cost"] = cost  # the problem's and not ξ's: no part of this module
        self.bound = "lower" if cost.is_metric else None
        brackets = 2 if cost.is_metric else 1
        if self.anchors.shape != (brackets, self.count, nu.dim):
            self._start(torch.stack([nu.sample(self.count), mu.sample(self.count)][:brackets]))

    @torch.no_grad()
    def _start(self, points: Tensor) -> None:
        # Parameters in units of the data's spread need no learning rate of their own.
        spread = points.flatten(0, 1).std(dim=0, correction=0).mean()
        self.scale = torch.where(spread > 0, spread, torch.ones_like(spread))
        brackets, m, d = points.shape
        self.anchors = nn.Parameter(points / self.scale)
        self.offsets = nn.Parameter(points.new_zeros(brackets, m))
        # Small but not 0, where the gradient would vanish.
        k = min(self.flat_dim, d - 1)
        self.directions = nn.Parameter(0.1 * torch.linalg.qr(points.new_empty(brackets, m, d, k).normal_())[0])
        self.balance = nn.Parameter(points.new_zeros(brackets - 1))

    def forward(self, x: Tensor) -> Tensor:
        minima = self._brackets(x)
        if len(minima) == 1:
            return minima[0]
        share = self.balance.sigmoid()
        return share * minima[0] - (1 - share) * minima[1]

    def _brackets(self, x: Tensor) -> list[Tensor]:
        """min_m c(x, A_m) − ψ_m for each bracket, (n,): the argmin without a graph, then one exact distance."""
        cost = self._bound_cost()
        self.check(x)
        anchors, offsets = self.scale * self.anchors, self.scale * self.offsets
        if not self.directions.numel():
            return [_minimum(cost, x, a, psi) for a, psi in zip(anchors, offsets, strict=True)]
        return [_minimum_flat(x, *flats) for flats in zip(anchors, offsets, _contracted(self.directions), strict=True)]

    def _bound_cost(self) -> Cost:
        if self._cost is None:
            raise ValueError("this AnchorCritic has no anchors yet: call bind(mu, nu, cost), as `fit` does")
        return self._cost

    def conjugate_mean(self, x: Tensor, y: Tensor) -> Tensor:
        cost = self._bound_cost()
        mean = -self(y).mean() if cost.is_metric else _batch_conjugate(cost, self, x, y).mean()
        check_defined(mean, "h^c", x, y)
        return mean

    def optimizer(self) -> OptimizerFactory:
        return partial(Adam, lr=0.03, betas=(0.9, 0.99))

    def extra_repr(self) -> str:
        return f"anchors={self.count}, flat_dim={self.flat_dim}"


@final
@checked
class BatchCritic(Potential):
    """A free network h with h^c taken over the batch: any cost, any network, but biased.

        h^c(y) ≈ min_i c(x_i, y) − h(x_i), x_1, ..., x_n the model's sample

    A minimum over a sample is larger than the minimum over all x, so the value is no lower bound. The value of the best
    h lies between W_c(μ, ν) and E W_c(μ_n, ν_n), the cost between batches. For W₁ its excess falls only like n^(−1/d).

    Args:
        net: (n, d) -> (n, 1) or (n,).

    Source: Mallasto, Montúfar, Gerolin, 2019, https://arxiv.org/abs/1910.03875

    Example:
        >>> from ot_gen import SquaredEuclidean, standard_gaussian
        >>> h = BatchCritic(nn.Linear(2, 1))
        >>> h.bind(standard_gaussian(2), standard_gaussian(2), SquaredEuclidean())
        >>> h.conjugate_mean(torch.randn(5, 2), torch.randn(4, 2)).shape
        torch.Size([])
    """

    kind = "network"

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self._cost: Cost | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return _one_value(self.net(x), x)

    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        check_problem(mu, nu)
        _check_net(self.net, nu)
        self.dim = nu.dim
        vars(self)["_cost"] = cost  # the problem's and not ξ's: no part of this module

    def conjugate_mean(self, x: Tensor, y: Tensor) -> Tensor:
        if self._cost is None:
            raise ValueError("this BatchCritic has no cost yet: call bind(mu, nu, cost), as `fit` does")
        return _batch_conjugate(self._cost, self, x, y).mean()


def _batch_conjugate(cost: Cost, h: Potential, x: Tensor, y: Tensor) -> Tensor:
    """min_i c(x_i, y_j) − h(x_i), (m,)."""
    h.check(y, "y")
    return (cost.matrix(x, y) - h(x).unsqueeze(1)).min(dim=0).values


def _minimum(cost: Cost, x: Tensor, anchors: Tensor, offsets: Tensor) -> Tensor:
    """min_m c(x, a_m) − ψ_m, (n,)."""
    with torch.no_grad():
        index = (cost.matrix(x, anchors) - offsets).argmin(dim=1)
    return cost(x, anchors[index]) - offsets[index]


def _minimum_flat(x: Tensor, anchors: Tensor, offsets: Tensor, directions: Tensor) -> Tensor:
    """min_m (‖x − a_m‖² − ‖U_mᵀ(x − a_m)‖²)^½ − ψ_m, (n,)."""
    m, d, k = directions.shape
    with torch.no_grad():
        feet = torch.einsum("mdk,md->mk", directions, anchors).flatten()
        along = x @ directions.transpose(0, 1).reshape(d, m * k) - feet
        squared = squared_distances(x, anchors) - along.square_().unflatten(1, (m, k)).sum(dim=2)
        index = (squared.clamp_min_(0).sqrt_() - offsets).argmin(dim=1)
    z, u = x - anchors[index], directions[index]
    c = torch.einsum("nd,ndk->nk", z, u)
    shadow = torch.einsum("ndk,nk->nd", u, c)
    # ‖z‖² − ‖c‖² as a sum of two terms >= 0, since the difference cancels near a flat.
    squared = (z - shadow).square().sum(dim=1) + (c.square().sum(dim=1) - shadow.square().sum(dim=1)).clamp_min(0)
    return squared.clamp_min(torch.finfo(x.dtype).tiny).sqrt() - offsets[index]


def _contracted(directions: Tensor) -> Tensor:
    """U with ‖U‖ < 1: columns divided by the roots of the row sums of |UᵀU|, where those exceed 1."""
    # Where UᵀU = I nothing changes (https://arxiv.org/abs/2208.03160) but for the margin, which outweighs rounding.
    margin = 1 + 100 * torch.finfo(directions.dtype).eps
    sums = (directions.mT @ directions).abs().sum(dim=-1)
    return directions * (margin * sums.clamp_min(1)).rsqrt().unsqueeze(-2)


def _one_value(h: Tensor, x: Tensor) -> Tensor:
    """h(x) as (n,)."""
    if h.shape not in ((len(x),), (len(x), 1)):
        raise ValueError(
            f"the critic maps points of shape {tuple(x.shape)} to {tuple(h.shape)}; a critic has one value a point"
        )
    return h.reshape(len(x))


def _check_net(net: nn.Module, nu: Measure) -> None:
    probe(net, nu.sample(2), "the critic", "a critic maps the data to one value a point", row=((), (1,)))
