"""Labelled points: rows (x, k), whose last column is the number of the point's class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from ot_gen.arguments import Count, Index, Labels, Vector, checked
from ot_gen.measures.empirical import Empirical
from ot_gen.measures.measure import Measure, check_cube
from ot_gen.measures.pixels import taken
from ot_gen.measures.points import check_weights


@checked
def labelled(x: Tensor, labels: Tensor) -> Tensor:
    """The rows (x_i, k_i): points (n, d) and classes (n,) -> (n, d + 1), differentiable in x.

    Example:
        >>> labelled(torch.zeros(2, 1), torch.tensor([0, 3]))
        tensor([[0., 0.],
                [0., 3.]])
    """
    column = labels.to(x)
    if x.is_floating_point() and x.element_size() < 4 and not column.to(labels.dtype).equal(labels):
        raise ValueError(f"{x.dtype} does not hold the classes up to {labels.max()} apart; give the points in float32")
    return torch.cat([x, column[:, None]], dim=1)


@checked
def unlabelled(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The points (n, d) and their classes, (n,) int64, of rows (n, d + 1).

    Example:
        >>> unlabelled(torch.tensor([[0.5, 3.0]]))
        (tensor([[0.5000]]), tensor([3]))
    """
    return rows[:, :-1], rows[:, -1].detach().round().long()


@final
@checked
class Labelled(Measure):
    """The law Σ_k p_k ζ_k ⊗ δ_k of rows (z, k): a class k ~ p, and a point of its law ζ_k.

    Args:
        parts: one law ζ for all classes, or a list of one for each.
        shares: p_k, (K,), masses of total 1.

    Raises:
        ValueError: shares that are no masses, another number of laws, or laws of different dimension.

    Example:
        >>> from ot_gen import standard_gaussian
        >>> zeta = Labelled(standard_gaussian(2), torch.tensor([0.5, 0.5]))
        >>> zeta.sample(4).shape, zeta.given(1).sample(2)[:, 2]
        (torch.Size([4, 3]), tensor([1., 1.]))
    """

    classes: int
    shares: Tensor

    def __init__(self, parts: Measure | Sequence[Measure], shares: Vector) -> None:
        super().__init__()
        self.classes = len(shares)
        check_weights(shares, self.classes)
        laws = [parts] if isinstance(parts, Measure) else list(parts)
        if len(laws) not in (1, self.classes):
            raise ValueError(f"{self.classes} classes need one law, or one for each, got {len(laws)}")
        dims = {law.dim for law in laws}
        if len(dims) > 1:
            raise ValueError(f"the laws of the classes live in dimensions {sorted(dims)}; give laws of one space")
        self.parts = nn.ModuleList(laws)
        self.register_buffer("shares", shares)
        self.dim = dims.pop() + 1
        cube = laws[0].cube_dim
        self.cube_dim = None if cube is None or len(laws) > 1 else cube + 1

    def part(self, label: Index) -> Measure:
        """ζ_k, the law of the points of one class."""
        part = self.parts[min(checked_label(label, self.classes), len(self.parts) - 1)]
        assert isinstance(part, Measure)
        return part

    def given(self, label: Index) -> Labelled:
        """The law of rows of one class, ζ_k ⊗ δ_k, on the same parameters.

        Raises:
            ValueError: there is no such class.
        """
        shares = torch.zeros_like(self.shares)
        shares[checked_label(label, self.classes)] = 1
        return Labelled([self.part(k) for k in range(len(self.parts))], shares)

    def sample(self, n: Count) -> Tensor:
        with torch.no_grad():
            return self.rsample(n)

    def rsample(self, n: Count) -> Tensor:
        return self.rsample_given(torch.multinomial(self.shares, n, replacement=True))

    def rsample_given(self, labels: Labels) -> Tensor:
        if len(self.parts) == 1:
            return labelled(self.part(0).rsample(len(labels)), labels)
        return _of_each(self, labels)

    def from_cube(self, u: Tensor) -> Tensor:
        if self.cube_dim is None:
            return super().from_cube(u)
        check_cube(u, self.cube_dim)
        ends = self.shares.double().cumsum(0)
        labels = torch.searchsorted(ends, u[:, -1].contiguous().to(ends) * ends[-1]).clamp_max(self.classes - 1)
        return labelled(self.part(0).from_cube(u[:, :-1]), labels)

    def extra_repr(self) -> str:
        return f"classes={self.classes}, dim={self.dim}"


@final
@checked
class LabelledData(Measure):
    """Data with classes as a law of rows (y, k): ν = Σ_k p_k ν_k ⊗ δ_k, p_k the share of a class among the atoms.

    `sample` gives each class its share of the n rows, to less than one, in random order: a stratified sample.

    Args:
        data: the atoms.
        labels: their classes, (m,), numbered from 0 without a gap.

    Raises:
        ValueError: labels that are not one for each atom, or a class with fewer than two atoms.

    Example:
        >>> nu = LabelledData(Empirical(torch.eye(4)), torch.tensor([0, 0, 1, 1]))
        >>> nu.sample(6)[:, -1].sort().values, len(nu.part(1))
        (tensor([0., 0., 0., 1., 1., 1.]), 2)
    """

    classes: int
    shares: Tensor

    def __init__(self, data: Empirical, labels: Labels) -> None:
        super().__init__()
        labels = labels.to(torch.int64)
        if labels.shape != (len(data),) or int(labels.min()) < 0:
            raise ValueError(f"labels must be whole numbers >= 0, one for each of {len(data)} atoms")
        self.classes = int(labels.max()) + 1
        if self.classes > len(data) // 2:
            raise ValueError(
                f"labels go up to {self.classes - 1}, and each class from 0 on needs two of the {len(data)} atoms; "
                "number the classes without a gap"
            )
        counts = torch.bincount(labels, minlength=self.classes)
        if int(counts.min()) < 2:
            few = int(counts.argmin())
            raise ValueError(
                f"class {few} has {int(counts[few])} atoms, and each class from 0 to {self.classes - 1} needs two; "
                "number the classes without a gap, or leave out the rare ones"
            )
        order = torch.argsort(labels.to(data.rows.device), stable=True)
        weights = data.weights[order]
        masses = [part.sum() for part in weights.double().split(counts.tolist())]
        if empty := [k for k, mass in enumerate(masses) if not float(mass) > 0]:
            raise ValueError(f"the atoms of class {empty[0]} have no mass; leave them out, and number the others anew")
        self.register_buffer("shares", torch.stack(masses).to(weights), persistent=False)
        parts = (taken(data.rows, part) for part in order.split(counts.tolist()))
        self.parts = nn.ModuleList(
            Empirical(y) if data.is_uniform else Empirical(y, b.double() / b.double().sum())
            for y, b in zip(parts, weights.split(counts.tolist()), strict=True)
        )
        self.dim = data.dim + 1

    def part(self, label: Index) -> Empirical:
        """ν_k, the atoms of one class."""
        part = self.parts[checked_label(label, self.classes)]
        assert isinstance(part, Empirical)
        return part

    def given(self, label: Index) -> Labelled:
        """The atoms of one class as a law of rows."""
        return Labelled([self.part(k) for k in range(self.classes)], self.shares).given(label)

    def labels(self, n: Count) -> Tensor:
        """n classes in random order, each as often as its share says, to less than one: (n,)."""
        ends = self.shares.double().cumsum(0)
        places = (torch.arange(n, device=ends.device) + torch.rand((), device=ends.device)) / n
        labels = torch.searchsorted(ends, places.to(ends) * ends[-1]).clamp_max_(self.classes - 1)
        return labels[torch.randperm(n, device=ends.device)]

    def sample(self, n: Count) -> Tensor:
        return self.rsample_given(self.labels(n))

    def rsample_given(self, labels: Labels) -> Tensor:
        return _of_each(self, labels)

    def extra_repr(self) -> str:
        return f"classes={self.classes}, dim={self.dim}"


@checked
def joint(mu: Measure, nu: Measure, n: Count) -> tuple[Tensor, Tensor]:
    """n samples of the model, with a graph, and n of the data, independent but for their classes, where they have any.

    Example:
        >>> from ot_gen import standard_gaussian
        >>> nu = LabelledData(Empirical(torch.eye(4)), torch.tensor([0, 0, 1, 1]))
        >>> x, y = joint(Labelled(standard_gaussian(4), nu.shares), nu, 6)
        >>> torch.equal(x[:, -1], y[:, -1])
        True
    """
    if nu.classes is None:
        return mu.rsample(n), nu.sample(n)
    y = nu.sample(n)
    return mu.rsample_given(unlabelled(y)[1]), y


@checked
def alike(measure: Measure, rows: Tensor) -> Tensor:
    """Another sample of a measure, as large as one that there is, (n, dim), and with its classes, where it has any.

    Example:
        >>> from ot_gen import standard_gaussian
        >>> alike(standard_gaussian(2), torch.zeros(5, 2)).shape
        torch.Size([5, 2])
    """
    with torch.no_grad():
        if measure.classes is None:
            return measure.sample(len(rows))
        return measure.rsample_given(unlabelled(rows)[1])


def checked_label(label: int, classes: int) -> int:
    """The class, or a `ValueError` where there is none of its number.

    Example:
        >>> checked_label(9, 10)
        9
    """
    if label >= classes:
        raise ValueError(f"there are classes 0 to {classes - 1}, got {label}")
    return label


def _of_each(law: Labelled | LabelledData, labels: Tensor) -> Tensor:
    """A row of each class in labels, in their order."""
    classes, counts = labels.unique(return_counts=True)
    drawn = [law.part(k).rsample(n) for k, n in zip(classes.tolist(), counts.tolist(), strict=True)]
    order = torch.argsort(labels, stable=True)
    return labelled(torch.cat(drawn)[torch.argsort(order)], labels)
