"""The judge of generation by class: its classifier, and the share that it finds right, with its error."""

import math

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from ot_gen.evaluation import NearestLabels, class_accuracy
from ot_gen.evaluation.class_accuracy import pooled_accuracy


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_of_two_classes_the_classifier_is_the_usual_one(offset):
    points, labels = torch.randn(200, 3).double() + offset, torch.randint(0, 2, (200,))
    y = torch.randn(300, 3).double() + offset
    expected = KNeighborsClassifier(5).fit(points.numpy() - offset, labels.numpy()).predict(y.numpy() - offset)
    assert NearestLabels(points, labels)(y).tolist() == expected.tolist()


def test_of_classes_that_are_equally_common_the_nearest_counts():
    points = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]])
    classifier = NearestLabels(points, torch.tensor([2, 0, 0, 2, 1]))
    assert classifier(torch.tensor([[0.0], [2.4]])).tolist() == [2, 0]


def test_few_points_are_all_neighbours():
    classifier = NearestLabels(torch.tensor([[0.0], [9.0]]), torch.tensor([5, 6]))
    assert str(classifier) == "2 nearest training points" and classifier(torch.tensor([[8.0]])).tolist() == [6]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="one for each of 3 points"):
        NearestLabels(torch.randn(3, 2), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"points \(n, 2\)"):
        NearestLabels(torch.randn(3, 2), torch.tensor([0, 1, 1]))(torch.randn(3, 3))
    with pytest.raises(ValueError, match="one by one"):
        class_accuracy(torch.tensor([0, 1]), torch.tensor([0]))


def test_the_error_is_that_of_a_share():
    asked = torch.zeros(4000, 50, dtype=torch.long)
    found = (torch.rand(4000, 50) < 0.3).long()
    parts = [class_accuracy(*pair) for pair in zip(found, asked, strict=True)]
    values = torch.tensor([part.value for part in parts])
    assert float(values.mean()) == pytest.approx(0.7, abs=0.01)
    assert parts[0].se == pytest.approx(float(values.std()), rel=0.15)
    assert class_accuracy(asked[0], asked[0]).value == 1 and class_accuracy(asked[0], asked[0]).se > 0


@pytest.mark.parametrize("classes", [2, 7])
def test_pooled_by_their_sizes_classes_have_the_accuracy_of_all_samples(classes):
    asked = torch.randint(0, classes, (500,))
    found = torch.where(torch.rand(500) < 0.6, asked, torch.randint(0, classes, (500,)))
    n = asked.bincount(minlength=classes)
    parts = [class_accuracy(found[asked == k], asked[asked == k]) for k in range(classes)]
    pooled, whole = pooled_accuracy(parts, n.tolist(), (n / 500).tolist()), class_accuracy(found, asked)
    assert pooled.value == pytest.approx(whole.value) and pooled.se == pytest.approx(whole.se, rel=1e-4)


def test_small_classes_that_weigh_much_make_the_error_large():
    parts = [class_accuracy(torch.arange(n) % 2, torch.zeros(n, dtype=torch.long)) for n in (1000, 10)]
    assert pooled_accuracy(parts, [1000, 10], [0.1, 0.9]).se == pytest.approx(0.9 * math.sqrt(0.25 / 10), rel=0.01)
