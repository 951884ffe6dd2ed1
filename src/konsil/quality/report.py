"""Pages for the reviewer: one per case, one for the cohort.

The page of the cohort names the SHA-256 of every case's page, so a signature over the one covers them all. It is
written last. Cases that were set aside by any step appear on it with their sentence; nothing disappears silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from konsil.cohort.batch import each_case
from konsil.cohort.cases import Case
from konsil.cohort.derivative import fingerprint, sidecar
from konsil.cohort.folder import SUFFIXES, CohortFolder
from konsil.cohort.volume import Volume, read_volume
from konsil.errors import Missing
from konsil.files import read_json
from konsil.quality.cohort_page import write_cohort_page
from konsil.quality.facts import case_facts, number_text
from konsil.quality.limits import measure_kinds
from konsil.quality.pages import digest, is_written, render, write_page
from konsil.quality.panels import CaseImages, make_panels, thumbnail
from konsil.types import Json, Outcome

STEP = "report"


def report(cohort: CohortFolder, cases: Sequence[str] | None = None, *, workers: int = 1) -> Outcome:
    """Write the pages of the chosen cases and then the page of the whole cohort.

    A page made from the same files is kept. Raises `Missing` if the cohort has neither cases nor cases set aside.
    """
    if not cohort.cases() and not cohort.set_aside_cases():
        raise Missing(
            f"the cohort {cohort.name} has no cases",
            expected=f"converted images in {cohort.path.name}",
            hint="Run first: konsil scan, konsil deidentify, konsil convert",
        )
    outcome = each_case(cohort, cases, STEP, report_case, workers=workers)
    write_cohort_page(cohort)
    return outcome


def sources_of(cohort: CohortFolder, case: Case) -> dict[str, Path]:
    """The files that the page of a case is made from, as far as they are there."""
    wanted = {"qc": cohort.qc(case), "registered": cohort.registered(case), "lesions": cohort.lesions(case)}
    wanted["movement"] = sidecar(cohort.registered(case))
    for suffix in SUFFIXES:
        wanted[suffix] = cohort.oriented(case, suffix)
        wanted[f"mask_{suffix}"] = cohort.brain_mask(case, suffix)
    return {role: path for role, path in wanted.items() if path.is_file()}


def report_case(cohort: CohortFolder, case: Case) -> None:
    """Write the page of one case and its thumbnail for the cohort. Raises `Missing` before `konsil qc`."""
    sources = sources_of(cohort, case)
    if "qc" not in sources:
        raise Missing("the case has no verdict yet", hint="Run first: konsil qc COHORT")
    inputs = fingerprint(sources)
    mark = digest(inputs)
    if is_written(cohort.report(case), mark):
        return
    images = read_images(sources)
    qc = read_json(sources["qc"])
    movement = read_json(sources["movement"]) if "movement" in sources else {}
    page = render(
        "case.html.j2",
        mark=mark,
        case=str(case),
        cohort=cohort.name,
        qc=qc,
        groups=grouped(qc["measures"]),
        facts=case_facts(images, movement),
        panels=make_panels(images),
        thumbnail=thumbnail(images),
        inputs=inputs["sha256"],
    )
    write_page(cohort.report(case), page)


def read_images(sources: dict[str, Path]) -> CaseImages:
    """Whatever images of the case are there."""

    def get(role: str) -> Volume | None:
        return read_volume(sources[role], f"the image {role}") if role in sources else None

    lesions = read_mask(sources["lesions"]) if "lesions" in sources else None
    return CaseImages(
        flair=get("FLAIR"),
        t1w=get("T1w"),
        registered=get("registered"),
        lesions=lesions,
        brain_flair=get("mask_FLAIR"),
        brain_t1w=get("mask_T1w"),
    )


def read_mask(path: Path) -> Volume | None:
    """A lesion mask; None for one in which nothing is drawn, which is a healthy case and no error."""
    import nibabel
    import numpy as np

    image: Any = nibabel.load(path)
    if not np.asarray(image.dataobj).any():
        return None
    return read_volume(path, "the lesion mask")


def grouped(measures: Json) -> dict[str, list[Json]]:
    """The table of measures by image: T1w, FLAIR, both."""
    groups: dict[str, list[Json]] = {"T1w": [], "FLAIR": [], "both": []}
    for key in measure_kinds():
        if key in measures:
            line = measures[key]
            shown = "" if line["value"] is None else f"{number_text(line['value'])} {line['unit']}".strip()
            groups[line["image"]].append({**line, "limit": limit_text(line["limits"]), "shown": shown})
    return {image: lines for image, lines in groups.items() if lines}


def limit_text(bounds: Json) -> str:
    """`warn below 10, fail below 5`, or that there is none."""
    parts = [f"{key.replace('_', ' ')} {bounds[key]:g}" for key in sorted(bounds, reverse=True)]
    return ", ".join(parts) or "none"
