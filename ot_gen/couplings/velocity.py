"""Regression of a velocity on pairs: how any coupling of ζ and ν trains a flow."""

from __future__ import annotations

from pathlib import Path
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ot_gen.arguments import Count, checked
from ot_gen.costs import Cost, SquaredEuclidean, cost_of_points
from ot_gen.couplings.coupling import Coupling, Estimate
from ot_gen.couplings.pairings import Pairing
from ot_gen.measures import Measure, Pushforward
from ot_gen.networks import FlowMap

FORGETTING = 0.02  # of the running mean of the path energy, in a step: it remembers about fifty


@final
@checked
class VelocityRegression(Coupling):
    """A coupling of ζ and ν in one space trains the velocity of the flow g_θ (Benamou and Brenier's formula).

        min_θ  E_{(z, y) ~ π, t} ‖v_θ(t, x_t) − (y − z)‖²,   x_t = (1 − t) z + t y,   t uniform on [0, 1]

    Its minimiser v*(t, x) = E[y − z | x_t = x] has a flow that carries ζ to ν for **any** coupling π, and

        W₂²(ζ, ν) <= ∫ E‖v*_t‖² dt <= E_π ‖y − z‖²

    with equality for the optimal π: its paths are straight, and one step of Euler's method is exact. The coupling thus
    decides how many evaluations a sample costs. The value is the regression's and bounds nothing: at its minimum it is
    the variance of y − z given x_t. `diagnostics` returns the path energy ∫ E‖v_t(x_t)‖² dt, as a running mean. Where
    the pairing knows a bracket of W₂²(ζ, ν) it also returns the normalised path energy |energy − W₂²| / W₂², with the
    lower end for W₂².

    The ground cost is the pairing's. The regression is quadratic whatever it is.

    Args:
        pairing: `IndependentPairing`, `PlanPairing` or `TablePairing`.

    Raises:
        ValueError: when it is bound, a model whose map is no `FlowMap`, or ζ and ν of different dimension.

    Source: Lipman et al., 2023, https://arxiv.org/abs/2210.02747; Benamou, Brenier, 2000,
        https://doi.org/10.1007/s002110050002

    Example:
        >>> from ot_gen import DenseVelocity, Empirical, IndependentPairing, standard_gaussian
        >>> mu = Pushforward(FlowMap(DenseVelocity(2, width=16)), standard_gaussian(2))
        >>> regression = VelocityRegression(IndependentPairing())
        >>> value, penalty = regression(mu, Empirical(torch.eye(2)), SquaredEuclidean(), 8)
        >>> bool(value > 0), float(penalty)
        (True, 0.0)
    """

    kind = "flow"

    energy: Tensor

    def __init__(self, pairing: Pairing) -> None:
        super().__init__()
        self.pairing = pairing
        # The running mean of the path energy times its weight, and the weight: 0 before the first step.
        self.register_buffer("energy", torch.zeros(2))
        self._bracketed = False

    def priced(self, cost: Cost) -> Cost:
        return SquaredEuclidean()

    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        self.pairing.bind(flow_model(mu)[1], nu, cost)
        self.energy = torch.zeros_like(self.energy)
        self._bracketed = isinstance(cost_of_points(cost), SquaredEuclidean)

    @property
    def is_settled(self) -> bool:
        return self.pairing.is_settled

    def settle(self, mu: Measure, nu: Measure, cost: Cost, keep: Path | None, resume: Path | None) -> None:
        self.pairing.settle(flow_model(mu)[1], nu, cost, keep, resume)

    def forward(self, mu: Measure, nu: Measure, cost: Cost, n: Count) -> Estimate:
        flow, zeta = flow_model(mu)
        z, y = self.pairing(zeta, nu, cost, n)
        # One uniform shift of an even grid: each time is uniform, and a batch has them all. Pairs are in random order.
        t = torch.arange(n, device=z.device, dtype=z.dtype).add_(n * torch.rand((), device=z.device)).remainder_(n)
        t = t.div_(n)
        way = y - z
        v = flow.velocity_at(t, torch.addcmul(z, t[:, None], way))
        value = mse_loss(v, way, reduction="sum") / n
        self._note(v.detach())
        return Estimate(value, value.new_zeros(()))

    def _note(self, v: Tensor) -> None:
        self.energy.mul_(1 - FORGETTING)
        self.energy[0] += FORGETTING / len(v) * torch.linalg.vector_norm(v).square()
        self.energy[1] += FORGETTING

    def diagnostics(self) -> dict[str, float]:
        figures = self.pairing.diagnostics()
        energy, weight = self.energy.tolist()
        if weight == 0:
            return figures
        figures["path_energy"] = energy / weight
        bracket = self.pairing.bracket
        if bracket is not None and self._bracketed and bracket.lower > 0:
            figures["normalised_path_energy"] = abs(figures["path_energy"] - bracket.lower) / bracket.lower
        return figures


@checked
def flow_model(mu: Measure) -> tuple[FlowMap, Measure]:
    """The flow and the reference ζ of a model μ = g_θ#ζ; a `ValueError` where its map is no flow.

    Example:
        >>> from ot_gen import DenseVelocity, standard_gaussian
        >>> flow_model(Pushforward(FlowMap(DenseVelocity(2, width=16)), standard_gaussian(2)))[1].dim
        2
    """
    if isinstance(mu, Pushforward) and isinstance(mu.map, FlowMap):
        return mu.map, mu.base
    got = f"a Pushforward of {type(mu.map).__name__}" if isinstance(mu, Pushforward) else type(mu).__name__
    raise ValueError(
        f"the regression trains the velocity of a flow, got {got}; make the model Pushforward(FlowMap(v), zeta)"
    )
