"""Steps of θ and of ξ: their optimizers, learning rates, loss scale, and the mean over processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, final

from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import LBFGS, Adam, Optimizer, SparseAdam

from ot_gen.arguments import Interval, Nonnegative, checked, described
from ot_gen.execution.precision import MixedPrecision
from ot_gen.execution.processes import Processes, listed_parameters

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
Norm = Annotated[float, Interval(0, math.inf, "(]")]


@checked
def adam(parameters: Iterable[Any], lr: Nonnegative = 1e-3, **options: Any) -> Adam:
    """torch's Adam in its fused form, one kernel for all parameters: the same step in about half the time.

    Example:
        >>> adam(nn.Linear(2, 1).parameters(), lr=1e-2, betas=(0.5, 0.9)).defaults["lr"]
        0.01
    """
    parameters = list(parameters) if not isinstance(parameters, Tensor) else [parameters]
    members = (entry.get("params", ()) if isinstance(entry, dict) else [entry] for entry in parameters)
    tensors = listed_parameters(p for group in members for p in ([group] if isinstance(group, Tensor) else group))
    if not tensors:
        raise ValueError("adam got no parameters; give it those of a module, net.parameters()")
    fused = all(p.device.type in ("cpu", "cuda") for p in tensors)
    try:
        return Adam(parameters, lr=lr, fused=fused, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"torch's Adam does not take these options: {error}") from error


@final
@checked
class Descent:
    """The optimizers of θ and ξ, moved together: one gradient, its mean over the processes, one step.

    Args:
        theta, xi: parameters; those that need no gradient rest. An empty side has no optimizer.
        of_theta: makes the optimizer of θ.
        of_xi: makes the optimizer of ξ. None: θ's optimizer moves both, which saves a step's overhead.
        precision: of the networks; it says how losses are scaled.
        processes: those that train together.
        clip_norm: the largest norm that the gradient of θ has in a step; a longer one is scaled down. None: any.
        inner_clip_norm: the same of ξ; None: `clip_norm`, and inf: any.

    Raises:
        ValueError: an optimizer does not take its arguments.

    Example:
        >>> net = nn.Linear(1, 1, bias=False)
        >>> descent = Descent(net.parameters(), [], adam, adam, MixedPrecision(), Processes())
        >>> before = net.weight.item()
        >>> descent.step(net.weight.sum(), theta=True)
        >>> round(before - net.weight.item(), 6), descent.xi
        (0.001, None)
    """

    def __init__(
        self,
        theta: Iterable[nn.Parameter],
        xi: Iterable[nn.Parameter],
        of_theta: OptimizerFactory,
        of_xi: OptimizerFactory | None,
        precision: MixedPrecision,
        processes: Processes,
        clip_norm: Norm | None = None,
        inner_clip_norm: Norm | None = None,
    ) -> None:
        theta, xi = listed_parameters(theta), listed_parameters(xi)
        self.theta = _made(of_theta, theta if of_xi is not None else theta + xi)
        self.xi = None if of_xi is None else _made(of_xi, xi)
        self.processes = processes
        self.scaler: GradScaler = precision.scaler(next((p.device for p in theta + xi), processes.device))
        self._norms = ((theta, clip_norm), (xi, clip_norm if inner_clip_norm is None else inner_clip_norm))
        self._rates = [group["lr"] for group in self._groups()]

    @property
    def optimizers(self) -> dict[str, Optimizer | None]:
        """Both by name, for a checkpoint."""
        return {"theta": self.theta, "xi": self.xi}

    def scale_rates(self, factor: Nonnegative) -> None:
        """Set every learning rate to `factor` times the one that it began with."""
        for group, rate in zip(self._groups(), self._rates, strict=True):
            group["lr"] = rate * factor

    def step(self, loss: Tensor, *, theta: bool = False, xi: bool = False) -> None:
        """Descend `loss`, (), by a step of the sides that are named."""
        sides = ((self.theta, theta), (self.xi, xi))
        moving = [optimizer for optimizer, moves in sides if moves and optimizer is not None]
        if not moving:
            return
        for optimizer in moving:
            optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.processes.average(p for optimizer in moving for group in optimizer.param_groups for p in group["params"])
        self._clip(moving, (theta, xi))
        for optimizer in moving:
            self.scaler.step(optimizer)
        self.scaler.update()

    def _clip(self, moving: Iterable[Optimizer], sides: tuple[bool, bool]) -> None:
        """Scale the gradient of each side that moves down to its norm; one that overflowed is left to the scaler."""
        pairs = (pair for pair, moves in zip(self._norms, sides, strict=True) if moves)
        norms = [(part, norm) for part, norm in pairs if norm is not None and norm < math.inf]
        for optimizer in moving if norms else ():
            self.scaler.unscale_(optimizer)
        for part, norm in norms:
            nn.utils.clip_grad_norm_(part, norm)

    def _groups(self) -> list[dict[str, Any]]:
        optimizers = (self.theta, self.xi)
        return [group for optimizer in optimizers if optimizer is not None for group in optimizer.param_groups]


def _made(factory: OptimizerFactory, among: Iterable[nn.Parameter]) -> Optimizer | None:
    parameters = [p for p in among if p.requires_grad]
    if not parameters:
        return None
    try:
        optimizer = factory(parameters)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(f"the optimizer cannot be built: {error}; check its arguments, e.g. lr") from error
    if not isinstance(optimizer, Optimizer):
        raise ValueError(
            f"an optimizer is made of parameters and steps on their gradients, got {described(optimizer)}; give a "
            "function like functools.partial(torch.optim.Adam, lr=1e-3)"
        )
    if isinstance(optimizer, LBFGS | SparseAdam):
        raise ValueError(
            f"{type(optimizer).__name__} does not train here: a step has one estimate of the loss, with a dense "
            "gradient; take another optimizer, e.g. torch.optim.Adam"
        )
    return optimizer


@contextmanager
@checked
def frozen(module: nn.Module) -> Iterator[None]:
    """Build no graph through the module's parameters: half of the work of a step that moves only the other side.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> with frozen(net):
        ...     net.weight.requires_grad
        False
        >>> net.weight.requires_grad
        True
    """
    moving = [p for p in module.parameters() if p.requires_grad]
    for parameter in moving:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in moving:
            parameter.requires_grad_(True)
