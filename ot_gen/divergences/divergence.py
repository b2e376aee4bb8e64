"""What every divergence is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor
from torch.distributions import Distribution

from ot_gen.arguments import checked, described
from ot_gen.display import Shown
from ot_gen.measures import Measure, Reference


@checked
class Divergence(Shown, ABC):
    """A measure of how far the codes are from the reference.

    `unbiased` says whether the estimate from n codes has the divergence between the laws as its expectation, for
    every n. A biased one may have another minimum: mini-batch transport, for one, shrinks the codes. `is_conditional`
    says whether it looks at each posterior by itself.

    Example:
        >>> import torch
        >>> from ot_gen import Dirac, Divergence, standard_gaussian
        >>> class Mean(Divergence):  # the squared length of the codes' mean
        ...     unbiased = False
        ...     def forward(self, q, zeta):
        ...         return (q.rsample().mean(0) ** 2).sum()
        >>> Mean()(Dirac(torch.ones(4, 2)), standard_gaussian(2))
        tensor(2.)
    """

    unbiased: bool
    is_conditional = False

    @staticmethod
    def instead_of(thing: object) -> str:
        """What to give in the place of something else, in the words of an error."""
        return "take one of ot_gen.divergences, e.g. MMD(InverseMultiquadric())"

    @abstractmethod
    def forward(self, q: Distribution, zeta: Measure) -> Tensor:
        """D(q, ζ), (), differentiable in the encoder; it does not depend on the generator."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`forward` on arguments of the right kind; for points a `ValueError` says what to do."""
        for name, given in zip(("q", "zeta"), args, strict=False):
            if not callable(getattr(given, "rsample", None)):  # both are drawn from; points are not
                raise ValueError(
                    f"{type(self).__name__}(q, zeta) compares the laws of codes, a torch Distribution with batch_shape "
                    f"(n,), with a Measure ζ; got {described(given)} as {name}. Points are laws too: Dirac(x) and "
                    "Empirical(y)"
                )
        return super().__call__(*args, **kwargs)


def density(zeta: Measure, name: str) -> Distribution:
    """ζ's law with its `log_prob`; a `ValueError` where ζ is only sampled.

    Example:
        >>> from ot_gen import standard_gaussian
        >>> density(standard_gaussian(2), "KL").event_shape
        torch.Size([2])
    """
    if not isinstance(zeta, Reference):
        raise ValueError(
            f"{name} needs the density of ζ, a Reference, got {described(zeta)}; a divergence between samples (MMD, "
            "SinkhornDivergence, SlicedWasserstein) takes any Measure"
        )
    return zeta.law


def check_codes(q: Distribution, zeta: Measure, name: str) -> None:
    """Raise a `ValueError` unless the posteriors are laws of codes of ζ's dimension: else they would be broadcast.

    Example:
        >>> from ot_gen import standard_gaussian
        >>> check_codes(standard_gaussian(2).law.expand((5,)), standard_gaussian(2), "KL")
    """
    if q.event_shape != (zeta.dim,):
        raise ValueError(
            f"{name} compares laws of codes of dimension {zeta.dim} with the reference, got laws with batch_shape "
            f"{tuple(q.batch_shape)} and event_shape {tuple(q.event_shape)}"
        )


def codes_and_prior(q: Distribution, zeta: Measure, name: str, draws: int = 1) -> tuple[Tensor, Tensor]:
    """One code of each posterior, (n, k), and `draws` times as many of ζ; ValueError unless they can be compared."""
    codes = q.rsample()
    if codes.ndim != 2 or codes.shape[0] < 2 or codes.shape[1] != zeta.dim:
        raise ValueError(
            f"{name} compares at least two codes of dimension {zeta.dim} with the reference, got codes of shape "
            f"{tuple(codes.shape)}"
        )
    return codes, zeta.rsample(draws * len(codes)).to(codes)
