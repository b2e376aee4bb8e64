"""The precision in which networks compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from torch.amp import GradScaler

from ot_gen.arguments import checked


@final
@checked
class MixedPrecision:
    """The dtype of the networks' matrix products; parameters, costs, plans, potentials and means keep their own.

    Networks run under torch's autocast and return the dtype of their input. Everything outside of them is as exact as
    before. float16 reaches down to 6e-8 only, so losses are scaled up before they are differentiated. Steps without
    overflow raise the factor. A step whose gradients overflow lowers it and is left out.

    Args:
        dtype: torch.float32 (nothing changes), torch.bfloat16 or torch.float16.

    Raises:
        ValueError: another dtype.

    Source: Micikevicius et al., 2018, https://arxiv.org/abs/1710.03740

    Example:
        >>> net = MixedPrecision(torch.bfloat16).lower(torch.nn.Linear(3, 1))
        >>> net(torch.full((2, 3), 1 / 3)).dtype
        torch.float32
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        if dtype not in (torch.float32, torch.bfloat16, torch.float16):
            raise ValueError(f"networks compute in torch.float32, torch.bfloat16 or torch.float16, got {dtype}")
        self.dtype = dtype

    @property
    def is_lower(self) -> bool:
        """Whether the dtype is lower than float32."""
        return self.dtype != torch.float32

    def lower(self, network: Callable[..., Any]) -> Callable[..., Any]:
        """The map x -> network(x) in this precision, with the dtype of x."""
        if not self.is_lower:
            return network

        def lowered(x: Tensor, *rest: Any) -> Any:
            with torch.autocast(x.device.type, self.dtype):
                out = network(x, *rest)
            return out.to(x.dtype)

        return lowered

    def scaler(self, device: torch.device) -> GradScaler:
        """What scales losses and steps: without effect unless the dtype is float16."""
        return GradScaler(device.type, enabled=self.dtype == torch.float16)

    def __repr__(self) -> str:
        return f"MixedPrecision({self.dtype})"
