"""What operator and sites say meanwhile, without network, clock or folder: moments are seconds after noon."""

from __future__ import annotations

from typing import Any

import pytest

from konsil.federation.charter import Charter
from konsil.federation.control import controls
from konsil.federation.course import Course, course_of
from konsil.federation.holdings import Holdings
from konsil.federation.outcome import participation
from konsil.federation.pace import round_limit_s
from konsil.federation.progress import best_of, figures, released_round
from konsil.federation.slot import Kind
from konsil.federation.steps import Abort, Aggregate, Evaluate, Finish, Release, StoreModel, Train, Wait
from tests.federation.notes import CASES, Notes, at, centre, charter, ended, made, say, site, started, updates

DAY = 86400.0


def told(notes: Notes, seconds: float, action: str, number: int = 1, **facts: Any) -> Notes:
    return say(notes, Kind.control, "centre", seconds, number, action=action, **{"why": "", **facts})


def course(notes: Notes, rules: Charter | None = None) -> Course:
    return course_of(Holdings("centre", notes), rules or charter())


def second(**moments: float) -> Notes:
    """Round 2, opened at 60, with these updates."""
    return updates(made(started(), 1, 60, "ABC"), 2, **moments)


# pause and resume


def test_while_paused_everybody_waits_and_says_why() -> None:
    notes = told(second(A=70, B=80, C=90), 75, "pause", why="maintenance")
    assert centre(notes, 91) == Wait(
        Aggregate.phase, "for the centre to go on; the operator paused the run (maintenance)", round=2
    )
    assert site(told(started(), 30, "pause"), prepared=True) == Wait(
        Train.phase, "for the centre to go on; the operator paused the run", round=1
    )


def test_a_pause_lengthens_the_deadline_by_its_length() -> None:
    notes = told(told(second(A=70, B=80), 100, "pause"), 500, "resume", 2)
    step = centre(notes, 501)
    assert isinstance(step, Wait)
    assert step.until == at(60 + 100 + 400)
    assert centre(notes, 560) == Aggregate(2, ("A", "B"), missing=("C",))


def test_a_pause_after_the_deadline_changes_nothing_that_was_decided() -> None:
    notes = told(told(second(A=70, B=80, C=190), 170, "pause"), 180, "resume", 2)
    assert centre(notes, 200) == Aggregate(2, ("A", "B"), missing=("C",))


def test_an_update_that_comes_in_a_pause_counts() -> None:
    notes = told(told(second(A=70, B=80, C=300), 100, "pause"), 500, "resume", 2)
    assert centre(notes, 501) == Aggregate(2, ("A", "B", "C"))


def test_what_was_released_is_stored_even_in_a_pause() -> None:
    notes = told(say(ended(), Kind.final, "centre", 300, outcome="released", sentence="Finished."), 250, "pause")
    assert site(notes, prepared=True) == StoreModel()


# abort


def test_the_operators_abort_is_announced_with_its_reason() -> None:
    notes = told(second(A=70, B=80, C=90), 75, "abort", why="wrong labels")
    assert centre(notes, 91) == Abort("The operator ended the run: wrong labels")
    step = site(notes, prepared=True)
    assert isinstance(step, Wait)
    assert "last word" in step.why


def test_an_abort_reaches_a_paused_run() -> None:
    notes = told(told(second(), 70, "pause"), 80, "abort", 2, why="over")
    assert centre(notes, 91) == Abort("The operator ended the run: over")


def test_an_abort_after_the_release_does_nothing() -> None:
    notes = told(say(ended(), Kind.final, "centre", 300, outcome="released", sentence="Finished."), 310, "abort")
    assert centre(notes, 311, stored=True) == Finish("Finished.")


# exclude and leave


def test_an_excluded_site_is_neither_waited_for_nor_averaged() -> None:
    assert centre(told(second(A=70, B=80), 85, "exclude", site="C", why="shifted"), 86) == Aggregate(
        2, ("A", "B"), gone={"C": "excluded"}
    )
    assert centre(told(second(A=70, B=80, C=75), 85, "exclude", site="C", why="shifted"), 86) == Aggregate(
        2, ("A", "B"), gone={"C": "excluded"}
    )


def test_an_excluded_site_hears_why() -> None:
    assert site(told(second(), 85, "exclude", site="A", why="shifted"), prepared=True) == Finish(
        "The centre excluded this site: shifted"
    )


def test_excluding_a_required_site_ends_the_run_truly() -> None:
    notes = told(second(A=70, B=80), 85, "exclude", site="C", why="shifted")
    step = centre(notes, 86, charter(quorum={"required": ["C"]}))
    assert step == Abort("Round 2 of 3 stayed below the quorum: required and absent: C")


def test_a_site_that_left_is_not_waited_for_from_that_moment() -> None:
    notes = second(A=70, B=80)
    assert isinstance(centre(notes, 90), Wait)
    assert centre(say(notes, Kind.leave, "C", 90, why=""), 91) == Aggregate(2, ("A", "B"), gone={"C": "left"})


def test_what_a_site_sent_before_it_left_counts_and_what_it_sends_after_does_not() -> None:
    before = say(second(A=70, B=80, C=75), Kind.leave, "C", 78, why="")
    assert centre(before, 81) == Aggregate(2, ("A", "B", "C"))
    after = say(second(A=70, B=80, C=79), Kind.leave, "C", 78, why="")
    assert centre(after, 81) == Aggregate(2, ("A", "B"), gone={"C": "left"})


def test_leaving_does_not_lower_the_bar_of_cases() -> None:
    notes = say(second(A=70, B=80), Kind.leave, "C", 75, why="")
    step = centre(notes, 81, charter(quorum={"share_of_cases": 0.6}))
    assert step == Abort("Round 2 of 3 stayed below the quorum: 50% of the training cases, at least 60% are needed")


def test_a_site_that_left_does_nothing_more() -> None:
    assert site(say(second(), Kind.leave, "A", 75, why=""), prepared=True) == Finish("This site has left the run")


def test_a_site_that_left_after_its_fingerprint_is_not_waited_for() -> None:
    notes = say(started(), Kind.leave, "C", 25, why="")
    assert centre(updates(notes, 1, A=30, B=40), 41) == Aggregate(1, ("A", "B"), gone={"C": "left"})


def test_the_end_says_who_left_when() -> None:
    notes = made(say(second(), Kind.leave, "C", 75, why=""), 2, 90, "AB")
    notes[next(s for s in notes if s.round == 2 and s.kind is Kind.global_)].facts["gone"] = {"C": "left"}
    part = participation(Holdings("centre", notes), charter())["C"]
    assert (part.gone, part.stayed, part.missed) == ("left", 1, ())


# extension


def released(last: int = 3, **facts: Any) -> Notes:
    content = {"outcome": "released", "sentence": "Finished.", "round": last, "last": last, **facts}
    return say(ended(), Kind.final, "centre", 300, **content)


LONGER = {"extra_rounds": 5}


def test_an_extension_goes_on_after_the_end() -> None:
    notes = told(released(), 10**5, "extend", rounds=2, after=3)
    assert site(notes, charter(**LONGER), prepared=True) == Train(4)
    step = centre(updates(notes, 4, A=10**5 + 10), 10**5 + 20, charter(**LONGER))
    assert step == Wait(Train.phase, "for the updates of B, C in round 4 of 5", at(10**5 + 100), 4)


@pytest.mark.parametrize(("rounds", "after"), [(6, 3), (2, 2), (2, 4), (0, 3), (True, 3), ("2", 3), (10**9, 3)])
def test_an_extension_that_nobody_agreed_to_does_nothing(rounds: Any, after: int) -> None:
    notes = told(released(), 400, "extend", rounds=rounds, after=after)
    assert site(notes, charter(**LONGER), stored=True) == Finish("Finished.")
    assert centre(notes, 401, charter(**LONGER), stored=True) == Finish("Finished.")


def test_without_extra_rounds_in_the_charter_nothing_is_extended() -> None:
    assert site(told(released(), 400, "extend", rounds=1, after=3), stored=True) == Finish("Finished.")


def test_an_extension_of_a_running_or_aborted_run_does_nothing() -> None:
    assert course(told(second(), 70, "extend", rounds=1, after=3), charter(**LONGER)).end == 3
    notes = told(released(outcome="aborted"), 400, "extend", rounds=1, after=3)
    assert isinstance(site(notes, charter(**LONGER)), Abort)


def test_extensions_add_up_to_what_was_agreed() -> None:
    notes = told(released(), 400, "extend", rounds=2, after=3)
    notes = made(made(notes, 4, 500, "ABC"), 5, 600, "ABC")
    notes = say(notes, Kind.evaluation, "A", 610, 5)
    assert site(notes, charter(**LONGER, compare_with_local=False), me="B", prepared=True) == Evaluate()
    notes = say(notes, Kind.final, "centre", 700, 3, outcome="released", sentence="Longer.", round=5, last=5)
    assert site(notes, charter(**LONGER), stored=True) == Finish("Longer.")
    for rounds, end in ((3, 8), (4, 5)):
        again = told(notes, 800, "extend", 2, rounds=rounds, after=5)
        assert course(again, charter(**LONGER)).end == end


def test_an_abort_of_a_stretch_does_not_touch_the_next() -> None:
    notes = told(told(released(), 350, "abort"), 400, "extend", 2, rounds=2, after=3)
    assert site(notes, charter(**LONGER), prepared=True) == Train(4)


# words


def test_a_word_after_a_gap_waits_for_the_gap() -> None:
    notes = told(second(), 70, "pause", 2)
    assert controls(Holdings("A", notes)) == []
    assert [word.number for word in controls(Holdings("A", told(notes, 71, "exclude", site="B")))] == [1, 2]


@pytest.mark.parametrize(
    "facts",
    [
        {"action": "dance"},
        {"action": None},
        {"action": ["pause"]},
        {"action": "exclude"},
        {"action": "exclude", "site": 3},
        {"action": "pause", "why": "two\nlines"},
        {"action": "pause", "why": "x" * 201},
        {"action": "extend", "after": 3},
        {"action": "extend", "rounds": -1, "after": 3},
    ],
)
def test_a_word_that_cannot_be_understood_keeps_its_number_and_does_nothing(facts: Any) -> None:
    notes = say(second(), Kind.control, "centre", 70, 1, **facts)
    assert course(notes) == course(second())
    assert course(told(notes, 80, "pause", 2)).paused is not None


# how long a round may take


def limit(notes: Notes, number: int, opened: float, **deadlines: Any) -> float:
    rules = charter(deadlines={"round_s": None, **deadlines})
    return round_limit_s(Holdings("centre", notes), rules, course(notes, rules), number, at(opened))


def test_the_first_round_may_take_a_day() -> None:
    assert limit(started(), 1, 20) == DAY


def test_a_round_may_take_three_times_what_the_slowest_site_needed() -> None:
    notes = made(updates(started(), 1, A=120, B=1020, C=520), 1, 1020, "ABC")
    assert limit(notes, 2, 1020) == 3 * 1000


def test_one_slow_round_of_a_site_is_not_its_speed() -> None:
    notes = updates(started(), 1, A=1020, B=1020, C=1020)
    for number in range(1, 4):
        begin = 20 + 1000 * number
        late = 9000 if number == 2 else 1000
        notes = updates(made(notes, number, begin, "ABC"), number + 1, A=begin + 1000, B=begin + 1000, C=begin + late)
    notes = made(notes, 4, 11000, "ABC")
    assert limit(notes, 5, 11000) == 3 * 1000


def test_a_fast_federation_has_ten_minutes_and_a_slow_one_at_most_a_week() -> None:
    assert limit(made(updates(started(), 1, A=21, B=22), 1, 22, "AB"), 2, 22) == 600
    assert limit(made(updates(started(), 1, A=5 * DAY, B=22), 1, 5 * DAY, "AB"), 2, 5 * DAY) == 7 * DAY


def test_the_charters_own_limit_wins() -> None:
    assert limit(made(updates(started(), 1, A=21), 1, 22, "A"), 2, 22, round_s=77) == 77


def test_an_update_that_came_after_the_opening_does_not_move_the_limit() -> None:
    notes = made(updates(started(), 1, A=1020, B=1020), 1, 1020, "AB")
    assert limit(updates(notes, 1, C=2000), 2, 1020) == 3000
    assert limit(made(updates(notes, 1, C=2000), 2, 2020, "AB"), 3, 2020) == 3 * 1980


def test_a_site_that_is_out_has_no_say_and_a_pause_is_not_slowness() -> None:
    notes = made(updates(started(), 1, A=1020, B=5020), 1, 5020, "AB")
    assert limit(told(notes, 5000, "exclude", site="B", why="x"), 2, 5020) == 3000
    paused = told(told(notes, 1000, "pause"), 5000, "resume", 2)
    assert limit(paused, 2, 5020) == 3 * 1000


def test_a_fast_federation_is_not_given_up_within_two_days() -> None:
    rules = charter(deadlines={"round_s": None})
    notes = updates(made(updates(started(), 1, A=21, B=22, C=23), 1, 23, "ABC"), 2, A=30)
    assert isinstance(centre(notes, 2 * DAY, rules), Wait)
    assert isinstance(centre(notes, 2 * DAY + 23, rules), Abort)


# the best round, and the early end


def scored(values: list[float | None], name: str = "dice") -> Notes:
    notes = started()
    for number, value in enumerate(values, 1):
        means = {} if value is None else {name: value}
        facts = {"included": {name: {} for name in CASES}, "refused": {}, "metrics": means}
        notes = say(notes, Kind.global_, "centre", 20 + 10 * number, number, **facts)
    return notes


def held(notes: Notes) -> Holdings:
    return Holdings("centre", notes)


def test_the_best_round_is_the_earliest_of_the_highest() -> None:
    assert best_of(figures(held(scored([0.5, 0.7, 0.7])), charter())) == 2


def test_of_a_loss_the_lowest_is_the_best() -> None:
    assert best_of(figures(held(scored([0.5, 0.2, 0.7], "validation_loss")), charter())) == 2


def test_the_charter_names_the_metric_and_the_result() -> None:
    best = charter(best_round={"metric": "sharpness", "release": "best"})
    assert released_round(held(scored([3, 2, 1], "sharpness")), best, 3) == 1
    assert released_round(held(scored([0.3, 0.9, 0.1])), charter(), 3) == 3
    assert released_round(held(scored([None, None, None])), best, 3) == 3


STOP = {"early_stop": {"patience": 2}, "rounds": 9, "compare_with_local": False}


@pytest.mark.parametrize(
    ("values", "last"),
    [
        ([0.1, 0.2, 0.3], None),
        ([0.5, 0.4, 0.4], 3),
        ([0.5, None, None], 3),
        ([None, None, None, 0.5, 0.4], None),
        ([0.5, 0.5, 0.6, 0.5, 0.5], 5),
    ],
)
def test_training_ends_early_after_rounds_without_gain(values: list[float | None], last: int | None) -> None:
    rules, notes = charter(**STOP), scored(values)
    assert course(notes, rules).last == last
    if last is not None:
        assert site(notes, rules, prepared=True) == Evaluate()
        assert centre(notes, 10**6, rules) == Release(missing=("A", "B", "C"))


def test_a_gain_has_to_be_larger_than_the_least() -> None:
    assert course(
        scored([0.5, 0.51, 0.52]), charter(**{**STOP, "early_stop": {"patience": 2, "least_gain": 0.05}})
    ).last


def test_early_stop_is_off_by_default() -> None:
    assert course(scored([0.5, 0.1]), charter(rounds=9)).last is None


@pytest.mark.parametrize("value", [True, "0.9", None, [1]])
def test_a_mean_that_is_no_number_is_no_figure(value: Any) -> None:
    notes = say(started(), Kind.global_, "centre", 30, 1, included={}, refused={}, metrics={"dice": value})
    assert figures(held(notes), charter()) == {}
