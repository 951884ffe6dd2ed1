"""The cohorts of a site as a person picks one: name → what it is recognised by, the newest first.

Read anew whenever somebody asks; a cohort that cannot be read says so and stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from konsil.cohort.folder import COHORT_NAME, CohortFolder, SiteFolder
from konsil.errors import KonsilError
from konsil.files import read_json
from konsil.types import Json


def frozen_cohorts(home: Path) -> dict[str, str]:
    """Signed or adopted cohorts: what a federation can take part with."""
    return {path.parent.name: of_frozen(path) for path in newest(home.glob("cohorts/*/cohort.json"))}


def prepared_cohorts(home: Path) -> dict[str, str]:
    """Every cohort whose images are ready, signed or not: what a model can draw lesions in."""
    site, found = SiteFolder(home), {}
    for folder in newest(path for path in home.glob("cohorts/*") if COHORT_NAME.fullmatch(path.name)):
        cohort = site.cohort(folder.name)
        if cohort.frozen.is_file():
            found[cohort.name] = of_frozen(cohort.frozen)
        elif (cohort.reports / "cohort.html").is_file():
            found[cohort.name] = of_reported(cohort)
    return found


def begun_cohorts(home: Path) -> dict[str, str]:
    """Cohorts that were scanned and are not frozen: those that the same name goes on with."""
    scans = [path.parent for path in newest(home.glob("work/*/scan.json")) if COHORT_NAME.fullmatch(path.parent.name)]
    names = [folder.name for folder in scans if not (home / "cohorts" / folder.name / "cohort.json").exists()]
    return {name: f"{name} (begun, not signed yet)" for name in names}


def newest(paths: Iterable[Path]) -> list[Path]:
    """By the time of their last change."""
    return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)


def of_frozen(path: Path) -> str:
    """`ms-2026 (12 cases, signed by reviewer on 2026-11-21)`, as far as the file says so."""
    name = path.parent.name
    try:
        content = read_json(path)
    except KonsilError:
        return f"{name} (cannot be read)"
    return f"{name} ({counted(len(content.get('cases', [])))}, {signed(content)})"


def of_reported(cohort: CohortFolder) -> str:
    """`newcomers (3 cases, not signed yet)`."""
    try:
        return f"{cohort.name} ({counted(len(cohort.cases()))}, not signed yet)"
    except KonsilError:
        return f"{cohort.name} (cannot be read)"


def signed(content: Json) -> str:
    """Who signed a frozen cohort and when; one prepared elsewhere was adopted."""
    words = content.get("sign_off") or {}
    return f"signed by {words['by']} on {str(words['at'])[:10]}" if words else "adopted"


def counted(cases: int) -> str:
    """`1 case`, `12 cases`."""
    return f"{cases} case{'' if cases == 1 else 's'}"
