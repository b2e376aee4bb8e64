# %% [markdown]
# # Your own data
#
# Rows are points. Everything else follows: units, held-out rows, a tuned composition, a judgement beside the floor, a
# file of new rows.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import ot_gen

steps = 1500  # 2 in tests
n = 500  # 60 in tests

folder = Path(tempfile.mkdtemp())
random = np.random.default_rng(0)
height = random.normal(170, 9, size=3000)
weight = 22 * (height / 100) ** 2 * np.exp(0.12 * random.normal(size=3000))
np.save(folder / "people.npy", np.stack([height, weight], axis=1))

# %%
torch.manual_seed(0)
mu, solver, people, trainer = ot_gen.recipe(
    "data=points", f"data.path={folder / 'people.npy'}", "solver=primal/flow_exact", f"trainer.steps={steps}"
)
ot_gen.fit(mu, people.train, solver, **trainer)

# %% [markdown]
# Networks see standard coordinates. What you look at is in your own units: centimetres and kilograms.

# %%
model, own = mu.in_own_units(), people.own
samples, held_out = model.sample(n), own.test.atoms[:n]
figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
axes.scatter(*held_out.T, s=5, color="grey", label="held out")
axes.scatter(*samples.T, s=5, color="C3", label="model")
axes.set(xlabel="cm", ylabel="kg")
_ = axes.legend()

# %%
floor = ot_gen.wasserstein(own.train.atoms[:n], held_out)
print(f"W₂² model {ot_gen.wasserstein(samples, held_out):.2f}, floor {floor:.2f}")
np.savetxt(folder / "new_people.csv", model.sample(1000).numpy(), delimiter=",", header="height,weight", comments="")
