"""Codes and priors class by class, for an encoder and a decoder that are told the class."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.arguments import Index, checked
from ot_gen.display import Network
from ot_gen.measures import Labelled, LabelledData, LabelledLaw, Measure, labelled
from ot_gen.priors.codes import codes_of


@final
@checked
class OfClass(Network):
    """A map of labelled rows as one of the points of a class: y -> f(y; k), for an encoder laws without their class.

    Args:
        encoder: rows (y, k) -> q(·|y, k), or a generator of own units, (z, k) -> g(z; k), as `by_label` and
            `with_classes` make them.
        label: k.

    Example:
        >>> from ot_gen import Conditional, DiracEncoder, Empirical, WithLabel
        >>> encoder = WithLabel(Conditional(DiracEncoder(nn.Linear(3, 2)), classes=2))
        >>> OfClass(encoder, 1)(torch.zeros(5, 3)).mean.shape
        torch.Size([5, 2])
    """

    def __init__(self, encoder: nn.Module, label: Index) -> None:
        super().__init__()
        self.encoder = encoder
        self.label = label

    def forward(self, y: Tensor) -> Distribution | Tensor:
        q = self.encoder(labelled(y, torch.full((len(y),), self.label, device=y.device)))
        out: Distribution | Tensor = q.law if isinstance(q, LabelledLaw) else q
        return out


def fitted_by_label(fit: Callable[[nn.Module, Measure], Measure], encoder: nn.Module, nu: LabelledData) -> Labelled:
    """The law of labelled codes whose classes have priors of their own, fit(encoder, ν_k).

    Raises:
        ValueError: what the fit of a class refuses, with the number of the class.

    Example:
        >>> from ot_gen import Conditional, DiracEncoder, Empirical, WithLabel, ex_post_prior
        >>> nu = LabelledData(Empirical(torch.randn(40, 3)), torch.arange(40) % 2)
        >>> encoder = WithLabel(Conditional(DiracEncoder(nn.Linear(3, 2)), classes=2))
        >>> fitted_by_label(lambda e, of: ex_post_prior(e, of, components=1), encoder, nu).sample(5).shape
        torch.Size([5, 3])
    """
    parts = []
    for k in range(nu.classes):
        try:
            parts.append(fit(OfClass(encoder, k), nu.part(k)))
        except ValueError as error:
            raise ValueError(f"the codes of class {k} have no prior: {error}") from error
    return Labelled(parts, nu.shares)


def labelled_codes(encoder: nn.Module, nu: LabelledData, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Codes (n, k), n <= samples up to rounding, and their classes (n,), in the shares of the data.

    Example:
        >>> from ot_gen import Conditional, DiracEncoder, Empirical, WithLabel
        >>> nu = LabelledData(Empirical(torch.randn(40, 3)), torch.arange(40) % 2)
        >>> encoder = WithLabel(Conditional(DiracEncoder(nn.Linear(3, 2)), classes=2))
        >>> codes, labels = labelled_codes(encoder, nu, 100, 0)
        >>> codes.shape, labels.shape
        (torch.Size([40, 2]), torch.Size([40]))
    """
    codes = [
        codes_of(OfClass(encoder, k), nu.part(k), max(2, int(samples * nu.shares[k])), seed) for k in range(nu.classes)
    ]
    labels = torch.cat([torch.full((len(part),), k, device=part.device) for k, part in enumerate(codes)])
    return torch.cat(codes), labels
