"""One recorded run: build the parts, train, judge, draw. Knows no hydra; `ot_gen.cli` hands it the parts."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, final

import torch
from tqdm import tqdm

from ot_gen.data import Dataset
from ot_gen.evaluation import Metrics
from ot_gen.execution import ALONE, Processes, kind_and_message, on_one_line
from ot_gen.measures import Pushforward
from ot_gen.runs.draw import draw
from ot_gen.runs.judging import Certify, ExPost, Judging, check_judging, judge_run
from ot_gen.runs.parts import Objective, Status
from ot_gen.runs.record import RunRecord, read_metrics
from ot_gen.runs.trackers import Tracking
from ot_gen.runs.writer import RecordWriter
from ot_gen.solvers import Solver
from ot_gen.training import CHECKPOINT_NAME, Callback, Interrupted, Progress, fit

log = logging.getLogger("ot_gen")


def run(
    folder: Path, facts: Mapping[str, Any], parts: Callable[[], Mapping[str, Any]], processes: Processes = ALONE
) -> float:
    """Run one experiment in `folder` and leave its record, also when it fails or is stopped.

    Args:
        folder: the run's folder.
        facts: fields of `RunRecord` that are known before anything is built: the names of the parts, the seed.
        parts: builds {"data", "mu", "solver", "trainer", "evaluation", "device", "resume"}, and maybe "ex_post":
            (encoder, training data) -> the reference that replaces ζ once the model is trained. Then `judgement` in
            run.json and all pictures are of the model with that prior, and `judgement_reference` is at ζ; a mixture as
            of `ex_post_prior` is kept in prior.safetensors. "metrics" is a `Metrics` or None, "certificate"
            (mu, nu, reference=...) -> the certified interval or None: both are measured once the model is trained.
            "trackers", a sequence of `Tracker`, hear of the run, and "callbacks" are handed to `fit` next to the
            record's own.
        processes: those that train together, each of which calls `run` alike; process 0 alone judges and records.

    Returns:
        W₁ against held-out data; NaN in the processes that follow process 0.

    Raises:
        ValueError: parts that do not fit together (an ex_post without an encoder), or a loss that became NaN; run.json
            then says "failed".
        Interrupted: training was stopped by a signal; run.json then says "interrupted".
    """
    if processes.rank > 0:
        return _follow(folder, processes, **parts())
    writer = RecordWriter(folder, RunRecord(Status.RUNNING, **{**facts, "seed": _whole(facts.get("seed"))}))
    with ExitStack() as closing:
        closing.callback(writer.close)
        try:
            built = dict(parts())
            # Closed last, it tells the trackers how the run ended.
            tracking = closing.enter_context(Tracking(built.pop("trackers", ()), writer))
            return _run(writer, processes, callbacks=(*built.pop("callbacks", ()), tracking), **built)
        except Interrupted as stop:
            writer.update(status=Status.INTERRUPTED, error=str(stop))
            raise
        except BaseException as error:
            writer.update(status=Status.FAILED, error=kind_and_message(error))
            raise


def _follow(
    folder: Path,
    processes: Processes,
    data: Dataset,
    mu: Pushforward,
    solver: Solver,
    trainer: dict[str, Any],
    device: str,
    resume: Path | None,
    **_: Any,
) -> float:
    trainer = trainer | {"checkpoint": folder / CHECKPOINT_NAME, "resume": resume, "processes": processes}
    fit(mu.to(device), data.train.to(device), solver.to(device), **trainer)
    return math.nan


def _run(
    writer: RecordWriter,
    processes: Processes,
    data: Dataset,
    mu: Pushforward,
    solver: Solver,
    trainer: dict[str, Any],
    evaluation: dict[str, Any],
    device: str,
    resume: Path | None,
    ex_post: ExPost | None = None,
    metrics: Metrics | None = None,
    certificate: Certify | None = None,
    callbacks: Sequence[Callback] = (),
) -> float:
    _check(device)
    judging = Judging(evaluation, metrics, certificate)
    check_judging(data, solver, judging, ex_post)
    mu.to(device)
    data.train.to(device)
    data.test.to(device)
    solver.to(device)
    writer.update(
        side="primal" if solver.sense > 0 else "dual",
        cell=solver.xi.kind,
        bound=solver.xi.bound,
        cost=on_one_line(solver.cost),
        steps=_whole(trainer["steps"]),
        batch_size=_whole(trainer["batch_size"]),
    )
    label = f"{writer.record.solver or type(solver).__name__} on {writer.record.data or 'data'}"
    writer.begin_metrics(resume)
    with ProgressBar(label) as bar:
        progress = fit(
            mu,
            data.train,
            solver,
            **trainer,
            callbacks=(writer, bar, *callbacks),
            checkpoint=writer.folder / CHECKPOINT_NAME,
            resume=resume,
            processes=processes,
        )
    record, mu = judge_run(writer.record, writer.folder, mu, solver, data, judging, ex_post)
    draw(writer.folder, mu, getattr(solver.xi, "encoder", None), data)
    # The last write of all: what says "finished" is complete.
    finished = replace(
        record,
        status=Status.FINISHED,
        steps_done=progress.step,
        seconds=round(progress.seconds, 3),
        images=progress.images,
        images_per_second=round(progress.images / max(progress.seconds, 1e-9), 1),
        objective=_objective(writer.folder),
    )
    writer.write(finished)
    judgement = finished.judgement
    assert judgement is not None  # by judge_run
    log.info(
        "%s: W₁ %.4g (floor %.4g), W₂² %.4g (floor %.4g) on %d held-out points; record in %s",
        label,
        *(judgement.w1, judgement.w1_floor, judgement.w2_squared, judgement.w2_squared_floor, judgement.n),
        writer.folder,
    )
    return judgement.w1


@final
class ProgressBar:
    """A callback of `fit`: a bar with rate, remaining time and the current value on a terminal; elsewhere ten lines.

    In a worker process too there are lines: the bars of several would overwrite one another.

    Args:
        label: what the bar is called.
    """

    def __init__(self, label: str) -> None:
        hidden = True if parent_process() is not None else None  # None: where stderr is no terminal
        self.bar = tqdm(desc=label, unit="step", disable=hidden, dynamic_ncols=True, mininterval=0.2)
        self.label = label

    def __call__(self, progress: Progress) -> None:
        row = progress.rows[-1]
        if not self.bar.disable:
            if self.bar.total is None:
                self.bar.total, self.bar.initial = progress.steps, progress.step - 1
            self.bar.set_postfix_str(f"value {row['value']:.4g}", refresh=False)
            self.bar.update(progress.step - self.bar.n)
        elif progress.step % max(1, progress.steps // 10) == 0 or progress.step == progress.steps:
            shown = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name not in ("step", "images"))
            log.info("%s: step %d of %d  %s", self.label, progress.step, progress.steps, shown)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()


def _check(device: str) -> None:
    """Refuse before training what would fail after it."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device={device} is not available here ({error}); use device=cpu") from error


def _whole(value: object) -> int | None:
    """What the record can hold of a setting that nobody has looked at yet: it is refused where it is used."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _objective(folder: Path) -> Objective | None:
    """Value and penalty averaged over the last twentieth of the steps: single estimates are noisy; and the last floor.

    The floor is what the value would be between two real samples of the same size. None of no step.
    """
    rows: Sequence[Mapping[str, float]] = read_metrics(folder)
    if not rows:
        return None
    last = rows[-max(1, len(rows) // 20) :]
    value, penalty = (sum(row[name] for row in last) / len(last) for name in ("value", "penalty"))
    return Objective(value, penalty, rows[-1].get("floor"))
