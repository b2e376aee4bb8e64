"""`ot-gen geometry`: geodesics, volume and interpolations in the latent space of a finished run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, final

from omegaconf import OmegaConf
from torch import nn

from ot_gen.arguments import Interval, Seed, checked
from ot_gen.cli.errors import answer, one_line
from ot_gen.cli.finished import TrainedRun, load_run
from ot_gen.cli.sample import check_classes, class_numbers
from ot_gen.cli.targets import check_study
from ot_gen.cli.trust import TRUST_HELP
from ot_gen.execution import OneLineParser, use_threads
from ot_gen.execution.deprecation import REMOVAL
from ot_gen.measures import Empirical, Pushforward, Unlabelled
from ot_gen.networks import BernoulliDecoder, GaussianDecoder
from ot_gen.priors.by_label import OfClass
from ot_gen.runs.manifold import shortest_paths, straight_lines, study, told

STARTS = {"graph": shortest_paths, "line": straight_lines}
RENAMED = {"nodes": "segments"}  # settings' old names, which work until REMOVAL


@final
@dataclass
class Options:
    """What may be set as name=value."""

    pairs: int = 12
    segments: int = 16
    start: str = "graph"
    ridge: float = 0.0
    seed: int = 0
    threads: int | None = 1


def geometry(arguments: Sequence[str]) -> int:
    """Run `ot-gen geometry` with these arguments; returns the exit code, 2 after one line on stderr for bad input."""
    return answer(_work, arguments)


def _work(arguments: Sequence[str]) -> str:
    given = _parser().parse_intermixed_args(arguments)
    chosen = _options(given.overrides)
    if given.output is not None:
        check_study(given.output, given.run)
    try:
        return _study(given.run, given.trust, given.output, given.classes, chosen)
    except NotImplementedError as error:  # torch's, of an activation without second derivatives
        raise ValueError(f"{one_line(error)}; train with another activation, e.g. torch.nn.GELU") from error


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="ot-gen geometry",
        description=(
            "Study the latent space of a finished run: geodesics between random codes, written with figures to "
            "geometry.csv, geometry.json, geodesics.png and, for two latent dimensions, volume.png."
        ),
        epilog="Example: ot-gen geometry --run runs/NAME pairs=24 start=line",
    )
    parser.add_argument("--run", type=Path, required=True, help="the folder of a finished run of ot-gen")
    parser.add_argument(
        "--class",
        dest="classes",
        metavar="CLASS",
        action="append",
        default=[],
        help="of a run with condition=label: the class whose latent space is studied, by number or name",
    )
    parser.add_argument("--trust", action="store_true", help=TRUST_HELP)
    parser.add_argument("--output", type=Path, help="the folder to write to; the default is that of the run")
    parser.add_argument("--out", dest="output", type=Path, help=argparse.SUPPRESS)  # its former name
    parser.add_argument(
        "overrides",
        nargs="*",
        help="pairs=12: geodesics; segments=16: of each; start=graph: from the shortest paths among codes and "
        "from segments, the shorter result is kept, or start=line: from segments alone; ridge=0: ridge times the "
        "Euclidean metric is added, for decoders that ignore a latent direction; seed=0; threads=1",
    )
    return parser


def _options(overrides: Sequence[str]) -> Any:
    bare = [item for item in overrides if "=" not in item]
    if bare:
        raise ValueError(f"{bare[0]} is no override: write name=value; see ot-gen geometry --help")
    overrides = [_renamed(item) for item in overrides]
    known = list(Options.__dataclass_fields__)
    unknown = [item for item in overrides if item.split("=")[0] not in known]
    if unknown:
        raise ValueError(f"the geometry of a run has no setting {unknown[0]}; it has {', '.join(known)}")
    chosen = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_dotlist(overrides))
    _check_sizes(chosen.pairs, chosen.segments, chosen.seed)
    if chosen.start not in STARTS:
        raise ValueError(f"start must be one of {', '.join(STARTS)}, got {chosen.start}")
    return chosen


@checked
def _check_sizes(
    pairs: Annotated[int, Interval(1, 10**6)], segments: Annotated[int, Interval(4, 10**4)], seed: Seed
) -> None:
    """Sizes beyond which a study would never end."""


def _renamed(override: str) -> str:
    """name=value under the present name of the setting; an old name gives a warning on stderr."""
    old, _, value = override.partition("=")
    if old not in RENAMED:
        return override
    new = RENAMED[old]
    sys.stderr.write(f"ot-gen: warning: {old}= is now called {new}=; the old name goes away in {REMOVAL}\n")
    return f"{new}={value}"


def _study(run: Path, trusted: bool, output: Path | None, asked: list[str], chosen: Any) -> str:
    use_threads(chosen.threads)
    model = load_run(run, trusted)
    record = model.record
    classes = class_numbers(asked, model.data.class_names)
    check_classes(classes, model.mu.classes, run)
    if model.mu.classes is not None:
        if len(classes) != 1:
            raise ValueError(
                f"{run} was trained with condition=label: it has a latent space for each class, and "
                "ot-gen geometry studies one; give one class, --class 3"
            )
        model = _of_class(model, classes[0])
    kept = {"solver": record.solver, "data": record.data, "generator": record.generator, "run": str(run.absolute())}
    settings = {name: chosen[name] for name in ("pairs", "segments", "ridge", "seed")}
    folder = output or run
    kept |= {"class": model.data.name_of(classes[0])} if classes else {}
    about, starts = kept | {"start": chosen.start}, STARTS[chosen.start]
    summary = study(folder, model.mu, model.encoder, model.data, about, starts, **settings)
    head = record.label + (f", class {kept['class']}" if classes else "")
    return "\n".join([head, told(summary), "", f"record and figures in {folder}"])


def _of_class(model: TrainedRun, k: int) -> TrainedRun:
    """A run as one of a class alone: its generator at that class, its prior, its encoder and its held-out points."""
    mu, data = model.mu, model.data
    if any(isinstance(part, GaussianDecoder | BernoulliDecoder) for part in mu.map.modules()):
        raise ValueError(
            "the decoder of this run has noise and is told the class, and ot-gen geometry has no metric of that; train "
            "with noise=none, or without classes"
        )
    base = Pushforward(Unlabelled(nn.Identity()), mu.base.given(k))
    which = data.labels[1] == k
    if int(which.sum()) < 2:
        raise ValueError(f"{int(which.sum())} held-out points are of class {data.name_of(k)}; choose a class with two")
    test = Empirical(data.test.rows[which.nonzero()[:, 0]])
    return replace(
        model,
        mu=Pushforward(OfClass(mu.map, k), base).eval(),
        encoder=None if model.encoder is None else OfClass(model.encoder, k).eval(),
        data=replace(data, test=test, test_labels=data.labels[1][which]),
    )
