"""The parts of a run's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import final


@final
class Status(StrEnum):
    """How far a run came. One that was killed stays RUNNING."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@final
@dataclass(frozen=True)
class Objective:
    """What training ended with: value and penalty over its last steps.

    `floor` is what the value would be between two real samples of the same size, where the solver knows it.
    """

    value: float
    penalty: float
    floor: float | None = None


@final
@dataclass(frozen=True)
class RecordedUnits:
    """The units of standardised data, y = shift + scale · u: "shared" has one scale, "columns" one for each."""

    standardize: str
    shift: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()


@final
@dataclass(frozen=True)
class RecordedMetric:
    """A metric of the model with its standard error, and the same of real data; None where it was not measured."""

    value: float
    se: float | None = None
    floor: float | None = None
    floor_se: float | None = None


@final
@dataclass(frozen=True)
class CertifiedInterval:
    """Bounds of W_c(μ, ν) with their standard errors, and the interval that holds it with probability `level`.

    `reference` is the interval of real training data against the same ν, None where it was not computed. `warranted` is
    False where the samples speak against the level, and `doubt` says why; `reference_doubt` is the same of the real
    data. `assuming` is what was said to be known of μ.

    Raises:
        ValueError: a level that is no probability.
    """

    lower: float
    lower_se: float
    upper: float
    upper_se: float
    level: float
    interval: tuple[float, float]
    reference: tuple[float, float] | None = None
    cost: str | None = None
    converged: bool | None = None
    message: str | None = None
    marginal_error: float | None = None
    samples: int | None = None
    seconds: float | None = None
    warranted: bool | None = None
    doubt: str | None = None
    reference_doubt: str | None = None
    assuming: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError(f"certificate.level is {self.level}, not between 0 and 1")


@final
@dataclass(frozen=True)
class Attempt:
    """An earlier start of a run in the same folder, and how it ended."""

    status: Status
    error: str | None = None
    started: str | None = None
    host: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
