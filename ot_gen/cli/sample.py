"""`ot-gen sample`: draw from a finished run, or from classes of it, into an array, a picture or a folder of images."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from ot_gen.arguments import Count, Seed, checked
from ot_gen.cli.errors import answer
from ot_gen.cli.finished import load_run
from ot_gen.cli.trust import TRUST_HELP
from ot_gen.execution import OneLineParser, is_out_of_memory
from ot_gen.measures import Pushforward, check_cloud, unlabelled
from ot_gen.networks.flow_map import Steps, evaluations
from ot_gen.runs.samples import FORMS, SampleFile


def sample(arguments: Sequence[str]) -> int:
    """Run `ot-gen sample` with these arguments; returns the exit code, 2 after one line on stderr for bad input."""
    return answer(_work, arguments)


def _work(arguments: Sequence[str]) -> str:
    given = _parser().parse_args(arguments)
    return _sampled(given.n, given.seed, given.nfe, given.classes, given)


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
    parser.add_argument(
        "-n", type=int, default=1000, help="the number of samples, with --class of each class; the default is 1000"
    )
    parser.add_argument(
        "--class",
        dest="classes",
        metavar="CLASS",
        action="append",
        default=[],
        help="of a run with condition=label: the class to draw, by number or name, or several (3,7), n of each",
    )
    parser.add_argument("--output", required=True, help=FORMS)
    parser.add_argument("--seed", type=int, default=0, help="of the samples; the default is 0")
    parser.add_argument(
        "--nfe", type=int, help="of a flow: evaluations of its velocity for a sample; the default is the run's"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file, or the folder of samples, there")
    parser.add_argument("--trust", action="store_true", help=TRUST_HELP)
    return parser


@checked
def _sampled(n: Count, seed: Seed, nfe: Steps | None, asked: list[str], given: argparse.Namespace) -> str:
    """Draw n samples, or n of each class, and write them; returns what the user reads."""
    file = SampleFile(given.output, given.overwrite)
    run = load_run(given.run, given.trust)
    names = run.data.class_names
    classes = class_numbers(asked, names)
    several = len(classes) > 1
    check_classes(classes, run.mu.classes, given.run)
    total = n * max(1, len(classes))
    file.check(total, run.data.shape)
    try:
        with nullcontext() if nfe is None else evaluations(run.mu, nfe):
            points, labels = _drawn(run.mu, n, seed, classes)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ValueError(f"{total} samples do not fit into the memory of this machine; give a smaller -n") from error
    check_cloud(points, f"the samples of {given.run}")
    file.write(points, run.data, labels, columns=n if several else None)
    shown = [str(k) if names is None else names[k] for k in classes]
    of = f" of class {shown[0]}" if classes else ""
    of = f", {n} each of the classes {', '.join(shown)}" if several else of
    return f"{run.record.label}: {total} samples{of}, seed {seed}, in {given.output}"


def _drawn(mu: Pushforward, n: int, seed: int, classes: Sequence[int]) -> tuple[Tensor, Tensor | None]:
    """n samples, or n of each class; and their classes, where there are several."""
    torch.manual_seed(seed)
    if classes:
        points = torch.cat([mu.given(k).sample(n) for k in classes])
        return points, torch.tensor(classes, device="cpu").repeat_interleave(n) if len(classes) > 1 else None
    points = mu.sample(n)
    if mu.classes is None:
        return points, None
    torch.manual_seed(seed)  # a draw begins with its latent rows, which hold the classes
    return points, unlabelled(mu.base.sample(n))[1]


def class_numbers(words: Sequence[str], names: Sequence[str] | None) -> list[int]:
    """The classes of --class 3 --class 5,7, or of --class cat,dog where they have names.

    Example:
        >>> class_numbers(["3", "5,7"], None), class_numbers(["dog"], ["cat", "dog"])
        ([3, 5, 7], [1])
    """
    known = {name: k for k, name in enumerate(names or ())}
    split = ([word] if word in known else word.split(",") for word in words)  # a name may have a comma
    parts = [part.strip() for some in split for part in some]
    has_digits = any(re.fullmatch("[0-9]+", name) for name in known)  # then a number is a name
    numbers = []
    for part in parts:
        if part in known:
            numbers.append(known[part])
        elif re.fullmatch("[0-9]{1,9}", part) and not has_digits:
            numbers.append(int(part))
        elif names is None:
            raise ValueError(f"--class takes numbers of classes, as in --class 7 or --class 3,7, got {part!r:.60}")
        else:
            raise ValueError(f"there is no class {part!r:.60}; the classes are {', '.join(names):.200}")
    if twice := [k for k in numbers if numbers.count(k) > 1]:
        raise ValueError(
            f"--class names class {names[twice[0]] if names else twice[0]} more than once; give each class once, and a "
            "larger -n"
        )
    return numbers


def check_classes(asked: Sequence[int], classes: int | None, folder: Path) -> None:
    """Refuse classes that a run does not have.

    Example:
        >>> check_classes([3], 10, Path("runs/NAME"))
    """
    if not asked:
        return
    if classes is None:
        raise ValueError(
            f"the run in {folder} was not trained with condition=label, so it has no classes to draw from; leave "
            "--class out, or train one with condition=label"
        )
    if beyond := [k for k in asked if k >= classes]:
        raise ValueError(f"there is no class {beyond[0]} in {folder}; its classes are 0 to {classes - 1}")
