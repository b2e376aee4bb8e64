"""Metrics given by a formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast, final

import torch
from torch import Tensor
from torch.func import grad

from ot_gen.arguments import Cloud, checked
from ot_gen.geometry.jets import Map, directional, gram, pushforward
from ot_gen.geometry.metrics import Model, Nodes, RiemannianMetric, Squares, check_floats, check_nodes, solve_metric


@final
@checked
class MatrixMetric(RiemannianMetric):
    """A metric given by its matrix, with the midpoint rule: s = Δᵀ M((z + z')/2) Δ, Δ = z' − z.

    Args:
        field: M, (n, k) -> (n, k, k), symmetric positive definite, smooth, each row by itself.

    Example:
        >>> poincare = conformal(lambda z: z[:, 1] ** -2)  # the hyperbolic plane
        >>> poincare.matrix(torch.tensor([[0.0, 2.0]]))
        tensor([[[0.2500, 0.0000],
                 [0.0000, 0.2500]]])
    """

    def __init__(self, field: Map) -> None:
        self.field = field

    def matrix(self, z: Cloud) -> Tensor:
        check_floats(z=z)
        out = self.field(z)
        n, k = z.shape
        if not isinstance(out, Tensor) or out.shape != (n, k, k):
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(f"a metric field must map z {(n, k)} to matrices {(n, k, k)}, got {got}")
        return out

    def inner(self, z: Cloud, u: Cloud, v: Cloud) -> Tensor:
        check_floats(z=z, u=u, v=v)
        return torch.einsum("na,nab,nb->n", u, self.matrix(z), v)

    def connection(self, z: Cloud, u: Cloud, v: Cloud) -> Tensor:
        check_floats(z=z, u=u, v=v)
        metric, along_u = directional(self.matrix, z, u)
        along_v = directional(self.matrix, z, v)[1]
        slope = cast(Tensor, grad(lambda p: self.inner(p, u, v).sum())(z))
        force = torch.einsum("nab,nb->na", along_u, v) + torch.einsum("nab,nb->na", along_v, u) - slope
        return solve_metric(metric, force / 2)

    def squares(self, nodes: Nodes) -> Squares:
        check_nodes(nodes)
        return Squares(self._squares(nodes), self._squares(nodes[:, ::2]))

    def _squares(self, nodes: Tensor) -> Tensor:
        ends = torch.cat([nodes[:, :-1], nodes[:, 1:]], dim=2)
        return self._square(ends.flatten(0, 1)).unflatten(0, ends.shape[:2])

    def _square(self, ends: Tensor) -> Tensor:
        start, end = ends.chunk(2, dim=1)
        return self.inner((start + end) / 2, end - start, end - start)

    def _half(self, ends: Tensor) -> Tensor:
        return 0.5 * self._square(ends).sum()

    def _residual(self, ends: Tensor) -> Tensor:
        start, end = ends.chunk(2, dim=1)
        root, info = torch.linalg.cholesky_ex(self.matrix((start + end) / 2))
        # No value where M is not positive definite: the step that led there is not taken.
        root = torch.where((info == 0)[:, None, None], root, torch.nan)
        return torch.einsum("nab,na->nb", root, end - start)

    @torch.no_grad()
    @checked
    def model(self, nodes: Nodes, ends: Tensor | None = None) -> Model:
        check_nodes(nodes)
        count = nodes.shape[1] - 1
        ends = torch.cat([nodes[:, :-1], nodes[:, 1:]], dim=2)
        residual, tangents = pushforward(self._residual, ends.flatten(0, 1))
        gradient = torch.einsum("pnd,nd->np", tangents, residual)
        fine = residual.square().sum(dim=1).unflatten(0, ends.shape[:2])
        assembled = _assemble(count * gradient, count * gram(tangents, tangents), count)
        return Model(Squares(fine, self._squares(nodes[:, ::2])), *assembled)

    @torch.no_grad()
    @checked
    def second_order(self, nodes: Nodes) -> tuple[Tensor, Tensor]:
        check_nodes(nodes)
        count = nodes.shape[1] - 1
        ends = torch.cat([nodes[:, :-1], nodes[:, 1:]], dim=2).flatten(0, 1)
        slope, hessian = pushforward(cast(Map, grad(self._half)), ends)
        tangents = pushforward(self._residual, ends)[1]
        _, diagonal, upper = _assemble(slope, count * (hessian.movedim(0, 2) - gram(tangents, tangents)), count)
        return diagonal, upper


@checked
def euclidean() -> MatrixMetric:
    """M = I: geodesics are straight.

    Example:
        >>> euclidean().inner(torch.zeros(1, 2), torch.ones(1, 2), torch.ones(1, 2))
        tensor([2.])
    """
    return conformal(lambda z: torch.ones_like(z[:, 0]))


@checked
def conformal(factor: Callable[[Tensor], Tensor]) -> MatrixMetric:
    """M(z) = λ(z) I with λ > 0, (n, k) -> (n,).

    Example:
        >>> conformal(lambda z: z[:, 0]).matrix(torch.tensor([[3.0]]))
        tensor([[[3.]]])
    """

    def field(z: Tensor) -> Tensor:
        return factor(z)[:, None, None] * torch.eye(z.shape[1], dtype=z.dtype, device=z.device)

    return MatrixMetric(field)


def _assemble(gradient: Tensor, hessian: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over segments, (B·T, 2k) and (B·T, 2k, 2k), in the blocks of the inner nodes."""
    k = gradient.shape[1] // 2
    gradient, hessian = gradient.unflatten(0, (-1, count)), hessian.unflatten(0, (-1, count))
    slope = gradient[:, :-1, k:] + gradient[:, 1:, :k]
    diagonal = hessian[:, :-1, k:, k:] + hessian[:, 1:, :k, :k]
    return slope, diagonal, hessian[:, 1:-1, :k, k:]
