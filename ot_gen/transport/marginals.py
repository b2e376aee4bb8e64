"""Marginals at a price: what a dual pays and earns where masses may leave what was given.

    min over π >= 0 of ∫ c dπ + D_φ(P1#π | μ) + D_ψ(P2#π | ν)
        = max over h(x) + h̃(y) <= c(x, y) of −∫ φ*(−h) dμ − ∫ ψ*(−h̃) dν,        D_φ(q | b) = Σ_j b_j φ(q_j / b_j)

with φ* the convex conjugate of φ >= 0, φ(1) = 0. A marginal that is kept has φ*(t) = t: the balanced dual.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from ot_gen.arguments import Positive, checked
from ot_gen.display import Shown

HALVINGS = 64  # of an interval around the best constant: down to the rounding of double precision
LARGEST = 300.0  # exponent of a density on the way there; the square of its exp is a finite number


@checked
class MarginalPenalty(Shown, ABC):
    """ρ D_φ(q | b), the price of masses q in the place of b, by its conjugate. All are of one density s = q / b.

    Args:
        strength: ρ > 0, in the units of the cost: about the cost from which on a point should be given up. As it grows
            the marginal is kept.

    Example:
        >>> [round(KLMarginal(2.0).density(torch.tensor(t)).item(), 6) for t in (0.0, -100.0)]  # all is kept, or none
        [1.0, 0.0]
    """

    def __init__(self, strength: Positive) -> None:
        super().__init__()
        self.strength = strength

    @abstractmethod
    def divergence(self, s: Tensor) -> Tensor:
        """φ(s) >= 0, for densities s >= 0: 0 at s = 1."""

    @abstractmethod
    def conjugate(self, t: Tensor) -> Tensor:
        """φ*(t) = max over s >= 0 of s t − φ(s): convex, increasing, about t near 0."""

    @abstractmethod
    def density(self, t: Tensor) -> Tensor:
        """The s that attains it, φ*'(t) >= 0: 1 at t = 0, and little far below."""

    @abstractmethod
    def curvature(self, t: Tensor) -> Tensor:
        """φ*''(t) >= 0."""

    @torch.no_grad()
    def _constant(self, h_tilde: Tensor, weights: Tensor) -> Tensor:
        """The t, (), at which Σ_j b_j φ*'(−h̃_j − t) = 1, for float64."""
        return _root(lambda t: weights @ self.density(-h_tilde - t) > 1, -h_tilde.max(), -h_tilde.min())

    def extra_repr(self) -> str:
        return f"strength={self.strength:g}"


@final
@checked
class KLMarginal(MarginalPenalty):
    """φ(s) = ρ (s log s − s + 1), so φ*(t) = ρ (e^(t/ρ) − 1): a point at a potential of many ρ keeps almost no mass.

    Args:
        strength: ρ > 0, in the units of the cost.

    Source: Séjourné, Feydy, Vialard, Trouvé, Peyré, 2019, https://arxiv.org/abs/1910.12958

    Example:
        >>> KLMarginal(2.0).density(torch.tensor([0.0, -20.0])).round(decimals=4)
        tensor([1., 0.])
    """

    def divergence(self, s: Tensor) -> Tensor:
        return self.strength * (torch.special.xlogy(s, s) - s + 1)

    def conjugate(self, t: Tensor) -> Tensor:
        return self.strength * torch.expm1(t / self.strength)

    def density(self, t: Tensor) -> Tensor:
        return (t / self.strength).clamp_max(LARGEST).exp()

    def curvature(self, t: Tensor) -> Tensor:
        return self.density(t) / self.strength

    @torch.no_grad()
    def _constant(self, h_tilde: Tensor, weights: Tensor) -> Tensor:
        return self.strength * torch.logsumexp(weights.log() - h_tilde / self.strength, dim=0)


@final
@checked
class ChiSquaredMarginal(MarginalPenalty):
    """φ(s) = ρ (s − 1)², so φ*(t) = t + t² / 4ρ for t >= −2ρ, else −ρ: beyond 2ρ a point keeps no mass at all.

    Args:
        strength: ρ > 0, in the units of the cost.

    Source: Séjourné, Feydy, Vialard, Trouvé, Peyré, 2019, https://arxiv.org/abs/1910.12958

    Example:
        >>> ChiSquaredMarginal(2.0).density(torch.tensor([0.0, -2.0, -20.0]))
        tensor([1.0000, 0.5000, 0.0000])
    """

    def divergence(self, s: Tensor) -> Tensor:
        return self.strength * (s - 1).square()

    def conjugate(self, t: Tensor) -> Tensor:
        t = t.clamp_min(-2 * self.strength)
        return t + t.square() / (4 * self.strength)

    def density(self, t: Tensor) -> Tensor:
        return (1 + t / (2 * self.strength)).clamp_min(0)

    def curvature(self, t: Tensor) -> Tensor:
        return (t > -2 * self.strength).to(t) / (2 * self.strength)


@final
@checked
class Unbalanced(Shown):
    """The marginals of a dual that may be left, each at its price; outliers among the data then keep little mass.

        D(h, h̃) = max over t of −E_μ φ*(t − h) − Σ_j b_j ψ*(−h̃_j − t) <= the unbalanced cost <= W_c(μ, ν)

    The masses of the plan are q_j = b_j ψ*'(−h̃_j − t). Potentials that are free up to a constant in the balanced dual
    are not here: t is the best constant, at which both sides keep the same mass (Séjourné, Vialard, Peyré, 2022,
    https://arxiv.org/abs/2201.00730). It is found anew for each value, so no step has to learn it, and gradients do not
    see it (envelope theorem). For a network h the sums are those of a batch, of which the best t is a little too good.

    Args:
        data: ψ, the penalty for the data's masses.
        model: φ, the same for the model's. None keeps them, φ*(t) = t: all of a generator's samples count, and the
            masses of the data are a probability.

    Source: Séjourné, Feydy, Vialard, Trouvé, Peyré, 2019, https://arxiv.org/abs/1910.12958; Choi, Choi, Kang, 2023,
        https://arxiv.org/abs/2305.14777 (both around networks)

    Example:
        >>> b = torch.full((4,), 0.25)
        >>> Unbalanced(KLMarginal(1.0)).masses(torch.tensor([0.0, 0.0, 0.0, 9.0]), b)  # the last one is far away
        tensor([3.3332e-01, 3.3332e-01, 3.3332e-01, 4.1135e-05])
    """

    def __init__(self, data: MarginalPenalty, model: MarginalPenalty | None = None) -> None:
        super().__init__()
        self.data = data
        self.model = model

    def dual(self, h: Tensor, h_tilde: Tensor, weights: Tensor) -> Tensor:
        """D, (), from h (n,) on a sample of μ, and h̃ (m,) with its masses b (m,)."""
        t = self._shift(h_tilde, weights, h).to(h_tilde)
        if h.ndim != 1 or not len(h):
            raise ValueError(f"h holds one number for each point of the sample, got shape {tuple(h.shape)}; give (n,)")
        kept = (h - t).mean() if self.model is None else -self.model.conjugate(t - h).mean()
        return kept - weights @ self.data.conjugate(-h_tilde - t)

    def masses(self, h_tilde: Tensor, weights: Tensor, h: Tensor | None = None) -> Tensor:
        """q (m,) from h̃ and b (m,), and h (n,) where the model's masses are free; its total is 1 where they are not.

        Raises:
            ValueError: h is missing.
        """
        t = self._shift(h_tilde, weights, h)
        q = weights.double() * self.data.density(-h_tilde.detach().double() - t)
        return (q / q.sum() if self.model is None else q).to(weights)

    def curvature(self, h_tilde: Tensor, weights: Tensor) -> Tensor:
        """b_j ψ*''(−h̃_j − t), (m,): how fast the masses fall as h̃ grows, where those of the model are kept."""
        return weights * self.data.curvature(-h_tilde - self._shift(h_tilde, weights, None).to(h_tilde))

    def table_value(self, h_tilde: Tensor, weights: Tensor) -> float:
        """min over probabilities q of Σ_j q_j h̃_j + D_ψ(q | b): the data's term where the model's masses are kept."""
        return float(self.dual(h_tilde.new_zeros(1, dtype=torch.float64), h_tilde.double(), weights.double()))

    @torch.no_grad()
    def _shift(self, h_tilde: Tensor, weights: Tensor, h: Tensor | None) -> Tensor:
        """t, (), float64: the mass of the model's side grows with it, that of the data's falls."""
        _check(h_tilde, weights)
        left, b = h_tilde.double(), weights.double()
        if self.model is None:
            return self.data._constant(left, b)
        if h is None:
            raise ValueError("where the model's masses are free, the data's depend on h too: give h")
        model, right = self.model, h.double()
        low, high = torch.minimum(-left.max(), right.min()), torch.maximum(-left.min(), right.max())
        return _root(lambda t: b @ self.data.density(-left - t) > model.density(t - right).mean(), low, high)


def _check(h_tilde: Tensor, weights: Tensor) -> None:
    if h_tilde.ndim != 1 or h_tilde.shape != weights.shape or not len(weights) or not h_tilde.is_floating_point():
        raise ValueError(
            f"h_tilde and weights hold one real number for each point, got shapes {tuple(h_tilde.shape)} and "
            f"{tuple(weights.shape)}; give (m,) and (m,)"
        )
    if not bool((weights >= 0).all()) or not float(weights.sum()) > 0:
        raise ValueError("weights are masses >= 0, not all of them 0, and these are none; give b")


def _root(below: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """The end of those t between two bounds of which `below` is true, by bisection."""
    for _ in range(HALVINGS):
        t = (low + high) / 2
        left = below(t)
        low, high = torch.where(left, t, low), torch.where(left, high, t)
    return (low + high) / 2
