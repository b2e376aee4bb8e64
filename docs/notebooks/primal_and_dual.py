# %% [markdown]
# # Primal against dual
#
# E(θ) = W_c(g_θ#ζ, ν) is a minimum over couplings and a maximum over potentials. So it has two gradients, and they
# are one: that of the optimal plan, and that of the optimal potentials. First on a fixed problem, then in training.

# %%
import matplotlib.pyplot as plt
import torch

from ot_gen import (
    MLP,
    DiscretePotential,
    DualSolver,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    c_transform,
    data,
    exact_plan,
    fit,
    linear_decay,
    standard_gaussian,
    wasserstein,
)

steps = 1000  # 5 in tests

torch.manual_seed(0)
cost = SquaredEuclidean()
y = torch.randn(60, 2, dtype=torch.float64) + torch.tensor([2.0, 0.0], dtype=torch.float64)
x = torch.randn(60, 2, dtype=torch.float64, requires_grad=True)
plan = exact_plan(cost.matrix(x, y).detach())
primal = (plan.matrix * cost.matrix(x, y)).sum()
(of_plan,) = torch.autograd.grad(primal, x)
_, h_tilde = plan.potentials
h, _ = c_transform(cost, x, y, h_tilde)
dual = h.mean() + h_tilde.mean()
(of_potential,) = torch.autograd.grad(dual, x)
print(f"value, primal {primal.item():.6f} and dual {dual.item():.6f}")
print(f"largest difference of the gradients {(of_plan - of_potential).abs().max().item():.1e}")

# %%
figure, axes = plt.subplots(figsize=(4.5, 3.4), layout="constrained")
axes.scatter(*y.T, s=8, color="grey", label="data")
axes.quiver(*x.detach().T, *(-of_plan).T, color="C0", width=0.004, label="−gradient, plan")
axes.scatter(*x.detach().T, s=8, color="C0")
axes.set_aspect("equal")
_ = axes.legend()

# %% [markdown]
# In training the two sides differ by what they hold: a plan sees one batch, a table all atoms. One line of the
# program changes.

# %%
toy = data.toy(data.eight_gaussians())
held_out = toy.test.atoms[:1000]
figure, pictures = plt.subplots(1, 2, figsize=(8, 4), layout="constrained", sharex=True, sharey=True)
for solver, axes in zip(
    (PrimalSolver(cost, PlanCoupling(exact_plan)), DualSolver(cost, DiscretePotential(), warmup_steps=50)),
    pictures,
    strict=True,
):
    torch.manual_seed(0)
    mu = Pushforward(MLP(2, 2), standard_gaussian(2))
    fit(mu, toy.train, solver, steps=steps, schedule=linear_decay)
    samples = mu.sample(1000)
    axes.scatter(*held_out.T, s=3, color="lightgrey")
    axes.scatter(*samples.T, s=3, color="C3")
    axes.set(title=f"{type(solver).__name__}: W₂² = {wasserstein(samples, held_out):.3f}", aspect="equal")
print(f"floor {wasserstein(toy.train.atoms[:1000], held_out):.3f}")
