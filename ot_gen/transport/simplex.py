"""The linear programme between two weighted samples, by the network simplex, whatever the sizes of the costs."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from torch import Tensor

from ot_gen.transport.problem import NotConverged, Problem

GAP = 1e-9  # between both sides of duality, of the value
ROUNDING = 1e-14  # of the largest cost, in sums of costs
CUT = 2.0**13  # costs above so many mean costs of a plan are hardly in an optimal one
ATTEMPTS = 6
GRID = 2.0**36
LOST = 2.0**-40  # mass that rounding alone can place
ITERATIONS = 20_000_000


@final
class Vertex(NamedTuple):
    """A plan P (n, m), and potentials u (n,), v (m,) with u_i + v_j <= C_ij, of equal values to `GAP` or `ROUNDING`."""

    P: Tensor
    u: Tensor
    v: Tensor


def vertex(given: Problem) -> Vertex:
    """Solve min { ⟨P, C⟩ : P 1 = a, Pᵀ 1 = b, P >= 0 }, and check it by its duality gap.

    The tolerances of POT's simplex (Bonneel et al., 2011, https://doi.org/10.1145/2070781.2024192) are absolute. So
    it is given costs in units of their mean. Where a few costs are so large that this unit hides the others, the gap
    tells. Then the unit is the value of the plan at hand, and costs far above it are cut. Potentials that are feasible
    for the cut costs are so for the larger ones too: if the plan uses none of these, both are optimal.

    Args:
        given: costs of any sign and size, and masses >= 0 of total 1.

    Raises:
        NotConverged: the simplex did not finish, or a gap stayed.

    Example:
        >>> C = 1e-12 * torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 2.0]], dtype=torch.float64)
        >>> P, u, v = vertex(Problem(C, C.new_full((2,), 1 / 2), C.new_full((3,), 1 / 3)))
        >>> round(float((P * C).sum()) * 1e12, 6)
        0.666667
    """
    C, a, b = given
    rows, columns = a > 0, b > 0
    if bool(rows.all() & columns.all()):
        return _vertex(given)
    # Points without mass take no part: their costs, of any size, would only hide the others.
    inner = _vertex(Problem(C[rows][:, columns], a[rows], b[columns]))
    P = torch.zeros_like(C)
    P[rows.nonzero(), columns.nonzero().T] = inner.P
    v = (C[rows] - inner.u[:, None]).amin(dim=0)
    v[columns] = inner.v
    u = (C - v).amin(dim=1)
    u[rows] = inner.u
    return Vertex(P, u, v)


def _vertex(given: Problem) -> Vertex:
    """The same for masses > 0."""
    C, a, b = given
    # A constant moves no plan, and the simplex takes costs < 0 for an infeasible problem.
    shift = C.min()
    costs = C - shift
    unit = _power_of_two(float(costs.mean()))
    if unit == 0:
        return Vertex(a[:, None] * b, torch.full_like(a, float(shift)), torch.zeros_like(b))
    cap, gap = float(costs.max()), float("inf")
    for attempt in range(ATTEMPTS):
        P, u = _simplex(costs.clamp_max(cap) / unit, a, b)
        beyond = costs > cap
        if float(P[beyond].sum()) > LOST:  # mass has no other way
            unit, cap = CUT * unit, CUT * cap
            continue
        P = P.masked_fill(beyond, 0.0)
        # Two c-transforms keep optimal potentials feasible where a mass is 0, and remove the simplex's rounding.
        v = (costs - (unit * u)[:, None]).amin(dim=0)
        u = (costs - v).amin(dim=1)
        value = float((P * costs).sum())
        gap = value - float(a @ u + b @ v)
        fine = cap <= CUT**2 * value or attempt == ATTEMPTS - 1
        if gap <= GAP * value or (fine and gap <= ROUNDING * cap):
            return Vertex(P, u + shift, v)
        unit = _power_of_two(value) or LOST * unit
        cap = CUT * unit
    if gap <= ROUNDING * float(a @ costs @ b):  # all but 0 beside what any plan costs: two tables that are nearly one
        return Vertex(P, u + shift, v)
    raise NotConverged(
        f"the exact plan of a {tuple(C.shape)} problem was not found: a gap of {gap:.2g} to its dual is left; "
        f"costs lie between {float(C.min()):.3g} and {float(C.max()):.3g}, so cut the largest"
    )


def _power_of_two(size: float) -> float:
    """The power of two next above a size, 0 for 0: in such units costs keep their digits, and ties stay ties."""
    return math.ldexp(1.0, math.frexp(size)[1]) if size > 0 else 0.0


def _simplex(costs: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The plan and the potentials of the rows, for costs in units of about their mean.

    They are rounded to multiples of 2⁻³⁶, so that sums along a path are exact: on rounding the simplex runs in circles.
    """
    import ot

    costs = costs.mul(GRID).round_().div_(GRID)
    P, log = ot.emd(a.numpy(), b.numpy(), costs.numpy(), numItermax=ITERATIONS, log=True, center_dual=False)
    if log["warning"] is not None:
        raise NotConverged(f"the exact plan of a {tuple(costs.shape)} problem was not found: {log['warning']}")
    return torch.from_numpy(P), torch.from_numpy(log["u"])
