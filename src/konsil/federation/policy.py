"""A standing policy: which charters a site accepts without asking again. Specification: docs/formats/approvals.md.

A policy is a charter somebody has read, with bounds where another number would be no worse. Whatever a charter says
that the policy does not, and the other way round, lies outside it and asks a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import AwareDatetime, Field, model_validator

from konsil.errors import BadInput
from konsil.federation.approval import CohortMark, LearnerMark, Record
from konsil.federation.charter import Charter, RunName
from konsil.types import Json

FORMAT: Literal["konsil.policy/1"] = "konsil.policy/1"
SUBJECT, REVOCATION = "policy", "revocation"
LONGEST = timedelta(days=1000)
FREE = {
    "format", "run", "title", "sites", "workflow", "seed", "deadlines", "best_round", "early_stop", "divergence",
    "quorum",
}  # fmt: skip
"""Fields of a charter that change neither what is computed from patients nor what leaves."""
NUMBER = r"(-?[0-9]*\.?[0-9]+(?:e-?[0-9]+)?)?"
BOUND = re.compile(rf"([A-Za-z_][\w.]*)\s*=\s*{NUMBER}\s*\.\.\s*{NUMBER}")
NO_MORE = ("rounds", "extra_rounds", "privacy.clip_norm")
NO_LESS = ("quorum.sites", "privacy.noise_multiplier")


class Bound(Record):
    """From where to where a number may lie."""

    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: object) -> bool:
        """Whether `value` is a number within."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    @property
    def words(self) -> str:
        """`at least 1 and at most 50`."""
        parts = [("at least", self.at_least), ("at most", self.at_most)]
        return " and ".join(f"{word} {value:g}" for word, value in parts if value is not None) or "any number"


class Policy(Record):
    """`konsil.policy/1`."""

    format: Literal["konsil.policy/1"] = FORMAT
    name: RunName
    by: str = Field(min_length=1)
    at: AwareDatetime
    expires: AwareDatetime
    learner: LearnerMark
    cohort: CohortMark
    sites: tuple[str, ...]
    terms: Json
    bounds: Mapping[str, Bound]

    @model_validator(mode="after")
    def _is_usable(self) -> Policy:
        if not self.at < self.expires <= self.at + LONGEST:
            raise ValueError(f"expires: expected a time after now, at most {LONGEST.days} days later")
        if strangers := [name for name in self.bounds if not Bound().holds(self.terms.get(name))]:
            numbers = ", ".join(name for name, value in self.terms.items() if Bound().holds(value))
            raise ValueError(f"bounds: expected numbers of this charter ({numbers}), got {', '.join(strangers)}")
        return self

    def outside(self, charter: Charter, learner: LearnerMark, cohort: CohortMark | None, now: datetime) -> list[str]:
        """What lies outside this policy, one sentence each; nothing if it covers the charter."""
        found = []
        if not self.at <= now < self.expires:
            found.append(f"it counts from {self.at:%Y-%m-%d} until {self.expires:%Y-%m-%d}")
        if learner.digest != self.learner.digest:
            found.append(f"the learner is another one: {learner.words}, not {self.learner.words}")
        if cohort is None or cohort.sha256 != self.cohort.sha256:
            found.append(f"the cohort {self.cohort.name} changed or is gone")
        if strangers := [site for site in charter.sites if site not in self.sites]:
            found.append(f"the charter names other sites: {', '.join(strangers)}")
        return found + list(self._differences(terms_of(charter)))

    def _differences(self, asked: Json) -> Iterator[str]:
        for name in sorted({*asked, *self.terms}):
            value, bound = asked.get(name), self.bounds.get(name)
            if bound is not None and not bound.holds(value):
                yield f"{name} is {said(value)}, and {bound.words} is allowed"
            elif bound is None and value != self.terms.get(name):
                yield f"{name} is {said(value)}, and {said(self.terms.get(name))} is allowed"


def said(value: object) -> str:
    """A value of a charter in a sentence."""
    return "not set" if value is None else str(value)[:80]


def terms_of(charter: Charter) -> Json:
    """What a policy holds of a charter: dotted field → value."""
    content = charter.model_dump(mode="json", exclude=FREE)
    content["strategy"] = charter.rule.model_dump(mode="json", exclude_none=True)
    content["quorum"] = {"sites": charter.quorum.sites}
    content["extra_rounds"] = charter.extra_rounds
    content["precision"] = charter.precision
    if charter.secure_aggregation is not None:
        content["secure_aggregation"] = {**content["secure_aggregation"]}
        content["secure_aggregation"].pop("keys", None)
    return dict(_flat(content))


def _flat(content: Json, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def usual_bounds(terms: Json) -> dict[str, Bound]:
    """The bounds of a policy made from a charter: nobody is asked for less of the same."""
    most = {name: Bound(at_most=terms[name]) for name in NO_MORE if terms.get(name) is not None}
    return most | {name: Bound(at_least=terms[name]) for name in NO_LESS if terms.get(name) is not None}


def read_bound(text: str) -> tuple[str, Bound]:
    """`rounds=1..100`, `rounds=..100` or `learner.settings.batches=50..`; BadInput for anything else."""
    found = BOUND.fullmatch(text.strip())
    if found is None:
        raise BadInput("A bound cannot be read", expected="FIELD=LOW..HIGH, such as rounds=1..100", got=text)
    low, high = (float(end) if end else None for end in found.group(2, 3))
    return found[1], Bound(at_least=low, at_most=high)
