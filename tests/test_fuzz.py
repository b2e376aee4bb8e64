"""Malformed arguments to every public callable: a right result, or a refusal of ours; no NaN, no hang.

`make fuzz` runs as many of them as one likes.
"""

import os
import re
from collections import Counter

import pytest
import torch
from births import Named
from elsewhere import pretended
from fuzzing.nasty import spoilt
from fuzzing.outcome import Outcome, outcome
from fuzzing.subjects import Case, cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributions import Independent, Normal

# Not tried on a pretended device: it has no derivatives in forward mode, ...
STAYS = re.compile(
    "[Gg]eodesic|[Gg]eometry|[Nn]ormal|Brownian|frechet_mean|volume_map|PullbackMetric|MatrixMetric|k_medoids|Graph"
    "|bits_per_dim|log_prob|log_det"
    # ... and what the calls below hold cannot be moved: a plan, a solution, the data of a potential.
    "|Plan[.]|Solution[.]|ShardedAtoms[.]|DiscretePotential[.]|LabelPotential[.]|NaturalDescent"
)
CALLS = int(os.environ.get("FUZZ_CALLS", "300"))
COUNTS: Counter[str] = Counter()


def moved(thing, device):
    """Tensors, modules and laws there, those of a list, a dictionary or a method's object too."""
    if isinstance(thing, torch.Tensor | nn.Module):
        return thing.to(device)
    if isinstance(thing, Independent):
        loc, scale = thing.base_dist.loc, thing.base_dist.scale
        return Independent(Normal(loc.to(device), scale.to(device)), 1)
    if type(thing) in (list, tuple):
        return type(thing)(moved(part, device) for part in thing)
    if isinstance(thing, dict):
        return {name: moved(value, device) for name, value in thing.items()}
    if (owner := getattr(thing, "__self__", None)) is not None:
        moved(owner, device)
    return thing


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Some calls write files."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", cases(), ids=[case.name for case in cases()])
def test_a_right_call_is_right_where_its_arguments_are(case):
    """On a second device where they can be moved there; and no call makes a tensor just anywhere."""
    if STAYS.search(case.name):
        call, arguments = case.make()
        with Named():
            assert outcome(call, arguments) == Outcome("right")
        return
    with pretended() as device:
        call, arguments = case.make()
        assert outcome(moved(call, device), moved(arguments, device)) == Outcome("right")


@pytest.mark.slow
@settings(
    max_examples=CALLS,
    deadline=None,
    derandomize="FUZZ_CALLS" not in os.environ,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(case=st.sampled_from([case for case in cases() if case.names]), data=st.data())
def test_a_malformed_call_is_refused_in_our_words(case: Case, data: st.DataObject):
    torch.manual_seed(0)
    call, arguments = case.make()
    for name in data.draw(st.lists(st.sampled_from(sorted(arguments)), min_size=1, max_size=2, unique=True), "spoilt"):
        arguments[name] = data.draw(spoilt(arguments[name]), name)
    came = outcome(call, arguments)
    COUNTS[came.kind] += 1
    assert not came.is_fault, f"{case.name}: {came.kind}: {came.text}"
