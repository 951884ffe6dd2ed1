"""How a run stands right now, for the pages that people watch while it goes on; nothing here is kept or sent.

    run, title, me, now                       `now` is the store's clock; all times are ISO 8601, UTC
    state                                     proposed gathering running paused held evaluating finished aborted out
    sentence                                  how it stands or ended
    turn     doing, until                     whose turn it is, in words; until when it is waited at most (or null)
    rounds   done, planned, median_s, ends    seconds of the last rounds; when training ends if it goes on so (or null)
    sites[]  name, state, why, cases, last {at, what} (or null), versions, work_s, other_s, waited_s
    table[]  newest first: round, opened, closed, seconds, aggregation_s, down_bytes, metrics, cells {site: …}
             a cell: state, why, cases, at, up_bytes, metrics, work_s, waited_s (what is not known from here is null)
    operator[]                                as in the summary (`konsil.parties.summary`)
    refused[]                                 messages that are not read
    may                                       what can be said to the run (`konsil.parties.steering.possible`)
    held                                      who paused this site's part, when and why (or null)

A site sees its own messages and the centre's. Of the other sites it knows what the global models say of them; their
figures come with the released summary.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from statistics import median

from konsil.errors import BadMessage
from konsil.federation.holdings import Holdings
from konsil.federation.rounds import next_step
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Abort, Finish, Step
from konsil.parties.party import Party
from konsil.parties.report import summary_of
from konsil.parties.round_table import round_table, totals
from konsil.parties.steering import possible
from konsil.parties.turn import turn
from konsil.trust.roster import CENTRE
from konsil.types import Json

LAST = 5
"""Rounds whose median is taken for the next ones."""
VERSIONS = ("konsil", "nnunetv2", "torch")


def standing(party: Party) -> Json:
    """See above. Raises Missing while the charter has not arrived, Unavailable if the store does not answer."""
    holdings, now = party.look(), party.mailbox.now()
    course, step = party.going, next_step(party.role, holdings, party.charter(), now)
    summary = summary_of(party.mailbox, party.letters, party.rules)
    table = round_table(party, holdings, summary, now)
    sums, state = totals(table, party.rules.sites), state_of(party, holdings, step)
    said = turn(party, holdings, step)
    return {
        "run": party.run,
        "title": party.rules.title,
        "me": party.mailbox.me,
        "now": now.isoformat(timespec="seconds"),
        "state": state,
        "sentence": summary["sentence"] if state != "aborted" or _is_told(party, holdings) else said["doing"],
        "turn": said,
        "rounds": {
            "done": holdings.latest_global() or 0,
            "planned": course.last or course.end,
            **_pace(party, holdings, table, now if state == "running" else None),
        },
        "sites": [_site(party, holdings, site, table) | sums[site] for site in party.rules.sites],
        "table": table[::-1],
        "operator": summary["operator"],
        "refused": [asdict(refusal) for refusal in party.mailbox.refused],
        "may": possible(party, holdings),
        "held": party.held,
    }


def _is_told(party: Party, holdings: Holdings) -> bool:
    """Whether the last word of the present stretch was spoken."""
    return holdings.note(Kind.final, round=party.going.final_round) is not None


def state_of(party: Party, holdings: Holdings, step: Step) -> str:
    """One word; what ended comes first, then what holds the run up."""
    course = party.going
    final = holdings.note(Kind.final, round=course.final_round)
    if final is not None:
        return "finished" if final.facts.get("outcome") == "released" else "aborted"
    if course.aborted is not None or isinstance(step, Abort):
        return "aborted"
    if isinstance(step, Finish):
        return "out"
    if party.held is not None:
        return "held"
    if course.paused is not None:
        return "paused"
    if party.mailbox.me != CENTRE and holdings.mine(Kind.answer) is None and holdings.decided is None:
        return "proposed"
    if holdings.latest_global() is None:
        return "gathering"
    return "running" if course.last is None else "evaluating"


def _pace(party: Party, holdings: Holdings, table: list[Json], now: datetime | None) -> Json:
    """Median seconds of the last rounds, and when training ends at that pace; None where nobody can say.

    `now`: None where the rounds do not go on.
    """
    course = party.going
    lasted = [row["seconds"] for row in table if row["seconds"] is not None and row["round"] > 1]
    lasted = lasted or [row["seconds"] for row in table if row["seconds"] is not None]
    found = median(lasted[-LAST:]) if lasted else None
    done = holdings.latest_global()
    if found is None or done is None or now is None:
        return {"median_s": found, "ends": None}
    opened = course.opened(done + 1, holdings.notes[Slot(Kind.global_, CENTRE, done)].at)
    ends = max(now, opened + timedelta(seconds=found)) + timedelta(seconds=found * (course.end - done - 1))
    return {"median_s": found, "ends": ends.isoformat(timespec="seconds")}


def _site(party: Party, holdings: Holdings, site: str, table: list[Json]) -> Json:
    state, why = _part(party, holdings, site, table)
    recipe, answer = holdings.note(Kind.recipe), holdings.note(Kind.answer, site)
    cases = recipe.facts.get("cases", {}).get(site) if recipe else None
    if cases is None and answer is not None and isinstance(answer.facts.get("cases"), dict):
        cases = answer.facts["cases"].get("train")
    sent = [letter for slot, letter in party.letters.items() if slot.sender == site]
    last = max(sent, key=lambda letter: letter.received, default=None)
    software = last.manifest.software if last else {}
    return {
        "name": site,
        "state": state,
        "why": why,
        "cases": cases,
        "last": last and {"at": last.received.isoformat(timespec="seconds"), "what": _what(last.slot)},
        "versions": {name: str(software[name]) for name in VERSIONS if name in software},
    }


def _what(slot: Slot) -> str:
    """`update of round 3`."""
    return f"{slot.kind.value} of round {slot.round}" if slot.round is not None else slot.kind.value


def _part(party: Party, holdings: Holdings, site: str, table: list[Json]) -> tuple[str, str]:
    """A site's state in one word, and why where somebody gave a reason."""
    course, answer, recipe = party.going, holdings.note(Kind.answer, site), holdings.note(Kind.recipe)
    if site in course.gone:
        said, left = course.excluded.get(site), holdings.note(Kind.leave, site)
        return course.gone[site], said.why if said else str(left.facts.get("why", "")) if left else ""
    if answer is not None and answer.facts.get("accepted") is not True:
        return "refused", _reason(party, Slot(Kind.answer, site))
    if recipe is not None and site not in recipe.facts.get("sites", []):
        is_seen = party.mailbox.me in (CENTRE, site)
        return ("late", "not ready when the rounds began") if is_seen else ("out", "")
    cells = [row["cells"][site] for row in reversed(table)]
    if cell := next((cell for cell in cells if cell["state"] != "unknown"), None):
        return str(cell["state"]), str(cell["why"])
    if party.mailbox.me not in (CENTRE, site):
        return ("ready", "") if recipe is not None else ("unknown", "")
    if answer is None:
        return "asked", ""
    return ("ready", "") if holdings.note(Kind.fingerprint, site) else ("accepted", "")


def _reason(party: Party, slot: Slot) -> str:
    """Why a site refused, as its custodian wrote it for the centre."""
    if party.mailbox.me not in (CENTRE, slot.sender):
        return ""
    try:
        return str(party.mailbox.read_json(party.letters[slot]).get("reason", ""))[:500]
    except BadMessage as error:
        return error.sentence
