"""The peers of `benchmarks/semidiscrete.py`: OTT-JAX and POT, run from outside, their tables looked at on the way.

A peer runs on atoms y, (n, d), uniform weights and samples of N(0, I), until the `Watch` that it is given raises
`Stopped`. The watch's clock stands still while it evaluates, and while a peer compiles.
"""

from __future__ import annotations

import functools
import math
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Stopped(Exception):
    """The watched solve has arrived, or has used up its time."""


class Watch:
    """Evaluates a table whenever CPU time has grown by a tenth, until its error is `target` or `cap` is over."""

    def __init__(self, error: Callable[[Tensor], float], target: float, cap: float, first: float) -> None:
        self.error, self.target, self.cap, self.next = error, target, cap, first
        self.seen: list[tuple[float, float]] = []
        self.began = time.process_time()

    def restart(self) -> None:
        self.began = time.process_time()

    def due(self) -> bool:
        return time.process_time() - self.began >= self.next

    def look(self, table: Tensor) -> None:
        now = time.process_time()
        seconds = now - self.began
        self.seen.append((seconds, self.error(table)))
        if self.seen[-1][1] <= self.target or seconds >= self.cap:
            raise Stopped
        self.next = 1.1 * seconds
        self.began += time.process_time() - now

    @property
    def arrival(self) -> float:
        """Seconds to the target, on a line through the last two points in logarithms; inf where it was not reached."""
        (t, e), before = self.seen[-1], self.seen[-2:-1]
        if not e <= self.target:
            return math.inf
        if not before or not before[0][1] > e > 0:
            return t
        t0, e0 = before[0]
        return t0 * (t / t0) ** (math.log(e0 / self.target) / math.log(e0 / e))


class Ott(NamedTuple):
    """OTT-JAX: `SemidiscreteSolver.step` with ε = 0 and rate a / sqrt(t), in jitted chunks.

    Its `potential_ema` gives the new iterate the weight that is meant for the old average, so the average is made here:
    an iterate weighs t², half of the average is the last fifth of the steps.
    """

    optimizer: str
    rate: float
    batch: int

    def __str__(self) -> str:
        return f"{self.optimizer} {self.rate:g} / √t, batch {self.batch}"

    def run(self, y: Tensor, seed: int, watch: Watch, steps: int = 25) -> None:
        import jax
        import jax.numpy as jnp

        problem, start, advance = _ott(self.optimizer, self.batch, steps, len(y))
        prob, key = problem(jnp.asarray(y.numpy())), jax.random.key(seed)
        jax.block_until_ready(advance(self.rate, prob, key, start()))  # compiles
        carry = start()
        watch.restart()
        while True:
            carry = jax.block_until_ready(advance(self.rate, prob, key, carry))
            if watch.due():
                watch.look(torch.from_numpy(np.array(carry[1])))


@functools.cache
def _ott(optimizer: str, batch: int, steps: int, atoms: int):
    import jax
    import jax.numpy as jnp
    import optax
    from ott.geometry import semidiscrete_pointcloud
    from ott.problems.linear import semidiscrete_linear_problem
    from ott.solvers.linear import semidiscrete

    def problem(y):
        geometry = semidiscrete_pointcloud.SemidiscretePointCloud(jax.random.normal, y, epsilon=0.0)
        return semidiscrete_linear_problem.SemidiscreteLinearProblem(geometry)

    def solver(rate):
        rule = getattr(optax, optimizer)(lambda t: rate / jnp.sqrt(1.0 + t))
        return semidiscrete.SemidiscreteSolver(num_iterations=steps, batch_size=batch, optimizer=rule)

    def start():
        g, record = jnp.zeros(atoms), jnp.zeros(steps)
        state = semidiscrete.SemidiscreteState(
            it=jnp.array(0),
            epsilon=jnp.array(0.0),
            g=g,
            g_ema=g,
            opt_state=solver(1.0).optimizer.init(g),
            losses=record,
            grad_norms=record,
            errors=jnp.zeros(1),
        )
        return state, g, jnp.array(0)

    @jax.jit
    def advance(rate, prob, key, carry):
        def step(i, carry):
            state, average, t = carry
            state = solver(rate).step(jax.random.fold_in(key, t), state, prob)
            # The records of a state are as long as one chunk.
            state = semidiscrete.SemidiscreteState(**(vars(state) | {"it": state.it % steps}))
            return state, average + (state.g - average) * (3 / (t + 3.0)), t + 1

        return jax.lax.fori_loop(0, steps, step, carry)

    return problem, start, advance


class Pot(NamedTuple):
    """POT: `solve_semidiscrete` with its NumPy backend in float32; rate in units of its default lr0 = sqrt(n batch)."""

    rate: float
    batch: int
    epsilon: float

    def __str__(self) -> str:
        return f"lr0 = {self.rate:g} sqrt(n batch), batch {self.batch}, first ε {self.epsilon:.2g}"

    def run(self, y: Tensor, seed: int, watch: Watch) -> None:
        from ot.semidiscrete import solve_semidiscrete

        generator = np.random.default_rng(seed)

        def sample(n):
            # POT has no callback: the average of the iterates is read from the frame that asks for a sample.
            if watch.due():
                watch.look(torch.from_numpy(sys._getframe(1).f_locals["g_avg"]))
            return generator.standard_normal((n, y.shape[1]), dtype=np.float32)

        watch.restart()
        solve_semidiscrete(
            y.numpy(),
            sample,
            max_iter=10**9,
            batch_size=self.batch,
            lr0=self.rate * (len(y) * self.batch) ** 0.5,
            decreasing_reg_initial_eps=self.epsilon,
        )
