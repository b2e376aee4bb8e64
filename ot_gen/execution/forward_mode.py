"""torch's derivatives in forward mode, made ready."""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch.autograd import forward_ad


@cache
def load_forward_mode() -> None:
    """Let torch compile its formulas; at its first derivative it would do so by a call that it deprecated itself.

    Example:
        >>> load_forward_mode()
    """
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore", DeprecationWarning)
        forward_ad.make_dual(*torch.zeros(2, 1, device="cpu"))
