# %% [markdown]
# # Latent geometry
#
# A smooth decoder makes its latent space a Riemannian manifold: a step is as long as its image. Geodesics are the
# shortest curves in that sense.

# %%
import matplotlib.pyplot as plt
import torch

import ot_gen
from ot_gen import LatentGeometry

steps = 1500  # 2 in tests
pairs = 12  # 2 in tests
pixels = 60  # 8 in tests

torch.manual_seed(0)
mu, solver, digits, trainer = ot_gen.recipe(
    "solver=primal/vae", "data=digits", "generator=mlp_image_smooth", "reference.dim=2", f"trainer.steps={steps}"
)
ot_gen.fit(mu, digits.train, solver, **trainer)
decoder = mu.map.eval().requires_grad_(False)

# %% [markdown]
# The codes of held-out digits, and the magnification log √det M(z): dark ridges separate digits that look different.

# %%
from ot_gen import CodeMean
from ot_gen.geometry import volume_map

codes = CodeMean(solver.coupling.encoder)(digits.test.atoms).detach()
labels = digits.labels[1]
geometry = LatentGeometry(decoder, codes=codes)
box = torch.stack([codes.min(0).values, codes.max(0).values])
volume = volume_map(geometry, box, size=pixels)

chosen = torch.randperm(len(codes))[: 2 * pairs]
curves = geometry.geodesic(codes[chosen[:pairs]], codes[chosen[pairs:]])
points = curves(torch.linspace(0, 1, 33)).detach()
figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
axes.imshow(
    volume.values.T, origin="lower", extent=(*box[:, 0].tolist(), *box[:, 1].tolist()), cmap="Greys", aspect="auto"
)
axes.scatter(*codes.T, c=labels, s=6, cmap="tab10")
axes.plot(points[..., 0].T, points[..., 1].T, color="black", linewidth=0.8)
print(curves.claim)

# %% [markdown]
# Images along one geodesic, above, and along the straight segment, below.

# %%
t = torch.linspace(0, 1, 8)
straight = codes[chosen[0]] + t[:, None] * (codes[chosen[pairs]] - codes[chosen[0]])
rows = torch.stack([decoder(curves(t)[0]), decoder(straight)]).detach().reshape(2, 8, 8, 8)
figure, grid = plt.subplots(2, 8, figsize=(8, 2.2), layout="constrained")
for axes, image in zip(grid.flat, rows.flatten(0, 1), strict=True):
    axes.imshow(image, cmap="Greys")
    axes.axis("off")
