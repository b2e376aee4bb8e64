"""The importance-weighted coupling: several codes of each data point, weighted by how well they explain it."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from ot_gen.arguments import Count, Positive, checked
from ot_gen.costs import Cost
from ot_gen.couplings.coupling import Coupling, Estimate
from ot_gen.couplings.encoder import generator, learned, posterior, posteriors
from ot_gen.divergences import sampled_kl
from ot_gen.measures import Measure, widened


@final
@checked
class ImportanceCoupling(Coupling):
    """The encoder's coupling reweighted: IWAE's objective in the units of the cost.

        value = −λ E_y log 1/K Σ_k exp(−c(g_θ(z_k), y) / λ) ζ(z_k) / q(z_k|y),   z_k ~ q(·|y)

    For K = 1 this is the VAE's value + penalty, with the KL sampled; it falls as K grows. With c = −log p(y|z) and
    λ = 1 it is an upper bound, in expectation, of −log p(y), and tends to it. It bounds no transport cost: the
    coupling is as infeasible as any encoder's. θ and ξ share one value, so there is no penalty. A reference with
    parameters belongs to ξ, as it does to `EncoderCoupling`.

    Args:
        encoder: y (n, d) -> q(·|y), a torch `Distribution` with a density.
        weight: λ > 0, in the units of the cost.
        samples: K >= 1, codes of each data point.

    Raises:
        ValueError: λ <= 0 or K < 1.

    Source: Burda, Grosse, Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> from ot_gen import GaussianEncoder
        >>> from ot_gen import Empirical, Pushforward, standard_gaussian
        >>> mu = Pushforward(nn.Linear(2, 3), standard_gaussian(2))
        >>> coupling = ImportanceCoupling(GaussianEncoder(nn.Linear(3, 4)), weight=0.1, samples=5)
        >>> coupling(mu, Empirical(torch.eye(3)), SquaredEuclidean(), 3).penalty
        tensor(0.)
    """

    kind = "network"

    reference: Measure | None

    def __init__(self, encoder: nn.Module, weight: Positive, samples: Count = 5) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_module("reference", None)
        self.weight = float(weight)
        self.samples = samples

    def forward(self, mu: Measure, nu: Measure, cost: Cost, n: Count) -> Estimate:
        mu, y = generator(mu), nu.sample(n)
        q = posteriors(self.encoder, y)
        codes = q.rsample(torch.Size((self.samples,)))  # (K, n, k)
        c = cost.decoded(mu.decode(codes.flatten(0, 1)), y.repeat(self.samples, 1)).view(self.samples, n)
        log_w = -c / self.weight - sampled_kl(q, mu.base, codes)
        value = -self.weight * iwae_bound(log_w).mean()
        return Estimate(value, value.new_zeros(()))

    @torch.no_grad()
    @checked
    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        q, zeta = posterior(self.encoder, mu, nu)
        sampled_kl(q, zeta, q.rsample())  # raises where there are no densities
        self.reference = learned(zeta)

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}, samples={self.samples}"


@checked
def iwae_bound(log_w: Tensor) -> Tensor:
    """log 1/K Σ_i w_ij, the importance-weighted bound of log p(y_j): (K, n) -> (n,), in nats.

    In expectation a lower bound of log p(y_j) that grows with K and tends to it; at K = 1 it is the ELBO. On the same
    weights it is never below the mean of log w_ij (Jensen).

    Args:
        log_w: log weights, (K, n), e.g. of `ot_gen.evaluation.log_weights`.

    Source: Burda, Grosse, Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519

    Example:
        >>> w = torch.tensor([[1.0], [3.0]])
        >>> iwae_bound(w.log()).exp()
        tensor([2.])
    """
    if log_w.ndim != 2 or len(log_w) == 0:
        raise ValueError(f"log weights must have shape (K, n) with K >= 1, got {tuple(log_w.shape)}")
    return widened(log_w).logsumexp(dim=0) - math.log(len(log_w))
