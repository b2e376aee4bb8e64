"""One recorded run: train, judge, draw. Knows no hydra; `ot_gen.cli` builds what is run."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch

from ot_gen.costs import Cost, price
from ot_gen.data import Dataset
from ot_gen.execution import ALONE, Processes
from ot_gen.execution.processes import check_device
from ot_gen.execution.progress_bar import ProgressBar
from ot_gen.measures import Pushforward, Units
from ot_gen.runs.classes import judge_classes
from ot_gen.runs.draw import draw, undraw
from ot_gen.runs.flows import judge_flow
from ot_gen.runs.judging import ExPost, Judging, certificate_lines, check_judging, encoder_of, judge_run
from ot_gen.runs.parts import Objective, RecordedUnits, Status
from ot_gen.runs.record import read_metrics
from ot_gen.runs.trackers import Tracker, Tracking
from ot_gen.runs.writer import RecordWriter
from ot_gen.solvers import Solver
from ot_gen.training import CHECKPOINT_NAME, Callback, Interrupted, Progress, fit

log = logging.getLogger("ot_gen")


@final
@dataclass(frozen=True)
class Experiment:
    """What a run trains and judges, built.

    Attributes:
        data: what is learned, and what is held out; standardised, its record is in its own units all the same.
        mu: the model μ_θ = g_θ#ζ.
        solver: holds E(θ) = W_c(μ_θ, ν).
        trainer: keywords of `fit`.
        judging: how the model is judged once it is trained.
        device: where all of it is computed.
        resume: a checkpoint to continue from.
        ex_post: (encoder, training data) -> the measure that replaces ζ once the model is trained. Then `judgement`
            in run.json and all pictures are of the model with that prior, and `judgement_reference` is at ζ. A prior
            of ot_gen is kept in prior.safetensors.
        trackers: services that follow the run.
        callbacks: handed to `fit` next to the record's own.
    """

    data: Dataset
    mu: Pushforward
    solver: Solver
    trainer: Mapping[str, Any]
    judging: Judging
    device: str = "cpu"
    resume: Path | None = None
    ex_post: ExPost | None = None
    trackers: Sequence[Tracker] = ()
    callbacks: Sequence[Callback] = ()

    def move(self) -> None:
        """Put all parts on the device, or raise a `ValueError` where there is none of that name."""
        lacks = check_device(self.device).type == "mps"  # float64, in which tables keep the digits of large offsets
        measures = {part for data in (self.data, self.data.own) for part in (data.train, data.test)}
        for part in (self.mu, self.solver, *measures):
            part.to(self.device, torch.float32 if lacks else None)


def follow(folder: Path, experiment: Experiment, processes: Processes) -> None:
    """Train beside process 0, which alone judges and records in `folder`."""
    experiment.move()
    _fit(folder, experiment, processes, ())


def run(writer: RecordWriter, experiment: Experiment, processes: Processes = ALONE) -> float:
    """Train and judge an experiment, and write its record; `with writer:` around it records how it ended.

    Args:
        writer: of the record, in the run's folder. One that waits begins at the end of the first step, when all
            is built and checked, the checkpoint to continue from too.
        experiment: what is trained.
        processes: those that train together: process 0 calls `run`, the others `follow`.

    Returns:
        W₁ against held-out data; NaN where it could not be computed, for the reason in the record.

    Raises:
        ValueError: parts that do not fit together (an ex_post without an encoder), or a loss that became NaN.
        Interrupted: training was stopped by a signal.
    """
    # Closed with the writer, it reports to the trackers how the run ended.
    tracking = writer.closing.enter_context(Tracking(experiment.trackers, writer))
    data, solver, judging = experiment.data, experiment.solver, experiment.judging
    check_judging(data, solver, judging, experiment.ex_post)
    experiment.move()
    writer.update(
        side="primal" if solver.sense > 0 else "dual",
        cell=solver.xi.kind,
        bound=solver.xi.bound,
        cost=" ".join(str(solver.cost).split()),
        units=_recorded(data.units),
        steps=whole(experiment.trainer["steps"]),
        batch_size=whole(experiment.trainer["batch_size"]),
    )
    label = f"{writer.record.solver or type(solver).__name__} on {writer.record.data or 'data'}"
    checkpoint = writer.folder / CHECKPOINT_NAME
    if experiment.resume is None or experiment.resume.resolve() != checkpoint.resolve():
        # Of a run that this one replaces: nothing may go on from it.
        writer.do(lambda: checkpoint.unlink(missing_ok=True))
    writer.do(lambda: undraw(writer.folder))
    writer.begin_metrics(experiment.resume)
    with ProgressBar(label) as bar:
        own = OwnUnits(solver.priced, data.units, solver.sense)
        progress = _fit(writer.folder, experiment, processes, (own, writer, bar, *experiment.callbacks, tracking))
    writer.begin()  # where no step was left to do
    if progress.stopped is not None:
        log.info("%s: training stopped after step %d: %s", label, progress.step, progress.stopped)
    writer.update(
        steps_done=progress.step,
        seconds=round(progress.seconds, 3),
        images=progress.images,
        images_per_second=round(progress.images / max(progress.seconds, 1e-9), 1),
        objective=_objective(writer.folder),
    )
    try:
        return _judged(writer, experiment, label)
    except KeyboardInterrupt as stop:
        raise Interrupted(f"stopped while it was judged; its {progress.step} steps are done") from stop


def _judged(writer: RecordWriter, experiment: Experiment, label: str) -> float:
    """Judge and draw a trained run, and finish its record; returns W₁."""
    data, solver = experiment.data, experiment.solver
    record, mu = judge_run(
        writer.record, writer.folder, experiment.mu, solver, data, experiment.judging, experiment.ex_post
    )
    record = judge_flow(record, experiment.mu, mu, solver, data, experiment.judging)
    record = judge_classes(record, mu, data, experiment.judging)
    draw(writer.folder, mu, encoder_of(solver, experiment.mu), data.own)
    # The last write of all: a record that says "finished" is complete.
    finished = replace(record, status=Status.FINISHED)
    writer.write(finished)
    if finished.certificate is not None:
        log.info("%s", "; ".join(certificate_lines(finished).splitlines()))
    judgement = finished.judgement
    if judgement is None:
        log.warning("%s: W₁ or W₂² is missing (%s); record in %s", label, finished.metrics_failed, writer.folder)
        w1 = finished.measured("w1")
        return math.nan if w1 is None else w1.value
    log.info(
        "%s: W₁ %.4g (floor %.4g), W₂² %.4g (floor %.4g) on %d held-out points; record in %s",
        label,
        *(judgement.w1, judgement.w1_floor, judgement.w2_squared, judgement.w2_squared_floor, judgement.n),
        writer.folder,
    )
    return judgement.w1


def _fit(folder: Path, experiment: Experiment, processes: Processes, callbacks: Sequence[Callback]) -> Progress:
    return fit(
        experiment.mu,
        experiment.data.train,
        experiment.solver,
        **experiment.trainer,
        callbacks=callbacks,
        checkpoint=folder / CHECKPOINT_NAME,
        resume=experiment.resume,
        processes=processes,
    )


@final
class OwnUnits:
    """A callback of `fit`, before the others: it turns the costs in a step's row into the data's own units.

    Args:
        cost: that of the value, of standard coordinates.
        units: of the data, or None where they are not standardised.
        sense: of the value in the loss of ξ, as `Solver.sense`.
    """

    COSTS = ("value", "floor", "path_energy")  # between points
    MULTIPLES = ("penalty", "weight", "epsilon")  # of a cost: its constant is not theirs

    def __init__(self, cost: Cost, units: Units | None, sense: int) -> None:
        self.price = price(cost, units)
        self.sense = sense

    def __call__(self, progress: Progress) -> None:
        row = progress.rows[-1]
        row |= {name: self.price.of(row[name]) for name in self.COSTS if name in row}
        row |= {name: self.price.factor * row[name] for name in self.MULTIPLES if name in row}
        if "inner_loss" in row:  # sense · value + penalty
            row["inner_loss"] = self.price.factor * row["inner_loss"] + self.sense * self.price.constant


def _recorded(units: Units | None) -> RecordedUnits | None:
    if units is None:
        return None
    kind = "columns" if units.scale.ndim else "shared"
    return RecordedUnits(kind, tuple(units.shift.tolist()), tuple(units.scale.reshape(-1).tolist()))


def whole(value: object) -> int | None:
    """A setting as the record can hold it, before it is checked: a wrong one is refused where it is used.

    Example:
        >>> whole(3), whole("three")
        (3, None)
    """
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _objective(folder: Path) -> Objective | None:
    """Value and penalty averaged over the last twentieth of the steps, and the last floor.

    Averaged, because single estimates are noisy. The floor is the value between two real samples of the same size.
    Without any step the result is None.
    """
    rows: Sequence[Mapping[str, float]] = read_metrics(folder)
    if not rows:
        return None
    last = rows[-max(1, len(rows) // 20) :]
    value, penalty = (sum(row[name] for row in last) / len(last) for name in ("value", "penalty"))
    return Objective(value, penalty, rows[-1].get("floor"))
