"""Encoders y -> q(·|y): networks that return a torch `Distribution`, batch_shape (n,) and event_shape (k,).

`q.mean` and `q.rsample()` always work; `q.log_prob` where q has a density, which a deterministic encoder's has not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.distributions import AffineTransform, Distribution, Independent, MultivariateNormal, Normal

from ot_gen.arguments import Count, Positive, checked
from ot_gen.display import Network
from ot_gen.measures import Dirac, Transported, within
from ot_gen.networks.heads import add_head, number_of_features, width_of


@final
@checked
class DiracEncoder(Network):
    """The deterministic encoder q(·|y) = δ_{f(y)}.

    Args:
        net: f, (n, d) -> (n, k).

    Example:
        >>> DiracEncoder(nn.Linear(3, 2))(torch.zeros(4, 3)).rsample().shape
        torch.Size([4, 2])
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, y: Tensor) -> Dirac:
        return Dirac(self.net(y))


@final
@checked
class CodeMean(Network):
    """An encoder as features of points, y -> s E q(·|y): (n, d) -> (n, k), for a `FeatureCost`.

    Args:
        encoder: y -> q(·|y), a torch `Distribution`; `code_cost` takes that of a finished run.
        scale: s > 0, kept with the weights.

    Example:
        >>> from ot_gen import FeatureCost, SquaredEuclidean
        >>> cost = FeatureCost(CodeMean(GaussianEncoder(nn.Linear(3, 4))), SquaredEuclidean())
        >>> cost.matrix(torch.zeros(5, 3), torch.zeros(2, 3)).shape
        torch.Size([5, 2])
    """

    by_rows = True
    scale: Tensor

    def __init__(self, encoder: nn.Module, scale: Positive = 1.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64, device="cpu"))

    def forward(self, y: Tensor) -> Tensor:
        mean: Tensor = self.encoder(y).mean
        return self.scale.to(mean) * mean


@final
@checked
class SphereEncoder(Network):
    """The deterministic encoder onto a sphere, q(·|y) = δ_{r f(y)/‖f(y)‖}, for the reference `uniform_sphere`.

    Args:
        net: f, (n, d) -> (n, k).
        radius: r > 0, that of the reference.

    Raises:
        ValueError: r <= 0, or k = 1, where the sphere is two points and codes on it have no gradient.

    Example:
        >>> SphereEncoder(nn.Linear(3, 2))(torch.randn(4, 3)).mean.norm(dim=1).allclose(torch.ones(4))
        True
    """

    def __init__(self, net: nn.Module, radius: Positive = 1.0) -> None:
        super().__init__()
        _check_sphere(width_of(net))
        self.net = net
        self.radius = float(radius)

    def forward(self, y: Tensor) -> Dirac:
        code = self.net(y)
        _check_sphere(code.shape[-1])
        return Dirac(self.radius * nn.functional.normalize(code, dim=-1))


@final
@checked
class NoisyEncoder(Network):
    """The encoder with noise of a fixed size, q(·|y) = N(f(y), s² I).

    For divergences of the aggregate. The decoder learns a neighbourhood of each code and not the code alone. Draws of
    the reference between the codes then decode well. With s = 0 it would be `DiracEncoder`.

    Args:
        net: f, (n, d) -> (n, k).
        std: s > 0, in the units of the codes.

    Raises:
        ValueError: s <= 0.

    Example:
        >>> NoisyEncoder(nn.Linear(3, 2), std=0.3)(torch.zeros(4, 3)).rsample().shape
        torch.Size([4, 2])
    """

    def __init__(self, net: nn.Module, std: Positive) -> None:
        super().__init__()
        self.net = net
        self.std = float(std)

    def forward(self, y: Tensor) -> Distribution:
        mean = self.net(y)
        return Independent(Normal(mean, self.std * torch.ones_like(mean), validate_args=False), 1, validate_args=False)

    def extra_repr(self) -> str:
        return f"std={self.std:g}"


@final
@checked
class GaussianEncoder(Network):
    """The diagonal Gaussian encoder q(·|y) = N(m(y), diag(s(y)²)).

    Args:
        net: (n, d) -> (n, 2k), the mean m and the logarithm of the standard deviation s, side by side.

    The log deviation is clamped to [−10, 5], so that exp neither underflows to a point mass nor overflows.
    Outside, the gradient leads back (`ot_gen.measures.within`).

    Example:
        >>> q = GaussianEncoder(nn.Linear(3, 4))(torch.zeros(5, 3))
        >>> q.batch_shape, q.event_shape
        (torch.Size([5]), torch.Size([2]))
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, y: Tensor) -> Distribution:
        out = self.net(y)
        if out.shape[-1] % 2:
            raise ValueError(
                f"a Gaussian encoder's net must return 2k values (mean, log deviation), got {out.shape[-1]}"
            )
        mean, log_std = out.chunk(2, dim=-1)
        return Independent(Normal(mean, _deviation(log_std), validate_args=False), 1, validate_args=False)


@final
@checked
class FullGaussianEncoder(Network):
    """The Gaussian encoder with a full covariance, q(·|y) = N(m(y), L(y) L(y)ᵀ), L lower triangular.

    Args:
        net: (n, d) -> (n, k + k(k+1)/2): m, the logarithms of L's diagonal, and L below its diagonal row by row.

    The logarithms are clamped to [−10, 5], as those of `GaussianEncoder`. Without entries below the diagonal it is that
    encoder. Its KL to a Gaussian reference is in closed form.

    Raises:
        ValueError: the net returns a number of values that is not k(k+3)/2 for any k.

    Example:
        >>> q = FullGaussianEncoder(nn.Linear(3, 5))(torch.zeros(4, 3))
        >>> q.mean.shape, q.covariance_matrix.shape
        (torch.Size([4, 2]), torch.Size([4, 2, 2]))
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    @classmethod
    def on(cls, features: nn.Module, dim: Count) -> FullGaussianEncoder:
        """The encoder with latent dimension k = `dim` as a linear head on `features`.

        Example:
            >>> from ot_gen import MLP
            >>> FullGaussianEncoder.on(MLP(3, hidden=(8,)), 2)(torch.zeros(4, 3)).event_shape
            torch.Size([2])
        """
        return cls(add_head(features, dim * (dim + 3) // 2))

    def forward(self, y: Tensor) -> MultivariateNormal:
        out = self.net(y)
        values = out.shape[-1]
        k = (math.isqrt(9 + 8 * values) - 3) // 2
        if k < 1 or k * (k + 3) // 2 != values:
            raise ValueError(
                f"a full Gaussian encoder's net must return k + k(k+1)/2 values (mean, Cholesky factor): 2, 5, 9, 14, "
                f"20, 27, 35, 44 for k = 1, ..., 8; got {values}"
            )
        mean, log_diagonal, below = out.split([k, k, values - 2 * k], dim=-1)
        rows, columns = torch.tril_indices(k, k, -1, device=out.device)
        scale_tril = torch.diag_embed(_deviation(log_diagonal))
        scale_tril[..., rows, columns] = below
        return MultivariateNormal(mean, scale_tril=scale_tril, validate_args=False)


@final
@checked
class FlowEncoder(Network):
    """A normalising flow as encoder: q(·|y) is the law of z = m(y) + s(y) ⊙ T_y(ε), ε ~ N(0, I_k).

    T_y composes coupling layers of monotone rational-quadratic splines. Their parameters depend on h(y), the features
    of y. The splines act on [−5, 5] and leave the rest alone. `rsample` and `log_prob` are exact and differentiable;
    they take one pass and three passes. `mean` is the image of ε = 0, a deterministic code of y, not the expectation.

    Needs the library zuko: pip install ot_gen[flows].

    Args:
        features: h, (n, d) -> (n, features.out_dim).
        dim: k.
        layers: the number of coupling layers; each changes half of the coordinates, so at least 2 where k > 1.
        bins: the pieces of each spline.
        hidden: widths of the networks that make the splines' parameters.

    Raises:
        ValueError: zuko is not installed, or sizes that are not positive.

    Source: Durkan et al., 2019, https://arxiv.org/abs/1906.04032

    Example:
        >>> from ot_gen import MLP
        >>> q = FlowEncoder(MLP(3, hidden=(8,)), dim=2)(torch.zeros(4, 3))
        >>> q.log_prob(q.rsample()).shape
        torch.Size([4])
    """

    def __init__(
        self,
        features: nn.Module,
        dim: Count,
        layers: Count = 2,
        bins: Count = 8,
        hidden: Sequence[Count] = (64,),
    ) -> None:
        super().__init__()
        self.features = features
        context = number_of_features(features)
        self.head = nn.Linear(context, 2 * dim)
        self.layers = nn.ModuleList(
            _spline_coupling(dim, context, bins, hidden, reverse=bool(layer % 2)) for layer in range(layers)
        )

    def forward(self, y: Tensor) -> Transported:
        from zuko.transforms import ComposedTransform

        h = self.features(y)
        mean, log_std = self.head(h).chunk(2, dim=-1)
        scale = AffineTransform(mean, _deviation(log_std), event_dim=1)
        base = Normal(torch.zeros_like(mean), torch.ones_like(mean), validate_args=False)
        transform = ComposedTransform(*(layer(h) for layer in self.layers), scale)
        return Transported(Independent(base, 1, validate_args=False), transform)


def _spline_coupling(dim: int, context: int, bins: int, hidden: Sequence[int], reverse: bool) -> Any:
    """A module h(y) -> transform of R^dim."""
    attributes = {name: vars(Distribution)[name] for name in ("_validate_args", "arg_constraints")}
    try:
        from zuko.flows.autoregressive import MaskedAutoregressiveTransform
        from zuko.transforms import MonotonicRQSTransform
    except ImportError as error:
        raise ValueError("FlowEncoder needs the library zuko; install it: pip install ot_gen[flows]") from error
    finally:
        # zuko's import turns off the validation of all of torch's distributions, which is for the caller to decide.
        for name, value in attributes.items():
            setattr(Distribution, name, value)
    order = torch.arange(dim, device=torch.get_default_device())
    return MaskedAutoregressiveTransform(
        features=dim,
        context=context,
        passes=2,
        order=order.flip(0) if reverse else order,
        univariate=partial(MonotonicRQSTransform, slope=1e-3),
        shapes=[(bins,), (bins,), (bins - 1,)],
        hidden_features=tuple(hidden),
    )


def _check_sphere(dim: int | None) -> None:
    if dim == 1:
        raise ValueError(
            "codes on a sphere need a latent dimension >= 2, got 1: the sphere is then the two points −r and r, and "
            "codes cannot learn; take a larger dimension, or DiracEncoder"
        )


def _deviation(log_std: Tensor) -> Tensor:
    """exp, kept from underflowing to a point mass and from overflowing."""
    return within(log_std, -10, 5).exp()
