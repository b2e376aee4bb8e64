"""What a generative model is trained and judged on: a law or a cloud to learn from, and held-out points."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, final

import torch
from torch import Tensor

from ot_gen.arguments import Count, Interval, Labels, checked
from ot_gen.display import COLOURS, DATA, card, cut, facts, line, pictures, scatter, subscript
from ot_gen.measures import Empirical, LabelledData, Measure, Pixels, Standardised, Units, labelled, moments
from ot_gen.measures.pixels import taken

Share = Annotated[float, Interval(0, 1, "()")]  # of the points that is held out


@final
@checked
@dataclass(frozen=True, eq=False, repr=False)  # tensors have no one truth value of equality
class Dataset:
    """The data ν to learn from, with held-out points of the same law.

    Args:
        train: the training atoms (`Empirical`), or the law itself, sampled afresh at every step.
        test: the held-out atoms, of the dimension of `train`.
        shape: (channels, height, width) when each row is an image flattened in that order.
        train_labels: the classes of the training atoms, (m,) int64 >= 0, or None where they have none.
        test_labels: the classes of the held-out atoms, in the same numbering.
        class_names: the name of each class, in the order of their numbers; None where they are known by these.
        units: where `train` and `test` are in standard coordinates, the units that these stand for.
        original: then the data in their own units; None says that these are in their own units.

    Solvers read the labels of `by_label` alone; else they colour pictures and train judges.

    Raises:
        ValueError: train and test differ in dimension, `shape` is not three positive sizes whose product is it, labels
            are not one whole number >= 0 for each atom, or a class has no name where others have.

    Example:
        >>> data = Dataset(Empirical(torch.rand(8, 12)), Empirical(torch.rand(2, 12)), shape=(3, 2, 2))
        >>> data.dim, data.shape
        (12, (3, 2, 2))
    """

    train: Measure
    test: Empirical
    shape: tuple[Count, Count, Count] | None = None
    train_labels: Labels | None = None
    test_labels: Labels | None = None
    units: Units | None = None
    original: Dataset | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check that dimensions, labels and shape agree."""
        _check_labels(self.train_labels, self.train, "train_labels")
        _check_labels(self.test_labels, self.test, "test_labels")
        for labels in (self.train_labels, self.test_labels):
            if self.class_names is not None and labels is not None and int(labels.max()) >= len(self.class_names):
                raise ValueError(
                    f"there are {len(self.class_names)} class_names, and labels up to {int(labels.max())}; name "
                    "each class"
                )
        if self.train.dim != self.test.dim:
            raise ValueError(
                f"the training points have dimension {self.train.dim} and the held-out points {self.test.dim}; "
                "give points of one space"
            )
        if self.shape is None:
            return
        if math.prod(self.shape) != self.dim:
            raise ValueError(
                f"shape {tuple(self.shape)} does not fit rows of {self.dim} numbers; "
                f"give (channels, height, width) with channels * height * width = {self.dim}"
            )

    def __repr__(self) -> str:
        return line("Dataset", *(f"{name}={value}" for name, value in self._facts().items() if value))

    def _repr_html_(self) -> str:
        own, rest = self.own, self._facts()
        if own.shape is not None and own.shape[0] in (1, 3):
            drawn = pictures(own.atoms.rows[_spread(len(own.atoms), 20)], own.shape)
        else:
            drawn = own._scatter()
        return card("Data", f"{rest.pop('train')}, held out {rest.pop('test')}", drawn, facts(rest))

    def _facts(self) -> dict[str, str | None]:
        train = f"{len(self.train):,} atoms" if isinstance(self.train, Empirical) else repr(self.train)
        labels = self.own.train_labels if self.own.test_labels is None else self.own.test_labels
        classes = None if labels is None else f"{int(labels.max()) + 1}"
        return {
            "train": train,
            "test": f"{len(self.test):,} atoms",
            "dim": str(self.dim),
            "shape": None if self.shape is None else " x ".join(map(str, self.shape)),
            "classes": classes,
            "names": None if self.class_names is None else cut(", ".join(self.class_names), 100),
            "units": None if self.units is None else repr(self.units),
        }

    def _scatter(self) -> str:
        """Some atoms in two coordinates, those that vary most, by class where there are few."""
        which = _spread(len(self.atoms), 500)
        points = self.atoms.rows[which].detach().cpu()
        if points.shape[1] == 1:
            points = torch.cat([points, torch.zeros_like(points)], dim=1)
        first, second = sorted(points.double().var(dim=0).topk(2).indices.tolist())
        plane, names = points[:, [first, second]], (f"x{subscript(first + 1)}", f"x{subscript(second + 1)}")
        labels = self.train_labels if self.atoms is self.train else self.test_labels
        if labels is None or int(labels.max()) >= len(COLOURS):
            return scatter({"": plane}, names, [DATA])
        own = labels.cpu()[which]
        return scatter({self.name_of(k): plane[own == k] for k in own.unique().tolist()}, names)

    def standardised(self, units: Units, copy: bool = True) -> Dataset:
        """These data, which are in their own units, in the standard coordinates of `units`.

        Args:
            units: mostly those of the training data.
            copy: whether training atoms are copied, or standardised as they are drawn.
        """
        train = units.standardised(self.train) if copy else Standardised(self.train, units)
        test = units.standardised(self.test)
        assert isinstance(test, Empirical)
        return replace(self, train=train, test=test, units=units, original=self)

    def by_label(self) -> Dataset:
        """These data as labelled rows (y, k), for a model that generates by class; `own` are still points.

        Raises:
            ValueError: data without labels, or a class with fewer than two training atoms.

        Example:
            >>> data = Dataset.split(torch.eye(6), 0.34, seed=None, labels=torch.tensor([0, 0, 1, 1, 0, 1]))
            >>> rows = data.by_label()
            >>> rows.train.classes, rows.test.atoms[:, -1], rows.own.dim
            (2, tensor([0., 1.]), 6)
        """
        of_train, of_test = self.labels
        assert isinstance(self.train, Empirical)  # labels belong to atoms
        train = LabelledData(self.train, of_train)
        if int(of_test.max()) >= train.classes:
            raise ValueError(
                f"held-out points have the class {int(of_test.max())}, and the training points classes 0 to "
                f"{train.classes - 1}; give training points of every class"
            )
        rows = Empirical(labelled(self.test.atoms, of_test))
        return Dataset(train, rows, units=self.units, original=self.own, class_names=self.class_names)

    def with_mirror_images(self) -> Dataset:
        """These images, with the law ½ ν + ½ (mirror)#ν to learn from: a fair coin mirrors an image left to right.

        The mirror images are further training atoms, of the labels of the images; they take no memory. The held-out
        images stay as they are.

        Raises:
            ValueError: data that are not stored as `Pixels`.

        Example:
            >>> from ot_gen.measures import Pixels
            >>> images = torch.tensor([0, 51, 255, 51] * 2, dtype=torch.uint8).reshape(4, 1, 1, 2)
            >>> data = Dataset.split(Pixels(images), 0.5, seed=None, shape=(1, 1, 2)).with_mirror_images()
            >>> data.train.atoms
            tensor([[0.0000, 0.2000],
                    [1.0000, 0.2000],
                    [0.2000, 0.0000],
                    [0.2000, 1.0000]])
        """
        if not isinstance(self.train, Empirical) or not isinstance(self.train.rows, Pixels):
            raise ValueError("only images are mirrored, and these data are no Pixels; leave flip out")
        labels = None if self.train_labels is None else self.train_labels.repeat(2)
        return replace(self, train=Empirical(self.train.rows.with_mirror_images()), train_labels=labels)

    def name_of(self, label: int) -> str:
        """The name of a class, or its number."""
        return str(label) if self.class_names is None else self.class_names[label]

    @property
    def own(self) -> Dataset:
        """The data in their own units: these themselves, unless they are standardised."""
        return self if self.original is None else self.original

    @property
    def atoms(self) -> Empirical:
        """The training data, or the held-out ones of a law that is sampled afresh: what scales are read off."""
        return self.train if isinstance(self.train, Empirical) else self.test

    @property
    def dim(self) -> int:
        """The dimension d of the data space."""
        return self.train.dim

    @property
    def labels(self) -> tuple[Tensor, Tensor]:
        """The classes of the training and of the held-out atoms, where they are required.

        Raises:
            ValueError: the data have no labels.

        Example:
            >>> points, classes = torch.eye(4), torch.tensor([0, 0, 1, 1])
            >>> train, test = Dataset.split(points, 0.5, seed=None, labels=classes).labels
            >>> train, test
            (tensor([0, 0]), tensor([1, 1]))
        """
        if self.train_labels is None or self.test_labels is None:
            missing = "training" if self.train_labels is None else "held-out"
            raise ValueError(
                f"the {missing} points have no labels, which are asked for here; use data with classes (mnist(), "
                "digits(), a toy mixture of a fixed size, a folder of images with one subfolder for each class), or "
                "give train_labels and test_labels"
            )
        return self.train_labels, self.test_labels

    @cached_property
    def variance(self) -> float:
        """The total variance E‖y − ȳ‖² of the training data, the scale of regularisation weights.

        Exact, in float64, when `train` is an `Empirical`; any other law is estimated on the held-out atoms.

        Raises:
            ValueError: the variance is 0, all points are identical.

        Example:
            >>> points = Empirical(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
            >>> Dataset(points, points).variance
            1.0
        """
        variance = float(moments(self.atoms)[1].sum())
        if variance == 0:
            raise ValueError(
                "the data have variance 0: all points are identical, or so near that their squared distances are "
                "rounded to 0, so there is no scale to measure costs by; give at least two different points, or "
                "rescale them"
            )
        return variance

    @classmethod
    def split(
        cls,
        points: Tensor | Pixels,
        test_fraction: Share = 0.2,
        seed: int | None = 0,
        shape: tuple[Count, Count, Count] | None = None,
        max_test: Annotated[int, Interval(2)] | None = None,
        labels: Labels | None = None,
        class_names: tuple[str, ...] | None = None,
    ) -> Dataset:
        """One cloud, split at random into training and held-out atoms (at least two of each).

        Args:
            points: the cloud, (n, d), n >= 4; of pixels no copy is made.
            test_fraction: the share of the points that is held out, in (0, 1).
            seed: of the random order; None keeps the order given and holds out the last rows, without a copy.
            shape: (channels, height, width) when the rows are images.
            max_test: at most this many points are held out.
            labels: the classes of the points, (n,), split along with them; None where they have none.
            class_names: as of the data set.

        Raises:
            ValueError: a fraction outside (0, 1), fewer than four points, `max_test` < 2, or what `Dataset` and
                `Empirical` refuse.

        Example:
            >>> data = Dataset.split(torch.rand(10, 3), test_fraction=0.3)
            >>> len(data.train), len(data.test)
            (7, 3)
        """
        n = len(points)
        if n < 4:
            raise ValueError(
                f"the data have {n} point{'s' if n != 1 else ''}, too few to split into training and held-out points; "
                "give at least four"
            )
        held_out = min(max(2, round(test_fraction * n)), n - 2, n if max_test is None else max_test)
        if labels is not None and labels.shape != (n,):
            raise ValueError(f"labels must have shape ({n},), one for each point, got {tuple(labels.shape)}")
        if seed is not None:
            order = torch.randperm(n, generator=torch.Generator("cpu").manual_seed(seed), device="cpu")
            points, labels = taken(points, order), None if labels is None else labels[order]
        train, test = (Empirical(taken(points, part)) for part in (slice(-held_out), slice(-held_out, None)))
        if labels is None:
            return cls(train, test, shape)
        return cls(train, test, shape, labels[:-held_out], labels[-held_out:], class_names=class_names)


def _spread(count: int, most: int) -> Tensor:
    """Numbers of at most so many rows, evenly spread."""
    return torch.linspace(0, count - 1, min(count, most), device="cpu").round().long()


def _check_labels(labels: Tensor | None, measure: Measure, name: str) -> None:
    if labels is None:
        return
    if not isinstance(measure, Empirical):
        raise ValueError(
            f"{name} belong to atoms, but the law {type(measure).__name__} has none: it is sampled afresh at every "
            f"step; leave {name} out, or draw a fixed set from the law first"
        )
    if labels.shape != (len(measure),) or labels.dtype != torch.int64 or bool((labels < 0).any()):
        raise ValueError(
            f"{name} must be whole numbers >= 0, int64 of shape ({len(measure)},), one for each atom, got "
            f"{labels.dtype} of shape {tuple(labels.shape)} with minimum {labels.min() if labels.numel() else 'none'}; "
            f"number the classes from 0, e.g. {name}.long()"
        )
