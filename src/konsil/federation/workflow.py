"""Workflows: which code somebody published as a learner, where it was tested, and who reviewed it.

    Workflow    signed by its author: name, version, hash of the code, card, where it was tested
    Review      signed by a reviewer, over the digest of the workflow
    Withdrawal  the end of a workflow, for charters to come
    Offer       what a charter carries: the name, the signed workflow, its signed reviews

Specification: docs/formats/workflows.md. Nothing here knows a home: `judged` is a function of the documents, the
learner that is installed, and the people who are trusted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError, model_validator

from konsil.errors import BadMessage
from konsil.federation.approval import Digest, LearnerMark, Record
from konsil.trust.person import Person, opened_by
from konsil.trust.signed import digest

WORKFLOW, REVIEW, WITHDRAWAL = "workflow", "review", "withdrawal"
LIMIT = 1 << 18  # bytes of a document
SHOWN = 300  # characters of a reviewer's words in a sentence
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{2,40}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,30}$")]
FullName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{2,40}@[0-9A-Za-z][0-9A-Za-z.+-]{0,30}$")]
Image = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
TEXT = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"  # with tabs and line ends, without what drives a terminal
Word = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=LINE)]
Statement = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=LINE)]
Document = Annotated[str, StringConstraints(max_length=LIMIT)]
Found = TypeVar("Found", bound=Record)


class Workflow(Record):
    """`konsil.workflow/1`. `code` is the learner's hash as an approval has it; `images` hold that code."""

    format: Literal["konsil.workflow/1"] = "konsil.workflow/1"
    name: Identifier
    version: Version
    learner: Word
    code: Digest
    versions: dict[Word, Word] = Field(max_length=20)
    images: tuple[Image, ...] = Field(default=(), max_length=20)
    card: Annotated[str, StringConstraints(min_length=1, max_length=20_000, pattern=TEXT)]
    tested: tuple[Statement, ...] = Field(min_length=1, max_length=50)
    author: Person
    at: AwareDatetime

    @property
    def full_name(self) -> str:
        """`nnunet-ms@1.2`: by which charters and commands name it."""
        return f"{self.name}@{self.version}"

    def why_not(self, mark: LearnerMark) -> str:
        """Why the learner with this mark is not what was published; empty if it is."""
        if mark.name != self.learner:
            return f"it is about the learner {self.learner}, not {mark.name}"
        if mark.code != self.code:
            published = LearnerMark.of(self.learner, self.code, "", self.versions)
            return f"the code here is another one: reviewed was {published.words}; here is {mark.words}"
        if mark.image and mark.image not in self.images:
            return f"the container image here ({mark.image[:19]}…) is none of those that were published"
        return ""


class Review(Record):
    """`konsil.review/1`: what one reviewer says of one workflow, named by its digest."""

    format: Literal["konsil.review/1"] = "konsil.review/1"
    workflow: Digest
    reviewer: Person
    verdict: Literal["approve", "refuse"]
    words: Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=TEXT)]
    at: AwareDatetime


class Withdrawal(Record):
    """`konsil.withdrawal/1`: the end of a workflow."""

    format: Literal["konsil.withdrawal/1"] = "konsil.withdrawal/1"
    workflow: Digest
    by: Person
    reason: Annotated[str, StringConstraints(max_length=2000, pattern=TEXT)]
    at: AwareDatetime


class Offer(Record):
    """What a charter says of its workflow. The operator writes the name, or a string; the centre adds the documents."""

    name: FullName
    published: Document = Field(default="", exclude_if=lambda value: not value)
    reviews: tuple[Document, ...] = Field(default=(), max_length=9, exclude_if=lambda value: not value)

    @model_validator(mode="before")
    @classmethod
    def _may_be_a_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given


@dataclass(frozen=True)
class Verdict:
    """Whether a workflow counts as reviewed. `why`: why it does not, empty if it does.

    `lasting`: nothing that is done at this place changes that. `review` is the approval that was believed, `reviewer`
    whoever gave it under the name by which this place knows them.
    """

    why: str = ""
    lasting: bool = False
    workflow: Workflow | None = None
    review: Review | None = None
    reviewer: str = ""
    digest: str = ""

    @property
    def words(self) -> str:
        """The sentence that a custodian reads."""
        if self.why or self.workflow is None or self.review is None:
            return f"Not reviewed: {self.why.rstrip('.')}."
        return (
            f"Reviewed by {self.reviewer} on {self.review.at:%Y-%m-%d}: “{self.review.words[:SHOWN]}” "
            f"({self.workflow.full_name}, published by {self.workflow.author.name})."
        )


def read_workflow(document: bytes) -> Workflow:
    """A workflow, signed by the author that it names; BadMessage otherwise."""
    return _read(Workflow, WORKFLOW, document, "author")


def read_review(document: bytes) -> Review:
    """A review, signed by the reviewer that it names; BadMessage otherwise."""
    return _read(Review, REVIEW, document, "reviewer")


def read_withdrawal(document: bytes) -> Withdrawal:
    """A withdrawal, signed by whom it names; BadMessage otherwise."""
    return _read(Withdrawal, WITHDRAWAL, document, "by")


def _read(kind: type[Found], subject: str, document: bytes, role: str) -> Found:
    if len(document) > LIMIT:
        raise BadMessage(f"a {subject} is too long", expected=f"at most {LIMIT} bytes")
    content, _ = opened_by(subject, document, role)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        fields = sorted({str(found["loc"][0]) for found in error.errors() if found["loc"]})
        raise BadMessage(f"a {subject} is not read: fields are wrong", got=", ".join(fields)) from error


def credited(offer: Offer | None, known: Collection[Person]) -> Verdict:
    """Whether an offer holds a whole workflow that one of the `known` people approved, and none of them refused."""
    if offer is None or not offer.published:
        return Verdict("the charter brings no reviewed workflow", lasting=True)
    document = offer.published.encode("utf-8", "replace")
    try:
        workflow = read_workflow(document)
        reviews = [read_review(text.encode("utf-8", "replace")) for text in offer.reviews]
    except BadMessage as error:
        return Verdict(error.sentence.rstrip("."), lasting=True)
    if workflow.full_name != offer.name:
        return Verdict(f"{offer.name} was asked for, and what came is {workflow.full_name}", lasting=True)
    if any(review.workflow != digest(WORKFLOW, document) for review in reviews):
        return Verdict(f"a review that came with {offer.name} is of another workflow", lasting=True)
    return _weighed(workflow, reviews, {person.key: person for person in known}, offer)


def _weighed(workflow: Workflow, reviews: Sequence[Review], known: dict[str, Person], offer: Offer) -> Verdict:
    """The verdict on intact reviews of one workflow."""
    if not reviews:
        return Verdict("nobody has reviewed it", lasting=True, workflow=workflow)
    for review in reviews:
        if review.verdict == "refuse" and review.reviewer.key in known:
            name, said = known[review.reviewer.key].name, " ".join(review.words.split())[:SHOWN]
            return Verdict(f"{name} refused {workflow.full_name}: {said}", lasting=True, workflow=workflow)
    approved = [review for review in reviews if review.verdict == "approve"]
    others = [review for review in approved if not _is_own(review, workflow, known)]
    if not others:
        why = "its author has reviewed it alone" if approved else "nobody has approved it"
        return Verdict(why, lasting=True, workflow=workflow)
    for review in others:
        if review.reviewer.key in known:
            document = offer.reviews[reviews.index(review)].encode()
            name = known[review.reviewer.key].name
            return Verdict("", False, workflow, review, name, digest(REVIEW, document))
    people = ", ".join(f"{review.reviewer.name} (fingerprint {review.reviewer.fingerprint})" for review in others)
    return Verdict(f"it was reviewed by {people}, who is not trusted here", workflow=workflow)


def _is_own(review: Review, workflow: Workflow, known: dict[str, Person]) -> bool:
    """Whether a review is its author's, under the name in it or the one by which the key is known here."""
    people = [review.reviewer, *([known[review.reviewer.key]] if review.reviewer.key in known else [])]
    return any(person.is_same(workflow.author) for person in people)


def judged(offer: Offer | None, mark: LearnerMark, known: Collection[Person]) -> Verdict:
    """Whether the learner with this mark was reviewed by one of the `known` people, by what a charter carries."""
    found = credited(offer, known)
    if found.why or found.workflow is None:
        return found
    why = found.workflow.why_not(mark)
    return Verdict(why, lasting=mark.name != found.workflow.learner, workflow=found.workflow) if why else found
