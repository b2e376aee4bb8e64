"""The shape of the code: what may import what, and what stays out of the library."""

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
from abc import ABC
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import ot_gen

PACKAGE = Path(ot_gen.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
UNITS = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
# From the ground up: a room (a package, or a module of its own) imports only from those before it.
FLOORS = (
    *("version", "starting", "arguments", "display", "execution", "measures", "costs", "networks", "transport"),
    *("semidual", "schedules", "divergences", "couplings", "potentials", "solvers", "conditioning", "validation"),
    *("keeper", "training", "barycentres", "priors"),
    *("data", "geometry", "evaluation", "plot", "runs", "report", "cli", "__main__"),
)
TORCH_ONLY = ("arguments", "display", "execution", "measures", "costs")
LAZY = {"matplotlib", "ot", "geomloss", "pykeops", "sklearn", "scipy", "pooch", "PIL", "zuko", "torchdiffeq"}
LAZY |= {"tensorboardX", "mlflow", "wandb"}
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
MAX_LINES = 320
TESTS = sorted(Path(__file__).parent.rglob("*.py"))
# Names that begin with an underscore and are public all the same: where they are documented.
PUBLIC = {
    **dict.fromkeys(("_asdict", "_replace", "_fields", "_field_defaults"), "collections.namedtuple"),
    "_exit": "os",
    "_is_protocol": "typing",
    "_make_wrapper_subclass": "torch.Tensor",
    "_target_": "hydra",
    "_repr_html_": "IPython.display",
}


def name_of(path):
    """The dotted name of a module of the package, without `ot_gen.`: "data.toys", "report.__init__"."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def submodules(room):
    return {path.stem for path in (PACKAGE / room).glob("*.py")}


@functools.cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path, nodes):
    """Absolute names that the import statements among `nodes` ask for: "torch", "ot_gen.costs.cost.Cost"."""
    package = ["ot_gen", *path.relative_to(PACKAGE).parent.parts] if path.is_relative_to(PACKAGE) else []
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imports(path):
    return set(imported(path, ast.walk(tree(path))))


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def at_import_time(node):
    """The statements that run when a module is imported: all but functions' bodies and TYPE_CHECKING blocks."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or is_type_checking(child):
            continue
        yield child
        yield from at_import_time(child)


def roots(names):
    return {name.split(".")[0] for name in names}


def units(path):
    """The units of this package that a module imports from; "__init__" for names of the package itself."""
    asked = {name.split(".")[1] if "." in name else "" for name in imports(path) if name.split(".")[0] == "ot_gen"}
    return {unit if unit in UNITS else "__init__" for unit in asked}


def allowed(path):
    """The units from which a module may import."""
    own = name_of(path).split(".")[0]
    if own == "__init__":
        return set(FLOORS) - {"report", "__main__"}  # cli when `recipe` is asked for: see below
    assert own in FLOORS, f"{own} is new: give it its place in FLOORS"
    return {*FLOORS[: FLOORS.index(own)], own} - ({own} if path.parent == PACKAGE else set())


def test_a_module_imports_only_from_the_floors_below_it():
    assert {name_of(path): above for path in MODULES if (above := units(path) - allowed(path))} == {}


def test_only_the_command_line_knows_hydra():
    know = {name_of(path) for path in MODULES if roots(imports(path)) & {"hydra", "omegaconf"}}
    assert {name for name in know if not name.startswith("cli.")} == set()


def test_the_ground_floor_needs_torch_alone():
    needed = {
        name_of(path): roots(imported(path, at_import_time(tree(path)))) - sys.stdlib_module_names
        for path in MODULES
        if name_of(path).split(".")[0] in TORCH_ONLY
    }
    assert {
        name: more for name, roots in needed.items() if (more := roots - {"torch", "numpy", "ot_gen", "safetensors"})
    } == {}


@pytest.mark.parametrize("room", ROOMS)
def test_modules_of_a_room_stand_on_floors_of_their_own(room):
    """No circle among them, and none asks its own front, which stands above them all."""
    modules = {name_of(path): path for path in MODULES if name_of(path).startswith(f"{room}.")}
    below = {name: set() for name in modules}
    for name, path in modules.items():
        for asked in imports(path):
            below[name] |= {m for m in modules if f"{asked}.".startswith(f"ot_gen.{m}.")}
            inner = asked.removeprefix(f"ot_gen.{room}.")
            assert inner == asked or inner.split(".")[0] in submodules(room), f"{name} asks its own front for {inner}"
    TopologicalSorter(below).prepare()  # raises CycleError


def where(kind, holds):
    """The places, module:line, of nodes of a kind in the package for which something holds."""
    nodes = ((path, node) for path in MODULES for node in ast.walk(tree(path)) if isinstance(node, kind))
    return [f"{name_of(path)}:{node.lineno}" for path, node in nodes if holds(node)]


def test_imports_inside_the_package_are_absolute():
    assert where(ast.ImportFrom, lambda node: node.level > 0) == []


def public_classes():
    for name in (name_of(path) for path in MODULES if name_of(path) != "__main__"):
        module = importlib.import_module(f"ot_gen.{name.removesuffix('__init__')}".rstrip("."))
        own = [
            thing for thing in vars(module).values() if inspect.isclass(thing) and thing.__module__ == module.__name__
        ]
        yield from (c for c in own if not is_private(c.__name__))


def is_abstract(c):
    return inspect.isabstract(c) or ABC in c.__bases__ or getattr(c, "_is_protocol", False)


def test_a_public_class_is_abstract_or_final():
    assert [c for c in public_classes() if is_abstract(c) == getattr(c, "__final__", False)] == []


def is_private(name):
    last = name.rpartition(".")[2]
    return last.startswith("_") and not last.startswith("__") and last not in PUBLIC


def private_names(node):
    """The private names that a statement of a test reaches for: imported, as an attribute, or by its text."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ot_gen":
        return [name for name in (*node.module.split("."), *(alias.name for alias in node.names)) if is_private(name)]
    if isinstance(node, ast.Attribute):
        own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        return [node.attr] if is_private(node.attr) and not own else []
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("getattr", "setattr", "setitem"):
        texts = (argument.value for argument in node.args if isinstance(argument, ast.Constant))
        return [text for text in texts if isinstance(text, str) and is_private(text)]
    return []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from ot_gen.data.digits import _read, mnist", ["_read"]),
        ("from ot_gen._data import mnist", ["_data"]),
        ("cells._tree.counts", ["_tree"]),
        ("patch.setattr('ot_gen.data._SIZE', 3)", ["ot_gen.data._SIZE"]),
        ("from torch import _dynamo; self._seen, pair._replace(a=1), pair.__class__", []),
    ],
)
def test_a_private_name_is_known_when_it_is_seen(code, found):
    assert [name for node in ast.walk(ast.parse(code)) for name in private_names(node)] == found


def test_tests_know_public_names_alone():
    nodes = ((path, node) for path in TESTS for node in ast.walk(tree(path)) if hasattr(node, "lineno"))
    seen = [f"{path.name}:{node.lineno} {name}" for path, node in nodes for name in private_names(node)]
    assert seen == [], "test what it is for, or make it public"


def test_nobody_composes_by_hand():
    """Tests, experiments, benchmarks and figures compose by `ot_gen.cli`, as the command does: none imports hydra."""
    root = Path(__file__).parents[1]
    paths = [
        path for folder in ("tests", "experiments", "benchmarks", "docs") for path in root.glob(f"{folder}/**/*.py")
    ]
    assert len(paths) > len(TESTS)
    assert [path.name for path in paths if "hydra" in roots(imports(path))] == []


def test_slow_libraries_are_imported_where_they_are_used():
    loaded = {name_of(path): roots(imported(path, at_import_time(tree(path)))) & LAZY for path in MODULES}
    assert {name: slow for name, slow in loaded.items() if slow} == {}


@pytest.mark.slow
def test_importing_ot_gen_loads_no_slow_library():
    code = "import sys, ot_gen; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "ot_gen" in loaded
    assert loaded & (LAZY | {"hydra", "omegaconf", "ot_gen.report", "ot_gen.cli"}) == set()


def test_a_module_fits_in_a_readers_head():
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: number for name, number in lines.items() if number > MAX_LINES} == {}


@functools.cache
def groups():
    """The groups of the configuration, and a pattern of their entries."""
    patterns = {}
    for folder in (folder for folder in (PACKAGE.parent / "conf").iterdir() if folder.is_dir()):
        entries = (path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
        patterns[folder.name] = "|".join(map(re.escape, entries))
    return patterns


def overrides(text):
    """What only the command line understands: trainer.steps=..., data.size=..., group=entry."""
    for group, names in groups().items():
        yield from re.findall(rf"\b{group}=(?:{names})\b|\b{group}\.[a-z_]+=", text)
    yield from re.findall(r"\b(?:trainer|evaluation|solver)\.[a-z]\w*|\b(?:ex_post|resume)=", text)


def test_overrides_are_known_when_they_are_seen():
    assert list(overrides("use cost=euclidean")) and list(overrides("raise trainer.steps"))
    assert list(overrides("lower data.size=9")) and list(overrides("solver=dual/wgan_gp"))
    assert not list(overrides("use Euclidean(), batch_size=8 or cost=cost; the solver. See data"))


def test_errors_of_the_library_speak_python():
    """Those of `runs`, which carries out what the command line asked for, may speak both."""
    library = [path for path in MODULES if name_of(path).split(".")[0] not in ("cli", "runs", "report")]
    raised = [(path, node) for path in library for node in ast.walk(tree(path)) if isinstance(node, ast.Raise)]
    texts = [(path, c.value) for path, node in raised for c in ast.walk(node) if isinstance(c, ast.Constant)]
    assert [(name_of(path), seen) for path, text in texts if isinstance(text, str) for seen in overrides(text)] == []


def test_the_library_prints_nothing():
    assert where(ast.Call, lambda node: ast.unparse(node.func) == "print") == []


def test_a_class_has_a_name_of_its_own():
    """Private ones too: a reader who searches for a name meets one meaning."""
    classes = Counter(node.name for path in MODULES for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef))
    assert [name for name, times in classes.items() if times > 1] == []


def test_test_files_have_names_of_their_own():
    # pytest imports them by their names alone, and refuses the second of one name.
    counts = Counter(path.name for path in TESTS if path.name.startswith("test_"))
    assert [name for name, times in counts.items() if times > 1] == []


def test_the_package_is_typed_and_lists_its_names_once():
    assert (PACKAGE / "py.typed").is_file()
    assert len(set(ot_gen.__all__)) == len(ot_gen.__all__)


@pytest.mark.parametrize("name", ot_gen.__all__)
def test_a_public_name_exists_and_has_a_docstring_of_its_own(name):
    thing = getattr(ot_gen, name)
    own = thing.__doc__
    assert own and own.strip()
    assert not isinstance(thing, type) or "__doc__" in vars(thing)
    # A NamedTuple or a dataclass without a docstring shows its signature instead.
    assert not own.startswith(f"{name}(")


def test_the_loop_is_read_from_top_to_bottom_on_one_screen():
    (loop,) = [node for node in tree(PACKAGE / "training.py").body if getattr(node, "name", "") == "fit"]
    assert loop.end_lineno - loop.body[1].lineno + 1 <= 60
