"""What data a run saw: their content as a fingerprint, by which data of one name are told apart."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import Tensor

from ot_gen.data import Dataset
from ot_gen.measures import Empirical
from ot_gen.runs.parts import RecordedData

READ = 2**24  # numbers of the training points, and of the held-out ones, that enter a fingerprint
CHUNK = 2**20  # numbers at a time


def recorded_data(data: Dataset, path: str | Path | None = None) -> RecordedData:
    """The identity of data in their own units: units, device and dtype of the training change nothing.

    The fingerprint is a hash of held-out and training points in float64, of their weights and of their labels. Of more
    than 2²⁴ numbers every k-th point enters. A law that is sampled afresh is known by its held-out points.

    Args:
        data: in any units.
        path: the file or folder they were read from, where there is one.

    Example:
        >>> import torch
        >>> points = torch.arange(12.0).reshape(6, 2)
        >>> one, other = (recorded_data(Dataset.split(part)) for part in (points, points + 1))
        >>> one.dim, one.train, one.test, one.fingerprint == other.fingerprint
        (2, 4, 2, False)
    """
    own = data.own
    train = own.train if isinstance(own.train, Empirical) else None
    digest = hashlib.blake2b(digest_size=8)
    for part, labels in ((own.test, own.test_labels), (train, own.train_labels)):
        if part is None:
            continue
        digest.update(repr((len(part), part.dim)).encode())
        every = -(-len(part) * part.dim // READ)
        span = every * max(1, CHUNK // part.dim)
        for start in range(0, len(part), span):
            digest.update(_bytes(part.rows[start : start + span : every].cpu().double()))
        if not part.is_uniform:
            digest.update(_bytes(part.weights.cpu().double()))
        if labels is not None:
            digest.update(_bytes(labels))
    return RecordedData(
        fingerprint=digest.hexdigest(),
        path=None if path is None else str(path),
        dim=own.dim,
        shape=own.shape,
        train=None if train is None else len(train),
        test=len(own.test),
    )


def _bytes(values: Tensor) -> bytes:
    return values.detach().cpu().contiguous().numpy().tobytes()
