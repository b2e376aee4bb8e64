"""The `ot-gen` command: compose a configuration with Hydra, run it, leave a record. Only this room imports hydra."""

from ot_gen.cli.building import build, completed, generator_of
from ot_gen.cli.codes import code_cost
from ot_gen.cli.command import main
from ot_gen.cli.compose import composed, conf_dir
from ot_gen.cli.finished import TrainedRun, load_run
from ot_gen.cli.parts import Parts, Recipe, assembled, parts, recipe

__all__ = [
    "Parts",
    "Recipe",
    "TrainedRun",
    "assembled",
    "build",
    "code_cost",
    "completed",
    "composed",
    "conf_dir",
    "generator_of",
    "load_run",
    "main",
    "parts",
    "recipe",
]
