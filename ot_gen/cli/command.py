"""`ot-gen`: the entry point; `ot-gen evaluate ...` judges, `ot-gen geometry ...` measures, anything else trains.

Bad input ends with one line on stderr and exit code 2; a stop by Ctrl-C or SIGTERM with 130.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import CompactHydraException

from ot_gen.cli.compose import without_null
from ot_gen.cli.errors import BadInput, composition_error, failures, one_line, usage, warn_in_one_line
from ot_gen.cli.evaluate import evaluate
from ot_gen.cli.geometry import geometry
from ot_gen.cli.job import job
from ot_gen.cli.sweep import failed_in
from ot_gen.execution import interruptible
from ot_gen.runs.claim import check_free
from ot_gen.training import Interrupted

COMMANDS = {"evaluate": evaluate, "geometry": geometry}


def main() -> None:
    """Entry point of `ot-gen` and `python -m ot_gen`."""
    wants_traceback = "HYDRA_FULL_ERROR" in os.environ
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # hand exceptions to us instead of printing tracebacks
    failures.begin()
    warn_in_one_line()
    try:
        if (command := COMMANDS.get("".join(sys.argv[1:2]))) is not None:
            with interruptible():
                sys.exit(command(sys.argv[2:]))
        sys.argv[1:] = without_null(sys.argv[1:])
        _check_folder(sys.argv[1:])
        job()
    except BadInput as error:  # of a worker
        usage(error.line)
        failures.count, failures.sweep = 1, error.sweep
    except CompactHydraException as error:
        if wants_traceback:
            raise
        sys.exit(usage(composition_error(error)))
    except OSError as error:
        if wants_traceback:
            raise
        sys.exit(usage(f"cannot write the output folder ({one_line(error)}); choose another: hydra.run.dir=FOLDER"))
    except ValueError as error:  # hydra's, of its own command line; a job's are dealt with above
        if wants_traceback:
            raise
        sys.exit(usage(one_line(error)))
    except Interrupted as stop:
        sys.stderr.write(f"ot-gen: {stop}\n")
        sys.exit(130)
    except KeyboardInterrupt:
        sys.stderr.write("ot-gen: interrupted\n")
        sys.exit(130)
    if failures.count:
        if failures.sweep is not None and (failed := failed_in(failures.sweep)):
            again = f"the same command and hydra.sweep.dir={failures.sweep} retry=true"
            sys.stderr.write(f"ot-gen: {len(failed)} failed: {', '.join(failed)}; to try again: {again}\n")
        sys.exit(2)


def _check_folder(arguments: Sequence[str]) -> None:
    """Refuse a folder with a result before Hydra writes its log and its settings there."""
    given = {name: value.strip("'\"") for name, _, value in (item.partition("=") for item in arguments)}
    folder = given.get("hydra.run.dir")
    if folder and "${" not in folder and given.get("overwrite") != "true" and not {"-m", "--multirun"} & given.keys():
        try:
            check_free(Path(folder), given.get("resume"))
        except ValueError as error:
            sys.exit(usage(one_line(error)))
