"""What happens to a model once it is trained: judged on held-out data, and sampled from the prior that it then gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ot_gen.couplings import ImportanceCoupling
from ot_gen.data import Dataset
from ot_gen.divergences import KL
from ot_gen.evaluation import Metrics, judge, judge_encoder
from ot_gen.measures import Empirical, FullMixture, Measure, Pushforward, Reference, save_prior, undisturbed
from ot_gen.solvers import Solver

PRIOR_NAME = "prior.safetensors"

ExPost = Callable[[torch.nn.Module, Measure], Reference]
Certify = Callable[..., Any]  # (mu, nu, reference=...) -> an interval with `record()`


def check_judging(
    data: Dataset, solver: Solver | None, evaluation: Mapping[str, Any], ex_post: ExPost | None, metrics: Metrics | None
) -> None:
    """Refuse before training what would fail after it.

    Raises:
        ValueError: evaluation.samples is no number of samples, ex_post without an encoder, or fewer held-out points
            than a metric needs.
    """
    samples = evaluation["samples"]
    if not isinstance(samples, int) or samples < 2:
        raise ValueError(f"evaluation.samples must be a whole number >= 2, got {samples}")
    if ex_post is not None and solver is not None and not hasattr(solver.xi, "encoder"):
        raise ValueError(
            f"ex_post fits a prior to the codes of an encoder, and {type(solver.xi).__name__} has none; leave ex_post "
            "out, or choose a solver with an encoder (solver=primal/vae, wae_mmd, ...)"
        )
    n = min(samples, len(data.test))
    if metrics is not None and n < metrics.least:
        raise ValueError(
            f"the metrics need {metrics.least} held-out points, got {n} (evaluation.samples is {samples}, the data "
            f"hold out {len(data.test)}); give more, or leave the metrics out with metrics=none"
        )


def judge_model(
    mu: Measure,
    data: Dataset,
    evaluation: Mapping[str, Any],
    metrics: Metrics | None = None,
    certificate: Certify | None = None,
) -> dict[str, Any]:
    """The judgement of anything that can be sampled, as run.json holds it.

    Args:
        mu: the model, or samples of it as an `Empirical`.
        data: held-out points, and training data for the floors.
        evaluation: {"samples", "seed"}: the same for all models that are compared.
        metrics: what to measure beside exact W₁ and W₂²; None: nothing.
        certificate: (mu, nu, reference=...) -> the certified interval of W_c(μ, ν), ν the held-out points, with that of
            the training data as its reference; a model that is a sample is handed over as its points. None: none.
    """
    n, seed = evaluation["samples"], evaluation["seed"]
    found: dict[str, Any] = {"judgement": judge(mu, data.train, data.test, n, seed)._asdict()}
    if metrics is not None:
        found |= metrics(mu, data.train, data.test, n, seed).record()
    if certificate is not None:
        with undisturbed(mu):
            torch.manual_seed(seed)
            found["certificate"] = certificate(_drawn(mu), data.test, reference=data.train).record()
    return found


def judge_run(
    folder: Path,
    mu: Pushforward,
    solver: Solver,
    data: Dataset,
    evaluation: Mapping[str, Any],
    ex_post: ExPost | None = None,
    metrics: Metrics | None = None,
    certificate: Certify | None = None,
) -> tuple[dict[str, Any], Pushforward]:
    """Judge a trained run: its encoder, if any, and the model, with the prior that `ex_post` fits to the codes.

    Returns:
        What run.json is to hold, and the model that samples from now on. With an `ex_post`, `judgement` and the
        metrics are of that model and `judgement_reference` is at ζ; a mixture is kept in prior.safetensors.
    """
    encoder = getattr(solver.xi, "encoder", None)
    found: dict[str, Any] = {}
    if encoder is not None:
        found["encoder"] = _judge_encoder(mu, solver, data, evaluation["seed"])
    if encoder is not None and ex_post is not None:
        # What training relaxed is judged above; what samples from now on is the prior fitted to the codes.
        at_reference = judge(mu, data.train, data.test, evaluation["samples"], evaluation["seed"])
        found |= {"ex_post": _name(ex_post), "judgement_reference": at_reference._asdict()}
        prior = ex_post(encoder, data.train)
        if isinstance(prior.family, FullMixture):
            save_prior(prior, folder / PRIOR_NAME)
        mu = Pushforward(mu.map, prior).to(data.test.atoms.device)
    return found | judge_model(mu, data, evaluation, metrics, certificate), mu


def metric_table(found: Mapping[str, Any]) -> str:
    """The figures of `judge_model` as lines of text: each metric and its floor, with their standard errors.

    The last column is (value − floor) / √(se² + floor_se²): between −2 and 2 the samples cannot be told from real ones
    by this metric at this n, and its sign is the wrong one for metrics whose best value is high.

    Example:
        >>> print(metric_table({"metrics": {"w1": {"value": 2.0, "se": 0.3, "floor": 1.0, "floor_se": 0.4}}}))
        metric                   value ± se           floor ± se      apart
        w1                         2 ± 0.3              1 ± 0.4         2.0
    """
    lines = [f"{'metric':<18s}{'value ± se':>17s}{'floor ± se':>21s}{'apart':>11s}"]
    rows = found.get("metrics") or {
        name: {"value": found["judgement"][name], "floor": found["judgement"][f"{name}_floor"]}
        for name in ("w1", "w2_squared")
    }
    for name, row in rows.items():
        error = (row.get("se", 0.0) ** 2 + row.get("floor_se", 0.0) ** 2) ** 0.5
        apart = f"{(row['value'] - row['floor']) / error:.1f}" if error > 0 else ""
        cells = [_cell(row["value"], row.get("se")), _cell(row["floor"], row.get("floor_se"))]
        lines.append(f"{name:<18s}{cells[0]:>21s}{cells[1]:>21s}{apart:>7s}".rstrip())
    lines += [f"{name}: not computed, {reason}" for name, reason in found.get("metrics_failed", {}).items()]
    return "\n".join(lines)


def _cell(value: float, se: float | None) -> str:
    return f"{value:10.4g}" + ("" if se is None else f" ± {se:<8.2g}")


def _drawn(measure: Measure) -> Measure | Tensor:
    """A sample as its points: they are draws of the law to be judged, not that law."""
    return measure.atoms if isinstance(measure, Empirical) and measure.is_uniform else measure


def _judge_encoder(mu: Pushforward, solver: Solver, data: Dataset, seed: int) -> dict[str, Any]:
    coupling: Any = solver.xi
    # Only next to a KL is the weight of a squared cost twice a decoder's variance.
    is_likelihood = isinstance(coupling, ImportanceCoupling) or isinstance(coupling.divergence, KL)
    variance = coupling.weight / 2 if is_likelihood else None
    return judge_encoder(mu, coupling.encoder, solver.cost, data.test, variance, seed=seed)._asdict()


def _name(function: Any) -> str:
    """Of a function, also of one with some arguments bound."""
    named = getattr(function, "func", function)
    return getattr(named, "__name__", type(named).__name__)
