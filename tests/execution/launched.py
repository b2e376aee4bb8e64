"""Tasks of several processes, in a module that is quick to import for each of them."""

import os
import signal
import time
from functools import partial

import torch

from ot_gen import (
    MLP,
    Empirical,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    exact_plan,
    fit,
    standard_gaussian,
)


def train_until(processes, folder, callback):
    torch.set_num_threads(1)
    mu = Pushforward(MLP(2, 2, hidden=(8,)), standard_gaussian(2))
    solver = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))
    callbacks = [partial(callback, processes)]
    file = folder / "checkpoint.safetensors"
    fit(
        mu,
        Empirical(torch.randn(64, 2)),
        solver,
        batch_size=8,
        callbacks=callbacks,
        checkpoint=file,
        processes=processes,
    )


def stop(processes, progress):
    if processes.rank == 1 and progress.step == 3:
        os.kill(os.getpid(), signal.SIGTERM)


def fail(processes, progress):
    if processes.rank == 1 and progress.step == 3:
        raise ZeroDivisionError("in the third step")


def hang(processes, progress):
    if processes.rank == 1 and progress.step == 3:
        time.sleep(1000)


def train_on_device(processes):
    """The trained weights, on the device of each process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    points = torch.randn(64, 2)
    mu = Pushforward(MLP(2, 2, hidden=(8,)), standard_gaussian(2)).to(processes.device)
    solver = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))
    fit(mu, Empirical(points.to(processes.device)), solver, steps=3, batch_size=8, processes=processes)
    return torch.cat([p.detach().flatten() for p in mu.parameters()]).cpu()
