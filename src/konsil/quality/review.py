"""What a reviewer decided about single cases, before the cohort is signed as a whole.

`work/<cohort>/review.json` (format `konsil-review/1`): one decision per case, with who, when, and the page that was
looked at. A page has two hashes here: `page_sha256` of its bytes, for the record, and `seen`, over the files of that
case alone (images, masks, measures). A decision stands as long as `seen` stands: another patient who joins the cohort
changes the page (its strips show all cases) but nothing that was decided on. A decision on anything older is shown as
outdated and not used. The sign-off takes these decisions as its defaults.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder
from konsil.errors import BadInput, Missing
from konsil.files import read_json, sha256_of, write_json
from konsil.quality.pages import seen_of
from konsil.quality.vocabulary import ARTIFACTS, reason_text

FORMAT = "konsil-review/1"
LONGEST_NOTE = 500

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Opinion(BaseModel):
    """What a reviewer says about a case: accept or exclude, artifacts by MRIQC's keys, a note of one line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decision: Literal["accept", "exclude"]
    artifacts: list[str] = []
    note: str = Field(default="", max_length=LONGEST_NOTE)

    @field_validator("artifacts")
    @classmethod
    def _are_known(cls, keys: list[str]) -> list[str]:
        if unknown := set(keys) - set(ARTIFACTS):
            raise ValueError(f"{len(unknown)} artifacts are not in the vocabulary")
        return [key for key in ARTIFACTS if key in keys]

    @field_validator("note")
    @classmethod
    def _is_one_line(cls, note: str) -> str:
        return " ".join(note.split())

    @model_validator(mode="after")
    def _exclusion_has_a_reason(self) -> Opinion:
        if self.decision == "exclude" and not self.reason:
            raise ValueError("an exclusion needs an artifact or a note")
        return self

    @property
    def reason(self) -> str:
        """Artifacts and note as one sentence; empty if neither was given."""
        return reason_text(self.artifacts, self.note)


class Review(Opinion):
    """An opinion with who gave it, when, and what they were looking at."""

    by: str = Field(min_length=1)
    at: AwareDatetime
    page_sha256: Sha256
    seen: Sha256


def read_reviews(cohort: CohortFolder) -> dict[str, Review]:
    """All reviews by case; empty if nobody reviewed. Raises `BadInput` for a file that breaks the format."""
    path = review_file(cohort)
    if not path.is_file():
        return {}
    content = read_json(path)
    if content.get("format") != FORMAT:
        raise BadInput("the file of reviews cannot be read", expected=FORMAT, got=repr(content.get("format"))[:40])
    try:
        return {str(Case.parse(name)): Review.model_validate(one) for name, one in content["cases"].items()}
    except (ValueError, KeyError, AttributeError) as error:
        raise BadInput("the file of reviews cannot be read", expected=FORMAT, got=type(error).__name__) from error


def split_reviews(cohort: CohortFolder) -> tuple[dict[str, Review], dict[str, Review]]:
    """The reviews that stand, and those made of files that have changed since (or of a case that is gone)."""
    standing: dict[str, Review] = {}
    outdated: dict[str, Review] = {}
    for name, review in read_reviews(cohort).items():
        stands = review.seen == seen_of(cohort.report(Case.parse(name)))
        (standing if stands else outdated)[name] = review
    return standing, outdated


def record(cohort: CohortFolder, case: Case, opinion: Opinion, *, by: str, at: datetime, seen: str) -> Review:
    """Keep an opinion about a case; a later one takes the place of an earlier one.

    `seen` is what the reviewer's page says it was made from. Raises `Missing` without a page, `BadInput` if the page
    has changed since it was opened, a case with verdict fail is accepted without a reason, or the cohort is frozen.
    """
    page = cohort.report(case)
    present = seen_of(page)
    if not present:
        raise Missing("this case has no page", hint="Run: konsil report COHORT")
    if present != seen:
        raise BadInput("the page of this case has changed since it was opened", hint="Load it again and decide anew")
    if opinion.decision == "accept" and not opinion.reason and verdict_of(cohort, case) == "fail":
        raise BadInput("a case that the quality control fails is accepted only with a reason", expected="a note")
    review = Review(**opinion.model_dump(), by=by, at=at, page_sha256=sha256_of(page), seen=seen)
    with changing(cohort) as reviews:
        reviews[str(case)] = review
    return review


def withdraw(cohort: CohortFolder, case: Case) -> None:
    """Forget the review of a case; none is fine too."""
    with changing(cohort) as reviews:
        reviews.pop(str(case), None)


def verdict_of(cohort: CohortFolder, case: Case) -> str:
    """The verdict of the quality control, or nothing."""
    return str(read_json(cohort.qc(case)).get("verdict", "")) if cohort.qc(case).is_file() else ""


def review_file(cohort: CohortFolder) -> Path:
    """Where the reviews of a cohort lie."""
    return cohort.work / "review.json"


@contextmanager
def changing(cohort: CohortFolder) -> Iterator[dict[str, Review]]:
    """The reviews, to be changed and written back; two people at once wait for each other.

    Raises `BadInput` once the cohort is frozen.
    """
    if cohort.frozen.exists():
        raise BadInput("this cohort is frozen: what was signed stands", hint="A new version needs a new name")
    cohort.work.mkdir(parents=True, exist_ok=True)
    with (cohort.work / "review.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        reviews = read_reviews(cohort)
        yield reviews
        cases = {name: one.model_dump(mode="json") for name, one in sorted(reviews.items())}
        write_json(review_file(cohort), {"format": FORMAT, "cases": cases}, mode=0o600)
