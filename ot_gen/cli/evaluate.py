"""`ot-gen evaluate`: judge samples that any generator made, or a finished run once more."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ot_gen.cli.building import build, check_needed, completed
from ot_gen.cli.compose import composed, import_beside
from ot_gen.cli.errors import answer
from ot_gen.cli.finished import read_run, trained
from ot_gen.cli.parts import JUDGING, judging_of
from ot_gen.cli.targets import check_folder
from ot_gen.cli.trust import TRUST_HELP
from ot_gen.data import samples
from ot_gen.execution import OneLineParser, use_threads, write_text
from ot_gen.measures import Empirical
from ot_gen.report.runs import option
from ot_gen.runs.claim import claimed, unclaimed
from ot_gen.runs.classes import class_table, judge_classes
from ot_gen.runs.data_identity import recorded_data
from ot_gen.runs.draw import draw
from ot_gen.runs.figures import sample_figure, save
from ot_gen.runs.flows import judge_flow
from ot_gen.runs.judging import certificate_lines, check_judging, judge_model, judge_run, metric_table
from ot_gen.runs.parts import Status
from ot_gen.runs.record import CONFIG, RunRecord, read_record
from ot_gen.runs.writer import RecordWriter


def evaluate(arguments: Sequence[str]) -> int:
    """Run `ot-gen evaluate` with these arguments; returns the exit code, 2 after one line on stderr for bad input."""
    return answer(_work, arguments)


def _work(arguments: Sequence[str]) -> str:
    given = _parser().parse_intermixed_args(arguments)
    if given.config_dir is not None:
        import_beside(given.config_dir)
    if given.output is not None:
        check_folder(given.output, "--output")
    return _judge_run(given) if given.samples is None else _judge_samples(given)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="ot-gen evaluate",
        description="Judge a generator on held-out data: each metric with its real-vs-real floor and standard errors.",
        epilog="Example: ot-gen evaluate --samples my.npy data=mnist",
    )
    judged = parser.add_mutually_exclusive_group(required=True)
    judged.add_argument("--samples", type=Path, help="an .npy, .npz or .csv file, or a folder of images")
    judged.add_argument("--run", type=Path, help="the folder of a finished run of ot-gen, judged once more")
    parser.add_argument("--output", type=Path, help="the folder of the record; the default is a new one in runs/")
    parser.add_argument("--trust", action="store_true", help=TRUST_HELP)
    parser.add_argument("--config-dir", type=Path, help="a folder of your own entries")
    parser.add_argument("overrides", nargs="*", help="data=... metrics=... certificate=... evaluation.samples=...")
    return parser


def _judge_samples(given: argparse.Namespace) -> str:
    cfg, choices = composed(given.overrides, given.config_dir)
    use_threads(cfg.threads)
    check_needed(cfg)
    data = build(cfg.data)
    cfg, data = completed(cfg, data), data.own
    cloud = samples(given.samples, data.dim, data.shape, dtype=data.test.rows.dtype)
    name = given.samples.absolute().name
    judging = judging_of(cfg)
    check_judging(data, None, judging)
    if judging.metrics is not None and len(cloud) < judging.metrics.least:
        raise ValueError(
            f"{given.samples} holds {len(cloud)} samples and the metrics need {judging.metrics.least}; give more, "
            "best 1,000, or leave the metrics out with metrics=none"
        )
    record = RunRecord(
        Status.RUNNING,
        solver=name,
        data=choices["data"],
        dataset=recorded_data(data, cfg.data.get("path")),
        samples=str(given.samples.absolute()),
        seed=cfg.evaluation.seed,
        overrides=tuple(given.overrides),
    )

    def work(folder: Path, record: RunRecord) -> RunRecord:
        figure = sample_figure(cloud[: 100 if data.shape else 2000], data.test.rows[:2000], data.shape)
        save(figure, folder / "samples.png")
        return judge_model(record, Empirical(cloud), data, judging)

    return _recorded(_output(given.output, choices["data"], given.samples.stem), record, cfg, work)


def _judge_run(given: argparse.Namespace) -> str:
    run, saved = read_run(given.run, given.trust)
    may_change = (*JUDGING, "threads")
    others = [item for item in given.overrides if option(item).partition(".")[0] not in may_change]
    if others:
        raise ValueError(
            f"a run is judged with the data and the model that it recorded, got {' '.join(others)}; what may change is "
            f"{', '.join(may_change)}"
        )
    cfg, _ = composed([f"data={run.data}", *given.overrides], given.config_dir)
    use_threads(cfg.threads)
    for name in ("data", "reference", "generator", "noise", "condition", "encoder", "solver", "cost", "ex_post"):
        cfg[name] = saved.get(name)
    model = trained(given.run, cfg, saved.seed)
    data, solver, cfg = model.data, model.solver, model.config
    judging, ex_post = judging_of(cfg), build(cfg.ex_post)
    check_judging(data, solver, judging, ex_post)

    def work(folder: Path, record: RunRecord) -> RunRecord:
        record, sampled = judge_run(record, folder, model.mu, solver, data, judging, ex_post)
        record = judge_flow(record, model.mu, sampled, solver, data, judging)
        record = judge_classes(record, sampled, data, judging)
        draw(folder, sampled, model.encoder, data.own)
        return record

    output = _output(given.output, str(run.data), given.run.absolute().name)
    # The file of the data may have changed since.
    again = replace(run, dataset=recorded_data(data, cfg.data.get("path"))).to_be_judged_again(given.run.absolute())
    return _recorded(output, again, cfg, work)


def _output(given: Path | None, data: str, name: str) -> Path:
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    return given or unclaimed(Path("runs") / f"{stamp}_evaluate_{data}_{name}".replace("/", "-"))


def _recorded(folder: Path, record: RunRecord, cfg: DictConfig, work: Callable[[Path, RunRecord], RunRecord]) -> str:
    """Do the work, leave a record like that of a run, and return what the user reads."""
    with claimed(folder):
        earlier = read_record(folder)
        if earlier is not None and (earlier.status is Status.FINISHED or not (earlier.run or earlier.samples)):
            raise ValueError(f"{folder.absolute()} already holds a record; give another folder as --output")
        return _judged(folder, record, cfg, work)  # in the place of a judgement that was not finished


def _judged(folder: Path, record: RunRecord, cfg: DictConfig, work: Callable[[Path, RunRecord], RunRecord]) -> str:
    with RecordWriter(folder, record) as writer:
        shown = OmegaConf.create({name: _resolved(cfg, name) for name in ("data", "space", *JUDGING)})
        write_text(folder / CONFIG, OmegaConf.to_yaml(shown))
        began = time.monotonic()
        judged = work(folder, writer.record)
        writer.write(replace(judged, status=Status.FINISHED, seconds_judging=round(time.monotonic() - began, 3)))
    n = judged.n
    head = f"{record.label}: {n} of its samples against {n} held-out points; the floor is that of {n} training points"
    tables = [table for table in (metric_table(judged), class_table(judged), certificate_lines(judged)) if table]
    return "\n\n".join([head, *tables, f"record in {folder}"])


def _resolved(cfg: DictConfig, name: str) -> Any:
    node = cfg.get(name)
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
