"""Metrics: their matrices, connections and curvatures against closed forms and against one another."""

import math

import pytest
import torch
from surfaces import PSEUDOSPHERE, SPHERE, TORUS, sphere, stereographic
from torch import nn

from ot_gen import ConvGenerator, LatentGeometry, RBFPrecision
from ot_gen.geometry import MatrixMetric, PullbackMetric, conformal, euclidean
from ot_gen.geometry.bundles import Bundle, UnknownFunction
from ot_gen.geometry.jets import directional, pushforward, second, weighted_hessian, widest

pytestmark = pytest.mark.usefixtures("float64")


def mlp(k=2, d=7):
    return nn.Sequential(nn.Linear(k, 16), nn.Tanh(), nn.Linear(16, d))


def autograd_jacobian(f, z):
    return torch.stack([torch.autograd.functional.jacobian(lambda p: f(p[None])[0], point) for point in z])


@pytest.mark.parametrize("k", [1, 2, 5, 32])
def test_the_metric_is_the_gram_matrix_of_the_jacobian(k):
    f, z = mlp(k), torch.randn(6, k)
    j = autograd_jacobian(f, z)
    geo = LatentGeometry(f)
    assert torch.allclose(geo.metric(z), j.mT @ j)
    u, v = torch.randn(2, 6, k)
    assert torch.allclose(geo.inner(z, u, v), torch.einsum("na,nab,nb->n", u, j.mT @ j, v))
    assert torch.allclose(geo.log_volume(z), torch.logdet(j.mT @ j) / 2) or k > 7


def test_a_metric_is_differentiable_in_points_and_weights():
    f = mlp()
    z = torch.randn(3, 2, requires_grad=True)
    LatentGeometry(f).log_volume(z).sum().backward()
    assert float(z.grad.abs().sum()) > 0
    assert all(float(p.grad.abs().sum()) > 0 for p in (f[0].weight, f[2].weight))


def test_the_expected_metric_is_the_mean_over_draws_of_the_decoder():
    mean, std = mlp(), nn.Sequential(mlp(), nn.Softplus())
    z = torch.randn(2, 2)
    expected = LatentGeometry(mean, std=std).metric(z)
    j_mean, j_std = autograd_jacobian(mean, z), autograd_jacobian(std, z)
    noise = torch.randn(40_000, 1, 7, 1)
    drawn = j_mean + noise * j_std
    products = torch.einsum("snda,sndb->snab", drawn, drawn)
    error = products.std(dim=0) / math.sqrt(len(noise))
    assert bool(((products.mean(dim=0) - expected).abs() <= 5 * error).all())


def test_a_std_shared_by_all_coordinates_counts_for_each():
    mean, std = mlp(), nn.Sequential(mlp(2, 1), nn.Softplus())
    z = torch.randn(4, 2)
    shared = LatentGeometry(mean, std=std)
    spelt = LatentGeometry(mean, std=lambda z: std(z).expand(-1, 7))
    assert torch.allclose(shared.metric(z), spelt.metric(z))


def test_the_ensemble_metric_is_the_mean_of_the_metrics():
    members, z = [mlp(d=3), mlp(d=7)], torch.randn(4, 2)
    mean = sum(LatentGeometry(f).metric(z) for f in members) / 2
    assert torch.allclose(LatentGeometry(members).metric(z), mean)
    stds = [nn.Sequential(mlp(d=3), nn.Softplus()), nn.Sequential(mlp(d=7), nn.Softplus())]
    both = sum(LatentGeometry(f, std=s).metric(z) for f, s in zip(members, stds, strict=True)) / 2
    assert torch.allclose(LatentGeometry(members, std=stds).metric(z), both)


def test_features_give_the_metric_of_the_composed_map():
    f, phi, z = mlp(), mlp(7, 4), torch.randn(3, 2)
    composed = LatentGeometry(lambda z: phi(f(z)))
    assert torch.allclose(LatentGeometry(f, features=phi).metric(z), composed.metric(z))


def test_a_ridge_adds_a_multiple_of_the_euclidean_metric():
    f, z = mlp(), torch.randn(3, 2)
    assert torch.allclose(LatentGeometry(f, ridge=0.3).metric(z), LatentGeometry(f).metric(z) + 0.3 * torch.eye(2))


@pytest.mark.parametrize(
    "geo", [LatentGeometry(mlp(2, 1).double(), ridge=0.1), LatentGeometry(conformal(torch.ones_like))]
)
def test_points_are_a_cloud_of_the_right_shape(geo):
    with pytest.raises(ValueError, match="point cloud"):
        geo.metric(torch.zeros(2))


@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_connection_without_christoffel_symbols_is_the_kronecker_form(k):
    """γ'' = −½ M⁻¹ [2 (I ⊗ γ'ᵀ) ∂vec[M]/∂γ γ' − (∂vec[M]/∂γ)ᵀ (γ' ⊗ γ')], vec stacking columns."""
    f = mlp(k)
    metric = PullbackMetric(f)
    z, v = torch.randn(5, k), torch.randn(5, k)
    wanted = []
    for point, velocity in zip(z, v, strict=True):
        m = metric.matrix(point[None])[0].detach()
        d_vec = torch.autograd.functional.jacobian(lambda p: metric.matrix(p[None])[0].T.reshape(-1), point)
        eye = torch.eye(k)
        bracket = 2 * torch.kron(eye, velocity[None]) @ d_vec @ velocity - d_vec.T @ torch.kron(velocity, velocity)
        wanted.append(-0.5 * torch.linalg.solve(m, bracket))
    assert torch.allclose(-metric.connection(z, v, v), torch.stack(wanted), atol=1e-10)
    assert torch.allclose(MatrixMetric(metric.matrix).connection(z, v, v), metric.connection(z, v, v), atol=1e-10)


def test_the_connection_is_symmetric_and_bilinear():
    metric = PullbackMetric(mlp(3))
    z, u, v, w = torch.randn(4, 5, 3)
    assert torch.allclose(metric.connection(z, u, v), metric.connection(z, v, u))
    sum_of_two = metric.connection(z, u, v) + 2 * metric.connection(z, u, w)
    assert torch.allclose(metric.connection(z, u, v + 2 * w), sum_of_two)
    field = MatrixMetric(metric.matrix)
    assert torch.allclose(field.connection(z, u, v), metric.connection(z, u, v))


def test_the_curvatures_of_surfaces():
    z = torch.rand(8, 2) + 0.5
    assert torch.allclose(LatentGeometry(sphere).curvature(z), torch.ones(8))
    assert torch.allclose(LatentGeometry(stereographic).curvature(z), torch.ones(8))
    assert torch.allclose(LatentGeometry(lambda z: 3 * sphere(z)).curvature(z), torch.full((8,), 1 / 9))
    assert torch.allclose(LatentGeometry(PSEUDOSPHERE.map).curvature(z), -torch.ones(8))
    assert torch.allclose(LatentGeometry(conformal(lambda z: z[:, 1] ** -2)).curvature(z), -torch.ones(8))
    theta = z[:, 0]  # of the torus of radii 2 and 1: cos θ / (2 + cos θ)
    assert torch.allclose(LatentGeometry(TORUS.map).curvature(z), theta.cos() / (2 + theta.cos()))
    assert torch.allclose(LatentGeometry(euclidean()).curvature(z), torch.zeros(8))


def test_a_sectional_curvature_belongs_to_the_plane():
    def sphere_times_line(z):
        return torch.cat([sphere(z[:, :2]), z[:, 2:]], dim=1)

    geo, z = LatentGeometry(sphere_times_line), torch.rand(4, 3) + 0.5
    axes = [axis.expand(4, 3) for axis in torch.eye(3)]
    assert torch.allclose(geo.curvature(z, axes[0], axes[1] + 2 * axes[0]), torch.ones(4))
    assert torch.allclose(geo.curvature(z, axes[0], axes[2]), torch.zeros(4), atol=1e-12)
    with pytest.raises(ValueError, match="give u and v"):
        geo.curvature(z)
    with pytest.raises(ValueError, match="span a plane"):
        geo.curvature(z, axes[0], axes[0])


def test_volume_is_that_of_the_surface():
    z = torch.rand(5, 2) + 0.5
    assert torch.allclose(LatentGeometry(SPHERE.map).log_volume(z), z[:, 0].sin().log())
    assert bool((LatentGeometry(lambda z: z[:, :1]).log_volume(z) == -math.inf).all())


def test_uncertainty_of_a_radial_basis_makes_the_way_out_of_the_data_long():
    std = RBFPrecision(2, 4, centres=8, initial=0.05).double()
    std.fit_centres(torch.randn(100, 2) * 0.1)
    geo = LatentGeometry(nn.Linear(2, 4), std=std)
    t = torch.tensor([[[0.0, 0.0], [3.0, 0.0]], [[3.0, 0.0], [6.0, 0.0]]])
    inside_out, outside = geo.length(torch.stack([torch.lerp(a, b, torch.linspace(0, 1, 65)[:, None]) for a, b in t]))
    assert float((inside_out - outside).detach()) > 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_chunks_do_not_show(dtype, monkeypatch):
    f, z = mlp().to(dtype), torch.randn(50, 2).to(dtype)
    whole = LatentGeometry(f).metric(z)
    monkeypatch.setattr("ot_gen.geometry.jets.CHUNK", 100)
    pieces = LatentGeometry(f).metric(z)
    assert pieces.dtype == dtype and torch.allclose(whole, pieces, rtol=1e-4, atol=1e-6)


def test_weights_that_are_held_still_do_not_hide_derivatives_in_them():
    z, weight, way = torch.randn(4, 2), torch.randn(5, 2), torch.randn(5, 2)

    def metric(w):
        return PullbackMetric(lambda z: torch.tanh(nn.functional.linear(z, w))).matrix(z)

    _, along = directional(metric, weight, way)
    differences = (metric(weight + 1e-6 * way) - metric(weight - 1e-6 * way)) / 2e-6
    assert torch.allclose(along, differences, atol=1e-7)
    net = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 5, bias=False))
    u, v = torch.randn(2, 4, 2)
    plain = torch.stack([torch.autograd.functional.hessian(lambda p: net(p[None])[0, 1], point) for point in z])
    assert torch.allclose(second(net, z, u, v)[:, 1], torch.einsum("na,nab,nb->n", u, plain, v))
    assert torch.allclose(directional(net, z, u)[1], torch.einsum("nda,na->nd", autograd_jacobian(net, z), u))


@pytest.mark.parametrize(
    "layer", [nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.Softplus(2.0), torch.tanh, torch.sigmoid, nn.GELU()]
)
def test_tangents_by_rules_are_those_of_torch(layer):
    into, out = nn.Linear(3, 8), nn.Linear(8, 5, bias=False)
    z = 3 * torch.randn(4, 3)

    def net(z):
        return out(layer(into(z)))

    value, tangents = pushforward(net, z)
    assert type(value) is torch.Tensor and torch.allclose(value, net(z))
    wanted = torch.func.vmap(torch.func.jacfwd(lambda point: net(point[None])[0]))(z)
    assert torch.allclose(tangents, wanted.permute(2, 0, 1))


@pytest.mark.parametrize("f", [torch.sin, lambda x: x + x, lambda x: x * 2, lambda x: x.detach(), lambda x: x[:, :1]])
def test_what_has_no_rule_is_left_to_torch(f):
    z = torch.randn(4, 3)
    with pytest.raises(UnknownFunction):
        f(Bundle.over(z, torch.ones(2, 4, 3)))


class Distances(nn.Module):
    def forward(self, x):
        return torch.cdist(x, x.new_ones(8, 8).triu())


class Attention(nn.Module):
    def forward(self, x):
        y = x.unflatten(1, (4, 2))
        return nn.functional.scaled_dot_product_attention(y, y.sin(), y).flatten(1)


LAYERS = {
    "silu": nn.SiLU(),
    "silu in place": nn.SiLU(inplace=True),
    "mish": nn.Mish(),
    "glu": nn.GLU(),
    "elu": nn.ELU(),
    "group norm": nn.GroupNorm(2, 8),
    "batch norm": nn.BatchNorm1d(8).eval(),
    "convolutions": nn.Sequential(
        nn.Unflatten(1, (2, 2, 2)),
        nn.ConvTranspose2d(2, 2, 2, 2),
        nn.Tanh(),
        nn.Conv2d(2, 1, 3, padding=1),
        nn.Flatten(),
    ),
    "upsampling": nn.Sequential(nn.Unflatten(1, (2, 2, 2)), nn.Upsample(scale_factor=2, mode="bilinear"), nn.Flatten()),
    "distances": Distances(),
    "attention": Attention(),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_common_layers_have_first_and_second_derivatives(layer):
    layer = layer.double()
    z = torch.randn(4, 3)
    into = nn.Linear(3, 8)
    net = nn.Sequential(into, layer, nn.Linear(layer(into(z)).shape[1], 1)).requires_grad_(False)
    u, v = torch.randn(2, 4, 3)
    slope = autograd_jacobian(net, z).squeeze(1)
    ahead, behind = (
        torch.stack([autograd_jacobian(net, z + sign * 1e-5 * axis).squeeze(1) for axis in torch.eye(3)], dim=2)
        for sign in (1, -1)
    )
    bend = (ahead - behind) / 2e-5
    value, tangents = pushforward(net, z)
    assert torch.allclose(value, net(z))
    assert torch.allclose(tangents.squeeze(2).T, slope)
    assert torch.allclose(directional(net, z, u)[1][:, 0], torch.einsum("na,na->n", slope, u))
    assert torch.allclose(second(net, z, u, v)[:, 0], torch.einsum("na,nab,nb->n", u, bend, v), atol=1e-6)
    assert torch.allclose(weighted_hessian(net, z, torch.ones(4, 1)), bend, atol=1e-6)


def test_passes_are_cut_by_the_widest_layer():
    z = torch.randn(3, 8)
    assert widest(ConvGenerator(8, (1, 28, 28), width=32), z) == 32 * 14 * 14
    assert widest(mlp(8, 7), z) == 16 and widest(lambda z: z[:, :1], z) == 8
