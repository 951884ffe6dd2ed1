"""A draft becomes a workflow: what its author wrote (TOML and a card), and the code that is installed beside it."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from konsil.errors import BadInput, Missing
from konsil.federation.approval import LearnerMark, Record
from konsil.federation.workflow import Workflow
from konsil.learners.origin import PACKAGES
from konsil.learners.registry import names
from konsil.parties.records import learner_mark
from konsil.trust.person import Person
from konsil.types import Json

FIELDS = ("name", "version", "learner", "images", "tested", "card")
LONGEST_CARD = 1 << 17  # bytes
Kind = TypeVar("Kind", bound=Record)


def drafted(path: Path, author: Person) -> Workflow:
    """The workflow of a draft, with the code of its learner as it is here. BadInput, Missing say what is wrong."""
    content = _read(path)
    if strange := [name for name in content if name not in FIELDS]:
        raise BadInput(f"{path.name} has fields that nobody reads", expected=", ".join(FIELDS), got=", ".join(strange))
    mark = _installed(str(content.get("learner", "")))
    card = _card(path.parent / str(content.get("card", "")))
    found = content | {"card": card, "code": mark.code, "versions": mark.versions}
    now = datetime.now(UTC).replace(microsecond=0)
    return record_of(Workflow, f"{path.name} makes no workflow", **found, author=author, at=now)


def record_of(kind: type[Kind], what: str, **fields: object) -> Kind:
    """A record of these fields; BadInput names the first that is not usable."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        wrong = error.errors()[0]
        field = ".".join(str(part) for part in wrong["loc"])
        raise BadInput(what, expected=f"{field}: {wrong['msg']}"[:300]) from error


def _read(path: Path) -> Json:
    if not path.is_file():
        raise Missing(f"There is no draft {path.name}", hint="docs/formats/workflows.md shows one")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} cannot be read", expected="TOML in UTF-8", got=str(error)[:100]) from error


def _installed(learner: str) -> LearnerMark:
    """The learner of that name, if all of it is here."""
    if learner not in names():
        raise BadInput("The draft names no learner of this Konsil", expected=" or ".join(names()), got=repr(learner))
    mark = learner_mark(learner, "")
    if lacking := [package for package in PACKAGES.get(learner, ()) if package not in mark.versions]:
        what = f"{', '.join(lacking)} is not installed here, so this is not the learner that sites run"
        raise Missing(what, hint="Publish where the whole learner is installed")
    return mark


def _card(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > LONGEST_CARD:
        raise Missing("The draft's card is not there", expected='card = "NAME.md", a Markdown file beside the draft')
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path.name} cannot be read", expected="Markdown in UTF-8") from error
