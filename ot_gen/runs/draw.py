"""The pictures that a run leaves in its folder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ot_gen.data import Dataset
from ot_gen.measures import Pushforward, undisturbed
from ot_gen.runs import class_figures, figures, flow_figures, latents
from ot_gen.runs.flows import flows_in, plane_paths, samples_at_few
from ot_gen.runs.record import read_metrics

SEGMENTS = 8  # of the interpolations
FIGURES = (
    *(
        "samples",
        "data",
        "classes",
        "reconstructions",
        "codes",
        "manifold",
        "interpolations",
        "evaluations",
        "trajectories",
    ),
    "curves",
)


def undraw(folder: Path) -> None:
    """Remove the pictures of an earlier run from `folder`: they are not those of the run that begins there."""
    for name in FIGURES:
        (folder / f"{name}.png").unlink(missing_ok=True)


def draw(folder: Path, mu: Pushforward, encoder: nn.Module | None, data: Dataset, seed: int = 0) -> None:
    """Draw into `folder`, without changing the random state or the mode of any module.

    samples.png            of the model
    data.png               of images: as many held-out ones, to stand beside the samples
    reconstructions.png    held-out points y and g(E q(·|y)), where there is an encoder
    codes.png              one code of each held-out point, by class, over draws of the reference; needs an encoder
    manifold.png           the image of a grid of the latent plane, for k = 2
    interpolations.png     images of straight segments between codes, or between draws of ζ without an encoder
    evaluations.png        of a flow: the same samples at few evaluations of its velocity and at all of them
    trajectories.png       of a flow in the plane: the paths of points of the reference
    classes.png            of a model that generates by class: images, a row for each; points, beside the data
    curves.png             of training
    """
    modules = [mu] if encoder is None else [mu, encoder]
    points, shape = data.test.rows[:2000], data.shape
    drawn = {}
    with undisturbed(*modules):
        torch.manual_seed(seed)
        drawn["samples"] = figures.sample_figure(mu.sample(100 if shape else 2000), points, shape)
        if shape:
            drawn["data"] = figures.image_grid(points[:100], shape)
        ends = mu.base.sample(2 * SEGMENTS)
        k = mu.base.dim - (mu.classes is not None)  # of a code without its class
        rows = points if mu.classes is None else data.by_label().test.atoms[:2000]
        if encoder is not None:
            some = 20 if shape else 200
            drawn["reconstructions"] = figures.reconstruction_figure(
                points[:some], mu(encoder(rows[:some]).mean), shape
            )
            labels = None if data.test_labels is None else data.test_labels[:2000]
            codes = encoder(rows).sample()[:, :k]
            drawn["codes"] = latents.code_figure(codes, labels, mu.base.sample(2000)[:, :k], data.class_names)
            ends = encoder(rows[: min(2 * SEGMENTS, len(points) // 2 * 2)]).mean
        manifold = latents.manifold_figure(mu, points, shape)
        if manifold is not None:
            drawn["manifold"] = manifold
        ends = ends.unflatten(0, (-1, 2))
        if mu.classes is not None:
            ends[:, 1, -1] = ends[:, 0, -1]  # a segment stays in its class
        drawn["interpolations"] = latents.interpolation_figure(mu, ends, points, shape)
        if mu.classes is not None:
            drawn["classes"] = class_figures.class_figure(mu, data, seed)
    if flows_in(mu):
        made = samples_at_few(mu, 10 if shape else 1000, seed)
        drawn["evaluations"] = flow_figures.evaluation_figure(made, points, shape)
        if (paths := plane_paths(mu, flow_figures.PATHS, seed)) is not None:
            drawn["trajectories"] = flow_figures.trajectory_figure(paths, points)
    if steps := read_metrics(folder):
        drawn["curves"] = figures.curve_figure(steps)
    for name, figure in drawn.items():
        figures.save(figure, folder / f"{name}.png")
