"""Values that no caller should give, and right ones in another dress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

import ot_gen

NAN, INF = float("nan"), float("inf")
NUMBERS = (-1, 0, 1, 2, 3, 10**30, -(10**30), 10**400, 0.5, 1.5, -0.5, 1e-300, 1e300, NAN, INF, -INF, 1e-30, 1e30)
OTHERS = (
    *(
        None,
        "x",
        "",
        "1",
        b"1",
        True,
        False,
        1j,
        [],
        {},
        (),
        set(),
        object,
        ot_gen.MLP,
        nn.Linear,
        ot_gen.SquaredEuclidean,
    ),
    *(
        [1.0, 2.0],
        [[1.0], [2.0, 3.0]],
        [[1.0, 2.0]],
        ["a"],
        [None],
        [[]],
        {"x": 1},
        range(3),
        slice(2),
        len,
        ValueError,
    ),
    *(
        np.float64(0.5),
        np.int64(3),
        np.float16(2),
        np.bool_(True),
        np.array(1.0),
        np.array(["a"]),
        np.array([object()]),
    ),
    *(np.zeros((3, 2)), np.ones((5, 2), np.float16), np.ones((5, 2), ">f4"), np.zeros((0, 2)), np.ones((5, 2), int)),
)
DTYPES = (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool, torch.complex64)
SHAPES = (
    (),
    (0,),
    (1,),
    (5,),
    (2, 2),
    (5, 2),
    (0, 2),
    (5, 0),
    (5, 1),
    (5, 3),
    (1, 2),
    (6, 2),
    (5, 2, 2),
    (4, 5),
    (5, 5),
)
CONTENTS = (0.0, 1.0, -1.0, NAN, INF, -INF, 1e20, 1e-30, 3e38)


def spoilt(value: Any) -> st.SearchStrategy[Any]:
    """Something to put in the place of a right value."""
    anything = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(OTHERS), tensors())
    if isinstance(value, Tensor):
        return st.one_of(anything, tensors(), distorted(value))
    if isinstance(value, int | float):
        return st.one_of(anything, st.sampled_from(NUMBERS))
    return anything


def tensors() -> st.SearchStrategy[Tensor]:
    """Of all shapes, dtypes, contents and layouts."""
    return st.builds(
        _tensor, st.sampled_from(SHAPES), st.sampled_from(CONTENTS), st.sampled_from((torch.float32, *DTYPES))
    )


def _tensor(shape: tuple[int, ...], content: float, dtype: torch.dtype) -> Tensor:
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return (
        (noise * content).nan_to_num(0.0, 1e9, -1e9).to(dtype)
        if not dtype.is_floating_point
        else (noise * content).to(dtype)
    )


WAYS: tuple[Callable[[Tensor], Any], ...] = (
    *(lambda x, dtype=dtype: x.to(dtype) for dtype in DTYPES),
    *(lambda x, scale=scale: x * scale for scale in CONTENTS),
    lambda x: x.numpy(),
    lambda x: x.double().numpy(),
    lambda x: x.tolist(),
    lambda x: x.to_sparse(),
    lambda x: x.to("meta"),
    lambda x: x.clone().requires_grad_() if x.is_floating_point() else x,
    lambda x: x.T if x.ndim == 2 else x,
    lambda x: x[None],
    lambda x: x[..., 0] if x.ndim else x,
    lambda x: x[:0] if x.ndim else x,
    lambda x: x[:1].expand_as(x) if x.ndim else x,
    lambda x: x.flip(0) if x.ndim else x,
    lambda x: torch.cat([x, x]) if x.ndim else x,
    lambda x: torch.cat([x, x], dim=-1) if x.ndim else x,
    lambda x: torch.where(torch.arange(x.numel()).view(x.shape) == 0, NAN, x),
    lambda x: x + 1e6,
)


def distorted(value: Tensor) -> st.SearchStrategy[Any]:
    """A right tensor, changed in one way, some of which leave it right."""
    return st.sampled_from(WAYS).map(lambda way: way(value))
