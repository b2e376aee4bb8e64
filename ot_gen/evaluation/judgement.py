"""Exact transport distances on held-out data, each with its real-vs-real floor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, final

from torch import Tensor

from ot_gen.arguments import Count, checked
from ot_gen.costs import Cost, Euclidean, SquaredEuclidean
from ot_gen.display import card, line, table, with_error
from ot_gen.evaluation.metric import Metric
from ot_gen.evaluation.metrics import Measured, Measurements, Metrics, View, draws
from ot_gen.evaluation.transports import ExactTransport
from ot_gen.execution import keyword_only
from ot_gen.measures import Empirical, Measure, widened_pair
from ot_gen.transport import NotConverged, exact_plan


@final
class Judgement(NamedTuple):
    """Exact W₁ and W₂² between n model samples and n held-out points, and the same between two real samples.

    Two finite samples of one law are not at distance 0: a perfect model scores the floor, on average, and values
    are comparable at equal n only. W₂² of images rewards blur and can fall below its floor: never quote it alone.

    `w1_se` and the others are standard errors, from sample to sample; None where they were not measured.
    """

    n: int
    w1: float
    w1_floor: float
    w2_squared: float
    w2_squared_floor: float
    w1_se: float | None = None
    w1_floor_se: float | None = None
    w2_squared_se: float | None = None
    w2_squared_floor_se: float | None = None

    def __repr__(self) -> str:
        shown = (f"{name}={value}, {name}_floor={floor}" for name, _, value, floor in self._rows())
        return line("Judgement", f"n={self.n}", *shown)

    def _repr_html_(self) -> str:
        rows = [[title, value, floor] for _, title, value, floor in self._rows()]
        shown = table(["distance to held-out data", "model", "real data, the floor"], rows)
        return card("Judgement", f"exact, between {self.n:,} points on each side", shown)

    def _rows(self) -> list[tuple[str, str, str, str]]:
        """Name, title, value and floor of each distance."""
        return [
            ("w1", "W₁", with_error(self.w1, self.w1_se), with_error(self.w1_floor, self.w1_floor_se)),
            (
                *("w2_squared", "W₂²"),
                with_error(self.w2_squared, self.w2_squared_se),
                with_error(self.w2_squared_floor, self.w2_squared_floor_se),
            ),
        ]


EXACT = {"w1": ExactTransport(Euclidean()), "w2_squared": ExactTransport(SquaredEuclidean())}


@checked
def wasserstein(x: Tensor, y: Tensor, cost: Cost | None = None) -> float:
    """The exact optimal transport cost W_c between two uniform samples, by linear programming in float64.

    Args:
        x, y: points, (n, d) and (m, d).
        cost: the ground cost c; None means ‖x − y‖², for which the result is W₂² (not its root).

    Returns:
        min over plans of ⟨P, C⟩. Biased upwards as an estimate for the laws behind the samples: compare at equal n
        and next to the value of two real samples.

    Raises:
        ValueError: clouds of different dimension.

    Example:
        >>> import torch
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
        >>> wasserstein(x, x + torch.tensor([3.0, 4.0]))  # a translation costs its squared length
        25.0
    """
    cost = SquaredEuclidean() if cost is None else cost
    x, y = widened_pair(x, y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"wasserstein compares x (n, d) with y (m, d), got {tuple(x.shape)} and {tuple(y.shape)}")
    C = cost.matrix(x.detach().cpu().double(), y.detach().cpu().double())
    return float(exact_plan(C).value)


@keyword_only
@checked
def judge(mu: Measure, train: Measure, test: Empirical, *, n: Count = 1000, seed: int = 0) -> Judgement:
    """Judge a model on held-out data: exact W₁ and W₂² at equal n, with their real-vs-real floors.

    Neither the caller's random state nor the model's mode changes. Equal seeds give every model the same latent points
    and the same real samples.

    Args:
        mu: the model, any `Measure`.
        train: the training data or law; the floor draws its real sample from it.
        test: the held-out data.
        n: samples on each side; at most len(test), and of a model that is a sample at most its points.
        seed: of the samples.

    Example:
        >>> import torch
        >>> nu = Empirical(torch.randn(50, 2))
        >>> judge(nu, nu, nu, n=20).n
        20
    """
    return judgement_of(Metrics({"points": View(EXACT)})(mu, train, test, n=n, seed=seed))


@checked
def judgement_of(measured: Measurements) -> Judgement:
    """The judgement contained in measurements by the metrics `EXACT`: nothing is solved again.

    Raises:
        NotConverged: one of the two could not be computed.

    Example:
        >>> from ot_gen.evaluation import Measured
        >>> row = Measured(2.0, 0.1, 1.0, 0.2)
        >>> judgement_of(Measurements(50, {"w1": row, "w2_squared": row}, {})).w1_floor_se
        0.2
    """
    for name in EXACT:
        if name in measured.failures:
            raise NotConverged(f"{name}: {measured.failures[name]}")
    return Judgement(measured.n, **_named(measured.values))


@keyword_only
@checked
def judge_beside(judgement: Judgement, mu: Measure, train: Measure, test: Empirical, *, seed: int = 0) -> Judgement:
    """Another model on the samples that `judgement` is about, with the same floors: they are not solved again.

    Args:
        judgement: by `judge`, of a model that is no sample.
        mu: the other model, a law too.
        train, test, seed: as they were for `judgement`.

    Example:
        >>> import torch
        >>> nu = Empirical(torch.randn(50, 2))
        >>> judge_beside(judge(nu, nu, nu, n=20), nu, nu, nu) == judge(nu, nu, nu, n=20)
        True
    """
    drawn = draws(mu, train, test, judgement.n, seed)
    values = {name: metric.estimate(drawn.fake, drawn.held_out) for name, metric in EXACT.items()}
    se = {f"{name}_se": value.se for name, value in values.items()}
    return Judgement(**judgement._asdict() | {name: value.value for name, value in values.items()} | se)


@checked
def measures_exactly(metrics: Metrics) -> bool:
    """Whether exact W₁ and W₂² of the points as they are, by the names w1 and w2_squared, are among the metrics.

    Example:
        >>> measures_exactly(Metrics({"points": View(EXACT)}))
        True
        >>> measures_exactly(Metrics({"features": View(EXACT, abs)}))
        False
    """
    plain = {
        name: metric for view in metrics.views.values() if view.map is None for name, metric in view.metrics.items()
    }
    return all(_is_alike(plain.get(name), metric) for name, metric in EXACT.items())


def _is_alike(metric: Metric | None, exact: ExactTransport) -> bool:
    return isinstance(metric, ExactTransport) and type(metric.cost) is type(exact.cost)


def _named(values: Mapping[str, Measured]) -> dict[str, float]:
    """The fields of a `Judgement` beside n."""
    named: dict[str, float] = {}
    for name in EXACT:
        value, se, floor, floor_se = values[name]
        named |= {name: value, f"{name}_se": se, f"{name}_floor": floor, f"{name}_floor_se": floor_se}
    return named
