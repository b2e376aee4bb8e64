"""The units of data: networks see standard coordinates, and users see their own."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from ot_gen.arguments import checked
from ot_gen.display import Network
from ot_gen.measures.empirical import Empirical
from ot_gen.measures.measure import Measure

CHUNK = 2**22  # numbers converted to float64 at a time: 32 MB
FAR = 30.0  # a scale that learning rates and weights of standard size do not serve


@final
@checked
class Units(nn.Module):
    """The units of a data set: y = b + a u, with standard coordinates u of mean 0 and mean variance 1.

    Learning rates, weights λ and ε are meaningful in standard coordinates. There a model trains; it is judged in the
    data's own units. Where c(a u, a v) = a^p c(u, v), a potential h of u is a^p h((y − b)/a) of y.

    Args:
        shift: b, (d,), in the data's own dtype: in float32 an offset of 1e5 leaves steps of .008.
        scale: a > 0, one number () or one for each coordinate (d,).

    Both go with the model's weights into checkpoints.

    Raises:
        ValueError: other shapes, or numbers that are not finite.

    Example:
        >>> nu = Empirical(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
        >>> units = Units.columns(nu)
        >>> units.standardised(nu).atoms
        tensor([[-1.,  0.],
                [ 1.,  0.]])
        >>> units(torch.zeros(1, 2))
        tensor([[2., 5.]])
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, shift: Tensor, scale: Tensor) -> None:
        super().__init__()
        if shift.ndim != 1 or scale.shape not in (torch.Size(), shift.shape):
            raise ValueError(
                f"units have a shift (d,) and a scale () or (d,), got {tuple(shift.shape)} and {tuple(scale.shape)}"
            )
        if not (torch.isfinite(shift).all() and torch.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError("units need finite numbers with a scale > 0; points of this size need other units")
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)

    @classmethod
    def shared(cls, nu: Empirical) -> Units:
        """One scale for all coordinates, the root of their mean variance. Costs change by a factor alone."""
        mean, variance, unit = _moments(nu)
        return cls(mean.to(nu.rows[:1]), _deviation(variance.mean(), unit).to(nu.rows[:1]))

    @classmethod
    def columns(cls, nu: Empirical) -> Units:
        """A scale for each coordinate, its standard deviation, or 1 where it is constant. Costs become others."""
        mean, variance, unit = _moments(nu)
        return cls(mean.to(nu.rows[:1]), _deviation(variance, unit).to(nu.rows[:1]))

    def forward(self, u: Tensor) -> Tensor:
        """y = b + a u, (*, d) -> (*, d)."""
        return self.shift + self.scale * u

    def standard(self, y: Tensor) -> Tensor:
        """u = (y − b)/a, (*, d) -> (*, d)."""
        return (y - self.shift) / self.scale

    def standardised(self, nu: Measure) -> Measure:
        """The law of u for y ~ ν, in torch's default dtype: an `Empirical` of an `Empirical`.

        The difference is taken before points are rounded to that dtype, so a large offset costs no digits.
        """
        if not isinstance(nu, Empirical):
            return Standardised(nu, self)
        atoms = self.standard(nu.atoms).to(torch.get_default_dtype())
        return Empirical(atoms, None if nu.is_uniform else nu.weights)

    def log_volume(self) -> float:
        """log |∂y/∂u| = Σ_l log a_l: a density of y is one of u divided by this volume."""
        return float(self.scale.double().log().expand(len(self.shift)).sum())

    def extra_repr(self) -> str:
        return f"dim={len(self.shift)}, {'shared' if self.scale.ndim == 0 else 'columns'}"


@final
@checked
class Placed(Network):
    """A generator or decoder of standard coordinates as one of points in the data's own units: z -> b + a g(z).

    Args:
        map: (n, k) -> points (n, d), or Gaussian laws of them.
        units: b and a.

    Raises:
        ValueError: when it is called, laws that are not Gaussian: they have no other units.

    Example:
        >>> units = Units(torch.tensor([10.0]), torch.tensor(2.0))
        >>> Placed(nn.Identity(), units)(torch.ones(1, 1))
        tensor([[12.]])
    """

    def __init__(self, map: nn.Module, units: Units) -> None:
        super().__init__()
        self.map = map
        self.units = units

    def forward(self, z: Tensor) -> Tensor | Distribution:
        out: Tensor | Distribution = self.map(_as_weights(self.map, z))
        if isinstance(out, Tensor):
            return self._placed(out)
        if isinstance(out, Independent) and isinstance(out.base_dist, Normal):
            normal = Normal(self._placed(out.base_dist.loc), self.units.scale * out.base_dist.scale)
            return Independent(normal, out.reinterpreted_batch_ndims)
        law = type(getattr(out, "base_dist", out)).__name__
        raise ValueError(
            f"a decoder with {law} noise models data as they are, and these are standardised; leave them in their own "
            "units, standardize=none"
        )

    def mean(self, z: Tensor) -> Tensor:
        """The mean of a decoder with noise, (n, d)."""
        # A decoder with noise has `mean` and `std`; mypy knows it as a module.
        return self._placed(self.map.mean(_as_weights(self.map, z)))  # type: ignore[operator]

    def std(self, z: Tensor) -> Tensor:
        """The standard deviation of a decoder with noise, (n, d) or (n, 1)."""
        std: Tensor = self.units.scale * self.map.std(_as_weights(self.map, z))  # type: ignore[operator]
        return std

    def _placed(self, u: Tensor) -> Tensor:
        y: Tensor = self.units(u)
        return y


@final
@checked
class OfOwnUnits(Network):
    """An encoder of standard coordinates as one of points in the data's own units: y -> f((y − b)/a).

    Labelled rows (y, k) keep their class.

    Example:
        >>> units = Units(torch.tensor([10.0]).double(), torch.tensor(2.0).double())
        >>> OfOwnUnits(nn.Linear(1, 1), units)(torch.ones(3, 1).double()).dtype
        torch.float32
    """

    def __init__(self, encoder: nn.Module, units: Units) -> None:
        super().__init__()
        self.encoder = encoder
        self.units = units

    def forward(self, y: Tensor) -> Tensor | Distribution:
        d = len(self.units.shift)  # the class of a labelled row has no units
        standard = torch.cat([self.units.standard(y[:, :d]), y[:, d:]], dim=1)
        out: Tensor | Distribution = self.encoder(_as_weights(self.encoder, standard))
        return out


@final
@checked
class Standardised(Measure):
    """The law of (y − b)/a for y of a law, standardised as it is drawn: of many atoms there is no copy.

    Example:
        >>> nu = Empirical(torch.tensor([[8.0], [12.0]]))
        >>> bool(Standardised(nu, Units.shared(nu)).sample(5).abs().eq(1).all())
        True
    """

    def __init__(self, law: Measure, units: Units) -> None:
        super().__init__()
        self.law = law
        self.units = units
        self.dim = law.dim

    def sample(self, n: int) -> Tensor:
        return self.units.standard(self.law.sample(n)).to(torch.get_default_dtype())


@checked
def moments(nu: Empirical) -> tuple[Tensor, Tensor]:
    """Mean and variance of each coordinate, (d,) each, exact in float64, in two passes.

    Example:
        >>> moments(Empirical(torch.tensor([[0.0, 7.0], [2.0, 7.0]])))
        (tensor([1., 7.], dtype=torch.float64), tensor([1., 0.], dtype=torch.float64))
    """
    mean, variance, unit = _moments(nu)
    return mean, variance * unit * unit


def _moments(nu: Empirical) -> tuple[Tensor, Tensor, float]:
    """The same, the variances in units of the square of a size that is returned too: squares leave the range first."""
    if nu.pixels is not None and nu.is_uniform and nu.pixels.images.dtype == torch.uint8:
        return *nu.pixels.moments(), 1.0
    # The mean is counted from the heaviest atom, so that identical points give exactly 0.
    mean = origin = nu.rows[nu.weights.argmax()].cpu().double()
    largest = 0.0
    for b, y in _chunks(nu):
        mean = mean + b @ (y - origin)
        largest = max(largest, float((y - origin).abs().max()))
    variance, unit = torch.zeros_like(mean), math.ldexp(1.0, math.frexp(largest)[1]) if 0 < largest < 1e300 else 1.0
    for b, y in _chunks(nu):
        variance += b @ ((y - mean) / unit).square()
    return mean, variance, unit


@checked
def warn_of_scale(mu: Measure, nu: Measure) -> None:
    """Warn of data whose offset or scale is far from that of a network, where a model is trained on them."""
    if not isinstance(nu, Empirical) or not any(parameter.requires_grad for parameter in mu.parameters()):
        return
    some = nu.rows.detach()[:: -(-len(nu) // 1024)].double()
    mean, std = float(some.mean(dim=0).abs().max()), float(some.var(dim=0, correction=0).mean().sqrt())
    if std > 0 and (mean > FAR * std or not 1 / FAR <= std <= FAR):
        warnings.warn(
            f"the data have means up to {mean:.3g} and a standard deviation of {std:.3g}: networks and weights are "
            "made for numbers of size 1; units = ot_gen.Units.shared(nu) gives units.standardised(nu) to train on, and "
            "Pushforward(g, zeta, units).in_own_units() samples in those of the data (ot-gen: data.standardize=shared)",
            stacklevel=3,
        )


def _as_weights(net: nn.Module, points: Tensor) -> Tensor:
    """The points in the dtype of a net, which may be narrower than that of the data."""
    return points.to(next((weight.dtype for weight in net.parameters()), points.dtype))


def _deviation(variance: Tensor, unit: float) -> Tensor:
    """The root times the unit, or 1 where there is no spread."""
    return torch.where(variance > 0, unit * variance.sqrt(), 1.0)


def _chunks(nu: Empirical) -> Iterator[tuple[Tensor, Tensor]]:
    """Masses b, (c,), and points y, (c, d), in float64, a bounded part of the cloud at a time."""
    total = nu.weights.cpu().double().sum()
    rows = max(1, CHUNK // nu.dim)
    for start in range(0, len(nu), rows):
        part = slice(start, start + rows)
        yield nu.weights[part].cpu().double() / total, nu.rows[part].cpu().double()
