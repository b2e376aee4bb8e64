"""The weights that a validation found best, which are judged and sampled in the place of the last ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from ot_gen.arguments import checked


@final
@checked
class BestWeights(nn.Module):
    """All tensors in the state of some modules, as they were at the best of several moments.

    The modules have them and this one keeps the last, but for the time of `moving`, when it is the other way round. So
    what is saved, judged and sampled is the best, and what goes on to train is in the state of this module. Before the
    first `keep` nothing is exchanged: the last are the best.

    Args:
        modules: whose weights and buffers are kept; none keeps nothing.

    Example:
        >>> net = nn.Linear(1, 1, bias=False)
        >>> best, before = BestWeights([net]), net.weight.item()
        >>> with best.moving():
        ...     best.keep(step=3)
        ...     with torch.no_grad():
        ...         _ = net.weight.add_(1.0)
        >>> net.weight.item() == before, int(best.step)
        (True, 3)
    """

    step: Tensor

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        super().__init__()
        self._modules_kept = tuple(modules)  # a tuple: they are no parts of this one
        self._copy()
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))  # 0: none is kept

    def keep(self, step: int) -> None:
        """Take the present weights for the best, within `moving`."""
        self._copy()
        self.step.fill_(step)

    @contextmanager
    def moving(self) -> Iterator[None]:
        """The modules have the last weights within, to train."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    shown = moving  # within `moving` the same exchange shows the best again

    def _exchange(self) -> None:
        if int(self.step) == 0:
            return
        for index, tensor in enumerate(self._tensors()):
            kept = self.get_buffer(f"weight{index}")
            tensor.data, kept.data = kept.data, tensor.data

    def _copy(self) -> None:
        for index, tensor in enumerate(self._tensors()):
            self.register_buffer(f"weight{index}", tensor.detach().clone())

    def _tensors(self) -> list[Tensor]:
        """Each once: modules may share some."""
        states = (module.state_dict(keep_vars=True) for module in self._modules_kept)
        tensors = (value for state in states for value in state.values() if isinstance(value, Tensor))
        return list({id(tensor): tensor for tensor in tensors}.values())
