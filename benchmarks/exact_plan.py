"""Milliseconds of `ot_gen.transport.assignment` against POT's network simplex, scipy and lapx, cost matrix included.

    pip install lapx   # the peer that ot_gen does not bring itself; left out where it is missing
    python benchmarks/exact_plan.py [--quick] [--repeats 5]

The two laws are equal in some rows and differ in the others. Equal laws are the easy case: near pairs hold the plan.
One process, one thread, CPU time (on one thread that of an idle core, deaf to other processes), contenders in turns on
the same points, fresh ones in each repeat; medians with minimum and maximum, after a first round that is not counted.
Every contender starts from the same float32 points and returns an assignment that is optimal; the excess is that of
ours over POT's simplex on the same costs in float64, relative, the largest of all repeats. The ratio is that of the
medians, against the best peer of the row. lapx is the faster of its `lapjv` and `lapjvc`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import statistics
import time
import warnings

# Set before the libraries below are imported, which read them once.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402
import ot  # noqa: E402
import torch  # noqa: E402
from scipy.optimize import linear_sum_assignment  # noqa: E402

from ot_gen import Euclidean, SquaredEuclidean, data  # noqa: E402
from ot_gen.transport import assignment  # noqa: E402

try:
    import lap
except ImportError:
    lap = None

SQUARED, DISTANCE = SquaredEuclidean(), Euclidean()
LARGE = 2048  # from here on two repeats, and beyond it POT is the only peer: others take minutes


def gaussian(n, d, generator):
    return torch.randn(n, d, generator=generator), torch.randn(n, d, generator=generator)


def codes(n, d, generator):
    """Codes that the encoder has not yet matched with the prior: shrunk, shifted and skewed."""
    x, y = gaussian(n, d, generator)
    return 0.6 * x + 0.3 * x.square() - 0.2, y


def moved(n, d, generator):
    """Another Gaussian: half as wide, its mean at distance 2."""
    x, y = gaussian(n, d, generator)
    return x, 0.5 * y + 2 / d**0.5


def clusters(n, d, generator):
    centres = 3 * torch.randn(10, d, generator=generator)
    return tuple(
        centres[torch.randint(10, (n,), generator=generator)] + 0.5 * torch.randn(n, d, generator=generator)
        for _ in range(2)
    )


def onto_clusters(n, d, generator):
    """A Gaussian against eight narrow clusters of unequal weight."""
    x, y = gaussian(n, d, generator)
    centres, weights = 3 * torch.randn(8, d, generator=generator), torch.rand(8, generator=generator)
    return x, centres[torch.multinomial(weights, n, replacement=True, generator=generator)] + 0.2 * y


def onto_moons(n, d, generator):
    x, _ = gaussian(n, d, generator)
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        return x, data.two_moons().sample(n)


SIZES = (128, 256, 512, 1024, 2048, 4096)
LAWS = [(gaussian, 2), (moved, 2), (onto_clusters, 2), (onto_moons, 2), (codes, 8), (clusters, 8), (moved, 8)]
LAWS += [(gaussian, 64), (moved, 64), (onto_clusters, 64), (gaussian, 784), (moved, 784)]
CASES = [(law, d, n, SQUARED) for law, d in LAWS for n in SIZES]
CASES += [(law, d, n, DISTANCE) for law, d in ((gaussian, 2), (moved, 2), (moved, 64)) for n in SIZES[:-1]]
QUICK = [
    (law, d, n, SQUARED) for law, d in ((gaussian, 2), (moved, 2), (onto_moons, 2), (moved, 64)) for n in (256, 1024)
]


def simplex(C):
    uniform = np.full(len(C), 1 / len(C))
    return ot.emd(uniform, uniform, C.double().numpy(), numItermax=100_000_000).argmax(axis=1)


def contenders(n):
    found = {
        "ot_gen": lambda C: assignment(C).numpy(),
        "POT": simplex,
    }
    if n > LARGE:
        return found
    found["scipy"] = lambda C: linear_sum_assignment(C.double().numpy())[1]
    if lap is not None:
        found["lapx lapjv"] = lambda C: lap.lapjv(C.double().numpy())
        found["lapx lapjvc"] = lambda C: lap.lapjvc(C.double().numpy())
    return found


def row(law, d, n, cost, repeats):
    solvers = contenders(n)
    times, excess = {name: [] for name in solvers}, 0.0
    for repeat in range(1 + (repeats if n < LARGE else min(repeats, 2))):
        x, y = law(n, d, torch.Generator().manual_seed(repeat))
        answers = {}
        for name, solve in solvers.items():
            began = time.process_time()
            answers[name] = solve(cost.matrix(x, y))
            if repeat:
                times[name].append(1e3 * (time.process_time() - began))
        C = cost.matrix(x, y).double().numpy()
        ours, best = (C[np.arange(n), answers[name]].sum() for name in ("ot_gen", "POT"))
        excess = max(excess, (ours - best) / best)
    medians = {name: statistics.median(values) for name, values in times.items()}
    lapx = min((name for name in times if name.startswith("lapx")), key=medians.get, default=None)
    peer = min((name for name in times if name != "ot_gen"), key=medians.get)
    cells = [f"{law.__name__.replace('_', ' ')} {n} x {d}" + (", distance" if cost is DISTANCE else "")]
    cells += [shown(times[name]) if name in times else "" for name in ("ot_gen", "POT", "scipy", lapx)]
    cells += [f"{medians['POT'] / medians['ot_gen']:.2f}", peer, f"{medians[peer] / medians['ot_gen']:.2f}"]
    print("| " + " | ".join([*cells, f"{excess:.1e}"]) + " |", flush=True)


def shown(times):
    return f"{statistics.median(times):.3g} ({min(times):.3g}–{max(times):.3g})"


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return getattr(lap, "__version__", "missing") if package == "lapx" else "missing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small problems, to see that it runs")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if lap is None:
        print("lapx is missing and left out: pip install lapx")
    print(", ".join(f"{p} {version(p)}" for p in ("torch", "POT", "scipy", "lapx", "numpy")), end="; ")
    print(f"{platform.processor() or platform.machine()}; one thread, {arguments.repeats} repeats; ", end="")
    print("ms of CPU time, cost matrix included, median (min–max)\n")
    print("| problem | ot_gen | POT emd | scipy | lapx | POT / ot_gen | best peer | peer / ot_gen | excess cost |")
    print("|" + " --- |" * 9)
    for law, d, n, cost in QUICK if arguments.quick else CASES:
        row(law, d, n, cost, arguments.repeats)


if __name__ == "__main__":
    main()
