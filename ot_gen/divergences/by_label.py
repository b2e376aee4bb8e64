"""A divergence of the codes of each class."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.distributions import Distribution

from ot_gen.arguments import checked, described
from ot_gen.divergences.divergence import Divergence
from ot_gen.measures import Dirac, Labelled, LabelledLaw, Measure


@final
@checked
class ByLabel(Divergence):
    """Σ_k n_k/n D(q_k, ζ_k) of laws of labelled rows: the codes of each class against the reference of that class.

    It vanishes where each class has the law of its reference, so that a class may be drawn by itself. A divergence that
    looks at batches sees the n_k codes of a class that a batch holds; those that are alone in their class are seen
    together, where all classes have one reference.

    Args:
        divergence: D, between laws of points without their class.

    Raises:
        ValueError: when it is called, laws or a reference without classes.

    Example:
        >>> from ot_gen import KL, standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> q = LabelledLaw(zeta.law.expand((5,)), torch.zeros(5))
        >>> float(ByLabel(KL())(q, Labelled(zeta, torch.ones(1))))
        0.0
    """

    def __init__(self, divergence: Divergence) -> None:
        super().__init__()
        self.divergence = divergence
        self.unbiased = divergence.unbiased

    def forward(self, q: Distribution, zeta: Measure) -> Tensor:
        if not isinstance(q, LabelledLaw) or not isinstance(zeta, Labelled):
            raise ValueError(
                f"ByLabel compares codes with their classes, got {described(q)} and {described(zeta)}; make the "
                "encoder WithLabel(Conditional(encoder, classes)) and the reference Labelled(zeta, shares)"
            )
        if self.divergence.is_conditional and len(zeta.parts) == 1:
            value: Tensor = self.divergence(q.law, zeta.part(0))
            return value
        codes, labels = q.law.rsample(), q.labels.round().long()
        classes, members, counts = labels.unique(return_inverse=True, return_counts=True)
        several = counts > 1
        groups = [(k, codes[labels == k]) for k in classes[several].tolist()]
        if len(zeta.parts) == 1:
            groups.append((0, codes[~several[members]]))
        groups = [(k, group) for k, group in groups if len(group) > 1]
        terms = [len(group) / len(codes) * self.divergence(Dirac(group), zeta.part(k)) for k, group in groups]
        return torch.stack(terms).sum() if terms else codes.new_zeros(())
