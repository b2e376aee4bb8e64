import json
from functools import partial

import pytest
import torch
from safetensors import safe_open
from torch import nn

from ot_gen import (
    DiracEncoder,
    Empirical,
    FlowMap,
    IndependentPairing,
    Pushforward,
    UNetVelocity,
    ex_post_prior,
    flow_prior,
    load_prior,
    save_prior,
    semidiscrete_prior,
    standard_gaussian,
)
from ot_gen.execution import read_tensors, write_tensors

AS_THEY_ARE = DiracEncoder(nn.Identity())
FLOW = partial(flow_prior, steps=3, width=8, depth=1, flow_steps=3)
KINDS = {
    "mixture": lambda nu: ex_post_prior(AS_THEY_ARE, nu, components=2),
    "flow": lambda nu: FLOW(AS_THEY_ARE, nu, IndependentPairing(), components=1),
    "flow of clusters": lambda nu: FLOW(AS_THEY_ARE, nu, IndependentPairing(), components=4),
    "deep": lambda nu: FLOW(AS_THEY_ARE, nu, IndependentPairing(), components=1, depth=4),
    "cells": lambda nu: semidiscrete_prior(AS_THEY_ARE, nu, tol=0.5),
    "table": lambda nu: semidiscrete_prior(AS_THEY_ARE, nu, mix=1, tol=0.5),
}


def fitted(kind, dtype=torch.float32):
    torch.manual_seed(0)
    return KINDS[kind](Empirical(torch.randn(40, 3).to(dtype) + 1000))


def drawn(prior):
    torch.manual_seed(5)
    return prior.sample(33)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_a_prior_that_was_read_samples_what_it_sampled(kind, dtype, tmp_path):
    prior = fitted(kind, dtype)
    save_prior(prior, tmp_path / "prior")
    again = load_prior(tmp_path / "prior")
    assert torch.equal(drawn(prior), drawn(again)) and drawn(again).dtype == dtype
    assert type(again) is type(prior) and again.classes is None
    assert again.state_dict().keys() == prior.state_dict().keys()
    assert again.training == prior.training and not any(weight.requires_grad for weight in again.parameters())


def test_the_header_says_the_kind_and_what_it_needs_beside_its_tensors(tmp_path):
    steps = {"steps": 3, "method": "heun"}
    for kind, settings in (("flow", steps), ("flow of clusters", steps), ("cells", {"mix": 3})):
        save_prior(fitted(kind), tmp_path / kind)
        with safe_open(tmp_path / kind, framework="pt") as file:
            header = file.metadata()
        assert header["format"] == "ot_gen prior 2" and header["kind"] == kind
        assert json.loads(header["settings"]) == settings


@pytest.mark.parametrize("kind", ["flow", "cells"])
def test_a_flipped_byte_is_refused(kind, tmp_path):
    save_prior(fitted(kind), tmp_path / "prior")
    whole = (tmp_path / "prior").read_bytes()
    for place in range(0, len(whole), 37):
        (tmp_path / "flipped").write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="holds no prior of save_prior"):
            load_prior(tmp_path / "flipped")


SPOILED = {
    "an unknown kind": ("flow", {"kind": "os.system"}, {}),
    "no kind": ("flow", {"kind": None}, {}),
    "no settings": ("flow", {"settings": None}, {}),
    "settings that are none": ("flow", {"settings": "[" * 9}, {}),
    "settings of a list": ("flow", {"settings": "[1]"}, {}),
    "a step for each second of a year": ("flow", {"settings": '{"steps": 31536000, "method": "heun"}'}, {}),
    "steps that are no number": ("flow", {"settings": '{"steps": "9", "method": "heun"}'}, {}),
    "a method of its own": ("flow", {"settings": '{"steps": 9, "method": "os.system"}'}, {}),
    "a mix of more cells": ("cells", {"settings": '{"mix": 41}'}, {}),
    "a mix that is no number": ("cells", {"settings": '{"mix": true}'}, {}),
    "a layer that is missing": ("deep", {}, {"map.velocity.body.layers.1.weight": None}),
    "a layer of another width": ("deep", {}, {"map.velocity.body.layers.1.weight": torch.zeros(3, 3)}),
    "a last layer that is a number": ("flow", {}, {"map.velocity.body.last.weight": torch.zeros(())}),
    "codes that are NaN": ("cells", {}, {"codes": torch.full((40, 3), torch.nan)}),
    "a jump of two": ("cells", {}, {"jump": torch.ones(2)}),
    "a jump that is NaN": ("cells", {}, {"jump": torch.tensor(torch.nan)}),
    "a flow that is NaN": ("flow", {}, {"map.velocity.body.last.bias": torch.full((3,), torch.nan)}),
    "a flow that is infinite": ("flow", {}, {"map.velocity.body.last.bias": torch.full((3,), torch.inf)}),
    "a flow of whole numbers": ("flow", {}, {"map.velocity.body.last.bias": torch.zeros(3, dtype=torch.int64)}),
    "a width of its last layer alone": ("deep", {}, {"map.velocity.body.last.weight": torch.zeros(1, 30_000)}),
    "empty layers": (
        *("flow", {}),
        {f"map.velocity.body.layers.{n}.{part}": torch.zeros(0) for n in range(500) for part in ("weight", "bias")},
    ),
    "a network without width": (
        *("flow", {}),
        {
            "map.velocity.body.last.weight": torch.zeros(3, 0),
            "map.velocity.body.first.weight": torch.zeros(0, 20),
            "map.velocity.body.first.bias": torch.zeros(0),
        },
    ),
    "a tensor too many": ("flow", {}, {"more": torch.zeros(2)}),
    "no steps": ("flow", {"settings": '{"method": "heun"}'}, {}),
    "steps that go back": ("flow", {"settings": '{"steps": -3, "method": "heun"}'}, {}),
    "a unit of 0": ("cells", {}, {"units.scale": torch.zeros(3)}),
    "a mixture of another dimension": (
        *("flow", {}),
        {"base.0.means": torch.zeros(1, 2), "base.0.scale_tril": torch.eye(2)[None], "base.0.weights": torch.ones(1)},
    ),
    "a mixture without factors": ("flow", {}, {"base.0.scale_tril": None}),
    "a mixture of a class that is not there": ("flow", {}, {"base.1.weights": torch.ones(1)}),
    "a mixture of whole numbers": ("flow", {}, {"base.0.means": torch.zeros(1, 3, dtype=torch.int64)}),
    "clusters without shares": ("flow of clusters", {}, {"shares": None}),
    "a flow of clusters that is told none": ("flow", {"kind": "flow of clusters"}, {}),
    "a unit for fewer": ("flow", {}, {"units.scale": torch.ones(2), "units.shift": torch.ones(2)}),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_file_of_a_stranger_is_refused_in_words(case, tmp_path, monkeypatch):
    kind, header, tensors = SPOILED[case]
    save_prior(fitted(kind), tmp_path / "prior")
    texts, kept = read_tensors(tmp_path / "prior", ("ot_gen prior 2",))
    del texts["checksums"]
    texts, kept = ({k: v for k, v in (a | b).items() if v is not None} for a, b in ((texts, header), (kept, tensors)))
    write_tensors(tmp_path / "prior", kept, texts)
    built = []
    monkeypatch.setattr("ot_gen.priors.files.FlowMap", lambda *a, **k: built.append(1) or FlowMap(*a, **k))
    with pytest.raises(ValueError, match="holds no prior of save_prior"):
        load_prior(tmp_path / "prior")
    assert not (built and tensors)  # shapes are compared before


def without_base(path):
    """The file as it was before flows started from mixtures."""
    header, tensors = read_tensors(path, ("ot_gen prior 2",))
    del header["checksums"]
    write_tensors(path, {name: part for name, part in tensors.items() if not name.startswith("base.")}, header)


def test_a_flow_of_an_earlier_file_starts_from_the_gaussian(tmp_path):
    prior = fitted("flow")
    save_prior(prior, tmp_path / "prior")
    without_base(tmp_path / "prior")
    again = load_prior(tmp_path / "prior")
    assert torch.equal(drawn(again), drawn(Pushforward(prior.map, standard_gaussian(3))))


def test_other_measures_are_refused(tmp_path):
    picture = Pushforward(FlowMap(UNetVelocity((1, 4, 4), width=8), steps=1), standard_gaussian(16))
    for other in (standard_gaussian(2), picture, Empirical(torch.eye(2))):
        with pytest.raises(ValueError, match="save_prior writes priors of ex_post_prior, flow_prior and"):
            save_prior(other, tmp_path / "prior")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["mixture", "flow", "cells"])
def test_a_prior_is_bound_to_its_model_by_the_weights(kind, tmp_path):
    model, other = (Pushforward(nn.Linear(3, 5), standard_gaussian(3)) for _ in range(2))
    save_prior(prior := fitted(kind), tmp_path / "prior", model=model)
    save_prior(prior, tmp_path / "unbound")
    same = Pushforward(nn.Linear(3, 5), standard_gaussian(3))
    same.load_state_dict(model.state_dict())
    for again in (load_prior(tmp_path / "prior", same), load_prior(tmp_path / "prior")):
        assert torch.equal(drawn(again), drawn(prior))
    with pytest.raises(ValueError, match=r"prior of another model \(model.map.weight: other contents"):
        load_prior(tmp_path / "prior", other)
    assert load_prior(tmp_path / "unbound", other).dim == 3  # as files that know no model


def test_a_flow_that_is_not_finite_is_not_written(tmp_path):
    prior = fitted("flow")
    next(prior.map.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match="holds NaN or Inf"):
        save_prior(prior, tmp_path / "prior")
    assert not any(tmp_path.iterdir())


def test_a_saved_prior_is_not_replaced_unasked_and_its_folder_is_made(tmp_path):
    first, second = fitted("mixture"), fitted("table")
    save_prior(first, tmp_path / "new" / "prior.safetensors")
    with pytest.raises(ValueError, match=r"is there already; .* overwrite=True"):
        save_prior(second, tmp_path / "new" / "prior.safetensors")
    assert torch.equal(drawn(load_prior(tmp_path / "new")), drawn(first))  # by its folder
    save_prior(second, tmp_path / "new" / "prior.safetensors", overwrite=True)
    assert torch.equal(drawn(load_prior(tmp_path / "new")), drawn(second))


def test_places_that_hold_no_file_are_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="no prior can be written to"):
        save_prior(fitted("mixture"), tmp_path / "file" / "prior")
    with pytest.raises(ValueError, match=r"a prior is one file, and .* is a folder"):
        save_prior(fitted("mixture"), tmp_path)
    with pytest.raises(ValueError, match=r"there is no file .*prior\.safetensors"):
        load_prior(tmp_path)


@pytest.mark.parametrize("kind", ["mixture", "flow", "table"])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_prior_is_the_same_under_a_mode_without_gradients(kind, mode):
    prior = fitted(kind)
    with mode():
        again = fitted(kind)
    assert torch.equal(drawn(prior), drawn(again))
