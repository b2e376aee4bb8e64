"""The lower envelope of affine functions in up to three dimensions, kept in a tree of boxes."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

DEPTH = {1: 32, 2: 16, 3: 16}  # halvings of the root box along each axis, by dimension
LEAF = {1: 8, 2: 8, 3: 32}  # functions in a leaf, where the splitting stops
CROWDED = 64  # functions beyond which a leaf is left to the caller
GROWTH = 32  # entries of the whole tree for each function, where the splitting stops too


class _Boxes(NamedTuple):
    """Boxes by their lowest corners, (c, k), in steps; and the pairs (box, member) of functions in them, (p,) each."""

    corner: Tensor
    box: Tensor
    member: Tensor


@final
class EnvelopeTree:
    """Which of the functions f_j(u) = v_j·u + b_j, u ∈ R^k, k <= 3, is the smallest at u, by a lookup.

    A tree of boxes, halved along each axis down to a few functions a leaf. Let f_i be the smallest at a point of a
    box. The box drops each f_j that stays above f_i throughout: f_j(c) − f_i(c) > Σ_l |v_jl − v_il| r_l, with centre c
    and half widths r. So no winner is ever lost, whatever the cells look like. Leaves are kept in Morton order, where
    bisection locates a point.

    Args:
        slopes: v, (m, k).
        offsets: b, (m,).
        low, high: corners of the root box, (k,), low < high.

    Source: Morton, 1966, "A computer oriented geodetic data base", IBM (the order of the leaves);
        https://en.wikipedia.org/wiki/Z-order_curve

    Example:
        >>> slopes, low, high = torch.tensor([[1.0], [-1.0]]), torch.tensor([-2.0]), torch.tensor([2.0])
        >>> tree = EnvelopeTree(slopes, torch.zeros(2), low, high)
        >>> tree(torch.tensor([[-1.0], [0.5], [9.0]]))  # 9 lies outside of the box
        tensor([ 0,  1, -1])
    """

    def __init__(self, slopes: Tensor, offsets: Tensor, low: Tensor, high: Tensor) -> None:
        m, k = slopes.shape
        self.functions = torch.cat([slopes.double(), offsets.double().unsqueeze(1)], dim=1)
        self.low = low.double()
        self.size = 2 ** DEPTH[k]
        self.step = (high.double() - self.low) / self.size
        self._inverse = 1 / self.step
        # Corners of small boxes in a wide root, and the places of points in it, are rounded.
        self._rounding = 8 * torch.finfo(torch.float64).eps * torch.maximum(self.low.abs(), high.double().abs())
        self._spread = _spread(k, slopes.device)
        self._shifts = torch.arange(k, device=slopes.device)
        self._leaves(m, k)

    def _leaves(self, m: int, k: int) -> None:
        device = self.low.device
        root = torch.zeros(1, k, dtype=torch.int64, device=device)
        boxes = _Boxes(root, torch.zeros(m, dtype=torch.int64, device=device), torch.arange(m, device=device))
        leaves: list[tuple[Tensor, Tensor, Tensor]] = []
        size, kept = self.size, 0
        while len(boxes.corner):
            counts = torch.bincount(boxes.box, minlength=len(boxes.corner))
            done = counts <= LEAF[k]
            if size == 1 or kept + len(boxes.member) > GROWTH * m + 2**12:
                done = torch.ones_like(done)
            of_leaf = done[boxes.box]
            leaves.append((self._code(boxes.corner[done]), counts[done], boxes.member[of_leaf]))
            kept += len(leaves[-1][2])
            number = torch.cumsum(~done, 0) - 1
            size //= 2
            rest = _Boxes(boxes.corner[~done], number[boxes.box[~of_leaf]], boxes.member[~of_leaf])
            boxes = self._split(rest, size) if len(rest.corner) else rest
        codes, counts, members = (torch.cat(parts) for parts in zip(*leaves, strict=True))
        self.codes, order = codes.sort()
        self.counts = counts[order]
        self.starts = torch.cumsum(self.counts, 0) - self.counts
        shift = torch.repeat_interleave((torch.cumsum(counts, 0) - counts)[order] - self.starts, self.counts)
        self.members = members[shift + torch.arange(len(members), device=device)]
        # What a lookup reads of a leaf lies together, (leaves, k + 1, LEAF), where that is not too much.
        self._blocks: Tensor | None = None
        if len(self.codes) * LEAF[k] <= 2 * (GROWTH * m + 2**12):
            place = torch.arange(LEAF[k], device=device)
            entries = (self.starts.unsqueeze(1) + place).clamp_(max=len(self.members) - 1)
            blocks = self.functions[self.members[entries]].mT.contiguous()
            blocks[:, k].masked_fill_(place >= self.counts.unsqueeze(1), torch.inf)
            self._blocks = blocks

    def _split(self, boxes: _Boxes, size: int) -> _Boxes:
        """The 2^k children of boxes, each of `size` steps, with the functions that may be the smallest in it."""
        k = boxes.corner.shape[1]
        half = self.step * (size / 2) + self._rounding
        probes = [torch.zeros_like(half)]
        if k == 3:  # many neighbours: the winner at the centre alone drops too few of them
            axes = torch.eye(k, dtype=half.dtype, device=half.device)
            probes += [sign * half * axis for axis in axes for sign in (1, -1)]
        children: list[_Boxes] = []
        for child in range(2**k):
            corner = boxes.corner + size * ((child >> self._shifts) & 1)
            centre = self.low + (corner.double() + size / 2) * self.step
            box, member = boxes.box, boxes.member
            for probe in probes:
                rival = self._smallest(box, member, centre + probe)[box]
                gap = self.functions[member] - self.functions[rival]
                at_centre = (gap[:, :k] * centre[box]).sum(dim=1) + gap[:, k]
                reach = (gap[:, :k].abs() * half).sum(dim=1)
                # Functions that differ by a constant have no reach: the winner alone stays. The margin is for rounding.
                alive = (member == rival) | ((at_centre <= reach * (1 + 1e-9)) & (reach > 0))
                box, member = box[alive], member[alive]
            children.append(_Boxes(corner, box + child * len(corner), member))
        corners, box, member = (torch.cat(parts) for parts in zip(*children, strict=True))
        return _Boxes(corners, box, member)

    def _smallest(self, box: Tensor, member: Tensor, points: Tensor) -> Tensor:
        """For each box the number of its smallest function at its point; the lowest number where they tie."""
        f = self.functions[member]
        values = (f[:, :-1] * points[box]).sum(dim=1) + f[:, -1]
        minimum = values.new_full((len(points),), torch.inf).scatter_reduce(0, box, values, "amin")
        winners = torch.where(values == minimum[box], member, len(self.functions))
        return winners.new_full((len(points),), len(self.functions)).scatter_reduce(0, box, winners, "amin")

    def _code(self, place: Tensor) -> Tensor:
        """Morton codes of integer places, (n, k) -> (n,): the bits of the coordinates in turn."""
        if place.shape[1] == 1:
            return place.squeeze(1)
        return (self._spread[place] << self._shifts).sum(dim=1)

    def __call__(self, points: Tensor) -> Tensor:
        """The number of the smallest function at each point, (n, k) -> (n,); −1 where the tree does not know."""
        points = points.double()
        place = (points - self.low).mul_(self._inverse).floor_()
        inside = place.clamp(0, self.size - 1)
        leaf = torch.searchsorted(self.codes, self._code(inside.long()), right=True).sub_(1)
        counts = self.counts[leaf]
        if self._blocks is None:
            smallest = self._in_leaves(leaf, counts, points)
        else:
            blocks = self._blocks[leaf]
            values = blocks[:, -1]
            for axis, along in enumerate(points.T):
                values.addcmul_(blocks[:, axis], along.unsqueeze(1))
            smallest = self.members[self.starts[leaf] + values.argmin(dim=1)]
            wide = (counts > blocks.shape[2]).nonzero().squeeze(1)
            if len(wide):
                smallest[wide] = self._in_leaves(leaf[wide], counts[wide], points[wide])
        return torch.where((place == inside).all(dim=1) & (counts <= CROWDED), smallest, -1)

    def _in_leaves(self, leaf: Tensor, counts: Tensor, points: Tensor) -> Tensor:
        """The smallest of the functions in each point's leaf; of crowded leaves the first ones count."""
        width = min(int(counts.max()), CROWDED)
        # Beyond the end of a leaf there are functions of the next one: they do no harm.
        entries = self.starts[leaf].unsqueeze(1) + torch.arange(width, device=points.device)
        member = self.members[entries.clamp_(max=len(self.members) - 1)]
        f = self.functions[member]
        values = torch.baddbmm(f[:, :, -1:], f[:, :, :-1], points.unsqueeze(2)).squeeze(2)
        return member.gather(1, values.argmin(dim=1, keepdim=True)).squeeze(1)


def _spread(k: int, device: torch.device) -> Tensor:
    """Numbers of DEPTH bits with k − 1 zeros between their bits, as a table; empty where k = 1 needs none."""
    bits = DEPTH[k] if k > 1 else 0
    numbers = torch.arange(2**bits, device=device)
    spread = torch.zeros_like(numbers)
    for bit in range(bits):
        spread |= ((numbers >> bit) & 1) << (bit * k)
    return spread
