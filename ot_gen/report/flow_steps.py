"""The steps of a flow, of a generator or of the prior on its codes, for the explorer's slider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ot_gen.measures import Pushforward, labelled, unlabelled
from ot_gen.runs.flows import flow_paths

PATHS = 240
FRAMES = 33  # at most
STILLS = 8  # paths whose images are shown


@final
@dataclass(frozen=True, eq=False)
class FlowSteps:
    """Paths of points of ζ at some of the steps of a flow, from t = 0 to t = 1.

    Attributes:
        is_prior: whether the flow is the prior of a decoder, and its paths are of codes; else they are of data.
        steps: of the flow.
        times: of the frames, (f,).
        paths: (f, n, d), in own units.
        labels: their classes, (n,), or None.
        images: of the first few paths at each frame, (f, 8, c·h·w); None of points.
    """

    is_prior: bool
    steps: int
    times: Tensor
    paths: Tensor
    labels: Tensor | None
    images: Tensor | None


def flow_steps(mu: Pushforward, is_of_images: bool) -> FlowSteps | None:
    """The steps of a model's flow; None where it has none. No graph; the caller sees to modes and random states.

    Args:
        mu: the model, in the data's own units.
        is_of_images: whether it makes images.

    Example:
        >>> from ot_gen import MLP, standard_gaussian
        >>> flow_steps(Pushforward(MLP(2, 2), standard_gaussian(2)), False) is None
        True
    """
    is_prior = isinstance(mu.base, Pushforward)
    law = mu.base if isinstance(mu.base, Pushforward) else mu
    z = law.base.sample(PATHS)
    paths = flow_paths(law, z)
    if paths is None:
        return None
    labels = None if mu.classes is None else unlabelled(z)[1]
    steps = len(paths) - 1
    kept = torch.linspace(0, steps, min(FRAMES, steps + 1), device=paths.device).round().long()
    images = None
    if is_of_images:
        shown = paths[kept, :STILLS]
        images = shown if not is_prior else _decoded(mu, shown, labels)
    return FlowSteps(is_prior, steps, kept / steps, paths[kept], labels, images)


def _decoded(mu: Pushforward, codes: Tensor, labels: Tensor | None) -> Tensor:
    """The images of codes (f, m, k), (f, m, d)."""
    rows = codes.flatten(0, 1)
    if labels is not None:
        rows = labelled(rows, labels[: codes.shape[1]].repeat(len(codes)))
    return mu(rows).unflatten(0, codes.shape[:2])
