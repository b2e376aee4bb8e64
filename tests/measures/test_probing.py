"""What a map makes of a few points: one form of error for all that do not fit."""

import pytest
import torch
from torch import nn

from ot_gen import GaussianEncoder, Pushforward, standard_gaussian
from ot_gen.measures import probe


@pytest.mark.parametrize(
    ("map", "row", "message"),
    [
        (nn.Linear(3, 1), (), r"the net does not accept points of shape \(n, 2\) \(.*3x.*\); do this"),
        (nn.Linear(2, 4), ((), (1,)), r"the net maps points of shape \(5, 2\) to \(5, 4\); do this"),
        (lambda x: x.sum(), ((),), r"to a Tensor; do this"),
        (lambda x: [x], ((None,),), r"to a list; do this"),
        (
            nn.Linear(2, 4).double(),
            (),
            r"holds torch.float64 on cpu and .* torch.float32 on cpu: give both",
        ),
    ],
)
def test_maps_that_do_not_fit_are_named(map, row, message):
    with pytest.raises(ValueError, match=message):
        probe(map, torch.zeros(5, 2), "the net", "do this", row=row)


def test_what_torch_lacks_is_no_fault_of_the_points():
    def unknown(x):
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        probe(unknown, torch.zeros(5, 2), "the net", "do this")


def test_tensors_and_laws_are_returned_as_they_are_and_nothing_changes():
    net, encoder = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5)), GaussianEncoder(nn.Linear(2, 6))
    before = torch.get_rng_state()
    assert probe(net, torch.zeros(5, 2), "the net", "", row=((4,),)).shape == (5, 4)
    assert probe(encoder, torch.zeros(5, 2), "it", "", row=((3,),)).batch_shape == (5,)
    assert net.training and torch.equal(before, torch.get_rng_state())


def test_a_generator_in_another_dtype_than_its_reference_is_refused_when_the_model_is_made():
    with pytest.raises(ValueError, match=r"torch.float64 on cpu .*torch.float32 on cpu: give both"):
        Pushforward(nn.Linear(2, 3).double(), standard_gaussian(2))
    mu = Pushforward(nn.Linear(2, 3).double(), standard_gaussian(2).double())
    assert mu.sample(3).dtype == torch.float64


def test_a_model_needs_a_module_and_a_measure():
    with pytest.raises(ValueError, match="map must be a torch module, got a function; a function becomes one"):
        Pushforward(lambda z: z, standard_gaussian(2))
    with pytest.raises(ValueError, match=r"Reference\(law\)"):
        Pushforward(nn.Linear(2, 3), standard_gaussian(2).law)
