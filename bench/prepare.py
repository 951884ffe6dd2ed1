"""What preparing one case costs, step by step, beside the three parts that nobody can leave out.

A synthetic hospital is written as DICOM, then every step of `prepare_cohort` runs as its own `konsil` verb, as in
Airflow. CPU seconds (user + system) and the largest resident memory of the verb and its children come from the
operating system. What a verb costs before its first case (imports) is measured with `--help` and shown apart.
The unavoidable parts, on the same images: dcm2niix on both series, laying the atlas once, one registration. They are
taken narrowly, in memory: without drawing the second mask, and without resampling the T1w, which is shown beside them.

    python bench/prepare.py --cases 3 --resolution-mm 1 --json build/bench/prepare.json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STEPS = ("scan", "deidentify", "convert", "orient", "mask", "register", "qc", "report")
NARROW = ("converter", "mask", "registration")
QUIET = {"OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}


def spent(command: Sequence[str], environment: dict[str, str], codes: Sequence[int] = (0, 2)) -> dict[str, float]:
    """Run a command; wall and CPU seconds and peak resident MB of it and of the largest of its children."""
    start = time.monotonic()
    child = subprocess.Popen(command, env=os.environ | QUIET | environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in codes:
        raise SystemExit(f"{' '.join(command[-4:])} ended with exit code {child.returncode}")
    return {
        "wall_s": time.monotonic() - start,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "rss_mb": usage.ru_maxrss / 1024,
    }


def arguments_of(step: str, home: Path, limits: str) -> list[str]:
    """The verb of one step with its arguments."""
    inbox = str(home / "inbox")
    first = {
        "scan": [inbox, "--cohort", "bench"],
        "deidentify": [inbox, "bench"],
        "convert": [str(home / "work/bench/dicom"), "bench"],
    }
    more = ["--limits", limits] if step == "qc" else []
    return [step, *first.get(step, ["bench"]), *more]


def steps(home: Path, cases: int, workers: int, limits: str) -> dict[str, dict[str, float]]:
    """Every step over all cases: CPU seconds per case after what the verb costs by itself, and peak memory."""
    environment = {"KONSIL_HOME": str(home), "KONSIL_WORKERS": str(workers)}
    verb = [sys.executable, "-m", "konsil.cli"]
    found = {}
    for step in STEPS:
        row = spent([*verb, *arguments_of(step, home, limits)], environment)
        idle = idle_of(step, [*verb, *arguments_of(step, home, limits)], environment)
        found[step] = {
            "cpu_s_per_case": round(max(0.0, row["cpu_s"] - idle["cpu_s"]) / cases, 2),
            "idle_cpu_s": round(idle["cpu_s"], 2),
            "wall_s_per_case": round(row["wall_s"] / cases, 2),
            "rss_mb": round(row["rss_mb"]),
        }
        print(f"{step:12} {found[step]}", flush=True)
    return found


def idle_of(step: str, command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """What a verb costs by itself: its second run, which skips every case; scan looks anew, so an empty inbox."""
    if step != "scan":
        return spent(command, environment)
    with tempfile.TemporaryDirectory() as empty:
        (Path(empty) / "inbox").mkdir()
        (Path(empty) / "inbox" / "note.txt").write_text("no image")
        command = [str(Path(empty) / "inbox") if part.endswith("inbox") else part for part in command]
        return spent(command, environment | {"KONSIL_HOME": empty}, codes=(0, 1, 2))


def parts(home: Path) -> dict[str, float]:
    """Median CPU seconds per case of the converter alone, one mask alone, one registration alone."""
    from konsil.cohort.folder import SiteFolder

    cohort = SiteFolder(home).cohort("bench")
    rows: dict[str, list[float]] = {name: [] for name in (*NARROW, "resampling")}
    for case in cohort.cases():
        rows["converter"].append(convert_alone(cohort.work / "dicom" / str(case)))
        for name, seconds in in_process(cohort, case).items():
            rows[name].append(seconds)
    return {name: round(statistics.median(values), 2) for name, values in rows.items()}


def convert_alone(folder: Path) -> float:
    """CPU seconds of dcm2niix on both series of a case, compressed as a cohort's images are."""
    with tempfile.TemporaryDirectory() as out:
        program = shutil.which("dcm2niix", path=str(Path(sys.executable).parent)) or "dcm2niix"
        command = [program, "-z", "y", "-o", out]
        return sum(spent([*command, str(folder / role)], {})["cpu_s"] for role in ("T1w", "FLAIR"))


def in_process(cohort: Any, case: Any) -> dict[str, float]:
    """CPU seconds of laying the atlas on the T1w, of one registration, of resampling the T1w; images in memory."""
    from konsil.cohort.volume import read_volume
    from konsil.quality.atlas import place_atlas
    from konsil.registration.register import onto
    from konsil.registration.rigid import find_rigid

    images = {name: read_volume(cohort.oriented(case, name), name) for name in ("T1w", "FLAIR")}
    brains = {name: read_volume(cohort.brain_mask(case, name), name).data > 0 for name in images}
    start = time.process_time()
    place_atlas(images["T1w"])
    middle = time.process_time()
    movement = find_rigid(images["FLAIR"], images["T1w"], brains["FLAIR"], brains["T1w"])
    late = time.process_time()
    onto(images["T1w"], images["FLAIR"], movement.matrix)
    return {"mask": middle - start, "registration": late - middle, "resampling": time.process_time() - late}


def figures(cases: int, resolution_mm: float, workers: int) -> dict[str, Any]:
    """All figures of one run."""
    with tempfile.TemporaryDirectory(prefix="konsil-bench-") as name:
        home = Path(name)
        verb = [sys.executable, "-m", "konsil.cli", "phantom", str(home / "inbox"), "--site", "B"]
        spent([*verb, "--cases", str(cases), "--seed", "5", "--resolution", str(resolution_mm)], {})
        found = steps(home, cases, workers, "wide")
        alone = parts(home)
    whole = sum(row["cpu_s_per_case"] for row in found.values())
    return {
        "cases": cases,
        "resolution_mm": resolution_mm,
        "workers": workers,
        "steps": found,
        "parts": alone,
        "cpu_s_per_case": round(whole, 2),
        "over_parts": round(whole / sum(alone[name] for name in NARROW), 2),
        "over_parts_and_resampling": round(whole / sum(alone.values()), 2),
        "wall_s_per_case": round(sum(row["wall_s_per_case"] for row in found.values()), 2),
        "rss_mb": max(row["rss_mb"] for row in found.values()),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--cases", type=int, default=3)
    parser.add_argument("--resolution-mm", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    result = figures(chosen.cases, chosen.resolution_mm, chosen.workers)
    print(json.dumps({key: value for key, value in result.items() if key != "steps"}, indent=2))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")
