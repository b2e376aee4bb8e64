"""Fresh samples of a law, low-discrepancy where it allows them."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ot_gen.measures import Measure


@final
class Stream:
    """Fresh samples of μ: low-discrepancy where μ is the image of a small cube, else independent.

    Scrambled Sobol points are each uniform in the cube and jointly even. Means converge faster than with independent
    points (Owen, 1997, https://doi.org/10.1214/aos/1031594731). In more than ten dimensions they gain nothing here.

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
