"""What a reviewer sees in Airflow's Required Actions before signing: every verdict with its reasons, worst first.

The text is Markdown, which is all that Airflow's form shows; the pictures are in the report under the tab *Quality*.
"""

from __future__ import annotations

from collections.abc import Mapping

from konsil.cohort.folder import CohortFolder
from konsil.files import read_json
from konsil.quality.review import Review

ORDER = {"fail": 0, "warn": 1, "pass": 2}
MOST_LINES, MOST_NAMES = 60, 12


def cohort_markdown(cohort: CohortFolder) -> str:
    """A table of all cases with verdict and reasons, and the cases set aside."""
    rows = []
    for case in cohort.cases():
        path = cohort.qc(case)
        content = read_json(path) if path.exists() else {}
        verdict = str(content.get("verdict", "not measured"))
        rows.append((ORDER.get(verdict, 0), str(case), verdict, reasons(content.get("reasons"))))
    lines = [counts([row[2] for row in rows], len(cohort.set_aside_cases())), "", *table(sorted(rows))]
    aside = cohort.set_aside_cases()
    if aside:
        lines += ["", "**Set aside** (these do not go in):", ""]
        lines += [
            f"- `{name}` by *{entry.step}*: {plain(entry.reason)}" for name, entry in list(aside.items())[:MOST_LINES]
        ]
    return "\n".join(lines)


def reviews_markdown(standing: Mapping[str, Review], outdated: Mapping[str, Review]) -> str:
    """What was decided on single cases, and which of it is of an older page; empty if nobody reviewed."""
    lines = [f"- `{name}` **{one.decision}**{because(one)} ({plain(one.by)})" for name, one in sorted(standing.items())]
    if lines:
        lines = [*heading("Decided in the tab *Quality* so far"), *shortened(lines)]
    old = [f"- `{name}`: {one.decision} by {plain(one.by)}" for name, one in sorted(outdated.items())]
    if old:
        lines += ["", *heading("Outdated decisions, not used: the images or measures changed since"), *shortened(old)]
    return "\n".join(lines)


def because(review: Review) -> str:
    """`: reason`, or nothing."""
    return f": {plain(review.reason)}" if review.reason else ""


def heading(text: str) -> list[str]:
    """A bold line before a list."""
    return [f"**{text}:**", ""]


def shortened(lines: list[str]) -> list[str]:
    """At most `MOST_LINES` of a list, and how many more there are."""
    rest = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], f"- … and {rest} more in the report"] if rest > 0 else lines


def table(rows: list[tuple[int, str, str, str]]) -> list[str]:
    """The rows as a Markdown table; cases with the same verdict for the same reasons share a line."""
    alike: dict[tuple[str, str], list[str]] = {}
    for _, case, verdict, why in rows:
        alike.setdefault((verdict, why), []).append(case)
    lines = ["| case | verdict | why |", "|---|---|---|"]
    shown = list(alike.items())[:MOST_LINES]
    lines += [f"| {named(cases)} | **{verdict}** | {why} |" for (verdict, why), cases in shown]
    rest = len(rows) - sum(len(cases) for _, cases in shown)
    return [*lines, f"| … | | and {rest} more in the report |"] if rest else lines


def named(cases: list[str]) -> str:
    """The names of cases, at most `MOST_NAMES` of them; as code they would cover each other where a cell breaks."""
    rest = len(cases) - MOST_NAMES
    names = ", ".join(cases[:MOST_NAMES])
    return f"{names} and {rest} more" if rest > 0 else names


def counts(verdicts: list[str], aside: int) -> str:
    """`8 cases: 6 pass, 1 warn, 1 fail; 2 set aside.`"""
    kinds = sorted(set(verdicts), key=lambda verdict: (-ORDER.get(verdict, 0), verdict))
    parts = ", ".join(f"{verdicts.count(kind)} {kind}" for kind in kinds) or "none"
    return f"{len(verdicts)} cases: {parts}; {aside} set aside."


def reasons(found: object) -> str:
    """The verdict's reasons as one cell."""
    if isinstance(found, list):
        return "; ".join(plain(str(reason)).rstrip(".") for reason in found)
    return plain(str(found)) if found else ""


def plain(text: str) -> str:
    """Text that cannot break out of a table cell or become a link."""
    return " ".join(text.split()).translate(str.maketrans("|<>[]`", "/()()'"))
