"""A standing policy covers what was read and what is less of the same, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from konsil.errors import BadInput
from konsil.federation.approval import CohortMark, LearnerMark
from konsil.federation.charter import Charter, parse_charter
from konsil.federation.policy import Policy, read_bound, terms_of, usual_bounds

NOW = datetime(2026, 11, 27, tzinfo=UTC)
MARK = LearnerMark.of("nnunet", "1" * 64, "", {"konsil": "1"})
COHORT = CohortMark(name="ms", sha256="2" * 64, cases=4)
PRIVATE = {"clip_norm": 2.0, "noise_multiplier": 1.0}


def charter(**rules: Any) -> Charter:
    given = {"run": "ms-1", "sites": ["A", "B", "C"], "compare_with_local": False, "learner": {"settings": {"lr": 0.1}}}
    return parse_charter({**given, **{"learner": {"name": "nnunet", "settings": {"lr": 0.1}}}, **rules})


def policy(of: Charter | None = None, **changed: Any) -> Policy:
    terms = terms_of(of or charter())
    given = {"name": "ms-1", "by": "Dr. Weber", "at": NOW, "expires": NOW + timedelta(days=90), "learner": MARK}
    bounds = usual_bounds(terms) | changed.pop("bounds", {})
    return Policy(**{**given, "cohort": COHORT, "sites": ("A", "B", "C"), "terms": terms, "bounds": bounds, **changed})


def outside(asked: Charter, of: Policy | None = None, **here: Any) -> list[str]:
    found = {"learner": MARK, "cohort": COHORT, "now": NOW + timedelta(days=1), **here}
    return (of or policy()).outside(asked, found["learner"], found["cohort"], found["now"])


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"run": "ms-2", "title": "Again", "seed": 7},
        {"sites": ["A", "B"]},
        {"rounds": 10},
        {"strategy": {"name": "fedavg"}},  # the same rule, written with its name as an object
        {"deadlines": {"round_s": 60}, "quorum": {"sites": 3}},
    ],
)
def test_the_same_or_less_is_covered(rules: dict[str, Any]) -> None:
    assert outside(charter(**rules)) == []


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"rounds": 51}, "rounds is 51, and at most 50 is allowed"),
        ({"extra_rounds": 1}, "extra_rounds is 1, and at most 0 is allowed"),
        ({"sites": ["A", "D"]}, "the charter names other sites: D"),
        ({"compare_with_local": True}, "compare_with_local is True, and False is allowed"),
        ({"quorum": {"sites": 1}}, "quorum.sites is 1, and at least 2 is allowed"),
        ({"learner": {"settings": {"lr": 0.2}}}, "learner.settings.lr is 0.2, and 0.1 is allowed"),
        ({"learner": {"settings": {"lr": 0.1, "dice_every": 1}}}, "learner.settings.dice_every is 1, and not set"),
        ({"learner": {"settings": {}}}, "learner.settings"),
        ({"learner": {"name": "monai", "settings": {"lr": 0.1}}}, "learner.name is monai"),
        ({"data": {"channels": ["T1w"]}}, "data.channels"),
        ({"precision": "delta16"}, "precision is delta16"),
        ({"strategy": {"name": "fedavg", "clip_norm": 5}}, "strategy.clip_norm is 5"),
        ({"strategy": "scaffold"}, "strategy.name is scaffold"),
        ({"privacy": PRIVATE}, "privacy.noise_multiplier is 1.0, and not set is allowed"),
        ({"secure_aggregation": {}, "quorum": {"sites": 3}}, "secure_aggregation.clip_range"),
        ({"start": {"model": "ms-0", "sha256": "a" * 64}}, "start.model is ms-0"),
        ({"fine_tune": {}, "compare_with_local": True}, "fine_tune.rounds"),
    ],
)
def test_anything_outside_is_said(rules: dict[str, Any], why: str) -> None:
    assert any(sentence.startswith(why) for sentence in outside(charter(**rules)))


def test_more_noise_is_covered_and_less_is_not() -> None:
    noisy = policy(charter(privacy=PRIVATE))
    assert outside(charter(privacy={**PRIVATE, "noise_multiplier": 2.0, "clip_norm": 1.0}), noisy) == []
    assert len(outside(charter(privacy={**PRIVATE, "noise_multiplier": 0.5, "clip_norm": 3.0}), noisy)) == 2
    assert outside(charter(), noisy), "a charter without the noise it was given for"


def test_another_learner_another_cohort_and_another_day_ask_again() -> None:
    changed = LearnerMark.of("nnunet", "3" * 64, "", {})
    moved = LearnerMark.of("nnunet", "1" * 64, "sha256:" + "4" * 64, {})
    for mark in (changed, moved):
        assert "the learner is another one" in outside(charter(), learner=mark)[0]
    assert "the cohort ms changed" in outside(charter(), cohort=CohortMark(name="ms", sha256="5" * 64, cases=4))[0]
    assert "the cohort ms changed" in outside(charter(), cohort=None)[0]
    for when in (NOW - timedelta(days=1), NOW + timedelta(days=90)):
        assert "counts from 2026-11-27" in outside(charter(), now=when)[0]


def test_bounds_may_be_widened_for_numbers_only() -> None:
    wide = policy(bounds=dict([read_bound("rounds=1..100"), read_bound("learner.settings.lr=..0.2")]))
    assert outside(charter(rounds=100, learner={"settings": {"lr": 0.2}}), wide) == []
    assert outside(charter(rounds=101), wide)
    assert outside(charter(learner={"settings": {"lr": "fast"}}), wide)
    for name in ("precision=..3", "nothing=1..", "compare_with_local=0..1"):
        with pytest.raises(ValidationError, match="expected numbers of this charter"):
            policy(bounds=dict([read_bound(name)]))
    for text in ("rounds", "rounds=5", "=1..2", "rounds=a..b"):
        with pytest.raises(BadInput, match="FIELD=LOW"):
            read_bound(text)


def test_a_policy_ends_after_it_began_and_within_a_thousand_days() -> None:
    for days in (0, -1, 1001):
        with pytest.raises(ValidationError, match="expires"):
            policy(expires=NOW + timedelta(days=days))
