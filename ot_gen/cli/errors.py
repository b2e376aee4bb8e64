"""What a user reads when something is wrong: one line on stderr."""

from __future__ import annotations

import errno
import os
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

from hydra.errors import CompactHydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from ot_gen.cli.compose import entries_of
from ot_gen.execution import drop_output, is_out_of_memory, kind_and_message, on_one_line
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
    "use a DenseVelocity": "velocity=dense",
    "Pushforward(FlowMap(v), zeta)": "generator=flow",
    "generator with nn.Sigmoid()": "generator=mlp_image",
    "give the generator noise": "noise=fixed",
    "toy(law, size=2000)": "data.size=2000",
    "mnist()": "data=mnist",
    "metrics of points": "metrics=standard",
    "number of processes": "trainer.processes=...",
    "batch_size": "trainer.batch_size=...",
    "a number of evaluations": "--nfe",
    "give more steps": "trainer.steps=...",
    "standardize=none": "data.standardize=none",
    "inner_optimizer": "trainer.optimizer.lr=..., trainer.inner_optimizer.lr=...",
}


FULL_ERROR = "HYDRA_FULL_ERROR"  # a variable of the environment: the user asks for tracebacks


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
        self.shows_tracebacks = False
        self.count = 0
        self.sweep: Path | None = None

    def begin(self) -> None:
        """From now on this process reports failures; Hydra leaves its exceptions to it."""
        self.__init__()  # all as at first; no subclass exists
        self.is_front = True
        self.shows_tracebacks = FULL_ERROR in os.environ
        os.environ.setdefault(FULL_ERROR, "1")

    def end(self) -> None:
        """Leave the environment as it was."""
        if not self.shows_tracebacks:
            os.environ.pop(FULL_ERROR, None)

    def shows(self, error: BaseException) -> bool:
        """Whether an error ends the program as Python has it, with its traceback."""
        expected = isinstance(error, ValueError | OSError | NotConverged | OmegaConfBaseException)
        return not expected and (self.shows_tracebacks or is_of_the_user(error))


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
    """Hydra's own message on one line, with the cause or the group's entries added where it lacks them."""
    words = _plain(error)
    if isinstance(cause := error.__cause__, OmegaConfBaseException):
        return words if _plain(cause) in words else f"{words}: {_plain(cause)}"
    if isinstance(error, OverrideParseException):
        return (
            f"cannot read the override {error.override!r} ({words}); a text with signs goes in quotes, name='\"a, b\"'"
        )
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        missing = str(error.missing_cfg_file)
        if (extra := PLUGINS.get(missing)) is not None:
            return f"{missing} comes with a plugin that is not installed; pip install 'ot_gen[{extra}]'"
        group = missing.split("/")[0]
        if entries := entries_of(group):
            return f"Could not find {missing!r}; entries of {group}: {', '.join(entries)}"
    return words


def _plain(error: BaseException) -> str:
    """What Hydra and OmegaConf say, without the drawings and the facts below it."""
    kept = [line for line in str(error).splitlines() if line.strip(" ^") and not line.strip().startswith(NOTES)]
    return on_one_line("; ".join(line.strip().rstrip(".") for line in kept))


NOTES = ("full_key:", "object_type=", "reference_type=", "See https://hydra", "set HYDRA_FULL_ERROR", "Set the env")


def one_line(error: BaseException) -> str:
    """The message of an error, on one line."""
    if isinstance(error, MissingMandatoryValue):
        key = str(error.full_key).removeprefix("solver.") if ".cost." in str(error.full_key) else error.full_key
        return f"{key} has no value; give it as {key}=VALUE"
    if isinstance(error, CompactHydraException):
        return composition_error(error)
    if isinstance(error, OmegaConfBaseException):
        return f"{error.full_key}: {_plain(error)}" if error.full_key else _plain(error)
    if is_out_of_memory(error):
        return (
            f"the memory of this machine is not enough ({on_one_line(error)}); lower trainer.batch_size, "
            "solver.coupling.pairing.size, evaluation.samples, data.size or the widths of the networks"
        )
    if isinstance(error, OSError) and error.errno in FULL:
        return f"{on_one_line(error)}; free some space, or choose another folder"
    if isinstance(error, ValueError | OSError | NotConverged):
        text = on_one_line(error) or kind_and_message(error)
        overrides = [override for words, override in SPOKEN.items() if words in text and override not in text]
        return f"{text} (on the command line: {', '.join(overrides)})" if overrides else text
    if isinstance(error, NotImplementedError) and "forward" in str(error):  # so torch says it of an abstract module
        return f"{on_one_line(error)}: the configuration names a _target_ that computes nothing; name a class that does"
    return f"{kind_and_message(error)}; check the overrides; HYDRA_FULL_ERROR=1 shows where it happened"


# No space, no quota, a limit on the size of files.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_of_the_user(error: BaseException) -> bool:
    """Whether an error came through code that is neither ot_gen's nor installed: the user sees it as it is.

    Wrong overrides end in errors of ours, of torch or of Hydra, which are said in one line.
    """
    installed = {Path(__file__).parents[1], *(Path(path) for path in (*sysconfig.get_paths().values(), sys.prefix))}
    frames = (frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__))
    files = [Path(file) for file in frames if not file.startswith("<")]
    return any(not any(file.is_relative_to(root) for root in installed) for file in files)


def warn_in_one_line() -> None:
    """From now on this process shows warnings of ot_gen as one line, without a place in the code."""
    before = warnings.formatwarning

    def shown(message: Warning | str, category: type[Warning], file: str, number: int, line: str | None = None) -> str:
        if category is UserWarning and "ot_gen" in Path(file).parts:
            return f"ot-gen: warning: {on_one_line(message)}\n"
        return before(message, category, file, number, line)

    warnings.formatwarning = shown  # type: ignore[assignment]


def say(text: str) -> int:
    """Write what a command found to stdout; returns the exit code, 2 where that cannot be written.

    The work is done by then, so the error ends with the last line of the text: where its result is.
    """
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # of a reader that left
        raise
    except OSError as error:
        drop_output()
        return usage(
            f"cannot write what there is to say ({on_one_line(error)}), but it is done: {text.splitlines()[-1]}"
        )
    return 0


def answer(work: Callable[[Sequence[str]], str], arguments: Sequence[str]) -> int:
    """Do a command's work and say what it found; returns the exit code, 2 after one line on stderr for bad input."""
    try:
        text = work(arguments)
    except Exception as error:
        if failures.shows(error):
            raise
        return usage(one_line(error))
    return say(text)


def usage(message: str) -> int:
    """Write the message to stderr; returns the exit code 2."""
    sys.stderr.write(f"ot-gen: error: {message}\n")
    return 2
