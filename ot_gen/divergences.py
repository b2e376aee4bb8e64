"""Divergences D(q, ζ) between the codes of an encoder and the reference: the relaxed constraint P1#π = ζ.

q is the batched posterior q(·|y_i), batch_shape (n,). The aggregate is q̄ = 1/n Σ_i q(·|y_i), an estimate of P1#π.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence

from .costs import squared_distances
from .measures import Reference


class Divergence(nn.Module, ABC):
    """A measure of how far the codes are from the reference."""

    @abstractmethod
    def forward(self, q: Distribution, zeta: Reference) -> Tensor:
        """D(q, ζ), (), differentiable in the encoder; it does not depend on the generator."""


class KL(Divergence):
    """E_y KL(q(·|y) ‖ ζ), in nats, in closed form where torch has one.

    It equals KL(P1#π ‖ ζ) + I(z; y): an upper bound of the aggregate's divergence, positive even where the
    aggregate is exactly ζ.

    Raises:
        ValueError: the pair of laws has no closed form, e.g. a deterministic encoder, whose KL is infinite.

    Source: Kingma, Welling, 2014, https://arxiv.org/abs/1312.6114

    Example:
        >>> from ot_gen.measures import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> float(KL()(zeta.law.expand((5,)), zeta))
        0.0
    """

    def forward(self, q: Distribution, zeta: Reference) -> Tensor:
        try:
            return kl_divergence(q, zeta.law).mean()
        except NotImplementedError:
            raise ValueError(
                f"KL has no closed form for an encoder that returns {type(q).__name__} and the reference {zeta.law}; "
                "use a Gaussian encoder with a Gaussian reference, or MMD, SinkhornDivergence or SlicedWasserstein"
            ) from None


class MMD(Divergence):
    """The squared maximum mean discrepancy between the codes z_i and as many draws ζ_i ~ ζ, U-statistic.

        Σ_{i≠j} [k(z_i, z_j) + k(ζ_i, ζ_j)] / (n(n−1))  −  2 Σ_{ij} k(z_i, ζ_j) / n²

    The estimator is unbiased and may therefore be negative.

    Args:
        kernel: k as a function of squared distances, e.g. `InverseMultiquadric()` or `GaussianKernel()`.

    Source: Gretton et al., 2012, https://jmlr.org/papers/v13/gretton12a.html; in this role Tolstikhin et al., 2018,
    https://arxiv.org/abs/1711.01558

    Example:
        >>> from ot_gen.measures import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> MMD(InverseMultiquadric())(zeta.law.expand((64,)), zeta).shape
        torch.Size([])
    """

    def __init__(self, kernel: nn.Module) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, q: Distribution, zeta: Reference) -> Tensor:
        codes, prior = _codes_and_prior(q, zeta, "MMD")
        n, k = codes.shape
        k_codes, k_prior, k_cross = (
            self.kernel(squared_distances(u, v), k) for u, v in ((codes, codes), (prior, prior), (codes, prior))
        )
        within = k_codes.sum() - k_codes.diagonal().sum() + k_prior.sum() - k_prior.diagonal().sum()
        return within / (n * (n - 1)) - 2 * k_cross.mean()


class InverseMultiquadric(nn.Module):
    """k(z, z') = mean_s  C_s / (C_s + ‖z − z'‖²), with C_s = 2 k s for the latent dimension k and scales s.

    Its heavy tails give far codes a gradient. Averaged over scales, so that k(z, z) = 1.

    Source: Tolstikhin et al., 2018, https://arxiv.org/abs/1711.01558, appendix C

    Example:
        >>> float(InverseMultiquadric()(torch.zeros(()), 8))
        1.0
    """

    def __init__(self, scales: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)) -> None:
        super().__init__()
        self.scales = _positive(scales)

    def forward(self, squared: Tensor, k: int) -> Tensor:
        constants = [2.0 * k * s for s in self.scales]
        return torch.stack([c / (c + squared) for c in constants]).mean(dim=0)


class GaussianKernel(nn.Module):
    """k(z, z') = mean_s  exp(−‖z − z'‖² / (2 k s)), for the latent dimension k and scales s.

    Example:
        >>> float(GaussianKernel()(torch.zeros(()), 8))
        1.0
    """

    def __init__(self, scales: tuple[float, ...] = (0.25, 1.0, 4.0)) -> None:
        super().__init__()
        self.scales = _positive(scales)

    def forward(self, squared: Tensor, k: int) -> Tensor:
        return torch.stack([torch.exp(squared / (-2.0 * k * s)) for s in self.scales]).mean(dim=0)


class SinkhornDivergence(Divergence):
    """The debiased Sinkhorn divergence S_ε(q̄, ζ) with cost ‖z − z'‖² (no ½), through GeomLoss.

        S_ε(α, β) = OT_ε(α, β) − ½ OT_ε(α, α) − ½ OT_ε(β, β) >= 0

    Args:
        epsilon: ε, in the units of ‖z − z'‖². GeomLoss halves the cost, so its blur is √(ε/2) and its value doubled.
        scaling: ratio of successive scales of its annealing, in (0, 1); nearer 1 is slower and more accurate.

    Source: Feydy et al., 2019, https://arxiv.org/abs/1810.08278; in this role Patrini et al., 2020,
    https://arxiv.org/abs/1810.01118

    Example:
        >>> from ot_gen.measures import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> bool(SinkhornDivergence(epsilon=0.1)(zeta.law.expand((32,)), zeta) >= 0)
        True
    """

    def __init__(self, epsilon: float = 0.1, scaling: float = 0.5) -> None:
        super().__init__()
        if not epsilon > 0 or not 0 < scaling < 1:
            raise ValueError(f"SinkhornDivergence needs epsilon > 0 and 0 < scaling < 1, got {epsilon} and {scaling}")
        self.epsilon = epsilon
        self.scaling = scaling

    def forward(self, q: Distribution, zeta: Reference) -> Tensor:
        from geomloss import SamplesLoss

        codes, prior = _codes_and_prior(q, zeta, "SinkhornDivergence")
        loss = SamplesLoss(
            "sinkhorn", p=2, blur=math.sqrt(self.epsilon / 2), scaling=self.scaling, backend="tensorized"
        )
        value: Tensor = 2 * loss(codes, prior)
        return value

    def extra_repr(self) -> str:
        return f"epsilon={self.epsilon:g}, scaling={self.scaling:g}"


class SlicedWasserstein(Divergence):
    """SW₂²(q̄, ζ) = E_u W₂²(⟨u, ·⟩#q̄, ⟨u, ·⟩#ζ), u uniform on the unit sphere, by sorting; no factor k.

    Args:
        projections: number of random directions, drawn afresh at every call.

    Source: Bonneel et al., 2015, https://doi.org/10.1007/s10851-014-0506-3; in this role Kolouri et al., 2019,
    https://arxiv.org/abs/1804.01947

    Example:
        >>> from ot_gen.measures import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> bool(SlicedWasserstein()(zeta.law.expand((32,)), zeta) >= 0)
        True
    """

    def __init__(self, projections: int = 50) -> None:
        super().__init__()
        if projections < 1:
            raise ValueError(f"SlicedWasserstein needs projections >= 1, got {projections}")
        self.projections = projections

    def forward(self, q: Distribution, zeta: Reference) -> Tensor:
        codes, prior = _codes_and_prior(q, zeta, "SlicedWasserstein")
        directions = nn.functional.normalize(torch.randn_like(codes[:1].expand(self.projections, -1)), dim=1)
        on_lines = [(points @ directions.T).sort(dim=0).values for points in (codes, prior)]
        return (on_lines[0] - on_lines[1]).square().mean()

    def extra_repr(self) -> str:
        return f"projections={self.projections}"


def _codes_and_prior(q: Distribution, zeta: Reference, name: str) -> tuple[Tensor, Tensor]:
    codes = q.rsample()
    if codes.ndim != 2 or codes.shape[0] < 2 or codes.shape[1] != zeta.dim:
        raise ValueError(
            f"{name} compares at least two codes of dimension {zeta.dim} with the reference, got codes of shape "
            f"{tuple(codes.shape)}"
        )
    return codes, zeta.sample(len(codes)).to(codes)


def _positive(scales: tuple[float, ...]) -> tuple[float, ...]:
    if not scales or min(scales) <= 0:
        raise ValueError(f"kernel scales must be positive, got {tuple(scales)}")
    return tuple(scales)
