"""A frozen cohort: the only thing a learner reads.

`cohort.json` (docs/formats/cohort.md) names each image and label by a relative path and its SHA-256, says which
patients train, validate and test, and who signed. Reading checks every hash, so that "trained on cohort X" always
means the same bytes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from konsil.cohort.cases import Case
from konsil.cohort.folder import COHORT_NAME
from konsil.cohort.splits import SPLITS, UNLABELLED
from konsil.errors import BadInput, Missing
from konsil.files import read_json, sha256_of
from konsil.types import Json

FORMAT: Literal["konsil-cohort/1"] = "konsil-cohort/1"
BACKGROUND = "background"


def relative(path: str) -> str:
    """Accept a path that stays inside the cohort's folder."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\\" in path:
        raise ValueError("a path has to be relative and to stay inside the cohort's folder")
    return path


def in_utc(moment: datetime) -> datetime:
    """The same moment, written in UTC."""
    return moment.astimezone(UTC)


RelativePath = Annotated[str, AfterValidator(relative)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Channel = Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")]


class Strict(BaseModel):
    """No unknown keys, no changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Decision(Strict):
    """What a reviewer decided about one case; who, when and on which page, where it was not the signature itself."""

    decision: Literal["accept", "exclude"]
    reason: str = ""
    by: str | None = None
    at: Annotated[AwareDatetime, AfterValidator(in_utc)] | None = None
    page_sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _exclusion_has_a_reason(self) -> Decision:
        if self.decision == "exclude" and not self.reason.strip():
            raise ValueError("an exclusion needs a reason")
        return self


class SignOff(Strict):
    """Who accepted a cohort, when, and having seen which report."""

    by: str = Field(min_length=1)
    at: Annotated[AwareDatetime, AfterValidator(in_utc)]
    report_sha256: Sha256
    decisions: dict[str, Decision] = Field(default_factory=dict)


class FrozenCase(Strict):
    """One case of a frozen cohort; paths are relative to the cohort's folder."""

    case: str
    subject: str
    split: Literal["train", "validation", "test", "unlabelled"]
    images: dict[Channel, RelativePath]
    label: RelativePath | None
    verdict: str
    sha256: dict[RelativePath, Sha256]

    @model_validator(mode="after")
    def _is_whole(self) -> FrozenCase:
        named = {*self.images.values(), *([self.label] if self.label else [])}
        if not named <= self.sha256.keys():
            raise ValueError("a file has no hash")
        if (self.label is None) != (self.split == UNLABELLED):
            raise ValueError("a case without a label is in no split, and one with a label is in one")
        if not self.case.startswith(f"sub-{self.subject}_ses-"):
            raise ValueError("case and subject do not belong together")
        return self


class FrozenCohort(Strict):
    """A cohort that no longer changes. `root` is the folder it was read from and is not part of the file."""

    format: Literal["konsil-cohort/1"] = FORMAT
    name: str = Field(pattern=f"^{COHORT_NAME.pattern}$")
    origin: Literal["prepared", "adopted"]
    channels: list[Channel] = Field(min_length=1)
    labels: dict[str, int]
    seed: int
    fractions: tuple[float, float, float]
    cases: list[FrozenCase] = Field(min_length=1)
    excluded: dict[str, str] = Field(default_factory=dict)
    sign_off: SignOff | None
    software: Json
    root: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _is_consistent(self) -> FrozenCohort:
        if self.labels.get(BACKGROUND) != 0 or sorted(self.labels.values()) != list(range(len(self.labels))):
            raise ValueError("labels have to be 0 (background), 1, 2 … without a gap")
        if self.origin == "prepared" and self.sign_off is None:
            raise ValueError("a prepared cohort needs a sign-off")
        if any(set(case.images) != set(self.channels) for case in self.cases):
            raise ValueError("every case needs exactly the cohort's channels")
        if len({case.case for case in self.cases}) != len(self.cases):
            raise ValueError("a case occurs twice")
        _refuse_torn_patients(self.cases)
        return self

    def split(self, name: str) -> list[FrozenCase]:
        """The cases of "train", "validation", "test" or "unlabelled", in the cohort's order."""
        if name not in (*SPLITS, UNLABELLED):
            raise BadInput("there is no such split", expected=", ".join((*SPLITS, UNLABELLED)), got=repr(name))
        return [case for case in self.cases if case.split == name]

    def content(self) -> Json:
        """What makes two frozen cohorts the same: everything but who signed, and the software's versions."""
        return self.model_dump(mode="json", exclude={"sign_off", "software"})


def _refuse_torn_patients(cases: list[FrozenCase]) -> None:
    """Raise `ValueError` if one patient's cases lie in two splits."""
    where: dict[str, str] = {}
    for case in cases:
        if case.label is not None and where.setdefault(case.subject, case.split) != case.split:
            raise ValueError("one patient lies in two splits")


def read_frozen(path: Path) -> FrozenCohort:
    """Read `cohort.json` (or the folder that holds it) and check every hash.

    Raises `Missing` if there is no frozen cohort, `BadInput` if the file breaks a rule of docs/formats/cohort.md or a
    file it names has changed or is gone; the sentence names that file.
    """
    file = path / "cohort.json" if path.is_dir() else path
    if not file.is_file():
        raise Missing("this cohort is not frozen", expected=f"a file {file}", hint="Run: konsil freeze COHORT")
    try:
        frozen = FrozenCohort.model_validate({**read_json(file), "root": file.parent})
    except ValidationError as error:
        raise BadInput(
            "the frozen cohort breaks a rule", expected="docs/formats/cohort.md", got=broken_rule(error)
        ) from error
    for case in frozen.cases:
        verify(case, file.parent)
    return frozen


def broken_rule(error: ValidationError) -> str:
    """The first rule that a file breaks, with the place; never the content that was found there."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return re.sub(r"^Value error, ", "", first["msg"]) + (f" (at {place})" if place else "")


def verify(case: FrozenCase, root: Path) -> None:
    """Raise `BadInput` naming the first file of `case` that is gone or has other bytes than when it was frozen."""
    Case.parse(case.case)
    for name, expected in sorted(case.sha256.items()):
        file = root / name
        if not file.is_file():
            raise BadInput(f"{name} of the frozen cohort is gone", hint="Restore it, or freeze a new cohort")
        if sha256_of(file) != expected:
            raise BadInput(
                f"{name} has changed since the cohort was frozen",
                expected=f"SHA-256 {expected[:12]}…",
                hint="Restore it, or freeze a new cohort",
            )


def read_sign_off(path: Path) -> SignOff:
    """Read a sign-off from JSON; `BadInput` names the rule it breaks."""
    try:
        return SignOff.model_validate(read_json(path))
    except ValidationError as error:
        raise BadInput(
            "the sign-off is not usable",
            expected="by, at, report_sha256 and decisions (docs/formats/cohort.md)",
            got=broken_rule(error),
        ) from error
