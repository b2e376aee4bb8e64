"""Where the samples of a certificate come from: some to fit a potential, others, never seen, to judge it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
import torch
from torch import Tensor

from ot_gen.arguments.tensors import tensor
from ot_gen.data.arrays import read_array
from ot_gen.measures import Empirical, Measure, check_cloud
from ot_gen.semidual.tally import batches

REPLICATES = 6
FEWEST_ROWS = 200


class Source(Protocol):
    """What gives the next n samples, (n, d)."""

    def draw(self, n: int) -> Tensor:
        """The next n samples."""


class Draws(ABC):
    """The samples of μ: a law to fit a potential to, a pilot sample for choices, and independent replicates to judge.

    Attributes:
        law: what the potential is fitted to.
        size: the samples that a replicate holds, None if there is no end to them.
        pilot_size: the same of the pilot.
    """

    law: Measure
    size: int | None
    pilot_size: int | None

    @abstractmethod
    def fitting(self, n: int) -> Tensor:
        """Samples to fit to, (n, d), or all of them where there are not so many."""

    @abstractmethod
    def pilot(self) -> Source:
        """Samples for choices; none of them judges."""

    @abstractmethod
    def replicate(self, number: int) -> Source:
        """Replicate 0, ..., REPLICATES − 1: independent of the others, of the pilot and of what was fitted."""


@final
class Sampled(Draws):
    """Independent draws from a law that is sampled without end.

    Low-discrepancy points would be nearer to the truth on average, but their errors are too far from normal for a
    confidence level. Where μ has tails, the few points of its outermost strata decide the error.

    Args:
        law: the checked law μ.
        seed: of all samples.

    Example:
        >>> from ot_gen import standard_gaussian
        >>> Sampled(standard_gaussian(2), seed=0).replicate(3).draw(5).shape
        torch.Size([5, 2])
    """

    size = None
    pilot_size = None

    def __init__(self, law: Measure, seed: int) -> None:
        self.law = law
        self.seed = seed

    def fitting(self, n: int) -> Tensor:
        source = Fresh(self.law, self.seed + 1 + REPLICATES)
        return torch.cat([source.draw(size) for size in batches(n)])

    def pilot(self) -> Source:
        return Fresh(self.law, self.seed)

    def replicate(self, number: int) -> Source:
        return Fresh(self.law, self.seed + 1 + number)


@final
class Fresh:
    """Independent samples of a law, from a seed of their own."""

    def __init__(self, law: Measure, seed: int) -> None:
        self.law = law
        self.seed = seed
        self.drawn = 0

    def draw(self, n: int) -> Tensor:
        """The next n samples."""
        torch.manual_seed(hash((self.seed, self.drawn)) % 2**32)  # torch's generator reads 32 bits of a seed
        self.drawn += n
        return self.law.sample(n)


@final
class Rows:
    """Rows of a finite sample, given out once each."""

    def __init__(self, points: Tensor) -> None:
        self.points = points
        self.drawn = 0

    def draw(self, n: int) -> Tensor:
        """The next n rows."""
        self.drawn += n
        return self.points[self.drawn - n : self.drawn]


@final
class Tabulated(Draws):
    """Draws from N rows, independent samples of an unknown law: split at random, 45 % to fit, 45 % to judge.

    Args:
        points: the rows, (N, d), with N at least `FEWEST_ROWS`.
        seed: of the split.

    Raises:
        ValueError: too few rows.

    Example:
        >>> draws = Tabulated(torch.rand(1000, 2), seed=0)
        >>> len(draws.law), draws.pilot_size, draws.size
        (450, 100, 75)
    """

    law: Empirical

    def __init__(self, points: Tensor, seed: int) -> None:
        n = len(points)
        if n < FEWEST_ROWS:
            raise ValueError(
                f"a certificate from {n} samples would say nothing: some fit the potential, the rest judge "
                f"it in {REPLICATES} replicates; give at least {FEWEST_ROWS} rows, or an object with sample(n)"
            )
        generator = torch.Generator("cpu").manual_seed(seed)
        points = points[torch.randperm(n, generator=generator, device="cpu").to(points.device)]
        fitted, self.pilot_size = round(0.45 * n), n // 10
        self.size = (n - fitted - self.pilot_size) // REPLICATES
        self.law = Empirical(points[:fitted])
        self.piloted = points[fitted : fitted + self.pilot_size]
        self.judging = points[fitted + self.pilot_size :]

    def fitting(self, n: int) -> Tensor:
        return self.law.atoms[:n]

    def pilot(self) -> Source:
        return Rows(self.piloted)

    def replicate(self, number: int) -> Source:
        assert self.size is not None
        return Rows(self.judging[number * self.size : (number + 1) * self.size])


def rows_of(samples: Tensor | str | Path, like: Tensor) -> Tensor:
    """The rows of a tensor or a file, (N, d), checked, in the dtype and on the device of the atoms `like`.

    The file is an .npy, .npz or .csv, as of `ot_gen.data.points`.

    Raises:
        ValueError: no finite floating-point (N, d) cloud of the atoms' dimension, or a file that cannot be read.

    Example:
        >>> rows_of(torch.zeros(300, 2).double(), like=torch.zeros(5, 2)).dtype
        torch.float32
    """
    if not isinstance(samples, Tensor):
        samples = _read(samples)
    check_cloud(samples, "samples")
    if samples.shape[1] != like.shape[1]:
        raise ValueError(
            f"samples of shape {tuple(samples.shape)} and atoms of dimension {like.shape[1]} do not compare; "
            "flatten and scale both alike"
        )
    return samples.detach().to(like)


def samples_in(given: object, like: Tensor, name: str) -> Any:
    """Arrays and lists of samples as a tensor, of the dtype and on the device of the atoms `like`; others as given.

    Example:
        >>> samples_in([[1.0, 2.0]], torch.zeros(5, 2), "mu")
        tensor([[1., 2.]])
    """
    is_law = isinstance(given, Tensor | str | Path) or hasattr(given, "sample")
    if is_law or not (isinstance(given, list | tuple) or hasattr(given, "__array__")):
        return given
    return tensor().take(given, name, ((like,), {}))


def _read(path: str | Path) -> Tensor:
    array = read_array(path)
    if array.dtype.kind != "f":
        raise ValueError(
            f"{path} holds {array.dtype}; save floating-point samples in the units of the data (pixels / 255, say)"
        )
    return torch.from_numpy(array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32))
