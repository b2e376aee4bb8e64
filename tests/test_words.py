"""The words of the code: a local variable is named after what it holds."""

import ast
from pathlib import Path

import ot_gen

PACKAGE = Path(ot_gen.__file__).parent
EMPTY = {"found", "told"}  # say how a value came about, not what it is


def locals_of(tree):
    """(line, name) of each variable, and of each parameter that no caller outside of the module can name."""
    fields = {id(part) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for part in _targets(node.body)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in fields:
            yield node.lineno, node.id
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name is not None:
            yield node.lineno, node.name
        elif isinstance(node, ast.Lambda) or (isinstance(node, ast.FunctionDef) and node.name.startswith("_")):
            taken = node.args
            for each in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs, taken.vararg, taken.kwarg):
                if each is not None:
                    yield each.lineno, each.arg


def _targets(statements):
    """The names that statements assign to, without those in nested blocks: of a class, its fields."""
    for statement in statements:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            yield from statement.targets if isinstance(statement, ast.Assign) else [statement.target]


def test_locals_say_what_they_hold():
    offenders = [
        f"{path.relative_to(PACKAGE.parent)}:{line} {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, name in locals_of(ast.parse(path.read_text(encoding="utf-8")))
        if name in EMPTY
    ]
    assert not offenders, "name these after what they hold:\n" + "\n".join(offenders)


def test_every_kind_of_variable_is_seen_and_no_public_name():
    source = """
a = 1
a2: int = 1
for b, *b2 in c: pass
[d for d in c if (e := d)]
with c as f: pass
try: pass
except ValueError as g: pass
def _private(h, /, i, *j, k, **l): lambda m: m
def public(x): pass
class Record:
    y: int
    z = 0
"""
    names = [name for _, name in locals_of(ast.parse(source))]
    assert sorted(names) == sorted(["a", "a2", "b", "b2", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"])
