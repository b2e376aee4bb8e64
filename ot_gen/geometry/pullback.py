"""The metric that a map pulls back from a Euclidean space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from ot_gen.arguments import Cloud, checked
from ot_gen.geometry.jets import Map, blocks, directional, gram, pushforward, second, weighted_hessian, widest
from ot_gen.geometry.metrics import Model, Nodes, RiemannianMetric, Squares, check_floats, check_nodes, solve_metric

RESTLESS = (_BatchNorm, _DropoutNd)  # layers that are another function in training mode


@final
@checked
class PullbackMetric(RiemannianMetric):
    """M = JᵀJ for the Jacobian J of a map F into a Euclidean space, with chords: s_i = ‖F(z_{i+1}) − F(z_i)‖².

    The energy of chords needs F alone; its Gauss-Newton model needs one pass in forward mode. The connection is
    MΓ(u, v) = Jᵀ d²F(u, v), without Christoffel symbols.

    Args:
        f: F, (n, k) -> (n, d).

    Raises:
        ValueError: F returns another shape.

    Source: Arvanitidis, Hansen, Hauberg, 2018, https://arxiv.org/abs/1710.11379

    Example:
        >>> PullbackMetric(lambda z: 2 * z).matrix(torch.zeros(1, 2))
        tensor([[[4., 0.],
                 [0., 4.]]])
    """

    def __init__(self, f: Map) -> None:
        self.f = f
        self._widest = 0  # not known yet

    def embed(self, z: Cloud) -> Tensor:
        """F(z), (n, k) -> (n, d)."""
        try:
            x = self.f(z)
        except (NotImplementedError, torch.cuda.OutOfMemoryError):
            raise  # a function without derivative, which torch names, and memory are no faults of the points
        except RuntimeError as error:
            raise ValueError(
                f"the decoder fails on points {tuple(z.shape)} of {z.dtype}: {error}; it must take rows of that many "
                "numbers and that dtype, each by itself (as in evaluation mode), by functions of torch"
            ) from error
        if not isinstance(x, Tensor):
            raise ValueError(
                f"a pullback metric needs a map of tensors (n, k) -> (n, d), got one that returns {type(x).__name__}; "
                "of a decoder that returns laws, take decoder.mean and std=decoder.std"
            )
        if x.ndim != 2 or x.shape[0] != z.shape[0]:
            raise ValueError(
                f"a pullback metric needs a map (n, k) -> (n, d), got {tuple(z.shape)} -> {tuple(x.shape)}; flatten "
                "images to one row a point"
            )
        return x

    def matrix(self, z: Cloud) -> Tensor:
        check_floats(z=z)
        parts = []
        for rows in blocks(len(z), z.shape[1] * self._width(z), z.element_size()):
            _, tangents = pushforward(self.embed, z[rows])
            parts.append(gram(tangents, tangents))
        return torch.cat(parts)

    def inner(self, z: Cloud, u: Cloud, v: Cloud) -> Tensor:
        check_floats(z=z, u=u, v=v)
        first = directional(self.embed, z, u)[1]
        return (first * (first if v is u else directional(self.embed, z, v)[1])).sum(dim=1)

    def connection(self, z: Cloud, u: Cloud, v: Cloud) -> Tensor:
        check_floats(z=z, u=u, v=v)
        _, tangents = pushforward(self.embed, z)
        force = torch.einsum("knd,nd->nk", tangents, second(self.embed, z, u, v))
        return solve_metric(gram(tangents, tangents), force)

    def squares(self, nodes: Nodes) -> Squares:
        check_nodes(nodes)
        return _squares(self.embed(nodes.flatten(0, 1)).unflatten(0, nodes.shape[:2]).diff(dim=1))

    @torch.no_grad()
    @checked
    def model(self, nodes: Nodes, ends: Tensor | None = None) -> Model:
        check_nodes(nodes)
        count, (inner, k) = nodes.shape[1] - 1, nodes[:, 1:-1].shape[1:]
        if ends is None:
            ends = self.embed(nodes[:, ::count].flatten(0, 1)).unflatten(0, (-1, 2))
        parts = []
        for rows in blocks(len(nodes), inner * k * self._width(nodes[0]), nodes.element_size()):
            x, tangents = pushforward(self.embed, nodes[rows, 1:-1].flatten(0, 1))
            x = torch.cat([ends[rows, :1], x.unflatten(0, (-1, inner)), ends[rows, 1:]], dim=1)
            chords = x.diff(dim=1)
            gradient = -gram(tangents, chords.diff(dim=1).flatten(0, 1).unsqueeze(0)).squeeze(2)
            diagonal = gram(tangents, tangents)
            # Products with the next node. At the last node of a curve they would join the next curve: left out below.
            following = torch.cat([gram(tangents[:, :-1], tangents[:, 1:]), diagonal[-1:]])
            parts.append((*_squares(chords), gradient, diagonal, following))
        fine, coarse, *blocked = (torch.cat(part) for part in zip(*parts, strict=True))
        gradient, diagonal, following = (count * block.unflatten(0, (-1, inner)) for block in blocked)
        return Model(Squares(fine, coarse), gradient, 2 * diagonal, -following[:, :-1], ends)

    @torch.no_grad()
    @checked
    def second_order(self, nodes: Nodes) -> tuple[Tensor, Tensor]:
        check_nodes(nodes)
        count, (inner, k) = nodes.shape[1] - 1, nodes[:, 1:-1].shape[1:]
        parts = []
        for rows in blocks(len(nodes), inner * k * self._width(nodes[0]), nodes.element_size()):
            part = nodes[rows]
            chords = self.embed(part.flatten(0, 1)).unflatten(0, part.shape[:2]).diff(dim=1)
            bend = -chords.diff(dim=1).flatten(0, 1)
            hessian = weighted_hessian(self.embed, part[:, 1:-1].flatten(0, 1), bend)
            parts.append(count * hessian.unflatten(0, (-1, inner)))
        diagonal = torch.cat(parts)
        return diagonal, torch.zeros_like(diagonal[:, 1:])

    def _width(self, z: Tensor) -> int:
        if not self._widest:
            with torch.no_grad():
                self.embed(z[:1])  # says what is wrong with a decoder that cannot serve
            self._widest = widest(self.f, z)
        return self._widest


def _squares(chords: Tensor) -> Squares:
    """Of T chords (B, T, d), and of those that two of them make."""
    return Squares(chords.square().sum(dim=2), (chords[:, ::2] + chords[:, 1::2]).square().sum(dim=2))


def stacked(maps: Sequence[Map], stds: Sequence[Map] | None, features: Map | None, ridge: float) -> Map:
    """F = (φ(μ_1), σ_1, φ(μ_2), ...)/√n and √ridge z side by side: JᵀJ is the sum of the parts.

    Example:
        >>> stacked([lambda z: z, lambda z: 2 * z], None, None, 0.0)(torch.ones(1, 1)).round(decimals=4)
        tensor([[0.7071, 1.4142]])
    """
    if stds is not None and len(stds) != len(maps):
        raise ValueError(f"each decoder needs its own std, got {len(maps)} decoders and {len(stds)}")
    if stds is not None and features is not None:
        raise ValueError("features of a stochastic decoder have no expected metric; leave out std or features")

    owners = [getattr(part, "__self__", part) for part in [*maps, *(stds or []), *([features] if features else [])]]
    layers = [layer for owner in owners if isinstance(owner, nn.Module) for layer in owner.modules()]
    restless = [layer for layer in layers if isinstance(layer, RESTLESS)]

    def f(z: Tensor) -> Tensor:
        for layer in restless:
            if layer.training:
                raise ValueError(
                    f"a geometry needs a decoder in evaluation mode: {layer} is in training mode, where it joins the "
                    "rows, changes its buffers or draws at random; call decoder.eval()"
                )
        parts = []
        for index, g in enumerate(maps):
            x = g(z)
            if not isinstance(x, Tensor) or x.ndim != 2:
                return x  # the metric says what is wrong with it
            parts.append(x if features is None else features(x))
            if stds is not None:
                sigma = stds[index](z)
                if sigma.shape not in (x.shape, (len(x), 1)):
                    raise ValueError(
                        f"std must return {tuple(x.shape)} like its decoder, or {(len(x), 1)}, got {tuple(sigma.shape)}"
                    )
                # One σ for all d coordinates counts d times.
                parts.append(sigma if sigma.shape == x.shape else sigma * math.sqrt(x.shape[1]))
        if len(maps) > 1:
            parts = [part / math.sqrt(len(maps)) for part in parts]
        if ridge:
            parts.append(math.sqrt(ridge) * z)
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    return f
