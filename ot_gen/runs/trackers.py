"""Trackers: TensorBoard, MLflow and Weights & Biases follow a run. metrics.csv is written whatever they do.

A tracker never delays training and never ends it. `Tracking` calls trackers from a thread of its own, and drops one
that fails, with a warning. A resumed run continues its tracker's run.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import queue
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import yaml

from ot_gen.execution import kind_and_message, write_text
from ot_gen.runs.codec import leaves
from ot_gen.runs.parts import Status
from ot_gen.runs.record import CONFIG, RunRecord
from ot_gen.runs.writer import RecordWriter
from ot_gen.training import Progress

log = logging.getLogger("ot_gen")


class Tracker(ABC):
    """What a tracking service must do. All calls come from one thread, and any of them may raise."""

    @abstractmethod
    def begin(self, folder: Path, record: RunRecord, settings: Mapping[str, Any]) -> None:
        """Open the run of `folder`, or continue it: its record so far, and the configuration by dotted names."""

    @abstractmethod
    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        """Take the figures of a training step."""

    @abstractmethod
    def end(self, record: RunRecord, figures: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """Close the run: its record, its final figures by dotted names, and its pictures (PNG)."""


@final
class TensorBoard(Tracker):
    """Event files in the run's folder `tensorboard/`, written by tensorboardX: `tensorboard --logdir runs`.

    Source: https://tensorboardx.readthedocs.io
    """

    def __init__(self) -> None:
        _find("tensorboardX", "tensorboard")

    def begin(self, folder: Path, record: RunRecord, settings: Mapping[str, Any]) -> None:
        self.step = 0
        self.writer = _library("tensorboardX").SummaryWriter(str(folder / "tensorboard"))
        self.writer.add_text("config", "\n".join(f"    {name}: {value}" for name, value in settings.items()))

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        self.step = step
        for name, value in scalars.items():
            self.writer.add_scalar(f"train/{name}", value, step)

    def end(self, record: RunRecord, figures: Mapping[str, float], pictures: Sequence[Path]) -> None:
        import numpy as np
        from PIL import Image

        for name, value in figures.items():
            self.writer.add_scalar(name.replace(".", "/", 1), value, self.step)
        for path in pictures:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            self.writer.add_image(path.stem, pixels, self.step, dataformats="HWC")
        self.writer.close()


@final
class MLflow(Tracker):
    """Runs of an MLflow experiment.

    Source: https://mlflow.org/docs/latest/ml/tracking

    Args:
        uri: of the tracking server or store, e.g. "http://server:5000"; "sqlite:///mlflow.db" needs no server.
        experiment: its name.
    """

    def __init__(self, uri: str = "sqlite:///mlflow.db", experiment: str = "ot_gen") -> None:
        _find("mlflow", "mlflow")
        self.uri = uri
        self.experiment = experiment

    def begin(self, folder: Path, record: RunRecord, settings: Mapping[str, Any]) -> None:
        self.client = _library("mlflow").MlflowClient(self.uri)
        known = self.client.get_experiment_by_name(self.experiment)
        experiment = known.experiment_id if known else self.client.create_experiment(self.experiment)

        def new() -> str:
            created: str = self.client.create_run(experiment, run_name=folder.name).info.run_id
            return created

        self.run = _identity(folder, "mlflow", new)
        self.client.update_run(self.run, status="RUNNING")
        logged = self.client.get_run(self.run).data.params
        for name, value in settings.items():
            if name not in logged:  # they are final there
                self.client.log_param(self.run, name, str(value)[:500])

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        metric = _library("mlflow").entities.Metric
        self.client.log_batch(self.run, [metric(f"train.{name}", value, now, step) for name, value in scalars.items()])

    def end(self, record: RunRecord, figures: Mapping[str, float], pictures: Sequence[Path]) -> None:
        for name, value in figures.items():
            self.client.log_metric(self.run, name, value)
        for path in pictures:
            self.client.log_artifact(self.run, str(path))
        ends = {Status.FINISHED: "FINISHED", Status.INTERRUPTED: "KILLED"}
        self.client.set_terminated(self.run, ends.get(record.status, "FAILED"))


@final
class WandB(Tracker):
    """Runs of a Weights & Biases project.

    Source: https://docs.wandb.ai

    Args:
        project: its name.
        entity: user or team; None is the account's default.
        mode: "online", "offline" (files in the run's folder `wandb/`, sent later by `wandb sync`); None is wandb's own
            choice, WANDB_MODE or "online".
    """

    def __init__(self, project: str = "ot_gen", entity: str | None = None, mode: str | None = None) -> None:
        _find("wandb", "wandb")
        self.project = project
        self.entity = entity
        self.mode: Any = mode

    def begin(self, folder: Path, record: RunRecord, settings: Mapping[str, Any]) -> None:
        wandb = _library("wandb")
        self.run = wandb.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            dir=str(folder),
            name=folder.name,
            config=dict(settings),
            id=_identity(folder, "wandb", lambda: uuid.uuid4().hex[:12]),
            resume="allow",
            settings=wandb.Settings(silent=True),
        )

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        self.run.log({f"train/{name}": value for name, value in scalars.items()}, step=step)

    def end(self, record: RunRecord, figures: Mapping[str, float], pictures: Sequence[Path]) -> None:
        wandb = _library("wandb")
        self.run.log({path.stem: wandb.Image(str(path)) for path in pictures})
        self.run.summary.update({**figures, "status": str(record.status)})
        self.run.finish(exit_code=0 if record.status is Status.FINISHED else 1)


@final
class Tracking:
    """A callback of `fit` that hands its rows to trackers, in a thread of its own.

    A step's row is handed over if the last one was `every` seconds ago or more, and the last row always.

    Args:
        trackers: any number of them.
        writer: of the run's record.
        every: seconds between rows.
        patience: the most seconds that the end of the run waits for the trackers.
    """

    def __init__(
        self, trackers: Sequence[Tracker], writer: RecordWriter, every: float = 1.0, patience: float = 60.0
    ) -> None:
        self.trackers = list(trackers)
        self.writer = writer
        self.every = every
        self.patience = patience
        self._calls: queue.SimpleQueue[Callable[[Tracker], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="trackers", daemon=True)
        self._last = -math.inf

    def __enter__(self) -> Tracking:
        if self.trackers:
            self._thread.start()
            self.writer.do(self._begin)
        return self

    def _begin(self) -> None:
        folder, record = self.writer.folder, self.writer.record
        self._calls.put(lambda tracker: tracker.begin(folder, record, _settings(folder)))

    def __call__(self, progress: Progress) -> None:
        if self.trackers and (time.monotonic() - self._last >= self.every or progress.step == progress.steps):
            self._last = time.monotonic()
            step, row = progress.step, dict(progress.rows[-1])
            row.pop("step", None)
            self._calls.put(lambda tracker: tracker.log(step, row))

    def __exit__(self, *_: object) -> None:
        if not self.trackers:
            return
        record, pictures = self.writer.record, sorted(self.writer.folder.glob("*.png"))
        if self.writer.has_begun:
            self._calls.put(lambda tracker: tracker.end(record, record.figures(), pictures))
        self._calls.put(None)
        self._thread.join(self.patience)
        if self._thread.is_alive():
            log.warning("trackers: not done after %g s and left; metrics.csv and run.json hold all", self.patience)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            for tracker in tuple(self.trackers):
                try:
                    call(tracker)
                except Exception as error:  # whatever a service raises: the run goes on without it
                    self.trackers.remove(tracker)
                    reason = kind_and_message(error)
                    log.warning("%s: no longer tracked (%s); metrics.csv holds all", type(tracker).__name__, reason)


def _find(module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ValueError(f"tracker={extra} needs {module}, which is not installed; pip install 'ot_gen[{extra}]'")


def _library(module: str) -> Any:
    """Imported when it is needed: the libraries are optional, and slow to load."""
    return importlib.import_module(module)


def _identity(folder: Path, service: str, new: Callable[[], str]) -> str:
    """The name under which the service knows this run, kept in the run's folder."""
    path = folder / f"{service}.id"
    if not path.is_file():
        write_text(path, new())
    return path.read_text(encoding="utf-8")


def _settings(folder: Path) -> dict[str, Any]:
    """The configuration by dotted names."""
    path = folder / CONFIG
    return leaves(yaml.safe_load(path.read_text(encoding="utf-8"))) if path.is_file() else {}
