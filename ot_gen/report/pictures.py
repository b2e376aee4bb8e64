"""The runs' pictures, embedded so that a page of any number of runs stays small."""

from __future__ import annotations

import base64
import io
import math
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, final

from ot_gen.data.image_files import read_image
from ot_gen.execution import opened, read_bytes
from ot_gen.report.runs import Run

PICTURES = {  # and what the page calls them
    "data": "Real data, held out",
    "samples": "Samples, side by side under equal seeds",
    "classes": "Samples by class",
    "reconstructions": "Reconstructions: held-out y and g(f(y))",
    "codes": "Codes of held-out points by class, over the reference",
    "manifold": "The decoded latent plane",
    "interpolations": "Interpolations: images of straight segments between latent points",
    "evaluations": "The same samples of a flow at 1, 2, 4, 8 and all evaluations of its velocity",
    "trajectories": "Paths of a flow, from the reference (dark) to the data",
    "curves": "Training curves of runs without metrics.csv",
}
BUDGET = 7_500_000  # bytes of all pictures: 10 MB in base64, of a page of at most 15
SAMPLES_SHARE = 0.6  # of the budget, where it is short: samples matter most
WIDEST, NARROWEST = 460, 64  # pixels of a picture that was made smaller
PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_FIGURE = 2**24  # bytes; what a run draws has a hundredth of it
WIDEST_FIGURE = 2**13  # pixels
DENSITY = 0.12  # bytes a pixel, the first guess


@final
class Picture(NamedTuple):
    """A picture as a data URL, and its size in pixels, so that a page need not wait for it to be laid out."""

    url: str
    width: int
    height: int


def embedded(runs: Sequence[Run], names: Mapping[Path, Sequence[str]], budget: int = BUDGET) -> dict[Path, Picture]:
    """The pictures by path: as they are where all fit into the budget, else each made to fit its share.

    Args:
        runs: whose figures they are.
        names: which pictures of a run to embed, by its folder.
        budget: bytes of all pictures together.

    Returns:
        Without the pictures that cannot be read.

    Example:
        >>> embedded([], {})
        {}
    """
    groups: tuple[list[Path], list[Path]] = ([], [])
    sizes: dict[Path, int] = {}
    for run in runs:
        for name in names[run.folder]:
            path = run.figures[name]
            if (size := _size(path)) is not None:
                groups[name not in ("data", "samples")].append(path)
                sizes[path] = size
    share: dict[Path, float] = {}
    if sum(sizes.values()) > budget:
        for group, part in zip(groups, (SAMPLES_SHARE, 1 - SAMPLES_SHARE), strict=True):
            part = part if all(groups) else 1.0
            share |= {path: part * budget / len(group) for path in group}
    pictures: dict[Path, Picture] = {}
    density = dict.fromkeys(PICTURES, DENSITY)
    for path, own in sizes.items():
        if own <= share.get(path, own):
            picture = _as_it_is(path)
        else:
            picture = _shrunk(path, share[path], density[path.stem])
            if picture is not None:
                # Pictures of a kind are alike: the size of the last one determines the width of the next.
                density[path.stem] = 0.75 * len(picture.url) / (picture.width * picture.height)
        if picture is not None:
            pictures[path] = picture
    return pictures


def _size(path: Path) -> int | None:
    """The bytes of a file that begins as a PNG picture and is no larger than any of ours; else None."""
    try:
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            return size if file.read(len(PNG)) == PNG and size <= LARGEST_FIGURE else None
    except (OSError, ValueError):
        return None


def _as_it_is(path: Path) -> Picture | None:
    """A whole PNG file as a picture; None where it is not one.

    A PNG is a row of chunks, each its length, its name, its data and their checksum, from IHDR to IEND.
    """
    try:
        data = read_bytes(path, LARGEST_FIGURE)
    except (OSError, ValueError):
        return None
    names, place = [], len(PNG)
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        names.append(data[place + 4 : place + 8])
        if zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return None
        place = end + 4
    if not data.startswith(PNG) or place != len(data) or names[:1] != [b"IHDR"] or names[-1:] != [b"IEND"]:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return Picture(_url("png", data), width, height) if _has_a_usual_shape(width, height) else None


def _has_a_usual_shape(width: int, height: int) -> bool:
    """Whether a page can show it: a stripe, made as wide as a picture, would be as high as a tower."""
    return 0 < max(width, height) <= min(WIDEST_FIGURE, 30 * min(width, height))


def _shrunk(path: Path, size: float, density: float) -> Picture | None:
    """A picture of at most `size` bytes, or of the smallest width; None where the file is no picture.

    Args:
        path: of the picture.
        size: its bytes at most.
        density: bytes a pixel to expect.
    """
    from PIL import Image

    try:
        image = read_image(path, formats=("PNG",)).convert("RGB")
    except ValueError:
        return None
    if not _has_a_usual_shape(image.width, image.height):
        return None
    ratio, widest = image.height / image.width, min(WIDEST, image.width)
    while True:
        width = max(NARROWEST, min(widest, int(math.sqrt(0.9 * size / density / ratio))))
        height = max(1, round(ratio * width))
        file = io.BytesIO()
        image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0).save(
            file, "WEBP", quality=70, method=1
        )
        density = file.tell() / (width * height)
        if file.tell() <= size or width == NARROWEST:
            return Picture(_url("webp", file.getvalue()), width, height)
        widest = int(0.9 * width)


def _url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
