"""A trained model is judged on held-out data, and may get a new prior to sample from."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, final

import torch
from torch import Tensor, nn

from ot_gen.costs import price
from ot_gen.couplings import ImportanceCoupling
from ot_gen.data import Dataset
from ot_gen.divergences import KL
from ot_gen.evaluation import (
    EXACT,
    Certificate,
    EncoderJudgement,
    Metrics,
    View,
    attempted,
    judge_beside,
    judge_encoder,
    judgement_of,
    measures_exactly,
)
from ot_gen.evaluation.metrics import named
from ot_gen.measures import (
    Empirical,
    Measure,
    OfOwnUnits,
    Pushforward,
    undisturbed,
)
from ot_gen.priors import save_prior
from ot_gen.priors.files import PRIOR_NAME, has_file
from ot_gen.runs.parts import CertifiedInterval, RecordedMetric
from ot_gen.runs.record import RunRecord
from ot_gen.solvers import Solver

T = TypeVar("T")
ExPost = Callable[[torch.nn.Module, Measure], Measure]
Certify = Callable[..., Certificate]  # (mu, nu, reference=...)


@final
@dataclass(frozen=True)
class Judging:
    """How a model is judged: the same for all models that are compared.

    Args:
        evaluation: {"samples", "seed"}.
        metrics: what to measure beside exact W₁ and W₂²; None: nothing.
        certificate: (mu, nu, reference=...) -> the certified interval of W_c(μ, ν), ν the held-out points, with that of
            the training data as its reference. A model that is a sample is passed as its points. None: none.
    """

    evaluation: Mapping[str, Any]
    metrics: Metrics | None = None
    certificate: Certify | None = None

    @property
    def samples(self) -> int:
        """Model samples and held-out points."""
        return self.evaluation["samples"]

    @property
    def seed(self) -> int:
        """Of the samples."""
        return self.evaluation["seed"]


def check_judging(data: Dataset, solver: Solver | None, judging: Judging, ex_post: ExPost | None = None) -> None:
    """Refuse before training what would fail after it.

    Raises:
        ValueError: evaluation.samples is no number of samples, ex_post without an encoder, or fewer held-out points
            than a metric needs.
    """
    samples, metrics = judging.samples, judging.metrics
    if not isinstance(samples, int) or samples < 2:
        raise ValueError(f"evaluation.samples must be a whole number >= 2, got {samples}")
    if ex_post is not None and solver is not None and not hasattr(solver.xi, "encoder"):
        raise ValueError(
            f"ex_post fits a prior to the codes of an encoder, and {type(solver.xi).__name__} has none; leave ex_post "
            "out, or choose a solver with an encoder (solver=primal/vae, wae_mmd, ...)"
        )
    n = min(samples, len(data.test))
    metrics = suited(judging, data)
    if metrics is not None and metrics is not judging.metrics:
        warnings.warn(f"the data are judged by {metrics.judge}", stacklevel=2)
    if metrics is not None and n < metrics.least:
        raise ValueError(
            f"the metrics need {metrics.least} held-out points, got {n} (evaluation.samples is {samples}, the data "
            f"hold out {len(data.test)}); give more, or leave the metrics out with metrics=none"
        )


def suited(judging: Judging, data: Dataset) -> Metrics | None:
    """The metrics that these data are judged by: features and classes are those of judges that were made for them.

    Args:
        judging: what is asked for.
        data: in any units.
    """
    own = data.own
    return None if judging.metrics is None else judging.metrics.suited(own.test, own.test_labels)


def judge_model(record: RunRecord, mu: Measure, data: Dataset, judging: Judging) -> RunRecord:
    """The record with the judgement of anything that can be sampled. W₁ and W₂² are solved once.

    Args:
        record: of the run.
        mu: the model, or samples of it as an `Empirical`.
        data: held-out points, and training data for the floors.
        judging: how.
    """
    sizes, metrics = {"n": judging.samples, "seed": judging.seed}, suited(judging, data)
    measured = None if metrics is None else metrics(mu, data.train, data.test, **sizes)
    has_exact = metrics is not None and measures_exactly(metrics)
    exact = measured if measured and has_exact else Metrics({"points": View(EXACT)})(mu, data.train, data.test, **sizes)
    judgement = None if exact.failures.keys() & EXACT.keys() else judgement_of(exact)
    rows: dict[str, RecordedMetric | None] = {}
    failed = dict(record.metrics_failed)
    for part in (measured, exact if judgement is None else None):
        if part is not None:
            rows |= {name: RecordedMetric(*row) for name, row in part.values.items()} | dict.fromkeys(part.failures)
            failed |= part.failures
    if has_exact and judgement is not None:
        rows = {name: row for name, row in rows.items() if name not in EXACT}
    n = exact.n if rows else None
    judge = None if metrics is None or not metrics.views else metrics.judge
    record = replace(record, judge=judge, judgement=judgement, metrics=rows, metrics_n=n, metrics_failed=failed)
    if judging.certificate is not None:
        with undisturbed(mu):
            torch.manual_seed(judging.seed)
            certify = partial(judging.certificate, reference=data.train)
            record, certificate = _noted(record, "certificate", certify, _drawn(mu), data.test)
        record = replace(record, certificate=None if certificate is None else _certified(certificate))
    return record


def judge_run(
    record: RunRecord,
    folder: Path,
    mu: Pushforward,
    solver: Solver,
    data: Dataset,
    judging: Judging,
    ex_post: ExPost | None = None,
) -> tuple[RunRecord, Pushforward]:
    """Judge a trained run: its encoder, if any, and the model, with the prior that `ex_post` fits to the codes.

    `mu`, `solver` and `data` are as they were trained. All figures are in the data's own units.

    Returns:
        The record with the figures, and the model that samples from now on, in the data's own units. With an `ex_post`,
        `judgement` and the metrics are of that model and `judgement_reference` is at ζ; the prior is kept in
        prior.safetensors.
    """
    (folder / PRIOR_NAME).unlink(missing_ok=True)  # of a run that this one replaces
    encoder = encoder_of(solver, mu)
    if encoder is not None and mu.classes is None:  # codes of a class have no law to be compared with by themselves
        record, judged = _noted(record, "encoder", _judge_encoder, mu, solver, data, judging.seed)
        record = replace(record, encoder=judged)
    trained, mu, data = mu, mu.in_own_units(), data.own
    if encoder is None or ex_post is None:
        return judge_model(record, mu, data, judging), mu
    # The encoder is judged above, at the ζ of training; the prior fitted to the codes samples from now on.
    prior = ex_post(encoder, data.train if mu.classes is None else data.by_label().train)
    if has_file(prior):
        save_prior(prior, folder / PRIOR_NAME, model=trained)
    at_reference, mu = mu, Pushforward(mu.map, prior).to(data.test.rows.device)
    record = judge_model(record, mu, data, judging)
    record = replace(record, ex_post=named(ex_post))
    if record.judgement is None:  # then there is nothing to stand beside
        return record, mu
    beside = partial(judge_beside, seed=judging.seed)
    record, at_zeta = _noted(
        *(record, "judgement_reference", beside), *(record.judgement, at_reference, data.train, data.test)
    )
    return replace(record, judgement_reference=at_zeta), mu


def _noted(record: RunRecord, name: str, measure: Callable[..., T], *given: object) -> tuple[RunRecord, T | None]:
    """A part of the judgement, or None, and the record with the reason why it cannot be had."""
    part = attempted(measure, *given)
    if not isinstance(part, str):
        return record, part
    return replace(record, metrics_failed={**record.metrics_failed, name: part}), None


def encoder_of(solver: Solver, mu: Pushforward) -> nn.Module | None:
    """The encoder that a solver trained with a model, of points in the data's own units; None where it has none."""
    encoder: nn.Module | None = getattr(solver.xi, "encoder", None)
    return encoder if encoder is None or mu.units is None else OfOwnUnits(encoder, mu.units)


def metric_table(record: RunRecord) -> str:
    """The figures of `judge_model` as lines of text: each metric and its floor, with their standard errors.

    The last column is (value − floor) / √(se² + floor_se²). Between −2 and 2 this metric cannot distinguish the samples
    from real ones at this n. For metrics whose best value is high a negative sign is the worse one.

    Example:
        >>> from ot_gen.evaluation import Judgement
        >>> from ot_gen.runs.parts import Status
        >>> judged = Judgement(9, 2.0, 1.0, 4.0, 3.0, 0.3, 0.4, 0.5, 1.2)
        >>> print(metric_table(RunRecord(Status.FINISHED, judgement=judged)))
        metric                   value ± se           floor ± se      apart
        w1                         2 ± 0.3              1 ± 0.4         2.0
        w2_squared                 4 ± 0.5              3 ± 1.2         0.8
    """
    lines = [f"{'metric':<18s}{'value ± se':>17s}{'floor ± se':>21s}{'apart':>11s}"]
    for name in dict.fromkeys((*EXACT, *record.metrics)):
        row = record.measured(name)
        if row is None:
            continue
        error = math.hypot(row.se or 0.0, row.floor_se or 0.0)
        apart = f"{(row.value - row.floor) / error:.1f}" if error > 0 and row.floor is not None else ""
        cells = [_cell(row.value, row.se), _cell(row.floor, row.floor_se)]
        lines.append(f"{name:<18s}{cells[0]:>21s}{cells[1]:>21s}{apart:>7s}".rstrip())
    lines += [f"{name}: not computed, {reason}" for name, reason in record.metrics_failed.items()]
    return "\n".join(lines)


def certificate_lines(record: RunRecord) -> str:
    """The certified interval in words, with that of real data and what speaks against either; "" where there is none.

    Example:
        >>> from ot_gen.runs.parts import Status
        >>> known = CertifiedInterval(1.1, 0.01, 1.2, 0.01, 0.95, (1.0, 1.25), (0.1, 0.2), cost="Euclidean()")
        >>> print(certificate_lines(RunRecord(Status.FINISHED, certificate=known)))
        certified: W_c(model, held-out data) lies in [1, 1.25] with confidence 95 %, c = Euclidean()
        real data: [0.1, 0.2]
    """
    known = record.certificate
    if known is None:
        return ""
    low, high = known.interval
    of = "" if known.cost is None else f", c = {known.cost}"
    lines = [
        f"certified: W_c(model, held-out data) lies in [{low:.4g}, {high:.4g}] "
        f"with confidence {100 * known.level:g} %{of}"
    ]
    if known.doubt is not None:
        lines.append(f"this level is not warranted: {known.doubt}")
    if known.reference is not None:
        lines.append("real data: [{:.4g}, {:.4g}]".format(*known.reference))
    if known.reference_doubt is not None:
        lines.append(f"of the real data the level is not warranted: {known.reference_doubt}")
    if known.converged is False and known.message:
        lines.append(known.message)
    return "\n".join(lines)


def _certified(certificate: Certificate) -> CertifiedInterval:
    """A certificate without its table, as the record keeps it."""
    kept: dict[str, Any] = {field.name: getattr(certificate, field.name, None) for field in fields(CertifiedInterval)}
    reference, assuming = certificate.reference, certificate.assuming
    kept["reference"] = None if reference is None else reference.interval
    kept["reference_doubt"] = None if reference is None else reference.doubt
    kept["assuming"] = None if assuming is None else str(assuming)
    kept["cost"] = " ".join(str(certificate.cost).split())
    return CertifiedInterval(**kept)


def _cell(value: float | None, se: float | None) -> str:
    if value is None:
        return ""
    return f"{value:10.4g}" + ("" if se is None else f" ± {se:<8.2g}")


def _drawn(measure: Measure) -> Measure | Tensor:
    """A sample as its points: they are draws of the law to be judged, not that law."""
    return measure.atoms if isinstance(measure, Empirical) and measure.is_uniform else measure


def _judge_encoder(mu: Pushforward, solver: Solver, data: Dataset, seed: int) -> EncoderJudgement:
    coupling: Any = solver.xi
    # The weight of a squared cost is twice a decoder's variance only next to a KL.
    is_likelihood = isinstance(coupling, ImportanceCoupling) or isinstance(coupling.divergence, KL)
    variance = coupling.weight / 2 if is_likelihood else None
    judged = judge_encoder(mu, data.test, solver.cost, coupling.encoder, variance=variance, seed=seed)
    if data.units is None:
        return judged
    judged = judged._replace(reconstruction=price(solver.cost, data.units).of(judged.reconstruction))
    if judged.negative_elbo is None or judged.negative_iwae is None:
        return judged
    nats = data.units.log_volume()  # of a density in the data's own units
    return judged._replace(negative_elbo=judged.negative_elbo + nats, negative_iwae=judged.negative_iwae + nats)
