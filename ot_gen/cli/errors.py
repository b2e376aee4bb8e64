"""What a user reads when something is wrong: one line on stderr."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import final

from hydra.errors import CompactHydraException, MissingConfigException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from ot_gen.cli.compose import conf_dir
from ot_gen.execution import kind_and_message, on_one_line
from ot_gen.transport import NotConverged

# Entries that Hydra's plugins bring, and the extras that bring the plugins.
PLUGINS = {
    "hydra/launcher/joblib": "sweep",
    "hydra/launcher/submitit_local": "slurm",
    "hydra/launcher/submitit_slurm": "slurm",
    "hydra/launcher/ray": "ray",
    "hydra/sweeper/optuna": "optuna",
}


# The library's errors name Python calls; these are the overrides for the command line.
SPOKEN = {
    "use Euclidean()": "cost=euclidean",
    "use SquaredEuclidean()": "cost=squared_euclidean",
    "a DiscretePotential, which takes any cost": "solver=dual/semidiscrete",
    "use a BatchCritic": "solver=dual/batch_critic",
    "flat_dim=0": "solver.potential.flat_dim=0",
    "use an MLP": "generator=mlp",
    "generator with nn.Sigmoid()": "generator=mlp_image",
    "give the generator noise": "noise=fixed",
    "toy(law, size=2000)": "data.size=2000",
    "mnist()": "data=mnist",
    "metrics of points": "metrics=standard",
    "number of processes": "trainer.processes=...",
    "batch_size": "trainer.batch_size=...",
    "give more steps": "trainer.steps=...",
    "standardize=none": "data.standardize=none",
    "inner_optimizer": "trainer.optimizer.lr=..., trainer.inner_optimizer.lr=...",
}


@final
class BadInput(CompactHydraException):
    """Bad input of a job that runs in a worker process, as one line, and the folder of its sweep."""

    def __init__(self, line: str, sweep: Path | None = None) -> None:
        super().__init__(line, sweep)
        self.line = line
        self.sweep = sweep

    def __str__(self) -> str:
        return self.line


@final
class Failures:
    """Failures of the jobs of the process that the user started; workers pass theirs on to it."""

    def __init__(self) -> None:
        self.is_front = False
        self.count = 0
        self.sweep: Path | None = None

    def begin(self) -> None:
        """From now on this process reports failures."""
        self.__init__()  # all as at first; no subclass exists
        self.is_front = True


failures = Failures()


def report(line: str, sweep: Path | None) -> None:
    """Report a job's failure: on stderr in the process that the user started, by an exception in a worker.

    Workers import this module afresh, so they do not share `failures` with that process.
    """
    if not failures.is_front:
        raise BadInput(line, sweep) from None
    failures.count += 1
    failures.sweep = sweep
    usage(line)


def composition_error(error: CompactHydraException) -> str:
    """Hydra's own message, with the cause or the group's entries added where it lacks them."""
    if isinstance(error.__cause__, OmegaConfBaseException):
        return f"{error}\n{error.__cause__}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        if (extra := PLUGINS.get(str(error.missing_cfg_file))) is not None:
            return f"{error.missing_cfg_file} comes with a plugin that is not installed; pip install 'ot_gen[{extra}]'"
        group = conf_dir() / str(error.missing_cfg_file).split("/")[0]
        entries = sorted(str(entry.relative_to(group).with_suffix("")) for entry in group.rglob("*.yaml"))
        if entries:
            return f"{error}\n\nEntries of {group.name}: {', '.join(entries)}"
    return str(error)


def one_line(error: BaseException) -> str:
    """The message of an error, on one line."""
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} has no value; give it as {error.full_key}=VALUE"
    if isinstance(error, ValueError | OSError | NotConverged):
        text = on_one_line(error)
        overrides = [override for words, override in SPOKEN.items() if words in text and override not in text]
        return f"{text} (on the command line: {', '.join(overrides)})" if overrides else text
    return kind_and_message(error)


def warn_in_one_line() -> None:
    """From now on this process shows warnings of ot_gen as one line, without a place in the code."""
    before = warnings.formatwarning

    def shown(message: Warning | str, category: type[Warning], file: str, number: int, line: str | None = None) -> str:
        if category is UserWarning and "ot_gen" in Path(file).parts:
            return f"ot-gen: warning: {on_one_line(message)}\n"
        return before(message, category, file, number, line)

    warnings.formatwarning = shown  # type: ignore[assignment]


def usage(message: str) -> int:
    """Write the message to stderr; returns the exit code 2."""
    sys.stderr.write(f"ot-gen: error: {message}\n")
    return 2
