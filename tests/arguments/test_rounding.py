"""Numbers that float32 does not hold: computed in float64, or refused where networks want float32."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ot_gen import Empirical, SquaredEuclidean, c_transform, exact_plan, wasserstein
from ot_gen.arguments import check_distinct, floating
from ot_gen.costs import Euclidean, InnerProduct, Lp
from ot_gen.data import points

MAKERS = {
    "list": list,
    "floats": lambda rows: [[float(v) for v in row] for row in rows],
    "int64": np.array,
    "uint32": lambda rows: np.array(rows, np.uint32),
    "float64": lambda rows: np.array(rows, np.float64),
    "big endian": lambda rows: np.array(rows, ">i8"),
    "tensor": torch.tensor,
    "int32 tensor": lambda rows: torch.tensor(rows, dtype=torch.int32),
}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("place", [0, 2**24, 10**9])
def test_costs_of_whole_numbers_do_not_depend_on_their_place(make, place):
    x, y = (MAKERS[make]([[place + a], [place + a + 2]]) for a in (0, 1))
    assert wasserstein(x, y) == 1
    for cost in (SquaredEuclidean(), Euclidean(), Lp(3.0)):
        assert cost.matrix(x, y).flatten().tolist() == pytest.approx([1, 3**cost.degree, 1, 1])
        if make not in ("tensor", "int32 tensor"):  # of which a c-transform asks that they are floats
            assert c_transform(cost, x, y, [0.0, 0.1])[0].tolist() == pytest.approx([1, 0.9])


@given(st.integers(2**24, 2**25), st.integers(1, 100))
@settings(deadline=None, max_examples=20)
def test_whole_numbers_are_held_exactly(number, other):
    assert float(InnerProduct()(torch.tensor([number]), torch.tensor([1]))) == -number
    assert float(SquaredEuclidean()(torch.tensor([number + other]), torch.tensor([number]))) == other**2
    assert exact_plan(torch.tensor([[number]])).value == number


def test_numbers_of_one_call_have_one_dtype():
    values, _ = c_transform(SquaredEuclidean(), [[0.5]], [[1e9], [1e9 + 1]], [0, 1])
    assert values.dtype == torch.float64
    values, _ = c_transform(SquaredEuclidean(), [[0.1]], [[1.1], [1.2]], [0, 1])
    assert values.dtype == torch.float32
    values, _ = c_transform(SquaredEuclidean(), np.zeros((1, 1)), [[1.1], [1.2]], [0, 1])
    assert values.dtype == torch.float64


@pytest.mark.parametrize("make", ["list", "floats", "int64", "uint32", "float64", "big endian"])
def test_atoms_that_become_equal_are_refused_with_the_remedy(make):
    with pytest.raises(
        ValueError, match=r"rows of atoms are equal in torch.float32; center or rescale them, or give a torch.float64"
    ):
        Empirical(MAKERS[make]([[10**9], [10**9 + 1]]))
    with pytest.raises(ValueError, match=r"rows of y are equal in torch.float32; center or rescale them"):
        wasserstein(torch.zeros(2, 1), MAKERS[make]([[10**9], [10**9 + 1]]))


def test_atoms_that_underflow_to_one_point_are_refused():
    with pytest.raises(ValueError, match=r"equal in torch.float32; center or rescale them"):
        Empirical([[1e-300], [0.0]])


def test_common_data_are_taken_also_where_a_few_points_coincide():
    generator = np.random.default_rng(0)
    assert Empirical(generator.normal(size=(20_000, 1))).atoms.dtype == torch.float32
    times = 1.7e9 + np.arange(0, 10**9, 10**5)[:, None]
    for atoms in (times, generator.random((50, 2)) + 100, [[1.1], [1.1]], np.zeros((2, 2), int)):
        assert Empirical(atoms).atoms.dtype == torch.float32
    assert Empirical(torch.tensor([[1e9], [1e9 + 1]], dtype=torch.float64)).atoms.dtype == torch.float64


def test_whole_numbers_beyond_float64_are_refused_where_they_become_equal():
    numbers = torch.tensor([[2**60], [2**60 + 2]])
    for make in (list, np.array, torch.tensor):
        with pytest.raises(ValueError, match=r"equal in torch.float64; center or rescale them$"):
            wasserstein(make(numbers.tolist()), make(numbers.tolist()))
    assert floating(torch.tensor([[0], [2**60 + 2]])).dtype == torch.float64


def test_infinite_and_missing_numbers_are_left_to_others():
    for numbers in ([[np.nan], [1e9]], [[np.inf], [1e9]], [[1e300], [2e300]]):
        check_distinct(torch.tensor(numbers, dtype=torch.float64), torch.float32, "x")


def test_a_file_whose_rows_become_equal_is_refused_unless_it_is_centred(tmp_path):
    np.save(tmp_path / "times.npy", 1e9 + np.arange(100.0)[:, None])
    with pytest.raises(ValueError, match=r"equal in torch.float32; center or rescale them, or take standardize="):
        points(tmp_path / "times.npy")
    data = points(tmp_path / "times.npy", standardize="shared")
    assert len(data.train.atoms.unique()) == len(data.train)
