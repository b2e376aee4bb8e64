"""The `ot-gen` command: compose a configuration with Hydra, run it, leave a record. Only here hydra is imported."""

from .command import main
from .compose import build, conf_dir, generator_of

__all__ = ["build", "conf_dir", "generator_of", "main"]
