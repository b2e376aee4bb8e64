"""A Gaussian mixture as the prior, fitted to the codes after training."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ot_gen.arguments import Count, Nonnegative, Seed, checked
from ot_gen.execution import keyword_only
from ot_gen.measures import FullMixture, Labelled, LabelledData, Measure, Reference, Units
from ot_gen.priors.by_label import fitted_by_label
from ot_gen.priors.codes import codes_of

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture


@keyword_only
@checked
def ex_post_prior(
    encoder: nn.Module,
    nu: Measure,
    components: Count = 10,
    *,
    seed: Seed = 0,
    samples: Count = 10_000,
    regularisation: Nonnegative = 1e-6,
) -> Reference | Labelled:
    """The ex-post density: a mixture Σ_c w_c N(m_c, Σ_c) with full covariances, fitted to codes z ~ q(·|y), y ~ ν.

    `Pushforward(generator, prior)` then samples where the codes are, which an encoder matches to ζ only roughly. Codes
    are drawn from q(·|y), not taken at its mean, as the aggregate is made of these laws. Successive samples are
    independent, not grouped by component. The fit is scikit-learn's `GaussianMixture`, of the codes in standard
    coordinates, so that it does not depend on their units.

    A Gaussian mixture leaves a bounded support: for codes on a sphere or in a cube it also samples points off it.

    Args:
        encoder: y (n, d) -> q(·|y), trained.
        nu: the data; of an unweighted `Empirical` every atom is coded once, of other measures random draws. Each class
            of `LabelledData` has a mixture of its own, with its part of the components.
        components: C.
        seed: of the codes, of the k-means that starts the fit, and of draws from ν. The caller's random state, and the
            encoder's training mode, stay as they were.
        samples: the number of these draws, and the largest number of atoms; of more atoms a random part is taken.
        regularisation: added to the diagonal of each Σ_c, as a share of the variance of the codes in that coordinate.
            Where they are constant it is a share of the largest variance.

    Raises:
        ValueError: components < 1, fewer codes than components, or codes that are not finite (n, k) vectors.

    Source: Ghosh et al., 2020, https://arxiv.org/abs/1903.12436

    Example:
        >>> from ot_gen import DiracEncoder, Empirical
        >>> nu = Empirical(torch.randn(200, 3))
        >>> prior = ex_post_prior(DiracEncoder(nn.Linear(3, 2)), nu, components=2)
        >>> prior.dim, prior.sample(5).shape, prior.law.log_prob(torch.zeros(4, 2)).shape
        (2, torch.Size([5, 2]), torch.Size([4]))
    """
    if samples < components:
        raise ValueError(f"ex_post_prior needs as many samples as components, got {samples} and {components}")
    if isinstance(nu, LabelledData):
        fewest = min(len(nu.part(k)) for k in range(nu.classes))
        of_class = partial(
            ex_post_prior,
            components=max(1, min(components // nu.classes, fewest // 2)),
            seed=seed,
            samples=samples,
            regularisation=regularisation,
        )
        return fitted_by_label(of_class, encoder, nu)
    codes = codes_of(encoder, nu, samples, seed)
    if len(codes) < max(2, components):
        raise ValueError(f"{components} components need at least {max(2, components)} codes, got {len(codes)}")
    return fitted_mixture(codes, components, regularisation, seed)


def fitted_mixture(codes: Tensor, components: int, regularisation: float, seed: int) -> Reference:
    """The mixture of full covariances that `ex_post_prior` fits to codes (n, k), n >= components.

    Example:
        >>> fitted_mixture(torch.randn(50, 3), 2, 1e-6, seed=0).sample(5).shape
        torch.Size([5, 3])
    """
    fit, units = _fit(codes, components, regularisation, seed)
    weights, means, covariances = (torch.from_numpy(a) for a in (fit.weights_, fit.means_, fit.covariances_))
    cholesky = units.scale[:, None] * torch.linalg.cholesky(covariances)
    return Reference(FullMixture(weights.to(codes), units(means).to(codes), cholesky.to(codes)))


def clusters_of(codes: Tensor, components: int, regularisation: float, seed: int) -> Tensor:
    """The component of that mixture to which each code most likely belongs, (n,), numbered from 0 without a gap.

    Components with fewer than k + 1 codes are left out, and their codes join others.

    Example:
        >>> clusters_of(torch.tensor([[0.0], [0.1], [9.0], [9.1]]), 2, 1e-3, seed=0).unique().tolist()
        [0, 1]
    """
    fit, units = _fit(codes, components, regularisation, seed)
    likely = torch.from_numpy(fit.predict_proba(units.standard(codes.double().cpu()).numpy())).to(codes.device)
    counts = torch.bincount(likely.argmax(dim=1), minlength=components)
    kept = counts >= min(codes.shape[1] + 1, int(counts.max()))
    return likely[:, kept].argmax(dim=1)


def _fit(codes: Tensor, components: int, regularisation: float, seed: int) -> tuple[GaussianMixture, Units]:
    """Of the codes in standard coordinates."""
    from sklearn.mixture import GaussianMixture

    units = _units(codes)
    fit = GaussianMixture(components, reg_covar=regularisation, max_iter=200, random_state=seed)
    return fit.fit(units.standard(codes.double().cpu()).numpy()), units


def _units(codes: Tensor) -> Units:
    """The coordinates' means and deviations; where one is constant, the largest of the deviations."""
    std, mean = torch.std_mean(codes.double().cpu(), dim=0, correction=0)
    largest = std.max() if bool(std.max() > 0) else std.new_ones(())
    return Units(mean, torch.where(std > 0, std, largest))
