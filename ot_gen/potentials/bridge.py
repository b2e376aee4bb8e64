"""The entropic plan and the Schrödinger bridge of a mixture potential, in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MultivariateNormal

from ot_gen.arguments import Count, Fraction, Positive, checked
from ot_gen.measures import Mixture, check_cloud

TILE = 2**22  # numbers in the largest intermediate result, 16 MB in float32


@final
@checked
class SchrodingerBridge(nn.Module):
    """An entropic plan π for ‖x − y‖², x (n, d) -> the law π(·|x) of y, and the bridge X_t from X_0 = x to X_1 = y.

        π(·|x) = Σ_k w_k(x) N(q + S_k (x − p) + r_k, (ε/2) S_k)
        w_k(x) ∝ α_k exp([(x − p)ᵀ S_k (x − p) + 2⟨x − p, r_k⟩] / ε)

    For every μ it solves min over plans of ∫ ‖x − y‖² dπ + ε KL(π | μ ⊗ ν), where ν is the law of y for x ~ μ. ε is in
    units of the cost, which has no ½: papers with ½‖x − y‖² have half of this ε. The law has `sample`, `log_prob` and
    `mean`, the entropic map. `Pushforward(bridge, mu)` samples y by itself. The law of n points holds n K d numbers.

    The bridge is the process nearest to Brownian motion, of all that join x and y by π:

        dX_t = b(t, X_t) dt + √(ε/2) dW_t          b(t, x) = (ε/2) ∇ log h_t(x)

    with h_t(x) = E[h_1(W_1) | W_t = x] under dW_t of the same size. All of it is closed form, at t = 1 too.

    Args:
        log_weights: log α_k, (K,), up to a constant.
        centres: r_k, (K, d).
        matrices: S_k, symmetric and positive definite, (K, d, d).
        epsilon: ε > 0.
        p, q: centres of the two laws, (d,) each; None: the origin.

    Raises:
        ValueError: shapes that do not fit, or matrices that are not positive definite.

    Source: Korotin, Gushchin, Burnaev, 2024, https://arxiv.org/abs/2310.01174

    Example:
        >>> from ot_gen import Pushforward, standard_gaussian
        >>> r = torch.tensor([[-3.0, 0.0], [3.0, 0.0]])
        >>> bridge = SchrodingerBridge(torch.zeros(2), r, torch.eye(2).expand(2, 2, 2), epsilon=0.5)
        >>> x = torch.tensor([[1.0, 0.0]])
        >>> bridge(x).mean  # the entropic map
        tensor([[4., 0.]])
        >>> Pushforward(bridge, standard_gaussian(2)).sample(7).shape, bridge.path(x, steps=10).shape
        (torch.Size([7, 2]), torch.Size([11, 1, 2]))
    """

    log_weights: Tensor
    centres: Tensor
    spectra: Tensor
    axes: Tensor
    factors: Tensor
    p: Tensor
    q: Tensor

    def __init__(
        self,
        log_weights: Tensor,
        centres: Tensor,
        matrices: Tensor,
        epsilon: Positive,
        p: Tensor | None = None,
        q: Tensor | None = None,
    ) -> None:
        super().__init__()
        check_cloud(centres, "centres")
        K, d = centres.shape
        p, q = (centres.new_zeros(d) if centre is None else centre for centre in (p, q))
        for name, tensor, shape in (
            *(("log_weights", log_weights, (K,)), ("matrices", matrices, (K, d, d))),
            *(("p", p, (d,)), ("q", q, (d,))),
        ):
            if tensor.shape != shape or not bool(torch.isfinite(tensor).all()):
                raise ValueError(
                    f"{name} must be finite and of shape {shape}, as the centres (K, d) are {(K, d)}, got "
                    f"{tuple(tensor.shape)}; give one weight, centre and matrix a component"
                )
        spectra, axes = torch.linalg.eigh(0.5 * (matrices + matrices.mT).double())
        if not bool((spectra > 0).all()) or not torch.allclose(matrices, matrices.mT, rtol=1e-3):
            raise ValueError(
                f"matrices must be symmetric and positive definite, got a smallest eigenvalue of {spectra.min():.3g}; "
                "(ε/2) S_k is a covariance"
            )
        self.epsilon = epsilon
        self.dim = d
        factors = torch.linalg.cholesky(0.5 * epsilon * (axes * spectra.unsqueeze(1)) @ axes.mT)
        held = {"log_weights": log_weights.log_softmax(0), "centres": centres, "p": p, "q": q}
        for name, tensor in (held | {"spectra": spectra, "axes": axes, "factors": factors}).items():
            self.register_buffer(name, tensor.detach().to(centres))

    def forward(self, x: Tensor) -> Mixture:
        logits, forces = self._components(torch.zeros(len(self._points(x)), device=x.device), x)
        normal = MultivariateNormal(
            x.unsqueeze(1) + self.q - self.p + forces, scale_tril=self.factors, validate_args=False
        )
        return Mixture(Categorical(logits=logits, validate_args=False), normal, validate_args=False)

    def map(self, x: Tensor) -> Tensor:
        """The entropic map E[y | x], (n, d) -> (n, d)."""
        return x + self.drift(0.0, x)

    def log_h(self, t: Fraction | Tensor, x: Tensor) -> Tensor:
        """log h_t(x), (n,): −ε log h_0 = h and ε log h_1 = h̃ are the potentials, up to a constant; t is one or (n,)."""
        return self._tiled(lambda t, x: self._log_h(t, x), t, x)

    def drift(self, t: Fraction | Tensor, x: Tensor) -> Tensor:
        """b(t, x) = (E[X_1 | X_t = x] − x) / (1 − t), (n, d), with its limit at t = 1; t is one number or (n,)."""
        return self._tiled(lambda t, x: self._drift(t, x), t, x)

    def between(self, t: Fraction, x: Tensor) -> Tensor:
        """A draw of X_t given X_0 = x, (n, d), without error: y ~ π(·|x), then the Brownian bridge from x to y."""
        y = torch.cat([self(part).sample() for part in self._points(x).split(self._rows)])
        return (1 - t) * x + t * y + math.sqrt(0.5 * self.epsilon * t * (1 - t)) * torch.randn_like(x)

    def path(self, x: Tensor, steps: Count = 100) -> Tensor:
        """X_t given X_0 = x at t = 0, 1/steps, ..., 1 by the method of Euler and Maruyama, (steps + 1, n, d)."""
        points = [self._points(x)]
        size = math.sqrt(0.5 * self.epsilon / steps)
        for i in range(steps):
            points.append(points[-1] + self.drift(i / steps, points[-1]) / steps + size * torch.randn_like(x))
        return torch.stack(points)

    def _components(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Log-weights (n, K) and forces F_k = M_k⁻¹((S_k − I)(x − m) + r_k), (n, K, d).

        M_k = (1 − t) I + t S_k and m = (1 − t) p + t q. Along the axes of S_k all is diagonal.
        """
        t = t.to(x)[:, None]
        local = torch.einsum("kij,ni->nkj", self.axes, x - self.p - t * (self.q - self.p))
        centres = torch.einsum("kij,ki->kj", self.axes, self.centres)
        t = t.unsqueeze(2)
        spread = 1 + t * (self.spectra - 1)
        forces = ((self.spectra - 1) * local + centres) / spread
        exponents = (forces * local + centres * (local - t * centres) / spread).sum(dim=2) / self.epsilon
        logits = self.log_weights - 0.5 * spread.log().sum(dim=2) + exponents
        return logits, torch.einsum("kij,nkj->nki", self.axes, forces)

    def _log_h(self, t: Tensor, x: Tensor) -> Tensor:
        shift = self.q - self.p
        linear = 2 * (x - self.p) @ shift - t.to(x) * (shift @ shift)
        return self._components(t, x)[0].logsumexp(dim=1) + linear / self.epsilon

    def _drift(self, t: Tensor, x: Tensor) -> Tensor:
        logits, forces = self._components(t, x)
        return self.q - self.p + torch.einsum("nk,nki->ni", logits.softmax(dim=1), forces)

    @property
    def _rows(self) -> int:
        return max(1, TILE // self.centres.numel())

    def _tiled(self, function: Callable[[Tensor, Tensor], Tensor], t: float | Tensor, x: Tensor) -> Tensor:
        times = torch.as_tensor(t, dtype=self._points(x).dtype, device=x.device)
        if times.ndim > 1 or (times.ndim and len(times) != len(x)) or not bool(((times >= 0) & (times <= 1)).all()):
            raise ValueError(f"t must be one time or (n,) of them in [0, 1], got shape {tuple(times.shape)}")
        parts = zip(times.expand(len(x)).split(self._rows), x.split(self._rows), strict=True)
        return torch.cat([function(at, part) for at, part in parts])

    def _points(self, x: Tensor) -> Tensor:
        """x; a `ValueError` unless it is a cloud of the bridge's dimension, dtype and device."""
        check_cloud(x, "x")
        own = self.centres
        if (x.shape[1], x.dtype, x.device) != (self.dim, own.dtype, own.device):
            raise ValueError(
                f"the bridge is asked at points (n, {self.dim}) in {own.dtype} on {own.device}, got {tuple(x.shape)} "
                f"in {x.dtype} on {x.device}; give both one dimension, dtype and device"
            )
        return x

    def extra_repr(self) -> str:
        return f"dim={self.dim}, components={len(self.centres)}, epsilon={self.epsilon:g}"
