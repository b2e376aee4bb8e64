"""Every cell trains a step on images of 28, 32 and 64 pixels, grey and colour, dense, convolutional and residual."""

import math
from itertools import product

import pytest
import torch
from entries import composed, entries

from ot_gen import TablePairing, cli, fit
from ot_gen.data import Dataset

SHAPES = [(channels, pixels, pixels) for pixels, channels in product((28, 32, 64), (1, 3))]
IN_EACH_CELL = ("primal/exact_plan", "primal/vae", "dual/semidiscrete", "dual/wgan_gp", "primal/flow_independent")
NARROW = {  # kind of network -> overrides: of models, and of flows
    "dense": (
        ("generator=mlp_image", "generator.hidden=[8]", "features.hidden=[8]"),
        ("velocity=dense", "velocity.width=8", "generator.steps=1"),
    ),
    "conv": (
        ("generator=conv", "generator.width=4", "features.width=4"),
        ("velocity=unet", "+velocity.width=8", "generator.steps=1"),
    ),
    "resnet": (("generator=resnet", "generator.width=4", "features.width=4"), None),
}
LARGE = dict.fromkeys(("dual/wgan_orthogonal", "primal/flow_semidiscrete"), (1, 28, 28))  # slow in many dimensions
CASES = [  # the fast tests take colour at 32 pixels, where the networks have a level more than at 28
    pytest.param(solver, kind, shape, marks=() if solver in IN_EACH_CELL and shape == (3, 32, 32) else pytest.mark.slow)
    for solver, kind, shape in product(entries("solver"), NARROW, SHAPES)
    if NARROW[kind]["/flow_" in solver] is not None
    and (solver in IN_EACH_CELL or shape == LARGE.get(solver, (3, 64, 64)))
]


def step(solver, kind, shape):
    """The model and its solver after one step on a batch of four."""
    data = Dataset.split(torch.rand(12, math.prod(shape)), seed=0, shape=shape)
    narrow = NARROW[kind]["/flow_" in solver]
    cfg = composed("data=shapes", f"solver={solver}", *narrow)
    made = cli.assembled(cli.completed(cfg, data), data)
    if isinstance(pairing := getattr(made.solver.xi, "pairing", None), TablePairing):
        pairing.tol, pairing.max_samples = 1.0, 2**10
    made.solver.warmup_steps = 0
    before = [p.detach().clone() for p in made.mu.parameters()]
    trainer = made.trainer | {"steps": 1, "batch_size": 4}
    progress = fit(made.mu, data.train, made.solver, **trainer)
    assert any(not torch.equal(old, new) for old, new in zip(before, made.mu.parameters(), strict=True))
    return made, progress


@pytest.mark.parametrize(("solver", "kind", "shape"), CASES)
def test_every_cell_takes_a_step_on_images_of_each_size_and_every_solver_on_large_ones(solver, kind, shape):
    if solver == "dual/wgan_orthogonal" and kind != "dense":
        with pytest.raises(ValueError, match=r"cannot make .* 1-Lipschitz for certain: .*MLP"):
            step(solver, kind, shape)
        return
    made, progress = step(solver, kind, shape)
    assert all(math.isfinite(value) for value in progress.rows[0].values())
    assert all(bool(p.isfinite().all()) for p in [*made.mu.parameters(), *made.solver.parameters()])
    assert made.mu.sample(2).shape == (2, math.prod(shape))


@pytest.mark.parametrize("solver", ["primal/vae", "dual/wgan_gp"])
def test_a_residual_generator_brings_a_residual_encoder_and_critic(solver):
    made, _ = step(solver, "resnet", (3, 32, 32))
    kinds = {type(part).__name__ for part in [*made.mu.modules(), *made.solver.modules()]}
    assert {"ResNetGenerator", "ResNetFeatures"} <= kinds
