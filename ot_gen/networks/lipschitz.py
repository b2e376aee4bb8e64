"""Ways to keep a critic network near or inside the 1-Lipschitz functions.

A mechanism fills one of three hooks and leaves the others as they are. `attach` makes a rewritten copy of the network.
`penalty` adds a term to the critic's objective. `project` moves the weights back after each critic step.
"""

from __future__ import annotations

import copy
from abc import ABC
from collections.abc import Callable
from typing import Annotated, final

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal, spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from ot_gen.arguments import Count, Interval, Positive, checked
from ot_gen.execution import renamed
from ot_gen.networks.dense import MLP

Function = Callable[[Tensor], Tensor]
Group = Annotated[int, Interval(2, 10**9)]  # features that are sorted together

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.SiLU, nn.GELU)
CONTRACTIONS = (nn.Identity, nn.Sigmoid, nn.Tanh, nn.ReLU, nn.Softplus, nn.LogSigmoid, nn.Softsign, nn.Hardtanh)


@checked
class Lipschitz(nn.Module, ABC):
    """A mechanism that controls the Lipschitz constant of a critic.

    `certifies_one` is True where every parameter value gives a 1-Lipschitz h, so that h is a feasible potential.
    """

    certifies_one: bool = False

    @staticmethod
    def instead_of(thing: object) -> str:
        """What to give in the place of something else, in the words of an error."""
        return "take a mechanism, e.g. GradientPenalty(10.0)"

    def attach(self, net: nn.Module) -> nn.Module:
        """The network to train in place of `net`, which stays as it is: `net` itself, or a rewritten copy."""
        return net

    def penalty(self, h: Function, x: Tensor, y: Tensor) -> Tensor:
        """A term >= 0, (), added to the critic's objective; x is the model's sample (detached), y the data's."""
        return x.new_zeros(())

    def project(self, net: nn.Module) -> None:
        """Move the weights of `net` back into the constraint, after each critic step."""


@final
@checked
class WeightClip(Lipschitz):
    """Clip every weight to [−limit, limit] after each critic step.

    The critic is then K-Lipschitz for an unknown K that depends on depth and width: the value estimates K·W₁.

    Source: Arjovsky, Chintala, Bottou, 2017, https://arxiv.org/abs/1701.07875 (limit = 0.01)

    Example:
        >>> net = nn.Linear(2, 1)
        >>> WeightClip(0.01).project(net)
        >>> bool(net.weight.abs().max() <= 0.01)
        True
    """

    @renamed(bound="limit")
    @checked
    def __init__(self, limit: Positive = 0.01) -> None:
        super().__init__()
        self.limit = limit

    @torch.no_grad()
    @checked
    def project(self, net: nn.Module) -> None:
        for parameter in net.parameters():
            parameter.clamp_(-self.limit, self.limit)

    def extra_repr(self) -> str:
        return f"limit={self.limit:g}"


@final
@checked
class GradientPenalty(Lipschitz):
    """weight · E[(‖∇h(x̂)‖ − 1)²], the two-sided penalty, with x̂ uniform on the segments between x_i and y_i.

    Source: Gulrajani et al., 2017, https://arxiv.org/abs/1704.00028 (weight = 10)

    Example:
        >>> h = lambda x: 2 * x[:, 0]
        >>> float(GradientPenalty(10.0).penalty(h, torch.zeros(4, 2), torch.ones(4, 2)))
        10.0
    """

    def __init__(self, weight: Positive = 10.0) -> None:
        super().__init__()
        self.weight = weight

    def penalty(self, h: Function, x: Tensor, y: Tensor) -> Tensor:
        return self.weight * (_slopes(h, x, y) - 1).square().mean()

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}"


@final
@checked
class OneSidedPenalty(Lipschitz):
    """weight · E[max(0, ‖∇h(x̂)‖ − 1)²], the one-sided penalty of WGAN-LP: slopes below 1 are free.

    Source: Petzka, Fischer, Lukovnikov, 2018, https://arxiv.org/abs/1709.08894 (weight = 10)

    Example:
        >>> h = lambda x: 0.5 * x[:, 0]
        >>> float(OneSidedPenalty(10.0).penalty(h, torch.zeros(4, 2), torch.ones(4, 2)))
        0.0
    """

    def __init__(self, weight: Positive = 10.0) -> None:
        super().__init__()
        self.weight = weight

    def penalty(self, h: Function, x: Tensor, y: Tensor) -> Tensor:
        return self.weight * (_slopes(h, x, y) - 1).clamp_min(0).square().mean()

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}"


@final
@checked
class SpectralNorm(Lipschitz):
    """Divide the weight of each linear or convolutional layer by its largest singular value.

    The singular value is estimated by power iteration (torch's `spectral_norm` parametrization). A convolution is
    normalised as its reshaped kernel matrix. So h is not certified. Use 1-Lipschitz activations (ReLU,
    LeakyReLU, Tanh); the slope of SiLU reaches 1.10 and that of GELU 1.13.

    Source: Miyato et al., 2018, https://arxiv.org/abs/1802.05957

    Example:
        >>> net = SpectralNorm(power_iterations=5).attach(nn.Sequential(nn.Linear(2, 2)))
        >>> bool(torch.linalg.matrix_norm(net[0].weight, 2) < 1.1)
        True
    """

    def __init__(self, power_iterations: Count = 1) -> None:
        super().__init__()
        self.power_iterations = power_iterations

    def attach(self, net: nn.Module) -> nn.Module:
        net = copy.deepcopy(net)
        layers = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
        if not layers:
            raise ValueError("SpectralNorm found no linear or convolutional layer to normalise in the critic")
        for layer in layers:
            spectral_norm(layer, n_power_iterations=self.power_iterations)
        return net

    def extra_repr(self) -> str:
        return f"power_iterations={self.power_iterations}"


@final
@checked
class Orthogonal(Lipschitz):
    """Orthogonal layers between sorts: h is 1-Lipschitz for every parameter value, so its value bounds W₁ from below.

    W Wᵀ = I or Wᵀ W = I in each linear layer, by torch's `orthogonal` parametrization. Cayley's map is the fastest of
    its maps at these widths, and exact to rounding. `GroupSort` between the layers permutes at every point. Both keep
    the norm of gradients, so slopes of 1 can be reached everywhere. `attach` replaces each activation (ReLU,
    LeakyReLU, ELU, Tanh, Sigmoid, Softplus, SiLU, GELU) by the sort, because activations lose slope.

    Args:
        group: features in one sort; None sorts whole layers. Widths must be its multiples.

    Raises:
        ValueError: a net that is no chain of linear layers and activations. Convolutions are refused too: their norm
            is not that of the reshaped kernel.

    Source: Anil, Lucas, Grosse, 2019, https://arxiv.org/abs/1811.05381

    Example:
        >>> net = Orthogonal().attach(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)))
        >>> weight = net[0].weight.detach()
        >>> net[1], torch.allclose(weight.T @ weight, torch.eye(2), atol=1e-5)
        (GroupSort(group=2), True)
    """

    certifies_one = True

    def __init__(self, group: Group | None = 2) -> None:
        super().__init__()
        self.group = GroupSort(group).group

    def attach(self, net: nn.Module) -> nn.Module:
        return self._rewritten(copy.deepcopy(net))

    def _rewritten(self, net: nn.Module) -> nn.Module:
        if isinstance(net, ACTIVATIONS):
            return GroupSort(self.group)
        if is_parametrized(net):
            raise ValueError(
                f"{net} carries a parametrization already, as the net of a critic does; give Orthogonal the net that "
                "it was made from"
            )
        if isinstance(net, nn.Linear):
            return orthogonal(net, orthogonal_map="cayley")
        if isinstance(net, nn.Sequential | MLP):
            for name, part in net.named_children():
                setattr(net, name, self._rewritten(part))
        elif not isinstance(net, nn.Identity | nn.Flatten | GroupSort):
            raise ValueError(
                f"Orthogonal cannot make {type(net).__name__} 1-Lipschitz for certain: it takes chains of linear "
                "layers and activations; use an MLP, or GradientPenalty, which takes any net"
            )
        return net

    def extra_repr(self) -> str:
        return f"group={self.group}"


@checked
def is_contraction(module: nn.Module) -> bool:
    """Whether a module without parameters is known to be 1-Lipschitz, e.g. `nn.Sigmoid()`, which is ¼-Lipschitz.

    Example:
        >>> is_contraction(nn.Tanh()), is_contraction(nn.GELU()), is_contraction(nn.LeakyReLU(2.0))
        (True, False, False)
    """
    if isinstance(module, nn.LeakyReLU):
        return abs(module.negative_slope) <= 1
    if isinstance(module, nn.Sequential):
        return all(is_contraction(part) for part in module)
    return isinstance(module, CONTRACTIONS)


def _slopes(h: Function, x: Tensor, y: Tensor) -> Tensor:
    """‖∇h‖ at one uniform point of each segment [x_i, y_i], (n,), differentiable in h's parameters only."""
    t = torch.rand(len(x), 1, dtype=x.dtype, device=x.device)
    points = torch.lerp(x.detach(), y.detach(), t).requires_grad_()
    (gradient,) = torch.autograd.grad(h(points).sum(), points, create_graph=True)
    return torch.linalg.vector_norm(gradient, dim=1)  # its derivative at a flat critic is 0, not NaN


@final
@checked
class GroupSort(nn.Module):
    """Sort the features within groups of neighbours, (n, w) -> (n, w); `group` = 2 is MaxMin.

    A permutation at every x, so it is 1-Lipschitz in every p-norm and keeps the norm of gradients. Networks of
    orthogonal layers and sorts come as near as wanted to every 1-Lipschitz function; with ReLU they do not.

    Args:
        group: the size of a group, >= 2; None sorts all features.

    Raises:
        ValueError: group < 2, or a width that is no multiple of `group`.

    Source: Anil, Lucas, Grosse, 2019, https://arxiv.org/abs/1811.05381

    Example:
        >>> GroupSort(2)(torch.tensor([[3.0, 1.0, 0.0, 2.0]]))
        tensor([[1., 3., 0., 2.]])
    """

    by_rows = True

    def __init__(self, group: Group | None = 2) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        width = x.shape[-1] if x.ndim else 1
        group = width if self.group is None else self.group
        if width % group:
            raise ValueError(f"GroupSort({group}) needs a width that is a multiple of {group}, got {width} features")
        groups = x.unflatten(-1, (-1, group))
        if group == 2:  # many times faster than a sort
            low, high = groups.unbind(-1)
            return torch.stack([torch.minimum(low, high), torch.maximum(low, high)], dim=-1).flatten(-2)
        return groups.sort(dim=-1).values.flatten(-2)

    def extra_repr(self) -> str:
        return f"group={self.group}"
