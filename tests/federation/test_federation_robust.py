"""Rules that bear wrong sites, on one or two numbers per site; and what every strategy refuses before arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from konsil.errors import BadMessage
from konsil.federation.charter import parse_charter
from konsil.federation.strategies import staging
from konsil.federation.strategies.choice import NAMES
from konsil.federation.strategies.contribution import Chunk, Contribution, Spec, Specs, Strategy, Unusable
from konsil.federation.strategies.fedavg import FedAvg
from konsil.federation.strategies.krum import Krum, distances, scores
from konsil.federation.strategies.median import Median
from konsil.federation.strategies.norm_clipping import NormClipping
from konsil.federation.strategies.table import Ground, strategy_of
from konsil.federation.strategies.trimmed_mean import TrimmedMean

ONE: Specs = {"w": Spec((2,), "float32")}
Values = dict[str, NDArray[Any]]


def update(site: str, tensors: Values, weight: int = 1, cut: int = 1000) -> Contribution:
    def chunks() -> Iterator[Chunk]:
        for name, array in tensors.items():
            flat = array.reshape(-1)
            for begin in range(0, flat.size, cut):
                yield name, begin, flat[begin : begin + cut]

    return Contribution(site, weight, chunks)


def two(*values: float) -> Values:
    return {"w": np.array(values, np.float32)}


def sites(*pairs: tuple[float, float]) -> list[Contribution]:
    return [update(name, two(*pair)) for name, pair in zip("ABCDEFG", pairs, strict=False)]


def random_sites(count: int, cut: int) -> tuple[list[Contribution], Specs, NDArray[np.float32]]:
    rows = np.random.default_rng(3).normal(size=(count, 7)).astype(np.float32)
    specs = {
        "a": Spec((5, 1), "float32"),
        "n": Spec((2,), "int64"),
        "b": Spec((), "float32"),
        "c": Spec((1,), "float32"),
    }
    made = [
        {"n": np.array([4, 5]), "a": row[:5], "b": row[5:6], "c": row[6:]} for row in rows
    ]  # another order than the model's
    return [update(f"S{i}", tensors, i + 1, cut) for i, tensors in enumerate(made)], specs, rows


def test_the_median_is_the_middle_value_of_every_weight() -> None:
    assert Median().combine(sites((1, 10), (2, 20), (900, -5)), ONE)["w"].tolist() == [2, 10]


def test_between_two_middle_values_lies_their_mean_also_at_the_edge_of_the_dtype() -> None:
    top = float(np.finfo(np.float32).max)
    assert Median().combine(sites((1, top), (4, top)), ONE)["w"].tolist() == [2.5, top]


def test_the_trimmed_mean_leaves_the_ends_out() -> None:
    made = TrimmedMean(1).combine(sites((1, 0), (2, 0), (3, 6), (4, 3), (1000, -9)), ONE)["w"]
    assert made.tolist() == [3, 1]


def test_a_mean_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(BadMessage, match="more than 2, or nothing is left"):
        TrimmedMean(1).combine(sites((1, 0), (2, 0)), ONE)


def test_krum_takes_the_update_nearest_to_its_neighbours_and_names_the_others() -> None:
    rule = Krum(faulty=1)
    made = rule.combine(sites((0, 0), (1, 0), (2, 0), (3, 0), (100, 0)), ONE)
    assert made["w"].tolist() == [1, 0]  # scores 5, 2, 2, 5, 97² + 98²; the first of equals
    assert sorted(rule.remarks) == ["A", "C", "D", "E"]
    assert rule.remarks["E"] == "was not chosen by Krum: root of its score 137.888, of those chosen at most 1.41421"


def test_multi_krum_is_the_mean_of_the_best() -> None:
    rule = Krum(faulty=1, keep=None)
    assert rule.combine(sites((0, 0), (1, 4), (2, 0), (3, 4), (-100, 0)), ONE)["w"].tolist() == [1.5, 2]
    assert list(rule.remarks) == ["E"]


@pytest.mark.parametrize(("count", "faulty", "keep"), [(4, 1, 1), (6, 2, None), (5, 1, 5)])
def test_too_few_for_krum_is_said(count: int, faulty: int, keep: int | None) -> None:
    with pytest.raises(BadMessage, match="too few for Krum; expected n >= 2f"):
        Krum(faulty, keep).combine(sites(*[(i, 0) for i in range(count)]), ONE)


def test_distances_and_scores_are_those_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "BLOCK_BYTES", 100)  # two elements of six sites at a time
    updates, specs, rows = random_sites(6, cut=2)
    with staging.staged(updates, specs, None) as together:
        table = distances(together)
    exact = rows.astype(np.float64)
    assert table == pytest.approx(np.square(exact[:, None] - exact[None]).sum(axis=2))
    one = sorted(table[2][[0, 1, 3, 4, 5]])
    assert scores(table, 1)[2] == pytest.approx(sum(one[:3]))  # n - f - 2 = 3


@pytest.mark.parametrize(
    "rule", [Median(), TrimmedMean(2), Krum(1), Krum(1, 3)], ids=["median", "trim", "krum", "multi"]
)
def test_neither_the_pieces_nor_the_order_of_the_sites_matter(rule: Strategy, monkeypatch: pytest.MonkeyPatch) -> None:
    updates, specs, _ = random_sites(6, cut=1000)
    whole = rule.combine(updates, specs)
    monkeypatch.setattr(staging, "BLOCK_BYTES", 100)
    for other in (random_sites(6, cut=1)[0], updates[::-1]):
        made = rule.combine(other, specs)
        assert list(made) == list(specs)
        for name, spec in specs.items():
            assert (made[name].shape, made[name].dtype.name) == (spec.shape, spec.dtype)
            assert np.allclose(made[name], whole[name], rtol=2e-7)  # a mean of three: one rounding
            assert isinstance(rule, Krum) or np.array_equal(made[name], whole[name])


def test_of_whole_numbers_those_that_most_sites_sent_are_taken() -> None:
    specs = {"n": Spec((1,), "int64")}
    updates = [update(site, {"n": np.array([value])}) for site, value in [("A", 1), ("B", 2), ("C", 2)]]
    with pytest.raises(Unusable, match="differ from those of B") as error:
        Median().combine(updates, specs)
    assert error.value.site == "A"  # FedAvg would have refused B, then C
    assert Median().combine(updates[1:], specs)["n"].tolist() == [2]


def test_nothing_is_left_on_the_disk(tmp_path: Any) -> None:
    Median(tmp_path).combine(sites((1, 10), (2, 20), (900, -5)), ONE)
    with pytest.raises(Unusable):
        Median(tmp_path).combine(sites((1, np.nan)), ONE)
    assert list(tmp_path.iterdir()) == []


def test_a_change_that_is_too_long_is_shortened_and_the_site_named() -> None:
    rule = NormClipping(FedAvg(), two(1, 1), 1)
    made = rule.combine([update("A", two(4, 5)), update("B", two(1, 2))], ONE)  # changes (3, 4) and (0, 1)
    assert made["w"] == pytest.approx([1.3, 1.9])
    assert rule.remarks == {"A": "was shortened: its change had length 5, allowed 1"}


def test_what_is_short_enough_passes_to_the_bit_and_whole_numbers_have_no_length() -> None:
    specs = {**ONE, "n": Spec((1,), "int64")}
    tensors = {**two(0.1, 1e-7), "n": np.array([10**12])}
    rule = NormClipping(FedAvg(), {**two(0, 0), "n": np.array([0])}, 1)
    made = rule.combine([update("A", tensors)], specs)
    assert all(np.array_equal(made[name], tensors[name]) for name in specs)
    assert rule.remarks == {}


def test_remarks_of_both_rules_are_told() -> None:
    rule = NormClipping(Krum(faulty=0), two(0, 0), 10)
    rule.combine(sites((0, 0), (1, 0), (3000, 0)), ONE)
    assert rule.remarks["C"].startswith("was shortened: its change had length 3000, allowed 10; was not chosen by Krum")


def test_a_change_beyond_all_numbers_is_refused() -> None:
    far = {"w": np.array([1e300, 0])}
    with pytest.raises(Unusable, match="too long to be measured"):
        NormClipping(FedAvg(), {"w": np.zeros(2)}, 1).combine([update("A", far)], {"w": Spec((2,), "float64")})


SETTINGS: dict[str, dict[str, Any]] = {
    "krum": {"faulty": 0},
    "multi_krum": {"faulty": 0, "keep": 2},
    "scaffold": {"clip_norm": None},
}


def rule_of(name: str) -> Strategy:
    choice = {"name": name, "clip_norm": 100, **SETTINGS.get(name, {})}
    charter = parse_charter({"run": "run-1", "sites": ["A", "B", "C"], "strategy": choice, "quorum": {"sites": 3}})
    return strategy_of(charter.rule, Ground(before=two(0, 0), total=3))


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_keeps_a_model_on_which_all_sites_agree(name: str) -> None:
    if name.startswith("fed"):
        made = strategy_of(rule_choice(name), Ground(before=two(3, 4), total=3)).combine(
            sites((3, 4), (3, 4), (3, 4)), ONE
        )
    else:
        made = rule_of(name).combine(sites((3, 4), (3, 4), (3, 4)), ONE)
    assert made["w"].tolist() == [3, 4]


def rule_choice(name: str) -> Any:
    return parse_charter({"run": "run-1", "sites": ["A", "B"], "strategy": name}).rule


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "poison", [two(0, np.nan), two(np.inf, 0), two(1), {}, {"w": np.zeros(2)}, {**two(1, 2), "v": np.zeros(1)}]
)
def test_every_strategy_refuses_a_poisoned_update_and_names_the_site(name: str, poison: Values) -> None:
    with pytest.raises(Unusable) as error:
        rule_of(name).combine([update("A", two(1, 2)), update("B", poison), update("C", two(1, 2))], ONE)
    assert error.value.site == "B"


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_wants_one_update_per_site_and_weight(name: str) -> None:
    with pytest.raises(BadMessage, match="one per site"):
        rule_of(name).combine([update("A", two(1, 2)), update("A", two(1, 2)), update("B", two(1, 2))], ONE)
    with pytest.raises(Unusable, match="no weight") as error:
        rule_of(name).combine([update("A", two(1, 2)), update("B", two(1, 2)), update("C", two(1, 2), 0)], ONE)
    assert error.value.site == "C"
