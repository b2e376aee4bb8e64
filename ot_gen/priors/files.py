"""Files of priors: tensors with checksums and a header that names the kind. Nothing in them is executed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ot_gen.arguments import checked
from ot_gen.conditioning import with_classes
from ot_gen.execution import check_sums, difference, fingerprint, on_one_line, read_tensors, target, write_tensors
from ot_gen.measures import (
    FullMixture,
    Labelled,
    Measure,
    Placed,
    Pushforward,
    Reference,
    Units,
    Unlabelled,
    WithLabel,
    standard_gaussian,
)
from ot_gen.networks import DenseVelocity, FlowMap, LabelledVelocity
from ot_gen.networks.velocities import FREQUENCIES
from ot_gen.priors.cells import CellMixture

MIXTURE, WITHOUT_SUMS = "ot_gen prior 1", ""  # formats of mixtures
OF_A_KIND = "ot_gen prior 2"  # the header's entry "kind" says which
FLOW, CELLS, CLASSES = "flow", "cells", "classes"
CLUSTERS = "flow of clusters"  # whose classes are nobody's labels
VELOCITY, BASE, SHARES = "map.velocity", "base.", "shares"  # of a flow, its mixtures, and its classes
BODY, LABELS = f"{VELOCITY}.body", f"{VELOCITY}.conditions.label.weight"
PRIOR_NAME = "prior.safetensors"  # in a run's folder
MODEL = "model"  # the header's entry that tells the model on whose codes the prior is; earlier files have none


def has_file(prior: Measure) -> bool:
    """Whether `save_prior` writes this measure.

    Example:
        >>> has_file(standard_gaussian(2))
        False
    """
    if isinstance(prior, Labelled):
        return len(prior.parts) == prior.classes and all(map(_is_plain, prior.parts))
    return _is_plain(prior)


def _is_plain(prior: nn.Module) -> bool:
    return isinstance(prior, CellMixture) or _is_mixture(prior) or _flow(prior) is not None


@checked
def save_prior(prior: Measure, path: str | Path, model: nn.Module | None = None, overwrite: bool = False) -> None:
    """Write a prior of `ex_post_prior`, `flow_prior` or `semidiscrete_prior` to a safetensors file, atomically.

    Args:
        prior: a measure on the codes.
        path: of the file; its folder is made where it is missing.
        model: whose codes they are. The file tells it from others by its weights.
        overwrite: whether the file may take the place of one that is there.

    Raises:
        ValueError: the measure is no such prior or has weights that are not finite, or something is at `path`.

    Example:
        >>> import tempfile, torch
        >>> from ot_gen import DiracEncoder, Empirical, ex_post_prior, load_prior, save_prior
        >>> prior = ex_post_prior(DiracEncoder(torch.nn.Linear(3, 2)), Empirical(torch.randn(200, 3)), components=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_prior(prior, f"{folder}/prior.safetensors")
        ...     load_prior(f"{folder}/prior.safetensors").dim
        2
    """
    if not has_file(prior):
        raise ValueError(
            f"save_prior writes priors of ex_post_prior, flow_prior and semidiscrete_prior, got {prior}; "
            "save its state_dict()"
        )
    path = target(path, "prior")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} is there already; give another name, or replace it with overwrite=True")
    header = {} if model is None else {MODEL: json.dumps(fingerprint(model=model))}
    tensors, own = _written(prior)
    header = own | header
    _check_finite(tensors)
    write_tensors(path, tensors, header)


@checked
def load_prior(path: str | Path, model: nn.Module | None = None) -> Measure:
    """Read a prior that `save_prior` wrote. After one seed it samples what the prior sampled that was saved.

    Args:
        path: of the file, or of the folder of a run that keeps one.
        model: whose codes it is to be a law of. Files that tell no model are taken for any.

    Raises:
        ValueError: the file is missing, damaged or something else, or belongs to another model.

    Example:
        >>> load_prior("runs/best/prior.safetensors")  # doctest: +SKIP
    """
    path = Path(path)
    path = path / PRIOR_NAME if path.is_dir() else path
    try:
        header, tensors = read_tensors(path, (MIXTURE, OF_A_KIND, WITHOUT_SUMS))
        check_sums(path, header, tensors, without=WITHOUT_SUMS)
        prior = _read(header, tensors)
        there = None if model is None or MODEL not in header else json.loads(header[MODEL])
        differs = None if there is None else difference(there, fingerprint(model=model))
    except KeyError as error:
        raise ValueError(f"{path} holds no prior of save_prior: it lacks {error}") from error
    except (ValueError, RuntimeError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} holds no prior of save_prior ({on_one_line(error)})") from error
    if differs is not None:
        raise ValueError(
            f"{path} holds the prior of another model ({differs}): its codes mean nothing to this one; take the file "
            "that was saved with it, or fit a prior anew"
        )
    return prior


def _read(header: Mapping[str, str], tensors: Mapping[str, Tensor]) -> Measure:
    _check_finite(tensors)
    if header.get("format", WITHOUT_SUMS) != OF_A_KIND:
        return _read_mixture(tensors)
    kinds: dict[str, Callable[..., Measure]] = {
        FLOW: _read_flow,
        CLUSTERS: _read_clusters,
        CELLS: _read_cells,
        CLASSES: _read_classes,
    }
    if (kind := header.get("kind", "")) not in kinds:
        raise ValueError(f"it is of a kind {kind!r} that this ot_gen does not know: upgrade it")
    return kinds[kind](tensors, json.loads(header["settings"]))


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Refuse NaN and Inf; the largest jump of cells alone may be infinite."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all() and not (name == "jump" and not tensor.isnan().any()):
            raise ValueError(f"{name} of the prior holds NaN or Inf; fit it again")


def _is_mixture(prior: nn.Module) -> bool:
    return isinstance(prior, Reference) and isinstance(prior.family, FullMixture)


def _flow(prior: nn.Module) -> tuple[FlowMap, DenseVelocity, Units] | None:
    """The flow of a prior of `flow_prior`, its velocity, and the units of the codes."""
    placed = getattr(prior, "map", None)
    placed = placed.map if isinstance(placed, WithLabel) else placed
    if not isinstance(placed, Placed):
        return None
    flow = placed.map.map if isinstance(placed.map, Unlabelled) else placed.map
    if not isinstance(flow, FlowMap) or not isinstance(flow.method, str):
        return None
    velocity = flow.velocity.velocity if isinstance(flow.velocity, LabelledVelocity) else flow.velocity
    return (flow, velocity, placed.units) if isinstance(velocity, DenseVelocity) else None


def _written(prior: Measure) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a prior, and a header that tells how it is made of them."""
    if isinstance(prior, Labelled):
        parts = [_written(prior.part(k)) for k in range(prior.classes)]
        tensors = {f"{k}.{name}": tensor for k, (part, _) in enumerate(parts) for name, tensor in part.items()}
        return tensors | {SHARES: prior.shares}, _of_a_kind(CLASSES, [header for _, header in parts])
    if isinstance(prior, Reference):
        assert isinstance(prior.family, FullMixture)
        return dict(prior.family.state_dict()), {"format": MIXTURE}
    if isinstance(prior, CellMixture):
        return dict(prior.state_dict()), _of_a_kind(CELLS, {"mix": prior.mix})
    known = _flow(prior)
    assert known is not None  # as `has_file` says
    flow, velocity, units = known
    tensors = {f"{VELOCITY}.{name}": tensor for name, tensor in velocity.state_dict().items()}
    tensors |= {"units.shift": units.shift, "units.scale": units.scale}
    assert isinstance(prior, Pushforward)
    laws: Iterable[nn.Module] = [prior.base]
    if isinstance(prior.base, Labelled):
        tensors[SHARES], laws = prior.base.shares, prior.base.parts
    for k, law in enumerate(laws):
        if isinstance(law, Reference) and isinstance(law.family, FullMixture):  # else it is N(0, I)
            tensors |= {f"{BASE}{k}.{name}": tensor for name, tensor in law.family.state_dict().items()}
    kind = CLUSTERS if isinstance(prior.base, Labelled) and prior.classes is None else FLOW
    return tensors, _of_a_kind(kind, {"steps": flow.steps, "method": flow.method})


def _of_a_kind(kind: str, settings: object) -> dict[str, str]:
    return {"format": OF_A_KIND, "kind": kind, "settings": json.dumps(settings)}


def _units(tensors: Mapping[str, Tensor]) -> Units:
    return Units(tensors["units.shift"], tensors["units.scale"])


def _read_mixture(tensors: Mapping[str, Tensor]) -> Reference:
    return Reference(FullMixture(tensors["weights"], tensors["means"], tensors["scale_tril"]))


def _within(start: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those whose names begin with `start`, by the rest of their names."""
    return {name.removeprefix(start): part for name, part in tensors.items() if name.startswith(start)}


def _read_cells(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> CellMixture:
    jump = float(tensors["jump"])
    return CellMixture(tensors["codes"], tensors["h_tilde"], _units(tensors), settings["mix"], jump).eval()


def _read_classes(tensors: Mapping[str, Tensor], settings: list[Mapping[str, str]]) -> Labelled:
    if any(header.get("kind") == CLASSES for header in settings):
        raise ValueError("a class of the prior has classes itself")
    parts = []
    for k, header in enumerate(settings):
        parts.append(_read(header, _within(f"{k}.", tensors)))
    return Labelled(parts, tensors[SHARES])


def _read_flow(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Pushforward:
    """No header can ask for more memory than the file has: all tensors fit each other before anything is built."""
    depth = 1 + sum(re.fullmatch(rf"{BODY}\.layers\.\d+\.weight", name) is not None for name in tensors)
    dim, width = tensors[f"{BODY}.last.weight"].shape
    classes = len(tensors[LABELS]) if LABELS in tensors else None
    base = _within(BASE, tensors)
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(BASE)}
    asked = _shapes(dim, width, depth, tuple(tensors["units.scale"].shape), classes)
    if lacks := asked.keys() - tensors.keys():
        raise KeyError(min(lacks))
    for name, tensor in tensors.items():
        if (shape := tuple(tensor.shape)) != asked.get(name) or not tensor.is_floating_point() or not all(shape):
            raise ValueError(f"{name} has shape {shape} of {tensor.dtype}, where {asked.get(name, 'nothing')} is asked")
    laws = _read_base(base, dim, classes or 1)
    velocity = DenseVelocity(dim, width, depth, classes).to(tensors[f"{BODY}.last.weight"].dtype)
    velocity.load_state_dict(_within(f"{VELOCITY}.", tensors))
    flow = FlowMap(velocity, steps=settings["steps"], method=settings["method"])
    if classes is None:
        prior = Pushforward(Placed(flow, _units(tensors)), laws[0])
    else:
        placed = Placed(Unlabelled(with_classes(flow, classes)), _units(tensors))
        prior = Pushforward(WithLabel(placed), Labelled(laws, tensors[SHARES]))
    return prior.requires_grad_(False).eval()


def _read_clusters(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Pushforward:
    by_class = _read_flow(tensors, settings)
    if not isinstance(by_class.map, WithLabel):
        raise ValueError(f"it lacks {SHARES} of the clusters from which its flow starts")
    prior = Pushforward(by_class.map.map, by_class.base)
    prior.classes = None
    return prior.requires_grad_(False).eval()


def _read_base(tensors: Mapping[str, Tensor], dim: int, classes: int) -> list[Reference]:
    """The laws from which a flow starts: mixtures, one a class, or N(0, I), which has no tensors."""
    if not tensors:
        return [standard_gaussian(dim)]
    asked = {f"{k}.{name}" for k in range(classes) for name in ("weights", "means", "scale_tril")}
    if unlike := asked ^ tensors.keys():
        raise ValueError(
            f"it lacks or has too much {BASE}{min(unlike)}, for a flow that starts from {classes} mixtures"
        )
    laws = [_read_mixture(_within(f"{k}.", tensors)) for k in range(classes)]
    if any(law.dim != dim for law in laws) or not all(part.is_floating_point() for part in tensors.values()):
        raise ValueError(f"its flow starts from mixtures that are not of numbers in dimension {dim}, its velocity's")
    return laws


def _shapes(
    dim: int, width: int, depth: int, scale: tuple[int, ...], classes: int | None
) -> dict[str, tuple[int, ...]]:
    """Of all tensors of a flow of codes, (dim,), whose velocity has hidden layers of this width."""
    extra = DenseVelocity(1, 1, classes=None if classes is None else 1).conditions.dim
    layers = {"first": (width, dim + extra), "last": (dim, width)}
    layers |= {f"layers.{number}": (width, width + extra) for number in range(depth - 1)}
    shapes: dict[str, tuple[int, ...]] = {"units.shift": (dim,), "units.scale": scale}
    for name, shape in layers.items():
        shapes |= {f"{BODY}.{name}.weight": shape, f"{BODY}.{name}.bias": shape[:1]}
    if classes is not None:
        shapes |= {SHARES: (classes,), LABELS: (classes, 2 * FREQUENCIES)}
    return shapes
