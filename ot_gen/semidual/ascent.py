"""Stochastic ascent on the semi-dual of semi-discrete optimal transport, without a step size to find.

    D_ε(h̃) = E_{x~μ}[−ε log Σ_j exp((h̃_j − c(x, y_j)) / ε)] + Σ_j b_j h̃_j        ∂D_ε/∂h̃_j = b_j − P_ε(j)

with P_ε(j) the soft mass of cell j. A natural step, h̃_j += ε (b_j − P_ε(j)) / b_j, is a stochastic Sinkhorn step,
linearised; ε is driven down by the number of atoms that are seen to compete for a sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..costs import Cost
from ..measures import Measure

# Entries of a chunk of scores, 4 MB in float32: it stays in the cache between the product and the softmax.
CHUNK_ENTRIES = 2**20
# Atoms above this size in bytes are read tile by tile, so that they may live on disk.
KEPT_BYTES = 2**30
TILE_ATOMS = 2**14


class Stream:
    """Fresh samples of μ: low-discrepancy where μ is the image of a small cube, else independent.

    Scrambled Sobol points are each uniform in the cube and jointly even, so that means converge faster than with
    independent points (Owen, 1997, https://doi.org/10.1214/aos/1031594731). In more than ten dimensions they gain
    nothing here.

    Args:
        mu: a `Measure`.
        seed: of this stream; two streams with different seeds are independent.
        skip: samples that were drawn before, as after a resume.

    Example:
        >>> from ot_gen import standard_gaussian
        >>> Stream(standard_gaussian(2), seed=0).draw(4).shape
        torch.Size([4, 2])
    """

    MAX_DIM = 10

    def __init__(self, mu: Measure, seed: int, skip: int = 0) -> None:
        self.mu = mu
        self.seed = seed
        self.drawn = skip
        self.points: torch.quasirandom.SobolEngine | None = None
        if mu.cube_dim is not None and mu.cube_dim <= self.MAX_DIM:
            self.points = torch.quasirandom.SobolEngine(mu.cube_dim, scramble=True, seed=seed)
            self.points.fast_forward(skip)

    @torch.no_grad()
    def draw(self, n: int) -> Tensor:
        """The next n samples, (n, d); the same for the same seed and the same number drawn before."""
        torch.manual_seed(hash((self.seed, self.drawn)) % 2**32)  # torch's generator reads 32 bits of a seed
        self.drawn += n
        if self.points is None:
            return self.mu.sample(n)
        u = self.points.draw(n, dtype=torch.float64)
        return self.mu.from_cube(u.clamp_(2**-40, 1 - 2**-40))


class CostRows:
    """Costs, and soft assignments, of samples against fixed atoms, chunk by chunk of rows, in one buffer.

    Args:
        cost: the ground cost c.
        atoms: y_j, (m, d); in tiles of their own where they fill more than `KEPT_BYTES`.

    Example:
        >>> from ot_gen.costs import SquaredEuclidean
        >>> rows = CostRows(SquaredEuclidean(), torch.eye(2))
        >>> [(part, costs)] = rows.costs(torch.zeros(1, 2))
        >>> costs
        tensor([[1., 1.]])
    """

    def __init__(self, cost: Cost, atoms: Tensor) -> None:
        self.cost = cost
        self.atoms = atoms
        self.chunk = min(512, max(64, CHUNK_ENTRIES // len(atoms)))
        form = cost.bilinear(atoms) if atoms.nbytes <= KEPT_BYTES else None
        self.kept = None if form is None else (form.left, *form.right(atoms))

    def soft(self, x: Tensor, h_tilde: Tensor, epsilon: float) -> Iterator[tuple[Tensor, Tensor]]:
        """Soft assignments (z, w), a chunk of rows at a time, valid until the next one.

        w_i z_ij = softmax_j((h̃_j − c(x_i, y_j)) / ε). Shares below e⁻⁶⁰ of the largest are raised to that: denormal
        numbers, which a softmax of small ε is full of, are several times slower on a CPU.
        """
        for z in self._biased(x, h_tilde, -1 / epsilon):
            z.sub_(z.amax(dim=1, keepdim=True)).clamp_(min=-60).exp_()
            yield z, 1 / z.sum(dim=1)

    @torch.no_grad()
    def hard(self, x: Tensor, h_tilde: Tensor) -> tuple[Tensor, Tensor]:
        """The c-transform of h̃ and its argmin, each (n,); faster than `c_transform` for a few thousand atoms."""
        # `min` is vectorised along rows, `argmin` is not.
        argmin = torch.cat([rows.min(dim=1).indices for rows in self._biased(x, h_tilde, 1.0)])
        return self.cost(x, self.atoms[argmin]) - h_tilde[argmin], argmin

    def _biased(self, x: Tensor, h_tilde: Tensor, scale: float) -> Iterator[Tensor]:
        """scale · (c(x_i, y_j) − h̃_j) up to a constant of each row, in one buffer."""
        if self.kept is None:
            for _, costs in self.costs(x):
                yield costs.sub_(h_tilde).mul_(scale)
            return
        left, v, s = self.kept
        bias = scale * (s - h_tilde)
        buffer = x.new_empty(min(self.chunk, len(x)), len(self.atoms))
        for part in x.split(self.chunk):
            yield torch.addmm(bias, left(part)[0], v.T, alpha=scale, out=buffer[: len(part)])

    def costs(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """(x_i, c(x_i, y_j)), a chunk of rows at a time; valid until the next one."""
        buffer = x.new_empty(min(self.chunk, len(x)), len(self.atoms))
        for part in x.split(self.chunk):
            rows = buffer[: len(part)]
            if self.kept is not None:
                left, v, s = self.kept
                u, r = left(part)
                yield part, torch.addmm(s, u, v.T, out=rows).add_(r.unsqueeze(1))
                continue
            for start in range(0, len(self.atoms), TILE_ATOMS):
                tile = self.atoms[start : start + TILE_ATOMS]
                rows[:, start : start + len(tile)] = self.cost.matrix(part, tile)
            yield part, rows


class Ascent(nn.Module):
    """The state of an ascent: the iterate h̃, its weighted average, the softness ε and the samples used.

    The wanted number of competing atoms, (E Σ_j P_ij²)⁻¹, falls with the samples N seen per atom as
    1.2 + 28.8 (1 + N / 4m)^−1.8; batches grow as N / 32 and the average weighs a step by N, so that it forgets the
    start and, at the end, removes the noise of single steps (Polyak averaging).

    Args:
        costs: the ground cost and the atoms y_j.
        weights: their masses b_j > 0, (m,).
        epsilon: the ε of the problem, 0 for the unregularised one; the ascent arrives there from above.

    Source: Genevay, Cuturi, Peyré, Bach, 2016, https://arxiv.org/abs/1605.08527 (the semi-dual)

    Example:
        >>> from ot_gen import SquaredEuclidean, standard_gaussian
        >>> atoms, weights = torch.tensor([[-1.0], [2.0]]), torch.tensor([0.5, 0.5])
        >>> ascent = Ascent(CostRows(SquaredEuclidean(), atoms), weights)
        >>> ascent.start(standard_gaussian(1).sample(100))
        >>> ascent.step(standard_gaussian(1).sample(100))
        >>> ascent.samples
        100
    """

    h_tilde: Tensor
    average: Tensor

    MIN_BATCH, MAX_BATCH = 64, 2**14
    COMPETING, FEWEST = 30.0, 1.2

    def __init__(self, costs: CostRows, weights: Tensor, epsilon: float = 0.0) -> None:
        super().__init__()
        self.costs = costs
        self.weights = weights
        self.target = epsilon
        self.epsilon = 0.0
        self.samples = 0
        self.worth = 0
        self.iterations = 0
        self.total_weight = 0.0
        # Near the solution the problem is a diffusion of mass between neighbouring cells; where these form a chain or
        # a planar graph it is slow, and over-relaxation pays.
        self.sharpening, self.forgetting = 1.8, 1.0
        self.relaxation = 1.5 if costs.atoms.shape[1] <= 3 else 1.0
        self.register_buffer("h_tilde", torch.zeros_like(weights))
        self.register_buffer("average", torch.zeros_like(weights))

    @torch.no_grad()
    def start(self, x: Tensor, h_tilde: Tensor | None = None, worth: int = 0) -> None:
        """Set h̃ and ε from a first sample.

        Args:
            x: a sample of μ, (n, d).
            h_tilde: a table to start from; None starts at h̃_j = E c(x, y_j), where all atoms are equally attractive.
            worth: the number of samples that such a table would have taken.
        """
        total = torch.zeros_like(self.h_tilde)
        spread = size = self.largest = 0.0
        for _, costs in self.costs.costs(x):
            total += costs.sum(dim=0)
            spread = max(spread, float(costs.std(correction=0)))
            size = max(size, float(costs.abs().mean()))
            self.largest = max(self.largest, float(costs.abs().max()))
        self.worth = worth
        self.h_tilde.copy_(total / len(x) if h_tilde is None else h_tilde)
        self.h_tilde -= self.h_tilde @ self.weights
        self.average.copy_(self.h_tilde)
        # Where all costs are equal nothing else would keep ε from 0.
        self.floor = max(1e-6 * size, torch.finfo(x.dtype).tiny ** 0.5)
        self.epsilon = max(spread, self.floor, self.target)
        for _ in range(30):
            competing = self._competing(*next(self.costs.soft(x[:64], self.h_tilde, self.epsilon)))
            self._steer(competing, rate=0.7)

    @property
    def batch(self) -> int:
        """The number of samples that the next step asks for: a power of two that divides those drawn so far.

        Such a stretch of a Sobol sequence is itself evenly spread.
        """
        size = self.MIN_BATCH
        while 2 * size <= min(self.MAX_BATCH, (self.worth + self.samples) // 16) and self.samples % (2 * size) == 0:
            size *= 2
        return size

    @torch.no_grad()
    def step(self, x: Tensor) -> None:
        """One natural step from a fresh sample x of μ, (n, d)."""
        masses = torch.zeros_like(self.h_tilde)
        competing = 0.0
        for z, w in self.costs.soft(x, self.h_tilde, self.epsilon):
            masses += w @ z
            competing = competing or self._competing(z, w)
        # The relative gradient is at least −1; the ceiling stops one crowded cell from throwing its atom far away.
        relative = (masses / (len(x) * self.weights) - 1).clamp_(max=20)
        self.h_tilde.sub_(relative, alpha=self.relaxation * self.epsilon)
        self.samples += len(x)
        self.iterations += 1
        weight = len(x) * float(self.worth + self.samples) ** self.forgetting
        self.total_weight += weight
        self.average.lerp_(self.h_tilde, weight / self.total_weight)
        self._steer(competing, rate=0.3)

    def _competing(self, z: Tensor, w: Tensor) -> float:
        return float((1 / (z[:64].square().sum(dim=1) * w[:64].square())).mean())

    def _steer(self, competing: float, rate: float) -> None:
        most = min(self.COMPETING, len(self.weights) / 2)
        decay = (1 + (self.worth + self.samples) / (4 * len(self.weights))) ** -self.sharpening
        wanted = self.FEWEST + max(0.0, most - self.FEWEST) * decay
        self.epsilon = max(self.epsilon * (wanted / competing) ** rate, self.floor, self.target)

    def sharpened(self, x: Tensor) -> float:
        """The ε > 0 at which hardly more than one atom competes for the samples x, by the averaged table."""
        epsilon = max(self.epsilon, self.floor)
        for _ in range(30):
            competing = self._competing(*next(self.costs.soft(x[:64], self.average, epsilon)))
            epsilon = max(epsilon * (self.FEWEST / competing) ** 0.7, self.floor)
        return epsilon

    def progress(self) -> dict[str, float]:
        """The numbers of the state that are no tensors, for a checkpoint."""
        names = ("epsilon", "samples", "worth", "iterations", "total_weight", "floor", "largest")
        return {name: getattr(self, name) for name in names}

    def restore(self, progress: dict[str, float]) -> None:
        """Take over what `progress` returned."""
        for name, value in progress.items():
            setattr(self, name, value)


def samples_for(error: float, atoms: int) -> int:
    """The number N of independent samples at which an optimal method has a marginal error of `error`.

    With h̃ solved exactly on N samples, ‖P − b‖₁ is about sqrt(2 m / (π N)) on fresh ones.

    Example:
        >>> samples_for(0.1, atoms=1000)
        63662
    """
    return math.ceil(2 * atoms / (math.pi * error**2))
