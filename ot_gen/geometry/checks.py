"""What the arguments of a latent geometry must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from ot_gen.arguments import checked, described
from ot_gen.execution import keyword_only, renamed
from ot_gen.geometry.curves import Curve, Polyline
from ot_gen.geometry.geodesics import Geodesics
from ot_gen.geometry.jets import Map
from ot_gen.geometry.metrics import RiemannianMetric, check_codes, check_floats, check_rank
from ot_gen.geometry.starts import Start

P = ParamSpec("P")
R = TypeVar("R")


def by_segments(function: Callable[P, R]) -> Callable[P, R]:
    """The door of a function of `segments`, which were called `nodes`, and of names that once could be left out."""
    return renamed(nodes="segments")(keyword_only(checked(function)))


def check_ends(
    metric: RiemannianMetric, z0: Tensor, z1: Tensor, names: tuple[str, str] = ("z0", "z1")
) -> tuple[Tensor, Tensor]:
    """z0, z1 (B, k), detached and of one shape, or a `ValueError` where no geodesic can join them.

    Example:
        >>> from .fields import euclidean
        >>> check_ends(euclidean(), torch.zeros(1, 2), torch.zeros(3, 2))[0].shape
        torch.Size([3, 2])
    """
    for z, name in zip((z0, z1), names, strict=True):
        check_codes(z, name)
    if z0.shape[1] != z1.shape[1] or (len(z0) != len(z1) and 1 not in (len(z0), len(z1))):
        raise ValueError(
            f"geodesics join points of the same shape (B, k), got z0 {tuple(z0.shape)} and z1 {tuple(z1.shape)}; "
            "for all pairs of a cloud use pairwise"
        )
    z0, z1 = (z.detach().contiguous() for z in torch.broadcast_tensors(z0, z1))
    with torch.no_grad():
        ends = torch.cat([z0, z1]).unique(dim=0)
        check_rank(metric.matrix(ends).double(), torch.finfo(z0.dtype).eps)
    return z0, z1


def check_point(point: Tensor, name: str) -> None:
    """Raise a `ValueError` unless this is one finite point, (k,).

    Example:
        >>> check_point(torch.zeros(1, 2), "mean")
        Traceback (most recent call last):
        ValueError: mean must be one point (k,), got (1, 2)
    """
    if point.ndim != 1:
        raise ValueError(f"{name} must be one point (k,), got {tuple(point.shape)}")
    check_codes(point.unsqueeze(0), name)


def check_starts(start: Start | Tensor | Sequence[Start | Tensor], z0: Tensor) -> list[Start | Tensor]:
    """A list of starts, or a `ValueError` where it is empty or holds curves of another shape.

    Example:
        >>> from .starts import Line
        >>> len(check_starts(Line(), torch.zeros(1, 2)))
        1
    """
    starts = list(start) if isinstance(start, Sequence) else [start]
    if not starts:
        raise ValueError("geodesics need at least one start, got an empty list; leave it out for the straight segment")
    for curves in starts:
        if not isinstance(curves, Start | Tensor):
            raise ValueError(
                f"a start must be Line(), Graph(codes), Best(...) or curves (B, ?, k), got {described(curves)}"
            )
        if isinstance(curves, Tensor):
            check_floats(start=curves)
        if isinstance(curves, Tensor) and (curves.ndim != 3 or curves[:, 0].shape != z0.shape or curves.shape[1] < 2):
            raise ValueError(f"a start must be curves (B, ?, k) from {tuple(z0.shape)}, got {tuple(curves.shape)}")
    return starts


def check_alike(z: Tensor, **others: Tensor) -> tuple[Tensor, ...]:
    """The vectors at points z (n, k), in their dtype, or a `ValueError` where they are not (n, k) or not finite.

    Example:
        >>> check_alike(torch.zeros(1, 2), v=torch.ones(1, 2))
        (tensor([[1., 1.]]),)
    """
    others = {name: other.to(z.dtype) for name, other in others.items()}
    for name, other in others.items():
        if other.shape != z.shape or not bool(torch.isfinite(other).all()):
            raise ValueError(
                f"{name} must be finite, of shape {tuple(z.shape)} like the points, got {tuple(other.shape)}"
            )
    return tuple(others.values())


def listed(map: Map | Sequence[Map] | nn.ModuleList, name: str) -> list[Map]:
    """A list of maps, or a `ValueError` where there is none.

    Example:
        >>> len(listed([torch.sin, torch.cos], "a decoder"))
        2
    """
    maps: list[Any] = list(map) if isinstance(map, Sequence | nn.ModuleList) else [map]
    for one in maps or [maps]:
        if isinstance(one, type) or not callable(one):
            remedy = "; call the class with its arguments" if isinstance(one, type) else ""
            raise ValueError(f"{name} must be a map (n, k) -> (n, d) or a list of maps, got {described(one)}{remedy}")
    return maps


def as_curve(curve: Curve | Geodesics | Tensor) -> Curve:
    """The curve through nodes (B, T + 1, k), that of geodesics, or a curve itself.

    Example:
        >>> as_curve(torch.zeros(1, 3, 2)).segments
        2
    """
    if isinstance(curve, Geodesics):
        return curve.curve
    return curve if isinstance(curve, Curve) else Polyline(curve)
