"""Malformed arguments to every public callable: a right result, or a refusal of ours; no NaN, no hang.

`make fuzz` runs as many of them as one likes.
"""

import os
from collections import Counter

import pytest
import torch
from fuzzing.nasty import spoilt
from fuzzing.outcome import Outcome, outcome
from fuzzing.subjects import Case, cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CALLS = int(os.environ.get("FUZZ_CALLS", "300"))
COUNTS: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Some calls write files."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", cases(), ids=[case.name for case in cases()])
def test_a_right_call_is_right(case):
    call, arguments = case.make()
    assert outcome(call, arguments) == Outcome("right")


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
