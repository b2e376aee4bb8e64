"""Brenier potentials: W₂ duals held by networks, whose gradients are transport maps in both directions."""

from __future__ import annotations

from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from torch.optim import Adam

from ot_gen.arguments import Count, Positive, checked
from ot_gen.costs import Cost, SquaredEuclidean
from ot_gen.display import Network
from ot_gen.execution import OptimizerFactory
from ot_gen.measures import Measure, check_cloud, check_defined, probe
from ot_gen.potentials.frame import Frame
from ot_gen.potentials.potential import Potential, check_problem


@final
@checked
class BrenierPotential(Potential):
    """A neural W₂ dual with maps: h(x) = ‖x − q‖² − 2s²φ(u) for a network φ and a network S, the mover.

        T(x) = x − ½∇h(x)          h̃(y) = ‖S(y) − y‖² − h(S(y)),  S(y) ≈ argmin_x ‖x − y‖² − h(x)

    u = u(x) are the coordinates of a `Frame`, in which T is ∇φ. There S proposes a point. The model's sample offers
    others, so h cannot grow unseen where S does not look. `descents` steps down φ(u) − ⟨u, v⟩ improve the best of them.
    h ascends the value at the best points tried, which count as constants (envelope theorem). S descends its mean
    squared distance to these points.

    At the optimum T carries μ to ν, S carries ν to μ and the value is W₂²(μ, ν). On the way it bounds nothing: the
    points are no exact argmin, so h̃ lies above h^c. With φ = `Paraboloid(MLP(d, 1))` this is the max-min dual of a free
    network; φ = `ICNN(d)` makes h c-concave and T monotone for every ξ. With `linear_decay` as the schedule of `fit`
    the maps become several times more accurate.

    `bind` takes the frame from samples. Where μ has no parameters to train, it takes the moments of both laws: the
    search then starts at the optimal map of Gaussians. Else it takes the data's mean and scale alone. Bound again to
    the same dimension the potential keeps its frame, as a warm start.

    Args:
        phi: φ in the coordinates of the frame, (n, d) -> (n, 1) or (n,), differentiable and better smooth.
        mover: S in the coordinates of the frame, v (n, d) -> u (n, d), e.g. `Displacement(MLP(d, d))`.
        descents: steps down from each proposal, >= 1.
        step: the length of the first of them, in units of the gradient; the next ones follow the observed curvature.
        lr: the rate of Adam, the optimizer that ξ asks for; an `ICNN` bears 5e-2.

    Raises:
        ValueError: descents < 1, or step or lr <= 0; when bound, a cost that is not ‖x − y‖², networks of other shapes,
            a law that is a single point, or samples that hold NaN.

    Source: Amos, On amortizing convex conjugates for optimal transport, 2023, https://arxiv.org/abs/2210.12153

    Example:
        >>> from ot_gen import standard_gaussian
        >>> from ot_gen import MLP
        >>> h = BrenierPotential(Paraboloid(MLP(2, 1)), Displacement(MLP(2, 2)))
        >>> h.bind(standard_gaussian(2), standard_gaussian(2), SquaredEuclidean())
        >>> h.map(torch.zeros(5, 2)).shape
        torch.Size([5, 2])
    """

    kind = "network"

    def __init__(
        self, phi: nn.Module, mover: nn.Module, descents: Count = 2, step: Positive = 0.6, lr: Positive = 5e-3
    ) -> None:
        super().__init__()
        self.phi = phi
        self.mover = mover
        self.descents = descents
        self.step = step
        self.lr = lr
        self.frame = Frame()

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        phi = self._phi(self.frame.of_model(x))
        h = (x - self.frame.q).square().sum(dim=1) - 2 * self.frame.scale**2 * phi
        check_defined(h, "h", x)
        return h

    def conjugate_mean(self, x: Tensor, y: Tensor) -> Tensor:
        self.check(x)
        self.check(y, "y")
        v = self.frame.of_data(y)
        proposed = self.mover(v)
        best = self._minimiser(proposed.detach(), v, self.frame.of_model(x.detach()))
        nearest = self.frame.to_model(best)
        way = self.frame.scale**2 * (proposed - best).square().sum(dim=1)
        # ξ ascends the value: what is subtracted is 0, and draws the proposals to the best points.
        values = (nearest - y).square().sum(dim=1) - self(nearest) - (way - way.detach())
        check_defined(values, "the conjugate", x, y)
        return values.mean()

    def map(self, x: Tensor) -> Tensor:
        """T(x) = x − ½∇h(x), (n, d) -> (n, d): samples of μ become samples of ν. No graph."""
        self.check(x)
        return self.frame.to_data(self._gradient(self.frame.of_model(x))[1])

    def inverse_map(self, y: Tensor) -> Tensor:
        """The improved S(y), (n, d) -> (n, d): samples of ν become samples of μ. No graph."""
        self.check(y, "y")
        v = self.frame.of_data(y)
        with torch.no_grad():
            proposed = self.mover(v)
        return self.frame.to_model(self._minimiser(proposed, v))

    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        check_problem(mu, nu)
        if not isinstance(cost, SquaredEuclidean):
            raise ValueError(
                f"a BrenierPotential needs the squared distance as its cost (its map is a gradient for no other), got "
                f"{cost}; use SquaredEuclidean(), or a DiscretePotential, which takes any cost"
            )
        if self.frame.p.shape != (nu.dim,):
            moves = any(parameter.requires_grad for parameter in mu.parameters())
            n = max(min(2**16, 2**24 // nu.dim), 2)  # enough for moments, within 64 MB
            y = nu.sample(n).detach()
            check_cloud(y, "samples of the data")
            if moves:
                self.frame.standardise(y)
            else:
                x = mu.sample(n).detach()
                check_cloud(x, "samples of the model")
                self.frame.match(x, y)
        self.dim = nu.dim
        v = self.frame.of_data(nu.sample(2))
        probe(self.phi, v, "φ", "φ maps the data to one value a point", row=((), (1,)))
        probe(self.mover, v, "the mover", "a mover maps each point to one of the same dimension", row=(v.shape[1:],))

    def optimizer(self) -> OptimizerFactory:
        # The value carries s², and so must the ε that Adam adds to the size of its gradients.
        return partial(Adam, lr=self.lr, betas=(0.5, 0.99), eps=1e-8 * float(self.frame.scale) ** 2)

    def _phi(self, u: Tensor) -> Tensor:
        phi: Tensor = self.phi(u)
        return phi.reshape(len(u))

    def _gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """(φ(u) (n,), ∇φ(u) (n, d)), without a graph."""
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            phi = self._phi(u)
            (gradient,) = torch.autograd.grad(phi.sum(), u)
        return phi.detach(), gradient

    @torch.no_grad()
    def _minimiser(self, proposed: Tensor, v: Tensor, others: Tensor | None = None) -> Tensor:
        """For each v the point u that makes φ(u) − ⟨u, v⟩ smallest, of those tried, (n, d), without a graph."""
        u = proposed
        if others is not None:
            minimum, index = (self._phi(others) - v @ others.T).min(dim=1)
            own = self._phi(u) - (u * v).sum(dim=1)
            u = torch.where((own <= minimum).unsqueeze(1), u, others[index])
        best, minimum = u, torch.full_like(u[:, 0], torch.inf)
        step = torch.full_like(u[:, :1], self.step)
        change = slope_before = torch.zeros_like(u)
        for i in range(self.descents):
            phi, gradient = self._gradient(u)
            slope = gradient - v
            best, minimum = _better(best, minimum, u, phi - (u * v).sum(dim=1))
            if i:
                # The step of Barzilai and Borwein, where φ curves upwards; bounds keep steps short at a flat or a kink.
                curvature = (change * (slope - slope_before)).sum(dim=1, keepdim=True)
                secant = change.square().sum(dim=1, keepdim=True) / curvature
                step = torch.where(curvature > 0, secant, self.step).clamp(0.1 * self.step, 4 * self.step)
            change, slope_before = -step * slope, slope
            u = u + change
        return _better(best, minimum, u, self._phi(u) - (u * v).sum(dim=1))[0]

    def extra_repr(self) -> str:
        return f"descents={self.descents}, step={self.step:g}"


@final
@checked
class Paraboloid(Network):
    """φ(u) = ½‖u‖² + net(u), (n, d) -> (n,): a free potential that starts near the identity map.

    Args:
        net: (n, d) -> (n, 1) or (n,).

    Example:
        >>> Paraboloid(nn.Linear(3, 1))(torch.zeros(4, 3)).shape
        torch.Size([4])
    """

    by_rows = True

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, u: Tensor) -> Tensor:
        rest: Tensor = self.net(u)
        return 0.5 * u.square().sum(dim=1) + rest.reshape(len(u))


@final
@checked
class Displacement(Network):
    """The map v -> v + net(v), (n, d) -> (n, d).

    Args:
        net: (n, d) -> (n, d).

    Example:
        >>> Displacement(nn.Linear(3, 3))(torch.zeros(4, 3)).shape
        torch.Size([4, 3])
    """

    by_rows = True

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, v: Tensor) -> Tensor:
        return v + self.net(v)


def _better(u: Tensor, of_u: Tensor, w: Tensor, of_w: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the point with the smaller value, and that value."""
    smaller = of_w < of_u
    return torch.where(smaller.unsqueeze(1), w, u), torch.where(smaller, of_w, of_u)
