"""Promises of the split by patient."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from konsil.cohort.splits import split_patients, split_sizes
from konsil.errors import BadInput

FRACTIONS = st.sampled_from(
    [(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.98, 0.01, 0.01), (0.5, 0.0, 0.5), (1 / 3, 1 / 3, 1 / 3)]
)


@given(patients=st.integers(3, 200), fractions=FRACTIONS)
def test_sizes_sum_up_and_every_wanted_split_has_a_patient(patients: int, fractions: tuple[float, ...]) -> None:
    sizes = split_sizes(patients, fractions)
    assert sum(sizes) == patients
    assert all((size > 0) == (fraction > 0) for size, fraction in zip(sizes, fractions, strict=True))


@given(patients=st.integers(15, 200))
def test_sizes_are_off_by_less_than_one_patient(patients: int) -> None:
    for size, fraction in zip(split_sizes(patients, (0.6, 0.2, 0.2)), (0.6, 0.2, 0.2), strict=True):
        assert abs(size - fraction * patients) < 1


def test_ten_patients_are_six_two_two() -> None:
    assert split_sizes(10, (0.6, 0.2, 0.2)) == (6, 2, 2)


def test_two_patients_make_train_and_test() -> None:
    assert split_sizes(2, (0.6, 0.2, 0.2)) == (1, 0, 1)


@given(st.sets(st.text("abcdefgh", min_size=1), min_size=1, max_size=12), st.randoms())
def test_the_split_does_not_depend_on_the_order_of_patients(subjects: set[str], random: object) -> None:
    order = sorted(subjects)
    random.shuffle(order)  # type: ignore[attr-defined]
    assert split_patients(order, seed=3, fractions=(0.6, 0.2, 0.2)) == split_patients(
        sorted(subjects), seed=3, fractions=(0.6, 0.2, 0.2)
    )


def test_another_seed_gives_another_split() -> None:
    subjects = [f"P{i:02d}" for i in range(30)]
    first, second = (split_patients(subjects, seed=seed, fractions=(0.6, 0.2, 0.2)) for seed in (1, 2))
    assert first != second


@pytest.mark.parametrize(
    "fractions", [(0.5, 0.5), (0.5, 0.5, 0.5), (-0.2, 0.6, 0.6), (0.0, 0.5, 0.5), (float("nan"), 0.5, 0.5)]
)
def test_fractions_that_are_none_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(BadInput, match="fractions of the split"):
        split_sizes(5, fractions)
