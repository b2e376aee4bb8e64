"""The c-transform of a table of potentials, streamed over the atoms."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ot_gen.arguments import Nonnegative, checked
from ot_gen.costs import Cost
from ot_gen.measures import Pixels
from ot_gen.semidual.scores import PART_ENTRIES, Scores, all_finite, attained, below, shares
from ot_gen.semidual.tiles import Tile

SMALL = 2**17  # scores up to which the plain minimum is taken, 0.5 MB in float32
KEPT = 2**22  # scores up to which they are kept for the backward pass and not made again, 16 MB in float32


@checked
def c_transform(
    cost: Cost, x: Tensor, y: Tensor | Pixels, h_tilde: Tensor, epsilon: Nonnegative = 0.0
) -> tuple[Tensor, Tensor]:
    """The c-transform of a table of potentials, streamed over tiles of atoms.

    ε = 0:  h(x) = min_j  c(x, y_j) − h̃_j
    ε > 0:  h(x) = −ε log Σ_j exp((h̃_j − c(x, y_j)) / ε), which lies between min − ε log m and min

    It is a min: then h(x) + h̃_j <= c(x, y_j), for every ε >= 0, and E[h] + Σ_j b_j h̃_j <= W_c (weak duality). Where
    the cost is a product (`Cost.bilinear`), a tile is one matrix product. The value is that of the paired cost at the
    argmin (less a soft part), free of the product's cancellation. Which of several atoms that tie to rounding is
    returned may vary.

    Gradients in x, y and h̃ follow from the envelope theorem, once. For ε = 0 they are those of c(x, y_j*) − h̃_j* at
    the minimiser j*. For ε > 0 they are the softmax average, made again tile by tile. Extra memory stays under 64 MB
    (1 GB on a GPU) whatever n, m and d, apart from what features and gradients of all atoms need. So the atoms may be
    a file larger than memory: `np.load(path, mmap_mode="c")` is read a panel at a time. (Mode "c" is copy on write;
    torch warns of the read-only mode "r".)

    Args:
        cost: the ground cost c.
        x: points, (n, d), finite.
        y: atoms y_j, (m, d), m >= 1; `nu.rows` of an `Empirical` reads pixels a panel at a time.
        h_tilde: potentials h̃_j, (m,), finite; in a wider dtype than x and y, that of all that is computed.
        epsilon: ε >= 0, in the units of the cost.

    Returns:
        (values, argmin): h(x_i), (n,), and the atom that attains the hard minimum, (n,), int64.

    Raises:
        ValueError: arguments of another kind, shapes, dtypes or devices that do not fit, NaN or Inf in x, h̃ or the
            costs, or ε < 0.

    Source: Genevay, Cuturi, Peyré, Bach, 2016, https://arxiv.org/abs/1605.08527

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> y, h_tilde = torch.tensor([[0.0], [3.0]]), torch.tensor([0.0, 1.0])
        >>> c_transform(SquaredEuclidean(), torch.tensor([[1.0], [2.0]]), y, h_tilde)
        (tensor([1., 0.]), tensor([0, 1]))

        Atoms in a file:

        >>> import numpy as np, tempfile
        >>> with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        ...     np.save(file.name, y.numpy())
        ...     atoms = torch.from_numpy(np.load(file.name, mmap_mode="c"))
        ...     c_transform(SquaredEuclidean(), torch.tensor([[1.0]]), atoms, h_tilde)
        (tensor([1.]), tensor([0]))
    """
    if isinstance(y, Tensor) and x.dtype == y.dtype:
        x, y = widened_to(h_tilde, x), widened_to(h_tilde, y)
    check_table(y, h_tilde)
    check_points(x, y)
    if epsilon == 0 and _small(x, y):
        with torch.no_grad():
            minimum, argmin = (cost.matrix(x, y[:]) - h_tilde).min(dim=1)
        return attained(cost, x, y, h_tilde, argmin, minimum), argmin
    scores = Scores.streamed(cost, y)
    if epsilon == 0:
        return scores.hard(x, h_tilde)
    return _soft(scores, x, h_tilde, epsilon)


def _small(x: Tensor, y: Tensor | Pixels) -> bool:
    """Whether a plain minimum over the matrix of costs is done before a stream would be prepared."""
    few = len(x) * len(y) <= SMALL and max(x.numel(), y.numel()) <= PART_ENTRIES
    return few and torch.finfo(y.dtype).bits >= 32


def _soft(scores: Scores, x: Tensor, h_tilde: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    size = max(1, scores.part // x.shape[1])
    if len(x) > size:
        parts = [_soft(scores, part, h_tilde, epsilon) for part in x.split(size)]
        return torch.cat([value for value, _ in parts]), torch.cat([argmin for _, argmin in parts])
    points, rest = scores.points(x)
    atoms = scores.atoms if isinstance(scores.atoms, Tensor) else None
    soft, minimum, argmin = _SoftMin.apply(points, atoms, h_tilde, scores, 1 / epsilon)
    value = epsilon * soft if rest is None else epsilon * soft + rest
    with torch.no_grad():
        # The paired cost at the argmin, less the soft part, in place of what the product made of it.
        hard = attained(scores.cost, x, scores.atoms, h_tilde, argmin, minimum)
        correction = hard - epsilon * (minimum - soft) - value
    value = (value + correction).to(x.dtype)
    if not all_finite(value):
        raise ValueError(f"the c-transform at epsilon = {epsilon:g} overflows {x.dtype}: it is about −ε log m; lower ε")
    return value, argmin


def widened_to(h_tilde: Tensor, points: Tensor) -> Tensor:
    """Points (n, d) in the dtype of a table, if that is the wider one."""
    floats = points.is_floating_point() and h_tilde.is_floating_point()
    wider = floats and torch.finfo(h_tilde.dtype).bits > torch.finfo(points.dtype).bits
    return points.to(h_tilde.dtype) if wider else points


def check_table(y: Tensor | Pixels, h_tilde: Tensor) -> None:
    """Raise a `ValueError` unless h̃ (m,) is a finite table over atoms y (m, d); reads no atom."""
    if len(y.shape) != 2 or y.numel() == 0:
        raise ValueError(f"a c-transform needs atoms y (m, d), m >= 1, got {tuple(y.shape)}; one atom a row")
    if not y.dtype.is_floating_point:
        raise ValueError(f"atoms must be floating point, got {y.dtype}; convert them, e.g. y.float()")
    check_values(h_tilde, len(y))
    _check_like(h_tilde, y, "h_tilde")


def check_values(h_tilde: Tensor, m: int) -> None:
    """Raise a `ValueError` unless h̃ holds one finite real number for each of m atoms."""
    if h_tilde.shape != (m,):
        raise ValueError(f"h_tilde must have shape ({m},), one value for each atom, got {tuple(h_tilde.shape)}")
    if not all_finite(h_tilde):
        raise ValueError("h_tilde holds NaN or Inf; a potential is finite on every atom")


def check_points(x: Tensor, y: Tensor | Pixels) -> None:
    """Raise a `ValueError` unless x is a finite cloud (n, d) like the atoms y (m, d)."""
    if x.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"points x must be (n, {y.shape[1]}), of the dimension of the atoms y {tuple(y.shape)}, "
            f"got {tuple(x.shape)}; flatten images to one row a point"
        )
    _check_like(x, y, "x")
    if not all_finite(x):
        raise ValueError("x holds NaN or Inf, so no atom is nearest; check the generator's output")


def _check_like(tensor: Tensor, y: Tensor | Pixels, name: str) -> None:
    if (tensor.dtype, tensor.device) != (y.dtype, y.device):
        raise ValueError(
            f"{name} is {tensor.dtype} on {tensor.device} and the atoms y are {y.dtype} on {y.device}; "
            f"convert one, e.g. {name}.to(y)"
        )


@final
class _SoftMin(torch.autograd.Function):
    """−log Σ_j exp(−s_ij) of scores s = scale · (c − h̃), the smallest of them and its atom, each (n,)."""

    @staticmethod
    def forward(
        ctx: Any, points: Tensor, y: Tensor | None, h_tilde: Tensor, scores: Scores, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        n, m = len(points), len(h_tilde)
        rows = max(1, scores.rows(n))
        keep = n * m <= KEPT and any(ctx.needs_input_grad)
        low = points.new_full((n,), math.inf)
        total = points.new_zeros(n)
        index = torch.zeros(n, dtype=torch.int64, device=points.device)
        kept = []
        tile: Tile | None = None
        for panel in scores.panels():
            count, table = panel.atoms.stop - panel.first, panel.table(h_tilde)
            if tile is None or keep or tile.atoms != count:
                tile = Tile(n if keep else rows, count, points)
            for first in range(0, n, rows):
                part = slice(first, min(first + rows, n))
                room = part if keep else slice(part.stop - first)
                panel.scores(points[part], table, scale, tile[room])
                minimum, at = tile.minimum(room)
                index[part] = torch.where(below(minimum, low[part]), at + panel.first, index[part])
                lower = torch.minimum(low[part], minimum)
                sums = shares(tile[room], lower.unsqueeze(1)).sum(dim=1)
                total[part] = total[part] * (lower - low[part]).exp() + sums
                low[part] = lower
                if keep:
                    kept.append((tile[room], lower))
        soft = low - total.log()
        ctx.save_for_backward(points, *([] if y is None else [y]), h_tilde, soft)
        ctx.scores, ctx.scale, ctx.rows, ctx.kept = scores, scale, rows, kept
        ctx.mark_non_differentiable(low, index)
        return soft, low, index

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        points, *y, h_tilde, soft = ctx.saved_tensors
        scores, scale, rows = ctx.scores, ctx.scale, ctx.rows
        for_points, for_y, for_h, *_ = ctx.needs_input_grad
        n = len(points)
        grad_points = torch.zeros_like(points) if for_points else None
        grad_y = torch.zeros_like(*y) if for_y else None
        grad_h = torch.zeros_like(h_tilde) if for_h else None
        kept = iter(ctx.kept)
        tile: Tile | None = None
        for panel in scores.panels():
            count, table = panel.atoms.stop - panel.first, panel.table(h_tilde)
            if not ctx.kept and (tile is None or tile.atoms != count):
                tile = Tile(rows, count, points)
            for first in range(0, n, rows):
                part = slice(first, min(first + rows, n))
                factor = gradients[0][part]
                if tile is None:
                    weights, low = next(kept)
                    factor = factor * (soft[part] - low).exp()
                else:
                    room = tile[: part.stop - first]
                    weights = shares(panel.scores(points[part], table, scale, room), soft[part].unsqueeze(1))
                if grad_h is not None:
                    grad_h[panel.atoms] -= scale * (factor @ weights)
                if grad_points is None and grad_y is None:
                    continue
                by_points, by_y = scores.pull(panel, points[part], weights, scale * factor, for_y)
                if grad_points is not None:
                    grad_points[part] += by_points
                if grad_y is not None:
                    grad_y[panel.atoms] += by_y
        return grad_points, grad_y, grad_h, None, None
