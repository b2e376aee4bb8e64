"""A flow's run that is stopped while its table is solved, and resumed, on the command line."""

import signal
from pathlib import Path

import pytest
import torch
from couplings.pairs import at_each_step, quiet
from safetensors.torch import load_file

TINY = ("data=eight_gaussians", "solver=primal/flow_semidiscrete", "trainer.steps=6", "trainer.batch_size=16")
TINY = (*TINY, "data.size=60", "data.test_size=60", "velocity.width=16", "metrics=none")


@pytest.mark.slow
def test_a_run_stopped_in_the_solve_of_its_table_resumes_bit_for_bit(command, undrawn, clean_process):
    with at_each_step(quiet):
        assert command(*TINY, "hydra.run.dir=whole")[0] == 0
    with at_each_step(lambda step: signal.raise_signal(signal.SIGTERM) if step == 20 else None):
        code, _, err = command(*TINY, "hydra.run.dir=stopped")
    assert code == 130 and "resume=" in err and err.count("\n") == 1
    assert Path("stopped/checkpoint.inner.safetensors").exists()
    with at_each_step(quiet):
        assert command(*TINY, "resume=stopped", "hydra.run.dir=stopped")[0] == 0
    assert not list(Path("stopped").glob("*.inner.*")) and not list(Path("whole").glob("*.inner.*"))
    one, other = (load_file(Path(name, "checkpoint.safetensors")) for name in ("whole", "stopped"))
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
