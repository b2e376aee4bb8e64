"""A flow as the prior: it carries a Gaussian mixture to the law of the codes, each component to a cluster of them."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from ot_gen.arguments import Count, Seed, checked
from ot_gen.conditioning import by_label, with_classes
from ot_gen.costs import SquaredEuclidean
from ot_gen.couplings import Pairing, TablePairing, VelocityRegression
from ot_gen.execution import OptimizerFactory, adam, keyword_only
from ot_gen.execution.progress_bar import ProgressBar
from ot_gen.measures import (
    Empirical,
    Labelled,
    LabelledData,
    Measure,
    Pushforward,
    Units,
    WithLabel,
)
from ot_gen.networks import DenseVelocity, FlowMap
from ot_gen.priors.by_label import labelled_codes
from ot_gen.priors.codes import codes_of
from ot_gen.priors.mixture import clusters_of, fitted_mixture
from ot_gen.schedules import Schedule, linear_decay
from ot_gen.solvers import PrimalSolver, Solver
from ot_gen.training import Seconds, fit

log = logging.getLogger("ot_gen")
RIDGE = 1e-3  # of the variance of the codes, in every covariance: where codes are few, points still start all around


@keyword_only
@torch.inference_mode(False)  # what it trains, and the codes that it trains on, take gradients
@checked
def flow_prior(
    encoder: nn.Module,
    nu: Measure,
    pairing: Pairing | None = None,
    *,
    components: Count = 10,
    steps: Count = 6000,
    max_seconds: Seconds | None = None,
    batch_size: Count = 256,
    width: Count = 512,
    depth: Count = 3,
    flow_steps: Count = 8,
    optimizer: OptimizerFactory = partial(adam, lr=2e-3),  # noqa: B008  a function
    schedule: Schedule | None = linear_decay,
    seed: Seed = 0,
    samples: Count = 10_000,
    progress: bool = False,
) -> Pushforward:
    """The law g#ζ of a flow g, fitted to codes z ~ q(·|y), y ~ ν, that starts from a Gaussian mixture ζ of the codes.

        min_v  Σ_c w_c E_{(x, u) ~ π_c, t} ‖v(t, (1 − t) x + t u; c) − (u − x)‖²,   z = b + a u,   x ~ N(m_c, Σ_c)

    u are the codes, standardised coordinate by coordinate. They are parted into clusters, those of a Gaussian mixture;
    m_c and Σ_c are the moments of a cluster, w_c its share and π_c the pairing's coupling of N(m_c, Σ_c) with it. One
    velocity is told c. The training is that of any flow by class: `fit` with `VelocityRegression`.
    `Pushforward(generator, prior)` then samples where the codes are. A flow from one Gaussian would have to tear it.
    With the tables of optimal transport paths are short and nearly straight, and one or two evaluations of v serve;
    `ot_gen.networks.evaluations(prior, 2)` sets their number for a while.

    Args:
        encoder: y (n, d) -> q(·|y), trained.
        nu: the data, coded as for `ex_post_prior`. An encoder with noise gives one draw of each point. For
            `LabelledData` the classes take the place of the clusters, and each starts from a mixture of its own.
        pairing: of ζ and the codes; each cluster has a copy. None: a fresh `TablePairing(tol=0.1)`, the semi-discrete
            table of the codes.
        components: of ζ, shared among the classes; fewer where one would have less than k + 1 codes. 1: ζ is one
            Gaussian, with the mean and the covariance of the codes.
        steps, max_seconds, batch_size, optimizer, schedule: of `fit`. The seconds include the solve of a table, which
            is not cut short. A batch holds no more pairs than there are codes.
        width, depth: of the velocity, a `DenseVelocity`.
        flow_steps: steps of Heun's method for a sample, two evaluations of v each.
        seed: of the codes, of the mixture, of the table, of the velocity's first weights and of the training. The
            caller's random state, and the encoder's training mode, stay as they were.
        samples: the largest number of codes.
        progress: shows the progress, as a bar on a terminal, else as lines of the log.

    Returns:
        The law of the codes, a measure on R^k in their own units; its parameters are at rest.

    Raises:
        ValueError: fewer than two codes, or codes that are not finite (n, k) vectors.
        KeyboardInterrupt: the user stopped it.

    Source: Lipman et al., 2023, https://arxiv.org/abs/2210.02747; of flows on codes Dao et al., 2023,
        https://arxiv.org/abs/2307.08698

    Example:
        >>> from ot_gen import DiracEncoder, IndependentPairing
        >>> nu = Empirical(torch.randn(200, 3))
        >>> encoder = DiracEncoder(nn.Linear(3, 2))
        >>> prior = flow_prior(encoder, nu, IndependentPairing(), steps=5, width=16)
        >>> prior.dim, prior.sample(5).shape
        (2, torch.Size([5, 2]))
    """
    codes, labels = (
        labelled_codes(encoder, nu, samples, seed)
        if isinstance(nu, LabelledData)
        else (codes_of(encoder, nu, samples, seed), None)
    )
    units = Units.columns(Empirical(codes))
    target: Measure = units.standardised(Empirical(codes))
    assert isinstance(target, Empirical)
    clusters = clusters_of(target.atoms, _few(target.atoms, components), RIDGE, seed) if labels is None else labels
    classes = int(clusters.max()) + 1
    parted = labels is not None or classes > 1
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        pairing = TablePairing(tol=0.1, progress=progress) if pairing is None else pairing
        solver: Solver = PrimalSolver(SquaredEuclidean(), VelocityRegression(pairing))
        velocity = DenseVelocity(codes.shape[1], width, depth, classes if parted else None)
        flow: nn.Module = FlowMap(velocity, steps=flow_steps).to(codes.device)
        if parted:
            target = LabelledData(target, clusters)
            flow, solver = with_classes(flow, classes), by_label(solver, classes)
        zeta = _mixture(target, 1 if labels is None else components, seed)
        mu = Pushforward(flow, zeta, units)
        with ProgressBar("the prior") if progress else nullcontext() as bar:
            done = fit(
                mu,
                target,
                solver,
                steps=steps,
                max_seconds=max_seconds,
                batch_size=max(2, min(batch_size, len(codes))),
                optimizer=optimizer,
                schedule=schedule,
                callbacks=[] if bar is None else [bar],
            )
    log.info("the prior, a flow: %d steps on %d codes in %.3g s", done.step, len(codes), done.seconds)
    prior = mu.in_own_units().requires_grad_(False).eval()
    if labels is not None:
        return Pushforward(WithLabel(prior.map), zeta)
    prior.classes = None  # clusters are nobody's labels
    return prior


def _mixture(codes: Measure, components: int, seed: int) -> Measure:
    """ζ; of labelled codes one mixture for each class."""
    if isinstance(codes, LabelledData):
        of_each = max(1, components // codes.classes)
        return Labelled([_mixture(codes.part(k), of_each, seed) for k in range(codes.classes)], codes.shares)
    assert isinstance(codes, Empirical)
    return fitted_mixture(codes.atoms, _few(codes.atoms, components), RIDGE, seed)


def _few(codes: Tensor, components: int) -> int:
    """As many components as have k + 1 different codes each, at least one."""
    return max(1, min(components, len(codes.unique(dim=0)) // (codes.shape[1] + 1)))
