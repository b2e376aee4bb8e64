"""Bounds of the log-likelihood that a decoder gives to held-out points, by importance weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from ot_gen.arguments import Count, checked, described
from ot_gen.divergences import log_ratio
from ot_gen.measures import Reference, check_cloud, probe

LogLikelihood = Callable[[Tensor, Tensor], Tensor]
CHUNK = 2**22  # numbers decoded at a time


@torch.no_grad()
@checked
def log_weights(
    encoder: Callable[[Tensor], Distribution],
    zeta: Reference,
    log_likelihood: LogLikelihood,
    y: Tensor,
    samples: Count = 64,
) -> Tensor:
    """log w_ij = log p(y_j|z_ij) + log ζ(z_ij) − log q(z_ij|y_j), z_ij ~ q(·|y_j): importance weights of p(y_j).

    E w_ij = p(y_j) where q's support holds the posterior's; −E log w_ij is the −ELBO of y_j.

    Args:
        encoder: y (n, d) -> q(·|y), batch_shape (n,) and event_shape (k,), with a density.
        zeta: ζ on R^k.
        log_likelihood: z (s, k), y (s, d) -> log p(y|z), (s,), in nats; its normalising constant counts.
        y: held-out points, (n, d).
        samples: codes drawn for each point.

    Returns:
        (samples, n).

    Source: Burda, Grosse, Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> from ot_gen import standard_gaussian
        >>> gaussian = lambda mean: Independent(Normal(mean, 1.0), 1)
        >>> w = log_weights(gaussian, standard_gaussian(2), lambda z, y: gaussian(z).log_prob(y), torch.zeros(3, 2), 5)
        >>> w.shape
        torch.Size([5, 3])
    """
    check_cloud(y, "y")
    check_encoder(encoder, y, zeta.dim)
    rows = max(1, CHUNK // y.shape[1])
    columns = []
    for part in y.split(rows):
        q, blocks = encoder(part), []
        for s in range(0, samples, at_once := max(1, rows // len(part))):
            count = min(at_once, samples - s)
            z = q.sample(torch.Size((count,)))
            repeated = part.expand(count, *part.shape).flatten(0, 1)
            likelihood = log_likelihood(z.flatten(0, 1), repeated)
            if not isinstance(likelihood, Tensor) or likelihood.shape != (len(repeated),):
                got = tuple(likelihood.shape) if isinstance(likelihood, Tensor) else described(likelihood)
                raise ValueError(f"log_likelihood maps {len(repeated)} codes and points to as many numbers, got {got}")
            blocks.append(likelihood.reshape(z.shape[:2]) - log_ratio(q, zeta, z))
        columns.append(torch.cat(blocks))
    return torch.cat(columns, dim=1)


def check_encoder(encoder: Callable[[Tensor], Distribution], y: Tensor, dim: int) -> None:
    """Raise a `ValueError` unless the encoder maps points y (n, d) to laws on R^dim.

    Example:
        >>> check_encoder(torch.nn.Linear(3, 2), torch.zeros(5, 3), 2)
        Traceback (most recent call last):
        ValueError: the encoder returns a tensor (2, 2), and no law of codes; make one of it, e.g. GaussianEncoder(net)
    """
    rule = f"an encoder maps points {tuple(y.shape)} to laws on R^{dim}, where zeta lives"
    q = probe(encoder, y[:2], "the encoder", rule, row=((dim,),))
    if not isinstance(q, Distribution):
        raise ValueError(
            f"the encoder returns {described(q)}, and no law of codes; make one of it, e.g. GaussianEncoder(net)"
        )
