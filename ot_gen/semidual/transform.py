"""The c-transform of a table of potentials, streamed over the atoms."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ot_gen.costs import Cost
from ot_gen.semidual.panels import NarrowPanel, Panel, Scores

BLOCK = 128  # atoms whose minimum is taken together
MAX_ROWS, MAX_ENTRIES = 2**11, 2**21  # points that pass the atoms together, and entries of them
KEPT = 2**22  # scores that are kept for the backward pass instead of being made again, 16 MB in float32


def c_transform(cost: Cost, x: Tensor, y: Tensor, h_tilde: Tensor, epsilon: float = 0.0) -> tuple[Tensor, Tensor]:
    """The c-transform of a table of potentials, streamed over tiles of atoms.

    ε = 0:  h(x) = min_j  c(x, y_j) − h̃_j
    ε > 0:  h(x) = −ε log Σ_j exp((h̃_j − c(x, y_j)) / ε), which lies between min − ε log m and min

    It is a min: then h(x) + h̃_j <= c(x, y_j), for every ε >= 0, so that E[h] + Σ_j b_j h̃_j <= W_c (weak duality).
    Where the cost is a product (`Cost.bilinear`), a tile is one matrix product. The value is that of the paired cost
    at the argmin (less a soft part), free of the product's cancellation; atoms that tie to rounding may take turns.

    Gradients in x, y and h̃ follow from the envelope theorem, once: for ε = 0 those of c(x, y_j*) − h̃_j* at the
    minimiser j*, for ε > 0 the softmax average, made again tile by tile. Extra memory stays under 64 MB whatever
    n, m and d, what features and gradients of all atoms need apart. So the atoms may be a file larger than memory:
    `np.load(path, mmap_mode="c")` (copy on write; torch warns of the read-only mode "r") is read a panel at a time.

    Args:
        cost: the ground cost c.
        x: points, (n, d), finite.
        y: atoms y_j, (m, d), m >= 1.
        h_tilde: potentials h̃_j, (m,), finite.
        epsilon: ε >= 0, in the units of the cost.

    Returns:
        (values, argmin): h(x_i), (n,), and the atom that attains the hard minimum, (n,), int64.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit, NaN or Inf in x, h̃ or the costs, or ε < 0.

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
    check_table(y, h_tilde)
    check_points(x, y)
    if not epsilon >= 0:
        raise ValueError(f"epsilon must be >= 0 (0 is the hard minimum), got {epsilon}")
    return transform(Scores(cost, y, h_tilde), x, y, h_tilde, epsilon)


def transform(
    scores: Scores, x: Tensor, y: Tensor, h_tilde: Tensor, epsilon: float = 0.0, panels: Iterable[Panel] | None = None
) -> tuple[Tensor, Tensor]:
    """`c_transform` of checked arguments; `panels` are those of the scores where they were kept."""
    rows = max(1, min(MAX_ROWS, MAX_ENTRIES // x.shape[1]))
    parts = [_transform(scores, panels or scores, part, y, h_tilde, epsilon) for part in x.split(rows)]
    if len(parts) == 1:
        return parts[0]
    return torch.cat([value for value, _ in parts]), torch.cat([argmin for _, argmin in parts])


def _transform(
    scores: Scores, panels: Iterable[Panel], x: Tensor, y: Tensor, h_tilde: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    if epsilon == 0:
        with torch.no_grad():
            least, argmin = _hard(panels, scores.points(x)[0].to(scores.dtype))
        return attained(scores.cost, x, y, h_tilde, argmin, least), argmin
    points, rest = scores.points(x, 1 / epsilon)
    soft, least, argmin = _SoftMin.apply(points.to(scores.dtype), y, h_tilde, scores, 1 / epsilon)
    with torch.no_grad():
        correction = attained(scores.cost, x, y, h_tilde, argmin, least) - (epsilon * least + rest)
    return (epsilon * soft + rest + correction).to(x.dtype), argmin


def attained(cost: Cost, x: Tensor, y: Tensor, h_tilde: Tensor, argmin: Tensor, least: Tensor | float = 0.0) -> Tensor:
    """c(x_i, y_j) − h̃_j at j = argmin_i, (n,), through which all gradients flow; `least` is what was compared."""
    value = cost(x, y[argmin]) - h_tilde[argmin]
    if not bool(torch.isfinite(value.detach() + least).all()):
        raise ValueError(
            f"a least cost is NaN or Inf: atoms hold NaN or Inf, or the costs overflow {value.dtype}; "
            "repair the atoms, or use a wider dtype"
        )
    return value.to(x.dtype)  # half precision is widened by the cost


def check_table(y: Tensor, h_tilde: Tensor) -> None:
    """Raise a `ValueError` unless h̃ (m,) is a finite table over atoms y (m, d); reads no atom."""
    if y.ndim != 2 or y.numel() == 0:
        raise ValueError(f"a c-transform needs atoms y (m, d), m >= 1, got {tuple(y.shape)}; one atom a row")
    if not y.is_floating_point():
        raise ValueError(f"atoms must be floating point, got {y.dtype}; convert them, e.g. y.float()")
    if h_tilde.shape != (len(y),):
        raise ValueError(f"h_tilde must have shape ({len(y)},), one value for each atom, got {tuple(h_tilde.shape)}")
    _check_like(h_tilde, y, "h_tilde")
    # A sum is finite only if, overflow aside, each entry is.
    if not bool(torch.isfinite(h_tilde.sum())) and not bool(torch.isfinite(h_tilde).all()):
        raise ValueError("h_tilde holds NaN or Inf; a potential is finite on every atom")


def check_points(x: Tensor, y: Tensor) -> None:
    """Raise a `ValueError` unless x is a finite cloud (n, d) like the atoms y (m, d)."""
    if x.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"points x must be (n, {y.shape[1]}), of the dimension of the atoms y {tuple(y.shape)}, "
            f"got {tuple(x.shape)}; flatten images to one row a point"
        )
    _check_like(x, y, "x")
    if not bool(torch.isfinite(x).all()):
        raise ValueError("x holds NaN or Inf, so no atom is nearest; check the generator's output")


def _check_like(tensor: Tensor, y: Tensor, name: str) -> None:
    if (tensor.dtype, tensor.device) != (y.dtype, y.device):
        raise ValueError(
            f"{name} is {tensor.dtype} on {tensor.device} and the atoms y are {y.dtype} on {y.device}; "
            f"convert one, e.g. {name}.to(y)"
        )


def _tile(panel: Panel, n: int) -> int:
    return max(BLOCK, panel.tile // max(n, 1) // BLOCK * BLOCK)


def _hard(panels: Iterable[Panel], points: Tensor) -> tuple[Tensor, Tensor]:
    """The least score of each point, (n,), and its atom."""
    n = len(points)
    value = points.new_full((n,), math.inf)
    index = torch.zeros(n, dtype=torch.int64, device=points.device)
    buffer = points.new_empty(0)
    for panel in panels:
        size = _tile(panel, n)
        if buffer.numel() < min(size, len(panel)) * n:
            buffer = points.new_empty(min(size, len(panel)) * n)
        found: Iterable[tuple[Tensor, Tensor]]
        if isinstance(panel, NarrowPanel):
            found = [_narrow_least(panel, points, size, buffer)]
        else:
            tiles = ((part, buffer[: len(part[0]) * n].view(-1, n)) for part in panel.parts(size))
            found = (_least(panel.scores(points, part, 1.0, out)) for part, out in tiles)
        for number, (least, at) in enumerate(found):
            better = _below(least, value)
            value = torch.where(better, least, value)
            index = torch.where(better, at + (panel.first + number * size), index)
    return value, index


def _narrow_least(panel: NarrowPanel, points: Tensor, size: int, buffer: Tensor) -> tuple[Tensor, Tensor]:
    """The least score of each point in a panel and its atom, by minima of blocks whose best is then scored again."""
    n = len(points)
    kind = buffer.dtype
    if panel.nonnegative:
        # Floats >= 0 are ordered as their bits are, and integers have no NaN that a minimum must look for.
        kind = torch.int64 if kind == torch.float64 else torch.int32
    minima = torch.empty(-(-len(panel) // BLOCK), n, dtype=kind, device=points.device)
    size = min(size, len(panel))
    tile = buffer[: size * n].view(size, n)
    blocks = None if size % BLOCK else tile.view(kind).view(-1, BLOCK, n)
    for part, low in zip(panel.parts(size), minima.split(-(-size // BLOCK)), strict=True):
        if blocks is not None and len(part[0]) == size:
            panel.scores(points, part, 1.0, tile)
            torch.amin(blocks, 1, out=low)
            continue
        rest = panel.scores(points, part, 1.0, tile[: len(part[0])]).view(kind)
        for entry, block in zip(low, rest.split(BLOCK), strict=True):
            torch.amin(block, 0, out=entry)
    block = _least(minima)[1]
    atoms = block.unsqueeze(1) * BLOCK + torch.arange(BLOCK, device=block.device)
    atoms.clamp_(max=len(panel) - 1)
    right = panel.tensors[0].T
    least, column = (right[:, atoms] * points.T.unsqueeze(2)).sum(dim=0).min(dim=1)
    return least, atoms.gather(1, column.unsqueeze(1)).squeeze(1)


def _least(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The minimum over the first axis, (t, n) -> (n,), and its index.

    On a CPU `Tensor.min(dim)` is several times slower than `amin` over blocks and a look into the winning block.
    """
    t, n = scores.shape
    whole = t // BLOCK * BLOCK
    if whole <= 2 * BLOCK:
        value, index = scores.min(dim=0)
        return value, index
    blocks = scores[:whole].unflatten(0, (-1, BLOCK))
    block = _least(blocks.amin(dim=1))[1]
    value, index = blocks[block, :, torch.arange(n, device=scores.device)].min(dim=1)
    index = index + block * BLOCK
    if whole < t:
        rest, rest_index = scores[whole:].min(dim=0)
        better = _below(rest, value)
        value, index = torch.where(better, rest, value), torch.where(better, rest_index + whole, index)
    return value, index


def _below(new: Tensor, old: Tensor) -> Tensor:
    # A NaN counts as below everything, so that it stays to be noticed.
    return (new < old) | new.isnan()


class _SoftMin(torch.autograd.Function):
    """−log Σ_j exp(−s_ij) of scores s = scale · (c − h̃), the least of them and its atom, each (n,)."""

    @staticmethod
    def forward(
        ctx: Any, points: Tensor, y: Tensor, h_tilde: Tensor, scores: Scores, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        n, m = len(points), len(y)
        keep = n * m <= KEPT and any(ctx.needs_input_grad)
        low = points.new_full((n,), math.inf)
        total = points.new_zeros(n)
        index = torch.zeros(n, dtype=torch.int64, device=points.device)
        kept = []
        buffer = points.new_empty(0)
        for panel in scores:
            size = _tile(panel, n)
            for number, part in enumerate(panel.parts(size)):
                t = len(part[0])
                if keep or buffer.numel() < t * n:
                    buffer = points.new_empty(t * n)
                tile = panel.scores(points, part, scale, buffer[: t * n].view(t, n))
                least, at = _least(tile)
                index = torch.where(_below(least, low), at + (panel.first + number * size), index)
                lower = torch.minimum(low, least)
                tile = _shares(tile, lower)
                total = total * (lower - low).exp() + tile.sum(dim=0)
                low = lower
                if keep:
                    kept.append((tile, low))
        soft = low - total.log()
        ctx.save_for_backward(points, y, h_tilde, soft)
        ctx.scores, ctx.scale, ctx.kept = scores, scale, kept
        ctx.mark_non_differentiable(low, index)
        return soft, low, index

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        points, y, h_tilde, soft = ctx.saved_tensors
        scores, scale, (for_points, for_y, for_h, *_) = ctx.scores, ctx.scale, ctx.needs_input_grad
        n = len(points)
        grad_points = torch.zeros_like(points) if for_points else None
        grad_y = torch.zeros_like(y) if for_y else None
        grad_h = torch.empty_like(h_tilde) if for_h else None
        kept = iter(ctx.kept)
        for panel in scores:
            first = panel.first
            for part in panel.parts(_tile(panel, n)):
                t = len(part[0])
                if ctx.kept:
                    tile, low = next(kept)
                    factor = gradients[0] * (soft - low).exp()
                else:
                    tile = _shares(panel.scores(points, part, scale, points.new_empty(t, n)), soft)
                    factor = gradients[0]
                atoms = slice(first, first + t)
                first += t
                if grad_h is not None:
                    grad_h[atoms] = (tile @ factor).mul_(-scale)
                if grad_points is None and grad_y is None:
                    continue
                by_points, by_y = scores.pull(points, y[atoms], part, tile * factor, scale, for_y)
                if grad_points is not None:
                    grad_points += by_points
                if grad_y is not None:
                    grad_y[atoms] = by_y
        return grad_points, grad_y, grad_h, None, None


def _shares(scores: Tensor, low: Tensor) -> Tensor:
    """exp(low − s), in place. Clamped, since on a CPU exp is a hundred times slower where it underflows."""
    smallest = math.log(torch.finfo(scores.dtype).tiny) / 2
    return torch.sub(low, scores, out=scores).clamp_(min=smallest).exp_()
