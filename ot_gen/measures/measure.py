"""Probability measures: the reference ζ, the data ν and the model μ = g#ζ.

Every measure answers `sample(n)` with a point cloud of shape (n, dim). Randomness comes from torch's global
generator, so `torch.manual_seed` (set by the caller, never here) makes every draw reproducible.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.arguments import Count, Index, Labels, checked
from ot_gen.display import Shown


@checked
class Measure(Shown, ABC):
    """A probability measure on R^dim that can be sampled.

    `cube_dim` is k where `from_cube` maps the uniform law on the cube (0, 1)^k to this one, else None. There
    low-discrepancy points can replace random ones. `classes` is the number of classes where its points are rows (x, k)
    with a class, else None. `mixture` is a mixture of Gaussians, or of uniform laws on rectangles, that it equals to
    many digits, where one is known; masses are exact by it.

    Example:
        >>> import torch
        >>> from ot_gen import Measure
        >>> class Steps(Measure):  # the uniform law on {0, 1}
        ...     dim = 1
        ...     def sample(self, n):
        ...         return torch.randint(2, (n, 1)).float()
        >>> Steps().sample(5).shape
        torch.Size([5, 1])
    """

    dim: int
    cube_dim: int | None = None
    classes: int | None = None
    mixture: Distribution | None = None

    @abstractmethod
    def sample(self, n: Count) -> Tensor:
        """n independent points, (n, dim), without a graph."""

    def rsample(self, n: Count) -> Tensor:
        """n points, (n, dim), differentiable in the measure's parameters where it has any."""
        return self.sample(n)

    def rsample_given(self, labels: Labels) -> Tensor:
        """One point of each class in labels (n,), (n, dim), differentiable as `rsample`.

        Raises:
            ValueError: the measure has no classes.
        """
        raise ValueError(f"{type(self).__name__} has no classes; make it of rows (x, k) with Labelled")

    def given(self, label: Index) -> Measure:
        """The law of the points of one class.

        Raises:
            ValueError: the measure has no classes.
        """
        raise ValueError(f"{type(self).__name__} has no classes; make it of rows (x, k) with Labelled")

    def from_cube(self, u: Tensor) -> Tensor:
        """The images, (n, dim), of points u (n, cube_dim), uniform in the open cube.

        Raises:
            NotImplementedError: the measure is not known as such an image; `cube_dim` is None.
            ValueError: u has another shape, or leaves the open cube.
        """
        raise NotImplementedError(f"{type(self).__name__} is not known as the image of a cube")

    @staticmethod
    def instead_of(thing: object) -> str:
        """What makes a measure of something else, in the words of an error."""
        return advice(thing)


def check_cube(u: Tensor, dim: int) -> None:
    """Raise a `ValueError` unless u holds points of the open cube (0, 1)^dim, (n, dim).

    Example:
        >>> check_cube(torch.full((3, 2), 0.5), 2)
    """
    if u.ndim != 2 or u.shape[1] != dim or not u.is_floating_point():
        raise ValueError(f"u must hold floats, points (n, {dim}) of the cube, got {tuple(u.shape)} of {u.dtype}")
    if not bool(((u > 0) & (u < 1)).all()):
        raise ValueError(f"u must lie in the open cube (0, 1)^{dim}, got points outside of it or NaN")


@checked
def advice(thing: object) -> str:
    """What to do with something that should be a measure, in the words of an error.

    Example:
        >>> advice(torch.zeros(3, 2))
        'wrap points: Empirical(points)'
    """
    if isinstance(thing, type):
        return "call the class with its arguments"
    if isinstance(thing, Distribution):
        return "wrap a law: Reference(law)"
    if isinstance(thing, Tensor):
        return "wrap points: Empirical(points)"
    if hasattr(thing, "__array__") or (isinstance(thing, Sequence) and not isinstance(thing, str)):
        return "wrap points: Empirical(torch.as_tensor(points))"
    if isinstance(thing, nn.Module) and not (hasattr(thing, "matrix") or hasattr(thing, "sense")):  # cost, solver
        return "of a generator make the law of its outputs: Pushforward(generator, zeta)"
    return "see ot_gen.measures"


@contextmanager
@checked
def undisturbed(*modules: nn.Module) -> Iterator[None]:
    """Look at modules without changing training: evaluation mode, no graph, the random state put back.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> before = torch.get_rng_state()
        >>> with undisturbed(net):
        ...     _ = torch.randn(3)
        >>> bool((torch.get_rng_state() == before).all())
        True
    """
    modes = [(part, part.training) for module in modules for part in module.modules()]
    devices = range(torch.cuda.device_count())
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        for part, _ in modes:
            part.training = False
        try:
            yield
        finally:
            for part, training in modes:
                part.training = training
