"""How a computation is carried out, never what it is: processes, signals, precision, checkpoints, maps of rows."""

from ot_gen.execution.checkpoints import (
    CHECKPOINT_NAME,
    checkpoint_in,
    load_checkpoint,
    load_weights,
    read_progress,
    save_checkpoint,
    target,
)
from ot_gen.execution.deprecation import by_old_name, keyword_only, renamed, reordered
from ot_gen.execution.descent import Descent, OptimizerFactory, adam, frozen
from ot_gen.execution.launching import launch
from ot_gen.execution.precision import Precision
from ot_gen.execution.processes import ALONE, Processes
from ot_gen.execution.row_maps import Doors, is_rowwise, networks, row_maps
from ot_gen.execution.signals import stop_signal

__all__ = [
    "ALONE",
    "CHECKPOINT_NAME",
    "Descent",
    "Doors",
    "OptimizerFactory",
    "Precision",
    "Processes",
    "adam",
    "by_old_name",
    "checkpoint_in",
    "frozen",
    "is_rowwise",
    "keyword_only",
    "launch",
    "load_checkpoint",
    "load_weights",
    "networks",
    "read_progress",
    "renamed",
    "reordered",
    "row_maps",
    "save_checkpoint",
    "stop_signal",
    "target",
]
