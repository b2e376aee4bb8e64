"""How maps and velocities change volume: determinants of steps, divergences of fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical
from torch.func import jvp, vmap

from ot_gen.arguments import checked
from ot_gen.execution import load_forward_mode
from ot_gen.measures import Measure, UniformSphere

EXACT = 64  # dimensions up to which derivatives are taken in all directions
HELD = 2**16  # points times directions at a time


@checked
def tolerance(x: Tensor) -> float:
    """The relative error at which an inverse in the dtype of x has arrived.

    Example:
        >>> tolerance(torch.zeros(1).double()) < 1e-12 < tolerance(torch.zeros(1))
        True
    """
    return 64 * torch.finfo(x.dtype).eps


@checked
def jacobians(map: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """f(x) (n, d) and the Jacobians ∂f/∂x (n, d, d) of a map of rows, in forward mode.

    Example:
        >>> jacobians(lambda x: 3 * x, torch.ones(1, 2))[1]
        tensor([[[3., 0.],
                 [0., 3.]]])
    """
    if not len(x):  # which vmap does not take
        return map(x), x.new_empty(0, x.shape[1], x.shape[1])
    load_forward_mode()
    basis = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    # The value comes along: each direction computes it, and the first one's is kept.
    values, columns = vmap(lambda e: jvp(map, (x,), (e.expand_as(x),))[:2])(basis)
    return values[0], columns.permute(1, 2, 0)


@checked
def log_determinant(step: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """f(x) (n, d) and log |det ∂f/∂x| (n,) of a map of rows.

    Example:
        >>> log_determinant(lambda x: 3 * x, torch.ones(1, 2))[1]  # 2 log 3
        tensor([2.1972])
    """
    values, jacobian = jacobians(step, x)
    return values, torch.linalg.slogdet(jacobian).logabsdet


@checked
def with_divergence(field: Callable[[float, Tensor], Tensor], signs: Tensor | None, t: float, state: Tensor) -> Tensor:
    """(v, div v), (n, d + 1), at the points of a state (n, d + 1); what the last column holds plays no part.

    Args:
        field: v.
        signs: ε (n, d) of ±1 for Hutchinson's estimate εᵀ (∂v/∂x) ε; None: the trace itself.
        t: the time.
        state: points and one column more.

    Example:
        >>> with_divergence(lambda t, x: 3 * x, None, 0.0, torch.ones(1, 3))  # d = 2
        tensor([[3., 3., 6.]])
    """
    x = state[:, :-1]
    if signs is None:
        v, jacobian = jacobians(lambda at: field(t, at), x)
        divergence = jacobian.diagonal(dim1=1, dim2=2).sum(dim=1)
    else:
        load_forward_mode()
        v, moved = jvp(lambda at: field(t, at), (x,), (signs,))[:2]
        divergence = (signs * moved).sum(dim=1)
    return torch.cat([v, divergence[:, None]], dim=1)


@checked
def density(zeta: Measure | Distribution, x: Tensor) -> Distribution:
    """The law of ζ, which has a density on the space of the points x (n, d), or a `ValueError`.

    A law on a sphere, on a simplex or on points of their own has none there: its `log_prob` is of another measure.

    Example:
        >>> from ot_gen import standard_gaussian
        >>> density(standard_gaussian(2), torch.zeros(3, 2)).event_shape
        torch.Size([2])
    """
    law = zeta if isinstance(zeta, Distribution) else getattr(zeta, "law", None)
    if not isinstance(law, Distribution) or type(law).log_prob is Distribution.log_prob:
        raise ValueError(
            f"log_prob needs a reference with a density, got {zeta}; give a Reference or a torch Distribution, "
            "e.g. standard_gaussian(d)"
        )
    if _is_thin(law):
        raise ValueError(
            f"log_prob needs a reference with a density on R^d, got {zeta}, which lies on a surface or on points; "
            "give one that spreads in all directions, e.g. standard_gaussian(d)"
        )
    if law.event_shape != x.shape[1:] or law.batch_shape:
        raise ValueError(
            f"the points have dimension {x.shape[1]}, and the reference is {law}, with event_shape "
            f"{tuple(law.event_shape)} and batch_shape {tuple(law.batch_shape)}; give one law of such points, e.g. "
            f"standard_gaussian({x.shape[1]})"
        )
    return law


def _is_thin(law: Distribution) -> bool:
    """Whether a law on R^d lies on a set of volume 0, by its kind or that of the laws which it is made of."""
    if isinstance(law, UniformSphere | ExpRelaxedCategorical):
        return True
    inner = (getattr(law, name, None) for name in ("base_dist", "base", "component_distribution"))
    if any(isinstance(part, Distribution) and _is_thin(part) for part in inner):
        return True
    try:
        support = law.support
    except NotImplementedError:  # torch raises it for a law that states no support
        return False
    return support is not None and (support.is_discrete or isinstance(support, type(constraints.simplex)))


@checked
def blocks(x: Tensor, label: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Rows and their labels, as many at a time as have derivatives in all directions that fit into memory.

    Example:
        >>> [len(rows) for rows, _ in blocks(torch.zeros(1500, 64), None)]
        [1024, 476]
    """
    if not x.is_floating_point() or not x.shape[1]:
        raise ValueError(
            f"the points of a flow are floats (n, d), d >= 1, got {x.dtype} {tuple(x.shape)}; take x.float()"
        )
    size = max(1, HELD // x.shape[1]) if x.shape[1] <= EXACT else max(1, len(x))
    for first in range(0, max(1, len(x)), size):
        yield x[first : first + size], None if label is None else label[first : first + size]
