"""The cases of a cohort side by side, in the order in which a reviewer wants to see them: the worst first.

Fail before warn before pass; among equals, what is least like the others first; then by name. The pages of the cases
name their neighbours in this order, so "next" always leads to the next best reason to look.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from konsil.cohort.derivative import sidecar
from konsil.cohort.folder import CohortFolder
from konsil.files import read_json
from konsil.quality.limits import measure_kinds
from konsil.quality.outliers import far_off
from konsil.types import Json

ORDER = {"fail": 0, "warn": 1, "none": 2, "pass": 3}


@dataclass(frozen=True)
class Entry:
    """One case: its verdict ("none" before qc) with reasons, its table of measures, the movement of its T1w."""

    case: str
    verdict: str
    reasons: tuple[str, ...]
    measures: Json
    movement: Json
    limits: Json = field(default_factory=dict)
    far: dict[str, float] = field(default_factory=dict)  # key of a measure → badness, where it is unlike the others


def read_company(cohort: CohortFolder) -> list[Entry]:
    """All cases of a cohort that are not set aside, the worst first."""
    found = {}
    for case in cohort.cases():
        qc = read_json(cohort.qc(case)) if cohort.qc(case).is_file() else {}
        moved = sidecar(cohort.registered(case))
        found[str(case)] = (qc, read_json(moved) if moved.is_file() else {})
    far = far_off({name: qc.get("measures", {}) for name, (qc, _) in found.items()})
    return in_order(
        [
            Entry(
                case=name,
                verdict=qc.get("verdict", "none"),
                reasons=tuple(qc.get("reasons", ("It was not measured.",))),
                measures=qc.get("measures", {}),
                movement=moved,
                limits=qc.get("limits", {}),
                far=far[name],
            )
            for name, (qc, moved) in found.items()
        ]
    )


def in_order(entries: list[Entry]) -> list[Entry]:
    """The worst first."""
    return sorted(entries, key=lambda one: (ORDER[one.verdict], -max(one.far.values(), default=0.0), one.case))


def keys(company: list[Entry]) -> list[str]:
    """All measures that some case of the cohort has, in the order of the table of limits."""
    return [key for key in measure_kinds() if any(key in entry.measures for entry in company)]


def values_of(key: str, company: list[Entry]) -> list[tuple[Entry, float]]:
    """The cases for which a measure could be taken, with its value."""
    found = [(entry, entry.measures.get(key, {}).get("value")) for entry in company]
    return [(entry, float(value)) for entry, value in found if value is not None]


def name_of(line: Json) -> str:
    """`Signal to noise in parenchyma, T1w`."""
    return str(line["title"]) if line["image"] == "both" else f"{line['title']}, {line['image']}"
