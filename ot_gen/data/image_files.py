"""Images in files, as rows of pixels."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ot_gen.execution import absolute, read_bytes, reason

if TYPE_CHECKING:
    from PIL import Image

# Pillow decodes these by itself. For others it would start an interpreter (PostScript), or run what the file names.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
MOST_PIXELS, MOST_BYTES = 2**26, 2**28  # of one image; a small file may unfold to many gigabytes
_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"}
)
_UNREAD = frozenset({".avif", ".heic", ".heif", ".jp2", ".jxl", ".psd", ".svg", ".tga", ".eps", ".qoi", ".dng"})
_SYSTEM = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
_MODES = {1: "L", 3: "RGB"}


def read_image(file: Path, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """One image, turned as its EXIF data say; of several frames or pages the first.

    Args:
        file: of the image; its content decides what it is, not its name.
        formats: Pillow's names of those that it may have.

    Raises:
        ValueError: no such file, none of these formats, a damaged image, more than 2^26 pixels, or pixels of more than
            8 bits, which would be clipped. The message names the file.

    Example:
        >>> read_image(Path("no/such.png"))
        Traceback (most recent call last):
        ValueError: the image no/such.png cannot be read (No such file or directory); repair or remove it
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        content = io.BytesIO(read_bytes(file, MOST_BYTES))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of sizes that are refused below and of damaged EXIF data
            with Image.open(content, formats=formats) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise Image.DecompressionBombError
                if image.mode[0] in "IF":  # Pillow would clip them to 255
                    raise ValueError(f"its pixels have more than 8 bits, mode {image.mode}")
                return ImageOps.exif_transpose(image)
    except Image.DecompressionBombError as error:  # Pillow's own limit may be another one
        what = f"it has more than {MOST_PIXELS:,} pixels"
        raise ValueError(f"the image {file} cannot be read ({what}); make it smaller, or remove it") from error
    except UnidentifiedImageError as error:
        what = f"it is no whole {', '.join(formats[:-1])}{' or ' if formats[1:] else ''}{formats[-1]} image"
        raise ValueError(f"the image {file} cannot be read ({what}); repair or remove it") from error
    except Exception as error:  # of a damaged image Pillow raises nearly anything: struct.error, KeyError, EOFError
        what = getattr(error, "strerror", None) or reason(error)
        raise ValueError(f"the image {file} cannot be read ({what}); repair or remove it") from error


def read_images(
    folder: Path, size: tuple[int, int], channels: int, crop: int | None = None
) -> tuple[Tensor, list[Path]]:
    """All images below a folder as bytes, (n, channels, height, width), in the order of their paths, and the paths.

    Of each image only the square of the side `crop` in its middle is kept, before it is resized; None keeps all.

    Raises:
        ValueError: no such folder, no image, an image that cannot be read, or another size or number of channels.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (4, 4)).save(Path(folder) / "a.png")
        ...     read_images(Path(folder), (2, 2), 1)[0]
        tensor([[[[0, 0],
                  [0, 0]]]], dtype=torch.uint8)
    """
    if channels not in _MODES:
        raise ValueError(f"channels must be 1 (grey) or 3 (red, green, blue), got {channels}")
    if len(size) != 2 or min(size) < 1 or size[0] * size[1] > MOST_PIXELS:
        raise ValueError(
            f"size must be a positive (height, width) of at most {MOST_PIXELS:,} pixels, got {tuple(size)}"
        )
    files = _image_files(absolute(folder))
    height, width = size
    try:
        pixels = torch.empty(len(files), channels, height, width, dtype=torch.uint8, device="cpu")
    except RuntimeError as error:  # torch's, of memory
        what = f"{len(files)} images of {channels} x {height} x {width} pixels"
        raise ValueError(f"{what} do not fit into memory; choose a smaller size") from error
    for image, file in zip(pixels, files, strict=True):
        image.copy_(_pixels(file, height, width, channels, crop))
    return pixels, files


def _image_files(root: Path) -> list[Path]:
    """The images below a folder, in the order of their paths: none that is hidden, none behind a link to a folder."""
    if not os.path.isdir(root):  # pathlib raises of names that are too long
        raise ValueError(f"there is no folder {root}; give the path of a folder of images")
    files, unread, waiting = [], [], [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                visible = [item for item in entries if not item.name.startswith(".") and item.name not in _SYSTEM]
        except OSError as error:
            raise ValueError(f"the folder {folder} cannot be read ({error.strerror}); make it readable") from error
        for item in visible:
            path, suffix = Path(item.path), Path(item.name).suffix.lower()
            if item.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif item.is_dir() or (suffix in _UNREAD and item.is_file()):
                unread.append(path)
            elif suffix in _SUFFIXES and item.is_file():
                files.append(path)
    left_out = f" of {len(unread)} left out" if unread else ""
    if not files:
        also = f" ({sorted(unread)[0].name}{left_out})" if unread else ""
        raise ValueError(f"{root} holds no images{also}; put {', '.join(sorted(_SUFFIXES))} files into it")
    if unread:
        warnings.warn(
            f"{sorted(unread)[0]} is{left_out}: links to folders are not followed, and {', '.join(sorted(_UNREAD))} "
            "files are not read; convert them to .png",
            stacklevel=2,
        )
    return sorted(files)


def _pixels(file: Path, height: int, width: int, channels: int, crop: int | None) -> Tensor:
    """One image, (channels, height, width)."""
    from PIL import Image

    image = read_image(file)
    if crop is not None:
        if min(image.size) < crop:
            raise ValueError(f"the image {file} has {image.width} x {image.height} pixels, less than crop = {crop}")
        left, top = (image.width - crop) // 2, (image.height - crop) // 2
        image = image.crop((left, top, left + crop, top + crop))
    try:
        resized = image.convert(_MODES[channels]).resize((width, height), Image.Resampling.BILINEAR)
    except ValueError as error:  # colours without a way to red, green and blue
        raise ValueError(f"the image {file} cannot be read ({reason(error)}); convert it to RGB") from error
    return torch.from_numpy(np.array(resized)).reshape(height, width, channels).permute(2, 0, 1)
