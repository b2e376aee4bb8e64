"""Particles that move: the free support of a barycentre, and the gradient flow of its functional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor

from ot_gen.arguments import Cloud, Count, Positive, Vector, checked
from ot_gen.barycentres.problem import BarycentreProblem, WeightedPoints
from ot_gen.costs import Cost, SquaredEuclidean
from ot_gen.measures import Measure, check_cloud, undisturbed
from ot_gen.transport import Plan, exact_plan

INNER = 20  # steps of L-BFGS between two plans, where the cost has no closed form


@final
class Moved(NamedTuple):
    """Particles (n, d), the value at them, the steps taken, and what the last one gained, of the value."""

    x: Tensor
    value: float
    steps: int
    gain: float


def plans_to(problem: BarycentreProblem, tables: Sequence[WeightedPoints], x: Tensor, a: Tensor | None) -> list[Plan]:
    """The exact plans from particles x (n, d) of masses a (n,), None for equal ones, to the tables."""
    return [exact_plan(problem.cost.matrix(x, table.y), a, table.masses) for table in tables]


@torch.no_grad()
def moved(
    problem: BarycentreProblem, tables: list[WeightedPoints], start: WeightedPoints, steps: int, tol: float
) -> Moved:
    """Plans and positions in turn: each makes the value smaller, until a step gains less than `tol` of it.

    With the plans P_k held, each particle goes to the minimiser of Σ_k λ_k Σ_j P_k,ij c(x_i, y_j): for ‖x − y‖² the
    mean Σ_k λ_k T_k(x_i) of its barycentric images, for other costs what L-BFGS reaches.

    Source: Cuturi, Doucet, 2014, https://arxiv.org/abs/1310.4375; Álvarez-Esteban et al., 2016,
    https://arxiv.org/abs/1511.05355
    """
    x, a, gain = start.y, start.masses, 1.0
    plans = plans_to(problem, tables, x, a)
    value = _value(problem, plans)
    for step in range(steps):
        proposed = _best(problem, tables, x, plans)
        plans = plans_to(problem, tables, proposed, a)
        below = _value(problem, plans)
        gain = (value - below) / max(abs(value), torch.finfo(x.dtype).tiny)
        if gain > 0:
            x, value = proposed, below
        if gain <= tol:
            return Moved(x, value, step + 1, max(gain, 0.0))
    return Moved(x, value, steps, gain)


def _value(problem: BarycentreProblem, plans: Sequence[Plan]) -> float:
    return float(problem.mean([plan.value.double() for plan in plans]))


def _best(problem: BarycentreProblem, tables: list[WeightedPoints], x: Tensor, plans: list[Plan]) -> Tensor:
    """Where the particles are best while the plans are held, (n, d)."""
    if isinstance(problem.cost, SquaredEuclidean):
        return problem.mean([plan.barycentric(table.y) for plan, table in zip(plans, tables, strict=True)])
    with torch.enable_grad():
        position = x.detach().clone().requires_grad_()
        search = torch.optim.LBFGS([position], max_iter=INNER, line_search_fn="strong_wolfe", tolerance_grad=0.0)

        def loss() -> Tensor:
            search.zero_grad()
            total = _cost_at(problem, tables, position, plans)
            total.backward()
            return total

        search.step(loss)
    new = position.detach()
    return torch.where(torch.isfinite(new).all(dim=1, keepdim=True), new, x)


def _cost_at(problem: BarycentreProblem, tables: Sequence[WeightedPoints], x: Tensor, plans: Sequence[Plan]) -> Tensor:
    return problem.mean([plan.cost_of(problem.cost, x, t.y) for plan, t in zip(plans, tables, strict=True)])


@checked
def gradient_flow(
    measures: Sequence[Measure],
    weights: Vector | None,
    cost: Cost,
    start: Cloud,
    *,
    time: Positive = 2.0,
    steps: Count = 100,
    samples: Count = 1000,
) -> Tensor:
    """The path of particles down the Wasserstein gradient of F(μ) = Σ_k λ_k W_c(μ, ν_k).

        x_i' = −∇h(x_i),      for ‖x − y‖²:   x_i' = −2 (x_i − Σ_k λ_k T_k(x_i))

    with h the first variation of F and T_k the optimal maps, here those of exact plans between the particles and atoms.
    Each of the equal steps in time is one of Euler's, with new plans. For ‖x − y‖² one of length ½ sends the particles
    to Σ_k λ_k T_k(x_i), the step by which `barycentre` goes on. With one measure it is the flow of W_c(·, ν) itself.
    A law that is no table is sampled anew at each step.

    Args:
        measures, weights, cost: as of `barycentre`; the cost is differentiable.
        start: the particles at time 0, (n, d), of equal masses.
        time: how far the flow goes.
        steps: of Euler's method.
        samples: of each law that is no table, or one of more atoms, at each step.

    Returns:
        Positions at steps + 1 equidistant times, (steps + 1, n, d), the start first.

    Raises:
        ValueError: what `barycentre` refuses, or points of another dimension.

    Source: Ambrosio, Gigli, Savaré, Gradient Flows, 2008, https://doi.org/10.1007/978-3-7643-8722-8

    Example:
        >>> from ot_gen import Empirical, SquaredEuclidean
        >>> nu = Empirical(torch.tensor([[2.0, 0.0], [4.0, 0.0]]))
        >>> path = gradient_flow([nu], None, SquaredEuclidean(), torch.zeros(2, 2), time=5.0)
        >>> path.shape, torch.allclose(path[-1].sort(dim=0).values, nu.atoms, atol=1e-3)
        (torch.Size([101, 2, 2]), True)
    """
    check_cloud(start, "start")
    problem = BarycentreProblem.of(measures, weights, cost)
    problem.check_points(start.shape[1], "the start", "start")
    x, length = start.detach(), time / steps
    path = [x]
    seed = int(torch.randint(2**30, (), device="cpu"))
    for step in range(steps):
        with undisturbed(*problem.modules):
            torch.manual_seed(seed + step)
            tables = problem.tables(samples)
            plans = plans_to(problem, tables, x, None)
        with torch.enable_grad():
            position = x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(len(x) * _cost_at(problem, tables, position, plans), position)
        x = x - length * slope
        path.append(x)
    return torch.stack(path)
