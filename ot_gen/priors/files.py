"""Files of priors: tensors with checksums and a header that names the kind. Nothing in them is executed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ot_gen.arguments import checked
from ot_gen.execution import check_sums, on_one_line, read_tensors, write_tensors
from ot_gen.measures import FullMixture, Measure, Placed, Pushforward, Reference, Units, standard_gaussian
from ot_gen.networks import DenseVelocity, FlowMap
from ot_gen.priors.cells import CellMixture

MIXTURE, WITHOUT_SUMS = "ot_gen prior 1", ""  # formats of mixtures
OF_A_KIND = "ot_gen prior 2"  # the header's entry "kind" says which
FLOW, CELLS = "flow", "cells"
MOST_STEPS = 10_000  # of a flow that a file asks for


def has_file(prior: Measure) -> bool:
    """Whether `save_prior` writes this measure.

    Example:
        >>> has_file(standard_gaussian(2))
        False
    """
    return isinstance(prior, CellMixture) or _is_mixture(prior) or _flow(prior) is not None


@checked
def save_prior(prior: Measure, path: str | Path) -> None:
    """Write a prior of `ex_post_prior`, `flow_prior` or `semidiscrete_prior` to a safetensors file, atomically.

    Raises:
        ValueError: the measure is no such prior.
    """
    path = Path(path)
    if isinstance(prior, Reference) and isinstance(prior.family, FullMixture):
        write_tensors(path, prior.family.state_dict(), {"format": MIXTURE})
    elif isinstance(prior, CellMixture):
        _write(path, CELLS, prior.state_dict(), {"mix": prior.mix})
    elif (flow := _flow(prior)) is not None:
        assert isinstance(prior, Pushforward)
        _write(path, FLOW, prior.map.state_dict(), {"steps": flow.steps, "method": str(flow.method)})
    else:
        raise ValueError(
            f"save_prior writes priors of ex_post_prior, flow_prior and semidiscrete_prior, got {prior}; "
            "save its state_dict()"
        )


@checked
def load_prior(path: str | Path) -> Measure:
    """Read a prior that `save_prior` wrote. After one seed it samples what the prior sampled that was saved.

    Raises:
        ValueError: the file is missing, damaged or something else.

    Example:
        >>> load_prior("runs/best/prior.safetensors")  # doctest: +SKIP
    """
    path = Path(path)
    try:
        header, tensors = read_tensors(path, (MIXTURE, OF_A_KIND, WITHOUT_SUMS))
        check_sums(path, header, tensors, without=WITHOUT_SUMS)
        if header.get("format", WITHOUT_SUMS) != OF_A_KIND:
            return Reference(FullMixture(tensors["weights"], tensors["means"], tensors["scale_tril"]))
        kinds = {FLOW: _read_flow, CELLS: _read_cells}
        if (kind := header.get("kind", "")) not in kinds:
            raise ValueError(f"it is of a kind {kind!r} that this ot_gen does not know: upgrade it")
        return kinds[kind](tensors, json.loads(header["settings"]))
    except KeyError as error:
        raise ValueError(f"{path} holds no prior of save_prior: it lacks {error}") from error
    except (ValueError, RuntimeError, TypeError, IndexError, RecursionError) as error:
        raise ValueError(f"{path} holds no prior of save_prior ({on_one_line(error)})") from error


def _is_mixture(prior: Measure) -> bool:
    return isinstance(prior, Reference) and isinstance(prior.family, FullMixture)


def _flow(prior: Measure) -> FlowMap | None:
    """The flow of a prior of `flow_prior`."""
    if not isinstance(prior, Pushforward) or not isinstance(prior.map, Placed):
        return None
    flow = prior.map.map
    if not isinstance(flow, FlowMap) or not isinstance(flow.method, str):
        return None
    velocity = flow.velocity
    return flow if isinstance(velocity, DenseVelocity) and velocity.conditions.classes is None else None


def _write(path: Path, kind: str, tensors: Mapping[str, Tensor], settings: Mapping[str, object]) -> None:
    write_tensors(path, tensors, {"format": OF_A_KIND, "kind": kind, "settings": json.dumps(settings)})


def _units(tensors: Mapping[str, Tensor]) -> Units:
    return Units(tensors["units.shift"], tensors["units.scale"])


def _read_cells(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> CellMixture:
    jump = float(tensors["jump"])
    return CellMixture(tensors["codes"], tensors["h_tilde"], _units(tensors), settings["mix"], jump).eval()


def _read_flow(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Pushforward:
    """The sizes of the velocity are those of its tensors: no header can ask for more memory than the file has."""
    body = "map.velocity.body"
    dim, width = tensors[f"{body}.last.weight"].shape
    layers = {match for name in tensors if (match := re.fullmatch(rf"{body}\.layers\.(\d+)\.weight", name)) is not None}
    if not isinstance(steps := settings["steps"], int) or steps > MOST_STEPS:
        raise ValueError(f"it asks for {steps!r} steps of its flow; this ot_gen takes at most {MOST_STEPS}")
    velocity = DenseVelocity(dim, width, 1 + len(layers))
    flow = FlowMap(velocity, steps=steps, method=settings["method"])
    placed = Placed(flow.to(tensors[f"{body}.last.weight"].dtype), _units(tensors))
    placed.load_state_dict(dict(tensors))
    return Pushforward(placed, standard_gaussian(dim)).requires_grad_(False).eval()
