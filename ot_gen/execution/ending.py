"""How a solve can end."""

from __future__ import annotations

from enum import StrEnum
from typing import final


@final
class Ending(StrEnum):
    """Why a solve ended. A solve that cannot return what was asked for raises instead.

    Example:
        >>> Ending("stopped") is Ending.STOPPED
        True
    """

    REACHED = "reached"
    """All that was asked for is reached."""
    BUDGET = "budget"
    """Samples, steps or seconds ended before."""
    UNREACHABLE = "unreachable"
    """No answer has what was asked for; the message says why."""
    STOPPED = "stopped"
    """The user stopped it."""
