"""Many cases in one DAG run of *Prepare cohort*: does Airflow stay quick, and how long does a case take?

A site with a real Airflow instance prepares `--cases` patients from DICOM to the frozen cohort. They are copies of
`--anatomies` phantoms with identities and UIDs of their own, because writing phantoms would take longer than preparing
them; every copy goes through every step. Beside the run, four pages that people open (list of DAGs, grid of the run,
list of its tasks, tab *Quality*) are asked for every `--every` seconds; the same pages before the run stand beside it.

    python bench/crowd.py --cases 300 --resolution-mm 2 --json build/bench/crowd.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pydicom
import requests
from pydicom.uid import generate_uid

from konsil.demo.people import answer
from konsil.files import read_json
from konsil.sdk.airflow import AirflowClient
from konsil.stack import supervisor
from konsil.stack.accounts import passwords
from konsil.stack.places import Place, make_plan

STANDARD = "1.2.840.10008."
DAG = "prepare_cohort"


def fill(inbox: Path, cases: int, anatomies: int, resolution_mm: float) -> None:
    """Write the phantoms and their copies."""
    source = inbox.with_name("anatomies")
    verb = [sys.executable, "-m", "konsil.cli", "phantom", str(source), "--site", "A", "--seed", "5"]
    subprocess.run([*verb, "--cases", str(anatomies), "--resolution", str(resolution_mm)], check=True)
    patients = sorted({path.parent for path in source.rglob("*.dcm")})
    roots = sorted({source / folder.relative_to(source).parts[0] for folder in patients})
    for number in range(cases):
        copy_patient(roots[number % len(roots)], inbox / f"{number:04d}", number)
    shutil.rmtree(source)


def copy_patient(source: Path, target: Path, number: int) -> None:
    """The files of one patient under another identity, references between them kept."""
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        dataset = pydicom.dcmread(path)
        renamed(dataset, number)
        renamed(dataset.file_meta, number)
        dataset.PatientID, dataset.PatientName = f"BENCH{number:05d}", f"Bench^{number}"
        new = target / path.relative_to(source)
        new.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(new)


def renamed(dataset: pydicom.Dataset, number: int) -> None:
    """Replace every UID that is not the standard's own."""
    for element in dataset.iterall():
        if element.VR == "UI" and isinstance(element.value, str) and not element.value.startswith(STANDARD):
            element.value = generate_uid(entropy_srcs=[element.value, str(number)])


class Visitor(threading.Thread):
    """Somebody who keeps opening pages; `seconds` holds how long each took."""

    def __init__(self, place: Place, every_s: float) -> None:
        super().__init__(daemon=True)
        self.place, self.every_s = place, every_s
        self.seconds: dict[str, list[float]] = {}
        self.done = threading.Event()

    def run(self) -> None:
        """Visit until told to stop."""
        token = self.login()
        while not self.done.wait(self.every_s):
            self.visit(token)

    def login(self) -> str:
        """A token of the staff."""
        account = {"username": "staff", "password": passwords(self.place)["staff"]}
        reply = requests.post(f"{self.place.url}/auth/token", json=account, timeout=60)
        return str(reply.json()["access_token"])

    def visit(self, token: str) -> None:
        """Open every page once."""
        pages = {
            "list of DAGs": "ui/dags?limit=50",
            "grid": f"ui/grid/runs/{DAG}?limit=10",
            "list of tasks": f"api/v2/dags/{DAG}/dagRuns/~/taskInstances?limit=100",
            "tab Quality": "konsil/quality",
        }
        for name, path in pages.items():
            start = time.monotonic()
            reply = requests.get(f"{self.place.url}/{path}", headers={"Authorization": f"Bearer {token}"}, timeout=120)
            reply.raise_for_status()
            self.seconds.setdefault(name, []).append(time.monotonic() - start)


def quantiles(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median, 95th percentile and largest, by page."""
    return {
        page: {
            "median_s": round(statistics.median(values), 3),
            "p95_s": round(sorted(values)[int(0.95 * (len(values) - 1))], 3),
            "max_s": round(max(values), 3),
            "visits": len(values),
        }
        for page, values in seconds.items()
    }


def prepare(place: Place, inbox: Path, batch_size: int, every_s: float) -> dict[str, Any]:
    """One DAG run from inbox to frozen cohort, with a visitor beside it."""
    staff = AirflowClient(place.url, "staff", passwords(place)["staff"])
    reviewer = AirflowClient(place.url, "reviewer", passwords(place)["reviewer"])
    quiet, busy = Visitor(place, every_s), Visitor(place, every_s)
    token = quiet.login()
    for _ in range(5):
        quiet.visit(token)
    busy.start()
    start = time.monotonic()
    values = {"cohort": "crowd", "inbox": str(inbox), "limits": "wide", "batch_size": batch_size}
    run = staff.trigger(DAG, values)
    answer(reviewer, DAG, "Approve", {"comment": "A measurement."}, timeout_s=7200)
    prepared = time.monotonic() - start
    state = staff.wait(DAG, run, timeout_s=1200)
    busy.done.set()
    busy.join()
    frozen = read_json(place.home / "cohorts" / "crowd" / "cohort.json")
    database = sum(path.stat().st_size for path in place.airflow_home.glob("*.db*"))
    return {
        "state": state,
        "frozen_cases": len(frozen["cases"]),
        "minutes_to_sign_off": round(prepared / 60, 1),
        "database_mb": round(database / 1e6, 1),
        "pages_before": quantiles(quiet.seconds),
        "pages_during": quantiles(busy.seconds),
    }


def figures(cases: int, anatomies: int, resolution_mm: float, batch_size: int, every_s: float) -> dict[str, Any]:
    """All figures of one run; the stack is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="konsil-crowd-") as name:
        folder = Path(name)
        fill(folder / "inbox", cases, anatomies, resolution_mm)
        plan = make_plan(folder / "stack", ["A"])
        (place,) = plan.only(["A"])
        try:
            supervisor.up(plan, say=print, only=["A"])
            found = prepare(place, folder / "inbox", batch_size, every_s)
        finally:
            supervisor.down(plan, say=print)
    size = {"cases": cases, "anatomies": anatomies, "resolution_mm": resolution_mm, "batch_size": batch_size}
    return size | found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--anatomies", type=int, default=10)
    parser.add_argument("--resolution-mm", type=float, default=2.0)
    parser.add_argument("--batch-size", type=int, default=25)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two visits")
    chosen = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("stopped"))  # the stack is ended on the way out
    result = figures(chosen.cases, chosen.anatomies, chosen.resolution_mm, chosen.batch_size, chosen.every)
    print(json.dumps(result, indent=2))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")
