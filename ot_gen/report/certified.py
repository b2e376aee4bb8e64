"""The figures of a run's evaluation as run.json holds them: the certified interval and the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import NamedTuple, final


@final
class Certificate(NamedTuple):
    """Bounds of W_c(μ, ν) with their Monte-Carlo errors, and the interval that holds it at confidence `level`.

    The interval is [lower − q·lower_se, upper + q·upper_se] with q the normal quantile of `level` split over both
    sides. `reference` holds the same bounds for real training data against the same ν, None where not computed.
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
    samples: float | None = None
    seconds: float | None = None


@final
class Metric(NamedTuple):
    """A metric with its standard error, and the same between two real samples; None where it is not known."""

    value: float
    se: float | None = None
    floor: float | None = None
    floor_se: float | None = None


def read_certificate(found: Mapping[str, object]) -> Certificate | None:
    """The certificate in run.json; None for an empty one.

    Raises:
        ValueError: a bound is missing, or an entry is not of its kind.

    Example:
        >>> read_certificate({"lower": 1, "upper": 2, "level": 0.9}).interval
        (1.0, 2.0)
    """
    if not found:
        return None
    told = {name: _number(f"certificate.{name}", found.get(name)) for name in _NUMBERS}
    lower, upper, level = (_known(f"certificate.{name}", told[name]) for name in ("lower", "upper", "level"))
    if not 0 < level < 1:
        raise ValueError(f"certificate.level is {level}, not between 0 and 1")
    lower_se, upper_se = told["lower_se"] or 0.0, told["upper_se"] or 0.0
    q = NormalDist().inv_cdf((1 + level) / 2)
    reference = told["reference_lower"], told["reference_upper"]
    message, cost, converged = (found.get(name) for name in ("message", "cost", "converged"))
    return Certificate(
        lower,
        lower_se,
        upper,
        upper_se,
        level,
        _pair("certificate.interval", found.get("interval")) or (lower - q * lower_se, upper + q * upper_se),
        None if reference[0] is None or reference[1] is None else (reference[0], reference[1]),
        None if cost is None else " ".join(str(cost).split()),
        None if converged is None else bool(converged),
        None if message is None else str(message),
        told["marginal_error"],
        told["samples"],
        told["seconds"],
    )


def read_metric(name: str, found: object) -> Metric:
    """One metric of run.json; ValueError unless it has a value and all its entries are numbers.

    Example:
        >>> read_metric("mmd", {"value": 0.5, "floor": 0.1}).floor
        0.1
    """
    if not isinstance(found, Mapping):
        raise ValueError(f"metrics.{name} is {found!r}")
    value, *others = (_number(f"metrics.{name}.{key}", found.get(key)) for key in Metric._fields)
    return Metric(_known(f"metrics.{name}.value", value), *others)


_NUMBERS = (
    *("lower", "lower_se", "upper", "upper_se", "level", "marginal_error", "samples", "seconds"),
    *("reference_lower", "reference_upper"),
)


def _number(name: str, value: object) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return None if value is None else float(value)
    raise ValueError(f"{name} is {value!r}")


def _known(name: str, value: float | None) -> float:
    if value is None:
        raise ValueError(f"{name} is missing")
    return value


def _pair(name: str, found: object) -> tuple[float, float] | None:
    if found is None:
        return None
    if not isinstance(found, list) or len(found) != 2:
        raise ValueError(f"{name} is {found!r}")
    low, high = (_known(name, _number(name, value)) for value in found)
    return low, high
