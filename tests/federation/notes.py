"""What a bucket may hold, as facts and moments: seconds after noon, three sites, three rounds.

Each function gives new notes made of the old ones and one message more.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from konsil.federation.charter import Charter, parse_charter
from konsil.federation.holdings import Holdings, Note
from konsil.federation.rounds import next_step
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Role, Step

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CASES = {"A": 10, "B": 20, "C": 30}
DEADLINES = {
    "answer_s": 100,
    "fingerprint_s": 50,
    "prepare_s": 1000,
    "round_s": 100,
    "baseline_s": 100,
    "evaluation_s": 100,
}
Notes = dict[Slot, Note]


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def charter(**rules: Any) -> Charter:
    return parse_charter({"run": "run-1", "sites": list(CASES), "rounds": 3, "deadlines": DEADLINES, **rules})


def centre(notes: Notes, now: float, rules: Charter | None = None, **local: Any) -> Step:
    return next_step(Role.CENTRE, Holdings("centre", notes, **local), rules or charter(), at(now))


def site(notes: Notes, rules: Charter | None = None, me: str = "A", **local: Any) -> Step:
    return next_step(Role.SITE, Holdings(me, notes, **local), rules or charter(), at(10**6))


def posted() -> Notes:
    return {Slot(Kind.charter, "centre"): Note(NOON)}


def say(notes: Notes, kind: Kind, sender: str, seconds: float, number: int | None = None, **facts: Any) -> Notes:
    return {**notes, Slot(kind, sender, number): Note(at(seconds), facts=facts)}


def answered(**seconds: float) -> Notes:
    notes = posted()
    for name, moment in seconds.items():
        notes = say(notes, Kind.answer, name, moment, accepted=True)
    return notes


def started(names: str = "ABC", moment: float = 20) -> Notes:
    """Everything up to the first weights, which the store received at `moment`."""
    notes = answered(**dict.fromkeys(names, 5.0))
    for name in names:
        notes = say(notes, Kind.fingerprint, name, 10, cases=CASES[name])
    notes = say(notes, Kind.recipe, "centre", moment, sites=list(names), cases={name: CASES[name] for name in names})
    return made(notes, 0, moment, "")


def made(notes: Notes, number: int, moment: float, included: str, refused: str = "") -> Notes:
    facts = {"included": {name: {} for name in included}, "refused": dict.fromkeys(refused, "bad")}
    return say(notes, Kind.global_, "centre", moment, number, **facts)


def updates(notes: Notes, number: int, **seconds: float) -> Notes:
    for name, moment in seconds.items():
        notes = say(notes, Kind.update, name, moment, number)
    return notes


def ended(names: str = "ABC") -> Notes:
    return made(made(made(started(), 1, 60, names), 2, 100, names), 3, 140, names)
