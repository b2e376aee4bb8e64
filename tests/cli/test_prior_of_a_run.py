"""The prior in a run's folder is that run's own; where its file is lost it is fitted again."""

import shutil

import pytest
import torch

import ot_gen
from ot_gen.priors.files import PRIOR_NAME

RUN = (
    *("solver=primal/latent_flow", "data=eight_gaussians", "data.size=64", "data.test_size=64", "reference.dim=2"),
    *("trainer=smoke", "trainer.steps=4", "trainer.batch_size=16", "evaluation.samples=40", "metrics=none"),
    *("generator.hidden=[8]", "features.hidden=[8]", "+ex_post.steps=3", "+ex_post.width=8", "ex_post.progress=false"),
)

pytestmark = [pytest.mark.usefixtures("clean_process", "undrawn"), pytest.mark.slow]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run(command, trained, tmp_path):
    """seed -> a finished run of latent flow matching."""

    def train(seed):
        folder = trained / str(seed)
        if not folder.exists():
            code, _, err = command(*RUN, f"seed={seed}", f"hydra.run.dir={folder}")
            assert code == 0, err
        return shutil.copytree(folder, tmp_path / str(seed))

    return train


def drawn(folder):
    model = ot_gen.load_run(folder).mu
    torch.manual_seed(3)
    return model.sample(20)


def test_a_lost_prior_is_fitted_again_and_said(run, command):
    folder = run(0)
    before = drawn(folder)
    (folder / PRIOR_NAME).unlink()
    with pytest.warns(UserWarning, match="is gone; its prior was fitted again"):
        assert drawn(folder).allclose(before, atol=1e-4)
    with pytest.warns(UserWarning, match="is gone"):
        code, _, err = command("sample", "--run", folder, "-n", 5, "--output", "a.npy")
    assert code == 0, err


def test_the_prior_of_another_run_is_refused(run, command):
    one, other = run(0), run(1)
    shutil.copy(other / PRIOR_NAME, one / PRIOR_NAME)
    code, _, err = command("sample", "--run", one, "-n", 5, "--output", "a.npy")
    assert code == 2 and err.count("\n") == 1 and "holds the prior of another model" in err
