"""Where a search for geodesics starts: it ends in a minimum near by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from ot_gen.clouds import check_cloud

from .metrics import Metric

EDGE = 8  # segments by which the length of an edge is measured


class Start(ABC):
    """A rule for first curves."""

    @abstractmethod
    def __call__(self, metric: Metric, z0: Tensor, z1: Tensor, segments: int) -> Tensor:
        """Curves from z0 to z1, (B, k), as nodes (B, segments + 1, k)."""


@final
class Line(Start):
    """The straight segment.

    Example:
        >>> from .fields import euclidean
        >>> Line()(euclidean(), torch.zeros(1, 1), torch.ones(1, 1), 2).flatten()
        tensor([0.0000, 0.5000, 1.0000])
    """

    def __call__(self, metric: Metric, z0: Tensor, z1: Tensor, segments: int) -> Tensor:
        return line(z0, z1, segments)


@final
class Graph(Start):
    """Shortest paths in the graph of codes and their nearest neighbours: holes in the data are walked around.

    An edge is as long as the metric says of the straight segment (8 chords). A graph in several parts is joined by
    the edges of the latent minimum spanning tree, so that there is always a path. End points are linked to their
    nearest codes. Paths are smoothed and brought to constant speed.

    Args:
        codes: (m, k), where the data are, m > neighbours.
        neighbours: edges of each code to its nearest ones in latent space, before both directions are united.

    Raises:
        ValueError: codes that are no cloud, or too few of them.

    Source: Tenenbaum, de Silva, Langford, 2000, https://doi.org/10.1126/science.290.5500.2319

    Example:
        >>> from .fields import euclidean
        >>> codes = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [2.0, 0.0]])
        >>> Graph(codes, neighbours=1)(euclidean(), codes[:1], codes[4:], 4).shape
        torch.Size([1, 5, 2])
    """

    def __init__(self, codes: Tensor, neighbours: int = 8) -> None:
        check_cloud(codes, "codes")
        if neighbours < 1 or len(codes) <= neighbours:
            raise ValueError(
                f"a graph with {neighbours} neighbours needs neighbours >= 1 and more codes than that, got "
                f"{len(codes)} codes"
            )
        self.codes = codes.detach()
        self.neighbours = neighbours
        self._edges = _edges(self.codes, neighbours)

    def __call__(self, metric: Metric, z0: Tensor, z1: Tensor, segments: int) -> Tensor:
        paths, _ = self._paths(metric, z0, z1)
        return torch.stack([_resample(path, segments) for path in paths])

    def lengths(self, metric: Metric, z0: Tensor, z1: Tensor) -> Tensor:
        """Lengths of the shortest paths themselves, (B,): upper bounds of distances, to the error of 8 chords an edge.

        Raises:
            ValueError: points of another dimension than the codes.
        """
        return self._paths(metric, z0, z1)[1]

    def matrix(self, metric: Metric, z: Tensor) -> Tensor:
        """Lengths of shortest paths between all pairs of z (n, k), (n, n)."""
        points, edges = self._linked(z)
        ends = torch.arange(len(self.codes), len(points))
        lengths, _ = _shortest(metric, points, edges, ends)
        return lengths[:, ends].to(z)

    def _paths(self, metric: Metric, z0: Tensor, z1: Tensor) -> tuple[list[Tensor], Tensor]:
        ends, place = torch.unique(torch.cat([z0, z1]), dim=0, return_inverse=True)
        start, end = (place.cpu() + len(self.codes)).chunk(2)
        points, edges = self._linked(ends)
        sources, row = torch.unique(start, return_inverse=True)
        lengths, before = _shortest(metric, points, edges, sources)
        paths = []
        for r, s, e in zip(row.tolist(), start.tolist(), end.tolist(), strict=True):
            way = [e]
            while way[-1] != s:
                way.append(int(before[r, way[-1]]))
            paths.append(points[way[::-1]] if len(way) > 1 else points[[s, s]])
        return paths, lengths[row, end].to(z0)

    def _linked(self, ends: Tensor) -> tuple[Tensor, Tensor]:
        """The codes and ends (n, k) as points, and edges (2, E) between them: an end to its nearest codes."""
        from scipy.spatial import cKDTree

        if ends.shape[1] != self.codes.shape[1]:
            raise ValueError(f"points have dimension {ends.shape[1]}, the codes of the graph {self.codes.shape[1]}")
        tree = cKDTree(self.codes.double().cpu().numpy())
        near = torch.from_numpy(tree.query(ends.double().cpu().numpy(), list(range(1, self.neighbours + 1)))[1])
        links = torch.arange(len(ends)).repeat_interleave(self.neighbours) + len(self.codes)
        edges = torch.cat([self._edges, torch.stack([links, near.flatten().long()])], dim=1)
        return torch.cat([self.codes.to(ends), ends]), edges


def line(z0: Tensor, z1: Tensor, segments: int) -> Tensor:
    """Straight segments as nodes, (B, segments + 1, k).

    Example:
        >>> line(torch.zeros(1, 1), torch.ones(1, 1), 4).flatten()
        tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    t = torch.linspace(0, 1, segments + 1, dtype=z0.dtype, device=z0.device)[:, None]
    nodes = z0[:, None] + t * (z1 - z0)[:, None]
    nodes[:, -1] = z1  # exactly
    return nodes


def _edges(codes: Tensor, neighbours: int) -> Tensor:
    """Edges (2, E) of the neighbour graph, with those of the latent spanning tree between its parts."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
    from scipy.spatial import cKDTree
    from scipy.spatial.distance import cdist

    points = codes.double().cpu().numpy()
    near = torch.from_numpy(cKDTree(points).query(points, neighbours + 1)[1]).long()
    own = torch.arange(len(points)).repeat_interleave(neighbours + 1)
    edges = torch.stack([own, near.reshape(-1)])
    edges = edges[:, edges[0] != edges[1]].sort(dim=0).values.unique(dim=1)
    joined = coo_matrix((torch.ones(edges.shape[1]).numpy(), edges.numpy()), shape=(len(points), len(points)))
    count, part = connected_components(joined, directed=False)
    if count > 1:
        # Only parts are joined: the nearest pair of each two of them.
        part = torch.from_numpy(part)
        members = [(part == c).nonzero().flatten() for c in range(count)]
        between, pairs = torch.zeros(count, count, dtype=torch.float64), {}
        for a in range(count):
            for b in range(a + 1, count):
                gaps = cdist(points[members[a]], points[members[b]])
                i, j = divmod(int(gaps.argmin()), gaps.shape[1])
                between[a, b] = max(float(gaps[i, j]), 1e-300)
                pairs[a, b] = (int(members[a][i]), int(members[b][j]))
        tree = minimum_spanning_tree(between.numpy()).tocoo()
        bridges = [pairs[min(a, b), max(a, b)] for a, b in zip(tree.row.tolist(), tree.col.tolist(), strict=True)]
        edges = torch.cat([edges, torch.tensor(bridges).T], dim=1)
    return edges


def _shortest(metric: Metric, points: Tensor, edges: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """Lengths of shortest paths from the sources (s,) to all points, and the point before each: (s, n), (s, n)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra

    lengths = _edge_lengths(metric, points, edges).double().cpu().numpy()
    graph = coo_matrix((lengths, edges.numpy()), shape=(len(points), len(points))).tocsr()
    reached, before = dijkstra(graph, directed=False, indices=sources.numpy(), return_predecessors=True)
    return torch.from_numpy(reached), torch.from_numpy(before)


def _edge_lengths(metric: Metric, points: Tensor, edges: Tensor) -> Tensor:
    with torch.no_grad():
        parts = []
        for some in edges.T.split(2048):
            nodes = line(points[some[:, 0]], points[some[:, 1]], EDGE)
            # A sparse graph drops edges of length 0.
            parts.append(metric.squares(nodes).fine.sqrt().sum(dim=1).clamp_min(torch.finfo(points.dtype).tiny))
        return torch.cat(parts)


def _resample(path: Tensor, segments: int) -> Tensor:
    """A path (P, k) at equal latent steps, its inner nodes averaged with their neighbours a few times."""
    step = torch.linalg.vector_norm(path[1:] - path[:-1], dim=1)
    reached = torch.cat([step.new_zeros(1), step.cumsum(0)])
    wanted = torch.linspace(0, 1, segments + 1, dtype=path.dtype, device=path.device) * reached[-1]
    piece = (torch.searchsorted(reached, wanted, right=True) - 1).clamp(0, len(step) - 1)
    share = ((wanted - reached[piece]) / step[piece].clamp_min(torch.finfo(path.dtype).tiny)).clamp(0, 1)
    nodes = path[piece] + share[:, None] * (path[piece + 1] - path[piece])
    nodes[0], nodes[-1] = path[0], path[-1]
    for _ in range(2):
        nodes[1:-1] = (nodes[:-2] + 2 * nodes[1:-1] + nodes[2:]) / 4
    return nodes
