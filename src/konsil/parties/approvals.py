"""Approvals of a site: signed, and looked at again before every deed that touches patients' data.

`approvals(home)` is for pages and lists; `under_approval(party, image)` lets a site's party do nothing that was not
approved as it is now (docs/formats/approvals.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from konsil.errors import BadMessage, KonsilError, Missing, Refused
from konsil.federation.approval import SUBJECT, Approval, LearnerMark
from konsil.federation.slot import Kind
from konsil.federation.steps import Answer, Evaluate, Prepare, SendFingerprint, Train, TrainBaseline
from konsil.parties.records import cohort_mark, keep, learner_mark, read
from konsil.parties.site import SiteParty
from konsil.parties.worker_mark import noted
from konsil.types import Json

FILE = "approval.signed"
GUARDED = (Answer, SendFingerprint, Prepare, Train, TrainBaseline, Evaluate)


@dataclass(frozen=True)
class Given:
    """A decision of this site: `approval` is None where the record cannot be believed, and `why` says so."""

    run: str
    approval: Approval | None
    digest: str = ""
    why: str = ""

    def as_json(self) -> Json:
        """For `--json` and the tab."""
        content = self.approval.model_dump(mode="json") if self.approval else {}
        return {**content, "run": self.run, "digest": self.digest, "why": self.why}


def approvals(home: Path) -> list[Given]:
    """Every signed decision of this site, by run. Nothing is written, and nothing asked of the store."""
    return [_given(home, path.parent.name) for path in sorted((home / "runs").glob(f"*/{FILE}"))]


def _given(home: Path, run: str) -> Given:
    try:
        approval, digest = approval_of(home, run)
    except KonsilError as error:
        return Given(run, None, "", error.sentence)
    return Given(run, approval, digest)


def approval_of(home: Path, run: str) -> tuple[Approval, str]:
    """The signed decision on a run and its digest. Missing, or BadMessage where it is not this site's word."""
    found = read(home, home / "runs" / run / FILE, SUBJECT)
    try:
        return Approval.model_validate(found.content), found.digest
    except ValidationError as error:
        raise BadMessage("an approval is not read: it is not what docs/formats/approvals.md says") from error


def sign_approval(
    party: SiteParty,
    *,
    accepted: bool,
    by: str,
    image: str,
    cohort: str = "",
    reason: str = "",
    policy: str | None = None,
    review: str | None = None,
) -> Approval:
    """Sign and keep the decision on the charter that stands."""
    noted(party.home, image)
    approval = Approval(
        run=party.run,
        charter=party.letter(Kind.charter).manifest.digest,
        accepted=accepted,
        reason=reason,
        by=by,
        at=datetime.now(UTC).replace(microsecond=0),
        learner=learner_mark(party.rules.learner.name, image),
        cohort=cohort_mark(party.home, cohort) if accepted else None,
        policy=policy,
        review=review,
    )
    keep(party.home, party.ledger.folder / FILE, SUBJECT, approval)
    return approval


def why_void(party: SiteParty, mark: LearnerMark | None) -> str:
    """Why the decision on a run does not count now; empty if it does, or if none was taken.

    `mark`: the learner that is here now; None, for readers only: it is not known, and not compared.
    """
    decision = party.ledger.decision()
    if decision is None:
        return ""
    try:
        approval, _ = approval_of(party.home, party.run)
    except Missing:
        return "it is not signed"
    except BadMessage as error:
        return error.sentence
    chosen = approval.cohort.name if approval.cohort else None
    if (approval.accepted, chosen) != (decision["accepted"], decision.get("cohort")):
        return "decision.json says something else than what was signed"
    cohort = cohort_mark(party.home, chosen) if chosen else None
    return approval.why_void(
        run=party.run, charter=party.letter(Kind.charter).manifest.digest, learner=mark, cohort=cohort
    )


def under_approval(party: SiteParty, image: str) -> SiteParty:
    """The party itself, which from now on looks at its approval before every deed of `GUARDED`."""
    for kind in GUARDED:
        party.deeds[kind] = _checked(party, image, party.deeds[kind])
    return party


def _checked(party: SiteParty, image: str, deed: Callable[[Any], None]) -> Callable[[Any], None]:
    def look_first(step: Any) -> None:
        noted(party.home, image)
        if why := why_void(party, learner_mark(party.rules.learner.name, image)):
            raise Refused(
                f"The approval of {party.run} does not count any more: {why.rstrip('.')}",
                hint=f"Decide again: konsil decide {party.run}",
            )
        deed(step)

    return look_first
