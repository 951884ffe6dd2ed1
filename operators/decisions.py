"""Which decisions a sign-off carries: those kept in the tab *Quality*, and over them what the reviewer typed.

Typed is one case per line, with the reason after a colon:

sub-3F2A_ses-01: ghosting over the whole cerebellum
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from konsil.errors import BadInput
from konsil.quality.review import Review
from konsil.types import Json


def read_decisions(exclude: str | None, accept: str | None, comment: str | None, known: Iterable[str]) -> Json:
    """Decisions by case, as `konsil.cohort.frozen.SignOff` takes them.

    A case without a reason of its own gets the comment. Raises `BadInput` for a case that is not in `known`, that is
    named twice, or that has no reason at all.
    """
    decisions: Json = {}
    cases = set(known)
    for decision, text in (("exclude", exclude), ("accept", accept)):
        for name, reason in entries(text):
            if name not in cases:
                raise BadInput("the sign-off names a case that this cohort does not have", got=name)
            if name in decisions:
                raise BadInput("the sign-off names a case twice", got=name)
            why = reason or (comment or "").strip()
            if not why:
                raise BadInput(f"no reason was given for {name}", expected="a line such as sub-01_ses-01: motion")
            decisions[name] = {"decision": decision, "reason": why}
    return decisions


def with_reviews(typed: Json, reviews: Mapping[str, Review], *, by: str, at: str) -> Json:
    """Typed decisions, signed by whoever signs the cohort, over those of the tab, each with its own who and when."""
    found: Json = {
        name: {
            "decision": review.decision,
            "reason": review.reason,
            "by": review.by,
            "at": review.at.isoformat(),
            "page_sha256": review.page_sha256,
        }
        for name, review in reviews.items()
    }
    return found | {name: {**decision, "by": by, "at": at} for name, decision in typed.items()}


def entries(text: str | None) -> list[tuple[str, str]]:
    """(case, reason) of each line; lines and semicolons part them, commas part cases without a reason."""
    found = []
    for line in (text or "").replace(";", "\n").splitlines():
        name, colon, reason = line.partition(":")
        names = [name] if colon else name.split(",")
        found += [(part.strip(), reason.strip()) for part in names if part.strip()]
    return found
