"""What a mailbox writes into the audit log of its home: messages posted, received and refused, each of them once.

The log also has to be compared with what others hold. So every message says in its facts how far the sender's log had
come (`audit`), and the receiver's log keeps what it said (docs/formats/audit.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from konsil.federation.mailbox_scan import Letter, Refusal
from konsil.files import read_json, write_json
from konsil.trust.audit import Audit, Head, Published
from konsil.types import Json

REFUSALS = 1000  # of one run; whoever fills a bucket with rubbish does not fill the log
FACT = "audit"


class Record:
    """The audit log of `home`, for the mailbox of `run` whose folder is `folder`; without a home nothing is written."""

    def __init__(self, home: Path | None, folder: Path | None, *, me: str, run: str) -> None:
        self._audit = None if home is None else Audit(home / "audit.jsonl")
        self._path = None if folder is None else folder / "refusals.json"
        self._me, self._run = me, run
        self._told: set[str] | None = None

    def facts(self) -> Json:
        """What a message says about the log of its sender."""
        return {} if self._audit is None else {FACT: self._audit.head()._asdict()}

    def stands(self, letter: Letter) -> None:
        """A message was accepted for the first time."""
        if self._audit is None:
            return
        facts: Json = {"run": self._run, "place": letter.slot.place, "digest": letter.manifest.digest}
        if letter.slot.sender == self._me:
            self._audit.append("message posted", **facts, recipients=list(letter.manifest.recipients))
            return
        head = head_in(letter.manifest.facts)
        facts |= {} if head is None else {FACT: head._asdict()}
        self._audit.append("message received", **facts, sender=letter.slot.sender)

    def refused(self, refusals: Iterable[Refusal]) -> None:
        """Messages were not accepted; what was told before is not told again."""
        if self._audit is None or self._path is None:
            return
        if self._told is None:
            self._told = set(read_json(self._path)["told"]) if self._path.is_file() else set()
        news = [found for found in refusals if _line(found) not in self._told]
        for found in news[: max(0, REFUSALS - len(self._told))]:
            self._audit.append("message refused", run=self._run, place=found.slot[:200], why=found.sentence)
            self._told.add(_line(found))
            write_json(self._path, {"told": sorted(self._told)})


def _line(refusal: Refusal) -> str:
    return f"{refusal.slot}: {refusal.sentence}"


def head_in(facts: Json) -> Head | None:
    """The head of its sender's log that a message names; None if it names none, or something else."""
    said = facts.get(FACT)
    if not isinstance(said, dict) or type(said.get("entries")) is not int or not isinstance(said.get("head"), str):
        return None
    return Head(said["entries"], said["head"][:64])


def published_in(letters: Iterable[Letter], run: str) -> list[Published]:
    """The heads that messages name."""
    found = ((f"the message {run}/{letter.slot.place}", head_in(letter.manifest.facts)) for letter in letters)
    return [Published(where, head) for where, head in found if head is not None]
