"""Ten kills of tests/chaos/kills.py (a hundred: python tests/chaos/kills.py), and clocks that are an hour wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.kills import Calm, Chaos, check


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Calm:
    return Calm.of(tmp_path_factory.mktemp("calm"))


def test_ten_kills_leave_the_same_bits(calm: Calm, tmp_path: Path) -> None:
    assert check(calm, 10, 1, tmp_path).total() >= 10


def test_clocks_that_are_an_hour_wrong_change_nothing(calm: Calm, tmp_path: Path) -> None:
    """A's processes are an hour ahead, B's an hour behind; the store's and the centre's are right."""
    skewed = Chaos(calm.town.copy(tmp_path / "skewed"), 0, 0, clocks={"A": "3600", "B": "-3600"})
    skewed.run()
    calm.compare(skewed.town)
