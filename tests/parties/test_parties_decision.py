"""What a custodian reads about a federation before anything leaves the site."""

from __future__ import annotations

import pytest

from konsil.federation.strategies.choice import AsymFedAvgChoice, Choice, FedAdamChoice, FedAvgChoice, KrumChoice
from konsil.parties.decision import in_words, spoken
from konsil.parties.words import setting_rows


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


def test_settings_of_a_learner_read_like_words_not_like_a_program() -> None:
    network = {"patch_size": (32, 32, 16), "features_per_stage": [8, 16], "n_conv_per_stage": 1}
    given = {"learning_rate": 0.03, "mirroring": False, "compiled": True, "tile_size": None, "network": network}
    assert setting_rows(given) == [
        ("learning rate", "0.03"),
        ("mirroring", "no"),
        ("compiled", "yes"),
        ("tile size", "not set"),
        ("network: patch size", "32 × 32 × 16"),
        ("network: features per stage", "8, 16"),
        ("network: n conv per stage", "1"),
    ]
    assert setting_rows({}) == []
