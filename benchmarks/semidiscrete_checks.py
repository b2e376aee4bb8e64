"""The parts of `benchmarks/semidiscrete.py` without peers: a trained generator against MNIST, and known answers."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from torch import nn

from ot_gen import (
    MLP,
    Empirical,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    data,
    exact_plan,
    fit,
    semidiscrete,
    standard_gaussian,
)

COST = SquaredEuclidean()


def mnist(repeats: int, steps: int = 1000, atoms: int = 8000, gap: float = 0.01) -> None:
    """μ = an MLP from R^8 trained on exact plans of batches of 128, ν = the embedded training digits."""
    torch.manual_seed(0)
    digits = data.mnist().train
    mu = Pushforward(MLP(8, digits.dim, hidden=(200, 400), output=nn.Sigmoid()), standard_gaussian(8))
    began = time.process_time()
    fit(mu, digits, PrimalSolver(COST, PlanCoupling(exact_plan)), steps=steps, batch_size=128)
    print(f"\n{steps} steps of training took {time.process_time() - began:.1f} s of CPU time\n")
    print("| threads | wall s | CPU s | gap | certified | lower ± se | upper ± se | marginal error ± se | samples |")
    print("|" + " --- |" * 9)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for seed in range(repeats):
            torch.manual_seed(seed)
            wall, cpu = time.perf_counter(), time.process_time()
            solution = semidiscrete(mu, Empirical(digits.atoms[:atoms]), COST, gap_tol=gap)
            bracket = f"{solution.lower:.4f} ± {solution.lower_se:.4f} | {solution.upper:.4f} ± {solution.upper_se:.4f}"
            times = f"{time.perf_counter() - wall:.1f} | {time.process_time() - cpu:.1f}"
            error = f"{solution.marginal_error:.3f} ± {solution.marginal_error_se:.3f}"
            print(f"| {threads} | {times} | {solution.gap:.4f} | {solution.converged} | ", end="")
            print(f"{bracket} | {error} | {solution.samples} |", flush=True)
    torch.set_num_threads(1)


def reference(repeats: int, tol: float = 0.01) -> None:
    """Random atoms and weights against N(0, I), in d = 1 and 2, where masses and W₂² are known by quadrature."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from problems import GaussianCells

    print(f"\ntol = {tol}; W₂² and all true figures by quadrature, its own ‖P − b‖₁ in the third column\n")
    print("| d, atoms | W₂² | left | CPU s | certified | lower − W₂² in se | D(h̃) − W₂² | upper − W₂² in se ", end="")
    print("| marginal error stated ± se | true |\n|" + " --- |" * 10)
    for d, n, lines in ((1, 10, 1), (1, 50, 1), (2, 10, 1000), (2, 50, 1000)):
        for seed in range(repeats):
            generator = torch.Generator().manual_seed(seed)
            y = torch.randn(n, d, generator=generator)
            b = 0.1 + torch.rand(n, generator=generator)
            cells = GaussianCells(y, b / b.sum(), lines)
            _, value, left = cells.solve()
            torch.manual_seed(seed)
            began = time.process_time()
            solution = semidiscrete(standard_gaussian(d), Empirical(y, cells.b), COST, tol=tol)
            seconds = time.process_time() - began
            masses, dual = cells.masses_and_dual(solution.h_tilde)
            bounds = f"{(solution.lower - value) / solution.lower_se:.2f} | {dual - value:.1e}"
            bounds += f" | {(solution.upper - value) / solution.upper_se:.2f}"
            error = f"{solution.marginal_error:.4f} ± {solution.marginal_error_se:.4f}"
            error += f" | {float((masses - cells.b.double()).abs().sum()):.4f}"
            print(f"| {d}, {n} | {value:.6f} | {left:.0e} | {seconds:.2f} | {solution.converged} | ", end="")
            print(f"{bounds} | {error} |", flush=True)
