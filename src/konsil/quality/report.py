"""Pages for the reviewer: one per case, one for the cohort.

The page of the cohort names the SHA-256 of every case's page, so a signature over the one covers them all. It is
written last. Cases that were set aside by any step appear on it with their sentence; nothing disappears silently.

The page of a case shows its measures among those of the whole cohort, and names its neighbours. So it depends on the
other cases' `_qc.json`: they are part of what it was made from (`konsil-inputs`), and when one of them changes, the
page is written again, with the pictures it already holds. `konsil-case` in its head covers the case's own files alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from konsil.cohort.batch import each_case
from konsil.cohort.cases import Case
from konsil.cohort.derivative import fingerprint, sidecar
from konsil.cohort.folder import SUFFIXES, CohortFolder
from konsil.cohort.volume import Volume, read_mask, read_volume
from konsil.errors import Missing
from konsil.files import read_json
from konsil.quality.cohort_page import write_cohort_page
from konsil.quality.company import keys, read_company
from konsil.quality.facts import case_facts, number_text
from konsil.quality.lesions import read_lesions
from konsil.quality.limits import measure_kinds
from konsil.quality.origin import origin_of
from konsil.quality.pages import KEPT, digest, is_written, part_of, render, seen_of, write_page
from konsil.quality.panels import CaseImages, Panel, make_panels, thumbnail
from konsil.quality.reference import Reference, load_reference
from konsil.quality.sections import section
from konsil.quality.strips import HEIGHT, WIDTH, Strip, make_strip
from konsil.quality.vocabulary import ARTIFACTS
from konsil.types import Json, Outcome

STEP = "report"


def report(
    cohort: CohortFolder,
    cases: Sequence[str] | None = None,
    *,
    workers: int = 1,
    reference: Reference | None = None,
) -> Outcome:
    """Write the pages of the chosen cases and then the page of the whole cohort.

    The measures are shown beside `reference`, by default the packaged one. A page made from the same files is kept;
    pages of cases that were not chosen keep the strips they have. Raises `Missing` if the cohort has neither cases nor
    cases set aside.
    """
    if not cohort.cases() and not cohort.set_aside_cases():
        raise Missing(
            f"the cohort {cohort.name} has no cases",
            expected=f"converted images in {cohort.path.name}",
            hint="Run first: konsil scan, konsil deidentify, konsil convert",
        )
    company, beside = read_company(cohort), reference or load_reference()
    strips = {key: strip for key in keys(company) if (strip := make_strip(key, company, beside))}
    around = Around([entry.case for entry in company], strips, f"{beside.name}: {beside.source}")
    outcome = each_case(cohort, cases, STEP, partial(report_case, around=around), workers=workers)
    write_cohort_page(cohort, beside)
    return outcome


def sources_of(cohort: CohortFolder, case: Case) -> dict[str, Path]:
    """The files that the page of a case is made from, as far as they are there."""
    wanted = {"qc": cohort.qc(case), "registered": cohort.registered(case), "lesions": cohort.lesions(case)}
    wanted["movement"] = sidecar(cohort.registered(case))
    for suffix in SUFFIXES:
        wanted[suffix] = cohort.oriented(case, suffix)
        wanted[f"mask_{suffix}"] = cohort.brain_mask(case, suffix)
    return {role: path for role, path in wanted.items() if path.is_file()}


@dataclass(frozen=True)
class Around:
    """What the page of a case shows of the others: their names in order, a strip by measure, the reference in words."""

    order: list[str]
    strips: dict[str, Strip]
    beside: str


def report_case(cohort: CohortFolder, case: Case, *, around: Around) -> None:
    """Write the page of one case; one made from the same files is kept. Raises `Missing` before `konsil qc`."""
    sources = sources_of(cohort, case)
    if "qc" not in sources:
        raise Missing("the case has no verdict yet", hint="Run first: konsil qc COHORT")
    inputs, origin = fingerprint(sources)["sha256"], origin_of(cohort, case)
    seen, beside = digest([inputs, origin]), neighbours(str(case), around.order)
    drawn = [strip.drawn(str(case)) for strip in around.strips.values()]
    mark = digest([seen, beside, drawn, around.beside])
    path = cohort.report(case)
    if is_written(path, mark):
        return
    pictures = kept_pictures(path, seen) or draw(sources, origin)
    page = render(
        "case.html.j2",
        mark=mark,
        seen=seen,
        case=str(case),
        cohort=cohort.name,
        pictures=pictures,
        artifacts=ARTIFACTS,
        inputs=inputs,
        origin=origin,
        reference=around.beside,
        **beside,
        **about_quality(read_json(sources["qc"]), around.strips, str(case)),
    )
    write_page(path, page)


def about_quality(qc: Json, strips: dict[str, Strip], case: str) -> Json:
    """What the template needs for verdict and measures: those with limits first, the others folded away."""
    measures: Json = qc["measures"]
    told = {key: line for key, line in measures.items() if line["limits"] or line["verdict"] != "pass"}
    rest = {key: line for key, line in measures.items() if key not in told}
    return {
        "qc": qc,
        "groups": grouped(told, strips, case),
        "more": grouped(rest, strips, case),
        "measures": section("measures"),
        "provenance": section("provenance"),
        "width": WIDTH,
        "height": HEIGHT,
    }


def neighbours(case: str, names: list[str]) -> Json:
    """The cases before and after this one, its place among all, and how many there are (names may be empty)."""
    place = names.index(case) if case in names else len(names)
    return {
        "before": names[place - 1] if 0 < place < len(names) else "",
        "after": names[place + 1] if place + 1 < len(names) else "",
        "place": place + 1,
        "number": len(names),
    }


def kept_pictures(path: Path, seen: str) -> str:
    """The pictures of the page that lies there, if it was made from the same files of the case."""
    if seen_of(path) != seen:
        return ""
    return part_of(path.read_text(encoding="utf-8"), KEPT)


def draw(sources: dict[str, Path], origin: Json) -> str:
    """The pictures of a case, with its facts above them and its thumbnail below, as markup."""
    images = read_images(sources)
    movement = read_json(sources["movement"]) if "movement" in sources else {}
    return render(
        "pictures.html.j2",
        facts=case_facts(images, movement, origin["scanner"]),
        rows=in_rows(make_panels(images)),
        thumbnail=thumbnail(images),
    ).strip()


def in_rows(panels: list[Panel]) -> list[list[Panel]]:
    """Panels that stand side by side, together."""
    rows: list[list[Panel]] = []
    for panel in panels:
        if panel.section.row and rows and rows[-1][0].section.row == panel.section.row:
            rows[-1].append(panel)
        else:
            rows.append([panel])
    return rows


def read_images(sources: dict[str, Path]) -> CaseImages:
    """Whatever images of the case are there."""

    def get(role: str) -> Volume | None:
        return read_volume(sources[role], f"the image {role}") if role in sources else None

    def mask(role: str) -> Volume | None:
        return read_mask(sources[role], f"the image {role}") if role in sources else None

    return CaseImages(
        flair=get("FLAIR"),
        t1w=get("T1w"),
        registered=get("registered"),
        lesions=drawn(sources["lesions"]) if "lesions" in sources else None,
        brain_flair=mask("mask_FLAIR"),
        brain_t1w=mask("mask_T1w"),
    )


def drawn(path: Path) -> Volume | None:
    """A lesion mask; None for one in which nothing is drawn, which is a healthy case and no error."""
    lesions = read_lesions(path)
    return lesions if lesions.data.any() else None


def grouped(measures: Json, strips: dict[str, Strip], case: str) -> dict[str, list[Json]]:
    """The table of measures by image: T1w, FLAIR, both; each line with its strip and the case's mark on it."""
    groups: dict[str, list[Json]] = {"T1w": [], "FLAIR": [], "both": []}
    for key in measure_kinds():
        if key in measures:
            line, strip = measures[key], strips.get(key)
            shown = "" if line["value"] is None else f"{number_text(line['value'])} {line['unit']}".strip()
            drawn = {"strip": strip, "dot": strip.dot(case) if strip else None}
            groups[line["image"]].append({**line, "limit": limit_texts(line["limits"]), "shown": shown, **drawn})
    return {image: lines for image, lines in groups.items() if lines}


def limit_texts(bounds: Json) -> list[str]:
    """`warn below 10`, `fail outside 700 to 2400`, or that there is none."""
    texts = []
    for verdict in ("warn", "fail"):
        low, high = (bounds.get(f"{verdict}_{side}") for side in ("below", "above"))
        if low is not None and high is not None:
            texts.append(f"{verdict} outside {low:g} to {high:g}")
        else:
            texts += [
                f"{verdict} {side} {limit:g}" for side, limit in (("below", low), ("above", high)) if limit is not None
            ]
    return texts or ["none"]
