# %% [markdown]
# # Flows, and why the coupling matters
#
# A velocity v_θ(t, x) learns y − z along straight segments between pairs (z, y). Any coupling of ζ and ν trains it.
# With the optimal one paths are straight, so few steps carry ζ to ν.

# %%
import matplotlib.pyplot as plt
import torch

from ot_gen import (
    DenseVelocity,
    FlowMap,
    IndependentPairing,
    PlanPairing,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    TablePairing,
    VelocityRegression,
    data,
    exact_plan,
    fit,
    linear_decay,
    standard_gaussian,
    wasserstein,
)

steps = 1500  # 3 in tests
size = 1000  # 200 in tests

toy = data.toy(data.eight_gaussians(), size=size, test_size=size)
pairings = {"independent": IndependentPairing(), "plans": PlanPairing(exact_plan), "table": TablePairing()}
models = {}
for name, pairing in pairings.items():
    torch.manual_seed(0)
    mu = Pushforward(FlowMap(DenseVelocity(2), steps=16), standard_gaussian(2))
    fit(
        mu, toy.train, PrimalSolver(SquaredEuclidean(), VelocityRegression(pairing)), steps=steps, schedule=linear_decay
    )
    models[name] = mu

# %% [markdown]
# The paths of sixty points, and W₂² to held-out points by the number of Euler steps.

# %%
z = standard_gaussian(2).sample(60)
figure, pictures = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained", sharex=True, sharey=True)
for axes, (name, mu) in zip(pictures, models.items(), strict=True):
    paths = mu.map.trajectory(z).detach()
    axes.scatter(*toy.test.atoms.T, s=2, color="lightgrey")
    axes.plot(paths[..., 0], paths[..., 1], color="C0", linewidth=0.6)
    axes.set(title=name, aspect="equal")

# %%
print(f"floor {wasserstein(toy.train.atoms, toy.test.atoms):.3f}")
for name, mu in models.items():
    row = []
    for evaluations in (1, 4, 16):
        coarse = Pushforward(FlowMap(mu.map.velocity, steps=evaluations, method="euler"), standard_gaussian(2))
        row.append(wasserstein(coarse.sample(size), toy.test.atoms))
    print(f"{name:12}", *(f"{value:.3f}" for value in row))
