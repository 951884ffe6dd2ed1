"""A real study with several series (TCIA, Study3) through every step of *Prepare cohort*, by the verbs."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from konsil.files import read_json, sha256_of, write_json

pytestmark = pytest.mark.realdata

IDENTIFYING = (
    "PatientName", "PatientID", "PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate",
    "AccessionNumber", "InstitutionName", "InstitutionAddress", "ReferringPhysicianName", "StudyInstanceUID",
    "SeriesInstanceUID", "FrameOfReferenceUID", "DeviceSerialNumber", "StationName", "StudyID",
)  # fmt: skip
SHORTEST = 6  # shorter values occur by chance


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[Path, dict[str, str]]:
    """The home after all steps, and what each step said."""
    inbox = request.getfixturevalue("data") / "dicom" / "tcia_btp" / "Study3"
    home = tmp_path_factory.mktemp("site")
    cohort, said = str(home / "cohorts" / "study"), {}

    def konsil(verb: str, *arguments: str) -> None:
        ended = subprocess.run(
            [sys.executable, "-m", "konsil.cli", verb, *arguments], capture_output=True, text=True, check=False,
            env=os.environ | {"KONSIL_HOME": str(home), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        said[verb] = ended.stdout + ended.stderr
        assert ended.returncode == 0, f"{verb}: {said[verb]}"

    konsil("scan", str(inbox), "--cohort", "study")
    konsil("deidentify", str(inbox), cohort)
    konsil("convert", str(home / "work" / "study" / "dicom"), cohort)
    for verb in ("orient", "mask", "register", "qc", "report"):
        konsil(verb, cohort)
    konsil("freeze", cohort, "--sign-off", str(signed(home)))
    return home, said


def signed(home: Path) -> Path:
    """A reviewer accepts the case in spite of its voxel size."""
    (quality,) = home.rglob("*_qc.json")
    (page,) = home.rglob("reports/cohort.html")
    decision = {"decision": "accept", "reason": "a test of the path, not of the image"}
    content = {
        "by": "reviewer",
        "at": "2026-11-21T10:00:00+01:00",
        "report_sha256": sha256_of(page),
        "decisions": {quality.name.removesuffix("_qc.json"): decision},
    }
    write_json(home / "signed.json", content)
    return home / "signed.json"


def test_the_frozen_cohort_and_its_derivative_are_valid_bids(
    site: tuple[Path, dict[str, str]], bids_errors: Callable[[Path], list[tuple[str, str]]]
) -> None:
    cohort = site[0] / "cohorts" / "study"
    assert (cohort / "cohort.json").is_file()
    assert bids_errors(cohort) == []
    assert bids_errors(cohort / "derivatives" / "konsil") == []


def test_the_pre_contrast_pair_is_proposed_with_a_warning(site: tuple[Path, dict[str, str]]) -> None:
    said = site[1]["scan"].lower()
    assert said.count("derived") >= 2
    assert "not chosen" in said
    assert "contrast" in said


def test_the_quality_control_fails_the_voxel_size_in_words(site: tuple[Path, dict[str, str]]) -> None:
    (path,) = site[0].rglob("*_qc.json")
    found = read_json(path)
    assert found["verdict"] == "fail"
    assert any("voxels" in reason and "wanted 1" in reason for reason in found["reasons"])


def test_the_reports_are_written(site: tuple[Path, dict[str, str]]) -> None:
    pages = sorted(path.name for path in site[0].rglob("reports/*.html"))
    assert len(pages) == 2
    assert pages[0] == "cohort.html"


def test_no_identifier_survives_outside_the_inbox(site: tuple[Path, dict[str, str]], data: Path) -> None:
    secrets = identifiers(data / "dicom" / "tcia_btp" / "Study3")
    assert len(secrets) > 5
    home, said = site
    for verb, text in said.items():
        assert [secret for secret in secrets if secret in text.encode()] == [], f"{verb} said it"
    for path in home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            content += gzip.decompress(content) if path.suffix == ".gz" else b""
            assert [secret for secret in secrets if secret in content] == [], f"{path.name} holds it"


def identifiers(folder: Path) -> set[bytes]:
    """Identifying values of the first header of every series."""
    found: set[str] = set()
    for series in {path.parent for path in folder.rglob("*.dcm")}:
        header = pydicom.dcmread(next(series.glob("*.dcm")), stop_before_pixels=True)
        found |= {str(header.get(keyword, "")) for keyword in IDENTIFYING}
    return {value.encode() for value in found if len(value) >= SHORTEST}
