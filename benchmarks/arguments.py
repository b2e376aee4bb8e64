"""What the checks of arguments cost: calls with the door and without it, in turns, each in a process of its own.

    python benchmarks/arguments.py --rounds 7

Without means that every `checked` function is replaced by the one within. The ratio is that of the medians over the
rounds; its spread is over pairs of neighbouring rounds. About two minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from types import FunctionType

import torch

N = 128


def unguarded() -> None:
    """Replace every checked function of the package by the one that its door guards."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "ot_gen"]
    owners = {id(thing): thing for module in modules for thing in vars(module).values() if isinstance(thing, type)}
    for owner in (*modules, *owners.values()):
        for name, member in list(vars(owner).items()):
            wrapper = type(member) if isinstance(member, staticmethod | classmethod) else None
            function = member.__func__ if wrapper else member
            if isinstance(function, FunctionType) and function.__code__.co_name == "door":
                inner = function.__wrapped__
                setattr(owner, name, wrapper(inner) if wrapper else inner)


def seconds(guarded: bool) -> dict[str, float]:
    """Seconds of each call, the least of many."""
    torch.set_num_threads(1)
    import ot_gen as og

    if not guarded:
        unguarded()
    torch.manual_seed(0)
    x, y, h_tilde, cost = torch.randn(N, 2), torch.randn(N, 2), torch.zeros(N), og.SquaredEuclidean()
    C = cost.matrix(x, y)

    def fit() -> None:
        mu = og.Pushforward(og.MLP(2, 2, (64, 64)), og.standard_gaussian(2))
        critic = og.Critic(og.MLP(2, 1, (64, 64)), og.GradientPenalty())
        og.fit(mu, og.Empirical(y), og.DualSolver(og.Euclidean(), critic, inner_steps=2), steps=20, batch_size=N)

    def fit_plan() -> None:
        mu = og.Pushforward(og.MLP(2, 2, (64, 64)), og.standard_gaussian(2))
        og.fit(mu, og.Empirical(y), og.PrimalSolver(cost, og.PlanCoupling(og.exact_plan)), steps=20, batch_size=N)

    calls = {
        "c_transform": (lambda: og.c_transform(cost, x, y, h_tilde), 300),
        "exact_plan": (lambda: og.exact_plan(C), 100),
        "fit, WGAN-GP": (fit, 8),
        "fit, exact_plan": (fit_plan, 8),
    }
    least = {}
    for name, (call, count) in calls.items():
        times = []
        for _ in range(count):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        least[name] = min(times)
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--measure", choices=("with", "without"))
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(seconds(options.measure == "with")))
        return
    rounds = {"with": [], "without": []}
    for _ in range(options.rounds):
        for kind, done in rounds.items():
            out = subprocess.run(
                [sys.executable, __file__, "--measure", kind], capture_output=True, text=True, check=True
            )
            done.append(json.loads(out.stdout))
    print("| call, n = 128 | with | without | ratio of medians | over rounds |\n|---|---|---|---|---|")
    for name in rounds["with"][0]:
        a, b = ([done[name] for done in rounds[kind]] for kind in ("with", "without"))
        ratios = sorted(p / q for p, q in zip(a, b, strict=True))
        ratio = statistics.median(a) / statistics.median(b)
        print(
            f"| {name} | {statistics.median(a) * 1e3:.3f} ms | {statistics.median(b) * 1e3:.3f} ms | {ratio:.3f} | "
            f"{ratios[0]:.3f} to {ratios[-1]:.3f} |"
        )


if __name__ == "__main__":
    main()
