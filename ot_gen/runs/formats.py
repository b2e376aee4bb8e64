"""Earlier formats of run.json and earlier words of config.yaml, turned into the present ones.

1    without a number. W₁ and W₂² stand in the judgement and again among the metrics, there with their errors. The
     certificate's reference is two numbers, and None stands for a number that is not finite.
2    each figure stands once: the judgement has the errors, the reference is a pair. The standard errors of an encoder's
     figures are called `gap_error`, ...
3    all standard errors are called `..._se`.
4    the same. In its config.yaml convolutional networks halve an image as often as its size asks for; before, they
     halved it twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

from ot_gen.evaluation import EXACT
from ot_gen.execution import on_one_line

FORMAT = 4

# Words of earlier configurations: arguments by the last name of their `_target_`, and the beginnings of `_target_`s.
# They stay when the old names leave the library, so that old runs can always be judged.
RENAMED = {
    "SlicedWasserstein": {"projections": "directions"},
    "MaxSlicedWasserstein": {"projections": "directions"},
    "GeodesicCost": {"nodes": "segments"},
    "LocallyAdaptiveNormal": {"nodes": "segments"},
    "fit_adaptive_normal": {"nodes": "segments"},
    "frechet_mean": {"nodes": "segments"},
    "semidiscrete": {"verbose": "progress"},
    "linear_decay": {"floor": "end"},
    "WeightClip": {"bound": "limit"},
    "RBFPrecision": {"floor": "background"},
}
HALVING = ("ConvGenerator", "ConvFeatures", "UNetVelocity")
MOVED = {"ot_gen.report.trackers.": "ot_gen.runs.trackers."}


def upgraded(facts: Mapping[str, Any], number: object) -> Mapping[str, Any]:
    """The values of a run.json of format `number` in the present format; those of later ones as they are.

    Raises:
        ValueError: the number is none.

    Example:
        >>> row = {"value": 2.0, "se": 0.5}
        >>> upgraded({"judgement": {"n": 9, "w1": 2.0}, "metrics": {"w1": row}}, 1)
        {'judgement': {'n': 9, 'w1': 2.0, 'w1_se': 0.5, 'w1_floor_se': None}, 'metrics': {}, 'certificate': None}
    """
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"format is {number!r}, not a whole number >= 1")
    if number < 2:
        judgement, metrics = _judged_once(facts.get("judgement"), facts.get("metrics"))
        certificate = _certified(facts.get("certificate"))
        facts = {**facts, "judgement": judgement, "metrics": metrics, "certificate": certificate}
    if number < 3 and isinstance(encoder := facts.get("encoder"), dict):
        facts = {**facts, "encoder": {_of_error(name): value for name, value in encoder.items()}}
    return facts


def _of_error(name: str) -> str:
    """The present name of an encoder's figure."""
    return f"{name.removesuffix('_error')}_se" if name.endswith("_error") else name


def reworded(node: Any, number: int = FORMAT) -> Any:
    """The lists and dictionaries of a recorded config.yaml in the words of today.

    Args:
        node: of the configuration.
        number: the format of the run.json beside it.

    Example:
        >>> reworded([{"_target_": "ot_gen.SlicedWasserstein", "projections": 50}])
        [{'_target_': 'ot_gen.SlicedWasserstein', 'directions': 50}]
    """
    if isinstance(node, list):
        return [reworded(item, number) for item in node]
    if not isinstance(node, dict):
        return node
    target = str(node.get("_target_", ""))
    last = target.rpartition(".")[2] if target.startswith("ot_gen.") else ""
    names = RENAMED.get(last, {})
    renamed = {names.get(key, key): reworded(value, number) for key, value in node.items()}
    if number < 4 and last in HALVING:
        renamed.setdefault("halvings", 2)
    for before, now in MOVED.items():
        if target.startswith(before):
            renamed["_target_"] = now + target.removeprefix(before)
    return renamed


def _judged_once(judgement: Any, metrics: Any) -> tuple[Any, Any]:
    """Errors go from the metrics to the judgement; a metric of equal name but another value stays where it is."""
    if not isinstance(judgement, dict) or not isinstance(metrics, dict):
        return judgement, metrics
    judgement, metrics = dict(judgement), dict(metrics)
    for name in EXACT:
        row, value = metrics.get(name), judgement.get(name)
        if isinstance(row, dict) and _is_same(row.get("value"), value):
            judgement |= {f"{name}_se": row.get("se"), f"{name}_floor_se": row.get("floor_se")}
            del metrics[name]
    return judgement, metrics


def _certified(certificate: Any) -> Any:
    """The certificate with a pair as its reference. Where no interval is recorded, the errors give it."""
    if not isinstance(certificate, dict) or not certificate:
        return certificate
    ends = certificate.get("interval")
    if isinstance(ends, list) and len(ends) == 2:
        ends = [infinite if end is None else end for end, infinite in zip(ends, (-math.inf, math.inf), strict=True)]
    errors = {name: certificate.get(name) or 0.0 for name in ("lower_se", "upper_se")}
    if ends is None:
        ends = _normal_interval(certificate | errors)
    pair = [certificate.get(f"reference_{side}") for side in ("lower", "upper")]
    cost = certificate.get("cost")
    words = {"cost": None if cost is None else on_one_line(cost)}
    return certificate | errors | words | {"interval": ends, "reference": None if None in pair else pair}


def _normal_interval(bounds: Mapping[str, Any]) -> list[float] | None:
    """[lower − q·lower_se, upper + q·upper_se], q the normal quantile of the level split over both sides."""
    named = [bounds.get(name) for name in ("lower", "lower_se", "upper", "upper_se", "level")]
    known = [float(value) for value in named if isinstance(value, int | float)]
    if len(known) < len(named) or not 0 < known[-1] < 1:
        return None
    lower, lower_se, upper, upper_se, level = known
    q = NormalDist().inv_cdf((1 + level) / 2)
    return [lower - q * lower_se, upper + q * upper_se]


def _is_same(one: Any, other: Any) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return numbers and (math.isclose(one, other, rel_tol=1e-9) or (one != one and other != other))
