"""Curves of minimal energy between fixed ends: batched Gauss-Newton steps with secants, each curve damped by itself."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from ot_gen.geometry.metrics import Model, RiemannianMetric, Squares
from ot_gen.geometry.tridiagonal import solve

PATIENCE = 8  # rounds with secants before slow curves get second derivatives
SLOW = 0.2  # a curve is slow when its decrement shrinks by less than this in a round
MOST_DAMPING = 1e8


@final
class Minimum(NamedTuple):
    """The best curves of a search.

    Attributes:
        nodes: (B, T + 1, k).
        squares: squared lengths of their segments.
        converged: (B,), whether the last step left an estimated gain below tol²/4 of the energy, at a point with a
            positive definite Hessian.
        rounds: (B,), steps tried.
    """

    nodes: Tensor
    squares: Squares
    converged: Tensor
    rounds: Tensor


class _Work(NamedTuple):
    """The curves at work: which rows of the result they are, and what is known of each."""

    rows: Tensor
    nodes: Tensor
    energy: Tensor
    bend: Tensor
    damping: Tensor
    before: Tensor
    slow: Tensor


def minimise(metric: RiemannianMetric, nodes: Tensor, tol: float, rounds: int) -> Minimum:
    """Lower (T/2) Σ s_i over the inner nodes, from `nodes` (B, T + 1, k); the result exceeds it by rounding at most.

    A step δ solves (H + λD + S)δ = −gradient. H is the Gauss-Newton matrix. D are its diagonal blocks, so the damping
    does not depend on coordinates. S is an estimate of the rest of the Hessian by secants from the last steps. For
    slow curves it is the rest of the Hessian itself. Where H + λD + S is not positive definite, only the positive part
    of S counts. The damping λ is 0 until a step fails to lower the energy; then it grows, and falls with success.

    A step promises the decrease ½ gradientᵀ(H + S)⁻¹gradient. What is left after it is estimated as that promise times
    its ratio to the promise of the step before. A curve is finished when this is at most tol²/4 times its energy, a
    criterion free of scale. The last step is kept if it lowers the energy.

    Source: Levenberg-Marquardt as in Nocedal, Wright, Numerical Optimization, 2006, chapter 10,
    https://doi.org/10.1007/978-0-387-40065-5; secants as in Dennis, Gay, Welsch, An adaptive nonlinear least-squares
    algorithm, 1981, https://doi.org/10.1145/355958.355965

    Raises:
        ValueError: the energy of a start is not finite.
    """
    with torch.no_grad():
        return _minimise(metric, nodes, tol, rounds)


def _minimise(metric: RiemannianMetric, nodes: Tensor, tol: float, rounds: int) -> Minimum:
    segments = nodes.shape[1] - 1
    model = _model(metric, nodes)
    energy = _energy(model)
    if not bool(torch.isfinite(energy).all()):
        raise ValueError(
            f"the energy of {int((~torch.isfinite(energy)).sum())} of {len(nodes)} starting curves is NaN or Inf; the "
            "decoder has no finite value or derivative on them: give other end points or another start"
        )
    unset = torch.zeros(len(nodes), dtype=torch.bool, device=nodes.device)
    squares = Squares(*(torch.empty_like(part) for part in model.squares))
    best = Minimum(torch.empty_like(nodes), squares, unset.clone(), unset.long())
    rows, zeros = torch.arange(len(nodes), device=nodes.device), torch.zeros_like(energy)
    work = _Work(rows, nodes, energy, torch.zeros_like(model.diagonal), zeros, zeros, unset)
    noise = 8 * torch.finfo(nodes.dtype).eps
    for turn in range(rounds + 1):
        step, decrement, definite = _step(metric, work, model)
        # Damping hides up to T²/5 of the decrement in the longest waves.
        promised = decrement * (1 + work.damping * segments**2 / 5)
        # The step is assumed to leave the same share of it as the last step left.
        left = promised * torch.where(promised < work.before, promised / work.before, 1)
        still = definite & (left <= tol**2 / 2 * work.energy)
        still |= work.energy == 0
        done = still | (work.damping > MOST_DAMPING) | (turn == rounds)
        if bool(done.any()):
            best.converged[work.rows] = still
            best.rounds[work.rows] = turn
            _finish(metric, best, work.rows[done], work.nodes[done], _take(model, done).squares, step[done])
            going = ~done
            if not bool(going.any()):
                break
            step, decrement, promised = step[going], decrement[going], promised[going]
            work, model = _Work(*(part[going] for part in work)), _take(model, going)
        usable = torch.isfinite(decrement) & (decrement >= 0)
        change = torch.where(usable[:, None, None], step, 0)
        trial = _moved(work.nodes, change)
        tried = _model(metric, trial, model.ends)
        reached = _energy(tried)
        # Rounding may hide a decrease smaller than itself; a value that is not finite is no decrease.
        better = usable & (work.energy - reached >= 1e-4 * decrement - noise * work.energy)
        good = better & (work.energy - reached >= 0.25 * decrement)
        raised = (8 * work.damping).clamp_min(4 / segments**2)
        lowered = torch.where(work.damping > 0.1 / segments**2, work.damping / 8, 0)
        work = _Work(
            work.rows,
            pick(better, trial, work.nodes),
            torch.where(better, reached, work.energy),
            # A step that failed says that the secants were wrong.
            pick(better, secant(work.bend, model, tried, change.double()), torch.zeros_like(work.bend)),
            torch.where(good, lowered, torch.where(better, work.damping, raised)),
            torch.where(better, promised, work.before),
            work.slow | better & (turn >= PATIENCE) & (promised > SLOW * work.before),
        )
        model = _merge(better, tried, model)
    return best


def _model(metric: RiemannianMetric, nodes: Tensor, ends: Tensor | None = None) -> Model:
    """The metric's model, its blocks in double precision."""
    model = metric.model(nodes, ends)
    return Model(model.squares, model.gradient.double(), model.diagonal.double(), model.upper.double(), model.ends)


def _energy(model: Model) -> Tensor:
    return model.squares.fine.double().sum(dim=1) * (model.squares.fine.shape[1] / 2)


def _step(metric: RiemannianMetric, work: _Work, model: Model) -> tuple[Tensor, Tensor, Tensor]:
    """δ, its decrement −δᵀgradient, and whether H + λD + S was positive definite.

    Where it was not, only the positive part of S counted, so δ is a descent direction all the same.
    """
    # For a singular M: as little as rounding would add.
    size = model.diagonal.diagonal(dim1=2, dim2=3).mean(dim=2)
    slight = torch.finfo(work.nodes.dtype).eps * (size + size.mean(dim=1, keepdim=True))
    damped = model.diagonal * (1 + work.damping[:, None, None, None])
    damped.diagonal(dim1=2, dim2=3).add_(slight.unsqueeze(2))
    rest, upper = work.bend, model.upper
    if bool(work.slow.any()):
        rest, upper = rest.clone(), upper.clone()
        own, between = metric.second_order(work.nodes[work.slow])
        rest[work.slow] = own.double()
        upper[work.slow] += between
    x, definite = solve(damped + rest, upper, -model.gradient)
    if not bool(definite.all()):
        bad = ~definite
        convex = damped[bad] + _positive(rest[bad], damped[bad])
        x[bad] = solve(convex, model.upper[bad], -model.gradient[bad]).x
    decrement = -(x * model.gradient).sum(dim=(1, 2))
    return x.to(work.nodes.dtype), decrement, definite


def _positive(rest: Tensor, metric: Tensor) -> Tensor:
    """The part of symmetric matrices (..., k, k) on their positive eigenspaces, in the inner product of `metric`.

    Example:
        >>> _positive(torch.diag(torch.tensor([2.0, -3.0])), torch.eye(2))
        tensor([[2., 0.],
                [0., 0.]])
    """
    factor = torch.linalg.cholesky_ex(metric).L
    left = torch.linalg.solve_triangular(factor, rest, upper=False)
    relative = torch.linalg.solve_triangular(factor, left.mT, upper=False)
    values, vectors = torch.linalg.eigh(relative.nan_to_num(0, 0, 0))  # which raises for what is not finite
    vectors = factor @ vectors
    return (vectors * values.clamp_min(0).unsqueeze(-2)) @ vectors.mT


def secant(bend: Tensor, old: Model, new: Model, step: Tensor) -> Tensor:
    """The S nearest to the last one, in the metric, with Sδ = change of the gradient − Hδ.

    H is the mean of both ends of the step, for an error of O(δ³). S has diagonal blocks only, each by a formula of
    Davidon, Fletcher and Powell.
    """
    change = new.gradient - old.gradient - (_product(old, step) + _product(new, step)) / 2
    delta = step.unsqueeze(3)
    missed = change.unsqueeze(3) - bend @ delta
    weight = new.diagonal @ delta
    weight = weight / (delta.mT @ weight).clamp_min(torch.finfo(step.dtype).tiny)
    outer = missed @ weight.mT
    return bend + outer + outer.mT - (delta.mT @ missed) * (weight @ weight.mT)


def _product(model: Model, step: Tensor) -> Tensor:
    """Hδ."""
    delta = step.unsqueeze(3)
    product = model.diagonal @ delta
    product[:, :-1] += model.upper @ delta[:, 1:]
    product[:, 1:] += model.upper.mT @ delta[:, :-1]
    return product.squeeze(3)


def _moved(nodes: Tensor, step: Tensor) -> Tensor:
    moved = nodes.clone()
    moved[:, 1:-1] += step
    return moved


def _finish(
    metric: RiemannianMetric, best: Minimum, rows: Tensor, nodes: Tensor, squares: Squares, step: Tensor
) -> None:
    """Record these rows, after the last step where it lowers the energy."""
    trial = _moved(nodes, step)
    reached = metric.squares(trial)
    better = reached.fine.sum(dim=1) < squares.fine.sum(dim=1)
    best.nodes[rows] = pick(better, trial, nodes)
    for part, new, old in zip(best.squares, reached, squares, strict=True):
        part[rows] = pick(better, new, old)


def _take(model: Model, rows: Tensor) -> Model:
    squares = Squares(*(part[rows] for part in model.squares))
    ends = None if model.ends is None else model.ends[rows]
    return Model(squares, model.gradient[rows], model.diagonal[rows], model.upper[rows], ends)


def pick(chosen: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Rows of `new` where chosen (B,), else of `old`.

    Example:
        >>> pick(torch.tensor([True, False]), torch.ones(2, 1), torch.zeros(2, 1)).flatten()
        tensor([1., 0.])
    """
    return torch.where(chosen.reshape(-1, *[1] * (new.ndim - 1)), new, old)


def _merge(chosen: Tensor, new: Model, old: Model) -> Model:
    squares = Squares(*(pick(chosen, a, b) for a, b in zip(new.squares, old.squares, strict=True)))
    gradient, diagonal, upper = (pick(chosen, a, b) for a, b in zip(new[1:4], old[1:4], strict=True))
    return Model(squares, gradient, diagonal, upper, new.ends)
