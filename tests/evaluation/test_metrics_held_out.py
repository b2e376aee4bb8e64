"""`Metrics` on data: what is drawn, the floors, the digit classifier, and what a model does not get away with."""

import importlib
import math
import sys
from pathlib import Path
from typing import final

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import ot_gen
from ot_gen import Empirical, Euclidean, NotConverged, Pushforward, SquaredEuclidean, data, judge, standard_gaussian
from ot_gen.evaluation import (
    ClassError,
    DigitClassifier,
    EnergyKernel,
    ExactTransport,
    FrechetDistance,
    MeanDiscrepancy,
    Memorisation,
    Metric,
    Metrics,
    ModeCoverage,
    Precision,
    SinkhornDistance,
    View,
    digit_classes,
    digit_features,
)
from ot_gen.evaluation.classifier import WEIGHTS
from ot_gen.evaluation.metrics import draws

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "digit_classifier"


@pytest.fixture(scope="module")
def mnist():
    return data.mnist()


@pytest.fixture(scope="module")
def toy():
    return data.toy(data.eight_gaussians(), size=600, test_size=500)


def exact():
    w1, w2 = ExactTransport(Euclidean()), ExactTransport(SquaredEuclidean())
    return Metrics({"points": View({"w1": w1, "w2_squared": w2})}, Memorisation())


def of_digits():
    return Metrics(
        {
            "features": View({"frechet": FrechetDistance(), "precision": Precision()}, digit_features),
            "classes": View({"class_error": ClassError(), "mode_coverage": ModeCoverage()}, digit_classes),
        }
    )


# --- what is compared ------------------------------------------------------------------------------------------------


def test_the_distances_and_floors_are_those_of_the_judgement(toy):
    mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
    found, judgement = exact()(mu, toy.train, toy.test, n=200, seed=3), judge(mu, toy.train, toy.test, n=200, seed=3)
    assert found.n == judgement.n == 200
    for name in ("w1", "w2_squared"):
        assert found.values[name].value == pytest.approx(getattr(judgement, name), rel=1e-12)
        assert found.values[name].floor == pytest.approx(getattr(judgement, f"{name}_floor"), rel=1e-12)


def test_measuring_changes_neither_random_state_nor_mode_and_repeats(toy):
    mu = Pushforward(nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 2)), standard_gaussian(2))
    before = torch.get_rng_state()
    first = exact()(mu, toy.train, toy.test, n=100)
    assert torch.equal(torch.get_rng_state(), before)
    assert mu.training and all(part.training for part in mu.modules())
    torch.rand(7)
    assert exact()(mu, toy.train, toy.test, n=100) == first
    assert exact()(mu, toy.train, toy.test, n=100, seed=1) != first


def test_equal_seeds_give_every_model_the_same_real_and_latent_points(toy):
    first, second = (
        draws(Pushforward(net, standard_gaussian(2)), toy.train, toy.test, 50, seed=0)
        for net in (nn.Identity(), nn.Linear(2, 2))
    )
    assert all(torch.equal(first[i], second[i]) for i in (1, 2, 3))
    net = nn.Linear(2, 2)
    again = draws(Pushforward(net, standard_gaussian(2)), toy.train, toy.test, 50, seed=0)
    assert torch.equal(net(first.fake), again.fake)


def test_no_real_point_is_used_twice(toy):
    drawn = draws(toy.train, toy.train, toy.test, 240, seed=0)
    for part in drawn[:3]:
        assert len(part.unique(dim=0)) == 240
    assert len(torch.cat([drawn.held_out, drawn.spare]).unique(dim=0)) == 480


def test_arrays_are_taken_for_samples(toy):
    fake = np.random.default_rng(0).normal(size=(120, 2)).astype(np.float32)
    arrays = exact()(fake, toy.train.atoms.numpy(), toy.test.atoms.numpy())
    assert arrays == exact()(Empirical(torch.from_numpy(fake)), toy.train, toy.test)
    assert arrays.n == 120


def test_real_data_score_the_floor_in_every_metric(toy):
    metrics = Metrics(
        {
            "points": View({"w1": ExactTransport(Euclidean()), "energy": MeanDiscrepancy(EnergyKernel())}),
            "more": View({"sinkhorn": SinkhornDistance(0.2), "precision": Precision()}),
        },
        Memorisation(),
    )
    law = data.eight_gaussians()
    found = metrics(law, toy.train, toy.test, n=240)
    for name, row in found.values.items():
        assert abs(row.value - row.floor) < 4 * math.hypot(row.se, row.floor_se), name
        assert row.se > 0 and row.floor_se > 0
    assert abs(found.values["memorisation"].floor - 1) < 4 * found.values["memorisation"].floor_se


def test_a_model_that_copies_training_points_is_flagged_and_by_memorisation_alone(toy):
    found = exact()(toy.train, toy.train, toy.test, n=240).values
    assert found["memorisation"].value == 0
    assert found["memorisation"].floor > 0.8
    assert abs(found["w1"].value - found["w1"].floor) < 3 * math.hypot(found["w1"].se, found["w1"].floor_se)


def test_without_spare_held_out_points_one_half_is_compared_with_the_other(toy):
    found = exact()(data.eight_gaussians(), toy.train, toy.test, n=500).values["memorisation"]
    assert abs(found.floor - 1) < 4 * found.floor_se < 1


def test_a_law_has_no_training_points_to_memorise(toy):
    found = exact()(toy.train, data.eight_gaussians(), toy.test, n=100)
    assert set(found.values) == {"w1", "w2_squared"}


def test_features_are_extracted_once_for_each_sample(toy):
    seen = []

    def features(points):
        seen.append(len(points))
        return points.square()

    view = View({"frechet": FrechetDistance(), "precision": Precision()}, features)
    assert set(Metrics({"features": view})(toy.train, toy.train, toy.test, n=60).values) == {"frechet", "precision"}
    assert seen == [60, 60, 60]


def test_a_metric_out_of_reach_is_told_and_the_others_stand(toy):
    @final
    class OutOfReach(Metric):
        def estimate(self, x, y):
            raise NotConverged("Sinkhorn left an error")

    views = {"points": View({"sinkhorn": OutOfReach(), "w1": ExactTransport(Euclidean())})}
    found = Metrics(views)(toy.train, toy.train, toy.test, n=30)
    assert set(found.values) == {"w1"}
    assert found.failures == {"sinkhorn": "Sinkhorn left an error"}


def test_names_are_unique_and_spaces_agree(toy):
    with pytest.raises(ValueError, match="one name each, got w1"):
        Metrics({name: View({"w1": Precision()}) for name in "ab"})
    with pytest.raises(ValueError, match=r"dimension 3.*one space"):
        exact()(torch.rand(50, 3), toy.train, toy.test)
    with pytest.raises(ValueError, match="held-out data are points"):
        exact()(toy.train, toy.train, data.eight_gaussians())


def test_held_out_points_of_unequal_weights_are_refused():
    test = Empirical(torch.randn(7, 2), torch.tensor([0.94] + [0.01] * 6))
    with pytest.raises(ValueError, match=r"equal weights.*Empirical\(test.sample\(n\)\)"):
        judge(standard_gaussian(2), test, test, n=4)


# --- the digit classifier --------------------------------------------------------------------------------------------


def test_the_shipped_classifier_is_right_on_98_of_100_held_out_digits(mnist):
    right = digit_classes(mnist.test.atoms) == mnist.test_labels
    assert float(right.double().mean()) >= 0.98
    assert WEIGHTS.stat().st_size < 500_000
    assert all(value.dtype == torch.float16 for value in load_file(WEIGHTS).values())


@pytest.mark.slow
def test_its_features_are_standardised_on_the_training_digits(mnist):
    features = digit_features(mnist.train.atoms)
    torch.testing.assert_close(features.mean(0), torch.zeros(64), atol=0.01, rtol=0)
    torch.testing.assert_close(features.std(0), torch.ones(64), atol=0.01, rtol=0)


def test_each_is_a_copy_with_frozen_weights_and_differentiable_scores():
    classifier = DigitClassifier.shipped()
    assert all(
        torch.equal(a, b)
        for a, b in zip(classifier.state_dict().values(), DigitClassifier.shipped().state_dict().values(), strict=True)
    )
    DigitClassifier.shipped().to("meta")  # a copy of the caller: what the metrics use stays as it is
    assert not classifier.training and not any(p.requires_grad for p in classifier.parameters())
    images = torch.rand(2, 784, requires_grad=True)
    classifier(images).sum().backward()
    assert images.grad is not None and bool(images.grad.abs().sum() > 0)


def test_pixels_are_clipped_as_in_a_stored_image_and_other_sizes_refused(mnist):
    images = mnist.test.atoms[:10]
    assert torch.equal(digit_features(3 * images - 1), digit_features((3 * images - 1).clamp(0, 1)))
    assert torch.equal(digit_classes(images.double()), digit_classes(images))
    with pytest.raises(ValueError, match=r"28 x 28 = 784 pixels, got rows of 64.*metrics of points"):
        digit_features(torch.rand(3, 64))
    with pytest.raises(ValueError, match="NaN"):
        digit_classes(torch.full((3, 784), torch.nan))


@pytest.mark.slow
def test_the_mean_digit_noise_and_a_missing_class_are_seen_for_what_they_are(mnist):
    metrics, n = of_digits(), 300
    real = metrics(mnist.train, mnist.train, mnist.test, n=n).values
    assert real["frechet"].value < 5 and real["mode_coverage"].value == 1 and real["precision"].value > 0.9
    mean = mnist.train.atoms.mean(0).expand(n, 784)
    collapsed = metrics(mean, mnist.train, mnist.test, n=n).values
    assert collapsed["frechet"].value > 30 * collapsed["frechet"].floor
    assert collapsed["class_error"].value > 0.8 and collapsed["mode_coverage"].value == pytest.approx(0.1)
    no_sevens = mnist.train.atoms[mnist.train_labels != 7]
    found = metrics(no_sevens, mnist.train, mnist.test, n=n).values
    assert found["mode_coverage"].value == pytest.approx(0.9)
    assert found["class_error"].value - found["class_error"].floor > 0.02
    noise = metrics(torch.rand(n, 784), mnist.train, mnist.test, n=n).values
    assert noise["frechet"].value > 50 and noise["precision"].value == 0


@pytest.mark.skipif(not EXPERIMENT.is_dir(), reason="the experiments are not part of this distribution")
def test_the_script_of_the_weights_trains_the_same_network_at_every_call(mnist, monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENT))
    script = importlib.import_module("train_digit_classifier")
    try:
        x, labels = mnist.train.atoms[:300], mnist.train_labels[:300]
        before = torch.get_rng_state()
        first, second = (script.trained_classifier(x, labels, epochs=1).state_dict() for _ in range(2))
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert set(first) == set(load_file(WEIGHTS))
        shown = (EXPERIMENT / "README.md").read_text(encoding="utf-8")
        right = script.accuracy(DigitClassifier.shipped(), mnist.test.atoms, mnist.test_labels)
        assert f"{right:.2%}" in shown
    finally:
        del sys.modules["train_digit_classifier"]


def test_the_names_are_exported():
    assert {"Metrics", "View", "DigitClassifier", "Judgement", "judge", "wasserstein"} <= set(ot_gen.evaluation.__all__)
