"""A generator as the barycentre: its start at the Gaussian one, its training by `fit`, its self-check."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from ot_gen.barycentres.problem import BarycentreProblem
from ot_gen.barycentres.terms import Measures, SumSolver
from ot_gen.costs import SquaredEuclidean
from ot_gen.couplings import OF_THE_DATA, DebiasedPlanCoupling, MatchedPlanCoupling, Moments
from ot_gen.display import Network
from ot_gen.measures import Measure, Pushforward, Reference, undisturbed
from ot_gen.networks import MLP
from ot_gen.schedules import linear_decay
from ot_gen.solvers import PrimalSolver, Solver
from ot_gen.training import fit
from ot_gen.transport import exact_plan, gaussian_barycentre, powers

POINTS = 256  # of the self-check
PAIRS = 16  # of independent fields at the same points


@final
class NearAffine(Network):
    """The map z -> m + (z + net(z)) R, (n, d) -> (n, d), whose net starts at 0.

    Example:
        >>> NearAffine(torch.zeros(2), 3 * torch.eye(2))(torch.ones(1, 2))
        tensor([[3., 3.]], grad_fn=<AddBackward0>)
    """

    by_rows = True

    def __init__(self, mean: Tensor, root: Tensor) -> None:
        super().__init__()
        self.mean = nn.Parameter(mean.clone())
        self.root = nn.Parameter(root.clone())
        self.net = MLP(len(mean), len(mean), activation=nn.SiLU).to(mean)
        last = self.net.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, z: Tensor) -> Tensor:
        bent: Tensor = self.net(z)
        return self.mean + (z + bent) @ self.root


def gaussian_moments(problem: BarycentreProblem) -> Moments:
    """Mean and covariance of the barycentre of the Gaussians of the laws' moments."""
    moments = [Moments.of(law, OF_THE_DATA) for law in problem.measures]
    weights = torch.tensor(problem.weights, device="cpu")
    S = gaussian_barycentre([one.covariance for one in moments], weights).covariance
    return Moments(problem.mean([one.mean for one in moments]), S)


def gaussian_model(problem: BarycentreProblem) -> Pushforward:
    """That barycentre as a `Pushforward` of N(0, I) by a `NearAffine` map, to be trained from there."""
    with undisturbed(*problem.modules):
        moments = gaussian_moments(problem)
        like = problem.measures[0].sample(1)
    mean, root = moments.mean.to(like), powers(moments.covariance, 0.5)[0].to(like)
    law = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return Pushforward(NearAffine(mean, root), Reference(torch.distributions.Independent(law, 1)))


def default_term(problem: BarycentreProblem) -> Solver:
    """What holds a W_c(μ, ν_k) where nothing else is asked for: exact plans between batches, without their bias."""
    coupling = MatchedPlanCoupling if isinstance(problem.cost, SquaredEuclidean) else DebiasedPlanCoupling
    return PrimalSolver(problem.cost, coupling(exact_plan))


def train(problem: BarycentreProblem, mu: Pushforward, terms: list[Solver], steps: int, batch_size: int) -> None:
    """`fit`, with the weighted sum of the terms."""
    nus = Measures(problem.measures, torch.tensor(problem.weights, device=problem.measures[0].sample(1).device))
    fit(mu, nus, SumSolver(terms), steps=steps, batch_size=batch_size, schedule=linear_decay)
    mu.eval()


@final
class Residual(NamedTuple):
    """E‖x − Σ_k λ_k T_k(x)‖² / tr Cov(x) over μ, and its standard error: 0 at a barycentre."""

    value: float
    se: float


def residual(problem: BarycentreProblem, mu: Measure) -> Residual:
    """How far μ is from Σ_k λ_k T_k = id, T_k its optimal maps for ‖x − y‖² as `MatchedPlanCoupling` sees them.

    ⟨v, v'⟩ for two independent estimates v and v' of the field at the same points has no bias by their noise.
    """
    pairs = [(law, MatchedPlanCoupling(exact_plan)) for law in problem.measures]

    def field(x: Tensor) -> Tensor:
        return x - problem.mean([coupling.displaced(x, mu, law, problem.cost) for law, coupling in pairs])

    with undisturbed(mu, *problem.modules):
        products, spread = [], []
        for _ in range(PAIRS):
            x = mu.sample(POINTS)
            products.append(float((field(x) * field(x)).sum(dim=1).mean()))
            spread.append(float(x.var(dim=0).sum()))
    values = torch.tensor(products, dtype=torch.float64, device="cpu") / (sum(spread) / len(spread))
    return Residual(float(values.mean()), float(values.std()) / PAIRS**0.5)
