"""A second device for machines that have one: the CPU computes its tensors, and they refuse the CPU's as a GPU's do.

`with pretended() as device:` makes it usable. Its tensors wrap those of the CPU. Two rules of a GPU hold. Tensors of
two devices do not meet, but for numbers of the CPU (no dimension) and indices of the CPU. And NumPy reads none of them.
The device borrows the name of one that torch knows and nobody has. Forward-mode derivatives and autocast do not work
there.
"""

import inspect
from contextlib import contextmanager

import torch
from births import check_named
from torch._C import _disabled_torch_function_impl
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE, CPU = torch.device("lazy"), torch.device("cpu")
ATEN = torch.ops.aten
INDEXING = {ATEN.index.Tensor, ATEN.index_put.default, ATEN.index_put_.default}
WITH_DEVICE = {torch.tensor, torch.as_tensor, torch.asarray}  # which copy below the dispatcher


class Elsewhere(torch.Tensor):
    """A tensor on DEVICE: `here` holds its numbers."""

    __torch_function__ = _disabled_torch_function_impl

    @staticmethod
    def __new__(cls, here):
        options = {"dtype": here.dtype, "layout": here.layout, "device": DEVICE}
        place = {"strides": here.stride(), "storage_offset": here.storage_offset()}
        return torch.Tensor._make_wrapper_subclass(cls, here.size(), **place, **options)

    def __init__(self, here):
        self.here = here

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return computed(function, args, kwargs or {})


def meets(function, args, tensors):
    """Whether a GPU would take these tensors together, some of which are on it."""
    if function is ATEN.copy_.default:
        return True
    if function in INDEXING and not isinstance(args[0], Elsewhere):
        return False
    free = {id(index) for index in args[1]} if function in INDEXING else set()
    return all(isinstance(t, Elsewhere) or t.ndim == 0 or id(t) in free for t in tensors)


def computed(function, args, kwargs):
    """The result of an operator, on the device of its tensors or on the one that it names."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = any(isinstance(tensor, Elsewhere) for tensor in tensors)
    if there and not meets(function, args, tensors):
        devices = ", ".join(str(tensor.device) for tensor in tensors)
        raise RuntimeError(f"{function}: expected all tensors to be on the same device, got {devices}")
    if kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]).type == DEVICE.type
        kwargs = {**kwargs, "device": CPU}
    if there and kwargs.get("generator") is not None:
        raise RuntimeError(f"{function}: expected a generator of {DEVICE}, got one of the CPU")
    wrapped = {id(tensor.here): tensor for tensor in tensors if isinstance(tensor, Elsewhere)}
    args, kwargs = tree_map_only(Elsewhere, lambda tensor: tensor.here, (args, kwargs))
    out = function(*args, **kwargs)
    if not there:
        return out
    return tree_map_only(torch.Tensor, lambda t: wrapped[id(t)] if id(t) in wrapped else Elsewhere(t), out)


class Operators(TorchDispatchMode):
    """Operators without tensors, such as zeros(3, device=DEVICE)."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return computed(function, args, kwargs or {})


class Calls(TorchFunctionMode):
    """What does not reach the dispatcher: tensors from Python's numbers and back, and `tensor.data = ...`."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        check_named(function, args, kwargs, inspect.currentframe().f_back)
        name = getattr(function, "__name__", "")
        if function in WITH_DEVICE and kwargs.get("device") is not None:
            if torch.device(kwargs["device"]).type == DEVICE.type:
                return function(*args, **{**kwargs, "device": CPU}).to(DEVICE)
        elif args and isinstance(args[0], Elsewhere):
            if name == "new_tensor":
                return torch.tensor(*args[1:], **{"dtype": args[0].dtype, **kwargs, "device": CPU}).to(DEVICE)
            if name in ("tolist", "__format__"):
                return getattr(args[0].detach().cpu(), name)(*args[1:])
            if function == torch.Tensor.data.__set__:
                args[0].here = args[1].here
        return function(*args, **kwargs)


@contextmanager
def pretended():
    """Where DEVICE exists; yields it."""
    with Calls(), Operators():
        yield DEVICE
