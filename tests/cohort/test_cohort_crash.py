"""Killed, starved of disk or run twice at once, every step ends with the same files as an undisturbed run.

The work is done by `crash_walker.py` in a process of its own; KONSIL_FUZZ=2 makes it kill at every single moment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WALKER = Path(__file__).with_name("crash_walker.py")
STEPS = ("scan", "deidentify", "convert", "orient", "mask", "register", "qc", "report", "freeze")
RESOLUTION_MM = 4.0


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the walker told about each step, for two synthetic patients."""
    from konsil.phantom.hospital import write_hospital

    place = tmp_path_factory.mktemp("crash")
    wanted: dict[str, Any] = {"site": "B", "cases": 2, "seed": 3, "resolution_mm": RESOLUTION_MM, "faults": {}}
    write_hospital(place / "inbox", **wanted, truth=place / "truth.json")
    (place / "home" / "keys").mkdir(parents=True)
    (place / "home" / "keys" / "pseudonym.key").write_bytes(bytes(32))
    command = [sys.executable, str(WALKER), str(place / "home"), str(place / "inbox"), str(place / "result.json")]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    result: dict[str, Any] = json.loads((place / "result.json").read_text())
    return result


@pytest.mark.parametrize("step", STEPS)
def test_a_disturbed_step_ends_with_the_same_files(walked: dict[str, Any], step: str) -> None:
    assert walked[step]["status"] == 0
    assert walked[step]["kills"] >= 2
    assert walked[step]["different"] == []


def test_the_walk_reaches_a_frozen_cohort_and_leaves_no_part(walked: dict[str, Any]) -> None:
    files = walked["freeze"]["files"]
    assert "cohorts/ms/cohort.json" in files
    assert [name for name in files if ".part-" in name] == []
    assert len([name for name in files if name.endswith("_qc.json")]) == 2
