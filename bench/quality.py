"""What the quality control costs, and what it measures on clean phantoms and on public images.

`cost`: CPU seconds per case of the measures, by part, and the peak memory of the process that took them, on a phantom
of site B at each of `--resolutions` (mm). `values`: every measure of `--patients` clean phantoms of each site at 2 mm,
of one phantom of B and of C with each planted fault (not registered), and, where `--data` names the folder of public
images, of those; all went through orient, mask, register and qc. The limits of limits.toml and the figures of
docs/quality.md come from here.

    python bench/quality.py --data ../shared/data --json build/bench/quality.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from konsil.cohort.cases import Case
from konsil.cohort.folder import SUFFIXES, CohortFolder, SiteFolder
from konsil.cohort.volume import Volume, read_volume, write_volume
from konsil.files import read_json
from konsil.phantom.faults import ARTIFACTS, spoil
from konsil.phantom.patient import make_patient
from konsil.quality import image_measures as part
from konsil.quality.artifact_score import score_image
from konsil.quality.limits import load_limits
from konsil.quality.masks import mask, read_placement
from konsil.quality.noise import noise_sd
from konsil.quality.regions import find_regions
from konsil.quality.verdict import judge
from konsil.registration.orient import closest_canonical, orient
from konsil.registration.register import register

# Case -> suffix or "lesions" -> file under the folder of public images.
LJUBLJANA, MSLESSEG = "ms/ljubljana_long_raw/patient12", "ms/mslesseg/train"
STRIPPED = "ms/ljubljana_cs_mni/patient26"
PUBLIC = {
    "ixi015": {"T1w": "nifti/ixi_2mm/t1/IXI015-HH-1258_T1.nii.gz"},
    "ixi132": {"T1w": "nifti/ixi_2mm/t1/IXI132-HH-1415_T1.nii.gz"},
    "synthsr": {"FLAIR": "nifti/synthsr_flair/FLAIR.nii.gz"},
    "ljubljana12": {"T1w": f"{LJUBLJANA}/study1_T1W.nii.gz", "FLAIR": f"{LJUBLJANA}/study1_FLAIR.nii.gz"},
    **{
        f"mslesseg{name}": {
            "T1w": f"{MSLESSEG}/{name}/T1/{name}_T1_T1.nii.gz",
            "FLAIR": f"{MSLESSEG}/{name}/T1/{name}_T1_FLAIR.nii.gz",
            "lesions": f"{MSLESSEG}/{name}/T1/{name}_T1_MASK.nii.gz",
        }
        for name in ("P18", "P39")
    },
    "ljubljana26": {
        "T1w": f"{STRIPPED}/T1_N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI.nii.gz",
        "FLAIR": f"{STRIPPED}/FLAIR_N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI.nii.gz",
        "lesions": f"{STRIPPED}/GOLD_STANDARD_N4_noneck_reduced_winsor_regtoFLAIR_regtoMNI.nii.gz",
    },
}


def add_phantom(
    cohort: CohortFolder, case: Case, site: str, seed: int, resolution_mm: float = 2.0, fault: str = ""
) -> None:
    """One patient, clean or with a planted fault, with the lesions as the truth has them."""
    patient = make_patient(seed, site, resolution_mm=resolution_mm)
    if fault:
        patient = spoil(np.random.default_rng(seed), patient, fault)
    for suffix, image in (("T1w", patient.t1w), ("FLAIR", patient.flair)):
        write_volume(cohort.raw(case, suffix), Volume(image.array, image.affine))
    lesions = Volume(patient.lesions, patient.flair.affine)
    write_volume(cohort.lesions(case), closest_canonical(lesions))


def add_public(cohort: CohortFolder, case: Case, files: dict[str, str], data: Path) -> None:
    """One public case, as far as it has images."""
    for role, name in files.items():
        volume = read_volume(data / name, role)
        if role == "lesions":
            drawn = Volume((volume.data > 0).astype(np.uint8), volume.affine)
            write_volume(cohort.lesions(case), closest_canonical(drawn))
        else:
            write_volume(cohort.raw(case, role), volume)


def prepare(cohort: CohortFolder, *, registered: bool) -> None:
    """Everything before the control. What the registration refuses is measured all the same."""
    orient(cohort)
    mask(cohort)
    if registered:
        register(cohort)
    for name in cohort.set_aside_cases():
        print(f"  {name}: {cohort.set_aside_cases()[name].reason}", file=sys.stderr)
        cohort.take_back(Case.parse(name))


def read_values(cohort: CohortFolder, *, registered: bool = True) -> dict[str, dict[str, Any]]:
    """All measures of all cases: case -> key -> value, None where there is none."""
    prepare(cohort, registered=registered)
    judge(cohort, limits=load_limits("phantom-2mm"))
    found = {}
    for case in cohort.cases():
        table = read_json(cohort.qc(case))["measures"]
        found[case.subject] = {key: line["value"] for key, line in table.items()}
    return found


def values(folder: Path, patients: int, data: Path | None) -> dict[str, Any]:
    """Measures of clean phantoms and of public images."""
    made, public = SiteFolder(folder).cohort("phantoms"), SiteFolder(folder).cohort("public")
    for site in "ABC":
        for seed in range(1, patients + 1):
            add_phantom(made, Case(f"{site}{seed}", "1"), site, seed)
    found = {"phantoms": read_values(made)}
    for fault in (*ARTIFACTS, "cropped_head") if patients else ():
        spoilt = SiteFolder(folder).cohort(fault.replace("_", "-"))
        for site in "BC":
            add_phantom(spoilt, Case(site, "1"), site, 1, fault=fault)
        found[fault] = read_values(spoilt, registered=False)
    if data is not None:
        for name, files in PUBLIC.items():
            add_public(public, Case(name, "1"), files, data)
        found["public"] = read_values(public)
    return found


def span(cases: dict[str, dict[str, Any]]) -> dict[str, list[float]]:
    """Lowest, middle and highest value of each measure."""
    keys = dict.fromkeys(key for measured in cases.values() for key in measured)
    rows = {key: [m[key] for m in cases.values() if m.get(key) is not None] for key in keys}
    return {key: [min(row), statistics.median(row), max(row)] for key, row in rows.items() if row}


def cost(folder: Path, resolution_mm: float) -> dict[str, Any]:
    """CPU seconds by part and peak memory for one case, in a process that does nothing else."""
    cohort = SiteFolder(folder).cohort("cost")
    add_phantom(cohort, Case("B1", "1"), "B", 1, resolution_mm)
    orient(cohort)
    mask(cohort)
    command = [sys.executable, __file__, "--measure", str(cohort.path)]
    answer: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return answer


def measure_parts(path: Path) -> dict[str, Any]:
    """The measures of the one case of a cohort, each part timed; both images together, imports and atlas apart."""
    cohort = SiteFolder(path.parent.parent).cohort(path.name)
    case, spent = cohort.cases()[0], dict.fromkeys(("warm_up", "read"), 0.0)
    small = Volume(np.pad(np.ones((8, 8, 8), np.int16), 8), np.diag([4.0, 4, 4, 1]))
    begin = time.process_time()
    part.measure_image(small, small.data > 0, read_placement(cohort, case, "FLAIR"), 1.0, "FLAIR")
    spent["warm_up"] = time.process_time() - begin
    for suffix in SUFFIXES:

        def timed(name: str, work: Callable[..., Any], *values: Any) -> Any:
            start = time.process_time()
            result = work(*values)
            spent[name] = spent.get(name, 0.0) + time.process_time() - start
            return result

        image = timed("read", read_volume, cohort.oriented(case, suffix), suffix)
        brain = timed("read", read_volume, cohort.brain_mask(case, suffix), suffix).data > 0
        where = read_placement(cohort, case, suffix)
        regions = timed("regions", find_regions, image, brain, where)
        noise = timed("signal", noise_sd, image.data, regions.parenchyma)
        timed("signal", part.measure_signal, image, regions, noise)
        timed("tissues", part.measure_tissues, image, regions, where, noise)
        timed("sharpness", part.measure_sharpness, image.data, brain)
        timed("air", part.measure_air, image.data, regions)
        timed("geometry", part.measure_geometry, image, brain, where, 1.0)
        timed("artifact_score", score_image, image, where, suffix)
    total = sum(seconds for name, seconds in spent.items() if name != "warm_up")
    rounded = {name: round(seconds, 2) for name, seconds in spent.items()}
    return {"cpu_s": rounded, "cpu_s_per_case": round(total, 2), "peak_rss_mb": peak_rss_mb()}


def peak_rss_mb() -> int:
    """Peak memory of this process, MiB. Not `ru_maxrss`, which a child inherits from the process that started it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Read the arguments, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--data", type=Path, help="folder of the public images")
    parser.add_argument("--patients", type=int, default=3, help="phantoms of each site")
    parser.add_argument("--resolutions", type=float, nargs="*", default=[2.0, 1.0])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure_parts(chosen.measure)))
        return
    result: dict[str, Any] = {"cost": {}}
    for resolution_mm in chosen.resolutions:
        with tempfile.TemporaryDirectory() as folder:
            result["cost"][f"{resolution_mm:g} mm"] = cost(Path(folder), resolution_mm)
    print(json.dumps(result["cost"], indent=2))
    if chosen.patients:
        with tempfile.TemporaryDirectory() as folder:
            result["values"] = values(Path(folder), chosen.patients, chosen.data)
        result["span"] = {group: span(cases) for group, cases in result["values"].items()}
        for key, phantoms in result["span"]["phantoms"].items():
            print(f"{key:32}", phantoms, result["span"].get("public", {}).get(key, ""))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
