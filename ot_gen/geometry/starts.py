"""Where a search for geodesics starts: it ends in a nearby minimum."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import numpy as np
import torch
from torch import Tensor

from ot_gen.arguments import Cloud, Count, checked
from ot_gen.geometry.metrics import RiemannianMetric, check_codes, length

EDGE = 2  # segments by which the length of an edge is measured
NEIGHBOURS = 8  # of each code in a graph
NODES = 500  # of the graph of codes that a geometry knows, at most: each of its edges is decoded
SMOOTH = 16  # segments of a smoothed path
POINTS = 1024  # decoded at once: what stays in a core's cache


@checked
class Start(ABC):
    """A rule for first curves.

    Attributes:
        words: what the curves are, as in "searched from the segment".
    """

    words = "first curves"

    @abstractmethod
    def __call__(self, metric: RiemannianMetric, z0: Cloud, z1: Cloud, segments: Count) -> Tensor:
        """Curves from z0 to z1, (B, k), as nodes (B, segments + 1, k)."""


First = Start | Tensor  # a rule, or first curves (B, ?, k)


@final
@checked
class Line(Start):
    """The straight segment.

    Example:
        >>> from .fields import euclidean
        >>> Line()(euclidean(), torch.zeros(1, 1), torch.ones(1, 1), 2).flatten()
        tensor([0.0000, 0.5000, 1.0000])
    """

    words = "the segment"

    def __call__(self, metric: RiemannianMetric, z0: Cloud, z1: Cloud, segments: Count) -> Tensor:
        check_pairs(z0, z1)
        return line(z0, z1, segments)


@final
@checked
class Best(Start):
    """For each pair, the curve of smallest energy among those of several rules: one search, begun at the best of them.

    It costs an evaluation of each rule's curves. A list of starts, in contrast, costs a search from each.

    Args:
        rules: at least one.

    Raises:
        ValueError: no rules.

    Example:
        >>> from .fields import euclidean
        >>> Best(Line(), Line())(euclidean(), torch.zeros(1, 1), torch.ones(1, 1), 2).flatten()
        tensor([0.0000, 0.5000, 1.0000])
    """

    def __init__(self, *rules: Start) -> None:
        if not rules:
            raise ValueError("the best of no starts is none; give Line(), Graph(codes)")
        self.rules = rules
        self.words = " or ".join(rule.words for rule in rules)

    def __call__(self, metric: RiemannianMetric, z0: Cloud, z1: Cloud, segments: Count) -> Tensor:
        curves = torch.stack([rule(metric, z0, z1, segments) for rule in self.rules])
        with torch.no_grad():
            energy = torch.stack([metric.squares(nodes).fine.sum(dim=1) for nodes in curves])
        return curves[energy.nan_to_num(nan=torch.inf).argmin(dim=0), torch.arange(len(z0), device=z0.device)]


@final
@checked
class Graph(Start):
    """Shortest paths in the graph of codes and their nearest neighbours: holes in the data are walked around.

    The length of an edge is that of the straight segment in the metric (2 chords, extrapolated). A graph in several
    parts is joined by the edges of the latent minimum spanning tree, so there is always a path. End points are linked
    to the points nearest to them. Paths are smoothed and brought to constant speed.

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

    words = "the shortest path among codes"

    def __init__(self, codes: Tensor, neighbours: Count = NEIGHBOURS) -> None:
        check_codes(codes, "codes")
        if len(codes) <= neighbours:
            raise ValueError(
                f"a graph with {neighbours} neighbours needs neighbours >= 1 and more codes than that, got "
                f"{len(codes)} codes"
            )
        self.codes = codes.detach()
        self.neighbours = neighbours
        self._edges = _edges(self.codes, neighbours)

    def __call__(self, metric: RiemannianMetric, z0: Cloud, z1: Cloud, segments: Count) -> Tensor:
        check_pairs(z0, z1)
        ends, place = torch.unique(torch.cat([z0, z1]), dim=0, return_inverse=True)
        start, end = (place.cpu() + len(self.codes)).chunk(2)
        points, edges = self._linked(ends)
        sources, row = torch.unique(start, return_inverse=True)
        _, before = _shortest(metric, points, edges, sources)
        return _resample(points[_paths(before[row], start, end)], segments)

    def lengths(self, metric: RiemannianMetric, z: Cloud) -> Tensor:
        """Distances between all pairs of z (n, k), (n, n), some per cent too long.

        Each is the shortest of three: the shortest path, that path smoothed, and the straight segment.

        Raises:
            ValueError: points of another dimension than the codes.
        """
        check_codes(z, "z")
        points, edges = self._linked(z)
        ends = torch.arange(len(self.codes), len(points), device="cpu")
        paths, before = _shortest(metric, points, edges, ends)
        i, j = torch.triu_indices(len(z), len(z), 1, device="cpu")
        upper = torch.minimum(paths[i, ends[j]], paths[j, ends[i]]).to(z)
        routes = _paths(before[i], ends[i], ends[j])
        for some in torch.arange(len(i), device="cpu").split(1024):
            smooth = _resample(points[routes[some]], SMOOTH)
            straight = line(z[i[some]], z[j[some]], SMOOTH)
            shorter = torch.minimum(_lengths(metric, smooth), _lengths(metric, straight))
            upper[some] = torch.minimum(upper[some], shorter)
        lengths = z.new_zeros(len(z), len(z))
        lengths[i, j] = lengths[j, i] = upper
        return lengths

    def _linked(self, ends: Tensor) -> tuple[Tensor, Tensor]:
        """The codes and ends (n, k) as points, and edges (2, E) between them: an end to the points nearest to it."""
        from scipy.spatial import cKDTree

        if ends.shape[1] != self.codes.shape[1]:
            raise ValueError(f"points have dimension {ends.shape[1]}, the codes of the graph {self.codes.shape[1]}")
        points = torch.cat([self.codes.to(ends), ends])
        places = points.detach().double().cpu().numpy()
        near = torch.from_numpy(cKDTree(places).query(places[len(self.codes) :], self.neighbours + 1)[1]).long()
        links = torch.arange(len(self.codes), len(points), device="cpu").repeat_interleave(self.neighbours + 1)
        links = torch.stack([links, near.flatten()])
        links = links[:, links[0] != links[1]].sort(dim=0).values.unique(dim=1)
        return points, torch.cat([self._edges, links], dim=1)


def known_starts(codes: Tensor | None) -> list[Start]:
    """The segment, and the shortest path among the codes where these are known; at most 500 of them, evenly spaced.

    Raises:
        ValueError: codes that are no cloud of at least two points.

    Example:
        >>> [start.words for start in known_starts(torch.zeros(3, 2))]
        ['the segment', 'the shortest path among codes']
    """
    if codes is None:
        return [Line()]
    check_codes(codes, "codes")
    if len(codes) < 2:
        raise ValueError(f"codes must be at least two points, got {len(codes)}; leave them out where none are known")
    nodes = codes[:: -(-len(codes) // NODES)]
    return [Line(), Graph(nodes, min(NEIGHBOURS, len(nodes) - 1))]


def check_pairs(z0: Tensor, z1: Tensor) -> None:
    """Raise a `ValueError` unless these are as many finite end points as points, (B, k) each.

    Example:
        >>> check_pairs(torch.zeros(1, 2), torch.zeros(1, 2))
    """
    check_codes(z0, "z0")
    check_codes(z1, "z1")
    if z0.shape != z1.shape or z0.dtype != z1.dtype:
        raise ValueError(
            f"z0 and z1 must have one shape (B, k) and one dtype, got {tuple(z0.shape)} {z0.dtype} and "
            f"{tuple(z1.shape)} {z1.dtype}"
        )


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
    own = torch.arange(len(points), device="cpu").repeat_interleave(neighbours + 1)
    edges = torch.stack([own, near.reshape(-1)])
    edges = edges[:, edges[0] != edges[1]].sort(dim=0).values.unique(dim=1)
    joined = coo_matrix((np.ones(edges.shape[1]), edges.numpy()), shape=(len(points), len(points)))
    count, part = connected_components(joined, directed=False)
    if count > 1:
        # Only parts are joined: the nearest pair of each two of them.
        part = torch.from_numpy(part)
        members = [(part == c).nonzero().flatten() for c in range(count)]
        between, pairs = np.zeros((count, count)), {}
        for a in range(count):
            for b in range(a + 1, count):
                gaps = cdist(points[members[a]], points[members[b]])
                i, j = divmod(int(gaps.argmin()), gaps.shape[1])
                between[a, b] = max(float(gaps[i, j]), 1e-300)
                pairs[a, b] = (int(members[a][i]), int(members[b][j]))
        tree = minimum_spanning_tree(between).tocoo()
        bridges = [pairs[min(a, b), max(a, b)] for a, b in zip(tree.row.tolist(), tree.col.tolist(), strict=True)]
        edges = torch.cat([edges, torch.tensor(bridges, device="cpu").T], dim=1)
    return edges


def _shortest(metric: RiemannianMetric, points: Tensor, edges: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """Lengths of shortest paths from the sources (s,) to all points, and the point before each: (s, n), (s, n)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra

    lengths = _edge_lengths(metric, points, edges).double().cpu().numpy()
    graph = coo_matrix((lengths, edges.numpy()), shape=(len(points), len(points))).tocsr()
    reached, before = dijkstra(graph, directed=False, indices=sources.numpy(), return_predecessors=True)
    return torch.from_numpy(reached), torch.from_numpy(before).long()


def _paths(before: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Paths as indices (B, P) from the point before each, (B, n); they stay at their ends, at least for one step."""
    route = [end]
    while bool((route[-1] != start).any()):
        here = route[-1]
        route.append(torch.where(here == start, here, before.gather(1, here[:, None]).squeeze(1)))
    return torch.stack([*route, start][::-1], dim=1)


def _edge_lengths(metric: RiemannianMetric, points: Tensor, edges: Tensor) -> Tensor:
    parts = [_lengths(metric, line(points[a], points[b], EDGE)) for a, b in (some.T for some in edges.T.split(2048))]
    # A sparse graph drops edges of length 0.
    return torch.cat(parts).clamp_min(torch.finfo(points.dtype).tiny)


def _lengths(metric: RiemannianMetric, nodes: Tensor) -> Tensor:
    with torch.no_grad():
        parts = nodes.split(max(POINTS // nodes.shape[1], 1))
        return torch.cat([length(metric.squares(part)) for part in parts])


def _resample(paths: Tensor, segments: int) -> Tensor:
    """Paths (B, P, k) at equal latent steps, (B, segments + 1, k), inner nodes averaged with their neighbours twice."""
    step = torch.linalg.vector_norm(paths[:, 1:] - paths[:, :-1], dim=2)
    reached = torch.cat([torch.zeros_like(step[:, :1]), step.cumsum(dim=1)], dim=1)
    t = torch.linspace(0, 1, segments + 1, dtype=paths.dtype, device=paths.device)
    wanted = (reached[:, -1:] * t).contiguous()
    piece = (torch.searchsorted(reached, wanted, right=True) - 1).clamp(0, step.shape[1] - 1)
    share = (wanted - reached.gather(1, piece)) / step.gather(1, piece).clamp_min(torch.finfo(paths.dtype).tiny)
    rows = torch.arange(len(paths), device=paths.device)[:, None]
    nodes = torch.lerp(paths[rows, piece], paths[rows, piece + 1], share.clamp(0, 1)[:, :, None])
    nodes[:, 0], nodes[:, -1] = paths[:, 0], paths[:, -1]
    for _ in range(2):
        nodes[:, 1:-1] = (nodes[:, :-2] + 2 * nodes[:, 1:-1] + nodes[:, 2:]) / 4
    return nodes
