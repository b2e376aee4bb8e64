"""How a computation is carried out, never what it is: processes, signals, precision, files, maps of rows."""

from ot_gen.execution.averaging import Decay, WeightAverage
from ot_gen.execution.best import BestWeights
from ot_gen.execution.checkpoints import (
    CHECKPOINT_NAME,
    checkpoint_in,
    holds,
    inner_file,
    load_checkpoint,
    load_weights,
    read_progress,
    save_checkpoint,
    target,
)
from ot_gen.execution.deprecation import by_old_name, former_names, keyword_only, renamed, reordered, without_meaning
from ot_gen.execution.descent import Descent, Norm, OptimizerFactory, adam, frozen
from ot_gen.execution.ending import Ending
from ot_gen.execution.files import naming, remove_leftovers, write_text, written
from ot_gen.execution.fingerprints import difference, fingerprint
from ot_gen.execution.forward_mode import load_forward_mode
from ot_gen.execution.launching import launch
from ot_gen.execution.parser import OneLineParser
from ot_gen.execution.precision import MixedPrecision
from ot_gen.execution.processes import ALONE, Processes
from ot_gen.execution.progress import Clock, Progress
from ot_gen.execution.progress_bar import ProgressBar
from ot_gen.execution.reading import LARGEST, absolute, opened, read_bytes, read_text
from ot_gen.execution.row_maps import Doors, is_rowwise, networks, row_maps
from ot_gen.execution.signals import exit_code, interruptible, stop_signal
from ot_gen.execution.streams import drop_output, plain_streams
from ot_gen.execution.tensor_files import check_sums, read_tensors, write_tensors
from ot_gen.execution.threads import use_threads
from ot_gen.execution.wording import cell, is_out_of_memory, kind_and_message, on_one_line, reason

__all__ = [
    "ALONE",
    "CHECKPOINT_NAME",
    "LARGEST",
    "BestWeights",
    "Clock",
    "Decay",
    "Descent",
    "Doors",
    "Ending",
    "MixedPrecision",
    "Norm",
    "OneLineParser",
    "OptimizerFactory",
    "Processes",
    "Progress",
    "ProgressBar",
    "WeightAverage",
    "absolute",
    "adam",
    "by_old_name",
    "cell",
    "check_sums",
    "checkpoint_in",
    "difference",
    "drop_output",
    "exit_code",
    "fingerprint",
    "former_names",
    "frozen",
    "holds",
    "inner_file",
    "interruptible",
    "is_out_of_memory",
    "is_rowwise",
    "keyword_only",
    "kind_and_message",
    "launch",
    "load_checkpoint",
    "load_forward_mode",
    "load_weights",
    "naming",
    "networks",
    "on_one_line",
    "opened",
    "plain_streams",
    "read_bytes",
    "read_progress",
    "read_tensors",
    "read_text",
    "reason",
    "remove_leftovers",
    "renamed",
    "reordered",
    "row_maps",
    "save_checkpoint",
    "stop_signal",
    "target",
    "use_threads",
    "without_meaning",
    "write_tensors",
    "write_text",
    "written",
]
