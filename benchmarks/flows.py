"""Flows beside torchcfm: the same velocity network, steps, batches and optimizer, independent and exact couplings.

    pip install --no-deps torchcfm==1.0.7     # of its own requirements it takes torch, NumPy and POT for this
    python benchmarks/flows.py [--toy eight_gaussians] [--steps 4000] [--seeds 3] [--repeats 5]

First the speed: pairs trained a CPU second, in turns, one thread, the ratio of medians. torchcfm has no loop; its side
is the loop of its own examples, once with their optimizer, torch's Adam, and once with the fused Adam that `fit` takes.
Then the quality after all steps: exact W₂² to 1,000 held-out points at 1, 2, 8 and 100 Euler steps, the mean over DRAWS
of both, and the normalised path energy against the certified W₂²(ζ, ν).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.optim import Adam

from ot_gen import (
    DenseVelocity,
    FlowMap,
    IndependentPairing,
    Pairing,
    PlanPairing,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    VelocityRegression,
    adam,
    data,
    exact_plan,
    fit,
    linear_decay,
    semidiscrete,
    standard_gaussian,
    wasserstein,
)

BATCH, WIDTH, LR = 256, 64, 2e-3
N, DRAWS = 1000, 6
EULER = (1, 2, 8, 100)
PAIRINGS: dict[str, Callable[[], Pairing]] = {
    "independent": IndependentPairing,
    "exact": lambda: PlanPairing(exact_plan, BATCH),
}


def ours(coupling: str, steps: int) -> DenseVelocity:
    """Trained by `fit`."""
    mu = Pushforward(FlowMap(velocity := DenseVelocity(2, WIDTH)), standard_gaussian(2))
    solver = PrimalSolver(SquaredEuclidean(), VelocityRegression(PAIRINGS[coupling]()))
    fit(mu, NU, solver, steps=steps, batch_size=BATCH, optimizer=partial(adam, lr=LR), schedule=linear_decay)
    return velocity


def theirs(coupling: str, steps: int, optimizer: Callable[..., Adam] = Adam) -> DenseVelocity:
    """Trained by the loop of torchcfm's examples."""
    from torchcfm import ConditionalFlowMatcher, ExactOptimalTransportConditionalFlowMatcher

    matcher = (ConditionalFlowMatcher if coupling == "independent" else ExactOptimalTransportConditionalFlowMatcher)(
        sigma=0.0
    )
    velocity = DenseVelocity(2, WIDTH)
    stepper = optimizer(velocity.parameters(), lr=LR)
    schedule = torch.optim.lr_scheduler.LambdaLR(stepper, lambda step: linear_decay(step / steps))
    for _ in range(steps):
        stepper.zero_grad()
        x0, x1 = torch.randn(BATCH, 2), NU.atoms[torch.randint(len(NU), (BATCH,))]
        t, xt, ut = matcher.sample_location_and_conditional_flow(x0, x1)
        loss = torch.mean((velocity(t, xt) - ut) ** 2)
        loss.backward()
        stepper.step()
        schedule.step()
    return velocity


SIDES: dict[str, Callable[[str, int], DenseVelocity]] = {
    "ot_gen": ours,
    "torchcfm": theirs,
    "torchcfm, fused Adam": partial(theirs, optimizer=adam),
}


def speed(coupling: str, steps: int, repeats: int) -> None:
    """Pairs a CPU second of all sides, in turns."""
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for repeat in range(repeats + 1):
        for side, train in SIDES.items():
            torch.manual_seed(repeat)
            began = time.process_time()
            train(coupling, steps)
            rates[side].append(steps * BATCH / (time.process_time() - began))
    medians = {side: statistics.median(values[1:]) for side, values in rates.items()}
    for side, values in rates.items():
        spread = f"{medians[side]:9.0f} ({min(values[1:]):.0f} to {max(values[1:]):.0f})"
        print(f"{coupling:12s} {side:22s} {spread:>28s} pairs/s   ot_gen / it {medians['ot_gen'] / medians[side]:.2f}")


def euler(velocity: DenseVelocity, steps: int, z: Tensor) -> tuple[Tensor, float]:
    """The samples of both sides alike, and the path energy."""
    flow = FlowMap(velocity, steps=steps, method="euler")
    with torch.no_grad():
        return flow(z), float(flow.path_energy(z).mean())


def quality(coupling: str, steps: int, seeds: int) -> Iterator[str]:
    """W₂² and path energy of both, means over seeds."""
    for side in ("ot_gen", "torchcfm"):
        rows = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            velocity = SIDES[side](coupling, steps)
            rows.append([distance(lambda n, k=k, v=velocity: euler(v, k, torch.randn(n, 2))[0]) for k in EULER])
            torch.manual_seed(0)
            energy = euler(velocity, EULER[-1], torch.randn(20_000, 2))[1]
            rows[-1].append(abs(energy - W2) / W2)
        cells = [f"{statistics.fmean(column):.3f} ± {spread(column):.3f}" for column in zip(*rows, strict=True)]
        yield f"{coupling:12s} {side:10s} W2^2 at {EULER}: {', '.join(cells[:-1])}; normalised path energy {cells[-1]}"


def distance(points: Callable[[int], Tensor]) -> float:
    """W₂² to held-out points, the mean over draws."""
    values = []
    for draw in range(DRAWS):
        torch.manual_seed(100 + draw)
        values.append(wasserstein(points(N), TOY.test.sample(N)))
    return statistics.fmean(values)


def spread(values: tuple[float, ...]) -> float:
    """The standard deviation, 0 of one value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, {ARGUMENTS.toy}, batch {BATCH}, velocity 3 x {WIDTH}")
    for coupling in PAIRINGS:
        speed(coupling, max(20, ARGUMENTS.steps // 20), ARGUMENTS.repeats)
    print(f"floor {distance(TOY.train.sample):.3f}, W2^2 of the reference and the data {W2:.3f}")
    for coupling in PAIRINGS:
        for line in quality(coupling, ARGUMENTS.steps, ARGUMENTS.seeds):
            print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", default="eight_gaussians")
    for option, value in (("steps", 4000), ("seeds", 3), ("repeats", 5)):
        parser.add_argument(f"--{option}", type=int, default=value)
    ARGUMENTS = parser.parse_args()
    TOY = data.toy(getattr(data, ARGUMENTS.toy)())
    NU = TOY.train
    torch.manual_seed(0)
    W2 = semidiscrete(standard_gaussian(2), NU, SquaredEuclidean(), tol=0.05).lower
    main()
