"""The standing policies of a site, in `<home>/policies` (docs/formats/approvals.md).

Pure reading: `policies`, `covering`. Writing: `sign_policy`, `revoke_policy`; a policy is never changed or removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from konsil.errors import BadInput, KonsilError, Missing
from konsil.federation.approval import CohortMark, LearnerMark, Record, stamp
from konsil.federation.charter import Charter
from konsil.federation.policy import REVOCATION, SUBJECT, Bound, Policy, terms_of, usual_bounds
from konsil.parties.records import cohort_mark, keep, read
from konsil.trust.audit import Audit
from konsil.types import Json

DAYS = 90


class Revocation(Record):
    """The end of a policy: for charters to come."""

    policy: str
    by: str
    at: str
    reason: str


@dataclass(frozen=True)
class Standing:
    """A policy as it stands now: `state` is counts, expired, revoked or unreadable; `why` says more of the last two."""

    name: str
    state: str
    why: str = ""
    policy: Policy | None = None
    digest: str = ""

    def as_json(self) -> Json:
        """For `--json` and the tab."""
        content = self.policy.model_dump(mode="json") if self.policy else {}
        return {**content, "name": self.name, "state": self.state, "why": self.why, "digest": self.digest}


def policies(home: Path, now: datetime | None = None) -> list[Standing]:
    """Every policy of this site by name, with its state. Nothing is written."""
    now = now or datetime.now(UTC)
    return [_standing(home, path, now) for path in sorted((home / "policies").glob("*.signed"))]


def _standing(home: Path, path: Path, now: datetime) -> Standing:
    try:
        found = read(home, path, SUBJECT)
        policy = Policy.model_validate(found.content)
    except (KonsilError, ValidationError) as error:
        why = error.sentence if isinstance(error, KonsilError) else "it is not what docs/formats/approvals.md says"
        return Standing(path.stem, "unreadable", why)
    if policy.name != path.stem:
        return Standing(path.stem, "unreadable", "it was signed under another name")
    if path.with_suffix(".revoked").exists():  # whatever it holds: a doubt ends a policy
        return Standing(policy.name, "revoked", _reason(home, path.with_suffix(".revoked")), policy, found.digest)
    state = "counts" if policy.at <= now < policy.expires else "expired"
    return Standing(policy.name, state, "", policy, found.digest)


def _reason(home: Path, path: Path) -> str:
    try:
        content = read(home, path, REVOCATION).content
        return f"{content['reason'] or 'no reason given'} ({content['by']}, {content['at'][:10]})"
    except (KonsilError, KeyError):
        return "by a record that is not readable"


def covering(home: Path, charter: Charter, learner: LearnerMark) -> tuple[Standing | None, list[str]]:
    """The first policy that covers a charter, or none and why each of those that count does not."""
    reasons = []
    for standing in policies(home):
        if standing.policy is None or standing.state != "counts":
            continue
        cohort = cohort_mark(home, standing.policy.cohort.name)
        outside = standing.policy.outside(charter, learner, cohort, datetime.now(UTC))
        if not outside:
            return standing, []
        reasons.append(f"The standing policy {standing.name} does not cover this: {'; '.join(outside)}.")
    return None, reasons


def sign_policy(
    home: Path, charter: Charter, *, learner: LearnerMark, cohort: CohortMark, by: str,
    name: str = "", days: int = DAYS, sites: Sequence[str] = (), bounds: Mapping[str, Bound] | None = None,
) -> Standing:  # fmt: skip
    """Make a policy of a charter, with its usual bounds and those given. BadInput names what is not usable."""
    now, terms = datetime.now(UTC).replace(microsecond=0), terms_of(charter)
    name = name or charter.run
    try:
        policy = Policy(
            name=name, by=by, at=now, expires=now + timedelta(days=days), learner=learner, cohort=cohort,
            sites=tuple(sites or charter.sites), terms=terms, bounds=usual_bounds(terms) | dict(bounds or {}),
        )  # fmt: skip
    except (ValidationError, OverflowError) as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ") if isinstance(error, ValidationError) else "days"
        raise BadInput("The standing policy is not usable", got=why) from None
    path = home / "policies" / f"{name}.signed"
    if path.exists():
        raise BadInput(f"There is a policy {name} already", hint="Give the new one another name; names are used once")
    digest = keep(home, path, SUBJECT, policy)
    Audit(home / "audit.jsonl").append("policy signed", name=name, digest=digest, by=by, expires=stamp(policy.expires))
    return Standing(name, "counts", "", policy, digest)


def revoke_policy(home: Path, name: str, *, by: str, reason: str = "") -> Standing:
    """End a policy for charters to come. Missing where there is none; a second revocation changes nothing."""
    found = next((one for one in policies(home) if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in policies(home)) or "none"
        raise Missing(f"There is no policy {name}", expected=f"one of {known}")
    if not by.strip():
        raise BadInput("A revocation is not complete", expected="who revokes (--by)")
    path = home / "policies" / f"{found.name}.revoked"
    if not path.exists():
        record = Revocation(policy=found.digest, by=by.strip(), at=stamp(datetime.now(UTC)), reason=reason.strip())
        keep(home, path, REVOCATION, record)
        Audit(home / "audit.jsonl").append("policy revoked", name=name, digest=found.digest, by=by.strip())
    return next(one for one in policies(home) if one.name == name)
