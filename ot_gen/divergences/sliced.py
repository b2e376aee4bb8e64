"""Transport on lines: the sliced and the max-sliced Wasserstein distance."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.arguments import Count, Index, checked
from ot_gen.divergences.divergence import Divergence, codes_and_prior
from ot_gen.execution import renamed
from ot_gen.measures import Measure


@final
@checked
class SlicedWasserstein(Divergence):
    """SW₂²(q̄, ζ) = E_u W₂²(⟨u, ·⟩#q̄, ⟨u, ·⟩#ζ), u uniform on the unit sphere, by sorting; no factor k.

    Unbiased in the directions. Biased upwards in the codes as all mini-batch transport is, but less than in R^k. On a
    line, W₂² between n codes and r n draws is computed by sorting too: each code in turn takes r draws. More draws
    remove the noise of ζ from the gradient.

    Args:
        directions: number of random directions, drawn afresh at every call.
        draws: r, draws of ζ for each code.

    Raises:
        ValueError: no direction, no draw, or fewer than two codes.

    Source: Bonneel et al., 2015, https://doi.org/10.1007/s10851-014-0506-3; in this role Kolouri et al., 2019,
    https://arxiv.org/abs/1804.01947

    Example:
        >>> from ot_gen import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> bool(SlicedWasserstein()(zeta.law.expand((32,)), zeta) >= 0)
        True
    """

    unbiased = False

    @renamed(projections="directions")
    @checked
    def __init__(self, directions: Count = 50, draws: Count = 1) -> None:
        super().__init__()
        self.directions = directions
        self.draws = draws

    def forward(self, q: Distribution, zeta: Measure) -> Tensor:
        codes, prior = codes_and_prior(q, zeta, "SlicedWasserstein", self.draws)
        return _on_lines(codes, prior, _directions(codes, self.directions)).mean()

    def extra_repr(self) -> str:
        return f"directions={self.directions}, draws={self.draws}"


@final
@checked
class MaxSlicedWasserstein(Divergence):
    """max-SW₂²(q̄, ζ) = max over unit u of W₂²(⟨u, ·⟩#q̄, ⟨u, ·⟩#ζ): the one direction that separates them best.

    The best of `directions` random directions, improved by `ascents` steps of normalised gradient ascent. The value is
    a lower bound of the maximum over the samples. The encoder's gradient holds the direction fixed (envelope theorem).

    Args:
        directions: number of random directions to start from.
        ascents: gradient steps on the best one, each of length 1/(1 + step) before normalisation.

    Raises:
        ValueError: no direction, a negative number of steps, or fewer than two codes.

    Source: Deshpande et al., 2019, https://arxiv.org/abs/1904.05877

    Example:
        >>> from ot_gen import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> bool(MaxSlicedWasserstein()(zeta.law.expand((32,)), zeta) >= 0)
        True
    """

    unbiased = False

    @renamed(projections="directions")
    @checked
    def __init__(self, directions: Count = 50, ascents: Index = 5) -> None:
        super().__init__()
        self.directions = directions
        self.ascents = ascents

    def forward(self, q: Distribution, zeta: Measure) -> Tensor:
        codes, prior = codes_and_prior(q, zeta, "MaxSlicedWasserstein")
        return _on_lines(codes, prior, self._direction(codes.detach(), prior.detach())).squeeze(0)

    def _direction(self, codes: Tensor, prior: Tensor) -> Tensor:
        candidates = _directions(codes, self.directions)
        best = u = candidates[_on_lines(codes, prior, candidates).argmax()][None]
        value = _on_lines(codes, prior, u)
        for step in range(self.ascents):
            with torch.enable_grad():
                (slope,) = torch.autograd.grad(_on_lines(codes, prior, u.requires_grad_()).sum(), u)
            u = nn.functional.normalize(u.detach() + nn.functional.normalize(slope, dim=1) / (1 + step), dim=1)
            reached = _on_lines(codes, prior, u)
            if reached > value:
                best, value = u, reached
        return best.detach()

    def extra_repr(self) -> str:
        return f"directions={self.directions}, ascents={self.ascents}"


def _directions(points: Tensor, count: int) -> Tensor:
    """`count` uniform unit vectors, (count, k)."""
    return nn.functional.normalize(torch.randn_like(points[:1].expand(count, -1)), dim=1)


def _on_lines(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """W₂² between the projections of n and r n points, one value for each direction."""
    # Sorted along rows of contiguous memory: several times faster than along columns.
    x_sorted, y_sorted = ((directions @ points.T).sort(dim=1).values for points in (x, y))
    return (x_sorted.unsqueeze(2) - y_sorted.unflatten(1, (len(x), -1))).square().mean(dim=(1, 2))
