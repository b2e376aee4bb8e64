"""A flow as the prior: it carries a Gaussian mixture to the law of the codes."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from functools import partial

import torch
from torch import nn

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
from ot_gen.priors.mixture import fitted_mixture
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

        min_v  E_{(x, u) ~ π, t} ‖v(t, (1 − t) x + t u) − (u − x)‖²,   z = b + a u,   x ~ ζ = Σ_c w_c N(m_c, Σ_c)

    u are the codes, standardised coordinate by coordinate; ζ is fitted to them as by `ex_post_prior`, and π is the
    pairing's coupling of ζ with them. The training is that of any flow: `fit` with `VelocityRegression`.
    `Pushforward(generator, prior)` then samples where the codes are. The mixture has the modes of the codes already: a
    flow from one Gaussian would have to tear it. With the table of optimal transport paths are short and nearly
    straight, and one or two evaluations of v serve; `ot_gen.networks.evaluations(prior, 2)` sets their number for a
    while.

    Args:
        encoder: y (n, d) -> q(·|y), trained.
        nu: the data, coded as for `ex_post_prior`. An encoder with noise gives one draw of each point. For
            `LabelledData` one velocity is told the class, and each class has a mixture and a pairing of its own.
        pairing: of ζ and the codes. None: a fresh `TablePairing(tol=0.1)`, the semi-discrete table of the codes.
        components: of ζ, shared among the classes; fewer where a component would have less than k + 1 codes. 1: ζ is
            one Gaussian, with the mean and the covariance of the codes.
        steps, max_seconds, batch_size, optimizer, schedule: of `fit`; the solve of a table comes before. A batch holds
            no more pairs than there are codes.
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
    points, labels = (
        labelled_codes(encoder, nu, samples, seed)
        if isinstance(nu, LabelledData)
        else (codes_of(encoder, nu, samples, seed), None)
    )
    codes = Empirical(points)
    units = Units.columns(codes)
    target = units.standardised(codes)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        device = codes.atoms.device
        pairing = TablePairing(tol=0.1, progress=progress) if pairing is None else pairing
        solver: Solver = PrimalSolver(SquaredEuclidean(), VelocityRegression(pairing))
        classes = None if labels is None else int(labels.max()) + 1
        flow: nn.Module = FlowMap(DenseVelocity(codes.dim, width, depth, classes), steps=flow_steps).to(device)
        if classes is not None and labels is not None and isinstance(target, Empirical):
            target = LabelledData(target, labels)
            flow, solver = with_classes(flow, classes), by_label(solver, classes)
        zeta = _mixture(target, components, seed)
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
    return prior if classes is None else Pushforward(WithLabel(prior.map), zeta)


def _mixture(codes: Measure, components: int, seed: int) -> Measure:
    """ζ; of labelled codes one mixture for each class."""
    if isinstance(codes, LabelledData):
        of_each = max(1, components // codes.classes)
        return Labelled([_mixture(codes.part(k), of_each, seed) for k in range(codes.classes)], codes.shares)
    assert isinstance(codes, Empirical)
    different = len(codes.atoms.unique(dim=0))
    return fitted_mixture(codes.atoms, max(1, min(components, different // (codes.dim + 1))), RIDGE, seed)
