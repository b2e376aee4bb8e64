"""Velocities: row by row, aware of the time and the label, and honest about what does not fit."""

import copy

import pytest
import torch

from ot_gen import DenseVelocity, FlowMap, UNetVelocity, standard_gaussian
from ot_gen.execution import networks, row_maps

SHAPES = {"grey": (1, 8, 8), "colour": (3, 7, 4)}


def velocities(classes=None):
    return {
        "dense": DenseVelocity(5, width=16, classes=classes),
        "shallow": DenseVelocity(1, width=8, depth=1, classes=classes),
        **{name: UNetVelocity(shape, width=8, classes=classes) for name, shape in SHAPES.items()},
    }


NAMES = list(velocities())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [None, 3])
def test_each_row_goes_by_its_own_time_and_label(name, classes):
    v = velocities(classes)[name].double()
    t, x = torch.rand(6, dtype=torch.float64), torch.randn(6, v.dim, dtype=torch.float64)
    label = () if classes is None else (torch.arange(6) % 3,)
    out = v(t, x, *label)
    assert out.shape == x.shape
    alone = torch.cat([v(t[i : i + 1], x[i : i + 1], *(part[i : i + 1] for part in label)) for i in range(6)])
    torch.testing.assert_close(out, alone)
    assert not torch.allclose(v(t / 2, x, *label), out)
    if classes:
        assert not torch.allclose(v(t, x, label[0].flip(0)), out)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [None, 3])
def test_every_parameter_is_used(name, classes):
    v = velocities(classes)[name]
    label = () if classes is None else (torch.tensor([0, 1, 2, 0]),)
    v(torch.rand(4), torch.randn(4, v.dim), *label).square().sum().backward()
    assert [key for key, p in v.named_parameters() if p.grad is None or not bool(p.grad.any())] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_a_map_of_rows_that_processes_share_and_a_precision_lowers(name):
    v = velocities()[name]
    assert row_maps(v) == networks(v) == [v.body]


@pytest.mark.parametrize("name", NAMES)
def test_a_density_goes_through(name):
    """Forward mode under vmap; a small velocity makes any step a bijection."""
    v = velocities()[name].double()
    flow = FlowMap(v, 1, "euler")
    with torch.no_grad():
        for p in v.body.parameters():
            p.mul_(0.5)
        z = torch.randn(3, v.dim, dtype=torch.float64)
        x = flow(z)
    J = torch.stack([torch.autograd.functional.jacobian(lambda row: flow(row[None])[0], row) for row in z])
    law = standard_gaussian(v.dim).law.expand(())
    exact = law.log_prob(z) - torch.linalg.slogdet(J).logabsdet
    if v.dim <= 64:
        torch.testing.assert_close(flow.log_prob(x, standard_gaussian(v.dim)), exact)
    else:
        assert flow.log_prob(x, standard_gaussian(v.dim)).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_has_the_same_weights_and_state(name):
    v = velocities(2)[name]
    t, x, label = torch.rand(2), torch.randn(2, v.dim), torch.tensor([0, 1])
    other = velocities(2)[name]
    other.load_state_dict(copy.deepcopy(v.state_dict()))
    assert torch.equal(v(t, x, label), other(t, x, label))


# --- what is refused


@pytest.mark.parametrize("name", NAMES)
def test_labels_that_do_not_fit_are_named(name):
    plain, labelled = velocities()[name], velocities(3)[name]
    t, x = torch.rand(4), torch.randn(4, plain.dim)
    with pytest.raises(ValueError, match=r"takes no labels; got \(4,\)"):
        plain(t, x, torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"needs labels \(n,\), one of 3 classes; got none"):
        labelled(t, x)
    for label, message in (
        (torch.tensor([0, 1, 2, 3]), r"whole numbers in \[0, 3\).*from 0 to 3"),
        (torch.tensor([0, -1, 2, 1]), r"from -1 to 2"),
        (torch.tensor([0, 1]), r"one for each of 4 points, got shape \(2,\)"),
        (torch.tensor([0.0, 1.0, 1.0, 0.0]), r"whole numbers in \[0, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            labelled(t, x, label)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("t", [torch.tensor(0.5), torch.rand(3), torch.rand(4, 1)])
def test_times_that_are_not_one_for_each_point_are_named(name, t):
    v = velocities()[name]
    with pytest.raises(ValueError, match=r"one time t \(n,\) for each of 4 points, got"):
        v(t, torch.randn(4, v.dim))


def test_a_width_that_has_no_groups_is_refused():
    with pytest.raises(ValueError, match="multiple of 8, for its groups of channels, got 12"):
        UNetVelocity((1, 8, 8), width=12)
    with pytest.raises(ValueError, match=r"moves points \(n, 64\), got \(2, 1, 8, 8\)"):
        UNetVelocity((1, 8, 8), width=8)(torch.rand(2), torch.zeros(2, 1, 8, 8))
