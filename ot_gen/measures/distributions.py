"""Laws that torch's distributions lack, and what a `Reference` asks of every law."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Transform,
    constraints,
    register_kl,
)

from ot_gen.arguments import Index, Positive, checked, described


@final
@checked
class Dirac(Distribution):
    """The law δ_loc of a deterministic encoder: `rsample` returns loc; it has no density.

    Example:
        >>> Dirac(torch.zeros(4, 2)).rsample().shape
        torch.Size([4, 2])
    """

    arg_constraints = {"loc": constraints.real_vector}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor) -> None:
        _check_vectors(loc, "loc")
        self.loc = loc
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.loc)

    def rsample(self, sample_shape: Sequence[Index] = ()) -> Tensor:
        return self.loc.expand(self._extended_shape(torch.Size(sample_shape)))

    def sample(self, sample_shape: Sequence[Index] = ()) -> Tensor:
        return self.rsample(sample_shape).detach()


@final
class _Sphere(constraints.Constraint):
    """Vectors of norm `radius`, up to single precision."""

    event_dim = 1

    def __init__(self, radius: float) -> None:
        self.radius = radius
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        return (torch.linalg.vector_norm(value, dim=-1) / self.radius - 1).abs() < 1e-4


@final
@checked
class UniformSphere(Distribution):
    """The uniform law on the sphere {z in R^k : ‖z‖ = r}; a draw is r times a Gaussian divided by its norm.

    It has no density in R^k. `log_prob` is with respect to the surface measure, the constant
    −log area = lgamma(k/2) − log 2 − (k/2) log π − (k − 1) log r. The mean is 0 and the covariance r² I/k.

    Args:
        origin: zeros, (..., k): they give dimension, dtype and device.
        radius: r > 0.

    Raises:
        ValueError: a radius that the dtype cannot hold; `log_prob` of points off the sphere.

    Source: Davidson et al., 2018, https://arxiv.org/abs/1804.00891

    Example:
        >>> law = UniformSphere(torch.zeros(3))
        >>> round(float(law.log_prob(law.sample()).exp()) * 4 * math.pi, 5)  # the area of S²
        1.0
    """

    arg_constraints = {"origin": constraints.real_vector}
    has_rsample = True

    def __init__(self, origin: Tensor, radius: Positive = 1.0) -> None:
        _check_vectors(origin, "origin")
        self.origin = torch.zeros_like(origin)
        held = torch.finfo(origin.dtype)
        if not held.tiny <= radius <= held.max:
            raise ValueError(
                f"a sphere of radius {radius:g} cannot be held by {origin.dtype}, which goes from {held.tiny:.3g} to "
                f"{held.max:.3g}; take another unit, or float64"
            )
        self.radius = float(radius)
        super().__init__(origin.shape[:-1], origin.shape[-1:], validate_args=True)

    def expand(self, batch_shape: Sequence[Index], _instance: Any = None) -> UniformSphere:
        return UniformSphere(self.origin.expand(*batch_shape, *self.event_shape), self.radius)

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> Any:
        return _Sphere(self.radius)

    @property
    def mean(self) -> Tensor:
        return self.origin

    @property
    def variance(self) -> Tensor:
        return self.origin + self.radius**2 / self.event_shape[0]

    def rsample(self, sample_shape: Sequence[Index] = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        gaussian = torch.randn(shape, dtype=self.origin.dtype, device=self.origin.device)
        return self.radius * nn.functional.normalize(gaussian, dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        k = self.event_shape[0]
        constant = math.lgamma(k / 2) - math.log(2) - k / 2 * math.log(math.pi) - (k - 1) * math.log(self.radius)
        return value.new_full(torch.broadcast_shapes(value.shape[:-1], self.batch_shape), constant)


@final
@checked
class Mixture(MixtureSameFamily):
    """torch's mixture Σ_c w_c p_c with a reparametrised `rsample`: draw the component, then draw from it.

    For fixed weights this is exact: the gradients of E f(z) in the components' parameters are unbiased. The choice of
    the component has no derivative, so the weights receive none.

    Example:
        >>> from torch.distributions import Categorical
        >>> means = torch.zeros(3, 2, requires_grad=True)
        >>> law = Mixture(Categorical(torch.ones(3)), Independent(Normal(means, torch.ones(3, 2)), 1))
        >>> law.rsample((5,)).requires_grad
        True
    """

    has_rsample = True

    def rsample(self, sample_shape: Sequence[Index] = ()) -> Tensor:
        shape = torch.Size(sample_shape)
        component = self.mixture_distribution.sample(shape)
        if isinstance(self.component_distribution, MultivariateNormal) and not self.batch_shape:
            return _of_full_normals(self.component_distribution, component)
        draws = self.component_distribution.rsample(shape)
        events = len(self.event_shape)
        index = component.reshape(*component.shape, *(1,) * (events + 1))
        return torch.take_along_dim(draws, index, dim=-1 - events).squeeze(-1 - events)

    def sample(self, sample_shape: Sequence[Index] = ()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)


def _of_full_normals(normals: MultivariateNormal, component: Tensor) -> Tensor:
    """A draw of the normal of each component, from the noise that torch takes for it.

    `MultivariateNormal` makes a draw of every normal for each point, C products of matrix and vector, of which one
    counts. Here only that one is made.
    """
    loc = normals.loc
    noise = torch.randn(*component.shape, *loc.shape, dtype=loc.dtype, device=loc.device)
    noise = torch.take_along_dim(noise, component[..., None, None], dim=-2).squeeze(-2)
    draws = torch.zeros_like(noise)
    for c, (mean, factor) in enumerate(zip(loc, normals.scale_tril, strict=True)):
        draws = torch.where((component == c).unsqueeze(-1), mean + noise @ factor.mT, draws)
    return draws


@final
@checked
class Transported(Distribution):
    """The law of T(ε) on R^k, ε of a base law and T invertible; T and its inverse are differentiable.

    Its density is p(z) = p_base(T⁻¹(z)) |det ∂T⁻¹/∂z|. `mean` is T(E ε), the image of the base's centre, a
    deterministic representative of the law. The expectation has no closed form; for an affine T it is `mean`.

    Args:
        base: the law of ε, with batch_shape (n,) and event_shape (k,).
        transform: T.

    Example:
        >>> from torch.distributions import AffineTransform
        >>> base = Independent(Normal(torch.zeros(4, 2), torch.ones(4, 2)), 1)
        >>> law = Transported(base, AffineTransform(3.0, 2.0, event_dim=1))
        >>> law.mean[0], law.log_prob(law.rsample()).shape
        (tensor([3., 3.]), torch.Size([4]))
    """

    arg_constraints = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: Distribution, transform: Transform) -> None:
        self.base = base
        self.transform = transform
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        image: Tensor = self.transform(self.base.mean)
        return image

    def rsample(self, sample_shape: Sequence[Index] = ()) -> Tensor:
        image: Tensor = self.transform(self.base.rsample(torch.Size(sample_shape)))
        return image

    def log_prob(self, value: Tensor) -> Tensor:
        epsilon = self.transform.inv(value)
        return self.base.log_prob(epsilon) - self.transform.log_abs_det_jacobian(epsilon, value)


def _check_vectors(points: Tensor, name: str) -> None:
    if points.ndim == 0 or not points.is_floating_point():
        raise ValueError(f"{name} must hold vectors (..., k) of floats, got {described(points)} of {points.dtype}")


def _kl_full_diagonal(p: MultivariateNormal, q: Independent[Distribution]) -> Tensor:
    """KL(N(m, LLᵀ) ‖ N(a, diag s²)), a full posterior and a diagonal reference; torch has no formula for it."""
    if not isinstance(q.base_dist, Normal) or q.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    a, s = q.base_dist.loc, q.base_dist.scale
    log_det = p.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
    squares = (p.scale_tril / s.unsqueeze(-1)).square().sum(dim=(-2, -1)) + ((p.loc - a) / s).square().sum(dim=-1)
    return 0.5 * (squares - p.event_shape[0]) + s.log().sum(dim=-1) - log_det


register_kl(MultivariateNormal, Independent)(_kl_full_diagonal)


def factors(law: Distribution) -> Distribution | None:
    """The coordinates' law, batch_shape (k,), where they are independent with known quantiles (`icdf`), else None.

    Example:
        >>> law = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
        >>> factors(law).batch_shape, factors(MultivariateNormal(torch.zeros(3), torch.eye(3)))
        (torch.Size([3]), None)
    """
    if not isinstance(law, Independent) or law.reinterpreted_batch_ndims != 1:
        return None
    coordinates: Distribution = law.base_dist
    try:
        coordinates.icdf(torch.full_like(coordinates.mean, 0.5))
    except NotImplementedError:
        return None
    return coordinates


@checked
def log_density(law: Distribution, z: Tensor) -> Tensor:
    """log p(z), −inf outside the support, where torch's own laws raise.

    Raises:
        NotImplementedError: the law has no density.

    Example:
        >>> from torch.distributions import Uniform
        >>> log_density(Uniform(0.0, 1.0), torch.tensor([0.5, 2.0]))
        tensor([0., -inf])
    """
    if type(law).log_prob is Distribution.log_prob:
        raise NotImplementedError(f"{law} has no density")
    if not z.numel():  # which torch's constraints do not take
        return z.new_empty(torch.broadcast_shapes(z.shape[: z.ndim - len(law.event_shape)], law.batch_shape))
    try:
        support = law.support
    except NotImplementedError:  # torch raises it for a law that states no support
        support = None
    if support is None:
        return law.log_prob(z)
    inside = support.check(z)
    if inside.all():
        return law.log_prob(z)
    events = inside.reshape(*inside.shape, *[1] * len(law.event_shape))
    return torch.where(inside, law.log_prob(torch.where(events, z, law.sample().to(z))), -math.inf)


def mapped(part: Any, fn: Callable[[Tensor], Tensor]) -> Any:
    """A copy of a law with `fn` applied to each of its tensors.

    Example:
        >>> mapped(Normal(torch.zeros(3), torch.ones(3)), Tensor.double).sample().dtype
        torch.float64
    """
    if isinstance(part, Tensor):
        return fn(part)
    if isinstance(part, list | tuple):
        return type(part)(mapped(item, fn) for item in part)
    if isinstance(part, Distribution | Transform):
        copied = copy.copy(part)
        vars(copied).update({name: mapped(value, fn) for name, value in vars(part).items()})
        return copied
    return None if isinstance(part, weakref.ref) else part  # a transform's memory of its inverse
