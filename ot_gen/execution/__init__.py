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
from ot_gen.execution.deprecation import former_names, renamed
from ot_gen.execution.descent import Descent, OptimizerFactory, adam, frozen
from ot_gen.execution.ending import Ending
from ot_gen.execution.launching import launch
from ot_gen.execution.precision import MixedPrecision
from ot_gen.execution.processes import ALONE, Processes
from ot_gen.execution.row_maps import Doors, is_rowwise, networks, row_maps
from ot_gen.execution.signals import stop_signal

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
    "checkpoint_in",
    "former_names",
    "frozen",
    "is_rowwise",
    "launch",
    "load_checkpoint",
    "load_weights",
    "networks",
    "read_progress",
    "renamed",
    "row_maps",
    "save_checkpoint",
    "stop_signal",
    "target",
]
