"""A finished run, read back from its folder."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from yaml import YAMLError

from ot_gen.arguments import checked
from ot_gen.cli.building import build
from ot_gen.cli.errors import one_line
from ot_gen.cli.parts import Parts, assembled
from ot_gen.cli.trust import check_trusted
from ot_gen.data import Dataset
from ot_gen.display import Span, card, facts, in_words, line, spans, table
from ot_gen.execution import CHECKPOINT_NAME, checkpoint_in, is_out_of_memory, load_weights, on_one_line
from ot_gen.measures import Pushforward, Units, undisturbed
from ot_gen.priors import load_prior
from ot_gen.priors.files import PRIOR_NAME, has_file
from ot_gen.runs.configuration import plain_yaml
from ot_gen.runs.formats import reworded
from ot_gen.runs.parts import Status
from ot_gen.runs.record import CONFIG, RUN, RunRecord, format_of, read_record
from ot_gen.solvers import Solver

PARTS = ("data", "reference", "generator", "solver", "seed")  # what a run cannot be without


def read_run(folder: Path, trusted: bool = False) -> tuple[RunRecord, DictConfig]:
    """The record and the configuration of a run that has a checkpoint, in the words of today.

    Args:
        folder: of the run.
        trusted: whether its configuration may name anything; else `check_trusted` holds.
    """
    for name in (RUN, CONFIG):
        if not (folder / name).is_file():
            raise ValueError(f"{folder.absolute()} holds no {name}: it is no run of ot-gen; give its folder")
    record = read_record(folder)
    if record is not None and (judged := record.run or record.samples):
        way = f"give --run {judged}" if record.run else "which ot-gen did not train"
        raise ValueError(f"{folder.absolute()} holds a judgement of {judged} and no run; {way}")
    try:
        words = reworded(OmegaConf.to_container(OmegaConf.create(plain_yaml(folder / CONFIG))), format_of(folder))
        if not isinstance(words, dict):
            raise ValueError("it names no settings")
        saved = DictConfig(words)
        lacks = [name for name in PARTS if words.get(name) is None]
    except (ValueError, LookupError, OmegaConfBaseException, YAMLError, RecursionError) as error:
        path = (folder / CONFIG).absolute()
        raise ValueError(f"{path} is damaged ({on_one_line(error)}); train the run again") from error
    if record is None or record.data is None or lacks:
        what = f"; its {CONFIG} lacks {', '.join(lacks)}" if lacks else ""
        raise ValueError(f"the record in {folder.absolute()} does not say what was trained{what}; train the run again")
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", record.data):
        raise ValueError(f"the record in {folder.absolute()} names the data {record.data!r}, which no entry is called")
    if not isinstance(seed := words["seed"], int) or isinstance(seed, bool) or not -(2**63) <= seed < 2**64:
        raise ValueError(f"the seed in {(folder / CONFIG).absolute()} is {seed!r:.60}, no whole number below 2^64")
    if not trusted:
        check_trusted(words, folder)
        _check_sizes(saved, folder)
    return record, saved


def _check_sizes(saved: DictConfig, folder: Path) -> None:
    """Refuse parts that are larger than the checkpoint, before memory is taken for their numbers."""
    file = folder / CHECKPOINT_NAME
    if not file.is_file():  # said where it is read
        return
    held = file.stat().st_size
    for name in ("reference", "generator", "noise", "solver"):
        node: Any = _without_runs(saved.get(name))
        sizes = node.items() if name == "reference" and isinstance(node, DictConfig) else ()
        large = [f"{key!s}={value:,}" for key, value in sizes if isinstance(value, int) and value > held]
        if large or not _fits(node, 2 * held):
            what = f"has {', '.join(large)}" if large else "has more than twice as many bytes of weights"
            raise ValueError(
                f"the {name} in {(folder / CONFIG).absolute()} does not belong to its checkpoint of {held:,} bytes: it "
                f"{what}; train the run again"
            )


def _without_runs(node: Any) -> Any:
    """A node without costs that load other runs, each of which is weighed by itself when it is loaded."""
    if isinstance(node, ListConfig):
        return OmegaConf.create([_without_runs(item) for item in node])
    if not isinstance(node, DictConfig):
        return node
    if str(node.get("_target_")).endswith(".code_cost"):
        return None
    return OmegaConf.create({key: _without_runs(value) for key, value in node.items()})


def _fits(node: Any, most: int) -> bool:
    """Whether what a node builds registers weights of at most so many bytes, copies included.

    It is built to see this, up to the weight that is too much: layers register their weights before they fill them.
    """
    total = 0

    def count(_: nn.Module, name: str, weight: nn.Parameter | None) -> None:
        nonlocal total
        total += 0 if weight is None else weight.numel() * weight.element_size()
        if total > most:
            raise _TooLarge(name)

    hook = register_module_parameter_registration_hook(count)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            build(node)
    except Exception as error:  # what else cannot be built is said where it is built in earnest
        return total <= most and not is_out_of_memory(error)
    finally:
        hook.remove()
    return True


class _TooLarge(Exception):
    """Ends a construction."""


def trained(folder: Path, cfg: DictConfig, seed: int) -> Parts:
    """The parts of a run with the weights that it ended with."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        made = assembled(cfg, seed=seed)
    checkpoint = checkpoint_in(folder)
    load_weights(checkpoint, made.mu, "mu")
    load_weights(checkpoint, made.solver.cost, "solver.cost")  # features
    units, now = made.mu.units, made.data.units  # of training, and of the data as they are by now
    if units is not None and now is not None and not (units.shift.equal(now.shift) and units.scale.equal(now.scale)):
        data = made.data.own.standardised(units)
        made = replace(made, data=data if made.mu.classes is None else data.by_label())
    if made.encoder is not None:
        _load_solver(made, checkpoint)
    return made


def _load_solver(made: Parts, checkpoint: Path) -> None:
    made.solver.prepare(made.mu, made.data.train)  # as `fit` does: it may come to hold a learned reference, or a table
    load_weights(checkpoint, made.solver, "solver")


@final
@dataclass(frozen=True, eq=False, repr=False)  # tensors have no one truth value of equality
class TrainedRun:
    """A finished run, as its training left it: all parts in evaluation mode, on the CPU.

    Attributes:
        mu: the model μ_θ = g_θ#ζ in the data's own units. A prior that was fitted after training (`ex_post`) stands in
            the place of ζ, as in the run's own figures.
        solver: with its trained coupling or potential. It works in the standard coordinates of `units`.
        data: what was learned, and what was held out, in their own units.
        units: y = b + a u between those coordinates u and the data's y; None where they are the same.
        encoder: the solver's encoder, of points in the data's own units; None where it has none.
        config: the configuration that was recorded, as dictionaries and lists.
        record: what the run wrote about itself: figures, sizes, times.
    """

    mu: Pushforward
    solver: Solver
    data: Dataset
    units: Units | None
    encoder: nn.Module | None
    config: dict[str, Any]
    record: RunRecord

    def __repr__(self) -> str:
        own = self.record
        w1 = "" if own.judgement is None else f"W₁ {own.judgement.w1:.4g} (floor {own.judgement.w1_floor:.4g})"
        return line("TrainedRun", f"{own.solver} on {own.data}", f"seed {own.seed}", w1, f"mu={in_words(self.mu)}")

    def _repr_html_(self) -> str:
        own, parts = self.record, []
        if own.certificate is not None:
            rows = [Span("certified interval", *own.certificate.interval)]
            if own.certificate.reference is not None:
                rows.append(Span("real data, the floor", *own.certificate.reference, real=True))
            parts.append(spans(rows))
        if own.judgement is not None:
            parts.append(own.judgement._repr_html_())
        if own.metrics:
            lines = [[name, in_words(v.value), in_words(v.floor)] for name, v in own.metrics.items() if v is not None]
            parts.append(table(["metric", "model", "real data, the floor"], lines))
        values = {"model": repr(self.mu), "solver": repr(self.solver), "data": repr(self.data)}
        seconds = None if own.seconds is None else f"{own.seconds:.3g} s"
        parts.append(facts({**values, "training": seconds, "prior fitted after training": own.ex_post}))
        return card("Run", f"{own.solver} on {own.data}, seed {own.seed}", *parts)


@checked
def load_run(folder: str | Path, trust: bool = False) -> TrainedRun:
    """The trained model of a finished run, ready to be sampled, with its solver, its data and its record.

    After `torch.manual_seed(s)` the points of `load_run(folder).mu.sample(n)` are those that
    `ot-gen sample --run folder -n n --seed s` writes, as an .npy file. With `--class k` they are those of
    `.mu.given(k).sample(n)`, for several classes one after the other. torch's random state stays as it was.

    Args:
        folder: of the run, as `ot-gen` left it. Its data are loaded again: files that they came from must be there.
        trust: whether its configuration may name anything, which can run any program: for folders of your own only.
            Else it is built from parts of ot_gen, modules of torch.nn and optimizers of torch.optim alone.

    Raises:
        ValueError: no run, one that has not finished, a damaged one, or a configuration that names something else.

    Example:
        >>> run = load_run("runs/best")  # doctest: +SKIP
        >>> run.mu.sample(1000), run.record.judgement.w1, run.config["seed"]  # doctest: +SKIP
    """
    folder = Path(folder)
    record, saved = read_run(folder, trust)
    if record.status is not Status.FINISHED:
        raise ValueError(
            f"the run in {folder.absolute()} has not finished (its status: {record.status}); continue it with "
            f"ot-gen ... resume={folder} hydra.run.dir={folder}"
        )
    try:
        made = trained(folder, saved, saved.seed)
        if made.encoder is None:  # a potential, which judges of samples need not have
            _load_solver(made, checkpoint_in(folder))
        mu = _with_prior(made, record, folder)
    except (CompactHydraException, OmegaConfBaseException, NotImplementedError) as error:
        raise ValueError(one_line(error)) from error
    encoder = made.encoder
    for part in (mu, made.solver, encoder):
        if part is not None:
            part.eval()
    config: Any = OmegaConf.to_container(made.config, resolve=True)
    return TrainedRun(mu, made.solver, made.data.own, made.data.units, encoder, config, record)


def _with_prior(made: Parts, record: RunRecord, folder: Path) -> Pushforward:
    """The model that the run's figures are of, in the data's own units."""
    mu = made.mu.in_own_units()
    if record.ex_post is None:
        return mu
    if (path := folder / PRIOR_NAME).exists():
        return Pushforward(mu.map, load_prior(path, made.mu))
    ex_post = build(made.config.get("ex_post"))  # no mixture, so it is in no file
    if ex_post is None or made.encoder is None:
        raise ValueError(
            f"the record in {folder.absolute()} has a prior of {record.ex_post}, and neither {PRIOR_NAME} nor the "
            f"ex_post of its {CONFIG} says which; train the run again"
        )
    with undisturbed(made.mu, made.solver):
        own = made.data.own
        prior = ex_post(made.encoder, own.train if mu.classes is None else own.by_label().train)
    if has_file(prior):
        warnings.warn(f"{path.absolute()} is gone; its prior was fitted again, as the configuration says", stacklevel=4)
    return Pushforward(mu.map, prior)
