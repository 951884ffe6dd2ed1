"""The verdict: pass, warn or fail, with the reasons in words.

A verdict is advice. It sets nobody aside: the reviewer looks at the page and decides, and the freezing of the cohort
asks for a reason where the reviewer goes against it. Limits come from one table (`limits.toml`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import SimpleITK as sitk

from konsil.cohort.batch import each_case
from konsil.cohort.cases import Case
from konsil.cohort.derivative import fingerprint, is_current, sidecar
from konsil.cohort.folder import SUFFIXES, CohortFolder
from konsil.errors import Missing
from konsil.files import read_json, write_json
from konsil.provenance import generated_by, versions
from konsil.quality.limits import Bounds, Limits, MeasureKind, load_limits, measure_kinds
from konsil.quality.measure import measure_case
from konsil.quality.measured import Measured
from konsil.types import Json, Outcome

STEP = "qc"
FORMAT = "konsil-qc/1"

Verdict = Literal["pass", "warn", "fail"]


def judge(
    cohort: CohortFolder, cases: Sequence[str] | None = None, *, limits: Limits | None = None, workers: int = 1
) -> Outcome:
    """Measure every case and write its `_qc.json`; what is done for the same images and limits is skipped.

    A case that fails is "done" here: only a case that cannot be measured is set aside.
    """
    work = partial(judge_case, limits=limits or load_limits())
    return each_case(cohort, cases, STEP, work, workers=workers)


def judge_case(cohort: CohortFolder, case: Case, *, limits: Limits) -> None:
    """Measure one case and write its verdict. Raises `Missing` if the masks are not there."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    warnings = warnings_of(cohort, case)
    inputs = fingerprint(sources_of(cohort, case), limits.model_dump(mode="json")) | {"warnings": warnings}
    if is_current(cohort.qc(case), inputs):
        return
    content = conclude(measure_case(cohort, case, limits.voxel_mm), limits)
    content |= {
        "format": FORMAT,
        "case": str(case),
        "warnings": warnings,
        "Inputs": inputs,
        "GeneratedBy": [generated_by(STEP)],
        "Software": versions(),
        "notice": "Research use only, not a medical device.",
    }
    write_json(cohort.qc(case), content)


def sources_of(cohort: CohortFolder, case: Case) -> dict[str, Path]:
    """The files that a verdict rests on: images and masks, and what the registration and a drawing add where they are.

    Raises `Missing` if an image was not oriented or masked.
    """
    sources: dict[str, Path] = {}
    for suffix in SUFFIXES:
        if cohort.raw(case, suffix).is_file():
            sources |= {suffix: cohort.oriented(case, suffix), f"mask_{suffix}": cohort.brain_mask(case, suffix)}
    for path in sources.values():
        if not path.is_file():
            raise Missing(f"{path.name} is not there", hint="Run first: konsil orient COHORT, konsil mask COHORT")
    added = {"registration": sidecar(cohort.registered(case)), "lesions": cohort.lesions(case)}
    return sources | {role: path for role, path in added.items() if path.is_file()}


def warnings_of(cohort: CohortFolder, case: Case) -> list[str]:
    """What the steps before had to say about a case that they let through: how series were chosen and converted."""
    scan = cohort.work / "scan.json"
    chosen = read_json(scan).get("cases", {}).get(str(case), {}) if scan.is_file() else {}
    sentences = list(chosen.get("warnings", []))
    for suffix in SUFFIXES:
        notes = sidecar(cohort.raw(case, suffix))
        if cohort.raw(case, suffix).is_file() and notes.is_file():
            sentences += [f"{suffix}: {sentence}" for sentence in read_json(notes).get("Warnings", [])]
    return sentences


def conclude(found: Mapping[str, Measured], limits: Limits) -> Json:
    """Compare all measures with their limits: verdict, reasons (failures first) and the table of measures."""
    table: Json = {}
    reasons: list[tuple[Verdict, str]] = []
    for suffix in SUFFIXES:
        if f"{suffix.lower()}_brain_ml" not in found:
            reasons.append(("fail", f"There is no {suffix}: a case needs both T1w and FLAIR."))
    for key, kind in measure_kinds().items():
        if key not in found:
            continue
        measured, bounds = found[key], limits.bounds(key)
        verdict, side = place(measured.value, bounds, optional=kind.optional)
        if verdict != "pass":
            reasons.append((verdict, reason(key, kind, measured, verdict, side, limits)))
        table[key] = row(key, kind, measured, bounds, verdict)
    failures, warnings = ([text for level, text in reasons if level == wanted] for wanted in ("fail", "warn"))
    return {
        "verdict": "fail" if failures else "warn" if warnings else "pass",
        "reasons": failures + warnings,
        "failures": len(failures),
        "measures": table,
        "limits": {"profile": limits.profile, "voxel_mm": limits.voxel_mm, "voxel_tolerance": limits.voxel_tolerance},
    }


def place(value: float | None, bounds: Bounds, *, optional: bool) -> tuple[Verdict, str]:
    """Which verdict a value earns, and on which side of its limits it lies ("low", "high" or "")."""
    if value is None:
        return ("pass", "") if optional else ("warn", "")
    sides: tuple[tuple[Verdict, float | None, float | None], ...] = (
        ("fail", bounds.fail_below, bounds.fail_above),
        ("warn", bounds.warn_below, bounds.warn_above),
    )
    for verdict, lowest, highest in sides:
        if lowest is not None and value < lowest:
            return verdict, "low"
        if highest is not None and value > highest:
            return verdict, "high"
    return "pass", ""


def image_of(key: str) -> str:
    """The image a key belongs to, or "both"."""
    return next((suffix for suffix in SUFFIXES if key.startswith(f"{suffix.lower()}_")), "both")


def reason(key: str, kind: MeasureKind, measured: Measured, verdict: Verdict, side: str, limits: Limits) -> str:
    """One sentence: what was measured, which limit it crosses, what that means."""
    image = image_of(key)
    where = "" if image == "both" else f" of {image}"
    if measured.value is None:
        return f"{kind.title}{where} could not be measured: {measured.note or 'no reason known'}."
    if key.endswith("voxel_deviation_mm"):
        wanted = f"{limits.voxel_mm:g} ± {limits.voxel_mm * limits.voxel_tolerance:.2g} mm"
        return f"The voxels of {image} measure {measured.text}, wanted {wanted} in every direction: {kind.high}."
    bounds = limits.bounds(key)
    limit = getattr(bounds, f"{verdict}_{'below' if side == 'low' else 'above'}")
    order, meaning = ("below", kind.low) if side == "low" else ("above", kind.high)
    shown = measured.text or f"{measured.value:.3g} {kind.unit}".strip()
    return f"{kind.title}{where} is {shown}, {order} {limit:g}: {meaning}."


def row(key: str, kind: MeasureKind, measured: Measured, bounds: Bounds, verdict: Verdict) -> Json:
    """One line of the table of measures."""
    return {
        "title": kind.title,
        "image": image_of(key),
        "value": None if measured.value is None else round(measured.value, 4),
        "text": measured.text,
        "unit": kind.unit,
        "better": kind.better,
        "limits": bounds.model_dump(exclude_none=True),
        "verdict": verdict,
        "note": measured.note,
    }
