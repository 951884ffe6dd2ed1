"""How a run ended, in one sentence that never hides a site that was not there."""

from __future__ import annotations

import pytest

from konsil.federation.holdings import Holdings
from konsil.federation.outcome import Part, joined, participation, sentence, spans
from konsil.federation.slot import Kind
from konsil.federation.steps import Abort
from tests.federation.notes import Notes, answered, centre, charter, posted, say

WHOLE = Part("accepted", True, (1, 2))


def test_all_sites_in_all_rounds() -> None:
    assert sentence({"A": WHOLE, "B": WHOLE}, 2, outcome="released") == "Finished: 2 rounds with all 2 sites (A, B)."


def test_every_kind_of_absence_is_told() -> None:
    parts = {
        "A": WHOLE,
        "B": Part("accepted", True, (2,), missed=(1,)),
        "C": Part("accepted", True, (1,), refused={2: "not finite"}),
        "D": Part("refused"),
        "E": Part("none"),
        "F": Part("accepted"),
    }
    assert sentence(parts, 2, outcome="released") == (
        "Finished with fewer sites than planned: 2 rounds, A in every round; B missed round 1; C sent an update that "
        "was refused in round 2; D refused the charter; E did not answer the charter in time; F accepted the "
        "charter, but was not ready in time."
    )


def test_an_aborted_run_says_why_and_who_was_missing() -> None:
    parts = {"A": WHOLE, "B": Part("refused")}
    told = sentence(parts, 1, outcome="aborted", why="too few sites.")
    assert told == "Aborted after 1 round: too few sites (B refused the charter)."


def told(notes: Notes, outcome: str, why: str = "", me: str = "centre") -> str:
    """The sentence over what a party holds before the first round."""
    return sentence(participation(Holdings(me, notes), charter()), 0, outcome=outcome, why=why)


def test_who_had_accepted_is_not_to_blame_when_the_run_ends_for_want_of_another() -> None:
    notes = say(answered(A=10, C=11), Kind.answer, "B", 12, accepted=False)
    for site in "AC":
        notes = say(notes, Kind.fingerprint, site, 20, cases=10)
    step = centre(notes, 30, charter(quorum={"sites": 2, "required": ["B"]}))
    assert isinstance(step, Abort)
    assert told(notes, "aborted", step.why) == (
        "Aborted after 0 rounds: Too few sites accepted the charter: required and absent: B (B refused the charter)."
    )


def test_who_had_not_sent_a_fingerprint_is_named_when_the_run_ends_for_want_of_it() -> None:
    notes = say(answered(A=10, B=11, C=12), Kind.fingerprint, "A", 20, cases=10)
    step = centre(notes, 10**6)
    assert isinstance(step, Abort)
    assert told(notes, "aborted", step.why) == (
        "Aborted after 0 rounds: Too few sites sent a fingerprint: 1 of at least 2 sites "
        "(B had not sent its fingerprint; C had not sent its fingerprint)."
    )
    assert told(posted(), "aborted", "why").count("had not answered the charter") == 3


def test_before_the_first_weights_a_running_one_says_what_is_still_to_come() -> None:
    notes = say(answered(A=10, B=11), Kind.fingerprint, "A", 20, cases=10)
    assert told(notes, "running") == (
        "The rounds have not begun; B has not sent its fingerprint yet; C has not answered the charter yet."
    )
    for site in "ABC":
        notes = say(say(notes, Kind.answer, site, 10, accepted=True), Kind.fingerprint, site, 20, cases=10)
    assert told(notes, "running") == "The rounds have not begun."


def test_a_site_says_of_the_others_only_what_it_can_see() -> None:
    notes = say(say(posted(), Kind.answer, "A", 10, accepted=True), Kind.fingerprint, "A", 20, cases=10)
    assert told(notes, "running", me="A") == "The rounds have not begun."
    notes = say(notes, Kind.recipe, "centre", 30, sites=["A", "B"], cases={"A": 10, "B": 20})
    assert told(notes, "running", me="A") == "Running: 0 rounds, A and B in every round; C does not take part."


def test_a_running_one_says_so() -> None:
    assert sentence({"A": WHOLE}, 2, outcome="running").startswith("Running: 2 rounds")


@pytest.mark.parametrize(
    ("numbers", "text"), [((3,), "round 3"), ((6, 2, 5, 4), "rounds 2, 4–6"), ((1, 2), "rounds 1–2")]
)
def test_rounds_are_told_in_spans(numbers: tuple[int, ...], text: str) -> None:
    assert spans(numbers) == text


def test_names_are_joined_as_people_do() -> None:
    assert [joined(names) for names in ([], ["A"], ["A", "B"], ["A", "B", "C"])] == ["", "A", "A and B", "A, B and C"]
