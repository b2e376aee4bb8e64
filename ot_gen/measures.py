"""Probability measures: the reference ζ, the data ν and the model μ = g#ζ.

Every measure answers `sample(n)` with a point cloud of shape (n, dim). Randomness comes from torch's global
generator, so `torch.manual_seed` (set by the caller, never here) makes every draw reproducible.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, Uniform


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

    Args:
        law: a distribution with batch_shape () and event_shape (k,).

    Raises:
        ValueError: the law is batched or its events are not vectors.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> zeta = Reference(Independent(Normal(torch.zeros(3), torch.ones(3)), 1))
        >>> zeta.sample(5).shape
        torch.Size([5, 3])
    """

    def __init__(self, law: Distribution) -> None:
        super().__init__()
        if len(law.event_shape) != 1 or len(law.batch_shape) != 0:
            raise ValueError(
                f"a reference needs a law with batch_shape () and event_shape (k,), got batch_shape "
                f"{tuple(law.batch_shape)} and event_shape {tuple(law.event_shape)}; "
                "wrap it: torch.distributions.Independent(law, 1)"
            )
        self.law = law
        self.dim = law.event_shape[0]
        # Only for a product law do independent quantiles give the law itself.
        self._factors = law.base_dist if isinstance(law, Independent) and law.reinterpreted_batch_ndims == 1 else None
        self.cube_dim = self.dim if self._factors is not None and _has_quantiles(self._factors) else None
        # Distributions are not modules: this empty buffer remembers the device that `.to` moved us to.
        self._placement: Tensor
        self.register_buffer("_placement", torch.empty(0), persistent=False)

    def sample(self, n: int) -> Tensor:
        """n independent draws z ~ ζ, (n, k)."""
        return self.law.sample(torch.Size((n,))).to(self._placement.device)

    def from_cube(self, u: Tensor) -> Tensor:
        """z with z_l the u_l-quantile of the law's l-th coordinate, (n, k)."""
        if self._factors is None:
            return super().from_cube(u)
        return self._factors.icdf(u).to(self._placement.device, self.law.mean.dtype)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, law={self.law}"


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
        _check_weights(weights, m)
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
        return self.atoms[index]

    def from_cube(self, u: Tensor) -> Tensor:
        """The atoms in whose share of [0, 1] the u fall, (n, d): evenly spread u visit all atoms evenly."""
        shares = self.weights.double().cumsum(0)
        index = torch.searchsorted(shares, u[:, 0].contiguous().to(shares) * shares[-1])
        return self.atoms[index.clamp_max(len(self) - 1)]

    def extra_repr(self) -> str:
        return f"atoms={len(self)}, dim={self.dim}, uniform={self.is_uniform}"


class Pushforward(Measure):
    """The model μ_θ = g_θ#ζ: the law of g_θ(z) for z ~ ζ.

    Args:
        map: the generator g_θ, (n, k) -> (n, d).
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
        self.dim = self._output_dim()
        self.cube_dim = base.cube_dim

    def _output_dim(self) -> int:
        probe = torch.zeros(2, self.base.dim)
        probe = probe.to(next((p for p in self.map.parameters()), probe))
        try:
            with undisturbed(self.map):
                out = self.map(probe)
        except RuntimeError as error:
            raise ValueError(
                f"the generator does not accept latent points of shape (n, {self.base.dim}), the dimension of its "
                f"reference ({error}); give both the same latent dimension"
            ) from error
        if out.ndim != 2 or len(out) != 2:
            raise ValueError(
                f"the generator maps (2, {self.base.dim}) to {tuple(out.shape)}, but a point cloud is (n, d): "
                "flatten images at the end of the generator"
            )
        return int(out.shape[1])

    def forward(self, z: Tensor) -> Tensor:
        """g_θ(z): (n, k) -> (n, d)."""
        out: Tensor = self.map(z)
        return out

    def rsample(self, n: int) -> Tensor:
        """n points g_θ(z_i), z_i ~ ζ, (n, d), differentiable in θ."""
        return self(self.base.sample(n))

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """n independent points g_θ(z_i), z_i ~ ζ, (n, d), without a graph."""
        return self.rsample(n)

    @torch.no_grad()
    def from_cube(self, u: Tensor) -> Tensor:
        """g_θ of the reference's points, (n, d)."""
        return self(self.base.from_cube(u))


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


def check_cloud(points: Tensor, name: str) -> None:
    """Raise a `ValueError` unless `points` is a non-empty, finite, floating (n, d) cloud.

    Example:
        >>> check_cloud(torch.zeros(3, 2), "x")
    """
    if points.ndim != 2 or points.numel() == 0:
        raise ValueError(
            f"{name} must be a non-empty point cloud of shape (n, d), got {tuple(points.shape)}; "
            "flatten images to one row a point"
        )
    if not points.is_floating_point():
        raise ValueError(f"{name} must be floating point, got {points.dtype}; convert them, e.g. {name}.float()")
    bad = ~torch.isfinite(points.sum(dim=1))  # a sum is finite only if (overflow aside) each entry is
    if bad.any():
        bad = ~torch.isfinite(points).all(dim=1)
    if bad.any():
        raise ValueError(
            f"{name} hold NaN or Inf in {int(bad.sum())} of {len(points)} rows (first: row {int(bad.nonzero()[0])}); "
            "remove or repair these rows"
        )


def _check_weights(weights: Tensor, m: int) -> None:
    if weights.shape != (m,):
        raise ValueError(f"weights must have shape ({m},), one for each atom, got {tuple(weights.shape)}")
    if not torch.isfinite(weights).all() or bool((weights < 0).any()):
        raise ValueError(f"weights must be finite and non-negative, got a minimum of {float(weights.min()):g}")
    total = float(weights.double().sum())
    if abs(total - 1) > 1e-4:
        raise ValueError(f"weights must sum to 1, got {total:g}; divide them by their sum")


def _has_quantiles(law: Distribution) -> bool:
    try:
        law.icdf(torch.full_like(law.mean, 0.5))
    except NotImplementedError:
        return False
    return True
