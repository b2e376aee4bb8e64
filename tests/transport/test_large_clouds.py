import math
import subprocess
import sys

import pytest
import torch

from ot_gen import NotConverged
from ot_gen.transport import large_clouds, sinkhorn_divergence
from ot_gen.transport.large_clouds import streamed_divergence

F64 = torch.float64


def clouds(n, m, d, dtype=F64):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(size, d, generator=generator, dtype=F64) for size in (n, m))
    return (0.8 * x + 0.3).to(dtype), y.to(dtype)


def masses(n, seed=1):
    return torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=F64) + 0.1


def solved(patch, x, y, large, **options):
    """The divergence and both gradients, streamed or dense."""
    patch.setattr(large_clouds, "DENSE_BYTES", 0 if large else math.inf)
    x, y = (p.clone().requires_grad_() for p in (x, y))
    value = sinkhorn_divergence(x, y, **options)
    return value.detach(), *torch.autograd.grad(value, (x, y))


@pytest.mark.parametrize("scale", [1.0, 1e8])
@pytest.mark.parametrize(("n", "m", "d", "dtype"), [(700, 900, 2, F64), (600, 500, 16, torch.float32)])
def test_streamed_and_dense_solves_agree(n, m, d, dtype, scale, monkeypatch):
    x, y = (scale * p for p in clouds(n, m, d, dtype))
    options = {"epsilon": 0.3 * d * scale**2, "a": masses(n), "b": masses(m, 2), "tol": 1e-4}
    monkeypatch.setattr(large_clouds, "SAMPLE", 200)
    value, *gradients = solved(monkeypatch, x, y, True, **options)
    expected, *slopes = solved(monkeypatch, x, y, False, **options)
    assert value.dtype == dtype
    assert float(value) == pytest.approx(float(expected), rel=1e-4)
    for gradient, slope in zip(gradients, slopes, strict=True):
        assert gradient.dtype == dtype
        assert float((gradient - slope).norm() / slope.norm()) < 5e-3


@pytest.mark.slow
@pytest.mark.parametrize("d", [2, 16])
def test_larger_clouds_agree_at_the_default_tolerance(d, monkeypatch):
    x, y = clouds(3000, 2500, d, torch.float32)
    value, gradient, _ = solved(monkeypatch, x, y, True, epsilon=0.05 * d)
    expected, slope, _ = solved(monkeypatch, x, y, False, epsilon=0.05 * d)
    assert float(value) == pytest.approx(float(expected), rel=1e-4)
    assert float((gradient - slope).norm() / slope.norm()) < 1e-2


@pytest.mark.slow
def test_geomloss_and_the_streamed_sweeps_agree(monkeypatch):
    """GeomLoss halves the cost: its value doubles at blur √(ε / 2)."""
    from geomloss import SamplesLoss

    x, y = clouds(1500, 1200, 3)
    value, gradient, _ = solved(monkeypatch, x, y, True, epsilon=0.5, tol=1e-5)
    points = x.clone().requires_grad_()
    peer = 2 * SamplesLoss("sinkhorn", blur=math.sqrt(0.25), scaling=0.95, backend="tensorized")(points, y)
    (slope,) = torch.autograd.grad(peer, points)
    assert float(value) == pytest.approx(float(peer.detach()), rel=2e-3)
    assert float((gradient - slope).norm() / slope.norm()) < 0.02


def test_the_order_of_the_points_means_nothing(monkeypatch):
    x, y = clouds(500, 400, 3)
    monkeypatch.setattr(large_clouds, "SAMPLE", 150)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(2))
    value, gradient, _ = solved(monkeypatch, x, y, True, epsilon=0.5, tol=1e-6)
    again, moved, _ = solved(monkeypatch, x[order], y, True, epsilon=0.5, tol=1e-6)
    assert float(value) == pytest.approx(float(again), rel=1e-6)
    assert float((gradient[order] - moved).norm() / moved.norm()) < 1e-4


def test_it_is_zero_at_equality(monkeypatch):
    x, _ = clouds(500, 1, 3)
    value, gradient, _ = solved(monkeypatch, x, x.flip(0), True, epsilon=0.5, tol=1e-5)
    assert float(value) == pytest.approx(0, abs=1e-6)
    assert float(gradient.norm()) < 1e-4


def test_clusters_far_apart_are_solved(monkeypatch):
    x, y = clouds(300, 300, 2, torch.float32)
    x[:150] += 1000
    y[:150] += 1000
    value, *_ = solved(monkeypatch, x, y, True, epsilon=0.5, tol=1e-3)
    expected, *_ = solved(monkeypatch, x, y, False, epsilon=0.5, tol=1e-3)
    assert float(value) == pytest.approx(float(expected), rel=2e-2)


def test_an_unfinished_streamed_solve_fails_loudly():
    x, y = clouds(300, 300, 2)
    a = torch.full((300,), 1 / 300, dtype=F64)
    with pytest.raises(NotConverged, match=r"marginal error.*after 2 iterations.*raise epsilon"):
        streamed_divergence(x, y, a, a, 0.01, 1e-12, 2)


def test_a_solve_leaves_no_gradients_switched_on(monkeypatch):
    """GeomLoss switches them on for the process."""
    x, y = clouds(50, 50, 2)
    monkeypatch.setattr(large_clouds, "DENSE_BYTES", 0)
    with torch.no_grad():
        sinkhorn_divergence(x, y, epsilon=0.5)
        assert not torch.is_grad_enabled()


def test_geomloss_samples_the_points_where_keops_does_not_work(monkeypatch):
    """A stand-in for KeOps that cannot be compiled: the check of it runs, fails and is not repeated."""
    import geomloss

    solver, modes = geomloss.SamplesLoss, []

    def broken(*arguments, backend, **options):
        modes.append(backend)
        if backend == "multiscale":
            raise OSError("no compiler")
        return solver(*arguments, backend=backend, **options)

    large_clouds.multiscale_works.cache_clear()
    monkeypatch.setattr(geomloss, "SamplesLoss", broken)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(large_clouds, "SAMPLE", 300)
    x, y = (torch.rand(1200, 2, generator=torch.Generator().manual_seed(seed)).half().double() for seed in (0, 1))
    value, *_ = solved(monkeypatch, x, y, True, epsilon=0.1)
    monkeypatch.undo()
    large_clouds.multiscale_works.cache_clear()
    expected, *_ = solved(monkeypatch, x, y, False, epsilon=0.1)
    assert float(value) == pytest.approx(float(expected), abs=1e-6)
    assert modes.count("tensorized") == 3 and modes.count("multiscale") == 1


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_the_multiscale_solver_agrees_where_keops_is_installed(dtype, monkeypatch):
    pytest.importorskip("pykeops")
    x, y = (p.to(dtype) for p in clouds(3000, 2500, 2))
    value, gradient, _ = solved(monkeypatch, x, y, True, epsilon=0.1)
    expected, slope, _ = solved(monkeypatch, x, y, False, epsilon=0.1)
    assert float(value) == pytest.approx(float(expected), rel=1e-4)
    assert float((gradient - slope).norm() / slope.norm()) < 1e-2


@pytest.mark.slow
def test_small_clouds_never_import_geomloss():
    code = (
        "import sys, torch; from ot_gen.transport import sinkhorn_divergence as s; "
        "s(torch.rand(9, 2), torch.rand(9, 2), epsilon=1.0); print('geomloss' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
