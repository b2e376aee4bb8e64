"""The record of a run: one type, in its folder's run.json, and the names of the files beside it.

config.yaml              the resolved configuration
run.json                 a `RunRecord`: status, versions, seed, sizes, times, last figures, judgement
metrics.csv              one row for each step, written before the next step begins
checkpoint.safetensors   weights, optimizer, random state (written by `fit`)
*.png                    samples, reconstructions, training curves
"""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, final

import torch

from ot_gen.evaluation import EXACT, EncoderJudgement, Judgement
from ot_gen.execution import opened, read_text, reason, write_text
from ot_gen.runs.codec import decode, encode, holds_numbers, kinds, leaves
from ot_gen.runs.formats import FORMAT, upgraded
from ot_gen.runs.parts import (
    Attempt,
    CertifiedInterval,
    Objective,
    RecordedClasses,
    RecordedData,
    RecordedFlow,
    RecordedMetric,
    RecordedUnits,
    Status,
    measured,
)

RUN, METRICS, CONFIG = "run.json", "metrics.csv", "config.yaml"


@final
@dataclass(frozen=True)
class RunRecord:
    """A run as its folder keeps it; None where it is not known, or not known yet.

    Attributes:
        status, error: how it ended, and why.
        solver, data, generator: the names of the chosen entries; of samples from elsewhere `solver` is their name.
        dataset: the identity of the data, by which others of their name are told apart.
        samples, run: the file, or the finished run, that `ot-gen evaluate` judged.
        run_started: when that run was started; a run that is started anew there is another one.
        composition: the digest of the configuration, by which a sweep knows its runs.
        attempts: earlier starts in this folder.
        started, host, process: when and where.
        side, cell, bound: primal or dual; table, network or flow; what the value bounds: upper, lower or None.
        units: of the data, where the networks see them standardised. All figures are in the data's own units, but costs
            of data with a scale for each column, which are those of standard coordinates.
        steps, steps_done: asked for, and done.
        images, images_per_second: data points that training saw.
        encoder: its judgement, where there is one.
        ex_post: the name of the function that fitted a prior after training. `judgement` and `metrics` are of the model
            with that prior, and `judgement_reference` is of the same generator at ζ.
        judgement: exact W₁ and W₂²; None where one of them could not be computed, the other is then a metric.
        metrics: all others by name, on `metrics_n` samples a side; None (null in run.json, a dash on the page) where
            one could not be computed, for the reason in `metrics_failed`.
        judge: what looked at the samples for these metrics: the points themselves, or the maps to features and classes.
        classes: of a model that generates by class: what each class is worth. Then `metrics` has class_accuracy, on
            the samples of all classes.
        certificate: bounds of W_c(μ, ν).
        flow: of a model that is a flow, or has one as its prior: its samples at few evaluations, and its path energy.
        seconds, seconds_judging: of training, and of `ot-gen evaluate`.
    """

    status: Status
    solver: str | None = None
    data: str | None = None
    dataset: RecordedData | None = None
    generator: str | None = None
    samples: str | None = None
    run: str | None = None
    run_started: str | None = None
    seed: int | None = None
    overrides: tuple[str, ...] = ()
    composition: str | None = None
    attempts: tuple[Attempt, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    started: str | None = None
    host: str | None = None
    process: int | None = None
    side: str | None = None
    cell: str | None = None
    bound: str | None = None
    cost: str | None = None
    units: RecordedUnits | None = None
    steps: int | None = None
    batch_size: int | None = None
    steps_done: int | None = None
    seconds: float | None = None
    images: int | None = None
    images_per_second: float | None = None
    objective: Objective | None = None
    encoder: EncoderJudgement | None = None
    ex_post: str | None = None
    judgement_reference: Judgement | None = None
    judgement: Judgement | None = None
    metrics: Mapping[str, RecordedMetric | None] = field(default_factory=dict)
    metrics_n: int | None = None
    metrics_failed: Mapping[str, str] = field(default_factory=dict)
    judge: str | None = None
    classes: RecordedClasses | None = None
    certificate: CertifiedInterval | None = None
    flow: RecordedFlow | None = None
    seconds_judging: float | None = None
    error: str | None = None

    @property
    def label(self) -> str:
        """What the run is called in a line of text."""
        return f"{self.solver} on {self.data}"

    @property
    def n(self) -> int | None:
        """Samples a side of W₁ and W₂²."""
        return self.metrics_n if self.judgement is None else self.judgement.n

    def measured(self, name: str) -> RecordedMetric | None:
        """A metric by its name, those of the judgement too; None where it was not measured.

        Example:
            >>> RunRecord(Status.FINISHED, judgement=Judgement(9, 2.0, 1.0, 4.0, 3.0)).measured("w1").floor
            1.0
        """
        return measured(self.judgement, self.metrics, name)

    def figures(self) -> dict[str, float]:
        """The numbers that a run ends with, by dotted names: all of its parts, W₁ and W₂² among the metrics too.

        Example:
            >>> RunRecord(Status.FINISHED, metrics={"mmd": RecordedMetric(0.5)}).figures()
            {'metrics.mmd.value': 0.5}
        """
        metrics = {name: row for name in EXACT if (row := self.measured(name)) is not None} | dict(self.metrics)
        parts = {name: getattr(self, name) for name in FIGURES} | {"metrics": metrics}
        return {name: value for name, value in leaves(parts).items() if type(value) in (int, float)}

    def to_be_judged_again(self, run: Path) -> RunRecord:
        """The record of the finished run in `run` without its judgement: names, sizes, how training ended."""
        model = {name: getattr(self, name) for name in OF_THE_MODEL}
        return RunRecord(Status.RUNNING, run=str(run), run_started=self.started, **model)


# What a judgement leaves as it is.
OF_THE_MODEL = (
    *("solver", "data", "dataset", "generator", "seed", "overrides", "side", "cell", "bound", "cost", "units"),
    *("steps", "batch_size", "steps_done", "images", "images_per_second", "objective"),
)
# The parts with numbers that a search can optimise: the fields whose type holds figures by name.
FIGURES = tuple(name for name, kind in kinds(RunRecord).items() if holds_numbers(kind) and name != "dataset")


def write_record(folder: Path, record: RunRecord) -> None:
    """Write a run's record to run.json in `folder`, whole or not at all."""
    facts = {"format": FORMAT, **encode(record)}
    write_text(folder / RUN, json.dumps(facts, indent=2, allow_nan=False) + "\n")


def read_record(folder: Path) -> RunRecord | None:
    """The record in a run's folder, also of an earlier format; None where there is none.

    Raises:
        ValueError: run.json holds no record, is no regular file, has more than 64 MB, or must not be read.

    Example:
        >>> read_record(Path("no/such/run"))
    """
    path = folder / RUN
    try:
        return decoded(json.loads(read_text(path)))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror or error}); make it readable") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({reason(error)}); remove its folder, and the run starts anew") from error


def format_of(folder: Path) -> int:
    """The format in which the record in a run's folder was written, and the config.yaml beside it.

    Raises:
        OSError, ValueError: there is no record that `read_record` reads.
    """
    number: int = json.loads(read_text(folder / RUN)).get("format", 1)
    return number


def decoded(facts: Any) -> RunRecord:
    """The record of the values of a run.json, of this format or an earlier one.

    Raises:
        ValueError: they are none.

    Example:
        >>> decoded({"status": "finished", "seed": 3}).seed
        3
    """
    if not isinstance(facts, dict) or not isinstance(facts.get("status"), str):
        raise ValueError("it names no status")
    number = facts.get("format", 1)
    try:
        record: RunRecord = decode(RunRecord, upgraded(facts, number), "")
    except ValueError as error:
        if isinstance(number, int) and number > FORMAT:
            raise ValueError(f"{error}; it has format {number}, and this ot_gen knows {FORMAT}: upgrade it") from error
        raise
    return record


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The rows of a run's metrics.csv; those that a kill cut short are left out.

    Raises:
        ValueError: the file cannot be read, or holds something else than numbers.

    Raises:
        ValueError: it holds anything but names and numbers.

    Example:
        >>> read_metrics(Path("no/such/run"))
        []
    """
    rows = metric_rows(folder)
    header = next(rows, [])
    try:
        return [dict(zip(header, map(float, row), strict=True)) for row in rows]
    except ValueError as error:
        raise ValueError(f"{folder / METRICS} is damaged ({reason(error)}); move it away") from error


def metric_rows(folder: Path) -> Iterator[list[str]]:
    """The cells of a run's metrics.csv, one line at a time: its header, and the rows that are as long. None: no file.

    Raises:
        ValueError: no regular file, one that must not be read, or no CSV.

    Example:
        >>> list(metric_rows(Path("no/such/run")))
        []
    """
    try:
        with opened(folder / METRICS) as file, io.TextIOWrapper(file, "utf-8", newline="") as text:
            # A line without end would not fit into memory.
            rows = csv.reader(iter(lambda: text.readline(csv.field_size_limit()), ""))
            header = next(rows, [])
            yield header
            yield from (row for row in rows if len(row) == len(header) and all(row))
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{folder / METRICS} cannot be read ({reason(error)}); move it away") from error


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on.

    Example:
        >>> "torch" in versions()
        True
    """
    known = {"python": platform.python_version()}
    for package in ("ot_gen", "torch", "numpy", "POT", "hydra-core"):
        try:
            known[package] = version(package)
        except PackageNotFoundError:
            known[package] = "not installed"
    return known | {"threads": str(torch.get_num_threads()), "machine": platform.machine()}
