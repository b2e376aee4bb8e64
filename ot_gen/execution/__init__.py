"""How a computation is carried out, never what it is: processes, signals, precision, files, maps of rows."""

from ot_gen.execution.checkpoints import (
    CHECKPOINT_NAME,
    checkpoint_in,
    holds,
    load_checkpoint,
    load_weights,
    read_progress,
    save_checkpoint,
    target,
)
from ot_gen.execution.deprecation import by_old_name, former_names, keyword_only, renamed, reordered
from ot_gen.execution.descent import Descent, OptimizerFactory, adam, frozen
from ot_gen.execution.ending import Ending
from ot_gen.execution.files import remove_leftovers, write_text, written
from ot_gen.execution.launching import launch
from ot_gen.execution.precision import MixedPrecision
from ot_gen.execution.processes import ALONE, Processes
from ot_gen.execution.row_maps import Doors, is_rowwise, networks, row_maps
from ot_gen.execution.signals import interruptible, stop_signal
from ot_gen.execution.threads import use_threads
from ot_gen.execution.wording import cell, kind_and_message, on_one_line

__all__ = [
    "ALONE",
    "CHECKPOINT_NAME",
    "Descent",
    "Doors",
    "Ending",
    "MixedPrecision",
    "OptimizerFactory",
    "Processes",
    "adam",
    "by_old_name",
    "cell",
    "checkpoint_in",
    "former_names",
    "frozen",
    "holds",
    "interruptible",
    "is_rowwise",
    "keyword_only",
    "kind_and_message",
    "launch",
    "load_checkpoint",
    "load_weights",
    "networks",
    "on_one_line",
    "read_progress",
    "remove_leftovers",
    "renamed",
    "reordered",
    "row_maps",
    "save_checkpoint",
    "stop_signal",
    "target",
    "use_threads",
    "write_text",
    "written",
]
