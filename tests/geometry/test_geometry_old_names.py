"""What counts segments was once called `nodes`, and may be called so until 0.3."""

import pytest
import torch

from ot_gen.geometry import (
    GeodesicCost,
    LatentGeometry,
    LocallyAdaptiveNormal,
    conformal,
    fit_adaptive_normal,
    frechet_mean,
    latent,
)
from ot_gen.geometry.geodesics import Effort

geo = LatentGeometry(conformal(lambda z: 1 + z.square().sum(dim=1)))
A, B = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.5, 1.0]])
Z = torch.cat([A, B, A / 2])
COVARIANCE = 0.01 * torch.eye(2)


def cost(**settings):
    return GeodesicCost(geo, **settings)(A, B)


def normal(**settings):
    return LocallyAdaptiveNormal(geo, A[0], COVARIANCE, samples=4, **settings).log_prob(B)


CALLS = {
    "geodesic": lambda **settings: geo.geodesic(A, B, refinements=0, **settings).nodes,
    "distance": lambda **settings: geo.distance(A, B, **settings),
    "squared_distance": lambda **settings: geo.squared_distance(A, B, **settings),
    "pairwise": lambda **settings: geo.pairwise(Z, **settings),
    "log": lambda **settings: geo.log(A, B, **settings),
    "constant_speed": lambda **settings: geo.constant_speed(torch.stack([A, B], dim=1), **settings).nodes,
    "frechet_mean": lambda **settings: frechet_mean(geo, Z, **settings).point,
    "GeodesicCost": cost,
    "LocallyAdaptiveNormal": normal,
    "fit_adaptive_normal": lambda **settings: fit_adaptive_normal(geo, Z, samples=4, rounds=1, **settings).law.mean,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_the_old_name_means_the_same_and_warns(name):
    call = CALLS[name]
    now = call(segments=8)
    with pytest.warns(DeprecationWarning, match=f"{name}: nodes= is now called segments=.*0.3") as caught:
        before = call(nodes=8)
    assert torch.equal(before, now) and caught[0].filename == __file__
    assert len(caught) == 1  # nothing inside the package says the old name


def test_a_curve_of_8_segments_has_9_nodes():
    assert geo.geodesic(A, B, segments=8, refinements=0).nodes.shape == (1, 9, 2)


def test_both_names_at_once_are_refused():
    with pytest.raises(ValueError, match="both segments= and its old name nodes="):
        geo.geodesic(A, B, segments=8, nodes=8)


def test_a_warning_about_pairs_points_at_its_caller(monkeypatch):
    monkeypatch.setattr(latent, "Effort", lambda *_, **__: Effort(4, tol=1e-9, rounds=1, refinements=0))
    with pytest.warns(RuntimeWarning, match="not converged") as caught:
        geo.pairwise(Z)
    assert [one.filename for one in caught] == [__file__]
