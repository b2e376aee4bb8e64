"""Tabular data in standard coordinates, with the units that these stand for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal, get_args

from ot_gen.data.dataset import Dataset
from ot_gen.measures import Empirical, Units, moments

Standardize = Literal["shared", "columns", "none"] | None

UNEQUAL = 30.0  # columns' scales this far apart: distances hardly see the smaller ones
NAMED = 4  # columns in a warning, of either end


def standardised(data: Dataset, standardize: Standardize, names: Sequence[str] = (), copy: bool = True) -> Dataset:
    """The data in standard coordinates, with their units and their original; by "none" they are left as they are.

    Args:
        data: in their own units, in any precision.
        standardize: "shared", one scale for all columns; "columns", one for each; "none" or None.
        names: of the columns, for the warning; else they are numbered from 1.
        copy: whether training atoms are copied, or standardised as they are drawn.

    With one scale, columns whose scales differ much get a warning that names them.

    Raises:
        ValueError: another word.

    Example:
        >>> import torch
        >>> data = Dataset.split(100 * torch.rand(50, 2).double() + 1e5)
        >>> nearer = standardised(data, "shared")
        >>> bool(nearer.train.atoms.abs().max() < 3), nearer.own is data
        (True, True)
    """
    if not is_standardised(standardize):
        return data
    if standardize == "columns":
        return data.standardised(Units.columns(data.atoms), copy)
    _warn_of_columns(data.atoms, names)
    return data.standardised(Units.shared(data.atoms), copy)


def is_standardised(standardize: Standardize) -> bool:
    """Whether these words ask for standard coordinates.

    Raises:
        ValueError: another word.

    Example:
        >>> is_standardised("shared"), is_standardised("none")
        (True, False)
    """
    words = get_args(get_args(Standardize)[0])
    if standardize is not None and standardize not in words:
        raise ValueError(
            f"standardize must be shared (one scale for all columns), columns (one for each) or none, got {standardize}"
        )
    return standardize not in (None, "none")


def _warn_of_columns(nu: Empirical, names: Sequence[str]) -> None:
    deviations = moments(nu)[1].sqrt()
    spread = deviations[deviations > 0]
    if len(spread) < 2 or spread.max() <= UNEQUAL * spread.min():
        return
    largest = float(deviations.max())
    order = [int(column) for column in deviations.argsort(descending=True) if deviations[column] > 0]
    small = [column for column in reversed(order) if UNEQUAL * float(deviations[column]) < largest][:NAMED]
    if len(names) != nu.dim:
        names = [f"column {number + 1}" for number in range(nu.dim)]
    named = ", ".join(f"{names[column]} ({float(deviations[column]):.3g})" for column in [order[0], *reversed(small)])
    warnings.warn(
        f"the scales of the columns differ by more than {UNEQUAL:g}, and distances hardly see the smaller ones; "
        f"standard deviations: {named}; data.standardize=columns gives each its own scale, which is another cost",
        stacklevel=2,
    )
