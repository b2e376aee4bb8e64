"""Images per second of `ot_gen.fit` against a bare, hand-written torch loop with the same networks and batch.

    python benchmarks/training_overhead.py [--repeats 7] [--steps 150] [--threads 1] [--device cuda]

Both sides run in one process, in turns, on the embedded digits; the ratio of medians counts. `fit` writes its rows and
checks each loss for NaN; the bare loop does neither.

A second table has the share of a flow's training step that goes to its pairs, with 8,000 atoms in 16 dimensions.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import device
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence
from torch.optim import Adam

from ot_gen import (
    KL,
    MLP,
    Critic,
    DenseVelocity,
    DualSolver,
    Empirical,
    EncoderCoupling,
    Euclidean,
    FlowMap,
    GaussianEncoder,
    GradientPenalty,
    IndependentPairing,
    PlanPairing,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    TablePairing,
    VelocityRegression,
    add_head,
    data,
    exact_plan,
    fit,
    sinkhorn_plan,
    standard_gaussian,
)

LATENT, BATCH, CRITIC_STEPS, WEIGHT = 8, 128, 5, 0.5


def generator() -> nn.Module:
    return MLP(LATENT, 784, hidden=(200, 400), output=nn.Sigmoid())


def features(out_dim: int) -> nn.Module:
    return add_head(MLP(784, hidden=(400, 200)), out_dim)


def fit_vae(digits: Tensor, steps: int) -> None:
    mu = Pushforward(generator(), standard_gaussian(LATENT))
    coupling = EncoderCoupling(GaussianEncoder(features(2 * LATENT)), KL(), WEIGHT)
    fit(mu, NU, PrimalSolver(SquaredEuclidean(), coupling), steps=steps, batch_size=BATCH)


def bare_vae(digits: Tensor, steps: int) -> None:
    decoder, encoder = generator(), features(2 * LATENT)
    optimizer = Adam([*decoder.parameters(), *encoder.parameters()], lr=1e-3)
    prior = Independent(Normal(torch.zeros(LATENT), torch.ones(LATENT)), 1)
    for _ in range(steps):
        y = digits[torch.randint(len(digits), (BATCH,))]
        mean, log_std = encoder(y).chunk(2, dim=1)
        q = Independent(Normal(mean, log_std.clamp(-10, 5).exp()), 1)
        loss = (decoder(q.rsample()) - y).square().sum(1).mean() + WEIGHT * kl_divergence(q, prior).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def fit_wgan_gp(digits: Tensor, steps: int) -> None:
    mu = Pushforward(generator(), standard_gaussian(LATENT))
    solver = DualSolver(Euclidean(), Critic(features(1), GradientPenalty(10.0)), inner_steps=CRITIC_STEPS)
    adam = partial(Adam, lr=5e-4, betas=(0.0, 0.9))
    fit(mu, NU, solver, steps=steps, batch_size=BATCH, optimizer=adam)


def bare_wgan_gp(digits: Tensor, steps: int) -> None:
    net, critic = generator(), features(1)
    optimizer = Adam(net.parameters(), lr=5e-4, betas=(0.0, 0.9))
    critic_optimizer = Adam(critic.parameters(), lr=5e-4, betas=(0.0, 0.9))
    for _ in range(steps):
        for _ in range(CRITIC_STEPS):
            y = digits[torch.randint(len(digits), (BATCH,))]
            with torch.no_grad():
                x = net(torch.randn(BATCH, LATENT))
            between = torch.lerp(x, y, torch.rand(BATCH, 1)).requires_grad_()
            (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            penalty = 10 * (gradient.norm(dim=1) - 1).square().mean()
            loss = critic(y).mean() - critic(x).mean() + penalty
            critic_optimizer.zero_grad()
            loss.backward()
            critic_optimizer.step()
        for parameter in critic.parameters():
            parameter.requires_grad_(False)
        loss = critic(net(torch.randn(BATCH, LATENT))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for parameter in critic.parameters():
            parameter.requires_grad_(True)


def velocity() -> nn.Module:
    return DenseVelocity(784, width=256)


def fit_flow(digits: Tensor, steps: int) -> None:
    mu = Pushforward(FlowMap(velocity()), standard_gaussian(784))
    solver = PrimalSolver(SquaredEuclidean(), VelocityRegression(IndependentPairing()))
    fit(mu, NU, solver, steps=steps, batch_size=BATCH)


def bare_flow(digits: Tensor, steps: int) -> None:
    v = velocity()
    optimizer = Adam(v.parameters(), lr=1e-3)
    for _ in range(steps):
        y = digits[torch.randint(len(digits), (BATCH,))]
        z, t = torch.randn(BATCH, 784), torch.rand(BATCH)
        loss = (v(t, torch.lerp(z, y, t[:, None])) - (y - z)).square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def shares_of_pairs(steps: int, repeats: int) -> dict[str, list[float]]:
    """Seconds for the pairs of a step over seconds for the step, repeat by repeat."""
    dim, batch, cost = 16, 256, SquaredEuclidean()
    nu, mu = Empirical(torch.randn(8000, dim)), Pushforward(FlowMap(DenseVelocity(dim, 512)), standard_gaussian(dim))
    optimizer, shares = Adam(mu.parameters(), lr=1e-3), {}
    for name, pairing in {
        "independent": IndependentPairing(),
        "table": TablePairing(tol=0.5),
        "exact plan of 256": PlanPairing(exact_plan, 256),
        "Sinkhorn plan of 256": PlanPairing(partial(sinkhorn_plan, epsilon=1.0), 256),
    }.items():
        regression = VelocityRegression(pairing)
        regression.bind(mu, nu, cost)
        regression.settle(mu, nu, cost, None, None)
        shares[name] = []
        for _ in range(repeats):
            began = device.now()
            for _ in range(steps):
                pairing(mu.base, nu, cost, batch)
            paired = device.now()
            for _ in range(steps):
                optimizer.zero_grad()
                regression(mu, nu, cost, batch).value.backward()
                optimizer.step()
            shares[name].append((paired - began) / (device.now() - paired))
    return shares


def rates(
    run: Callable[[Tensor, int], None], other: Callable[[Tensor, int], None], steps: int, repeats: int, draws: int
):
    """Images per second of both, interleaved, after one warm-up each."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 1):
        for side, function in zip(seconds, (run, other), strict=True):
            torch.manual_seed(repeat)
            began = device.now()
            function(DIGITS, steps)
            side.append(device.now() - began)
    return [[steps * BATCH * draws / s for s in side[1:]] for side in seconds]


def main() -> None:
    parser = device.with_device(argparse.ArgumentParser(description=__doc__))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device.use(arguments.device)
    global NU, DIGITS
    NU = data.mnist().train.to(device.WHERE)
    DIGITS = NU.atoms
    print(f"torch {torch.__version__}, {arguments.threads} thread(s), {device.clock()}, ", end="")
    print(f"batch {BATCH}, {arguments.repeats} repeats")
    print(f"{'':10s} {'fit, images/s':>28s} {'bare loop, images/s':>28s} {'ratio of medians':>18s}")
    cases = (
        ("VAE", fit_vae, bare_vae, 1),
        ("WGAN-GP", fit_wgan_gp, bare_wgan_gp, CRITIC_STEPS + 1),
        ("flow", fit_flow, bare_flow, 1),
    )
    for name, ours, bare, draws in cases:
        steps = max(5, arguments.steps // draws)
        found = rates(ours, bare, steps, arguments.repeats, draws)
        shown = [f"{statistics.median(side):8.0f} ({min(side):.0f}-{max(side):.0f})" for side in found]
        ratio = statistics.median(found[0]) / statistics.median(found[1])
        print(f"{name:10s} {shown[0]:>28s} {shown[1]:>28s} {ratio:18.3f}")
    print("\nshare of a flow's step that its pairs take, 8,000 atoms in 16 dimensions, batch 256, width 512")
    for name, shares in shares_of_pairs(max(5, arguments.steps // 15), arguments.repeats).items():
        print(f"{name:22s} {statistics.median(shares):6.1%} ({min(shares):.1%}-{max(shares):.1%})")


if __name__ == "__main__":
    main()
