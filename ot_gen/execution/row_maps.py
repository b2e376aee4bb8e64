"""Which modules are maps of rows, and how to change what passes through their doors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self, final

from torch import nn

from ot_gen.arguments import checked

Function = Callable[..., Any]

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
LAYERS = (
    *WEIGHTED,
    *(nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.LogSigmoid, nn.Softsign),
    *(nn.Hardtanh, nn.Identity, nn.LayerNorm, nn.GroupNorm, nn.Unflatten, nn.AvgPool2d, nn.MaxPool2d, nn.Upsample),
    nn.Embedding,
)


@checked
def is_rowwise(module: nn.Module) -> bool:
    """Whether a module is known to map the rows of its first argument one by one, (n, ...) -> (n, ...).

    Known are torch's own layers of this kind, chains of them, and classes with `by_rows = True` whose parts are all
    known. Batch normalisation is none of them, since it couples the rows, nor is dropout, which draws for all rows.

    Example:
        >>> is_rowwise(nn.Sequential(nn.Linear(2, 3), nn.ReLU())), is_rowwise(nn.BatchNorm1d(3))
        (True, False)
    """
    if isinstance(module, LAYERS):
        return True
    if isinstance(module, nn.Flatten):
        return module.start_dim >= 1
    is_chain = isinstance(module, nn.ModuleList) or type(module).forward is nn.Sequential.forward
    return (is_chain or getattr(module, "by_rows", False)) and all(map(is_rowwise, module.children()))


@checked
def row_maps(*modules: nn.Module) -> list[nn.Module]:
    """The largest parts of modules that are maps of rows and worth a share: those with weights or `by_rows`.

    Example:
        >>> from ot_gen import MLP
        >>> from ot_gen import Pushforward, standard_gaussian
        >>> net = MLP(2, 3)
        >>> row_maps(Pushforward(net, standard_gaussian(2))) == [net]
        True
    """
    maps: dict[nn.Module, None] = {}
    for module in modules:
        _collect(module, maps)
    # A part of one map may stand elsewhere by itself: there it stays whole.
    inner = {part for module in maps for part in module.modules() if part is not module}
    return [module for module in maps if module not in inner]


@checked
def networks(*modules: nn.Module) -> list[nn.Module]:
    """Those of the `row_maps` that are made of layers with weights."""
    return [m for m in row_maps(*modules) if any(isinstance(part, WEIGHTED) for part in m.modules())]


@final
@checked
class Doors:
    """While the context lasts, each module's forward f is door(f): no wrapper, no other names in the state dict.

    Args:
        pairs: (modules, door), the later ones outermost. A door maps a function to a function.

    Example:
        >>> net = nn.Identity()
        >>> with Doors(([net], lambda f: lambda x: 2 * f(x))) as doors:
        ...     inside = net(3)
        ...     with doors.aside():
        ...         aside = net(3)
        >>> inside, aside, net(3)
        (6, 3, 3)
    """

    def __init__(self, *pairs: tuple[Iterable[nn.Module], Callable[[Function], Function]]) -> None:
        self._pairs = [(module, door) for modules, door in pairs for module in modules]
        self._before: list[tuple[nn.Module, Function | None]] = []

    def __enter__(self) -> Self:
        for module, door in self._pairs:
            self._before.append((module, vars(module).get("forward")))
            vars(module)["forward"] = door(module.forward)
        return self

    def __exit__(self, *_: object) -> None:
        while self._before:
            module, forward = self._before.pop()
            if forward is None:
                del vars(module)["forward"]
            else:
                vars(module)["forward"] = forward

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within this context the modules have their own forwards again, for code that only looks at them."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()


def _collect(module: nn.Module, maps: dict[nn.Module, None]) -> None:
    worth = getattr(module, "by_rows", False) or any(True for _ in module.parameters())
    if worth and not isinstance(module, nn.ModuleList) and is_rowwise(module):
        maps[module] = None
        return
    for child in module.children():
        _collect(child, maps)
