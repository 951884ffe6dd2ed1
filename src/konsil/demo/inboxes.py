"""The patients: one `konsil phantom` per hospital, as a person would call it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress

from konsil.demo.plan import DemoPlan, Hospital
from konsil.demo.voice import Voice
from konsil.errors import Unavailable


def fill_inboxes(plan: DemoPlan, voice: Voice, halt: threading.Event) -> None:
    """Write the DICOM of every hospital, one after the other, until `halt` is set."""
    for hospital in plan.hospitals:
        make_patients(plan, hospital, voice, halt)


def make_patients(plan: DemoPlan, hospital: Hospital, voice: Voice, halt: threading.Event) -> None:
    """Write one hospital unless `halt` is set."""
    if not halt.is_set():
        voice.say(f"{hospital.site}: making {hospital.cases} patients as DICOM")
        fill(plan, hospital, halt)


def fill(plan: DemoPlan, hospital: Hospital, halt: threading.Event) -> None:
    """Write one hospital; a failure is told with the last line of the verb."""
    command = [
        sys.executable, "-m", "konsil.cli", "phantom", str(plan.inbox(hospital.site)), "--site", hospital.site,
        "--cases", str(hospital.cases), "--seed", str(hospital.seed), "--resolution", str(plan.resolution_mm),
        "--fault", hospital.fault,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as said:
        with subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment) as child:
            while child.poll() is None:
                if halt.is_set():
                    child.terminate()
                with suppress(subprocess.TimeoutExpired):
                    child.wait(0.5)
        if child.returncode and not halt.is_set():
            said.seek(0)
            last = (said.read().strip().splitlines() or ["nothing"])[-1]
            raise Unavailable(f"the patients of hospital {hospital.site} could not be made", got=last)
