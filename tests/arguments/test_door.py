"""The door: what annotations ask for, what passes, and that every public callable has one."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from fuzzing.subjects import LEFT_OUT, OBJECTS, callables, cases
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ot_gen import MLP, Cost, Euclidean
from ot_gen.arguments import Cloud, Count, Fraction, Interval, Nonnegative, Positive, Vector, checked, default_dtype
from ot_gen.arguments.annotations import kind_of
from ot_gen.arguments.door import Schema

SUPPORT = {  # of the rooms for each other: they read what has passed a door
    *("advice", "undisturbed", "widened", "widened_pair", "squared_distances_to", "log_density", "Bilinear", "Dual"),
    *("GaussianMaps", "Pairs", "Bracket", "powers", "Frame", "within", "price", "factor_at"),
    *("attempted", "weighted_moments"),
}


@checked
def everything(
    x: Cloud = None, n: Count = 1, p: Positive = 1.0, to: Path = Path(), kind: Literal["a", "b"] = "a", **rest: int
) -> tuple[Any, ...]:
    return x, n, p, to, kind, rest


def taken(annotation, value):
    kind = kind_of(annotation)
    return value if kind is None else kind.take(value, "it", ((), {}))


ENDS = st.floats(allow_nan=False, allow_infinity=False)
PASS = [
    *((int, 3, 3), (int, np.int64(3), 3), (int, torch.tensor(3), 3), (Count, 10**9, 10**9), (float, 1, 1)),
    *((float, np.float32(0.5), 0.5), (float, torch.tensor(0.5), 0.5), (Nonnegative, 0, 0), (Fraction, 1, 1)),
    *((bool, np.True_, True), (str, "x", "x"), (Path, "x", Path("x")), (Path | None, None, None), (int | None, 3, 3)),
    *((Literal["a"], "a", "a"), (Sequence[int], [1, np.int64(2)], [1, 2]), (tuple[int, int], (1, 2), (1, 2))),
    *((Sequence[float], np.array([0.5, 1.0]), [0.5, 1.0]), (Mapping[str, float], {"a": 1.0}, {"a": 1.0})),
    *((Callable[[int], int], len, len), (Any, None, None), (object, 3, 3), (float | Tensor, 0.5, 0.5)),
    *((type[nn.Module], nn.ReLU, nn.ReLU), (Annotated[float, Interval(1)], float("inf"), float("inf"))),
]
REFUSED = [
    *((int, 2.0), (int, True), (int, "3"), (int, None), (int, torch.tensor(3.0)), (Count, 0), (Count, 10**30)),
    *((float, "1"), (float, float("nan")), (float, 10**400), (float, True), (float, 1j), (float, torch.zeros(2))),
    *((Positive, 0.0), (Positive, float("inf")), (Fraction, 1.5), (bool, 1), (bool, "True"), (str, b"x"), (str, 3)),
    *((Path, 3), (Path, ""), (Path, "a\0b"), (Literal["a"], "b"), (Literal["a"], ["a"]), (Sequence[int], "12")),
    *((Sequence[int], [1.5]), (tuple[int, int], (1, 2, 3)), (Mapping[str, float], [1.0]), (Callable[[int], int], 3)),
    *((Cost, Euclidean), (Cost, "w2"), (Cloud, torch.zeros(3)), (Vector, torch.zeros(3, 2)), (Tensor, "x")),
    *((Tensor, [[1.0], [2.0, 3.0]]), (Tensor, torch.zeros(2).to_sparse()), (Tensor, torch.zeros(2, device="meta"))),
    *(
        (Tensor, torch.zeros(2) + 1j),
        (Tensor, np.array(["a"])),
        (float | Tensor, "x"),
        (Mapping[str, float], {"a": "b"}),
    ),
]


@pytest.mark.parametrize(("annotation", "value", "result"), PASS)
def test_what_fits_passes(annotation, value, result):
    assert taken(annotation, value) == result
    assert type(taken(annotation, value)) is type(result)


@pytest.mark.parametrize(("annotation", "value"), REFUSED)
def test_what_does_not_fit_is_refused_by_name(annotation, value):
    with pytest.raises(ValueError, match=r"^it(\[.*\])? (must|is on)") as error:
        taken(annotation, value)
    assert "\n" not in str(error.value)


@given(st.floats(), ENDS, ENDS, st.sampled_from(["", "(", ")", "()"]))
def test_a_number_passes_exactly_where_it_lies_in_the_interval(number, least, most, ends):
    above = number > least if "(" in ends else number >= least
    below = number < most if ")" in ends else number <= most
    try:
        assert taken(Annotated[float, Interval(least, most, ends)], number) == number
        assert above and below
    except ValueError:
        assert not (above and below)


@given(st.integers())
def test_every_whole_number_passes_or_is_refused_in_a_short_line(number):
    try:
        assert taken(int, number) == number
    except ValueError as error:
        assert abs(number) >= 2**63 and len(str(error)) < 120


def test_arguments_are_read_by_place_and_by_name():
    assert everything([[1.0]], np.int64(2), p=3, to="x", kind="b", more=np.int64(1))[1:] == (
        2,
        3,
        Path("x"),
        "b",
        {"more": 1},
    )
    for wrong in ({"n": 0}, {"p": 0}, {"to": 3}, {"kind": "c"}, {"x": [1.0]}):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
            everything(**wrong)
    with pytest.raises(TypeError, match="positional"):
        everything(*[torch.zeros(1, 1), 1, 1.0, "x", "a", 3])


def test_the_order_is_said_where_a_class_is_wrong():
    @checked
    def solve(cost: Cost, x: Tensor, tol: float = 0.1) -> None:
        pass

    with pytest.raises(ValueError, match=r"cost must be a Cost, got a tensor \(2,\);.* the order is \(cost, x\)$"):
        solve(torch.zeros(2), Euclidean())


def test_shapes_that_torch_refuses_are_explained_and_errors_of_the_callers_functions_pass():
    @checked
    def product(x: Tensor, y: Tensor, map: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        return torch.matmul(x, y) if map is None else map(x)

    net = MLP(2, 1, (3,))
    with pytest.raises(ValueError, match=r"MLP.*x: \(4, 3\) float32.*shapes cannot be multiplied"):
        net(torch.zeros(4, 3))
    with pytest.raises(RuntimeError, match="the user's own"):
        product(torch.zeros(1), torch.zeros(1), lambda x: fail())


def fail():
    raise RuntimeError("the user's own size")


def test_every_public_callable_has_a_door_and_is_fuzzed():
    tried = {case.name for case in cases()}
    for room, thing in callables():
        name = thing.__name__ if hasattr(thing, "__name__") else ""
        if name in LEFT_OUT or name in SUPPORT or name.startswith("check_"):
            continue
        if inspect.isfunction(thing):
            assert name in tried, f"{room} is in no case of tests/fuzzing/subjects.py"
        elif inspect.isclass(thing) and not inspect.isabstract(thing) and _takes_arguments(thing):
            assert name in tried or name in OBJECTS, f"{room} is in no case of tests/fuzzing/subjects.py"


def _takes_arguments(cls):
    if issubclass(cls, BaseException | tuple):
        return False
    return bool(getattr(cls.__init__, "__annotations__", {}).keys() - {"return"})


def test_every_annotation_of_a_checked_callable_is_read():
    """A name that cannot be looked up at run time would leave an argument unchecked; figures' axes alone may."""
    for _, thing in callables():
        functions = vars(thing).values() if inspect.isclass(thing) else [thing]
        for function in functions:
            function = getattr(function, "__func__", function)
            if not getattr(function, "__checked__", False):
                continue
            inner = inspect.unwrap(function)
            schema = Schema.of(inner, thing if inspect.isclass(thing) else None)
            for name, hint in inner.__annotations__.items():
                if schema.named.get(name, 0) is None:
                    assert any(word in str(hint) for word in FREE), f"{inner.__qualname__}({name}: {hint})"


FREE = (
    "First",
    "Any",
    "object",
    "Axes",
    "Protocol",
    "Sampler",
    "Metric",
    "Function",
    "Map",
    "Schedule",
    "Callback",
    "Kernel",
)


def test_an_array_gets_the_dtype_of_its_company():
    assert taken(default_dtype, np.zeros(3)).dtype == torch.float32
    assert taken(Tensor, np.zeros(3)).dtype == torch.float64
    kind = kind_of(Tensor)
    assert kind.take(np.zeros(3), "it", ((torch.zeros(1),), {})).dtype == torch.float32
    assert kind.take(np.zeros(3), "it", ((nn.Linear(2, 2).double(),), {})).dtype == torch.float64
    assert kind.take(np.zeros(3, int), "it", ((torch.zeros(1, dtype=torch.int64),), {})).dtype == torch.float32
