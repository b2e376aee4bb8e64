"""Priors fitted after training, to the codes that an encoder gave the data."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ot_gen.arguments import Count, Nonnegative, Seed, checked
from ot_gen.execution import keyword_only, written
from ot_gen.measures.empirical import Empirical
from ot_gen.measures.measure import Measure, undisturbed
from ot_gen.measures.mixtures import FullMixture
from ot_gen.measures.points import check_cloud
from ot_gen.measures.reference import Reference


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
) -> Reference:
    """The ex-post density: a mixture Σ_c w_c N(m_c, Σ_c) with full covariances, fitted to codes z ~ q(·|y), y ~ ν.

    `Pushforward(generator, prior)` then samples where the codes are, which an encoder matches to ζ only roughly. Codes
    are drawn from q(·|y), not taken at its mean, as the aggregate is made of these laws. Successive samples are
    independent, not grouped by component. The fit is scikit-learn's `GaussianMixture`.

    A Gaussian mixture leaves a bounded support: for codes on a sphere or in a cube it also samples points off it.

    Args:
        encoder: y (n, d) -> q(·|y), trained.
        nu: the data; of an unweighted `Empirical` every atom is coded once, of other measures random draws.
        components: C.
        seed: of the codes, of the k-means that starts the fit, and of draws from ν. The caller's random state, and the
            encoder's training mode, stay as they were.
        samples: the number of these draws, and the largest number of atoms; of more atoms a random part is taken.
        regularisation: added to the diagonal of each Σ_c, in squared units of the codes.

    Raises:
        ValueError: components < 1, fewer codes than components, or codes that are not finite (n, k) vectors.

    Source: Ghosh et al., 2020, https://arxiv.org/abs/1903.12436

    Example:
        >>> from ot_gen import DiracEncoder
        >>> nu = Empirical(torch.randn(200, 3))
        >>> prior = ex_post_prior(DiracEncoder(nn.Linear(3, 2)), nu, components=2)
        >>> prior.dim, prior.sample(5).shape, prior.law.log_prob(torch.zeros(4, 2)).shape
        (2, torch.Size([5, 2]), torch.Size([4]))
    """
    from sklearn.mixture import GaussianMixture

    if samples < components:
        raise ValueError(f"ex_post_prior needs as many samples as components, got {samples} and {components}")
    codes = _codes(encoder, nu, samples, seed)
    if len(codes) < max(2, components):
        raise ValueError(f"{components} components need at least {max(2, components)} codes, got {len(codes)}")
    fit = GaussianMixture(components, reg_covar=regularisation, max_iter=200, random_state=seed)
    fit.fit(codes.double().cpu().numpy())
    weights, means, covariances = (torch.from_numpy(a) for a in (fit.weights_, fit.means_, fit.covariances_))
    cholesky = torch.linalg.cholesky(covariances)
    return Reference(FullMixture(weights.to(codes), means.to(codes), cholesky.to(codes)))


@checked
def save_prior(prior: Reference, path: str | Path) -> None:
    """Write a prior of `ex_post_prior` to a safetensors file, atomically.

    Raises:
        ValueError: the reference is no such prior.
    """
    if not isinstance(prior.family, FullMixture):
        raise ValueError(f"save_prior writes the mixtures of ex_post_prior, got {prior}; save its state_dict()")
    with written(path) as temporary:
        save_file({name: t.detach().cpu().contiguous() for name, t in prior.family.state_dict().items()}, temporary)


@checked
def load_prior(path: str | Path) -> Reference:
    """Read a prior that `save_prior` wrote.

    Raises:
        ValueError: the file is missing, damaged or something else.

    Example:
        >>> load_prior("runs/best/prior.safetensors")  # doctest: +SKIP
    """
    try:
        tensors = load_file(path)
        return Reference(FullMixture(tensors["weights"], tensors["means"], tensors["scale_tril"]))
    except (OSError, SafetensorError, KeyError) as error:
        raise ValueError(f"{path} holds no prior of save_prior ({error})") from error


def _codes(encoder: nn.Module, nu: Measure, samples: int, seed: int) -> Tensor:
    with undisturbed(encoder, nu):
        torch.manual_seed(seed)
        if isinstance(nu, Empirical) and nu.is_uniform:
            y = nu.atoms[torch.randperm(len(nu), device=nu.atoms.device)[:samples]]
        else:
            y = nu.sample(samples)
        codes = torch.cat([encoder(part).sample() for part in y.split(1024)])
    check_cloud(codes, "the encoder's codes")
    return codes
