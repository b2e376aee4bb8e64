"""Training speed of primal entries, images per CPU second, against bare torch loops and against Pythae.

    python benchmarks/primal_speed.py [--repeats 5] [--steps 600] [--peer pythae/bin/python]
    python benchmarks/primal_speed.py --overrides ++trainer.optimizer.fused=true

`--peer` is the interpreter of an environment with Pythae 0.1.2, made as `primal_pythae.py` says; without it only the
bare loops are run. All sides have the MLP 784-400-200-8 and its mirror, batch 100, Adam 1e-3, one thread, the 6,000
digits of `primal_quality.py` and equally many images; they run in turns, after a warm-up, and the medians count. `fit`
writes its rows, checks each loss for NaN and lets the rates decay; the bare loop does none of these and has the
optimizer of conf/; Pythae's pipeline has torch's default Adam, draws its bar and copies the best model of each epoch.

    VAE, squares     ‖x − y‖² + λ KL; the entry vae
    VAE, Bernoulli   Σ binary cross-entropies + KL; the entry vae with cost=bernoulli
    WAE-MMD          ‖x − y‖² + λ MMD² with the inverse multiquadric kernel of seven scales; the entry wae_mmd
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from primal_quality import BATCH, PROTOCOL, peer, protocol_data, trained
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy
from training_overhead import LATENT, features, generator

from ot_gen.cli import parts
from ot_gen.data import Dataset
from ot_gen.execution import OptimizerFactory

WARM_UP = 60  # steps
SCALES = [2.0 * LATENT * s for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
Loss = Callable[[Tensor, Tensor], Tensor]  # images x and data y, (n, 784)


def squares(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square().sum(1).mean()


def cross_entropies(x: Tensor, y: Tensor) -> Tensor:
    return binary_cross_entropy(x, y, reduction="none").sum(1).mean()


def bare_vae(digits: Tensor, steps: int, adam: OptimizerFactory, reconstruction: Loss, weight: float) -> None:
    decoder, encoder = generator(), features(2 * LATENT)
    optimizer = adam([*decoder.parameters(), *encoder.parameters()])
    prior = Independent(Normal(torch.zeros(LATENT), torch.ones(LATENT), validate_args=False), 1, validate_args=False)
    for _ in range(steps):
        y = digits[torch.randint(len(digits), (BATCH,))]
        mean, log_std = encoder(y).chunk(2, dim=1)
        q = Independent(Normal(mean, log_std.clamp(-10, 5).exp(), validate_args=False), 1, validate_args=False)
        loss = reconstruction(decoder(q.rsample()), y) + weight * kl_divergence(q, prior).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def kernel(x: Tensor, y: Tensor) -> Tensor:
    squared = x.square().sum(1, keepdim=True) + y.square().sum(1) - 2 * x @ y.T
    return sum(c / (c + squared) for c in SCALES) / len(SCALES)


def bare_wae(digits: Tensor, steps: int, adam: OptimizerFactory, reconstruction: Loss, weight: float) -> None:
    decoder, encoder = generator(), features(LATENT)
    optimizer = adam([*decoder.parameters(), *encoder.parameters()])
    for _ in range(steps):
        y = digits[torch.randint(len(digits), (BATCH,))]
        z, prior = encoder(y), torch.randn(BATCH, LATENT)
        k_z, k_prior = kernel(z, z), kernel(prior, prior)
        within = k_z.sum() - k_z.trace() + k_prior.sum() - k_prior.trace()
        mmd = within / (BATCH * (BATCH - 1)) - 2 * kernel(z, prior).mean()
        loss = reconstruction(decoder(z), y) + weight * mmd
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


class Case(NamedTuple):
    entry: str
    overrides: tuple[str, ...]
    bare: Callable[[Tensor, int, OptimizerFactory], None]
    peer: str


CASES = {
    "VAE, squares": Case("vae", (), partial(bare_vae, reconstruction=squares, weight=0.5), "vae"),
    "VAE, Bernoulli": Case(
        "vae",
        ("cost=bernoulli", "solver.coupling.weight=1.0"),
        partial(bare_vae, reconstruction=cross_entropies, weight=1.0),
        "vae_bce",
    ),
    "WAE-MMD": Case("wae_mmd", (), partial(bare_wae, reconstruction=squares, weight=100.0), "wae_mmd_100"),
}


def bare_rate(case: Case, data: Dataset, steps: int) -> float:
    """Images per CPU second of the bare loop, with the optimizer of the entry."""
    adam = parts(*PROTOCOL, f"solver=primal/{case.entry}", *case.overrides, data=data).trainer["optimizer"]
    began = time.process_time()
    case.bare(data.train.atoms, steps, adam)
    return steps * BATCH / (time.process_time() - began)


def our_rate(case: Case, data: Dataset, steps: int, seed: int) -> float:
    """Images per CPU second of `fit`."""
    return steps * BATCH / trained(case.entry, data, seed, steps, case.overrides)[2]


def peer_rate(case: Case, python: str, data: Dataset, steps: int, seed: int) -> tuple[float, Mapping[str, str]]:
    """Images per CPU second of Pythae's pipeline, in its own process after a first epoch, and versions."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "digits.npy"
        np.save(file, data.train.atoms.numpy())
        sizes = ["--images", str(steps * BATCH), "--batch", str(BATCH), "--seed", str(seed)]
        report = peer(python, [case.peer, str(file), "--warm-up", *sizes])
    return report["images"] / report["cpu_seconds"], report["versions"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument(
        "--overrides", nargs="*", default=[], help="of conf/, for each entry, e.g. trainer.schedule=null"
    )
    parser.add_argument("--peer", metavar="PYTHON", help="the interpreter of Pythae's environment")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # and so does the peer
    data = protocol_data()
    print(f"torch {torch.__version__}, one thread, batch {BATCH}, {arguments.steps} steps, {arguments.repeats} repeats")
    print(f"{'images/CPU s':16s}{'fit':>22s}{'bare loop':>22s}{'Pythae':>22s}{'fit / bare':>13s}{'fit / Pythae':>14s}")
    for name in arguments.cases:
        case = CASES[name]
        case = case._replace(overrides=(*case.overrides, *arguments.overrides))
        bare_rate(case, data, WARM_UP)
        our_rate(case, data, WARM_UP, 0)
        rates: dict[str, list[float]] = {"fit": [], "bare loop": [], "Pythae": []}
        versions: Mapping[str, str] = {}
        for repeat in range(arguments.repeats):
            torch.manual_seed(repeat)
            rates["bare loop"].append(bare_rate(case, data, arguments.steps))
            rates["fit"].append(our_rate(case, data, arguments.steps, repeat))
            if arguments.peer:
                rate, versions = peer_rate(case, arguments.peer, data, arguments.steps, repeat)
                rates["Pythae"].append(rate)
        median = {side: statistics.median(found) for side, found in rates.items() if found}
        cells = [f"{median[s]:.0f} ({min(rates[s]):.0f}-{max(rates[s]):.0f})" if s in median else "" for s in rates]
        ratios = [f"{median['fit'] / median[s]:.3f}" if s in median else "" for s in ("bare loop", "Pythae")]
        peers = "  " + ", ".join(f"{package} {number}" for package, number in versions.items()) if versions else ""
        print(
            f"{name:16s}" + "".join(f"{c:>22s}" for c in cells) + f"{ratios[0]:>13s}{ratios[1]:>14s}{peers}", flush=True
        )


if __name__ == "__main__":
    main()
