"""The model μ_θ = g_θ#ζ."""

from __future__ import annotations

import copy
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.arguments import Count, Index, Labels, checked
from ot_gen.measures.label_maps import Unlabelled
from ot_gen.measures.measure import Measure, undisturbed
from ot_gen.measures.probing import probe
from ot_gen.measures.units import Placed, Units

ROWS = 1024  # that a map sees at a time: its intermediate results take many times the memory of its points


@final
@checked
class Pushforward(Measure):
    """The model μ_θ = g_θ#ζ: the law of g_θ(z) for z ~ ζ.

    A decoder with noise (`ot_gen.GaussianDecoder`) is a map whose values are laws p_θ(·|z). μ_θ is then the law of a
    draw from p_θ(·|z), the image of (z, ε) for a fresh noise ε.

    Args:
        map: the generator g_θ, (n, k) -> (n, d), or a decoder, (n, k) -> `Distribution` with batch_shape (n,) and
            event_shape (d,).
        base: the reference ζ on R^k: a `Reference`, or any other `Measure`, such as a law on a latent manifold.
            Divergences compare an encoder with its `law` or with its `rsample`.
        units: those of the data, where μ_θ is a law of their standard coordinates; they are kept with the weights.

    Raises:
        ValueError: g_θ is no module or ζ no measure, g_θ does not take (n, k) in ζ's dtype and on its device, or does
            not return a cloud of shape (n, d).

    Example:
        >>> from ot_gen import standard_gaussian
        >>> mu = Pushforward(nn.Linear(2, 5), standard_gaussian(2))
        >>> mu.dim, mu.sample(3).shape, mu.rsample(3).requires_grad
        (5, torch.Size([3, 5]), True)
    """

    units: Units | None

    def __init__(self, map: nn.Module, base: Measure, units: Units | None = None) -> None:
        super().__init__()
        with undisturbed(base):
            z = base.sample(2)
        out = probe(
            map,
            z,
            "the generator",
            f"a generator maps latent points (n, {base.dim}) of its base to a point cloud (n, d): give both the same "
            "latent dimension, and flatten images at its end",
            row=((None,),),
        )
        self.map = map
        self.base = base
        self.keeps_label = bool(getattr(map, "keeps_label", False))
        self.dim = _mean(out).shape[1]
        self.classes = base.classes
        space = self.dim - bool(getattr(map, "keeps_label", False))
        if units is not None and len(units.shift) != space:
            raise ValueError(
                f"the model lives in dimension {space} and its units in dimension {len(units.shift)}; "
                "give the generator the data's dimension as its output"
            )
        self.units = copy.deepcopy(units)  # a part of the model: loaded with its weights
        self.cube_dim = base.cube_dim if isinstance(out, Tensor) else None  # the noise is no image of the cube

    def in_own_units(self) -> Pushforward:
        """The law of b + a x for x ~ μ_θ, in the data's own units and without its class, on the same weights.

        Raises:
            ValueError: a decoder with noise that is not Gaussian has no other units.
        """
        map = Unlabelled(self.map) if self.keeps_label else self.map
        if self.units is not None:
            map = Placed(map, self.units)
        return self if map is self.map else Pushforward(map, self.base)

    def given(self, label: Index) -> Pushforward:
        """The law of the points of one class, on the same weights.

        Raises:
            ValueError: the model has no classes, or no such one.
        """
        if self.classes is None:
            raise ValueError("this model has no classes; make its base a Labelled law")
        law = Pushforward(self.map, self.base.given(label), self.units)
        law.training = self.training  # the map keeps its own mode
        return law

    def decode(self, z: Tensor) -> Tensor | Distribution:
        """What the map returns, (n, k) -> g_θ(z) (n, d), or the law p_θ(·|z) of a decoder with noise."""
        out: Tensor | Distribution = self.map(z)
        return out

    def forward(self, z: Tensor) -> Tensor:
        """g_θ(z), the mean of p_θ(·|z) for a decoder with noise: (n, k) -> (n, d)."""
        return _mean(self.decode(z))

    def rsample(self, n: Count) -> Tensor:
        """n points g_θ(z_i), z_i ~ ζ, (n, d), differentiable in θ; noise included.

        A law whose draws have no derivative (Bernoulli) gives its mean instead.
        """
        return self._differentiable(self.base.rsample(n))

    def rsample_given(self, labels: Labels) -> Tensor:
        return self._differentiable(self.base.rsample_given(labels))

    def _differentiable(self, z: Tensor) -> Tensor:
        out = self.decode(z)
        if isinstance(out, Tensor):
            return out
        return out.rsample() if out.has_rsample else out.mean

    @torch.no_grad()
    @checked
    def sample(self, n: Count) -> Tensor:
        """n independent points g_θ(z_i), z_i ~ ζ, (n, d), without a graph; noise included.

        In evaluation mode the map sees at most 1,024 latent points at a time, so that the memory is that of the points
        themselves. In training mode it sees all, as layers that look at the batch ask for.

        Example:
            >>> from ot_gen import standard_gaussian
            >>> Pushforward(nn.Linear(2, 5), standard_gaussian(2)).eval().sample(3000).shape
            torch.Size([3000, 5])
        """
        z = self.base.sample(n)
        if self.training or n <= ROWS:
            return self._drawn(z)
        first = self._drawn(z[:ROWS])
        points = first.new_empty(n, self.dim)
        points[:ROWS] = first
        for start in range(ROWS, n, ROWS):
            points[start : start + ROWS] = self._drawn(z[start : start + ROWS])
        return points

    def _drawn(self, z: Tensor) -> Tensor:
        out = self.decode(z)
        return out if isinstance(out, Tensor) else out.sample()

    @torch.no_grad()
    @checked
    def from_cube(self, u: Tensor) -> Tensor:
        """g_θ of the reference's points, (n, d)."""
        return super().from_cube(u) if self.cube_dim is None else self(self.base.from_cube(u))


def _mean(out: Tensor | Distribution) -> Tensor:
    return out if isinstance(out, Tensor) else out.mean
