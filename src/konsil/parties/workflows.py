"""A folder of workflows: publish, review, withdraw, list; and what of it goes into a charter.

    <folder>/<name>@<version>/workflow.signed            by its author
                              review-<16 digits>.signed  by a reviewer
                              withdrawn.signed           its end

By default the folder is `<home>/workflows`. Every file is signed by a person and written once, so the folder may be
copied between people. Specification: docs/formats/workflows.md.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from konsil.errors import BadInput, KonsilError, Missing
from konsil.federation.charter import Charter
from konsil.federation.workflow import (
    LIMIT,
    REVIEW,
    WITHDRAWAL,
    WORKFLOW,
    Offer,
    Review,
    Withdrawal,
    Workflow,
    credited,
    read_review,
    read_withdrawal,
    read_workflow,
)
from konsil.files import write_once
from konsil.parties.drafts import drafted, record_of
from konsil.parties.records import learner_mark
from konsil.parties.reviewers import mark_of, trusted
from konsil.trust.person import Person, Signer
from konsil.trust.signed import digest, sign
from konsil.types import Json

FOLDER, FILE, END = "workflows", "workflow.signed", "withdrawn.signed"


@dataclass(frozen=True)
class Published:
    """A workflow as it stands: `why` says why it is not approved, or why it was withdrawn."""

    name: str
    state: Literal["approved", "not approved", "withdrawn"]
    why: str = ""
    workflow: Workflow | None = None
    reviews: tuple[Review, ...] = ()
    offer: Offer | None = None

    def as_json(self) -> Json:
        """For `--json`."""
        reviews = [review.model_dump(mode="json") for review in self.reviews]
        content = self.workflow.model_dump(mode="json") if self.workflow else None
        return {"name": self.name, "state": self.state, "why": self.why, "workflow": content, "reviews": reviews}


def workflows(folder: Path, known: Collection[Person]) -> list[Published]:
    """Every workflow of the folder by name; `known` are those whose reviews count here. Nothing is written."""
    return [_published(path.parent, known) for path in sorted(folder.glob(f"*@*/{FILE}"))]


def find(folder: Path, name: str, known: Collection[Person]) -> Published:
    """The workflow of that full name; Missing where there is none."""
    found = {one.name: one for one in workflows(folder, known)}
    if name not in found:
        raise Missing(f"There is no workflow {name}", expected=f"one of: {', '.join(found) or 'none yet'}")
    return found[name]


def _published(place: Path, known: Collection[Person]) -> Published:
    try:
        document = (place / FILE).read_bytes()
        workflow = read_workflow(document)
        texts = [path.read_bytes() for path in sorted(place.glob("review-*.signed"))]
        reviews = tuple(read_review(text) for text in texts)
        offer = Offer(name=place.name, published=document.decode(), reviews=tuple(text.decode() for text in texts))
    except KonsilError as error:
        return Published(place.name, "not approved", error.sentence.rstrip("."))
    except ValidationError:
        return Published(place.name, "not approved", "it has too many reviews, or a name that is none")
    if (place / END).exists():  # whatever it holds: a doubt ends it
        return Published(place.name, "withdrawn", _reason(place / END, digest(WORKFLOW, document)), workflow, reviews)
    why = credited(offer, known).why
    return Published(place.name, "not approved" if why else "approved", why, workflow, reviews, offer)


def _reason(path: Path, of: str) -> str:
    try:
        said = read_withdrawal(path.read_bytes())
    except KonsilError:
        return "by a record that is not readable"
    if said.workflow != of:
        return "by a record of another workflow"
    return f"{said.reason or 'no reason given'} ({said.by.name}, {said.at:%Y-%m-%d})"


def publish(folder: Path, draft: Path, who: Signer) -> Published:
    """Sign what `draft` (TOML, docs/formats/workflows.md) says of the learner that is installed here.

    BadInput names the field that is not usable. A name and version that are there already are not published again.
    """
    workflow = drafted(draft, who.person)
    document = sign(WORKFLOW, workflow.model_dump(mode="json"), who.identity)
    place = folder / workflow.full_name
    if len(document) > LIMIT:
        raise BadInput("The workflow is too long", expected=f"at most {LIMIT} bytes with its card")
    if (place / FILE).exists():
        what = f"{workflow.full_name} was published already"
        raise BadInput(what, hint="Give it another version; a version is used once")
    write_once(place / FILE, document)
    return _published(place, [])


def review(folder: Path, name: str, who: Signer, *, approve: bool, words: str) -> Published:
    """Sign a verdict on a workflow, once per reviewer.

    BadInput where the reviewer is the author, where there is one of theirs already, and for an approval beside other
    code than the published one: what is not installed here was not looked at here.
    """
    found = _open(folder, name)
    if who.person.is_same(found.author):
        raise BadInput(f"{name} is reviewed by another person than its author", got=f"{who.person.name} for both")
    if approve and (why := found.why_not(learner_mark(found.learner, ""))):
        raise BadInput(
            f"{name} cannot be approved from here: {why}", hint="Install the published versions, then look again"
        )
    path = folder / name / f"review-{mark_of(who.person)}.signed"
    if path.exists():
        raise BadInput(
            f"{who.person.name} has reviewed {name} already",
            hint="A verdict is final; withdraw it, or publish a new version",
        )
    record = record_of(
        Review, "The review is not complete", workflow=_digest(folder, name), reviewer=who.person,
        verdict="approve" if approve else "refuse", words=words.strip(), at=datetime.now(UTC).replace(microsecond=0),
    )  # fmt: skip
    write_once(path, sign(REVIEW, record.model_dump(mode="json"), who.identity))
    return find(folder, name, [who.person])


def withdraw(folder: Path, name: str, who: Signer, *, reason: str = "") -> Published:
    """End a workflow: it goes into no charter from now on. A second withdrawal changes nothing."""
    _open(folder, name, ended=True)
    record = record_of(
        Withdrawal, "The withdrawal is not complete", workflow=_digest(folder, name), by=who.person,
        reason=reason.strip(), at=datetime.now(UTC).replace(microsecond=0),
    )  # fmt: skip
    write_once(folder / name / END, sign(WITHDRAWAL, record.model_dump(mode="json"), who.identity))
    return find(folder, name, [])


def _open(folder: Path, name: str, *, ended: bool = False) -> Workflow:
    """A workflow that is whole and, unless `ended`, not withdrawn."""
    found = find(folder, name, [])
    if found.workflow is None:
        raise BadInput(f"{name} cannot be read", got=found.why, hint="Ask its author for the files once more")
    if found.state == "withdrawn" and not ended:
        raise BadInput(f"{name} was withdrawn", got=found.why)
    return found.workflow


def _digest(folder: Path, name: str) -> str:
    return digest(WORKFLOW, (folder / name / FILE).read_bytes())


def with_documents(charter: Charter, home: Path) -> Charter:
    """The charter as it is published: with the records of the workflow that it names, if it names one.

    BadInput, Missing where that workflow is not one to offer to sites, from this centre, now.
    """
    if charter.workflow is None:
        return charter
    found = find(home / FOLDER, charter.workflow.name, trusted(home))
    what = f"The workflow {found.name} cannot be offered to sites"
    if found.state != "approved" or found.workflow is None:
        withdrawn = "it was withdrawn: " if found.state == "withdrawn" else ""
        raise BadInput(what, got=f"{withdrawn}{found.why}", hint="konsil workflow list shows how each stands")
    if why := found.workflow.why_not(learner_mark(charter.learner.name, "")):
        raise BadInput(what, got=why, hint="Install the published versions at the centre, or publish what is there")
    return charter.model_copy(update={"workflow": found.offer})
