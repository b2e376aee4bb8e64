"""Tensors as arguments, and the arrays and lists that become tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor, nn

from ot_gen.arguments.kind import Call, Kind
from ot_gen.arguments.rounding import check_distinct, floating, is_blurred
from ot_gen.arguments.wording import described

FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
REALS = FLOATS | {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}


@final
class DefaultDtype:
    """In an annotation: arrays become tensors of torch's default dtype, in which networks compute."""


@final
class WholeNumbers:
    """In an annotation: whole numbers of arrays and lists stay whole."""


@final
class Shape(NamedTuple):
    """In an annotation: how many dimensions a tensor has, as a text "(n, d)" with one letter for each.

    Example:
        >>> Shape("(n, d)").ndim, Shape("(m,)").ndim
        (2, 1)
    """

    words: str

    @property
    def ndim(self) -> int:
        """The number of letters."""
        return len([letter for letter in self.words.strip("()").split(",") if letter.strip()])


default_dtype = Annotated[Tensor, DefaultDtype()]
Cloud = Annotated[Tensor, Shape("(n, d)")]
Labels = Annotated[Tensor, WholeNumbers()]
Vector = Annotated[Tensor, Shape("(n,)")]
ADVICE = {1: "one point is one row: x[None]", 3: "flatten images to one row a point: x.flatten(1)"}
ADVICE[4] = ADVICE[3]


def tensor(shape: Shape | None = None, default: bool = False) -> Kind:
    """Dense tensors of real numbers; arrays and lists become tensors, in the dtype and on the device of their company.

    Tensors are passed on as they are. An array takes the floating dtype and the device of the tensors that it comes
    with, or of the weights of the modules. Alone it keeps its own dtype, and a list of numbers gets torch's default
    one, or float64 where that is needed to tell its numbers apart. Integers of arrays and lists become floats alike.
    Where points that differ become equal in the dtype of the company, it is refused.

    Args:
        shape: the number of dimensions that it must have; None for any.
        default: whether an array that comes alone gets the default dtype too.

    Example:
        >>> tensor().take([[1, 2]], "x", ((), {}))
        tensor([[1., 2.]])
    """
    noun = "a torch tensor" if shape is None else f"a tensor {shape.words}"
    ndim = None if shape is None else shape.ndim

    def take(value: Any, name: str, call: Call) -> Tensor:
        if not isinstance(value, Tensor):
            value = _converted(value, name, call, default)
        if value.is_nested:
            raise ValueError(
                f"{name} must be a dense tensor, got a nested one; join its parts, e.g. torch.cat(list(x))"
            )
        if value.layout is not torch.strided:
            raise ValueError(f"{name} must be a dense tensor, got a sparse one; use {name}.to_dense()")
        if value.is_meta:
            raise ValueError(f"{name} is on the device 'meta', which holds no numbers; give a tensor with values")
        if value.dtype not in REALS:
            raise ValueError(_not_real(value.dtype, name))
        if ndim is not None and value.ndim != ndim:
            advice = f"; {ADVICE[value.ndim]}" if ndim == 2 and value.ndim in ADVICE else ""
            raise ValueError(f"{name} must be {noun}, got shape {tuple(value.shape)}{advice}")
        return value

    return Kind(noun, take, is_tensor=True)


def classes() -> Kind:
    """Tensors of whole numbers, such as the classes of points; those of arrays and lists become int64.

    Example:
        >>> classes().take([0, 1], "labels", ((), {}))
        tensor([0, 1])
    """
    kind = tensor()

    def take(value: Any, name: str, call: Call) -> Tensor:
        if isinstance(value, list | tuple) or (hasattr(value, "__array__") and not isinstance(value, Tensor)):
            array = _array(value, name)
            if array.dtype.kind in "iu" or not array.size:
                value = torch.from_numpy(array.astype(np.int64)).to(_company(call)[1])
        return kind.take(value, name, call)

    return Kind("a tensor of whole numbers", take)


def _not_real(dtype: torch.dtype, name: str) -> str:
    if dtype.is_complex:
        return (
            f"{name} must be real, got {dtype}: the imaginary part would be lost; make coordinates of both parts, "
            "torch.view_as_real(z).flatten(1)"
        )
    return f"{name} must hold real numbers of a common dtype, got {dtype}; convert them, e.g. {name}.float()"


def _converted(value: Any, name: str, call: Call, default: bool) -> Tensor:
    if hasattr(value, "sample"):
        raise ValueError(f"{name} must be a torch tensor, got {described(value)}; draw its points: sample(n)")
    is_list = isinstance(value, list | tuple)
    if not is_list and not hasattr(value, "__array__"):
        raise ValueError(f"{name} must be a torch tensor, an array or a list of numbers, got {described(value)}")
    dtype, device = _company(call)
    if dtype is None and not default:
        alone = _alone(value, name)
        return alone if _is_of_floats(value) or not _needs_double(call) else alone.double()
    exact = torch.from_numpy(_array(value, name))
    dtype = dtype or torch.get_default_dtype()
    converted = exact.to(device, dtype)
    if dtype.itemsize < exact.dtype.itemsize and not converted.isfinite().all() and exact.isfinite().all():
        raise ValueError(f"{name} holds numbers that are infinite in {dtype}; rescale them, or use float64")
    check_distinct(exact, dtype, name)
    return converted


def _is_of_floats(value: Any) -> bool:
    """Whether this is an array that has a floating dtype of its own."""
    return not isinstance(value, list | tuple) and np.asarray(value).dtype.kind == "f"


def _alone(value: Any, name: str) -> Tensor:
    """What comes without a tensor: lists and whole numbers in the default dtype, unless that would lose them."""
    exact = torch.from_numpy(_array(value, name))
    if _is_of_floats(value):
        return exact
    if not exact.is_floating_point():
        return floating(exact, name)
    converted = exact.to(torch.get_default_dtype())
    if is_blurred(exact, converted.dtype) or bool((converted.isinf() & exact.isfinite()).any()):
        return exact
    whole = (exact == exact.round()) & (exact.abs() < 2**53) & (converted.to(exact.dtype) != exact)
    return exact if bool(whole.any()) else converted


def _needs_double(call: Call) -> bool:
    """Whether a list or array of a call is in float64, so that all of them are."""
    args, kwargs = call
    for other in (*args, *kwargs.values()):
        if isinstance(other, list | tuple | np.ndarray):
            try:
                if _alone(other, "").dtype == torch.float64:
                    return True
            except ValueError:  # no numbers, which its own parameter refuses or takes
                continue
    return False


def _array(value: Any, name: str) -> np.ndarray[Any, Any]:
    """The numbers as an array that torch can read."""
    try:
        if isinstance(value, list | tuple) and any(isinstance(part, Tensor) for part in value):
            value = torch.stack([torch.as_tensor(part, device="cpu") for part in value]).detach()
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError, OverflowError):
        array = np.empty(0, object)
    if array.dtype.kind == "c":
        raise ValueError(_not_real(torch.complex128, name))
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold numbers, in rows of one length, got {described(value)} that does not")
    native: Any = np.float64 if array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:  # torch hardly computes with these
        native = np.int64 if not array.size or int(array.max()) < 2**63 else np.float64
    return np.array(array, native, order="C")  # a copy: the caller's array is not ours to change


def _company(call: Call) -> tuple[torch.dtype | None, torch.device | None]:
    for held in _tensors(call):
        if held.dtype in FLOATS:
            return held.dtype, held.device
    return None, None


def _tensors(call: Call) -> Iterator[Tensor]:
    args, kwargs = call
    values = (*args, *kwargs.values())
    yield from (value for value in values if isinstance(value, Tensor))
    for module in (value for value in values if isinstance(value, nn.Module) and "_parameters" in vars(value)):
        yield from module.parameters()
        yield from module.buffers()
