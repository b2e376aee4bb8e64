"""CPU seconds of `ot_gen.semidiscrete` to a stated marginal error, against OTT-JAX and POT at their best.

    pip install ott-jax==0.6.0   # the peer that ot_gen does not bring itself
    python benchmarks/semidiscrete.py [--problem 2 moons 3 8 64 digits] [--repeats 3] [--quick] [--no-peers]
    python benchmarks/semidiscrete.py --device cuda   # ot_gen alone, wall time: the peers' clock is the CPU's
    python benchmarks/semidiscrete.py --mnist | --reference

One process, one thread each side, CPU time (on one thread that of an idle core, deaf to other processes), medians with
minimum and maximum over seeds, each of which draws other atoms. μ = N(0, I), squared cost, uniform weights on

    clusters   20 centres N(0, I), a random one for each atom, plus 0.2 N(0, I);
    moons      two half circles in the plane (`ot_gen.data.two_moons`);
    digits     the 1,797 of scikit-learn, centred, scaled by one number so that the mean of ‖y‖² is d = 64.

The error of a table is ‖P − b‖₁ over cells counted on N = 2^18 (2^17 in d = 64) held-out independent samples, common to
all contenders; with p̂ the counts, error² = ‖p̂ − b‖₁² − noise², noise = Σ_j sqrt(2 p̂_j (1 − p̂_j) / (π N)), as for normal
errors under normal noise. Ours is the time of the whole call, with its own tests on its own held-out samples; there is
nothing to tune. A peer has no such test: its time is that of its steps alone until the error, looked at whenever its
time has grown by a tenth, reaches the target. It runs with each of the settings of its grid on one seed, and
with the best of them on all; compiling is not counted. "limit" is sqrt(2 n / (π N)), the error of a table that is
solved exactly on N independent samples, N those that our steps used in a fixed budget.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import math
import os
import platform
import statistics

# Set before the libraries below are imported, which read them once.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from typing import NamedTuple  # noqa: E402

import device  # noqa: E402
import torch  # noqa: E402
from semidiscrete_checks import mnist, reference  # noqa: E402
from semidiscrete_peers import Ott, Pot, Stopped, Watch  # noqa: E402
from torch import Tensor  # noqa: E402

from ot_gen import Empirical, SquaredEuclidean, semidiscrete, standard_gaussian  # noqa: E402
from ot_gen.data import two_moons  # noqa: E402

COST = SquaredEuclidean()


class Case(NamedTuple):
    """A problem, the errors to reach (peers race to the first), its budgets in CPU seconds, and the peers' grids.

    POT's first softness is its default 0.1, or a share of the standard deviation of the costs.
    """

    name: str
    dim: int
    atoms: int
    targets: tuple[float, ...]
    budget: float
    cap: float
    sgd: tuple[float, ...]
    adam: tuple[float, ...]
    pot: tuple[float, ...]
    softness: tuple[float | None, ...] = (0.16,)
    most: int = 2**22

    @property
    def held_out(self) -> int:
        return 2**17 if self.dim == 64 else 2**18

    def draw(self, seed: int) -> Tensor:
        if self.name == "digits":
            from sklearn.datasets import load_digits

            y = torch.from_numpy(load_digits().data).float().to(device.WHERE)
            y = y - y.mean(dim=0)
            return y * (y.square().sum(dim=1).mean() / y.shape[1]).rsqrt()
        if self.name == "moons":
            torch.manual_seed(seed)
            return two_moons().sample(self.atoms).to(device.WHERE)
        generator = torch.Generator("cpu").manual_seed(seed)
        centres = torch.randn(20, self.dim, generator=generator, device="cpu")
        of = torch.randint(20, (self.atoms,), generator=generator, device="cpu")
        y = centres[of] + 0.2 * torch.randn(self.atoms, self.dim, generator=generator, device="cpu")
        return y.to(device.WHERE)

    def settings(self, spread: float) -> tuple[list[Ott], list[Pot]]:
        ott = [Ott("sgd", rate, 256) for rate in self.sgd] + [Ott("adam", rate, 256) for rate in self.adam]
        softness = [0.1 if share is None else share * spread for share in self.softness]
        return ott, [Pot(rate, 256, epsilon) for epsilon in softness for rate in self.pot]


CASES = {
    "2": Case("2", 2, 1000, (0.1, 0.02), 3, 20, (15, 30, 60), (0.07, 0.1, 0.15), (0.1, 0.3), (None, 0.16)),
    "moons": Case("moons", 2, 2000, (0.05, 0.01), 3, 20, (15, 30, 60), (0.07, 0.1, 0.15), (0.1, 0.3), (None, 0.16)),
    "3": Case("3", 3, 5000, (0.05, 0.02), 6, 40, (30, 60, 120), (0.1, 0.2), (0.3, 1), (None, 0.16)),
    "8": Case("8", 8, 1000, (0.1, 0.02), 3, 20, (300, 600, 1200, 2400), (0.3, 0.6), (1.5, 3, 6), (None, 0.16)),
    "64": Case("64", 64, 5000, (0.2,), 15, 60, (3000, 6000, 12000), (1, 2, 4), (5, 10, 20)),
    "digits": Case("digits", 64, 1797, (0.1,), 5, 20, (1000, 2000, 4000), (1, 2, 4), (5, 10, 20)),
}
QUICK = Case("quick", 2, 100, (0.2,), 0.2, 1, (10,), (0.1,), (0.3,), most=2**18)


class Held:
    """The marginal error of tables, on held-out samples."""

    def __init__(self, y: Tensor, n: int) -> None:
        self.y, self.squares, self.n = y, y.square().sum(dim=1), n
        self.points = device.draw(n, y.shape[1], seed=2**20)

    def error(self, table: Tensor, samples: int | None = None) -> float:
        if not bool(torch.isfinite(table).all()):
            return 2.0
        points = self.points[:samples]
        counts = torch.zeros(len(self.y), dtype=torch.float64, device=self.y.device)
        for x in points.split(256):
            cell = torch.addmm(self.squares - table, x, self.y.T, alpha=-2).min(dim=1).indices
            counts += torch.bincount(cell, minlength=len(self.y))
        p = counts / len(points)
        observed = float((p - 1 / len(p)).abs().sum())
        noise = float((2 * p * (1 - p) / (math.pi * len(points))).sqrt().sum())
        return math.sqrt(max(0.0, observed**2 - noise**2))


def ours(y, held, seed, target):
    """CPU seconds of the call, whether it certified the target, and the held-out error."""
    torch.manual_seed(seed)
    began = device.now()
    solution = semidiscrete(standard_gaussian(y.shape[1]), Empirical(y), COST, tol=target)
    return device.now() - began, solution.converged, held.error(solution.h_tilde)


def fixed_budget(y, held, seed, budget, most):
    """The error after `budget` CPU seconds of steps alone, and the limit for as many samples."""
    began = device.now()

    def stop(progress):
        if device.now() - began >= budget:
            raise KeyboardInterrupt

    torch.manual_seed(seed)
    law = standard_gaussian(y.shape[1])
    # At such a tol no test is due before the budget ends.
    solution = semidiscrete(law, Empirical(y), COST, tol=1e-3, max_samples=most, callbacks=[stop])
    return held.error(solution.h_tilde), math.sqrt(2 * len(y) / (math.pi * solution.samples)), solution.samples


def race(peer, y, held, seed, target, cap, samples=None):
    """CPU seconds of the peer to the target, inf if it did not arrive within the cap, and its last error."""
    watch = Watch(lambda table: held.error(table, samples), target, cap, first=cap / 100)
    with contextlib.suppress(Stopped):
        peer.run(y, seed, watch)
    return watch.arrival, watch.seen[-1][1]


def tuned(peers, y, held, target, cap):
    """The peer that arrives first, each stopped where a faster one had arrived, else the one with the least error."""
    best, place = peers[0], (math.inf, math.inf)
    for peer in peers:
        found = race(peer, y, held, 0, target, min(cap, 1.1 * place[0]), samples=2**16)
        if found < place:
            best, place = peer, found
    return best


def shown(values, cap=math.inf):
    low, middle, high = (
        f"{v:.3g}" if v < math.inf else f"> {cap:g}" for v in (min(values), statistics.median(values), max(values))
    )
    return f"{middle} ({low}–{high})"


def compare(case, repeats, peers):
    draws = [case.draw(seed) for seed in range(repeats)]
    helds = [Held(y, case.held_out) for y in draws]
    row = f"{case.name} ({len(draws[0])} atoms)"
    print(
        f"\n### {row}\n\n| contender | target | CPU s | certified | held-out error | times ours |\n"
        + "|"
        + " --- |" * 6
    )
    base = 0.0
    for target in case.targets:
        found = [ours(y, held, seed, target) for seed, (y, held) in enumerate(zip(draws, helds, strict=True))]
        seconds, certified, errors = zip(*found, strict=True)
        base = base or statistics.median(seconds)
        line = f"| **ot_gen** | {target} | {shown(seconds)} | {sum(certified)} of {repeats} | {shown(errors)} | |"
        print(line, flush=True)
    found = [
        fixed_budget(y, held, seed, case.budget, case.most)
        for seed, (y, held) in enumerate(zip(draws, helds, strict=True))
    ]
    errors, limits, samples = zip(*found, strict=True)
    ratio = shown([error / limit for error, limit in zip(errors, limits, strict=True)])
    print(
        f"| ot_gen, {case.budget:g} s of steps | | | | {shown(errors)} = {ratio} x limit, N = {shown(samples)} | |",
        flush=True,
    )
    if not peers:
        return
    cap, target = max(6 * base, case.cap), case.targets[0]
    spread = float(COST.matrix(helds[0].points[:1000], draws[0]).std())
    ott, pot = case.settings(spread)
    for name, peer in (
        ("OTT-JAX tuned", tuned(ott, draws[0], helds[0], target, cap)),
        ("POT tuned", tuned(pot, draws[0], helds[0], target, cap)),
        ("POT default", Pot(1, 32, 0.1)),
    ):
        found = [race(peer, y, h, seed, target, cap) for seed, (y, h) in enumerate(zip(draws, helds, strict=True))]
        seconds, errors = zip(*found, strict=True)
        middle = statistics.median(seconds)
        times = f"{middle / base:.1f}" if middle < math.inf else f"> {cap / base:.1f}"
        print(f"| {name}: {peer} | {target} | {shown(seconds, cap)} | | {shown(errors)} | {times} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    device.with_device(parser)
    parser.add_argument("--problem", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a small problem, to see that it runs")
    parser.add_argument("--no-peers", action="store_true", help="ot_gen alone")
    parser.add_argument("--mnist", action="store_true", help="a trained generator against 8,000 MNIST digits")
    parser.add_argument("--reference", action="store_true", help="small problems whose answer is known")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device.use(arguments.device)
    alone = arguments.no_peers or arguments.device.type != "cpu"
    packages = ("torch", "numpy") if alone else ("torch", "ott-jax", "jax", "POT", "numpy")
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    machine = platform.processor() or platform.machine()
    print(f"{versions}; {machine}; one thread, {device.clock()}, float32, {arguments.repeats} seeds")
    if arguments.mnist or arguments.reference:
        if arguments.reference:
            reference(arguments.repeats)
        if arguments.mnist:
            mnist(arguments.repeats)
        return
    ours(QUICK.draw(0), Held(QUICK.draw(0), 2**10), 0, 0.2)  # nothing starts cold
    for case in [QUICK] if arguments.quick else [CASES[name] for name in arguments.problem]:
        compare(case, arguments.repeats, not alone)


if __name__ == "__main__":
    main()
