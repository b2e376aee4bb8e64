"""The codes of the data, z ~ q(·|y) for y ~ ν, to which priors are fitted."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.arguments import described
from ot_gen.measures import Empirical, Measure, check_cloud, undisturbed

ROWS = 1024  # of data that the encoder sees at a time


def codes_of(encoder: nn.Module, nu: Measure, samples: int, seed: int) -> Tensor:
    """Codes (n, k), n <= samples: of an unweighted `Empirical` one for each atom, of other measures of random draws.

    The caller's random state and the encoder's training mode stay as they were.

    Raises:
        ValueError: what the encoder returns is no law, or the codes are not finite (n, k) vectors.

    Example:
        >>> from ot_gen import DiracEncoder
        >>> codes_of(DiracEncoder(nn.Linear(3, 2)), Empirical(torch.randn(20, 3)), 100, 0).shape
        torch.Size([20, 2])
    """
    with undisturbed(encoder, nu):
        torch.manual_seed(seed)
        if isinstance(nu, Empirical) and nu.is_uniform:
            y = nu.rows[torch.randperm(len(nu), device=nu.rows.device)[:samples]]
        else:
            y = nu.sample(samples)
        codes = torch.cat([_law(encoder(part)).sample() for part in y.split(ROWS)])
    check_cloud(codes, "the encoder's codes")
    return codes


def _law(q: object) -> Distribution:
    if not isinstance(q, Distribution):
        raise ValueError(
            f"an encoder maps the data to laws of codes, got {described(q)}; of a net make DiracEncoder(net)"
        )
    return q
