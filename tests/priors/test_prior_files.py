import json

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
KINDS = {
    "mixture": lambda nu: ex_post_prior(AS_THEY_ARE, nu, components=2),
    "flow": lambda nu: flow_prior(AS_THEY_ARE, nu, IndependentPairing(), steps=3, width=8, depth=1, flow_steps=3),
    "deep": lambda nu: flow_prior(AS_THEY_ARE, nu, IndependentPairing(), steps=3, width=8, depth=4),
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
    assert type(again) is type(prior) and again.state_dict().keys() == prior.state_dict().keys()
    assert again.training == prior.training and not any(weight.requires_grad for weight in again.parameters())


def test_the_header_says_the_kind_and_what_it_needs_beside_its_tensors(tmp_path):
    for kind, settings in (("flow", {"steps": 3, "method": "heun"}), ("cells", {"mix": 3})):
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
    "a unit of 0": ("cells", {}, {"units.scale": torch.zeros(3)}),
    "a unit for fewer": ("flow", {}, {"units.scale": torch.ones(2), "units.shift": torch.ones(2)}),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_file_of_a_stranger_is_refused_in_words(case, tmp_path):
    kind, header, tensors = SPOILED[case]
    save_prior(fitted(kind), tmp_path / "prior")
    texts, kept = read_tensors(tmp_path / "prior", ("ot_gen prior 2",))
    del texts["checksums"]
    texts, kept = ({k: v for k, v in (a | b).items() if v is not None} for a, b in ((texts, header), (kept, tensors)))
    write_tensors(tmp_path / "prior", kept, texts)
    with pytest.raises(ValueError, match="holds no prior of save_prior"):
        load_prior(tmp_path / "prior")


def test_other_measures_are_refused(tmp_path):
    picture = Pushforward(FlowMap(UNetVelocity((1, 4, 4), width=8), steps=1), standard_gaussian(16))
    for other in (standard_gaussian(2), picture, Empirical(torch.eye(2))):
        with pytest.raises(ValueError, match="save_prior writes priors of ex_post_prior, flow_prior and"):
            save_prior(other, tmp_path / "prior")
    assert not any(tmp_path.iterdir())
