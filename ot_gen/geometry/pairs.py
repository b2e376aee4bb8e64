"""Matrices of distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .geodesics import Effort, connect
from .metrics import Metric
from .starts import NEIGHBOURS, Best, Graph, Line, Start

BATCH = 512  # pairs at once


class Pairwise(NamedTuple):
    """Distances between all pairs, and whether the search for each converged: (n, n) both, symmetric."""

    lengths: Tensor
    converged: Tensor


def pairwise(
    metric: Metric, z: Tensor, starts: Sequence[Start | Tensor], effort: Effort, progress: bool = False
) -> Pairwise:
    """Geodesics between all pairs of z (n, k), i < j solved.

    Example:
        >>> from .fields import euclidean
        >>> from .starts import Line
        >>> z = torch.tensor([[0.0], [1.0], [3.0]])
        >>> pairwise(euclidean(), z, [Line()], Effort(4)).lengths
        tensor([[0., 1., 3.],
                [1., 0., 2.],
                [3., 2., 0.]])
    """
    from tqdm import tqdm

    n = len(z)
    lengths, converged = z.new_zeros(n, n), torch.ones(n, n, dtype=torch.bool, device=z.device)
    pairs = torch.triu_indices(n, n, 1, device=z.device)
    with tqdm(total=pairs.shape[1], desc="geodesics", unit=" pairs", disable=not progress) as bar:
        for i, j in zip(*(side.split(BATCH) for side in pairs), strict=True):
            found = connect(metric, z[i], z[j], starts, effort)
            lengths[i, j] = lengths[j, i] = found.length
            converged[i, j] = converged[j, i] = found.converged
            bar.update(len(i))
    return Pairwise(lengths, converged)


def warm_start(z: Tensor) -> Start:
    """The segment or the shortest path among the points z (n, k), whichever has less energy; of few points the segment.

    Example:
        >>> warm_start(torch.zeros(3, 2))  # doctest: +ELLIPSIS
        <ot_gen.geometry.starts.Line object at ...>
    """
    return Best(Line(), Graph(z)) if len(z) > 2 * NEIGHBOURS else Line()
