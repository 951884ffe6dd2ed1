"""Which code trains here, as told by those who have it to those who do not.

Where a place's work and its pages run in two containers, the one that draws pages lacks the learner's packages, and the
hash of what is left of them is nobody's. So whoever works with the whole learner notes its mark in
`<home>/learners/<name>.json`, and pages read that. It is for reading only: every deed looks at the code itself.
"""

from __future__ import annotations

from pathlib import Path

from konsil.errors import KonsilError
from konsil.federation.approval import LearnerMark
from konsil.files import read_json, write_json
from konsil.learners.origin import lacking
from konsil.learners.registry import names
from konsil.parties.records import learner_mark

FOLDER = "learners"
UNKNOWN = (
    "Which code trains here is not known where this is read, and was not compared: no worker of this site has told."
)


def noted(home: Path, image: str) -> list[LearnerMark]:
    """Note the marks of all learners that are here as a whole, for the pages of this home; gives them."""
    marks = [learner_mark(name, image) for name in names() if not lacking(name)]
    for mark in marks:
        if _told(home, mark.name) != mark:
            write_json(home / FOLDER / f"{mark.name}.json", mark.model_dump(mode="json"))
    return marks


def mark_for_reading(home: Path, name: str, image: str) -> LearnerMark | None:
    """The learner as it is here, or where it is not here as a whole, as a worker of this home has told; else None."""
    return _told(home, name) if lacking(name) else learner_mark(name, image)


def _told(home: Path, name: str) -> LearnerMark | None:
    path = home / FOLDER / f"{name}.json"
    try:
        return LearnerMark.model_validate(read_json(path)) if path.is_file() else None
    except (KonsilError, ValueError):
        return None
