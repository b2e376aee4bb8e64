"""`ot-gen sample`: draw from a finished run, into an array, a picture or a folder of images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from ot_gen.arguments import Count, Seed, checked
from ot_gen.cli.errors import failures, one_line, say, usage
from ot_gen.cli.finished import load_run
from ot_gen.cli.trust import TRUST_HELP
from ot_gen.execution import OneLineParser, is_out_of_memory
from ot_gen.measures import check_cloud
from ot_gen.networks.flow_map import Steps, evaluations
from ot_gen.runs.samples import FORMS, SampleFile


def sample(arguments: Sequence[str]) -> int:
    """Run `ot-gen sample` with these arguments; returns the exit code, 2 after one line on stderr for bad input."""
    try:
        given = _parser().parse_args(arguments)
        shown = _sampled(given.n, given.seed, given.nfe, given)
    except Exception as error:
        if failures.shows(error):
            raise
        return usage(one_line(error))
    return say(shown)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="ot-gen sample",
        description=(
            "Draw from the model of a finished run, in the data's own units, with the prior that was fitted after "
            "training where the run has one."
        ),
        epilog="Example: ot-gen sample --run runs/NAME -n 10000 --output samples.npy",
    )
    parser.add_argument("--run", type=Path, required=True, help="the folder of a finished run of ot-gen")
    parser.add_argument("-n", type=int, default=1000, help="the number of samples; the default is 1000")
    parser.add_argument("--output", required=True, help=FORMS)
    parser.add_argument("--seed", type=int, default=0, help="of the samples; the default is 0")
    parser.add_argument(
        "--nfe", type=int, help="of a flow: evaluations of its velocity for a sample; the default is the run's"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file, or the folder of samples, there")
    parser.add_argument("--trust", action="store_true", help=TRUST_HELP)
    return parser


@checked
def _sampled(n: Count, seed: Seed, nfe: Steps | None, given: argparse.Namespace) -> str:
    """Draw n samples and write them; returns what the user reads."""
    file = SampleFile(given.output, given.overwrite)
    run = load_run(given.run, given.trust)
    file.check(n, run.data.shape)
    torch.manual_seed(seed)
    try:
        with nullcontext() if nfe is None else evaluations(run.mu, nfe):
            points = run.mu.sample(n)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ValueError(f"{n} samples do not fit into the memory of this machine; give a smaller -n") from error
    check_cloud(points, f"the samples of {given.run}")
    file.write(points, run.data)
    return f"{run.record.label}: {n} samples, seed {seed}, in {given.output}"
