"""What every divergence is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.measures import Reference


class Divergence(nn.Module, ABC):
    """A measure of how far the codes are from the reference.

    `unbiased` says whether the estimate from n codes has the divergence between the laws as its expectation, for
    every n. A biased one has another minimum: mini-batch transport, for one, shrinks the codes.
    """

    unbiased: bool

    @abstractmethod
    def forward(self, q: Distribution, zeta: Reference) -> Tensor:
        """D(q, ζ), (), differentiable in the encoder; it does not depend on the generator."""


def codes_and_prior(q: Distribution, zeta: Reference, name: str, draws: int = 1) -> tuple[Tensor, Tensor]:
    """One code of each posterior, (n, k), and `draws` times as many of ζ; ValueError unless they can be compared."""
    codes = q.rsample()
    if codes.ndim != 2 or codes.shape[0] < 2 or codes.shape[1] != zeta.dim:
        raise ValueError(
            f"{name} compares at least two codes of dimension {zeta.dim} with the reference, got codes of shape "
            f"{tuple(codes.shape)}"
        )
    return codes, zeta.rsample(draws * len(codes)).to(codes)
