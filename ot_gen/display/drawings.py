"""Inline SVG and small PNGs, which need no script, no style sheet and no network, and show on light and dark pages."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple, final

import torch
from torch import Tensor

from ot_gen.display.axes import Axis, LinearAxis, LogAxis, tick_words

MODEL, DATA = "#d1495b", "#8d99ae"  # model samples over data, distinguishable without red-green
# Paul Tol's "muted" colours, which colour-blind readers tell apart, for up to nine classes.
COLOURS = (*("#CC6677", "#332288", "#117733", "#DDCC77", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499"),)
# The same hues at a middle lightness, which stand out from light and from dark pages.
MIDDLE = (*("#CC6677", "#6C86D9", "#2E9E5B", "#B39A2E", "#3AA3C7", "#B5659A", "#44AA99", "#8F8F33", "#B766C2"),)
WIDTH = 420  # of a drawing, in pixels
POINTS = 200  # of a line
PIXELS = 2**16  # of a picture
_STYLE = "display:block;max-width:100%;overflow:visible;margin:4px 0"


@final
class Span(NamedTuple):
    """An interval on a common axis: its name, its ends, and whether it is of real data."""

    name: str
    low: float
    high: float
    real: bool = False


def path_data(line: Sequence[tuple[float, float]], width: float, height: float) -> str:
    """The `d` of an SVG path through the points of the unit square, scaled.

    Example:
        >>> path_data([(0.0, 0.0), (0.5, 1.0)], 100, 10)
        'M0 0L50 10'
    """
    return "M" + "L".join(f"{round(width * x, 1):g} {round(height * y, 1):g}" for x, y in line)


def axis_for(values: Sequence[float], spread: float = 30.0) -> Axis:
    """An axis that holds the values: logarithmic where all are positive and spread over more than such a factor.

    Example:
        >>> axis_for([1.0, 1000.0]).words, axis_for([-1.0, 1.0]).words
        (' (log)', '')
    """
    low, high = min(values), max(values)
    if low > 0 and high > spread * low:
        return LogAxis(low / 1.1, high * 1.1)
    margin = 0.05 * ((high - low) or abs(high) or 1.0)
    return LinearAxis(low - margin, high + margin)


def curve(values: Sequence[tuple[float, float]], x_name: str, y_name: str, floor: float | None = None) -> str:
    """Means over bins of consecutive points, as a line over ticks; a `floor` is dashed. Nothing of no finite points."""
    known = [(x, y) for x, y in values if math.isfinite(x) and math.isfinite(y)]
    if not known:
        return ""
    size = math.ceil(len(known) / POINTS)
    bins = [known[start : start + size] for start in range(0, len(known), size)]
    points = [(sum(x for x, _ in each) / len(each), sum(y for _, y in each) / len(each)) for each in bins]
    marks = [] if floor is None or not math.isfinite(floor) else [floor]
    across = LinearAxis(points[0][0], max(points[-1][0], points[0][0] + 1))
    up = axis_for([y for _, y in points] + marks)
    width, height = WIDTH - 70, 140
    line = path_data([(across.at(x), 1 - up.at(y)) for x, y in points], width, height)
    drawn = f'<path d="{line}" fill="none" stroke="{MODEL}" stroke-width="1.6" stroke-linejoin="round"/>'
    for mark in marks:
        at = round(height * (1 - up.at(mark)), 1)
        drawn += _line(0, width, at, at, 'stroke="currentColor" stroke-dasharray="5 4"')
        drawn += _text(width, at - 5, f"floor {mark:.4g}", "end")
    words = _text(0, -9, f"{y_name}{up.words}", "start") + _text(width, height + 32, x_name, "end")
    return _svg(width, height, _grid(across, up, width, height) + drawn + words, f"{y_name} against {x_name}")


def spans(rows: Sequence[Span]) -> str:
    """Intervals on one axis from 0 or below, each under its name and its numbers; those of real data are grey."""
    known = [row for row in rows if math.isfinite(row.low) and math.isfinite(row.high)]
    if not known:
        return ""
    low, high = min(0.0, *(row.low for row in known)), max(0.0, *(row.high for row in known))
    axis = LinearAxis(low, high if high > low else low + 1.0)
    width, height = WIDTH - 20, 36 * len(known)
    drawn = _grid(axis, None, width, height)
    for number, row in enumerate(known):
        left, right = width * axis.at(row.low), width * axis.at(row.high)
        top = 36 * number
        drawn += _text(0, top + 12, f"{row.name}  {row.low:.5g} … {row.high:.5g}", "start", 1.0)
        drawn += (
            f'<rect x="{round(left, 1):g}" y="{top + 18}" width="{max(2.0, round(right - left, 1)):g}" height="12" '
            f'rx="2" fill="{DATA if row.real else MODEL}"/>'
        )
    return _svg(width, height, drawn, "; ".join(f"{row.name}: {row.low:.5g} to {row.high:.5g}" for row in known), 10, 4)


def scatter(groups: Mapping[str, Tensor], names: tuple[str, str], colours: Sequence[str] = MIDDLE) -> str:
    """Points in the plane, (n, 2) each, on equal scales; a group for each colour, named below where there are several.

    Example:
        >>> scatter({"": torch.zeros(3, 2)}, ("x₁", "x₂")).startswith("<svg")
        True
    """
    clouds = {name: points.detach().double().cpu() for name, points in groups.items()}
    clouds = {name: points[torch.isfinite(points).all(dim=1)] for name, points in clouds.items()}
    all_points = torch.cat(list(clouds.values()))
    if not len(all_points):
        return ""
    low, high = all_points.amin(dim=0), all_points.amax(dim=0)
    half = 0.54 * max(float((high - low).max()), 1e-9 * float(all_points.abs().max()), 1e-300)
    middle = (low / 2 + high / 2).tolist()
    across, up = (LinearAxis(centre - half, centre + half) for centre in middle)
    side = 200
    drawn = _grid(across, up, side, side)
    for number, points in enumerate(clouds.values()):
        places = ((side * across.at(x), side * (1 - up.at(y))) for x, y in points.tolist())
        dots = "".join(f"M{round(x, 1):g} {round(y, 1):g}h0" for x, y in places)
        colour = colours[number % len(colours)]
        drawn += f'<path d="{dots}" stroke="{colour}" stroke-width="3.4" stroke-linecap="round" opacity="0.85"/>'
    drawn += _text(side, side + 32, names[0], "end") + _text(0, -9, names[1], "start")
    return _svg(side, side, drawn, f"{len(all_points)} points") + (_legend(clouds, colours) if len(clouds) > 1 else "")


def pictures(images: Tensor, shape: Sequence[int], columns: int = 10) -> str:
    """A grid of images in [0, 1] as one small PNG.

    Args:
        images: (n, c·h·w).
        shape: (channels, height, width), channels 1 or 3.
        columns: images a row.
    """
    _, height, width = shape
    number = max(1, min(len(images), PIXELS // (height * width)))
    columns = min(columns, number)
    grid = tiled(images[:number].detach().float().cpu(), shape, columns)
    scale = max(1, round(WIDTH / grid.shape[1]))
    return _png(grid, min(WIDTH, scale * grid.shape[1]), f"{number} images")


def shading(values: Tensor) -> str:
    """A matrix of numbers >= 0 as a small PNG, dark where they are large, with a frame; of rows × columns."""
    values = values.detach().double().cpu()
    grid = 1 - values / values.max().clamp_min(1e-300)
    return _png(grid.float()[..., None], round(200 * min(2.0, grid.shape[1] / grid.shape[0])), "the matrix")


def tiled(images: Tensor, shape: Sequence[int], columns: int) -> Tensor:
    """Images (n, c·h·w) row by row on white, two pixels apart, clipped to [0, 1]: (height, width, c).

    Example:
        >>> tiled(torch.zeros(3, 4), (1, 2, 2), columns=2).shape
        torch.Size([6, 6, 1])
    """
    channels, height, width = shape
    rows = math.ceil(len(images) / columns)
    grid = images.new_ones(rows * (height + 2) - 2, columns * (width + 2) - 2, channels)
    for index, image in enumerate(images.detach().reshape(-1, channels, height, width)):
        top, left = (index // columns) * (height + 2), (index % columns) * (width + 2)
        grid[top : top + height, left : left + width] = image.permute(1, 2, 0).clamp(0, 1)
    return grid


def _png(grid: Tensor, width: int, words: str) -> str:
    from PIL import Image

    levels = (255 * grid.nan_to_num(nan=0.5)).round().byte().numpy()
    picture = Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)
    share = math.sqrt(PIXELS / (picture.width * picture.height))
    if share < 0.9:  # a grid has gaps as well
        picture = picture.resize((max(1, int(share * picture.width)), max(1, int(share * picture.height))))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    url = base64.b64encode(file.getvalue()).decode("ascii")
    style = f"{_STYLE};width:{width}px;image-rendering:pixelated;border:1px solid {DATA}"
    return f'<img src="data:image/png;base64,{url}" alt="{escape(words)}" style="{style}">'


def _grid(across: Axis, up: Axis | None, width: float, height: float) -> str:
    drawn = ""
    for value in across.ticks:
        at = round(width * across.at(value), 1)
        drawn += _line(at, at, 0, height) + _text(at, height + 15, tick_words(value), "middle")
    for value in [] if up is None else up.ticks:
        at = round(height * (1 - up.at(value)), 1) if up is not None else 0.0
        drawn += _line(0, width, at, at) + _text(-6, at + 4, tick_words(value), "end")
    return drawn


def _legend(names: Iterable[str], colours: Sequence[str]) -> str:
    marks = (
        f'<span style="color:{colours[number % len(colours)]}">●</span> {escape(name)}'
        for number, name in enumerate(names)
    )
    return f"<div>{' &nbsp; '.join(marks)}</div>"


def _line(x1: float, x2: float, y1: float, y2: float, style: str = f'stroke="{DATA}" stroke-opacity="0.35"') -> str:
    return f'<line x1="{x1:g}" x2="{x2:g}" y1="{y1:g}" y2="{y2:g}" {style}/>'


def _text(x: float, y: float, words: str, anchor: str, opacity: float = 0.75) -> str:
    style = f'fill="currentColor" fill-opacity="{opacity:g}" font-size="11" text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(words)}</text>'


def _svg(width: float, height: float, drawn: str, words: str, left: float = 54, top: float = 22) -> str:
    full, tall = width + left + 16, height + top + (40 if top > 20 else 20)
    return (
        f'<svg viewBox="0 0 {full:g} {tall:g}" width="{full:g}" height="{tall:g}" style="{_STYLE};height:auto" '
        f'role="img" aria-label="{escape(words)}"><g transform="translate({left:g} {top:g})">{drawn}</g></svg>'
    )
