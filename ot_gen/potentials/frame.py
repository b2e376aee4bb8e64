"""Coordinates in which two laws have one mean and one covariance."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from ot_gen.arguments import checked
from ot_gen.measures import check_cloud
from ot_gen.transport import gaussian_maps, powers


@final
@checked
class Frame(nn.Module):
    """Coordinates u of the model and v of the data in which both laws have mean 0 and one covariance, of trace d.

        u = R(x − p)/s          v = R⁻¹(y − q)/s          ⟨x − p, y − q⟩ = s²⟨u, v⟩

    p and q are the means and R² = Σμ^(−½) (Σμ^½ Σν Σμ^½)^½ Σμ^(−½), so that u = v is the optimal map between the
    Gaussians of the same moments. In these coordinates gradients of convex functions stay such gradients, and
    optimal maps for ‖x − y‖² stay optimal. A new frame changes nothing: u = x, v = y.

    Source: Gelbrich, 1990, https://doi.org/10.1002/mana.19901470121

    Example:
        >>> frame, x = Frame(), torch.randn(500, 2)
        >>> frame.match(x, 3 * x + 1)
        >>> torch.allclose(frame.to_data(frame.of_model(x)), 3 * x + 1, atol=1e-2)
        True
    """

    p: Tensor
    q: Tensor
    root: Tensor
    inverse_root: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("p", torch.zeros(()))
        self.register_buffer("q", torch.zeros(()))
        self.register_buffer("root", torch.ones(()))
        self.register_buffer("inverse_root", torch.ones(()))
        self.register_buffer("scale", torch.ones(()))

    def match(self, x: Tensor, y: Tensor) -> None:
        """Take the moments of both laws from samples, (n, d) each; d³ operations."""
        check_cloud(x, "x")
        check_cloud(y, "y")
        first, second = _covariance(x), _covariance(y)
        gaussian = gaussian_maps(first, second).forth
        self.p, self.q = x.mean(dim=0), y.mean(dim=0)
        self.root, self.inverse_root = (power.to(y) for power in powers(gaussian, 0.5, -0.5))
        self.scale = (gaussian @ first).diagonal().mean().sqrt().to(y)

    def standardise(self, y: Tensor, x: Tensor | None = None) -> None:
        """Take means and scales alone, R being a number; from samples of ν and μ, (n, d) each.

        Without x both laws have those of ν: for a μ that is still to move there.
        """
        check_cloud(y, "y")
        x = y if x is None else x
        check_cloud(x, "x")
        self.p, self.q = x.mean(dim=0), y.mean(dim=0)
        first, second = (_checked_variance(law.var(dim=0).mean()).sqrt() for law in (x, y))
        self.root, self.inverse_root = (second / first).sqrt(), (first / second).sqrt()
        self.scale = first.sqrt() * second.sqrt()

    def of_model(self, x: Tensor) -> Tensor:
        """u(x), (n, d)."""
        return _times(_fitting(x, self.p) - self.p, self.root) / self.scale

    def of_data(self, y: Tensor) -> Tensor:
        """v(y), (n, d)."""
        return _times(_fitting(y, self.q) - self.q, self.inverse_root) / self.scale

    def to_model(self, u: Tensor) -> Tensor:
        """x(u), (n, d)."""
        return self.p + self.scale * _times(_fitting(u, self.p), self.inverse_root)

    def to_data(self, v: Tensor) -> Tensor:
        """y(v), (n, d)."""
        return self.q + self.scale * _times(_fitting(v, self.q), self.root)


def _times(points: Tensor, root: Tensor) -> Tensor:
    return points @ root if root.ndim else points * root


def _fitting(points: Tensor, centre: Tensor) -> Tensor:
    """The points; a `ValueError` where the frame is of another dimension."""
    if centre.ndim and points.shape[-1:] != centre.shape:
        raise ValueError(f"this Frame is of dimension {len(centre)}, got points of shape {tuple(points.shape)}")
    return points


def _covariance(points: Tensor) -> Tensor:
    """Σ + 1e-4 (mean variance) I in float64, (d, d): never singular."""
    covariance = torch.cov(points.double().T).reshape(points.shape[1], points.shape[1])
    mean = _checked_variance(covariance.diagonal().mean())
    return covariance + 1e-4 * mean * torch.eye(len(covariance), dtype=mean.dtype, device=mean.device)


def _checked_variance(variance: Tensor) -> Tensor:
    if not variance > 0:
        raise ValueError("the sample is a single point, which has no scale; give a law that is spread out")
    return variance
