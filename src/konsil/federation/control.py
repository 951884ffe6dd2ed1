"""What the operator says after a run has begun: numbered, signed messages of the centre that everybody reads alike.

    pause            nothing new is begun and no deadline runs until `resume`
    resume           the run goes on
    abort            the run ends without a model, for the reason given
    exclude  site    the site is in no global model that is posted later
    extend   rounds, after   so many rounds more, after the run has ended at round `after`

Numbers count from 1 without a gap; what comes after a gap waits until the gap is filled, so that nobody acts on a later
word without the earlier one. A message that cannot be understood keeps its number and does nothing. The words are in
the facts of the manifest. Specification: docs/formats/federation.md, section 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from konsil.federation.holdings import Holdings, Note
from konsil.federation.slot import LAST_ROUND, Kind
from konsil.types import Json

LONGEST_WHY = 200


class Action(StrEnum):
    """What an operator can do to a run."""

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    EXCLUDE = "exclude"
    EXTEND = "extend"


@dataclass(frozen=True)
class Control:
    """One word of the operator: `at` is when the store received it. `why` is one line, read by every site."""

    number: int
    at: datetime
    action: Action
    why: str = ""
    site: str = ""
    rounds: int = 0
    after: int = 0


def controls(holdings: Holdings) -> list[Control]:
    """The operator's words in their order, up to the first gap; what cannot be understood is left out."""
    found: list[Control] = []
    for number in range(1, LAST_ROUND + 1):
        note = holdings.note(Kind.control, round=number)
        if note is None:
            break
        word = understood(number, note)
        found += [word] if word else []
    return found


def next_number(holdings: Holdings) -> int:
    """The first number that is free."""
    number = 1
    while holdings.note(Kind.control, round=number) is not None:
        number += 1
    return number


def understood(number: int, note: Note) -> Control | None:
    """The word in a note; None for an action this version does not know, or one that lacks what it needs."""
    facts = note.facts
    action, why, site = facts.get("action"), facts.get("why", ""), facts.get("site", "")
    rounds, after = facts.get("rounds", 0), facts.get("after", 0)
    if action not in list(Action) or not _is_line(why) or not _is_line(site):
        return None
    if not _is_count(rounds) or not _is_count(after):
        return None
    if (action == Action.EXCLUDE and not site) or (action == Action.EXTEND and not rounds):
        return None
    return Control(number, note.at, Action(action), why, site, rounds, after)


def facts_of(action: Action, *, why: str = "", site: str = "", rounds: int = 0, after: int = 0) -> Json:
    """The facts of a control message; what an action does not need is left out."""
    facts: Json = {"action": action.value, "why": why}
    if action is Action.EXCLUDE:
        facts["site"] = site
    if action is Action.EXTEND:
        facts |= {"rounds": rounds, "after": after}
    return facts


def _is_line(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_WHY and value.isprintable()


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= LAST_ROUND
