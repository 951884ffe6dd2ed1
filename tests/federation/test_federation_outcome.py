"""How a run ended, in one sentence that never hides a site that was not there."""

from __future__ import annotations

import pytest

from konsil.federation.outcome import Part, joined, sentence, spans

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
        "was refused in round 2; D refused the charter; E did not answer the charter in time; F was not ready in time."
    )


def test_an_aborted_run_says_why_and_who_was_missing() -> None:
    parts = {"A": WHOLE, "B": Part("refused")}
    told = sentence(parts, 1, outcome="aborted", why="too few sites.")
    assert told == "Aborted after 1 round: too few sites (B refused the charter)."


def test_a_running_one_says_so() -> None:
    assert sentence({"A": WHOLE}, 2, outcome="running").startswith("Running: 2 rounds")


@pytest.mark.parametrize(
    ("numbers", "text"), [((3,), "round 3"), ((6, 2, 5, 4), "rounds 2, 4–6"), ((1, 2), "rounds 1–2")]
)
def test_rounds_are_told_in_spans(numbers: tuple[int, ...], text: str) -> None:
    assert spans(numbers) == text


def test_names_are_joined_as_people_do() -> None:
    assert [joined(names) for names in ([], ["A"], ["A", "B"], ["A", "B", "C"])] == ["", "A", "A and B", "A, B and C"]
