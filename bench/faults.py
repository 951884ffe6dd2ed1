"""Are planted faults caught, and clean patients left in peace? The whole of `prepare_cohort` on synthetic patients.

Patients of all three sites at 2 mm, as DICOM, each clean or with one fault, go through scan, de-identification,
conversion, orientation, masks, registration and quality control, as functions, a site's folder each. Two in five are
clean; the others share the eight faults evenly.

Caught means that a person is told of it: the case is set aside by a step that can see this fault, or its verdict is
warn or fail with a reason that concerns this fault (`ABOUT`). A case that is told for another reason counts as missed.
Specificity is the share of clean patients whose verdict is pass. Seeds are not those of the artifact score's training.

What was measured is kept under `--cache`, one file per patient: a run that was stopped goes on. It is judged each time
it is counted, by the limits and the artifact score of the day.

    python bench/faults.py --patients 210 --workers 2 --json build/bench/faults.json --docs docs/quality-faults.md
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from konsil.cohort.cases import Case
from konsil.cohort.folder import SUFFIXES, CohortFolder, SiteFolder
from konsil.cohort.volume import read_volume
from konsil.dicom.convert import convert
from konsil.dicom.deidentify import deidentify
from konsil.dicom.scan import scan
from konsil.files import read_json, write_json
from konsil.phantom.hospital import write_hospital
from konsil.quality.artifact_score import artifact_probability, measure_artifacts
from konsil.quality.limits import load_limits, measure_kinds
from konsil.quality.masks import mask, read_placement
from konsil.quality.verdict import judge, place
from konsil.registration.orient import orient
from konsil.registration.register import register

SITES = ("A", "B", "C")
FIRST_SEED = 500  # of the first hospital; patient numbers are 1000 times as large, far from those of the training
RESOLUTION_MM, LIMITS = 2.0, "phantom-2mm"
CLEAN_SHARE = 0.4
FAULTS = (
    "motion",
    "ghosting",
    "spike",
    "cropped_head",
    "wrong_voxel_size",
    "swapped_patients",
    "missing_flair",
    "missing_slice",
)
IMAGE = ("artifact_probability", "air_structure", "efc", "cnr", "cjv", "spike_score", "snr_parenchyma", "qi_1", "qi_2")
GHOSTS = (*IMAGE, "fber", *(f"{kind}_{axis}" for kind in ("gsr", "streak") for axis in "xyz"))
SAME_HEAD = ("same_person_score", "registration_residual_mm", "brain_overlap_dice", "mutual_information")
# Measures whose warning concerns a fault, without the image; and the steps that may set a case aside because of it.
ABOUT: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "motion": (GHOSTS, ("mask", "register")),
    "ghosting": (GHOSTS, ("mask", "register")),
    "spike": (IMAGE, ("mask", "register")),
    "cropped_head": (("cropped_percent", "brain_ml", "brain_volume_similarity"), ("convert", "mask", "register")),
    "wrong_voxel_size": (("voxel_deviation_mm",), ("convert",)),
    "swapped_patients": (SAME_HEAD, ("register",)),
    "missing_flair": ((), ("scan",)),
    "missing_slice": ((), ("scan", "convert")),
}


def plan(patients: int, first_seed: int = FIRST_SEED) -> list[tuple[int, str, str]]:
    """Seed, site and fault ("" = clean) of every patient; a longer plan begins with a shorter one."""
    chance, result = np.random.default_rng(20), []
    block = ["", *FAULTS] * 3 + [""] * round(24 * CLEAN_SHARE / (1 - CLEAN_SHARE) - 3)
    while len(result) < patients:
        for fault in chance.permutation(np.array(block)).tolist():
            number = len(result)
            result.append((first_seed + number, SITES[number % len(SITES)], str(fault)))
    return result[:patients]


def prepare(case: tuple[int, str, str], cache: Path) -> dict[str, Any]:
    """Take one patient through all steps, unless that was done, and note what a person would be told."""
    seed, site, fault = case
    path = cache / f"{seed}-{site}-{fault or 'clean'}.json"
    if path.is_file():
        return read_json(path)
    cache.mkdir(parents=True, exist_ok=True)
    started, home = time.process_time(), Path(tempfile.mkdtemp(dir=cache, prefix=".work-"))
    try:
        faults = {fault: 1} if fault else {}
        write_hospital(
            home / "inbox",
            site=site,
            cases=1,
            seed=seed,
            resolution_mm=RESOLUTION_MM,
            faults=faults,
            truth=home / "truth.json",
        )
        made = time.process_time()
        found = steps(SiteFolder(home / "site"), home / "inbox")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    seconds = {"phantom_cpu_s": round(made - started, 1), "prepare_cpu_s": round(time.process_time() - made, 1)}
    found |= {"seed": seed, "site": site, "fault": fault} | seconds
    write_json(path, found)
    return found


def steps(site: SiteFolder, inbox: Path) -> dict[str, Any]:
    """All steps of `prepare_cohort` before the report: who was set aside by which step, and the verdict of the rest."""
    folder = site.cohort("faults")
    aside: dict[str, list[str]] = {}
    outcome = scan(site, folder.name, inbox)
    note(aside, "scan", outcome.set_aside)
    if outcome.done:
        note(aside, "deidentify", deidentify(site, folder.name, inbox=inbox).set_aside)
        note(aside, "convert", convert(site, folder.name).set_aside)
        for step, work in (("orient", orient), ("mask", mask), ("register", register)):
            note(aside, step, work(folder).set_aside)
        note(aside, "qc", judge(folder, limits=load_limits(LIMITS)).set_aside)
    judged = [read_json(folder.qc(case)) for case in folder.cases() if folder.qc(case).is_file()]
    values = {key: row["value"] for qc in judged for key, row in qc["measures"].items()}
    features = {suffix: features_of(folder, case, suffix) for case in folder.cases() for suffix in SUFFIXES}
    return {"set_aside": list(aside.values()), "values": values, "features": features if judged else {}}


def features_of(folder: CohortFolder, case: Case, suffix: str) -> dict[str, float | None]:
    """What the artifact score reads, kept so that another model can be tried on the same patients."""
    image = read_volume(folder.oriented(case, suffix), f"the oriented {suffix}")
    return measure_artifacts(image, read_placement(folder, case, suffix))


def told(found: dict[str, Any]) -> dict[str, str]:
    """Measures that warn or fail, by key, with the artifact score and the limits of today."""
    limits, kinds, values = load_limits(LIMITS), measure_kinds(), dict(found["values"])
    for suffix, features in found["features"].items():
        values[f"{suffix.lower()}_artifact_probability"] = artifact_probability(features, suffix)
    verdicts = {key: place(value, limits.bounds(key), optional=kinds[key].optional)[0] for key, value in values.items()}
    return {key: verdict for key, verdict in verdicts.items() if verdict != "pass"}


def note(aside: dict[str, list[str]], step: str, refused: Any) -> None:
    """Keep the first step that refused each case, and its sentence."""
    for name, sentence in refused.items():
        aside.setdefault(name, [step, sentence])


def outcome_of(found: dict[str, Any]) -> str:
    """`pass`, `warn`, `fail`, or `set aside`."""
    verdicts = told(found).values()
    return "set aside" if found["set_aside"] else max(verdicts, key=("warn", "fail").index, default="pass")


def is_caught(found: dict[str, Any], fault: str) -> bool:
    """Whether what a person is told concerns this fault."""
    names, steps_ = ABOUT[fault]
    if any(step in steps_ for step, _ in found["set_aside"]):
        return True
    return any(key.removeprefix("t1w_").removeprefix("flair_") in names for key in told(found))


def confusion(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Outcomes by planted fault, sensitivity of each, specificity, and what clean patients were told for."""
    rows: dict[str, Any] = {}
    for fault in ("", *FAULTS):
        own = [found for found in results if found["fault"] == fault]
        outcomes = [outcome_of(found) for found in own]
        row: dict[str, Any] = {name: outcomes.count(name) for name in ("pass", "warn", "fail", "set aside")}
        good = row["pass"] if not fault else sum(is_caught(found, fault) for found in own)
        row |= {"patients": len(own), "right": good, "share": round(good / len(own), 4) if own else None}
        row["interval_95"] = interval(good, len(own))
        row["by_site"] = {
            site: [
                sum(is_caught(f, fault) if fault else outcome_of(f) == "pass" for f in own if f["site"] == site),
                sum(f["site"] == site for f in own),
            ]
            for site in SITES
        }
        rows[fault or "clean"] = row
    false = sorted(key for found in results if not found["fault"] for key in told(found))
    seconds = [found["prepare_cpu_s"] for found in results]
    return {
        "patients": len(results),
        "rows": rows,
        "told_of_clean": {key: false.count(key) for key in dict.fromkeys(false)},
        "prepare_cpu_s": round(float(np.median(seconds)), 1),
    }


def interval(right: int, count: int) -> list[float] | None:
    """95 % interval of a share (Clopper and Pearson 1934)."""
    if not count:
        return None
    low = beta.ppf(0.025, right, count - right + 1) if right else 0.0
    high = beta.ppf(0.975, right + 1, count - right) if right < count else 1.0
    return [round(float(low), 3), round(float(high), 3)]


PAGE = """# Are planted faults caught?

*Written by `bench/faults.py`; the numbers are those of its last run.*

{patients} synthetic patients at 2 mm of the sites A, B and C, as DICOM, each clean or with one fault of
[phantom.md](phantom.md) at its default severity, taken through scan, de-identification, conversion, orientation,
masks, registration and quality control with the limits `phantom-2mm`. *Right* means, for a fault, that a person is
told of it: the case is set aside by a step that can see this fault, or its verdict is warn or fail with a reason
that concerns it; for a clean patient, that the verdict is pass. Wanted: 0.95 each. Median {prepare_cpu_s}
CPU-seconds per patient.

| planted | patients | pass | warn | fail | set aside | right | share (95 %) | A | B | C |
|---|---|---|---|---|---|---|---|---|---|---|
{rows}

Clean patients were told of: {false}.

Phantoms are copies of one template, and the faults are as strong as a reader sees at a glance. Milder artifacts:
the curve on the [card of the artifact score](models/artifact-score.md). Figures on phantoms say that the software
does what it says, not how well it does on patients.
"""


def page(figures: dict[str, Any]) -> str:
    """The page as Markdown."""
    lines = []
    for name, row in figures["rows"].items():
        low, high = row["interval_95"] or (0, 0)
        share = "–" if row["share"] is None else f"{row['share']:.2f} ({low:.2f} to {high:.2f})"
        sites = " | ".join(f"{right}/{count}" for right, count in row["by_site"].values())
        counts = " | ".join(str(row[key]) for key in ("patients", "pass", "warn", "fail", "set aside", "right"))
        lines.append(f"| {name.replace('_', ' ')} | {counts} | {share} | {sites} |")
    false = ", ".join(f"`{key}` ({count})" for key, count in figures["told_of_clean"].items()) or "nothing"
    return PAGE.format(
        rows="\n".join(lines), false=false, patients=figures["patients"], prepare_cpu_s=figures["prepare_cpu_s"]
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=210)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="others while limits are being chosen")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path("build/faults"), help="keep what was found here")
    parser.add_argument("--measured", action="store_true", help="make no patients, count those in the cache")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--docs", type=Path, help="write the page here")
    return parser.parse_args()


def run(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """All patients of the plan, or those that were done before."""
    if chosen.measured:
        return [read_json(path) for path in sorted(chosen.cache.glob("[0-9]*.json"))]
    cases, results = plan(chosen.patients, chosen.first_seed), []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(chosen.workers, mp_context=context) as pool:
        for found in pool.map(partial(prepare, cache=chosen.cache), cases):
            results.append(found)
            about = ", ".join(told(found)) or "; ".join(step for step, _ in found["set_aside"]) or "nothing"
            print(f"{len(results)}/{len(cases)} {found['site']} {found['fault'] or 'clean'}: {about}", flush=True)
    return results


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    chosen = arguments()
    figures = confusion(run(chosen))
    print(json.dumps(figures["rows"], indent=2))
    if chosen.json:
        write_json(chosen.json, figures)
    if chosen.docs:
        chosen.docs.write_text(page(figures), encoding="utf-8")
