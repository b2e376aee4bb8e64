"""Maps of labelled rows: those that pass the class on, and those that drop it."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from ot_gen.arguments import checked
from ot_gen.display import Network
from ot_gen.measures.labels import labelled


@final
@checked
class WithLabel(Network):
    """A map of labelled rows that passes the class on: (z, k) -> (g(z; k), k), of points or of laws of points.

    Args:
        map: rows (n, k + 1) -> points (n, d), or laws of them.

    Example:
        >>> WithLabel(Unlabelled(nn.Identity()))(torch.tensor([[0.5, 7.0]]))
        tensor([[0.5000, 7.0000]])
    """

    keeps_label = True

    def __init__(self, map: nn.Module) -> None:
        super().__init__()
        self.map = map

    def forward(self, rows: Tensor) -> Tensor | Distribution:
        out = self.map(rows)
        labels = rows[..., -1].detach()
        return labelled(out, labels) if isinstance(out, Tensor) else LabelledLaw(out, labels)


@final
@checked
class Unlabelled(Network):
    """A map that passes the class on, without the class: (z, k) -> g(z; k).

    Example:
        >>> Unlabelled(nn.Identity())(torch.tensor([[0.5, 7.0]]))
        tensor([[0.5000]])
    """

    def __init__(self, map: nn.Module) -> None:
        super().__init__()
        self.map = map

    def forward(self, rows: Tensor) -> Tensor | Distribution:
        out = self.map(rows)
        return out.law if isinstance(out, LabelledLaw) else out[:, :-1]


@final
@checked
class LabelledLaw(Distribution):
    """Laws of points of known class, as laws of rows: draws (z, k) with z ~ q_i and k the class of row i.

    Args:
        law: q_i, batch_shape (n,) and event_shape (d,).
        labels: the classes, (n,), in the dtype of the points.

    Example:
        >>> from ot_gen import Dirac
        >>> LabelledLaw(Dirac(torch.zeros(2, 1)), torch.tensor([3.0, 4.0])).mean
        tensor([[0., 3.],
                [0., 4.]])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, law: Distribution, labels: Tensor) -> None:
        self.law = law
        self.labels = labels
        super().__init__(law.batch_shape, torch.Size([law.event_shape[0] + 1]), validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]  # an attribute in torch, here that of q
        return bool(self.law.has_rsample)

    @property
    def mean(self) -> Tensor:
        return self._with_labels(self.law.mean)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008  as torch has it
        return self._with_labels(self.law.rsample(sample_shape))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008  as torch has it
        return self._with_labels(self.law.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """log q_i(z) of rows whose class is that of their law."""
        density: Tensor = self.law.log_prob(value[..., :-1])
        return density

    def _with_labels(self, points: Tensor) -> Tensor:
        labels = self.labels.to(points).expand(points.shape[:-1])
        return torch.cat([points, labels.unsqueeze(-1)], dim=-1)
