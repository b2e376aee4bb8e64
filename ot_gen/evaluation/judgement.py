"""Exact transport distances on held-out data, each with its real-vs-real floor."""

from __future__ import annotations

from typing import NamedTuple, final

from torch import Tensor

from ot_gen.costs import Cost, Euclidean, SquaredEuclidean
from ot_gen.evaluation.metrics import draws
from ot_gen.measures import Empirical, Measure, check_measure, described, widened_pair
from ot_gen.transport import exact_plan


@final
class Judgement(NamedTuple):
    """Exact W₁ and W₂² between n model samples and n held-out points, and the same between two real samples.

    Two finite samples of one law are not at distance 0: a perfect model scores the floor, on average, and values
    are comparable at equal n only. W₂² of images rewards blur and can fall below its floor: never quote it alone.
    """

    n: int
    w1: float
    w1_floor: float
    w2_squared: float
    w2_squared_floor: float


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
    for name, points in (("x", x), ("y", y)):
        if not isinstance(points, Tensor):
            raise ValueError(f"{name} must be a tensor of points (n, d), got {described(points)}; use torch.as_tensor")
    x, y = widened_pair(x, y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"wasserstein compares (n, d) with (m, d), got {tuple(x.shape)} and {tuple(y.shape)}")
    C = (cost or SquaredEuclidean()).matrix(x.detach().cpu().double(), y.detach().cpu().double())
    return float(exact_plan(C).value)


def judge(mu: Measure, train: Measure, test: Empirical, n: int = 1000, seed: int = 0) -> Judgement:
    """Judge a model on held-out data: exact W₁ and W₂² at equal n, with their real-vs-real floors.

    Neither the caller's random state nor the model's mode changes, and equal seeds give every model the same latent
    points and the same real samples.

    Args:
        mu: the model, any `Measure`.
        train: the training data or law, of which the floor draws its real sample.
        test: the held-out data.
        n: samples on each side; at most len(test), and of a model that is a sample at most its points.
        seed: of the samples.

    Example:
        >>> import torch
        >>> nu = Empirical(torch.randn(50, 2))
        >>> judge(nu, nu, nu, n=20).n
        20
    """
    for name, measure in (("mu", mu), ("train", train), ("test", test)):
        check_measure(measure, name)
    fake, real, held_out, _ = draws(mu, train, test, n, seed)
    w1, w2 = Euclidean(), SquaredEuclidean()
    return Judgement(
        len(fake),
        wasserstein(fake, held_out, w1),
        wasserstein(real, held_out, w1),
        wasserstein(fake, held_out, w2),
        wasserstein(real, held_out, w2),
    )
