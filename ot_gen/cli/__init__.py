"""The `ot-gen` command: compose a configuration with Hydra, run it, leave a record. Only here hydra is imported."""

from ot_gen.cli.command import main
from ot_gen.cli.compose import build, conf_dir, generator_of

__all__ = ["build", "conf_dir", "generator_of", "main"]
