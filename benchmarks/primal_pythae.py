"""Pythae's models under the protocol of `primal_quality.py` and `primal_speed.py`, which run this in its environment:

    python3 -m venv pythae && pythae/bin/pip install torch==2.13.0
    pythae/bin/pip install pythae==0.1.2 --no-deps
    pythae/bin/pip install numpy scipy scikit-learn pydantic tqdm cloudpickle imageio typing_extensions

Reads digits from .npy files, trains, writes samples and prints one line of JSON; imports nothing of ot_gen.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

# Pythae reports on this logger from its import on.
logging.disable(logging.CRITICAL)
from pythae.models import VAE, WAE_MMD, VAEConfig, WAE_MMD_Config  # noqa: E402
from pythae.models.base.base_utils import ModelOutput  # noqa: E402
from pythae.models.nn import BaseDecoder, BaseEncoder  # noqa: E402
from pythae.pipelines import TrainingPipeline  # noqa: E402
from pythae.samplers import GaussianMixtureSampler, GaussianMixtureSamplerConfig  # noqa: E402
from pythae.trainers import BaseTrainerConfig  # noqa: E402

LATENT, DIM = 8, 784


class Encoder(BaseEncoder):
    """784-400-200-8, twice the outputs where the model asks for a log variance."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Linear(DIM, 400), nn.ReLU()),
            *(nn.Linear(400, 200), nn.ReLU()),
            nn.Linear(200, outputs * LATENT),
        )

    def forward(self, x: Tensor) -> ModelOutput:
        mean, *log_variance = self.net(x.flatten(1)).split(LATENT, dim=1)
        output = ModelOutput(embedding=mean)
        if log_variance:
            output["log_covariance"] = log_variance[0]
        return output


class Decoder(BaseDecoder):
    """8-200-400-784 with a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Linear(LATENT, 200), nn.ReLU()),
            *(nn.Linear(200, 400), nn.ReLU()),
            *(nn.Linear(400, DIM), nn.Sigmoid()),
        )

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.net(z).view(-1, 1, 28, 28))


def vae(loss: str) -> VAE:
    return VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss=loss), Encoder(2), Decoder())


def wae(**options: float) -> WAE_MMD:
    return WAE_MMD(WAE_MMD_Config(input_dim=(1, 28, 28), latent_dim=LATENT, **options), Encoder(1), Decoder())


MODELS = {
    "vae": lambda: vae("mse"),  # Pythae's default: ½‖x − y‖² + KL
    "vae_bce": lambda: vae("bce"),
    "wae_mmd": lambda: wae(),
    "wae_mmd_100": lambda: wae(reg_weight=100.0),
}


def train(model: nn.Module, images: Tensor, epochs: int, batch: int, seed: int) -> tuple[nn.Module, float]:
    """The model that Pythae's pipeline keeps, the best on the training data, and its CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=epochs,
            per_device_train_batch_size=batch,
            learning_rate=1e-3,
            seed=seed,
            no_cuda=True,
        )
        pipeline = TrainingPipeline(training_config=config, model=model)
        began = time.process_time()
        pipeline(train_data=images)
        seconds = time.process_time() - began
    return pipeline.trainer._best_model.eval(), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("digits", type=Path, help=".npy, training digits (n, 784) in [0, 1]")
    parser.add_argument("--images", type=int, default=240_000, help="rounded up to whole epochs")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warm-up", action="store_true", help="train one epoch first, untimed")
    parser.add_argument("--held-out", type=Path, help=".npy, digits to reconstruct")
    parser.add_argument("--samples", type=Path, help="folder for samples.npy, expost.npy and codes.npy")
    parser.add_argument("--n", type=int, default=2000, help="of samples")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    digits = torch.from_numpy(np.load(arguments.digits)).view(-1, 1, 28, 28)
    torch.manual_seed(arguments.seed)
    if arguments.warm_up:
        train(MODELS[arguments.model](), digits, 1, arguments.batch, arguments.seed)
    epochs = math.ceil(arguments.images / len(digits))
    torch.manual_seed(arguments.seed)  # the pipeline seeds after the weights are drawn
    model, seconds = train(MODELS[arguments.model](), digits, epochs, arguments.batch, arguments.seed)
    report = {
        "images": epochs * len(digits),
        "cpu_seconds": seconds,
        "versions": {name: version(name) for name in ("pythae", "torch")},
    }
    with torch.no_grad():
        if arguments.held_out is not None:
            y = torch.from_numpy(np.load(arguments.held_out))
            x = model.decoder(model.encoder(y).embedding)["reconstruction"].flatten(1)
            report["reconstruction"] = (x - y).square().sum(1).mean().item()
        if arguments.samples is not None:
            np.random.seed(arguments.seed)  # of the mixture's draws
            sampler = GaussianMixtureSampler(model, GaussianMixtureSamplerConfig(n_components=10))
            sampler.fit(digits)
            found = {
                "samples": model.decoder(torch.randn(arguments.n, LATENT))["reconstruction"].flatten(1),
                "expost": sampler.sample(arguments.n).flatten(1),
                "codes": model({"data": digits}).z,
            }
            for name, array in found.items():
                np.save(arguments.samples / f"{name}.npy", array.numpy())
    print(json.dumps(report))


if __name__ == "__main__":
    main()
