"""The semi-discrete table as the prior: mixes of the codes of neighbouring cells."""

from __future__ import annotations

import logging
import math
import sys
from functools import partial
from typing import Annotated, final

import torch
from torch import Tensor, nn

from ot_gen.arguments import Cloud, Count, Interval, Seed, Vector, checked
from ot_gen.costs import SquaredEuclidean
from ot_gen.execution import Ending, keyword_only
from ot_gen.measures import Empirical, Labelled, LabelledData, Measure, Units, check_cloud, standard_gaussian
from ot_gen.priors.by_label import fitted_by_label
from ot_gen.priors.codes import codes_of
from ot_gen.semidual import semidiscrete
from ot_gen.semidual.transform import check_table

log = logging.getLogger("ot_gen")
ENTRIES = 2**22  # costs held at a time, 16 MB in float32
LARGEST = 2**26  # numbers in the pairs of a mix, 256 MB in float32
PILOT = 4096  # mixes that set the largest jump
NEIGHBOURS = 5  # of a code, that say how dense codes are around it
AGAIN = 1000  # rounds of rejection


@final
@checked
class CellMixture(Measure):
    """The law of b + a Σ_l u_{j_l} / L for x ~ N(0, I), j_1, ..., j_L the cells nearest to x.

    They have the L least c(x, u_j) − h̃_j with c = ‖x − u‖²: j_1 is the cell that holds x, and the others are those
    across its nearest walls. The weights are equal: a mix is then as far from each of its codes as it can be from all.
    With L = 1 this is the semi-discrete map itself, which returns codes of the data as they are.

    Where the optimal map tears, between parts of the data that lie apart, neighbouring cells have codes that lie apart
    and a mix of them is like no data. The jump of a mix is max ‖u_{j_l} − u_{j_m}‖ / mean r_{j_l}, where r_j is the
    distance from u_j to the fifth nearest of the other codes. Mixes with a jump larger than `jump` are drawn again.
    Without the r_j those of sparse classes would be rejected first.

    Args:
        codes: u_j in standard coordinates, (m, k).
        h_tilde: the table h̃_j, (m,), of N(0, I) and the codes.
        units: a and b of the codes; they are kept with the table.
        mix: L <= m.
        jump: the largest jump kept; infinite: all are kept.

    Raises:
        ValueError: a table, units or L that do not fit the codes; when sampled, a jump that almost no draw keeps to.

    Source: An et al., 2020, https://openreview.net/forum?id=HkldyTNYwH; they mix cells whose barycentres are nearest to
        x, by inverse distances, and reject large angles between the codes.
        Of distances in units of the neighbours': Zelnik-Manor, Perona, 2004,
        https://papers.nips.cc/paper/2619-self-tuning-spectral-clustering

    Example:
        >>> units = Units(torch.tensor([10.0]), torch.tensor(1.0))
        >>> cells = CellMixture(torch.tensor([[-1.0], [1.0], [5.0]]), torch.zeros(3), units, mix=2, jump=0.5)
        >>> cells.sample(4)  # of -1 and 1; 1 and 5 lie too far apart
        tensor([[10.],
                [10.],
                [10.],
                [10.]])
    """

    codes: Tensor
    h_tilde: Tensor
    jump: Tensor
    spacing: Tensor

    def __init__(
        self,
        codes: Cloud,
        h_tilde: Vector,
        units: Units,
        mix: Count = 1,
        jump: Annotated[float, Interval(0, math.inf, "(]")] = math.inf,
    ) -> None:
        super().__init__()
        check_cloud(codes, "codes")
        check_table(codes, h_tilde)
        if mix > len(codes):
            raise ValueError(f"a mix of {mix} cells needs as many codes, got {len(codes)}; lower mix")
        if mix * mix * codes.shape[1] > LARGEST:
            raise ValueError(
                f"a mix of {mix} cells in dimension {codes.shape[1]} compares {mix * mix:,} pairs of codes; lower mix"
            )
        if len(units.shift) != codes.shape[1]:
            raise ValueError(
                f"the codes have dimension {codes.shape[1]} and their units {len(units.shift)}; take Units.columns of "
                "the codes"
            )
        self.register_buffer("codes", codes)
        self.register_buffer("h_tilde", h_tilde)
        self.register_buffer("jump", torch.tensor(float(jump), dtype=torch.float64))
        self.register_buffer("spacing", _spacing(codes), persistent=False)
        self.units = units
        self.mix = mix
        self.dim = codes.shape[1]

    @torch.no_grad()
    @checked
    def sample(self, n: Count) -> Tensor:
        """n independent mixes in the codes' own units, (n, k)."""
        kept, left = [], n
        for _ in range(AGAIN):
            mixes, jumps = self.draw(left)
            kept.append(mixes[jumps <= self.jump])
            left -= len(kept[-1])
            if not left:
                points: Tensor = self.units(torch.cat(kept))
                return points
        raise ValueError(
            f"after {AGAIN} rounds too few draws have a jump <= {float(self.jump):.3g}; allow larger ones, or reject "
            "fewer"
        )

    @torch.no_grad()
    @checked
    def draw(self, n: Count) -> tuple[Tensor, Tensor]:
        """n mixes in standard coordinates, (n, k), and their jumps, (n,), before any is rejected."""
        x = torch.randn(n, self.dim, dtype=self.codes.dtype, device=self.codes.device)
        parts = [
            self._mixed(part)
            for part in x.split(max(1, ENTRIES // max(len(self.codes), self.mix * self.mix * self.dim)))
        ]
        return torch.cat([mixes for mixes, _ in parts]), torch.cat([jumps for _, jumps in parts])

    def _mixed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = SquaredEuclidean().matrix(x, self.codes) - self.h_tilde
        cells = scores.topk(self.mix, dim=1, largest=False).indices
        corners = self.codes[cells]
        apart = (corners[:, :, None] - corners[:, None]).square().sum(dim=3).amax(dim=(1, 2)).sqrt()
        return corners.mean(dim=1), apart / self.spacing[cells].mean(dim=1)

    def extra_repr(self) -> str:
        return f"codes={len(self.codes)}, dim={self.dim}, mix={self.mix}, jump={float(self.jump):.4g}"


def _spacing(codes: Tensor) -> Tensor:
    """The distance from each code to the fifth nearest of the others, or to the farthest of fewer: (m,), > 0."""
    rank = min(NEIGHBOURS + 1, len(codes))  # each is its own nearest
    parts = codes.split(max(1, ENTRIES // len(codes)))
    squares = [SquaredEuclidean().matrix(part, codes).kthvalue(rank, dim=1).values for part in parts]
    return torch.cat(squares).clamp_min(torch.finfo(codes.dtype).tiny).sqrt()


@keyword_only
@checked
def semidiscrete_prior(
    encoder: nn.Module,
    nu: Measure,
    mix: Count = 3,
    reject: Annotated[float, Interval(0, 1, ")")] = 0.15,
    *,
    tol: Annotated[float, Interval(0, 2, "()")] = 0.1,
    max_samples: Count = 2**22,
    seed: Seed = 0,
    samples: Count = 10_000,
    progress: bool = False,
) -> CellMixture | Labelled:
    """The optimal map of N(0, I) to codes z ~ q(·|y), y ~ ν, softened to mixes of neighbouring codes (AE-OT).

    A table h̃ is solved by `semidiscrete` on the codes, standardised coordinate by coordinate. Nothing is trained. The
    prior is a `CellMixture`: with mix = 1 it returns the codes of the data, which copies them; so the metric
    `memorisation` belongs beside its quality. A larger `mix` and a smaller `reject` copy less and err more.

    Args:
        encoder: y (n, d) -> q(·|y), trained.
        nu: the data, coded as for `ex_post_prior`. Each class of `LabelledData` has a table of its own.
        mix: the number of cells that are mixed.
        reject: the share of draws that are rejected, those of the largest jumps. They are counted once, on 4,096 draws.
        tol: the marginal error of the table to certify, in (0, 2).
        max_samples: of its solve. Where it ends uncertified the log says so, and the table serves as it is.
        seed: of the codes and of the solve. The caller's random state, and the encoder's training mode, stay as they
            were.
        samples: the largest number of codes.
        progress: shows the bar of the solve, on a terminal.

    Raises:
        ValueError: fewer codes than `mix`, in all or of a class, or codes that are not finite (n, k) vectors.
        KeyboardInterrupt: the user stopped the solve.

    Source: An et al., 2020, https://openreview.net/forum?id=HkldyTNYwH; Lei et al., 2020,
        https://doi.org/10.1016/j.eng.2019.09.010

    Example:
        >>> from ot_gen import DiracEncoder
        >>> nu = Empirical(torch.randn(50, 3))
        >>> encoder = DiracEncoder(nn.Identity())
        >>> prior = semidiscrete_prior(encoder, nu, mix=1)
        >>> bool((prior.sample(5)[:, None] - nu.atoms).norm(dim=2).amin(dim=1).max() < 1e-5)  # codes as they are
        True
    """
    if isinstance(nu, LabelledData):
        few = min(range(nu.classes), key=lambda k: len(nu.part(k)))
        if mix > len(nu.part(few)):
            raise ValueError(
                f"a mix of {mix} cells needs as many codes, and class {few} has {len(nu.part(few))}; lower mix to "
                "that, or leave out the rare classes"
            )
        of_class = partial(
            semidiscrete_prior,
            mix=mix,
            reject=reject,
            tol=tol,
            max_samples=max_samples,
            seed=seed,
            samples=samples,
            progress=progress,
        )
        return fitted_by_label(of_class, encoder, nu)
    codes = Empirical(codes_of(encoder, nu, samples, seed))
    units = Units.columns(codes)
    target = units.standardised(codes)
    assert isinstance(target, Empirical)
    zeta = standard_gaussian(codes.dim).to(target.atoms.device)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        solution = semidiscrete(
            zeta,
            target,
            SquaredEuclidean(),
            tol=tol,
            max_samples=max_samples,
            progress=progress and sys.stderr.isatty(),
        )
        if solution.ending is Ending.STOPPED:
            raise KeyboardInterrupt
        if not solution.converged:
            log.warning("the table of the prior is not certified: %s", solution.message)
        cells = CellMixture(target.atoms, solution.h_tilde.to(target.atoms), units, mix)
        if reject and mix > 1:
            jumps = cells.draw(PILOT)[1]
            cells.jump.fill_(float(jumps.quantile(1 - reject)))
    return cells.eval()
