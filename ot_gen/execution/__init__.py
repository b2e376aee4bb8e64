"""How a computation is carried out, never what it is: processes, signals, precision, checkpoints, maps of rows."""

from ot_gen.execution.checkpoints import load_checkpoint, load_weights, read_progress, save_checkpoint
from ot_gen.execution.deprecation import renamed
from ot_gen.execution.launching import launch
from ot_gen.execution.precision import Precision
from ot_gen.execution.processes import ALONE, Processes
from ot_gen.execution.row_maps import at_the_doors, is_rowwise, networks, row_maps
from ot_gen.execution.signals import stop_signal

__all__ = [
    "ALONE",
    "Precision",
    "Processes",
    "at_the_doors",
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
]
