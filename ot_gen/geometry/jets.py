"""Derivatives of a batched map in forward mode, all rows at once: J and d²F(u, v) without a d × k × k array."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import jvp, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from ot_gen.execution import load_forward_mode
from ot_gen.geometry.bundles import Bundle, UnknownFunction

Map = Callable[[Tensor], Tensor]
# Bytes of the tangents of one pass, chosen to stay in a core's cache between two layers.
CHUNK = 6_500_000
# Functions (x, weight, bias, ...) that are linear in x.
LINEAR: set[Any] = {F.linear, F.conv1d, F.conv2d, F.conv3d}
LINEAR |= {F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d}


def directional(f: Map, z: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """F(z_i) and J(z_i)v_i, (n, d) each, for z, v (n, k).

    Example:
        >>> directional(lambda z: z.square(), torch.tensor([[3.0]]), torch.tensor([[1.0]]))
        (tensor([[9.]]), tensor([[6.]]))
    """
    load_forward_mode()
    with _ForwardMode():
        value, derivative = jvp(f, (z.contiguous(),), (v,))[:2]
    return value, derivative


def pushforward(f: Map, z: Tensor) -> tuple[Tensor, Tensor]:
    """F(z_i) and J(z_i): z (n, k) -> (n, d), (k, n, d), the row a of the second being ∂_a F.

    One pass carries the value and all k tangents, so it costs about 1 + k evaluations of F. It goes by the rules of
    `Bundle` where F is a dense network of smooth layers, else by torch's forward mode.

    Example:
        >>> value, tangents = pushforward(lambda z: z.square(), torch.tensor([[1.0, 2.0]]))
        >>> value, tangents.squeeze(1)
        (tensor([[1., 4.]]), tensor([[2., 0.],
                [0., 4.]]))
    """
    basis = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    try:
        x = f(Bundle.over(z, basis.unsqueeze(1).expand(-1, len(z), -1)))
    except UnknownFunction:
        x = None
    if isinstance(x, Bundle):
        return x.value, x.tangents

    def along(direction: Tensor) -> Any:
        return jvp(f, (z,), (direction.expand_as(z),))

    load_forward_mode()
    # The value is the same along all directions.
    out_dims: Any = (None, 0)
    with _ForwardMode():
        value, tangents = vmap(along, out_dims=out_dims)(basis)
    return value, tangents


def second(f: Map, z: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """d²F(z)(u, v) = Σ_ab ∂_a ∂_b F(z) u_a v_b, (n, d), for z, u, v (n, k).

    Example:
        >>> z = torch.tensor([[1.0, 2.0]])
        >>> second(lambda z: z.prod(dim=1, keepdim=True), z, torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
        tensor([[3.]])
    """

    def along(point: Tensor) -> Tensor:
        return directional(f, point, v)[1]

    return directional(along, z, u)[1]


def weighted_hessian(f: Map, z: Tensor, weight: Tensor) -> Tensor:
    """Σ_l w_l ∂²F_l(z), (n, k, k), for weights w (n, d): k products, forward over reverse."""

    def slope(point: Tensor) -> Tensor:
        return cast(Tensor, torch.func.grad(lambda p: (f(p) * weight).sum())(point))

    return pushforward(slope, z)[1].movedim(0, 2)


def blocks(rows: int, width: int, element: int) -> Iterator[slice]:
    """Equal slices of `rows` rows of `width` numbers of `element` bytes, each at most `CHUNK` bytes or one row.

    Example:
        >>> [(s.start, s.stop) for s in blocks(8, 1_000_000, 4)]
        [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8)]
        >>> [(s.start, s.stop) for s in blocks(8, 300_000, 4)]
        [(0, 4), (4, 8)]
    """
    count = -(-rows // max(CHUNK // max(width * element, 1), 1))
    size = -(-rows // max(count, 1))
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def gram(left: Tensor, right: Tensor) -> Tensor:
    """Products of tangents, Σ_l left_anl right_bnl: (a, n, d), (b, n, d) -> (n, a, b).

    Example:
        >>> gram(torch.ones(2, 1, 3), torch.ones(2, 1, 3))
        tensor([[[3., 3.],
                 [3., 3.]]])
    """
    return torch.bmm(left.transpose(0, 1), right.permute(1, 2, 0))


def widest(f: Map, z: Tensor) -> int:
    """The most numbers that F holds at once for one point: its own outputs, or those of a layer inside it.

    Example:
        >>> widest(lambda z: torch.cat([z, z, z], dim=1).sum(dim=1, keepdim=True), torch.zeros(1, 2))
        6
    """
    probe = z[:1].expand(_Widths.ROWS, -1)
    with torch.no_grad(), _Widths() as widths:
        f(probe)
    return max(widths.most, z.shape[1])


class _Widths(TorchFunctionMode):
    """Records the largest result with one row for each point; weights have other numbers of rows, as a rule."""

    ROWS = 5

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.ndim > 0 and len(result) == self.ROWS:
            self.most = max(self.most, result.numel() // self.ROWS)
        return result


class _ForwardMode(TorchFunctionMode):
    """Forward mode where torch is slow in it, or lacks it.

    Linear layers and convolutions leave out the products with the zero tangents of their weights. torch forms these
    products, and copies each tangent to add them. That takes half of the time of a dense pass, a tenth to a fifth of
    a convolution's. Attention and the functions of `WRITTEN_OUT` lack first or second derivatives in torch. The
    functions of `WRITTEN_OUT` leave their argument as it is, even with `inplace`.
    """

    def __enter__(self) -> Any:
        self._attention = sdpa_kernel(SDPBackend.MATH)
        self._attention.__enter__()
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self._attention.__exit__(*raised)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func in WRITTEN_OUT:
            return WRITTEN_OUT[func](*args, **named)
        if func in LINEAR and not kwargs and all(_unpacked(w)[1] is None for w in args[1:3] if w is not None):
            value, tangent = _unpacked(args[0])
            if tangent is not None:
                return forward_ad.make_dual(func(value, *args[1:]), func(tangent, args[1], None, *args[3:]))
        return func(*args, **named)


def _unpacked(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """A value and its tangent, None where it has none that can be seen: in a map that uses vmap itself."""
    try:
        return forward_ad.unpack_dual(x)
    except RuntimeError:
        return x, None


def _glu(x: Tensor, dim: int = -1) -> Tensor:
    value, gate = x.chunk(2, dim)
    return value * gate.sigmoid()


def _cdist(x: Tensor, y: Tensor, p: float = 2.0, compute_mode: str = "") -> Tensor:
    return torch.linalg.vector_norm(x.unsqueeze(-2) - y.unsqueeze(-3), p, dim=-1)


WRITTEN_OUT: dict[Any, Callable[..., Tensor]] = {
    F.silu: lambda x, inplace=False: x * x.sigmoid(),
    F.mish: lambda x, inplace=False: x * F.softplus(x).tanh(),
    F.glu: _glu,
    torch.cdist: _cdist,
}
