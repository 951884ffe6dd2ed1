"""The table of rounds and sites while a run goes on: what came when, how large, how good, and who waited for whom.

state of a cell   working   the round is open and the site is expected to train
                  sent      its update is here, the round is open
                  silent    it took no part in the round before and wrote nothing since: nobody waits for it
                  averaged  its update is in the global model
                  missed    the round closed without it; `late` if the update came afterwards
                  refused   its update could not be used
                  left, excluded, revoked, out (not in the run), unknown (not visible from here)
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from konsil.federation.centre_rules import active, members
from konsil.federation.holdings import Holdings, Note
from konsil.federation.slot import Kind, Slot
from konsil.parties.party import Party
from konsil.parties.words import number_table, weighted
from konsil.trust.roster import CENTRE
from konsil.types import Json

LONGEST_S = 1e9
UNKNOWN: Json = dict.fromkeys(("cases", "at", "up_bytes", "work_s", "waited_s")) | {"metrics": {}, "why": ""}


def round_table(party: Party, holdings: Holdings, summary: Json, now: datetime) -> list[Json]:
    """One row per round that was opened, the oldest first; figures that only the released summary has are filled in."""
    newest = holdings.latest_global()
    if newest is None:
        return []
    is_over = party.going.last is not None or party.going.aborted is not None
    is_over = is_over or holdings.note(Kind.final, round=party.going.final_round) is not None
    told = {row["round"]: row for row in summary["rounds"]}
    rows = [_closed(party, holdings, number, told.get(number, {})) for number in range(1, newest + 1)]
    return rows if is_over else [*rows, _open(party, holdings, newest + 1, now)]


def _row(party: Party, holdings: Holdings, number: int, closed: Note | None) -> Json:
    before = Slot(Kind.global_, CENTRE, number - 1)
    opened = party.going.opened(number, holdings.notes[before].at)
    seconds = None if closed is None else round(party.going.lasted(opened, closed.at), 3)
    return {
        "round": number,
        "opened": opened.isoformat(timespec="seconds"),
        "closed": None if closed is None else closed.at.isoformat(timespec="seconds"),
        "seconds": seconds,
        "aggregation_s": None if closed is None else closed.facts.get("seconds"),
        "down_bytes": party.letters[before].manifest.payload_size,
    }


def _closed(party: Party, holdings: Holdings, number: int, told: Json) -> Json:
    """A round whose global model is there."""
    after = holdings.notes[Slot(Kind.global_, CENTRE, number)]
    facts = after.facts
    cells = {}
    for site in party.rules.sites:
        cell, known = _sent(party, holdings, site, number, after.at), told.get("sites", {}).get(site)
        if cell["at"] is None and known:
            cell |= {key: known[key] for key in ("cases", "metrics", "work_s", "waited_s")}
        if site in facts["included"]:
            cell |= {"state": "averaged", "cases": facts["included"][site].get("cases")}
        elif site in facts["refused"]:
            cell |= {"state": "refused", "why": str(facts["refused"][site])}
        elif site in facts.get("gone", {}):
            cell |= {"state": str(facts["gone"][site])}
        else:
            state = "out" if site not in members(holdings, party.rules) else "late" if cell["at"] else "missed"
            cell |= {"state": state, "waited_s": None}
        cells[site] = cell
    means = facts.get("metrics")
    metrics = number_table({"metrics": means}) if isinstance(means, dict) else {}
    return {**_row(party, holdings, number, after), "metrics": metrics, "cells": cells}


def _open(party: Party, holdings: Holdings, number: int, now: datetime) -> Json:
    """The round that is under way."""
    course, me = party.going, party.mailbox.me
    awaited = active(holdings, party.rules, number, now) if me == CENTRE else (me,)
    cells = {}
    for site in party.rules.sites:
        cell, slot = _sent(party, holdings, site, number, now), Slot(Kind.update, site, number)
        if site not in members(holdings, party.rules):
            cell["state"] = "out"
        elif site in course.gone:
            cell["state"] = course.gone[site]
        elif slot in holdings.refused:
            cell |= {"state": "refused", "why": holdings.refused[slot]}
        elif cell["at"]:
            cell["state"] = "sent"
        else:
            cell["state"] = "working" if site in awaited else "silent" if me == CENTRE else "unknown"
        cells[site] = cell
    here = {site: note.facts for site, note in holdings.by_site(Kind.update, number).items()}
    metrics = weighted(here) if me == CENTRE and here and all(_counts(facts) for facts in here.values()) else {}
    return {**_row(party, holdings, number, None), "metrics": metrics, "cells": cells}


def _counts(facts: Json) -> bool:
    """Whether an update names its cases, which the centre has not checked yet."""
    return type(facts.get("cases")) is int and facts["cases"] > 0


def _sent(party: Party, holdings: Holdings, site: str, number: int, until: datetime) -> Json:
    """What is known of a site's update itself; `until`: when the waiting for the others ended, or now."""
    note = holdings.note(Kind.update, site, number)
    letter = party.letters.get(Slot(Kind.update, site, number))
    if note is None or letter is None:
        return dict(UNKNOWN)
    work = note.facts.get("seconds")
    return {
        "why": "",
        "cases": note.facts["cases"] if _counts(note.facts) else None,
        "at": note.at.isoformat(timespec="seconds"),
        "up_bytes": letter.manifest.payload_size,
        "metrics": number_table(note.facts),
        "work_s": float(work) if isinstance(work, int | float) and 0 <= work < LONGEST_S else None,
        "waited_s": max(0.0, round(party.going.lasted(note.at, until), 3)),
    }


def totals(table: list[Json], sites: Iterable[str]) -> dict[str, Json]:
    """Per site, over the closed rounds it was in: seconds of training, of everything else, of waiting for the others.

    Null where nothing is known from here. Pauses of the run do not count.
    """
    found: dict[str, Json] = {}
    for site in sites:
        mine = [(row["seconds"], row["cells"][site]) for row in table if row["seconds"] is not None]
        known = [(lasted, cell) for lasted, cell in mine if cell["state"] == "averaged" and cell["work_s"] is not None]
        work = sum(cell["work_s"] for _, cell in known)
        waited = sum(cell["waited_s"] or 0.0 for _, cell in known)
        rest = max(0.0, sum(lasted for lasted, _ in known) - work - waited)
        sums = (work, rest, waited) if known else (None, None, None)
        found[site] = dict(zip(("work_s", "other_s", "waited_s"), sums, strict=True))
    return found
