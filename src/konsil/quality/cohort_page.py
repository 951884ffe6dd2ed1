"""The page of a cohort: one sentence, the cases worst first, what is unusual among them, and who was set aside.

Limits are the same for everybody, but scanners differ. So each measure is also shown for all cases side by side, and a
case that lies far from its own cohort is named: modified z-score 0.6745 (x - median) / MAD above 3.5 (Iglewicz and
Hoaglin 1993), asked only of cohorts with at least 8 cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from konsil.cohort.cases import Case
from konsil.cohort.derivative import sidecar
from konsil.cohort.folder import CohortFolder
from konsil.files import read_json, sha256_of
from konsil.quality.facts import number_text
from konsil.quality.limits import measure_kinds
from konsil.quality.pages import digest, is_written, render, write_page
from konsil.types import Json

FEWEST_FOR_UNUSUAL = 8
UNUSUAL_Z = 3.5
ORDER = {"fail": 0, "warn": 1, "none": 2, "pass": 3}
WIDTH, HEIGHT, EDGE = 340, 26, 10  # of a strip, in pixels


@dataclass(frozen=True)
class Row:
    """One case in the table."""

    case: str
    verdict: str
    reasons: tuple[str, ...]
    measures: Json
    movement: Json
    page: str
    page_sha256: str
    thumbnail: str


@dataclass(frozen=True)
class Strip:
    """All values of one measure side by side."""

    title: str
    unit: str
    lowest: str
    highest: str
    dots: tuple[tuple[float, str, str], ...]  # position in pixels, verdict, what to say about it


def write_cohort_page(cohort: CohortFolder) -> None:
    """Write `cohort.html` from the cases' files; the same files give the same bytes."""
    rows = sorted((read_row(cohort, case) for case in cohort.cases()), key=lambda row: (ORDER[row.verdict], row.case))
    aside = cohort.set_aside_cases()
    inputs = {"pages": {row.case: [row.page_sha256, row.verdict] for row in rows}}
    inputs["aside"] = {name: [entry.step, entry.reason] for name, entry in aside.items()}
    path, mark = cohort.reports / "cohort.html", digest(inputs)
    if is_written(path, mark):
        return
    page = render(
        "cohort.html.j2",
        mark=mark,
        cohort=cohort.name,
        sentence=summary(rows, len(aside)),
        rows=rows,
        unusual=unusual(rows),
        strips=[strip for key in keys(rows) if (strip := make_strip(key, rows))],
        aside=aside,
        width=WIDTH,
        height=HEIGHT,
        limits=next((read_json(cohort.qc(Case.parse(row.case)))["limits"] for row in rows if row.measures), None),
    )
    write_page(path, page)


def read_row(cohort: CohortFolder, case: Case) -> Row:
    """What the table says of a case; a case without verdict is shown as such."""
    qc = read_json(cohort.qc(case)) if cohort.qc(case).is_file() else {}
    moved = sidecar(cohort.registered(case))
    page = cohort.report(case)
    return Row(
        case=str(case),
        verdict=qc.get("verdict", "none"),
        reasons=tuple(qc.get("reasons", ("It was not measured.",))),
        measures=qc.get("measures", {}),
        movement=read_json(moved) if moved.is_file() else {},
        page=page.name if page.is_file() else "",
        page_sha256=sha256_of(page) if page.is_file() else "",
        thumbnail=thumbnail_of(page.read_text(encoding="utf-8")) if page.is_file() else "",
    )


def thumbnail_of(page: str) -> str:
    """The markup of the thumbnail that the page of a case carries between two comments; empty if it has none."""
    _, start, rest = page.partition("<!--thumbnail-->")
    found, end, _ = rest.partition("<!--/thumbnail-->")
    return found.strip() if start and end else ""


def summary(rows: list[Row], aside: int) -> str:
    """`24 cases: 20 pass, 3 warn, 1 fail. 2 were set aside.`"""
    if not rows:
        return f"No case came through; {aside} {'was' if aside == 1 else 'were'} set aside."
    words = {"pass": "pass", "warn": "warn", "fail": "fail", "none": "not measured"}
    counts = [(sum(row.verdict == verdict for row in rows), word) for verdict, word in words.items()]
    found = ", ".join(f"{number} {word}" for number, word in counts if number)
    rest = "none was set aside" if aside == 0 else f"{aside} {'was' if aside == 1 else 'were'} set aside"
    return f"{len(rows)} {'case' if len(rows) == 1 else 'cases'}: {found}; {rest}."


def keys(rows: list[Row]) -> list[str]:
    """All measures that some case of the cohort has, in the order of the table of limits."""
    return [key for key in measure_kinds() if any(key in row.measures for row in rows)]


def values_of(key: str, rows: list[Row]) -> list[tuple[Row, float]]:
    """The cases for which a measure could be taken, with its value."""
    found = [(row, row.measures.get(key, {}).get("value")) for row in rows]
    return [(row, float(value)) for row, value in found if value is not None]


def z_scores(values: list[float]) -> list[float]:
    """Modified z-scores; 0 for all if more than half of the values are equal."""
    array = np.array(values)
    middle = np.median(array)
    spread = float(np.median(np.abs(array - middle)))
    if spread == 0:
        return [0.0] * len(values)
    return [float(score) for score in 0.6745 * (array - middle) / spread]


def unusual(rows: list[Row]) -> list[tuple[str, str, str]]:
    """(case, page, sentence) for every value far from the rest of this cohort, on the bad side or either."""
    found = []
    for key in keys(rows):
        pairs = values_of(key, rows)
        if len(pairs) < FEWEST_FOR_UNUSUAL:
            continue
        scores = z_scores([value for _, value in pairs])
        for (row, value), score in zip(pairs, scores, strict=True):
            line = row.measures[key]
            bad = {"higher": score < 0, "lower": score > 0}.get(line["better"], True)
            if abs(score) > UNUSUAL_Z and bad:
                found.append((row.case, row.page, f"{name_of(line)} is {number_text(value)}, unlike the others here"))
    return sorted(found)


def name_of(line: Json) -> str:
    """`Signal to noise in parenchyma, T1w`."""
    return line["title"] if line["image"] == "both" else f"{line['title']}, {line['image']}"


def make_strip(key: str, rows: list[Row]) -> Strip | None:
    """The strip of one measure, or None if fewer than two cases have it or all are equal."""
    pairs = values_of(key, rows)
    values = [value for _, value in pairs]
    if len(values) < 2 or max(values) == min(values):
        return None
    line: dict[str, Any] = pairs[0][0].measures[key]
    low, high = min(values), max(values)
    dots = tuple(
        (
            round(EDGE + (WIDTH - 2 * EDGE) * (value - low) / (high - low), 1),
            row.measures[key]["verdict"],
            f"{row.case}: {number_text(value)}",
        )
        for row, value in pairs
    )
    return Strip(name_of(line), line["unit"], number_text(low), number_text(high), dots)
