"""The reference ζ on the latent space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, Uniform

from ot_gen.arguments import Count, Finite, Positive, checked, described
from ot_gen.measures.distributions import UniformSphere, factors, mapped
from ot_gen.measures.measure import Measure, check_cube


@final
@checked
class Reference(Measure):
    """The reference ζ on the latent space Z = R^k, held by a torch `Distribution`.

    A fixed law follows `.to(device)` and `.to(dtype)` and stays out of the state dict; a module is an ordinary part.

    Args:
        law: a distribution with batch_shape () and event_shape (k,), or a module (`ot_gen.learned_mixture`). Called
            without arguments, the module returns such a distribution at the current values of its parameters.

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
        if not isinstance(law, Distribution):
            raise ValueError(f"the module of a reference must return a torch Distribution, got {described(law)}")
        if law.event_shape == (0,):
            raise ValueError("a reference needs events of dimension >= 1, got event_shape (0,)")
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

    def sample(self, n: Count) -> Tensor:
        """n independent draws z ~ ζ, (n, k)."""
        return self.law.sample(torch.Size((n,)))

    def rsample(self, n: Count) -> Tensor:
        """n independent draws z ~ ζ, (n, k), differentiable in the law's parameters where the law has `rsample`."""
        law = self.law
        return (law.rsample if law.has_rsample else law.sample)(torch.Size((n,)))

    def from_cube(self, u: Tensor) -> Tensor:
        """z with z_l the u_l-quantile of the law's l-th coordinate, (n, k)."""
        coordinates = factors(self.law)
        if coordinates is None:
            return super().from_cube(u)
        check_cube(u, self.dim)
        eps = torch.finfo(u.dtype).eps  # nearer to an end of the interval 2u − 1 is rounded to it
        u = u.clamp(eps / 2, 1 - eps / 2)
        return coordinates.icdf(u.to(coordinates.mean.device)).to(coordinates.mean.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Distributions are not modules: `.to` reaches their tensors only from here.
        super()._apply(fn, recurse)
        if isinstance(self.family, Distribution):
            self.family = mapped(self.family, fn)
        return self

    def extra_repr(self) -> str:
        return f"dim={self.dim}" if isinstance(self.family, nn.Module) else f"dim={self.dim}, law={self.family}"


@checked
def standard_gaussian(dim: Count) -> Reference:
    """The standard Gaussian ζ = N(0, I_dim).

    Raises:
        ValueError: dim is no whole number >= 1.

    Example:
        >>> standard_gaussian(8).dim
        8
    """
    zeros = torch.zeros(dim, device=torch.get_default_device())
    return Reference(Independent(Normal(zeros, torch.ones_like(zeros)), 1))


@checked
def uniform_cube(dim: Count, low: Finite = -1.0, high: Finite = 1.0) -> Reference:
    """The uniform law ζ on the cube [low, high]^dim.

    Raises:
        ValueError: dim is no whole number >= 1, or the bounds are not finite with low < high.

    Example:
        >>> bool(uniform_cube(2).sample(100).abs().max() <= 1)
        True
    """
    if not low < high:
        raise ValueError(f"a cube needs finite bounds low < high, got low = {low} and high = {high}")
    # By way of float64, from which what is too large becomes infinite.
    bounds = torch.tensor([low, high], dtype=torch.float64, device="cpu").to(torch.get_default_dtype())
    if not 0 < float(bounds[1] - bounds[0]) < torch.inf:
        raise ValueError(
            f"{bounds.dtype} holds no cube from low = {low!r} to high = {high!r}: the ends are equal there, or their "
            "difference overflows; take other bounds, or torch.set_default_dtype(torch.float64)"
        )
    return Reference(Independent(Uniform(*bounds.to(torch.get_default_device())[:, None].repeat(1, dim)), 1))


@checked
def uniform_sphere(dim: Count, radius: Positive = 1.0) -> Reference:
    """The uniform law ζ on the sphere of a radius in R^dim; `law.log_prob` is with respect to its surface.

    It has no density in R^dim: join it to a `SphereEncoder` by divergences between samples, not by KL. Unlike a
    Gaussian it has no middle in which all kinds of codes meet. With radius √dim it has a Gaussian's covariance, I.

    Raises:
        ValueError: dim < 1 or radius <= 0.

    Example:
        >>> uniform_sphere(3).sample(100).norm(dim=1).allclose(torch.ones(100))
        True
    """
    return Reference(UniformSphere(torch.zeros(dim, device=torch.get_default_device()), radius))
