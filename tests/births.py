"""Which calls make tensors, and whether the package says on which device: in its text, and while it runs."""

import ast
import inspect

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

MAKERS = _device_constructors()  # torch's own list: those that `torch.set_default_device` places
NAMES = {function.__name__ for function in MAKERS if getattr(torch, function.__name__, None) is function}
NAMES |= {"Generator"}  # of one device; what it draws must lie there
PACKAGE = "ot_gen"


def nameless(tree):
    """The lines of a module where `torch.zeros(3)` and the like name no device.

    Parameters and buffers of a module are born where those of torch's modules are, and `.to` moves them.
    """
    lines = []

    def walk(node):
        if isinstance(node, ast.Call):
            if ast.unparse(node.func) in ("nn.Parameter", "self.register_buffer"):
                return
            if is_maker(node) and not names_device(node):
                lines.append(node.lineno)
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(tree)
    return lines


def is_maker(call):
    module, _, name = ast.unparse(call.func).rpartition(".")
    return module == "torch" and name in NAMES


def names_device(call):
    is_generator = ast.unparse(call.func) == "torch.Generator"
    return any(keyword.arg == "device" for keyword in call.keywords) or (is_generator and bool(call.args))


class Named(TorchFunctionMode):
    """While it is on, the package may make no tensor without naming its device, however it calls torch."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        check_named(function, args, kwargs or {}, inspect.currentframe().f_back)
        return function(*args, **(kwargs or {}))


def check_named(function, args, kwargs, frame):
    """Raise an `AssertionError` for a call of the package, made in this frame, that makes a tensor just anywhere."""
    if function not in MAKERS or kwargs.get("device") is not None:
        return
    if args and isinstance(args[0], torch.Tensor):  # as_tensor(x) stays where x is
        return
    code, module = frame.f_code, frame.f_globals.get("__name__", "")
    # `__torch_function__` passes on what someone else calls.
    named = {"__init__", "__torch_function__"} & set(code.co_qualname.split("."))
    if module.partition(".")[0] == PACKAGE and not named:
        raise AssertionError(f"{module}:{frame.f_lineno}: {function.__name__} names no device")
