"""The charter's strategy: one spelling, bounds, and a sentence for a combination that cannot work."""

from __future__ import annotations

from typing import Any

import pytest

from konsil.errors import BadSetting
from konsil.federation.charter import Charter, parse_charter
from konsil.federation.strategies.choice import CHOICES, NAMES

SEVEN: dict[str, Any] = {"run": "ms-2026", "sites": list("ABCDEFG"), "quorum": {"sites": 5}}


def parsed(strategy: Any, **rules: Any) -> Charter:
    return parse_charter({**SEVEN, "strategy": strategy, **rules})


@pytest.mark.parametrize("strategy", ["fedavg", {"name": "fedavg"}, {"name": "fedavg", "clip_norm": None}])
def test_plain_fedavg_has_one_spelling(strategy: Any) -> None:
    assert parsed(strategy).model_dump(mode="json") == parse_charter(SEVEN).model_dump(mode="json")
    assert parsed(strategy).model_dump(mode="json")["strategy"] == "fedavg"


@pytest.mark.parametrize("name", NAMES)
def test_a_bare_name_stands_for_the_defaults_and_survives_being_written(name: str) -> None:
    charter = parsed(name)
    assert charter.rule.name == name
    assert parse_charter(charter.model_dump(mode="json")) == charter == parsed({"name": name})


def test_every_choice_is_named_once() -> None:
    assert len(set(NAMES)) == len(CHOICES) == 13


def test_parameters_are_the_charters() -> None:
    rule = parsed({"name": "fedadam", "learning_rate": 0.1, "beta_2": 0.999, "clip_norm": 5}).rule
    assert rule.model_dump() == {
        "name": "fedadam",
        "clip_norm": 5,
        "learning_rate": 0.1,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "tau": 0.001,
    }


@pytest.mark.parametrize(
    ("strategy", "sentence"),
    [
        (7, "strategy is not usable; expected one of fedavg, "),
        ({"clip_norm": 1}, "strategy is not usable; expected one of fedavg, "),
        ({"name": "fedavg", "clip_norm": 0}, "strategy.fedavg.clip_norm"),
        ({"name": "fedavg", "clip_norm": float("inf")}, "strategy.fedavg.clip_norm"),
        ({"name": "fedavg", "momentum": 0.9}, "strategy.fedavg.momentum"),
        ({"name": "fedavgm", "momentum": 1}, "strategy.fedavgm.momentum is not usable; expected .* less than 1"),
        ({"name": "fedadam", "tau": 0}, "strategy.fedadam.tau"),
        ({"name": "fedyogi", "learning_rate": -1}, "strategy.fedyogi.learning_rate"),
        ({"name": "trimmed_mean", "trim": 0}, "strategy.trimmed_mean.trim"),
        ({"name": "trimmed_mean", "trim": 3}, "quorum.sites is not usable; expected at least 7, .* leaves nothing"),
        ({"name": "trimmed_mean", "trim": 4}, "strategy is not usable; expected a rule for 7 sites"),
        ({"name": "krum", "faulty": 2}, r"quorum.sites is not usable; expected at least 7, .* n >= 2f \+ 3"),
        ({"name": "krum", "faulty": 3}, "strategy is not usable; expected a rule for 7 sites; .* 3 faulty sites"),
        ({"name": "multi_krum", "keep": 5}, "quorum.sites is not usable; expected at least 6"),
        ({"name": "fedprox", "mu": 0}, "strategy.fedprox.mu is not usable; expected .* greater than 0"),
        ({"name": "scaffold", "learning_rate": 11}, "strategy.scaffold.learning_rate"),
        ({"name": "scaffold", "clip_norm": 1}, "strategy.scaffold.clip_norm is not usable; expected .* None"),
        ({"name": "fedbn", "mu": 1}, "strategy.fedbn.mu"),
        ({"name": "ditto", "lam": float("nan")}, "strategy.ditto.lam"),
        ({"name": "asym_fedavg", "settings": {"Z": {}}}, "strategy.settings is not usable; expected names from sites"),
        ({"name": "asym_fedavg", "settings": {"B": {"x": 1}}}, "compare_with_local is not usable; expected false"),
    ],
)
def test_a_wrong_choice_is_refused_in_words(strategy: Any, sentence: str) -> None:
    with pytest.raises(BadSetting, match=sentence):
        parsed(strategy)


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("scaffold", "control variate): as many numbers again as the model has weights"),
        ("fedbn", "The normalisation layers are not among these weights: they stay at the site."),
        ("ditto", "A second model, trained for this site alone, stays here."),
        (
            {"name": "asym_fedavg", "settings": {"B": {}}},
            "At B, weights that the other sites' network does not have stay",
        ),
    ],
)
def test_the_custodian_reads_what_a_strategy_sends_beside_the_weights_or_keeps(strategy: Any, words: str) -> None:
    plain = parsed("fedavg", compare_with_local=False).what_leaves_the_site()
    (more,) = [line for line in parsed(strategy, compare_with_local=False).what_leaves_the_site() if line not in plain]
    assert words in more


def test_the_custodian_reads_in_which_form_updates_leave() -> None:
    lines = parsed("fedavg", precision="delta16").what_leaves_the_site()
    assert any(
        line.startswith("The change of the model's weights, in 16 bits, after each of 50 rounds") for line in lines
    )
