"""What a custodian decided about a charter, pinned to what was decided on. Specification: docs/formats/approvals.md."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from konsil.trust.canonical import canonical
from konsil.types import Json

FORMAT: Literal["konsil.approval/1"] = "konsil.approval/1"
SUBJECT = "approval"
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """A part of what is signed: unknown fields are refused, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LearnerMark(Record):
    """Which code trains here: `code` is the hash of its files, `image` the digest of the container, if any."""

    name: str
    code: Digest
    image: str = ""
    versions: Json
    digest: Digest

    @classmethod
    def of(cls, name: str, code: str, image: str, versions: Json) -> LearnerMark:
        """The mark with its digest."""
        digest = hashlib.sha256(canonical({"name": name, "code": code, "image": image})).hexdigest()
        return cls(name=name, code=code, image=image, versions=versions, digest=digest)

    @property
    def words(self) -> str:
        """`nnunet (konsil 0.1.0, nnunetv2 2.8.1), code 12ab34cd56ef…, image sha256:…`."""
        told = ", ".join(f"{name} {version}" for name, version in self.versions.items()) or "version unknown"
        return f"{self.name} ({told}), code {self.code[:12]}…" + (f", image {self.image[:19]}…" if self.image else "")


class CohortMark(Record):
    """Which frozen cohort: its name and the hash of its `cohort.json`."""

    name: str
    sha256: Digest
    cases: int


class Approval(Record):
    """`konsil.approval/1`: yes or no to one charter."""

    format: Literal["konsil.approval/1"] = FORMAT
    run: str
    charter: Digest
    accepted: bool
    reason: str = ""
    by: str
    at: AwareDatetime
    learner: LearnerMark
    cohort: CohortMark | None = None
    policy: Digest | None = None
    review: Digest | None = Field(default=None, exclude_if=lambda value: value is None)

    def why_void(self, *, run: str, charter: str, learner: LearnerMark | None, cohort: CohortMark | None) -> str:
        """Why this decision no longer counts for what is here now; empty if it does (learner None: not compared)."""
        if (self.run, self.charter) != (run, charter):
            return "it was given for another charter"
        if not self.accepted:
            return ""
        if learner is not None and self.learner.digest != learner.digest:
            return f"the learner changed: approved was {self.learner.words}; here is {learner.words}"
        if self.cohort is None or cohort is None or self.cohort.sha256 != cohort.sha256:
            return "the cohort changed since it was approved"
        return ""


def stamp(moment: datetime) -> str:
    """A moment as records write it: ISO 8601, whole seconds, UTC."""
    return moment.isoformat(timespec="seconds")
