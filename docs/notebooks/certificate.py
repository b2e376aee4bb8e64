# %% [markdown]
# # Semi-discrete transport and its certificate
#
# Between a law that can be sampled and finitely many atoms the dual is a table: a number h̃_j for each atom. The
# points that choose atom j are its Laguerre cell; at the optimum each cell has the mass of its atom.

# %%
import matplotlib.pyplot as plt
import torch

from ot_gen import Empirical, Euclidean, LaguerreCells, SquaredEuclidean, certify, semidiscrete, standard_gaussian

max_samples = 65536  # 8192 in tests
pixels = 300  # 20 in tests

torch.manual_seed(0)
zeta = standard_gaussian(2)
nu = Empirical(torch.randn(25, 2) * 0.5 + torch.tensor([1.5, 0.0]))
solution = semidiscrete(zeta, nu, SquaredEuclidean(), tol=0.02)
print(f"{solution.lower:.4f} <= W₂² <= {solution.upper:.4f}; masses are wrong by {solution.marginal_error:.1e}")

# %%
line = torch.linspace(-3, 3, pixels)
grid = torch.cartesian_prod(line, line)
figure, pictures = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for axes, table, title in zip(
    pictures, (torch.zeros(25), solution.h_tilde), ("h̃ = 0: Voronoi", "optimal"), strict=True
):
    cells = LaguerreCells(SquaredEuclidean(), nu.atoms, table)(grid)[1]
    axes.imshow(cells.reshape(pixels, pixels).T % 20, origin="lower", extent=(-3, 3, -3, 3), cmap="tab20", alpha=0.5)
    axes.scatter(*nu.atoms.T, s=8, color="black")
    axes.set_title(title)

# %% [markdown]
# Any table gives a lower bound, and any coupling an upper one. `certify` makes both for any sampler, with errors, and
# returns an interval that holds W with a stated confidence. Here for two models of the same data:

# %%
for shift in (0.0, 1.5):
    model = torch.distributions.Normal(torch.tensor([shift, 0.0]), torch.full((2,), 0.5))
    certificate = certify(
        torch.distributions.Independent(model, 1), nu, Euclidean(), width=0.1, max_samples=max_samples
    )
    low, high = certificate.interval
    print(f"mean at {shift}: W₁ in [{low:.3f}, {high:.3f}], {certificate.message}")
