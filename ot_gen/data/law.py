"""Planar laws, sampled afresh without end, and the data sets made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, final

import torch
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily

from ot_gen.arguments import Count, Interval, checked, described
from ot_gen.data.dataset import Dataset
from ot_gen.data.standard import Standardize, standardised
from ot_gen.execution import keyword_only
from ot_gen.measures import Empirical, Measure, Reference

Size = Annotated[int, Interval(2, 10**8)]  # of a set of points: gigabytes


@final
@checked
class Law(Measure):
    """The planar law of `draw(n)`, a function that returns n independent points, (n, 2).

    Args:
        draw: the sampler, drawing from torch's global generator of the CPU, so that a seed gives one sample everywhere.
        description: what `repr` shows.
        component: y (n, 2) -> the number, (n,) int64, of the part of the law (moon, ring, arm) of each point. None
            where the law has no parts.
        mixture: a mixture of Gaussians, or of uniform laws on rectangles, that the law equals to many digits.

    Example:
        >>> square = Law(lambda n: torch.rand(n, 2), "uniform on the unit square")
        >>> square, square.sample(3).shape
        (Law(uniform on the unit square), torch.Size([3, 2]))
    """

    dim = 2
    _placement: Tensor

    def __init__(
        self,
        draw: Callable[[int], Tensor],
        description: str,
        component: Callable[[Tensor], Tensor] | None = None,
        mixture: Distribution | None = None,
    ) -> None:
        super().__init__()
        self.draw = draw
        self.description = description
        self.component = component
        self.mixture = mixture
        self.register_buffer("_placement", torch.empty(0), persistent=False)  # follows `.to`

    def sample(self, n: Count) -> Tensor:
        """Independent points, (n, 2)."""
        with torch.device("cpu"):
            points = self.draw(n)
        if not isinstance(points, Tensor) or points.shape != (n, 2):
            raise ValueError(f"draw({n}) must return a tensor of points ({n}, 2), got {described(points)}")
        return points.to(self._placement.device)

    def extra_repr(self) -> str:
        return self.description


@keyword_only
@checked
def toy(
    law: Measure,
    *,
    size: Size | None = 2000,
    test_size: Size = 2000,
    seed: int = 0,
    standardize: Standardize = "none",
) -> Dataset:
    """A law as a `Dataset`: a fixed training set drawn once, or the law itself.

    A label is the number of the part of the law, a component of the mixture, from which the point most probably came.

    Args:
        law: the law ν to learn.
        size: the number of training points, drawn once; None trains on fresh points at every step.
        test_size: the number of held-out points; they do not depend on `size`.
        seed: of the training and the held-out points, two independent streams. The caller's random state stays as
            it was.
        standardize: as of `points`.

    Raises:
        ValueError: `size` or `test_size` is less than 2, or `standardize` is none of its words.

    Example:
        >>> from ot_gen.data import eight_gaussians, two_moons
        >>> data = toy(eight_gaussians(), size=500)
        >>> len(data.train), len(data.test)
        (500, 2000)
        >>> toy(two_moons(), size=None).train
        Law(two_moons(noise=0.05))
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    train_seed, test_seed = torch.randint(2**62, (2,), generator=generator, device="cpu").tolist()
    test = Empirical(_draw_once(law, test_size, test_seed))
    test_labels = _components(law, test.atoms)
    if size is None:
        return standardised(Dataset(law, test, test_labels=test_labels), standardize)
    train = Empirical(_draw_once(law, size, train_seed))
    data = Dataset(train, test, train_labels=_components(law, train.atoms), test_labels=test_labels)
    return standardised(data, standardize)


def _components(law: Measure, y: Tensor) -> Tensor | None:
    """The likeliest component of each point, (n,), or None for a law without components."""
    if isinstance(law, Law):
        return None if law.component is None else law.component(y)
    mixture = law.law if isinstance(law, Reference) else None
    if not isinstance(mixture, MixtureSameFamily):
        return None
    return (mixture.component_distribution.log_prob(y[:, None]) + mixture.mixture_distribution.logits).argmax(1)


def _draw_once(law: Measure, n: int, seed: int) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would also reset the generators of other devices.
        torch.default_generator.manual_seed(seed)
        return law.sample(n)
