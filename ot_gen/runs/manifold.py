"""The geometry of a trained model's latent space, as a record and pictures.

geometry.csv     one row for each geodesic: ends, lengths, and what certifies it
geometry.json    their summary
volume.png       log √det M over the codes' bounding box, for k = 2
geodesics.png    what the decoder shows along geodesics and along straight segments
"""

from __future__ import annotations

import copy
import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from ot_gen.data import Dataset
from ot_gen.execution import cell, write_text
from ot_gen.geometry import Geodesics, LatentGeometry, Line, Start, volume_map
from ot_gen.geometry.starts import known_starts
from ot_gen.measures import Placed, Pushforward, undisturbed
from ot_gen.networks import BernoulliDecoder, GaussianDecoder, GroupSort, LearnedStd
from ot_gen.runs import latents
from ot_gen.runs.figures import save
from ot_gen.runs.record import versions

CODES = 2000  # at most
CELLS = 150  # of the volume map, along either side
MARGIN = 0.05  # around the codes' bounding box
# For geodesics of a decoder with kinks: finer steps and tolerances would follow the kinks for hundreds of rounds.
ROUGH: dict[str, Any] = {"tol": 3e-3, "accuracy": 1e-3}
KINKS = (
    *(nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ReLU6, nn.Threshold, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish),
    *(nn.Hardshrink, nn.Softshrink, nn.MaxPool2d, nn.AdaptiveMaxPool2d, GroupSort),
)

Starts = Callable[[Tensor], Sequence[Start]]


@final
class Codes(NamedTuple):
    """Latent points (n, k), in float64, with their classes (n,) or None, and where they come from."""

    points: Tensor
    labels: Tensor | None
    source: str


@final
class DecoderMetric(Enum):
    """The metric that a decoder gives its latent space.

    Attributes:
        words: what it is called.
        maps: how many maps into the data space it sums over. Its rank is at most maps · d, and must be k.
    """

    PULLBACK = "pullback metric JᵀJ", 1
    PULLBACK_OF_MEAN = "pullback metric JᵀJ of the decoder's mean", 1
    EXPECTED = "expected metric J_μᵀJ_μ + J_σᵀJ_σ", 2

    def __init__(self, words: str, maps: int) -> None:
        self.words = words
        self.maps = maps


def straight_lines(codes: Tensor) -> list[Start]:
    """Geodesics start from the straight segment."""
    return [Line()]


def shortest_paths(codes: Tensor) -> list[Start]:
    """Geodesics start from the segment and from the shortest path in the graph of codes; the shorter result is kept."""
    return known_starts(codes)


def geometry_of(
    decoder: nn.Module, ridge: float = 0.0, codes: Tensor | None = None
) -> tuple[LatentGeometry, DecoderMetric]:
    """The geometry of a generator or a decoder with noise, which may know codes (m, k), and which metric it has.

    A Gaussian decoder whose σ depends on z has the expected metric; a constant σ adds nothing to it. A Bernoulli
    decoder has the metric of its mean.

    Example:
        >>> geometry_of(nn.Linear(2, 3))[1].words
        'pullback metric JᵀJ'
    """
    kind = decoder.map if isinstance(decoder, Placed) else decoder
    if not isinstance(kind, GaussianDecoder | BernoulliDecoder):
        return LatentGeometry(decoder, ridge=ridge, codes=codes), DecoderMetric.PULLBACK
    noisy: Any = decoder
    std = kind.scale if isinstance(kind, GaussianDecoder) else None
    if isinstance(std, nn.Module) and not isinstance(std, LearnedStd):
        return LatentGeometry(noisy.mean, std=noisy.std, ridge=ridge, codes=codes), DecoderMetric.EXPECTED
    return LatentGeometry(noisy.mean, ridge=ridge, codes=codes), DecoderMetric.PULLBACK_OF_MEAN


def study(
    folder: Path,
    mu: Pushforward,
    encoder: nn.Module | None,
    data: Dataset,
    facts: dict[str, Any],
    starts: Starts = shortest_paths,
    pairs: int = 12,
    segments: int = 16,
    ridge: float = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Find geodesics between random codes of a model, write the record into `folder`, and return its summary.

    The computation is in float64, on a copy. Codes are the means of q(·|y) for held-out y, or draws of ζ without an
    encoder. Neither the random state nor the mode of any module changes.

    Args:
        folder: of the record; the four files are overwritten.
        mu: the model.
        encoder: y -> q(·|y), or None.
        data: with held-out points.
        facts: entries of geometry.json beside the summary.
        starts: codes -> where geodesics start.
        pairs: geodesics.
        segments: of each geodesic, even, >= 4.
        ridge: ridge · I is added to M.
        seed: of the pairs, and of draws of ζ.

    Raises:
        ValueError: pairs < 1, a latent space that the decoder cannot give a metric of full rank, or as
            `LatentGeometry.geodesic`.
    """
    if pairs < 1:
        raise ValueError(f"pairs must be a whole number >= 1, got {pairs}")
    mu = copy.deepcopy(mu).cpu()
    with undisturbed(mu, *([] if encoder is None else [encoder])):
        torch.manual_seed(seed)
        codes = _codes(mu, encoder, data)
        mu = mu.double()
        geometry, metric = geometry_of(mu.map, ridge, codes.points)
        k = codes.points.shape[1]
        rank = mu.dim * metric.maps
        if k > rank and not ridge:
            raise ValueError(
                f"the latent space has dimension {k} and its image {rank} at most: some latent direction never moves "
                "the output, so that geodesics are not defined; give ridge=1e-4 to add 1e-4 times the Euclidean metric"
            )
        first = torch.randint(len(codes.points), (pairs,), device="cpu")
        second = (first + torch.randint(1, len(codes.points), (pairs,), device="cpu")) % len(codes.points)
        ends = codes.points[first], codes.points[second]
        kinks = _kinks(mu.map)
        geodesics = geometry.geodesic(*ends, segments=segments, start=starts(codes.points), **(ROUGH if kinks else {}))
        straight = geometry.length(Line()(geometry.metric_field, *ends, segments))
        rows, notes = _rows(geometry, geodesics, straight, codes, (first, second))
        notes = [*kinks, *notes]
        summary = {**facts, "metric": metric.words, "codes": codes.source, "k": k, "pairs": pairs, "segments": segments}
        summary |= {"seed": seed, "ridge": ridge, **_summary(rows), "log_volume": _spread(geometry, codes.points)}
        summary |= {"claim": geodesics.claim, "notes": notes, "versions": versions()}
        folder.mkdir(parents=True, exist_ok=True)
        _draw(folder, geometry, metric.words, mu, data, codes, geodesics, straight)
    write_text(folder / "geometry.csv", _table(rows))
    write_text(folder / "geometry.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    return summary


def told(summary: dict[str, Any]) -> str:
    """The summary as lines of text.

    Example:
        >>> lengths, claim = {"median": 2.0, "largest": 3.0}, "local minima of the energy"
        >>> print(told({"metric": "pullback metric JᵀJ", "k": 2, "codes": "draws of ζ", "pairs": 4, "converged": 4,
        ...     "claim": claim, "length": lengths, "shortening": lengths, "speed_variation": lengths,
        ...     "residual": None, "notes": []}))
        pullback metric JᵀJ, k = 2; codes: draws of ζ
        converged            4 of 4 geodesics
        claim                local minima of the energy
        length               median 2, largest 3
        shortening           median 2, largest 3   1 − length / length of the straight segment
        speed variation      median 2, largest 3   of the speed from its mean
    """
    words = {
        "length": "",
        "shortening": "1 − length / length of the straight segment",
        "speed_variation": "of the speed from its mean",
        "residual": "of the geodesic equation, in curvature times length",
    }
    lines = [f"{summary['metric']}, k = {summary['k']}; codes: {summary['codes']}"]
    lines.append(f"{'converged':<20s} {summary['converged']} of {summary['pairs']} geodesics")
    lines.append(f"{'claim':<20s} {summary['claim']}")
    for name, meaning in words.items():
        if (values := summary[name]) is not None:
            shown = f"median {values['median']:.3g}, largest {values['largest']:.3g}"
            lines.append(f"{name.replace('_', ' '):<20s} {shown}   {meaning}".rstrip())
    return "\n".join([*lines, *(f"note: {note}" for note in summary["notes"])])


def _codes(mu: Pushforward, encoder: nn.Module | None, data: Dataset) -> Codes:
    if encoder is None:
        return Codes(mu.base.sample(CODES).double(), None, "draws of ζ")
    points = data.test.rows[:CODES].cpu()
    labels = None if data.test_labels is None else data.test_labels[:CODES].cpu()
    return Codes(encoder(points).mean.double(), labels, "means of q(·|y) for held-out y")


def _rows(
    geometry: LatentGeometry, geodesics: Geodesics, straight: Tensor, codes: Codes, pairs: tuple[Tensor, Tensor]
) -> tuple[list[dict[str, Any]], list[str]]:
    notes = []
    try:
        residual = geodesics.residual()
    except (ValueError, NotImplementedError) as error:  # torch lacks second derivatives of some functions
        residual = torch.full_like(geodesics.length, math.nan)
        notes.append(f"residuals are not known: {error}")
    figures = {
        "length": geodesics.length,
        "energy": geodesics.energy,
        "straight_length": straight,
        "speed_variation": geodesics.speed_variation(),
        "residual": residual,
    }
    rows = []
    for i, (a, b) in enumerate(zip(*(side.tolist() for side in pairs), strict=True)):
        row: dict[str, Any] = {"pair": i}
        if codes.labels is not None:
            row |= {"class_0": int(codes.labels[a]), "class_1": int(codes.labels[b])}
        for name, point in (("z0", codes.points[a]), ("z1", codes.points[b])):
            row |= {f"{name}_{j + 1}": value for j, value in enumerate(point.tolist())}
        row |= {name: float(values[i]) for name, values in figures.items()}
        rows.append(row | {"rounds": int(geodesics.rounds[i]), "converged": bool(geodesics.converged[i])})
    if missing := sum(not row["converged"] for row in rows):
        notes.append(f"{missing} of {len(rows)} curves have not converged: they are the best found, not geodesics")
    return rows, notes


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    shortening = [1 - row["length"] / row["straight_length"] for row in rows if row["straight_length"] > 0]
    columns = {name: [row[name] for row in rows] for name in ("length", "speed_variation", "residual")}
    statistics = {name: _median_and_most(values) for name, values in (columns | {"shortening": shortening}).items()}
    return {"converged": sum(row["converged"] for row in rows), **statistics}


def _median_and_most(values: list[float]) -> dict[str, float] | None:
    if not values or not all(map(math.isfinite, values)):
        return None
    return {"median": float(torch.tensor(values, device="cpu").quantile(0.5)), "largest": max(values)}


def _spread(geometry: LatentGeometry, points: Tensor) -> dict[str, float] | None:
    """Quantiles of log √det M at the codes; None where M is singular."""
    values = geometry.log_volume(points)
    if not bool(torch.isfinite(values).all()):
        return None
    low, middle, high = values.quantile(values.new_tensor([0.05, 0.5, 0.95])).tolist()
    return {"q05": low, "median": middle, "q95": high}


def _kinks(decoder: nn.Module) -> list[str]:
    kinds = sorted({type(part).__name__ for part in decoder.modules() if isinstance(part, KINKS)})
    if not kinds:
        return []
    return [
        f"the decoder is not smooth ({', '.join(kinds)}): curves minimise the energy, to a tolerance three times as "
        "large, but obey no equation at its kinks, so that residuals do not certify them; smooth activations are the "
        "better choice: '+generator.activation={_target_: hydra.utils.get_class, path: torch.nn.GELU}'"
    ]


def _table(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{v:.8g}" if isinstance(v, float) else cell(v) for key, v in row.items()} for row in rows)
    return text.getvalue()


def _draw(
    folder: Path,
    geometry: LatentGeometry,
    metric: str,
    mu: Pushforward,
    data: Dataset,
    codes: Codes,
    geodesics: Geodesics,
    straight: Tensor,
) -> None:
    if codes.points.shape[1] == 2:
        low, high = codes.points.amin(dim=0), codes.points.amax(dim=0)
        edge = MARGIN * (high - low).clamp_min(1e-3)
        volume = volume_map(geometry, torch.stack([low - edge, high + edge]), CELLS)
        save(latents.volume_figure(volume, codes.points, codes.labels, geodesics, metric), folder / "volume.png")
    points = data.test.rows[:CODES].cpu()
    save(latents.geodesic_figure(mu, geodesics, straight, points, data.shape), folder / "geodesics.png")
