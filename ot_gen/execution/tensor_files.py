"""Files of tensors, in safetensors: a checksum of each tensor and of the header, so that no flipped byte is read."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ot_gen.execution.files import written

CHECKSUMS = "checksums"  # the entry of the header; files of earlier versions have none
WORD = 8  # bytes


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write tensors and a header of texts, atomically, with their checksums.

    Source: safetensors, https://huggingface.co/docs/safetensors
    """
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with written(path) as temporary:
        save_file(copies, temporary, metadata={**header, CHECKSUMS: json.dumps(_checksums(copies, header))})


def read_tensors(path: Path, formats: Collection[str]) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The header and the tensors of a file, as they are: see `check_sums`.

    Args:
        path: of the file.
        formats: the values that the entry "format" of its header may have, "" where there is none.

    Raises:
        ValueError: no such file, or none of these formats.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path.absolute()}")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  a method of the file
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); it is damaged or no safetensors file") from error
    if header.get("format", "") not in formats:
        raise ValueError(f"{path} is a safetensors file of another format ({header.get('format')!r})")
    return header, tensors


def check_sums(path: Path, header: Mapping[str, str], tensors: Mapping[str, Tensor], *, without: str) -> None:
    """Refuse a file that is not what was written.

    Args:
        path: of the file.
        header, tensors: as they were read.
        without: the earlier format, which has no checksums.

    Raises:
        ValueError: checksums that differ or are not there.
    """
    if CHECKSUMS not in header and header.get("format", "") == without:
        return
    here = _checksums(tensors, {name: text for name, text in header.items() if name != CHECKSUMS})
    try:
        saved = json.loads(header.get(CHECKSUMS, ""))
        wrong = sorted(name for name in saved.keys() | here.keys() if saved.get(name) != here.get(name))
    except (ValueError, AttributeError, RecursionError):
        wrong = ["its checksums"]
    if wrong:
        names = ", ".join(name or "the header" for name in wrong[:3])
        raise ValueError(
            f"{path} is damaged: {names} differ{'s' if len(wrong) == 1 else ''} from what was written; take a copy of "
            "the file, or train again"
        )


def _checksums(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> dict[str, int]:
    """By the names of the tensors; that of the header and of all shapes by the empty name."""
    shapes = {name: [str(tensor.dtype), *tensor.shape] for name, tensor in sorted(tensors.items())}
    rest = zlib.crc32(json.dumps([shapes, sorted(header.items())]).encode())
    return {"": rest} | {name: _checksum(tensor) for name, tensor in tensors.items()}


def _checksum(tensor: Tensor) -> int:
    """The sum of its 64-bit words, modulo 2^64, at the memory's speed; no byte changes alone without it."""
    octets = tensor.reshape(-1).view(torch.uint8)
    octets = octets.clone() if octets.storage_offset() % WORD else octets
    whole = len(octets) // WORD * WORD
    return int(octets[:whole].view(torch.int64).sum()) + int(octets[whole:].sum())
