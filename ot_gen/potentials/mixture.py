"""The entropic dual held by a mixture of Gaussians, whose soft c-transform is closed form."""

from __future__ import annotations

import math
from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from torch.optim import Adam

from ot_gen.arguments import Count, Positive, checked
from ot_gen.costs import Cost, SquaredEuclidean
from ot_gen.execution import OptimizerFactory
from ot_gen.measures import Measure, check_cloud, check_defined
from ot_gen.potentials.bridge import SchrodingerBridge
from ot_gen.potentials.frame import Frame
from ot_gen.potentials.matrices import DiagonalMatrices, FullMatrices, Matrices, gaussian_diagonal, gaussian_matrix
from ot_gen.potentials.potential import Potential, check_problem

ROWS = 2**14  # of each law, for the start
MANY = 2**10  # dimensions, beyond which diagonal matrices start from variances alone: eigenvectors take d³ operations


@final
@checked
class MixturePotential(Potential):
    """An entropic dual for ‖x − y‖²: h̃ is the logarithm of a mixture of Gaussians and h its exact soft c-transform.

        h(x) = −ε log ∫ exp((h̃(y) − ‖x − y‖²) / ε) dy
        h̃(y) = ‖y − p‖² + ε log Σ_k α_k N(y; q + r_k, (ε/2) S_k)

    Its plan π(y|x) = exp((h(x) + h̃(y) − ‖x − y‖²) / ε) is a mixture for every ξ = (α, r, S). For every plan π* of
    μ and ν

        ∫ h dμ + ∫ h̃ dν = ∫ ‖x − y‖² dπ* + ε ∫ log π*(y|x) dπ* − ε KL(π* | μ ⊗ π(·|x)).

    So the value, −ε times the loss of LightSB up to moments of the laws, bounds W_ε(μ, ν) − ε H(ν) from below. W_ε is
    the minimum of ∫ ‖x − y‖² dπ + ε KL(π | μ ⊗ ν), H the entropy of ν. The gap is ε times the divergence of the plans.
    W_c itself is not bounded. What θ descends is W_ε, as H(ν) does not depend on θ. Both sides need only samples.

    `bridge()` gives what was learned: the plan, the entropic map, the Schrödinger bridge and a sampler.

    `bind` takes means and scales of both laws from samples (`Frame.standardise`), so that scale and shift change
    nothing. The parameters live in these coordinates. One component starts at the plan of the Gaussians of the same
    moments. More start halfway between it and the data: each S_k is half of its S, each r_k half of a point of ν.
    Bound again to the same dimension the potential keeps frame and ξ, as a warm start.

    Args:
        epsilon: ε > 0, in units of the cost, which has no ½: the ε of LightSB is half of it.
        components: K.
        matrices: the family of the S_k, `FullMatrices()` (None) or `DiagonalMatrices()`, whose steps take up to d times
            less time.
        lr: the rate of Adam, the optimizer that ξ asks for.

    Raises:
        ValueError: epsilon or lr <= 0, components < 1; when bound, a cost that is not ‖x − y‖², a law that is a single
            point, or samples that hold NaN.

    Source: Korotin, Gushchin, Burnaev, Light Schrödinger bridge, 2024, https://arxiv.org/abs/2310.01174

    Example:
        >>> from ot_gen import standard_gaussian
        >>> h = MixturePotential(epsilon=0.5, components=3)
        >>> h.bind(standard_gaussian(2), standard_gaussian(2), SquaredEuclidean())
        >>> x = torch.zeros(5, 2)
        >>> h(x).shape, h.bridge()(x).sample().shape
        (torch.Size([5]), torch.Size([5, 2]))
    """

    kind = "network"

    def __init__(
        self, epsilon: Positive, components: Count = 10, matrices: Matrices | None = None, lr: Positive = 2e-2
    ) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.components = components
        self.lr = lr
        self.frame = Frame()
        self.log_weights = nn.Parameter(torch.empty(0))
        self.centres = nn.Parameter(torch.empty(0))
        self.matrices = FullMatrices() if matrices is None else matrices

    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        check_problem(mu, nu)
        if not isinstance(cost, SquaredEuclidean):
            raise ValueError(
                f"a MixturePotential needs the squared distance as its cost (its transform is closed form for no "
                f"other), got {cost}; use SquaredEuclidean(), or a DiscretePotential, which takes any cost"
            )
        if self.centres.shape != (self.components, nu.dim):
            self._start(mu, nu)
        self.dim = nu.dim

    @torch.no_grad()
    def _start(self, mu: Measure, nu: Measure) -> None:
        y = nu.sample(max(ROWS, self.components))
        check_cloud(y, "samples of the data")
        moves = any(parameter.requires_grad for parameter in mu.parameters())
        x = y if moves else mu.sample(ROWS)  # a model that moves comes to the data
        check_cloud(x, "samples of the model")
        self.frame.standardise(y, x)
        u, v = self.frame.of_model(x), self.frame.of_data(y)
        if isinstance(self.matrices, DiagonalMatrices) and nu.dim > MANY:
            matrix = gaussian_diagonal(_variance(u), _variance(v), float(self._epsilon()))
        else:
            matrix = gaussian_matrix(_covariance(u), _covariance(v), float(self._epsilon()))
        share = 0.0 if self.components == 1 else 0.5
        self.matrices.start((1 - share) * matrix, self.components)
        self.centres = nn.Parameter(share * v[: self.components])
        self.log_weights = nn.Parameter(v.new_zeros(self.components))

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        u, epsilon = self.frame.of_model(x), self._epsilon()
        exponents = (self.matrices.squares(u) + 2 * u @ self.centres.T) / epsilon
        shift = self.frame.q - self.frame.p
        quadratic = (x - self.frame.q).square().sum(dim=1) - shift.square().sum()
        h = quadratic - self.epsilon * (self.log_weights.log_softmax(0) + exponents).logsumexp(dim=1)
        check_defined(h, "h", x)
        return h

    def conjugate(self, y: Tensor) -> Tensor:
        """h̃(y), (n, d) -> (n,)."""
        self.check(y, "y")
        v, epsilon = self.frame.of_data(y), self._epsilon()
        volumes = (self.matrices.diagonals() * self.frame.root).log().sum(dim=1)
        unit = 0.5 * y.shape[1] * math.log(math.pi * self.epsilon)
        distances = self.matrices.distances(v, self.centres) / epsilon
        densities = self.log_weights.log_softmax(0) - volumes - unit - distances
        values = (y - self.frame.p).square().sum(dim=1) + self.epsilon * densities.logsumexp(dim=1)
        check_defined(values, "the conjugate", y)
        return values

    def conjugate_mean(self, x: Tensor, y: Tensor) -> Tensor:
        return self.conjugate(y).mean()

    @torch.no_grad()
    def bridge(self) -> SchrodingerBridge:
        """The plan and the Schrödinger bridge of ξ as it is, in the coordinates of x and y; a copy."""
        if self.dim is None:
            raise ValueError("this MixturePotential has no problem yet: call bind(mu, nu, cost), as `fit` does")
        frame, factors = self.frame, self.frame.root * self.matrices.factors()
        return SchrodingerBridge(
            *(self.log_weights, frame.scale * frame.root * self.centres, factors @ factors.mT, self.epsilon),
            *(frame.p, frame.q),
        )

    def optimizer(self) -> OptimizerFactory:
        # The value carries ε, and so must the number that Adam adds to the size of its gradients.
        return partial(Adam, lr=self.lr, betas=(0.9, 0.99), eps=1e-8 * self.epsilon)

    def _epsilon(self) -> Tensor:
        return self.epsilon / self.frame.scale**2

    def extra_repr(self) -> str:
        return f"epsilon={self.epsilon:g}, components={self.components}"


def _variance(points: Tensor) -> Tensor:
    """The diagonal of `_covariance`, (d,)."""
    variance = points.var(dim=0)
    return variance + 1e-4 * variance.mean()


def _covariance(points: Tensor) -> Tensor:
    """Σ + 1e-4 (mean variance) I, (d, d): never singular."""
    covariance = torch.cov(points.T).reshape(points.shape[1], points.shape[1])
    return covariance + torch.diag(1e-4 * covariance.diagonal().mean().expand(len(covariance)))
