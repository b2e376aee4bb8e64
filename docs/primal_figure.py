"""Draws docs/primal_codes.png and docs/primal_manifold.png, and prints the numbers of docs/primal.md.

A VAE with two latent dimensions and one with eight, on the 8,000 embedded training digits (about two minutes).
"""

from pathlib import Path

import torch

from ot_gen import (
    KL,
    MLP,
    EncoderCoupling,
    GaussianEncoder,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    add_head,
    data,
    fit,
    judge_encoder,
    linear_decay,
    standard_gaussian,
)
from ot_gen.measures import undisturbed
from ot_gen.runs import figures, latents

DOCS = Path(__file__).parent
SHAPE = (1, 28, 28)
VARIANCE_SHARE = 0.007  # λ / E‖y − ȳ‖², as in conf/solver/primal/vae.yaml


def vae(digits: data.Dataset, k: int, steps: int) -> tuple[Pushforward, EncoderCoupling]:
    """A VAE of the entry primal/vae with k latent dimensions, trained."""
    torch.manual_seed(0)
    decoder = MLP(k, 784, hidden=(200, 400), output=torch.nn.Sigmoid())
    encoder = GaussianEncoder(add_head(MLP(784, hidden=(400, 200)), 2 * k))
    mu = Pushforward(decoder, standard_gaussian(k))
    coupling = EncoderCoupling(encoder, KL(), weight=VARIANCE_SHARE * digits.variance)
    solver = PrimalSolver(SquaredEuclidean(), coupling)
    fit(mu, digits.train, solver, steps=steps, batch_size=128, schedule=lambda f: linear_decay(f, start=0.8))
    return mu, coupling


def main() -> None:
    """Train, draw, print."""
    torch.set_num_threads(1)
    digits = data.mnist()
    mu, coupling = vae(digits, 2, 4000)
    with undisturbed(mu, coupling):
        torch.manual_seed(0)
        codes = coupling.encoder(digits.test.atoms).sample()
        figure = latents.code_figure(codes, digits.test_labels, mu.base.sample(2000))
        figures.save(figure, DOCS / "primal_codes.png")
        manifold = latents.manifold_figure(mu, digits.test.atoms, SHAPE)
        assert manifold is not None
        figures.save(manifold, DOCS / "primal_manifold.png")
    mu, coupling = vae(digits, 8, 4000)
    print(f"λ = {coupling.weight:.4f}, σ² = {coupling.weight / 2:.4f}")
    found = judge_encoder(
        mu, digits.test, SquaredEuclidean(), coupling.encoder, variance=coupling.weight / 2, samples=1000
    )
    for name, value in found._asdict().items():
        print(f"{name:24s} {value:.4g}" if isinstance(value, float) else f"{name:24s} {value}")


if __name__ == "__main__":
    main()
