"""The parts of a run's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import final

from ot_gen.evaluation import EXACT, Judgement


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
class RecordedData:
    """What tells data from others of their name; None where it is not known.

    Attributes:
        fingerprint: a hash of their content.
        path: where they were read from, as it was given.
        dim, shape: numbers a point, and (channels, height, width) of images.
        train, test: training points, None for a law that is sampled afresh, and held-out points.
    """

    fingerprint: str
    path: str | None = None
    dim: int | None = None
    shape: tuple[int, int, int] | None = None
    train: int | None = None
    test: int | None = None


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
class RecordedClasses:
    """What each class of a model that generates by class is worth; the share of all that is right is a metric.

    Attributes:
        judge: the classifier that says which class a sample is of.
        n: samples of each class, and as many held-out points of it; 0 where fewer than two are held out.
        metrics: by name the figure of each class: class_accuracy, w1 between points, frechet between features where
            there are any. The floor of class_accuracy is that of the held-out points with their true classes.
    """

    judge: str
    n: tuple[int, ...] = ()
    metrics: Mapping[str, tuple[RecordedMetric | None, ...]] = field(default_factory=dict)


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
class RecordedEvaluations:
    """The judgement and the metrics of a flow's samples at a number of evaluations of its velocity."""

    number: int
    judgement: Judgement | None = None
    metrics: Mapping[str, RecordedMetric | None] = field(default_factory=dict)

    def measured(self, name: str) -> RecordedMetric | None:
        """A metric by its name, W₁ and W₂² too; None where it was not measured.

        Example:
            >>> RecordedEvaluations(1, Judgement(9, 2.0, 1.0, 4.0, 3.0)).measured("w1").floor
            1.0
        """
        return measured(self.judgement, self.metrics, name)


@final
@dataclass(frozen=True)
class RecordedFlow:
    """How a flow samples, and what its paths cost, in the data's own units.

    Attributes:
        evaluations: of the velocity for a sample as it is judged; 0: adaptive steps.
        few: the same model at fewer evaluations.
        path_energy, path_energy_se: ∫ E‖v_t(x_t)‖² dt along its own paths, and the standard error. None: the flow is
            the prior of a decoder.
        w2_squared_lower, w2_squared_upper: a bracket of W₂²(ζ, ν), which no flow from ζ to ν undercuts.
    """

    evaluations: int
    few: tuple[RecordedEvaluations, ...] = ()
    path_energy: float | None = None
    path_energy_se: float | None = None
    w2_squared_lower: float | None = None
    w2_squared_upper: float | None = None

    @property
    def normalised_path_energy(self) -> float | None:
        """|energy − W₂²| / W₂², with the bracket's lower end for W₂²; None where either is not known.

        Example:
            >>> round(RecordedFlow(8, path_energy=5.0, w2_squared_lower=4.0).normalised_path_energy, 2)
            0.25
        """
        if self.path_energy is None or not self.w2_squared_lower:
            return None
        return abs(self.path_energy - self.w2_squared_lower) / self.w2_squared_lower


def measured(
    judgement: Judgement | None, metrics: Mapping[str, RecordedMetric | None], name: str
) -> RecordedMetric | None:
    """A metric by its name, those of a judgement too.

    Example:
        >>> measured(Judgement(9, 2.0, 1.0, 4.0, 3.0), {}, "w1").floor
        1.0
    """
    if judgement is None or name not in EXACT:
        return metrics.get(name)
    return RecordedMetric(*(getattr(judgement, name + ending) for ending in ("", "_se", "_floor", "_floor_se")))


@final
@dataclass(frozen=True)
class Attempt:
    """An earlier start of a run in the same folder, and how it ended."""

    status: Status
    error: str | None = None
    started: str | None = None
    host: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
