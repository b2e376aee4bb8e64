"""Plans where some pairs are forbidden: the problem falls into blocks, and a plan into plans of its blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, final

import torch
from torch import Tensor

from ot_gen.arguments import checked
from ot_gen.transport.plan import DensePlan, Dual, Pairs, Plan, SparsePlan


@final
class Block(NamedTuple):
    """A part of a problem: its rows i and columns j, its share of the mass, and its plan, of mass 1."""

    i: Tensor
    j: Tensor
    share: float
    plan: Plan


@checked
def plan_by_blocks(plan: Callable[[Tensor], Plan], C: Tensor) -> Plan:
    """The plan for costs C (n, m) of which some may be ∞: these pairs are forbidden, and the others must form blocks.

        P = Σ_k s_k P_k,    s_k the share of block k,    and 0 outside of the blocks

    With weights by classes (`LabelCost`) the blocks are the classes. Each block is planned by itself, with uniform
    masses, in proportion to its size. Value, penalty and dual are the sums of theirs: penalties are within blocks.
    Without an ∞ this is `plan(C)`.

    Args:
        plan: C_k (n_k, m_k) -> `Plan` of uniform masses, e.g. `exact_plan`.
        C: costs, +∞ where a pair is forbidden.

    Raises:
        ValueError: a row of which all pairs are forbidden, allowed pairs that form no blocks, or a block whose rows and
            columns have different masses.

    Example:
        >>> from ot_gen import exact_plan
        >>> inf = float("inf")
        >>> C = torch.tensor([[0.0, inf, 2.0], [inf, 1.0, inf], [2.0, inf, 0.0]])
        >>> plan_by_blocks(exact_plan, C).matrix.argmax(dim=1)
        tensor([0, 1, 2])
    """
    allowed = torch.isposinf(C).logical_not()
    if bool(allowed.all()):
        return plan(C)
    n, m = C.shape
    left = allowed.new_ones(n)
    blocks = []
    while bool(left.any()):
        columns = allowed[int(left.int().argmax())]
        rows = (allowed == columns).all(dim=1)
        i, j = rows.nonzero()[:, 0], columns.nonzero()[:, 0]
        if len(j) == 0 or bool(allowed[:, j].sum(dim=0).ne(len(i)).any()):
            raise ValueError(
                "the pairs of finite cost form no blocks, or a row has none: give costs of ∞ between classes alone"
            )
        if len(i) * m != len(j) * n:
            raise ValueError(
                f"a block holds {len(i)} of {n} rows and {len(j)} of {m} columns, so its masses differ and each plan "
                "costs ∞; draw as many of each class on both sides"
            )
        blocks.append(Block(i, j, len(i) / n, plan(C[i[:, None], j])))
        left &= ~rows

    def dual() -> Dual:
        f, g = C.new_zeros(n), C.new_zeros(m)
        for i, j, _, part in blocks:
            f[i], g[j] = (side.to(C) for side in part.potentials)
        value, penalty = (
            torch.stack([b.share * getattr(b.plan, name) for b in blocks]).sum() for name in ("dual_value", "penalty")
        )
        return Dual(f, g, value, penalty)

    bound: Literal["upper"] | None = "upper" if all(b.plan.bound == "upper" for b in blocks) else None
    if all(isinstance(b.plan, SparsePlan) for b in blocks):
        entries = [(b.i[p.i], b.j[p.j], b.share * p.mass) for b in blocks for p in (b.plan.pairs,)]
        return SparsePlan(C.detach(), bound, dual, Pairs(*(torch.cat(part) for part in zip(*entries, strict=True))))
    P = torch.zeros_like(C.detach(), dtype=blocks[0].plan.matrix.dtype)
    for i, j, share, part in blocks:
        P[i[:, None], j] = share * part.matrix
    return DensePlan(C.detach(), bound, dual, P)
