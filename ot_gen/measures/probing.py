"""What a map makes of a few points, asked before it is used."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.arguments import checked, described
from ot_gen.execution import on_one_line
from ot_gen.measures.measure import undisturbed

Shape = tuple[int | None, ...]


@checked
def probe(map: Callable[[Tensor], Any], points: Tensor, name: str, rule: str, row: Collection[Shape] = ()) -> Any:
    """map(points), or a `ValueError` that says why the map does not take them.

    No graph is made. A module is in evaluation mode meanwhile, and the caller's random state is put back.

    Args:
        map: a network or any other callable, (n, d) -> a tensor or a law of n rows.
        points: a few points, (n, d), as the map will get them.
        name: what the map is, with its article: "the generator".
        rule: what the map must be, or what to do; it ends the error's text.
        row: the shapes that one row of the result may have, None for any size: ((None,),) asks for a cloud (n, d) and
            ((), (1,)) for one number a point. Left out, any result will do.

    Raises:
        ValueError: the map fails on the points, its parameters have another dtype or device, or its result is not n
            rows of such a shape.

    Example:
        >>> probe(nn.Linear(2, 5), torch.zeros(3, 2), "the net", "give it two inputs", row=((None,),)).shape
        torch.Size([3, 5])
        >>> probe(nn.Linear(4, 5), torch.zeros(3, 2), "the net", "give it two inputs")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: the net does not accept points of shape (n, 2) (mat1 and mat2 shapes ...); give it two inputs
    """
    modules = [map] if isinstance(map, nn.Module) else []
    if modules and type(map).forward is nn.Module.forward:  # type: ignore[attr-defined]
        raise ValueError(f"{name} is {described(map)}, which has no forward and maps no points; {rule}")
    try:
        with undisturbed(*modules):
            out = map(points)
    except (NotImplementedError, torch.cuda.OutOfMemoryError):
        raise  # what torch lacks, and memory, are no faults of the points
    except (RuntimeError, ValueError) as error:
        refusal = error.__cause__ if isinstance(error, ValueError) else error  # a door has explained it already
        if not isinstance(refusal, RuntimeError):
            raise
        raise ValueError(_refusal(map, points, name, rule, refusal)) from error
    shape = _shape(out)
    if row and (shape[:1] != (len(points),) or not any(_fits(shape[1:], wanted) for wanted in row)):
        got = shape or f"a {type(out).__name__}"
        raise ValueError(f"{name} maps points of shape {tuple(points.shape)} to {got}; {rule}")
    return out


def _refusal(map: object, points: Tensor, name: str, rule: str, error: RuntimeError) -> str:
    tensors = [*map.parameters(), *map.buffers()] if isinstance(map, nn.Module) else []
    for own in (tensor for tensor in tensors if tensor.is_floating_point()):
        if (own.dtype, own.device) != (points.dtype, points.device):
            return (
                f"{name} holds {own.dtype} on {own.device} and its points are {points.dtype} on {points.device}: give "
                f"both one dtype and one device, by .to({points.dtype}) and .to('{points.device}')"
            )
    size = ", ".join(str(size) for size in points.shape[1:])
    return f"{name} does not accept points of shape (n, {size}) ({on_one_line(error)}); {rule}"


def _shape(out: object) -> tuple[int, ...]:
    """Of a tensor, or of a draw of a law; () for everything else."""
    if isinstance(out, Distribution):
        return (*out.batch_shape, *out.event_shape)
    return tuple(out.shape) if isinstance(out, Tensor) else ()


def _fits(shape: tuple[int, ...], wanted: Shape) -> bool:
    return len(shape) == len(wanted) and all(w in (None, size) for size, w in zip(shape, wanted, strict=True))
