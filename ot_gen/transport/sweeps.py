"""What dense and streamed sweeps of Sinkhorn share: the range of exponents, and the over-relaxation."""

from __future__ import annotations

import math

CLAMP = 50.0  # exponents stay within: products of the kernel neither overflow nor become slow subnormal numbers
WINDOW = 4  # sweeps between two choices of the over-relaxation


def relaxation(omega: float, decrease: float) -> float:
    """The next ω from the decrease of the error over a window, by the theory of successive over-relaxation.

    A rate λ a sweep at ω reveals the contraction η of plain sweeps, (λ + ω − 1)² = λ ω² η, and the best ω is
    2 / (1 + √(1 − η)).

    Args:
        omega: the ω of the window, from 1 to 1.9.
        decrease: the error after the window divided by the error before it.

    Returns:
        ω of the next window, from 1 to 1.9; a smaller one where the error grew.

    Source: Thibault et al., 2017, https://arxiv.org/abs/1711.01851

    Example:
        >>> round(relaxation(1.0, 0.0625), 4)
        1.1716
    """
    if not 0 < decrease < 1:
        return max(1.0, omega - 0.2) if decrease >= 1 else omega
    rate = decrease ** (1 / WINDOW)
    eta = min((rate + omega - 1) ** 2 / (rate * omega**2), 0.999)
    return max(omega, min(2 / (1 + math.sqrt(1 - eta)), 1.9))
