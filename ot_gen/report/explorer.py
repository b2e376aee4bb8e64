"""The explorer: one HTML file in which the codes of a run can be walked through, without a network."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import jinja2
import torch
from markupsafe import Markup
from torch import Tensor, nn

from ot_gen.costs import Cost
from ot_gen.couplings import TablePairing, VelocityRegression
from ot_gen.data import Dataset
from ot_gen.evaluation import NearestLabels
from ot_gen.measures import Empirical, Pushforward, Units, undisturbed, unlabelled
from ot_gen.plot.frame import planar
from ot_gen.potentials import DiscretePotential
from ot_gen.report.code_planes import CodePlane, Plane, code_plane, planes
from ot_gen.report.flow_steps import FlowSteps, flow_steps
from ot_gen.report.sheets import Sheet, floats, sheet, words16
from ot_gen.runs.flows import flow_paths
from ot_gen.runs.manifold import geometry_of
from ot_gen.semidual import c_transform
from ot_gen.solvers import Solver

TEMPLATES = Path(__file__).with_name("templates") / "explorer"
SCRIPTS = tuple(f"{name}.js" for name in ("grid", "paths", "draw", "state", "plane", "data", "page"))
CODES = 2000  # at most
DRAWS = 10_000  # of ζ, for its density
VIEWS = 8  # planes, or classes, at most
GRID, FINER = 31, 3  # images along either side, and steps of the metric's grid between two of them
WIDE, COARSE = 64, 15  # latent dimensions beyond which a generator is a flow of images, with many evaluations a point
SIZE = 4_500_000  # bytes of all pictures, before they become text
TRAINING = 5000  # points among which a draw looks for its class
BLOCK = 512  # rows that are decoded at a time


def explorer_page(
    mu: Pushforward,
    encoder: nn.Module | None,
    solver: Solver,
    data: Dataset,
    units: Units | None,
    facts: Mapping[str, str],
    asked: Sequence[tuple[int, int]] = (),
    grid: int | None = None,
    seed: int = 0,
) -> str:
    """The explorer of a model as HTML, which asks for nothing but itself.

    It holds, for each plane of codes, images on a grid (of points their places), the decoder's metric on a grid three
    times as fine, the density of ζ, and the Laguerre cells of a table where the solver has one. Neither the random
    state nor the mode of any module changes.

    Args:
        mu: the model, in the data's own units.
        encoder: of points in their own units, or None: then draws of ζ are shown.
        solver: that trained it.
        data: in their own units.
        units: of training, or None.
        facts: "title", and "folder" of the run.
        asked: pairs of coordinates, from 1, whose planes are wanted.
        grid: images along either side of a plane. None: 31, and 15 of flows of more than 64 dimensions.
        seed: of all draws.

    Raises:
        ValueError: a latent space that is a line, coordinates that there are not, or a metric that is not finite.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, autoescape=True
    )
    with undisturbed(mu, *([] if encoder is None else [encoder])):
        torch.manual_seed(seed)
        content = _Content(mu, encoder, solver, data, units, grid)
        held = content.told(asked)
    script = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return environment.get_template("page.html.j2").render(
        facts=facts,
        held=held,
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )


@final
@dataclass(frozen=True, eq=False)
class _Codes:
    """Codes to show, their classes, and what they are."""

    points: Tensor
    labels: Tensor | None
    words: str


@final
@dataclass(frozen=True, eq=False)
class _Table:
    """Which atom each point belongs to: j = argmin_j c(·, y_j) − h̃_j, of the model's point or of the code itself."""

    cost: Cost
    atoms: Tensor  # as they are shown
    standard: Tensor  # as the table knows them
    h_tilde: Tensor
    of_codes: bool


@final
class _Content:
    """All that the page knows, as plain JSON values."""

    def __init__(
        self,
        mu: Pushforward,
        encoder: nn.Module | None,
        solver: Solver,
        data: Dataset,
        units: Units | None,
        grid: int | None,
    ) -> None:
        self.mu, self.encoder, self.data, self.units = mu, encoder, data, units
        self.shape = data.shape if data.shape and data.shape[0] in (1, 3) else None
        self.k = mu.base.dim - (mu.classes is not None)
        is_wide = self.k > WIDE
        self.grid, self.finer = grid or (COARSE if is_wide else GRID), 1 if is_wide else FINER
        self.table = self._table(solver)
        self.flow = flow_steps(mu, self.shape is not None)
        self.test = data.test.rows[:CODES].cpu()

    def told(self, asked: Sequence[tuple[int, int]]) -> dict[str, Any]:
        codes = self._codes()
        shown = self._views(planes(codes.points, asked), codes)
        count = len(shown) + (self.table is not None) + (self.flow is not None)
        share = SIZE // count
        _, metric = geometry_of(self.mu.map)
        atoms, places = self._atoms(shown, share)
        return {
            "isImages": self.shape is not None,
            "dim": self.mu.dim,
            "latent": self.k,
            "finer": self.finer,
            "side": shown[0].side,
            "metric": metric.words,
            "codes": codes.words,
            "draws": DRAWS,
            "classes": self._class_names(codes.labels),
            "classesLeftOut": max(0, (self.mu.classes or 0) - len({view.label for view in shown})),
            "views": [self._view(view, share, place) for view, place in zip(shown, places, strict=True)],
            "data": None if self.shape else self._data(),
            "atoms": atoms,
            "flow": None if self.flow is None else self._steps(self.flow, shown, share),
        }

    def _codes(self) -> _Codes:
        mu, data = self.mu, self.data
        labels = None if data.test_labels is None else data.test_labels[:CODES].cpu()
        if self.encoder is not None:
            rows = self.test if mu.classes is None else data.by_label().test.atoms[:CODES]
            return _Codes(self.encoder(rows).mean[:, : self.k], labels, f"codes of {len(rows)} held-out points")
        draws = mu.base.sample(CODES)
        if mu.classes is not None:
            points, labels = unlabelled(draws)
            return _Codes(points, labels, f"{CODES} draws of ζ")
        if data.train_labels is None or not isinstance(data.train, Empirical):
            return _Codes(draws, None, f"{CODES} draws of ζ")
        some = torch.arange(0, len(data.train), -(-len(data.train) // TRAINING), device="cpu")
        nearest = NearestLabels(data.train.rows[some], data.train_labels[some])
        return _Codes(
            draws, nearest(self._decoded(draws)), f"{CODES} draws of ζ, by the class of the training points near g(z)"
        )

    def _views(self, of: Sequence[Plane], codes: _Codes) -> list[CodePlane]:
        labels: Sequence[int | None] = [None] if self.mu.classes is None else range(self.mu.classes)
        made: list[CodePlane] = []
        for label in labels[:VIEWS]:
            own, theirs = codes.points, codes.labels
            if label is not None and theirs is not None:
                own, theirs = own[theirs == label], theirs[theirs == label]
            if len(own) < 2:
                continue
            draws = (self.mu.base if label is None else self.mu.base.given(label)).sample(DRAWS)[:, : self.k]
            side = self.finer * (self.grid - 1) + 1
            for plane in (of if label is None else of[:1])[:VIEWS]:
                made.append(code_plane(self.mu, plane, label, own, theirs, draws, side))
        return made

    def _view(self, view: CodePlane, share: int, cells: Tensor | None) -> dict[str, Any]:
        coarse = view.square.nodes(self.grid, view.points)
        fine = view.square.nodes(view.side, view.points)
        page = {
            "name": view.plane.name if view.label is None else f"class {self._name(view.label)}, {view.plane.name}",
            "axes": view.plane.axes,
            "square": [view.square.left, view.square.bottom, view.square.size],
            "error": view.error,
            "points": floats(view.points),
            "labels": None if view.labels is None else words16(view.labels),
            "metric": floats(view.metric),
            "density": floats(view.density),
            "cells": None if cells is None else words16(cells),
        }
        if self.shape is not None:
            return page | {"sheet": _plain(sheet(self._decoded(view.rows(coarse)), self.shape, self.grid, share))}
        page["decoded"] = floats(self._placed(self._decoded(view.rows(fine))))
        if self.flow is not None and not self.flow.is_prior:
            page["mesh"] = floats(self._mesh(view, coarse))
        return page

    def _mesh(self, view: CodePlane, w: Tensor) -> Tensor:
        """The places of nodes under the flow, (frames, n, 2)."""
        paths = flow_paths(self.mu, view.rows(w))
        assert paths is not None and self.flow is not None
        kept = (self.flow.times * (len(paths) - 1)).round().long()
        return self._placed(paths[kept].flatten(0, 1))

    def _steps(self, flow: FlowSteps, shown: Sequence[CodePlane], share: int) -> dict[str, Any]:
        rows = flow.paths.flatten(0, 1)
        in_data = not flow.is_prior and self.shape is None
        places = [self._placed(rows)] if in_data else [view.plane.places(rows) for view in shown]
        stills = None
        if flow.images is not None and self.shape is not None:
            stills = _plain(sheet(flow.images.flatten(0, 1), self.shape, flow.images.shape[1], share))
        return {
            "inData": in_data,
            "isPrior": flow.is_prior,
            "steps": flow.steps,
            "times": flow.times.tolist(),
            "count": flow.paths.shape[1],
            "labels": None if flow.labels is None else words16(flow.labels),
            "paths": [floats(place) for place in places],
            "stills": stills,
        }

    def _data(self) -> dict[str, Any]:
        labels = None if self.data.test_labels is None else words16(self.data.test_labels[:CODES])
        _, places, axes = planar(self.test[:1], self.test)
        return {"points": floats(torch.from_numpy(places.copy())), "labels": labels, "axes": axes}

    def _placed(self, points: Tensor) -> Tensor:
        """Points of the data space in the plane in which the data are drawn, (n, d) -> (n, 2)."""
        return torch.from_numpy(planar(points, self.test)[0].copy())

    def _table(self, solver: Solver) -> _Table | None:
        data = self.data.train
        xi: Any = solver.xi
        if isinstance(xi, VelocityRegression):
            xi = xi.pairing
        if self.mu.classes is not None or not isinstance(data, Empirical):
            return None
        if not isinstance(xi, DiscretePotential | TablePairing) or len(xi.h_tilde) != len(data):
            return None
        atoms = data.rows[:].cpu()
        standard = atoms if self.units is None else self.units.standard(atoms)
        h_tilde = xi.h_tilde.detach()
        return _Table(solver.cost, atoms, standard.to(h_tilde), h_tilde, isinstance(xi, TablePairing))

    def _atoms(self, shown: Sequence[CodePlane], share: int) -> tuple[dict[str, Any] | None, list[Tensor | None]]:
        """The atoms whose cells meet some plane, and for each plane their numbers at its nodes."""
        table = self.table
        if table is None:
            return None, [None] * len(shown)
        cells = []
        for view in shown:
            rows = view.rows(view.square.nodes(view.side, view.points))
            x = rows if table.of_codes else self._decoded(rows)
            if not table.of_codes and self.units is not None:
                x = self.units.standard(x)
            cells.append(c_transform(table.cost, x.to(table.h_tilde), table.standard, table.h_tilde)[1])
        met, numbers = torch.cat(cells).unique(return_inverse=True)
        atoms = table.atoms[met]
        known: dict[str, Any] = {"ofCodes": table.of_codes, "count": len(met), "all": len(table.atoms)}
        labels = self.data.train_labels
        known["labels"] = None if labels is None else words16(labels[met])
        if self.shape is not None:
            known["sheet"] = _plain(sheet(atoms, self.shape, math.isqrt(len(met) - 1) + 1, share))
        else:
            known["points"] = floats(self._placed(atoms))
        return known, list(numbers.split([len(part) for part in cells]))

    def _decoded(self, rows: Tensor) -> Tensor:
        return torch.cat([self.mu(part) for part in rows.split(BLOCK)])

    def _class_names(self, labels: Tensor | None) -> list[str]:
        known = [part for part in (labels, self.data.test_labels, self.data.train_labels) if part is not None]
        most = max([-1, *(int(part.max()) for part in known)])
        return [self._name(number) for number in range(most + 1)]

    def _name(self, number: int) -> str:
        return str(number) if self.data.class_names is None else self.data.class_names[number]


def _plain(made: Sheet) -> dict[str, Any]:
    return {**made._asdict()}
