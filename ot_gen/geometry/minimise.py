"""Curves of least energy between fixed ends: batched Gauss-Newton and Newton steps, each curve damped by itself."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .metrics import Metric, Model, Squares
from .tridiagonal import solve

PATIENCE = 5  # rounds of Gauss-Newton before slow curves get second derivatives
SLOW = 0.2  # a curve is slow when its decrement shrinks by less than this in a round
MOST_DAMPING = 1e8


class Minimum(NamedTuple):
    """The best curves found.

    Attributes:
        nodes: (B, T + 1, k).
        squares: squared lengths of their segments.
        converged: (B,), whether the next step promises to lower the energy by less than tol² of itself.
        rounds: (B,), steps tried.
    """

    nodes: Tensor
    squares: Squares
    converged: Tensor
    rounds: Tensor


def minimise(metric: Metric, nodes: Tensor, tol: float, rounds: int) -> Minimum:
    """Lower (T/2) Σ s_i over the inner nodes, from `nodes` (B, T + 1, k); the result exceeds it by rounding at most.

    A step solves (H + λD + S)δ = −gradient: H the Gauss-Newton matrix, D its diagonal blocks (so that damping knows
    no coordinates), S the second-order part, for slow curves only. λ is 0 until a step fails to lower the energy; then
    it grows, and falls with success. A curve is finished when ½ gradientᵀ(H + S)⁻¹gradient, what the next step
    promises, is at most tol² times its energy, which knows no scale; that step is kept if it lowers the energy.

    Source: Levenberg-Marquardt as in Nocedal, Wright, Numerical Optimization, 2006, chapter 10,
    https://doi.org/10.1007/978-0-387-40065-5

    Raises:
        ValueError: the energy of a start is not finite.
    """
    with torch.no_grad():
        return _minimise(metric, nodes, tol, rounds)


def _minimise(metric: Metric, nodes: Tensor, tol: float, rounds: int) -> Minimum:
    segments = nodes.shape[1] - 1
    best = nodes.clone()
    model = metric.model(best)
    energy = _energy(model)
    if not bool(torch.isfinite(energy).all()):
        raise ValueError(
            f"the energy of {int((~torch.isfinite(energy)).sum())} of {len(nodes)} starting curves is NaN or Inf; the "
            "decoder has no finite value or derivative on them: give other end points or another start"
        )
    squares = Squares(*(part.clone() for part in model.squares))
    converged = torch.zeros(len(nodes), dtype=torch.bool, device=nodes.device)
    spent = torch.zeros(len(nodes), dtype=torch.long, device=nodes.device)
    # State of the curves at work: the rows of `best` that `at` names.
    at = torch.arange(len(nodes), device=nodes.device)
    damping = torch.zeros_like(energy)
    before = torch.full_like(energy, torch.inf)
    slow = torch.zeros_like(converged)
    noise = 8 * torch.finfo(nodes.dtype).eps
    for turn in range(rounds + 1):
        step, decrement, definite = _step(metric, best[at], model, damping, slow)
        # Damping hides up to T²/5 of the decrement in the longest waves.
        still = definite & (decrement * (1 + damping * segments**2 / 5) <= 2 * tol**2 * energy)
        stuck = damping > MOST_DAMPING
        done = still | stuck | (energy == 0) | (turn == rounds)
        if bool(done.any()):
            rows = at[done]
            spent[rows] = turn
            converged[rows] = (still | (energy == 0))[done]
            _keep_better(metric, best, squares, rows, step[done])
            going = ~done
            if not bool(going.any()):
                break
            at, step, decrement, definite = at[going], step[going], decrement[going], definite[going]
            model, energy, damping, before, slow = (
                _take(model, going),
                energy[going],
                damping[going],
                before[going],
                slow[going],
            )
        trial = best[at].clone()
        trial[:, 1:-1] += torch.where(definite[:, None, None], step, 0)
        tried = metric.model(trial)
        reached = _energy(tried)
        # Rounding may hide a decrease that is smaller than itself; a value that is not finite is no decrease.
        better = definite & (energy - reached >= 1e-4 * decrement - noise * energy)
        good = better & (energy - reached >= 0.25 * decrement)
        slow |= better & (turn >= PATIENCE) & (decrement > SLOW * before)
        before = torch.where(better, decrement, before)
        best[at[better]] = trial[better]
        model, energy = _merge(better, tried, model), torch.where(better, reached, energy)
        for part, new in zip(squares, model.squares, strict=True):
            part[at] = new
        raised = (8 * damping).clamp_min(4 / segments**2)
        lowered = torch.where(damping > 0.1 / segments**2, damping / 8, 0)
        damping = torch.where(good, lowered, torch.where(better, damping, raised))
    return Minimum(best, squares, converged, spent)


def _energy(model: Model) -> Tensor:
    return model.squares.fine.double().sum(dim=1) * (model.squares.fine.shape[1] / 2)


def _step(metric: Metric, nodes: Tensor, model: Model, damping: Tensor, slow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """δ, its decrement −δᵀgradient, and whether the system was positive definite."""
    own, upper, gradient = model.diagonal.double(), model.upper.double(), model.gradient.double()
    diagonal = own * (1 + damping[:, None, None, None])
    # Where M is singular, as little as rounding would add.
    size = own.diagonal(dim1=2, dim2=3).mean(dim=2)
    slight = torch.finfo(nodes.dtype).eps * (size + size.mean(dim=1, keepdim=True))
    diagonal = diagonal + slight[:, :, None, None] * torch.eye(own.shape[-1], dtype=own.dtype, device=own.device)
    if bool(slow.any()):
        extra_diagonal, extra_upper = metric.second_order(nodes[slow])
        diagonal[slow] += extra_diagonal.double()
        upper = upper.clone()
        upper[slow] += extra_upper.double()
    x, definite = solve(diagonal, upper, -gradient)
    decrement = -(x * gradient).sum(dim=(1, 2))
    return x.to(nodes.dtype), decrement, definite & torch.isfinite(decrement) & (decrement >= 0)


def _keep_better(metric: Metric, best: Tensor, squares: Squares, rows: Tensor, step: Tensor) -> None:
    trial = best[rows].clone()
    trial[:, 1:-1] += step
    reached = metric.squares(trial)
    better = reached.fine.sum(dim=1) < squares.fine[rows].sum(dim=1)
    best[rows[better]] = trial[better]
    for part, new in zip(squares, reached, strict=True):
        part[rows[better]] = new[better]


def _take(model: Model, rows: Tensor) -> Model:
    squares = Squares(*(part[rows] for part in model.squares))
    return Model(squares, model.gradient[rows], model.diagonal[rows], model.upper[rows])


def pick(chosen: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Rows of `new` where chosen (B,), else of `old`.

    Example:
        >>> pick(torch.tensor([True, False]), torch.ones(2, 1), torch.zeros(2, 1)).flatten()
        tensor([1., 0.])
    """
    return torch.where(chosen.reshape(-1, *[1] * (new.ndim - 1)), new, old)


def _merge(chosen: Tensor, new: Model, old: Model) -> Model:
    squares = Squares(*(pick(chosen, a, b) for a, b in zip(new.squares, old.squares, strict=True)))
    return Model(squares, *(pick(chosen, a, b) for a, b in zip(new[1:], old[1:], strict=True)))
