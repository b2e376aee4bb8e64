"""Matrices of distances."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from ot_gen.geometry.geodesics import Effort, connect
from ot_gen.geometry.metrics import RiemannianMetric
from ot_gen.geometry.starts import NEIGHBOURS, Best, Graph, Start

BATCH = 512  # pairs at once


def pairwise(
    metric: RiemannianMetric, z: Tensor, starts: Sequence[Start | Tensor], effort: Effort, progress: bool = False
) -> Tensor:
    """Lengths of geodesics between all pairs of z (n, k), i < j solved, (n, n).

    Example:
        >>> from .fields import euclidean
        >>> from .starts import Line
        >>> z = torch.tensor([[0.0], [1.0], [3.0]])
        >>> pairwise(euclidean(), z, [Line()], Effort(4))
        tensor([[0., 1., 3.],
                [1., 0., 2.],
                [3., 2., 0.]])
    """
    from tqdm import tqdm

    n = len(z)
    lengths, missing = z.new_zeros(n, n), 0
    pairs = torch.triu_indices(n, n, 1, device=z.device)
    with tqdm(total=pairs.shape[1], desc="geodesics", unit=" pairs", disable=not progress) as bar:
        for first in range(0, pairs.shape[1], BATCH):
            i, j = pairs[:, first : first + BATCH]
            geodesics = connect(metric, z[i], z[j], starts, effort)
            lengths[i, j] = lengths[j, i] = geodesics.length
            missing += int((~geodesics.converged).sum())
            bar.update(len(i))
    if missing:
        warnings.warn(
            f"{missing} of {pairs.shape[1]} geodesics have not converged: their distances are lengths of the best "
            "curves found, which may be too long; `geodesic` tells which, and takes more rounds and other starts",
            RuntimeWarning,
            stacklevel=6,  # where `LatentGeometry.pairwise`, behind its three decorators, is called
        )
    return lengths


def warm_start(z: Tensor, known: Sequence[Start]) -> Start:
    """The known start of least energy; of the segment alone, also the shortest path among many points z (n, k).

    Example:
        >>> from .starts import Line
        >>> warm_start(torch.zeros(3, 2), [Line()]).words
        'the segment'
    """
    if len(known) == 1 and len(z) > 2 * NEIGHBOURS:
        return Best(*known, Graph(z))
    return Best(*known) if len(known) > 1 else known[0]
