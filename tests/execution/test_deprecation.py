"""Arguments that were renamed go on working under their old names, and say so."""

import inspect

import pytest

from ot_gen.execution import renamed


@renamed(weight="mass", colour="shade")
def mix(a, mass=1.0, *, shade="grey"):
    """Its own docstring."""
    return a, mass, shade


class Box:
    @renamed(nodes="segments")
    def __init__(self, segments=16):
        self.segments = segments


@pytest.mark.parametrize(
    ("call", "expected", "old"),
    [
        (lambda: mix(1, weight=2.0), (1, 2.0, "grey"), "weight"),
        (lambda: mix(1, 2.0, colour="red"), (1, 2.0, "red"), "colour"),
        (lambda: Box(nodes=8).segments, 8, "nodes"),
    ],
)
def test_an_old_name_works_and_warns_where_it_is_used(call, expected, old):
    with pytest.warns(DeprecationWarning, match=f"{old}= is now called .*0.3") as caught:
        assert call() == expected
    assert caught[0].filename == __file__


def test_the_warning_names_the_class_and_not_its_constructor():
    with pytest.warns(DeprecationWarning, match="^Box: nodes= is now called segments="):
        Box(nodes=8)


def test_new_names_and_positions_do_not_warn():  # warnings are errors here
    assert mix(1, mass=3.0) == (1, 3.0, "grey")
    assert mix(1, 3.0) == (1, 3.0, "grey")


def test_both_names_at_once_are_refused():
    with pytest.raises(ValueError, match="both mass= and its old name weight="):
        mix(1, mass=1.0, weight=2.0)


def test_a_name_that_never_was_stays_an_error():
    with pytest.raises(TypeError, match="wait"):
        mix(1, wait=2.0)


def test_signature_and_docstring_are_those_of_the_function():
    assert list(inspect.signature(mix).parameters) == ["a", "mass", "shade"]
    assert mix.__doc__ == "Its own docstring."
