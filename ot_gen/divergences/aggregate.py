"""KL(P1#π ‖ ζ) of the aggregate code law, estimated within a batch."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from ot_gen.arguments import Interval, checked
from ot_gen.divergences.divergence import Divergence, check_codes, density
from ot_gen.measures import Measure, log_density

Batch = Annotated[int, Interval(2, 10**9)]  # of posteriors


@checked
class _AggregateKL(Divergence):
    """KL(q̄ ‖ ζ) ≈ 1/n Σ_i log q̂(z_i) − log ζ(z_i), with q̂ a mixture of the batch's posteriors."""

    unbiased = False

    def __init__(self, atoms: Batch) -> None:
        super().__init__()
        self.atoms = atoms

    @abstractmethod
    def log_weights(self, n: Batch) -> tuple[float, float]:
        """Logarithms of the mass that q̂ gives to z_i's own posterior and to each other one of the batch."""

    def forward(self, q: Distribution, zeta: Measure) -> Tensor:
        check_codes(q, zeta, type(self).__name__)
        codes = q.rsample()
        n = len(codes)
        if n < 2 or n > self.atoms:
            raise ValueError(
                f"{type(self).__name__} needs a batch of 2 to {self.atoms} posteriors (the number of atoms), got {n}"
            )
        law = density(zeta, type(self).__name__)
        try:
            log_q = q.log_prob(codes[:, None])  # (n, n): code i under posterior j
            log_zeta = log_density(law, codes)
        except NotImplementedError:
            raise ValueError(
                f"{type(self).__name__} needs densities, but {type(q).__name__} or the reference {law} has none; "
                "use a Gaussian encoder"
            ) from None
        own, other = self.log_weights(n)
        log_mass = torch.full_like(log_q, other).fill_diagonal_(own)
        return (torch.logsumexp(log_q + log_mass, dim=1) - log_zeta).mean()

    def extra_repr(self) -> str:
        return f"atoms={self.atoms}"


@final
@checked
class MinibatchWeightedKL(_AggregateKL):
    """KL(P1#π ‖ ζ) with q̂(z) = 1/(nN) Σ_j q(z|y_j), n posteriors of a batch from N atoms.

    The total mass of q̂ is 1/N and not 1: the value is too low by up to log N, and the gradient is little affected.

    Args:
        atoms: N, the number of data points.

    Raises:
        ValueError: fewer than two atoms, a batch larger than N or of one, a law without a density.

    Source: Chen et al., 2018, https://arxiv.org/abs/1802.04942, section 4 (minibatch-weighted sampling)

    Example:
        >>> from ot_gen import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> value = MinibatchWeightedKL(100)(zeta.law.expand((64,)), zeta)
        >>> abs(value.item() + math.log(100)) < 1e-4
        True
    """

    def log_weights(self, n: Batch) -> tuple[float, float]:
        return (-math.log(n * self.atoms),) * 2


@final
@checked
class StratifiedKL(_AggregateKL):
    """KL(P1#π ‖ ζ) with z_i's own posterior weighted as in the data and the rest of the batch standing for the others.

        q̂(z_i) = q(z_i|y_i) / N + (N − 1) / (N (n − 1)) Σ_{j≠i} q(z_i|y_j)

    For other atoms drawn uniformly q̂(z) is unbiased. By Jensen's inequality its logarithm is too low, and so is the
    estimate. Larger batches make it less so.

    Args:
        atoms: N, the number of data points.

    Raises:
        ValueError: fewer than two atoms, a batch larger than N or of one, a law without a density.

    Source: Chen et al., 2018, https://arxiv.org/abs/1802.04942, appendix C.2 (minibatch stratified sampling; here
    with equal weights for all others)

    Example:
        >>> from ot_gen import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> abs(StratifiedKL(100)(zeta.law.expand((64,)), zeta).item()) < 1e-4
        True
    """

    def log_weights(self, n: Batch) -> tuple[float, float]:
        return -math.log(self.atoms), math.log((self.atoms - 1) / (self.atoms * (n - 1)))
