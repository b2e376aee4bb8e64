# %% [markdown]
# # A first run
#
# A generator g pushes noise z ~ N(0, I) to points g(z). It is trained so that their law μ is near the data ν, in the
# sense of the transport cost W_c(μ, ν). Here the cost is held by an exact plan between each batch of samples and of
# data.

# %%
import matplotlib.pyplot as plt
import torch

from ot_gen import (
    MLP,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    data,
    exact_plan,
    fit,
    linear_decay,
    standard_gaussian,
    wasserstein,
)

steps = 1500  # 5 in tests

torch.manual_seed(0)
moons = data.toy(data.two_moons(), size=2000)
mu = Pushforward(MLP(2, 2), standard_gaussian(2))
solver = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))
progress = fit(mu, moons.train, solver, steps=steps, schedule=linear_decay)

# %% [markdown]
# `progress.rows` has a row for each step. The value of a batch is biased: two batches of real data are not at
# distance 0. Their mean value is the floor.

# %%
values = [row["value"] for row in progress.rows]
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
left.plot(values, color="C0", linewidth=0.6)
left.axhline(progress.rows[-1]["floor"], color="grey", linestyle="--", label="floor")
left.set(xlabel="step", ylabel="plan's value", yscale="log")
left.legend()
held_out, samples = moons.test.atoms[:1000], mu.sample(1000)
right.scatter(*held_out.T, s=3, color="lightgrey", label="held out")
right.scatter(*samples.T, s=3, color="C3", label="model")
right.set_aspect("equal")
_ = right.legend()

# %% [markdown]
# The figure to report: W₂² between equally many samples and held-out points, beside that of two real samples.

# %%
print(f"model  {wasserstein(samples, held_out):.4f}")
print(f"floor  {wasserstein(moons.train.atoms[:1000], held_out):.4f}")
