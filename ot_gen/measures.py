"""Probability measures: the reference ζ, the data ν and the model μ = g#ζ.

Every measure answers `sample(n)` with a point cloud of shape (n, dim). Randomness comes from torch's global
generator, so `torch.manual_seed` (set by the caller, never here) makes every draw reproducible.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, Uniform

from .clouds import check_cloud, check_weights
from .laws import factors, mapped


class Measure(nn.Module, ABC):
    """A probability measure on R^dim that can be sampled.

    `cube_dim` is k where the law is known as the image of the uniform law on the cube (0, 1)^k under `from_cube`, so
    that low-discrepancy points can stand in for random ones; else None.
    """

    dim: int
    cube_dim: int | None = None

    @abstractmethod
    def sample(self, n: int) -> Tensor:
        """n independent points, (n, dim), without a graph."""

    def rsample(self, n: int) -> Tensor:
        """n points, (n, dim), differentiable in the measure's parameters where it has any."""
        return self.sample(n)

    def from_cube(self, u: Tensor) -> Tensor:
        """The points that u (n, cube_dim), uniform in the open cube, stands for, (n, dim)."""
        raise NotImplementedError(f"{type(self).__name__} is not known as the image of a cube")


class Reference(Measure):
    """The reference ζ on the latent space Z = R^k, held by a torch `Distribution`.

    A fixed law follows `.to(device)` and `.to(dtype)` and stays out of the state dict; a module is an ordinary part.

    Args:
        law: a distribution with batch_shape () and event_shape (k,), or a module that returns one when it is called
            without arguments, at the current values of its parameters (`ot_gen.learned_mixture`).

    Raises:
        ValueError: the law is batched or its events are not vectors.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> zeta = Reference(Independent(Normal(torch.zeros(3), torch.ones(3)), 1))
        >>> zeta.sample(5).shape
        torch.Size([5, 3])
    """

    def __init__(self, law: Distribution | nn.Module) -> None:
        super().__init__()
        self.family: Distribution | nn.Module = law
        law = self.law
        if len(law.event_shape) != 1 or len(law.batch_shape) != 0:
            raise ValueError(
                f"a reference needs a law with batch_shape () and event_shape (k,), got batch_shape "
                f"{tuple(law.batch_shape)} and event_shape {tuple(law.event_shape)}; "
                "wrap it: torch.distributions.Independent(law, 1)"
            )
        self.dim = law.event_shape[0]
        self.cube_dim = None if factors(law) is None else self.dim

    @property
    def law(self) -> Distribution:
        """The law itself, with its `log_prob`; for a module the law at its parameters' current values."""
        law: Distribution = self.family() if isinstance(self.family, nn.Module) else self.family
        return law

    def sample(self, n: int) -> Tensor:
        """n independent draws z ~ ζ, (n, k)."""
        return self.law.sample(torch.Size((n,)))

    def rsample(self, n: int) -> Tensor:
        """n independent draws z ~ ζ, (n, k), differentiable in the law's parameters where the law has `rsample`."""
        law = self.law
        return (law.rsample if law.has_rsample else law.sample)(torch.Size((n,)))

    def from_cube(self, u: Tensor) -> Tensor:
        """z with z_l the u_l-quantile of the law's l-th coordinate, (n, k)."""
        coordinates = factors(self.law)
        if coordinates is None:
            return super().from_cube(u)
        return coordinates.icdf(u.to(coordinates.mean.device)).to(coordinates.mean.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Distributions are not modules: `.to` reaches their tensors only from here.
        super()._apply(fn, recurse)
        if isinstance(self.family, Distribution):
            self.family = mapped(self.family, fn)
        return self

    def extra_repr(self) -> str:
        return f"dim={self.dim}" if isinstance(self.family, nn.Module) else f"dim={self.dim}, law={self.family}"


def standard_gaussian(dim: int) -> Reference:
    """The standard Gaussian ζ = N(0, I_dim).

    Example:
        >>> standard_gaussian(8).dim
        8
    """
    return Reference(Independent(Normal(torch.zeros(dim), torch.ones(dim)), 1))


def uniform_cube(dim: int, low: float = -1.0, high: float = 1.0) -> Reference:
    """The uniform law ζ on the cube [low, high]^dim.

    Example:
        >>> bool(uniform_cube(2).sample(100).abs().max() <= 1)
        True
    """
    return Reference(Independent(Uniform(torch.full((dim,), float(low)), torch.full((dim,), float(high))), 1))


class Empirical(Measure):
    """The data ν = Σ_j b_j δ_{y_j}.

    Args:
        atoms: the points y_j, (m, d), m >= 2, finite.
        weights: the masses b_j, (m,), non-negative, summing to 1; None means b_j = 1/m.

    Raises:
        ValueError: atoms that are not a finite (m, d) cloud of at least two points, or weights that are not a
            probability vector of length m.

    Atoms and weights are buffers that stay out of the state dict: a checkpoint holds the model, not the data.

    Example:
        >>> nu = Empirical(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), weights=torch.tensor([0.25, 0.75]))
        >>> len(nu), nu.dim
        (2, 2)
    """

    atoms: Tensor
    weights: Tensor

    def __init__(self, atoms: Tensor, weights: Tensor | None = None) -> None:
        super().__init__()
        check_cloud(atoms, "atoms")
        m = len(atoms)
        if m < 2:
            raise ValueError(
                f"the data have {m} atom{'s' if m != 1 else ''}, (m, d) = {tuple(atoms.shape)}: "
                "there is nothing to learn from fewer than two points; give at least two"
            )
        self.is_uniform = weights is None
        if weights is None:
            weights = torch.full((m,), 1.0 / m, dtype=atoms.dtype, device=atoms.device)
        check_weights(weights, m)
        self.register_buffer("atoms", atoms, persistent=False)
        self.register_buffer("weights", weights.to(atoms), persistent=False)
        self.dim = atoms.shape[1]
        self.cube_dim = 1

    def __len__(self) -> int:
        return len(self.atoms)

    def sample(self, n: int) -> Tensor:
        """n independent draws y ~ ν, (n, d), with replacement."""
        if self.is_uniform:
            index = torch.randint(len(self), (n,), device=self.atoms.device)
        else:
            index = torch.multinomial(self.weights, n, replacement=True)
        return self.atoms.index_select(0, index)

    def from_cube(self, u: Tensor) -> Tensor:
        """The atoms in whose share of [0, 1] the u fall, (n, d): evenly spread u visit all atoms evenly."""
        shares = self.weights.double().cumsum(0)
        index = torch.searchsorted(shares, u[:, 0].contiguous().to(shares) * shares[-1])
        return self.atoms[index.clamp_max(len(self) - 1)]

    def extra_repr(self) -> str:
        return f"atoms={len(self)}, dim={self.dim}, uniform={self.is_uniform}"


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


@contextmanager
def undisturbed(*modules: nn.Module) -> Iterator[None]:
    """Look at modules without changing training: evaluation mode, no graph, the random state put back.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> before = torch.get_rng_state()
        >>> with undisturbed(net):
        ...     _ = torch.randn(3)
        >>> bool((torch.get_rng_state() == before).all())
        True
    """
    modes = [(part, part.training) for module in modules for part in module.modules()]
    devices = range(torch.cuda.device_count())
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        for part, _ in modes:
            part.training = False
        try:
            yield
        finally:
            for part, training in modes:
                part.training = training


def _mean(out: Tensor | Distribution) -> Tensor:
    return out if isinstance(out, Tensor) else out.mean
