"""What a custodian reads about a federation before anything leaves the site."""

from __future__ import annotations

import pytest

from konsil.federation.strategies.choice import AsymFedAvgChoice, Choice, FedAdamChoice, FedAvgChoice, KrumChoice
from konsil.parties.decision import in_words, spoken


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (FedAvgChoice(), "fedavg"),
        (FedAvgChoice(clip_norm=5), "fedavg (clip_norm 5)"),
        (KrumChoice(faulty=2), "krum (faulty 2)"),
        (AsymFedAvgChoice(settings={"B": {"network": {}}}), "asym_fedavg (own settings at B)"),
        (FedAdamChoice(), "fedadam (learning_rate 0.01, beta_1 0.9, beta_2 0.99, tau 0.001)"),
    ],
)
def test_the_strategy_is_named_with_what_is_set(rule: Choice, words: str) -> None:
    assert in_words(rule) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(7 * 86400, "7 days"), (86400, "24 hours"), (2.5 * 86400, "2 days"), (1800, "30 minutes"), (90, "90 seconds")],
)
def test_a_length_of_time_is_told_as_people_tell_it(seconds: float, words: str) -> None:
    assert spoken(seconds) == words
