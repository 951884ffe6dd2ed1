"""Whose reviews count at this home, in `<home>/reviewers` (docs/formats/workflows.md): a person says so, once per key.

Pure reading: `reviewers`, `trusted`, `is_needed`. Writing: `trust`, `dismiss`; a record is never changed or removed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from konsil.errors import BadInput, KonsilError, Missing
from konsil.federation.approval import Digest, Record
from konsil.parties.records import keep, read
from konsil.trust.audit import Audit
from konsil.trust.person import Person
from konsil.types import Json

SUBJECT, DISMISSAL = "reviewer", "dismissal"
FOLDER = "reviewers"


class Trusted(Record):
    """`konsil.reviewer/1`: from now on the reviews of this person count here."""

    format: Literal["konsil.reviewer/1"] = "konsil.reviewer/1"
    reviewer: Person
    by: str = Field(min_length=1)
    at: AwareDatetime


class Dismissal(Record):
    """The end of that, for charters to come."""

    reviewer: Digest
    by: str
    at: AwareDatetime
    reason: str


@dataclass(frozen=True)
class Reviewer:
    """A reviewer as this home sees them: `state` is counts, dismissed or unreadable; `why` says more of the last."""

    state: Literal["counts", "dismissed", "unreadable"]
    person: Person | None = None
    by: str = ""
    at: str = ""
    digest: str = ""
    why: str = ""

    def as_json(self) -> Json:
        """For `--json`."""
        name, fingerprint = (self.person.name, self.person.fingerprint) if self.person else ("", "")
        return {
            "name": name,
            "fingerprint": fingerprint,
            "state": self.state,
            "by": self.by,
            "at": self.at,
            "why": self.why,
        }


def reviewers(home: Path) -> list[Reviewer]:
    """Everybody who is or was trusted here, in the order of their records. Nothing is written."""
    return [_reviewer(home, path) for path in sorted((home / FOLDER).glob("*.signed"))]


def _reviewer(home: Path, path: Path) -> Reviewer:
    try:
        found = read(home, path, SUBJECT)
        record = Trusted.model_validate(found.content)
    except (KonsilError, ValidationError) as error:
        why = error.sentence if isinstance(error, KonsilError) else "it is not what docs/formats/workflows.md says"
        return Reviewer("unreadable", why=why)
    if path.name != f"{mark_of(record.reviewer)}.signed":
        return Reviewer("unreadable", why="it was signed for another key")
    state: Literal["counts", "dismissed"] = "dismissed" if path.with_suffix(".dismissed").exists() else "counts"
    return Reviewer(state, record.reviewer, record.by, record.at.isoformat(), found.digest)


def trusted(home: Path) -> list[Person]:
    """The people whose reviews count here now."""
    return [one.person for one in reviewers(home) if one.person is not None and one.state == "counts"]


def is_needed(home: Path, setting: bool | None) -> bool:
    """Whether a learner has to be reviewed here: as the setting says; without one, if a reviewer was ever trusted."""
    return any((home / FOLDER).glob("*.signed")) if setting is None else setting


def trust(home: Path, person: Person, *, by: str) -> Reviewer:
    """Let the reviews of a person count here. BadInput for a name that is taken and for a key that was dismissed."""
    if not by.strip():
        raise BadInput("It is not said who trusts the reviewer", expected="--by")
    path = home / FOLDER / f"{mark_of(person)}.signed"
    if path.with_suffix(".dismissed").exists():
        raise BadInput(f"The key of {person.name} was dismissed here", hint="They have to make a new one")
    if any(known.key != person.key and known.is_same(person) for known in trusted(home)):
        what = f"A reviewer called {person.name} is trusted here with another key"
        raise BadInput(what, hint="If the key is new, first: konsil workflow dismiss NAME")
    if not path.exists():
        record = Trusted(reviewer=person, by=by.strip(), at=datetime.now(UTC).replace(microsecond=0))
        keep(home, path, SUBJECT, record)
        facts = {"name": person.name, "fingerprint": person.fingerprint, "by": by.strip()}
        Audit(home / "audit.jsonl").append("reviewer trusted", **facts)
    return _reviewer(home, path)


def dismiss(home: Path, name: str, *, by: str, reason: str = "") -> Reviewer:
    """End the trust in the reviewer of that name, for charters to come. Missing where there is none."""
    if not by.strip():
        raise BadInput("It is not said who dismisses the reviewer", expected="--by")
    found = next(
        (one for one in reviewers(home) if one.state == "counts" and one.person and one.person.name == name), None
    )
    if found is None or found.person is None:
        known = ", ".join(person.name for person in trusted(home)) or "nobody"
        raise Missing(f"No reviewer called {name} is trusted here", expected=f"one of: {known}")
    path = home / FOLDER / f"{mark_of(found.person)}.dismissed"
    now = datetime.now(UTC).replace(microsecond=0)
    record = Dismissal(reviewer=found.digest, by=by.strip(), at=now, reason=reason.strip())
    keep(home, path, DISMISSAL, record)
    facts = {"name": name, "fingerprint": found.person.fingerprint, "by": by.strip()}
    Audit(home / "audit.jsonl").append("reviewer dismissed", **facts)
    return _reviewer(home, path.with_suffix(".signed"))


def mark_of(person: Person) -> str:
    """Sixteen hexadecimal digits that stand for a person's key in file names."""
    return hashlib.sha256(person.key.encode()).hexdigest()[:16]
