"""Ground costs c(x, y), x on the model's side and y on the data's.

Each cost has two faces that agree to rounding: `cost(x, y)` on paired points and `cost.matrix(x, y)` on all pairs.
The second never forms an (n, m, d) array.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, final

from torch import Tensor
from torch.distributions import Distribution

from ot_gen.arguments import Cloud, checked
from ot_gen.display import Shown

Side = Callable[[Tensor], tuple[Tensor, Tensor]]


@final
class Bilinear(NamedTuple):
    """A cost written as one matrix product: c(x_i, y_j) = u(x_i)·v(y_j) + r(x_i) + s(y_j).

    Attributes:
        left: x (n, d) -> (u (n, k), r (n,)).
        right: y (m, d) -> (v (m, k), s (m,)), for all atoms or a tile of them.
        nonnegative: whether c >= 0 everywhere.
    """

    left: Side
    right: Side
    nonnegative: bool = True


@final
class Growth(NamedTuple):
    """f(t) = factor · t^power, convex: how fast a cost grows with the Euclidean distance.

        0 <= c(x, y) <= f(‖x − y‖)      |c(x, y) − c(x', y)| <= f(‖x − y‖ + ‖x − x'‖) − f(‖x − y‖)

    On the line c(x, y) = f(|x − y|): there c is a convex function of x − y.

    Example:
        >>> import torch
        >>> Growth(1.0, 2.0)(torch.tensor([3.0]))
        tensor([9.])
    """

    factor: float
    power: float

    def __call__(self, distance: Tensor) -> Tensor:
        """f at distances, of any shape."""
        return self.factor * distance**self.power


@checked
class Cost(Shown, ABC):
    """A ground cost c : X × X -> R.

    `is_metric` says whether c is a distance; only then is every 1-Lipschitz h a feasible potential with h^c = −h.
    `degree` is the p with c(a x + b, a y + b) = a^p c(x, y) for all a > 0 and b, None where there is none.

    Example:
        >>> import torch
        >>> from ot_gen import Cost
        >>> class Hours(Cost):  # the shorter way round a clock
        ...     def forward(self, x, y):
        ...         return ((x - y + 6).remainder(12) - 6).abs().sum(-1)
        ...     def matrix(self, x, y):
        ...         return self(x[:, None], y[None])
        >>> Hours().matrix(torch.tensor([[11.0]]), torch.tensor([[1.0], [6.0]]))
        tensor([[2., 5.]])
    """

    is_metric: bool = False
    degree: float | None = None

    @property
    def is_nonnegative(self) -> bool:
        """Whether c >= 0 everywhere, so that W_c >= 0 too. A distance is; of others it must be said."""
        return self.is_metric

    def growth(self, dim: int) -> Growth | None:
        """How fast the cost grows on R^dim; None where nothing is known.

        Example:
            >>> from ot_gen import InnerProduct, SquaredEuclidean
            >>> SquaredEuclidean().growth(3), InnerProduct().growth(3)
            (Growth(factor=1.0, power=2.0), None)
        """
        return None

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """c(x_i, y_i) on paired points: (*, d), (*, d) -> (*), with broadcasting."""

    def _paired(self, x: Tensor, y: Tensor) -> Tensor:
        """`forward` of pairs out of clouds whose range `matrix` or `bilinear` has seen: these may be close."""
        values: Tensor = self(x, y)
        return values

    @abstractmethod
    def matrix(self, x: Cloud, y: Cloud) -> Tensor:
        """C_ij = c(x_i, y_j) on all pairs: (n, d), (m, d) -> (n, m)."""

    def decoded(self, out: Tensor | Distribution, y: Tensor) -> Tensor:
        """c(g(z_i), y_i), (n,), where out is what the generator returned: points (n, d), or laws, each drawn once.

        Raises:
            ValueError: the laws have no differentiable draw.
        """
        if isinstance(out, Tensor):
            return self(out, y)
        if not out.has_rsample:
            raise ValueError(
                f"{self} needs draws that can be differentiated, and {out} has none; use NegativeLogLikelihood"
            )
        return self(out.rsample(), y)

    def bilinear(self, y: Cloud) -> Bilinear | None:
        """The cost as one matrix product, or None where it is none; few of the typical atoms y (m, d) are read.

        Example:
            >>> import torch
            >>> from ot_gen import SquaredEuclidean
            >>> x, y = torch.rand(3, 2), torch.rand(4, 2)
            >>> form = SquaredEuclidean().bilinear(y)
            >>> (u, r), (v, s) = form.left(x), form.right(y)
            >>> torch.allclose(u @ v.T + r[:, None] + s, SquaredEuclidean().matrix(x, y), atol=1e-6)
            True
        """
        return None

    def against(self, y: Cloud) -> Callable[[Tensor], Tensor]:
        """x (n, d) -> C_ij = c(x_i, y_j), (n, m), for atoms that stay: what depends on them alone is computed once.

        Example:
            >>> import torch
            >>> from ot_gen import Euclidean
            >>> x, y = torch.rand(3, 2), torch.rand(4, 2)
            >>> torch.equal(Euclidean().against(y)(x), Euclidean().matrix(x, y))
            True
        """
        return lambda x: self.matrix(x, y)

    @staticmethod
    def instead_of(thing: object) -> str:
        """What to give in the place of something else, in the words of an error."""
        return "take one of ot_gen.costs, e.g. SquaredEuclidean()"


def typical(y: Tensor) -> Tensor:
    """About a thousand of the atoms y (m, d), evenly from all.

    Example:
        >>> import torch
        >>> typical(torch.zeros(5000, 2)).shape
        torch.Size([1000, 2])
    """
    if len(y) == 0:
        raise ValueError(f"y must have at least one point, got shape {tuple(y.shape)}")
    return y.detach()[:: -(-len(y) // 1024)]
