"""What a custodian wants to see of a charter: the question, what differs from the last one approved, what leaves.

    the fields of `konsil.parties.decision.proposal`, and
    workflow   name, author, tested[], card of the published learner (or null)
    before     run, by, at of the last charter that was accepted here (or null)
    changes[]  field, before, now: what differs from it; null = not set
    objects[]  kind, title, expected (how many), count and bytes (sent in this run so far), each (bytes of one, where
               known), example (of this run, else of an earlier one; "" = nothing of the kind has left this site), of
    decided    the decision as it stands (or null)

Examples are what really left: the readable facts of the message, and its content as far as this site can open it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from konsil.errors import KonsilError
from konsil.federation.charter import Charter
from konsil.federation.mailbox import Letter, Mailbox
from konsil.federation.slot import Kind, Slot
from konsil.federation.workflow import Verdict, credited
from konsil.files import read_json
from konsil.parties.decision import party_at, proposal
from konsil.parties.party import Party
from konsil.parties.reviewers import trusted
from konsil.trust.roster import CENTRE
from konsil.types import Json

LONGEST = 1500
"""Characters of an example."""
TENSORS_SHOWN = 3
TITLES = {
    Kind.answer: "Answer to the charter",
    Kind.fingerprint: "Fingerprint of the training cases",
    Kind.update: "Update of a round",
    Kind.reveal: "Help to open a masked sum",
    Kind.baseline: "Model trained at this site alone",
    Kind.evaluation: "Scores on held-out patients",
}
UNTOLD: dict[str, Any] = {"run": True, "format": True, "title": True, "workflow": {"published", "reviews"}}
"""Fields in which every charter differs from every other, and documents, which nobody compares by eye."""


def dossier(home: Path, run: str, image: str = "", reviewed_only: bool | None = None) -> Json:
    """See above. Raises Missing while the charter has not arrived, Unavailable if the store does not answer."""
    party, asked = party_at(home, run), proposal(home, run, image, reviewed_only)
    before = last_accepted(home, run)
    changes: list[Json] = []
    if before is not None:
        try:
            changes = differences(party_at(home, before["run"]).rules, party.rules)
        except KonsilError as error:
            before = {**before, "unreadable": error.sentence}
    decided = party.ledger.decision()
    verdict = credited(party.rules.workflow, trusted(home))
    asked |= {"workflow": published(verdict), "before": before, "changes": changes}
    return {**asked, "objects": objects(home, party), "decided": decided}


def published(verdict: Verdict) -> Json | None:
    """What its author says of the learner; None where the charter brings nothing that can be read."""
    if (found := verdict.workflow) is None:
        return None
    author = f"{found.author.name} (fingerprint {found.author.fingerprint}), {found.at:%Y-%m-%d}"
    return {"name": found.full_name, "author": author, "tested": list(found.tested), "card": found.card}


def last_accepted(home: Path, run: str) -> Json | None:
    """Run, custodian and time of the newest acceptance at this site, `run` itself left out."""
    found = []
    for path in (home / "runs").glob("*/decision.json"):
        content = read_json(path)
        if content.get("accepted") is True and path.parent.name != run:
            found.append({"run": path.parent.name, "by": str(content.get("by")), "at": str(content.get("at"))})
    return max(found, key=lambda one: (one["at"], one["run"]), default=None)


def differences(before: Charter, now: Charter) -> list[Json]:
    """What differs between two charters: dotted field, before, now."""
    old, new = (dict(_flat(charter.model_dump(mode="json", exclude=UNTOLD))) for charter in (before, now))
    fields = [*new, *(name for name in old if name not in new)]
    return [
        {"field": name, "before": old.get(name), "now": new.get(name)}
        for name in fields
        if old.get(name) != new.get(name)
    ]


def _flat(content: Json, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def expected(charter: Charter) -> dict[Kind, int]:
    """The kinds of messages that a site sends under a charter, and how many of each at most."""
    rounds = charter.rounds + charter.extra_rounds
    kinds = {Kind.answer: 1, Kind.fingerprint: 1, Kind.update: rounds}
    kinds |= {Kind.reveal: rounds} if charter.secure_aggregation else {}
    kinds |= {Kind.baseline: 1} if charter.compare_with_local else {}
    return kinds | {Kind.evaluation: 1 + (1 if charter.extra_rounds else 0)}


def objects(home: Path, party: Party) -> list[Json]:
    """Kinds of objects with what was sent of each, and an example."""
    rows = []
    for kind, number in expected(party.rules).items():
        mine = _mine(party.mailbox, kind)
        example, of = _example(party.mailbox, mine), party.run
        if not example:
            example, of = _earlier(home, party.run, kind)
        first = party.letters.get(Slot(Kind.global_, CENTRE, 0))
        each = mine[-1].manifest.payload_size if mine else None
        if each is None and kind is Kind.update and first is not None:
            each = first.manifest.payload_size
        sent = sum(letter.manifest.payload_size for letter in mine)
        told = {"kind": kind.value, "title": TITLES[kind], "expected": number, "count": len(mine), "bytes": sent}
        rows.append({**told, "each": each, "example": example, "of": of if example else ""})
    return rows


def _mine(mailbox: Mailbox, kind: Kind) -> list[Letter]:
    found = [letter for letter in mailbox.mine() if letter.slot.kind is kind]
    return sorted(found, key=lambda letter: letter.slot.round or 0)


def _earlier(home: Path, run: str, kind: Kind) -> tuple[str, str]:
    """An example out of an earlier run of this site, and which."""
    from konsil.parties.opening import mailbox_of

    for path in sorted((home / "runs").glob("*/decision.json"), key=lambda path: -path.stat().st_mtime):
        if path.parent.name == run:
            continue
        mailbox = mailbox_of(home, path.parent.name)
        if example := _example(mailbox, _mine(mailbox, kind)):
            return example, path.parent.name
    return "", ""


def _example(mailbox: Mailbox, letters: list[Letter]) -> str:
    """The newest of these messages as text: its facts, and its content or the table of its tensors."""
    if not letters:
        return ""
    letter = letters[-1]
    facts = {name: value for name, value in letter.manifest.facts.items() if name != "audit"}
    told = f"facts {json.dumps(facts, indent=1)}\n{_content(mailbox, letter)}"
    return told if len(told) <= LONGEST else f"{told[:LONGEST]}\n… ({len(told)} characters in all)"


def _content(mailbox: Mailbox, letter: Letter) -> str:
    table = letter.manifest.tensors
    if table is not None:
        rows = [f"{name} {list(shape)} {dtype}" for name, shape, dtype, _ in table.rows()]
        more = f"\n… {len(rows) - TENSORS_SHOWN} more" if len(rows) > TENSORS_SHOWN else ""
        return f"{len(rows)} tensors, {table.size} bytes: " + "; ".join(rows[:TENSORS_SHOWN]) + more
    try:
        return f"content {json.dumps(mailbox.read_json(letter), indent=1)}"
    except KonsilError as error:
        return error.sentence
