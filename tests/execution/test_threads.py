"""How many threads a process takes."""

import pytest
import torch

from ot_gen.execution import use_threads


@pytest.fixture(autouse=True)
def as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_so_many_as_asked_for_and_none_leaves_them():
    use_threads(2)
    assert torch.get_num_threads() == 2
    use_threads(None)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("threads", [0, -1, 1.0, "two", True])
def test_other_numbers_are_refused(threads):
    with pytest.raises(ValueError, match=rf"threads must be a whole number in \[1, 4096\], got .?{threads}"):
        use_threads(threads)
