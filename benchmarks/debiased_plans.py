"""What it costs to take the bias of a plan between batches away, and which way its gradient is cheaper.

    python benchmarks/debiased_plans.py [--size 400] [--repeats 9]

On 6,000 embedded digits, one thread. Ratios are of medians of interleaved repeats, with the range of the single ratios.

    step       seconds of a training step (model, plans, gradient, Adam), `DebiasedPlanCoupling` over `PlanCoupling`
    gradient   of Σ_ij P_ij ‖x_i − y_j‖² in x for a dense P: through the value (as the couplings do, for any cost) over
               through the barycentric map, 2 Σ_i p_i (x_i − T(x_i)), which is for this cost alone. Both are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from digit_judge import TRAIN, digits
from torch import nn

from ot_gen import (
    MLP,
    ConvGenerator,
    DebiasedPlanCoupling,
    Empirical,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    exact_plan,
    sinkhorn_plan,
    standard_gaussian,
)
from ot_gen.execution import adam

DIM, STEPS = 16, 5
COST = SquaredEuclidean()
NETS = {
    "dense": lambda: MLP(DIM, 784, hidden=(200, 400), output=nn.Sigmoid()),
    "convolutional": lambda: ConvGenerator(DIM, (1, 28, 28)),
}


def step_of(
    coupling: PlanCoupling | DebiasedPlanCoupling, net: nn.Module, nu: Empirical, size: int
) -> Callable[[], None]:
    """A few training steps."""
    mu, solver, optimizer = (
        Pushforward(net, standard_gaussian(DIM)),
        PrimalSolver(COST, coupling),
        adam(net.parameters()),
    )
    solver.prepare(mu, nu)

    def run() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            solver(mu, nu, size).value.backward()
            optimizer.step()

    return run


def gradients(
    nu: Empirical, size: int, epsilon: float
) -> tuple[Callable[[], torch.Tensor], Callable[[], torch.Tensor]]:
    """The gradient in x through the value, and through the barycentric map."""
    x, y = nu.sample(size), nu.sample(size)
    plan = sinkhorn_plan(COST.matrix(x, y), epsilon=epsilon, tol=1e-2)
    x.requires_grad_()

    def by_value() -> torch.Tensor:
        return torch.autograd.grad(plan.cost_of(COST, x, y), x)[0]

    def by_barycentres() -> torch.Tensor:
        with torch.no_grad():
            way = 2 * plan.marginals[0][:, None] * (x - plan.barycentric(y))
        return torch.autograd.grad((x * way).sum(), x)[0]

    return by_value, by_barycentres


def compared(one: Callable[[], object], other: Callable[[], object], repeats: int) -> str:
    """Medians of both, and their ratio with its range."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 1):
        for side, run in zip(seconds, (one, other), strict=True):
            began = time.perf_counter()
            run()
            if repeat:
                side.append(time.perf_counter() - began)
    ratios = [a / b for a, b in zip(*seconds, strict=True)]
    first, second = map(statistics.median, seconds)
    return f"{first * 1e3:8.2f} ms {second * 1e3:8.2f} ms   {first / second:.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=400, help="of a batch")
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    nu = Empirical(digits()[0][TRAIN])
    epsilon = 0.05 * float(nu.atoms.var(0).sum())
    print(f"torch {torch.__version__}, one thread, batches of {arguments.size}, {arguments.repeats} repeats")
    for name, plan in (("exact", exact_plan), ("entropic", partial(sinkhorn_plan, epsilon=epsilon, tol=1e-2))):
        for net, made in NETS.items():
            debiased, biased = (
                step_of(kind(plan), made(), nu, arguments.size) for kind in (DebiasedPlanCoupling, PlanCoupling)
            )
            print(f"{STEPS} steps, {name:8s} {net:13s} {compared(debiased, biased, arguments.repeats)}")
    by_value, by_barycentres = gradients(nu, arguments.size, epsilon)
    away = float((by_value() - by_barycentres()).norm() / by_value().norm())
    print(
        f"gradient, value/barycentres     {compared(by_value, by_barycentres, arguments.repeats)}, differ by {away:.1e}"
    )


if __name__ == "__main__":
    main()
