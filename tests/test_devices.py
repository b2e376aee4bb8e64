"""No tensor of the library is born on the CPU by accident: seen without a GPU, by `births` and `elsewhere`."""

import ast
from pathlib import Path

import pytest
import torch
from births import Named, nameless
from elsewhere import CPU, DEVICE, pretended

import ot_gen
from ot_gen import data
from ot_gen.execution.processes import check_device

PACKAGE = Path(ot_gen.__file__).parent
DRAWS = {PACKAGE / "data" / "toys.py"}  # `Law` calls them under torch.device("cpu")


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("torch.zeros(3)", [1]),
        ("def f(x):\n    return x + torch.arange(3) + torch.eye(3, device=x.device)", [2]),
        ("self.register_buffer('a', torch.ones(1))\nself.b = nn.Parameter(2 * torch.rand(3))\ny = torch.rand(2)", [3]),
        ("torch.zeros_like(x), torch.from_numpy(a), x.new_zeros(3)", []),
        ("torch.Generator().manual_seed(0); torch.Generator('cpu')", [1]),
    ],
)
def test_a_birth_without_a_device_is_seen_in_the_text(code, lines):
    assert nameless(ast.parse(code)) == lines


def test_no_line_of_the_package_makes_a_tensor_just_anywhere():
    seen = {path: nameless(ast.parse(path.read_text("utf-8"))) for path in PACKAGE.rglob("*.py") if path not in DRAWS}
    assert {path.name: lines for path, lines in seen.items() if lines} == {}, "say device=..., of an argument or 'cpu'"


def run_as(module, code):
    exec(compile(code, module, "exec"), {"__name__": module, "torch": torch})


def test_a_birth_without_a_device_is_seen_when_it_runs():
    called_otherwise = "make = getattr(torch, 'zeros'); make(3)"
    with Named():
        run_as("theirs", called_otherwise)
        run_as("ot_gen.new", "torch.zeros(3, device='cpu'); torch.as_tensor(torch.zeros(1, device='cpu'))")
        run_as(
            "ot_gen.new", "class A:\n    def __init__(self):\n        self.a = [torch.ones(1) for _ in range(2)]\nA()"
        )
        with pytest.raises(AssertionError, match=r"ot_gen.new:1: zeros names no device"):
            run_as("ot_gen.new", called_otherwise)


SEEDED = {
    "points of a law": lambda: data.toy(data.two_moons(), size=5, test_size=2, seed=3).train.atoms,
    "points of a mixture": lambda: data.toy(data.eight_gaussians(), size=5, test_size=2, seed=3).train.atoms,
    "shapes": lambda: data.shapes(size=3, test_size=2, seed=3).train.atoms,
    "means": lambda: ot_gen.gaussian_shell(3, components=2, seed=3).law.component_distribution.mean,
}


@pytest.mark.parametrize("make", SEEDED.values(), ids=SEEDED)
def test_what_a_seed_gives_does_not_depend_on_the_device(make):
    here = make()
    with pretended() as device, torch.device(device):
        assert torch.equal(make().cpu(), here)


@pytest.mark.parametrize("name", ["abacus", "meta", "cuda:99", "mps"])
def test_a_device_that_is_not_there_is_refused_in_one_short_line(name):
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is there")
    with pytest.raises(ValueError, match=rf"^device={name} is not available here \([^\n]{{5,230}}\); use device=cpu$"):
        check_device(name)


def test_two_devices_do_not_meet_elsewhere():
    with pretended() as device:
        x = torch.randn(3, 2, device=device)
        assert x.device == DEVICE and (x + 1.0 + torch.tensor(2.0)).device == DEVICE
        assert x[torch.tensor([0, 2])].shape == (2, 2)  # as on a GPU
        for refused in (
            lambda: x + torch.ones(3, 2),
            lambda: torch.ones(3)[x[:, 0].argsort()],
            lambda: torch.cat([x, torch.ones(1, 2)]),
            lambda: torch.rand(2, generator=torch.Generator(), device=device),
            lambda: x.numpy(),
        ):
            with pytest.raises(RuntimeError):
                refused()
        assert torch.equal(x.cpu() + 1, (x + 1).to(CPU)) and x.tolist() == x.cpu().tolist()
