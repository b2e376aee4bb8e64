"""What a user reads when something is wrong: one line on stderr."""

from __future__ import annotations

import sys

from hydra.errors import CompactHydraException, MissingConfigException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from ot_gen.transport import NotConverged

from .compose import conf_dir


class BadInput(CompactHydraException):
    """Bad input of a job that runs in a worker process, as one line."""


def composition_error(error: CompactHydraException) -> str:
    """Hydra's own message, with the cause or the group's entries where it leaves them out."""
    if isinstance(error.__cause__, OmegaConfBaseException):
        return f"{error}\n{error.__cause__}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
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
        return " ".join(str(error).split())
    return " ".join(f"{type(error).__name__}: {error}".split())


def usage(message: str) -> int:
    """Write the message to stderr; returns the exit code 2."""
    sys.stderr.write(f"ot-gen: error: {message}\n")
    return 2
