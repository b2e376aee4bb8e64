"""The model card of a run: what it was trained on, what it is made of, and what its samples are worth."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ot_gen.execution import on_one_line
from ot_gen.report.quantities import Quantity, judged, metrics
from ot_gen.report.references import bibliography
from ot_gen.report.runs import Run
from ot_gen.runs.configuration import plain_yaml
from ot_gen.runs.judging import certificate_lines
from ot_gen.runs.parts import RecordedMetric, Status
from ot_gen.runs.record import CONFIG, RUN, RunRecord, read_record

LICENCES = {  # of the data that an entry names, as their owners state it
    "mnist": "CC BY-SA 3.0",
    "mnist_full": "CC BY-SA 3.0",
    "fashion_mnist": "MIT",
    "cifar10": "none stated by its authors",
    "celeba": "non-commercial research only, by agreement with its authors",
    "digits": "CC BY 4.0",
    "shapes": "drawn by ot_gen, MIT",
}
DRAWN = (  # laws that ot_gen draws from
    *("eight_gaussians", "two_moons", "checkerboard", "pinwheel", "rings", "swiss_roll", "parallel_lines"),
    "twenty_five_gaussians",
)
UNKNOWN = "not stated; state it before you publish the model"


def model_card(folder: Path, licence: str | None = None, data_licence: str | None = None) -> str:
    """The card of the finished run in `folder`, in Markdown; nothing is built or trained.

    Args:
        folder: of the run, or of a judgement by `ot-gen evaluate --run`.
        licence: of the model, as its owner chooses it; None: the card says that it is not stated.
        data_licence: of the data; None: what is known of the entry.

    Raises:
        ValueError: no finished run, or a damaged record.
        OSError: a configuration that must not be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as name:
        ...     _ = (Path(name) / RUN).write_text('{"status": "finished", "solver": "primal/vae", "data": "mnist"}')
        ...     print(model_card(Path(name)).splitlines()[5])
        # primal/vae on mnist
    """
    record = read_record(folder)
    if record is None:
        raise ValueError(f"{folder} holds no {RUN}; give the folder of a finished run")
    if record.status is not Status.FINISHED:
        raise ValueError(f"the run in {folder} did not finish ({record.status}); a card is of a finished one")
    run = Run(folder, record)
    own = data_licence or _known_licence(record)
    parts = [
        ["---", f"license: {_yaml(licence or 'unknown')}", "tags: [ot_gen, optimal-transport]", "---"],
        [f"# {_text(record.label)}"],
        [_text(_introduction(record))],
        ["## Data", "", *_listed(_data(record, own))],
        ["## Composition", "", *_listed(_composition(record)), *_configuration(folder)],
        ["## Metrics", "", *_metrics(run)],
        ["## Certificate", "", *_certificate(record)],
        ["## Memorisation", "", _memorisation(record)],
        ["## Licence", "", f"The model: {_text(licence or UNKNOWN)}.", "", f"The data: {_text(own)}."],
        ["## Citation", "", *_fenced(bibliography([record.solver or "", record.data or ""]), "bibtex")],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _known_licence(record: RunRecord) -> str:
    """That of the data of an entry; a file of the user's under the name of an entry has another."""
    if record.dataset is not None and record.dataset.path is not None and record.data != "celeba":
        return UNKNOWN
    return LICENCES.get(record.data or "", "drawn by ot_gen, MIT" if record.data in DRAWN else UNKNOWN)


def _introduction(record: RunRecord) -> str:
    side = "" if record.side is None else f" by the {record.side} form with a {record.cell or 'network'},"
    return f"A generative model, trained{side} to minimise an optimal transport cost between its samples and the data."


def _data(record: RunRecord, licence: str) -> Iterable[tuple[str, object]]:
    facts = record.dataset
    yield "entry", record.data
    if facts is not None:
        yield "read from", facts.path
        yield "points", "×".join(map(str, facts.shape)) if facts.shape else f"{facts.dim} numbers each"
        yield "to train", "a law, sampled afresh" if facts.train is None else f"{facts.train:,}"
        yield "held out", f"{facts.test:,}" if facts.test else None
        yield "fingerprint of the content", facts.fingerprint
    if record.units is not None:
        yield "standardised", record.units.standardize
    yield "licence", licence


def _composition(record: RunRecord) -> Iterable[tuple[str, object]]:
    yield "solver", record.solver
    yield "generator", record.generator
    yield "cost", (record.cost or "").replace("()", "") or None
    yield "prior fitted after training", record.ex_post
    yield "seed", record.seed
    yield "steps", f"{record.steps_done or 0:,} of {record.steps:,}" if record.steps else None
    yield "batch", record.batch_size
    yield "data points seen", f"{record.images:,}" if record.images else None
    yield "seconds of training", None if record.seconds is None else f"{record.seconds:.0f}"
    yield "versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())
    yield "command", " ".join(["ot-gen", *record.overrides]) if record.overrides and record.samples is None else None


def _configuration(folder: Path) -> list[str]:
    try:
        text = plain_yaml(folder / CONFIG)
    except FileNotFoundError:
        return []
    return ["", "<details><summary>The whole configuration</summary>", "", *_fenced(text, "yaml"), "", "</details>"]


def _metrics(run: Run) -> list[str]:
    record = run.record
    quantities = [one for one in (*judged(), *metrics([run])) if one.of(run) is not None]
    if not quantities:
        return ["None were measured. `ot-gen evaluate --run FOLDER` measures them."]
    rows = [_row(one, one.of(run)) for one in quantities]
    sizes = " and ".join(dict.fromkeys(f"{size:,}" for size in (record.n, record.metrics_n) if size))
    lines = [
        f"{sizes} samples of the model against as many held-out points. The floor is the same of real training points.",
        *([] if record.judge is None else [f"Judged by: {_text(record.judge)}."]),
        "",
        *_table(["metric", "value", "floor: real data", "better"], rows),
    ]
    lines += [f"\n{_text(name)}: not computed, {_text(why)}." for name, why in record.metrics_failed.items()]
    if record.classes is not None:
        lines += ["", "By class, value (floor):", "", *_classes(record)]
    return lines


def _row(quantity: Quantity, row: RecordedMetric | None) -> list[str]:
    value, floor = ("", "") if row is None else (_number(row.value, row.se), _number(row.floor, row.floor_se))
    return [quantity.words, value, floor, quantity.better or ("near 1" if quantity.name == "memorisation" else "")]


def _classes(record: RunRecord) -> list[str]:
    known = {} if record.classes is None else record.classes.metrics
    size = max(map(len, known.values()), default=0)
    rows = []
    for k in range(size):
        figures = [rows_[k] if k < len(rows_) else None for rows_ in known.values()]
        cells = ["" if one is None else f"{_number(one.value)} ({_number(one.floor)})" for one in figures]
        rows.append([str(k), *cells])
    return _table(["class", *known], rows)


def _certificate(record: RunRecord) -> list[str]:
    lines = certificate_lines(record).splitlines()
    if not lines:
        return [
            "None. `ot-gen evaluate --run FOLDER certificate=standard` certifies the distance to the held-out points."
        ]
    return [f"{_text(line)}  " for line in lines]


def _memorisation(record: RunRecord) -> str:
    row = record.measured("memorisation")
    if row is None:
        return "Not measured: samples may repeat training points. `ot-gen evaluate --run FOLDER` measures it."
    words = (
        f"The mean distance of samples to the nearest training point is {_number(row.value, row.se)} times that of "
        "held-out points. 0 would be copies, 1 is that of new real data."
    )
    if row.floor is not None:
        words += f" Real data score {_number(row.floor, row.floor_se)}."
    error = 2 * (row.se or 0.0)
    if row.value + error < 1:
        words += " Samples are closer to training points than new data are: by blur, or by copying. Look at them."
    return words + " This says nothing of single samples: any of them may be a copy."


def _listed(facts: Iterable[tuple[str, object]]) -> list[str]:
    return [f"- {name}: {_text(str(value))}" for name, value in facts if value not in (None, "")]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell if cell == "---" else _text(cell) for cell in line) + " |" for line in lines]


def _number(value: float | None, error: float | None = None) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" + ("" if error is None else f" ± {error:.2g}")


def _text(words: str) -> str:
    """Words of a record, which may be a stranger's, as Markdown that shows them and does nothing else."""
    plain = html.escape(on_one_line(words), quote=False)
    return re.sub(r"([\\`*|]|\](?=[\[(:])|(?<!\w)_|_(?!\w))", r"\\\1", plain)


def _yaml(words: str) -> str:
    return words if re.fullmatch(r"[\w.-]+", words) else '"' + re.sub(r'[\\"]', "", on_one_line(words)) + '"'


def _fenced(text: str, language: str) -> list[str]:
    """A block of code that ends where it ends: its fence is longer than any in it."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`{3,}", text))])
    return [f"{fence}{language}", text.rstrip("\n"), fence]
