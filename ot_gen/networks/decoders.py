"""Decoders with noise: generators whose value at z is a law p(·|z) on the data space.

As the map of a `Pushforward` they make the model the law of a draw from p(·|z), z ~ ζ. `mean(z)` and `std(z)` are plain
functions of z, what a latent geometry needs.
"""

from __future__ import annotations

import math
from typing import Annotated, final

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from ot_gen.arguments import Count, Interval, Positive, Seed, checked
from ot_gen.costs import squared_distances
from ot_gen.display import Network
from ot_gen.execution import keyword_only, renamed
from ot_gen.measures import check_cloud, within

LEAST_STD = 1e-3


@final
@checked
class GaussianDecoder(Network):
    """f(z) = m(z) + σ(z) ⊙ ε, ε ~ N(0, I_d): p(·|z) = N(m(z), diag(σ(z)²)).

    Args:
        mean: the generator m, (n, k) -> (n, d).
        std: σ, a number for a fixed one, or a module z (n, k) -> (n, d) or (n, 1), positive: `LearnedStd`,
            `PixelwiseStd` or `RBFPrecision`.

    A learned σ has a minimum, `least`. On data that fill no volume (constant pixels, copies) the likelihood would grow
    without bound as σ → 0; with it log p(x|z) never exceeds −(d/2) log(2π least²). A fixed σ is taken as it is.

    Raises:
        ValueError: a number std <= 0.

    Source: Kingma, Welling, 2014, https://arxiv.org/abs/1312.6114

    Example:
        >>> decoder = GaussianDecoder(nn.Linear(2, 5), std=0.1)
        >>> law = decoder(torch.zeros(4, 2))
        >>> law.batch_shape, law.event_shape, decoder.mean(torch.zeros(4, 2)).shape
        (torch.Size([4]), torch.Size([5]), torch.Size([4, 5]))
    """

    def __init__(self, mean: nn.Module, std: Positive | nn.Module) -> None:
        super().__init__()
        self.location = mean
        self.scale = std

    def mean(self, z: Tensor) -> Tensor:
        """m(z), (n, d)."""
        out: Tensor = self.location(z)
        return out

    def std(self, z: Tensor) -> Tensor:
        """σ(z), (n, d), or (n, 1) where all coordinates share it."""
        if isinstance(self.scale, nn.Module):
            out: Tensor = self.scale(z)
            return out
        return z.new_full((len(z), 1), self.scale)

    def forward(self, z: Tensor) -> Distribution:
        mean = self.mean(z)
        return Independent(Normal(mean, self.std(z).expand_as(mean), validate_args=False), 1, validate_args=False)

    def extra_repr(self) -> str:
        return "" if isinstance(self.scale, nn.Module) else f"std={self.scale:g}"


@final
@checked
class BernoulliDecoder(Network):
    """Independent pixels x_l in {0, 1} with P(x_l = 1 | z) = m_l(z).

    The log-likelihood Σ_l x_l log m_l + (1 − x_l) log(1 − m_l) is also used for grey values x in [0, 1], for which it
    is a cost but no log-density. Probabilities are kept one rounding error away from 0 and 1, so that it stays finite.
    A draw has no derivative: `Pushforward.rsample` returns m(z) and `sample` black and white images.

    Args:
        mean: m, (n, k) -> (n, d) with values in [0, 1]; wrap a net that returns logits: nn.Sequential(net,
            nn.Sigmoid()).

    Raises:
        ValueError: m returns values outside [0, 1].

    Example:
        >>> decoder = BernoulliDecoder(nn.Sequential(nn.Linear(2, 5), nn.Sigmoid()))
        >>> decoder(torch.zeros(4, 2)).sample().unique().tolist()
        [0.0, 1.0]
    """

    def __init__(self, mean: nn.Module) -> None:
        super().__init__()
        self.probability = mean

    def mean(self, z: Tensor) -> Tensor:
        """m(z), (n, d)."""
        p: Tensor = self.probability(z)
        return p

    def std(self, z: Tensor) -> Tensor:
        """The standard deviation (m(z) (1 − m(z)))^½ of each pixel, (n, d)."""
        p = self.mean(z)
        return (p * (1 - p)).clamp_min(torch.finfo(p.dtype).eps).sqrt()

    def forward(self, z: Tensor) -> Distribution:
        p = self.mean(z)
        low, high = torch.aminmax(p.detach())
        if low < 0 or high > 1:
            raise ValueError(
                f"a Bernoulli decoder needs probabilities, got values from {float(low):g} to {float(high):g}; end the "
                "generator with nn.Sigmoid()"
            )
        return Independent(Bernoulli(p, validate_args=False), 1, validate_args=False)


@final
@checked
class LearnedStd(nn.Module):
    """One learned number for all z and all coordinates: σ² = s² + least², with log s the parameter.

    Args:
        initial: s at the start, > 0.
        least: the minimum of σ, > 0; added smoothly, so that σ can always grow again.

    Example:
        >>> LearnedStd(initial=0.5)(torch.zeros(4, 2)).shape
        torch.Size([4, 1])
    """

    def __init__(self, initial: Positive = 0.5, least: Positive = LEAST_STD) -> None:
        super().__init__()
        self.log_std = nn.Parameter(torch.tensor(math.log(initial)))
        self.least = least

    def forward(self, z: Tensor) -> Tensor:
        return _smooth_floor(self.log_std, self.least).expand(len(z), 1)


@final
@checked
class PixelwiseStd(Network):
    """A network: σ(z)² = s(z)² + least², with log s(z) = net(z), (n, k) -> (n, d).

    Where the net exceeds 5 by t, log s is 5 + log(1 + t): no overflow.

    Away from the codes a network extrapolates as it likes; `RBFPrecision` is uncertain there.

    Args:
        net: log s, (n, k) -> (n, d).
        least: the minimum of σ, > 0.

    Example:
        >>> PixelwiseStd(nn.Linear(2, 5))(torch.zeros(4, 2)).shape
        torch.Size([4, 5])
    """

    def __init__(self, net: nn.Module, least: Positive = LEAST_STD) -> None:
        super().__init__()
        self.net = net
        self.least = least

    def forward(self, z: Tensor) -> Tensor:
        return _smooth_floor(self.net(z), self.least)


@final
@checked
class RBFPrecision(Network):
    """σ(z) by radial basis functions on the codes: honest uncertainty where there are no data.

        1/σ_l(z)² = 1 / (least² + 1/β_l(z)),   β_l(z) = Σ_c w_cl exp(−½ λ_c ‖z − c_c‖²) + background,   w >= 0

    The precision β rises near the centres and falls to `background` away from them, where σ → background^(−½). The
    term least² only keeps the likelihood bounded. The weights w are learned: their logarithms are the parameters,
    clamped to at most 20. Centres c and bandwidths λ are buffers. They start as those of draws from N(0, I_k), and
    `fit_centres` sets them.

    The usual recipe has two stages. First train the model with a simple σ. Then `fit_centres` on its codes, freeze the
    model and the encoder (`requires_grad_(False)`) and `fit` again: only the weights learn.

    Args:
        dim: k.
        out_dim: d.
        centres: their number C.
        initial: about σ at the centres at the start, > 0: their average precision less `background` is 1/initial².
        background: the precision away from the codes, > 0, in units of 1/x²: 1 suits pixels in [0, 1].
        least: the minimum of σ, > 0.

    Raises:
        ValueError: sizes or values that are not positive.

    Source: Arvanitidis, Hansen, Hauberg, 2018, https://arxiv.org/abs/1710.11379

    Example:
        >>> sigma = RBFPrecision(2, 5, centres=16)
        >>> sigma.fit_centres(torch.randn(200, 2))
        >>> near, far = sigma(sigma.centres[:1]), sigma(torch.full((1, 2), 100.0))
        >>> bool((near < far).all()), far[0, 0].round(decimals=3)
        (True, tensor(1., grad_fn=<RoundBackward1>))
    """

    centres: Tensor
    bandwidths: Tensor

    @renamed(floor="background")
    @checked
    def __init__(
        self,
        dim: Count,
        out_dim: Count,
        centres: Count = 64,
        initial: Annotated[float, Interval(1e-9, 1e9)] = 0.2,
        background: Positive = 1.0,
        least: Positive = LEAST_STD,
    ) -> None:
        super().__init__()
        start = torch.randn(centres, dim, device=torch.get_default_device())
        self.register_buffer("centres", start)
        self.register_buffer("bandwidths", torch.full((centres,), 1.0 / _typical_gap(start)))
        overlap = float(self._kernel(start).sum(dim=1).mean())
        self.log_weights = nn.Parameter(torch.full((centres, out_dim), -math.log(overlap * initial**2)))
        self.background = background
        self.least = least

    @keyword_only
    @checked
    def fit_centres(self, codes: Tensor, *, spread: Positive = 1.0, seed: Seed = 0) -> None:
        """Place the centres on codes (m, k) by k-means, with bandwidths λ_c = (spread · r_c)⁻², r_c a cluster's size.

        r_c is the mean distance of the cluster's codes to its centre; clusters of a single point take the mean size.
        All centres start again with equal weights. For each pixel these keep the average precision at the former
        centres. The caller's random state is not touched.

        Raises:
            ValueError: fewer codes than centres, codes of another dimension, or spread <= 0.
        """
        from sklearn.cluster import KMeans

        check_cloud(codes, "codes")
        count, dim = self.centres.shape
        if codes.shape[1] != dim or len(codes) < count:
            raise ValueError(
                f"{count} centres in dimension {dim} need at least {count} codes of that dimension, got codes of shape "
                f"{tuple(codes.shape)}; give more codes or fewer centres"
            )
        points = codes.detach().double().cpu().numpy()
        clusters = KMeans(count, n_init=1, random_state=seed).fit(points)
        centres = torch.from_numpy(clusters.cluster_centers_)
        labels = torch.from_numpy(clusters.labels_).long()
        distance = (torch.from_numpy(points) - centres[labels]).norm(dim=1)
        sizes = torch.bincount(labels, distance, minlength=count) / torch.bincount(labels, minlength=count).clamp_min(1)
        spreadless = sizes <= 1e-6 * sizes.mean()
        sizes[spreadless] = sizes[~spreadless].mean() if bool((~spreadless).any()) else 1.0
        with torch.no_grad():
            level = (self.precision(self.centres) - self.background).mean(dim=0)
            self.centres.copy_(centres)
            self.bandwidths.copy_((spread * sizes) ** -2)
            self.log_weights.copy_((level / self._kernel(self.centres).sum(dim=1).mean()).log().expand(count, -1))

    def precision(self, z: Tensor) -> Tensor:
        """β(z), (n, d), at least `background`."""
        return self._kernel(z) @ within(self.log_weights, -math.inf, 20).exp() + self.background

    def _kernel(self, z: Tensor) -> Tensor:
        return torch.exp(-0.5 * self.bandwidths * squared_distances(z, self.centres))

    def forward(self, z: Tensor) -> Tensor:
        return (self.least**2 + 1 / self.precision(z)).sqrt()

    def extra_repr(self) -> str:
        return f"centres={len(self.centres)}, background={self.background:g}"


def _smooth_floor(log_std: Tensor, minimum: float) -> Tensor:
    # Above 5 only the logarithm of the excess counts: no overflow, and a slope that leads back, also in geometry.
    excess = (log_std - 5).clamp_min(0)
    return ((2 * (log_std.clamp_max(5) + excess.log1p())).exp() + minimum**2).sqrt()


def _typical_gap(points: Tensor) -> float:
    """The mean squared distance of a point to its nearest neighbour."""
    if len(points) < 2:
        return 1.0
    squared = squared_distances(points, points).fill_diagonal_(math.inf)
    return max(float(squared.min(dim=1).values.mean()), 1e-6)
