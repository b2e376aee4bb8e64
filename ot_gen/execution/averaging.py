"""The running mean of a model's weights, which is judged and sampled in the place of the last ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, final

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ot_gen.arguments import Interval, checked

Decay = Annotated[float, Interval(0, 1, "[)")]


@final
@checked
class WeightAverage(nn.Module):
    """The exponential moving average θ̄ of the weights θ of a model, beside them.

        θ̄_t = β_t θ̄_{t−1} + (1 − β_t) θ_t,    β_t = min(β, t / (t + 9)),    t = 1, 2, ...

    The first weights count little: β_1 = 0.1, and θ̄ remembers about t / 9 steps until that reaches 1 / (1 − β).

    The model has θ̄ and this module keeps θ, but for the time of `moving`, when it is the other way round. So what is
    saved, judged and sampled as the model is θ̄, and what goes on to train is in the state of this module.

    Args:
        parameters: those of θ that train.
        decay: β, in [0, 1), e.g. 0.999: the mean of about the last 1 / (1 − β) steps. 0 keeps the last weights.

    Source: Polyak, Juditsky, 1992, https://doi.org/10.1137/0330046; for generators Yazıcı et al., 2019,
    https://arxiv.org/abs/1806.04498

    Example:
        >>> net = nn.Linear(1, 1, bias=False)
        >>> average = WeightAverage(net.parameters(), decay=0.9)
        >>> before = net.weight.item()
        >>> with average.moving():
        ...     with torch.no_grad():
        ...         _ = net.weight.add_(1.0)
        ...     average.update()
        >>> round(net.weight.item() - before, 4)
        0.9
    """

    steps: Tensor

    def __init__(self, parameters: Iterable[nn.Parameter], decay: Decay) -> None:
        super().__init__()
        self.decay = decay
        self._live = [p for p in parameters if p.requires_grad]  # a list: they are the model's, not this module's
        for index, parameter in enumerate(self._live):
            self.register_buffer(f"weight{index}", parameter.detach().clone())
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def update(self) -> None:
        """Take up the weights after a step."""
        self.steps += 1
        t = int(self.steps)
        if self._live:
            get_ema_multi_avg_fn(min(self.decay, t / (t + 9)))(self._kept(), self._live, t)

    @contextmanager
    def moving(self) -> Iterator[None]:
        """The model has θ within, to train."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    shown = moving  # within `moving` the same exchange shows θ̄ again

    def _exchange(self) -> None:
        for parameter, kept in zip(self._live, self._kept(), strict=True):
            parameter.data, kept.data = kept.data, parameter.data

    def _kept(self) -> list[Tensor]:
        return [self.get_buffer(f"weight{index}") for index in range(len(self._live))]

    def extra_repr(self) -> str:
        return f"decay={self.decay:g}"
