"""The c-transform over atoms that are spread over several processes."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ot_gen.arguments import Cloud, Nonnegative, checked
from ot_gen.costs import Cost
from ot_gen.execution import Processes
from ot_gen.semidual.transform import c_transform


@final
@checked
class ShardedAtoms:
    """Atoms y_j, spread over the processes: each holds consecutive ones, in the order of the processes.

    The c-transform over all of them is the minimum of the processes' own, an all-reduced min of one number a point. So
    memory and work fall with the number of processes, and no atom is ever sent.

    Args:
        processes: those that hold the atoms.
        atoms: this process's part, (m_r, d), m_r >= 1; the parts may differ in size.

    Attributes:
        first: the number of this process's first atom.
        count: m, the number of all atoms.

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> shard = ShardedAtoms(Processes(), torch.tensor([[0.0], [3.0]]))
        >>> shard.c_transform(SquaredEuclidean(), torch.tensor([[1.0]]), torch.tensor([0.0, 1.0]))
        (tensor([1.]), tensor([0]))
    """

    def __init__(self, processes: Processes, atoms: Cloud) -> None:
        self.processes = processes
        self.atoms = atoms
        sizes = processes.stack(torch.tensor(len(atoms), device=atoms.device))
        self.first = int(sizes[: processes.rank].sum())
        self.count = int(sizes.sum())

    def c_transform(self, cost: Cost, x: Tensor, h_tilde: Tensor, epsilon: Nonnegative = 0.0) -> tuple[Tensor, Tensor]:
        """`ot_gen.c_transform` over all atoms, in every process: h(x_i), (n,), and the number of the atom, (n,).

            ε = 0:  h(x) = min_r h_r(x)          ε > 0:  h(x) = −ε log Σ_r exp(−h_r(x) / ε),  h_r over the atoms of r

        Gradients in x are those of the whole. Gradients in h̃ are those of this process's entries. They are complete:
        take no mean over the processes.

        Args:
            cost: the ground cost c.
            x: points, (n, d), the same in every process.
            h_tilde: the potentials of this process's atoms, (m_r,).
            epsilon: ε >= 0, in the units of the cost.
        """
        x = _Copied.apply(x, self.processes)
        own, argmin = c_transform(cost, x, self.atoms, h_tilde, epsilon)
        with torch.no_grad():
            hard = own if epsilon == 0 else cost(x, self.atoms[argmin]) - h_tilde[argmin]
            minimum = self.processes.min(hard)
            # Where atoms tie the first counts, as it does within a process.
            index = self.processes.min(torch.where(hard == minimum, argmin + self.first, self.count))
        mine = (index >= self.first) & (index < self.first + len(self.atoms))
        return _Joined.apply(own, mine, self.processes, epsilon), index


class _Copied(torch.autograd.Function):
    """x itself; its gradient is the sum of those that the processes compute for their own atoms."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.processes.sum(gradients[0]), None


class _Joined(torch.autograd.Function):
    """min_r h_r, or the soft minimum for ε > 0; its derivative in h_r is process r's share of it."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, mine: Tensor, processes: Processes, epsilon: float) -> Tensor:
        minimum = processes.min(own)
        if epsilon == 0:
            ctx.save_for_backward(mine.to(own))
            return minimum
        h = minimum - epsilon * processes.sum(((minimum - own) / epsilon).exp()).log()
        ctx.save_for_backward(((h - own) / epsilon).exp())
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (share,) = ctx.saved_tensors
        return gradients[0] * share, None, None, None
