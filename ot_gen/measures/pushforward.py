"""The model μ_θ = g_θ#ζ."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.measures.measure import Measure, undisturbed
from ot_gen.measures.reference import Reference


@final
class Pushforward(Measure):
    """The model μ_θ = g_θ#ζ: the law of g_θ(z) for z ~ ζ.

    A decoder with noise (`ot_gen.GaussianDecoder`) is a map whose values are laws: μ_θ is then the law of a draw from
    p_θ(·|z), the image of (z, ε) for a fresh noise ε.

    Args:
        map: the generator g_θ, (n, k) -> (n, d), or a decoder, (n, k) -> `Distribution` with batch_shape (n,) and
            event_shape (d,).
        base: the reference ζ on R^k.

    Raises:
        ValueError: g_θ does not take (n, k), or does not return a cloud of shape (n, d).

    Example:
        >>> from ot_gen import standard_gaussian
        >>> mu = Pushforward(nn.Linear(2, 5), standard_gaussian(2))
        >>> mu.dim, mu.sample(3).shape, mu.rsample(3).requires_grad
        (5, torch.Size([3, 5]), True)
    """

    def __init__(self, map: nn.Module, base: Reference) -> None:
        super().__init__()
        self.map = map
        self.base = base
        out = self._probe()
        self.dim = _mean(out).shape[1]
        self.cube_dim = base.cube_dim if isinstance(out, Tensor) else None  # the noise is no image of the cube

    def _probe(self) -> Tensor | Distribution:
        probe = torch.zeros(2, self.base.dim)
        probe = probe.to(next((p for p in self.map.parameters()), probe))
        try:
            with undisturbed(self.map):
                out = self.decode(probe)
        except RuntimeError as error:
            raise ValueError(
                f"the generator does not accept latent points of shape (n, {self.base.dim}), the dimension of its "
                f"reference ({error}); give both the same latent dimension"
            ) from error
        shape = _mean(out).shape
        if len(shape) != 2 or shape[0] != 2:
            raise ValueError(
                f"the generator maps (2, {self.base.dim}) to {tuple(shape)}, but a point cloud is (n, d): "
                "flatten images at the end of the generator"
            )
        return out

    def decode(self, z: Tensor) -> Tensor | Distribution:
        """What the map returns, (n, k) -> g_θ(z) (n, d), or the law p_θ(·|z) of a decoder with noise."""
        out: Tensor | Distribution = self.map(z)
        return out

    def forward(self, z: Tensor) -> Tensor:
        """g_θ(z), the mean of p_θ(·|z) for a decoder with noise: (n, k) -> (n, d)."""
        return _mean(self.decode(z))

    def rsample(self, n: int) -> Tensor:
        """n points g_θ(z_i), z_i ~ ζ, (n, d), differentiable in θ; noise included, unless its draws have no derivative.

        Such a law (Bernoulli) stands here with its mean.
        """
        out = self.decode(self.base.rsample(n))
        if isinstance(out, Tensor):
            return out
        return out.rsample() if out.has_rsample else out.mean

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """n independent points g_θ(z_i), z_i ~ ζ, (n, d), without a graph; noise included."""
        out = self.decode(self.base.sample(n))
        return out if isinstance(out, Tensor) else out.sample()

    @torch.no_grad()
    def from_cube(self, u: Tensor) -> Tensor:
        """g_θ of the reference's points, (n, d)."""
        return super().from_cube(u) if self.cube_dim is None else self(self.base.from_cube(u))


def _mean(out: Tensor | Distribution) -> Tensor:
    return out if isinstance(out, Tensor) else out.mean
