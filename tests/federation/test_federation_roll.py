"""The rules of a round under secure aggregation: roll, reveal, and what becomes of a round that nobody opens."""

from __future__ import annotations

from typing import Any

import pytest

from konsil.federation.charter import Charter
from konsil.federation.holdings import kept
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Abort, Aggregate, CallRoll, Finish, Reveal, Step, Train, Wait
from tests.federation import notes
from tests.federation.notes import CASES, Notes, made, say, started, updates

NAMES = "ABCD"


@pytest.fixture(autouse=True)
def four_sites(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "CASES", {**CASES, "D": 40})


def rules(**more: Any) -> Charter:
    secure = {"secure_aggregation": {}, "compare_with_local": False, "quorum": {"sites": 3}}
    return notes.charter(**secure, **more)


def centre(held: Notes, now: float, **local: Any) -> Step:
    return notes.centre(held, now, rules(), **local)


def site(held: Notes, me: str = "A") -> Step:
    return notes.site(held, rules(), me, decided=True, prepared=True)


def came(**seconds: float) -> Notes:
    return updates(started(NAMES), 1, **seconds)


def rolled(included: str = "ABC", moment: float = 200) -> Notes:
    facts = {"included": {name: {} for name in included}, "refused": {}, "missing": ["D"]}
    return say(came(A=30, B=31, C=32), Kind.roll, "centre", moment, 1, **facts)


def reveals(held: Notes, **seconds: float) -> Notes:
    for name, moment in seconds.items():
        held = say(held, Kind.reveal, name, moment, 1)
    return held


def test_a_round_that_closes_is_fixed_by_a_roll() -> None:
    assert isinstance(centre(came(A=30, B=31, C=32), 50), Wait)
    assert centre(came(A=30, B=31, C=32, D=33), 50) == CallRoll(1, ("A", "B", "C", "D"))
    assert centre(came(A=30, B=31, C=32), 1200) == CallRoll(1, ("A", "B", "C"), missing=("D",))


def test_the_sum_waits_for_as_many_sites_as_open_it_and_no_more() -> None:
    step = centre(reveals(rolled(), A=210, B=215), 220)
    assert isinstance(step, Wait)
    assert "3 sites to open the sum of round 1" in step.why
    assert centre(reveals(rolled(), A=210, B=215, C=216), 220) == Aggregate(1, ("A", "B", "C"), missing=("D",))
    assert centre(reveals(rolled(), B=210, C=215, D=216), 220) == Aggregate(1, ("A", "B", "C"), missing=("D",))


def test_the_roll_says_who_is_in_the_sum_whatever_comes_later() -> None:
    held = updates(reveals(rolled(), A=210, B=215, D=216), 1, D=205)
    held = say(held, Kind.control, "centre", 206, 1, action="exclude", site="B", why="too late")
    held = say(held, Kind.leave, "C", 207)
    assert centre(held, 220) == Aggregate(1, ("A", "B", "C"), missing=("D",))


def test_a_sum_that_nobody_opens_ends_the_run_with_the_reason() -> None:
    held = reveals(rolled(), A=210, B=215)
    assert isinstance(centre(held, 399), Wait)
    step = centre(held, 401)
    assert isinstance(step, Abort)
    assert "round 1 of 3 cannot be opened: 2 of at least 3 sites helped" in step.why


def test_a_sum_that_nobody_can_open_any_more_ends_at_once() -> None:
    held = say(say(reveals(rolled(), A=210, B=215), Kind.leave, "C", 211), Kind.leave, "D", 212)
    assert isinstance(centre(held, 220), Abort)


def test_shares_that_are_not_good_do_not_count_and_a_bad_sum_ends_the_run() -> None:
    held = reveals(rolled(), A=210, B=215, C=216)
    bad = {Slot(Kind.reveal, "B", 1): "not the one that was given to it"}
    assert isinstance(centre(held, 220, refused=bad), Wait)
    assert isinstance(centre(reveals(held, D=230), 240, refused=bad), Aggregate)
    step = centre(held, 220, refused={Slot(Kind.roll, "centre", 1): "a site's masks are wrong"})
    assert isinstance(step, Abort)
    assert "a site's masks are wrong" in step.why


def test_a_site_helps_once_and_does_not_train_for_a_sum_that_is_fixed() -> None:
    assert isinstance(site(came(A=30)), Wait)
    assert site(came(B=30)) == Train(1)
    for me in NAMES:  # D, who was missing, helps too
        assert site(rolled(), me) == Reveal(1)
        assert isinstance(site(reveals(rolled(), **{me: 210.0}), me), Wait)
    assert site(made(rolled(), 1, 220, "ABC"), "D") == Train(2)


def test_without_secure_aggregation_a_roll_is_nobodys_business() -> None:
    assert notes.site(rolled(), notes.charter(), "D", decided=True, prepared=True) == Train(1)
    assert isinstance(notes.centre(rolled(), 1200), Aggregate)


def test_who_has_left_helps_nobody() -> None:
    assert isinstance(site(say(rolled(), Kind.leave, "A", 201)), Finish)


def test_an_update_in_a_roll_stays_when_its_site_is_revoked() -> None:
    held = kept(reveals(rolled(), B=210), ["B"])
    assert Slot(Kind.update, "B", 1) in held
    assert Slot(Kind.reveal, "B", 1) not in held
    assert Slot(Kind.update, "B", 1) not in kept(came(A=30, B=31), ["B"])
