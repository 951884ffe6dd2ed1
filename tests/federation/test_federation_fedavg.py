"""FedAvg on arrays small enough to average in the head, and everything that must not be averaged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from konsil.errors import BadMessage
from konsil.federation.strategies.contribution import Chunk, Contribution, Spec, Specs, Unusable, fault
from konsil.federation.strategies.fedavg import FedAvg
from konsil.federation.update_form import UpdateForm

ONE: Specs = {"w": Spec((2,), "float32")}


def update(site: str, weight: int, tensors: dict[str, NDArray[Any]], cut: int = 1000) -> Contribution:
    def chunks() -> Iterator[Chunk]:
        for name, array in tensors.items():
            flat = array.reshape(-1)
            for begin in range(0, flat.size, cut):
                yield name, begin, flat[begin : begin + cut]

    return Contribution(site, weight, chunks)


def two(*values: float) -> dict[str, NDArray[Any]]:
    return {"w": np.array(values, np.float32)}


def test_the_mean_is_weighted_by_training_cases() -> None:
    made = FedAvg().combine([update("A", 1, two(0, 4)), update("B", 3, two(4, 8))], ONE)
    assert made["w"].tolist() == [3, 7]
    assert made["w"].dtype == np.float32


def test_shape_dtype_and_order_are_the_models() -> None:
    specs = {"b": Spec((2, 1), "float16"), "a": Spec((), "float64")}
    tensors = {"a": np.array(2.0), "b": np.array([[1], [3]], np.float16)}
    made = FedAvg().combine([update("A", 1, tensors)], specs)
    assert [(name, array.shape, array.dtype.name) for name, array in made.items()] == [
        ("b", (2, 1), "float16"),
        ("a", (), "float64"),
    ]


@given(
    values=st.lists(
        st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=2, max_size=2), min_size=1, max_size=5
    ),
    cut=st.integers(1, 3),
)
def test_the_mean_lies_between_the_smallest_and_the_largest_however_the_stream_is_cut(
    values: list[list[float]], cut: int
) -> None:
    updates = [update(f"S{i}", i + 1, two(*pair), cut) for i, pair in enumerate(values)]
    whole = [update(f"S{i}", i + 1, two(*pair)) for i, pair in enumerate(values)]
    made = FedAvg().combine(updates, ONE)["w"]
    table = np.array(values, np.float32)
    assert np.array_equal(made, FedAvg().combine(whole, ONE)["w"])
    slack = 1e-6 * np.abs(table).max(axis=0)  # one rounding to float32
    assert (made >= table.min(axis=0) - slack).all()
    assert (made <= table.max(axis=0) + slack).all()


def test_many_equal_models_give_that_model_bit_for_bit() -> None:
    value = two(0.1, 1e-7)
    made = FedAvg().combine([update(f"S{i}", 7 + i, value) for i in range(30)], ONE)
    assert np.array_equal(made["w"], value["w"])


def test_whole_numbers_are_kept_where_all_sites_agree() -> None:
    specs = {"n": Spec((1,), "int64")}
    big = {"n": np.array([2**60 + 1])}  # a float64 could not hold it
    assert FedAvg().combine([update("A", 1, big), update("B", 2, big)], specs)["n"].tolist() == [2**60 + 1]


def test_a_site_whose_whole_numbers_differ_is_refused() -> None:
    updates = [update("A", 1, {"n": np.array([1])}), update("B", 2, {"n": np.array([2])})]
    with pytest.raises(Unusable, match="differ from those of A") as error:
        FedAvg().combine(updates, {"n": Spec((1,), "int64")})
    assert error.value.site == "B"


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_and_the_site_is_named(poison: float) -> None:
    with pytest.raises(Unusable, match="not finite") as error:
        FedAvg().combine([update("A", 1, two(1, 2)), update("B", 1, two(0, poison))], ONE)
    assert error.value.site == "B"


@pytest.mark.parametrize(
    "tensors",
    [
        two(1),
        two(1, 2, 3),
        {},
        {"v": np.zeros(2, np.float32)},
        {"w": np.zeros(2, np.float64)},
        {**two(1, 2), "v": np.zeros(2, np.float32)},
    ],
)
def test_numbers_other_than_announced_are_refused(tensors: dict[str, NDArray[Any]]) -> None:
    with pytest.raises(Unusable):
        FedAvg().combine([update("A", 1, tensors)], ONE)


def test_numbers_out_of_order_are_refused() -> None:
    def backwards() -> Iterator[Chunk]:
        yield "w", 1, np.zeros(1, np.float32)
        yield "w", 0, np.zeros(1, np.float32)

    with pytest.raises(Unusable, match="front to back"):
        FedAvg().combine([Contribution("A", 1, backwards)], ONE)


def test_a_stream_that_breaks_names_its_site() -> None:
    def broken() -> Iterator[Chunk]:
        yield "w", 0, np.zeros(1, np.float32)
        raise BadMessage("The payload was changed on its way")

    with pytest.raises(Unusable, match="changed on its way") as error:
        FedAvg().combine([update("A", 1, two(1, 2)), Contribution("B", 1, broken)], ONE)
    assert error.value.site == "B"


def test_one_update_per_site_and_at_least_one() -> None:
    with pytest.raises(BadMessage, match="one per site"):
        FedAvg().combine([update("A", 1, two(1, 2)), update("A", 1, two(1, 2))], ONE)
    with pytest.raises(BadMessage, match="at least one"):
        FedAvg().combine([], ONE)


def test_an_update_without_weight_is_refused() -> None:
    with pytest.raises(Unusable, match="no weight"):
        FedAvg().combine([update("A", 0, two(1, 2))], ONE)


@pytest.mark.parametrize(
    ("facts", "announced", "why"),
    [
        ({"cases": 3, "base": "x", "steps": 5}, ONE, ""),
        ({"cases": 0, "base": "x", "steps": 5}, ONE, "weight"),
        ({"cases": 10, "base": "x", "steps": 5}, ONE, "1 to 9 training cases"),
        ({"cases": True, "base": "x", "steps": 5}, ONE, "weight"),
        ({"cases": 2.5, "base": "x", "steps": 5}, ONE, "weight"),
        ({"base": "x", "steps": 5}, ONE, "weight"),
        ({"cases": 3, "base": "y", "steps": 5}, ONE, "did not start from"),
        ({"cases": 3, "steps": 5}, ONE, "did not start from"),
        ({"cases": 3, "base": "x", "steps": 5}, {}, "1 are missing"),
        ({"cases": 3, "base": "x", "steps": 5}, {**ONE, "v": Spec((1,), "float32")}, "1 are unknown"),
        ({"cases": 3, "base": "x", "steps": 5}, {"w": Spec((2, 1), "float32")}, r"expected float32 \(2,\)"),
        ({"cases": 3, "base": "x", "steps": 5}, {"w": Spec((2,), "float64")}, "got float64"),
        ({"cases": 3, "base": "x", "steps": 0}, ONE, "does not come of training"),
        ({"cases": 3, "base": "x", "steps": -1}, ONE, "does not come of training"),
        ({"cases": 3, "base": "x", "steps": True}, ONE, "does not come of training"),
        ({"cases": 3, "base": "x", "steps": "many"}, ONE, "got 'many'"),
        ({"cases": 3, "base": "x"}, ONE, "does not come of training"),
    ],
)
def test_the_manifest_is_checked_before_any_arithmetic(facts: dict[str, Any], announced: Specs, why: str) -> None:
    import re

    found = fault(facts, base="x", most_cases=9) or UpdateForm(ONE).fault(announced)
    assert bool(found) == bool(why)
    assert re.search(why, found)
