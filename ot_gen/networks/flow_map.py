"""The flow of a velocity as a map, with its inverse and its paths."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Literal, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.arguments import Cloud, Count, Interval, Labels, Positive, checked
from ot_gen.display import Network
from ot_gen.measures import Measure, log_density
from ot_gen.networks import change_of_volume as volume
from ot_gen.networks.adaptive import ADAPTIVE, adaptive, torchdiffeq
from ot_gen.networks.inversion import inverted
from ot_gen.networks.runge_kutta import METHODS, Field, RungeKutta
from ot_gen.networks.velocities import check_velocity

Method = Literal["euler", "midpoint", "heun", "rk4", "dopri5"]
Steps = Annotated[int, Interval(1, 10_000)]  # beyond, a number is a slip, or a stranger's that costs hours and memory


@final
@checked
class FlowMap(Network):
    """The flow of a velocity, z -> x(1) with x' = v(t, x) and x(0) = z: (n, d) -> (n, d), a map like any other.

    `Pushforward(FlowMap(v, ...), zeta)` is a model: it samples, is judged and certified, and has a latent geometry.

    Args:
        velocity: v, (t (n,), x (n, d)) -> (n, d), e.g. `DenseVelocity` or `UNetVelocity`; with a label (n,) as a third
            argument where it takes one.
        steps: equal steps of the method from t = 0 to t = 1, at most 10,000.
        method: "euler", "midpoint", "heun" or "rk4", of 1, 2, 2 and 4 evaluations of v a step; a `RungeKutta` tableau;
            or "dopri5", which chooses its steps itself by `rtol` and `atol`, for which steps counts nothing. It needs
            the library torchdiffeq: pip install ot_gen[ode].
        rtol, atol: tolerances of "dopri5", relative and absolute.

    Raises:
        ValueError: steps outside [1, 10000], an unknown method, a module that does not take (t, x), or torchdiffeq is
            not installed.

    Source: Chen et al., 2018, https://arxiv.org/abs/1806.07366; Lipman et al., 2023, https://arxiv.org/abs/2210.02747

    Example:
        >>> from ot_gen import DenseVelocity, Pushforward, standard_gaussian
        >>> flow = FlowMap(DenseVelocity(2, width=16), steps=4)
        >>> Pushforward(flow, standard_gaussian(2)).sample(3).shape, flow.evaluations
        (torch.Size([3, 2]), 8)
    """

    def __init__(
        self,
        velocity: nn.Module,
        steps: Steps = 16,
        method: Method | RungeKutta = "heun",
        rtol: Positive = 1e-5,
        atol: Positive = 1e-5,
    ) -> None:
        super().__init__()
        check_velocity(velocity)
        if method == ADAPTIVE:
            torchdiffeq()
        self.velocity = velocity
        self.keeps_label = bool(getattr(velocity, "keeps_label", False))
        self.steps = steps
        self.method = method
        self.rtol, self.atol = float(rtol), float(atol)

    @property
    def rule(self) -> RungeKutta | None:
        """The tableau of the fixed steps; None for "dopri5"."""
        return METHODS.get(self.method) if isinstance(self.method, str) else self.method

    @property
    def evaluations(self) -> int | None:
        """Evaluations of the velocity for a sample; None for "dopri5", which decides as it goes."""
        return None if self.rule is None else self.steps * self.rule.stages

    def forward(self, z: Tensor, label: Labels | None = None) -> Tensor:
        """x(1), (n, d), of z (n, d), differentiable in both and in the velocity's parameters."""
        return self._solved(self._field(label), z)

    def velocity_at(self, t: Tensor, x: Tensor, label: Labels | None = None) -> Tensor:
        """v(t, x), (n, d), at times t (n,) and points x (n, d).

        Raises:
            ValueError: the velocity returns something else.
        """
        v: Tensor = self.velocity(t, x) if label is None else self.velocity(t, x, label)
        if not isinstance(v, Tensor) or v.shape != x.shape:
            got = tuple(v.shape) if isinstance(v, Tensor) else f"a {type(v).__name__}"
            raise ValueError(
                f"a velocity returns v(t, x) in the shape of x, here {tuple(x.shape)}, got {got} from "
                f"{type(self.velocity).__name__}; give its last layer as many outputs as x has columns"
            )
        return v

    def trajectory(self, z: Cloud, label: Labels | None = None) -> Tensor:
        """The path x(0) = z, x(1/steps), ..., x(1): (steps + 1, n, d)."""
        field, points = self._field(label), [z]
        if self.rule is None:
            return self._adaptive(field, z, [i / self.steps for i in range(self.steps + 1)])
        for step in self._steps(field):
            points.append(step(points[-1]))
        return torch.stack(points)

    def path_energy(self, z: Cloud, label: Labels | None = None) -> Tensor:
        """∫₀¹ ‖v(t, x(t))‖² dt of each path, (n,), by the method's own quadrature.

        Its mean over ζ is >= W₂²(ζ, g#ζ), by Benamou and Brenier's formula, up to the error of the steps.

        Example:
            >>> constant = lambda t, x: torch.full_like(x, 3.0)
            >>> FlowMap(_Function(constant), steps=2).path_energy(torch.zeros(1, 2))
            tensor([18.])
        """
        field = self._field(label)

        def joint(t: float, state: Tensor) -> Tensor:
            v = field(t, state[:, :-1])
            return torch.cat([v, v.square().sum(dim=1, keepdim=True)], dim=1)

        return self._solved(joint, nn.functional.pad(z, (0, 1)))[:, -1]

    @torch.no_grad()
    @checked
    def inverse(self, x: Cloud, label: Labels | None = None) -> Tensor:
        """z with g(z) = x, (n, d), no graph: of the map as it is computed, step by step, and not of its ODE.

        Each step x -> x + h φ(x) is inverted by fixed-point iterations from the step back, and, up to d = 64, by
        Newton's where these do not contract. A warning says where neither arrived: there the step is no bijection.
        With "dopri5" the ODE is solved backwards.

        Raises:
            ValueError: no finite z is near the map's values at x.

        Example:
            >>> from ot_gen import DenseVelocity
            >>> flow, z = FlowMap(DenseVelocity(2, width=16), steps=2), torch.randn(5, 2)
            >>> flow.inverse(flow(z)).allclose(z, atol=1e-5)
            True
        """
        parts = [self._inverted(self._field(own), rows) for rows, own in volume.blocks(x, label)]
        self._check_arrival(max(error for _, error in parts), x)
        return torch.cat([z for z, _ in parts])

    @torch.no_grad()
    @checked
    def log_prob(self, x: Cloud, zeta: Measure | Distribution, label: Labels | None = None) -> Tensor:
        """The log-density of g#ζ in nats at x (n, d), (n,), no graph: log ζ(z) − log |∂g/∂z| at z = g⁻¹(x).

        Up to d = 64 the determinant is exact, that of each step as it is computed: for any number of steps the density
        is that of the samples. Beyond, and with "dopri5", it is the divergence along the flow, log |∂g/∂z| =
        ∫ div v(t, x(t)) dt. That is exact up to d = 64, and beyond Hutchinson's unbiased estimate from one draw of
        signs for each point, from torch's global generator.

        Args:
            x: points, (n, d).
            zeta: ζ, a `Reference` or a torch `Distribution`, with a density.
            label: labels (n,) where the velocity takes them.

        Raises:
            ValueError: ζ has no density on R^d, such as a law on a sphere, or as of `inverse`.

        Source: Grathwohl et al., 2019, https://arxiv.org/abs/1810.01367

        Example:
            >>> from ot_gen import standard_gaussian
            >>> flow = FlowMap(_Function(lambda t, x: torch.full_like(x, 3.0)))  # moves all points by 3
            >>> flow.log_prob(torch.full((1, 2), 3.0), standard_gaussian(2))  # −log 2π
            tensor([-1.8379])
        """
        law = volume.density(zeta, x)
        parts = [self._log_prob(self._field(own), rows, law) for rows, own in volume.blocks(x, label)]
        self._check_arrival(max(error for _, error in parts), x)
        return torch.cat([values for values, _ in parts])

    def bits_per_dim(
        self, x: Cloud, zeta: Measure | Distribution, levels: Count = 1, label: Labels | None = None
    ) -> Tensor:
        """−log₂ p(x) / d, (n,), in bits for each coordinate.

        Args:
            x, zeta, label: as of `log_prob`.
            levels: 256 for pixels in [0, 1] that were whole numbers out of 256, with uniform noise of one level added;
                the bits are then those of the whole numbers, at most. 1: of the density itself.

        Source: Theis, van den Oord, Bethge, 2016, https://arxiv.org/abs/1511.01844

        Example:
            >>> from ot_gen import uniform_cube
            >>> flow = FlowMap(_Function(lambda t, x: torch.zeros_like(x)))
            >>> flow.bits_per_dim(torch.full((1, 2), 0.5), uniform_cube(2, 0.0, 1.0), levels=256)  # nothing is known
            tensor([8.])
        """
        return (math.log(levels) - self.log_prob(x, zeta, label) / x.shape[1]) / math.log(2)

    def _field(self, label: Tensor | None) -> Field:
        return lambda t, x: self.velocity_at(x.new_full((len(x),), t), x, label)

    def _steps(self, field: Field, forwards: bool = True) -> list[Callable[[Tensor], Tensor]]:
        """The maps of the steps in order of time, or those that go back in time, from 1 to 0."""
        assert self.rule is not None
        rule, h = self.rule, 1 / self.steps

        def step(t: float, way: float, x: Tensor) -> Tensor:
            return rule.step(field, t, x, way)

        if forwards:
            return [partial(step, number * h, h) for number in range(self.steps)]
        return [partial(step, number * h, -h) for number in range(self.steps, 0, -1)]

    def _solved(self, field: Field, x: Tensor, forwards: bool = True) -> Tensor:
        if self.rule is None:
            return self._adaptive(field, x, [0.0, 1.0] if forwards else [1.0, 0.0])[-1]
        for step in self._steps(field, forwards):
            x = step(x)
        return x

    def _adaptive(self, field: Field, x: Tensor, times: Sequence[float]) -> Tensor:
        return adaptive(field, x, times, self.rtol, self.atol)

    def _inverted(self, field: Field, x: Tensor) -> tuple[Tensor, float]:
        """z and the largest relative error that is left."""
        if self.rule is None:
            return self._solved(field, x, forwards=False), 0.0
        worst = 0.0
        for step, back in zip(self._steps(field)[::-1], self._steps(field, forwards=False), strict=True):
            x, error = inverted(step, x, back(x))
            worst = max(worst, error)
        return x, worst

    def _log_prob(self, field: Field, x: Tensor, law: Distribution) -> tuple[Tensor, float]:
        exact = x.shape[1] <= volume.EXACT
        signs = None if exact else torch.randint_like(x, 2).mul_(2).sub_(1)
        joint = partial(volume.with_divergence, field, signs)
        if self.rule is None:
            state = self._solved(joint, nn.functional.pad(x, (0, 1)), forwards=False)
            return log_density(law, state[:, :-1]) + state[:, -1], 0.0
        z, error = self._inverted(field, x)
        density = log_density(law, z)
        if not exact:
            return density - self._solved(joint, nn.functional.pad(z, (0, 1)))[:, -1], error
        for step in self._steps(field):
            z, change = volume.log_determinant(step, z)
            density = density - change
        return density, error

    def _check_arrival(self, error: float, x: Tensor) -> None:
        if not math.isfinite(error):
            raise ValueError(
                f"the inverse of a flow is not finite at points of size {float(x.abs().max()):g}, in {x.dtype}; give "
                "points of the size of its samples, or train again where the velocity returns NaN"
            )
        if error > volume.tolerance(x):
            warnings.warn(
                f"the inverse of a flow did not arrive (relative error {error:.2g}): with {self.steps} steps of "
                f"{self.method} the map is no bijection here; take more steps",
                stacklevel=5,  # where the method, behind its two decorators, is called
            )

    def extra_repr(self) -> str:
        adaptive = f"rtol={self.rtol:g}, atol={self.atol:g}"
        return f"method={self.method!r}, " + (f"steps={self.steps}" if self.rule else adaptive)


@contextmanager
@checked
def evaluations(module: nn.Module, number: Steps) -> Iterator[None]:
    """While the context lasts, every `FlowMap` in a module takes `number` evaluations of its velocity.

    They are steps of its own method where these are at least four and come out even, else of Euler's: with few
    evaluations shorter steps are worth more than a higher order.

    Raises:
        ValueError: there is no `FlowMap` in the module, or a number above 10,000.

    Example:
        >>> from ot_gen import DenseVelocity
        >>> flow = FlowMap(DenseVelocity(2, width=16))
        >>> with evaluations(flow, 2):
        ...     flow.evaluations, flow.method
        (2, 'euler')
        >>> flow.evaluations
        32
    """
    flows = [part for part in module.modules() if isinstance(part, FlowMap)]
    if not flows:
        raise ValueError("a number of evaluations is for flows, and this model has none; leave it out")
    before = [(flow, flow.steps, flow.method) for flow in flows]
    for flow in flows:
        steps, left = divmod(number, flow.rule.stages if flow.rule else number + 1)
        flow.steps, flow.method = (steps, flow.method) if steps >= 4 and not left else (number, "euler")
    try:
        yield
    finally:
        for flow, steps, method in before:
            flow.steps, flow.method = steps, method


@final
class _Function(nn.Module):
    """A velocity that is a function."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.function(t, x)
