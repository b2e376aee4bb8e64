"""The certificate: how often it holds a known W, and how narrow it is on data, as markdown tables.

    python benchmarks/certificate.py [--coverage [--trials 200]] [--widths [toy digits mnist]] [--threads 1]

--coverage runs whole certificates (their own solve, pilot and judging samples) at `--trials` seeds on the problems of
tests/evaluation/test_certificate.py, whose W is known in closed form or by linear programming, and counts those that
hold it.
--widths certifies two generators against each data set: the Gaussian of the data's mean and covariance, and a VAE after
2,000 steps. CPU is the process's, of the certificate alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from torch import nn

from ot_gen import (
    KL,
    MLP,
    Empirical,
    EncoderCoupling,
    Euclidean,
    GaussianEncoder,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    certify,
    data,
    fit,
    standard_gaussian,
)

WIDTHS = {"toy": 0.02, "digits": 0.05, "mnist": 0.1}


def coverage(trials: int) -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "evaluation"))
    from test_certificate import PROBLEMS

    print("\n| problem | W | μ given as | level | held | lower > W | upper < W | median width | CPU s each |")
    print("|" + " --- |" * 9)
    for kind in ("a sampler", "2,000 rows"):
        for name, (mu, nu, cost, value) in PROBLEMS.items():
            held, above, below, widths, began = 0, 0, 0, [], time.process_time()
            for seed in range(trials):
                torch.manual_seed(10_000 + seed)
                given = mu if kind == "a sampler" else mu.sample(2000)
                found = certify(given, nu, cost, seed=seed, width=0.05, max_samples=2**12)
                low, high = found.interval
                held, above, below = held + (low <= value <= high), above + (low > value), below + (high < value)
                widths.append(found.width)
            each = (time.process_time() - began) / trials
            print(f"| {name} | {value:.5f} | {kind} | 0.95 | {held} of {trials} | {above} | {below} ", end="")
            print(f"| {sorted(widths)[trials // 2]:.3f} | {each:.2f} |", flush=True)


def atoms_of(name: str) -> Empirical:
    if name == "toy":
        torch.manual_seed(0)
        return Empirical(data.two_moons().sample(1000))
    return Empirical((data.digits() if name == "digits" else data.mnist()).train.atoms)


def gaussian(nu: Empirical) -> Pushforward:
    cov = torch.cov(nu.atoms.double().T) + 1e-6 * torch.eye(nu.dim, dtype=torch.float64)
    factor = torch.linalg.cholesky(cov).float()
    linear = nn.Linear(nu.dim, nu.dim)  # one product, where `MultivariateNormal` samples row by row
    with torch.no_grad():
        linear.weight.copy_(factor)
        linear.bias.copy_(nu.atoms.mean(dim=0))
    return Pushforward(linear, standard_gaussian(nu.dim))


def vae(nu: Empirical) -> Pushforward:
    torch.manual_seed(0)
    k, hidden = min(8, nu.dim), (256, 256)
    mu = Pushforward(MLP(k, nu.dim, hidden=hidden, output=nn.Sigmoid() if nu.dim > 2 else None), standard_gaussian(k))
    variance = float((nu.atoms - nu.atoms.mean(dim=0)).square().sum(dim=1).mean())
    coupling = EncoderCoupling(GaussianEncoder(MLP(nu.dim, 2 * k, hidden=hidden)), KL(), weight=0.007 * variance)
    fit(mu, nu, PrimalSolver(SquaredEuclidean(), coupling), steps=2000, batch_size=128)
    return mu


def widths(names: list[str]) -> None:
    print("\n| ν | m, d | μ | cost | interval | lower ± se | upper ± se | width | asked | samples | CPU s | wall s |")
    print("|" + " --- |" * 12)
    for name in names:
        nu = atoms_of(name)
        for kind, make in (("Gaussian", gaussian), ("VAE", vae)):
            mu = make(nu)
            for cost in (Euclidean(), SquaredEuclidean()):
                wall, cpu = time.perf_counter(), time.process_time()
                found = certify(mu, nu, cost, width=WIDTHS[name])
                seconds = f"{time.process_time() - cpu:.0f} | {time.perf_counter() - wall:.0f}"
                low, high = found.interval
                print(f"| {name} | {len(nu)}, {nu.dim} | {kind} | {cost} | [{low:.4f}, {high:.4f}] ", end="")
                print(f"| {found.lower:.4f} ± {found.lower_se:.4f} | {found.upper:.4f} ± {found.upper_se:.4f} ", end="")
                print(
                    f"| {100 * found.width:.2f} % | {100 * WIDTHS[name]:g} % | {found.samples} | {seconds} |",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--widths", nargs="*", choices=list(WIDTHS))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    everything = not options.coverage and options.widths is None
    if options.coverage or everything:
        coverage(options.trials)
    if options.widths is not None or everything:
        widths(options.widths or list(WIDTHS))
