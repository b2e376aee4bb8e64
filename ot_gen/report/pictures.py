"""The runs' pictures, embedded so that a page of any number of runs stays small."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from ot_gen.report.runs import Run

PICTURES = {  # and what the page calls them
    "samples": "Samples, side by side under equal seeds",
    "reconstructions": "Reconstructions: held-out y and g(f(y))",
    "codes": "Codes of held-out points by class, over the reference",
    "manifold": "The decoded latent plane",
    "interpolations": "Interpolations: images of straight segments between latent points",
    "curves": "Training curves of runs without metrics.csv",
}
BUDGET = 7_500_000  # bytes of all pictures: 10 MB in base64, of a page of at most 15
SAMPLES_SHARE = 0.6  # of the budget, where it is short: samples are what one looks at
WIDTHS = (460, 380, 300, 240, 190, 150, 110, 80)


def embedded(runs: Sequence[Run], names: Mapping[Path, Sequence[str]], budget: int = BUDGET) -> dict[Path, str]:
    """The pictures as data URLs, by path: as they are where all fit into the budget, else each made to fit its share.

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
    for run in runs:
        for name in names[run.folder]:
            groups[name != "samples"].append(run.figures[name])
    sizes = {path: path.stat().st_size for group in groups for path in group}
    share: dict[Path, float] = {}
    if sum(sizes.values()) > budget:
        for group, part in zip(groups, (SAMPLES_SHARE, 1 - SAMPLES_SHARE), strict=True):
            part = part if all(groups) else 1.0
            share |= {path: part * budget / len(group) for path in group}
    found = {path: _shrunk(path, share.get(path, sizes[path]), sizes[path]) for path in sizes}
    return {path: url for path, url in found.items() if url is not None}


def _shrunk(path: Path, size: float, own: int) -> str | None:
    """A picture of at most `size` bytes, the widest that fits; the smallest there is if none does."""
    from PIL import Image

    if own <= size:
        return _url("png", path.read_bytes())
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (OSError, SyntaxError):  # what Pillow raises for files that are no pictures
        return None
    data = b""
    for width in WIDTHS:
        if width < image.width:
            image = image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        image.save(file, "WEBP", quality=70, method=3)
        data = file.getvalue()
        if len(data) <= size:
            break
    return _url("webp", data)


def _url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
