"""References ζ beyond the Gaussian and the cube: the sphere, mixtures, and mixtures that are learned."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal

from ot_gen.arguments import Count, Nonnegative, Positive, Seed, checked
from ot_gen.execution import keyword_only
from ot_gen.measures.distributions import Mixture
from ot_gen.measures.points import check_cloud, check_weights
from ot_gen.measures.range import within
from ot_gen.measures.reference import Reference


@checked
def gaussian_mixture(means: Tensor, std: Positive | Tensor, weights: Tensor | None = None) -> Reference:
    """The mixture ζ = Σ_c w_c N(m_c, diag(s_c²)).

    Args:
        means: the m_c, (C, k).
        std: the s_c > 0, a number or a tensor that broadcasts to (C, k).
        weights: the w_c, (C,), non-negative, summing to 1; None means w_c = 1/C.

    Raises:
        ValueError: means that are no point cloud, deviations that are not positive, or no probability vector.

    Example:
        >>> gaussian_mixture(torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), std=0.5).sample(5).shape
        torch.Size([5, 2])
    """
    check_cloud(means, "means")
    scale = torch.as_tensor(std, dtype=means.dtype, device=means.device)
    try:
        scale = scale.expand_as(means)
    except RuntimeError as error:
        raise ValueError(
            f"std of shape {tuple(scale.shape)} does not broadcast to the means' {tuple(means.shape)}; "
            "give a number, (C, 1) or (C, k)"
        ) from error
    if not bool(((scale > 0) & (scale < math.inf)).all()):
        raise ValueError(
            f"a mixture needs finite standard deviations > 0, got a minimum of {float(scale.min()):g} in {scale.dtype}"
        )
    components = Independent(Normal(means, scale, validate_args=False), 1, validate_args=False)
    return Reference(Mixture(Categorical(_probabilities(weights, means)), components, validate_args=False))


@keyword_only
@checked
def gaussian_shell(
    dim: Count, components: Count = 10, radius: Nonnegative = 2.0, std: Positive = 0.5, *, seed: Seed = 0
) -> Reference:
    """A mixture of equal Gaussians around a sphere: ζ = 1/C Σ_c N(radius u_c, std² I) with unit vectors u_c.

    Args:
        dim: k. In the plane the u_c are evenly spaced on the circle; in other dimensions they are random directions.
        components: C.
        radius: the distance of the means from the origin, >= 0.
        std: the standard deviation of each component.
        seed: of the directions; the caller's random state stays as it was.

    Raises:
        ValueError: dim or components < 1, radius < 0 or std <= 0.

    Example:
        >>> zeta = gaussian_shell(2, components=4, radius=1.0, std=0.1)
        >>> zeta.law.component_distribution.mean.round(decimals=3).abs()
        tensor([[1., 0.],
                [0., 1.],
                [1., 0.],
                [0., 1.]])
    """
    if dim == 2:
        angle = torch.arange(components, device="cpu") * (2 * math.pi / components)
        directions = torch.stack([angle.cos(), angle.sin()], dim=1)
    else:
        noise = torch.randn(components, dim, generator=torch.Generator("cpu").manual_seed(seed), device="cpu")
        directions = nn.functional.normalize(noise, dim=1)
    return gaussian_mixture(radius * directions.to(torch.get_default_device()), std)


@checked
def learned_mixture(dim: Count, components: Count = 10, std: Positive = 1.0) -> Reference:
    """A reference that learns: ζ_ψ = 1/C Σ_c N(m_c, diag(s_c²)), its means and deviations are parameters.

    `rsample` is differentiable in ψ and so is `law.log_prob`; the state dict holds ψ. Divergences that descend ψ draw
    the prior to the codes as well as the codes to the prior.

    Args:
        dim: k.
        components: C.
        std: the deviation of the random initial means and of each component, so that ζ_ψ starts near N(0, 2 std² I).

    Raises:
        ValueError: dim or components < 1, or std <= 0.

    Source: Tomczak, Welling, 2018, https://arxiv.org/abs/1705.07120, whose baseline this mixture is

    Example:
        >>> zeta = learned_mixture(2, components=3)
        >>> zeta.rsample(5).requires_grad, zeta.law.log_prob(torch.zeros(4, 2)).shape
        (True, torch.Size([4]))
        >>> [tuple(p.shape) for p in zeta.parameters()]
        [(3, 2), (3, 2)]
    """
    means = std * torch.randn(components, dim, device=torch.get_default_device())
    return Reference(LearnedMixture(means, std))


@final
@checked
class LearnedMixture(nn.Module):
    """The family ψ -> 1/C Σ_c N(m_c, diag(s_c²)), called without arguments.

    Args:
        means: the initial m_c, (C, k).
        std: the initial s_c. Their logarithms are the parameters, clamped to [−10, 5] where they are used.

    Example:
        >>> LearnedMixture(torch.zeros(3, 2), 1.0)().event_shape
        torch.Size([2])
    """

    def __init__(self, means: Tensor, std: Positive) -> None:
        super().__init__()
        check_cloud(means, "means")
        self.means = nn.Parameter(means.clone())
        self.log_std = nn.Parameter(torch.full_like(means, math.log(std)))

    def forward(self) -> Mixture:
        normals = Normal(self.means, within(self.log_std, -10, 5).exp(), validate_args=False)
        uniform = Categorical(logits=self.means.new_zeros(len(self.means)), validate_args=False)
        return Mixture(uniform, Independent(normals, 1, validate_args=False), validate_args=False)


@final
@checked
class FullMixture(nn.Module):
    """The fixed mixture Σ_c w_c N(m_c, L_c L_cᵀ) as buffers, so that a state dict holds it; called without arguments.

    Args:
        weights: the w_c, (C,), non-negative, summing to 1.
        means: the m_c, (C, k).
        scale_tril: the lower Cholesky factors L_c of the covariances, (C, k, k).

    Raises:
        ValueError: shapes that do not fit together, or weights that are no probability vector.

    Example:
        >>> zeta = Reference(FullMixture(torch.tensor([0.5, 0.5]), torch.zeros(2, 3), torch.eye(3).expand(2, 3, 3)))
        >>> zeta.sample(4).shape, sorted(zeta.state_dict())
        (torch.Size([4, 3]), ['family.means', 'family.scale_tril', 'family.weights'])
    """

    weights: Tensor
    means: Tensor
    scale_tril: Tensor

    def __init__(self, weights: Tensor, means: Tensor, scale_tril: Tensor) -> None:
        super().__init__()
        check_cloud(means, "means")
        if scale_tril.shape != (*means.shape, means.shape[1]):
            raise ValueError(
                f"Cholesky factors must have shape {(*means.shape, means.shape[1])} for means of shape "
                f"{tuple(means.shape)}, got {tuple(scale_tril.shape)}"
            )
        if not bool((scale_tril.diagonal(dim1=1, dim2=2) > 0).all() and scale_tril.isfinite().all()):
            raise ValueError("Cholesky factors must be finite with a positive diagonal; got others in scale_tril")
        # Copies: a state dict that is loaded is written into buffers in place.
        self.register_buffer("weights", _probabilities(weights, means).clone())
        self.register_buffer("means", means.clone())
        self.register_buffer("scale_tril", scale_tril.clone(memory_format=torch.contiguous_format))

    def forward(self) -> Mixture:
        components = MultivariateNormal(self.means, scale_tril=self.scale_tril, validate_args=False)
        return Mixture(Categorical(self.weights, validate_args=False), components, validate_args=False)


def _probabilities(weights: Tensor | None, means: Tensor) -> Tensor:
    if weights is None:
        return means.new_full((len(means),), 1 / len(means))
    check_weights(weights, len(means))
    return weights.to(means)
