"""Sample quality of the primal entries of conf/ on digits, every metric with its floor and its ceiling.

    python benchmarks/primal_quality.py [--entries vae wae_mmd] [--seeds 0 1 2] [--output quality.csv]
    python benchmarks/primal_quality.py --pythae pythae/bin/python     # adds Pythae's rows, see primal_pythae.py
    python benchmarks/primal_quality.py --entries vae --overrides cost=bernoulli trainer.schedule=null

Protocol: each entry with the defaults of conf/, on conf's data=mnist with generator=mlp_image and reference.dim=8 (an
MLP 8-200-400-784 with a sigmoid, and its mirror as encoder), but trained on the 6,000 digits that `digit_judge` sets
apart for it in place of the entry's own 8,000; 2,400 steps of batch 100, 240,000 images; Adam 1e-3, and conf's linear
decay of it for our entries (Pythae's schedule is its default, none). 2,000 generated digits, the decoder's means, are
judged.

    FD P R C TV W2   see `digit_judge.py`
    recon            ‖g(E q(·|y)) − y‖² on the digits 8,000-9,999, where there is an encoder
    var              mean over coordinates of Var z over the codes z ~ q(·|y) of the training digits, and
    square           E‖z‖²/k of them; both are 1 for codes that match the standard Gaussian, and less where they shrink
    img/CPU s        training images per CPU second, of `fit` alone

"+ ex-post": the same model sampled from a Gaussian mixture (50 components, full covariances) fitted to the codes of the
training digits. A row is the mean over the seeds; the line below it is their range, min-max.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from digit_judge import COLUMNS, TRAIN, A, ceiling, digits, floor, judge
from torch import Tensor

from ot_gen import Empirical, Pushforward, Solver, evaluation, ex_post_prior, fit
from ot_gen.cli import conf_dir, parts
from ot_gen.data import Dataset

STEPS, BATCH, SAMPLES, COMPONENTS = 2400, 100, 2000, 50
PROTOCOL = ("data=mnist", "generator=mlp_image", "generator.hidden=[200,400]", "reference.dim=8")
EXTRAS = ("recon", "var", "square", "img/CPU s")
PEERS = {
    "Pythae VAE, squares": "vae",
    "Pythae VAE, Bernoulli": "vae_bce",
    "Pythae WAE-MMD": "wae_mmd",
    "Pythae WAE-MMD, 100": "wae_mmd_100",
}
Row = tuple[str, dict[str, float]]


def entries() -> list[str]:
    """All entries of conf/solver/primal that take the protocol's generator: flows have one of their own."""
    names = sorted(file.stem for file in (conf_dir() / "solver" / "primal").glob("*.yaml"))
    return [entry for entry in names if not entry.startswith("flow_")]


def protocol_data() -> Dataset:
    """The judge's 6,000 training digits, with A held out."""
    images, labels = digits()
    return Dataset(Empirical(images[TRAIN]), Empirical(images[A]), (1, 28, 28), labels[TRAIN], labels[A])


def trained(
    entry: str, data: Dataset, seed: int, steps: int, overrides: Sequence[str] = ()
) -> tuple[Pushforward, Solver, float]:
    """(model, solver, CPU seconds of `fit`) of an entry under the protocol."""
    sizes = [f"trainer.steps={steps}", f"trainer.batch_size={BATCH}"]
    made = parts(*PROTOCOL, f"solver=primal/{entry}", *sizes, *overrides, data=data, seed=seed)
    began = time.process_time()
    fit(made.mu, data.train, made.solver, **made.trainer)
    return made.mu, made.solver, time.process_time() - began


def spread_of(codes: Tensor) -> dict[str, float]:
    """Var z and E‖z‖² of codes (n, k), averaged over the coordinates."""
    return {"var": codes.var(0).mean().item(), "square": codes.square().mean().item()}


def our_rows(entry: str, data: Dataset, seed: int, steps: int, overrides: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of one entry and seed: from its reference, and from the codes' mixture where it has an encoder."""
    mu, solver, seconds = trained(entry, data, seed, steps, overrides)
    encoder = getattr(solver.xi, "encoder", None)
    with evaluation.undisturbed(mu, solver):
        torch.manual_seed(seed)
        row = judge(mu(mu.base.sample(SAMPLES)))
        row["img/CPU s"] = steps * BATCH / seconds
        if encoder is None:
            yield entry, row
            return
        y = data.test.atoms
        row["recon"] = (mu(encoder(y).mean) - y).square().sum(1).mean().item()
        codes = encoder(data.train.atoms).sample()
        yield entry, row | spread_of(codes)
        prior = ex_post_prior(encoder, data.train, COMPONENTS, seed=seed)
        yield f"{entry} + ex-post", judge(mu(prior.sample(SAMPLES)))


def peer_rows(python: str, name: str, data: Dataset, seed: int, steps: int) -> Iterator[Row]:
    """The rows of one of Pythae's models, trained by its own pipeline in another interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        files = {part: Path(folder) / f"{part}.npy" for part in ("train", "held_out")}
        np.save(files["train"], data.train.atoms.numpy())
        np.save(files["held_out"], data.test.atoms.numpy())
        arguments = [PEERS[name], str(files["train"]), "--held-out", str(files["held_out"]), "--samples", folder]
        report = peer(python, [*arguments, "--images", str(steps * BATCH), "--seed", str(seed)])
        found = {part: np.load(Path(folder) / f"{part}.npy") for part in ("samples", "expost", "codes")}
    row = judge(found["samples"]) | spread_of(torch.from_numpy(found["codes"]))
    row |= {"recon": report["reconstruction"], "img/CPU s": report["images"] / report["cpu_seconds"]}
    yield name, row
    yield f"{name} + ex-post", judge(found["expost"])


def peer(python: str, arguments: Sequence[str]) -> dict:
    """The report of `primal_pythae.py`, run by `python`."""
    script = Path(__file__).with_name("primal_pythae.py")
    done = subprocess.run([python, str(script), *arguments], capture_output=True, text=True)  # Pythae draws bars
    if done.returncode:
        raise SystemExit(f"{done.stderr}{python} {script.name} failed; its docstring says how to make its environment")
    return json.loads(done.stdout.splitlines()[-1])


def table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Mean over the seeds, and below it the range where there are several."""
    found = {"floor: real vs real": [floor()], "ceiling: noise": [ceiling()], **found}
    width = max(map(len, found))
    lines = [" " * width + "".join(f"{name:>15s}" for name in (*COLUMNS, *EXTRAS))]
    for name, rows in found.items():
        columns = [[row[c] for row in rows if c in row] for c in (*COLUMNS, *EXTRAS)]
        means = [shown(statistics.fmean(values)) if values else "" for values in columns]
        lines.append(f"{name:{width}s}" + "".join(f"{cell:>15s}" for cell in means))
        if len(rows) > 1:
            ranges = [f"{shown(min(values))}-{shown(max(values))}" if values else "" for values in columns]
            lines.append(" " * width + "".join(f"{cell:>15s}" for cell in ranges))
    return "\n".join(lines)


def shown(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if abs(value) >= 1e-3 else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", nargs="*", default=entries(), help="of conf/solver/primal")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--overrides", nargs="*", default=[], help="of conf/, for each entry")
    parser.add_argument("--pythae", metavar="PYTHON", help="the interpreter of Pythae's environment")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="which of Pythae's models")
    parser.add_argument("--output", type=Path, help="a CSV file, one line a row and seed")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data = protocol_data()
    print(f"torch {torch.__version__}, {arguments.threads} thread(s), {arguments.steps} steps of batch {BATCH}")
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    lines = [{"row": "floor", **floor()}, {"row": "ceiling", **ceiling()}]
    for seed in arguments.seeds:
        runs = [our_rows(entry, data, seed, arguments.steps, arguments.overrides) for entry in arguments.entries]
        if arguments.pythae:
            runs += [peer_rows(arguments.pythae, name, data, seed, arguments.steps) for name in arguments.peers]
        for run in runs:
            for name, row in run:
                found[name].append(row)
                lines.append({"row": name, "seed": seed, **row})
                print(f"seed {seed} {name}: " + ", ".join(f"{c} {shown(v)}" for c, v in row.items()), file=sys.stderr)
            if arguments.output is not None:  # after each run: the whole takes long
                write(arguments.output, lines)
    print(table(found))


def write(file: Path, lines: Sequence[Mapping[str, object]]) -> None:
    """The rows as CSV."""
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ("row", "seed", *COLUMNS, *EXTRAS))
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
