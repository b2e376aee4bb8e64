"""Several processes that train as one: the same batch, the same losses, the same step in each of them.

Every process draws the whole batch from the same random state and computes the whole loss. Only maps of rows, the
networks, are evaluated in shares, and their results are gathered. So each loss is that of one process, also where
it couples rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, final

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ot_gen.arguments import Count, Index, checked, described
from ot_gen.execution.wording import on_one_line


@final
@checked
class Processes:
    """The processes of one training, this one being number `rank` of `size`; without arguments this one alone.

    Inside a share gradients are `size` times the process's own part of them. Their mean over the processes is then the
    gradient of the whole, whether some rows or all of them use a parameter.

    Args:
        rank: the number of this process, 0 <= rank < size.
        size: the number of processes; more than one need torch's default process group (`ot_gen.launch` makes it).
        device: where tensors that are exchanged live, if they have no device of their own.

    Raises:
        ValueError: a rank outside [0, size).

    Example:
        >>> alone = Processes()
        >>> net = alone.share(nn.Linear(2, 1))
        >>> net(torch.zeros(4, 2)).shape, alone.any(False)
        (torch.Size([4, 1]), False)
    """

    def __init__(self, rank: Index = 0, size: Count = 1, device: torch.device | str = "cpu") -> None:
        if rank >= size:
            raise ValueError(f"process number {rank} of {size} does not exist; ranks are 0, ..., size − 1")
        self.rank = rank
        self.size = size
        try:
            self.device = torch.device(device)
        except RuntimeError as error:
            raise ValueError(
                f'device {device!r} is none that torch knows ({on_one_line(str(error))}); try "cpu"'
            ) from error

    def __repr__(self) -> str:
        return f"Processes(rank={self.rank}, size={self.size}, device={str(self.device)!r})"

    def share(self, rowwise: Callable[..., Any]) -> Callable[..., Any]:
        """The map of rows x (n, ...) -> f(x, ...), one or several tensors of n rows, with each process doing n/size.

        Any derivative of the result is that of f. Where n is no multiple of `size`, each process does all rows.
        """
        if self.size == 1:
            return rowwise

        def shared(x: Tensor, *rest: Any) -> Any:
            if len(x) % self.size:
                return rowwise(x, *rest)
            out = rowwise(_Scatter.apply(x, self), *rest)
            if isinstance(out, Tensor):
                return _Gather.apply(out, self)
            return tuple(_Gather.apply(part, self) for part in out)

        return shared

    def own(self, x: Tensor) -> Tensor:
        """This process's rows of x (n, ...), (n/size, ...)."""
        return x.tensor_split(self.size)[self.rank]

    def stack(self, x: Tensor) -> Tensor:
        """The tensors of all processes, of one shape, (size, ...); no graph."""
        x = x.detach().contiguous()
        parts = [torch.empty_like(x) for _ in range(self.size)]
        if self.size == 1:
            return x.unsqueeze(0)
        dist.all_gather(parts, x)
        return torch.stack(parts)

    def sum(self, x: Tensor) -> Tensor:
        """The sum over the processes; no graph."""
        return self._reduced(x, dist.ReduceOp.SUM)

    def min(self, x: Tensor) -> Tensor:
        """The minimum over the processes, entry by entry; no graph."""
        return self._reduced(x, dist.ReduceOp.MIN)

    def any(self, flag: bool) -> bool:
        """Whether the flag is True in any process; every process gets the same answer."""
        if self.size == 1:
            return flag
        return bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0)

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace the gradients of parameters, of one dtype, by their means over the processes: one exchange."""
        gradients = [p.grad for p in listed_parameters(parameters) if p.grad is not None]
        if self.size == 1 or not gradients:
            return
        mean = self.sum(torch.cat([gradient.flatten() for gradient in gradients])) / self.size
        for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    @torch.no_grad()
    @checked
    def align(self, *modules: nn.Module) -> None:
        """Give every process the parameters, buffers in the state dict and random state of process 0."""
        if self.size == 1:
            return
        for module in modules:
            for tensor in module.state_dict().values():
                tensor.copy_(self._of_first(tensor))
        torch.set_rng_state(self._of_first(torch.get_rng_state().to(self.device)).cpu())
        if self.device.type == "cuda":
            state = self._of_first(torch.cuda.get_rng_state(self.device).to(self.device))
            torch.cuda.set_rng_state(state.cpu(), self.device)

    def _of_first(self, tensor: Tensor) -> Tensor:
        sent = tensor.detach().clone(memory_format=torch.contiguous_format)
        dist.broadcast(sent, src=0)
        return sent

    def _reduced(self, x: Tensor, operation: Any) -> Tensor:
        reduced = x.detach().clone(memory_format=torch.contiguous_format)
        if self.size > 1:
            dist.all_reduce(reduced, operation)
        return reduced


ALONE = Processes()


def listed_parameters(parameters: Iterable[Any]) -> list[Any]:
    """Parameters as a list, or a `ValueError` where one of them is no tensor.

    Example:
        >>> listed_parameters("xi")
        Traceback (most recent call last):
        ValueError: parameters must be tensors, as module.parameters() gives them, got a str among them
    """
    each = list(parameters) if not isinstance(parameters, Tensor) or parameters.ndim else [parameters]
    for parameter in each:
        if not isinstance(parameter, Tensor):
            raise ValueError(
                f"parameters must be tensors, as module.parameters() gives them, got {described(parameter)} among them"
            )
    return each


class _Scatter(torch.autograd.Function):
    """A process's rows of a tensor that all processes hold; the adjoint of `_Gather` over size."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        return processes.own(x).clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Gather.apply(gradients[0], ctx.processes) / ctx.processes.size, None


class _Gather(torch.autograd.Function):
    """The rows of all processes, in the order of the processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        return processes.stack(rows).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Scatter.apply(gradients[0], ctx.processes) * ctx.processes.size, None


def check_device(device: str) -> torch.device:
    """The device of this name, or a `ValueError` where none holds numbers.

    Example:
        >>> check_device("meta")
        Traceback (most recent call last):
        ValueError: device=meta is not available here (Tensor.item() cannot be called on meta tensors); use device=cpu
    """
    try:
        own = torch.device(device)
        torch.empty(1, device=own).item()  # "meta" has no numbers
    except Exception as error:  # each device has its own
        # Of what torch says the first line names the fault; where an operator is missing, it lists all devices.
        why = "torch was built without it" if isinstance(error, NotImplementedError) else str(error).partition("\n")[0]
        raise ValueError(f"device={device} is not available here ({why}); use device=cpu") from error
    return own


def device_of(rank: int, device: str) -> torch.device:
    """The device of one process: for "cuda" the GPUs of its machine in turn; ValueError where it is not available.

    Example:
        >>> device_of(1, "cpu")
        device(type='cpu')
    """
    own = check_device(device)
    return torch.device("cuda", rank % torch.cuda.device_count()) if own == torch.device("cuda") else own


@contextmanager
def joined(rank: int, size: int, device: str, timeout: float, meeting: str = "env://") -> Iterator[Processes]:
    """Join torch's default process group for as long as the context lasts; NCCL between GPUs, Gloo elsewhere.

    Args:
        rank: the number of this process.
        size: the number of processes.
        device: "cuda" gives each process of a machine a GPU of its own.
        timeout: seconds that a process waits for the others before it gives up.
        meeting: where they meet, a URL of `torch.distributed`; "env://": as MASTER_ADDR and MASTER_PORT say.

    Raises:
        RuntimeError: the others did not come, or went.
    """
    own = device_of(rank, device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    backend = "nccl" if own.type == "cuda" else "gloo"
    dist.init_process_group(backend, meeting, timedelta(seconds=timeout), world_size=size, rank=rank)
    try:
        yield Processes(rank, size, own)
    finally:
        dist.destroy_process_group()
