"""Transport problems with known answers."""

import math
from typing import NamedTuple

import numpy as np
import ot
import torch
from scipy.linalg import sqrtm
from scipy.optimize import minimize
from torch import Tensor

from ot_gen import Cost, Measure

BOX = 2.5


class Discrete(NamedTuple):
    """A linear programme with its solution: plan P, potentials (h, h̃) and value."""

    x: Tensor
    y: Tensor
    a: Tensor
    b: Tensor
    C: Tensor
    plan: Tensor
    h: Tensor
    h_tilde: Tensor
    value: float


def discrete(cost: Cost, n: int = 7, m: int = 9, d: int = 3, seed: int = 0, uniform: bool = False) -> Discrete:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, d, generator=generator, dtype=torch.float64)
    y = torch.rand(m, d, generator=generator, dtype=torch.float64) + 0.3
    a, b = (torch.rand(size, generator=generator, dtype=torch.float64) + 0.1 for size in (n, m))
    if uniform:
        a, b = torch.ones_like(a), torch.ones_like(b)
    a, b = a / a.sum(), b / b.sum()
    C = cost.matrix(x, y)
    plan, log = ot.emd(a.numpy(), b.numpy(), C.numpy(), log=True, center_dual=False)
    h_tilde = torch.from_numpy(np.asarray(log["v"]))
    return Discrete(x, y, a, b, C, torch.from_numpy(plan), torch.from_numpy(log["u"]), h_tilde, float(log["cost"]))


def bures(mean_1, cov_1, mean_2, cov_2) -> float:
    """W₂² between Gaussians: ‖m₁ − m₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½)."""
    root = sqrtm(cov_1)
    cross = sqrtm(root @ cov_2 @ root)
    return float(((mean_1 - mean_2) ** 2).sum() + np.trace(cov_1 + cov_2 - 2 * np.real(cross)))


class Rays:
    """Two laws on R^d with a known Kantorovich potential u: Q uniform on the box, P its image along the rays of u.

    u = max over groups of the least of dist(x, F_n) + b_n, F_n flats, is 1-Lipschitz. Through q runs the longest
    segment on which u grows at rate 1, from its start (t = 0) to its end (t = 1); q at t goes to p at t⁸. Then
    u(q) − u(p) = ‖q − p‖, so the plan is optimal, u is a potential, and W₁(P, Q) = E ‖q − p‖.

    One group of points is the MinFunnel of https://arxiv.org/abs/2206.07767, section 4.
    """

    def __init__(self, dim: int, pieces: int, flat_dim: int = 0, groups: int = 1, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(1000 + seed)
        shape = (groups * pieces, dim)
        self.dim, self.groups = dim, groups
        self.centres = BOX * (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1)
        self.offsets = 0.1 * torch.randn(shape[0], generator=generator, dtype=torch.float64)
        basis = torch.randn(*shape, flat_dim, generator=generator, dtype=torch.float64)
        self.basis = torch.linalg.qr(basis)[0]
        self.p, self.q = Marginal(self, 0), Marginal(self, 1)

    def across(self, v: Tensor) -> Tensor:
        """The parts of v (n, 1 or pieces, d) that are orthogonal to each flat, (n, pieces, d)."""
        if not self.basis.numel():
            return v
        along = torch.einsum("nmd,mdk->nmk", v.expand(-1, len(self.centres), -1), self.basis)
        return v - torch.einsum("nmk,mdk->nmd", along, self.basis)

    def look(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """u(x), its gradient, the distance to the active flat, and the vectors from all flats."""
        arms = self.across(x.unsqueeze(1) - self.centres)
        distances = arms.norm(dim=2)
        values = (distances + self.offsets).unflatten(1, (self.groups, -1))
        least, inner = values.min(dim=2)
        u, group = least.max(dim=1)
        active = group * values.shape[2] + inner.gather(1, group.unsqueeze(1)).squeeze(1)
        row = torch.arange(len(x))
        distance = distances[row, active]
        return u, arms[row, active] / distance.unsqueeze(1), distance, arms

    def u(self, x: Tensor) -> Tensor:
        return self.look(x.double())[0]

    def gradient(self, x: Tensor) -> Tensor:
        return self.look(x.double())[1]

    def sample_pairs(self, n: int) -> tuple[Tensor, Tensor]:
        """(p, q), (n, d) each, in float64: n draws of the optimal plan."""
        q = BOX * (2 * torch.rand(n, self.dim, dtype=torch.float64) - 1)
        u, v, distance, arms = self.look(q)
        wall = ((BOX * v.sign() - q) / v).amin(dim=1)
        if self.groups == 1:
            start, end = -distance, torch.minimum(self._takeover(u, v, arms), wall)
        else:
            start, end = self._reach(q, u, v, -distance), self._reach(q, u, v, wall)
        t = -start / (end - start)
        return q + (start + t**8 * (end - start)).unsqueeze(1) * v, q

    def _takeover(self, u: Tensor, v: Tensor, arms: Tensor) -> Tensor:
        """The least s > 0 where another flat takes over: ‖α + s β‖ = s + e, α its arm and β the part of v across it."""
        beta, e = self.across(v.unsqueeze(1)), u.unsqueeze(1) - self.offsets
        a = (1 - beta.square().sum(dim=2)).clamp_min(0)  # a s² + 2 k s = w
        a = torch.where(a < 1e-12, 0.0, a)
        k, w = e - (arms * beta).sum(dim=2), arms.square().sum(dim=2) - e.square()
        root = (k.square() + a * w).clamp_min(0).sqrt()
        s = torch.where(k > 0, w / (k + root), (root - k) / a)
        valid = torch.isfinite(s) & (s > 1e-9) & (s + e > 0)
        return torch.where(valid, s, math.inf).amin(dim=1)

    def _reach(self, q: Tensor, u: Tensor, v: Tensor, far: Tensor) -> Tensor:
        """The s between 0 and `far` where u(q + s v) = u(q) + s ends, by bisection: the defect only grows with |s|."""
        near = torch.zeros_like(far)
        far = far.clone()
        for _ in range(45):
            middle = (near + far) / 2
            holds = (self.u(q + middle.unsqueeze(1) * v) - u - middle).abs() < 1e-10
            near, far = torch.where(holds, middle, near), torch.where(holds, far, middle)
        return near


class Marginal(Measure):
    """One side of a `Rays` pair, in the default dtype."""

    def __init__(self, pair: Rays, side: int) -> None:
        super().__init__()
        self.pair, self.side, self.dim = pair, side, pair.dim

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        if self.side == 1:
            return BOX * (2 * torch.rand(n, self.dim) - 1)
        return self.pair.sample_pairs(n)[0].to(torch.get_default_dtype())


class GaussianCells(NamedTuple):
    """The cells {x : ‖x − y_j‖² − h̃_j least} under μ = N(0, I) on the line or in the plane, to quadrature precision.

    On a line parallel to the last axis the cells are intervals, whose masses and moments are known in closed form; over
    the other axis, if there is one, the trapezium rule runs. D(h̃) = ∫ min_j (‖x − y_j‖² − h̃_j) dμ + Σ_j b_j h̃_j.
    """

    y: Tensor
    b: Tensor
    lines: int = 2000

    def masses_and_dual(self, h_tilde: Tensor) -> tuple[Tensor, float]:
        """P, (m,), and D(h̃)."""
        y, m = self.y.double(), len(self.y)
        if y.shape[1] == 1:
            place, weight = y.new_zeros(1), y.new_ones(1)
        else:
            place = torch.linspace(-8, 8, self.lines, dtype=torch.float64)
            weight = torch.exp(-place.square() / 2)
            weight = weight / weight.sum()
        height = y[:, -1]
        # On the line at s the cost is t² − 2 t y_j + level_j(s): a lower envelope of straight lines in t.
        level = height.square() - h_tilde.double() + (len(y[0]) > 1) * (place.unsqueeze(1) - y[:, 0]).square()
        rise = height.unsqueeze(1) - height  # of the atom in the row over that in the column
        crossing = (level.unsqueeze(2) - level.unsqueeze(1)) / (2 * rise)
        low = torch.where(rise > 0, crossing, -torch.inf).amax(dim=2)
        high = torch.where(rise < 0, crossing, torch.inf).amin(dim=2).maximum(low)
        normal = torch.distributions.Normal(0.0, 1.0)
        zeroth, first, second = (
            at(high) - at(low)
            for at in (
                normal.cdf,
                lambda t: -_density(t),
                lambda t: normal.cdf(t) - torch.where(t.isinf(), 0.0, t) * _density(t),
            )
        )
        integral = weight @ (level * zeroth - 2 * height * first + second).sum(dim=1)
        assert zeroth.shape == (len(place), m)
        return weight @ zeroth, float(integral + self.b.double() @ h_tilde.double() / self.b.double().sum())

    def solve(self) -> tuple[Tensor, float, float]:
        """The optimal h̃, W₂² = max D, and the marginal error ‖P − b‖₁ that is left, by L-BFGS."""
        b = self.b.double() / self.b.double().sum()  # else D has no maximum

        def negative(h):
            masses, dual = self.masses_and_dual(torch.from_numpy(h))
            return -dual, (masses - b).numpy()

        # From h̃_j = E‖x − y_j‖², where all cells have mass, the ascent keeps them.
        start = self.y.double().square().sum(dim=1).numpy()
        options = {"maxiter": 5000, "maxfun": 5000, "ftol": 0.0, "gtol": 1e-9, "maxcor": 50}
        h = torch.from_numpy(minimize(negative, start, jac=True, method="L-BFGS-B", options=options).x)
        masses, dual = self.masses_and_dual(h)
        return h, dual, float((masses - b).abs().sum())


def _density(t: Tensor) -> Tensor:
    return torch.exp(-t.square() / 2) / math.sqrt(2 * math.pi)
